"""Accuracy against epsilon of two ImageNet classifiers, under noise and attacks.

    RECIPES_DATA_DIR=... python -m benchmarks.robustness build/robustness.json [--help]

Reads MobileNetV2 and EfficientNet-Lite2 from `weights/` of the data root, and the photos of
`recipes.datasets.imagenet_sample`. Epsilons are on the scale from -1 to 1, in the norm inf.
APGD and Square go on, at each epsilon, with the photos that stood the smaller ones: what fools a
model there lies in the larger ball, too. APGD-T gets what APGD-CE has left, as in AutoAttack, and
"all together" are the photos that none of these has fooled; a transfer is not counted there.

The file is written after each row; the same command goes on with the rows that it lacks, and prints
the tables of the README. On two CPU cores, where 1,000 photos would take days:

    ... build/robustness_cpu.json --photos 100 --queries 200 --rows Square FMN transfer
"""

import argparse
import os
import platform
import sys
import time
from pathlib import Path

os.environ.setdefault("TF_CUDNN_USE_AUTOTUNE", "0")  # batches shrink: it would tune for each size

import recipes  # noqa: F401  before TensorFlow: it sets how that starts

# isort: split
import keras
import numpy as np
import tensorflow as tf

from recipes import attacks, backbones, fgsm
from recipes.datasets import imagenet_sample, scale
from recipes.datasets.files import data_root, load_json, save_json
from recipes.training.runtime import setup

NETS = {
    "MobileNetV2": "mobilenet_v2_imagenet.weights.h5",
    "EfficientNet-Lite2": "efficientnet_lite2_imagenet.keras",
}
ROWS = ["noise", "FGSM", "PGD", "APGD-CE", "APGD-T", "Square", "FMN", "transfer"]
SETTINGS = ("photos", "queries", "steps", "targets", "epsilons")  # what the numbers depend on


def load_net(name, root):
    path = root / "weights" / NETS[name]
    if path.suffix == ".keras":
        return keras.models.load_model(path)
    return backbones.load_classifier(name, path)


def standing_under(way, see, images, labels, settings, before, keep=False):
    """Which photos an attack leaves right, bool `(epsilons, photos)`.

    Args:
        way: the attack, of images, labels and `epsilon`.
        see: what the attacked model sees in images.
        before: bool `(photos,)` or `(epsilons, photos)`: those that it is tried on.
        keep: whether photos that fell at a smaller epsilon stay down.
    """
    standing = np.broadcast_to(before, (len(settings.epsilons), len(images))).copy()
    for i, epsilon in enumerate(settings.epsilons):
        if keep and i:
            standing[i] &= standing[i - 1]
        rows = np.flatnonzero(standing[i])
        for some in np.split(rows, range(settings.batch, len(rows), settings.batch)):
            if len(some):
                made = way(images[some], labels[some], epsilon=epsilon)
                standing[i, some] = see(made) == labels[some]
    return standing


def measure(row, name, models, photos, done, settings):
    """One row of the table: which photos stand, bool `(epsilons, photos)`, and notes about it."""
    model, (images, labels), steps = models[name], photos[name], settings.steps
    right, notes, before, keep = done["clean"], {}, done["clean"], True

    def see(made):
        return attacks.predict(model, made, settings.batch)[0]

    if row == "FMN":
        cuts = range(settings.batch, len(images), settings.batch)
        parts = zip(np.split(images, cuts), np.split(labels, cuts), strict=True)
        far = np.concatenate([attacks.fmn(model, x, y, steps=2 * steps)[1] for x, y in parts])
        notes["median distance"] = float(np.median(far[right[0]]))
        return right & (far > np.array(settings.epsilons)[:, None]), notes
    if row == "transfer":
        [source] = set(NETS) - {name}
        size, notes["from"] = model.input_shape[1:3], source
        images, labels = photos[source]

        def see_resized(made):
            return see(tf.image.resize(made, size).numpy())

        def way(x, y, epsilon):
            return fgsm.pgd(
                models[source], x, y, epsilon=epsilon, step_size=epsilon / 10, momentum=1.0,
                diversity=0.5, random_start=False,
            )  # fmt: skip

        cuts = range(settings.batch, len(images), settings.batch)
        before = np.concatenate([see_resized(x) for x in np.split(images, cuts)]) == labels
        notes["clean, resized"] = before.mean()
        return standing_under(way, see_resized, images, labels, settings, before), notes
    if row in ("noise", "FGSM", "PGD"):
        attack = {"noise": fgsm.random_signs, "FGSM": fgsm.fgsm, "PGD": fgsm.pgd}[row]
        options, keep = {}, False
    elif row == "Square":
        attack, options = attacks.square, {"queries": settings.queries}
    else:
        attack, options = attacks.apgd, {"steps": steps}
        if row == "APGD-T":
            options |= {"loss": "targeted", "targets": settings.targets}
            before = done["APGD-CE"]

    def way(x, y, epsilon):
        return attack(model, x, y, epsilon=epsilon, **options)

    return standing_under(way, see, images, labels, settings, before, keep), notes


