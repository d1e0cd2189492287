"""Networks by name, and where they are cut."""

import json
import sys
import types

import keras
import numpy as np
import pytest
from keras import layers
from toyworlds.scenes import TAGS

import recipes  # noqa: F401  first, as in a notebook: it sets how TensorFlow starts
from recipes import attacks, backbones
from recipes.backbones import class_names, load_backbone, load_classifier

SIZE = (8, 10, 3)


def pictures_of(shape, count=2):
    return np.random.default_rng(0).uniform(-1, 1, (count, *shape)).astype(np.float32)


def small_net(end="softmax", hidden="relu"):
    """A convolution, two Dense layers, and what they give on the way to `end`."""
    inputs = keras.Input(SIZE)
    maps = layers.Conv2D(4, 3, 2, "same", activation="relu", name="maps")(inputs)
    x = layers.Dense(7, hidden, name="hidden")(layers.Flatten()(maps))
    return keras.Model(inputs, layers.Dense(5, end)(x), name="small")


def part(network, layer):
    return keras.Model(network.input, network.get_layer(layer).output)


@pytest.mark.parametrize(
    ("name", "module", "size"), [("MobileNet", "mobilenet", 224), ("ResNet50", "resnet50", 224)]
)
def test_a_classifier_brings_its_own_scaling_along(name, module, size):
    """MobileNet takes [-1, 1], ResNet50 blue first and without the mean colour."""
    model = load_classifier(name, weights=None)
    images = pictures_of((size, size, 3), 1)
    prepared = getattr(keras.applications, module).preprocess_input((images + 1) * 127.5)
    expected = model.layers[-1](prepared)
    np.testing.assert_allclose(model(images), expected, rtol=1e-3)
    assert attacks.compiled(model)
    assert not model.trainable_variables
    rescaled = any(isinstance(layer, layers.Rescaling) for layer in model.layers)
    assert rescaled == (name == "ResNet50")  # MobileNet takes the images as they are


def test_class_names(tmp_path):
    assert class_names(None)[254] == "class 254"
    index = {str(i): [f"n{i}", f"name_{i}"] for i in range(1000)}
    (tmp_path / "imagenet_class_index.json").write_text(json.dumps(index))
    assert class_names(tmp_path / "some.weights.h5")[254] == "name_254"
    for content in ("{", "[]", '{"0": 5}', "[" * 100_000):
        (tmp_path / "imagenet_class_index.json").write_text(content)
        with pytest.raises(ValueError, match=r"class_index\.json is not Keras' index"):
            class_names(tmp_path / "some.weights.h5")


@pytest.mark.parametrize("load", [load_classifier, load_backbone])
def test_bad_names_and_weights_are_named(load, tmp_path):
    with pytest.raises(ValueError, match="keras.applications has no 'NoNet'; it has .*NASNet"):
        load("NoNet")
    with pytest.raises(FileNotFoundError, match="there is no file .*missing.h5"):
        load("MobileNetV2", tmp_path / "missing.h5")
    (tmp_path / "other.weights.h5").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="other.weights.h5.* cannot be loaded into MobileNetV2"):
        load("MobileNetV2", tmp_path / "other.weights.h5")


@pytest.mark.parametrize("load", [load_classifier, load_backbone])
def test_no_network(load, monkeypatch):
    def build(weights):
        assert weights == "imagenet"
        raise Exception("URL fetch failure")  # as Keras does

    build.__module__ = "keras.src.applications.vgg16"
    monkeypatch.setattr(keras.applications, "VGG16", build)
    with pytest.raises(
        ConnectionError, match="ImageNet weights of VGG16 .* URL fetch failure.*fil"
    ):
        load("VGG16", "imagenet")


def test_vgg16():
    """The book's fc2; caffe's scaling: blue first, without the mean colour."""
    keras.utils.set_random_seed(0)
    pooled = load_backbone("VGG16", weights=None)
    assert pooled.output_shape == (None, 4096)
    assert pooled.layers[-1].layers[-1].name == "fc2"
    assert not pooled.trainable_variables
    spatial = load_backbone("VGG16", weights=None, spatial=True)
    assert spatial.output_shape == (None, 7, 7, 512)
    assert spatial.layers[-1].layers[-1].name == "block5_pool"
    images = pictures_of((224, 224, 3), 1)
    prepared = keras.applications.vgg16.preprocess_input((images + 1) * 127.5)
    np.testing.assert_allclose(spatial(images), spatial.layers[-1](prepared), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "pooled", "spatial"),
    [
        ("MobileNetV2", (1280,), (7, 7, 1280)),
        ("MobileNet", (1024,), (7, 7, 1024)),  # a 1x1 convolution names its classes
        ("MobileNetV3Small", (1024,), (7, 7, 576)),  # so here, and it takes any size
    ],
)
def test_one_rule_for_every_net(name, pooled, spatial):
    assert load_backbone(name, None).output_shape[1:] == pooled
    assert load_backbone(name, None, spatial=True).output_shape[1:] == spatial


@pytest.mark.parametrize("end", ["softmax", "sigmoid"])
def test_a_model_that_classifies_is_cut(end):
    network, images = small_net(end), pictures_of(SIZE)
    for layer, spatial in (("hidden", False), ("maps", True)):
        found = load_backbone(network, spatial=spatial)
        np.testing.assert_allclose(found(images), part(network, layer)(images), rtol=1e-6)
        assert not found.trainable_variables
    assert network.trainable_variables  # the user's own model stays as it is


