"""Vehicles and things of the scenes, made of the parts that `sketch` paints, on y = 0."""

from toyworlds.scenes.figures import CLOTH, COLOURS, DARK, GLASS, WOOD
from toyworlds.scenes.sketch import TURNS, Part, disc, fill, line, moved, shade, step

LAMP, BRAKE, CHROME, SNOW = (255, 244, 190), (150, 24, 24), (200, 204, 208), (244, 248, 252)
LEAVES, SUNNY_LEAVES, NEEDLES, FRONDS = (66, 148, 60), (94, 174, 78), (40, 104, 78), (58, 150, 70)
BARK, PALM, DOOR = (124, 86, 58), (168, 124, 80), (122, 78, 56)
WALLS = ((238, 214, 172), (226, 170, 140), (196, 208, 216), (240, 232, 214), (214, 186, 150))
ROOFS = ((176, 84, 64), (110, 92, 96), (140, 76, 70))


def box(colour, x0, y0, x1, y1, flat=True):
    return fill(colour, (x0, y0), (x0, y1), (x1, y1), (x1, y0), flat=flat)


def wheels(radius, *places):
    tyres = [disc(DARK, x, radius, radius) for x in places]
    return [*tyres, *(disc(CHROME, x, radius, 0.45 * radius, flat=True) for x in places)]


def bicycle(colour):
    frame, rear, front = COLOURS[colour], (-0.27, 0.19), (0.27, 0.19)
    pedals, saddle, fork, grip = (-0.04, 0.2), (-0.11, 0.46), (0.19, 0.42), (0.2, 0.5)
    return [
        *(Part(TURNS * 0.18 + hub, 0.035, DARK) for hub in (rear, front)),
        *(disc(CHROME, *hub, 0.04) for hub in (rear, front)),
        line(0.035, frame, rear, pedals, saddle, rear),
        line(0.035, frame, saddle, fork, pedals),
        line(0.035, frame, front, grip),
        line(0.045, DARK, (-0.17, 0.49), (-0.05, 0.49)),
        line(0.04, DARK, grip, (0.14, 0.55)),
    ]


def car(colour):
    paint = COLOURS[colour]
    body = (-0.62, 0.12), (-0.64, 0.27), (-0.56, 0.33), (0.42, 0.33), (0.62, 0.27), (0.66, 0.12)
    return [
        fill(paint, (-0.42, 0.3), (-0.28, 0.52), (0.16, 0.52), (0.34, 0.3)),
        fill(paint, *body),
        fill(GLASS, (-0.34, 0.32), (-0.24, 0.48), (-0.08, 0.48), (-0.08, 0.32), flat=True),
        fill(GLASS, (-0.03, 0.32), (-0.03, 0.48), (0.13, 0.48), (0.26, 0.32), flat=True),
        disc(LAMP, 0.61, 0.23, 0.035, flat=True),
        disc(BRAKE, -0.61, 0.24, 0.03, flat=True),
        *wheels(0.12, -0.36, 0.38),
    ]


def bus(colour):
    left = (-0.8, 0.12), (-0.82, 0.7), (-0.76, 0.78)
    right = (0.72, 0.78), (0.8, 0.7), (0.84, 0.36), (0.84, 0.12)
    return [
        fill(COLOURS[colour], *left, *right),
        *(box(GLASS, x, 0.4, x + 0.22, 0.66) for x in (-0.74, -0.46, -0.18, 0.1)),
        fill(GLASS, (0.56, 0.4), (0.56, 0.66), (0.77, 0.66), (0.81, 0.4), flat=True),
        box(shade(GLASS, 0.8), 0.37, 0.14, 0.5, 0.66),
        line(0.05, CLOTH, (-0.78, 0.28), (0.32, 0.28), flat=True),
        disc(LAMP, 0.79, 0.24, 0.04, flat=True),
        *wheels(0.13, -0.5, 0.54),
    ]


def sailboat(colour):
    return [
        line(0.03, WOOD, (0.02, 0.1), (0.02, 1.08)),
        fill(CLOTH, (-0.02, 0.26), (-0.02, 1.02), (-0.42, 0.26)),
        fill(CLOTH, (0.06, 0.26), (0.06, 0.94), (0.44, 0.28)),
        fill(COLOURS[colour], (-0.5, 0.16), (-0.36, -0.06), (0.36, -0.06), (0.56, 0.2)),
    ]


def rowing_boat(colour, hand):
    """With the paddle, which somebody holds."""
    x, y = hand
    hull = (-0.52, 0.2), (-0.36, -0.06), (0.4, -0.06), (0.6, 0.22), (0.2, 0.16), (-0.2, 0.15)
    return [line(0.03, WOOD, (x - 0.1, y + 0.1), (x + 0.3, -0.12)), fill(COLOURS[colour], *hull)]


def ball(colour, x, y, radius=0.1):
    stripe = DARK if colour == "white" else CLOTH
    band = moved([line(0.3, stripe, (-0.6, -0.3), (0, 0.1), (0.5, 0.6), flat=True)], x, y, radius)
    return [disc(COLOURS[colour], x, y, radius), *band]


