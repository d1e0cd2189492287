"""Every picture that a notebook shows."""

import base64
import contextlib
import html
import importlib.util
import io
import os
import sys
import textwrap
from pathlib import Path

import matplotlib.font_manager
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageDraw, ImageFont

# Okabe and Ito's colours, told apart by colour-blind readers too; the dashes serve in grey print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))


def to_uint8(images):
    """Pictures in [-1, 1] -> uint8, 0 to 255; values outside are clipped."""
    return np.clip(np.rint((np.asarray(images) + 1) * 127.5), 0, 255).astype(np.uint8)


def mosaic(images, columns=8, gap=2, zoom=None):
    """Pictures side by side in one.

    Args:
        images: float array in [-1, 1], `(count, height, width, channels)`; 1 or 3 channels.
        columns: pictures in a row.
        gap: white pixels between two of them.
        zoom: every pixel becomes zoom x zoom; by default 2 for pictures under 128 pixels, else 1.

    Returns:
        uint8 array, `(height, width, 3)`.
    """
    images = to_uint8(images)
    count, height, width, _ = images.shape
    zoom = zoom or (2 if width < 128 else 1)
    rows = -(-count // columns)
    sheet = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, 3), 255, np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (height + gap), i % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet.repeat(zoom, 0).repeat(zoom, 1)


def save_png(picture, path):
    """Writes a uint8 picture, `(height, width, 3)`, whole or not at all."""
    with _whole(path) as part:
        Image.fromarray(picture).save(part, "PNG", optimize=True)


def save_gif(paths, path, seconds=0.4):
    """Joins picture files of one size to an animated GIF whose last picture stays for 2 s."""
    frames = []
    for source in paths:
        with Image.open(source) as image:
            frames.append(image.convert("RGB"))
    _write_gif(frames, path, seconds)


def show_gif(path, alt):
    """Shows an animated GIF in a notebook; `alt` is the text for those who do not see it.

    Outside of a notebook it does nothing.
    """
    if _in_notebook():
        from IPython.display import HTML, display

        data = base64.b64encode(Path(path).read_bytes()).decode()
        display(HTML(f'<img src="data:image/gif;base64,{data}" alt="{html.escape(alt)}">'))


def _write_gif(frames, path, seconds):
    times = [int(1000 * seconds)] * (len(frames) - 1) + [2000]
    with _whole(path) as part:
        frames[0].save(part, "GIF", save_all=True, append_images=frames[1:], duration=times, loop=0)


@contextlib.contextmanager
def _whole(path):
    """Yields a temporary name; what is written there gets its own name when it is whole."""
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        os.replace(part, path)
    except OSError as error:  # Pillow has removed the part
        raise OSError(
            error.errno,
            f"cannot write {path}: {error.strerror or error}. Make room there, or get the "
            "permission, and run again",
        ) from error


def display_picture(picture, handle=None):
    """Shows a uint8 picture in a notebook, or replaces the one of `handle`; returns the handle.

    Outside of a notebook it does nothing.
    """
    if not _in_notebook():
        return None
    from IPython.display import Image as Shown
    from IPython.display import display

    shown = Shown(_png(picture))
    if handle is None:
        return display(shown, display_id=True)
    handle.update(shown)
    return handle


def show_slider(pictures, labels, name):
    """A slider to look through pictures, in a notebook that is open and has ipywidgets.

    It comes beside a figure that shows the same at rest: elsewhere, on pages and in tests, there is
    no slider.

    Args:
        pictures: list of uint8 `(height, width, 3)`; those beyond the labels are left out.
        labels: what the slider stands at, one string a picture.
        name: what it changes.
    """
    if not _in_notebook() or importlib.util.find_spec("ipywidgets") is None:
        return
    import ipywidgets
    from IPython.display import display

    files = [_png(picture) for picture, _ in zip(pictures, labels, strict=False)]
    image = ipywidgets.Image(value=files[0], format="png")
    stops = [(label, i) for i, label in enumerate(labels)]
    slider = ipywidgets.SelectionSlider(options=stops, description=name)
    slider.observe(lambda change: setattr(image, "value", files[change["new"]]), "value")
    display(ipywidgets.VBox([slider, image]))


def _png(picture):
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _in_notebook():
    # Whoever runs one has imported IPython; asked otherwise, it would be imported for nothing.
    return "IPython" in sys.modules and sys.modules["IPython"].get_ipython() is not None


