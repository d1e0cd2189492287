"""1,000 photos, one of each class of ImageNet, to attack a classifier with.

From github.com/EliSchwartz/imagenet-sample-images; most are training images of ImageNet, so a
classifier's accuracy on them is too high.
"""

import re

import numpy as np

from recipes.arguments import check_count
from recipes.datasets import image_files
from recipes.datasets.archives import unpack
from recipes.datasets.download import fetch
from recipes.datasets.files import data_root

CLASSES = 1000
COMMIT = "bc69043e2862758a1906c6a24a792bb28c6bb2ff"
URL = f"https://github.com/EliSchwartz/imagenet-sample-images/archive/{COMMIT}.zip"
SIZE = 110_000_000  # bytes of the archive, about
TERMS = "for research and education only, not for commerce: see https://image-net.org/download"
BY_HAND = (
    f"Put its images, such as n01440764_tench.JPEG, there (from {URL}), or set RECIPES_DATA_DIR to "
    "the folder that holds imagenet_sample/."
)


def load(count=CLASSES, size=224):
    """Photos of as many classes, spread evenly, from `imagenet_sample/` of the data root.

    If it is not there, all of them are downloaded (about 110 MB).

    Args:
        count: how many, at most 1,000.
        size: height and width to stretch each photo to, or a pair `(height, width)`.

    Returns:
        `(photos, classes)`: uint8 `(count, height, width, 3)`, and ints `(count,)` in [0, 1000).

    Raises:
        MissingDataError: the photos are not there and cannot be downloaded.
        ValueError: a `count` out of range, or files of other names.
    """
    check_count("count", count)
    if count > CLASSES:
        raise ValueError(f"count {count}: there are {CLASSES} photos")
    folder = data_root() / "imagenet_sample"
    if not folder.is_dir():
        archive = folder.with_name("imagenet-sample-images.zip")
        unpack(fetch("1,000 photos of ImageNet", URL, archive, TERMS, BY_HAND, size=SIZE), folder)
    paths = image_files.find(folder)
    # Published are n01440764_tench.JPEG and so on; by that number ImageNet's classes are in order.
    named = [re.fullmatch(r"(?:(\d+)_)?n\d{8}_.*", path.name) for path in paths]
    if not all(named) or (len(paths) != CLASSES and not all(name[1] for name in named)):
        raise ValueError(
            f"{folder} holds {len(paths)} images, but {CLASSES} are needed, named as published: "
            "n01440764_tench.JPEG"
        )
    classes = [int(name[1] or i) for i, name in enumerate(named)]
    chosen = np.linspace(0, len(paths) - 1, min(count, len(paths))).astype(int)
    photos = image_files.load([paths[i] for i in chosen], size)
    return photos, np.array([classes[i] for i in chosen])
