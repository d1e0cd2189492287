"""SSGAN: four Keras models, `train_on_batch` and `predict`, against one compiled step."""

import keras
import numpy as np
from keras import layers

from recipes import losses
from recipes.datasets import digits, scale
from recipes.ssgan import SSGAN, build_classifier, build_generator
from recipes.training.batches import Batches, semi_supervised

STEPS, BATCH = 10, 50


def ways():
    images, labels = digits.load("train")
    return {
        f"{STEPS} steps, 50 + 50 images, the book's width": (
            f"{STEPS} steps",
            5,
            {
                "classic": classic(images, labels),
                "one compiled step": ours(images, labels),
                "... shared fakes": ours(images, labels, share_fakes=True),
            },
        )
    }


def classic(images, labels):
    """The same four updates on stacked models. They are traced one by one while the
    discriminator's `trainable` stands as each needs it: Keras 3 reads the flag at that moment."""
    classifier, generator = build_classifier(), build_generator()
    inputs = keras.Input((28, 28, 1))
    real = layers.Lambda(losses.real_logit)(classifier(inputs))
    discriminator = keras.Model(inputs, real)
    latent = keras.Input((100,))
    gan = keras.Model(latent, discriminator(generator(latent)))
    bce = keras.losses.BinaryCrossentropy(from_logits=True)
    classifier.compile(
        keras.optimizers.Adam(2e-4, 0.5), keras.losses.SparseCategoricalCrossentropy(True)
    )
    discriminator.compile(keras.optimizers.Adam(2e-4, 0.5), bce)
    gan.compile(keras.optimizers.Adam(2e-4, 0.5), bce)
    scaled = scale(images)
    rng = np.random.default_rng(0)
    ones, zeros = np.ones((BATCH, 1), "float32"), np.zeros((BATCH, 1), "float32")

    def step():
        chosen, real = rng.integers(0, len(images), (2, BATCH))
        discriminator.trainable = True
        classifier.train_on_batch(scaled[chosen], labels[chosen])
        discriminator.train_on_batch(scaled[real], ones)
        fakes = generator.predict(rng.standard_normal((BATCH, 100), "float32"), verbose=0)
        discriminator.train_on_batch(fakes, zeros)
        discriminator.trainable = False
        noise = rng.standard_normal((2 * BATCH, 100), "float32")
        gan.train_on_batch(noise, np.concatenate([ones, ones]))

    def run():
        for _ in range(STEPS):
            step()

    return run


def ours(images, labels, **settings):
    gan = SSGAN(build_generator(), build_classifier(), **settings)
    gan.compile()
    labelled = Batches(
        images, labels, batch_size=BATCH, steps=STEPS, seed=0,
        transform=lambda x, y, seed: (scale(x), y),
    )  # fmt: skip
    unlabelled = Batches(
        images, batch_size=BATCH, steps=STEPS, seed=1, transform=lambda x, seed: scale(x)
    )
    dataset = semi_supervised(labelled, unlabelled)
    return lambda: gan.fit(dataset, verbose=0)
