"""Flickr8k, and what all captioned images have in common."""

import hashlib
import io
import unicodedata
import zipfile
from pathlib import Path

import pytest

from recipes.datasets import flickr8k
from recipes.datasets.captions import CaptionedImages, match, sample, split_by_image
from recipes.datasets.files import MissingDataError

pytestmark = pytest.mark.usefixtures("root")


def name(i):
    return f"{i:02}_ab.jpg"


def write_set(home, count=8, original=False, photos=None):
    """A set in Kaggle's layout, or in that of the publishers. Its images are empty files."""
    images = home / ("Flicker8k_Dataset" if original else "Images")
    images.mkdir(parents=True)
    for i in range(count) if photos is None else photos:
        (images / name(i)).touch()
    rows = [(i, k, f"scene {i} , text {k} .") for i in range(count) for k in range(5)]
    if original:
        text = "".join(f"{name(i)}#{k}\t{caption}\n" for i, k, caption in rows)
        (home / "Flickr8k.token.txt").write_text(text)
    else:
        text = "".join(f'{name(i)},"{caption}"\n' for i, _, caption in rows)
        (home / "captions.txt").write_text("image,caption\n" + text)
    return home


def write_splits(home, original=False, **splits):
    for split, numbers in splits.items():
        file = f"Flickr_8k.{split}Images.txt" if original else f"{split}.txt"
        (home / file).write_text("".join(name(i) + "\n" for i in numbers))


def names(data):
    return [path.name for path in data.paths]


def texts(i):
    return [f"scene {i} , text {k} ." for k in range(5)]


# The layouts


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("original", [True, False])
def test_both_layouts(root, tmp_path, original, given):
    home = write_set(tmp_path / "mine" if given else root / "flickr8k", original=original)
    data = flickr8k.load("all", str(home) if given else None)
    folder = home / ("Flicker8k_Dataset" if original else "Images")
    assert data.paths == [folder / name(i) for i in range(8)]
    assert data.captions == [texts(i) for i in range(8)]


@pytest.mark.parametrize("original", [True, False])
def test_split_files(root, original):
    home = write_set(root / "flickr8k", original=original)
    write_splits(home, original, train=[4, 1, 2], dev=[5, 0], test=[7, 6])
    data = flickr8k.load()
    assert names(data) == [name(4), name(1), name(2)]
    assert data.captions == [texts(4), texts(1), texts(2)]
    assert names(flickr8k.load("dev")) == [name(5), name(0)]
    assert names(flickr8k.load("test")) == [name(7), name(6)]
    assert names(flickr8k.load("all")) == [name(i) for i in range(8)]
    with pytest.raises(ValueError, match="unknown split 'val'; known: train, dev, test, all"):
        flickr8k.load("val")


def test_split_files_may_have_blanks_and_a_name_twice(root):
    home = write_set(root / "flickr8k")
    (home / "dev.txt").write_bytes(f"\ufeff{name(5)} \r\n\r\n{name(0)}\r\n{name(5)}".encode())
    assert names(flickr8k.load("dev")) == [name(5), name(0)]


def test_what_is_not_in_the_split_is_no_matter(root):
    home = write_set(root / "flickr8k", photos=[1, 2, 3])
    write_splits(home, train=[1, 2])
    assert names(flickr8k.load()) == [name(1), name(2)]


def test_split_without_a_file_where_others_have_theirs(root):
    home = write_set(root / "flickr8k")
    write_splits(home, train=[1], dev=[2])
    with pytest.raises(ValueError, match=r"no test\.txt in .*, only train\.txt, dev\.txt") as error:
        flickr8k.load("test")
    assert str(home) in str(error.value)


def test_photo_in_two_splits(root):
    write_splits(write_set(root / "flickr8k"), train=[1, 2, 3], dev=[4], test=[3, 2])
    assert names(flickr8k.load("dev")) == [name(4)]
    for split in ("train", "test"):
        with pytest.raises(ValueError, match=r"t(rain|est)\.txt share 2 names, such as 02_ab\.jpg"):
            flickr8k.load(split)


