"""One diagram for each recipe: what goes through which network, and what the losses compare.

They have a transparent background and colours that read on white and on black alike, and are
6 inches wide, so that a phone still shows their letters. Shapes are read off the networks.
"""

import keras
from matplotlib import patches
from matplotlib.figure import Figure

from recipes.plotting.figures import GREY, finish

WIDTH = 6  # inches; one unit of x and y is one inch
DATA, GENERATOR, DISCRIMINATOR, LOSS, FROZEN = "#5b6570", "#0072b2", "#bf4f00", "#00795a", "#7d55a0"
ATTENTION = DISCRIMINATOR
PADDINGS = ("ZeroPadding2D", "ReflectionPadding2D")
NO_MAPS = ("UpSampling2D", "BilinearUpsampling2D", "Concatenate", *PADDINGS)  # only pass on


def canvas(height):
    """An axis of `WIDTH` x `height` inches without a frame."""
    figure = Figure((WIDTH, height), dpi=150, facecolor="none")
    axis = figure.add_axes((0, 0, 1, 1), xlim=(0, WIDTH), ylim=(0, height), aspect="equal")
    axis.axis("off")
    return axis


def write(axis, x, y, text, colour=GREY, size=11, **options):
    """Text around (x, y)."""
    axis.text(x, y, text, color=colour, size=size, **{"ha": "center", "va": "center"} | options)


def title(axis, x, y, text):
    """Bold text that starts at (x, y)."""
    write(axis, x, y, text, ha="left", weight="bold")


def box(axis, x, y, text, colour=DATA, width=None):
    """A filled box around (x, y), by default as wide as its text; returns it, for arrows."""
    lines = text.split("\n")
    width, height = width or 0.25 + 0.092 * max(map(len, lines)), 0.18 + 0.165 * len(lines)
    corner = x - width / 2, y - height / 2
    shape = patches.FancyBboxPatch(
        corner, width, height, "round,pad=0,rounding_size=.07", fc=colour
    )
    axis.add_patch(shape).set(linewidth=0)
    write(axis, x, y, text, "white")
    return shape


def arrow(axis, start, end, text="", at=(0, 0.12), curve=0.0, style="-|>", dashed=False):
    """An arrow between two boxes or points, with its text at `at` from the middle."""
    boxes = [None if isinstance(place, tuple) else place for place in (start, end)]
    a, b = (
        place if isinstance(place, tuple) else place.get_bbox().extents.reshape(2, 2).mean(0)
        for place in (start, end)
    )
    line = patches.FancyArrowPatch(
        a, b, patchA=boxes[0], patchB=boxes[1], shrinkA=2, shrinkB=2, arrowstyle=style, color=GREY,
        connectionstyle=f"arc3,rad={curve}", linestyle="--" if dashed else "-",
        mutation_scale=11, lw=1.4, zorder=0,
    )  # fmt: skip
    axis.add_patch(line)
    # The middle of an arc lies half of its `rad` away from that of the chord.
    x = (a[0] + b[0]) / 2 + curve * (b[1] - a[1]) / 2 + at[0]
    y = (a[1] + b[1]) / 2 - curve * (b[0] - a[0]) / 2 + at[1]
    write(axis, x, y, text, size=10)


def chain(axis, *boxes):
    """Arrows from each box to the next."""
    for start, end in zip(boxes, boxes[1:], strict=False):
        arrow(axis, start, end)


def map_shapes(model, image_size=None):
    """`(height, width, channels)` of a network's feature maps, in its order.

    Args:
        model: a `keras.Model` of images or to images.
        image_size: side of its input images, where the model leaves that open.
    """
    kept = [layer for layer in model.layers if type(layer).__name__ not in NO_MAPS]
    maps = keras.Model(model.inputs, [layer.output for layer in kept])
    inputs = [tuple(n or image_size for n in (1, *x.shape[1:])) for x in model.inputs]
    shapes = []
    for shape in maps.compute_output_shape(inputs if len(inputs) > 1 else inputs[0]):
        if len(shape) == 4 and shape[1:] not in shapes[-1:]:
            shapes.append(shape[1:])
    return shapes


def receptive_field(model):
    """Side of the square of input pixels that one output sees, in a network that convolves and
    pools, without branches."""
    side = 1
    for layer in reversed(model.layers):
        kernel = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
        if kernel:
            dilation = getattr(layer, "dilation_rate", (1,))[0]
            side = (side - 1) * layer.strides[0] + dilation * (kernel[0] - 1) + 1
    return side


