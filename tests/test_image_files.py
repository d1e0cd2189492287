"""Image files of every kind into arrays, and every kind of file that is not an image."""

import contextlib
import io
import os
import struct
import subprocess
import sys
import warnings
from pathlib import Path
from zlib import compress, crc32

import numpy as np
import pytest
from PIL import Image

from recipes.datasets import image_files
from recipes.datasets.files import MissingDataError

RGB = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
GREY = RGB[..., 0]
FLAT = np.full((20, 30, 3), (200, 30, 90), np.uint8)
pytestmark = pytest.mark.filterwarnings(r"ignore:::PIL\.")  # pytest sets aside the module's own
LOSSLESS = {"png": {}, "bmp": {}, "tif": {}, "webp": {"lossless": True}}


def save(path, array, mode=None, **options):
    """Save an array, or an image, as what the suffix says."""
    image = array if isinstance(array, Image.Image) else Image.fromarray(array)
    path.parent.mkdir(parents=True, exist_ok=True)
    (image.convert(mode) if mode else image).save(path, **options)
    return path


def grey_levels(found):
    assert np.ptp(found, axis=2).max() == 0
    return found[..., 0]


# Kinds of images


@pytest.mark.parametrize("suffix", LOSSLESS)
def test_read(tmp_path, suffix):
    found = image_files.read(save(tmp_path / f"a.{suffix}", RGB, **LOSSLESS[suffix]))
    assert found.dtype == np.uint8
    assert np.array_equal(found, RGB)
    assert found.flags.writeable


def test_read_takes_a_name_as_text_and_any_suffix(tmp_path):
    save(tmp_path / "a.png", RGB).rename(tmp_path / "a.jpg")
    assert np.array_equal(image_files.read(str(tmp_path / "a.jpg")), RGB)


def test_grey(tmp_path):
    found = image_files.read(save(tmp_path / "a.png", GREY))
    assert np.array_equal(grey_levels(found), GREY)


@pytest.mark.parametrize("suffix", ["gif", "png", "bmp", "tif"])
def test_palette(tmp_path, suffix):
    image = Image.fromarray(FLAT).quantize(4)
    assert np.array_equal(image_files.read(save(tmp_path / f"a.{suffix}", image)), FLAT)


def test_one_bit(tmp_path):
    found = image_files.read(save(tmp_path / "a.png", Image.fromarray(GREY > 99)))
    assert np.array_equal(grey_levels(found), (GREY > 99) * 255)


@pytest.mark.parametrize(
    ("mode", "name", "tolerance"),
    [("CMYK", "a.jpg", 12), ("CMYK", "a.tif", 1), ("YCbCr", "a.jpg", 4), ("YCbCr", "a.tif", 4)],
)
def test_other_colours(tmp_path, mode, name, tolerance):
    path = save(tmp_path / name, FLAT, mode)
    found = image_files.read(path)
    assert found.shape == FLAT.shape
    assert np.abs(found.astype(int) - FLAT).max() <= tolerance


def test_lab(tmp_path):
    # Full red is L 54.3, a 80.8, b 69.9 in the light of D50; Pillow adds 128 to a and b.
    image = Image.merge("LAB", [Image.new("L", (4, 4), value) for value in (138, 209, 198)])
    found = image_files.read(save(tmp_path / "a.tif", image))[0, 0].astype(int)
    assert np.abs(found - (255, 0, 0)).max() <= 8


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("RGBA", (200, 100, 0, 255), (200, 100, 0)),
        ("RGBA", (200, 100, 0, 0), (255, 255, 255)),
        ("RGBA", (200, 100, 0, 51), (244, 224, 204)),
        ("LA", (100, 51), (224, 224, 224)),
    ],
)
def test_alpha_is_over_white(tmp_path, mode, colour, expected):
    found = image_files.read(save(tmp_path / "a.png", Image.new(mode, (4, 4), colour)))
    assert found[1, 2].tolist() == list(expected)


