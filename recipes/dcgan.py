"""DCGAN: a GAN whose generator and discriminator are convolutional.

Radford et al. 2015, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks" (arXiv:1511.06434), with the architecture and settings of the book.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from recipes import losses
from recipes.layers import RandomShift, batch_norm, conv, upsample
from recipes.training.base import LatentGAN


def build_generator(
    image_shape=(28, 28, 1), latent_dim=100, width=64, norm_first=False, upsampling="transposed"
):
    """Noise -> image in [-1, 1].

    Args:
        image_shape: (height, width, channels); height and width divisible by 4.
        latent_dim: length of a latent vector.
        width: filters of the last hidden layer; the ones before have 2 and 4 times as many.
        norm_first: the paper's order, norm - ReLU, and its initialization N(0, 0.02), where the
            book has LeakyReLU - norm and Keras' default initialization.
        upsampling: "transposed" convolutions, as in the book; or "resize": nearest-neighbour
            upsampling and then a convolution, which leaves no grid of dots (Odena et al. 2016).

    Raises:
        ValueError: 4 does not divide height and width.
    """
    height, columns, channels = image_shape
    if height % 4 or columns % 4:
        raise ValueError(f"image_shape {image_shape}: 4 has to divide height and width")

    def norm_and_activation(x):
        if norm_first:
            return layers.ReLU()(batch_norm()(x))
        return batch_norm()(layers.LeakyReLU(0.2)(x))

    options = {"size": 5, "method": upsampling, "paper": norm_first}
    noise = keras.Input((latent_dim,))
    x = layers.Dense(height // 4 * (columns // 4) * 4 * width, use_bias=False)(noise)
    x = norm_and_activation(x)
    x = layers.Reshape((height // 4, columns // 4, 4 * width))(x)  # (batch, 7, 7, 256)
    x = conv(2 * width, 5, 1, transposed=upsampling == "transposed", paper=norm_first)(x)
    x = norm_and_activation(x)  # (batch, 7, 7, 128)
    x = norm_and_activation(upsample(x, width, **options))  # (batch, 14, 14, 64)
    x = upsample(x, channels, **options)  # (batch, 28, 28, 1)
    x = layers.Activation("tanh", dtype="float32")(x)
    return keras.Model(noise, x, name="generator")


def build_discriminator(
    image_shape=(28, 28, 1), width=64, dropout=0.3, spectral_norm=False, augmentation=0
):
    """Image in [-1, 1] -> logit that it is real, `(batch, 1)`.

    Args:
        image_shape: (height, width, channels) of an image.
        width: filters of the first layer; the second has twice as many.
        dropout: rate after each convolution.
        spectral_norm: divides each kernel by its largest singular value (Miyato et al. 2018), so
            that the logit cannot change faster than the image.
        augmentation: in training, real and generated images are shifted at random by up to this
            many pixels, so that a few thousand real ones are not memorized (Zhao et al. 2020).
    """
    normalized = layers.SpectralNormalization if spectral_norm else lambda layer: layer
    x = images = keras.Input(image_shape)
    if augmentation:
        x = RandomShift(augmentation)(x)
    for filters in (width, 2 * width):  # 28 -> 14 -> 7
        x = normalized(layers.Conv2D(filters, 5, 2, "same"))(x)
        x = layers.LeakyReLU(0.2)(x)
        x = layers.Dropout(dropout)(x)
    x = layers.Flatten()(x)  # (batch, 7 * 7 * 2 * width)
    x = normalized(layers.Dense(1, dtype="float32"))(x)
    return keras.Model(images, x, name="discriminator")


@keras.saving.register_keras_serializable(package="recipes")
class DCGAN(LatentGAN):
    """A DCGAN, trained by `fit` on a dataset of float32 images in [-1, 1].

    Args:
        generator: model from noise `(batch, latent_dim)` to images; see `build_generator`.
        discriminator: model from images to logits `(batch, 1)`; see `build_discriminator`.
        label_smoothing: the target of real images is 1 - label_smoothing (one-sided; Salimans et
            al. 2016); 0 in the book.
        ema_decay: decay of a moving average of the generator's weights, which then generates the
            images; 0, as in the book, uses the weights themselves.
        seed: seed of the noise.
    """

    trained = ("generator", "discriminator")
    averaged = ("generator",)
    reported = ("generator_loss", "discriminator_loss", "real_score", "fake_score")

    def __init__(
        self, generator, discriminator, label_smoothing=0.0, ema_decay=0.0, seed=0, **kwargs
    ):
        networks = {"generator": generator, "discriminator": discriminator}
        settings = {"label_smoothing": label_smoothing, "ema_decay": ema_decay, "seed": seed}
        super().__init__(networks, settings, **kwargs)

    def train_step(self, images):
        noise = self.sample_noise(tf.shape(images)[0])
        with tf.GradientTape(persistent=True) as tape:
            fakes = self.generator(noise, training=True)
            real_logits = self.discriminator(images, training=True)
            fake_logits = self.discriminator(fakes, training=True)
            generator_loss = losses.generator_loss(fake_logits)
            discriminator_loss = losses.discriminator_loss(
                real_logits, fake_logits, self.label_smoothing
            )
        self.minimize(generator_loss, self.generator, tape)
        self.minimize(discriminator_loss, self.discriminator, tape)
        return self.report(
            generator_loss=generator_loss,
            discriminator_loss=discriminator_loss,
            real_score=tf.sigmoid(real_logits),  # at equilibrium both scores are 1/2
            fake_score=tf.sigmoid(fake_logits),
        )

    def call(self, images, training=False):
        return self.discriminator(images, training=training)

    def check_batch(self, batch):
        self.check_input(self.discriminator, batch, "training images")
        self.check_output(self.generator, (self.latent_dim,), np.shape(batch)[1:])
        self.check_rows(len(batch))
