"""Trains a GAN longer than a notebook does; its networks go to `data/weights/`.

These commands have made those that are there:

    python -m tools.train_showcase dcgan --minutes 40 --mnist --width 32 --batch-size 64
    python -m tools.train_showcase ssgan --minutes 18 --mnist --width 32 --batch-size 50 \\
        --learning-rate 1e-3
    python -m tools.train_showcase pix2pix --minutes 18
    python -m tools.train_showcase cyclegan --minutes 35 --batch-size 2

Each epoch leaves a checkpoint in `build/showcase/`: the same command goes on after an interruption,
and one with more minutes goes on with a training that was done. Beside the networks, in float16,
lies a JSON file of what was measured, over time.
"""

import argparse
import sys
import time
from pathlib import Path

import recipes  # noqa: F401  before TensorFlow: it sets how that starts

import keras  # isort: skip
import numpy as np
import tensorflow as tf
from toyworlds import landscapes, streets

from recipes import dcgan, metrics, ssgan, translation
from recipes.cyclegan import CycleGAN
from recipes.datasets import cityscapes, digits, few_labels, scale, yosemite
from recipes.datasets.files import data_root, save_json
from recipes.datasets.idx import read_images
from recipes.dcgan import DCGAN
from recipes.pix2pix import Pix2Pix
from recipes.showcase import write_float16
from recipes.ssgan import SSGAN
from recipes.training.batches import Batches, semi_supervised
from recipes.training.callbacks import Measure
from recipes.training.distribution import optimizers_of
from recipes.training.resume import Resume
from recipes.training.runtime import set_seed
from tools.common import ROOT

SIZE, SEED, EMA_DECAY = 64, 0, 0.999
LABELS, BASELINE_EPOCHS = 100, 10  # of the SSGAN
EVERY = 5  # epochs from one measurement to the next
MOST = 12_000_000  # bytes of all generators together, which everyone who installs recipes gets


class Clock(keras.callbacks.Callback):
    """Ends a training after `limit` seconds; in their second half the learning rate falls to 0."""

    remembered = ("seconds",)  # by `Resume`

    def __init__(self, limit, learning_rate):
        super().__init__()
        self.limit, self.learning_rate, self.seconds = limit, learning_rate, 0.0

    def on_epoch_begin(self, epoch, logs=None):
        self.last, left = time.perf_counter(), max(1 - self.seconds / self.limit, 0)
        for optimizer in optimizers_of(self.model):
            optimizer.learning_rate = self.learning_rate * min(2 * left, 1)

    def on_train_batch_end(self, batch, logs=None):
        now = time.perf_counter()
        self.seconds, self.last = self.seconds + now - self.last, now

    def on_epoch_end(self, epoch, logs=None):
        self.model.stop_training = self.seconds >= self.limit


