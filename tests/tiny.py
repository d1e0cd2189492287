"""GANs of networks that no recipe has, so small that a step takes milliseconds."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from recipes.cyclegan import CycleGAN
from recipes.dcgan import DCGAN
from recipes.layers import batch_norm
from recipes.pix2pix import Pix2Pix
from recipes.ssgan import SSGAN
from recipes.training.batches import Batches, semi_supervised

SIZE, LATENT, CLASSES = 8, 4, 3


def images(count=12, channels=1, seed=0):
    shape = (count, SIZE, SIZE, channels)
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype("float32")


LABELS = np.arange(12) % CLASSES


@keras.saving.register_keras_serializable(package="tests")
class Mark(layers.Layer):
    """Tells a forward pass in training from one at rest, as dropout does, but not at random."""

    def call(self, x, training=False):
        return 1.5 * x if training else x


def generator():
    x = noise = keras.Input((LATENT,))
    x = layers.Reshape((SIZE // 2, SIZE // 2, 2))(layers.Dense(SIZE * SIZE // 2)(Mark()(x)))
    x = layers.ReLU()(batch_norm()(x))
    x = layers.Conv2DTranspose(1, 3, 2, "same", activation="tanh", dtype="float32")(x)
    return keras.Model(noise, x)


def critic(outputs=1, dropout=0.0):
    x = image = keras.Input((SIZE, SIZE, 1))
    x = layers.LeakyReLU(0.2)(layers.Conv2D(3, 3, 2)(Mark()(x)))
    x = layers.Flatten()(layers.Dropout(dropout)(x))
    return keras.Model(image, layers.Dense(outputs, dtype="float32")(x))


def translator(dropout=0.0):
    x = image = keras.Input((None, None, 3))
    # No bias before a norm: its gradient is but rounding, which Adam makes as large as any.
    x = layers.ReLU()(batch_norm()(layers.Conv2D(3, 3, padding="same", use_bias=False)(Mark()(x))))
    x = layers.Conv2D(3, 3, padding="same", dtype="float32")(layers.Dropout(dropout)(x))
    return keras.Model(image, layers.Activation("tanh")(x))


def patches(count):
    inputs = [keras.Input((None, None, 3)) for _ in range(count)]
    x = layers.Concatenate()(inputs) if count > 1 else inputs[0]
    x = layers.LeakyReLU(0.2)(layers.Conv2D(3, 3, 2)(Mark()(x)))
    return keras.Model(inputs if count > 1 else inputs[0], layers.Conv2D(1, 2, dtype="float32")(x))


def dcgan(dropout=0.0, **settings):
    return DCGAN(generator(), critic(dropout=dropout), **settings)


def ssgan(dropout=0.0, **settings):
    return SSGAN(generator(), critic(CLASSES, dropout), **settings)


def pix2pix(dropout=0.0, **settings):
    return Pix2Pix(translator(dropout), patches(2), **settings)


def cyclegan(dropout=0.0, **settings):
    networks = translator(dropout), translator(dropout), patches(1), patches(1)
    return CycleGAN(*networks, image_size=SIZE, **settings)


def unlabelled():
    batches = Batches(images(), batch_size=4, seed=0)
    return [batches], batches.dataset


def few_labels():
    batches = [
        Batches(images(), LABELS, batch_size=4, seed=0),
        Batches(images(), batch_size=4, seed=1),
    ]
    return batches, semi_supervised(*batches)


def pairs():
    batches = Batches(images(channels=3), images(channels=3, seed=1), batch_size=4, seed=0)
    return [batches], batches.dataset


def domains():
    batches = [Batches(images(channels=3, seed=seed), batch_size=4, seed=seed) for seed in (0, 1)]
    return batches, tf.data.Dataset.zip(*(each.dataset for each in batches))


GANS = {  # what makes the model, and its batches with their dataset
    "dcgan": (dcgan, unlabelled),
    "ssgan": (ssgan, few_labels),
    "pix2pix": (pix2pix, pairs),
    "cyclegan": (cyclegan, domains),
}


# For the comparison of a training step with a reference


def copies(*networks):
    made = [keras.models.clone_model(network) for network in networks]
    for copy, network in zip(made, networks, strict=True):
        copy.set_weights(network.get_weights())
    return made


def descend(tape, loss, network):
    """Gradient descent without momentum, which a wrong gradient cannot hide from."""
    variables = network.trainable_variables
    for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
        variable.assign_sub(0.5 * gradient)


def step(gan, data):
    """A `train_step` that updates the weights as `descend` does."""

    def apply(name, gradients):
        for variable, gradient in zip(
            getattr(gan, name).trainable_variables, gradients, strict=True
        ):
            variable.assign_sub(0.5 * gradient)

    gan.apply_gradients = apply
    return {name: float(value) for name, value in gan.train_step(data).items()}


def assert_equal_weights(networks, expected):
    for network, reference in zip(networks, expected, strict=True):
        for a, b in zip(network.weights, reference.weights, strict=True):
            np.testing.assert_allclose(a.numpy(), b.numpy(), atol=2e-6, err_msg=a.path)


def log_mean(probabilities):
    return tf.reduce_mean(tf.math.log(probabilities))
