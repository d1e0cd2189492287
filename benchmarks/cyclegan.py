"""CycleGAN at 256x256, batch 1: the classic step with four tapes against ours."""

import keras
import numpy as np
import tensorflow as tf

from benchmarks import in_bfloat16
from recipes import losses
from recipes.cyclegan import CycleGAN
from recipes.datasets import scale
from recipes.training.batches import Batches, random_jitter

STEPS, SIZE = 2, 256


def ways(size=SIZE, base_filters=64):
    pictures = np.random.default_rng(0).integers(0, 256, (2, 8, size, size, 3), np.uint8)
    domains = [
        Batches(
            x,
            batch_size=1,
            steps=STEPS,
            seed=i,
            transform=lambda x, seed: random_jitter(scale(x), seed),
        )
        for i, x in enumerate(pictures)
    ]
    dataset = tf.data.Dataset.zip(*(batches.dataset for batches in domains))
    model = CycleGAN(size, base_filters)
    model.compile()
    low = in_bfloat16(CycleGAN, size, base_filters)
    low.compile()
    other = CycleGAN(size, base_filters)
    optimizers = [keras.optimizers.Adam(2e-4, 0.5) for _ in other.networks]

    @tf.function
    def step(x, y):
        gradients = classic_gradients(other, x, y)
        for optimizer, gradient, net in zip(optimizers, gradients, other.networks, strict=True):
            optimizer.apply_gradients(zip(gradient, net.trainable_variables, strict=True))

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


def classic_gradients(model, x, y):
    """The tutorial's way: every picture by itself, a tape that is asked once for each net."""
    g, f, disc_x, disc_y = model.networks
    against = losses.least_squares if model.least_squares else losses.bce
    with tf.GradientTape(persistent=True) as tape:
        fake_y, fake_x = g(x, training=True), f(y, training=True)
        cycled_x, cycled_y = f(fake_y, training=True), g(fake_x, training=True)
        same_x, same_y = f(x, training=True), g(y, training=True)
        real_x_logits, real_y_logits = disc_x(x, training=True), disc_y(y, training=True)
        fake_x_logits, fake_y_logits = disc_x(fake_x, training=True), disc_y(fake_y, training=True)
        cycle = model.cycle_weight * (losses.l1(x, cycled_x) + losses.l1(y, cycled_y))
        total = [
            against(1.0, fake_y_logits) + cycle + model.identity_weight * losses.l1(y, same_y),
            against(1.0, fake_x_logits) + cycle + model.identity_weight * losses.l1(x, same_x),
            0.5 * (against(1.0, real_x_logits) + against(0.0, fake_x_logits)),
            0.5 * (against(1.0, real_y_logits) + against(0.0, fake_y_logits)),
        ]
    return [
        tape.gradient(loss, net.trainable_variables)
        for loss, net in zip(total, model.networks, strict=True)
    ]
