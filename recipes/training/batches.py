"""Shuffled mini-batches that depend on nothing but the seed and the number of the epoch."""

import os
from zlib import crc32

import numpy as np
import tensorflow as tf

from recipes.training.checks import check_count, check_seed

# Nothing here is left to be tuned; and the end of an epoch waits for the tuner, whose naps double
# in length: up to half of the epoch's time was spent on that.
WITHOUT_AUTOTUNE = tf.data.Options()
WITHOUT_AUTOTUNE.autotune.enabled = False

_epoch = 0  # that of the training which runs; 0 outside of one


def current_epoch():
    """The epoch whose order a dataset takes when an iterator over it begins; int, from 0."""
    return _epoch


def set_epoch(epoch):
    """Sets the epoch of all `Batches` of this process. `callbacks.SetEpoch` does it in a training.

    As `torch.utils.data.DistributedSampler.set_epoch`. If each iterator counted for itself, a look
    at a batch would change the training that follows.
    """
    global _epoch
    _epoch = epoch


class Batches:
    """Epochs of shuffled mini-batches, each read when it is needed.

    `Dataset.shuffle` draws a new order at every epoch from a state that is lost with the process:
    a training that was interrupted sees other batches than one that was not. Here the order is a
    pure function of the seed and of the training's epoch (`set_epoch`), so that `Resume` can go on
    exactly. It is also a full shuffle, where a shuffle buffer is a partial one.

    Args:
        *arrays: what the rows come from, all of equal length: arrays, memory-mapped ones, or
            anything that has a length and returns an array `(count, ...)` when indexed with an
            int array `(count,)`, such as a reader of image files. Several threads index at once.
        batch_size: rows in a batch. The last, smaller batch of an epoch is left out.
        seed: int, 0 or more, seed of the order.
        steps: batches in an epoch; by default as many as the arrays fill. More of them go
            through the arrays again, each time in a new order.
        transform: function of a batch of each array and `seed=` (an int64 tensor of shape (2,),
            another one for every batch), which returns what the dataset yields. It is traced
            into the pipeline: TensorFlow ops only, random ones stateless.

    Attributes:
        dataset: the `tf.data.Dataset`; each new iterator is one epoch.
        steps: batches in an epoch.
        settings: dict of ints, on which the batches depend; `Resume` compares them. Of arrays of
            integers, as images are, the first row counts, by its checksum.

    Raises:
        ValueError: arrays of different lengths, or too short for one batch; no array; a
            `batch_size`, `seed` or `steps` that is not as said above.
    """

    def __init__(self, *arrays, batch_size, seed, steps=None, transform=None):
        check_seed(seed)
        for array in arrays:
            if isinstance(array, tf.data.Dataset):
                raise ValueError("arrays: a tf.data.Dataset has batches of its own; pass it to fit")
            shapes = set(map(np.shape, array)) if isinstance(array, list | tuple) else ()
            if len(shapes) > 1:
                raise ValueError(f"arrays: rows of several shapes, {sorted(shapes)[:10]}")
        lengths = {len(array) for array in arrays}
        if len(lengths) != 1:
            fault = f"of different lengths: {sorted(lengths)}" if arrays else "are needed"
            raise ValueError(f"arrays {fault}")
        self.length = lengths.pop()
        check_count("batch_size", batch_size)
        if batch_size > self.length:
            raise ValueError(f"batch_size {batch_size}, but there are {self.length} rows")
        self.batch_size, self.seed = batch_size, seed
        self.steps = self.length // batch_size if steps is None else steps
        check_count("steps", self.steps)
        # Lists and tensors cannot be indexed with an array; pandas looks rows up by their labels.
        arrays = [
            np.asarray(x) if isinstance(x, list | tuple | tf.Tensor) or hasattr(x, "iloc") else x
            for x in arrays
        ]
        first = [np.asarray(array[np.zeros(1, np.int64)]) for array in arrays]
        self.settings = dict(rows=self.length, batch_size=batch_size, seed=seed, steps=self.steps)
        # Other data is told by its first row; floats, of features say, may round differently.
        self.settings["first_rows"] = [crc32(x.tobytes()) for x in first if x.dtype.kind in "iu"]

        def read(rows):
            # Each row once, in order: HDF5 files want it so.
            rows, where = np.unique(rows, return_inverse=True)
            return [np.asarray(array[rows])[where] for array in arrays]

        def gather(rows, batch_seed):
            batch = tf.numpy_function(
                read,
                [rows],
                [row.dtype for row in first],
                stateful=False,
            )
            for part, row in zip(batch, first, strict=True):
                part.set_shape((batch_size, *row.shape[1:]))
            if transform is not None:
                return transform(*batch, seed=batch_seed)
            return batch[0] if len(batch) == 1 else tuple(batch)

        self.dataset = (
            tf.data.Dataset.from_generator(
                self._rows,
                output_signature=(
                    tf.TensorSpec((batch_size,), tf.int64),
                    tf.TensorSpec((2,), tf.int64),
                ),
            )
            .apply(tf.data.experimental.assert_cardinality(self.steps))
            .map(gather, num_parallel_calls=os.cpu_count(), deterministic=True)
            .prefetch(2)
            .with_options(WITHOUT_AUTOTUNE)
        )

    def _rows(self):
        rng = np.random.default_rng([self.seed, current_epoch()])
        order = np.empty(0, np.int64)
        for _ in range(self.steps):
            if len(order) < self.batch_size:
                order = np.concatenate([order, rng.permutation(self.length)])
            yield order[: self.batch_size], rng.integers(2**31, size=2)
            order = order[self.batch_size :]


