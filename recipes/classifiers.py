"""What a classifier sees in images, its logits, and their gradients by the images.

The model is any Keras classifier with one input and one output `(batch, classes)`, logits or
softmax.
"""

from functools import partial
from itertools import zip_longest

import keras
import numpy as np
import tensorflow as tf

from recipes.training.checks import check_bounds, check_count, check_images

BOUNDS = (-1.0, 1.0)


def predict(model, images, batch_size=128, bounds=BOUNDS):
    """What the model sees in images, and how sure it is.

    Args:
        images: float array in `bounds`, `(..., batch, height, width, channels)`.
        batch_size: how many are classified at once.
        bounds: least and greatest value of a pixel.

    Returns:
        `(labels, confidences)`, int64 and float32 in [0, 1], both of shape `(..., batch)`.

    Raises:
        ValueError: images or a model that do not fit; the message says what does.
    """
    check_count("batch_size", batch_size)
    images = np.asarray(images)
    if images.ndim < 4:
        raise ValueError(
            f"images: shape {images.shape}, but (..., batch, height, width, channels) is needed"
        )
    flat = images.reshape(-1, *images.shape[-3:])
    check_images(flat, "images", None, *check_bounds(bounds))
    flat = flat.astype(np.float32)
    logits, cuts = compiled(model, flat), range(batch_size, len(flat), batch_size)
    values = [logits(tf.constant(batch)) for batch in np.split(flat, cuts)]
    p = tf.nn.softmax(tf.concat(values, 0)).numpy().reshape(*images.shape[:-3], logits.classes)
    return p.argmax(-1), p.max(-1)


def compiled(model, images=None):
    """`Compiled(model)`, kept on the model, as Keras keeps what its `predict` compiles.

    It is made anew once the model has been compiled anew, or has got other layers, activations or
    variables. `images`, if given, have to fit the model.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"model: a keras.Model is needed, not {type(model).__name__}")
    logits = getattr(model, "compiled_logits", None)
    if logits is None or any(a is not b for a, b in zip_longest(logits.parts, _parts(model))):
        with tf.init_scope():  # it may be asked for while a training step is traced
            logits = model.compiled_logits = Compiled(model)
    if images is not None and not logits.images.shape.is_compatible_with(images.shape):
        raise ValueError(
            f"images: shape {images.shape}, but the model takes {logits.images.shape}; "
            "recipes.datasets.image_files.load reads files in colour, at any size"
        )
    return logits


def _parts(model):
    """What the graph of a model is made of."""
    layers = model._flatten_layers()
    activations = [getattr(layer, "activation", None) for layer in layers]
    return [getattr(model, "optimizer", None), *layers, *activations, *model.weights]


class Compiled:
    """The function images -> logits of a model, and gradients, compiled for batches of any size.

    Of a softmax it returns what went into it.
    """

    def __init__(self, model):
        inputs = getattr(model, "inputs", None)
        if inputs is None:  # a subclass of keras.Model
            raise ValueError(
                "model: the shape of its images is unknown; name it: "
                "keras.Sequential([keras.Input(shape), model])"
            )
        if len(inputs) != 1:
            raise ValueError(f"model: it has {len(inputs)} inputs, but one, images, is needed")
        self.model, self.parts, self.gradients = model, _parts(model), {}
        self.images = tf.TensorSpec((None, *inputs[0].shape[1:]))
        self.compiled = self._compile(self._logits, self.images)
        values = self(tf.zeros([1, *(n or 64 for n in self.images.shape[1:])])).numpy()
        if values.min() >= 0 and abs(values.sum() - 1) < 1e-3:
            raise ValueError(
                "model: its output looks like probabilities, but no softmax was found at its end; "
                "end it in a softmax layer, or leave the logits as they are"
            )
        self.classes = values.shape[1]

    def __call__(self, images):
        return self.compiled(images)

    def differentiate(self, images, labels, loss, targets=None):
        """The gradient of a loss by the images, its values, who is fooled: `(batch, 1, 1, 1)`."""
        if loss not in self.gradients:
            classes = tf.TensorSpec((None,), tf.int64)
            function = partial(self._differentiate, loss)
            self.gradients[loss] = self._compile(function, self.images, classes, classes)
        return self.gradients[loss](images, labels, labels if targets is None else targets)

    def _differentiate(self, loss, images, labels, targets):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            logits = self._logits(images)
            value = loss(logits, labels, targets)
        gradient = tape.gradient(value, images, unconnected_gradients="zero")  # as of a rounding
        fooled = tf.argmax(logits, 1) != labels
        return gradient, value[:, None, None, None], fooled[:, None, None, None]

    def _logits(self, images):
        output, *others = tf.nest.flatten(self.model(images, training=False))
        if others or output.shape.rank != 2 or (output.shape[1] or 2) < 2:
            shapes = ", ".join(str(each.shape) for each in (output, *others))
            raise ValueError(
                f"model: its output is {shapes}, but one of (batch, classes) with two classes or "
                "more is needed; keras.Model(model.inputs, model.outputs[0]) has the first one only"
            )
        last = output.op
        while last.type in ("Identity", "Cast"):
            last = last.inputs[0].op
        if last.type == "Sigmoid":
            raise ValueError("model: it ends in a sigmoid, but softmax or logits are needed")
        return tf.cast(last.inputs[0] if last.type == "Softmax" else output, tf.float32)

    @staticmethod
    def _compile(function, *signature):
        # A concrete function stays a graph under `tf.config.run_functions_eagerly`. Without
        # autograph, an error reaches the reader as it was raised.
        return tf.function(function, autograph=False).get_concrete_function(*signature)
