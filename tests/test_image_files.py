"""Picture files of every kind into arrays, and every kind of file that is not a picture."""

import contextlib
import io
import os
import threading
import warnings

import numpy as np
import pytest
from PIL import Image

from recipes.datasets import image_files
from recipes.datasets.files import MissingDataError

RGB = np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)
GREY = RGB[..., 0]
FLAT = np.full((20, 30, 3), (200, 30, 90), np.uint8)
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


# Kinds of pictures


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


def test_senseless_exif_is_no_matter(tmp_path):
    path = save(tmp_path / "a.jpg", FLAT, exif=b"Exif\0\0MM\0*\xff\xff\xff\xffrubbish")
    assert image_files.read(path).shape == FLAT.shape


def test_first_picture_of_an_animation(tmp_path):
    first, second = (Image.new("RGB", (8, 8), colour) for colour in ("red", "blue"))
    for suffix in ("gif", "webp", "tif", "png"):
        options = {"lossless": True} if suffix == "webp" else {}
        path = save(
            tmp_path / f"a.{suffix}", first, save_all=True, append_images=[second], **options
        )
        assert image_files.read(path)[0, 0].tolist() == [255, 0, 0]


# Files that are no pictures


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "gif", "webp", "tif"])
@pytest.mark.parametrize("keep", [0.02, 0.5, 0.9])
def test_truncated(tmp_path, suffix, keep):
    path = save(tmp_path / f"a.{suffix}", RGB)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    with pytest.raises(ValueError, match=r"cannot be read as a picture|not a picture") as error:
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
        pytest.param(b"This is not a picture.\n" * 9, "not a picture of the kinds JPEG", id="text"),
        pytest.param(b"\x89PNG\r\n\x1a\n", "not a picture of the kinds", id="signature-only"),
    ],
)
def test_not_a_picture(tmp_path, content, message):
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        image_files.read(path)
    assert str(path) in str(error.value)


@pytest.mark.parametrize("kind", ["EPS", "PPM"])  # Pillow starts Ghostscript for the first
def test_other_kinds_of_pictures_are_refused(tmp_path, kind):
    path = save(tmp_path / "a.jpg", RGB, format=kind)
    with pytest.raises(ValueError, match=r"a\.jpg is not a picture of the kinds"):
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


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.99])
def test_a_jpeg_whose_end_is_zeros_is_cut_off(tmp_path, keep):
    path = save(tmp_path / "a.jpg", RGB, quality=95)
    data, whole = path.read_bytes(), image_files.read(path)
    cut = data[: int(len(data) * keep)]
    path.write_bytes(cut.ljust(len(data) + 40, b"\0"))
    with pytest.raises(ValueError, match=r"a\.jpg cannot be .* only zeros where its end should"):
        image_files.read(path)
    path.write_bytes(data + bytes(500))  # as some cameras fill up a block
    assert np.array_equal(image_files.read(path), whole)


def test_other_kinds_of_pictures_may_end_in_zeros(tmp_path):
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
    from zlib import crc32

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


def test_large_pictures_below_the_limit_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(image_files, "MAX_PIXELS", 2400)
    assert image_files.read(save(tmp_path / "a.png", RGB)).shape == (40, 60, 3)