def random_shift(images, seed, pixels, flip=False):
    """Moves every image of a batch by up to `pixels`, and mirrors half of them if `flip`.

    Args:
        images: tensor, `(batch, height, width, channels)`. What moves in repeats the border.
        seed: int tensor of shape (2,).
        pixels: greatest shift in each direction, in pixels.
        flip: whether to mirror left and right at random.
    """
    count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    seeds = tf.random.split(seed, 3)
    moves = [
        tf.random.stateless_uniform((count, 1), s, -pixels, pixels + 1, tf.int32)
        for s in tf.unstack(seeds[:2])
    ]
    rows = tf.clip_by_value(tf.range(height) + moves[0], 0, height - 1)
    columns = tf.clip_by_value(tf.range(width) + moves[1], 0, width - 1)
    if flip:
        columns = _mirror_half(columns, seeds[2])
    return _pick(images, rows, columns)


def random_jitter(images, seed, labels=False, flip=True):
    """Enlarges every image of a batch by 286/256, crops it at random, mirrors half if `flip`.

    The same seed moves the two halves of a pair in the same way.

    Args:
        images: float tensor, `(batch, height, width, channels)`.
        seed: int tensor of shape (2,).
        labels: whether the images are label maps, whose colours must not be mixed: nearest
            neighbour, instead of linear interpolation.
        flip: whether to mirror left and right at random.

    Returns:
        A float tensor of the shape of `images`.
    """
    count, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    tall, wide = height * 286 // 256, width * 286 // 256
    seeds = tf.random.split(seed, 3)
    tops, lefts = (
        tf.random.stateless_uniform((count, 1), s, 0, room + 1, tf.int32)
        for s, room in zip(tf.unstack(seeds[:2]), (tall - height, wide - width), strict=True)
    )
    columns = lefts + tf.range(width)
    if flip:
        columns = _mirror_half(columns, seeds[2])
    images = tf.image.resize(images, (tall, wide), "nearest" if labels else "bilinear")
    return _pick(images, tops + tf.range(height), columns)


def _mirror_half(columns, seed):
    mirrored = tf.random.stateless_uniform((tf.shape(columns)[0], 1), seed) < 0.5
    return tf.where(mirrored, columns[:, ::-1], columns)


def _pick(images, rows, columns):
    """Of each image its own rows and columns, ints `(batch, height)` and `(batch, width)`."""
    return tf.gather(tf.gather(images, rows, axis=1, batch_dims=1), columns, axis=2, batch_dims=1)


def semi_supervised(labelled, unlabelled):
    """Joins two `Batches` to the dataset that SSGAN trains on.

    Args:
        labelled: `Batches` of (images, labels).
        unlabelled: `Batches` of images.

    Returns:
        A dataset of `({"labelled": images, "unlabelled": images}, labels)`, as long as the
        shorter of the two.
    """
    for each in (labelled, unlabelled):
        if not isinstance(each, Batches):
            raise ValueError(
                f"a {type(each).__name__}, but `Batches` are needed, not their dataset"
            )
    return tf.data.Dataset.zip(labelled.dataset, unlabelled.dataset).map(
        lambda pair, real: ({"labelled": pair[0], "unlabelled": real}, pair[1])
    )