def frisbee(colour, x, y):
    return moved([disc(COLOURS[colour], 0, 0, 0.13, 0.05)], x, y, turn=12)


def kite(colour, hand, x, y):
    """A kite at (x, y), on a string from the hand."""
    paint = COLOURS[colour]
    top, right, low, left = (0, 0.24), (0.17, 0.03), (0, -0.24), (-0.17, 0.03)
    bows = (0.06, -0.32), (-0.02, -0.38), (0.05, -0.46)
    parts = [
        line(0.018, shade(paint, 0.7), low, *bows, flat=True),
        *(disc(paint, *bow, 0.035) for bow in bows),
        fill(paint, top, right, low, left),
        line(0.016, CLOTH, top, low, flat=True),
        line(0.016, CLOTH, left, right, flat=True),
    ]
    return [line(0.008, DARK, hand, (x, y), flat=True), *moved(parts, x, y, turn=-20)]


def umbrella(colour, hand):
    paint = COLOURS[colour]
    rim = (-0.24, 0.29), (-0.12, 0.34), (0, 0.29), (0.12, 0.34), (0.24, 0.29)
    parts = [
        line(0.028, WOOD, (0, -0.08), (0, 0.62)),
        fill(paint, *(TURNS[:10] * (0.36, 0.26) + (0, 0.34)), *rim),
        *(line(0.012, shade(paint, 0.6), (0, 0.6), (x, 0.33), flat=True) for x in (-0.12, 0.12)),
    ]
    return moved(parts, *hand)


def skateboard(colour):
    deck = line(0.05, COLOURS[colour], (-0.3, 0.14), (-0.22, 0.1), (0.22, 0.1), (0.3, 0.14))
    return [disc(DARK, -0.18, 0.05, 0.05), disc(DARK, 0.18, 0.05, 0.05), deck]


def surfboard(colour):
    above, below = ((0.58, 0.12), (0.3, 0.07), (-0.3, 0.06)), ((-0.3, -0.03), (0.3, -0.02))
    return [fill(COLOURS[colour], (-0.5, 0.02), *below, *above)]


def bench(width):
    end, leg = width / 2, width / 2 - 0.08
    return [
        *(line(0.045, DARK, (x, 0), (x, 0.5)) for x in (-leg, leg)),
        *(line(0.055, WOOD, (-end, y), (end, y)) for y in (0.5, 0.4, 0.27)),
    ]


def tree(place, rng):
    """A tree 1 high: a palm on the beach, a pine in the snow, else one with leaves."""
    if place == "snow":
        parts = [line(0.07, WOOD, (0, 0), (0, 0.3))]
        for low, high, wide in ((0.12, 0.56, 0.27), (0.36, 0.78, 0.21), (0.6, 1, 0.15)):
            parts.append(fill(NEEDLES, (-wide, low), (0, high), (wide, low)))
            cap = (-0.4, -0.4), (0, 0), (0.4, -0.4), (0.15, -0.33), (-0.1, -0.44)
            snow = [(x * wide, high + y * (high - low)) for x, y in cap]
            parts.append(fill(SNOW, *snow, flat=True))
        return parts
    if place == "beach":
        top = (0, 0.8)
        parts = [line(0.05, PALM, (0, 0), (0.03, 0.4), top)]
        for angle in (-130, 120, -100, 95, -165, 150, -68, 62):
            bend = step(top, angle, 0.17)
            parts.append(line(0.05, FRONDS, top, bend, step(bend, 0.62 * angle, 0.2)))
        return [*parts, disc(DOOR, -0.03, 0.77, 0.035), disc(DOOR, 0.04, 0.77, 0.035)]
    crown = (0, 0.62, 0.27), (-0.2, 0.6, 0.18), (0.2, 0.6, 0.18), (0.02, 0.8, 0.2)
    light = rng.uniform((-0.26, 0.5), (0.2, 0.9), (9, 2))
    return [
        line(0.09, BARK, (0, 0), (0, 0.5)),
        *(disc(LEAVES, x, y, radius * rng.uniform(0.95, 1.08)) for x, y, radius in crown),
        *(disc(SUNNY_LEAVES, x, y, 0.035, 0.025, flat=True) for x, y in light),
    ]


def house(rng, floors=1):
    """A house whose walls are 1 wide."""
    roof, wall = ROOFS[rng.integers(len(ROOFS))], WALLS[rng.integers(len(WALLS))]
    top = 0.3 + 0.34 * floors
    parts = [
        box(shade(roof, 0.8), 0.24, top, 0.36, top + 0.42, flat=False),
        box(wall, -0.5, 0, 0.5, top, flat=False),
        fill(roof, (-0.6, top - 0.02), (-0.36, top + 0.34), (0.36, top + 0.34), (0.6, top - 0.02)),
        box(DOOR, -0.1, 0, 0.1, 0.36, flat=False),
    ]
    for x in (-0.42, 0.2):
        for y in (0.24, 0.58)[:floors]:
            parts.append(box(CLOTH, x, y, x + 0.22, y + 0.24, flat=False))
            parts.append(box(GLASS, x + 0.03, y + 0.03, x + 0.19, y + 0.21))
    return parts