def table(name, epsilons, rows):
    """The rows of one network, as the README has them."""

    def line(title, values):
        return f"| {title} | " + " | ".join(f"{100 * value:.1f} %" for value in values) + " |"

    standing = {row: unpack(kept) for row, kept in rows.items()}
    head = f"| {name}, clean {100 * standing['clean'].mean():.1f} % | "
    lines = [head + " | ".join(map(str, epsilons)) + " |", "| --- " * (len(epsilons) + 1) + "|"]
    for row in ROWS:
        if row in rows:
            title = f"{row} from {rows[row]['from']}" if row == "transfer" else row
            lines.append(line(title, standing[row].mean(1)))
    together = [standing[row] for row in ROWS if row in rows and row != "transfer"]
    if len(together) > 1:
        left = np.minimum.accumulate(np.logical_and.reduce(together), 0)
        lines.append(line("all together", left.mean(1)))
    return "\n".join(lines)


def pack(standing):
    return ["".join("01"[int(stands)] for stands in row) for row in standing]


def unpack(row):
    return np.array([[stands == "1" for stands in line] for line in row["standing"]])


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=100, help="of Square, for each photo")
    parser.add_argument("--steps", type=int, default=20, help="gradients of APGD, half of FMN's")
    parser.add_argument("--targets", type=int, default=3, help="classes of APGD-T")
    parser.add_argument(
        "--epsilons", type=float, nargs="+", default=[0.0025, 0.005, 0.01, 0.02, 0.04]
    )
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--batch", type=int, default=125, help="photos at once")
    settings = parser.parse_args()
    settings.epsilons.sort()
    report = {
        "settings": {name: getattr(settings, name) for name in SETTINGS},
        "device": [
            tf.config.experimental.get_device_details(d).get("device_name", "GPU")
            for d in tf.config.list_physical_devices("GPU")
        ]
        or f"{os.cpu_count()} cores of {platform.processor() or platform.machine()}",
        "tensorflow": tf.__version__,
        "nets": {name: {} for name in NETS},
    }
    if settings.path.exists():
        kept = load_json(settings.path, settings=dict, nets=dict)
        if kept["settings"] != report["settings"]:
            sys.exit(f"{settings.path} has other settings: {kept['settings']}; name another file")
        report = kept
    nets = report["nets"]
    known = {*settings.rows, *set.intersection(*(set(rows) for rows in nets.values()))}
    if "APGD-T" in settings.rows and "APGD-CE" not in known:
        sys.exit("APGD-T goes on with what APGD-CE has left: name both in --rows")

    setup("reduced", 0)
    root = data_root()
    models = {name: load_net(name, root) for name in NETS}
    photos = {}
    for name, model in models.items():
        images, labels = imagenet_sample.load(settings.photos, model.input_shape[1:3])
        photos[name] = scale(images), labels
    settings.path.parent.mkdir(parents=True, exist_ok=True)
    for row in ["clean", *(row for row in ROWS if row in settings.rows)]:
        for name, model in models.items():
            if row in nets[name]:
                continue
            began = time.perf_counter()
            if row == "clean":
                images, labels = photos[name]
                seen, _ = attacks.predict(model, images, settings.batch)
                standing, notes = (seen == labels)[None], {}
            else:
                done = {row: unpack(kept) for row, kept in nets[name].items()}
                standing, notes = measure(row, name, models, photos, done, settings)
            seconds = round(time.perf_counter() - began, 1)
            accuracy = standing.mean(1).tolist()
            nets[name][row] = {"accuracy": accuracy, "seconds": seconds, **notes}
            nets[name][row]["standing"] = pack(standing)
            print(f"{seconds:7.1f} s {name:>18} {row:<8}", accuracy, notes or "", flush=True)
            save_json(settings.path, report)  # whole or not at all
    for name, rows in nets.items():
        print("\n" + table(name, report["settings"]["epsilons"], rows))


if __name__ == "__main__":
    main()
