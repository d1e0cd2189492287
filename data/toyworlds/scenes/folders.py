"""Scenes written into folders, in the layouts of Flickr8k and of COCO 2017."""

import csv
import json

from PIL import Image

from toyworlds import write_folder
from toyworlds.scenes.captions import NOUNS, describe
from toyworlds.scenes.composition import PEOPLE, VEHICLES, compose
from toyworlds.scenes.picture import check_size, draw

VERSION = 1  # of drawings and captions: raise it with every change, and folders are redrawn
RUN = 10_000  # so many scenes has a seed of the folders below
STUFF = ("grass", "sand", "snow", "street", "water", "sky")  # what COCO calls so: no things
GROUPS = {
    **dict.fromkeys(PEOPLE, "person"),
    **dict.fromkeys(("dog", "cat", "horse", "bird"), "animal"),
    **dict.fromkeys(VEHICLES, "vehicle"),
    **dict.fromkeys(STUFF, "stuff"),
}


def write_flickr8k(folder, count=1500, size=96, seed=0):
    """Writes scenes in the layout in which Kaggle offers Flickr8k.

    That is `Images/*.jpg`; `captions.txt`, a CSV with the header `image,caption` and five lines
    for each picture; and `train.txt`, `dev.txt` and `test.txt`, the names of 80, 10 and 10 % of
    the pictures. A folder that was written with the same arguments is left as it is.

    Args:
        folder: the folder. It must be absent, empty, or written by this package.
        count: number of scenes, 10 to 10,000.
        size: side of a picture in pixels, 64 to 1024.
        seed: int from 0 to 99; another one, other scenes. Scene `i` is `draw(10_000 * seed + i)`.

    Returns:
        The folder, as `Path`.

    Raises:
        ValueError: a number out of range, or a folder that holds somebody else's files.
    """
    settings = _settings("Flickr8k", count, size, seed)
    tenth = count // 10
    names = {number: f"{number:06d}.jpg" for number in _numbers(count, seed)}
    parts = _split(names.values(), dev=tenth, test=tenth)

    def write(partial):
        (partial / "Images").mkdir()
        with open(partial / "captions.txt", "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(("image", "caption"))
            for number, name in names.items():
                _save(draw(number, size)[0], partial / "Images" / name)
                table.writerows((name, caption) for caption in describe(compose(number)))
        for part, members in parts.items():
            (partial / f"{part}.txt").write_text("".join(f"{n}\n" for n in members), "utf-8")

    return write_folder(folder, settings, write)


def write_coco(folder, count=1500, size=96, seed=0):
    """Writes scenes in the layout of COCO 2017: 80 % in `train2017/`, 20 % in `val2017/`.

    Beside them are `annotations/captions_{train,val}2017.json` and `instances_...json` with the
    boxes of all objects. Categories are those of `nouns()`; they differ from COCO's. Arguments,
    scenes and errors are as for `write_flickr8k`; the id of a picture is the number of its scene.

    Returns:
        The folder, as `Path`.
    """
    settings = _settings("COCO", count, size, seed)
    parts = _split(_numbers(count, seed), val=count // 5)
    categories = [
        {"id": i, "name": name, "supercategory": GROUPS.get(name, "thing")}
        for i, name in enumerate(NOUNS, 1)
    ]
    ids = {category["name"]: category["id"] for category in categories}

    def write(partial):
        (partial / "annotations").mkdir()
        for part, numbers in parts.items():
            (partial / f"{part}2017").mkdir()
            images, captions, instances = [], [], []
            for number in numbers:
                picture, objects = draw(number, size)
                image = {"id": number, "file_name": f"{number:012d}.jpg"}
                images.append(image | {"height": size, "width": size})
                _save(picture, partial / f"{part}2017" / image["file_name"])
                for i, caption in enumerate(describe(compose(number))):
                    captions.append({"id": 5 * number + i, "image_id": number, "caption": caption})
                for i, found in enumerate(objects):
                    x, y, width, height = found["box"]
                    instances.append(
                        {
                            "id": 100 * number + i,
                            "image_id": number,
                            "category_id": ids[found["category"]],
                            "bbox": [x, y, width, height],
                            "area": round(width * height, 2),
                            "iscrowd": 0,
                        }
                    )
            for kind, content in (
                ("captions", {"images": images, "annotations": captions}),
                (
                    "instances",
                    {"images": images, "annotations": instances, "categories": categories},
                ),
            ):
                path = partial / "annotations" / f"{kind}_{part}2017.json"
                path.write_text(json.dumps(content), encoding="utf-8")

    return write_folder(folder, settings, write)


def _settings(layout, count, size, seed):
    if not 10 <= count <= RUN:
        raise ValueError(f"count {count}, but a number of scenes from 10 to {RUN:,} is needed")
    if not 0 <= seed <= 99:
        raise ValueError(f"seed {seed}, but a number from 0 to 99 is needed")
    check_size(size)
    return {
        "drawing": "scenes", "version": VERSION, "layout": layout,
        "count": count, "size": size, "seed": seed,
    }  # fmt: skip


def _numbers(count, seed):
    return range(RUN * seed, RUN * seed + count)


def _split(members, **sizes):
    """The last ones of `members` for the parts of these sizes, the others for `train`."""
    members, parts = list(members), {}
    for part, size in reversed(sizes.items()):
        members, parts[part] = members[:-size], members[-size:]
    return {"train": members, **dict(reversed(parts.items()))}


def _save(picture, path):
    Image.fromarray(picture).save(path, "JPEG", quality=95, subsampling=0)
