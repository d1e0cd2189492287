"""Flickr8k: 8,091 photos of everyday scenes, five captions each (Hodosh et al. 2013)."""

import csv
import io
from pathlib import Path

from recipes.datasets.archives import find_file, unpack
from recipes.datasets.captions import CaptionedImages, fractions, match, split_by_image
from recipes.datasets.download import fetch
from recipes.datasets.files import MissingDataError, check_choice, data_root, read_bytes
from recipes.datasets.image_files import image_names, nfc

SPLITS = ("train", "dev", "test", "all")
SHARES = {"train": 0.75, "dev": 0.125, "test": 0.125}  # 6,000, 1,000 and 1,000 as published

# The copy that TensorFlow's own tutorial on captions uses: bytes and MD5.
URL = "https://github.com/jbrownlee/Datasets/releases/download/Flickr8k/"
PHOTOS, TEXTS = "Flickr8k_Dataset.zip", "Flickr8k_text.zip"
ARCHIVES = {
    PHOTOS: (1_115_419_746, "f18a1e2920de5bd84dae7cf08ec78978"),
    TEXTS: (2_340_801, "bf6c1abcb8e4a833b7f922104de18627"),
}
TERMS = (
    "for research and education only, not for commerce; the photos belong to users of Flickr and "
    "may not be passed on: see http://hockenmaier.cs.illinois.edu/8k-pictures.html"
)

FOLDERS = ("Images", "Flicker8k_Dataset")  # the second is how the publishers spell it
CAPTION_FILES = ("captions.txt", "Flickr8k.token.txt")
BOX_FILE, BOX_COLUMNS = "phrase_boxes.csv", ("x1", "y1", "x2", "y2", "width", "height")
SPLIT_FILES = ("{}.txt", "Flickr_8k.{}Images.txt")
MAX_BYTES = 100_000_000  # of a text file; the captions have 3.4 million


def load(split="train", folder=None, skip_missing=False, seed=0):
    """Photos, and the captions of each as published.

    From `folder`, or else `flickr8k/` of the data root, which holds `Images/` and `captions.txt`
    as Kaggle has them, or `Flicker8k_Dataset/` and `Flickr8k.token.txt` as their publishers. The
    splits are those of `train.txt`, `dev.txt` and `test.txt` (or `Flickr_8k.trainImages.txt` and
    so on), one file name a line; if there is no such file, images are split at random.

    If there is nothing in the data root, it is downloaded there (1.1 GB). Nothing is ever
    downloaded into a `folder`. `Flickr8k.token.txt` has captions of one photo,
    `2258277193_586949ec62.jpg.1`, that was never published. It is in no split; "all", or a split
    at random, need `skip_missing`.

    Args:
        split: "train", "dev", "test", or "all": every photo, whatever the split files say.
        folder: a folder in one of these layouts.
        skip_missing: as for `captions.match`. With split files, only their photos count.
        seed: of the split at random.

    Returns:
        A `CaptionedImages`: photos in the order of the split file, else of their names.

    Raises:
        ValueError: an unknown split, or one without a file where others have theirs; a photo in
            two splits; photos and captions that do not go together; or a file that is damaged.
        MissingDataError: there are no photos or no captions, and they cannot be downloaded.
        OSError: there is no room, or no permission, to keep the download.
    """
    check_choice("split", split, SPLITS)
    home = data_root() / "flickr8k" if folder is None else Path(folder)
    images, source = _find(home)
    if folder is None and not images and (not source or (home / TEXTS).is_file()):
        for name, (size, md5) in ARCHIVES.items():
            about = f"{name} of Flickr8k"
            fetch(about, URL + name, home / name, TERMS, _by_hand(home), md5=md5, size=size)
        unpack(home / PHOTOS, home / FOLDERS[1])
        images, source = _find(home)
    if not (images and source):
        lacking = " and no ".join(["photos"] * (not images) + ["captions"] * (not source))
        raise MissingDataError(f"there are no {lacking} of Flickr8k in {home}. {_by_hand(home)}")
    captions, there = _read_captions(source), image_names(images)
    files = {}
    for name in SHARES:
        if file := find_file([file.format(name) for file in SPLIT_FILES], home, home / TEXTS):
            files[name] = file
    if files and split != "all":
        names = _read_split(files, split)
    else:
        names = sorted(there.keys() | captions.keys())
    found = match(names, there, captions, images, source, skip_missing)
    data = CaptionedImages([images / there[name] for name in found], list(found.values()))
    if files or split == "all":
        return data
    return split_by_image(data, tuple(SHARES.values()), seed)[list(SHARES).index(split)]


