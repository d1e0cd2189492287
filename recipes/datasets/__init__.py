"""The datasets of the recipes, one module each; `files` knows where their files are.

`from recipes.datasets import emnist` and then `emnist.load(...)`. A loader reads the real set from
the data root, or gets it there; with `embedded=True` it needs neither files nor a network.
"""

from recipes.datasets import cityscapes, digits, emnist, fashion_mnist, image_files, yosemite
from recipes.datasets.few_labels import few_labels
from recipes.datasets.image_files import scale
