"""The folder in which features lie: written in pieces that survive a kill, read memory-mapped.

`features.npy` holds one row a photo, `features.json` what the rows were made of: the network and a
fingerprint of its weights, and name, size and time of every photo. While they are being made,
both names end in `.part`.
"""

import contextlib
import functools
import hashlib
import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recipes.datasets import image_files
from recipes.datasets.files import load_json, save_json, writing
from recipes.datasets.image_files import some

ARRAY, INDEX = "features.npy", "features.json"
INDEX_KINDS = {"settings": dict, "folder": str, "images": list, "bad": list}
SAVE_SECONDS = 2  # a killed extraction loses what it did in this time, and one batch


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

    @classmethod
    def open(cls, folder):
        """The features that an extractor has left in a folder.

        Raises:
            FileNotFoundError: there are none, or they are not finished.
            ValueError: damaged files, or two that do not belong together.
        """
        folder = Path(folder)
        index = load_json(folder / INDEX, **INDEX_KINDS)
        paths = [Path(index["folder"], name) for name, *_ in index["images"]]
        return cls.of(folder, index, paths)

    @classmethod
    def of(cls, folder, index, paths):
        """As `open`, with an index that was read already, and where the photos are now."""
        kept, settings = without(paths, index["bad"]), index["settings"]
        wanted = (len(paths), *settings["shape"])
        try:
            array = np.load(folder / ARRAY, mmap_mode="r", allow_pickle=False)
            if array.shape != wanted or array.dtype != settings["dtype"]:
                raise ValueError(
                    f"it holds {array.dtype} {array.shape}, but {settings['dtype']} {wanted} is "
                    f"what {INDEX} says"
                )
        except (OSError, ValueError, EOFError) as error:
            raise ValueError(
                f"{folder / ARRAY} cannot be used: {error}. Remove {folder} and extract anew"
            ) from error
        return cls(array[: len(kept)], kept)  # the last rows are of bad photos

    def __len__(self):
        return len(self.array)

    @property
    def shape(self):
        return self.array.shape

    def rows(self, paths):
        """The row of each photo: int64 `(len(paths),)`; a ValueError names those without one."""
        found = [self._rows.get(os.path.abspath(path)) for path in paths]
        missing = [str(path) for path, row in zip(paths, found, strict=True) if row is None]
        if missing:
            raise ValueError(
                f"{len(missing)} of {len(found)} photos have no features: {some(missing)}"
            )
        return np.array(found, np.int64)

    @functools.cached_property
    def _rows(self):
        return {os.path.abspath(path): row for row, path in enumerate(self.paths)}


class PartialFeatures:
    """Features that are being written. After a kill, all up to the last `save` is still there.

    Args:
        folder: a `Path`; made if it is not there.
        wanted: what `describe` returns.

    Raises:
        ValueError: unfinished features of another network are there.
        OSError: the folder cannot be written, or has no room for the features.
    """

    def __init__(self, folder, wanted):
        self.folder, self.wanted, self.saved = folder, wanted, time.monotonic()
        self.part, self.progress = folder / f"{ARRAY}.part", folder / f"{INDEX}.part"
        digest = hashlib.sha256(json.dumps(wanted["images"]).encode()).hexdigest()
        settings, self.array = wanted["settings"], None
        self.state = {"settings": settings, "images_sha256": digest, "done": 0, "bad": []}
        self.shape = (len(wanted["images"]), *settings["shape"])
        if self.progress.is_file():
            self._resume()
        if self.array is None:
            with self._writing():
                # A row for each photo, though rows of bad photos are left over at the end.
                dtype = settings["dtype"]
                self.array = np.lib.format.open_memmap(self.part, "w+", dtype, self.shape)
                _reserve(self.part)
                self.save()

    @property
    def done(self):
        """Number of photos that were read."""
        return self.state["done"]

    @property
    def bad(self):
        """List of `[position, fault]`."""
        return self.state["bad"]

    def add(self, rows, bad):
        """Appends the rows of the next photos, and the faults of those that have none."""
        first = self.done - len(self.bad)
        self.array[first : first + len(rows)] = rows
        self.state["done"] += len(rows) + len(bad)
        self.state["bad"] += bad
        if time.monotonic() - self.saved >= SAVE_SECONDS:
            with self._writing():
                self.save()

    def save(self):
        self.array.flush()
        save_json(self.progress, self.state)
        self.saved = time.monotonic()

    def finish(self):
        """Gives the files their final names; returns the index."""
        index = {**self.wanted, "bad": self.bad}
        with self._writing():
            self.save()
            self.array = None  # Windows renames no file that is mapped
            # In this order no index ever stands beside rows that are not its own.
            (self.folder / INDEX).unlink(missing_ok=True)
            os.replace(self.part, self.folder / ARRAY)
            save_json(self.folder / INDEX, index)
            self.progress.unlink()
        return index

    def _resume(self):
        found = load_json(self.progress, settings=dict, images_sha256=str, done=int, bad=list)
        _check_settings(self.folder, found["settings"], self.wanted["settings"])
        if found["images_sha256"] != self.state["images_sha256"]:
            print(f"The unfinished features in {self.folder} are of other photos: made anew.")
            return
        whole = found["done"] == len(self.wanted["images"])
        if whole and not self.part.exists() and not (self.folder / INDEX).exists():
            with contextlib.suppress(FileNotFoundError):  # killed in `finish`, between two renames
                os.replace(self.folder / ARRAY, self.part)
        with contextlib.suppress(OSError, ValueError):  # else the array is made anew
            array = np.lib.format.open_memmap(self.part, "r+")
            if (array.shape, array.dtype) == (self.shape, found["settings"]["dtype"]):
                self.array, self.state = array, found

    @contextlib.contextmanager
    def _writing(self):
        try:
            with writing(self.part, ", and call again: it goes on where it stopped"):
                yield
        except OSError:
            if not self.progress.exists():  # nothing that could be gone on with
                self.array = None
                self.part.unlink(missing_ok=True)
            raise


