import hashlib

import cv2
import numpy as np
import pytest
from PIL import Image
from toyworlds import landscapes
from toyworlds.landscapes import draw, landscape

SCENES = range(100, 140)


@pytest.fixture(scope="module")
def summers():
    return np.stack([landscape(seed) for seed in SCENES])


@pytest.fixture(scope="module")
def winters():
    return np.stack([landscape(seed, winter=True) for seed in SCENES])


def whiteness(images):
    """Share of bright pixels without much colour, one number a picture."""
    high, low = images.max(-1).astype(float), images.min(-1).astype(float)
    return ((high > 150) & (high - low < 0.22 * high)).mean((1, 2))


def greenness(images):
    """Share of pixels that are greener than red and blue."""
    red, green, blue = np.moveaxis(images.astype(int), -1, 0)
    return ((green > red + 8) & (green > blue + 8)).mean((1, 2))


def edges(image):
    """Where brightness changes, of mean 0 and norm 1."""
    grey = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1)
    strength = np.hypot(cv2.Sobel(grey, -1, 1, 0), cv2.Sobel(grey, -1, 0, 1))
    strength -= strength.mean()
    return strength.ravel() / np.linalg.norm(strength)


def test_same_seed_same_bits(summers, winters):
    assert summers.shape == (40, 64, 64, 3)
    assert summers.dtype == np.uint8
    np.testing.assert_array_equal(landscape(100), summers[0])
    np.testing.assert_array_equal(landscape(100, winter=True), winters[0])
    assert len({image.tobytes() for image in [*summers, *winters]}) == 80


def test_the_season_is_in_the_colours(summers, winters):
    assert whiteness(winters).mean() > whiteness(summers).mean() + 0.3
    assert greenness(summers).mean() > greenness(winters).mean() + 0.25
    told = np.concatenate([greenness(summers) > 0.1, greenness(winters) < 0.1])
    assert told.mean() >= 0.95


def test_both_seasons_show_the_same_place(summers, winters):
    likeness = np.stack([edges(i) for i in summers]) @ np.stack([edges(i) for i in winters]).T
    own = np.diag(likeness)
    assert own.mean() > likeness.mean() + 0.2
    assert (likeness.argmax(1) == np.arange(40)).mean() >= 0.9


@pytest.mark.parametrize("winter", [False, True])
def test_every_size_shows_the_same_scene(winter):
    small = landscape(3, winter, 64).astype(float)
    large = cv2.resize(landscape(3, winter, 256), (64, 64), interpolation=cv2.INTER_AREA)
    assert np.abs(small - large).mean() < 8
    assert landscape(3, winter, 32).shape == (32, 32, 3)


def test_folders(tmp_path):
    folder = draw(tmp_path / "places", train=3, test=2, size=32, seed=1)
    counts = {"trainA": 3, "trainB": 3, "testA": 2, "testB": 2}
    for name, count in counts.items():
        names = sorted(path.name for path in (folder / name).iterdir())
        assert names == [f"{i:04d}.jpg" for i in range(count)]
    with Image.open(folder / "trainA" / "0000.jpg") as image:
        assert (image.size, image.mode) == ((32, 32), "RGB")


def test_no_place_is_drawn_twice(tmp_path, monkeypatch):
    drawn = []

    def record(seed, winter, size):
        drawn.append((seed, winter))
        return landscape(seed, winter, size)

    monkeypatch.setattr(landscapes, "landscape", record)
    folder = draw(tmp_path / "places", train=4, test=2, size=32)
    assert len({seed for seed, _ in drawn}) == len(drawn) == 12
    assert sum(winter for _, winter in drawn) == 6
    files = [hashlib.sha256(path.read_bytes()).digest() for path in folder.glob("*/*.jpg")]
    assert len(set(files)) == 12


def test_a_finished_folder_is_kept(tmp_path):
    def state(folder):
        return {path: path.stat().st_mtime_ns for path in folder.glob("*/*.jpg")}

    before = state(draw(tmp_path / "places", train=2, test=1, size=32))
    assert state(draw(tmp_path / "places", train=2, test=1, size=32)) == before
    after = state(draw(tmp_path / "places", train=1, test=1, size=32))
    assert len(before) == 6
    assert len(after) == 4


def test_a_new_version_draws_anew(tmp_path, monkeypatch):
    folder = draw(tmp_path / "places", train=1, test=1, size=32)
    (folder / "trainA" / "0000.jpg").unlink()
    monkeypatch.setattr(landscapes, "VERSION", landscapes.VERSION + 1)
    draw(folder, train=1, test=1, size=32)
    assert (folder / "trainA" / "0000.jpg").is_file()


def test_two_drawings_have_the_same_bytes(tmp_path):
    first, second = (draw(tmp_path / name, train=1, test=1, size=32) for name in "ab")
    for path in first.glob("*/*.jpg"):
        assert path.read_bytes() == (second / path.relative_to(first)).read_bytes()


@pytest.mark.parametrize("size", [30, 33, 1026])
def test_sizes_that_are_refused(tmp_path, size):
    with pytest.raises(ValueError, match=f"size {size}"):
        landscape(0, size=size)
    with pytest.raises(ValueError, match=f"size {size}"):
        draw(tmp_path / "places", train=1, test=1, size=size)


@pytest.mark.parametrize("wrong", [{"train": 0}, {"test": 0}, {"seed": -1}])
def test_numbers_that_are_refused(tmp_path, wrong):
    with pytest.raises(ValueError, match=f"{next(iter(wrong))} {next(iter(wrong.values()))}"):
        draw(tmp_path / "places", **wrong)
    assert not (tmp_path / "places").exists()


def test_foreign_files_are_left_alone(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="not empty"):
        draw(tmp_path, train=1, test=1, size=32)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
