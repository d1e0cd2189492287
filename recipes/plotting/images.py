"""Figures of images: in grids, with captions, under attention, attacked."""

import re
import textwrap
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib import cm, colors, font_manager, patches
from PIL import Image, ImageDraw, ImageFont

from recipes.arguments import check_count
from recipes.plotting.display import save_gif, to_uint8
from recipes.plotting.figures import WIDTH, finish, image_grid, styled


@styled
def show_images(images, titles=None, columns=8, title=None, size=2.2):
    """Images in a grid, each under its title.

    Args:
        images: float in [-1, 1], or uint8, `(count, height, width, channels)`; 1 or 3 channels.
        titles: one string an image; None for none.
        columns: images in a row; with fewer, each is larger.
        title: of the whole figure.
        size: width of an image in inches, at most; with less, the titles are larger beside it.
    """
    titles = [""] * len(images) if titles is None else titles
    lines = max((str(text).count("\n") + (text != "") for text in titles), default=0)
    figure, _ = image_grid(images, columns, 0.17 * lines, size, titles)
    return finish(figure, title)


@styled
def show_rows(rows, title=None):
    """Rows of images that belong together, column by column, each row with its name.

    Args:
        rows: dict, name -> images as for `show_images`; the counts agree.
        title: of the whole figure.
    """
    counts = {name: len(row) for name, row in rows.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"rows: each needs equally many images, but they have {counts}")
    images = [image for row in rows.values() for image in row]
    columns = len(images) // max(len(rows), 1)
    figure, axes = image_grid(images, columns)
    for axis, name in zip(axes[::columns], rows, strict=True):
        axis.set_ylabel(name, fontsize=9)
    return finish(figure, title)


@styled
def show_captions(images, captions, columns=3):
    """Images in a grid, each above its caption.

    Args:
        images: uint8 `(height, width, 3)`, of any sizes.
        captions: one string an image; each of its lines is broken where it gets too long.
        columns: images in a row.
    """
    if not 0 < len(images) == len(captions):
        raise ValueError(f"captions: {len(captions)} for {len(images)} images")
    check_count("columns", columns)
    width = int(14 * min(WIDTH / min(columns, len(images)), 2.2))  # letters to a line
    texts = [
        "\n".join(part for line in text.splitlines() for part in textwrap.wrap(line, width))
        for text in captions
    ]
    lines = max(text.count("\n") + 1 for text in texts)
    figure, axes = image_grid(images, columns, 0.16 * lines + 0.1)
    for axis, text in zip(axes, texts, strict=True):
        axis.set_xlabel(text, fontsize=9, loc="left", linespacing=1.2)
    return finish(figure)


@styled
def show_attention(image, words, attention, grid, boxes=None, columns=4, size=2.2):
    """The image for each word of its caption, under a heat map of where the model looked.

    Args:
        image: uint8, or float in [-1, 1], `(height, width, 3)`.
        words: list of str.
        attention: float `(words or more, places)`, each row sums to 1.
        grid: `(rows, columns)` of the places.
        boxes: where the named objects are: one `(left, top, width, height)` in pixels, or None, a
            word; None for no boxes.
        columns: panels in a row.
        size: width of a panel in inches, at most.
    """
    attention = np.asarray(attention)[: len(words)]
    panels = attention_panels(image, attention, grid)
    figure, axes = image_grid([image, *panels], columns, 0.2, size, ["", *words])
    figure.set_figheight(figure.get_figheight() + 0.6)  # for the scale
    for axis, place in zip(axes[1:], boxes or (), strict=False):
        if place is not None:
            left, top, wide, high = place
            axis.add_patch(patches.Rectangle((left, top), wide, high, fill=False, ec="w", lw=1.5))
    scale = cm.ScalarMappable(colors.Normalize(0, 100 * attention.max()), "viridis")
    bar = figure.colorbar(scale, ax=axes, location="bottom", aspect=40, shrink=0.8)
    bar.set_label(f"share of the attention in each of {grid[0]}x{grid[1]} places, %", fontsize=9)
    return finish(figure)


