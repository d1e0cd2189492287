"""COCO: captions, boxes, and downloads from a server on this machine."""

import hashlib
import json
import re
import zipfile

import pytest

from recipes.datasets import coco
from recipes.datasets.captions import CaptionedImages, sample
from recipes.datasets.files import MissingDataError


@pytest.fixture(autouse=True)
def _offline(root, monkeypatch):
    monkeypatch.setattr(coco, "WAITS", (0, 0, 0))


def name(i, split="train", year=2017):
    return f"COCO_{split}2014_{i:012}.jpg" if year == 2014 else f"{i:012}.jpg"


def content(kind="captions", count=6, split="train", year=2017, skip=()):
    """What a file of annotations holds; image i has id 100 + i."""
    images = [
        {"id": 100 + i, "file_name": name(i, split, year), "width": 200, "height": 100}
        for i in range(count)
    ]
    if kind == "captions":
        annotations = [
            {"id": 10 * i + k, "image_id": 100 + i, "caption": f"scene {i} text {k}\n"}
            for k in range(5)
            for i in range(count)
            if i not in skip
        ]
        return {"info": {}, "images": images, "annotations": annotations}
    annotations = [
        {
            "id": i,
            "image_id": 100 + i,
            "category_id": 1 + i % 2,
            "bbox": [20, 10, 50.0, 40],
            "segmentation": [[1, 2, 3, 4]],
            "iscrowd": 0,
        }
        for i in range(count)
        if i not in skip
    ]
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "ball"}]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_annotations(home, value, kind="captions", split="train", year=2017):
    file = home / "annotations" / f"{kind}_{split}{year}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(value if isinstance(value, str) else json.dumps(value))
    return file


def write_set(home, count=6, split="train", year=2017, images=None, skip=()):
    write_annotations(home, content("captions", count, split, year, skip), "captions", split, year)
    folder = home / f"{split}{year}"
    folder.mkdir()
    for i in range(count) if images is None else images:
        (folder / name(i, split, year)).write_bytes(b"mine")
    return folder


def names(data):
    return [path.name for path in data.paths]


def texts(i):
    return [f"scene {i} text {k}" for k in range(5)]


# The layout


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("split", ["train", "val"])
@pytest.mark.parametrize("year", [2014, 2017])
def test_layouts(root, tmp_path, given, split, year):
    folder = write_set(tmp_path / "mine" if given else root / "coco", split=split, year=year)
    data = coco.load(split, str(folder.parent) if given else None)
    assert data.paths == [folder / name(i, split, year) for i in range(6)]
    assert data.captions == [texts(i) for i in range(6)]


def test_year(root):
    write_set(root / "coco", 3, year=2014)
    assert len(coco.load()) == 3
    write_set(root / "coco", 4, year=2017)
    assert len(coco.load()) == 4
    assert len(coco.load(year=2014)) == 3
    assert len(coco.load(year="2014")) == 3
    with pytest.raises(ValueError, match="unknown split 'test'; known: train, val"):
        coco.load("test")
    with pytest.raises(ValueError, match="unknown year '2015'; known: 2017, 2014"):
        coco.load(year=2015)


def test_annotations_inside_of_the_archive(root):
    folder = write_set(root / "coco")
    loose = root / "coco" / "annotations"
    with zipfile.ZipFile(root / "coco" / "annotations_trainval2017.zip", "w") as archive:
        archive.write(loose / "captions_train2017.json", "annotations/captions_train2017.json")
        value = json.dumps(content("instances"))
        archive.writestr("annotations/instances_train2017.json", value)
    (loose / "captions_train2017.json").unlink()
    assert coco.load().captions == [texts(i) for i in range(6)]
    assert len(coco.boxes()) == 6
    with pytest.raises(MissingDataError, match="no annotations/captions_val2017.json"):
        coco.load("val")
    assert folder.is_dir()


def test_damaged_archive(root):
    (root / "coco").mkdir()
    archive = root / "coco" / "annotations_trainval2017.zip"
    archive.write_bytes(b"PK rubbish")
    with pytest.raises(ValueError, match=r"annotations_trainval2017\.zip is damaged"):
        coco.load()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("annotations/captions_train2017.json", json.dumps(content()))
    data = bytearray(archive.read_bytes())
    data[120:160] = bytes(40)
    archive.write_bytes(data)
    with pytest.raises(ValueError, match=r"captions_train2017\.json cannot be read as JSON"):
        coco.load()


def test_sample_is_of_whole_images_by_seed(root):
    write_set(root / "coco", 40)
    data = coco.load(captions=48, seed=1)
    assert len(data) == 10
    assert data.captions == [texts(int(n[:-4])) for n in names(data)]
    whole = coco.load(captions=None)
    assert len(whole) == len(coco.load()) == 40
    assert data == sample(whole, 48, seed=1) == coco.load(captions=48, seed=1)
    assert data != coco.load(captions=48, seed=2)
    with pytest.raises(ValueError, match="captions .*: at least 1 is needed, a whole number"):
        coco.load(captions=0)


