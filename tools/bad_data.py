"""A folder of images, some of which have faults, and what our loaders make of it.

    python -m tools.bad_data --count 2000

A loader passes if it uses every image rightly, pixel by pixel, or names it in its report, and if
the report counts those that it names. Faults that the system knows nothing of are left out.
"""

import argparse
import contextlib
import io
import json
import os
import struct
import sys
import tempfile
import zlib
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from recipes.datasets import cityscapes, coco, image_files

HEIGHT, WIDTH = 32, 64  # twice as wide as high: each image will do as a pair
SPLIT = "train2017"
LOSSY = 12  # grey levels by which a JPEG or CMYK image may differ; others by rounding alone


def draw(rng):
    """32 blocks of one colour each: JPEG keeps them nearly, a palette holds them all."""
    return rng.integers(0, 256, (4, 8, 3), np.uint8).repeat(8, 0).repeat(8, 1)


def encode(array, kind="PNG", mode=None, **options):
    buffer = io.BytesIO()
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    (image.convert(mode) if mode else image).save(buffer, kind, **options)
    return buffer.getvalue()


def jpeg(array, mode=None, **options):
    return encode(array, "JPEG", mode, quality=95, subsampling=0, **options)


# Faults. Each is a function of the folder, a plain name and an image; it writes a file and returns
# its name and the pixels that are to be read from it, or None if it has to be named.


def named(content):
    """A file that no loader may use: `content` is a function of the image."""

    def write(folder, name, array):
        (folder / name).write_bytes(content(array))
        return name, None

    return write


def used(content, expected=lambda array: array, suffix=".png"):
    """A file that a loader has to use: `expected` is a function of the image."""

    def write(folder, name, array):
        path = (folder / name).with_suffix(suffix)
        path.write_bytes(content(array))
        return path.name, expected(array)

    return write


def called(name, empty=False):
    """An image, or an empty file, of an unusual name."""

    def write(folder, _, array):
        (folder / name).write_bytes(b"" if empty else encode(array))
        return name, None if empty else array

    return write


def made(make, expected=lambda array: None):
    """Something else than a file: `make` is a function of its path and of the image."""

    def write(folder, name, array):
        make(folder / name, array)
        return name, expected(array)

    return write


def cut(share, encoder):
    def content(array):
        whole = encoder(array)
        return whole[: int(share * len(whole))]

    return named(content)


def patched(encoder, mark, offset, values):
    """A header that claims another size: `values` stand `offset` bytes after `mark`."""

    def content(array):
        data = bytearray(encoder(array))
        at = data.index(mark) + offset
        data[at : at + len(values)] = values
        return bytes(data)

    return named(content)


