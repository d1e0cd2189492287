"""The drawn scenes: pictures, captions, boxes and tags agree, and folders are in known layouts."""

import csv
import json
import re
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest
from nltk.translate.bleu_score import corpus_bleu
from PIL import Image
from toyworlds import scenes
from toyworlds.scenes import (
    attributes,
    compose,
    describe,
    draw,
    figures,
    folders,
    nouns,
    picture,
)
from toyworlds.scenes.figures import COLOURS
from toyworlds.scenes.sketch import Sketch

SEEDS = range(250)
PEOPLE = ("man", "woman", "boy", "girl")


def words(caption):
    return re.findall("[a-z]+", caption.lower())


@pytest.fixture(scope="module")
def told():
    """250 scenes, each with its captions as lists of words."""
    return [(scene, [words(text) for text in describe(scene)]) for scene in map(compose, SEEDS)]


@pytest.fixture(scope="module")
def drawn():
    """The pictures and objects of 250 scenes."""
    return [draw(seed) for seed in SEEDS]


def test_a_seed_always_gives_the_same_scene(drawn):
    image, objects = draw(7)
    np.testing.assert_array_equal(image, drawn[7][0])
    assert objects == drawn[7][1]
    assert describe(compose(7)) == describe(compose(7))
    assert image.shape == (96, 96, 3)
    assert image.dtype == np.uint8
    assert len({p.tobytes() for p, _ in drawn}) == len(drawn)


@pytest.mark.parametrize("seed", [4, 8, 14, 200])
def test_every_size_shows_the_same_scene(seed, drawn):
    small, objects = draw(seed)
    large, same = draw(seed, 224)
    shrunk = cv2.resize(large, (96, 96), interpolation=cv2.INTER_AREA).astype(float)
    assert np.abs(shrunk - small).mean() < 6
    assert [o["category"] for o in objects] == [o["category"] for o in same]
    for one, other in zip(objects, same, strict=True):
        np.testing.assert_allclose(np.array(one["box"]) * 224 / 96, other["box"], atol=0.1)


def test_captions_are_sentences_of_few_words(told):
    for seed in SEEDS:
        captions = describe(compose(seed))
        assert len(set(captions)) == 5
        for caption in captions:
            assert re.fullmatch(r"[A-Z][a-z]*( ,| [a-z]+)+ \.", caption), caption
            assert 6 <= len(words(caption)) <= 14
    vocabulary = {word for _, captions in told for caption in captions for word in caption}
    assert 80 <= len(vocabulary) <= 150


def test_a_caption_names_only_what_is_in_the_picture(told, drawn):
    known = {word for group in nouns().values() for word in group}
    for (_, captions), (_, objects) in zip(told, drawn, strict=True):
        shown = {word for found in objects for word in found["words"]}
        for caption in captions:
            named = set(caption) & known
            assert named, caption
            assert named <= shown, caption


def test_counts_in_captions_and_tags_are_those_of_the_boxes(told, drawn):
    seen = Counter()
    for (scene, captions), (_, objects) in zip(told, drawn, strict=True):
        number = {1: "one", 2: "two", 3: "three"}[len(scene.actors)]
        seen[number] += 1
        kinds = Counter(found["category"] for found in objects)
        alive = ("dog", "cat", "horse", "bird", *PEOPLE)
        beside = [scene.beside.kind] if scene.beside else []
        ridden = [a.thing for a in scene.actors if a.thing == "horse"]
        expected = Counter([a.kind for a in scene.actors] + beside + ridden)
        assert {k: n for k, n in kinds.items() if k in alive} == {
            k: n for k, n in expected.items() if k in alive
        }
        for caption in captions:
            assert not {"two", "three"} - {number} & set(caption)
        assert (number in attributes(scene)) == (number != "one")
    assert min(seen.values()) > 10


def test_colours_in_captions_are_those_of_the_scene(told):
    checked = 0
    for scene, captions in told:
        worn = {(a.colour, a.kind) for a in scene.everybody}
        things = {(a.thing_colour, a.thing) for a in scene.actors}
        allowed = {"orange", "gray", "blue"}  # of the sky
        for caption in captions:
            for colour, after in zip(caption, caption[1:], strict=False):
                if colour not in COLOURS or after == "sky":
                    continue
                named = [kind for kind, group in nouns().items() if after in group]
                if named:
                    assert (colour, named[0]) in worn | things, caption
                else:  # "a man in a red shirt", "a man in red stands"
                    assert any(c == colour and k in PEOPLE for c, k in worn), caption
                checked += 1
            extra = set(caption) & set(COLOURS) - {c for c, _ in worn | things}
            assert extra <= allowed, caption
    assert checked > 500