@pytest.mark.parametrize(
    ("mode", "suffix"), [("P", "gif"), ("P", "png"), ("L", "gif"), ("L", "png"), ("RGB", "png")]
)
def test_a_transparent_colour_is_white(tmp_path, mode, suffix):
    image = Image.new(mode, (4, 4), 0)
    if mode == "P":
        image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 1), (9, 9, 9) if mode == "RGB" else 1)
    see_through = (0, 0, 0) if mode == "RGB" else 0
    found = image_files.read(save(tmp_path / f"a.{suffix}", image, transparency=see_through))
    assert found[0, 0].tolist() == [255, 255, 255]
    assert found[1, 1].tolist() == {"P": [40, 50, 60], "L": [1, 1, 1], "RGB": [9, 9, 9]}[mode]


def test_palette_with_alpha_values_is_over_white(tmp_path):
    image = Image.new("P", (4, 4), 0)
    image.putpalette([200, 100, 0])
    found = image_files.read(save(tmp_path / "a.png", image, transparency=bytes([51])))
    assert found[0, 0].tolist() == [244, 224, 204]


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_16_bit_grey_is_scaled(tmp_path, name):
    values = np.array([[0, 256, 257, 32896, 40000, 65535]], np.uint16)
    found = image_files.read(save(tmp_path / name, values))
    assert grey_levels(found).tolist() == [[0, 1, 1, 128, 156, 255]]


def test_16_bit_grey_of_the_other_byte_order(tmp_path):
    image = Image.frombytes("I;16B", (2, 1), b"\x80\x80\xff\xff")
    found = image_files.read(save(tmp_path / "a.tif", image))
    assert grey_levels(found).tolist() == [[128, 255]]


def png(bits, colours, row, clear):
    """A PNG file of one row, in which one colour is transparent."""
    width = 8 * len(row) // bits // (3 if colours == 2 else 1)
    header = struct.pack(">IIBBBBB", width, 1, bits, colours, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"tRNS", clear), (b"IDAT", compress(b"\0" + row)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", crc32(kind + data))


@pytest.mark.parametrize(
    ("bits", "colours", "row", "clear", "expected"),
    [
        (1, 0, b"\x55", b"\0\0", [255] * 8),
        (2, 0, b"\x1b", b"\0\1", [0, 255, 170, 255]),
        (4, 0, b"\x01\x2f", b"\0\2", [0, 17, 255, 255]),
        (8, 0, b"\0\1\2", b"\0\1", [0, 255, 2]),
        (16, 0, b"\0\0\x80\x80\x40\x40", b"\x80\x80", [0, 255, 64]),
        (16, 2, b"\1\0\2\0\3\0\4\0\5\0\6\0", b"\1\0\2\0\3\0", [255, 4]),
        (16, 2, b"\1\0\2\0\3\1\1\0\2\0\3\2", b"\1\0\2\0\3\2", [1, 255]),
    ],
)
def test_a_transparent_colour_of_any_depth_is_white(tmp_path, bits, colours, row, clear, expected):
    (tmp_path / "a.png").write_bytes(png(bits, colours, row, clear))
    assert image_files.read(tmp_path / "a.png")[0, :, 0].tolist() == expected


def tiff(values, bits, photometric, kind=1):
    """A TIFF file of one row; `photometric` 0 says that 0 is white, kind 3 is float."""
    width = 8 * len(values) // bits
    entries = [
        (256, width), (257, 1), (258, bits), (259, 1), (262, photometric), (273, 134), (277, 1),
        (278, 1), (279, len(values)), (339, kind),
    ]  # fmt: skip
    content = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    return b"II*\0\x08\0\0\0\x0a\0" + content + bytes(4) + values


@pytest.mark.parametrize(
    ("values", "bits", "photometric", "expected"),
    [
        (struct.pack("<3H", 0, 32896, 65535), 16, 1, [0, 128, 255]),
        (struct.pack("<3H", 0, 32896, 65535), 16, 0, [255, 127, 0]),
        (struct.pack("<3B", 0, 100, 255), 8, 0, [255, 155, 0]),
        (b"\x00\x08\x00\xff\xf0\x00", 12, 1, [0, 128, 255, 0]),
    ],
)
def test_grey_of_a_tiff(tmp_path, values, bits, photometric, expected):
    (tmp_path / "a.tif").write_bytes(tiff(values, bits, photometric))
    assert grey_levels(image_files.read(tmp_path / "a.tif")).tolist() == [expected]


def test_signed_grey_of_8_bits(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff(struct.pack("<3b", 0, 100, 127), 8, 1, kind=2))
    assert grey_levels(image_files.read(path)).tolist() == [[0, 100, 127]]
    path.write_bytes(tiff(struct.pack("<3b", 0, -100, 127), 8, 1, kind=2))
    with pytest.raises(ValueError, match="a.tif .* signed, and some of them below 0"):
        image_files.read(path)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 32896, 65535]], np.uint16), [[0, 128, 255]]),
        (np.array([[0, 32896, 65535]], np.int32), [[0, 128, 255]]),
        (np.array([[0, 0.5, 1]], np.float32), [[0, 128, 255]]),
        (np.array([[0, 128, 255]], np.uint8), [[0, 128, 255]]),
    ],
)
def test_pil_images_are_what_they_would_be_in_a_file(tmp_path, values, expected):
    image = Image.fromarray(values)
    assert grey_levels(image_files.from_pil(image)).tolist() == expected
    with Image.open(save(tmp_path / "a.tif", values)) as image:
        assert grey_levels(image_files.from_pil(image)).tolist() == expected
    clear = Image.new("RGBA", (1, 1), (9, 9, 9, 0))
    assert (image_files.from_pil(clear) == 255).all()
    with pytest.raises(ValueError, match="the PIL image .*mode=F.* go from -1.0 to -1.0, not from"):
        image_files.from_pil(Image.new("F", (1, 1), -1))


