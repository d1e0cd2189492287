"""COCO: everyday scenes with five captions each, and boxes of their objects (Lin et al. 2014)."""

import contextlib
import json
import os
import sys
import time
from collections import Counter
from pathlib import Path, PureWindowsPath
from urllib.parse import quote

from tqdm import tqdm
from tqdm.contrib.concurrent import thread_map

from recipes.datasets import files
from recipes.datasets.archives import find_file
from recipes.datasets.captions import CaptionedImages, fractions, match, sample
from recipes.datasets.download import download as download_file
from recipes.datasets.download import fetch
from recipes.datasets.files import MissingDataError, check_choice, data_root, read_bytes
from recipes.datasets.image_files import LISTED, image_names, nfc

# The store behind images.cocodataset.org, whose certificate does not cover that name.
URL = "https://s3.amazonaws.com/images.cocodataset.org"
# Bytes and SHA-256 of annotations/annotations_trainval<year>.zip: as TensorFlow Datasets has them,
# for the authors publish none. The first year is the one to prefer.
ARCHIVES = {
    "2017": (252_907_541, "113a836d90195ee1f884e704da6304dfaaecff1f023f49b6ca93c4aaae470268"),
    "2014": (252_872_794, "031296bbc80c45a1d1f76bf9a90ead27e94e99ec629208449507a4917a3bf009"),
}
TERMS = (
    "annotations CC BY 4.0; photos under the licences of their owners on Flickr, which the "
    "annotations name: https://cocodataset.org/#termsofuse"
)
PHOTO_SIZE = 165_000  # bytes, on average
MAX_BYTES = 1 << 30  # of a file of annotations; the largest has 450 million
SPLITS = ("train", "val")

THREADS = 4  # with many more, the store refuses some of the requests
WAITS = (0, 1, 5)  # seconds before each attempt to get an image


def load(
    split="train",
    folder=None,
    captions=30_000,
    seed=0,
    year=None,
    skip_missing=False,
    download=True,
):
    """Photos and their captions, all of COCO or a sample of it.

    From `folder`, or else `coco/` of the data root, in the layout of the publishers:
    `annotations/captions_train2017.json` (or `annotations_trainval2017.zip` as it is), and the
    photos in `train2017/`. `val` and 2014 likewise; photos have the names that the file gives.

    What is not in the data root is downloaded there: the archive of annotations (253 MB), then
    of the photos only those of the sample, one by one (30,000 captions: 6,000 photos, 1 GB). What
    came stays, so that a broken download goes on. Nothing is ever downloaded into a `folder`.

    Args:
        split: "train" or "val". Take both of one year: `train` of 2017 has most of `val` of 2014.
        folder: a folder in this layout.
        captions: draw photos until there are so many captions (see `captions.sample`); None: all,
            118,287 photos of `train` 2017. Then better unpack the publishers' train2017.zip.
        seed: the same seed draws the same photos.
        year: 2017 or 2014; None: the one that is there, 2017 if both are or none.
        skip_missing: as for `captions.match`; a download that fails is an error all the same.
        download: whether what is missing may be downloaded.

    Returns:
        A `CaptionedImages`, in the order of the file of captions.

    Raises:
        ValueError: an unknown split or year, a file that is not COCO's, or photos and captions
            that do not go together.
        MissingDataError: annotations or photos that are not there and cannot be downloaded.
        OSError: there is no room, or no permission, to keep a download.
    """
    source, folder_of_images = _find("captions", split, folder, year, download)
    content = _read(source)
    names = _names(source, content)
    texts = {}
    for entry in _entries(source, content, "annotations", image_id=(int, str), caption=str):
        name = names.get(entry["image_id"], f"id {entry['image_id']}")
        texts.setdefault(name, []).append(entry["caption"])
    listed = dict.fromkeys(names.values())
    wanted = [*listed, *(name for name in texts if name not in listed)]
    found = match(wanted, listed, texts, f'"images" of {source}', source, skip_missing)
    data = CaptionedImages([folder_of_images / name for name in found], list(found.values()))
    if captions is not None:
        data = sample(data, captions, seed)

    there = _files(folder_of_images)
    wanted = [path.name for path in data.paths]
    if folder is None and download:
        _fetch([name for name in wanted if name not in there], folder_of_images)
    else:
        found = match(wanted, there, found, folder_of_images, source, skip_missing)
        wanted = list(found)
    paths = [folder_of_images / there.get(name, name) for name in wanted]
    return CaptionedImages(paths, [found[name] for name in wanted])


def boxes(split="train", folder=None, year=None, download=True):
    """What is to be seen in each photo, and where.

    From `annotations/instances_train2017.json` and so on, in the places where `load` looks; the
    archive of annotations is downloaded if it is not there, but no photo. The file of `train` has
    450 MB: reading it takes half a minute and 2 GB of memory.

    Args:
        split, folder, year, download: as for `load`.

    Returns:
        dict from the `Path` of every photo, as `load` gives it, to a list of pairs
        `(category, (x, y, width, height))`: a str, and four floats in [0, 1], fractions of the
        width and height of the photo, measured from its left and upper edges. They hold at any
        size. A group of objects may have one box.

    Raises:
        ValueError: an unknown split or year, or a file that is not COCO's.
        MissingDataError: the file is not there and cannot be downloaded.
        OSError: there is no room, or no permission, to keep the download.
    """
    source, folder_of_images = _find("instances", split, folder, year, download)
    content = _read(source, _without_outline)
    names = _names(source, content, width=(int, float), height=(int, float))
    sizes = {entry["id"]: (entry["width"], entry["height"]) for entry in content["images"]}
    categories = {
        entry["id"]: entry["name"]
        for entry in _entries(source, content, "categories", id=(int, str), name=str)
    }
    found = {name: [] for name in names.values()}
    for entry in _entries(
        source, content, "annotations", image_id=(int, str), category_id=(int, str), bbox=list
    ):
        image, category = entry["image_id"], entry["category_id"]
        if image not in names or category not in categories:
            what = f'image {image} of "images"' if image not in names else f"category {category}"
            raise ValueError(f"{source}: annotation {entry['id']} is of {what}, which is not there")
        try:
            box = fractions(*entry["bbox"], *sizes[image])
        except (TypeError, ArithmeticError, ValueError) as error:
            raise ValueError(
                f"{source}: annotation {entry['id']} has the box {entry['bbox']}, not a left and "
                f"upper edge, width and height in a photo of {sizes[image]} pixels"
            ) from error
        found[names[image]].append((categories[category], box))
    there = _files(folder_of_images)
    return {folder_of_images / there.get(name, name): pairs for name, pairs in found.items()}


