"""How time and memory grow with images, their size, captions and words.

    python -m benchmarks.growth [--few] [NAME ...]

Each size has a process of its own, which measures an epoch by `fit`, the input pipeline alone, and
the peak of memory beyond that of a process that only imports everything. The exponent is the slope
of the logarithms; where there is a fixed part, it is below what the mathematics says. Features are
memory-mapped: their pages count, though the system may take them back. Figures go to
benchmarks/results/growth.json; --few takes the two smallest sizes of each and writes nothing.
"""

import argparse
import collections
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from recipes.captioning import CaptionBatches, ImageCaptioner, MergeCaptioner, Vocabulary
from recipes.datasets import scale
from recipes.datasets.image_array import ImageArray
from recipes.dcgan import DCGAN, build_discriminator, build_generator
from recipes.pix2pix import Pix2Pix
from recipes.training.batches import Batches, random_jitter
from recipes.training.runtime import setup
from recipes.translation import build_patchgan, build_unet
from tools import common

RESULTS = common.ROOT / "benchmarks" / "results" / "growth.json"
STEPS, ROUNDS = 4, 2
COSTS = ("fit", "pipeline", "gigabytes")


def dcgan(batch, folder=None):
    images = np.random.default_rng(0).integers(0, 256, (batch, 28, 28, 1), np.uint8)
    gan = DCGAN(build_generator(width=32), build_discriminator(width=32))
    return gan, Batches(
        images, batch_size=batch, steps=STEPS, seed=0, transform=lambda x, seed: scale(x)
    )


def photos(photos, folder=None):
    """JPEG files of noise, read when they are needed: an epoch shows each of them once."""
    rng, paths = np.random.default_rng(0), [Path(folder, f"{i}.jpg") for i in range(photos)]
    for path in paths:
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    shape = (64, 64, 3)
    gan = DCGAN(build_generator(shape, width=4), build_discriminator(shape, width=4))
    images = ImageArray(paths, 64)
    return gan, Batches(images, batch_size=64, seed=0, transform=lambda x, seed: scale(x))


def pix2pix(batch=1, size=64, folder=None):
    pairs = np.random.default_rng(0).integers(0, 256, (2, batch, size, size, 3), np.uint8)

    def jitter(x, y, seed):
        return random_jitter(scale(x), seed, labels=True), random_jitter(scale(y), seed)

    batches = Batches(*pairs, batch_size=batch, steps=STEPS, seed=0, transform=jitter)
    return Pix2Pix(build_unet(size, 16), build_patchgan(2, 16)), batches


def captioner(attention=False, captions=640, words=500, folder=None):
    """Five captions of 11 words an image, and features of zeros, which cost as much as others."""
    rng, names = np.random.default_rng(0), [f"w{i}" for i in range(words)]
    texts = [[" ".join(rng.choice(names, 11)) for _ in range(5)] for _ in range(captions // 5)]
    shape, path = (64, 256) if attention else (2048,), os.path.join(folder, "features.npy")
    features = np.lib.format.open_memmap(path, "w+", np.float16, (len(texts), *shape))
    vocabulary = Vocabulary(names)
    if attention:
        sizes = {"embedding": 64, "units": 128, "attention_units": 64}
        model = ImageCaptioner(len(vocabulary), shape, **sizes)
    else:
        model = MergeCaptioner(len(vocabulary), shape, width=128, embedding=128)
    return model, CaptionBatches(features, texts, vocabulary, batch_size=64, seed=0)


SWEEPS = {  # what is varied, its sizes, and what makes a model and its batches
    "dcgan-batch": ("batch", (16, 64, 256), dcgan, {}),
    "photos": ("photos", (1250, 5000, 20000), photos, {}),
    "pix2pix-batch": ("batch", (1, 4, 16), pix2pix, {}),
    "pix2pix-size": ("size", (64, 128, 256), pix2pix, {}),
    "merge-captions": ("captions", (640, 2560, 10240), captioner, {}),
    "merge-words": ("words", (500, 4000, 32000), captioner, {}),
    "attention-captions": ("captions", (640, 2560, 10240), captioner, {"attention": True}),
    "attention-words": ("words", (500, 4000, 32000), captioner, {"attention": True}),
}


def point(name, size):
    """Prints what one size costs, as JSON; size 0 is the process alone."""
    setup("reduced", 0)
    found = {"size": size, "fit": np.inf, "pipeline": np.inf}
    with tempfile.TemporaryDirectory() as folder:
        if size:
            what, _, make, settings = SWEEPS[name]
            model, batches = make(**settings, **{what: size}, folder=folder)
            model.compile()
            for i in range(ROUNDS + 1):
                for way in ("pipeline", "fit"):
                    began = time.perf_counter()
                    if way == "fit":
                        model.fit(batches.dataset, verbose=0)
                    else:
                        collections.deque(batches.dataset, maxlen=0)  # keeps none of them
                    if i:  # the first one warms up
                        found[way] = min(found[way], time.perf_counter() - began)
    with open("/proc/self/status") as file:
        peak = next(int(line.split()[1]) / 2**20 for line in file if line.startswith("VmHWM"))
    print(json.dumps({**found, "gigabytes": peak}))


def measure(name, size):
    command = [sys.executable, "-m", "benchmarks.growth", name, "--point", str(size)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=common.ROOT)
    if done.returncode:
        sys.exit(f"{name}, {size}: {done.stderr.strip()[-500:]}")
    return json.loads(done.stdout.splitlines()[-1])


def sweep(name, few, alone):
    what, sizes, _, _ = SWEEPS[name]
    print(f"\n{name}\n{what:>9}{'fit, s':>10}{'pipeline, s':>13}{'memory, GB':>12}")
    points = []
    for size in sizes[:2] if few else sizes:
        found = measure(name, size)
        found["gigabytes"] -= alone
        points.append(found)
        print("{:9,}{:10.3f}{:13.4f}{:12.3f}".format(size, *map(found.get, COSTS)), flush=True)
    logs = np.log([[found[key] for key in ("size", *COSTS)] for found in points])
    exponents = dict(zip(COSTS, np.polyfit(logs[:, 0], logs[:, 1:], 1)[0], strict=True))
    print("{:>9}{:10.2f}{:13.2f}{:12.2f}".format("exponent", *exponents.values()), flush=True)
    return {"varied": what, "points": points, "exponents": exponents}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(SWEEPS))
    parser.add_argument("--few", action="store_true")
    parser.add_argument("--point", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(SWEEPS):
        sys.exit(f"unknown: {', '.join(sorted(unknown))}; known: {', '.join(SWEEPS)}")
    if arguments.point is not None:
        return point(arguments.names[0], arguments.point)
    alone, results = measure("dcgan-batch", 0)["gigabytes"], common.read_json(RESULTS)
    for name in arguments.names or SWEEPS:
        results[name] = sweep(name, arguments.few, alone)
    if not arguments.few:
        common.write_json(RESULTS, results | {"cpus": os.cpu_count(), "imports_gigabytes": alone})
        print(f"\nwritten to {RESULTS.relative_to(common.ROOT)}")


if __name__ == "__main__":
    main()
