"""Pix2Pix: a picture translated into another one, learnt from pairs.

Isola et al. 2017, "Image-to-Image Translation with Conditional Adversarial Networks"
(arXiv:1611.07004), with the architecture and settings of the book.
"""

import keras
import tensorflow as tf

from recipes import losses
from recipes.training import distribution as replicas
from recipes.training.checks import check_images
from recipes.translation import TranslationGAN, build_patchgan, build_unet, translate


@keras.saving.register_keras_serializable(package="recipes")
class Pix2Pix(TranslationGAN):
    """A conditional GAN, trained by `fit` on a dataset of `(inputs, targets)`.

    Both are float32 pictures in [-1, 1], `(batch, image_size, image_size, 3)`. The generator is
    a U-Net from input to target; the discriminator looks at input and target (or output) together,
    so that it is not enough to be a good picture of anything.

    Args:
        image_size: side of the training pictures: 64, 128, 256 or 512. It sets the U-Net's depth.
        base_filters: filters of the outermost layers; 64 in the book.
        dropout: rate in the generator; the only noise that it has.
        l1_weight: weight of the mean absolute error, lambda in the paper.
        seed: seed of the dropout.
    """

    def __init__(
        self, image_size=256, base_filters=64, dropout=0.5, l1_weight=100.0, seed=0, **kwargs
    ):
        settings = {
            "image_size": image_size,
            "base_filters": base_filters,
            "dropout": dropout,
            "l1_weight": l1_weight,
            "seed": seed,
        }
        names = ("discriminator_loss", "generator_loss", "l1", "real_score", "fake_score")
        super().__init__(settings, names, **kwargs)
        self.generator = build_unet(image_size, base_filters, "batch", dropout, seed)
        self.discriminator = build_patchgan(2, base_filters, "batch")
        self.built = True  # its networks are, and it has no weights beside theirs

    def compile(self, learning_rate=2e-4, beta_1=0.5, fused_updates=True, **kwargs):
        """Prepares the two Adam optimizers.

        Args:
            learning_rate: a float or a `keras.optimizers.schedules.LearningRateSchedule`.
            beta_1: decay of Adam's first moment.
            fused_updates: let XLA compile the update of the weights, which is faster; on one
                device only.
            **kwargs: for `keras.Model.compile`.
        """
        self.compile_settings = {
            "learning_rate": learning_rate,
            "beta_1": beta_1,
            "fused_updates": fused_updates,
            **kwargs,
        }
        self.fused_updates = fused_updates and not replicas.several()  # XLA cannot add up theirs
        self.generator_optimizer = self.adam(self.generator, learning_rate, beta_1)
        self.discriminator_optimizer = self.adam(self.discriminator, learning_rate, beta_1)
        super().compile(optimizer=self.generator_optimizer, **kwargs)

    def call(self, inputs, training=False):
        inputs = inputs[0] if isinstance(inputs, tuple | list) else inputs
        return self.generator(inputs, training=training)

    def check_batch(self, batch):
        if not isinstance(batch, tuple | list) or len(batch) != 2:
            raise ValueError("a batch has to be a pair: (input pictures, target pictures)")
        shape = (self.image_size, self.image_size, 3)
        for images, name in zip(batch, ("input pictures", "target pictures"), strict=True):
            check_images(images, name, shape)
        if len(batch[0]) != len(batch[1]):
            raise ValueError(f"{len(batch[0])} input pictures, but {len(batch[1])} targets")
        self.check_share(len(batch[0]))

    def train_step(self, data):
        inputs, targets = data
        part = replicas.Part(tf.shape(inputs)[0])
        # Two tapes on one forward pass: each gradient stops at its own net.
        with tf.GradientTape() as generator_tape, tf.GradientTape() as discriminator_tape:
            outputs = self.generator(inputs, training=True)
            real_logits = self.discriminator([inputs, targets], training=True)
            fake_logits = self.discriminator([inputs, outputs], training=True)
            discriminator_loss = losses.discriminator_loss(real_logits, fake_logits)
            l1 = losses.l1(targets, outputs)
            generator_loss = losses.generator_loss(fake_logits)
            total = generator_loss + self.l1_weight * l1
        weights = self.generator.trainable_variables
        gradients = generator_tape.gradient(total, weights, output_gradients=part.weight)
        self.descend(self.generator_optimizer, gradients, self.generator)
        weights = self.discriminator.trainable_variables
        gradients = discriminator_tape.gradient(
            discriminator_loss, weights, output_gradients=part.weight
        )
        self.descend(self.discriminator_optimizer, gradients, self.discriminator)
        return self.track(
            part,
            discriminator_loss,
            generator_loss,
            l1,
            tf.sigmoid(real_logits),
            tf.sigmoid(fake_logits),
        )

    def test_step(self, data):
        inputs, targets = data
        return {"l1": losses.l1(targets, self.generator(inputs, training=False))}

    def translate(self, images):
        """Pictures of any size, translated; see `recipes.translation.translate`."""
        return translate(self.generator, images)
