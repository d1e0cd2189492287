"""The data sets of the recipes, one module each; `storage` knows where their files are.

`from recipes.datasets import emnist` and then `emnist.load(...)`. A loader reads the real set from
the data root, or gets it there; with `embedded=True` it needs neither files nor a network.
"""

from recipes.datasets import cityscapes, digits, emnist, fashion_mnist, pictures, yosemite
from recipes.datasets.batches import Batches, random_jitter, random_shift, scale, semi_supervised
from recipes.datasets.few_labels import few_labels

__all__ = [
    "Batches",
    "cityscapes",
    "digits",
    "emnist",
    "fashion_mnist",
    "few_labels",
    "pictures",
    "random_jitter",
    "random_shift",
    "scale",
    "semi_supervised",
    "yosemite",
]
