"""Pretrained networks: classifiers and feature extractors by name, all for images in [-1, 1].

A name is one of `keras.applications`, or "scenes", our small network for drawn scenes. Each
scales the images as it needs them. Weights are "pretrained" (those published with it), a file, or
None (random ones). What comes back is frozen.
"""

import inspect
import json
from pathlib import Path

import keras
import numpy as np
from keras import layers

from recipes.training import check_keras
from recipes.training.base import frozen_copy

SCENES = "scenes"
PUBLISHED = ("pretrained", "imagenet")
CLASS_INDEX_MD5 = "c2c37ea517e94d9795004a39431a14cb"  # as Keras has it


def load_classifier(name="NASNetMobile", weights="imagenet"):
    """A classifier of `keras.applications`, frozen, for images in [-1, 1] whatever its own scale.

    Args:
        name: "NASNetMobile" (the book's), "MobileNetV2", "ResNet50" ...
        weights: "imagenet" (downloaded once by Keras), a weights file, or None: random ones.

    Returns:
        A `keras.Model`, `(batch, height, width, 3)` in [-1, 1] -> `(batch, 1000)` probabilities.

    Raises:
        ValueError: no such classifier, or a file that holds other weights.
        FileNotFoundError: no such file.
        ConnectionError: the weights cannot be downloaded.
    """
    check_keras()
    return _frozen(*_application(name, weights))


def load_backbone(name_or_model="VGG16", weights="pretrained", spatial=False):
    """A network without its classifier, frozen: images in [-1, 1] -> features.

    Pooled features are what goes into the layer that names the classes: 4,096 numbers of VGG16,
    1,280 of MobileNetV2. Spatial features are the last tensor of the network that has rows and
    columns: (7, 7, 512) of VGG16, (8, 8, 2048) of InceptionV3, (7, 7, 1280) of MobileNetV2.

    Args:
        name_or_model: a name (see above), or a functional or Sequential `keras.Model` that takes
            images in [-1, 1], of which a copy is made. One that ends in softmax or sigmoid is
            a classifier and is cut as those by name are; with `spatial`, so is any that does not
            end in rows and columns. What else comes out of a model are its features.
        weights: "pretrained" ("imagenet" says the same of `keras.applications`), a weights file
            of the whole network, or None: random ones. A model has its own.
        spatial: whether the features keep their rows and columns.

    Returns:
        A `keras.Model`, `(batch, height, width, 3)` in [-1, 1] -> `(batch, channels)`, or
        `(batch, rows, columns, channels)`.

    Raises:
        ValueError: no such name; a file that holds other weights; a model that has not such
            features, or does not take RGB images of one size.
        FileNotFoundError: no such file.
        ConnectionError: the weights cannot be downloaded.
    """
    check_keras()
    if isinstance(name_or_model, keras.Model):
        if weights != "pretrained":
            raise ValueError(
                f"weights {weights!r}: a model has its own, only a name goes with them"
            )
        features = _features_of_model(name_or_model, spatial)
        return frozen_copy(features, features.name)  # else freezing would freeze the model as well
    load = _scenes if name_or_model == SCENES else _application
    network, prepare = load(name_or_model, weights)
    tensor = _last_map(network) if spatial else _penultimate(network)
    return _frozen(keras.Model(network.input, tensor, name=network.name), prepare)


def class_names(weights="imagenet"):
    """The names of the 1,000 ImageNet classes; for weights None, which know none, numbers.

    Args:
        weights: as for `load_classifier`. A file `imagenet_class_index.json` beside a weights file
            is read; else Keras' own copy of it, which is downloaded once.

    Raises:
        ValueError: the file holds something else.
    """
    if weights is None:
        return [f"class {i}" for i in range(1000)]
    path = Path(weights).with_name("imagenet_class_index.json")
    if not path.is_file():
        origin = keras.applications.imagenet_utils.CLASS_INDEX_PATH
        path = keras.utils.get_file(
            path.name, origin, cache_subdir="models", file_hash=CLASS_INDEX_MD5
        )
    try:
        index = json.loads(Path(path).read_text())
        return [str(index[str(i)][1]) for i in range(1000)]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} is not Keras' index of the ImageNet classes: {error}") from error


def _application(name, weights):
    """A network of `keras.applications`, and a function from [-1, 1] to the scale that it takes."""
    build = getattr(keras.applications, str(name), None)
    if not inspect.isfunction(build):
        known = [key for key, _ in inspect.getmembers(keras.applications, inspect.isfunction)]
        raise ValueError(f"name: keras.applications has no {name!r}; it has {', '.join(known)}")
    preprocess = inspect.getmodule(build).preprocess_input  # of the same file of Keras
    grey_levels = layers.Rescaling(127.5, 127.5)  # to [0, 255], where each preprocessing begins
    if weights not in PUBLISHED:
        network = _with_weights(name, weights, lambda: build(weights=weights))
    else:
        try:
            network = build(weights="imagenet")
        except Exception as error:  # Keras raises a bare one where the download fails
            raise ConnectionError(
                f"the ImageNet weights of {name} cannot be had: {error}. Try again later, give a "
                "weights file, or None for random ones"
            ) from error
    ramp = np.array([0.0, 127.5, 255.0]).reshape(1, 1, 1, 3)
    if np.allclose(preprocess(ramp.copy()), ramp / 127.5 - 1):  # MobileNetV2, InceptionV3 ...
        return network, lambda images: images  # are in its scale already
    return network, lambda images: preprocess(grey_levels(images))


