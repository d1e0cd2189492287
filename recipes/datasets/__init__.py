"""The data sets of the recipes, one module each; `storage` knows where their files are.

`from recipes.datasets import emnist` and then `emnist.load(...)`. A loader reads the real set from
the data root, or gets it there; with `embedded=True` it needs neither files nor a network.
"""

from recipes.datasets import digits, emnist, fashion_mnist

__all__ = ["digits", "emnist", "fashion_mnist"]