def test_float_grey_of_which_0_is_white(tmp_path):
    (tmp_path / "a.tif").write_bytes(tiff(struct.pack("<3f", 0, 0.5, 1), 32, 0, kind=3))
    assert grey_levels(image_files.read(tmp_path / "a.tif")).tolist() == [[255, 127, 0]]


def test_16_bit_colour(tmp_path):
    cv2 = pytest.importorskip("cv2")
    cv2.imwrite(str(tmp_path / "a.png"), RGB[..., ::-1].astype(np.uint16) * 257)
    assert np.array_equal(image_files.read(tmp_path / "a.png"), RGB)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0, 32896, 65535]], np.int32), [[0, 128, 255]]),
        (np.array([[0, 0.5, 1]], np.float32), [[0, 128, 255]]),
    ],
)
def test_32_bit_grey(tmp_path, values, expected):
    found = image_files.read(save(tmp_path / "a.tif", values))
    assert grey_levels(found).tolist() == expected


@pytest.mark.parametrize(
    "values",
    [
        np.array([[-1, 5]], np.int32),
        np.array([[0, 65536]], np.int32),
        np.array([[0, 200]], np.float32),
        np.array([[0, np.nan]], np.float32),
    ],
)
def test_32_bit_grey_out_of_range(tmp_path, values):
    path = save(tmp_path / "a.tif", values)
    with pytest.raises(ValueError, match="its grey values go from .* not from 0 to") as error:
        image_files.read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize(
    ("orientation", "back"),
    [
        (1, lambda a: a),
        (2, lambda a: a[:, ::-1]),
        (3, lambda a: a[::-1, ::-1]),
        (6, lambda a: np.rot90(a, 1)),
        (8, lambda a: np.rot90(a, -1)),
    ],
)
@pytest.mark.parametrize("array", [RGB, GREY, GREY.astype(np.uint16) * 257])
def test_exif_orientation(tmp_path, orientation, back, array):
    exif = Image.Exif()
    exif[0x0112] = orientation
    found = image_files.read(save(tmp_path / "a.png", np.ascontiguousarray(back(array)), exif=exif))
    assert np.array_equal(
        found if array is RGB else grey_levels(found), RGB if array is RGB else GREY
    )


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tif"])
@pytest.mark.parametrize(
    "exif",
    [
        b"MM\0*\xff\xff\xff\xffrubbish",
        b"rubbish",
        b"II*\0\x08\0\0\0\xff\xff",
        # One entry: the orientation, as three rationals that lie beyond the end.
        b"II*\0\x08\0\0\0\1\0\x12\1\5\0\3\0\0\0\xff\xff\0\0\0\0\0\0",
        b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x63\0\0\0\0\0\0\0",  # orientation 99
    ],
)
def test_senseless_exif_is_no_matter(tmp_path, suffix, exif):
    path = save(tmp_path / f"a.{suffix}", FLAT, **LOSSLESS.get(suffix, {}))
    if suffix == "jpg":
        data = path.read_bytes()
        head = b"\xff\xe1" + struct.pack(">H", len(exif) + 8) + b"Exif\0\0"
        path.write_bytes(data[:2] + head + exif + data[2:])
    elif suffix != "tif":
        save(path, FLAT, exif=b"Exif\0\0" + exif, **LOSSLESS[suffix])
    assert np.abs(image_files.read(path).astype(int) - FLAT).max() < 4


