"""Checks of what a user hands in: a clear error before the training, not a crash within it."""

import collections.abc
import itertools
import warnings

import keras
import numpy as np
import tensorflow as tf

# Of numbers, which the datasets check too, without TensorFlow.
from recipes.arguments import check_count as check_count
from recipes.arguments import check_number as check_number
from recipes.arguments import check_seed as check_seed


def check_images(images, name, shape=None, low=-1.0, high=1.0):
    """Raises `ValueError` unless `images` is a batch of finite float images in [low, high].

    It warns if no value is below 0 where [-1, 1] is asked for: such images are most often scaled
    to [0, 1].

    Args:
        images: array or tensor, `(batch, height, width, channels)`.
        name: what to call it in the error.
        shape: (height, width, channels) that is asked for; None for any.
        low, high: bounds of the values.
    """
    if isinstance(images, tuple | list | dict):
        raise ValueError(
            f"{name}: a {type(images).__name__} of {len(images)} parts, but images alone are "
            "needed, as one array; dataset.map(lambda images, labels: images) leaves labels out"
        )
    images = np.asarray(images)
    if images.ndim != 4 or (shape is not None and images.shape[1:] != tuple(shape)):
        wanted = "(batch, height, width, channels)" if shape is None else f"(batch, *{shape})"
        raise ValueError(f"{name}: shape {images.shape}, but {wanted} is needed")
    if not len(images):
        raise ValueError(f"{name}: no image in it")
    needed = f"[{low:g}, {high:g}]"
    if (low, high) == (-1, 1):
        advice = "recipes.datasets.scale(images) makes them from uint8"
    elif images.dtype.kind in "iu":
        advice = 'images.astype("float32") makes them from integers'
    else:
        advice = f"bring the images to {needed}, or pass the bounds that they have"
    if not np.issubdtype(images.dtype, np.floating) and images.dtype.name != "bfloat16":
        raise ValueError(
            f"{name}: dtype {images.dtype}, but floats in {needed} are needed; {advice}"
        )
    least, most = float(images.min()), float(images.max())
    if not np.isfinite([least, most]).all():
        raise ValueError(f"{name}: holds NaN or infinite values")
    if least < low - 1e-3 or most > high + 1e-3:
        raise ValueError(
            f"{name}: values from {least:g} to {most:g}, but {needed} is needed; {advice}"
        )
    if (low, high) == (-1, 1) and least >= 0:
        warnings.warn(
            f"{name}: no value is below 0, so the images seem to be in [0, 1], but {needed} is "
            f"needed; {advice}",
            stacklevel=2,
        )


def check_labels(labels, name, num_classes, count=None):
    """Raises `ValueError` unless `labels` is a vector of ints in [0, num_classes).

    Args:
        labels: array or tensor, `(batch,)`.
        name: what to call it in the error.
        num_classes: number of classes; None for any.
        count: how many labels there have to be; None for any number.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"{name}: shape {labels.shape} and dtype {labels.dtype}, but one integer an image "
            "is needed (class numbers, not one-hot vectors)"
        )
    if count is not None and len(labels) != count:
        raise ValueError(f"{name}: {len(labels)} labels for {count} images")
    if num_classes is None:
        num_classes = labels.max(initial=0) + 1
    if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(
            f"{name}: labels from {labels.min()} to {labels.max()}, but the model has "
            f"{num_classes} classes: 0 to {num_classes - 1}"
        )


def without_column(labels):
    """Labels as an array; a column `(count, 1)` of them as a vector."""
    labels = np.asarray(labels)
    return labels[:, 0] if labels.shape[1:] == (1,) else labels


def class_numbers(labels, classes, count, name="labels"):
    """Checked ints `(count,)`, of those, of a column `(count, 1)` or of one-hot vectors."""
    labels = without_column(labels)
    if labels.ndim == 2:
        ones = np.isin(labels, 1).sum(1) == 1
        if labels.shape[1] != classes or not (ones & np.isin(labels, (0, 1)).all(1)).all():
            raise ValueError(
                f"{name}: shape {labels.shape}, but class numbers or one-hot vectors, a single 1 "
                f"among {classes} values, are needed"
            )
        labels = labels.argmax(1)
    check_labels(labels, name, classes, count)
    return labels


def check_bounds(bounds):
    """The least and the greatest value of a pixel, two floats."""
    values = np.asarray(bounds, float)
    if values.shape != (2,) or not np.isfinite(values).all() or values[0] >= values[1]:
        raise ValueError(f"bounds {bounds}: (least, greatest) value of a pixel is needed")
    return tuple(values.tolist())


def check_epsilon(epsilon, many=False):
    """The radius of an attack, a float32 array of no axis; or, if `many`, of a list of them."""
    epsilons = np.asarray(epsilon, np.float32)
    good = epsilons.size and np.isfinite(epsilons).all() and epsilons.min() >= 0
    if epsilons.ndim > many or not good:
        wanted = "a finite number, 0 or more" + (", or a list of them" if many else "")
        raise ValueError(f"epsilon {epsilon!r}: it has to be {wanted}")
    return epsilons


def first_batch(x, y=None, batch_size=None):
    """The first batch of what `fit` was given, as `train_step` gets it.

    Args:
        x, y: what `fit` takes: a `tf.data.Dataset`, a `keras.utils.PyDataset`, a generator (or
            another iterator, of which Keras gets a generator), or arrays or tensors, or a
            structure of them.
        batch_size: that of `fit`, for arrays and tensors.

    Returns:
        `(x, batch)`: what to give to `fit`, which is `x` but for a generator, and the batch. A
        generator may yield bare arrays, of which Keras wants tuples.

    Raises:
        ValueError: the dataset is empty.
    """
    if callable(x) and not hasattr(x, "__len__"):
        raise ValueError(f"{getattr(x, '__name__', x)}: a function; call it to get its generator")
    if hasattr(x, "dataset"):
        raise ValueError(f"{type(x).__name__}: pass its .dataset, which yields the batches")
    if isinstance(x, keras.utils.PyDataset):
        return x, only_part(x[0])
    if isinstance(x, tf.data.Dataset | collections.abc.Iterator):
        rows = iter(x)
        batch = next(rows, None)
        if batch is None:
            raise ValueError("the dataset is empty: not one batch came out of it")
        if isinstance(x, tf.data.Dataset):
            for spec in tf.nest.flatten(x.element_spec):
                if getattr(spec, "shape", ()) == tf.TensorShape(None):
                    raise ValueError(
                        "the dataset does not say how many axes its tensors have, as after "
                        "tf.numpy_function: map them with tf.ensure_shape(x, [None, ...])"
                    )
            return x, only_part(batch)
        batches = itertools.chain([batch], rows)
        tuples = (each if isinstance(each, tuple) else (each,) for each in batches)
        return tuples, only_part(batch)
    rows = keras.tree.map_structure(lambda part: part[: batch_size or 32], x)
    if y is None:
        return x, only_part(rows)
    return x, (rows, keras.tree.map_structure(lambda part: part[: batch_size or 32], y))


def first_held_out(validation_data):
    """As `first_batch`, of the `validation_data` of `fit`."""
    if isinstance(validation_data, tuple | list):
        return validation_data, first_batch(*validation_data[:2])[1]
    return first_batch(validation_data)


def only_part(batch):
    """A batch of images alone, out of the `(images,)` that Keras makes of it for some datasets."""
    return batch[0] if isinstance(batch, tuple) and len(batch) == 1 else batch
