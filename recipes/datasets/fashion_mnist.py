"""Fashion-MNIST: 70,000 grey 28x28 images of clothes in ten classes (Xiao et al. 2017)."""

import os

from recipes.datasets import digits
from recipes.datasets.download import fetch
from recipes.datasets.files import check_choice, data_root, expand_user, find_folder
from recipes.datasets.idx import read_images

CLASS_NAMES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
    "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip

URL = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"
TERMS = "MIT licence"
# Each split: its images, then its labels, with bytes and SHA-256 of what the publisher offers.
FILES = {
    "train": {
        "train-images-idx3-ubyte.gz": (
            26_421_880, "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"),
        "train-labels-idx1-ubyte.gz": (
            29_515, "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"),
    },
    "test": {
        "t10k-images-idx3-ubyte.gz": (
            4_422_102, "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"),
        "t10k-labels-idx1-ubyte.gz": (
            5_148, "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"),
    },
}  # fmt: skip


def load(split="train", embedded=False):
    """Images of clothes; or the embedded digits.

    Looks for the publisher's gzipped idx files in `fashion-mnist/` of the data root, then where
    `keras.datasets` keeps its own copy, and downloads them into the data root if they are in
    neither.

    Args:
        split: "train" (60,000 images) or "test" (10,000).
        embedded: take the MNIST digits of `digits.load`: same shapes and types, no files.

    Returns:
        `(images, labels)`: uint8 `(n, 28, 28, 1)` in [0, 255] and int64 `(n,)` in [0, 10), in the
        publisher's order.

    Raises:
        ValueError: an unknown split, or a file that is damaged or not what its name says.
        MissingDataError: the files are not there and cannot be downloaded.
        OSError: there is no room, or no permission, to keep the download.
    """
    check_choice("split", split, FILES)
    if embedded:
        return digits.load(split)
    names = tuple(FILES[split])
    home = data_root() / "fashion-mnist"
    keras_home = expand_user(os.environ.get("KERAS_HOME", "~/.keras"), "KERAS_HOME")
    places = (home, data_root() / "fashion_mnist", keras_home / "datasets" / "fashion-mnist")
    folder = find_folder(places, names) or _download(home, FILES[split])
    return read_images(folder, *names, num_classes=len(CLASS_NAMES))


def _download(folder, hashes):
    by_hand = (
        f"Put {' and '.join(hashes)} there, or set RECIPES_DATA_DIR to the folder that holds "
        "fashion-mnist/, or load with embedded=True."
    )
    for name, (size, sha256) in hashes.items():
        fetch("Fashion-MNIST", URL + name, folder / name, TERMS, by_hand, sha256, size=size)
    return folder
