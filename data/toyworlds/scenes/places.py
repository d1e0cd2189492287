"""The places of the scenes: sky, ground and water, in one of three lights."""

import math

import numpy as np

from toyworlds.scenes.sketch import TURNS, shade

HORIZON = 0.46
SNOW, FOAM = (244, 248, 252), (240, 249, 252)
# Of a light: the tint of colours; the sky above, and at the horizon; clouds, and their number.
LIGHTS = {
    "sunny": ((1.02, 1.02, 1.0), (72, 152, 232), (196, 228, 246), (255, 255, 255), 3),
    "cloudy": ((0.88, 0.9, 0.93), (150, 160, 172), (206, 212, 218), (232, 236, 240), 8),
    "sunset": ((1.02, 0.9, 0.82), (112, 84, 150), (255, 176, 92), (250, 170, 150), 3),
}


def backdrop(sketch, place, light, rng, wet=False):
    """Paints sky and ground of a place.

    Args:
        sketch: a `Sketch`, which is painted over.
        place, light: keys of `PLACES` and `LIGHTS`.
        rng: what decides on clouds, hills and tufts.
        wet: on the open water.

    Returns:
        list of (category, (left, top, right, bottom)), in fractions of the picture.
    """
    sky(sketch, light, rng)
    glitter = (255, 222, 150) if light == "sunset" else (190, 226, 240)
    regions = PLACES[place](sketch, rng, wet, glitter)
    return [("sky", (0, 0, 1, HORIZON)), *regions]


def sky(sketch, light, rng):
    _, zenith, low, cloud, count = LIGHTS[light]
    sketch.fade(0, HORIZON + 0.06, zenith, low, tint=False)
    sun = rng.uniform(0.12, 0.88)
    y, radius, glow, disc = {
        "sunny": (0.13, 0.06, (222, 234, 212), (255, 232, 96)),
        "sunset": (HORIZON - 0.09, 0.085, (255, 194, 108), (255, 240, 150)),
    }.get(light, (0, 0, zenith, zenith))
    sketch.area(glow, TURNS * 1.45 * radius + (sun, y), tint=False)
    sketch.area(disc, TURNS * radius + (sun, y), tint=False)
    for i in range(count):
        x, y = (i + rng.uniform(0.1, 0.9)) / count, rng.uniform(0.04, 0.24)
        wide, grey = rng.uniform(0.1, 0.17), rng.uniform(0, 0.25)
        if light == "sunny" and abs(x - sun) < 0.26:  # the sun stays free
            x = sun + (0.3 if x > sun else -0.3)
        tone = tuple(a + (b - a) * grey for a, b in zip(cloud, zenith, strict=True))
        for dx, dy, r in ((-0.55, 0.0, 0.5), (0.1, -0.22, 0.62), (0.6, 0.02, 0.45)):
            middle = (x + dx * wide, y + dy * wide)
            sketch.area(tone, TURNS * (r * wide, 0.6 * r * wide) + middle, tint=False)


def park(sketch, rng, wet, glitter):
    hills(sketch, rng, HORIZON - 0.03, 0.05, (112, 168, 118))
    for x in np.arange(0, 1.05, 0.09):  # bushes
        r, dx = rng.uniform(0.035, 0.06, 2)
        sketch.area((72, 136, 72), TURNS * (1.3 * r, r) + (x + dx - 0.05, HORIZON + 0.02))
    sketch.fade(HORIZON + 0.02, 1, (164, 208, 96), (98, 168, 66))
    tufts(sketch, rng, HORIZON + 0.06)
    sketch.spots((255, 250, 230), rng.uniform((0, 0.6), (1, 1), (9, 2)), 0.006, 0.006)
    return [("grass", (0, HORIZON + 0.02, 1, 1))]


def beach(sketch, rng, wet, glitter):
    shore = 1.0 if wet else rng.uniform(0.6, 0.66)
    sketch.fade(HORIZON, shore, (44, 118, 190), (96, 190, 214))
    sketch.spots(
        glitter, rng.uniform((0, HORIZON + 0.01), (1, shore - 0.02), (14, 2)), 0.03, 0.0035
    )
    if wet:
        for y in (0.6, 0.72, 0.86, 0.97):  # long waves
            line = curve(rng, y, 0.012)
            sketch.area((122, 204, 224), [*line, *(line + (0, 0.025))[::-1]])
            sketch.area(FOAM, [*line, *(line + (0, 0.008))[::-1]])
        return [("water", (0, HORIZON, 1, 1))]
    line = curve(rng, shore, 0.012)
    sketch.area(FOAM, [*(line - (0, 0.03)), (1, 1), (0, 1)])
    sketch.area((214, 184, 130), [*(line - (0, 0.012)), (1, 1), (0, 1)])
    sketch.fade(shore + 0.02, 1, (246, 224, 172), (232, 200, 142))
    sketch.spots((214, 180, 122), rng.uniform((0, shore + 0.05), (1, 1), (16, 2)), 0.02, 0.004)
    return [("water", (0, HORIZON, 1, shore)), ("sand", (0, shore - 0.01, 1, 1))]


def snow(sketch, rng, wet, glitter):
    mountains(sketch, rng, (148, 166, 196))
    hills(sketch, rng, HORIZON, 0.04, (214, 226, 242))
    sketch.fade(HORIZON + 0.08, 1, (246, 250, 255), (222, 234, 248))
    hills(sketch, rng, HORIZON + 0.08, 0.03, (246, 250, 255))
    for x, y in rng.uniform((0, 0.64), (1, 0.97), (4, 2)):
        sketch.area((206, 222, 242), TURNS * (rng.uniform(0.1, 0.2), 0.012) + (x, y))
    return [("snow", (0, HORIZON, 1, 1))]


