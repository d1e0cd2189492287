"""The idx format, in which MNIST and its successors are published."""

import gzip
import math
import struct

import numpy as np

from recipes.datasets.files import DAMAGED

UNSIGNED_BYTE = 8
CHUNK = 1 << 18
MAX_BYTES = 1 << 30  # the largest file of EMNIST has 547 million


def read_idx(path):
    """Read a gzipped idx file of unsigned bytes and check that it is whole.

    Args:
        path: a `Path`, or a `zipfile.Path` to a file inside a zip archive.

    Returns:
        A uint8 array of the shape in the file's header.

    Raises:
        ValueError: the file is cut off or damaged, is not idx, holds something else than unsigned
            bytes, or more or fewer of them than its header says.
    """
    data = bytearray()
    try:
        with path.open("rb") as packed, gzip.open(packed) as file:
            header = file.read(4)
            if len(header) < 4 or header[:3] != bytes((0, 0, UNSIGNED_BYTE)) or header[3] > 3:
                raise ValueError(
                    f"{path} is not an idx file of unsigned bytes: it starts with {header.hex()}. "
                    "Put the published file in its place."
                )
            sizes = file.read(4 * header[3])
            shape = struct.unpack(f">{len(sizes) // 4}I", sizes[: len(sizes) // 4 * 4])
            count = math.prod(shape)
            # A growing buffer, and no more than the header claims: both may be any nonsense.
            while count <= MAX_BYTES and len(data) <= count and (chunk := file.read(CHUNK)):
                data += chunk
    except DAMAGED as error:
        raise ValueError(
            f"{path} is cut off or damaged ({error}). Delete it and get it again."
        ) from error
    if len(shape) < header[3] or len(data) != count:
        held = f"{len(data):,}" if len(data) <= count else f"more than {count:,}"
        raise ValueError(
            f"{path} should hold {shape} bytes by its header, but holds {held}. "
            "Delete it and get it again."
        )
    return np.frombuffer(data, np.uint8).reshape(shape)


def read_images(folder, images_name, labels_name, num_classes):
    """Read 28x28 images and their labels from two idx files and check that they belong together.

    Args:
        folder: a `Path` or `zipfile.Path` that holds the files of these two names.
        num_classes: labels have to be below this.

    Returns:
        `(images, labels)`: uint8 `(n, 28, 28, 1)`, int64 `(n,)`.

    Raises:
        ValueError: a file that `read_idx` refuses, images of another size, none at all, labels
            that are not numbers in `[0, num_classes)`, or not as many as images.
    """
    images_path, labels_path = folder / images_name, folder / labels_name
    images, labels = read_idx(images_path), read_idx(labels_path)
    if images.shape[1:] != (28, 28) or not len(images):
        raise ValueError(f"{images_path} should hold 28x28 images, but its shape is {images.shape}")
    if labels.shape != images.shape[:1]:
        raise ValueError(
            f"{labels_path} should hold a label for each of the {len(images):,} images in "
            f"{images_path}, but its shape is {labels.shape}. Get both files again."
        )
    if labels.max() >= num_classes:
        raise ValueError(
            f"{labels_path} holds the label {labels.max()}, but labels go from 0 to "
            f"{num_classes - 1}. Is it the file of another dataset?"
        )
    return images[..., np.newaxis], labels.astype(np.int64)
