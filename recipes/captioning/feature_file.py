"""The folder in which features lie: written as they are made, read memory-mapped.

`features.npy` has one row a photo. `features.json` says what the rows were made of (the network, a
fingerprint of its weights, and name, size and time of every photo), and how many photos are done.
"""

import contextlib
import functools
import os
import time
from dataclasses import dataclass

import numpy as np

from recipes.datasets.files import load_json, new_array, old_array, save_json, writing
from recipes.datasets.image_files import nfc, some

ARRAY, INDEX = "features.npy", "features.json"
SAVE_SECONDS = 2  # a killed extraction loses what it did in this time, and one batch
ADVICE = ", and call again: it goes on where it stopped"


@dataclass(frozen=True, eq=False)
class Features:
    """Features of photos: row i of `array` belongs to `paths[i]`.

    Args:
        array: float16 or float32, `(n, channels)` or `(n, rows, columns, channels)`; in memory,
            or memory-mapped and read-only.
        paths: list of `Path`.
    """

    array: np.ndarray
    paths: list

    def __len__(self):
        return len(self.array)

    def rows(self, paths):
        """The row of each photo: int64 `(len(paths),)`; a ValueError names those without one."""
        if isinstance(paths, str | os.PathLike):
            raise ValueError(f"paths: a list is needed, but {paths} is one path")
        found = [self._rows.get(_place(path)) for path in paths]
        missing = [str(path) for path, row in zip(paths, found, strict=True) if row is None]
        if missing:
            raise ValueError(
                f"{len(missing)} of {len(found)} photos have no features: {some(missing)}"
            )
        return np.array(found, np.int64)

    @functools.cached_property
    def _rows(self):
        return {_place(path): row for row, path in enumerate(self.paths)}


def _place(path):
    """The same text for all ways to write the path of a file."""
    return nfc(os.path.abspath(path))


class FeatureFile:
    """The features of some photos in a folder, whether they are finished or not.

    Args:
        folder: a `Path`; it need not exist.
        paths: list of `Path`, the photos.
        settings: dict for JSON, on which the features depend: `dtype`, `shape` (of one photo's
            features), the network and its weights.

    Raises:
        ValueError: features of another network are there, damaged files, or somebody else's.
    """

    def __init__(self, folder, paths, settings):
        self.folder, self.paths, self.array = folder, paths, None
        self.shape, self.dtype = (len(paths), *settings["shape"]), settings["dtype"]
        self.new = {"settings": settings, "images": _describe(paths), "done": 0, "bad": []}
        self._look()

    @property
    def finished(self):
        return self.index["done"] == len(self.paths)

    def _look(self):
        """Takes the index in the folder if it is of these photos; else says what differs."""
        self.index, path = self.new, self.folder / INDEX
        if not path.is_file():
            if (self.folder / ARRAY).exists():
                raise ValueError(
                    f"{self.folder} holds {ARRAY}, but no {INDEX} that says what is in it: choose "
                    "another output_path, or remove it"
                )
            return ""
        found = load_json(path, settings=dict, images=list, done=int, bad=list)
        if not _is_index(found):
            raise ValueError(
                f"{path} is damaged, or another kind of file: remove {self.folder} and extract anew"
            )
        if found["settings"] != self.new["settings"]:
            raise ValueError(
                f"{self.folder} holds features of {_network(found['settings'])}, but those of "
                f"{_network(self.new['settings'])} are asked for: choose another output_path, or "
                "remove that folder"
            )
        difference = _difference(found["images"], self.new["images"])
        if not difference:
            self.index = found
        return difference

    def start(self):
        """Makes the files, or opens those that a kill has left, unless they are finished."""
        if difference := self._look():  # again: another process may have been here
            print(f"The features in {self.folder} are out of date ({difference}): made anew.")
        if self.finished:
            return
        path = self.folder / ARRAY
        if self.index["done"]:
            self.array = old_array(path, self.dtype, self.shape)  # None: it is made anew
        if self.array is None:
            self.index = self.new
            with writing(path, ADVICE):
                save_json(self.folder / INDEX, self.index)  # first: no old index for new rows
                self.array = new_array(path, self.dtype, self.shape)
        self.saved = time.monotonic()

    def add(self, rows, bad):
        """Appends the rows of the next photos, and `[position, fault]` of those without any."""
        first = self.index["done"] - len(self.index["bad"])
        self.array[first : first + len(rows)] = rows
        self.index["done"] += len(rows) + len(bad)
        self.index["bad"] += bad
        if self.finished or time.monotonic() - self.saved >= SAVE_SECONDS:
            with writing(self.folder / ARRAY, ADVICE):
                self.array.flush()
                save_json(self.folder / INDEX, self.index)
            self.saved = time.monotonic()

    def open(self):
        """The rows, memory-mapped, and `[position, fault]` of the photos that have none.

        Raises:
            ValueError: the file is damaged, or of another shape or dtype than the index says.
        """
        path, bad = self.folder / ARRAY, self.index["bad"]
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
            if (array.shape, array.dtype) != (self.shape, self.dtype):
                raise ValueError(
                    f"it holds {array.dtype} {array.shape}, but {self.dtype} {self.shape} is what "
                    f"{INDEX} says"
                )
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(
                f"{path} cannot be used: {error}. Remove {self.folder} and extract anew"
            ) from error
        return array[: len(array) - len(bad)], bad  # as many rows are left over at the end


def _describe(paths):
    """Name, size and time of each photo, for JSON.

    The names are relative to the folder of all, so that it may be moved as a whole.
    """
    paths = [os.path.abspath(path) for path in paths]
    folder = os.path.commonpath([os.path.dirname(path) for path in paths])
    images = []
    for path in paths:
        size = nanoseconds = None
        with contextlib.suppress(OSError):  # whoever reads it will say what is wrong
            found = os.stat(path)
            size, nanoseconds = found.st_size, found.st_mtime_ns
        images.append([os.path.relpath(path, folder), size, nanoseconds])
    return images


def _is_index(found):
    """Whether what lies inside of an index from a file is of the right kind, too."""
    done, images, bad = found["done"], found["images"], found["bad"]
    with contextlib.suppress(KeyError, TypeError, ValueError):
        _network(found["settings"])
        kinds = [isinstance(name, str) for name, _, _ in images]
        kinds += [type(i) is int and 0 <= i < done and isinstance(text, str) for i, text in bad]
        return all(kinds) and len({i for i, _ in bad}) == len(bad) and 0 <= done <= len(images)
    return False


def _network(settings):
    shape = "x".join(map(str, settings["shape"]))
    network = settings["backbone"] or "a keras.Model"
    return f"{network} ({shape}, {settings['dtype']}, weights {settings['weights_sha256'][:8]})"


def _difference(old, new):
    """What is no longer as it was, in a few words; empty if nothing is."""
    before, now = [name for name, *_ in old], [name for name, *_ in new]
    if missing := sorted(set(now) - set(before)):
        return f"they lack {some(missing)}"
    if before != now:
        return f"they are of {len(before)} photos, of which {len(now)} are asked for"
    changed = [name for name, a, b in zip(now, old, new, strict=True) if a != b]
    return f"changed since: {some(changed)}" if changed else ""
