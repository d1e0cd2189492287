"""Photos of Yosemite in summer (A) and in winter (B), unpaired, for CycleGAN (Zhu et al. 2017)."""

import numpy as np

from recipes.datasets import image_files
from recipes.datasets.files import MissingDataError, check_choice, data_root

SPLITS = ("trainA", "trainB", "testA", "testB")
TERMS = "none stated; photos of users of Flickr, collected by the authors of CycleGAN"
PREPARED = "cycle_gan/summer2winter_yosemite"  # its name in TensorFlow Datasets


def load(split="trainA", folder=None, size=256, skip_bad=False):
    """Photos of one season.

    Without a `folder`: from `summer2winter_yosemite/` of the data root; if there is nothing, by
    TensorFlow Datasets, which downloads them (133 MB) and keeps them in `tensorflow_datasets/` of
    the data root. Any folder that has subfolders of these names will do.

    Args:
        split: "trainA", "trainB", "testA" or "testB"; A is summer, B is winter.
        folder: the folder of the splits.
        size: height and width to stretch each photo to, or a pair `(height, width)`.
        skip_bad: leave out files that cannot be read, and print which.

    Returns:
        uint8 `(n, height, width, 3)`: in the order of the file names, or of TensorFlow Datasets.

    Raises:
        ValueError: an unknown split, one that is not there, or files that cannot be read, all in
            one message.
        MissingDataError: the files are not there and cannot be downloaded.
    """
    check_choice("split", split, SPLITS)
    home = data_root() / "summer2winter_yosemite"
    if folder is None and not (home.is_dir() and any(home.iterdir())):
        return _load_prepared(split, size, home)
    paths = image_files.find(image_files.find_split(home if folder is None else folder, split))
    return image_files.load(paths, size, skip_bad=skip_bad)


def _load_prepared(split, size, home):
    data_dir = home.with_name("tensorflow_datasets")
    if not (data_dir / PREPARED).is_dir():
        print(
            f"Downloading photos of Yosemite (133 MB) by TensorFlow Datasets to {data_dir}. "
            f"Terms: {TERMS}"
        )
    try:
        import tensorflow_datasets as tfds

        dataset = tfds.load(PREPARED, split=split, data_dir=data_dir)
    except Exception as error:  # no network, no room, a package that it lacks: many kinds
        raise MissingDataError(
            f"The photos of Yosemite are not in {home}, and TensorFlow Datasets cannot get them. "
            f"Put the folders {'/, '.join(SPLITS)}/ of summer2winter_yosemite.zip there (from "
            "https://efrosgans.eecs.berkeley.edu/cyclegan/datasets/), or set RECIPES_DATA_DIR to "
            f"the folder that holds summer2winter_yosemite/. ({type(error).__name__}: {error})"
        ) from error
    examples = tfds.as_numpy(dataset)
    return np.stack([image_files.resize(example["image"], size) for example in examples])