def test_colours_are_seen_in_the_box(drawn, told):
    """By day, a shirt's box holds pixels of about the named colour."""
    checked = 0
    for (scene, _), (image, objects) in zip(told, drawn, strict=True):
        first = scene.actors[0]
        if scene.light != "sunny" or len(scene.actors) > 1 or scene.wet:
            continue
        box = next(found["box"] for found in objects if found["category"] == first.kind)
        x, y, width, height = (round(value) for value in box)
        inside = image[y : y + height, x : x + width].reshape(-1, 3).astype(float)
        near = np.abs(inside - COLOURS[first.colour]).max(1) < 40
        assert near.sum() > 10, (scene, near.sum())
        checked += 1
    assert checked > 30


def test_boxes_are_inside_and_main_actors_large(drawn, told):
    heights = []
    for (scene, _), (_, objects) in zip(told, drawn, strict=True):
        assert {found["category"] for found in objects} <= set(nouns())
        for found in objects:
            x, y, width, height = found["box"]
            assert width >= 1
            assert height >= 1
            assert 0 <= x <= x + width <= 96.01
            assert 0 <= y <= y + height <= 96.01
        first = scene.actors[0]
        if first.action != "swim":
            heights.append(max(o["box"][3] for o in objects if o["category"] == first.kind) / 96)
    assert np.quantile(heights, 0.15) > 0.25
    assert np.quantile(heights, 0.9) < 0.55


@pytest.mark.parametrize("floats", [False, True])
@pytest.mark.parametrize("kind", ["dog", "cat", "horse"])
def test_a_box_fits_what_is_painted(kind, floats):
    stage = picture.Stage(Sketch(300, (1.0, 1.0, 1.0)))
    group = [(kind, figures.animal(kind, "white", "walk")[0])]
    (stage.float if floats else stage.put)(group, 0.5, 0.7, 0.5)
    rows, columns = np.nonzero(stage.sketch.image.any(-1))
    seen = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1])
    if floats:
        assert seen[3] <= 210
    ((category, edges),) = stage.boxes
    assert category == kind
    np.testing.assert_allclose(np.array(edges) * 300, seen, atol=5)


def test_scenes_vary_and_no_caption_is_frequent(told):
    decided = {replace(scene, seed=0) for scene, _ in told}
    assert len(decided) > 0.9 * len(told)
    counts = Counter(" ".join(caption) for _, captions in told for caption in captions)
    assert counts.most_common(1)[0][1] <= 6
    tags = Counter(tag for scene, _ in told for tag in attributes(scene))
    assert set(tags) <= set(scenes.TAGS)
    for place in ("park", "beach", "snow", "street", "lake", "sunny", "cloudy", "sunset"):
        assert tags[place] > 30


def test_all_tags_occur_and_are_ordered():
    tags = Counter()
    for seed in range(3000):
        mine = attributes(compose(seed))
        assert mine == [tag for tag in scenes.TAGS if tag in mine]
        tags.update(mine)
    assert set(tags) == set(scenes.TAGS)
    assert len(set(scenes.TAGS)) == len(scenes.TAGS)


def test_who_sees_the_scene_scores_high_and_who_does_not_low(told):
    references = [captions for _, captions in told]
    # Another wording of the same scene, and one caption for all.
    other = [words(describe(replace(s, seed=s.seed + 10**6))[1]) for s, _ in told]
    frequent = Counter(tuple(c) for captions in references for c in captions).most_common(1)
    assert corpus_bleu(references, other) > 0.65
    assert corpus_bleu(references, [list(frequent[0][0])] * len(told)) < 0.15