def test_an_image_is_turned_though_other_exif_data_is_senseless(tmp_path):
    entries = [b"\x12\1\3\0\1\0\0\0\6\0\0\0", b"\x69\x87\4\0\1\0\0\0\xff\xff\xff\x7f"]
    exif = b"Exif\0\0II*\0\x08\0\0\0\2\0" + b"".join(entries) + bytes(4)
    path = save(tmp_path / "a.png", np.ascontiguousarray(np.rot90(RGB, 1)), exif=exif)
    assert np.array_equal(image_files.read(path), RGB)


def test_first_image_of_an_animation(tmp_path):
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    for suffix in ("gif", "webp", "tif", "png"):
        options = {"lossless": True} if suffix == "webp" else {}
        path = save(
            tmp_path / f"a.{suffix}", first, save_all=True, append_images=[second], **options
        )
        assert image_files.read(path)[0, 0].tolist() == [255, 0, 0]


# Files that are no images


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif", "webp", "tif"])
@pytest.mark.parametrize("keep", [0.02, 0.5, 0.9])
def test_truncated(tmp_path, suffix, keep):
    path = save(tmp_path / f"a.{suffix}", RGB)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ValueError, match=r"cannot be read as an image|not an image") as error:
        image_files.read(path)
    assert str(path) in str(error.value)


def test_damaged_files_are_value_errors(tmp_path):
    rng, path = np.random.default_rng(1), tmp_path / "a"
    for kind in ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF"):
        whole = io.BytesIO()
        Image.fromarray(RGB[:8, :8]).save(whole, kind)
        for _ in range(60):
            data = bytearray(whole.getvalue())
            for place in rng.integers(0, len(data), 3):
                data[place] = rng.integers(256)
            path.write_bytes(data)
            with contextlib.suppress(ValueError):  # any other error fails the test
                found = image_files.read(path)
                assert found.ndim == 3
                assert found.dtype == np.uint8


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "it is empty", id="empty"),
        pytest.param(b"This is not an image.\n" * 9, "not an image of the kinds JPEG", id="text"),
        pytest.param(b"\x89PNG\r\n\x1a\n", "it is cut off", id="signature-only"),
    ],
)
def test_not_a_image(tmp_path, content, message):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        image_files.read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("kind", ["EPS", "PPM"])  # Pillow starts Ghostscript for the first
def test_other_kinds_of_images_are_refused(tmp_path, kind):
    path = save(tmp_path / "a.jpg", RGB, format=kind)
    with pytest.raises(ValueError, match=r"a\.jpg is not an image of the kinds"):
        image_files.read(path)


