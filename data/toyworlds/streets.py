"""Streets drawn from a seed, each with its label map in the colours of Cityscapes.

The embedded data of Pix2Pix. A scene is a small world in metres (x to the right, y up, z away from
us), seen in one-point perspective through the windscreen of a car. What a net shall learn follows
from the label map: windows stand in floors and bays of fixed size, the sun always shines from the
left, the shape of a sign says its colours, and a square one announces a zebra crossing. What does
not follow from it (colours, clouds, the time of day) comes from short lists.
"""

import math

import cv2
import numpy as np
from PIL import Image

from toyworlds import write_folder

VERSION = 1  # of the drawings: raise it with every change that shows, and folders are redrawn

COLOURS = {  # of the label maps, as in Cityscapes
    "sky": (70, 130, 180),
    "building": (70, 70, 70),
    "vegetation": (107, 142, 35),
    "terrain": (152, 251, 152),
    "road": (128, 64, 128),
    "sidewalk": (244, 35, 232),
    "pole": (153, 153, 153),
    "traffic sign": (220, 220, 0),
    "person": (220, 20, 60),
    "car": (0, 0, 142),
}
PALETTE = np.array(list(COLOURS.values()), np.uint8)
NUMBERS = {label: i for i, label in enumerate(COLOURS)}
GROUND = np.isin(list(COLOURS), ("road", "sidewalk", "terrain"))
GRAIN = np.array([0.4, 2.5, 5, 6, 4, 3, 1, 0.5, 1.5, 1], np.float32)  # of the texture, each class

# Light of a day: sun and ambient light (factors of red, green, blue), sky above and at the
# horizon (0 to 255), how much of it clouds cover, and the share of windows that are lit.
DAYS = {
    "clear": ((0.60, 0.57, 0.48), (0.56, 0.60, 0.68), (48, 112, 198), (188, 217, 238), 0.15, 0.04),
    "hazy": ((0.58, 0.53, 0.42), (0.58, 0.61, 0.68), (86, 148, 208), (232, 226, 212), 0.40, 0.04),
    "evening": (
        (0.68, 0.46, 0.25),
        (0.56, 0.52, 0.60),
        (96, 124, 186),
        (254, 206, 156),
        0.45,
        0.20,
    ),
    "overcast": (
        (0.22, 0.22, 0.21),
        (0.72, 0.75, 0.79),
        (146, 162, 182),
        (216, 222, 228),
        0.75,
        0.10,
    ),
}
FACADES = ((226, 206, 170), (206, 160, 112), (186, 112, 88), (176, 184, 192), (222, 186, 172))
ROOFS = ((150, 82, 62), (92, 98, 112))
AWNINGS = ((176, 52, 48), (46, 108, 92), (214, 160, 60))
CARS = ((178, 34, 38), (38, 78, 150), (228, 228, 226), (64, 68, 76), (226, 176, 48))
JACKETS = ((196, 58, 52), (44, 92, 156), (228, 190, 80), (70, 120, 90))
GLASS, WHITE, RUBBER, STEEL = (58, 74, 92), (240, 240, 236), (34, 34, 38), (112, 116, 120)
LEAVES = ((46, 78, 40), (84, 124, 52), (134, 166, 74))
FLOOR, BAY = 3.2, 2.5  # metres


def crowns(count):
    """Crowns of trees: lists of rows (shade of `LEAVES`, x, y, radius), in radii of the crown."""
    rng, made = np.random.default_rng(5), []
    for _ in range(count):
        rows = [(0, 0, 0, 0.8)]
        wide, tall = rng.uniform(0.85, 1.15, 2)
        for leaf, many, spread, radius, lean in (
            (0, 14, 0.72, 0.34, 0), (1, 22, 0.6, 0.24, 0.12), (2, 24, 0.52, 0.13, 0.24),
        ):  # fmt: skip
            far, turn = spread * rng.random(many) ** 0.5, rng.uniform(0, 2 * np.pi, many)
            x, y = far * np.cos(turn) * wide - lean, far * np.sin(turn) * tall - lean
            rows += zip([leaf] * many, x, y, radius * rng.uniform(0.7, 1.2, many), strict=True)
        made.append(np.array(rows))
    return made


