"""Picture files into arrays: whatever the kind of file, RGB in uint8, or an error that names it."""

import contextlib
import os
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from tqdm import tqdm

from recipes.datasets.files import MissingDataError, check_choice

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
# Pillow opens many more kinds; some of them start another program.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
MAX_PIXELS = 100_000_000  # a file of a few kilobytes can claim more than the memory holds
METHODS = ("photo", "labels")
LISTED = 10  # so many names stand in a line of a message; of the others it gives the number
NAMED = 100  # so many bad files are named, each in a line that says what is wrong with it


def scale(images):
    """uint8 images, 0 to 255 -> float32 in [-1, 1]; any shape, arrays and tensors alike."""
    dtype = getattr(images, "dtype", None)
    if dtype not in (np.uint8, "uint8"):  # TensorFlow's compares with its name
        raise ValueError(f"scale: images of dtype {dtype}, but uint8 is needed")
    if isinstance(images, np.ndarray):
        return images.astype(np.float32) / np.float32(127.5) - np.float32(1)
    import tensorflow as tf  # here: most of what reads files does not need it, and it takes seconds

    return tf.cast(images, tf.float32) / 127.5 - 1.0


def read(path):
    """Read one picture: the right way up by its EXIF data, anything transparent over white.

    16-bit grey is scaled to 8 bits. Of an animation, or of several pages, the first picture.

    Args:
        path: a JPEG, PNG, BMP, GIF, WebP or TIFF file.

    Returns:
        uint8 `(height, width, 3)`: red, green, blue in [0, 255].

    Raises:
        ValueError: not such a file, empty, cut off or damaged; more than `MAX_PIXELS` pixels;
            or 32-bit values that are neither integers in 0..65535 nor floats in 0..1.
        OSError: the file is not there or may not be read, or it is a folder.
    """
    if Path(path).is_fifo():  # to open it would be to wait for ever
        raise ValueError(f"{path} is a pipe, not a file")
    with open(path, "rb") as file, _quiet():
        try:
            if not os.fstat(file.fileno()).st_size:
                raise ValueError("it is empty")
            if _has_lost_its_end(file):
                raise ValueError("it is cut off: there are only zeros where its end should be")
            with Image.open(file, formats=FORMATS) as image:
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(
                        f"{image.width}x{image.height} pixels are more than {MAX_PIXELS:,}"
                    )
                return _to_rgb(ImageOps.exif_transpose(image))
        except UnidentifiedImageError as error:
            raise ValueError(
                f"{path} is not a picture of the kinds {', '.join(FORMATS)}"
            ) from error
        except Exception as error:  # on damaged files Pillow raises almost anything
            raise ValueError(f"{path} cannot be read as a picture: {error}") from error


def picture_names(folder):
    """The names of the picture files in a folder, as a set.

    One listing, and no look at the files: on a network drive that would take minutes. So it may
    hold the name of a folder, or of a link that leads nowhere: `read` says so.
    """
    return {
        name for name in os.listdir(folder) if name.lower().endswith(SUFFIXES) and name[0] != "."
    }


def find(folder):
    """The picture files in a folder, by name; not in its subfolders, and no hidden files.

    Args:
        folder: a path. Any upper or lower case of the `SUFFIXES` will do.

    Returns:
        A sorted list of `Path`s, at least one.

    Raises:
        MissingDataError: there is no such folder.
        ValueError: there is no picture in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingDataError(f"there is no folder {folder} to take pictures from")
    found = sorted(picture_names(folder))
    if not found:
        raise ValueError(
            f"there is no picture in {folder} (subfolders are not searched). "
            f"Pictures are files that end in {' '.join(SUFFIXES)}"
        )
    return [folder / name for name in found]


def find_split(folder, split):
    """The subfolder `split` of `folder`, as a `Path`.

    Raises:
        MissingDataError: there is no such `folder`.
        ValueError: there is no such subfolder; the message lists those there are.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingDataError(f"there is no folder {folder}")
    known = sorted(p.name for p in folder.iterdir() if p.is_dir() and p.name[0] != ".")
    if split not in known:
        raise ValueError(
            f"there is no folder {split!r} in {folder}; there are: {', '.join(known) or 'none'}"
        )
    return folder / split


def load(paths, size, method="photo", skip_bad=False, read=read):
    """Read pictures and stretch each of them to one size.

    Args:
        paths: the files.
        size: height and width, or a pair `(height, width)`.
        method: "photo" (antialiased) or "labels" (nearest neighbour: no new colours).
        skip_bad: leave out files that cannot be read, and print which; else they are an error.
        read: makes a uint8 `(height, width, 3)` of a path.

    Returns:
        uint8 `(n, height, width, 3)`, in the order of `paths`.

    Raises:
        ValueError: files that cannot be read, all in one message; no files at all; or a size or
            method that cannot be.
    """
    check_choice("method", method, METHODS)
    return gather(paths, lambda path: (resize(read(path), size, method),), size, 1, skip_bad)[0]


