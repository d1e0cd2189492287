"""SSGAN: a DCGAN whose discriminator is also a classifier, trained with few labels.

Salimans et al. 2016, "Improved Techniques for Training GANs" (arXiv:1606.03498), with the
architecture and settings of the book. One network looks at an image and gives K class logits.
Their softmax is the class head; `sigmoid(logsumexp(logits))` is the real/fake head. So every
unlabelled image, real or generated, trains the features that the class head stands on.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from recipes import losses
from recipes.layers import RandomShift, batch_norm, upsample
from recipes.training.base import LatentGAN
from recipes.training.checks import check_labels, without_column


def build_generator(latent_dim=100, width=128, norm=False, upsampling="transposed"):
    """Noise -> 28x28x1 image in [-1, 1].

    Args:
        latent_dim: length of a latent vector.
        width: number of filters; 128 in the book.
        norm: batch norm before each activation, as in DCGAN; the book uses none and learns more
            slowly.
        upsampling: "transposed" convolutions, as in the book, or "resize"; see `layers.upsample`.
    """

    def activation(x):
        return layers.LeakyReLU(0.2)(batch_norm()(x) if norm else x)

    options = {"method": upsampling, "bias": True, "paper": False}
    noise = keras.Input((latent_dim,))
    x = activation(layers.Dense(7 * 7 * width)(noise))
    x = layers.Reshape((7, 7, width))(x)
    x = activation(upsample(x, width, **options))  # (batch, 14, 14, width)
    x = activation(upsample(x, width, **options))  # (batch, 28, 28, width)
    x = layers.Conv2D(1, 7, padding="same")(x)
    x = layers.Activation("tanh", dtype="float32")(x)  # (batch, 28, 28, 1)
    return keras.Model(noise, x, name="generator")


def build_classifier(
    num_classes=10, width=128, image_shape=(28, 28, 1), dropout=0.4, augmentation=0
):
    """Image in [-1, 1] -> class logits, float32 `(batch, num_classes)`.

    Args:
        num_classes: number of classes, not counting a class for generated images.
        width: number of filters of each convolution; 128 in the book.
        image_shape: (height, width, channels) of an image.
        dropout: rate before the last layer.
        augmentation: in training, images are shifted at random by up to this many pixels; none in
            the book.
    """
    x = images = keras.Input(image_shape)
    if augmentation:
        x = RandomShift(augmentation)(x)
    for _ in range(3):  # 28 -> 14 -> 7 -> 4
        x = layers.Conv2D(width, 3, 2, padding="same")(x)
        x = layers.LeakyReLU(0.2)(x)
    x = layers.Flatten()(x)  # (batch, 4 * 4 * width)
    x = layers.Dropout(dropout)(x)
    logits = layers.Dense(num_classes, dtype="float32")(x)
    return keras.Model(images, logits, name="classifier")


@keras.saving.register_keras_serializable(package="recipes")
class SSGAN(LatentGAN):
    """A semi-supervised GAN that behaves as a Keras classifier.

    `fit` takes a dataset of `({"labelled": x, "unlabelled": u}, y)`, see
    `recipes.training.batches.semi_supervised`; `evaluate` and `predict` take images alone, and
    `predict` returns class probabilities, float32 `(batch, num_classes)`. Images are float32 in
    [-1, 1]; labels are ints, `(batch,)`.

    Args:
        generator: model from noise `(batch, latent_dim)` to images; see `build_generator`.
        classifier: model from images to class logits; see `build_classifier`. The discriminator
            is a second head on the same logits.
        share_fakes: the generator's update takes the images that the discriminator has just seen.
            The book generates twice as many new ones for it, which makes up most of a step's cost.
        supervised_only: makes only the classifier's update. This is the baseline: the
            same network, labels and number of labelled updates.
        ema_decay: decay of a moving average of the weights, which `evaluate`, `predict` and
            `generate` then use; 0, as in the book, uses the weights themselves.
        seed: seed of the noise.
    """

    trained = ("classifier", "discriminator", "generator")
    averaged = ("classifier", "generator")

    def __init__(
        self,
        generator,
        classifier,
        share_fakes=False,
        supervised_only=False,
        ema_decay=0.0,
        seed=0,
        **kwargs,
    ):
        networks = {"generator": generator, "classifier": classifier}
        settings = dict(
            share_fakes=share_fakes, supervised_only=supervised_only, ema_decay=ema_decay, seed=seed
        )
        super().__init__(networks, settings, **kwargs)
        # The real/fake head: a second model with the classifier's weights.
        images = keras.Input(classifier.input_shape[1:])
        real_logit = losses.real_logit(classifier(images))
        self.discriminator = keras.Model(images, real_logit, name="discriminator")
        self.accuracy = keras.metrics.SparseCategoricalAccuracy("accuracy")

    @property
    def reported(self):
        gan_losses = ("real_loss", "fake_loss", "generator_loss")
        return ("class_loss", *(() if self.supervised_only else gan_losses))

    @property
    def metrics(self):
        return [*self.trackers, self.accuracy]

    def train_step(self, data):
        inputs, labels = data
        labelled, real_images = inputs["labelled"], inputs["unlabelled"]
        # 1. The classifier, on labelled images.
        with tf.GradientTape() as tape:
            class_logits = self.classifier(labelled, training=True)
            class_loss = losses.class_loss(labels, class_logits)
        self.minimize(class_loss, self.classifier, tape)
        self.accuracy.update_state(labels, class_logits)
        if self.supervised_only:
            return self.report(class_loss=class_loss)
        # 2. The discriminator, on real images.
        with tf.GradientTape() as tape:
            real_loss = losses.bce(1.0, self.discriminator(real_images, training=True))
        self.minimize(real_loss, self.discriminator, tape)
        # 3. The discriminator, on generated images.
        count = tf.shape(real_images)[0]
        with tf.GradientTape(persistent=True) as tape:
            fakes = self.generator(self.sample_noise(count), training=True)
            fake_loss = losses.bce(0.0, self.discriminator(fakes, training=True))
        self.minimize(fake_loss, self.discriminator, tape)
        # 4. The generator, against the discriminator that has just learned.
        with tape:
            if not self.share_fakes:
                fakes = self.generator(self.sample_noise(2 * count), training=True)
            generator_loss = losses.generator_loss(self.discriminator(fakes, training=True))
        self.minimize(generator_loss, self.generator, tape)
        return self.report(
            class_loss=class_loss,
            real_loss=real_loss,
            fake_loss=fake_loss,
            generator_loss=generator_loss,
        )

    def call(self, inputs, training=False):
        images = inputs["labelled"] if isinstance(inputs, dict) else inputs
        network = self.classifier if training else self.for_inference("classifier")
        return keras.ops.softmax(network(images, training=training))

    def test_step(self, data):
        images, labels = data
        self.accuracy.update_state(labels, self(images))
        return {"accuracy": self.accuracy.result()}

    def evaluate(self, x=None, y=None, batch_size=None, **kwargs):
        """Accuracy on images and class numbers; two arrays, or a dataset of `(images, labels)`."""
        if y is not None:  # all of them, and not those of the first batch alone
            check_labels(without_column(y), "labels", self.classifier.output_shape[-1])
        return super().evaluate(x, y, batch_size, **kwargs)

    def check_held_out(self, batch):
        try:
            images, labels = batch
        except (TypeError, ValueError):
            raise ValueError("evaluate: images and their class numbers are needed") from None
        self.check_input(self.classifier, images, "images")
        labels = without_column(labels)
        check_labels(labels, "labels", self.classifier.output_shape[-1], len(images))

    def check_batch(self, batch):
        try:
            inputs, labels = batch
            labelled, unlabelled = inputs["labelled"], inputs["unlabelled"]
        except (TypeError, ValueError, LookupError):
            raise ValueError(
                'a batch has to be ({"labelled": images, "unlabelled": images}, labels); '
                "recipes.training.batches.semi_supervised makes such a dataset"
            ) from None
        self.check_input(self.classifier, labelled, "labelled images")
        self.check_input(self.classifier, unlabelled, "unlabelled images")
        self.check_output(self.generator, (self.latent_dim,), np.shape(unlabelled)[1:])
        check_labels(labels, "labels", self.classifier.output_shape[-1], count=len(labelled))
        self.check_rows(len(labelled), len(unlabelled))
