"""EMNIST: handwritten digits and letters, 28x28 pixels (Cohen et al. 2017)."""

import string

import numpy as np

from recipes.datasets import digits
from recipes.datasets.archives import look_into
from recipes.datasets.download import fetch
from recipes.datasets.files import check_choice, data_root, find_folder
from recipes.datasets.idx import read_images

URL = "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip"
SHA256 = "fb9bb67e33772a9cc0b895e4ecf36d2cf35be8b709693c3564cea2a019fcda8e"
SIZE = 561_753_746
TERMS = "none stated; made by NIST, a US government agency, from its Special Database 19"

SPLITS = ("train", "test")
# The parts of the set, and the character of each label. Where the two cases of a letter look alike,
# "balanced" and "bymerge" have one class for both, as "letters" has for all; it starts at 1.
DIGITS, MERGED = string.digits, string.digits + string.ascii_uppercase + "abdefghnqrt"
PARTS = {
    "balanced": MERGED,
    "byclass": DIGITS + string.ascii_uppercase + string.ascii_lowercase,
    "bymerge": MERGED,
    "digits": DIGITS,
    "letters": " " + string.ascii_uppercase,
    "mnist": DIGITS,
}


def load(split="train", part="balanced", embedded=False):
    """Handwritten characters, upright; or the embedded digits.

    Looks in the data root for the publisher's idx files (in `emnist/`, `emnist/gzip/` or inside
    `emnist/gzip.zip`), then for a set that TensorFlow Datasets has prepared (in
    `tensorflow_datasets/`), and downloads `emnist/gzip.zip` (562 MB) if there is neither.

    Args:
        split: "train" or "test".
        part: "balanced" (112,800 + 18,800 images in the whole set), "byclass" (697,932 + 116,323),
            "bymerge", "digits", "letters" (124,800 + 20,800) or "mnist".
        embedded: take the MNIST digits of `digits.load`: same shapes and types, no files.

    Returns:
        `(images, labels)`: uint8 `(n, 28, 28, 1)` in [0, 255] and int64 `(n,)`.

    Raises:
        ValueError: an unknown split or part, or a file that is damaged or not what its name
            says.
        MissingDataError: the files are not there and cannot be downloaded.
        OSError: there is no room, or no permission, to keep the download.
    """
    check_choice("split", split, SPLITS)
    check_choice("part", part, PARTS)
    if embedded:
        return digits.load(split)
    home, prepared = data_root() / "emnist", data_root() / "tensorflow_datasets"
    archive = home / "gzip.zip"
    stem = f"emnist-{part}-{split}"
    names = (f"{stem}-images-idx3-ubyte.gz", f"{stem}-labels-idx1-ubyte.gz")
    folder = find_folder((home, home / "gzip"), names)
    info = prepared.glob(f"emnist/{part}/*/dataset_info.json")
    if not folder and not archive.is_file() and any(info):
        images, labels = _read_prepared(prepared, split, part)
    else:
        folder = folder or _open_archive(archive, names)
        images, labels = read_images(folder, *names, num_classes=len(PARTS[part]))
    # The published images are transposed. In place: "byclass" alone takes 547 MB.
    for start in range(0, len(images), 10_000):
        some = images[start : start + 10_000]
        some[:] = some.transpose(0, 2, 1, 3).copy()
    return images, labels


def _open_archive(archive, names):
    """The folder inside the publisher's archive that holds the files `names`."""
    by_hand = (
        f"Put gzip.zip from {URL} there, or only {' and '.join(names)} out of it; or set "
        "RECIPES_DATA_DIR to the folder that holds emnist/; or load with embedded=True."
    )
    fetch("EMNIST, all six parts", URL, archive, TERMS, by_hand, SHA256, size=SIZE)
    inside = look_into(archive)
    folder = find_folder((inside / "gzip", inside), names)
    if folder is None:
        raise ValueError(f"{archive} does not hold {names[0]}: it is not the one from {URL}")
    return folder


def _read_prepared(data_dir, split, part):
    """Read what TensorFlow Datasets keeps: transposed images, as published."""
    import tensorflow_datasets as tfds

    dataset = tfds.builder(f"emnist/{part}", data_dir=data_dir).as_dataset(split=split)
    count = int(dataset.cardinality())
    images, labels = np.empty((count, 28, 28, 1), np.uint8), np.empty(count, np.int64)
    start = 0
    for batch in tfds.as_numpy(dataset.batch(1024)):
        stop = start + len(batch["label"])
        images[start:stop], labels[start:stop] = batch["image"], batch["label"]
        start = stop
    return images, labels
