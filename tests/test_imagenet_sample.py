"""The photos of ImageNet that notebook 05 attacks."""

import io
import zipfile

import numpy as np
import pytest
from PIL import Image

from recipes.datasets import imagenet_sample
from recipes.datasets.files import MissingDataError


def jpeg(grey):
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8), (grey, grey, grey)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(imagenet_sample, "CLASSES", 4)


@pytest.fixture
def server(http_server, monkeypatch, small):
    """The archive as GitHub packs it: one folder, in any order, and a file that is no image."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for i in (2, 0, 3, 1):
            archive.writestr(f"images-bc69/n0000000{i}_{'dcba'[i]}.JPEG", jpeg(50 * i))
        archive.writestr("images-bc69/README.md", "words")
    http_server.files["/photos.zip"] = buffer.getvalue()
    monkeypatch.setattr(imagenet_sample, "URL", f"{http_server.url}/photos.zip")
    return http_server


def test_it_downloads_itself_once(root, server, capsys):
    photos, classes = imagenet_sample.load(4, 6)
    assert photos.shape == (4, 6, 6, 3)
    assert classes.tolist() == [0, 1, 2, 3]
    np.testing.assert_allclose(photos[:, 0, 0, 0], [0, 50, 100, 150], atol=2)
    assert "Terms: for research and education only" in capsys.readouterr().out
    photos, classes = imagenet_sample.load(2, 6)
    assert classes.tolist() == [0, 3]
    assert server.asked == {"/photos.zip": 1}


def test_files_that_say_their_class(root, small):
    folder = root / "imagenet_sample"
    folder.mkdir()
    for number in (7, 5):
        (folder / f"{number:03d}_n0000000{number}_a.jpg").write_bytes(jpeg(number))
    assert imagenet_sample.load(4)[1].tolist() == [5, 7]


def test_files_of_other_names_are_refused(root, small):
    folder = root / "imagenet_sample"
    folder.mkdir()
    for name in ("n00000001_a.jpg", "n00000002_b.jpg"):  # two of four: whose number is theirs?
        (folder / name).write_bytes(jpeg(0))
    with pytest.raises(ValueError, match=r"imagenet_sample holds 2 images, but 4 are needed"):
        imagenet_sample.load(2)
    (folder / "cat.jpg").write_bytes(jpeg(0))
    with pytest.raises(ValueError, match="named as published: n01440764_tench.JPEG"):
        imagenet_sample.load(2)


def test_no_network(root):
    with pytest.raises(MissingDataError, match=r"1,000 photos of ImageNet is not in .*") as error:
        imagenet_sample.load()
    for part in ("n01440764_tench.JPEG", "RECIPES_DATA_DIR"):
        assert part in str(error.value)


@pytest.mark.parametrize("count", [0, 1001, 2.5])
def test_a_count_out_of_range_is_refused(count):
    with pytest.raises(ValueError, match=f"^count {count}"):
        imagenet_sample.load(count)