CROWNS = crowns(8)


def check_day(day):
    """Raises `ValueError` unless `day` is one of `DAYS`, or None."""
    if day is not None and day not in DAYS:
        raise ValueError(f"day={day!r} is unknown; known are: {', '.join(DAYS)}")


class World:
    """A street to draw on: the camera, the light, the photo and the label of each pixel."""

    def __init__(self, seed, pixels, day=None, colours=None):
        check_day(day)
        if not np.size(seed) or np.min(seed) < 0:
            raise ValueError(f"seed {seed}, but it must not be negative")
        self.colours = colours  # how many of each list of colours
        self.rng = rng = np.random.default_rng(seed)
        self.pixels = pixels
        self.photo = np.zeros((pixels, pixels, 3), np.uint8)
        self.ids = np.zeros((pixels, pixels), np.uint8)
        self.waiting = []  # what is to be filled: (polygons, colour, facing, label, z)
        drawn = rng.integers(len(DAYS))  # asked for or not: the rest of the street stays the same
        light = list(DAYS.values())[drawn] if day is None else DAYS[day]
        self.sun, self.ambient, self.zenith, self.horizon = (np.array(part) for part in light[:4])
        self.cloudiness, self.lit_windows = light[4:]
        self.eye = np.array([rng.uniform(0.2, 1.6), rng.uniform(1.9, 2.3), 0.0])
        self.centre = np.array([rng.uniform(0.44, 0.56), rng.uniform(0.45, 0.51)])
        self.kerb = rng.uniform(3.4, 4.4)  # where the road ends, on both sides of x = 0
        self.wall = self.kerb + rng.uniform(2.4, 3.4)  # where the buildings begin

    def pick(self, options):
        # Drawn from all of them, however few are used: the rest of the street stays the same.
        return options[self.rng.integers(len(options))]

    def paint_of(self, options):
        return options[self.rng.integers(len(options)) % (self.colours or len(options))]

    def project(self, points):
        """Points in metres, `(..., 3)` -> pixels times 16, int32 `(..., 2)`: OpenCV's `shift=4`."""
        seen = np.asarray(points, np.float64) - self.eye
        flat = self.centre + 0.9 * seen[..., :2] * (1, -1) / seen[..., 2:]
        return np.rint(flat * (self.pixels * 16)).astype(np.int32)

    def colour(self, colour, facing, z):
        """Colours `(..., 3)` in this light: `facing` the sun, 0 to 1, behind `z` metres of haze."""
        clear = np.exp(-np.asarray(z)[..., None] / 130)
        light = self.ambient + np.asarray(facing)[..., None] * self.sun
        return np.minimum(colour * light, 255) * clear + self.horizon * (1 - clear)

    def fill(self, polygons, colour, facing=0.5, label=None):
        """Polygons of as many corners each, to fill in the photo and, with a label, in the map.

        They wait for `paint`: projecting all points at once is several times as fast.
        """
        z = (polygons[0][0][2] + polygons[-1][2][2]) / 2
        self.waiting.append((polygons, colour, facing, label, z))

    def upright(self, x, z, outline, colour, facing=0.5, label=None):
        """As `fill`, an outline of (x, y) pairs that stands across the street at `(x, z)`."""
        self.fill([[(x + dx, y, z) for dx, y in outline]], colour, facing, label)

    def paint(self):
        """Fills all that waits, in the order in which it came."""
        if not self.waiting:
            return
        waiting, self.waiting = self.waiting, []
        corners = self.project([p for entry in waiting for polygon in entry[0] for p in polygon])
        _, colours, facings, _, z = zip(*waiting, strict=True)
        colours = self.colour(np.array(colours), np.array(facings), np.array(z)).tolist()
        start = 0
        for (polygons, _, _, label, _), colour in zip(waiting, colours, strict=True):
            stop = start + len(polygons) * len(polygons[0])
            shapes = list(corners[start:stop].reshape(len(polygons), -1, 2))
            cv2.fillPoly(self.photo, shapes, colour, cv2.LINE_AA, 4)
            if label:
                cv2.fillPoly(self.ids, shapes, NUMBERS[label], cv2.LINE_8, 4)
            start = stop