def gather(paths, make, size, count, skip_bad=False):
    """Make `count` pictures out of each file, in threads. See `load` for the rest.

    Args:
        make: makes `count` pictures of the given size of a path.

    Returns:
        uint8 `(count, n, height, width, 3)`.
    """
    paths = [Path(path) for path in paths]
    if not paths:
        raise ValueError("there are no pictures to load: the list of files is empty")
    pictures = np.empty((count, len(paths), *height_width(size), 3), np.uint8)

    def work(index):
        try:
            pictures[:, index] = make(paths[index])
        except (ValueError, OSError) as error:
            return str(error)

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        faults = list(
            tqdm(pool.map(work, range(len(paths))), "pictures", len(paths), delay=2, leave=False)
        )
    bad = [index for index, fault in enumerate(faults) if fault is not None]
    report([(paths[index], faults[index]) for index in bad], len(paths), skip_bad)
    return np.delete(pictures, bad, axis=1) if bad else pictures


def report(bad, count, skip_bad=False, what="pictures"):
    """Tell which files cannot be used: in an error, or printed if they may be left out.

    Args:
        bad: list of pairs, the name of a file and what is wrong with it.
        count: number of files, the good ones too.
        skip_bad: whether the bad ones may be left out; never all of them.
        what: what the files are.

    Raises:
        ValueError: there are bad files, and they may not be left out.
    """
    if not bad:
        return
    faults = [text if str(name) in text else f"{name}: {text}" for name, text in bad]
    lines = ":\n  " + some(faults, "\n  ", NAMED)
    if not skip_bad or len(bad) == count:
        raise ValueError(
            f"{len(bad)} of {count} {what} cannot be used{lines}\n"
            "Repair or remove them, or leave out the bad ones with skip_bad=True."
        )
    print(f"{len(bad)} of {count} {what} left out{lines}")


def some(items, separator=", ", most=LISTED):
    """The first items of a list in one text, and how many more there are."""
    more = [f"and {len(items) - most} more"] * (len(items) > most)
    return separator.join([*(_printable(str(item)) for item in items[:most]), *more])


def resize(picture, size, method="photo"):
    """Stretch one uint8 `(height, width, 3)` picture; `size` and `method` as for `load`."""
    height, width = height_width(size)
    if method == "labels":  # "exact": the pixel in the middle, where the photo has its mean
        return cv2.resize(picture, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    # OpenCV antialiases only what shrinks both ways; Pillow does each axis as it needs.
    resized = Image.fromarray(picture).resize((width, height), Image.Resampling.BILINEAR)
    return np.array(resized)


def height_width(size):
    """Make `(height, width)` of one number or of a pair; ValueError if they are not sizes."""
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2 or not all(isinstance(n, (int, np.integer)) and n > 0 for n in pair):
        raise ValueError(f"size is a whole number above 0 or a pair (height, width), not {size!r}")
    return pair


def _has_lost_its_end(file):
    """Whether a JPEG ends in zeros, as a crash leaves it; Pillow would read it, grey below."""
    file.seek(-min(16, os.fstat(file.fileno()).st_size), os.SEEK_END)
    ends_in_zeros = not file.read().strip(b"\0")
    file.seek(0)
    if not ends_in_zeros:
        return False
    content = file.read().rstrip(b"\0")  # zeros after the mark of the end do no harm
    file.seek(0)
    return content.startswith(b"\xff\xd8") and not content.endswith(b"\xff\xd9")


def _printable(text):
    """A text in one line, fit for any terminal: file names may hold whatever bytes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _to_rgb(image):
    if image.mode == "F" or image.mode.startswith("I"):  # Pillow would clip them at 255
        values, top = np.asarray(image), 1 if image.mode == "F" else 65535
        low, high = values.min(), values.max()
        if not (low >= 0 and high <= top):  # false for NaN too
            raise ValueError(f"its grey values go from {low} to {high}, not from 0 to {top}")
        grey = np.rint(values * (255 / top)).astype(np.uint8)
        return np.repeat(grey[..., np.newaxis], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return np.array(image.convert("RGB"))


_lock = threading.Lock()
_readers = 0
_silence = None


@contextlib.contextmanager
def _quiet():
    """Keep Pillow's warnings to ourselves.

    Warning filters belong to the process, not to the thread: the first reader sets them, and the
    last one puts them back.
    """
    global _readers, _silence
    with _lock:
        _readers += 1
        if _readers == 1:
            _silence = warnings.catch_warnings()
            _silence.__enter__()
            warnings.simplefilter("ignore")
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if not _readers:
                _silence.__exit__(None, None, None)