def test_files_that_are_not_there(tmp_path):
    link = tmp_path / "link.jpg"
    link.symlink_to(tmp_path / "gone.jpg")
    for path in (link, tmp_path / "none.jpg"):
        with pytest.raises(FileNotFoundError, match=path.name):
            image_files.read(path)
    with pytest.raises(OSError, match=tmp_path.name):
        image_files.read(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no pipes in folders")
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.jpg")
    with pytest.raises(ValueError, match=r"a\.jpg is a pipe, not a file"):
        image_files.read(tmp_path / "a.jpg")


def hole(data):
    return data[: len(data) // 2] + bytes(300) + data[len(data) // 2 + 300 :]


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"mode": "CMYK"}, {"mode": "L"}])
@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: data[: len(data) // 2].ljust(len(data), b"\0"), id="zeros"),
        pytest.param(lambda data: data[:-10] + bytes(500), id="zeros-at-the-end"),
        pytest.param(lambda data: data[: len(data) // 2] + b"\xff\xd9", id="end-mark"),
        pytest.param(
            lambda data: data[: len(data) // 2] + b"<html>Not found</html>" * 500, id="web-page"
        ),
        pytest.param(hole, id="hole"),
    ],
)
def test_a_jpeg_that_is_not_whole(tmp_path, options, damage):
    path = save(tmp_path / "a.jpg", RGB.repeat(4, 0).repeat(4, 1), quality=95, **options)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"a\.jpg cannot be read as an image: (Corr|Prem)"):
        image_files.read(path)


@pytest.mark.parametrize("kind", [b"tEXt", b"tIME", b"iCCP", b"eXIf", b"gAMA", b"pHYs"])
@pytest.mark.parametrize("at", [33, -12])  # behind the header, before the end
def test_a_part_of_a_png_that_is_no_part_of_the_image_may_be_damaged(tmp_path, kind, at):
    path = save(tmp_path / "a.png", RGB)
    data, part = path.read_bytes(), bytearray(chunk(kind, b"what it says"))
    part[10] ^= 1
    path.write_bytes(data[:at] + part + data[at:])
    assert np.array_equal(image_files.read(path), RGB)


@pytest.mark.parametrize("kind", [b"IHDR", b"tRNS", b"IDAT"])
def test_a_part_of_a_png_that_the_image_needs_may_not_be_damaged(tmp_path, kind):
    data = bytearray(png(8, 2, b"\1\2\3", b"\0\1\0\2\0\3"))
    data[data.index(kind) + 5] ^= 1
    (tmp_path / "a.png").write_bytes(data)
    with pytest.raises(ValueError, match=rf"a\.png cannot .* its part {kind.decode()} is damaged"):
        image_files.read(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "webp"])
@pytest.mark.parametrize("options", [{}, {"lossless": True}])
def test_an_image_that_a_crash_has_filled_with_zeros(tmp_path, suffix, options):
    path = save(tmp_path / f"a.{suffix}", RGB.repeat(4, 0).repeat(4, 1), **options)
    data = path.read_bytes()
    for share in (0.3, 0.6, 0.95):
        path.write_bytes(data[: int(share * len(data))].ljust(len(data), b"\0"))
        with pytest.raises(ValueError, match=rf"a\.{suffix} cannot be read as an image: "):
            image_files.read(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "gif", "tif"])
@pytest.mark.parametrize("more", [bytes(500), b"<html>" + bytes(40), b"\xff\xd9", b"\0"])
def test_what_follows_the_end_does_no_harm(tmp_path, suffix, more):
    path = save(tmp_path / f"a.{suffix}", RGB)
    whole = image_files.read(path)
    path.write_bytes(path.read_bytes() + more)
    assert np.array_equal(image_files.read(path), whole)


def test_a_few_spare_bytes_before_the_end_of_a_jpeg_do_no_harm(tmp_path):
    path = save(tmp_path / "a.jpg", RGB)
    whole = image_files.read(path)
    path.write_bytes(
        path.read_bytes()[:-2] + b"\0\1" * 5 + b"\xff\xd9"
    )  # as some cameras write them
    assert np.array_equal(image_files.read(path), whole)


def test_other_kinds_of_images_may_end_in_zeros(tmp_path):
    black = np.zeros((40, 60, 3), np.uint8)
    for suffix in ("bmp", "tif"):
        assert not image_files.read(save(tmp_path / f"a.{suffix}", black)).any()


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may read everything")
def test_file_that_may_not_be_read(tmp_path):
    path = save(tmp_path / "a.png", RGB)
    path.chmod(0)
    with pytest.raises(PermissionError, match=r"a\.png"):
        image_files.read(path)


def png_that_claims(path, width, height):
    """A small file whose header promises this size."""
    save(path, Image.new("1", (1, 1)))
    data = bytearray(path.read_bytes())
    data[16:24] = width.to_bytes(4, "big") + height.to_bytes(4, "big")
    data[29:33] = crc32(data[12:29]).to_bytes(4, "big")
    path.write_bytes(data)
    return path


