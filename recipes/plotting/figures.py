"""How all figures look, and how a notebook shows them."""

import io

import matplotlib
from matplotlib.figure import Figure

from recipes.arguments import check_count
from recipes.plotting import display

WIDTH = 6.4  # inches of a figure
GREY = "#777e87"
# Okabe and Ito's colours, told apart by colour-blind readers too; the dashes serve in grey print.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)))
INKS = ("text.color", "axes.labelcolor", "axes.edgecolor", "xtick.color", "ytick.color")
STYLE = {
    **dict.fromkeys(INKS, GREY),
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "legend.framealpha": 0,
    "grid.alpha": 0.3,
    "font.size": 10,
    "text.parse_math": False,  # a caption may hold two "$"
    "axes.titlesize": 10,
    "legend.fontsize": 9,
}
styled = matplotlib.rc_context(STYLE)  # as a decorator: while the function runs


def finish(figure, title=None):
    """Titles a figure, shows it in a notebook, and returns it."""
    if title:
        figure.suptitle(title, fontsize=11)
    figure.draw_without_rendering()  # makes the ticks, which take their colour from the style
    if display.in_notebook():
        buffer = io.BytesIO()
        figure.savefig(buffer, dpi=150)
        display.display_png(buffer.getvalue())
        # It has been shown. Else a notebook would show it again, as the value of the last line.
        figure._ipython_display_ = lambda: None
    return figure


def image_grid(images, columns, extra=0.0, largest=2.2, titles=None):
    """Images in a grid, without frames or ticks.

    Args:
        images: float in [-1, 1], or uint8, `(height, width, channels)` each; 1 or 3 channels.
        columns: images in a row, at most.
        extra: inches above or below each image, for text.
        largest: inches of an image's width, at most.
        titles: one string an image; None for none.

    Returns:
        `(figure, axes)`, the axes flat and as many as there are images.

    Raises:
        ValueError: no images, one that is no image, or another number of titles.
    """
    display.check_shown(images)
    check_count("columns", columns)
    if titles is not None and len(titles) != len(images):
        raise ValueError(f"titles: {len(titles)} for {len(images)} images")
    count, columns = len(images), min(columns, len(images))
    rows, size = -(-count // columns), min(WIDTH / columns, largest)
    ratio = max(image.shape[0] / image.shape[1] for image in images)
    figure = Figure((columns * size, rows * (size * ratio + extra)), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for axis in axes[count:]:
        axis.remove()
    for axis, image in zip(axes, images, strict=False):
        image = display.to_uint8(image)
        axis.imshow(image[..., 0] if image.shape[-1] == 1 else image, cmap="gray", vmin=0, vmax=255)
        axis.set(xticks=[], yticks=[], anchor="N")
        axis.spines[:].set_visible(False)
    axes = axes[:count]
    if titles is not None:
        for axis, text in zip(axes, titles, strict=True):
            axis.set_title(text, fontsize=9, pad=2)
    return figure, axes