def attention_panels(image, attention, grid):
    """The image once for each row of attention, under a heat map of it.

    One scale holds for all rows, from 0 to the largest weight. The less attention a place gets,
    the more the image shows through.

    Args:
        image, attention, grid: as for `show_attention`.

    Returns:
        A list of uint8 `(height, width, 3)`.
    """
    image, attention = to_uint8(image), np.asarray(attention, np.float32)
    if attention.ndim != 2 or attention.shape[1] != grid[0] * grid[1]:
        raise ValueError(f"grid {grid}, but attention has the shape {attention.shape}")
    height, width = image.shape[:2]
    panels = []
    for row in attention / max(attention.max(), 1e-9):
        heat = Image.fromarray(row.reshape(grid)).resize((width, height), Image.Resampling.BICUBIC)
        heat = np.clip(np.asarray(heat), 0, 1)
        alpha = 0.1 + 0.6 * heat[..., None]
        colour = 255 * matplotlib.colormaps["viridis"](heat)[..., :3]
        panels.append(np.rint((1 - alpha) * image + alpha * colour).astype(np.uint8))
    return panels


def save_attention_gif(path, image, words, attention, grid, seconds=0.7):
    """The panels of `show_attention` as an animated GIF, each above its word.

    Args:
        image, words, attention, grid: as for `show_attention`.
        seconds: how long each word stays.
    """
    font = ImageFont.truetype(font_manager.findfont("DejaVu Sans"), 16)
    frames = []
    for panel, word in zip(attention_panels(image, attention, grid), words, strict=False):
        frame = Image.new("RGB", (image.shape[1], image.shape[0] + 26), "white")
        frame.paste(Image.fromarray(panel))
        pen = ImageDraw.Draw(frame)
        pen.text((image.shape[1] / 2, image.shape[0] + 4), word, "black", font, anchor="ma")
        frames.append(np.asarray(frame))
    save_gif(frames, path, seconds)


@styled
def show_attack(images, attacked, titles, attacked_titles, title=None):
    """A row for each attacked image: the original, the perturbation, and their sum.

    The perturbation is magnified to fill the scale from black to white, grey is none; the factor
    stands above it.

    Args:
        images, attacked: float arrays in [-1, 1], `(count, height, width, channels)`; 1 or 3
            channels.
        titles, attacked_titles: one string an image: label and confidence.
        title: of the whole figure.
    """
    if np.shape(images) != np.shape(attacked) or not len(images) == len(titles) == len(
        attacked_titles
    ):
        raise ValueError(
            f"images of shape {np.shape(images)}, attacked {np.shape(attacked)}, {len(titles)} "
            f"titles, {len(attacked_titles)} attacked_titles: they have to agree"
        )
    shown, texts = [], []
    for image, sum_, before, after in zip(images, attacked, titles, attacked_titles, strict=True):
        added = np.asarray(sum_, np.float32) - image
        factor = 1 / max(np.abs(added).max(), 1e-6)
        shown += [image, added * factor, sum_]
        middle = f"+ perturbation (× {factor:.3g})" if added.any() else "+ no perturbation"
        texts += [before, middle, f"= {after}"]
    figure, _ = image_grid(shown, 3, 0.2, 1.9, texts)
    return finish(figure, title)


@styled
def show_training(paths, count=4):
    """Some of the image grids that were kept during training, from the first to the last.

    Args:
        paths: image files whose names end in their epoch: `epoch-0001.png`.
        count: how many of them, at most.
    """
    paths = [Path(path) for path in paths]
    if not paths:
        raise ValueError("paths: there is no image grid to show")
    if strange := [path.name for path in paths if not re.fullmatch(r".*-\d+", path.stem)]:
        raise ValueError(f"paths: no image grids, whose names end in an epoch: {strange[:10]}")
    chosen = sorted({round(i) for i in np.linspace(0, len(paths) - 1, min(count, len(paths)))})
    images = [np.asarray(Image.open(paths[i]).convert("RGB")) for i in chosen]
    titles = [f"epoch {int(paths[i].stem.split('-')[-1])}" for i in chosen]
    figure, _ = image_grid(images, 2, 0.2, WIDTH / 2, titles)
    return finish(figure)
