"""FGSM on NASNetMobile: the tutorial's loop, eager and picture by picture, against one batch."""

import keras
import numpy as np
import tensorflow as tf

from recipes import attacks, backbones, fgsm

EPSILONS = [0.0, 0.005, 0.01, 0.1, 0.15, 0.2]


def ways(batch=8):
    keras.utils.set_random_seed(0)
    model = backbones.load_classifier("NASNetMobile", weights=None)
    images = np.random.default_rng(0).uniform(-1, 1, (batch, *model.input_shape[1:]))
    images = images.astype(np.float32)
    labels, _ = attacks.predict(model, images)

    def ours(count, epsilons):
        made = fgsm.fgsm(model, images[:count], labels[:count], epsilon=epsilons)
        return attacks.predict(model, made)

    return {
        f"{batch} pictures, one epsilon": (
            f"{batch} pictures",
            3,
            {
                "classic": lambda: classic(model, images, labels, [0.01]),
                "batched and compiled": lambda: ours(batch, [0.01]),
            },
        ),
        f"one picture, {len(EPSILONS)} epsilons": (
            "picture",
            5,
            {
                "classic": lambda: classic(model, images[:1], labels[:1], EPSILONS),
                "batched and compiled": lambda: ours(1, EPSILONS),
            },
        ),
    }


def classic(model, images, labels, epsilons):
    """For each picture and each epsilon a gradient without a graph, then `predict`."""
    loss = keras.losses.CategoricalCrossentropy()
    results = []
    for image, label in zip(images, labels, strict=True):
        target = tf.one_hot([label], model.output_shape[-1])
        for epsilon in epsilons:
            picture = tf.constant(image[None])
            with tf.GradientTape() as tape:
                tape.watch(picture)
                value = loss(target, model(picture))
            pattern = tf.sign(tape.gradient(value, picture))
            made = tf.clip_by_value(picture + epsilon * pattern, -1, 1)
            results.append(model.predict(made, verbose=0).argmax())
    return results
