"""Pairs of street photos and label maps, for Pix2Pix (Cordts et al. 2016, Isola et al. 2017)."""

from pathlib import Path

import numpy as np
from PIL import Image

from recipes.datasets import image_files
from recipes.datasets.archives import unpack
from recipes.datasets.download import fetch
from recipes.datasets.files import check_choice, data_root, whole_folder

# The authors publish no hash of it.
URL = "https://efrosgans.eecs.berkeley.edu/pix2pix/datasets/cityscapes.tar.gz"
SIZE = 99e6  # bytes, about
TERMS = (
    "for research, teaching and other purposes that are not commercial; not to be passed on: "
    "https://www.cityscapes-dataset.com/license/"
)

DIRECTIONS = ("labels_to_photos", "photos_to_labels")
MIN_SIDE = 16  # pixels
MIN_RATIO = 1.2  # width to height of a pair; the single images below it are no two halves

# The classes that are trained and scored, and their colours in the label maps, as near as JPEG
# keeps them. Other classes have other colours; black belongs to none.
COLOURS = {
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "building": (70, 70, 70),
    "wall": (102, 102, 156),
    "fence": (190, 153, 153),
    "pole": (153, 153, 153),
    "traffic light": (250, 170, 30),
    "traffic sign": (220, 220, 0),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "sky": (70, 130, 180),
    "person": (220, 20, 60),
    "rider": (255, 0, 0),
    "car": (0, 0, 142),
    "truck": (0, 0, 70),
    "bus": (0, 60, 100),
    "train": (0, 80, 100),
    "motorcycle": (0, 0, 230),
    "bicycle": (119, 11, 32),
}


def load(split="train", folder=None, size=256, direction="labels_to_photos", skip_bad=False):
    """Pairs of images, cut out of files with the photo in the left half, the labels in the right.

    Without a `folder`: from `cityscapes/` of the data root, into which the archive of the Pix2Pix
    authors (99 MB) is downloaded if there is nothing. Any folder of such pairs will do (facades,
    maps, your own; `join_folders` makes one).

    Args:
        split: the subfolder with the files; "train" or "val" of Cityscapes.
        folder: the folder of the splits.
        size: height and width to stretch each half to, or a pair `(height, width)`.
        direction: "labels_to_photos" or "photos_to_labels".
        skip_bad: leave out files that are no pair or cannot be read, and print which.

    Returns:
        `(inputs, targets)`: both uint8 `(n, height, width, 3)`, in the order of the file names.
        Photos are resized antialiased, label maps by nearest neighbour.

    Raises:
        ValueError: an unknown direction, a split that is not there, or files that are no pair or
            cannot be read, all in one message.
        MissingDataError: the files are not there and cannot be downloaded.
        OSError: there is no room, or no permission, to keep the download.
    """
    check_choice("direction", direction, DIRECTIONS)
    folder = image_files.find_split(_home() if folder is None else folder, split)

    def cut(path):
        image = image_files.read(path)
        height, width = image.shape[:2]
        _check_pair(path, height, width)
        photo, labels = image[:, : width // 2], image[:, width // 2 :]
        return image_files.resize(photo, size), image_files.resize(labels, size, "labels")

    photos, labels = image_files.gather(image_files.find(folder), cut, size, 2, skip_bad)
    return (labels, photos) if direction == "labels_to_photos" else (photos, labels)


def join_folders(photos, labels, target):
    """Join two folders of images into one of pairs, as `load` reads them. Nothing is resized.

    Args:
        photos: a folder of images, the left halves.
        labels: a folder of images with the same names, but for the suffix: the right halves.
        target: the folder to make, `<folder>/<split>`; it appears when every pair is in it, one
            PNG file (lossless) for each.

    Returns:
        `target` as a `Path`.

    Raises:
        FileExistsError: there is something in `target` already.
        MissingDataError: one of the folders is not there.
        ValueError: an image without a partner, two of one name, a partner of another size, or
            one that cannot be read or would be no pair.
        OSError: `target` cannot be written.
    """
    target = Path(target)
    _check_empty(target)
    lefts, rights = _by_stem(photos), _by_stem(labels)
    for stem in sorted(lefts.keys() ^ rights.keys()):
        path, other = (lefts[stem], labels) if stem in lefts else (rights[stem], photos)
        raise ValueError(f"{path} has no partner {stem}.* in {other}")
    with whole_folder(target) as folder:
        _check_empty(target)  # another process may have written it while this one waited
        for stem, path in lefts.items():
            left, right = _read_half(path), _read_half(rights[stem])
            if left.shape != right.shape:
                raise ValueError(
                    f"{path} is {left.shape[1]}x{left.shape[0]} pixels, but {rights[stem]} is "
                    f"{right.shape[1]}x{right.shape[0]}: the halves of a pair are of one size"
                )
            _check_pair(f"{path} beside {rights[stem]}", left.shape[0], 2 * left.shape[1])
            Image.fromarray(np.hstack((left, right))).save(folder / f"{stem}.png")
    return target


def _check_empty(target):
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise FileExistsError(f"{target} has something in it already: choose another name")


def _read_half(path):
    try:
        return image_files.read(path)
    except OSError as error:  # else it would read as an error in writing `target`
        raise ValueError(f"{path} cannot be read: {error}") from error


def _home():
    home = data_root() / "cityscapes"
    if not (home.is_dir() and any(home.iterdir())):
        archive = home.with_name("cityscapes.tar.gz")
        by_hand = (
            f"Put the folders train/ and val/ out of {URL} into {home}, or that file at {archive}; "
            "or set RECIPES_DATA_DIR to the folder that holds cityscapes/; or load another folder "
            "of pairs."
        )
        fetch("Cityscapes, as pairs", URL, archive, TERMS, by_hand, size=SIZE)
        unpack(archive, home)
    inner = home / "cityscapes"  # as the archive has it, if unpacked by hand
    return inner if inner.is_dir() else home


def _check_pair(name, height, width):
    if min(height, width // 2) < MIN_SIDE:
        raise ValueError(
            f"{name} is too small: {width}x{height} pixels, but each half of a pair needs "
            f"{MIN_SIDE}x{MIN_SIDE}"
        )
    if width < MIN_RATIO * height:
        raise ValueError(
            f"{name} is a single image, not a pair: {width}x{height} pixels, but a pair is two "
            f"halves side by side, at least {MIN_RATIO} times as wide as high"
        )
    if width % 2:
        raise ValueError(f"{name} is {width} pixels wide: an odd number has no two equal halves")


def _by_stem(folder):
    found = {}
    for path in image_files.find(folder):
        stem = image_files.nfc(path.stem)
        if stem in found:
            raise ValueError(f"{found[stem]} and {path} have the same name but for the suffix")
        found[stem] = path
    return found