# Pillow keeps quiet about the first, warns of the second and refuses the third.
@pytest.mark.parametrize(("width", "limit"), [(8_000, 79e6), (10_100, 100e6), (20_000, 100e6)])
def test_decompression_bomb(tmp_path, monkeypatch, width, limit):
    monkeypatch.setattr(image_files, "MAX_PIXELS", int(limit))
    path = png_that_claims(tmp_path / "a.png", width, 10_000)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ValueError, match="pixels") as error:
            image_files.read(path)
    assert str(path) in str(error.value)
    assert "truncated" not in str(error.value)


def test_a_huge_file_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "a.jpg"
    with open(path, "wb") as file:
        file.write(b"\xff\xd8\xff\xe0")
        file.truncate(2_000_000_000)  # takes no room on the disk
    with pytest.raises(ValueError, match=r"a\.jpg cannot be .*: it has 2,000,000,000 bytes"):
        image_files.read(path)


def test_what_pillow_warns_of_does_not_reach_the_reader(tmp_path):
    code = """
import sys
from PIL import Image
from recipes.datasets import image_files
Image.MAX_IMAGE_PIXELS = 2000  # Pillow would warn of 2400 pixels
image_files.load(sys.argv[1:], 8)
"""
    paths = [save(tmp_path / f"{i}.png", RGB) for i in range(4)]
    done = subprocess.run([sys.executable, "-c", code, *paths], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


# Folders


def test_find(tmp_path):
    names = ["10.PNG", "2.jpg", "B.Jpeg", "a.bmp", "b.gif", "c.webp", "d.tif", "e.TIFF"]
    names += ["folder.jpg", "broken.png"]  # to name them is for `read`
    others = [".hidden.jpg", "notes.txt", "jpg", "a.jpg.part"]
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "broken.png").symlink_to(tmp_path / "gone.png")
    for name in reversed(names[:-2] + others):
        (tmp_path / name).touch()
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "z.jpg").touch()
    found = image_files.find(str(tmp_path))
    assert found == [tmp_path / name for name in sorted(names)]


def test_find_without_images(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match="there is no image in") as error:
        image_files.find(tmp_path)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("name", ["none", "file"])
def test_find_without_a_folder(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(MissingDataError, match="there is no folder") as error:
        image_files.find(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)


# Many images of one size


@pytest.fixture
def paths(tmp_path):
    """Thirty images of one colour each, which is their number."""
    arrays = [np.full((6 + i % 3, 9, 3), i, np.uint8) for i in range(30)]
    return [save(tmp_path / f"{i:02}.png", array) for i, array in enumerate(arrays)]


@pytest.mark.parametrize(
    ("size", "shape"), [(8, (8, 8)), ((5, 12), (5, 12)), (np.int64(4), (4, 4))]
)
@pytest.mark.parametrize("method", image_files.METHODS)
def test_load_keeps_the_order(paths, size, shape, method):
    for order in (paths, paths[::-1]):
        found = image_files.load(order, size, method)
        assert found.shape == (30, *shape, 3)
        assert found.dtype == np.uint8
        assert found[:, 0, 0, 0].tolist() == [int(path.stem) for path in order]


def test_load_says_nothing_when_it_is_quick(paths, capfd):
    image_files.load((str(path) for path in paths), 8)
    assert capfd.readouterr() == ("", "")


def test_load_takes_another_reader(paths):
    found = image_files.load(paths, 8, read=lambda path: 255 - image_files.read(path))
    assert found[:, 0, 0, 0].tolist() == [255 - i for i in range(30)]


def test_load_tells_of_all_bad_files_at_once(paths):
    for i in range(3, 15):
        paths[i].write_bytes(b"" if i % 2 else b"text")
    paths[20].unlink()
    with pytest.raises(ValueError, match="13 of 30 images cannot be used") as error:
        image_files.load(paths, 8)
    text = str(error.value)
    assert [path for path in paths if str(path) in text] == [*paths[3:15], paths[20]]
    assert text.count("it is empty") == 6
    assert text.count("\n") == 14
    assert "skip_bad=True" in text


def test_load_leaves_out_bad_files_when_asked(paths, capsys):
    paths[3].write_bytes(b"")
    paths[20].unlink()
    found = image_files.load(paths, 8, skip_bad=True)
    assert found[:, 0, 0, 0].tolist() == [i for i in range(30) if i not in (3, 20)]
    count, first, second = capsys.readouterr().out.splitlines()
    assert count == "2 of 30 images left out:"
    assert first == f"  {paths[3]} cannot be read as an image: it is empty"
    assert str(paths[20]) in second


def test_load_of_nothing_but_bad_files(paths):
    for path in paths[:2]:
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="2 of 2 images cannot be used"):
        image_files.load(paths[:2], 8, skip_bad=True)