# What does not go together


def test_captions_of_an_image_that_is_not_listed(root, capsys):
    write_set(root / "coco")
    value = content()
    value["annotations"].append({"id": 999, "image_id": 7, "caption": "a dog"})
    file = write_annotations(root / "coco", value)
    with pytest.raises(ValueError, match='1 image that is not in "images" of .*: id 7') as error:
        coco.load()
    assert str(file) in str(error.value)
    assert len(coco.load(skip_missing=True)) == 6
    assert "id 7" in capsys.readouterr().out


@pytest.mark.parametrize("given", [True, False])
def test_photos_that_are_not_there(root, given, capsys):
    folder = write_set(root / "coco", 30, images=range(5))
    options = {"folder": folder.parent} if given else {"download": False}
    with pytest.raises(ValueError, match=f"25 images that are not in {folder}: ") as error:
        coco.load(**options)
    assert f"{name(5)}, " in str(error.value)
    assert "and 15 more" in str(error.value)
    assert names(coco.load(**options, skip_missing=True)) == [name(i) for i in range(5)]
    assert "25 images" in capsys.readouterr().out
    assert len(list(folder.iterdir())) == 5


def test_only_the_photos_of_the_sample_have_to_be_there(root):
    folder = write_set(root / "coco", 30, images=[])
    whole = CaptionedImages([folder / name(i) for i in range(30)], [texts(i) for i in range(30)])
    for path in sample(whole, 20, seed=5).paths:
        path.touch()
    data = coco.load(captions=20, seed=5, download=False)
    assert len(data) == 4
    with pytest.raises(ValueError, match="images that are not in"):
        coco.load(captions=20, seed=6, download=False)


# JSON that is not COCO's


def changed(change, kind="captions"):
    value = content(kind)
    change(value)
    return value


BAD_CAPTIONS = {
    "empty": ("", "cannot be read as JSON"),
    "cut-off": (json.dumps(content())[:-9], "cannot be read as JSON"),
    "text": ("image,caption\na.jpg,a dog", "cannot be read as JSON"),
    "nested": ("[" * 100_000, "cannot be read as JSON"),
    "list": ([1, 2], 'has no list "images": it is not an annotation file of COCO'),
    "number": (5, 'has no list "images"'),
    "no-images": (changed(lambda v: v.pop("images")), 'has no list "images"'),
    "images-of-another-kind": (changed(lambda v: v.update(images={})), 'has no list "images"'),
    "no-annotations": (changed(lambda v: v.pop("annotations")), 'has no list "annotations"'),
    "no-entries": ({"images": [], "annotations": []}, "no image in .* that has a caption"),
    "entry-of-another-kind": (
        changed(lambda v: v["images"].insert(2, "x")),
        'entry 2 of "images" has no "file_name"',
    ),
    "no-image-id": (
        changed(lambda v: v["images"][3].pop("id")),
        'entry 3 of "images" has no "id"',
    ),
    "no-file-name": (
        changed(lambda v: v["images"][1].pop("file_name")),
        'entry 1 of "images" has no "file_name"',
    ),
    "image-id-of-another-kind": (
        changed(lambda v: v["annotations"][1].update(image_id=[])),
        'entry 1 of "annotations" has no "image_id", or one of another kind',
    ),
    "no-caption": (
        changed(lambda v: v["annotations"][7].pop("caption")),
        'entry 7 of "annotations" has no "caption"',
    ),
    "caption-of-another-kind": (
        changed(lambda v: v["annotations"][7].update(caption=None)),
        'entry 7 of "annotations" has no "caption", or one of another kind',
    ),
    "image-twice": (
        changed(lambda v: v["images"][1].update(id=103)),
        '2 entries of "images" have the id 103',
    ),
    "file-twice": (
        changed(lambda v: v["images"][1].update(file_name=name(2))),
        f'2 entries of "images" have the file_name .{name(2)}',
    ),
    "annotation-twice": (
        changed(lambda v: v["annotations"].append(v["annotations"][4])),
        '2 entries of "annotations" have the id 40',
    ),
    **{
        f"file-name-{file_name}": (
            changed(lambda v, n=file_name: v["images"][1].update(file_name=n)),
            "is not the plain name of a file",
        )
        for file_name in (
            "../a.jpg",
            "/a.jpg",
            "a/b.jpg",
            "..\\a.jpg",
            "C:a.jpg",
            "..",
            ".",
            "",
            "a\0",
            "a\ud800",
        )
    },
}