def test_a_model_of_features_is_taken_as_it_is():
    network, images = small_net(), pictures_of(SIZE)
    for layer, spatial in (("hidden", False), ("maps", True)):
        features = part(network, layer)
        found = load_backbone(features, spatial=spatial)
        np.testing.assert_array_equal(found(images), features(images))
    linear = small_net(end=None)
    np.testing.assert_array_equal(load_backbone(linear)(images), linear(images))
    assert load_backbone(linear, spatial=True).output_shape == (None, 4, 5, 4)


def test_a_copy_is_taken():
    network, images = small_net(), pictures_of(SIZE)
    found = load_backbone(network)
    before = found(images).numpy()
    network.set_weights([value + 1 for value in network.get_weights()])
    np.testing.assert_array_equal(found(images), before)


def test_a_sequential_model_with_a_net_inside():
    inner = part(small_net(), "maps")
    network = keras.Sequential(
        [keras.Input(SIZE), layers.Rescaling(2.0), inner, layers.GlobalAveragePooling2D()]
    )
    network.add(layers.Dense(3))
    network.add(layers.Softmax())
    images = pictures_of(SIZE)
    maps = inner(2 * images).numpy()
    np.testing.assert_allclose(load_backbone(network, spatial=True)(images), maps, rtol=1e-6)
    np.testing.assert_allclose(load_backbone(network)(images), maps.mean((1, 2)), rtol=1e-5)


def model_of(*steps, shape=SIZE):
    x = inputs = keras.Input(shape)
    for step in steps:
        x = step(x)
    return keras.Model(inputs, x, name="mine")


def two_inputs():
    inputs = [keras.Input(SIZE), keras.Input(SIZE)]
    return keras.Model(inputs, layers.Add()(inputs))


@pytest.mark.parametrize(
    ("make", "spatial", "message"),
    [
        (lambda: model_of(layers.Conv2D(4, 3)), False, r"it ends in \(None, 6, 8, 4\), but pooled"),
        (lambda: model_of(layers.Flatten(), layers.Dense(4)), True, " mine: nothing in it"),
        (lambda: model_of(layers.Flatten(), layers.Softmax()), False, " mine: no Dense layer"),
        (
            lambda: model_of(layers.Conv2D(4, 3), layers.GlobalMaxPooling2D(), layers.Softmax()),
            False,
            " mine: no Dense layer",
        ),
        (lambda: model_of(small_net()), False, "its last layer, small, is a model itself"),
        (lambda: model_of(layers.Conv2D(4, 3), shape=(None, None, 3)), True, "RGB images of one"),
        (lambda: model_of(layers.Conv2D(4, 3), shape=(8, 8, 1)), True, "RGB images of one size"),
        (lambda: model_of(layers.Dense(4), shape=(8,)), False, r"it takes \(None, 8\), but RGB"),
        (two_inputs, True, "it has 2 inputs and 1 outputs"),
        (lambda: keras.Sequential([layers.Dense(4)]), False, "functional or Sequential"),
    ],
)
def test_models_that_will_not_do(make, spatial, message):
    with pytest.raises(ValueError, match=f"^model.*{message}"):
        load_backbone(make(), spatial=spatial)


def test_a_model_has_its_own_weights(tmp_path):
    with pytest.raises(ValueError, match="weights None: a model has its own"):
        load_backbone(small_net(), weights=None)


@pytest.fixture
def build_scenes(monkeypatch, tmp_path):
    """A network of our own in the place of the real one, with a weights file that is published."""

    def build(tags, size=96):
        inputs = keras.Input((size, size, 3))
        maps = layers.Conv2D(4, 3, 16, "same")(inputs)
        x = layers.Dense(len(tags), "sigmoid")(layers.GlobalAveragePooling2D()(maps))
        return keras.Model(inputs, x, name="scenes")

    module = types.SimpleNamespace(build_scenes_backbone=build)
    monkeypatch.setitem(sys.modules, "toyworlds.backbone", module)
    monkeypatch.setattr(backbones, "__file__", str(tmp_path / "recipes" / "backbones.py"))
    for folder in (tmp_path / "data" / "weights", tmp_path / "recipes" / "weights"):
        folder.mkdir(parents=True)
    return build


@pytest.mark.filterwarnings("ignore:Skipping nested container:UserWarning")  # of the last file
@pytest.mark.parametrize("folder", ["data/weights", "recipes/weights"])
def test_the_net_of_the_drawn_scenes(build_scenes, tmp_path, folder):
    """In a checkout its weights are in data/weights; pip puts them into the package."""
    with pytest.raises(FileNotFoundError, match=r"data.weights.scenes_backbone.weights.h5"):
        load_backbone("scenes")
    path, scenes = tmp_path / folder / "scenes_backbone.weights.h5", build_scenes(TAGS)
    scenes.save_weights(path)
    images = pictures_of((96, 96, 3))
    expected = keras.Model(scenes.input, scenes.layers[1].output)(images)
    for weights in ("pretrained", path):
        found = load_backbone("scenes", weights, spatial=True)
        np.testing.assert_array_equal(found(images), expected)
        assert not found.trainable_variables
    assert load_backbone("scenes").output_shape == (None, 4)
    assert not np.array_equal(load_backbone("scenes", None, spatial=True)(images), expected)
    with pytest.raises(ValueError, match='scenes.* never saw ImageNet; "pretrained" are those'):
        load_backbone("scenes", "imagenet")
    small_net().save_weights(path)
    with pytest.raises(
        ValueError, match="scenes_backbone.weights.h5' cannot be loaded into scenes"
    ):
        load_backbone("scenes")
