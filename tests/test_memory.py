"""Nothing grows with the number of epochs, pictures or captions: no graph, figure or object."""

import gc
import tracemalloc

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from recipes.captioning import (
    CaptionBatches,
    ImageCaptioner,
    ImageCaptionFeatureExtractor,
    MergeCaptioner,
    Vocabulary,
    generate,
)
from recipes.cyclegan import CycleGAN
from recipes.dcgan import DCGAN
from recipes.pix2pix import Pix2Pix
from recipes.ssgan import SSGAN
from recipes.training.batches import Batches, semi_supervised
from recipes.training.callbacks import ImageGrid, progress
from recipes.training.resume import Resume
from recipes.translation import translate

RNG = np.random.default_rng(0)
PICTURES = RNG.uniform(-1, 1, (8, 28, 28, 1)).astype("float32")
COLOURED = RNG.uniform(-1, 1, (2, 2, 32, 32, 3)).astype("float32")
WORDS = [f"w{i}" for i in range(9)]
VOCABULARY = Vocabulary(WORDS)
CAPTIONS = [[" ".join(RNG.choice(WORDS, n)) for n in range(1, 5)] for _ in range(5)]
POOLED, SPATIAL = (RNG.normal(size=(5, *shape)).astype("float32") for shape in ((5,), (2, 2, 5)))


def compiled(model, **settings):
    model.compile(**settings)
    return model


def of_digits():
    batches = Batches(PICTURES, batch_size=4, seed=0)
    return [batches], batches.dataset


def of_labels():
    batches = [Batches(PICTURES, np.arange(8), batch_size=4, seed=0), of_digits()[0][0]]
    return batches, semi_supervised(*batches)


def of_pairs():
    batches = Batches(*COLOURED, batch_size=1, seed=0)
    return [batches], batches.dataset


def of_domains():
    batches = [Batches(pictures, batch_size=1, seed=0) for pictures in COLOURED]
    return batches, tf.data.Dataset.zip(*(each.dataset for each in batches))


def of_captions(features):
    batches = CaptionBatches(features, CAPTIONS, VOCABULARY, batch_size=3, seed=0)
    return [batches], batches.dataset


def merge():
    return compiled(MergeCaptioner(len(VOCABULARY), (5,), width=4, embedding=4))


def attention():
    return compiled(
        ImageCaptioner(len(VOCABULARY), (2, 2, 5), units=4, embedding=4, attention_units=4)
    )


def drawn(model):
    return model.generate(16, seed=0)


def translated(model):
    return model.translate(COLOURED[0])


RECIPES = {
    "dcgan": (lambda: compiled(DCGAN(width=4, latent_dim=8)), of_digits, drawn),
    "ssgan": (
        lambda: compiled(SSGAN(width=4, generator_width=4, latent_dim=8, average=0.9)),
        of_labels,
        drawn,
    ),
    "pix2pix": (lambda: compiled(Pix2Pix(32, 2), fused_updates=False), of_pairs, translated),
    "cyclegan": (lambda: compiled(CycleGAN(32, 2), fused_updates=False), of_domains, translated),
    "merge": (merge, lambda: of_captions(POOLED), None),
    "attention": (attention, lambda: of_captions(SPATIAL), None),
}


class Watch(keras.callbacks.Callback):
    """How many objects Python knows of, and how many bytes, after each of some epochs.

    The first of them only starts to count bytes: what an epoch replaces was not counted before.
    """

    def __init__(self, *epochs):
        super().__init__()
        self.epochs, self.objects, self.bytes = epochs, [], []

    def on_epoch_end(self, epoch, logs=None):
        if epoch + 1 in self.epochs:
            gc.collect()
            if not tracemalloc.is_tracing():
                tracemalloc.start()
            self.objects.append(len(gc.get_objects()))
            self.bytes.append(tracemalloc.get_traced_memory()[0])

    def on_train_end(self, logs=None):
        tracemalloc.stop()


@pytest.mark.parametrize("name", RECIPES)
def test_nothing_grows_with_the_epochs(tmp_path, name):
    make, data, draw = RECIPES[name]
    model, (batches, dataset), traces = make(), data(), []
    step = model.train_step
    model.train_step = lambda *args: (traces.append(1), step(*args))[1]
    watch = Watch(2, 7, 12)
    callbacks = [progress(), Resume(tmp_path / "checkpoints", *batches), watch]
    if draw:
        callbacks.append(ImageGrid(draw, tmp_path / "pictures"))
    model.fit(dataset, epochs=12, callbacks=callbacks, verbose=0)
    assert len(traces) == 1
    assert watch.objects[2] - watch.objects[1] < 20
    assert watch.bytes[2] - watch.bytes[1] < 80_000  # the history's floats, file names
    model.fit(dataset, epochs=2, verbose=0)
    assert len(traces) == 1


# What is called again and again


def calls(model, monkeypatch, name="call"):
    """A list that gets longer whenever Python runs a method of `model`: once for each trace."""
    made, call = [], getattr(model, name)
    monkeypatch.setattr(model, name, lambda *a, **k: (made.append(1), call(*a, **k))[1])
    return made


def test_gans_draw_any_number_of_pictures_by_one_graph(monkeypatch):
    gan = RECIPES["dcgan"][0]()
    traces = calls(gan.generator, monkeypatch)
    for count in (1, 5, 3, 300, 2, 7):
        gan.generate(count, seed=0)
    assert len(traces) <= 2  # the second one is for any number


def test_generators_translate_any_size_by_one_graph(monkeypatch):
    generator = RECIPES["pix2pix"][0]().generator
    traces = calls(generator, monkeypatch)
    for height, width in ((32, 32), (40, 32), (32, 70), (64, 64), (33, 90), (100, 20)):
        translate(generator, np.zeros((2, height, width, 3), np.uint8))
    assert len(traces) <= 3


@pytest.mark.parametrize("make", [merge, attention])
def test_captions_are_searched_by_one_graph_for_each_number_of_beams(make, monkeypatch):
    model = make()
    traces = calls(model, monkeypatch, "begin")
    features = POOLED if len(model.feature_shape) == 1 else SPATIAL
    for _ in range(2):
        for count, length, batch_size in ((5, 4, 64), (3, 6, 2), (1, 4, 64)):
            for beams in (1, 2):
                generate(model, features[:count], beams, length, batch_size=batch_size)
    assert len(traces) == 2


def test_features_are_made_by_one_graph():
    inputs = keras.Input((8, 8, 3))
    net = keras.Model(inputs, layers.GlobalAveragePooling2D()(inputs))
    extractor = ImageCaptionFeatureExtractor(net, batch_size=4)
    for count in (4, 1, 7, 3):
        extractor(np.zeros((count, 9, 9, 3), np.uint8))
    assert extractor._net.experimental_get_tracing_count() == 1
