"""What several recipes share: blocks of convolutions, weight averaging."""

import keras
from keras import layers, ops

from recipes.training import distribution as replicas


def convolution(filters, size=4, strides=2, padding="same", transposed=False, bias=False):
    """A convolution whose weights start from N(0, 0.02), as in DCGAN, Pix2Pix and CycleGAN."""
    kind = layers.Conv2DTranspose if transposed else layers.Conv2D
    # A new initializer for each layer: a shared one would give all of them the same values.
    start = keras.initializers.RandomNormal(stddev=0.02)
    return kind(filters, size, strides, padding, use_bias=bias, kernel_initializer=start)


def batch_norm():
    """Batch norm of the global batch, where it is shared out among replicas.

    Each would else have the statistics of its own rows, and moving ones that differ from those of
    the others for good.
    """
    return layers.BatchNormalization(synchronized=replicas.several())


def normalize(x, norm):
    """Batch norm, instance norm (Ulyanov et al. 2016), or nothing.

    Args:
        x: Keras tensor, `(batch, height, width, channels)`.
        norm: "batch", "instance" or None. Both set the mean of a 1x1 map with one picture in the
            batch to zero, whatever it shows, so no norm may stand at such a place.
    """
    if norm == "batch":
        return batch_norm()(x)
    if norm == "instance":  # as many groups as channels
        scale = keras.initializers.RandomNormal(1.0, 0.02)
        return layers.GroupNormalization(-1, epsilon=1e-5, gamma_initializer=scale)(x)
    if norm is None:
        return x
    raise ValueError(f"norm {norm!r} is unknown; known are: 'batch', 'instance', None")


def downsample(x, filters, norm, strides=2, padding="same"):
    """Convolution 4x4 - norm - LeakyReLU: half the height and width."""
    x = convolution(filters, 4, strides, padding)(x)
    return layers.LeakyReLU(0.2)(normalize(x, norm))


def upsample(x, filters, norm, dropout=0.0, seed=None):
    """Transposed convolution 4x4 - norm - dropout - ReLU: twice the height and width."""
    x = normalize(convolution(filters, transposed=True)(x), norm)
    if dropout:
        x = layers.Dropout(dropout, seed=seed)(x)
    return layers.ReLU()(x)


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


def copy_of(model, name):
    """A second model of the same architecture and weights, not trainable."""
    twin = keras.models.clone_model(model)
    twin.set_weights(model.get_weights())
    twin.trainable = False
    twin.name = name
    return twin


def update_average(average, model, decay, step):
    """One step of an exponential moving average of the weights (Polyak & Juditsky 1992).

    average <- d * average + (1 - d) * model, with d = min(decay, (1 + step) / (10 + step)): the
    first, bad weights are forgotten fast. State that is not trained (a batch norm's moving
    statistics) is averaged too; integer state (the seeds of dropout) is left alone.

    Args:
        average: the model from `copy_of`, changed in place.
        model: the model in training.
        decay: float in [0, 1).
        step: integer scalar tensor, the number of updates so far.
    """
    step = ops.cast(step, "float32")
    d = ops.minimum(decay, (1.0 + step) / (10.0 + step))
    for old, new in zip(average.weights, model.weights, strict=True):
        if old.dtype.startswith("float"):
            old.assign(d * old + (1.0 - d) * ops.cast(new, old.dtype))
