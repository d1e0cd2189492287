"""Outlines with colours, and the sketch on which they are painted.

A figure is made of parts in its own coordinates: x to the right, where it faces, y up from the
ground, and a grown-up is 1 high. A part is a polygon, or a line with round ends. `Sketch` paints
each with a dark outline, a shaded and a sunny side.
"""

import math
from functools import lru_cache
from itertools import accumulate, groupby
from typing import NamedTuple

import cv2
import numpy as np

TURNS = np.array([(math.cos(t), math.sin(t)) for t in np.linspace(0, 2 * math.pi, 19)])


class Part(NamedTuple):
    """Some points `(n, 2)`: a polygon where `width` is 0, else a line of this width."""

    points: np.ndarray
    width: float
    colour: tuple
    flat: bool = False  # without outline and shade


def line(width, colour, *points, flat=False):
    return Part(np.array(points, np.float64), width, colour, flat)


def fill(colour, *points, flat=False):
    return Part(np.array(points, np.float64), 0, colour, flat)


def disc(colour, x, y, radius, high=None, flat=False):
    """A circle, or with `high` an ellipse."""
    return Part(TURNS[1:] * (radius, high or radius) + (x, y), 0, colour, flat)


def shade(colour, factor):
    return tuple(min(255, factor * c) for c in colour)


def step(start, angle, length):
    """The point at `length` from `start`; angles in degrees, 0 is down and 90 forwards."""
    turn = math.radians(angle)
    return start[0] + length * math.sin(turn), start[1] - length * math.cos(turn)


def moved(parts, x=0.0, y=0.0, size=1.0, turn=0.0, flip=False):
    """The parts turned about (0, 0) by degrees to the left, then scaled, mirrored and moved."""
    c, s = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    matrix = np.array([(c, s), (-s, c)]) * (-size if flip else size, size)
    return [Part(p.points @ matrix + (x, y), p.width * size, p.colour, p.flat) for p in parts]


def bounds(parts):
    """Left, bottom, right and top of the parts, the flat ones aside."""
    parts = [part for part in parts if not part.flat]
    points = np.concatenate([part.points for part in parts])
    reach = np.repeat([part.width / 2 for part in parts], [len(part.points) for part in parts])
    return (
        *(points - reach[:, None]).min(0).tolist(),
        *(points + reach[:, None]).max(0).tolist(),
    )


@lru_cache(4096)
def lit(colour, tint, factor=1.0):
    return tuple(min(255, c * t * factor) for c, t in zip(colour, tint, strict=True))


class Sketch:
    """A picture, uint8 `(pixels, pixels, 3)`, to paint on. `tint` of the light multiplies colours.

    Places are fractions of the picture, y downwards.
    """

    def __init__(self, pixels, tint):
        self.image = np.zeros((pixels, pixels, 3), np.uint8)
        self.pixels, self.tint = pixels, tint
        self.edge = 2 * max(1, round(0.0055 * pixels))

    def paint(self, parts, x, y, unit):
        """Paints a figure whose origin lies at (x, y); `unit` is the length of its 1."""
        n = self.pixels
        sizes = [len(part.points) for part in parts]
        widths = [max(1, round(part.width * unit * n)) if part.width else 0 for part in parts]
        points = np.concatenate([part.points for part in parts]) * (unit, -unit) + (x, y)
        points *= 16 * n  # OpenCV's `shift=4`
        shapes = _whole(points, sizes)
        sunny = _whole(_sunny_side(points, sizes, widths), sizes)
        rows = zip(parts, shapes, sunny, widths, strict=True)
        # Neighbours of one colour get one outline around all of them.
        for (colour, flat), run in groupby(rows, key=lambda row: (row[0].colour, row[0].flat)):
            _, shapes, sunny, widths = zip(*run, strict=True)
            if flat:
                self._strokes(shapes, widths, lit(colour, self.tint))
                continue
            rim = lit(colour, self.tint, 0.42)
            for shape, width in zip(shapes, widths, strict=True):
                edge = width + self.edge
                cv2.polylines(self.image, [shape], not width, rim, edge, cv2.LINE_AA, 4)
            self._strokes(shapes, widths, lit(colour, self.tint, 0.82))
            widths = [max(1, round(0.62 * width)) if width else 0 for width in widths]
            self._strokes(sunny, widths, lit(colour, self.tint, 1.06))

    def _strokes(self, shapes, widths, colour):
        for shape, width in zip(shapes, widths, strict=True):
            if width:
                cv2.polylines(self.image, [shape], False, colour, width, cv2.LINE_AA, 4)
            else:
                cv2.fillPoly(self.image, [shape], colour, cv2.LINE_AA, 4)

    def area(self, colour, *shapes, tint=True):
        """Fills polygons `(corners, 2)` that do not overlap."""
        shapes = [np.rint(np.asarray(s) * (16 * self.pixels)).astype(np.int32) for s in shapes]
        colour = lit(colour, self.tint) if tint else colour
        cv2.fillPoly(self.image, shapes, colour, cv2.LINE_AA, 4)

    def spots(self, colour, places, radius, high, tint=True):
        """Fills small ellipses at `places`, `(count, 2)`."""
        places = np.asarray(places)[:, None]
        self.area(colour, *(TURNS[::2] * (radius, high) + places), tint=tint)

    def fade(self, top, low, first, last, tint=True):
        """Fills the rows from `top` to `low`, from one colour to another."""
        rows = self.image[round(top * self.pixels) : round(low * self.pixels)]
        first, last = (np.array(lit(c, self.tint) if tint else c) for c in (first, last))
        share = np.linspace(0, 1, len(rows))[:, None]
        column = (first + (last - first) * share).astype(np.uint8)[:, None]
        cv2.resize(column, rows.shape[1::-1], dst=rows, interpolation=cv2.INTER_NEAREST)

    def shadow(self, x, y, wide):
        """Darkens the ground at (x, y)."""
        row = np.sort(self.image[min(int((y + 0.02) * self.pixels), self.pixels - 1), ::16], 0)
        tone = tuple(0.74 * int(c) for c in row[len(row) // 2])  # of what most of the ground has
        self.area(tone, TURNS * (wide / 2, 0.02) + (x + 0.02, y), tint=False)


def _whole(points, sizes):
    """Points as whole numbers, in shapes of these sizes."""
    points, ends = np.rint(points).astype(np.int32), accumulate(sizes)
    return [points[end - size : end] for size, end in zip(sizes, ends, strict=True)]


def _sunny_side(points, sizes, widths):
    """The parts of shapes that the light falls on, which comes from the left above."""
    starts = np.cumsum([0, *sizes[:-1]])
    middle = np.add.reduceat(points, starts) / np.array(sizes)[:, None]
    spread = np.maximum.reduceat(points, starts) - np.minimum.reduceat(points, starts)
    lines = np.array(widths)[:, None]
    # Of a line, which becomes thinner, the middle; of a polygon, which shrinks, the outline.
    shrink = np.where(lines, 1, 0.8)
    shift = np.where(lines, 2 * lines, 0.1 * spread.min(1, keepdims=True))
    return points * np.repeat(shrink, sizes, 0) + np.repeat(middle * (1 - shrink) - shift, sizes, 0)
