"""What several recipes share: weight averaging."""

import keras
from keras import ops


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
