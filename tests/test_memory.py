"""Nothing grows with the number of epochs, pictures or captions: no graph, figure or object."""

import gc
import tracemalloc

import keras
import numpy as np
import pytest
from keras import layers

from recipes.captioning import ImageCaptionFeatureExtractor, generate
from recipes.datasets import scale
from recipes.fgsm import AdversarialTraining
from recipes.training.batches import Batches
from recipes.training.callbacks import ImageGrid, arrange_callbacks, progress
from recipes.training.resume import Resume
from recipes.translation import translate
from tests.recipe_table import POOLED, RECIPES, SPATIAL, make_attention, make_merge


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


FAST = "dcgan", "adversarial"  # one of ours with images, and a plain `keras.Model`
SOME_RECIPES = [
    name if name in FAST else pytest.param(name, marks=pytest.mark.faults) for name in RECIPES
]


@pytest.mark.parametrize("recipe", SOME_RECIPES, indirect=True)
def test_nothing_grows_with_the_epochs(tmp_path, recipe):
    model, (batches, dataset), traces = recipe.make(), recipe.data(), []
    step = model.train_step
    model.train_step = lambda *args: (traces.append(1), step(*args))[1]
    watch = Watch(2, 5, 8)
    callbacks = [progress(), Resume(tmp_path / "checkpoints", *batches), watch]
    if recipe.draw:
        callbacks.append(ImageGrid(recipe.draw, tmp_path / "images"))
    callbacks = arrange_callbacks(callbacks, model)
    model.fit(dataset, epochs=8, callbacks=callbacks, shuffle=False, verbose=0)
    # Keras makes the metrics of its own `compile` in a trace of their own.
    assert len(traces) == (2 if isinstance(model, AdversarialTraining) else 1)
    assert watch.objects[2] - watch.objects[1] < 20
    assert watch.bytes[2] - watch.bytes[1] < 80_000  # the history's floats, file names


def resident():
    """Megabytes of this process that lie in memory, without the pages of mapped files."""
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1e3 for line in file if line.startswith("RssAnon"))


def test_checkpoints_leave_nothing_behind(tmp_path):
    model = RECIPES["dcgan"].make()  # two optimizers, of which each model.save leaks 0.07 MB
    resume = Resume(tmp_path)
    resume.restore(model)
    for _ in range(2):
        before = resident()
        for _ in range(40):
            resume._write(model)
    assert resident() - before < 2  # by `model.save` it would be 5.6


def test_batches_hold_no_more_than_a_few_of_a_large_file(tmp_path):
    shape = (4096, 64, 64, 3)  # 50 MB, and twice as much in float32
    images = np.lib.format.open_memmap(tmp_path / "images.npy", "w+", np.uint8, shape)

    class Reader:
        """As an image folder: it has a length, and makes what it is asked for."""

        largest = 0

        def __len__(self):
            return 10**6

        def __getitem__(self, rows):
            self.largest = max(self.largest, len(rows))
            return np.full((len(rows), 64, 64, 3), len(rows), np.uint8)

    reader = Reader()
    few, many = {"steps": 16}, {"steps": 64}  # the threads' own memory is there after a few
    for array, options in ((images, few), (images, many), (reader, many)):
        before = resident()
        batches = Batches(
            array, batch_size=64, seed=0, transform=lambda x, seed: scale(x), **options
        )
        for batch in batches.dataset:
            assert batch.shape == (64, 64, 64, 3)
        assert resident() - before < 40 or options is few  # a copy of the file would be 50
    assert reader.largest == 64


# What is called again and again


def calls(model, monkeypatch, name="call"):
    """A list that gets longer whenever Python runs a method of `model`: once for each trace."""
    made, call = [], getattr(model, name)
    monkeypatch.setattr(model, name, lambda *a, **k: (made.append(1), call(*a, **k))[1])
    return made


def test_gans_draw_any_number_of_pictures_by_one_graph(monkeypatch):
    gan = RECIPES["dcgan"].make()
    traces = calls(gan.generator, monkeypatch)
    for count in (1, 5, 3, 300, 2, 7):
        gan.generate(count, seed=0)
    assert len(traces) <= 2  # the second one is for any number


def test_generators_translate_any_size_by_one_graph(monkeypatch):
    generator = RECIPES["pix2pix"].make().generator
    traces = calls(generator, monkeypatch)
    for height, width in ((32, 32), (40, 32), (32, 70), (64, 64), (33, 90), (100, 20)):
        translate(generator, np.zeros((2, height, width, 3), np.uint8))
    assert len(traces) <= 3


@pytest.mark.parametrize("make", [make_merge, make_attention])
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
