"""Networks that were trained for longer than a notebook takes, as `tools/train_showcase.py` does.

A file holds a network and its weights, in float16: half the room, and no eye tells the difference.
"""

import keras
import numpy as np
import tensorflow as tf

import recipes.layers  # noqa: F401  so that Keras knows them
from recipes.backbones import published
from recipes.datasets.files import load_json
from recipes.training.checkpoints import read_checkpoint, write_checkpoint


def write_float16(network, path):
    """Writes a `keras.Model`, its weights in float16, to one file, whole or not at all.

    Raises:
        ValueError: a weight is NaN or infinite, or too large for float16.
        OSError: the file cannot be written.
    """
    values = [tf.cast(w, tf.float16) if w.dtype == "float32" else w for w in network.weights]
    for weight, value in zip(network.weights, values, strict=True):
        if not np.isfinite(value.numpy()).all():
            raise ValueError(
                f"{weight.path}: a value is no finite float16, whose largest is 65504; train the "
                "network anew, or save it in float32 with network.save"
            )
    state = {"network": keras.saving.serialize_keras_object(network)}
    write_checkpoint(path, state, values, "")


def load_showcase(name):
    """A network of `data/weights/`.

    Args:
        name: "dcgan" or "ssgan" (noise `(batch, 100)` -> digits of 28x28 pixels),
            "ssgan_classifier" (digits -> class logits), "pix2pix" (label maps -> drawn streets),
            "summer2winter" or "winter2summer" (drawn landscapes).

    Returns:
        A `keras.Model` in float32, not trainable. `recipes.translation.translate` runs those that
        translate, on images of any size.

    Raises:
        FileNotFoundError: there is no network of this name.
        ValueError: its file is damaged.
    """
    path = _find(name)
    try:
        state, values = read_checkpoint(path)
        network = keras.saving.deserialize_keras_object(state["network"])
        network.set_weights(values)
    except Exception as error:  # of damaged files zipfile, NumPy and Keras say almost anything
        raise ValueError(f"{path} is damaged ({error}): get it anew, from the package") from error
    network.trainable = False
    return network


def load_curve(name):
    """What was measured while a network of `load_showcase` was trained.

    Returns:
        `(curve, real)`: a dict, name -> list of floats, of which "minutes" are those of training
        so far and the others the measures then; and a dict, name -> float, the measures of
        held-out real images, empty where they mean nothing ("labels_alone", of the SSGAN, is the
        accuracy of the same classifier without the GAN).

    Raises:
        FileNotFoundError: there is no network of this name.
        ValueError: the file of its measures is damaged.
    """
    found = load_json(_find(name).with_suffix(".json"), curve=list, real=dict)
    rows = found["curve"]
    return {measure: [row[measure] for row in rows] for measure in rows[0]}, found["real"]


def _find(name):
    path = published(f"showcase_{name}.npz")
    if not path.is_file():
        found = sorted(path.parent.glob("showcase_*.npz"))
        known = ", ".join(file.stem.removeprefix("showcase_") for file in found) or "none"
        raise FileNotFoundError(
            f"name {name!r}: there is no {path}; there are: {known}. python -m "
            "tools.train_showcase makes them, in a checkout"
        )
    return path
