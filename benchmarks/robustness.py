"""Accuracy against epsilon of two ImageNet classifiers, under noise and attacks.

    RECIPES_DATA_DIR=... python -m benchmarks.robustness robustness.json [--photos N] [--queries N]

Reads MobileNetV2 and EfficientNet-Lite2 from `weights/` of the data root and the photos of
`imagenet_sample/`, one for each class. Epsilons are on the scale from -1 to 1, in the norm inf.
APGD and Square go on, at each epsilon, with the photos that stood the smaller ones: what fools a
model there lies in the larger ball, too. APGD-T gets what APGD-CE has left, as in AutoAttack, and
"all together" are the photos that no attack has fooled. The file is written after each curve.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

os.environ.setdefault("TF_CUDNN_USE_AUTOTUNE", "0")  # batches shrink: it would tune for each size

import recipes  # noqa: F401  before TensorFlow: it sets how that starts

# isort: split
import keras
import numpy as np
import tensorflow as tf

from recipes import attacks, backbones, fgsm
from recipes.datasets import image_files, scale
from recipes.datasets.files import data_root
from recipes.training.runtime import setup

EPSILONS = [0.0025, 0.005, 0.01, 0.02, 0.04]
NETS = {
    "MobileNetV2": "mobilenet_v2_imagenet.weights.h5",
    "EfficientNet-Lite2": "efficientnet_lite2_imagenet.keras",
}


def load_net(name, root):
    path = root / "weights" / NETS[name]
    if path.suffix == ".keras":
        return keras.models.load_model(path)
    return backbones.load_classifier(name, path)


def load_photos(count, size, root):
    """Photos `(count, size, size, 3)` in [-1, 1], of as many classes, and their classes."""
    paths = image_files.find(root / "imagenet_sample")
    paths = [paths[i] for i in np.linspace(0, len(paths) - 1, count).round().astype(int)]
    labels = np.array([int(path.name.split("_")[0]) for path in paths])
    return scale(image_files.load(paths, size)), labels


def in_batches(attack, model, images, labels, batch, **options):
    cuts = range(batch, len(images), batch)
    parts = zip(np.split(images, cuts), np.split(labels, cuts), strict=True)
    return np.concatenate([attack(model, x, y, **options) for x, y in parts])


def standing_under(attack, model, images, labels, batch, before, keep=False):
    """Which photos an attack leaves right, bool `(epsilons, photos)`.

    Args:
        before: bool, of the same shape: those that it is tried on.
        keep: whether photos that fell at a smaller epsilon stay down.
    """
    standing = before.copy()
    for i, epsilon in enumerate(EPSILONS):
        if keep and i:
            standing[i] &= standing[i - 1]
        rows = np.flatnonzero(standing[i])
        if len(rows):
            made = in_batches(attack, model, images[rows], labels[rows], batch, epsilon=epsilon)
            standing[i, rows] = attacks.predict(model, made, batch)[0] == labels[rows]
    return standing


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--steps", type=int, default=20, help="gradients of APGD and FMN")
    parser.add_argument("--targets", type=int, default=3, help="classes of APGD-T")
    parser.add_argument("--batch", type=int, default=125)
    arguments = parser.parse_args()
    setup("reduced", 0)
    root, steps, batch = data_root(), arguments.steps, arguments.batch
    began, results = time.perf_counter(), {}
    report = {
        "command": f"--photos {arguments.photos} --queries {arguments.queries} --steps {steps} "
        f"--targets {arguments.targets} --batch {batch}",
        "device": [
            tf.config.experimental.get_device_details(d).get("device_name", "GPU")
            for d in tf.config.list_physical_devices("GPU")
        ]
        or f"{os.cpu_count()} cores of {platform.processor() or platform.machine()}",
        "tensorflow": tf.__version__,
        "epsilons": EPSILONS,
        "nets": results,
    }
    models, photos = {}, {}
    for name in NETS:
        models[name] = load_net(name, root)
        photos[name] = load_photos(arguments.photos, models[name].input_shape[1:3], root)
        results[name] = {"curves": {}, "seconds": {}}

    def done(name, attack, values, since):
        results[name]["curves"][attack] = values
        results[name]["seconds"][attack] = round(time.perf_counter() - since, 1)
        report["seconds"] = round(time.perf_counter() - began, 1)
        print(f"{report['seconds']:7.1f} s {name:>18} {attack:<10}", values, flush=True)
        arguments.path.parent.mkdir(parents=True, exist_ok=True)
        arguments.path.write_text(json.dumps(report, indent=1))

    def targeted(*data, **more):
        return attacks.apgd(*data, loss="targeted", steps=steps, targets=arguments.targets, **more)

    ways = {  # the attack, and whether it goes on with what stood the smaller epsilons
        "noise": (fgsm.random_signs, False),
        "FGSM": (fgsm.fgsm, False),
        "PGD": (lambda *data, **more: fgsm.pgd(*data, steps=10, **more), False),
        "APGD-CE": (lambda *data, **more: attacks.apgd(*data, steps=steps, **more), True),
        "APGD-T": (targeted, True),
        "Square": (
            lambda *data, **more: attacks.square(*data, queries=arguments.queries, **more),
            True,
        ),
    }
    right, together = {}, {}
    for name, model in models.items():
        images, labels = photos[name]
        right[name] = attacks.predict(model, images, batch)[0] == labels
        results[name]["clean"] = right[name].mean()
        together[name] = np.repeat(right[name][None], len(EPSILONS), 0)
        print(f"{name}: {right[name].mean():.3f} clean", flush=True)
    after_apgd = {}
    for attack, (way, keep) in ways.items():
        for name, model in models.items():
            since = time.perf_counter()
            before = np.repeat(right[name][None], len(EPSILONS), 0)
            if attack == "APGD-T":
                before = after_apgd[name]
            standing = standing_under(way, model, *photos[name], batch, before, keep)
            if attack == "APGD-CE":
                after_apgd[name] = standing
            together[name] &= standing
            done(name, attack, standing.mean(1).tolist(), since)
    for name, model in models.items():
        since = time.perf_counter()
        images, labels = photos[name]
        cuts = range(batch, len(images), batch)
        parts = zip(np.split(images, cuts), np.split(labels, cuts), strict=True)
        distances = np.concatenate([attacks.fmn(model, x, y, steps=2 * steps)[1] for x, y in parts])
        standing = right[name] & (distances > np.array(EPSILONS)[:, None])
        results[name]["median distance (FMN)"] = float(np.median(distances[right[name]]))
        done(name, "FMN", standing.mean(1).tolist(), since)
        together[name] &= standing
        together[name] = np.minimum.accumulate(together[name], 0)
        done(name, "all together", together[name].mean(1).tolist(), since)

    first, second = NETS
    for source, target in ((first, second), (second, first)):
        since, values = time.perf_counter(), []
        images, labels = photos[source]
        size = models[target].input_shape[1:3]
        for epsilon in [0.0, *EPSILONS]:
            made = images if not epsilon else in_batches(
                fgsm.pgd, models[source], images, labels, batch,
                epsilon=epsilon, momentum=1.0, diversity=0.5, random_start=False,
                step_size=epsilon / 10,
            )  # fmt: skip
            moved = made if size == images.shape[1:3] else tf.image.resize(made, size).numpy()
            seen, _ = attacks.predict(models[target], moved, batch)
            values.append(float((seen == labels).mean()))
        results[target]["clean, resized"] = values.pop(0)
        done(target, f"transfer from {source}", values, since)


if __name__ == "__main__":
    main()