def png_of_zeros(width, height):
    """A few kilobytes that hold a whole image of this size, one bit a pixel."""

    def chunk(kind, data):
        crc = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + crc

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    pixels = zlib.compress(bytes((width // 8 + 1) * height))
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def turned(orientation, kind, turn):
    """Stored as `turn` leaves it, with the EXIF orientation that turns it back."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    suffix = {"JPEG": ".jpg", "TIFF": ".tif"}.get(kind, ".png")
    options = {"quality": 95, "subsampling": 0} if kind == "JPEG" else {}
    return used(
        lambda a: encode(np.ascontiguousarray(turn(a)), kind, exif=exif, **options), suffix=suffix
    )


def grey(array):
    return np.repeat(array[..., :1], 3, axis=2)


def half_clear(array):
    """Alpha of 51, a fifth: over white, four fifths of what is seen are white."""
    return np.dstack((array, np.full(array.shape[:2], 51, np.uint8)))


def over_white(array):
    return np.rint(array * 0.2 + 255 * 0.8)


def animated(kind, **options):
    def content(array):
        other = [Image.fromarray(255 - array)]
        return encode(array, kind, save_all=True, append_images=other, **options)

    return content


def palette(array):
    colours, numbers = np.unique(array.reshape(-1, 3), axis=0, return_inverse=True)
    image = Image.fromarray(numbers.reshape(array.shape[:2]).astype(np.uint8))
    image.putpalette(colours.tobytes())
    return encode(image)


def shorts(array):
    """16 bits: all grey levels between those of 8."""
    return array[..., 0].astype(np.uint16) * 257


def colour_shorts(array):
    return cv2.imencode(".png", array[..., ::-1].astype(np.uint16) * 257)[1].tobytes()


def flipped_bit(array):
    data = bytearray(encode(array))
    data[data.index(b"IDAT") + 20] ^= 4
    return bytes(data)


def half(data):
    return data[: len(data) // 2]


def huge(path):
    with open(path, "wb") as file:
        file.truncate(2_000_000_000)  # takes no room on the disk


def clear_shorts(array):
    """Its first grey level is transparent."""
    return encode(shorts(array), transparency=int(shorts(array)[0, 0]))


def clear_grey(array):
    found = grey(array)
    return np.where(found == found[0, 0], 255, found)


def white_is_0(array):
    return encode(shorts(array), "TIFF", tiffinfo={262: 0})


def locked(path, array):
    path.write_bytes(encode(array))
    path.chmod(0)


def linked(path, array):
    target = path.parent.with_name("elsewhere.png")
    target.write_bytes(encode(array))
    path.symlink_to(target)


def readable(array):
    """A file of mode 0 is one to use for root, who may read everything."""
    return array if getattr(os, "geteuid", lambda: 1)() == 0 else None


FAULTS = {
    "truncated JPEG": cut(0.5, jpeg),
    "truncated progressive JPEG": cut(0.7, lambda a: jpeg(a, progressive=True)),
    "truncated PNG": cut(0.9, encode),
    "truncated GIF": cut(0.8, lambda a: encode(a, "GIF")),
    "truncated WebP": cut(0.6, lambda a: encode(a, "WEBP")),
    "truncated TIFF": cut(0.4, lambda a: encode(a, "TIFF")),
    "no byte": named(lambda a: b""),
    "all bytes zero": named(lambda a: bytes(5000)),
    "JPEG with zeros at the end": named(lambda a: jpeg(a)[:-100] + bytes(3000)),
    "JPEG cut in half, with an end mark": named(lambda a: half(jpeg(a)) + b"\xff\xd9"),
    "JPEG cut in half, and a web page": named(lambda a: half(jpeg(a)) + b"<p>Not found</p>" * 99),
    "JPEG with a hole": named(lambda a: half(jpeg(a)) + bytes(200) + jpeg(a)[-300:]),
    "2 GB of zeros": made(lambda path, a: huge(path)),
    "a bit flipped": named(flipped_bit),
    "text": named(lambda a: b"This is not an image.\n" * 9),
    "web page": named(lambda a: b"<!DOCTYPE html><html>404: not found</html>"),
    "PostScript": named(lambda a: encode(a, "EPS")),
    "kind that is not read": named(lambda a: encode(a, "PPM")),
    "JPEG that claims 65,500x65,500": patched(jpeg, b"\xff\xc0", 5, b"\xff\xdc\xff\xdc"),
    "GIF that claims 65,535x65,535": patched(lambda a: encode(a, "GIF"), b"GIF", 6, b"\xff" * 4),
    "PNG of 120 million pixels": named(lambda a: png_of_zeros(12_000, 10_000)),
    "values out of range": named(lambda a: encode(a[..., 0].astype(np.int32) - 300, "TIFF")),
    "broken link": made(lambda path, a: path.symlink_to("gone.jpg")),
    "link to itself": made(lambda path, a: path.symlink_to(path.name)),
    "folder": made(lambda path, a: path.mkdir()),
    "pipe": made(lambda path, a: os.mkfifo(path)),
    "no permission": made(locked, readable),
    "empty, name with a line end": called("two\nlines.jpg", empty=True),
    "empty, name that is no text": called(os.fsdecode(b"\xff\xfe.jpg"), empty=True),
    "grey JPEG": used(lambda a: jpeg(a[..., 0]), grey, ".jpg"),
    "grey PNG": used(lambda a: encode(a[..., 0]), grey),
    "one bit": used(lambda a: encode(a[..., 0] > 99), lambda a: (grey(a) > 99) * 255),
    "16-bit grey PNG, one level transparent": used(clear_shorts, clear_grey),
    "16-bit TIFF of which 0 is white": used(white_is_0, lambda a: 255.0 - grey(a), ".tif"),
    "palette": used(lambda a: encode(a, "GIF"), suffix=".gif"),
    "palette PNG": used(palette),
    "CMYK JPEG": used(lambda a: jpeg(a, "CMYK"), suffix=".jpg"),
    "CMYK TIFF": used(lambda a: encode(a, "TIFF", "CMYK"), suffix=".tif"),
    "alpha": used(lambda a: encode(half_clear(a)), over_white),
    "alpha of WebP": used(
        lambda a: encode(half_clear(a), "WEBP", lossless=True, exact=True), over_white, ".webp"
    ),
    "16-bit grey PNG": used(lambda a: encode(shorts(a)), grey),
    "16-bit grey TIFF": used(lambda a: encode(shorts(a), "TIFF"), grey, ".tif"),
    "16-bit colour": used(colour_shorts),
    "EXIF: mirrored JPEG": turned(2, "JPEG", lambda a: a[:, ::-1]),
    "EXIF: upside down": turned(3, "TIFF", lambda a: a[::-1, ::-1]),
    "EXIF: on its left": turned(6, "JPEG", lambda a: np.rot90(a, 1)),
    "EXIF: on its right": turned(8, "PNG", lambda a: np.rot90(a, -1)),
    "animated": used(animated("WEBP", lossless=True), suffix=".webp"),
    "two images in one JPEG": used(animated("MPO", quality=95, subsampling=0), suffix=".jpg"),
    "PNG called JPG": used(encode, suffix=".JPG"),
    "JPEG with zeros after its end": used(lambda a: jpeg(a) + bytes(700), suffix=".jpg"),
    "senseless EXIF data": used(lambda a: encode(a, exif=b"Exif\0\0rubbish")),
    "JPEG with a web page after its end": used(lambda a: jpeg(a) + b"<p>" * 99, suffix=".jpg"),
    "link": made(linked, lambda a: a),
    "name: blanks and quotes": called(" a 'b' \"c\" `d` $(e).png"),
    "name: umlauts, emoji": called("Größe u\u0308 日本 🐕.png"),
    "name: dash, signs of formats": called("-rf {0} %s [*].png"),
    "name: line end": called("two\nlines.png"),
}


def write(folder, count, seed=0):
    """Writes images, and each fault once among them, at places that the seed draws.

    Returns:
        dict, name -> (title of the fault or "", the pixels expected or None).
    """
    rng, expected = np.random.default_rng(seed), {}
    faults = dict(zip(rng.permutation(count)[: len(FAULTS)], FAULTS, strict=True))
    for i in range(count):
        title, array = faults.get(i, ""), draw(rng)
        plain = used(jpeg, suffix=".jpg") if i % 2 else used(encode)
        try:
            name, pixels = FAULTS.get(title, plain)(folder, f"{i:05}.jpg", array)
        except (OSError, AttributeError):  # no such name, link or pipe on this system
            print(f"{title}: cannot be made here")
            title, (name, pixels) = "", plain(folder, f"{i:05}.jpg", array)
        expected[name] = title, pixels
    return expected


def load_images(folder, skip_bad):
    return image_files.load(image_files.find(folder), (HEIGHT, WIDTH), skip_bad=skip_bad)


def load_pairs(folder, skip_bad):
    labels, photos = cityscapes.load(folder.name, folder.parent, HEIGHT, skip_bad=skip_bad)
    return np.concatenate((photos, labels), axis=2)


def extract_features(folder, skip_bad):
    """Captioned photos through a net whose features are its pixels."""
    import keras

    from recipes.captioning import ImageCaptionFeatureExtractor

    names = sorted(os.listdir(folder))
    images = [{"id": i, "file_name": name} for i, name in enumerate(names)]
    captions = [{"id": i, "image_id": i, "caption": "an image"} for i in range(len(names))]
    path = folder.parent / "annotations" / f"captions_{SPLIT}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": captions}))
    data = coco.load("train", folder.parent, captions=None)
    inputs = keras.Input((HEIGHT, WIDTH, 3))
    net = keras.Model(inputs, keras.layers.Activation("linear")(inputs))
    extractor = ImageCaptionFeatureExtractor(net, spatial=True, dtype="float32")
    features = extractor.extract_features(data.paths, skip_bad=skip_bad)
    return np.rint((features.array + 1) * 127.5)


LOADERS = {
    "image_files.load": load_images,
    "cityscapes.load": load_pairs,
    "coco.load, features": extract_features,
}


def check(load, folder, expected):
    """What a loader makes of the folder.

    Returns:
        `(counts, faults)`: a dict, and a list of what is wrong, which should be empty.
    """
    report = io.StringIO()
    with contextlib.redirect_stdout(report):
        rows = load(folder, skip_bad=True)
    try:
        load(folder, skip_bad=False)
        error = "no error"
    except ValueError as refusal:
        error = str(refusal)
    left_out = _named(report.getvalue(), folder, expected)
    faults = [f"the error and the report differ: {error}"] * (
        left_out != _named(error, folder, expected)
    )
    count = f"{len(left_out)} of {len(expected)} "
    faults += [
        f"{where} does not begin with {count!r}"
        for where, text in (("the report", report.getvalue()), ("the error", error))
        if not text.startswith(count)
    ]
    kept = sorted(expected.keys() - left_out)
    if len(kept) != len(rows):
        return {}, [f"{len(rows)} images used, but {len(kept)} are not named", *faults]
    wrong = [
        name for name, row in zip(kept, rows, strict=True) if not _right(row, name, *expected[name])
    ]
    lost = [name for name in left_out if expected[name][1] is not None]
    faults += [f"{name!r} ({expected[name][0]}) is used wrongly" for name in wrong]
    faults += [f"{name!r} ({expected[name][0]}) is good, but left out" for name in lost]
    counts = {"used rightly": len(kept) - len(wrong), "named": len(left_out)}
    return counts | {"used wrongly": len(wrong), "left out though good": len(lost)}, faults


def _named(report, folder, expected):
    """The names that stand in a report, each in a line of its own, with what is wrong."""
    lines = report.splitlines()[1:]
    # As they are, escaped, or as the system's errors quote them.
    return {
        name
        for name in expected
        if any(f"{os.sep}{text}" in line for line in lines for text in (name, repr(name)[1:-1]))
    }


def _right(row, name, title, pixels):
    if pixels is None:
        return False
    lossy = name.endswith(".jpg") or "CMYK" in title
    return np.abs(row.astype(int) - pixels).max() <= (LOSSY if lossy else 1)


def main(arguments=()):
    parser = argparse.ArgumentParser(prog="python -m tools.bad_data")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root, SPLIT)
        folder.mkdir()
        expected = write(folder, options.count, options.seed)
        made = sum(bool(title) for title, _ in expected.values())
        print(f"{options.count:,} images, {made} of them with faults, seed {options.seed}")
        failed = 0
        for name, load in LOADERS.items():
            counts, faults = check(load, folder, expected)
            failed += bool(faults)
            words = ", ".join(f"{number} {what}" for what, number in counts.items())
            print(f"{name:<24}{'FAILED' if faults else 'ok':<8}{words}")
            print("".join(f"  {fault}\n" for fault in faults), end="")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