def _reserve(path):
    """Claims the disk space of a file: a full disk would kill a process that writes to a map."""
    if hasattr(os, "posix_fallocate"):
        with open(path, "r+b") as file:
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)


def describe(paths, settings):
    """What features of these photos will be made of; JSON can hold it.

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
    return {"settings": settings, "folder": folder, "images": images}


def find(folder, wanted, explain=False):
    """The index of the finished features in a folder, if they are just what is wanted; else None.

    Args:
        folder: a `Path`.
        wanted: what `describe` returns.
        explain: whether to print why features that are there will not do.

    Raises:
        ValueError: features of another network are there, or files that do not belong together.
    """
    if not (folder / INDEX).is_file():
        if (folder / ARRAY).exists() and not (folder / f"{INDEX}.part").exists():
            raise ValueError(
                f"{folder} holds {ARRAY}, but no {INDEX} that says what is in it: choose another "
                "output_path, or remove it"
            )
        return None
    found = load_json(folder / INDEX, **INDEX_KINDS)
    _check_settings(folder, found["settings"], wanted["settings"])
    change = _change(found["images"], wanted["images"])
    if change and explain:
        print(f"The features in {folder} are out of date ({change}): made anew.")
    return None if change else found


def report_bad(bad, images, skip_bad=False):
    """As `image_files.report`; `bad` is a list of `[position, fault]`."""
    faults = [(name(images, i), text) for i, text in bad]
    image_files.report(faults, len(images), skip_bad, "photos")


def name(images, i):
    """How a message calls a photo."""
    return f"image {i}" if isinstance(images[i], np.ndarray) else str(images[i])


def without(images, bad):
    gone = {i for i, _ in bad}
    return [image for i, image in enumerate(images) if i not in gone]


def _check_settings(folder, found, wanted):
    if found != wanted:
        raise ValueError(
            f"{folder} holds features of {_describe(found)}, but those of {_describe(wanted)} are "
            "asked for: choose another output_path, or remove that folder"
        )


def _describe(settings):
    shape = "x".join(map(str, settings["shape"]))
    network = settings["backbone"] or "a keras.Model"
    return f"{network} ({shape}, {settings['dtype']}, weights {settings['weights_sha256'][:8]})"


def _change(old, new):
    """What is no longer as it was, in a few words; empty if nothing is."""
    before, now = [name for name, *_ in old], [name for name, *_ in new]
    if len(before) != len(now):
        return f"they are of {len(before)} photos, not of {len(now)}"
    if sorted(before) != sorted(now):
        return f"they lack {some(sorted(set(now) - set(before)))}"
    if before != now:
        return "they are in another order"
    changed = [name for name, a, b in zip(now, old, new, strict=True) if a != b]
    return f"changed since: {some(changed)}" if changed else ""