@pytest.mark.parametrize("original", [True, False])
def test_split_at_random(root, original):
    write_set(root / "flickr8k", count=40, original=original)
    parts = {split: flickr8k.load(split) for split in ("train", "dev", "test")}
    assert [len(part) for part in parts.values()] == [30, 5, 5]
    assert sorted(sum(map(names, parts.values()), [])) == [name(i) for i in range(40)]
    for part in parts.values():
        assert part.captions == [texts(int(n[:2])) for n in names(part)]
    assert names(flickr8k.load("dev")) == names(parts["dev"])
    assert names(flickr8k.load("dev", seed=1)) != names(parts["dev"])


def test_other_files_are_no_photos(root):
    images = write_set(root / "flickr8k") / "Images"
    for other in ("._00_ab.jpg", "Thumbs.db", "captions.txt"):
        (images / other).touch()
    assert len(flickr8k.load("all")) == 8
    (images / "folder.jpg").mkdir()
    with pytest.raises(ValueError, match=r"1 image without a caption in .*: folder\.jpg"):
        flickr8k.load("all")


@pytest.mark.parametrize(
    ("there", "lacking"),
    [
        (["Images"], "no captions"),
        (["captions.txt"], "no photos"),
    ],
)
def test_not_there(root, there, lacking):
    home = root / "flickr8k"
    home.mkdir()
    for item in there:
        (home / item).touch() if item.endswith(".txt") else (home / item).mkdir()
    with pytest.raises(MissingDataError, match=f"there are {lacking} of Flickr8k in") as error:
        flickr8k.load()
    for part in (str(home), "kaggle.com", "illinois.edu", "captions.txt", "RECIPES_DATA_DIR"):
        assert part in str(error.value)


# The download


def archive(**contents):
    """A zip file as the copy has it: made on a Mac, so with `__MACOSX`."""
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for name, content in contents.items():
            file.writestr(name, content)
            file.writestr(f"__MACOSX/{Path(name).parent}/._{Path(name).name}", b"Mac OS X")
    return data.getvalue()


@pytest.fixture
def server(monkeypatch, http_server):
    """Serves both archives, with photos and texts in the publishers' layout."""
    home = Path("Flicker8k_Dataset")
    photos = {f"{home}/{name(i)}": b"photo" for i in range(8)}
    tokens = "".join(
        f"{name(i)}#{k}\t{text}\n" for i in range(8) for k, text in enumerate(texts(i))
    )
    lists = {"train": [4, 1, 2], "dev": [5, 0], "test": [7, 6]}
    splits = {
        f"Flickr_8k.{split}Images.txt": "".join(f"{name(i)}\n" for i in numbers)
        for split, numbers in lists.items()
    }
    bodies = {
        "/Flickr8k_Dataset.zip": archive(**photos),
        "/Flickr8k_text.zip": archive(**{"Flickr8k.token.txt": tokens, "readme.txt": "", **splits}),
    }

    monkeypatch.setattr(flickr8k, "URL", f"{http_server.url}/")
    sums = {key[1:]: hashlib.md5(body).hexdigest() for key, body in bodies.items()}
    monkeypatch.setattr(flickr8k, "ARCHIVES", {key: (10**9, sums[key]) for key in sums})
    http_server.files = bodies
    return http_server


def test_it_downloads_itself_once(root, server, capsys):
    data = flickr8k.load()
    assert names(data) == [name(4), name(1), name(2)]
    assert data.captions == [texts(4), texts(1), texts(2)]
    assert data.paths[0].read_bytes() == b"photo"
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("Downloading Flickr8k_Dataset.zip of Flickr8k (1,000 MB) from http")
    assert "Terms: for research and education only" in second
    assert names(flickr8k.load("dev")) == [name(5), name(0)]
    assert len(flickr8k.load("all")) == 8
    assert server.asked == {"/Flickr8k_Dataset.zip": 1, "/Flickr8k_text.zip": 1}
    assert len(list((root / "flickr8k").iterdir())) == 3  # the archives, and the photos