@pytest.mark.parametrize(("value", "message"), BAD_CAPTIONS.values(), ids=BAD_CAPTIONS.keys())
def test_file_that_is_not_cocos(root, value, message):
    write_set(root / "coco")
    file = write_annotations(root / "coco", value)
    with pytest.raises(ValueError, match=message) as error:
        coco.load()
    assert str(file) in str(error.value)


def test_json_in_another_encoding(root):
    write_set(root / "coco")
    file = root / "coco" / "annotations" / "captions_train2017.json"
    file.write_bytes(json.dumps(content()).encode("utf-8-sig"))
    assert len(coco.load()) == 6
    file.write_bytes(b'{"images": ["\xff\xfe"]}')
    with pytest.raises(ValueError, match=r"captions_train2017\.json cannot be read as JSON"):
        coco.load()


# Boxes


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("year", [2014, 2017])
def test_boxes(root, tmp_path, given, year):
    home = tmp_path / "mine" if given else root / "coco"
    write_annotations(home, content("instances", 3, year=year, skip=[1]), "instances", year=year)
    found = coco.boxes("train", str(home) if given else None)
    paths = [home / f"train{year}" / name(i, year=year) for i in range(3)]
    box = pytest.approx((0.1, 0.1, 0.25, 0.4))
    assert found == {paths[0]: [("dog", box)], paths[1]: [], paths[2]: [("dog", box)]}


def test_boxes_have_the_paths_that_load_gives(root):
    write_set(root / "coco")
    write_annotations(root / "coco", content("instances"), "instances")
    assert list(coco.boxes()) == coco.load().paths


@pytest.mark.parametrize(
    ("bbox", "box"),
    [
        ([0, 0, 200, 100], (0, 0, 1, 1)),
        ([-4, 50, 104, 50.5], (0, 0.5, 0.5, 0.5)),
        ([199, 99, 2, 2], (0.995, 0.99, 0.005, 0.01)),
        ([20, 20, 0, 0], (0.1, 0.2, 0, 0)),
    ],
)
def test_boxes_end_at_the_edge(root, bbox, box):
    value = changed(lambda v: v["annotations"][0].update(bbox=bbox), "instances")
    write_annotations(root / "coco", value, "instances")
    assert next(iter(coco.boxes().values())) == [("dog", pytest.approx(box))]


BAD_BOXES = {
    "no-categories": (lambda v: v.pop("categories"), 'has no list "categories"'),
    "no-box": (lambda v: v["annotations"][2].pop("bbox"), 'entry 2 of "annotations" has no "bbox"'),
    "no-size": (lambda v: v["images"][2].pop("width"), 'entry 2 of "images" has no "width"'),
    "three-numbers": (lambda v: v["annotations"][2].update(bbox=[1, 2, 3]), "2 has the box"),
    "five-numbers": (lambda v: v["annotations"][2].update(bbox=[1] * 5), "2 has the box"),
    "text": (lambda v: v["annotations"][2].update(bbox=[1, 2, 3, "4"]), "2 has the box"),
    "nan": (lambda v: v["annotations"][2].update(bbox=[float("nan"), 2, 3, 4]), "2 has the box"),
    "negative": (lambda v: v["annotations"][2].update(bbox=[9, 9, -3, 4]), "2 has the box"),
    "size-of-zero": (lambda v: v["images"][2].update(height=0), "2 has the box"),
    "unknown-image": (
        lambda v: v["annotations"][2].update(image_id=7),
        'annotation 2 is of image 7 of "images", which is not there',
    ),
    "unknown-category": (
        lambda v: v["annotations"][2].update(category_id=7),
        "annotation 2 is of category 7, which is not there",
    ),
    "category-twice": (
        lambda v: v["categories"][0].update(id=2),
        '2 entries of "categories" have the id 2',
    ),
}


@pytest.mark.parametrize(("change", "message"), BAD_BOXES.values(), ids=BAD_BOXES.keys())
def test_boxes_that_are_not_cocos(root, change, message):
    file = write_annotations(root / "coco", changed(change, "instances"), "instances")
    with pytest.raises(ValueError, match=message) as error:
        coco.boxes()
    assert str(file) in str(error.value)


# Downloads


@pytest.fixture
def server(tmp_path, monkeypatch, http_server):
    """A store with 20 photos of `train` 2017 and the archive of annotations."""
    archive = tmp_path / "archive.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for kind in ("captions", "instances"):
            value = json.dumps(content(kind, 20))
            file.writestr(f"annotations/{kind}_train2017.json", value)
    data = archive.read_bytes()
    http_server.files = {f"/train2017/{name(i)}": f"photo {i}".encode() * 50 for i in range(20)}
    http_server.files["/annotations/annotations_trainval2017.zip"] = data
    monkeypatch.setattr(coco, "URL", http_server.url)
    known = {**coco.ARCHIVES, "2017": (len(data), hashlib.sha256(data).hexdigest())}
    monkeypatch.setattr(coco, "ARCHIVES", known)
    return http_server