def test_an_error_without_a_text_is_one_too(paths, capsys):
    def read(path):
        if path == paths[5]:
            raise ValueError
        return image_files.read(path)

    found = image_files.load(paths, 8, skip_bad=True, read=read)
    assert found[:, 0, 0, 0].tolist() == [i for i in range(30) if i != 5]
    assert str(paths[5]) in capsys.readouterr().out


def test_every_bad_file_has_one_printable_line(capsys):
    names = ["two\nlines.png", "\x1b[31mred.png", "no text \udcff.png", "ünd 'so' 🐕.png"]
    image_files.report([(name, "it is empty") for name in names], 9, skip_bad=True)
    shown = [r"two\nlines.png", r"\x1b[31mred.png", r"no text \udcff.png", "ünd 'so' 🐕.png"]
    lines = [f"  {name}: it is empty" for name in shown]
    assert capsys.readouterr().out.splitlines() == ["4 of 9 images left out:", *lines]


def test_load_lets_other_errors_through(paths):
    with pytest.raises(ZeroDivisionError):
        image_files.load(paths, 8, read=lambda path: 1 / 0)


def test_load_of_no_files():
    with pytest.raises(ValueError, match="the list of files is empty"):
        image_files.load([], 8)
    for path in ("photo.jpg", Path("photo.jpg")):
        with pytest.raises(ValueError, match="a list of files is needed, not the path 'photo.jpg'"):
            image_files.load(path, 8)


@pytest.mark.parametrize("size", [0, -1, 8.0, "8", None, (8,), (8, 0), (8, 8, 3)])
def test_size_that_cannot_be(paths, size):
    with pytest.raises(ValueError, match="size is a whole number above 0 or a pair"):
        image_files.load(paths, size)


# Resizing


@pytest.mark.parametrize("shape", [(64, 64), (64, 4), (4, 64), (4, 4), (16, 16)])
def test_labels_get_no_new_colours_and_photos_keep_their_mean(shape):
    image = np.random.default_rng(2).choice(np.uint8([0, 100, 200]), (*shape, 3))
    assert set(np.unique(image_files.resize(image, 16, "labels"))) <= {0, 100, 200}
    assert abs(image_files.resize(image, 16).mean() - image.mean()) < 6


@pytest.mark.parametrize("shape", [(64, 64), (8, 64)])
def test_photos_are_antialiased(shape):
    # One column of four is white, so a pixel is a quarter white; to sample in between would give
    # black. At the border fewer columns come together.
    lines = np.zeros((*shape, 3), np.uint8)
    lines[:, ::4] = 255
    assert np.unique(image_files.resize(lines, 16)[:, 1:-1]).tolist() == [64]


def test_labels_stay_where_the_photo_is():
    image = np.zeros((64, 64, 3), np.uint8)
    image[:32, :32] = 255
    for method in image_files.METHODS:
        for size, half in ((16, 8), (128, 64)):
            found = image_files.resize(image, size, method) > 127
            assert found[:half, :half].all()
            assert not found[half:].any()
            assert not found[:, half:].any()


def test_labels_are_taken_from_the_middle():
    image = np.repeat(np.arange(9, dtype=np.uint8)[None, :, None], 3, 2).repeat(9, 0)
    assert image_files.resize(image, 3, "labels")[0, :, 0].tolist() == [1, 4, 7]


def test_the_same_size_changes_nothing():
    for method in image_files.METHODS:
        assert np.array_equal(image_files.resize(RGB, (40, 60), method), RGB)