def test_archives_that_were_put_there_by_hand(root, server):
    (root / "flickr8k").mkdir()
    for key, body in server.files.items():
        (root / "flickr8k" / key[1:]).write_bytes(body)
    assert len(flickr8k.load("all")) == 8
    assert not server.asked


def test_nothing_is_downloaded_into_a_folder_of_ones_own(tmp_path, server):
    with pytest.raises(MissingDataError, match="there are no photos and no captions of Flickr8k"):
        flickr8k.load(folder=tmp_path)
    assert not server.asked


def test_no_network(root):
    with pytest.raises(MissingDataError, match="Flickr8k is not in .*flickr8k and cannot") as error:
        flickr8k.load()
    for part in ("Flickr8k_Dataset.zip", "Flickr8k_text.zip", "kaggle", "RECIPES_DATA_DIR"):
        assert part in str(error.value)


# Names


def decomposed(text):
    return unicodedata.normalize("NFD", text)


def test_names_that_macos_has_decomposed(root):
    home = write_set(root / "flickr8k", 1)
    for photo in ("Größe.jpg", "café.jpg"):
        (home / "Images" / decomposed(photo)).touch()
    with open(home / "captions.txt", "a", encoding="utf-8") as file:
        file.write(f"Größe.jpg,a size\n{decomposed('café.jpg')},a bar\n")
    write_splits(home, train=[0])
    (home / "dev.txt").write_text(f"{decomposed('Größe.jpg')}\ncafé.jpg\n", encoding="utf-8")
    data = flickr8k.load("dev")
    assert data.captions == [["a size"], ["a bar"]]
    assert names(data) == [decomposed("Größe.jpg"), decomposed("café.jpg")]
    assert all(path.exists() for path in data.paths)


def test_two_names_that_look_alike(root):
    home = write_set(root / "flickr8k", 1)
    for photo in ("é.jpg", decomposed("é.jpg")):
        (home / "Images" / photo).touch()
    if len(list((home / "Images").iterdir())) < 3:
        pytest.skip("this file system knows one of the names only")
    with pytest.raises(ValueError, match=r"two files in .*Images have names that look alike: 'é"):
        flickr8k.load("all")


# The files of captions


@pytest.mark.parametrize(
    ("written", "caption"),
    [
        ("A dog .", "A dog ."),
        ("  A dog, a cat, a hat  ", "A dog, a cat, a hat"),
        ('"A dog , running ."', "A dog , running ."),
        ('"A sign says "" stop "" , a dog waits ."', 'A sign says " stop " , a dog waits .'),
        ('"A sign says "" stop """', 'A sign says " stop "'),
        ('A "big" dog, running', 'A "big" dog, running'),
        ('"Stop", says the sign "', '"Stop", says the sign "'),
        ('"A dog, open to the end', '"A dog, open to the end'),
        ('"', '"'),
        ("image,caption", "image,caption"),
        (
            "Ein Hund läuft über die Straße – 犬 🐕 \u2028 \x0b",
            "Ein Hund läuft über die Straße – 犬 🐕",
        ),
        ("word " * 200, ("word " * 200).strip()),
    ],
)
def test_captions_as_kaggle_has_them(root, written, caption):
    home = write_set(root / "flickr8k", 1)
    (home / "captions.txt").write_text(f"image,caption\n{name(0)},{written}\n", "utf-8")
    assert flickr8k.load("all").captions == [[caption]]


@pytest.mark.parametrize(
    "caption", ['" A dog " , a #1 cat', '"A dog , running ."', "A\tdog, a cat"]
)
def test_captions_as_the_publishers_have_them(root, caption):
    home = write_set(root / "flickr8k", 1, original=True)
    (home / "Flickr8k.token.txt").write_text(f"{name(0)}#0\t {caption} \n")
    assert flickr8k.load("all").captions == [[caption]]


