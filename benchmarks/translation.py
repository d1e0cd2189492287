"""Pix2Pix on Cityscapes and CycleGAN on Yosemite: the book's nets on the real photos, for a while.

    python -m benchmarks.translation pix2pix --steps 3000
    RECIPES_PRECISION=bfloat16 python -m benchmarks.translation cyclegan --steps 1000

Trains at 256x256, full width, batch 1, with the book's settings; then measures on the held-back
pictures. The minutes are at the pace of the fastest 50 steps: what else the machine had to do
meanwhile does not count. The figures go to benchmarks/results/; the picture (whose
photos may not be passed on) and the generators to build/models/.
"""

import argparse
import json
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from recipes import metrics, plotting
from recipes.cyclegan import CycleGAN
from recipes.datasets import cityscapes, scale, yosemite
from recipes.pix2pix import Pix2Pix
from recipes.training.batches import Batches, random_jitter
from recipes.training.runtime import setup

ROOT = Path(__file__).parents[1]
EVERY = 50  # steps from one look at the clock to the next


def train(model, dataset, steps):
    """Fits for so many steps; returns them, the minutes, and the losses of every 50 steps."""
    seconds, curve = [], []
    for done in range(EVERY, steps + 1, EVERY):
        began = time.perf_counter()
        values = model.fit(dataset, verbose=0).history
        seconds.append(time.perf_counter() - began)
        curve.append({name: round(value[0], 4) for name, value in values.items()})
        print(f"{done:6} steps {sum(seconds):6.0f} s", curve[-1], flush=True)
    minutes = len(curve) * min(seconds) / 60
    return {"steps": EVERY * len(curve), "minutes": round(minutes, 1), "curve": curve}


def pix2pix(steps, seed):
    inputs, targets = cityscapes.load("train")
    batches = Batches(
        inputs,
        targets,
        batch_size=1,
        steps=EVERY,
        seed=seed,
        transform=lambda x, y, seed: (
            random_jitter(scale(x), seed, labels=True),
            random_jitter(scale(y), seed),
        ),
    )
    model = Pix2Pix(seed=seed)
    model.compile()
    results = train(model, batches.dataset, steps)
    save(model.generator, "pix2pix")
    x, y = (scale(pictures) for pictures in cityscapes.load("val"))
    baseline = metrics.MeanColours(scale(inputs), scale(targets)).predict(x)
    outputs = model.translate(x)
    results["Pix2Pix"] = metrics.picture_distances(outputs, y)
    results["mean colour of each label"] = metrics.picture_distances(baseline, y)
    chosen = np.random.default_rng(0).choice(len(x), 5, replace=False)
    rows = [part[chosen] for part in (x, outputs, y)]
    return results, np.concatenate(rows)


def cyclegan(steps, seed):
    names = ("trainA", "trainB", "testA", "testB")
    summer, winter, test_summer, test_winter = (yosemite.load(name) for name in names)
    domains = [
        Batches(
            pictures,
            batch_size=1,
            steps=EVERY,
            seed=seed + i,
            transform=lambda x, seed: random_jitter(scale(x), seed),
        )
        for i, pictures in enumerate((summer, winter))
    ]
    model = CycleGAN(seed=seed)
    model.compile()
    results = train(model, tf.data.Dataset.zip(*(d.dataset for d in domains)), steps)
    save(model.generator_g, "summer2winter")
    save(model.generator_f, "winter2summer")
    small = [metrics.shrink(scale(p), 64) for p in (summer, winter)]
    judge = metrics.train_judge(
        np.concatenate(small), np.repeat([0, 1], [len(p) for p in small]), epochs=12
    )
    rows = []
    chosen = np.random.default_rng(0).choice(min(len(test_summer), len(test_winter)), 5, False)
    for title, x, back, domain in (
        ("summer to winter", scale(test_summer), False, 1),
        ("winter to summer", scale(test_winter), True, 0),
    ):
        outputs = model.translate(x, back=back)
        cycled = model.translate(outputs, back=not back)
        results[title] = {
            "cycle_l1": metrics.picture_distances(cycled, x)["l1"],
            "taken for the other season": metrics.share_taken_for(
                judge, metrics.shrink(outputs, 64), domain
            ),
            "untranslated": metrics.share_taken_for(judge, metrics.shrink(x, 64), domain),
        }
        rows += [x[chosen], outputs[chosen]]
    return results, np.concatenate(rows)


def save(generator, name):
    folder = ROOT / "build" / "models"
    folder.mkdir(parents=True, exist_ok=True)
    generator.save(folder / f"{name}.keras")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recipe", choices=("pix2pix", "cyclegan"))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    setup("reduced", arguments.seed)
    run = {"pix2pix": pix2pix, "cyclegan": cyclegan}[arguments.recipe]
    results, pictures = run(arguments.steps, arguments.seed)
    folder = ROOT / "benchmarks" / "results" / "translation"
    folder.mkdir(parents=True, exist_ok=True)
    results = {
        "keras": keras.__version__,
        "precision": keras.config.dtype_policy().compute_dtype,
        "seed": arguments.seed,
        **results,
    }
    (folder / f"{arguments.recipe}.json").write_text(json.dumps(results, indent=1) + "\n")
    sheet = plotting.mosaic(metrics.shrink(pictures, 160), columns=5, zoom=1)
    plotting.save_png(sheet, ROOT / "build" / "models" / f"{arguments.recipe}.png")
    print(json.dumps({k: v for k, v in results.items() if k != "curve"}, indent=1))


if __name__ == "__main__":
    main()
