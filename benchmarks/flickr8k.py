"""Captions of the real Flickr8k: from photos to scores, by one of three captioners.

    RECIPES_DATA_DIR=... python -m benchmarks.flickr8k merge|attention|transformer

All five captions of the official training split; scores on the official dev split alone.
The backbone's weights are read from `weights/` of the data root: MobileNetV2, or EfficientNet-Lite2
with `--backbone lite2`. The scores, and the captions of twenty photos chosen by seed, go to
benchmarks/results/; features, captioner and figures (the photos may not be passed on) to build/.
`benchmarks.caption_switches` tells what each setting brings.
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
    TransformerCaptioner,
    Vocabulary,
    all_scores,
    attention_in_boxes,
    bleu,
    by_noun,
    generate,
    most_frequent_caption,
    nearest_captions,
)
from recipes.captioning.evaluation import InBox
from recipes.datasets import flickr8k, image_files
from recipes.datasets.files import data_root
from recipes.training.callbacks import progress
from recipes.training.runtime import setup

ROOT = Path(__file__).parents[1]
CAPTIONERS = {
    "merge": MergeCaptioner,
    "attention": ImageCaptioner,
    "transformer": TransformerCaptioner,
}
SETTINGS = {
    "merge": {
        "model": {"width": 512, "embedding": 256},
        "batch": 128, "rate": 2e-3, "ema_decay": 0.999, "smoothing": 0.0, "epochs": 6,
    },
    "attention": {
        "model": {"attention_units": 256, "dropout": 0.4},
        "batch": 64, "rate": 1e-3, "ema_decay": 0.999, "smoothing": 0.0, "epochs": 9,
    },
    "transformer": {
        "model": {"width": 256, "heads": 4, "blocks": 2, "dropout": 0.3},
        "batch": 64, "rate": 5e-4, "ema_decay": 0.999, "smoothing": 0.0, "epochs": 10,
    },
}  # fmt: skip


def main(kind, backbone, seed, epochs):
    setup("full", seed)
    settings, clock = SETTINGS[kind], Clock()
    epochs = epochs or settings["epochs"]
    name = kind if backbone == "mobilenet" else f"{kind}_{backbone}"
    train, dev = (flickr8k.load(split) for split in ("train", "dev"))
    extractor = extractor_of(backbone, spatial=kind != "merge")
    features = extractor.extract_features([*train.paths, *dev.paths])
    clock.lap("features")

    vocabulary = Vocabulary.build(train.captions, min_count=4)
    options = {"batch_size": settings["batch"], "seed": seed}
    parts = [
        CaptionBatches(
            features.array, part.captions, vocabulary, rows=features.rows(part.paths), **options
        )
        for part in (train, dev)
    ]
    model = CAPTIONERS[kind](len(vocabulary), extractor.shape, seed=seed, **settings["model"])
    decay = keras.optimizers.schedules.CosineDecay(settings["rate"], epochs * parts[0].steps)
    model.compile(
        keras.optimizers.Adam(decay, clipnorm=5.0, use_ema=True, ema_momentum=settings["ema_decay"])
    )
    history = model.fit(
        parts[0].dataset,
        validation_data=parts[1].dataset,
        epochs=epochs,
        callbacks=[
            progress(),
            # Before EarlyStopping, which then measures and keeps the averaged weights.
            keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
            keras.callbacks.EarlyStopping(patience=2, restore_best_weights=True),
        ],
        verbose=0,
    ).history
    clock.lap("training")

    unseen = features.array[features.rows(dev.paths)]
    made = {f"{n} beams": generate(model, unseen, n) for n in (1, 3, 5)}
    clock.lap("captions")
    captions = {beams: vocabulary.decode(result.words) for beams, result in made.items()}
    captions["most frequent caption"] = [most_frequent_caption(train.captions)] * len(dev)
    known = features.array[features.rows(train.paths)]
    captions["nearest photo's caption"] = nearest_captions(known, train.captions, unseen)
    scores = {row: score(dev.captions, texts, vocabulary) for row, texts in captions.items()}
    clock.lap("evaluation")
    Captioner(model, vocabulary, extractor).save(ROOT / "build" / "models" / f"flickr8k_{name}")

    print(f"{'':<24}", *scores["3 beams"])
    for row, values in scores.items():
        print(f"{row:<24}", *(f"{value:6.3f}" for value in values.values()))
    chosen = np.sort(np.random.default_rng(seed).choice(len(dev), 20, replace=False))
    photos = image_files.load([dev.paths[i] for i in chosen], 224)
    figure = plotting.show_captions(photos, [captions["3 beams"][i] for i in chosen], 4)
    save(figure, f"flickr8k_{name}_captions.png")
    results = {
        "settings": settings | {"epochs": epochs, "seed": seed, "words": len(vocabulary)},
        "parameters": model.count_params(),
        "minutes": clock.minutes,
        "peak_memory_gb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
        "history": {key: [round(x, 4) for x in values] for key, values in history.items()},
        "scores": scores,
        "captions": {dev.paths[i].name: captions["3 beams"][i] for i in chosen},
    }
    if kind != "merge":
        results |= attention(dev, vocabulary, made["3 beams"], extractor.shape[:2])
        for i in chosen[:10]:
            words = vocabulary.tokens(made["3 beams"].words[i])
            image, maps = image_files.load([dev.paths[i]], 224)[0], made["3 beams"].attention[i]
            figure = plotting.show_attention(image, words, maps, extractor.shape[:2])
            save(figure, f"{name}_{dev.paths[i].stem}.png")
    path = ROOT / "benchmarks" / "results" / f"flickr8k_{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(results, indent=1))
    print(json.dumps({key: results[key] for key in ("minutes", "peak_memory_gb")}))


def extractor_of(backbone, spatial):
    """The extractor of a backbone of the data root."""
    weights = data_root() / "weights"
    kind = "grid" if spatial else "pooled"
    folder = ROOT / "build" / "features" / f"flickr8k_{backbone}_{kind}"
    if backbone == "lite2":
        network = keras.models.load_model(weights / "efficientnet_lite2_imagenet.keras")
        return ImageCaptionFeatureExtractor(network, folder, spatial=spatial)
    weights /= "mobilenet_v2_imagenet.weights.h5"
    return ImageCaptionFeatureExtractor("MobileNetV2", folder, weights=weights, spatial=spatial)


def score(references, captions, vocabulary):
    values = bleu(references, captions) | all_scores(references, captions, vocabulary)
    return {key: round(value, 4) for key, value in values.items()}


def attention(dev, vocabulary, made, grid):
    """Attention correctness, in all and by noun, on the photos whose boxes are known."""
    boxes, found = flickr8k.boxes(), []
    for path, words, maps in zip(dev.paths, made.words, made.attention, strict=True):
        named = boxes.get(path.name, [])
        nouns = {word: (word,) for word, _ in named}
        found += attention_in_boxes(vocabulary.tokens(words), maps, grid, named, nouns)
    means = np.mean([one[1:] for one in found], axis=0).round(4).tolist()
    print(f"{len(found)} nouns: in the box, of the area, by the centre prior:", *means)
    return {
        "attention": {"nouns": len(found)} | dict(zip(InBox._fields[1:], means, strict=True)),
        "by_noun": by_noun(found),
    }


class Clock:
    def __init__(self):
        self.minutes, self.began = {}, time.monotonic()

    def lap(self, name):
        self.minutes[name] = round((time.monotonic() - self.began) / 60, 1)
        self.began = time.monotonic()
        print(f"{name}: {self.minutes[name]} min", flush=True)


def save(figure, name):
    path = ROOT / "build" / "figures" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kind", choices=SETTINGS)
    parser.add_argument("--backbone", choices=("mobilenet", "lite2"), default="mobilenet")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--epochs", type=int, default=None)
    arguments = parser.parse_args()
    main(arguments.kind, arguments.backbone, arguments.seed, arguments.epochs)