def box(x0, x1, y0, y1):
    return (x0, y0), (x1, y0), (x1, y1), (x0, y1)


def disc(radius, y, corners=16):
    turns = (2 * math.pi * i / corners for i in range(corners))
    return [(radius * math.cos(turn), y + radius * math.sin(turn)) for turn in turns]


def lying(x0, x1, z0, z1, y=0.0):
    """A rectangle on the ground."""
    return [(x0, y, z0), (x0, y, z1), (x1, y, z1), (x1, y, z0)]


def wall(x, z0, z1, y0, y1):
    """A rectangle along the street."""
    return [(x, y0, z0), (x, y1, z0), (x, y1, z1), (x, y0, z1)]


def sky(world):
    """A gradient down to the horizon, soft clouds, and a glow on the side of the sun."""
    n = 64  # enough for what is as soft as this
    y, x = np.mgrid[0:n, 0:n].astype(np.float32) / n
    depth = np.clip(y / world.centre[1], 0, 1)[..., None] ** 0.8
    picture = world.zenith * (1 - depth) + world.horizon * depth
    noise = sum(
        cv2.resize(world.rng.random((2 * k, k), np.float32), (n, n), interpolation=cv2.INTER_CUBIC)
        * weight
        for k, weight in ((2, 0.5), (4, 0.28), (8, 0.15), (16, 0.07))
    )
    cover = np.clip((noise - 0.62 + 0.3 * world.cloudiness) * 4, 0, 0.8)[..., None]
    white = 255 * np.minimum(world.ambient + world.sun, 1)
    picture += (white - picture) * cover * (1 - 0.6 * depth)
    glow = np.exp(-5 * ((x - 0.2) ** 2 + (y - 0.25) ** 2))[..., None]
    picture = np.clip(picture + 80 * world.sun * glow, 0, 255).astype(np.uint8)
    cv2.resize(picture, (world.pixels, world.pixels), dst=world.photo)


def skyline(world):
    """What closes the street at its far end."""
    for x in np.arange(-28, 29, 7.0):
        height = world.rng.uniform(5, 15)
        world.upright(x, 115, box(-4, 4, 0, height), world.paint_of(FACADES), 0.4, "building")
    for x in np.arange(-12, 13, 4.0):
        world.upright(x, 105, disc(world.rng.uniform(2, 4), 2), LEAVES[1], 0.4, "vegetation")


def ground(world):
    """Asphalt with its markings, kerbs and paved sidewalks."""
    kerb, edge = world.kerb, world.wall
    stops = (0.8, 6.5, 13, 26, 50, 110)  # haze grows in steps
    for z0, z1 in zip(stops[:-1], stops[1:], strict=True):
        world.fill([lying(-kerb, kerb, z0, z1)], (112, 112, 118), 0.5, "road")
        tracks = [lying(x - 0.3, x + 0.3, z0, z1) for x in (-2.6, -1.2, 1.2, 2.6)]
        world.fill(tracks, (102, 102, 108))
        for side in (-1, 1):
            world.fill([lying(side * edge, side * 30, z0, z1)], (132, 160, 76), 0.5, "terrain")
            world.fill([lying(side * kerb, side * edge, z0, z1)], (186, 178, 168), 0.5, "sidewalk")
    for side in (-1, 1):
        joints = np.concatenate([np.arange(4, 16, 1.0), np.arange(16, 40, 2.0)])
        slabs = [lying(side * kerb, side * edge, z, z + 0.08 + z / 200) for z in joints]
        world.fill(slabs, (156, 150, 144))
        middle = side * (kerb + edge) / 2
        world.fill([lying(middle, middle + 0.06, 2, 50)], (160, 154, 148))
        world.fill([lying(side * kerb, side * (kerb + 0.3), 0.8, 110)], (222, 218, 210))
        world.fill([lying(side * (kerb - 0.14), side * kerb, 0.8, 110)], (92, 92, 98), 0.2)
        line = side * (kerb - 0.45)
        world.fill([lying(line - 0.08, line + 0.08, 0.8, 100)], WHITE)
    for z in np.arange(3, 100, 6.0):
        world.fill([lying(-0.09, 0.09, z, z + 3)], WHITE)