def load_digits(options):
    """Training images and labels, held-out images and labels, and what measures generated images
    against the held-out ones: a function, and what it says of real ones."""
    splits = map(read_mnist if options.mnist else digits.load, ("train", "test"))
    (images, labels), (held_out, classes) = splits
    count = min(1000, len(held_out) // 2)
    images, held_out = scale(images), scale(held_out)
    evaluator = metrics.train_evaluator(images[:20_000], labels[:20_000], seed=SEED)

    def judge(made):
        return metrics.evaluate_images(evaluator, made, held_out[:count])

    return (images, labels), (held_out, classes), judge, judge(held_out[-count:])


def dcgan_of_digits(options, **how):
    (images, _), _, judge, real = load_digits(options)
    set_seed(SEED)
    generator = dcgan.build_generator(width=options.width, norm_first=True, upsampling="resize")
    # A few thousand images can be memorized, which dropout makes harder; 60,000 cannot.
    dropout = 0.0 if options.mnist else 0.3
    discriminator = dcgan.build_discriminator(width=2 * options.width, dropout=dropout)
    gan = DCGAN(generator, discriminator, ema_decay=EMA_DECAY)

    def measure():
        return judge(gan.generate(1000, seed=SEED))

    batches = Batches(images, seed=SEED, **how)
    return gan, [batches], batches.dataset, measure, {"dcgan": "generator"}, real


def ssgan_of_digits(options, **how):
    (images, labels), held_out, judge, real = load_digits(options)
    chosen = few_labels(labels, LABELS, seed=SEED)
    labelled = Batches(images[chosen], labels[chosen], seed=SEED, **how)
    unlabelled = Batches(images, seed=SEED + 1, **how)
    dataset = semi_supervised(labelled, unlabelled)

    def make(alone):
        set_seed(SEED)
        generator = ssgan.build_generator(width=options.width, norm=True, upsampling="resize")
        classifier = ssgan.build_classifier(width=2 * options.width, augmentation=2)
        return SSGAN(generator, classifier, True, alone, EMA_DECAY, seed=SEED)

    def accuracy(gan):
        return gan.evaluate(*held_out, batch_size=500, verbose=0, return_dict=True)["accuracy"]

    baseline = make(alone=True)
    baseline.compile(options.learning_rate)
    baseline.fit(dataset, epochs=BASELINE_EPOCHS, verbose=0)
    gan = make(alone=False)

    def measure():
        return {"test_accuracy": accuracy(gan), **judge(gan.generate(1000, seed=SEED))}

    networks = {"ssgan": "generator", "ssgan_classifier": "classifier"}
    real = {"labels_alone": accuracy(baseline), **real}
    return gan, [labelled, unlabelled], dataset, measure, networks, real


def read_mnist(split):
    stem = {"train": "train", "test": "t10k"}[split]
    names = f"{stem}-images-idx3-ubyte.gz", f"{stem}-labels-idx1-ubyte.gz"
    images, labels = read_images(data_root() / "mnist", *names, num_classes=10)
    order = np.random.default_rng(SEED).permutation(len(images))  # some copies are sorted by class
    return images[order], labels[order]


def of_streets(options, **how):
    folder, drawing = options.folder / "streets", {"size": SIZE, "day": "clear", "colours": 2}
    streets.draw(folder, options.images, **drawing)
    pairs, held_out = (map(scale, cityscapes.load(x, folder, SIZE)) for x in ("train", "val"))
    inputs, targets = held_out
    set_seed(SEED)
    gan = Pix2Pix(*unet_and_patchgan(options.width, 2), ema_decay=EMA_DECAY)

    def measure():
        return metrics.image_distances(gan.translate(inputs), targets)

    batches = Batches(*pairs, seed=SEED, **how)
    return gan, [batches], batches.dataset, measure, {"pix2pix": "generator"}, {}


def of_landscapes(options, **how):
    folder = landscapes.draw(options.folder / "landscapes", options.images, size=SIZE)
    images = [scale(yosemite.load(split, folder, SIZE)) for split in yosemite.SPLITS]
    summer, winter, test_summer, test_winter = images
    evaluator = metrics.train_domain_evaluator(summer, winter, seed=SEED)
    set_seed(SEED)
    (g, d_x), (f, d_y) = (unet_and_patchgan(options.width, 1) for _ in range(2))
    gan = CycleGAN(g, f, d_x, d_y, least_squares=True, ema_decay=EMA_DECAY)

    def measure():
        there, back = gan.translate(test_summer), gan.translate(test_winter, back=True)
        return {
            "kid_winter": metrics.image_kernel_distance(evaluator, there, test_winter),
            "kid_summer": metrics.image_kernel_distance(evaluator, back, test_summer),
            "cycle_l1": metrics.image_distances(gan.translate(there, back=True), test_summer)["l1"],
        }

    batches = [Batches(x, seed=SEED + i, **how) for i, x in enumerate((summer, winter))]
    generators = {"summer2winter": "generator_g", "winter2summer": "generator_f"}
    dataset = tf.data.Dataset.zip(*(each.dataset for each in batches))
    return gan, batches, dataset, measure, generators, {}


def unet_and_patchgan(width, images):
    generator = translation.build_unet(SIZE, width, "instance", 0.0, "bilinear", "concat")
    return generator, translation.build_patchgan(images, width, "instance", halvings=2)


MAKERS = {
    "dcgan": dcgan_of_digits,
    "ssgan": ssgan_of_digits,
    "pix2pix": of_streets,
    "cyclegan": of_landscapes,
}


def main(words):
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("recipe", choices=MAKERS)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--learning-rate", type=float, default=4e-4)
    parser.add_argument("--width", type=int, default=16, help="filters of the outermost layers")
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--steps", type=int, default=200, help="in an epoch")
    parser.add_argument("--images", type=int, default=2000, help="to draw, of each kind")
    parser.add_argument("--mnist", action="store_true", help="60,000 digits of the data root")
    parser.add_argument("--folder", type=Path, default=ROOT / "build/showcase")
    parser.add_argument("--weights", type=Path, default=ROOT / "data/weights")
    options = parser.parse_args(words)
    if options.minutes <= 0:
        parser.error(f"--minutes {options.minutes:g}: above 0 is needed")

    how = {"batch_size": options.batch_size, "steps": options.steps}
    gan, batches, dataset, measure, networks, real = MAKERS[options.recipe](options, **how)
    gan.compile(options.learning_rate)
    clock = Clock(60 * options.minutes, options.learning_rate)
    curve = Measure(lambda gan: {"minutes": clock.seconds / 60, **measure()}, EVERY)
    resume = Resume(options.folder / options.recipe, *batches)
    done = resume.restore(gan)
    gan.fit(dataset, None, [curve, clock, resume], epochs=10**6, initial_epoch=done, verbose=2)

    settings = {name: value for name, value in vars(options).items() if not isinstance(value, Path)}
    # The last row is of the generators that are written.
    rows = [*(record["values"] for record in curve.records), curve.measure(gan)]
    for name, network in networks.items():
        path = options.weights / f"showcase_{name}.npz"
        write_float16(gan.for_inference(network), path)
        found = {"settings": settings, "curve": rows, "real": real}
        save_json(path.with_suffix(".json"), found)
        print(f"{path}: {path.stat().st_size:,} bytes")
    total = sum(path.stat().st_size for path in options.weights.glob("showcase_*"))
    print(f"all together {total:,} bytes; in the end {rows[-1]}")
    if total > MOST:
        sys.exit(f"more than {MOST:,} bytes: train narrower networks, with --width")


if __name__ == "__main__":
    main(sys.argv[1:])