def show_pictures(images, titles=None, columns=8, suptitle=None, size=1.1):
    """Pictures in a grid, each under its title.

    Args:
        images: float pictures in [-1, 1], or uint8, `(count, height, width, channels)`.
        titles: one string a picture; None for none.
        columns: pictures in a row.
        suptitle: title of the whole figure.
        size: inches of a picture.
    """
    rows = -(-len(images) // columns)
    extra = 0.25 if titles is not None else 0.0
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * size, rows * (size + extra) + 0.4), squeeze=False
    )
    for i, axis in enumerate(axes.flat):
        axis.axis("off")
        if i < len(images):
            image = images[i] if images[i].dtype == np.uint8 else to_uint8(images[i])
            axis.imshow(image.squeeze(), cmap="gray", vmin=0, vmax=255)
            if titles is not None:
                axis.set_title(titles[i], fontsize=8)
    finish(figure, suptitle)


def show_rows(rows, suptitle=None, size=1.3):
    """Rows of pictures that belong together, column by column, each row with its name.

    Args:
        rows: dict, name -> float array in [-1, 1] or uint8, `(count, height, width, 3)`; the
            counts agree.
        suptitle: title of the whole figure.
        size: inches of a picture's height.
    """
    columns = len(next(iter(rows.values())))
    height, width = next(iter(rows.values())).shape[1:3]
    figure, axes = plt.subplots(
        len(rows),
        columns,
        figsize=(columns * size * width / height + 0.4, len(rows) * size + 0.4),
        squeeze=False,
    )
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for axis, image in zip(line, images, strict=True):
            axis.imshow(image if image.dtype == np.uint8 else to_uint8(image))
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        line[0].set_ylabel(name, fontsize=8)
    finish(figure, suptitle, pad=0.2)


def show_captions(images, captions, columns=4, size=2.2):
    """Pictures in a grid, each above its caption.

    Args:
        images: uint8 pictures `(height, width, 3)`, of any sizes.
        captions: one string a picture; each of its lines is broken where it gets too long.
        columns: pictures in a row.
        size: inches of a picture.
    """
    columns = min(columns, len(images))
    rows, width = -(-len(images) // columns), int(13 * size)  # letters to a line
    texts = [
        "\n".join(part for line in text.splitlines() for part in textwrap.wrap(line, width))
        for text in captions
    ]
    lines = max(text.count("\n") + 1 for text in texts)
    figure, axes = plt.subplots(
        rows, columns, figsize=(columns * size, rows * (size + 0.17 * lines)), squeeze=False
    )
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[], anchor="N")
        axis.spines[:].set_visible(False)
    for axis, image, text in zip(axes.flat, images, texts, strict=False):
        axis.imshow(image)
        axis.set_xlabel(text, fontsize=8, loc="left", linespacing=1.2)
    finish(figure, pad=0.3)


def show_attention(image, words, attention, grid, columns=6, size=1.5):
    """A panel for each word: the picture, dark where the net did not look.

    Args:
        image: uint8 `(height, width, 3)`.
        words: list of str.
        attention: float `(words or more, places)`, each row in all 1.
        grid: `(rows, columns)` of the places.
        columns: panels in a row.
        size: inches of a panel.
    """
    panels = [image, *attention_panels(image, attention[: len(words)], grid)]
    show_pictures(panels, ["", *words], columns, size=size)


def attention_panels(image, attention, grid):
    """The picture once for each row of attention, dark where that is low.

    Each map is stretched so that its highest place is shown as it is: the panels say where, not
    how much.

    Args:
        image, attention, grid: as for `show_attention`.

    Returns:
        A list of uint8 `(height, width, 3)`.
    """
    height, width = image.shape[:2]
    panels = []
    for row in np.asarray(attention, np.float32):
        shares = (row / max(row.max(), 1e-9)).reshape(grid)
        shares = Image.fromarray(shares).resize((width, height), Image.Resampling.BICUBIC)
        light = 0.3 + 0.7 * np.clip(np.asarray(shares), 0, 1)
        panels.append(np.rint(image * light[..., None]).astype(np.uint8))
    return panels