def test_no_warning_leaks_and_the_filters_come_back(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 2000)  # Pillow would warn of 2400 pixels
    paths = [save(tmp_path / f"{i}.png", RGB) for i in range(20)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        before = list(warnings.filters)
        threads = [threading.Thread(target=image_files.read, args=(path,)) for path in paths]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        image_files.load(paths, 8)
        assert list(warnings.filters) == before
        with pytest.raises(UserWarning, match="mine"):
            warnings.warn("mine", UserWarning, stacklevel=1)


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


def test_find_without_pictures(tmp_path):
    (tmp_path / "notes.txt").touch()
    with pytest.raises(ValueError, match="there is no picture in") as error:
        image_files.find(tmp_path)
    assert str(tmp_path) in str(error.value)


@pytest.mark.parametrize("name", ["none", "file"])
def test_find_without_a_folder(tmp_path, name):
    (tmp_path / "file").touch()
    with pytest.raises(MissingDataError, match="there is no folder") as error:
        image_files.find(tmp_path / name)
    assert str(tmp_path / name) in str(error.value)


# Many pictures of one size


@pytest.fixture
def paths(tmp_path):
    """Thirty pictures of one colour each, which is their number."""
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
    with pytest.raises(ValueError, match="13 of 30 pictures cannot be used") as error:
        image_files.load(paths, 8)
    text = str(error.value)
    assert [path for path in paths if str(path) in text] == [*paths[3:15], paths[20]]
    assert text.count("it is empty") == 6
    assert text.count("\n") == 14
    assert "skip_bad=True" in text


def test_of_very_many_bad_files_the_first_are_named(paths, monkeypatch):
    monkeypatch.setattr(image_files, "NAMED", 10)
    for path in paths[3:16]:
        path.write_bytes(b"text")
    with pytest.raises(ValueError, match="13 of 30 .*\n(.*\n){10}  and 3 more\nRepair") as error:
        image_files.load(paths, 8)
    assert [path for path in paths if str(path) in str(error.value)] == paths[3:13]


def test_load_leaves_out_bad_files_when_asked(paths, capsys):
    paths[3].write_bytes(b"")
    paths[20].unlink()
    found = image_files.load(paths, 8, skip_bad=True)
    assert found[:, 0, 0, 0].tolist() == [i for i in range(30) if i not in (3, 20)]
    count, first, second = capsys.readouterr().out.splitlines()
    assert count == "2 of 30 pictures left out:"
    assert first == f"  {paths[3]} cannot be read as a picture: it is empty"
    assert str(paths[20]) in second


def test_load_of_nothing_but_bad_files(paths):
    for path in paths[:2]:
        path.write_bytes(b"")
    with pytest.raises(ValueError, match="2 of 2 pictures cannot be used"):
        image_files.load(paths[:2], 8, skip_bad=True)


def test_load_names_the_file_where_the_reader_does_not(paths):
    def read(path):
        raise ValueError("no such thing")

    with pytest.raises(ValueError, match=r"05\.png: no such thing"):
        image_files.load(paths[5:6], 8, read=read)


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
    assert capsys.readouterr().out.splitlines() == ["4 of 9 pictures left out:", *lines]


def test_load_lets_other_errors_through(paths):
    with pytest.raises(ZeroDivisionError):
        image_files.load(paths, 8, read=lambda path: 1 / 0)


def test_load_of_no_files():
    with pytest.raises(ValueError, match="the list of files is empty"):
        image_files.load([], 8)


@pytest.mark.parametrize("size", [0, -1, 8.0, "8", None, (8,), (8, 0), (8, 8, 3)])
def test_size_that_cannot_be(paths, size):
    with pytest.raises(ValueError, match="size is a whole number above 0 or a pair"):
        image_files.load(paths, size)


def test_unknown_method(paths):
    with pytest.raises(ValueError, match="unknown method 'cubic'; known: photo, labels"):
        image_files.load(paths, 8, "cubic")


# Resizing


@pytest.mark.parametrize("shape", [(64, 64), (64, 4), (4, 64), (4, 4), (16, 16)])
def test_labels_get_no_new_colours_and_photos_keep_their_mean(shape):
    picture = np.random.default_rng(2).choice(np.uint8([0, 100, 200]), (*shape, 3))
    assert set(np.unique(image_files.resize(picture, 16, "labels"))) <= {0, 100, 200}
    assert abs(image_files.resize(picture, 16).mean() - picture.mean()) < 6


@pytest.mark.parametrize("shape", [(64, 64), (8, 64)])
def test_photos_are_antialiased(shape):
    # One column of four is white, so a pixel is a quarter white; to sample in between would give
    # black. At the border fewer columns come together.
    lines = np.zeros((*shape, 3), np.uint8)
    lines[:, ::4] = 255
    assert np.unique(image_files.resize(lines, 16)[:, 1:-1]).tolist() == [64]


def test_labels_stay_where_the_photo_is():
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:32, :32] = 255
    for method in image_files.METHODS:
        for size, half in ((16, 8), (128, 64)):
            found = image_files.resize(picture, size, method) > 127
            assert found[:half, :half].all()
            assert not found[half:].any()
            assert not found[:, half:].any()


def test_labels_are_taken_from_the_middle():
    picture = np.repeat(np.arange(9, dtype=np.uint8)[None, :, None], 3, 2).repeat(9, 0)
    assert image_files.resize(picture, 3, "labels")[0, :, 0].tolist() == [1, 4, 7]


def test_the_same_size_changes_nothing():
    for method in image_files.METHODS:
        assert np.array_equal(image_files.resize(RGB, (40, 60), method), RGB)