def zebra(world, z):
    stripes = np.arange(-world.kerb + 0.7, world.kerb - 0.7, 1.0)
    world.fill([lying(x, x + 0.55, z - 1.6, z + 1.6) for x in stripes], WHITE, 0.6)


def shadows(world, outlines):
    """Darkens the ground inside of outlines `(corners, 3)`, with soft edges."""
    mask = np.zeros_like(world.ids)
    ends = np.cumsum([len(outline) for outline in outlines])
    for corners in np.split(world.project(np.concatenate(outlines)), ends[:-1]):
        cv2.fillPoly(mask, [corners], 255, cv2.LINE_8, 4)
    mask = cv2.blur(mask, (world.pixels // 64, world.pixels // 64))
    top = int(0.4 * world.pixels)  # above it there is no ground
    darker = np.float32((0.16 + 0.6 * world.sun.mean()) / 255) * mask[top:]
    darker *= GROUND[world.ids[top:]]
    photo = world.photo[top:]
    photo[:] = photo * (1 - darker[..., None] * np.float32((1, 0.95, 0.85)))


def building(world, side, z0, z1, floors):
    """A house between z0 and z1: side wall, roof, and a front of shops, floors and windows."""
    paint, x, top = world.paint_of(FACADES), side * world.wall, (floors + 0.15) * FLOOR
    facing = 0.15 if side < 0 else 0.9  # the sun is on the left
    if world.rng.random() < 0.6:
        roof = world.paint_of(ROOFS)
        gable = [(0, top), (side, top + 2.4), (side * 9, top + 2.4), (side * 10, top)]
        world.upright(x, z0, gable, roof, 0.3, "building")
        slope = [(x, top, z0), (x + side, top + 2.4, z0), (x + side, top + 2.4, z1), (x, top, z1)]
        world.fill([slope], roof, facing, "building")
    world.upright(x, z0, box(0, side * 10, 0, top), paint, 0.35, "building")
    world.fill([wall(x, z0, z1, 0, top)], paint, facing, "building")
    if z0 > 42:  # too far away to show windows
        return
    low = range(2, floors * 3, 3)
    panes = [box(side * dx, side * (dx + 1.1), y + 0.9, y + 2.3) for dx in (1.4, 4.4) for y in low]
    for pane in panes if z0 > 4 else ():
        world.upright(x, z0, pane, GLASS, 0.6)
    for floor in range(floors - 1):  # darker towards the street
        shade = facing - 0.3 * (1 - floor / (floors - 1))
        world.fill([wall(x, z0, z1, floor * FLOOR, (floor + 1) * FLOOR)], paint, shade)
    courses = [wall(x, z0, z1, y * FLOOR - 0.16, y * FLOOR) for y in range(1, floors)]
    world.fill([*courses, wall(x, z0, z1, top - 0.5, top)], (236, 226, 206), facing)
    windows(world, x, z0, z1, floors, facing)
    shop(world, side, z0, z1, facing)


def windows(world, x, z0, z1, floors, facing):
    """A window in each bay of each floor but the lowest: frame, glass, and some with light."""
    near = (np.arange(z0, z1 - 0.1, BAY) + 0.65).tolist()
    sills = [floor * FLOOR + 0.7 for floor in range(1, floors)]
    frames = [wall(x, z - 0.16, z + 1.36, y - 0.2, y + 1.9) for z in near for y in sills]
    world.fill(frames, WHITE, facing)
    lit = []
    for floor, y in enumerate(sills):  # the higher one is, the more of the sky is reflected in it
        glass = np.array(GLASS) + (world.zenith - GLASS) * (0.1 + 0.12 * floor)
        panes = [wall(x, z, z + 1.2, y, y + 1.7) for z in near]
        world.fill(panes, glass, 0.2 + facing / 2)
        lit += [pane for pane in panes if world.rng.random() < world.lit_windows]
    if lit:
        world.fill(lit, (255, 222, 130), 1)


def shop(world, side, z0, z1, facing):
    """The ground floor: doors and large windows, over some of them an awning."""
    x = side * world.wall
    near = np.arange(z0, z1 - 0.1, BAY).tolist()
    world.fill([wall(x, z + 0.3, z + 2.2, 0.4, 2.5) for z in near], (84, 72, 66), facing)
    world.fill([wall(x, z + 0.5, z + 2.0, 0.7, 2.3) for z in near], (236, 204, 150), 0.5)
    world.fill([wall(x, z0, z1, 0, 0.35)], (120, 112, 106), facing)
    if world.rng.random() < 0.5:
        out, z0, z1 = x - side, z0 + 0.3, z1 - 0.3
        cloth = [(x, 3.0, z0), (out, 2.5, z0), (out, 2.5, z1), (x, 3.0, z1)]
        world.fill([cloth], world.paint_of(AWNINGS), facing + 0.1, "building")
        world.fill([wall(out, z0, z1, 2.25, 2.5)], WHITE, facing, "building")


def garden(world, side, z0, z1):
    """A lot without a house: trees on the lawn behind a hedge."""
    x = side * world.wall
    for z in np.arange(min(z1, 50) - 1, z0, -4):
        tree(world, x + side * world.rng.uniform(4, 9), z, world.rng.uniform(4, 6.5))
    for low, high, leaf in ((0, 0.6, 0), (0.35, 0.6, 1), (0.5, 0.6, 2)):
        world.fill([wall(x, z0, z1, low, high)], LEAVES[leaf], 0.5, "vegetation")


def tree(world, x, z, height):
    """A trunk and a crown of leaves in three shades, the lightest ones towards the sun."""
    world.upright(x, z, box(-0.14, 0.14, 0, 0.6 * height), (96, 72, 56), 0.4, "vegetation")
    world.paint()  # what is behind
    skip = 1 if z < 14 else 2 if z < 28 else 5  # fewer leaves far away, but larger ones
    blobs = world.pick(CROWNS)[::skip]
    middle, scale = (
        world.project((x, 0.68 * height, z)),
        0.36 * height * 0.9 * world.pixels * 16 / z,
    )
    places = (middle + blobs[:, 1:3] * scale).astype(int).tolist()
    radii = (blobs[:, 3] * scale * skip**0.2).astype(int).tolist()
    shades = world.colour(np.array(LEAVES), np.array((0.3, 0.6, 0.9)), np.array((z, z, z))).tolist()
    for leaf, place, radius in zip(blobs[:, 0].astype(int).tolist(), places, radii, strict=True):
        cv2.circle(world.photo, place, radius, shades[leaf], -1, cv2.LINE_AA, 4)
        if leaf < 2:  # the others lie within
            cv2.circle(world.ids, place, radius, NUMBERS["vegetation"], -1, cv2.LINE_8, 4)


def car(world, x, z, ours):
    """A car `(x, z)` metres away, seen from behind in our direction, else from the front."""
    paint = world.paint_of(CARS)
    glass = np.array(GLASS) * 0.6 + world.zenith * 0.25
    side = 1 if x < world.eye[0] else -1  # the one that we see
    facing = 0.9 if side < 0 else 0.15
    # Where the cabin begins and ends, below and above; the bonnet is where the car drives to.
    rear, roof, back, front = (0.2, 0.75, 2.5, 3.2) if ours else (1.1, 1.8, 3.6, 4.1)

    def half(y):
        return 0.88 if y <= 0.95 else 0.88 - 0.36 * (y - 0.95)

    def profile(outline, shade, out=0):
        """The car's side: an outline of (z, y) pairs."""
        points = [(x + side * (half(y) + out), y, z + dz) for dz, y in outline]
        world.fill([points], shade, facing, "car")

    def screen(inset, shade):
        (near, low), (far, high) = (z + rear, 0.95 + inset / 2), (z + roof, 1.45 - inset)
        wide, narrow = half(low) - inset, half(high) - inset
        pane = [(-wide, low, near), (wide, low, near), (narrow, high, far), (-narrow, high, far)]
        world.fill([[(x + dx, y, dz) for dx, y, dz in pane]], shade, 0.5, "car")

    world.fill([lying(x - 0.85, x + 0.85, z, z + 4.3, 0.25)], RUBBER, 0, "car")
    profile([(0, 0.3), (0, 0.95), (4.2, 0.95), (4.3, 0.8), (4.3, 0.3)], paint)
    world.fill([lying(x - 0.88, x + 0.88, z, z + 4.2, 0.95)], paint, 0.9, "car")
    profile([(rear, 0.95), (roof, 1.45), (back, 1.45), (front, 0.95)], paint)
    window = [(rear + 0.4, 1.0), (roof + 0.1, 1.37), (back - 0.1, 1.37), (front - 0.4, 1.0)]
    profile(window, glass, 0.01)
    for axle in (0.8, 3.4):
        for radius, shade in ((0.33, RUBBER), (0.17, (170, 172, 176))):
            profile([(axle + dz, y) for dz, y in disc(radius, 0.33, 10)], shade, 0.02)
    world.fill([lying(x - 0.7, x + 0.7, z + roof, z + back, 1.45)], paint, 1, "car")
    screen(0, paint)
    screen(0.07, glass)
    face = [(-0.88, 0.3), (0.88, 0.3), (0.9, 0.75), (0.88, 0.95), (-0.88, 0.95), (-0.9, 0.75)]
    wheels = [[(x + dx, y, z) for dx, y in box(c - 0.13, c + 0.13, 0, 0.4)] for c in (-0.7, 0.7)]
    lamps = [[(x + dx, y, z) for dx, y in box(c - 0.17, c + 0.17, 0.6, 0.82)] for c in (-0.7, 0.7)]
    world.fill(wheels, RUBBER, 0.3, "car")
    world.upright(x, z, face, paint, 0.4, "car")
    world.upright(x, z, box(-0.88, 0.88, 0.28, 0.46), (62, 62, 66), 0.4)
    world.upright(x, z, box(-0.24, 0.24, 0.48, 0.62), WHITE, 0.5)
    world.fill(lamps, (226, 28, 30) if ours else (255, 250, 214), 0.9)


def person(world, x, z):
    """Somebody who walks: legs, shoes, coat, arms and head."""
    coat, skin = world.paint_of(JACKETS), (224, 176, 146)
    parts = (
        ([(-0.2, 0), (-0.06, 0), (0.02, 0.9), (-0.18, 0.9)], (52, 56, 74)),
        ([(0.08, 0), (0.24, 0), (0.18, 0.9), (-0.02, 0.9)], (44, 48, 64)),
        ([(-0.2, 0.8), (0.2, 0.8), (0.26, 1.45), (-0.26, 1.45)], coat),
        ([(-0.36, 0.85), (-0.25, 0.85), (-0.18, 1.45), (-0.28, 1.45)], coat),
        ([(0.25, 0.85), (0.36, 0.85), (0.28, 1.45), (0.18, 1.45)], coat),
        (disc(0.14, 1.64), skin),
        (box(-0.13, 0.13, 1.68, 1.8), (74, 52, 40)),
    )
    for outline, shade in parts:
        world.upright(x, z, outline, shade, 0.5, "person")
    world.upright(x, z, box(-0.24, -0.1, 0.9, 1.4), coat, 1)  # the side of the sun


def lamp(world, x, z):
    """A street lamp, its arm over the road."""
    over = -np.sign(x) * 1.6
    world.upright(x, z, box(-0.08, 0.08, 0, 6), STEEL, 0.5, "pole")
    world.upright(x, z, box(-0.08, -0.02, 0, 6), (170, 174, 178), 0.6)
    world.upright(x, z, [(0, 5.9), (over, 6.2), (over, 6.32), (0, 6.05)], STEEL, 0.5, "pole")
    world.upright(x + over, z, box(-0.35, 0.35, 6.1, 6.35), (250, 240, 200), 0.7, "pole")


def sign(world, x, z, kind):
    """A round speed limit, a warning triangle or the square sign of a zebra crossing."""
    world.upright(x, z, box(-0.06, 0.06, 0, 2.4), STEEL, 0.6, "pole")
    outlines = {
        "round": disc(0.5, 2.7),
        "triangle": [(-0.58, 2.3), (0.58, 2.3), (0, 3.3)],
        "square": box(-0.48, 0.48, 2.25, 3.2),
    }
    outer = outlines[kind]
    inner = np.mean(outer, 0) + 0.62 * (np.array(outer) - np.mean(outer, 0))
    rim, field = ((30, 84, 170), WHITE) if kind == "square" else ((206, 32, 38), WHITE)
    world.upright(x, z, outer, rim, 0.7, "traffic sign")
    if kind == "square":
        inner = [(-0.28, 2.4), (0.28, 2.4), (0, 3.0)]
    world.upright(x, z, inner, field, 0.7)
    if kind == "round":
        world.upright(x, z, box(-0.2, 0.2, 2.58, 2.82), (40, 40, 44), 0.5)


def lots(world):
    """Houses and gardens of both sides, the far ones first; returns the shadows of the houses."""
    cast = []
    for side in (-1, 1):
        z, row = world.pick((0.75, 2.0)), []
        while z < 100:
            width = BAY * world.rng.integers(3, 6)
            floors = 0 if z > 6 and world.rng.random() < 0.16 else int(world.rng.integers(3, 6))
            row.append((z, min(z + width, 105), floors))
            z += width
        for z0, z1, floors in reversed(row):
            if not floors:
                garden(world, side, z0, z1)
            else:
                building(world, side, z0, z1, floors)
                if side < 0:
                    cast.append(lying(-world.wall, -world.wall + 0.33 * FLOOR * floors, z0, z1))
    return cast


def furniture(world):
    """What stands and drives in the street: list of (x, z, height, half width, drawing, args)."""
    rng, kerb = world.rng, world.kerb
    things = []
    for side in (-1, 1):
        x = side * (kerb + 0.6)
        if rng.random() < 0.75:  # an avenue
            for z in np.arange(rng.uniform(9, 14), 48, rng.uniform(9, 13)):
                height = rng.uniform(4.5, 6.5)
                things.append((x + side * 0.3, z, height, 1.2, tree, (height,)))
        for z in np.arange(rng.uniform(8, 20), 60, 18.0):
            things.append((x, z, 6, 0.08, lamp, ()))
        z = rng.uniform(5, 9)
        while z < 45:
            lane = side * rng.uniform(1.4, 1.9)
            if rng.random() < 0.5:
                things.append((lane, z + 1.5, 1.4, 0.9, car, (side > 0,)))
            z += rng.uniform(7, 16)
        for _ in range(rng.integers(1, 5)):
            place = side * rng.uniform(kerb + 0.7, world.wall - 0.4)
            things.append((place, rng.uniform(6, 30), 1.75, 0.25, person, ()))
        if rng.random() < 0.65:
            kind = world.pick(("round", "triangle", "square"))
            things.append((side * (kerb + 0.4), rng.uniform(6.5, 16), 2.6, 0.15, sign, (kind,)))
    return sorted(things, key=lambda thing: -thing[1])


def render(seed, pixels, day=None, colours=None):
    """A scene at full detail: the photo and the number of each pixel's class, both uint8."""
    world = World(seed, pixels, day, colours)
    sky(world)
    skyline(world)
    ground(world)
    things = furniture(world)
    for _, z, _, _, drawing, args in things:
        if drawing is sign and args == ("square",):
            zebra(world, z)
    cast = lots(world)
    for x, z, height, half, drawing, _ in things:
        if drawing is tree:
            cast.append([(x + 0.55 * height + dx, 0, z + dz) for dx, dz in disc(1.7, 0, 8)])
        else:
            length = 4.3 if drawing is car else 0.25
            cast.append(lying(x - half, x + half + 0.6 * height, z, z + length))
    world.paint()
    shadows(world, cast)
    for x, z, _, _, drawing, args in things:
        drawing(world, x, z, *args)
    world.paint()
    return world


def scene(seed, size=64, day=None, colours=None):
    """A street and its label map, the same ones whenever the seed is the same.

    Args:
        seed: int, 0 or more, or a sequence of them.
        size: pixels of an edge. Every size shows the same street.
        day: "clear", "hazy", "evening" or "overcast"; None for any of them.

    Returns:
        photo, labels: uint8 arrays, `(size, size, 3)`; labels holds no colour but `COLOURS`.
    """
    zoom = max(2, -(-256 // size))
    world = render(seed, zoom * size, day, colours)
    photo = cv2.resize(world.photo, (size, size), interpolation=cv2.INTER_AREA)
    ids = world.ids[zoom // 2 :: zoom, zoom // 2 :: zoom]
    noise = world.rng.standard_normal((64, 64), np.float32)
    noise = cv2.resize(noise, (size, size), interpolation=cv2.INTER_LINEAR)
    photo = np.clip(photo + (noise * GRAIN[ids])[..., None], 0, 255)
    return photo.astype(np.uint8), PALETTE[ids]


def draw(folder, train=400, val=80, size=64, seed=0, day=None, colours=None):
    """Writes pairs as Pix2Pix has published them: the photo left, its label map right, JPEG.

    Args:
        folder: gets `train/0000.jpg` and so on, and `val/`. Nothing is done if it has them.
        train: pictures to train on.
        val: pictures to test on, of other seeds.
        size: pixels of an edge; a picture is twice as wide.
        seed: another one draws other streets.
        day: "clear", "hazy", "evening" or "overcast"; None for any of them.

    Returns:
        The folder, as `Path`.
    """
    for name, count in (("train", train), ("val", val)):
        if count < 1:
            raise ValueError(f"{name}={count}, but at least 1 picture is needed")
    if not 32 <= size <= 1024 or size % 2:
        raise ValueError(f"size={size}, but an even number from 32 to 1024 is needed")
    check_day(day)

    def write(partial):
        for part, (name, count) in enumerate((("train", train), ("val", val))):
            (partial / name).mkdir()
            for i in range(count):
                pair = np.hstack(scene((seed, part, i), size, day, colours))
                path = partial / name / f"{i:04d}.jpg"
                Image.fromarray(pair).save(path, quality=95, subsampling=0)

    settings = {"drawing": "streets", "version": VERSION, "day": day, "colours": colours}
    return write_folder(folder, settings | dict(train=train, val=val, size=size, seed=seed), write)
