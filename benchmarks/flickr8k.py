"""Captions of the real Flickr8k: from photos to BLEU, the merge captioner or the attention one.

    RECIPES_DATA_DIR=... python -m benchmarks.flickr8k merge
    RECIPES_DATA_DIR=... python -m benchmarks.flickr8k attention

Features of MobileNetV2, whose weights are read from `weights/` of the data root; all five captions
of the official training split; BLEU on the official dev split, and on no other. The figures, and
the captions of twenty photos chosen by seed, go to benchmarks/results/; features, captioner and
pictures (the photos may not be passed on) to build/.
"""

import argparse
import json
import resource
import time
from pathlib import Path

import keras
import numpy as np

from recipes import plotting
from recipes.captioning import (
    CaptionBatches,
    Captioner,
    ImageCaptioner,
    ImageCaptionFeatureExtractor,
    MergeCaptioner,
    Vocabulary,
    bleu,
    generate,
    most_frequent_caption,
    nearest_captions,
)
from recipes.datasets import flickr8k, image_files
from recipes.datasets.files import data_root
from recipes.training.callbacks import progress
from recipes.training.runtime import setup

ROOT = Path(__file__).parents[1]
SETTINGS = {
    "merge": {
        "model": {"width": 512, "embedding": 256},
        "batch": 128, "rate": 2e-3, "average": None, "epochs": 6,
    },
    "attention": {
        "model": {"attention_units": 256, "dropout": 0.4},
        "batch": 64, "rate": 1e-3, "average": 0.999, "epochs": 9,
    },
}  # fmt: skip


def main(kind, seed, epochs):
    setup("reduced", seed)
    settings, clock = SETTINGS[kind], Clock()
    epochs = epochs or settings["epochs"]
    train, dev = (flickr8k.load(split) for split in ("train", "dev"))
    weights = data_root() / "weights" / "mobilenet_v2_imagenet.weights.h5"
    extractor = ImageCaptionFeatureExtractor(
        "MobileNetV2",
        ROOT / "build" / "features" / f"flickr8k_{kind}",
        weights=weights,
        spatial=kind == "attention",
    )
    features = extractor.extract_features([*train.paths, *dev.paths])
    clock.lap("features")

    vocabulary = Vocabulary.build(train.captions, min_count=4)
    parts = {
        name: CaptionBatches(
            features.array,
            part.captions,
            vocabulary,
            batch_size=settings["batch"],
            seed=seed,
            rows=features.rows(part.paths),
        )
        for name, part in (("train", train), ("dev", dev))
    }
    build = MergeCaptioner if kind == "merge" else ImageCaptioner
    model = build(len(vocabulary), extractor.shape, seed=seed, **settings["model"])
    decay = keras.optimizers.schedules.CosineDecay(settings["rate"], epochs * parts["train"].steps)
    average = settings["average"]  # decay of the weights' moving average, if there is to be one
    adam = keras.optimizers.Adam(
        decay, clipnorm=5.0, use_ema=bool(average), ema_momentum=average or 0.99
    )
    model.compile(adam)
    # Before EarlyStopping, which then measures and keeps the averaged weights.
    swap = [keras.callbacks.SwapEMAWeights(swap_on_epoch=True)] if average else []
    history = model.fit(
        parts["train"].dataset,
        validation_data=parts["dev"].dataset,
        epochs=epochs,
        callbacks=[
            progress(),
            *swap,
            keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True),
        ],
        verbose=0,
    ).history
    clock.lap("training")

    rows = features.rows(dev.paths)
    made = {f"{n} beams": generate(model, features.array[rows], n) for n in (1, 3, 5)}
    captions = {name: vocabulary.decode(result.words) for name, result in made.items()}
    clock.lap("captions")
    known = features.array[features.rows(train.paths)]
    captions["most frequent caption"] = [most_frequent_caption(train.captions)] * len(dev)
    captions["nearest picture's caption"] = nearest_captions(
        known, train.captions, features.array[rows]
    )
    scores = {name: bleu(dev.captions, texts) for name, texts in captions.items()}
    clock.lap("evaluation")
    Captioner(model, vocabulary, extractor).save(ROOT / "build" / "models" / f"flickr8k_{kind}")

    for name, values in scores.items():
        print(f"{name:<26}", *(f"{value:6.3f}" for value in values.values()))
    chosen = np.sort(np.random.default_rng(seed).choice(len(dev), 20, replace=False))
    photos = image_files.load([dev.paths[i] for i in chosen], 224)
    figure = plotting.show_captions(photos, [captions["3 beams"][i] for i in chosen], 5)
    figures = ROOT / "build" / "figures"
    figures.mkdir(parents=True, exist_ok=True)
    figure.savefig(figures / f"flickr8k_{kind}_captions.png", facecolor="white")
    results = {
        "settings": settings | {"epochs": epochs, "seed": seed, "words": len(vocabulary)},
        "minutes": clock.minutes,
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "history": {name: [round(x, 4) for x in values] for name, values in history.items()},
        "bleu": {n: {k: round(v, 4) for k, v in values.items()} for n, values in scores.items()},
        "captions": {dev.paths[i].name: captions["3 beams"][i] for i in chosen},
    }
    path = ROOT / "benchmarks" / "results" / f"flickr8k_{kind}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=1))
    print(json.dumps({key: results[key] for key in ("minutes", "peak_memory_gb")}))
    if kind == "attention":
        for i in np.random.default_rng(seed).choice(len(dev), 10, replace=False):
            words = vocabulary.tokens(made["3 beams"].words[i])
            image = image_files.load([dev.paths[i]], 224)[0]
            attention = made["3 beams"].attention[i]
            figure = plotting.show_attention(image, words, attention, extractor.shape[:2])
            figure.savefig(figures / f"attention_{dev.paths[i].stem}.png", facecolor="white")


class Clock:
    """Minutes from one lap to the next."""

    def __init__(self):
        self.minutes, self.last = {}, time.perf_counter()

    def lap(self, name):
        now = time.perf_counter()
        self.minutes[name] = round((now - self.last) / 60, 2)
        self.last = now
        print(f"{name}: {self.minutes[name]} minutes", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=SETTINGS)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=None)
    arguments = parser.parse_args()
    main(arguments.kind, arguments.seed, arguments.epochs)
