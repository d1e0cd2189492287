"""The smallest training that `Resume` can be tested on."""

import keras
import numpy as np

from recipes.training.base import RecipeModel
from recipes.training.batches import Batches
from recipes.training.distribution import training_state
from recipes.training.resume import Resume

X, Y = np.ones((8, 1), "float32"), np.ones((8, 1), "float32")


def model():
    net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    net.compile("adam", "mse", run_eagerly=True)
    net.optimizer.build(net.trainable_variables)
    return net


class Line(RecipeModel):
    """The smallest recipe: a line through points, and noise of its own as dropout has it."""

    def __init__(self, width=4, seed=0, **kwargs):
        super().__init__({"width": width, "seed": seed}, **kwargs)
        self.net = keras.Sequential(
            [
                keras.Input((1,)),
                keras.layers.Dense(width, kernel_initializer=keras.initializers.Ones()),
                keras.layers.Dropout(0.5, seed=seed),
                keras.layers.Dense(1, kernel_initializer=keras.initializers.Ones()),
            ]
        )
        self.built = True

    def call(self, x, training=False):
        return self.net(x, training=training)

    def check_batch(self, batch):
        pass


POINTS = np.linspace(-1, 1, 12, dtype="float32")[:, None]


def line(learning_rate=0.01, kind=Line, **kwargs):
    made = kind(**kwargs)
    # Eager, since a trace takes longer than these few steps.
    made.compile(keras.optimizers.Adam(learning_rate), "mse", run_eagerly=True)
    made.optimizer.build(made.trainable_variables)
    return made


def points(targets=None, batch_size=4, seed=0):
    return Batches(
        POINTS, 3 * POINTS if targets is None else targets, batch_size=batch_size, seed=seed
    )


def train(folder, epochs, callbacks=(), net=None, batches=None, **kwargs):
    """As in a notebook; returns the trained model and its history."""
    net, batches = net or line(), batches or points()
    resume = Resume(folder, batches)
    history = net.fit(
        batches.dataset,
        epochs=epochs,
        initial_epoch=resume.restore(net),
        callbacks=[resume, *callbacks],
        verbose=0,
        **kwargs,
    )
    return net, history.history


def assert_same(first, second):
    for a, b in zip(training_state(first), training_state(second), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def interrupt_at(number):
    """For a `LambdaCallback`: the stop button, when epoch `number` (from 0) begins or ends."""

    def interrupt(epoch, logs):
        if epoch == number:
            raise KeyboardInterrupt

    return interrupt