def save_attention_gif(path, image, words, attention, grid, seconds=0.7):
    """The panels of `show_attention` as an animated GIF, each above its word.

    Args:
        path: the file.
        image, words, attention, grid: as for `show_attention`.
        seconds: how long each word stays.
    """
    font = ImageFont.truetype(matplotlib.font_manager.findfont("DejaVu Sans"), 16)
    frames = []
    for panel, word in zip(attention_panels(image, attention, grid), words, strict=False):
        frame = Image.new("RGB", (image.shape[1], image.shape[0] + 26), "white")
        frame.paste(Image.fromarray(panel))
        draw = ImageDraw.Draw(frame)
        draw.text((image.shape[1] / 2, image.shape[0] + 4), word, "black", font, anchor="ma")
        frames.append(frame)
    _write_gif(frames, path, seconds)


def show_attack(images, attacked, titles, attacked_titles, suptitle=None, size=1.5):
    """A line for each attacked picture: as it was, what was added, and the sum.

    What was added is magnified to fill the scale from black to white, grey is none of it; the
    factor stands above it.

    Args:
        images, attacked: float arrays in [-1, 1], `(count, height, width, channels)`; 1 or 3
            channels.
        titles, attacked_titles: one string a picture.
        suptitle: title of the whole figure.
        size: inches of a picture.
    """
    figure, axes = plt.subplots(
        len(images), 3, figsize=(3.6 * size, len(images) * (size + 0.2) + 0.3), squeeze=False
    )
    rows = zip(axes, images, attacked, titles, attacked_titles, strict=True)
    for line, image, made, title, made_title in rows:
        added = np.asarray(made, np.float32) - image
        factor = 1 / max(np.abs(added).max(), 1e-6)
        pictures = image, added * factor, made
        captions = title, f"added, x {factor:.3g}" if added.any() else "added: nothing", made_title
        for axis, picture, caption in zip(line, pictures, captions, strict=True):
            axis.imshow(to_uint8(picture).squeeze(), cmap="gray", vmin=0, vmax=255)
            axis.set_title(caption, fontsize=8)
            axis.axis("off")
    finish(figure, suptitle)


def show_curves(panels, xlabel="epoch", suptitle=None):
    """Curves, one panel beside the other.

    Args:
        panels: dict, title -> (label of the y axis, dict of name -> values). Values are a
            sequence, drawn from x = 1 on, or a pair (x, y) of sequences.
        xlabel: label of all x axes.
        suptitle: title of the whole figure.
    """
    figure, axes = plt.subplots(1, len(panels), figsize=(4.4 * len(panels), 3.0), squeeze=False)
    for axis, (title, (ylabel, curves)) in zip(axes.flat, panels.items(), strict=True):
        for i, (name, values) in enumerate(curves.items()):
            x, y = values if isinstance(values, tuple) else (range(1, len(values) + 1), values)
            axis.plot(x, y, color=COLOURS[i % 6], linestyle=DASHES[i % 6], label=name)
        axis.set(title=title, xlabel=xlabel, ylabel=ylabel)
        axis.grid(alpha=0.3)
        axis.legend(fontsize=8)
    finish(figure, suptitle)


def show_training(paths, count=5):
    """A few of the picture grids that `PictureGrid` has kept, from the first epoch to the last."""
    paths = list(paths)
    chosen = sorted({round(i) for i in np.linspace(0, len(paths) - 1, min(count, len(paths)))})
    figure, axes = plt.subplots(1, len(chosen), figsize=(2.2 * len(chosen), 2.5), squeeze=False)
    for axis, i in zip(axes.flat, chosen, strict=True):
        with Image.open(paths[i]) as image:
            axis.imshow(image)
        axis.set_title(f"epoch {int(paths[i].stem.split('-')[1])}", fontsize=9)
        axis.axis("off")
    finish(figure)


def show_counts(counts, names, title, ylabel="pictures"):
    """A bar for each class."""
    figure, axis = plt.subplots(figsize=(max(4.0, 0.45 * len(names)), 2.4))
    axis.bar(names, counts, color=COLOURS[0])
    axis.set(title=title, xlabel="class", ylabel=ylabel)
    finish(figure)


def finish(figure, suptitle=None, pad=1.08):
    """Lays a figure out, shows it and closes it, so that none stays in memory."""
    if suptitle:
        figure.suptitle(suptitle, fontsize=10)
    figure.tight_layout(pad=pad)
    plt.show()
    plt.close(figure)
