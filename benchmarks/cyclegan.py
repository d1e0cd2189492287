"""CycleGAN at 256x256, batch 1: the classic step with four gradients of a tape against ours."""

import keras
import numpy as np
import tensorflow as tf

from benchmarks import in_bfloat16
from recipes import losses
from recipes.cyclegan import CycleGAN
from recipes.datasets import scale
from recipes.training.batches import Batches, random_jitter
from recipes.translation import build_patchgan, build_unet

STEPS, SIZE = 2, 256


def ways(size=SIZE, base_filters=64):
    images = np.random.default_rng(0).integers(0, 256, (2, 8, size, size, 3), np.uint8)
    domains = [
        Batches(
            x,
            batch_size=1,
            steps=STEPS,
            seed=i,
            transform=lambda x, seed: random_jitter(scale(x), seed),
        )
        for i, x in enumerate(images)
    ]
    dataset = tf.data.Dataset.zip(*(batches.dataset for batches in domains))
    model, low = build(size, base_filters), in_bfloat16(build, size, base_filters)
    for each in (model, low):
        each.compile(fused_updates=True)
    step = classic(build(size, base_filters))
    return {
        f"{STEPS} steps, {size}x{size}, batch 1": (
            f"{STEPS} steps",
            5,
            {
                "classic": lambda: [step(x, y) for x, y in dataset],
                "fit": lambda: model.fit(dataset, verbose=0),
                "fit, bfloat16": lambda: low.fit(dataset, verbose=0),
                "input pipeline alone": lambda: list(dataset),
            },
        )
    }


def build(size, base_filters):
    return CycleGAN(
        *(build_unet(size, base_filters, "instance") for _ in range(2)),
        *(build_patchgan(1, base_filters, "instance") for _ in range(2)),
    )


def classic(model):
    """The tutorial's way: one tape, which is asked once for each network of `model`."""
    networks = g, f, disc_x, disc_y = [getattr(model, name) for name in model.trained]
    optimizers = [keras.optimizers.Adam(2e-4, 0.5) for _ in networks]

    @tf.function
    def step(x, y):
        with tf.GradientTape(persistent=True) as tape:
            fake_y, fake_x = g(x, training=True), f(y, training=True)
            cycled_x, cycled_y = f(fake_y, training=True), g(fake_x, training=True)
            same_x, same_y = f(x, training=True), g(y, training=True)
            real_x, real_y = disc_x(x, training=True), disc_y(y, training=True)
            false_x, false_y = disc_x(fake_x, training=True), disc_y(fake_y, training=True)
            cycle = 10 * (losses.l1(x, cycled_x) + losses.l1(y, cycled_y))
            total = [
                losses.bce(1.0, false_y) + cycle + 5 * losses.l1(y, same_y),
                losses.bce(1.0, false_x) + cycle + 5 * losses.l1(x, same_x),
                0.5 * (losses.bce(1.0, real_x) + losses.bce(0.0, false_x)),
                0.5 * (losses.bce(1.0, real_y) + losses.bce(0.0, false_y)),
            ]
        for optimizer, loss, network in zip(optimizers, total, networks, strict=True):
            weights = network.trainable_variables
            gradients = tape.gradient(loss, weights)
            optimizer.apply_gradients(zip(gradients, weights, strict=True))

    return step
