"""The net for drawn scenes, and the weights of it that are in the repository."""

from pathlib import Path

import recipes  # noqa: F401  before Keras

import keras  # isort: skip
import numpy as np
import pytest
from toyworlds import scenes
from toyworlds.backbone import build_scenes_backbone

WEIGHTS = Path(__file__).parents[1] / "data" / "weights" / "scenes_backbone.weights.h5"
SEEDS = range(900_000, 900_150)  # neither in a recipe nor in training


@pytest.fixture(scope="module")
def model():
    net = build_scenes_backbone(scenes.TAGS)
    net.load_weights(WEIGHTS)
    return net


@pytest.fixture(scope="module")
def fresh():
    """Pictures in [-1, 1] and the tags of scenes that nobody has seen."""
    pictures = np.stack([scenes.draw(seed)[0] for seed in SEEDS]) / np.float32(127.5) - 1
    tags = [scenes.attributes(scenes.compose(seed)) for seed in SEEDS]
    return pictures, np.array([[tag in mine for tag in scenes.TAGS] for mine in tags])


def test_the_file_is_small_and_belongs_to_the_net(model):
    assert WEIGHTS.stat().st_size < 1_000_000
    assert model.count_params() < 250_000
    assert model.input_shape == (None, 96, 96, 3)
    assert model.output_shape == (None, len(scenes.TAGS))
    assert model.layers[-1].name == "tags"


def test_the_last_map_has_a_cell_for_each_12_pixels():
    net = build_scenes_backbone(("dog", "cat"), size=120)
    maps = [layer.output for layer in net.layers if len(layer.output.shape) == 4]
    assert maps[-1].shape == (None, 10, 10, 160)
    assert net.output_shape == (None, 2)


@pytest.mark.parametrize("size", [0, 90])
def test_size_that_is_refused(size):
    with pytest.raises(ValueError, match=f"size {size}, but a multiple of 12"):
        build_scenes_backbone(scenes.TAGS, size)


def test_it_knows_what_fresh_scenes_show(model, fresh):
    pictures, tags = fresh
    predicted = model.predict(pictures, verbose=0) > 0.5
    hits = (predicted & tags).sum()
    # Over all tags; with those of other scenes in their place it is 0.18.
    assert 2 * hits / (predicted.sum() + tags.sum()) > 0.95
    per_tag = 2 * (predicted & tags).sum(0) / np.maximum(predicted.sum(0) + tags.sum(0), 1)
    assert per_tag[tags.sum(0) >= 5].mean() > 0.95
    assert (predicted == tags).all(1).mean() > 0.7  # all of the 69 tags at once


def test_it_knows_less_of_pictures_that_are_hidden(model, fresh):
    pictures, tags = fresh
    blurred = np.broadcast_to(pictures.mean((1, 2), keepdims=True), pictures.shape)
    predicted = model.predict(blurred, verbose=0) > 0.5
    assert 2 * (predicted & tags).sum() / (predicted.sum() + tags.sum()) < 0.5


def test_its_features_are_where_the_object_is(model):
    """The last map changes around an object that is covered, and hardly elsewhere."""
    picture, objects = scenes.draw(SEEDS[0])
    x, y, width, height = (round(v) for v in objects[-1]["box"])
    covered = picture.copy()
    covered[y : y + height, x : x + width] = 128
    last = [layer.output for layer in model.layers if len(layer.output.shape) == 4][-1]
    maps = keras.Model(model.input, last)
    both = np.stack([picture, covered]).astype(np.float32) / 127.5 - 1
    change = np.abs(np.diff(maps.predict(both, verbose=0), axis=0))[0].sum(-1)
    rows, columns = np.indices(change.shape) * 12 + 6
    far = (
        (columns < x - 30) | (columns > x + width + 30)
        | (rows < y - 30) | (rows > y + height + 30)
    )  # fmt: skip
    assert far.any()
    assert change[far].max() < 1e-3 * change.max()
