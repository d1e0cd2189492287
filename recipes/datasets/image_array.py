"""Images of a folder as one array that need not fit into memory."""

import hashlib
import os
from pathlib import Path

import numpy as np

from recipes.datasets.files import check_choice, new_array, old_array
from recipes.datasets.image_files import METHODS, height_width, listed, load, read


class ImageArray:
    """Image files that are indexed like a uint8 array `(n, height, width, 3)`.

        images = ImageArray(image_files.find("photos"), 256, cache="outputs/cache")
        images[3]            # (256, 256, 3)
        images[[5, 1, 5]]    # (3, 256, 256, 3)

    Files are read in threads when they are asked for. What was decoded is kept, if `cache` says
    so; then an epoch after the first one reads no image files.

    Args:
        paths: list of the files.
        size: height and width to stretch each image to, or a pair `(height, width)`.
        method: "photo" or "labels", as for `image_files.load`.
        half: "left" or "right": of a pair of images side by side, this one.
        cache: None, to decode anew each time; "memory"; or a folder, in which a memory-mapped file
            is made that takes `n * height * width * 3` bytes. It is used again as long as the
            files, `size`, `method` and `half` are the same, and made anew if it is damaged;
            remove the folder when you are done.

    Raises:
        ValueError: no list of files, or an invalid size, method or half; and, when indexed, files
            that cannot be read, all in one message.
        OSError: there is no room for the cache.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, paths, size, method="photo", half=None, cache=None):
        self.paths = listed(paths)
        check_choice("method", method, METHODS)
        if half not in (None, "left", "right"):
            raise ValueError(f'half: "left", "right" or None, not {half!r}')
        self.shape = (len(self.paths), *height_width(size), 3)
        self._options = self.shape[1:3], method, half
        self._numbers = np.arange(len(self.paths))
        row = np.dtype([("done", np.bool_), ("image", np.uint8, self.shape[1:])])
        if cache is None:
            self._rows = None
        elif cache == "memory":
            self._rows = np.zeros(len(self.paths), row)
        else:
            path = Path(cache) / f"images-{self._digest()}.npy"
            kind = path, row, self._numbers.shape
            rows = old_array(*kind)
            self._rows = new_array(*kind) if rows is None else rows

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        """The images at an int, a slice, or an array of ints or bools; a copy."""
        numbers = self._numbers[index]
        wanted, places = np.unique(numbers, return_inverse=True)
        if self._rows is None:
            images = self._read(wanted) if wanted.size else np.empty((0, *self.shape[1:]), np.uint8)
            return images[places].reshape(*numbers.shape, *self.shape[1:])
        missing = wanted[~self._rows["done"][wanted]]
        if missing.size:
            self._rows["image"][missing] = self._read(missing)
            self._rows["done"][missing] = True
        return np.array(self._rows["image"][numbers])

    def _read(self, numbers):
        size, method, half = self._options

        def read_half(path):
            image = read(path)
            if image.shape[1] % 2:
                raise ValueError(f"its width {image.shape[1]} is odd: no pair of images")
            middle = image.shape[1] // 2
            return image[:, :middle] if half == "left" else image[:, middle:]

        paths = [self.paths[number] for number in numbers]
        return load(paths, size, method, skip_bad=None, read=read_half if half else read)

    def _digest(self):
        files = [(str(p.absolute()), (s := os.stat(p)).st_size, s.st_mtime_ns) for p in self.paths]
        return hashlib.sha256(repr((files, self._options)).encode()).hexdigest()[:16]
