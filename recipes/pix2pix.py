"""Pix2Pix: an image translated into another one, learned from pairs.

Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks"
(arXiv:1611.07004), with the architecture and settings of the book.
"""

import keras
import tensorflow as tf

from recipes import losses
from recipes.training.base import GAN
from recipes.training.checks import check_images
from recipes.translation import check_discriminator, check_sides, translate


@keras.saving.register_keras_serializable(package="recipes")
class Pix2Pix(GAN):
    """A conditional GAN, trained by `fit` on a dataset of `(inputs, targets)`.

    Both are float32 images in [-1, 1], `(batch, height, width, 3)`.

    Args:
        generator: model from inputs to outputs; see `translation.build_unet`.
        discriminator: model from [input, target or output] to a map of logits, so that an output
            must fit its input as well as look good; see `translation.build_patchgan(2)`.
        l1_weight: weight of the mean absolute error, lambda in the paper.
        ema_decay: decay of a moving average of the generator's weights, which then translates; 0,
            as in the book, uses the weights themselves.
        seed: seed of the model's own randomness, apart from its networks.
    """

    trained = ("generator", "discriminator")
    averaged = ("generator",)
    reported = ("generator_loss", "l1_loss", "discriminator_loss", "real_score", "fake_score")

    def __init__(self, generator, discriminator, l1_weight=100.0, ema_decay=0.0, seed=0, **kwargs):
        networks = {"generator": generator, "discriminator": discriminator}
        settings = {"l1_weight": l1_weight, "ema_decay": ema_decay, "seed": seed}
        super().__init__(networks, settings, **kwargs)

    def train_step(self, data):
        inputs, targets = data
        with tf.GradientTape(persistent=True) as tape:
            outputs = self.generator(inputs, training=True)
            real_logits = self.discriminator([inputs, targets], training=True)
            fake_logits = self.discriminator([inputs, outputs], training=True)
            l1_loss = losses.l1(targets, outputs)
            generator_loss = losses.generator_loss(fake_logits)
            total_loss = generator_loss + self.l1_weight * l1_loss
            discriminator_loss = losses.discriminator_loss(real_logits, fake_logits)
        self.minimize(total_loss, self.generator, tape)
        self.minimize(discriminator_loss, self.discriminator, tape)
        return self.report(
            generator_loss=generator_loss,
            l1_loss=l1_loss,
            discriminator_loss=discriminator_loss,
            real_score=tf.sigmoid(real_logits),  # at equilibrium both scores are 1/2
            fake_score=tf.sigmoid(fake_logits),
        )

    def call(self, inputs, training=False):
        inputs = inputs[0] if isinstance(inputs, tuple | list) else inputs
        generator = self.generator if training else self.for_inference("generator")
        return generator(inputs, training=training)

    def test_step(self, data):
        inputs, targets = data
        loss = losses.l1(targets, self(inputs))
        return self.report_held_out(tf.shape(inputs)[0], l1_loss=loss)

    def translate(self, images):
        """Translates images of any height and width; see `translation.translate`."""
        return translate(self.for_inference("generator"), images)

    def check_batch(self, batch):
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise ValueError("a batch has to be a pair: (input images, target images)")
        self.check_input(self.generator, batch[0], "input images")
        check_images(batch[1], "target images")
        check_sides(self.generator, batch[0], "input images")
        if batch[0].shape[:3] != batch[1].shape[:3]:
            raise ValueError(
                f"input images of shape {batch[0].shape}, but target images of {batch[1].shape}"
            )
        self.check_output(self.generator, batch[0].shape[1:], batch[1].shape[1:])
        check_discriminator(self.discriminator, 2)
        self.check_rows(len(batch[0]))
