"""A small convolutional net for the drawn scenes, in place of one that has seen ImageNet."""

import keras
from keras import layers


def build_scenes_backbone(tags, size=96):
    """Pictures in [-1, 1] -> the probability of each tag, `(batch, tags)`.

    A cell of the last map sees 55 pixels of the picture, one actor and what it holds: enough to
    know what somebody does, and still at its place.

    Args:
        tags: names of the tags, in the order of the outputs.
        size: side of a picture in pixels, a multiple of 12.

    Returns:
        A functional `keras.Model`. Its last map is `(batch, size / 12, size / 12, 160)`, and what
        goes into its last layer `(batch, 320)`.
    """
    if size < 12 or size % 12:
        raise ValueError(f"size {size}, but a multiple of 12 is needed")
    x = pictures = keras.Input((size, size, 3))
    for filters, kernel, strides in (
        (24, 3, 2),  # (batch, 48, 48, 24)
        (48, 3, 2),
        (64, 3, 1),  # (batch, 24, 24, 64)
        (96, 3, 3),
        (96, 3, 1),
        (160, 1, 1),  # (batch, 8, 8, 160)
    ):
        x = layers.Conv2D(filters, kernel, strides, "same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(x)
    # The mean tells how much there is of something, the maximum that there is some, however small.
    x = layers.Concatenate()([layers.GlobalAveragePooling2D()(x), layers.GlobalMaxPooling2D()(x)])
    x = layers.Dense(len(tags), activation="sigmoid", name="tags")(x)
    return keras.Model(pictures, x, name="scenes_backbone")