@pytest.mark.parametrize("original", [True, False])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_line_ends_and_byte_order_mark(root, original, end, mark):
    home = write_set(root / "flickr8k", original=original)
    file = home / ("Flickr8k.token.txt" if original else "captions.txt")
    file.write_bytes((mark + file.read_text() + "\n  \n").replace("\n", end).encode())
    assert flickr8k.load("all").captions == [texts(i) for i in range(8)]


def test_header_may_be_missing_or_be_written_differently(root):
    home = write_set(root / "flickr8k", 1)
    for header in ("", "Image, Caption\n", "\nimage,caption\n"):
        (home / "captions.txt").write_text(f"{header}{name(0)},A dog\n")
        assert flickr8k.load("all").captions == [["A dog"]]


def test_different_numbers_of_captions_and_lines_in_any_order(root):
    home = write_set(root / "flickr8k", 2)
    rows = [(1, "a"), (0, "b"), (1, "c"), (1, "a")]
    (home / "captions.txt").write_text("".join(f"{name(i)},{text}\n" for i, text in rows))
    assert flickr8k.load("all").captions == [["b"], ["a", "c", "a"]]


@pytest.mark.parametrize(
    ("original", "line"),
    [
        (False, "no comma at all"),
        (False, " ,a dog"),
        (True, "no tab at all"),
        (True, "#0\ta dog"),
        (True, "a.jpg\ta dog"),
        (True, "a.jpg#x\ta dog"),
    ],
)
def test_line_of_another_form(root, original, line):
    home = write_set(root / "flickr8k", original=original)
    file = home / ("Flickr8k.token.txt" if original else "captions.txt")
    count = file.read_text().count("\n")
    file.write_text(file.read_text() + line + "\n")
    with pytest.raises(ValueError, match=f"line {count + 1} is not of the form image.jpg") as error:
        flickr8k.load("all")
    assert str(file) in str(error.value)


def test_text_in_another_encoding(root):
    home = write_set(root / "flickr8k")
    (home / "captions.txt").write_bytes(f"{name(0)},Stra\xdfe".encode("latin-1"))
    with pytest.raises(ValueError, match=r"captions\.txt is not text in UTF-8: .* at byte 14"):
        flickr8k.load("all")
    (home / "captions.txt").write_text("image,caption\n", "utf-16")
    with pytest.raises(ValueError, match=r"captions\.txt is not text in UTF-8"):
        flickr8k.load("all")


def test_a_huge_file_of_captions(root, monkeypatch):
    monkeypatch.setattr(flickr8k, "MAX_BYTES", 99)
    home = write_set(root / "flickr8k")
    with pytest.raises(ValueError, match=r"captions\.txt has more than 99 bytes"):
        flickr8k.load("all")
    assert home.is_dir()


# What does not go together


def test_photos_without_captions_and_captions_without_photos(root, capsys):
    home = write_set(root / "flickr8k", 30, photos=range(15, 31))
    with pytest.raises(ValueError, match="do not go together") as error:
        flickr8k.load("all")
    message = str(error.value)
    for i in range(10):
        assert name(i) in message
    assert name(10) not in message
    assert f"15 images that are not in {home / 'Images'}: 00_ab.jpg, 01_ab.jpg" in message
    assert "09_ab.jpg, and 5 more" in message
    assert f"1 image without a caption in {home / 'captions.txt'}: 30_ab.jpg" in message
    assert "skip_missing=True" in message
    assert capsys.readouterr().out == ""

    data = flickr8k.load("all", skip_missing=True)
    assert names(data) == [name(i) for i in range(15, 30)]
    printed = capsys.readouterr().out
    assert printed.startswith("Left out: 15 images that are not in")
    assert "30_ab.jpg" in printed
    assert printed.count("\n") == 1