def feature_maps(axis, left, right, y, shapes, colour):
    """Feature maps as stacks of sheets, with arrows between: the larger a map, the higher; the
    more channels, the more sheets. Returns the front sheets."""
    step = (right - left) / len(shapes)
    largest, most = min(0.6, 0.65 * step), max(shape[0] for shape in shapes).bit_length()
    fronts = []
    for i, (height, width, channels) in enumerate(shapes):
        x, side = left + (i + 0.5) * step, largest * height.bit_length() / most
        for depth in reversed(range(min((channels.bit_length() + 1) // 2, 5))):
            corner = (x - side / 2 + 0.05 * depth, y - side / 2 + 0.05 * depth)
            front = patches.Rectangle(corner, side, side, fc=colour, ec="white", lw=0.7)
            axis.add_patch(front)
        fronts.append(front)
        write(axis, x, y - side / 2 - 0.22, f"{height}×{width}\n×{channels}", size=9.5)
    chain(axis, *fronts)
    return fronts


def dcgan(generator, discriminator):
    """Noise becomes an image, and a second network tells it from a real one."""
    axis = canvas(4.7)
    title(axis, 0.1, 4.5, "Generator G: noise to image")
    noise = box(axis, 0.55, 3.75, f"noise z\n{generator.input_shape[1]}")
    fronts = feature_maps(axis, 1.1, 6, 3.75, map_shapes(generator), GENERATOR)
    arrow(axis, noise, fronts[0])

    title(axis, 0.1, 2.75, "Discriminator D: real or fake?")
    fronts = feature_maps(axis, 1.2, 4.4, 1.85, map_shapes(discriminator), DISCRIMINATOR)
    logit = box(axis, 5.2, 1.85, "logit\n> 0: real", DISCRIMINATOR)
    arrow(axis, box(axis, 0.55, 2.2, "real\nimage x"), fronts[0])
    arrow(axis, box(axis, 0.55, 1.5, "fake\nG(z)", GENERATOR), fronts[0])
    arrow(axis, fronts[-1], logit)

    d = box(axis, 1.6, 0.4, "D minimizes BCE(D(x), 1)\n+ BCE(D(G(z)), 0)", LOSS)
    g = box(axis, 4.6, 0.4, "G minimizes\nBCE(D(G(z)), 1)", LOSS)
    arrow(axis, logit, d, curve=-0.2)
    arrow(axis, logit, g)
    return finish(axis.figure)


def ssgan(classifier):
    """One body with two heads: a classifier of labelled images that also tells real from fake."""
    axis = canvas(4.1)
    title(axis, 1.7, 3.85, "one body, shared weights")
    fronts = feature_maps(axis, 1.5, 4.3, 2.4, map_shapes(classifier)[1:], DISCRIMINATOR)
    arrow(axis, box(axis, 0.7, 3.2, "labelled\nimages"), fronts[0])
    arrow(axis, box(axis, 0.7, 2.4, "unlabelled\nimages"), fronts[0])
    arrow(axis, box(axis, 0.7, 1.6, "generated\nG(z)", GENERATOR), fronts[0])
    classes = classifier.output_shape[-1]
    logits = f"{classes} logits\n$l_1 … l_{{{classes}}}$"
    logits = box(axis, 5.2, 2.4, logits, DISCRIMINATOR, 1.2)
    softmax = box(axis, 5.2, 3.4, "softmax:\nwhich class?", LOSS)
    real = r"sigmoid(log $\Sigma_k$ exp $l_k$):" + "\nreal or fake?"
    real = box(axis, 4.7, 1.2, real, LOSS, 2.4)
    arrow(axis, fronts[-1], logits)
    arrow(axis, logits, softmax)
    arrow(axis, logits, real)
    write(axis, 3.4, 3.4, "head 1, from the labels")
    write(axis, 4.7, 0.7, "head 2, from all images")
    write(axis, 3, 0.25, "The generator learns through head 2: it wants “real” for its images.")
    return finish(axis.figure)


def pix2pix(generator, discriminator, image_size=256):
    """A U-Net with its skips translates; a PatchGAN looks at every patch of input and output."""
    shapes = map_shapes(generator, image_size)
    depth = min(range(len(shapes)), key=lambda i: shapes[i][0])
    axis = canvas(0.5 * (depth + 1) + 3.1)
    top = 0.5 * (depth + 1) + 2.45
    title(axis, 0.3, top + 0.45, "Generator: a U-Net with skips")
    left, right = [], []
    for i in range(depth):
        same_side = next(shape for shape in reversed(shapes) if shape[0] == shapes[i][0])
        here, there = ("×".join(map(str, shape)) for shape in (shapes[i], same_side))
        x, y = 0.95 + 0.16 * i, top - 0.5 * i
        left.append(box(axis, x, y, here, GENERATOR if i else DATA, 1.3))
        right.append(box(axis, 6 - x, y, there, GENERATOR, 1.3))
        if i or shapes[-2][0] == shapes[0][0]:  # the input may be joined to the last map
            arrow(axis, left[i], right[i], "skip" if i == 1 else "", dashed=True)
    middle = box(axis, 3, top - 0.5 * depth, "×".join(map(str, shapes[depth])), GENERATOR, 1.3)
    write(axis, 3, top + 0.14, "input → output")
    chain(axis, *left, middle, *reversed(right))

    title(axis, 0.3, 2.2, "Discriminator: a PatchGAN")
    shapes = map_shapes(discriminator, image_size)[1:]
    fronts = feature_maps(axis, 1.3, 4.9, 1.4, shapes, DISCRIMINATOR)
    arrow(axis, box(axis, 0.65, 1.4, "input and\ntarget\nor output"), fronts[0])
    arrow(axis, fronts[-1], box(axis, 5.4, 1.4, "real or\nfake?", LOSS))
    (rows, columns, _), side = shapes[-1], receptive_field(discriminator)
    text = f"Each of the {rows}×{columns} logits sees a patch of {side}×{side} pixels."
    write(axis, 3, 0.25, text)
    return finish(axis.figure)


def cyclegan():
    """Two generators, there and back again, and two discriminators."""
    axis = canvas(5.7)
    cycles = {
        4.4: ("x", "G", "fake_y", "F", "cycled_x", "$D_Y$: a real y?"),
        2.1: ("y", "F", "fake_x", "G", "cycled_y", "$D_X$: a real x?"),
    }
    for y, (start, there, fake, back, end, judge) in cycles.items():
        title(axis, 0.1, y + 1.0, f"{start} → {fake[-1]} → {start}")
        boxes = [
            box(axis, 0.5, y, start, width=0.8),
            box(axis, 1.7, y, there, GENERATOR, 0.6),
            box(axis, 2.95, y, fake),
            box(axis, 4.2, y, back, GENERATOR, 0.6),
            box(axis, 5.45, y, end),
        ]
        chain(axis, *boxes)
        arrow(axis, boxes[2], box(axis, 2.95, y - 0.8, judge, DISCRIMINATOR, 1.6))
        text = f"cycle loss |{start} − {end}|"
        arrow(axis, boxes[0], boxes[4], text, (0.6, 0.13), -0.22, "<|-|>", dashed=True)
    title(axis, 0.1, 0.8, "identity")
    same = box(axis, 2.95, 0.3, "same_y")
    chain(axis, box(axis, 0.5, 0.3, "y", width=0.8), box(axis, 1.7, 0.3, "G", GENERATOR, 0.6), same)
    write(axis, 4.8, 0.3, "loss |y − same_y|,\nand the same for x and F")
    return finish(axis.figure)


def fgsm():
    """One gradient with respect to the image, and one step along its sign."""
    axis = canvas(3.4)
    title(axis, 0.1, 3.2, "1. The gradient of the loss with respect to the image")
    image, loss = box(axis, 0.65, 2.5, "image x"), box(axis, 5.0, 2.5, "loss J(x, label)", LOSS)
    chain(axis, image, box(axis, 2.7, 2.5, "classifier", FROZEN), loss)
    arrow(axis, loss, image, r"gradient $\nabla_x J$", (0, -0.17), -0.25, dashed=True)
    title(axis, 0.1, 1.3, "2. A step of epsilon along its sign")
    box(axis, 0.5, 0.6, "x", width=0.6)
    write(axis, 1.0, 0.6, "+", size=15)
    step = box(axis, 2.0, 0.6, r"$\epsilon$ · sign($\nabla_x J$)", LOSS, 1.6)
    made = box(axis, 3.7, 0.6, "adversarial\nimage")
    chain(axis, step, made, box(axis, 5.3, 0.6, "classifier:\nother label", FROZEN))
    return finish(axis.figure)


def merge(model):
    """Image and words meet after the LSTM, which sees words only."""
    axis = canvas(3.3)
    width = model.lstm.units
    image, network = box(axis, 0.6, 2.8, "image"), box(axis, 2.0, 2.8, "frozen\nCNN", FROZEN)
    features = box(axis, 3.5, 2.8, f"features\n{model.feature_shape[-1]}")
    dense = box(axis, 5.1, 2.8, f"Dense\n{width}", GENERATOR)
    words = box(axis, 0.6, 1.65, "words\nso far")
    embedding = box(axis, 2.0, 1.65, f"Embedding\n{model.embed.output_dim}", GENERATOR)
    lstm = box(axis, 3.5, 1.65, f"LSTM\n{width}", GENERATOR)
    plus = box(axis, 5.1, 1.65, "+", LOSS, 0.5)
    hidden = box(axis, 5.1, 0.5, f"Dense\n{width}", GENERATOR)
    logits = box(axis, 3.4, 0.5, f"softmax over\n{model.vocabulary_size:,} words", GENERATOR)
    word = box(axis, 1.3, 0.5, "next word", LOSS)
    chain(axis, image, network, features, dense, plus, hidden, logits, word)
    chain(axis, words, embedding, lstm)
    arrow(axis, lstm, plus, "merge")
    arrow(axis, word, words, "appended", (-0.5, 0), dashed=True)
    return finish(axis.figure)


def attention(places=49):
    """One step of Bahdanau attention: where to look for the next word."""
    axis = canvas(4.9)
    x = box(axis, 1.1, 4.4, f"image: {places} places\n$x_1 … x_{{{places}}}$")
    h = box(axis, 4.9, 4.4, "decoder's state\n$h_{t-1}$", GENERATOR)
    score = box(axis, 3, 3.35, r"$e_i = V\,\tanh(W_1 x_i + W_2 h_{t-1})$", ATTENTION, 3.3)
    weights = box(axis, 3, 2.5, r"softmax: weights $\alpha_i$, sum 1", ATTENTION, 2.6)
    context = box(axis, 1.9, 1.6, r"context $\Sigma_i \alpha_i x_i$", ATTENTION, 1.7)
    word = box(axis, 0.8, 0.5, "last word\nembedded")
    gru = box(axis, 2.9, 0.5, "GRU", GENERATOR, 0.9)
    state = box(axis, 4.6, 1.6, "new state $h_t$", GENERATOR, 1.4)
    chain(axis, x, score, weights, context, gru, state)
    chain(axis, word, gru, box(axis, 5.0, 0.5, "softmax:\nnext word", LOSS))
    arrow(axis, h, score)
    arrow(axis, x, context, curve=0.35)
    arrow(axis, state, h, "next step", (0.45, 0), dashed=True)
    return finish(axis.figure)


def transformer():
    """A block of a transformer's decoder, with the norm before each part."""
    axis = canvas(5.7)
    parts = {
        "masked attention\nto earlier words": ATTENTION,
        "attention\nto the image": ATTENTION,
        "two Dense layers": GENERATOR,
    }
    before, layers = box(axis, 2, 0.35, "words + positions"), []
    for i, (part, colour) in enumerate(parts.items()):
        y = 1.3 + 1.3 * i
        layers.append(box(axis, 2, y, part, colour, 2.0))
        plus = box(axis, 2, y + 0.6, "+", LOSS, 0.4)
        arrow(axis, before, layers[-1], "norm", (-0.35, -0.08))
        arrow(axis, layers[-1], plus)
        axis.plot((2, 3.4, 3.4), (y - 0.55, y - 0.55, y + 0.6), "--", color=GREY, lw=1.4, zorder=0)
        arrow(axis, (3.4, y + 0.6), plus, dashed=True)  # the residual connection
        before = plus
    arrow(axis, before, box(axis, 2, 5.4, "softmax: next word", LOSS))
    arrow(axis, box(axis, 5.0, 2.6, "image:\nkeys and values"), layers[1])
    write(axis, 4.6, 4.0, "one block,\nrepeated")
    return finish(axis.figure)
