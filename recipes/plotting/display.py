"""Images as arrays, files and animations, and how a notebook shows them."""

import importlib.util
import io
import sys

import numpy as np
from PIL import Image, PngImagePlugin

from recipes.arguments import check_count
from recipes.datasets.files import whole_file

SIGN = "vision-recipes"
SIGNED = PngImagePlugin.PngInfo()
SIGNED.add_text("Software", SIGN)


def to_uint8(images):
    """Float images in [-1, 1] -> uint8, 0 to 255; values outside are clipped, uint8 stays as it is.

    Raises:
        ValueError: another dtype.
    """
    images = np.asarray(images)
    if images.dtype == np.uint8:
        return images
    if not np.issubdtype(images.dtype, np.floating) and images.dtype.name != "bfloat16":
        raise ValueError(
            f"images: dtype {images.dtype}, but floats in [-1, 1] or uint8 can be shown"
        )
    return np.clip(np.rint((images + 1) * 127.5), 0, 255).astype(np.uint8)


def check_shown(images, one_shape=False):
    """Raises `ValueError` unless there are images, each `(height, width, 1 or 3)`."""
    if not len(images):
        raise ValueError("images: there is none to show")
    for i, image in enumerate(images):
        shape = np.shape(image)
        if len(shape) != 3 or shape[-1] not in (1, 3) or 0 in shape:
            raise ValueError(
                f"images: number {i} has shape {shape}, but (height, width, 1 or 3) can be shown"
            )
        if one_shape and shape != np.shape(images[0]):
            raise ValueError(f"images: of several shapes, {np.shape(images[0])} and {shape}")


def mosaic(images, columns=8, gap=2, zoom=None):
    """One image that has all of them side by side.

    Args:
        images: float array in [-1, 1], or uint8, `(count, height, width, channels)`; 1 or 3
            channels.
        columns: images in a row.
        gap: white pixels between two of them.
        zoom: every pixel becomes zoom x zoom; by default 2 for images under 128 pixels, else 1.

    Returns:
        uint8 array, `(height, width, 3)`.

    Raises:
        ValueError: no images, other shapes, or another dtype.
    """
    check_shown(images, one_shape=True)
    check_count("columns", columns)
    images = to_uint8(images)
    count, height, width, _ = images.shape
    zoom = zoom or (2 if width < 128 else 1)
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet.repeat(zoom, 0).repeat(zoom, 1)


def as_rgb(image):
    """An image as `show_images` takes it, as uint8 `(height, width, 3)`."""
    check_shown([image])
    image = to_uint8(image)
    return image if image.shape[-1] == 3 else image.repeat(3, -1)


def save_png(image, path):
    """Writes an image, whole or not at all: uint8, or float in [-1, 1], `(height, width, 1 or 3)`.

    Raises:
        ValueError: it is no such image.
    """
    image = as_rgb(image)
    with whole_file(path) as part:
        Image.fromarray(image).save(part, "PNG", optimize=True, pnginfo=SIGNED)


def is_ours(path):
    """Whether `save_png` or `save_gif` wrote this file."""
    try:
        with Image.open(path) as image:
            signs = image.info.get("Software"), image.info.get("comment")
            return SIGN in signs or SIGN.encode() in signs
    except OSError:
        return False


def save_gif(frames, path, seconds=0.4):
    """Writes an animated GIF, whole or not at all; its last frame stays for 2 s.

    Args:
        frames: images as for `save_png`; smaller ones get a white border, on the right and below.
        seconds: how long each of the others stays.

    Raises:
        ValueError: there are no frames.
    """
    if not len(frames):
        raise ValueError(f"{path}: there are no frames to write")
    frames = [as_rgb(frame) for frame in frames]
    height, width = np.max([frame.shape[:2] for frame in frames], axis=0)
    frames = [
        np.pad(x, ((0, height - len(x)), (0, width - x.shape[1]), (0, 0)), constant_values=255)
        for x in frames
    ]
    frames = [Image.fromarray(frame) for frame in frames]
    times = [int(1000 * seconds)] * (len(frames) - 1) + [2000]
    with whole_file(path) as part:
        frames[0].save(part, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0,
                       comment=SIGN)  # fmt: skip


def display_image(image, handle=None):
    """Shows a uint8 image in a notebook, or replaces the one of `handle`; returns the handle."""
    return display_png(_png(image), handle) if in_notebook() else None


def display_png(png, handle=None):
    """As `display_image`, for the bytes of a PNG file; in a notebook only."""
    from IPython.display import Image as Shown
    from IPython.display import display

    if handle is None:
        return display(Shown(png), display_id=True)
    handle.update(Shown(png))
    return handle


def show_slider(images, labels, name):
    """A slider to look through images, in a notebook that is open and has ipywidgets.

    It comes beside a figure that shows the same at rest: elsewhere, on pages and in tests, there is
    no slider.

    Args:
        images: list of uint8 `(height, width, 3)`; those beyond the labels are left out.
        labels: what the slider stands at, one string an image.
        name: what it changes.
    """
    if not 0 < len(labels) <= len(images):
        raise ValueError(f"{name}: {len(images)} images and {len(labels)} labels to look through")
    if not in_notebook() or importlib.util.find_spec("ipywidgets") is None:
        return
    import ipywidgets
    from IPython.display import display

    files = [_png(image) for image, _ in zip(images, labels, strict=False)]
    shown = ipywidgets.Image(value=files[0], format="png")
    stops = [(label, i) for i, label in enumerate(labels)]
    slider = ipywidgets.SelectionSlider(options=stops, description=name)
    slider.observe(lambda change: setattr(shown, "value", files[change["new"]]), "value")
    display(ipywidgets.VBox([slider, shown]))


def _png(image):
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def in_notebook():
    """Whether IPython runs this. Outside of it, all that shows something does nothing."""
    # Whoever runs one has imported IPython; asked otherwise, it would be imported for nothing.
    return "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None