def _scenes(name, weights):
    from toyworlds.backbone import build_scenes_backbone
    from toyworlds.scenes import TAGS  # here, because no other network needs them

    if weights == "imagenet":
        raise ValueError(f'weights: {name!r} never saw ImageNet; "pretrained" are those it has')
    network = build_scenes_backbone(TAGS)
    if weights is not None:
        path = published("scenes_backbone.weights.h5") if weights == "pretrained" else weights
        _with_weights(name, path, lambda: network.load_weights(path))
    return network, lambda images: images


def published(name):
    """The path of a weights file of ours: in the installed package, else in the checkout."""
    here = Path(__file__).resolve().parent
    places = [here / "weights" / name, here.parent / "data" / "weights" / name]
    return next((path for path in places if path.is_file()), places[-1])


def _with_weights(name, weights, load):
    """What `load` returns, or errors that say which file does not go with which network."""
    if weights is not None and not Path(weights).is_file():
        download = "" if name == SCENES else '"imagenet" downloads them, '
        raise FileNotFoundError(f"weights: there is no file {weights}; {download}None does without")
    try:
        return load()
    except (ValueError, OSError) as error:
        raise ValueError(
            f"weights {str(weights)!r} cannot be loaded into {name}: {error}"
        ) from error


def _frozen(network, prepare):
    network.trainable = False
    inputs = keras.Input([n or 224 for n in network.input_shape[1:]])  # some take any size
    return keras.Model(inputs, network(prepare(inputs)), name=f"frozen_{network.name}")


def _features_of_model(model, spatial):
    """The part of a user's model that makes the features."""
    if not getattr(model, "inputs", None):
        raise ValueError(
            f"model: a functional or Sequential keras.Model with a known input is needed, not "
            f"{type(model).__name__}"
        )
    shapes = [tuple(tensor.shape) for tensor in (*model.inputs, *model.outputs)]
    if len(shapes) != 2:
        raise ValueError(
            f"model: it has {len(model.inputs)} inputs and {len(model.outputs)} outputs, but "
            "images are all that is put in, and one tensor has to come out"
        )
    if len(shapes[0]) != 4 or None in shapes[0][1:] or shapes[0][-1] != 3:
        raise ValueError(
            f"model: it takes {shapes[0]}, but RGB images of one size, "
            "(batch, height, width, 3), are needed"
        )
    model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)  # not a Sequential
    last, end = model.layers[-1], model.layers[-1]
    while isinstance(end, keras.Model):
        end = end.layers[-1]
    scores = (keras.activations.softmax, keras.activations.sigmoid)
    classifies = isinstance(end, layers.Softmax) or getattr(end, "activation", None) in scores
    if not classifies and len(shapes[1]) == (4 if spatial else 2):
        return model
    if isinstance(last, keras.Model):
        raise ValueError(
            f"model: its last layer, {last.name}, is a model itself and cannot be cut; make a "
            "keras.Model that ends where the features are"
        )
    if not classifies and not spatial:
        raise ValueError(
            f"model: it ends in {shapes[1]}, but pooled features are (batch, channels); add "
            "keras.layers.GlobalAveragePooling2D(), or ask for spatial=True"
        )
    tensor = _last_map(model) if spatial else _penultimate(model)
    return keras.Model(model.input, tensor, name=model.name)


def _penultimate(network):
    """What goes into the last Dense layer of a classifier, or the 1x1 convolution in its place."""
    ends = [layer for layer in network.layers if isinstance(layer, (layers.Dense, layers.Conv2D))]
    shape = ends[-1].input.shape if ends else ()
    if len(shape) == 2:
        return ends[-1].input
    if tuple(shape[1:3]) == (1, 1):  # MobileNet and MobileNetV3
        return layers.Flatten()(ends[-1].input)
    raise ValueError(
        f"model {network.name}: no Dense layer names its classes, so it has no pooled features; "
        "hand in a keras.Model that ends in them, (batch, channels)"
    )


def _last_map(network):
    """The last tensor of a network with rows and columns."""
    maps = []
    for step in network.operations:
        if not isinstance(step, (keras.Model, layers.InputLayer)):
            tensors = keras.tree.flatten((step.input, step.output))
            maps += [x for x in tensors if len(x.shape) == 4 and tuple(x.shape[1:3]) != (1, 1)]
    maps = [tensor for tensor in maps if tensor is not network.input]
    if not maps:
        raise ValueError(
            f"model {network.name}: nothing in it has the shape (batch, rows, columns, channels): "
            "it has no spatial features"
        )
    return maps[-1]
