"""The drawn streets: what they show, and the folder that they are written into."""

import json
import threading

import numpy as np
import pytest
from PIL import Image
from toyworlds import streets, write_folder
from toyworlds.streets import COLOURS, draw, scene

from tools.soak import Killed, Operations, die


@pytest.fixture(scope="module")
def scenes():
    """50 photos and label maps, uint8 `(50, 64, 64, 3)`."""
    return tuple(np.stack(part) for part in zip(*map(scene, range(50)), strict=True))


def where(labels, name):
    return (labels == COLOURS[name]).all(-1)


def test_a_seed_always_gives_the_same_bits_and_another_one_others():
    first, again, other = scene(3), scene(3), scene(4)
    for a, b, c in zip(first, again, other, strict=True):
        assert a.dtype == np.uint8
        assert a.shape == (64, 64, 3)
        np.testing.assert_array_equal(a, b)
        assert (a != c).any()


@pytest.mark.parametrize("size", [32, 50, 256])
def test_labels_have_pure_colours_and_every_size_shows_the_same_street(size):
    photo, labels = scene(7, size)
    assert photo.shape == labels.shape == (size, size, 3)
    assert {tuple(colour) for colour in labels.reshape(-1, 3).tolist()} <= set(COLOURS.values())
    nearest = np.arange(32) * size // 32 + size // 64
    _, small = scene(7, 32)
    assert (labels[nearest][:, nearest] == small).all(-1).mean() > 0.85


def test_every_class_appears_and_the_large_ones_nearly_always(scenes):
    _, labels = scenes
    shares = {name: where(labels, name).mean((1, 2)) for name in COLOURS}
    assert all(share.max() > 0.004 for share in shares.values()), shares
    for name in ("sky", "road", "building"):
        assert (shares[name] > 0.03).mean() > 0.95, name


def test_photo_and_labels_are_aligned(scenes):
    photos, labels = scenes
    means = {name: photos[where(labels, name)].mean(0) for name in COLOURS}
    assert means["sky"].mean() > means["road"].mean() + 50
    assert means["vegetation"][1] > means["vegetation"][[0, 2]].max() + 10
    assert means["sidewalk"].mean() > means["road"].mean() + 10
    # Between sky and building the photo changes where the labels do, not a pixel aside.
    grey, is_sky = photos.mean(-1), where(labels, "sky")
    edge = is_sky[:, :, 1:] != is_sky[:, :, :-1]
    step = np.abs(np.diff(grey, axis=2))
    here, aside = step[edge].mean(), step[:, :, 2:][edge[:, :, :-2]].mean()
    assert here > 2 * aside


def test_photos_show_more_than_a_colour_for_each_class(scenes):
    photos, labels = scenes
    for name in ("road", "building", "vegetation", "car"):
        assert photos[where(labels, name)].mean(-1).std() > 10, name


def test_draw_writes_pairs_in_the_published_layout(tmp_path):
    folder = draw(tmp_path / "streets", train=3, val=2, size=32, seed=5)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*.jpg"))
    assert files == [f"train/000{i}.jpg" for i in range(3)] + [f"val/000{i}.jpg" for i in range(2)]
    assert json.loads((folder / "drawn.json").read_text())["settings"]["version"] == streets.VERSION
    pictures = [np.asarray(Image.open(folder / file)) for file in files]
    assert len({picture.tobytes() for picture in pictures}) == 5
    photo, labels = scene((5, 0, 1), 32)
    assert pictures[1].shape == (32, 64, 3)
    assert np.abs(pictures[1][:, :32].astype(int) - photo).mean() < 4
    assert np.abs(pictures[1][:, 32:].astype(int) - labels).mean() < 4


def test_draw_keeps_what_is_there_and_draws_again_for_other_settings(tmp_path, monkeypatch):
    settings = {"train": 2, "val": 1, "size": 32}
    folder = draw(tmp_path / "streets", **settings)
    before = (folder / "train/0000.jpg").read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(streets, "scene", lambda *_: pytest.fail("drawn again"))
        assert draw(folder, **settings) == folder
    draw(folder, **settings, seed=1)
    assert (folder / "train/0000.jpg").read_bytes() != before
    draw(folder, train=1, val=1, size=32)
    assert len(list(folder.glob("train/*"))) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["streets"]


