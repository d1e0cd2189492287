"""Accuracy against epsilon of two ImageNet classifiers, under noise and attacks.

    RECIPES_DATA_DIR=... python -m benchmarks.robustness robustness.json [--photos N] [--queries N]

Reads MobileNetV2 and EfficientNet-Lite2 from `weights/` of the data root and the photos of
`imagenet_sample/`, one for each class. Epsilons are on the scale from -1 to 1, in the norm inf.
APGD, Square and all together go on, at each epsilon, with the photos that stood the smaller ones:
what fools a model there lies in the larger ball, too. The file is written anew after each curve.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

os.environ.setdefault("TF_CUDNN_USE_AUTOTUNE", "0")  # batches shrink: it would tune for each size

from recipes import attacks, backbones, fgsm  # isort: skip  before TensorFlow
from recipes.datasets import image_files, scale
from recipes.datasets.files import data_root
from recipes.training.runtime import start

import keras
import numpy as np
import tensorflow as tf

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


def curve(attack, model, images, labels, batch, keep=False):
    """Accuracy for each epsilon; with `keep`, photos that fell at a smaller one stay down."""
    standing = np.flatnonzero(fgsm.predict(model, images, batch)[0] == labels)
    total, values = len(labels), []
    for epsilon in EPSILONS:
        rows = standing
        if len(rows):
            made = in_batches(attack, model, images[rows], labels[rows], batch, epsilon=epsilon)
            rows = rows[fgsm.predict(model, made, batch)[0] == labels[rows]]
        values.append(len(rows) / total)
        standing = rows if keep else standing
    return values, standing


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("path", type=Path)
    parser.add_argument("--photos", type=int, default=1000)
    parser.add_argument("--queries", type=int, default=100)
    parser.add_argument("--steps", type=int, default=30, help="gradients of APGD and FMN")
    parser.add_argument("--targets", type=int, default=3, help="classes of APGD-T")
    parser.add_argument("--batch", type=int, default=125)
    arguments = parser.parse_args()
    start(0)
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

    # Each curve with its cost for one photo and epsilon: gradients, or queries without one.
    ways = {
        "noise": (fgsm.random_signs, False),
        "FGSM": (fgsm.fgsm, False),
        "PGD": (lambda *data, **more: fgsm.pgd(*data, steps=10, **more), False),
        "APGD-CE": (lambda *data, **more: attacks.apgd(*data, steps=steps, **more), True),
        "APGD-T": (
            lambda *data, **more: attacks.apgd_targeted(
                *data, steps=steps, targets=arguments.targets, **more
            ),
            True,
        ),
        "Square": (
            lambda *data, **more: attacks.square(*data, queries=arguments.queries, **more),
            True,
        ),
    }

    def together(*data, **more):
        """What APGD-CE, APGD-T and Square leave, each of what the one before has left."""
        model, images, labels = data
        made = np.array(images)
        rows = np.arange(len(labels))
        for attack in ("APGD-CE", "APGD-T", "Square"):
            if len(rows):
                made[rows] = ways[attack][0](model, images[rows], labels[rows], **more)
                rows = rows[fgsm.predict(model, made[rows], batch)[0] == labels[rows]]
        return made

    for name, model in models.items():
        since = time.perf_counter()
        images, labels = photos[name]
        right = fgsm.predict(model, images, batch)[0] == labels
        results[name]["clean"] = right.mean()
        print(f"{name}: {right.mean():.3f} clean", flush=True)
        for attack, (way, keep) in {**ways, "together": (together, True)}.items():
            since = time.perf_counter()
            values, _ = curve(way, model, images, labels, batch, keep)
            done(name, attack, values, since)
        since = time.perf_counter()
        cuts = range(batch, len(images), batch)
        parts = zip(np.split(images, cuts), np.split(labels, cuts), strict=True)
        distances = np.concatenate([attacks.fmn(model, x, y, steps=steps)[1] for x, y in parts])
        found = np.where(np.isinf(distances), 9.0, distances)
        results[name]["median distance (FMN)"] = float(np.median(found[right]))
        values = [float((right & (distances > epsilon)).mean()) for epsilon in EPSILONS]
        done(name, "FMN", values, since)

    first, second = NETS
    for source, target in ((first, second), (second, first)):
        since, values = time.perf_counter(), []
        images, labels = photos[source]
        size = models[target].input_shape[1:3]
        for epsilon in EPSILONS:
            made = in_batches(
                fgsm.pgd, models[source], images, labels, batch,
                epsilon=epsilon, momentum=1.0, diversity=0.5, random_start=False,
                step_size=epsilon / 10,
            )  # fmt: skip
            moved = made if size == images.shape[1:3] else tf.image.resize(made, size).numpy()
            seen, _ = fgsm.predict(models[target], moved, batch)
            values.append(float((seen == labels).mean()))
        done(target, f"transfer from {source}", values, since)


if __name__ == "__main__":
    main()
