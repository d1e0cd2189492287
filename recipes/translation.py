"""What Pix2Pix and CycleGAN share: the U-Net, the PatchGAN, and translating images of any size.

Ronneberger et al. 2015, "U-Net" (arXiv:1505.04597); Isola et al. 2017, "Image-to-Image Translation
with Conditional Adversarial Networks" (arXiv:1611.07004).
"""

import keras
import numpy as np
from keras import layers, ops

from recipes.datasets import scale
from recipes.layers import conv, normalize, upsample
from recipes.training.checks import check_images


def build_unet(
    image_size=256,
    base_filters=64,
    norm="batch",
    dropout=0.5,
    upsampling="transposed",
    input_skip=None,
    seed=None,
):
    """U-Net: image -> image, both float `(batch, height, width, 3)` in [-1, 1].

    Halves the image until it is 1x1 and doubles it again; every map on the way up is joined to the
    one of its size on the way down, so that no detail has to squeeze through the middle. The
    weights also work for any other size divisible by 2^depth.

    Args:
        image_size: side of the training images, which sets the depth: 8 for 256.
        base_filters: filters of the outermost layers; 64 in the book. Deeper ones have 2, 4 and
            then 8 times as many.
        norm: "batch" (Pix2Pix) or "instance" (CycleGAN).
        dropout: rate in the first three blocks on the way up.
        upsampling: "transposed" convolutions, as in the book, "resize" or "bilinear"; see
            `layers.upsample`.
        input_skip: what becomes of the input image at the end, so that its finest detail need not
            be learned: "concat" joins it to the last map, for translations that keep the outlines;
            "add" adds it to the last map, for those that keep most of the image, which then change
            little at first; None, as in the book, does without.
        seed: seed of the dropout.

    Raises:
        ValueError: `image_size` is not 32, 64, 128, 256, 512 or 1024, or an option is unknown.
    """
    if input_skip not in (None, "concat", "add"):
        raise ValueError(f"input_skip {input_skip!r}: known are None, 'concat', 'add'")
    depth = depth_of(image_size)
    filters = [base_filters * min(2**i, 8) for i in range(depth)]
    x = images = keras.Input((None, None, 3))
    skips = []
    for i in range(depth):  # 256: (batch, 128, 128, 64) ... (batch, 1, 1, 512)
        # No norm at the first, which sees colours, and none at the last: it would output zeros.
        x = downsample(x, filters[i], norm if 0 < i < depth - 1 else None)
        skips.append(x)
    for i in reversed(range(depth - 1)):  # (batch, 2, 2, 512) ... (batch, 128, 128, 64)
        x = normalize(upsample(x, filters[i], method=upsampling), norm)
        if dropout and i >= depth - 4:
            x = layers.Dropout(dropout, seed=seed)(x)
        x = layers.Concatenate()([layers.ReLU()(x), skips[i]])
    if input_skip:
        x = layers.ReLU()(normalize(upsample(x, base_filters, method=upsampling), norm))
        x = layers.Concatenate()([x, images]) if input_skip == "concat" else x
        x = conv(3, 3, 1, bias=True)(x)
        # The inverse of the tanh below: adding 0 leaves the image as it is, but for 2 %.
        x = x + ops.arctanh(0.98 * images) if input_skip == "add" else x
    else:
        x = upsample(x, 3, method=upsampling, bias=True)
    x = layers.Activation("tanh", dtype="float32")(x)  # (batch, 256, 256, 3)
    return keras.Model(images, x, name="generator")


def downsample(x, filters, norm, strides=2, padding="same"):
    """Convolution 4x4 - norm - LeakyReLU: half the height and width."""
    x = normalize(conv(filters, 4, strides, padding)(x), norm)
    return layers.LeakyReLU(0.2)(x)


def depth_of(image_size):
    """Number of halvings that reduce a side to one pixel."""
    depth = int(image_size).bit_length() - 1
    if image_size != 2**depth or not 5 <= depth <= 10:
        raise ValueError(
            f"image_size {image_size}: the U-Net halves it down to one pixel, so it has to be one "
            "of 32, 64, 128, 256, 512, 1024"
        )
    return depth


