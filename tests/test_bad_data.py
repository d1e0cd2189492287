"""A folder of images with every fault: each is used rightly or named, by every loader."""

import os

import pytest

from recipes.datasets import image_files
from tools import bad_data

pytestmark = pytest.mark.filterwarnings(r"ignore:::PIL\.")  # pytest sets aside the module's own


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad") / bad_data.SPLIT
    folder.mkdir()
    return folder, bad_data.write(folder, 100)


@pytest.mark.parametrize("name", bad_data.LOADERS)
def test_each_image_is_used_rightly_or_named(folder, name):
    counts, faults = bad_data.check(bad_data.LOADERS[name], *folder)
    assert not faults
    assert counts["used rightly"] + counts["named"] == 100
    assert counts["named"] > 20


def test_all_faults_are_there(folder):
    made = {title for title, _ in folder[1].values() if title}
    assert made <= set(bad_data.FAULTS)
    assert len(made) > 50  # a system may not know links, pipes, or some of the names


# That the check itself can fail


@pytest.mark.parametrize(
    ("name", "function", "found"),
    [
        ("_turn", lambda image: None, "(EXIF: mirrored JPEG) is used wrongly"),
        ("_check_jpeg", lambda data: None, "(JPEG with zeros at the end) is used wrongly"),
        ("report", lambda *_: None, "but 100 are not named\nthe report does not begin with '0 of"),
        ("_printable", str, "72 images used, but 73 are not named"),
        (
            "image_names",
            lambda folder, *_: {"a": min(os.listdir(folder))},
            "1 images used, but 100",
        ),
    ],
)
def test_the_check_finds_a_loader_that_is_wrong(folder, monkeypatch, name, function, found):
    monkeypatch.setattr(f"recipes.datasets.image_files.{name}", function)
    _, faults = bad_data.check(bad_data.load_images, *folder)
    assert found in "\n".join(faults)


def test_a_good_image_that_is_left_out_is_found(folder, monkeypatch):
    def read(path):
        if path.suffix == ".webp":
            raise ValueError(f"{path} is not liked")
        return image_files.read(path)

    def load(folder, skip_bad):
        size = bad_data.HEIGHT, bad_data.WIDTH
        return image_files.load(image_files.find(folder), size, skip_bad=skip_bad, read=read)

    _, faults = bad_data.check(load, *folder)
    assert "(animated) is good, but left out" in "\n".join(faults)
