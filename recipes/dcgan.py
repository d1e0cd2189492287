"""DCGAN: a generator and a discriminator of convolutions alone.

Radford et al. 2015, "Unsupervised Representation Learning with Deep Convolutional Generative
Adversarial Networks" (arXiv:1511.06434), with the architecture and settings of the book.
"""

import keras
import tensorflow as tf
from keras import layers

from recipes import losses
from recipes.layers import batch_norm, copy_of, update_average
from recipes.training import distribution as replicas
from recipes.training.checks import check_images
from recipes.training.gan import LatentGAN


def build_generator(image_shape=(28, 28, 1), latent_dim=100, width=64, paper=False):
    """Noise -> picture in [-1, 1].

    Args:
        image_shape: (height, width, channels); height and width divisible by 4.
        latent_dim: length of a latent vector.
        width: filters of the last hidden layer; the ones before have 2 and 4 times as many.
        paper: the paper's order and start, norm - ReLU and weights from N(0, 0.02), where the
            book has LeakyReLU - norm and Keras' default start.
    """
    height, columns, channels = image_shape
    if height % 4 or columns % 4:
        raise ValueError(f"image_shape {image_shape}: height and width have to be divisible by 4")
    x = latent = keras.Input((latent_dim,))
    x = layers.Dense(height // 4 * (columns // 4) * 4 * width, **start(paper))(x)
    x = norm_and_activation(x, paper)
    x = layers.Reshape((height // 4, columns // 4, 4 * width))(x)  # (batch, 7, 7, 256)
    x = layers.Conv2DTranspose(2 * width, 5, 1, "same", **start(paper))(x)
    x = norm_and_activation(x, paper)  # (batch, 7, 7, 128)
    x = layers.Conv2DTranspose(width, 5, 2, "same", **start(paper))(x)
    x = norm_and_activation(x, paper)  # (batch, 14, 14, 64)
    x = layers.Conv2DTranspose(channels, 5, 2, "same", **start(paper))(x)
    x = layers.Activation("tanh", dtype="float32")(x)  # (batch, 28, 28, 1)
    return keras.Model(latent, x, name="generator")


def build_discriminator(image_shape=(28, 28, 1), width=64, dropout=0.3, paper=False):
    """Picture in [-1, 1] -> logit of its being real, `(batch, 1)`.

    Args:
        image_shape: (height, width, channels) of a picture.
        width: filters of the first layer; the second has twice as many.
        dropout: rate after each convolution.
        paper: weights start from N(0, 0.02), as in the paper.
    """
    x = images = keras.Input(image_shape)
    for filters in (width, 2 * width):  # 28 -> 14 -> 7
        x = layers.Conv2D(filters, 5, 2, "same", **start(paper, bias=True))(x)
        x = layers.LeakyReLU(0.2)(x)
        x = layers.Dropout(dropout)(x)
    x = layers.Flatten()(x)  # (batch, 7 * 7 * 2 * width)
    x = layers.Dense(1, dtype="float32")(x)
    return keras.Model(images, x, name="discriminator")


def start(paper, bias=False):
    """How a layer's weights start. A new initializer for each: a shared one repeats itself."""
    initializer = keras.initializers.RandomNormal(stddev=0.02) if paper else "glorot_uniform"
    return {"use_bias": bias, "kernel_initializer": initializer}


def norm_and_activation(x, paper):
    """The paper's norm - ReLU, or the book's LeakyReLU - norm."""
    if paper:
        return layers.ReLU()(batch_norm()(x))
    return batch_norm()(layers.LeakyReLU(0.2)(x))


@keras.saving.register_keras_serializable(package="recipes")
class DCGAN(LatentGAN):
    """A DCGAN, trained by `fit` on a dataset of float32 pictures in [-1, 1].

    Args:
        image_shape: (height, width, channels) of a picture.
        latent_dim: length of a latent vector.
        width: filters of the outermost layers; 64 in the book.
        dropout: rate in the discriminator.
        paper: the paper's order of norm and activation, and its N(0, 0.02) start. With it goes
            `compile(2e-4, beta_1=0.5)`.
        label_smoothing: real pictures are held against 1 - label_smoothing (one-sided; Salimans
            et al. 2016); 0 in the book.
        average: decay of a moving average of the generator's weights, which then draws the
            pictures; 0 for the weights as they are, as in the book.
        seed: seed of the latent vectors.
    """

    def __init__(
        self,
        image_shape=(28, 28, 1),
        latent_dim=100,
        width=64,
        dropout=0.3,
        paper=False,
        label_smoothing=0.0,
        average=0.0,
        seed=0,
        **kwargs,
    ):
        settings = {
            "image_shape": tuple(image_shape),
            "latent_dim": latent_dim,
            "width": width,
            "dropout": dropout,
            "paper": paper,
            "label_smoothing": label_smoothing,
            "average": average,
            "seed": seed,
        }
        super().__init__(settings, **kwargs)
        self.generator = build_generator(self.image_shape, latent_dim, width, paper)
        self.discriminator = build_discriminator(self.image_shape, width, dropout, paper)
        if average:
            self.averaged_generator = copy_of(self.generator, "averaged_generator")
        self.noise = keras.random.SeedGenerator(seed)
        self.trackers = [
            keras.metrics.Mean(name)
            # The last two are the mean probabilities of being real: both are 1/2 at a draw.
            for name in ("discriminator_loss", "generator_loss", "real_score", "fake_score")
        ]
        self.built = True  # its networks are, and it has no weights beside theirs

    def compile(self, learning_rate=1e-4, beta_1=0.9, **kwargs):
        """Prepares the two Adam optimizers.

        Args:
            learning_rate: a float or a `keras.optimizers.schedules.LearningRateSchedule`.
            beta_1: decay of Adam's first moment; 0.9 (Keras' default) in the book, 0.5 in the
                paper, which learns faster and steadier.
            **kwargs: `jit_compile` and the like, for `keras.Model.compile`.
        """
        self.compile_settings = {"learning_rate": learning_rate, "beta_1": beta_1, **kwargs}
        self.generator_optimizer = self.adam(self.generator, learning_rate, beta_1)
        self.discriminator_optimizer = self.adam(self.discriminator, learning_rate, beta_1)
        super().compile(optimizer=self.generator_optimizer, **kwargs)

    def call(self, images, training=False):
        return self.discriminator(images, training=training)

    @property
    def metrics(self):
        return self.trackers

    def check_batch(self, batch):
        check_images(batch, "training pictures", self.image_shape)
        self.check_share(len(batch))

    def train_step(self, images):
        # As many fakes as there are pictures: the last batch may be a small one.
        part = replicas.Part(tf.shape(images)[0])
        latent = part.normal(self.latent_dim, self.noise)
        with tf.GradientTape() as generator_tape, tf.GradientTape() as discriminator_tape:
            fakes = self.generator(latent, training=True)
            real_logits = self.discriminator(images, training=True)
            fake_logits = self.discriminator(fakes, training=True)
            generator_loss = losses.generator_loss(fake_logits)
            discriminator_loss = losses.discriminator_loss(
                real_logits, fake_logits, real_target=1.0 - self.label_smoothing
            )
        # Both gradients are taken before either update, as in the book.
        generator_weights = self.generator.trainable_variables
        discriminator_weights = self.discriminator.trainable_variables
        generator_gradients = generator_tape.gradient(
            generator_loss, generator_weights, output_gradients=part.weight
        )
        gradients = discriminator_tape.gradient(
            discriminator_loss, discriminator_weights, output_gradients=part.weight
        )
        self.generator_optimizer.apply(generator_gradients, generator_weights)
        self.discriminator_optimizer.apply(gradients, discriminator_weights)
        if self.average:
            steps = self.generator_optimizer.iterations
            update_average(self.averaged_generator, self.generator, self.average, steps)
        return self.track(
            part,
            discriminator_loss,
            generator_loss,
            keras.ops.sigmoid(real_logits),
            keras.ops.sigmoid(fake_logits),
        )
