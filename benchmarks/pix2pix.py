"""Pix2Pix at 256x256, batch 1: the tutorial's two-tape step against ours; its input pipeline."""

import keras
import numpy as np
import tensorflow as tf

from benchmarks import in_bfloat16
from recipes import losses
from recipes.datasets import scale
from recipes.pix2pix import Pix2Pix
from recipes.training.batches import Batches, random_jitter
from recipes.translation import build_patchgan, build_unet

STEPS, SIZE = 4, 256


def ways(size=SIZE, base_filters=64):
    pairs = np.random.default_rng(0).integers(0, 256, (2, 8, size, size, 3), np.uint8)
    batches = Batches(
        *pairs,
        batch_size=1,
        steps=STEPS,
        seed=0,
        transform=lambda x, y, seed: (
            random_jitter(scale(x), seed, labels=True),
            random_jitter(scale(y), seed),
        ),
    )
    model, low = build(size, base_filters), in_bfloat16(build, size, base_filters)
    for each in (model, low):
        each.compile(fused_updates=True)
    step = classic(build(size, base_filters))
    return {
        f"{STEPS} steps, {size}x{size}, batch 1": (
            f"{STEPS} steps",
            5,
            {
                "classic": lambda: [step(x, y) for x, y in batches.dataset],
                "fit": lambda: model.fit(batches.dataset, verbose=0),
                "fit, bfloat16": lambda: low.fit(batches.dataset, verbose=0),
                "input pipeline alone": lambda: list(batches.dataset),
            },
        )
    }


def build(size, base_filters):
    return Pix2Pix(build_unet(size, base_filters), build_patchgan(2, base_filters))


def classic(model):
    """A traced step with one tape for each network of `model`, and Keras' Adam as it is."""
    generator, discriminator = model.generator, model.discriminator
    optimizers = [keras.optimizers.Adam(2e-4, 0.5), keras.optimizers.Adam(2e-4, 0.5)]

    @tf.function
    def step(inputs, targets):
        with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
            outputs = generator(inputs, training=True)
            real = discriminator([inputs, targets], training=True)
            fake = discriminator([inputs, outputs], training=True)
            g_loss = losses.bce(1.0, fake) + 100 * tf.reduce_mean(tf.abs(targets - outputs))
            d_loss = losses.bce(1.0, real) + losses.bce(0.0, fake)
        g_weights, d_weights = generator.trainable_variables, discriminator.trainable_variables
        g_gradients = g_tape.gradient(g_loss, g_weights)
        d_gradients = d_tape.gradient(d_loss, d_weights)
        optimizers[0].apply_gradients(zip(g_gradients, g_weights, strict=True))
        optimizers[1].apply_gradients(zip(d_gradients, d_weights, strict=True))

    return step
