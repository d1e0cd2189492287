"""Image files into arrays: whatever the kind of file, RGB in uint8, or an error that names it."""

import io
import mmap
import os
import re
import struct
import unicodedata
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np
import simplejpeg
from PIL import ExifTags, Image, UnidentifiedImageError
from PIL import TiffImagePlugin as TiffTags
from tqdm import tqdm

from recipes.datasets.files import MissingDataError, check_choice

SUFFIXES = (".jpg", ".jpeg", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")
UNREADABLE = (".heic", ".heif", ".avif", ".jxl", ".jp2", ".dng", ".cr2", ".nef", ".arw")
# Pillow opens many more kinds; some of them start another program.
FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
MAX_PIXELS = 100_000_000  # a file of a few kilobytes can claim more than the memory holds
MAX_BYTES = 8 * MAX_PIXELS  # 16 bits for each of red, green, blue and alpha
PNG = b"\x89PNG\r\n\x1a\n"  # its first bytes
TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP")  # parts of a PNG with words and colour profiles
SPARE_BYTES = 16  # some cameras leave so many before the mark of a JPEG's end
ZEROS = 64  # no WebP file ends in so many
# What Pillow has to say of oddities in a file helps nobody; an error is an error all the same.
warnings.filterwarnings("ignore", module=r"PIL\.")
Turn = Image.Transpose
TURNS = {
    2: Turn.FLIP_LEFT_RIGHT, 3: Turn.ROTATE_180, 4: Turn.FLIP_TOP_BOTTOM, 5: Turn.TRANSPOSE,
    6: Turn.ROTATE_270, 7: Turn.TRANSVERSE, 8: Turn.ROTATE_90,
}  # fmt: skip  # by the EXIF orientation
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
    """Read one image: the right way up by its EXIF data, anything transparent over white.

    Grey of 12, 16 or 32 bits is scaled to 8. Of an animation, or of several pages, the first image.

    Args:
        path: a JPEG, PNG, BMP, GIF, WebP or TIFF file.

    Returns:
        uint8 `(height, width, 3)`: red, green, blue in [0, 255].

    Raises:
        ValueError: not such a file, empty, cut off or damaged; more than `MAX_PIXELS` pixels or
            `MAX_BYTES` bytes; or 32-bit values that are neither integers in 0..65535 nor floats
            in 0..1.
        OSError: the file is not there or may not be read, or it is a folder.
    """
    if Path(path).is_fifo():  # to open it would be to wait for ever
        raise ValueError(f"{path} is a pipe, not a file")
    with open(path, "rb") as file:
        try:
            size = os.fstat(file.fileno()).st_size
            if not 0 < size <= MAX_BYTES:
                raise ValueError(f"it has {size:,} bytes" if size else "it is empty")
            with (
                mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data,
                Image.open(_undamaged(file, data), formats=FORMATS) as image,
            ):
                if image.width * image.height > MAX_PIXELS:
                    raise ValueError(
                        f"{image.width}x{image.height} pixels are more than {MAX_PIXELS:,}"
                    )
                _check_whole(image.format, data)
                return _to_rgb(image, data)
        except UnidentifiedImageError as error:
            raise ValueError(f"{path} is not an image of the kinds {', '.join(FORMATS)}") from error
        except Exception as error:  # on damaged files Pillow raises almost anything
            raise ValueError(f"{path} cannot be read as an image: {error}") from error


def from_pil(image):
    """A PIL image, as `read` would give it were it in a file.

    Returns:
        uint8 `(height, width, 3)`: red, green, blue in [0, 255].

    Raises:
        ValueError: it cannot be read, or holds values that `read` refuses.
    """
    try:
        return _to_rgb(image)
    except Exception as error:  # as in `read`
        raise ValueError(f"the PIL image {image!r} cannot be used: {error}") from error


def image_names(folder, suffixes=SUFFIXES):
    """The image files in a folder: dict from each name as one writes it to the name of the file.

    macOS writes an ü into file names as u and two dots; here it is one character (NFC), as in the
    files that name images. One listing, and no look at the files: on a network drive that would
    take minutes. So it may hold the name of a folder, or of a link that leads nowhere: `read` says
    so.

    Raises:
        ValueError: two files whose names look alike.
    """
    found = {}
    for name in sorted(os.listdir(folder)):
        if name.lower().endswith(suffixes) and name[0] != ".":
            if (written := nfc(name)) in found:
                raise ValueError(f"two files in {folder} have names that look alike: {written!r}")
            found[written] = name
    return found


def nfc(name):
    """A file name with composed characters: names that look alike are equal."""
    return unicodedata.normalize("NFC", name)


def find(folder):
    """The image files in a folder, by name; not in its subfolders, and no hidden files.

    Args:
        folder: a path. Any upper or lower case of the `SUFFIXES` will do.

    Returns:
        A sorted list of `Path`s, at least one.

    Raises:
        MissingDataError: there is no such folder.
        ValueError: there is no image in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise MissingDataError(f"there is no folder {folder} to take images from")
    names = sorted(image_names(folder, SUFFIXES + UNREADABLE).values())
    others = [name for name in names if name.lower().endswith(UNREADABLE)]
    found = [name for name in names if name.lower().endswith(SUFFIXES)]
    if not found:
        raise ValueError(
            f"there is no image in {folder} (subfolders are not searched). "
            f"Images are files that end in {' '.join(SUFFIXES)}"
        )
    if others:
        warnings.warn(
            f"left out of {folder}: {len(others)} files that cannot be read here, such as "
            f"{others[0]}; save them as JPEG or PNG to use them",
            stacklevel=2,
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
    found = {nfc(p.name): p for p in folder.iterdir() if p.is_dir() and p.name[0] != "."}
    known = sorted(found)
    if nfc(split) not in known:
        raise ValueError(
            f"there is no folder {split!r} in {folder}; there are: {', '.join(known) or 'none'}"
        )
    return found[nfc(split)]


def listed(paths):
    """Names of files as a list of `Path`s; ValueError if there are none, or it is one name."""
    if isinstance(paths, (str, bytes, os.PathLike)):  # a text would be taken letter by letter
        raise ValueError(
            f"paths: a list of files is needed, not the path {str(paths)!r}; image_files.find "
            "lists the images of a folder"
        )
    paths = [Path(path) for path in paths]
    if not paths:
        raise ValueError("paths: there are no images, the list of files is empty")
    return paths


def load(paths, size, method="photo", skip_bad=False, read=read):
    """Read images and stretch each of them to one size.

    Args:
        paths: list of the files.
        size: height and width, or a pair `(height, width)`.
        method: "photo" (antialiased) or "labels" (nearest neighbour: no new colours).
        skip_bad: leave out files that cannot be read, and print which; else they are an error.
        read: makes a uint8 `(height, width, 3)` of a path.

    Returns:
        uint8 `(n, height, width, 3)`, in the order of `paths`.

    Raises:
        ValueError: files that cannot be read, all in one message; no files at all; or an
            invalid size or method.
    """
    check_choice("method", method, METHODS)
    return gather(paths, lambda path: (resize(read(path), size, method),), size, 1, skip_bad)[0]


def gather(paths, make, size, count, skip_bad=False):
    """Make `count` images out of each file, in threads. See `load` for the rest.

    Args:
        make: makes `count` images of the given size of a path.

    Returns:
        uint8 `(count, n, height, width, 3)`.
    """
    paths = listed(paths)
    images = np.empty((count, len(paths), *height_width(size), 3), np.uint8)

    def work(index):
        try:
            images[:, index] = make(paths[index])
        except (ValueError, OSError) as error:
            return str(error)

    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        faults = list(
            tqdm(pool.map(work, range(len(paths))), "images", len(paths), delay=2, leave=False)
        )
    bad = [index for index, fault in enumerate(faults) if fault is not None]
    report([(paths[index], faults[index]) for index in bad], len(paths), skip_bad)
    return np.delete(images, bad, axis=1) if bad else images


def report(bad, count, skip_bad=False, what="images"):
    """Name the files that cannot be used: in an error, or printed if they may be left out.

    Args:
        bad: list of pairs, the name of a file and what is wrong with it.
        count: number of files, the good ones too.
        skip_bad: whether the bad ones may be left out, never all of them; None: they never may.
        what: what the files are.

    Raises:
        ValueError: there are bad files, and they may not be left out.
    """
    if not bad:
        return
    faults = [text if str(name) in text else f"{name}: {text}" for name, text in bad]
    lines = ":\n  " + some(faults, "\n  ", NAMED)
    if not skip_bad or len(bad) == count:
        advice = "" if skip_bad is None else ", or leave out the bad ones with skip_bad=True"
        raise ValueError(
            f"{len(bad)} of {count} {what} cannot be used{lines}\nRepair or remove them{advice}."
        )
    print(f"{len(bad)} of {count} {what} left out{lines}")


def some(items, separator=", ", most=LISTED):
    """The first items of a list in one text, and how many more there are."""
    more = [f"and {len(items) - most} more"] * (len(items) > most)
    return separator.join([*(_printable(str(item)) for item in items[:most]), *more])


def resize(image, size, method="photo"):
    """Stretch one uint8 `(height, width, 3)` image; `size` and `method` as for `load`."""
    height, width = height_width(size)
    if method == "labels":  # "exact": the pixel in the middle, where the photo has its mean
        return cv2.resize(image, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
    # OpenCV antialiases only what shrinks both ways; Pillow does each axis as it needs.
    resized = Image.fromarray(image).resize((width, height), Image.Resampling.BILINEAR)
    return np.array(resized)


def height_width(size):
    """Make `(height, width)` of one number or of a pair; ValueError if they are not sizes."""
    pair = tuple(size) if isinstance(size, (tuple, list)) else (size, size)
    if len(pair) != 2 or not all(isinstance(n, (int, np.integer)) and n > 0 for n in pair):
        raise ValueError(f"size is a whole number above 0 or a pair (height, width), not {size!r}")
    return pair


def _undamaged(file, data):
    """The file; of a PNG, a copy without the parts that are damaged or that no image needs.

    Pillow gives up at a damaged text or date, and at a long one, as well.
    """
    if data[: len(PNG)] != PNG:
        return file
    good, damaged, end, name = [slice(len(PNG))], False, len(PNG), b""
    while name != b"IEND":
        start = end
        if start + 8 > len(data):
            raise ValueError("it is cut off")
        size, name = struct.unpack(">I4s", data[start : start + 8])
        end = start + 12 + size
        if name in TEXTS:
            damaged = True  # as good as: it is of no use, and Pillow refuses a long one
        elif struct.pack(">I", crc32(data[start + 4 : end - 4])) == data[end - 4 : end]:
            good.append(slice(start, end))
        elif name.isupper() or name == b"tRNS":  # no image without it
            raise ValueError(f"its part {name.decode()} is damaged")
        else:
            damaged = True
    return io.BytesIO(b"".join(data[part] for part in good)) if damaged else file


def _check_whole(kind, data):
    """Raise a ValueError for a file that lacks a part, which Pillow would fill up in silence."""
    if kind in ("JPEG", "MPO"):
        _check_jpeg(data)
    elif kind == "WEBP":
        end = 8 + struct.unpack("<I", data[4:8])[0]
        if data[end - ZEROS : end] == bytes(ZEROS):
            raise ValueError("it is cut off: there are only zeros where its end should be")


def _check_jpeg(data):
    try:
        colours = simplejpeg.decode_jpeg_header(data, strict=False)[2]
        colours = "CMYK" if colours in ("CMYK", "YCCK") else "GRAY"
        # At an eighth of its size, which is fast, but all of its data is read.
        simplejpeg.decode_jpeg(data, colours, True, True, 1, 1, 8, strict=True)
    except ValueError as error:  # of what else it refuses, Pillow is the judge
        spare = re.search(r"(\d+) extraneous bytes before marker 0xd9", str(error))
        harmless = spare and int(spare[1]) <= SPARE_BYTES
        if str(error).startswith(("Corrupt", "Premature end")) and not harmless:
            raise


def _printable(text):
    """A text in one line, fit for any terminal: file names may hold whatever bytes."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def _to_rgb(image, data=None):
    tile = getattr(image, "tile", None)  # forgotten when the image is loaded
    bits = tile[0][3] if tile else None
    image.load()
    turn = _turn(image)
    signed = getattr(image, "tag_v2", {}).get(TiffTags.SAMPLEFORMAT, (1,))[0] == 2
    if signed and image.mode == "L" and np.asarray(image).max() > 127:  # of 8 bits, -128 to 127
        raise ValueError("its grey values are signed, and some of them below 0")
    if image.mode == "F" or image.mode.startswith("I"):  # Pillow would clip them at 255
        image = _to_8_bits(image)
    elif image.has_transparency_data:
        clear = image.info.get("transparency")
        if bits in ("L;2", "L;4"):  # Pillow scales the pixels of a PNG to 8 bits, but not this
            image.info["transparency"] = clear * (85 if bits == "L;2" else 17)
        elif data and clear and bits == "RGB;16B":  # a colour of 16 bits, where Pillow has but 8
            values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
            clear = (values[..., 2::-1] == clear).all(-1)  # OpenCV's order is blue, green, red
            image.putalpha(Image.fromarray(np.uint8(255) * ~clear))
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    image = image.convert("RGB")
    return np.array(image if turn is None else image.transpose(turn))


def _turn(image):
    try:
        return TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except Exception:  # senseless EXIF data: the image is whole all the same
        return None


def _to_8_bits(image):
    tags = getattr(image, "tag_v2", {})  # of a TIFF
    bits = tags.get(TiffTags.BITSPERSAMPLE, (16,))[0]
    top = 1 if image.mode == "F" else 4095 if bits == 12 else 65535
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= top):  # false for NaN too
        raise ValueError(f"its grey values go from {low} to {high}, not from 0 to {top}")
    levels = np.rint(values * (255 / top))
    if tags.get(TiffTags.PHOTOMETRIC_INTERPRETATION) == 0:  # 0 is white
        levels = 255 - levels
    levels[values == image.info.get("transparency")] = 255
    return Image.fromarray(levels.astype(np.uint8))