def test_download_of_the_annotations_and_the_photos_of_the_sample(root, server):
    data = coco.load(captions=25, seed=4)
    assert len(data) == 5
    folder = root / "coco" / "train2017"
    assert sorted(path.name for path in folder.iterdir()) == names(data)
    for path in data.paths:
        assert path.read_bytes() == server.files[f"/train2017/{path.name}"]
    assert set(server.asked.values()) == {1}

    server.asked.clear()
    assert coco.load(captions=25, seed=4) == data
    assert not server.asked
    more = coco.load(captions=50, seed=4)
    assert set(server.asked) == {f"/train2017/{n}" for n in set(names(more)) - set(names(data))}


def test_boxes_download_no_photos(root, server):
    assert len(coco.boxes()) == 20
    assert list(server.asked) == ["/annotations/annotations_trainval2017.zip"]
    assert not (root / "coco" / "train2017").exists()


def test_store_that_is_busy(root, server):
    server.faults = {f"/train2017/{name(i)}": i % 3 for i in range(20)}
    assert len(coco.load()) == 20
    assert len(list((root / "coco" / "train2017").iterdir())) == 20


def test_photos_that_fail_are_in_one_error_and_the_rest_is_kept(root, server):
    for i in (3, 7):
        del server.files[f"/train2017/{name(i)}"]
    with pytest.raises(MissingDataError, match="train2017 lacks 2 of the photos of COCO") as error:
        coco.load()
    message = str(error.value)
    for part in (name(3), name(7), "404", "Load again later", "download=False"):
        assert part in message
    assert name(4) not in message
    folder = root / "coco" / "train2017"
    assert len(list(folder.iterdir())) == 18

    server.files |= {f"/train2017/{name(i)}": b"late" for i in (3, 7)}
    server.asked.clear()
    assert len(coco.load()) == 20
    assert sorted(server.asked) == [f"/train2017/{name(i)}" for i in (3, 7)]


def test_failures_are_an_error_even_with_skip_missing(root, server):
    del server.files[f"/train2017/{name(3)}"]
    with pytest.raises(MissingDataError, match="train2017 lacks 1 of the photos of COCO"):
        coco.load(skip_missing=True)
    assert len(coco.load(download=False, skip_missing=True)) == 19


def test_it_gives_up_when_nothing_comes(root, server):
    write_set(root / "coco", 400, images=[])
    server.files.clear()
    with pytest.raises(MissingDataError, match="train2017 lacks 400 of the photos") as error:
        coco.load()
    assert str(error.value).count("404") == 10
    assert len(server.asked) < 20


def test_disk_that_is_full_stops_the_download(root, server, monkeypatch):
    write_set(root / "coco", 400, images=[])

    def download(url, path, progress):
        raise OSError(28, f"cannot write {path}: No space left")

    monkeypatch.setattr(coco, "download_file", download)
    with pytest.raises(OSError, match="No space left"):
        coco.load()


def test_one_bar_for_all_photos(root, server, capsys):
    coco.load()
    output = capsys.readouterr()
    assert "train2017" in output.err
    assert name(3) not in output.err
    assert output.err.endswith("\r")
    first, second = output.out.splitlines()
    assert first.startswith("Downloading annotations/captions_train2017.json of COCO (")
    assert re.match(r"Downloading \d+ photos of COCO \(about \d+ MB\) from .* to .*Terms:", second)
    coco.load()
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("call", [coco.load, coco.boxes])
def test_no_network(root, call):
    with pytest.raises(
        MissingDataError, match="annotations/.* is not in .* cannot be downloaded"
    ) as error:
        call()
    for part in (
        str(root / "coco"),
        "annotations_trainval2017.zip",
        "cocodataset.org",
        "RECIPES_DATA_DIR",
        "cannot download http://127.0.0.1",
    ):
        assert part in str(error.value)
    with pytest.raises(MissingDataError, match="annotations_trainval2014.zip"):
        call(year=2014)


@pytest.mark.parametrize("call", [coco.load, coco.boxes])
def test_nothing_is_downloaded_unasked(root, tmp_path, server, call):
    for options in ({"download": False}, {"folder": tmp_path / "mine"}):
        with pytest.raises(MissingDataError, match="there is no annotations/"):
            call(**options)
    assert not server.asked
    assert not (tmp_path / "mine").exists()


# The real set


def test_real_set(real):
    real("coco/annotations")
    train, val = (coco.load(split, captions=200, download=False) for split in coco.SPLITS)
    for data in (train, val):
        assert 200 <= sum(map(len, data.captions)) < 207
        assert all(path.is_file() for path in data.paths)
        assert all(len(captions) >= 5 for captions in data.captions)
    assert not set(names(train)) & set(names(val))
