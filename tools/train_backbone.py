"""Trains the backbone for the drawn scenes; its weights are in `data/weights/`.

    python -m tools.train_backbone

It draws scenes, learns which tags hold for each, prints how well it names those of scenes that it
has not seen, and replaces the weights file. A few minutes on two cores.
"""

import argparse
import time

import recipes  # noqa: F401  before TensorFlow: it sets how that starts

import keras  # isort: skip
import numpy as np
import tensorflow as tf
from toyworlds import scenes
from toyworlds.backbone import build_scenes_backbone
from tqdm import trange

from recipes.datasets import scale
from recipes.datasets.files import whole_file
from tools.common import ROOT

WEIGHTS = ROOT / "data" / "weights" / "scenes_backbone.weights.h5"
FIRST_SEED = 1_000_000  # the folders that recipes read hold scenes of seeds below it
HELD_OUT = 1_000
SIZE, BATCH = 96, 64


def draw(first, count):
    """Pictures uint8 `(count, 96, 96, 3)` and tags float32 `(count, tags)` of scenes."""
    pictures = np.empty((count, SIZE, SIZE, 3), np.uint8)
    tags = np.zeros((count, len(scenes.TAGS)), np.float32)
    for i in trange(count, desc="scenes", leave=False):
        pictures[i], _ = scenes.draw(first + i, SIZE)
        mine = scenes.attributes(scenes.compose(first + i))
        tags[i, [scenes.TAGS.index(tag) for tag in mine]] = 1
    return pictures, tags


def vary(picture, tags):
    """Mirrors, shifts and brightens a picture; no caption says left or right."""
    picture = tf.image.random_flip_left_right(picture)
    picture = tf.pad(picture, ((4, 4), (4, 4), (0, 0)), "SYMMETRIC")
    picture = tf.image.random_crop(picture, (SIZE, SIZE, 3))
    return scale(picture) + tf.random.uniform((), -0.1, 0.1), tags


def train(pictures, tags, epochs):
    """A backbone that was trained on these pictures."""
    dataset = tf.data.Dataset.from_tensor_slices((pictures, tags)).shuffle(len(tags))
    dataset = dataset.map(vary, 2).batch(BATCH, drop_remainder=True).prefetch(2)
    model = build_scenes_backbone(scenes.TAGS, SIZE)
    steps = len(tags) // BATCH * epochs
    rate = keras.optimizers.schedules.CosineDecay(
        1e-4, steps, warmup_target=4e-3, warmup_steps=steps // 10
    )
    model.compile(keras.optimizers.AdamW(rate, weight_decay=1e-3), "binary_crossentropy")
    model.fit(dataset, epochs=epochs, verbose=2)
    return model


def f1(predicted, tags):
    """F1 of each tag, `(tags,)`: 2 hits / (predicted + true)."""
    hits = (predicted * tags).sum(0)
    return 2 * hits / np.maximum(predicted.sum(0) + tags.sum(0), 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--scenes", type=int, default=10_000, help="number to learn from")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0, help="of the weights and the batches")
    options = parser.parse_args()
    keras.utils.set_random_seed(options.seed)
    start = time.time()
    pictures, tags = draw(FIRST_SEED, options.scenes)
    print(f"{options.scenes} scenes drawn in {time.time() - start:.0f} s")
    model = train(pictures, tags, options.epochs)
    pictures, tags = draw(FIRST_SEED + options.scenes, HELD_OUT)
    predicted = (model.predict(scale(pictures), verbose=0) > 0.5).astype(np.float32)
    scores = f1(predicted, tags)
    for tag, score, count in zip(scenes.TAGS, scores, tags.sum(0), strict=True):
        print(f"{tag:15} F1 {score:.2f} in {count:.0f} of {HELD_OUT} scenes")
    print(f"mean F1 {scores.mean():.3f} after {time.time() - start:.0f} s")
    net = build_scenes_backbone(scenes.TAGS, SIZE)  # without the optimizer's memory
    net.set_weights(model.get_weights())
    with whole_file(WEIGHTS) as part:
        net.save_weights(part)
    print(f"{WEIGHTS.relative_to(ROOT)}: {WEIGHTS.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