def test_flickr8k_layout(tmp_path):
    folder = scenes.write_flickr8k(tmp_path / "scenes", count=20, size=64, seed=3)
    with open(folder / "captions.txt", newline="", encoding="utf-8") as file:
        header, *rows = list(csv.reader(file))
    assert header == ["image", "caption"]
    files = sorted(path.name for path in (folder / "Images").iterdir())
    assert files == [f"{30_000 + i:06d}.jpg" for i in range(20)]
    assert [name for name, _ in rows] == [name for name in files for _ in range(5)]
    assert [caption for _, caption in rows[:5]] == describe(compose(30_000))
    parts = [(folder / f"{p}.txt").read_text().split() for p in ("train", "dev", "test")]
    assert [len(part) for part in parts] == [16, 2, 2]
    assert sum(parts, []) == files
    with Image.open(folder / "Images" / files[4]) as image:
        assert image.size == (64, 64)
        assert np.abs(np.asarray(image, float) - draw(30_004, 64)[0]).mean() < 4
    assert json.loads((folder / "drawn.json").read_text())["settings"]["version"] == folders.VERSION


def test_coco_layout(tmp_path):
    folder = scenes.write_coco(tmp_path / "scenes", count=20, size=64)
    ids = []
    for part, count in (("train", 16), ("val", 4)):
        captions, instances = (
            json.loads((folder / f"annotations/{kind}_{part}2017.json").read_text())
            for kind in ("captions", "instances")
        )
        assert captions["images"] == instances["images"]
        assert len(captions["images"]) == count
        assert {"id", "file_name", "height", "width"} == set(captions["images"][0])
        for image in captions["images"]:
            assert (folder / f"{part}2017" / image["file_name"]).is_file()
            mine = [a for a in captions["annotations"] if a["image_id"] == image["id"]]
            assert [a["caption"] for a in mine] == describe(compose(image["id"]))
            names = {c["id"]: c["name"] for c in instances["categories"]}
            boxes = [
                {"category": names[a["category_id"]], "box": a["bbox"]}
                for a in instances["annotations"]
                if a["image_id"] == image["id"]
            ]
            objects = draw(image["id"], 64)[1]
            assert boxes == [{k: o[k] for k in ("category", "box")} for o in objects]
        for content in (captions, instances):
            ids = [a["id"] for a in content["annotations"]]
            assert len(set(ids)) == len(ids)
        assert [c["name"] for c in instances["categories"]] == list(nouns())
        first = instances["annotations"][0]
        assert first["iscrowd"] == 0
        assert first["area"] == pytest.approx(first["bbox"][2] * first["bbox"][3], abs=0.01)


@pytest.mark.parametrize("write", [scenes.write_flickr8k, scenes.write_coco])
def test_a_finished_folder_is_kept(tmp_path, monkeypatch, write):
    folder = write(tmp_path / "scenes", count=10, size=64)
    with monkeypatch.context() as patch:
        patch.setattr(folders, "draw", lambda *_: pytest.fail("drawn again"))
        assert write(folder, count=10, size=64) == folder
    before = {path.name for path in folder.rglob("*.jpg")}
    write(folder, count=10, size=64, seed=1)
    assert not before & {path.name for path in folder.rglob("*.jpg")}


@pytest.mark.parametrize("write", [scenes.write_flickr8k, scenes.write_coco])
@pytest.mark.parametrize(
    "wrong", [{"count": 9}, {"count": 10_001}, {"size": 63}, {"seed": -1}, {"seed": 100}]
)
def test_numbers_that_are_refused(tmp_path, write, wrong):
    (name, value) = next(iter(wrong.items()))
    with pytest.raises(ValueError, match=f"{name} {value}"):
        write(tmp_path / "scenes", **wrong)
    assert not list(tmp_path.iterdir())


def test_size_that_is_refused():
    with pytest.raises(ValueError, match="size 2000"):
        draw(0, 2000)


def test_check_caption():
    """All that a scene's own captions say is right; of another scene, most is not."""
    right = {"colour": 0, "number": 0, "action": 0}
    wrong = dict(right)
    for i in range(100):
        scene = scenes.compose(i)
        for caption in scenes.describe(scene):
            for what, found in scenes.check_caption(scene, caption).items():
                right[what] += len(found)
                assert all(found), (scene, caption)
        other = scenes.describe(scenes.compose(i + 1))[0]
        for what, found in scenes.check_caption(scene, other).items():
            wrong[what] += len(found) - sum(found)
    assert min(right.values()) > 50
    assert min(wrong.values()) > 10
