"""DCGAN: the tutorial's loop, a traced step called for each batch, against `fit`."""

import keras
import numpy as np
import tensorflow as tf

from recipes.datasets import digits, scale
from recipes.dcgan import DCGAN, build_discriminator, build_generator
from recipes.training.batches import Batches

STEPS, BATCH = 10, 128


def ways():
    images, _ = digits.load("train")
    images = images[: STEPS * BATCH]
    return {
        f"{STEPS} steps, batch {BATCH}, the book's width": (
            f"{STEPS} steps",
            5,
            {"classic": classic(images), "fit": ours(images)},
        )
    }


def classic(images):
    generator, discriminator = build_generator(), build_discriminator()
    optimizers = [keras.optimizers.Adam(1e-4), keras.optimizers.Adam(1e-4)]
    bce = keras.losses.BinaryCrossentropy(from_logits=True)
    dataset = tf.data.Dataset.from_tensor_slices(scale(images)).shuffle(1000).batch(BATCH)

    @tf.function
    def step(real):
        noise = tf.random.normal([BATCH, 100])
        with tf.GradientTape() as g_tape, tf.GradientTape() as d_tape:
            fakes = generator(noise, training=True)
            real_out = discriminator(real, training=True)
            fake_out = discriminator(fakes, training=True)
            g_loss = bce(tf.ones_like(fake_out), fake_out)
            d_loss = bce(tf.ones_like(real_out), real_out) + bce(tf.zeros_like(fake_out), fake_out)
        g_vars, d_vars = generator.trainable_variables, discriminator.trainable_variables
        optimizers[0].apply_gradients(zip(g_tape.gradient(g_loss, g_vars), g_vars, strict=True))
        optimizers[1].apply_gradients(zip(d_tape.gradient(d_loss, d_vars), d_vars, strict=True))

    def run():
        for real in dataset:
            step(real)

    return run


def ours(images):
    gan = DCGAN(build_generator(), build_discriminator())
    gan.compile(1e-4, beta_1=0.9)
    batches = Batches(
        np.asarray(images), batch_size=BATCH, seed=0, transform=lambda x, seed: scale(x)
    )
    return lambda: gan.fit(batches.dataset, verbose=0)