@pytest.mark.parametrize("skip", [True, False])
def test_nothing_left(root, skip):
    write_set(root / "flickr8k", 3, photos=[])
    with pytest.raises(
        ValueError, match="no image in .*Images that has a caption in .*captions.txt\n"
    ):
        flickr8k.load("all", skip_missing=skip)
    (root / "flickr8k" / "captions.txt").write_text("image,caption\n")
    with pytest.raises(
        ValueError, match=r"no image in .*Images that has a caption in .*captions\.txt$"
    ):
        flickr8k.load("train", skip_missing=skip)


# Captioned images, whatever the set


def captioned(counts):
    paths = [Path(name(i)) for i in range(len(counts))]
    return CaptionedImages(paths, [[f"{i} {k}" for k in range(n)] for i, n in enumerate(counts)])


def test_captioned_images():
    data = captioned([2, 1, 3])
    assert len(data) == 3
    taken = data.take([2, 0])
    assert names(taken) == [name(2), name(0)]
    assert taken.captions == [["2 0", "2 1", "2 2"], ["0 0", "0 1"]]
    with pytest.raises(AttributeError):
        data.paths = []


@pytest.mark.parametrize(
    ("captions", "message"),
    [
        ([["a"]], "2 paths, but 1 lists of captions"),
        ([["a"], "a dog"], "01_ab.jpg: captions 'a dog' are not a list of strings"),
        ([["a"], [1]], "01_ab.jpg: captions .1. are not a list of strings"),
        ([["a"], []], "01_ab.jpg has no captions"),
        ([["a"], ["b", " "]], "01_ab.jpg has no captions, or an empty one"),
    ],
)
def test_captioned_images_that_cannot_be(captions, message):
    with pytest.raises(ValueError, match=message):
        CaptionedImages([Path(name(0)), Path(name(1))], captions)


def test_split_by_image():
    data = captioned([1 + i % 4 for i in range(50)])
    parts = split_by_image(data, (0.5, 0.3, 0.2), seed=3)
    assert [len(part) for part in parts] == [25, 15, 10]
    assert sorted(sum(map(names, parts), [])) == names(data)
    whole = dict(zip(data.paths, data.captions, strict=True))
    for part in parts:
        assert names(part) == sorted(names(part))
        assert part.captions == [whole[path] for path in part.paths]
    assert split_by_image(data, (0.5, 0.3, 0.2), seed=3) == parts
    assert split_by_image(data, (0.5, 0.3, 0.2), seed=4) != parts
    assert [len(part) for part in split_by_image(data)] == [40, 5, 5]
    assert split_by_image(data, (1,)) == (data,)


@pytest.mark.parametrize("shares", [(0.5, 0.6), (0.5,), (), (1.5, -0.5), (1, 0)])
def test_shares_that_cannot_be(shares):
    with pytest.raises(ValueError, match="shares must be above 0 and make 1"):
        split_by_image(captioned([1] * 10), shares)


def test_part_without_images():
    with pytest.raises(ValueError, match="4 images, split as .* leave a part without any"):
        split_by_image(captioned([1] * 4))


def test_sample():
    data = captioned([1 + i % 5 for i in range(100)])
    drawn = sample(data, 60, seed=1)
    total = sum(map(len, drawn.captions))
    assert 60 <= total < 65
    assert names(drawn) == sorted(set(names(drawn)))
    assert names(drawn) != names(data)[: len(drawn)]
    whole = dict(zip(data.paths, data.captions, strict=True))
    assert drawn.captions == [whole[path] for path in drawn.paths]
    assert sample(data, 60, seed=1) == drawn
    assert sample(data, 60, seed=2) != drawn
    assert set(names(drawn)) < set(names(sample(data, 90, seed=1)))
    assert sample(data, 300) == sample(data) == data
    assert len(sample(data, 299)) >= 99


