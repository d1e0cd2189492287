"""Building blocks that several recipes share."""

import keras
import tensorflow as tf
from keras import layers, ops

from recipes.training import distribution


def conv(filters, size=4, strides=2, padding="same", transposed=False, bias=False, paper=True):
    """A convolution, transposed or not, with the initialization N(0, 0.02) of the GAN papers, or
    Keras' own if not `paper`."""
    kind = layers.Conv2DTranspose if transposed else layers.Conv2D
    # A new initializer for each layer: a shared one would give all of them the same values.
    initializer = keras.initializers.RandomNormal(stddev=0.02) if paper else "glorot_uniform"
    return kind(filters, size, strides, padding, use_bias=bias, kernel_initializer=initializer)


def upsample(x, filters, size=4, method="transposed", bias=False, paper=True):
    """Doubles height and width.

    Args:
        x: Keras tensor, `(batch, height, width, channels)`.
        filters: channels of the result.
        size: side of the kernel.
        method: "transposed", a transposed convolution of stride 2, which leaves a grid of dots
            where the kernels overlap unevenly; or a convolution after upsampling, by "resize"
            (nearest neighbour) or "bilinear", which are the cleaner the smoother (Odena et al.
            2016, "Deconvolution and Checkerboard Artifacts").
    """
    if method == "transposed":
        return conv(filters, size, 2, transposed=True, bias=bias, paper=paper)(x)
    if method in ("resize", "bilinear"):
        x = layers.UpSampling2D(2)(x) if method == "resize" else BilinearUpsampling2D()(x)
        return conv(filters, size - 1 + size % 2, 1, bias=bias, paper=paper)(x)
    raise ValueError(f"method {method!r} is unknown; known are: 'transposed', 'resize', 'bilinear'")


@keras.saving.register_keras_serializable(package="recipes")
class BilinearUpsampling2D(layers.Layer):
    """Doubles height and width. Keras' UpSampling2D fails on images of several sizes."""

    def call(self, x):
        return tf.cast(tf.image.resize(x, 2 * tf.shape(x)[1:3]), x.dtype)

    def compute_output_shape(self, shape):
        return (shape[0], *(None if n is None else 2 * n for n in shape[1:3]), shape[3])


def batch_norm():
    """Batch norm with the statistics of the global batch, where several replicas share it."""
    return layers.BatchNormalization(synchronized=distribution.has_replicas())


def normalize(x, norm):
    """Batch norm, instance norm (Ulyanov et al. 2016), or nothing.

    Args:
        x: Keras tensor, `(batch, height, width, channels)`.
        norm: "batch", "instance" or None. Both set a 1x1 map with one image in the batch to zero,
            whatever it shows, so use neither there.
    """
    if norm == "batch":
        return batch_norm()(x)
    if norm == "instance":  # as many groups as channels
        scale = keras.initializers.RandomNormal(1.0, 0.02)
        return layers.GroupNormalization(-1, epsilon=1e-5, gamma_initializer=scale)(x)
    if norm is None:
        return x
    raise ValueError(f"norm {norm!r} is unknown; known are: 'batch', 'instance', None")


@keras.saving.register_keras_serializable(package="recipes")
class ReflectionPadding2D(layers.Layer):
    """Mirrors `pixels` rows and columns at each border: no frame of zeros around a photo."""

    def __init__(self, pixels, **kwargs):
        super().__init__(**kwargs)
        self.pixels = pixels

    def call(self, x):
        return ops.pad(x, [[0, 0], [self.pixels] * 2, [self.pixels] * 2, [0, 0]], "reflect")

    def compute_output_shape(self, shape):
        grown = (None if n is None else n + 2 * self.pixels for n in shape[1:3])
        return (shape[0], *grown, shape[3])

    def get_config(self):
        return {**super().get_config(), "pixels": self.pixels}


@keras.saving.register_keras_serializable(package="recipes")
class RandomShift(layers.Layer):
    """Shifts each image by whole pixels at random, in training only; the border is repeated.

    At the entrance of a discriminator it is differentiable augmentation (Zhao et al. 2020): both
    real and generated images pass through it, so the generator does not learn to shift.

    Args:
        pixels: the largest shift, down or up, left or right.
    """

    def __init__(self, pixels, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.pixels, self.seed = pixels, seed
        self.random = keras.random.SeedGenerator(seed)

    def call(self, images, training=False):
        if not training or not self.pixels:
            return images
        count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
        shifts = distribution.own_rows(
            lambda total: keras.random.randint(
                (total, 2, 1), -self.pixels, self.pixels + 1, seed=self.random
            ),
            count,
        )
        rows = tf.clip_by_value(tf.range(height) + shifts[:, 0], 0, height - 1)
        columns = tf.clip_by_value(tf.range(width) + shifts[:, 1], 0, width - 1)
        # As products with matrices of zeros and ones, whose gradient is far cheaper than gather's.
        images = tf.einsum("bij,bjwc->biwc", tf.one_hot(rows, height, dtype=images.dtype), images)
        return tf.einsum("bij,bhjc->bhic", tf.one_hot(columns, width, dtype=images.dtype), images)

    def compute_output_shape(self, shape):
        return shape

    def get_config(self):
        return {**super().get_config(), "pixels": self.pixels, "seed": self.seed}
