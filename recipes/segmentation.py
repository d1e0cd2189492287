"""A segmentation network that scores translated images: does it find in them what the map says?

The idea of Pix2Pix' FCN score: a network that was trained on real images labels the pixels of the
translated ones. It says less about sharpness than a person would, and more about content than L1.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from recipes.datasets.files import data_root
from recipes.training import check_keras
from recipes.training.checks import check_images

DEEPLAB = "cityscapes_segmenter/deeplab_mobilenet_edgetpu_slim_cityscapes_quant.tflite"
UNLABELLED = 255
TOLERANCE = 60  # how far JPEG moves a colour, at most, of 442 from black to white


def label_ids(label_maps, colours):
    """The class of each pixel: the number of its colour.

    Args:
        label_maps: `(count, height, width, 3)`; integers in [0, 255], or floats in [-1, 1].
        colours: uint8 array, `(classes, 3)`, or a dict, name -> colour.

    Returns:
        uint8 array, `(count, height, width)`; `UNLABELLED` where no colour is near.
    """
    maps = np.asarray(label_maps)
    if maps.dtype.kind not in "iu":
        check_images(maps, "label maps")
    maps = maps.astype(np.float32) if maps.dtype.kind in "iu" else (maps + 1) * 127.5
    if maps.shape[3:] != (3,) or (maps.size and not -0.5 <= maps.min() <= maps.max() <= 255.5):
        needed = "(count, height, width, 3), integers in [0, 255] or floats in [-1, 1], are needed"
        raise ValueError(f"label maps: {needed}, not shape {maps.shape}")
    colours = np.asarray(list(colours.values()) if isinstance(colours, dict) else colours)
    colours = colours.astype(np.float32)
    ids = np.empty(maps.shape[:3], np.uint8)
    for image, found in zip(maps, ids, strict=True):
        squares = np.square(image[:, :, None] - colours).sum(-1)
        found[:] = np.where(squares.min(-1) < TOLERANCE**2, squares.argmin(-1), UNLABELLED)
    return ids


def train_segmenter(images, ids, epochs=6, seed=0):
    """A small segmentation network, trained in seconds.

    Args:
        images: float32 array in [-1, 1], `(count, height, width, 3)`, even sides.
        ids: class of each pixel, ints `(count, height, width)`; some may be `UNLABELLED`.
        epochs: passes over the images.
        seed: seed of the weights and of the order of the images.

    Returns:
        A function of images -> class of each pixel, `(count, height, width)`.

    Raises:
        ValueError: images (of the function, too) that are not in [-1, 1], or other ids.
    """
    check_keras()
    check_images(images, "images", (*np.shape(images)[1:3], 3))
    if np.shape(images)[1] % 2 or np.shape(images)[2] % 2:
        raise ValueError(f"images: shape {np.shape(images)}, but even sides are needed")
    ids = _checked_ids(ids, np.shape(images)[:3])
    keras.utils.set_random_seed(seed)
    classes = int(ids[ids != UNLABELLED].max()) + 1
    x = inputs = keras.Input(images.shape[1:])
    # Only what differs from its surroundings: colour alone would name most classes, and an image
    # that is painted by numbers would score as high as a real one.
    x = layers.Subtract()([x, layers.AveragePooling2D(9, 1, "same")(x)])
    x = layers.Conv2D(24, 4, 2, "same", activation="relu")(x)
    for dilation in (1, 2, 4):  # sees 33 x 33 pixels
        x = layers.Conv2D(24, 3, padding="same", dilation_rate=dilation, activation="relu")(x)
    x = layers.UpSampling2D(2, interpolation="bilinear")(layers.Conv2D(classes, 1)(x))
    model = keras.Model(inputs, layers.Activation("softmax", dtype="float32")(x))
    loss = keras.losses.SparseCategoricalCrossentropy(ignore_class=UNLABELLED)
    model.compile(keras.optimizers.Adam(3e-3), loss)
    model.fit(images, ids, batch_size=16, epochs=epochs, verbose=0)

    def segment(images):
        check_images(images, "images")
        return model.predict(images, batch_size=32, verbose=0).argmax(-1)

    return segment


def cityscapes_segmenter_path():
    """Where the data root has the file of `load_cityscapes_segmenter`, or would have it."""
    return data_root() / DEEPLAB


def load_cityscapes_segmenter(path):
    """DeepLab v3 on MobileNet-EdgeTPU, trained on Cityscapes (Google Coral, Apache-2.0).

    Args:
        path: the `.tflite` file, from github.com/google-coral/test_data.

    Returns:
        A function of images in [-1, 1], `(count, height, width, 3)` -> class of each pixel,
        `(count, height, width)`, by its place in `cityscapes.COLOURS`.
    """
    net = tf.lite.Interpreter(str(path))
    net.allocate_tensors()
    entrance, exit_ = net.get_input_details()[0], net.get_output_details()[0]
    side = entrance["shape"][1]

    def segment(images):
        check_images(images, "images")
        found = []
        for image in images:
            large = tf.image.resize(image, (side, side)).numpy()
            net.set_tensor(entrance["index"], np.uint8(np.clip((large + 1) * 127.5, 0, 255))[None])
            net.invoke()
            ids = np.squeeze(net.get_tensor(exit_["index"]))[..., None]
            found.append(tf.image.resize(ids, image.shape[:2], "nearest").numpy()[..., 0])
        return np.stack(found)

    return segment


def label_accuracy(found, ids):
    """The share of pixels with a label whose class was found, a float in [0, 1].

    Args:
        found, ids: ints of one shape, `(count, height, width)` or `(pixels,)`; what a segmenter
            says, and the label map.

    Raises:
        ValueError: other arrays, or not one pixel has a label.
    """
    found = np.asarray(found)
    ids = _checked_ids(ids, found.shape)
    return float((found == ids)[ids != UNLABELLED].mean())


def _checked_ids(ids, shape):
    ids = np.asarray(ids)
    if ids.shape != shape or ids.dtype.kind not in "iu" or (ids < 0).any():
        raise ValueError(
            f"ids: {ids.dtype} of shape {ids.shape}, but ints, 0 or more, of {shape} are needed"
        )
    if (ids == UNLABELLED).all():
        raise ValueError("ids: not one pixel has a label")
    return ids