def _find(home):
    """The folder of photos and the file of captions; None for what is not there."""
    images = next((home / name for name in FOLDERS if (home / name).is_dir()), None)
    return images, find_file(CAPTION_FILES, home, home / TEXTS)


def _by_hand(home):
    return (
        f"Put {' and '.join(ARCHIVES)} from {URL} there; or {FOLDERS[0]}/ and {CAPTION_FILES[0]} "
        "from https://www.kaggle.com/datasets/adityajn105/flickr8k (needs an account); or what its "
        "publishers send by their form, http://hockenmaier.cs.illinois.edu/8k-pictures.html; or "
        "set RECIPES_DATA_DIR to the folder that holds flickr8k/."
    )


def boxes(folder=None):
    """Boxes of what the captions name (Flickr30k Entities, Plummer et al. 2015).

    From `flickr8k_boxes/phrase_boxes.csv` of the data root, a table with the columns image,
    phrase, x1, y1, x2, y2, width and height, in pixels of the published photo. A phrase goes by
    its last word: "a brown dog" is "dog". Rows without the photo's width and height are left out.

    Args:
        folder: the folder that holds the table.

    Returns:
        dict, name of the photo's file -> list of `(word, (x, y, width, height))`, in fractions of
        the photo.

    Raises:
        MissingDataError: there is no such table.
        ValueError: it is damaged.
    """
    path = (data_root() / "flickr8k_boxes" if folder is None else Path(folder)) / BOX_FILE
    if not path.is_file():
        raise MissingDataError(
            f"there is no {path}. Put a table with the columns image, {', '.join(BOX_COLUMNS)} and "
            "phrase there: the boxes of https://github.com/BryanPlummer/flickr30k_entities"
        )
    found, row = {}, {}
    try:
        with io.StringIO(read_bytes(path, MAX_BYTES).decode("utf-8-sig"), newline="") as file:
            for row in csv.DictReader(file):
                if row["width"]:
                    word = "".join(filter(str.isalnum, row["phrase"].split()[-1].lower()))
                    x1, y1, x2, y2, width, height = (float(row[name]) for name in BOX_COLUMNS)
                    box = fractions(x1, y1, x2 - x1, y2 - y1, width, height)
                    found.setdefault(nfc(row["image"]), []).append((word, box))
    except (LookupError, TypeError, ArithmeticError, ValueError, csv.Error) as error:
        raise ValueError(f"{path} is damaged ({error!r}) at or after the row {row}") from error
    return found


def _read_lines(path):
    """Pairs of a number and a line, without those that are blank."""
    try:
        text = read_bytes(path, MAX_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not text in UTF-8: {error.reason} at byte {error.start}. Save it as UTF-8."
        ) from error
    lines = enumerate(text.replace("\r\n", "\n").replace("\r", "\n").split("\n"), 1)
    return [(number, line) for number, line in lines if line.strip()]


def _read_captions(path):
    """dict from the name of an image to a list of its captions."""
    lines, captions = _read_lines(path), {}
    with_header = path.name == CAPTION_FILES[0]
    if with_header and lines and lines[0][1].replace(" ", "").lower() == "image,caption":
        del lines[0]
    for number, line in lines:
        if with_header:
            name, mark, caption = line.partition(",")
            caption = _unquote(caption.strip())
        else:
            key, mark, caption = line.partition("\t")
            name, _, index = key.rpartition("#")
            mark = mark and index.strip().isdigit()
        if not (mark and name.strip()):
            form = "image.jpg,caption" if with_header else "image.jpg#0<TAB>caption"
            raise ValueError(f"{path}, line {number} is not of the form {form}: {line[:80]!r}")
        captions.setdefault(nfc(name.strip()), []).append(caption)
    return captions


def _unquote(caption):
    # Kaggle's file puts a caption that holds commas or quotes between quotes, and doubles those in
    # it. A reader of CSV would go wrong where others write captions as they are.
    inner = caption[1:-1].replace('""', "")
    if len(caption) > 1 and caption[0] == caption[-1] == '"' and '"' not in inner:
        return caption[1:-1].replace('""', '"')
    return caption


def _read_split(files, split):
    """The names in the file of this split, which no other file may have."""
    if split not in files:
        others = ", ".join(file.name for file in files.values())
        raise ValueError(
            f"there is no {split}.txt in {files.popitem()[1].parent}, only {others}: load one of "
            'these, or split="all"'
        )
    lists = {
        name: dict.fromkeys(nfc(line.strip()) for _, line in _read_lines(file))
        for name, file in files.items()
    }
    for other in files.keys() - {split}:
        if both := lists[split].keys() & lists[other].keys():
            raise ValueError(
                f"{files[split]} and {files[other].name} share {len(both)} names, such as "
                f"{min(both)}: a photo belongs to one split"
            )
    return list(lists[split])