def test_a_killed_drawing_leaves_nothing_under_the_name(tmp_path):
    def killed(partial):
        (partial / "half.txt").write_text("half")
        raise KeyboardInterrupt

    def write(partial):
        (partial / "whole.txt").write_text("whole")

    folder = tmp_path / "deep" / "set"
    with pytest.raises(KeyboardInterrupt):
        write_folder(folder, {"n": 1}, killed)
    assert not folder.exists()
    assert write_folder(folder, {"n": 1}, write) == folder
    with pytest.raises(KeyboardInterrupt):
        write_folder(folder, {"n": 2}, killed)
    assert (folder / "whole.txt").exists()  # the former one stays until another is ready
    write_folder(folder, {"n": 2}, write)
    assert sorted(path.name for path in folder.iterdir()) == ["drawn.json", "whole.txt"]
    assert [path.name for path in folder.parent.iterdir()] == ["set"]


@pytest.mark.parametrize("before", [False, True])
def test_a_drawing_killed_at_any_file_operation_is_made_whole(tmp_path, before):
    def write(partial, text="new"):
        for name in "abc":
            (partial / name).write_text(text)

    def draw(place, number=None):
        with Operations(place, number, die) as operations:
            write_folder(place / "set", {"n": 2}, write)
        return operations.count

    def start(name):
        if before:
            write_folder(tmp_path / name / "set", {"n": 1}, lambda partial: write(partial, "old"))
        return tmp_path / name

    count = draw(start("whole"))
    assert count > (12 if before else 6)
    for number in range(1, count + 1):
        place = start(str(number))
        with pytest.raises(Killed):
            draw(place, number)
        if (place / "set").exists():
            texts = [(place / "set" / name).read_text() for name in "abc"]
            assert texts in (["old"] * 3, ["new"] * 3)
        draw(place)
        assert [(place / "set" / name).read_text() for name in "abc"] == ["new"] * 3
        assert {path.name for path in place.iterdir()} <= {"set", ".set.lock", ".set.holder"}


def test_of_two_that_draw_the_same_folder_one_waits(tmp_path):
    begun, go_on, calls = threading.Event(), threading.Event(), []

    def write(partial):
        calls.append(partial)
        begun.set()
        assert go_on.wait(10)
        (partial / "whole.txt").write_text("whole")

    draw = [
        threading.Thread(target=write_folder, args=(tmp_path / "set", {"n": 1}, write))
        for _ in range(2)
    ]
    draw[0].start()
    assert begun.wait(10)
    draw[1].start()
    draw[1].join(0.2)
    assert draw[1].is_alive()
    go_on.set()
    for thread in draw:
        thread.join(10)
    assert len(calls) == 1
    assert (tmp_path / "set/whole.txt").exists()


def test_files_of_somebody_else_are_never_deleted(tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/photo.jpg").write_text("mine")
    with pytest.raises(ValueError, match="mine"):
        draw(tmp_path / "mine", train=1, val=1, size=32)
    with pytest.raises(ValueError, match=r"photo\.jpg"):
        draw(tmp_path / "mine/photo.jpg", train=1, val=1, size=32)
    assert (tmp_path / "mine/photo.jpg").read_text() == "mine"
    (tmp_path / "empty").mkdir()
    assert (draw(tmp_path / "empty", train=1, val=1, size=32) / "drawn.json").exists()


@pytest.mark.parametrize(
    "wrong",
    [{"train": 0}, {"val": -1}, {"size": 30}, {"size": 1026}, {"size": 65}, {"day": "night"}],
)
def test_draw_names_the_argument_that_is_wrong(tmp_path, wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        draw(tmp_path / "streets", **wrong)
    assert not list(tmp_path.iterdir())


def test_the_day_changes_the_light_and_nothing_else():
    (clear, labels), (evening, same) = (streets.scene(3, day=day) for day in ("clear", "evening"))
    np.testing.assert_array_equal(labels, same)
    warmth = [photo[:20, :, 0].mean() - photo[:20, :, 2].mean() for photo in (clear, evening)]
    assert warmth[1] > warmth[0] + 10