def street(sketch, rng, wet, glitter):
    sketch.fade(HORIZON, 0.65, (206, 200, 192), (206, 200, 192))
    sketch.fade(0.65, 0.66, (150, 148, 146), (150, 148, 146))
    sketch.fade(0.66, 1, (124, 126, 132), (104, 106, 112))
    dash = np.array([(0, 0.75), (0.12, 0.75), (0.11, 0.768), (-0.01, 0.768)])
    start = rng.uniform(-0.1, 0)
    sketch.area((244, 240, 224), *(dash + (start + 0.24 * i, 0) for i in range(5)))
    return [("street", (0, 0.66, 1, 1))]


def lake(sketch, rng, wet, glitter):
    mountains(sketch, rng, (120, 146, 172))
    forest = curve(rng, HORIZON - 0.05, 0.012)
    forest[1::2, 1] -= 0.03
    sketch.area((58, 112, 84), [*forest, (1, HORIZON + 0.01), (0, HORIZON + 0.01)])
    shore = 1.0 if wet else rng.uniform(0.62, 0.67)
    sketch.fade(HORIZON, shore, (128, 184, 212), (66, 138, 192))
    sketch.area((92, 150, 150), TURNS * (0.7, 0.025) + (0.5, HORIZON))
    sketch.spots(
        glitter, rng.uniform((0, HORIZON + 0.01), (1, shore - 0.02), (14, 2)), 0.03, 0.0035
    )
    if wet:
        sketch.spots((118, 180, 214), rng.uniform((0, 0.55), (1, 1), (18, 2)), 0.05, 0.005)
        return [("water", (0, HORIZON, 1, 1))]
    line = curve(rng, shore, 0.014)
    sketch.area((206, 190, 140), [*(line - (0, 0.02)), (1, 1), (0, 1)])
    sketch.area((150, 196, 88), [*line, (1, 1), (0, 1)])
    sketch.fade(shore + 0.014, 1, (150, 196, 88), (94, 160, 66))
    tufts(sketch, rng, shore + 0.04)
    return [("water", (0, HORIZON, 1, shore)), ("grass", (0, shore - 0.01, 1, 1))]


PLACES = {"park": park, "beach": beach, "snow": snow, "street": street, "lake": lake}


def curve(rng, level, height):
    """A wavy line from left to right, `(24, 2)`."""
    a, b = rng.uniform(0, 2 * math.pi, 2)
    x = np.linspace(0, 1, 24)
    return np.stack([x, level + height * (np.sin(5 * x + a) + 0.5 * np.sin(11 * x + b))], 1)


def hills(sketch, rng, level, height, colour):
    sketch.area(colour, [*curve(rng, level, height), (1, HORIZON + 0.12), (0, HORIZON + 0.12)])


def mountains(sketch, rng, colour):
    """Three peaks with snow on them, their right sides in the shade."""
    low = HORIZON + 0.02
    for i in range(3):
        x, top = (i + rng.uniform(0.2, 0.8)) / 3, rng.uniform(0.2, 0.3)
        wide, tone = rng.uniform(0.24, 0.34), shade(colour, rng.uniform(0.92, 1.06))
        cap = np.array(
            [(-0.35, 0.35), (0, 0), (0.35, 0.35), (0.14, 0.26), (0, 0.39), (-0.15, 0.26)]
        )
        sketch.area(tone, [(x - wide, low), (x, top), (x + wide, low)])
        sketch.area(shade(tone, 0.86), [(x, top), (x + wide, low), (x + 0.1 * wide, low)])
        sketch.area(SNOW, cap * (wide, low - top) + (x, top))


def tufts(sketch, rng, top):
    """Grass that stands out of the meadow below `top`, larger in front."""
    places = rng.uniform((0, top), (1, 1), (26, 1, 2))
    blades = np.array([(-0.4, 0), (-0.5, -1), (0, -0.3), (0.4, -1), (0.4, 0)])
    blades = places + blades * 0.05 * (places[..., 1:] - 0.35)
    sketch.area((78, 144, 53), *blades[:13])
    sketch.area((176, 215, 109), *blades[13:])


def wave(sketch, rng, y):
    """A breaking wave, behind somebody who surfs at the height `y`."""
    x = np.linspace(-0.02, 1.02, 40)
    swell = 0.06 + 0.17 * np.exp(-(((x - rng.uniform(0.2, 0.8)) / 0.32) ** 2))
    foam = 0.022 + 0.01 * np.abs(np.sin(40 * x))
    blues = (84, 172, 212), (44, 124, 186), (56, 140, 198)
    crests = -swell, foam - swell, -0.6 * swell, -0.3 * swell
    for colour, crest in zip((FOAM, *blues), crests, strict=True):
        sketch.area(colour, [*np.stack([x, y + 0.03 + crest], 1), (1.02, 1.02), (-0.02, 1.02)])
    places = rng.uniform((-0.03, y + 0.03), (0.03, y + 0.16), (9, 2))
    sketch.spots(FOAM, places + [(i / 8, 0) for i in range(9)], 0.07, 0.007)


def ripples(sketch, left, right, y):
    """White water around what floats from `left` to `right`."""
    reach = 0.4 * (right - left)
    for grow, dy in ((0.03, 0.004), (0.07, 0.03)):
        for middle, half in ((left, reach), (right, reach)):
            lens = TURNS * ((half + grow) / 2, 0.006)
            shift = (half - grow) / 2 * (1 if middle == left else -1)
            sketch.area(FOAM, lens + (middle + shift, y + dy))