@pytest.mark.parametrize(
    ("captions", "fault", "left"),
    [
        ({"a": ["x"], "b": ["y", " \n"]}, "1 image with an empty caption in here: b", "ba"),
        ({"a": ["x"], "b": ["", "\t"]}, "1 image with an empty caption in here: b", "a"),
        ({"a": ["x"]}, "1 image without a caption in here: b", "a"),
        ({"a": ["x"], "b": ["y"], "c": ["z"]}, "1 image that is not in there: c", "ba"),
    ],
)
def test_images_and_captions_that_do_not_go_together(capsys, captions, fault, left):
    wanted = [*dict.fromkeys(["b", "a", *captions])], {"a", "b", "d"}, captions, "there", "here"
    with pytest.raises(ValueError, match=f"do not go together:\n  {fault}\n.*skip_missing=True"):
        match(*wanted)
    assert match(*wanted, skip_missing=True) == {name: [captions[name][0]] for name in left}
    assert capsys.readouterr().out == f"Left out: {fault}\n"


def test_match_keeps_the_order_and_strips():
    found = match(["b", "a"], {"a", "b", "c"}, {"a": [" x "], "b": ["y", "z\n"]}, "here", "there")
    assert list(found.items()) == [("b", ["y", "z"]), ("a", ["x"])]


def test_sample_counts_captions_exactly():
    data = captioned([5] * 20)
    assert [len(sample(data, n)) for n in (1, 5, 6, 10, 99, 100)] == [1, 1, 2, 2, 20, 20]


@pytest.mark.parametrize("count", [0, -5, 2.5, "30"])
def test_sample_of_so_many_cannot_be(count):
    with pytest.raises(ValueError, match="captions .*: at least 1 is needed, a whole number"):
        sample(captioned([1]), count)


# Boxes


def write_boxes(root, *rows):
    (root / "flickr8k_boxes").mkdir(exist_ok=True)
    path = root / "flickr8k_boxes" / "phrase_boxes.csv"
    path.write_text("\n".join(["image,phrase,x1,y1,x2,y2,width,height", *rows]), "latin-1")
    return path


def test_boxes(root):
    rows = [
        "a.jpg,A brown dog,50,20,100,40,200,100",
        "a.jpg,cat,1,1,2,2,,",
        "b.jpg,hat.,0,0,9,9,9,9",
    ]
    write_boxes(root, *rows)
    assert flickr8k.boxes() == {
        "a.jpg": [("dog", (0.25, 0.2, 0.25, 0.2))],
        "b.jpg": [("hat", (0, 0, 1, 1))],
    }


@pytest.mark.parametrize(
    "row", ["a.jpg,dog,1,2,x,4,5,6", "a.jpg,dog,1,2,3,4,0,6", "a.jpg, ,1,2,3,4,5,6",
            "a.jpg,dog,3,2,1,4,5,6", "a.jpg,dog,nan,2,3,4,5,6",
            "a.jpg,stra\xdfe,1,2,3,4,5,6"],
)  # fmt: skip
def test_boxes_that_are_damaged(root, row):
    path = write_boxes(root, "a.jpg,dog,1,2,3,4,5,6", row)
    with pytest.raises(ValueError, match="is damaged") as error:
        flickr8k.boxes()
    assert str(path) in str(error.value)


def test_boxes_that_are_not_there(root):
    with pytest.raises(MissingDataError, match=r"phrase_boxes\.csv.*flickr30k_entities"):
        flickr8k.boxes()


# The real set


def test_real_splits(real):
    real("flickr8k")
    train, dev = flickr8k.load("train"), flickr8k.load("dev")
    assert (len(train), len(dev)) == (6000, 1000)
    assert not set(train.paths) & set(dev.paths)
    assert all(len(captions) == 5 for captions in train.captions + dev.captions)
    assert train.paths[0].is_file()
    assert train.captions[0][1] == "A girl going into a wooden building ."
    assert not any(text[0] == text[-1] == '"' for texts in train.captions for text in texts)