def build_patchgan(images=1, base_filters=64, norm="batch", halvings=3):
    """Image(s) -> real/fake logits, one for each overlapping patch.

    Args:
        images: how many images it looks at side by side: 2 for Pix2Pix (input and target), 1
            for CycleGAN.
        base_filters: filters of the first layer; 64 in the book.
        norm: "batch" or "instance".
        halvings: convolutions of stride 2: 3 for patches of 70x70 pixels, as in the book, 2 for
            34x34, 1 for 16x16.

    Returns:
        A model of `images` inputs, `(batch, height, width, 3)`; logits, float32 `(batch, h, w,
        1)`, 30x30 of them for an image of 256x256 and 3 halvings.
    """
    inputs = [keras.Input((None, None, 3)) for _ in range(images)]
    x = layers.Concatenate()(inputs) if images > 1 else inputs[0]
    for i in range(halvings):  # 256: (batch, 128, 128, 64) ... (batch, 32, 32, 256)
        x = downsample(x, base_filters * 2**i, norm if i else None)
    x = layers.ZeroPadding2D()(x)
    x = downsample(x, base_filters * 2**halvings, norm, 1, "valid")  # (batch, 31, 31, 512)
    x = layers.ZeroPadding2D()(x)
    x = conv(1, 4, 1, "valid", bias=True)(x)
    x = layers.Activation("linear", dtype="float32")(x)  # (batch, 30, 30, 1)
    return keras.Model(inputs if images > 1 else inputs[0], x, name="discriminator")


def translate(generator, images, batch_size=8):
    """Translates images of any height and width.

    The network takes sides divisible by 2^depth. Other images are padded by mirroring them at the
    right and at the bottom, and the output is cropped to the original size.

    Args:
        generator: the model, for example from `keras.models.load_model("generator.keras")`.
        images: one image `(height, width, 3)` or a batch of them; uint8, or float in [-1, 1].
        batch_size: images translated at a time.

    Returns:
        float32 array in [-1, 1], of the shape of `images`.

    Raises:
        ValueError: another shape or dtype, several shapes, or values outside of [-1, 1].
    """
    if hasattr(generator, "for_inference"):
        raise ValueError(
            f"generator: a whole {type(generator).__name__}; call its translate, or pass one "
            "network, as for_inference gives it"
        )
    if isinstance(images, tuple | list) and len(shapes := set(map(np.shape, images))) > 1:
        raise ValueError(
            f"translate: images of the shapes {sorted(shapes)}, but a batch has one: translate "
            "them one by one"
        )
    images = np.asarray(images)
    if images.ndim not in (3, 4) or images.shape[-1] != 3 or 0 in images.shape:
        raise ValueError(
            f"translate: shape {images.shape}, but (height, width, 3) or (batch, height, width, "
            "3) is needed"
        )
    batch = images[None] if images.ndim == 3 else images
    if images.dtype == np.uint8:
        batch = scale(batch)
    else:
        check_images(batch, "translate")
    height, width = batch.shape[1:3]
    factor = 2 ** halvings(generator)
    extra = [(0, -height % factor), (0, -width % factor)]
    batch = np.pad(batch, [(0, 0), *extra, (0, 0)], "symmetric").astype(np.float32)
    out = generator.predict(batch, batch_size=batch_size, verbose=0)[:, :height, :width]
    return np.float32(out[0] if images.ndim == 3 else out)


def halvings(generator):
    """How often a network halves its image: the strided convolutions on the way down."""
    return sum(isinstance(x, layers.Conv2D) and x.strides == (2, 2) for x in generator.layers)


def check_sides(generator, images, name):
    """Raises `ValueError` if images cannot be halved as often as the network needs."""
    factor = 2 ** halvings(generator)
    height, width = images.shape[1:3]
    if height % factor or width % factor:
        raise ValueError(
            f"{name}: {height}x{width}, but the generator takes sides that {factor} divides"
        )


def check_discriminator(discriminator, images):
    """Raises `ValueError` unless a discriminator takes so many images at once."""
    if len(discriminator.inputs) != images:
        raise ValueError(
            f"the discriminator takes {len(discriminator.inputs)} images at once, but {images} "
            f"{'is' if images == 1 else 'are'} needed: build_patchgan({images}) makes such a one"
        )


def shapes(network, image_size):
    """What each convolution of a network makes of an image: a summary that fits on a screen.

    Args:
        network: model of one or more images.
        image_size: side of the images.

    Returns:
        list of (kind of convolution, (height, width, channels)).
    """
    kinds = (layers.Conv2D, layers.Conv2DTranspose)
    found = [layer for layer in network.layers if isinstance(layer, kinds)]
    probe = keras.Model(network.inputs, [layer.output for layer in found])
    image = np.zeros((1, image_size, image_size, 3), np.float32)
    outputs = probe([image] * len(network.inputs))
    outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
    return [
        (type(layer).__name__, tuple(output.shape[1:]))
        for layer, output in zip(found, outputs, strict=True)
    ]
