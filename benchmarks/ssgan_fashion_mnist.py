"""SSGAN on the real Fashion-MNIST, 1,000 labels: test accuracy against wall time.

    python -m benchmarks.ssgan_fashion_mnist "SSGAN, tuned" --steps 5000 --seed 0
    python -m benchmarks.ssgan_fashion_mnist --report

The first line trains one method and writes its curve to benchmarks/results/; the second draws
all curves and prints the table. The time is that of the training steps alone, start-up and
evaluation left out, at the pace of a run's fastest 250 steps: what else the machine had to do
meanwhile does not count. `--validation` holds 5,000 training pictures back and looks at those
instead of the test pictures: that is what the settings were chosen with.
"""

import argparse
import itertools
import json
import time
from pathlib import Path

import keras
import matplotlib.pyplot as plt

from recipes.datasets import (
    Batches,
    fashion_mnist,
    few_labels,
    random_shift,
    scale,
    semi_supervised,
)
from recipes.plotting.figures import COLOURS, DASHES
from recipes.ssgan import SSGAN
from recipes.training.runtime import start

RESULTS = Path(__file__).parent / "results" / "ssgan_fashion_mnist"
PICTURE = Path(__file__).parents[1] / "docs" / "ssgan_fashion_mnist.png"
LABELS, BATCH, EVERY = 1000, 50, 250

# The book's settings are SSGAN's defaults. "tuned" is what validation pictures chose.
TUNED = {"learning_rate": 6e-4, "decay": True, "augment": True, "average": 0.999}
GAN = {
    "generator_norm": True,
    "generator_width": 32,
    "generator_batch": "shared",
}
METHODS = {
    "labels alone": {"supervised_only": True},
    "SSGAN of the book": {},
    "SSGAN, feature matching": {"feature_matching": True},
    "labels alone, tuned": {**TUNED, "supervised_only": True},
    "SSGAN, tuned": {**TUNED, **GAN},
    # What each switch brings: the tuned SSGAN without it, or with it.
    "SSGAN, tuned, no generator norm": {**TUNED, **GAN, "generator_norm": False},
    "SSGAN, tuned, no augmentation": {**TUNED, **GAN, "augment": False},
    "SSGAN, tuned, no average": {**TUNED, **GAN, "average": 0.0},
    "SSGAN, tuned, feature matching": {**TUNED, **GAN, "feature_matching": True},
}


def run(method, steps, seed, validation):
    """Trains one method; returns its curve: steps, seconds and accuracy at each look."""
    settings = dict(METHODS[method])
    rate = settings.pop("learning_rate", 2e-4)
    augment = settings.pop("augment", False)
    if settings.pop("decay", False):
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    start(seed)
    images, labels = fashion_mnist.load("train")
    if validation:
        test_images, test_labels = images[55_000:], labels[55_000:]
        images, labels = images[:55_000], labels[:55_000]
    else:
        test_images, test_labels = fashion_mnist.load("test")
    test_images = scale(test_images)
    chosen = few_labels(labels, LABELS, seed=seed)

    def prepare(pictures, seed):
        pictures = scale(pictures)
        return random_shift(pictures, seed, pixels=1, flip=True) if augment else pictures

    common = {"batch_size": BATCH, "steps": EVERY}
    dataset = semi_supervised(
        Batches(
            images[chosen],
            labels[chosen],
            seed=seed,
            transform=lambda pictures, labels, seed: (prepare(pictures, seed), labels),
            **common,
        ),
        Batches(images, seed=seed + 1, transform=prepare, **common),
    )
    model = SSGAN(seed=seed, **settings)
    model.compile(rate)
    curve, seconds = [], 0.0
    for done in range(EVERY, steps + 1, EVERY):
        began = time.perf_counter()
        model.fit(dataset, verbose=0)
        seconds += time.perf_counter() - began
        result = model.evaluate(test_images, test_labels, 500, verbose=0, return_dict=True)
        curve.append({"step": done, "seconds": round(seconds, 1), **result})
        print(f"{done:6} steps {seconds:7.0f} s  accuracy {result['accuracy']:.4f}", flush=True)
    return curve


def load(kind):
    """The stored runs, in the order of METHODS, with `minutes` and `accuracy` (%) added."""
    runs = [json.loads(path.read_text()) for path in sorted(RESULTS.glob(f"*-{kind}.json"))]
    for run in runs:
        seconds = [0, *(point["seconds"] for point in run["curve"])]
        pace = min(after - before for before, after in itertools.pairwise(seconds)) / EVERY
        run["steps"] = [point["step"] for point in run["curve"]]
        run["minutes"] = [step * pace / 60 for step in run["steps"]]
        run["accuracy"] = [100 * point["accuracy"] for point in run["curve"]]
    return sorted(runs, key=lambda run: (list(METHODS).index(run["method"]), run["seed"]))


def report():
    """Prints a table of each kind of run and draws the curves of the test pictures."""
    for kind in ("test", "validation"):
        print(f"| method | seed | steps | minutes | {kind} accuracy |")
        print("| --- | --- | --- | --- | --- |")
        for run in load(kind):
            row = (run[key][-1] for key in ("steps", "minutes", "accuracy"))
            print("| {method} | {seed} |".format(**run), "{:,} | {:.1f} | {:.1f} % |".format(*row))
        print()
    figure, axis = plt.subplots(figsize=(8, 4.2))
    drawn = []
    for run in load("test"):
        new = run["method"] not in drawn
        drawn += [run["method"]] * new
        i = drawn.index(run["method"])
        label = run["method"] if new else None
        axis.plot(
            run["minutes"], run["accuracy"], color=COLOURS[i], linestyle=DASHES[i], label=label
        )
    axis.set(
        title="Fashion-MNIST from 1,000 labels",
        xlabel="minutes of training on two CPU cores",
        ylabel="test accuracy in %",
        ylim=(74, None),
    )
    axis.grid(alpha=0.3)
    axis.legend(fontsize=8)
    figure.tight_layout()
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, dpi=110)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("method", nargs="?", choices=METHODS)
    parser.add_argument("--steps", type=int, default=5000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validation", action="store_true")
    parser.add_argument("--report", action="store_true")
    arguments = parser.parse_args()
    if arguments.report:
        return report()
    if not arguments.method:
        parser.error("which method? " + ", ".join(METHODS))
    curve = run(arguments.method, arguments.steps, arguments.seed, arguments.validation)
    result = {"method": arguments.method, "seed": arguments.seed, "curve": curve}
    name = "".join(c if c.isalnum() else "_" for c in arguments.method.lower())
    kind = "validation" if arguments.validation else "test"
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}-{arguments.seed}-{kind}.json"
    path.write_text(json.dumps(result) + "\n")


if __name__ == "__main__":
    main()
