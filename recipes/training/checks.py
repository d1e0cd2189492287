"""Checks of what a user hands in: a clear error before the training, not a crash within it."""

import numpy as np


def check_images(images, name, shape=None, low=-1.0, high=1.0):
    """Raises `ValueError` unless `images` is a batch of finite float pictures in [low, high].

    Args:
        images: array or tensor, `(batch, height, width, channels)`.
        name: what to call it in the error.
        shape: (height, width, channels) that is asked for; None for any.
        low, high: bounds of the values.
    """
    images = np.asarray(images)
    if images.ndim != 4 or (shape is not None and images.shape[1:] != tuple(shape)):
        wanted = "(batch, height, width, channels)" if shape is None else f"(batch, *{shape})"
        raise ValueError(f"{name}: shape {images.shape}, but {wanted} is needed")
    if not len(images):
        raise ValueError(f"{name}: no picture in it")
    if not np.issubdtype(images.dtype, np.floating) and images.dtype.name != "bfloat16":
        raise ValueError(
            f"{name}: dtype {images.dtype}, but floats in [{low:g}, {high:g}] are needed; "
            "recipes.datasets.scale(images) makes them from uint8"
        )
    least, most = float(images.min()), float(images.max())
    if not np.isfinite([least, most]).all():
        raise ValueError(f"{name}: holds NaN or infinite values")
    if least < low - 1e-3 or most > high + 1e-3:
        raise ValueError(
            f"{name}: values from {least:g} to {most:g}, but [{low:g}, {high:g}] is needed; "
            "recipes.datasets.scale(images) makes them from uint8"
        )


def check_labels(labels, name, num_classes, count=None):
    """Raises `ValueError` unless `labels` is a vector of ints in [0, num_classes).

    Args:
        labels: array or tensor, `(batch,)`.
        name: what to call it in the error.
        num_classes: number of classes.
        count: how many labels there have to be; None for any number.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f"{name}: shape {labels.shape} and dtype {labels.dtype}, but one integer a picture "
            "is needed (class numbers, not one-hot vectors)"
        )
    if count is not None and len(labels) != count:
        raise ValueError(f"{name}: {len(labels)} labels for {count} pictures")
    if len(labels) and not 0 <= labels.min() <= labels.max() < num_classes:
        raise ValueError(
            f"{name}: labels from {labels.min()} to {labels.max()}, but the model has "
            f"{num_classes} classes: 0 to {num_classes - 1}"
        )


def first_batch(data):
    """The first batch of what `fit` was given, as a dataset yields it.

    Raises:
        ValueError: the data set is empty.
    """
    try:
        return next(iter(data))
    except StopIteration:
        raise ValueError("the data set is empty: not one batch came out of it") from None
