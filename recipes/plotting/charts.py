"""Figures of numbers: curves, spectra, bars."""

import numpy as np
from matplotlib.figure import Figure

from recipes.plotting.figures import COLOURS, DASHES, GREY, WIDTH, finish, styled


@styled
def show_curves(panels, xlabel="epoch", title=None, references=None):
    """Curves, one panel beside the other.

    Args:
        panels: dict, title -> (label of the y axis, dict of name -> values). Values are a
            sequence, drawn from x = 1 on, or a pair (x, y) of sequences.
        xlabel: label of all x axes.
        title: of the whole figure.
        references: dict, title of a panel -> dict of name -> y, drawn as thin horizontal lines:
            what a balanced GAN or chance would give.
    """
    for panel, content in panels.items():
        pair = isinstance(content, tuple | list) and len(content) == 2
        if not (pair and isinstance(content[1], dict)):
            raise ValueError(
                f"panels: {panel!r} needs a pair (label of the y axis, dict of name -> values)"
            )
    if not panels or set(references or ()) - set(panels):
        raise ValueError(f"panels: {list(panels)}, with references for {list(references or ())}")
    figure = Figure((WIDTH if len(panels) > 1 else 0.7 * WIDTH, 3.3), layout="constrained")
    axes = figure.subplots(1, len(panels), squeeze=False)
    for axis, (panel, (ylabel, curves)) in zip(axes.flat, panels.items(), strict=True):
        for i, (name, values) in enumerate(curves.items()):
            pair = isinstance(values, tuple | list) and len(values) == 2 and np.ndim(values[0])
            x, y = values if pair else (range(1, len(values) + 1), values)
            axis.plot(x, y, color=COLOURS[i % 6], linestyle=DASHES[i % 6], label=name)
        for name, y in (references or {}).get(panel, {}).items():
            axis.axhline(y, color=GREY, linewidth=0.8)
            axis.annotate(
                name, (1, y), (-2, 2), axis.get_yaxis_transform(), "offset points",
                fontsize=8, ha="right",
            )  # fmt: skip
        axis.set(title=panel, xlabel=xlabel, ylabel=ylabel)
        axis.xaxis.get_major_locator().set_params(integer=xlabel == "epoch", nbins=6)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.grid()
        # Below, where it hides no curve.
        axis.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, columnspacing=1)
    return finish(figure, title)


@styled
def show_spectrum(images, real):
    """How strong each period of pixels is, relative to real images; 1 is clean.

    An upsampling that repeats itself every 2, 4 or 8 pixels leaves peaks at these periods: a grid
    or a chequerboard over the image.

    Args:
        images: dict, name -> float array, `(count, height, width, channels)`.
        real: float array of that shape.
    """
    for name, some in images.items():
        if np.ndim(some) != 4 or np.shape(some)[1:] != np.shape(real)[1:]:
            raise ValueError(f"{name}: shape {np.shape(some)}, but real has {np.shape(real)}")
    figure = Figure((WIDTH, 2.9), layout="constrained")
    axis = figure.subplots()
    expected = axis_power(real)
    x = np.arange(1, len(expected) + 1) / (2 * len(expected))  # cycles per pixel
    for i, (name, some) in enumerate(images.items()):
        y = axis_power(some) / expected
        axis.plot(x, y, color=COLOURS[i % 6], linestyle=DASHES[i % 6], label=name)
    axis.axhline(1, color=GREY, linewidth=0.8)
    periods = [8, 4, 2]
    axis.set_xticks([1 / n for n in periods], [f"{n} pixels" for n in periods])
    axis.set(xlabel="period", ylabel="power / that of real images")
    axis.set_yscale("log", base=2)
    axis.yaxis.set_major_formatter("{x:g}")
    axis.grid()
    axis.legend()
    return finish(figure)


def axis_power(images):
    """Mean power of horizontal and vertical waves: `(min(height, width) // 2,)`, the longest
    period first, the last of 2 pixels."""
    grey = np.asarray(images, np.float64).mean(-1)
    side = min(grey.shape[1:])
    grey = grey[:, :side, :side]
    grey = grey - grey.mean((1, 2), keepdims=True)
    powers = [(np.abs(np.fft.rfft(grey, axis=axis)) ** 2).mean((0, 3 - axis)) for axis in (1, 2)]
    return np.mean(powers, axis=0)[1:]


@styled
def show_counts(counts, names, title, ylabel="images", reference=None):
    """A bar for each class.

    Args:
        counts, names: one number and one string a class.
        reference: a number to hold the bars against, drawn as a line; None for none.
    """
    if not 0 < len(counts) == len(names):
        raise ValueError(
            f"counts: {len(counts)} for {len(names)} names; np.bincount has a minlength"
        )
    figure = Figure((min(max(4.0, 0.45 * len(names)), WIDTH), 2.4), layout="constrained")
    axis = figure.subplots()
    axis.bar(range(len(names)), counts, color=COLOURS[0])
    axis.set_xticks(range(len(names)), names)
    if reference is not None:
        axis.axhline(reference, color=GREY, linewidth=0.8)
    axis.set(title=title, xlabel="class", ylabel=ylabel)
    return finish(figure)
