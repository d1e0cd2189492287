"""Image files that are indexed like an array, more of them than the memory holds."""

import errno
import os

import numpy as np
import pytest
from PIL import Image

from recipes.datasets import image_array, image_files
from recipes.datasets.image_array import ImageArray


@pytest.fixture
def paths(tmp_path):
    """Twelve images, each of one colour on the left and another on the right."""
    (tmp_path / "images").mkdir()
    found = [tmp_path / "images" / f"{i:02}.png" for i in range(12)]
    for i, path in enumerate(found):
        array = np.full((6, 16, 3), i, np.uint8)
        array[:, 8:] += 100
        Image.fromarray(array).save(path)
    return found


@pytest.fixture(params=["none", "memory", "disk"])
def cache(request, tmp_path):
    return {"none": None, "memory": "memory"}.get(request.param, tmp_path / "cache")


def numbers(images):
    return images[..., 0, 0, 0].tolist()


def test_it_is_indexed_like_an_array(paths, cache):
    images = ImageArray(paths, (4, 8), cache=cache)
    whole = image_files.load(paths, (4, 8))
    assert (len(images), images.shape, images.dtype) == (12, whole.shape, whole.dtype)
    several = ([5, 1, 5], np.array([11, 0]), np.arange(12) > 8, [[1], [2]], slice(2, 9, 3))
    everything = (3, -1, *several)
    for index in (*everything, *everything, slice(None)):
        assert images[index].dtype == np.uint8
        assert np.array_equal(images[index], whole[index])
    assert images[[]].shape == (0, 4, 8, 3)
    for index in (12, [0, -13]):
        with pytest.raises(IndexError):
            images[index]


def test_what_is_returned_can_be_changed_without_harm(paths, cache):
    images = ImageArray(paths, 4, cache=cache)
    images[3][:] = 200
    images[[3, 4]][:] = 200
    assert numbers(images[[3, 4]]) == [3, 4]


def test_halves_of_pairs(paths, cache):
    for half, more in (("left", 0), ("right", 100)):
        images = ImageArray(paths, (6, 8), "labels", half, cache)
        assert np.array_equal(images[5], np.full((6, 8, 3), 5 + more))


@pytest.mark.parametrize("cache", ["memory", "disk"], indirect=True)
def test_a_file_is_read_once(paths, cache, monkeypatch):
    asked, read = [], image_files.read
    monkeypatch.setattr(image_array, "read", lambda path: asked.append(path.stem) or read(path))
    images = ImageArray(paths, 4, cache=cache)
    assert asked == []
    assert [numbers(images[index]) for index in ([3, 1], [1, 2], 3)] == [[3, 1], [1, 2], 3]
    assert sorted(asked) == ["01", "02", "03"]


def test_without_a_cache_files_are_read_each_time(paths, monkeypatch):
    asked, read = [], image_files.read
    monkeypatch.setattr(image_array, "read", lambda path: asked.append(path.stem) or read(path))
    images = ImageArray(paths, 4)
    assert numbers(images[[3, 1, 3]]) == [3, 1, 3]
    assert numbers(images[3]) == 3
    assert sorted(asked) == ["01", "03", "03"]


def test_the_file_on_disk_serves_the_next_run_as_long_as_nothing_has_changed(paths, tmp_path):
    folder = tmp_path / "cache"
    ImageArray(paths, 4, cache=folder)[:10]
    paths[0].write_bytes(b"damaged, but of the same size".ljust(paths[0].stat().st_size))
    other = ImageArray(paths, 4, cache=folder)
    with pytest.raises(ValueError, match="1 of 1 images cannot be used"):
        other[0]
    time = paths[1].stat().st_mtime_ns
    Image.fromarray(np.full((6, 16, 3), 77, np.uint8)).save(paths[0])
    os.utime(paths[0], ns=(time, time))
    images = ImageArray(paths, 4, cache=folder)
    assert numbers(images[:3]) == [77, 1, 2]
    again = ImageArray(paths, 4, cache=folder)
    for path in paths:  # they are not looked at any more
        size, time = path.stat().st_size, path.stat().st_mtime_ns
        path.write_bytes(bytes(size))
        os.utime(path, ns=(time, time))
    assert numbers(again[:3]) == [77, 1, 2]
    with pytest.raises(ValueError, match="cannot be used"):
        ImageArray(paths, 5, cache=folder)[:3]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"not an array"),
        lambda path: path.write_bytes(path.read_bytes()[:-200]),
        lambda path: np.save(path, np.zeros(12)),
        lambda path: np.save(path, np.load(path)[:3]),
    ],
    ids=["empty", "something else", "cut off", "other values", "fewer"],
)
def test_a_damaged_cache_is_made_anew(paths, tmp_path, damage):
    whole = ImageArray(paths, 4, cache=tmp_path / "cache")[:]
    [file] = (tmp_path / "cache").iterdir()
    damage(file)
    for _ in range(2):
        assert np.array_equal(ImageArray(paths, 4, cache=tmp_path / "cache")[:], whole)
    assert list((tmp_path / "cache").iterdir()) == [file]


def test_bad_files_are_named_and_may_be_repaired(paths, cache):
    whole = paths[3].read_bytes()
    for i in (3, 5):
        paths[i].write_bytes(b"")
    images = ImageArray(paths, 4, cache=None if cache is None else "memory")
    with pytest.raises(ValueError, match="2 of 4 images cannot be used") as error:
        images[[2, 3, 4, 5]]
    assert str(paths[3]) in str(error.value)
    assert str(paths[5]) in str(error.value)
    paths[3].write_bytes(whole)
    assert numbers(images[[2, 3, 4]]) == [2, 3, 4]


def test_there_is_no_room_for_the_cache(paths, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np.lib.format, "write_array_header_1_0", full)
    with pytest.raises(OSError, match=r"cannot write \S*/images-\w+\.npy: No space.*Make room"):
        ImageArray(paths, 4, cache=tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"paths": []}, "the list of files is empty"),
        ({"paths": "photos"}, "a list of files is needed, not the path 'photos'; image_files.find"),
        ({"size": 0}, "size is a whole number above 0"),
        ({"half": "upper"}, 'half: "left", "right" or None'),
        ({"method": "cubic"}, "unknown method 'cubic'"),
    ],
)
def test_what_cannot_be(paths, options, message):
    with pytest.raises(ValueError, match=message):
        ImageArray(**{"paths": paths, "size": 4} | options)