def _files(folder):
    return image_names(folder) if folder.is_dir() else {}


def _find(kind, split, folder, year, download):
    """Where the annotations of this kind are, and the folder of the photos they are of."""
    check_choice("split", split, SPLITS)
    if year is not None:
        check_choice("year", str(year), ARCHIVES)
    home = data_root() / "coco" if folder is None else Path(folder)

    def places(year):
        archive = home / f"annotations_trainval{year}.zip"
        return f"annotations/{kind}_{split}{year}.json", archive, home / f"{split}{year}"

    years = [str(year)] if year else list(ARCHIVES)
    for year in years:
        name, archive, photos = places(year)
        if source := find_file([name], home, archive):
            return source, photos
    year = years[0]
    name, archive, photos = places(year)
    by_hand = (
        f"Put it there, or {archive.name} as it is, from https://cocodataset.org/#download, and "
        f"the photos into {photos}; or set {files.ENVIRONMENT} to the folder that holds coco/."
    )
    if folder is None and download and not archive.is_file():
        size, sha256 = ARCHIVES[year]
        url = f"{URL}/annotations/{archive.name}"
        fetch(f"{name} of COCO", url, archive, TERMS, by_hand, sha256, size=size)
        if source := find_file([name], home, archive):
            return source, photos
    raise MissingDataError(f"there is no {name} in {home}. {by_hand}")


def _without_outline(entry):  # nine tenths of the numbers in the file, and of the memory
    entry.pop("segmentation", None)
    return entry


def _read(path, change_entry=None):
    try:
        return json.loads(read_bytes(path, MAX_BYTES), object_hook=change_entry)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read as JSON: {error}. Get it again.") from error


def _entries(path, content, section, **kinds):
    """The list `section`, each entry with an id of its own and with values of these kinds."""
    entries = content.get(section) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        raise ValueError(f'{path} has no list "{section}": it is not an annotation file of COCO')
    kinds["id"] = (int, str)
    for number, entry in enumerate(entries):
        for key, kind in kinds.items():
            if not isinstance(entry, dict) or not isinstance(entry.get(key), kind):
                raise ValueError(
                    f'{path}: entry {number} of "{section}" has no "{key}", or one of another '
                    f"kind than COCO's: {str(entry)[:80]}"
                )
    _check_unique(path, section, "id", [entry["id"] for entry in entries])
    return entries


def _check_unique(path, section, key, values):
    if len(set(values)) < len(values):
        value, count = Counter(values).most_common(1)[0]
        raise ValueError(f'{path}: {count} entries of "{section}" have the {key} {value!r}')


def _names(path, content, **kinds):
    """dict from the id of each photo to the name of its file."""
    images = _entries(path, content, "images", file_name=str, **kinds)
    for image in images:
        name = image["file_name"]
        if not _is_plain(name):
            raise ValueError(f"{path}: the file_name {name!r} is not the plain name of a file")
    _check_unique(path, "images", "file_name", [nfc(image["file_name"]) for image in images])
    return {image["id"]: nfc(image["file_name"]) for image in images}


def _is_plain(name):
    with contextlib.suppress(UnicodeEncodeError):
        os.fsencode(name)
        return PureWindowsPath(name).name == name and name not in ("", "..") and "\0" not in name
    return False


def _fetch(names, folder):
    """Download photos into `folder`; all that fail are told of in one error."""
    failures = []

    def get(name):
        for wait in WAITS:
            if len(failures) >= LISTED:  # it is not this photo: do not try thousands of them
                return
            time.sleep(wait)
            try:
                url = f"{URL}/{folder.name}/{quote(os.fsencode(name))}"
                download_file(url, folder / name, progress=False)  # one bar for all, below
                return
            except ConnectionError as error:
                fault = error.__cause__ or error
        failures.append(f"{name}: {fault}")

    if not names:
        return
    megabytes = len(names) * PHOTO_SIZE / 1e6
    print(
        f"Downloading {len(names):,} photos of COCO (about {megabytes:,.0f} MB) from {URL} to "
        f"{folder}. Terms: {TERMS}"
    )
    bar = {"tqdm_class": tqdm, "desc": folder.name, "file": sys.stderr, "leave": False}
    thread_map(get, names, max_workers=THREADS, **bar)
    if failures:
        missing = len(set(names) - set(_files(folder)))
        listed = "\n  ".join(sorted(failures)[:LISTED])
        raise MissingDataError(
            f"{folder} lacks {missing:,} of the photos of COCO asked for, and they cannot be "
            f"downloaded:\n  {listed}\nLoad again later: what came is kept. Or put them there "
            "yourself; or load those that are there, with download=False and skip_missing=True."
        )
