"""The picture of a scene, and where in it every object is."""

import cv2
import numpy as np

from toyworlds.scenes import figures, places, things
from toyworlds.scenes.captions import NOUNS
from toyworlds.scenes.composition import CHILDREN, PEOPLE, compose
from toyworlds.scenes.sketch import Sketch, bounds, line, moved

# The height of a grown-up, as a fraction of the picture, when this is the smallest in the scene.
SIZES = {
    **dict.fromkeys(PEOPLE, 0.52), **dict.fromkeys(CHILDREN, 0.55),
    "dog": 0.76, "cat": 0.82, "horse": 0.5, "bird": 0.55,
    "car": 0.62, "bus": 0.52, "bicycle": 0.6, "boat": 0.5,
}  # fmt: skip
GAP = 0.14  # between two who stand side by side, in heights of a grown-up


def draw(seed, size=96):
    """Draws the scene of a seed.

    Args:
        seed: int >= 0, as for `compose`.
        size: side in pixels, from 64 to 1024. Every size shows the same scene.

    Returns:
        The picture, uint8 `(size, size, 3)`, and its objects, those behind first: a list of dicts
        with "category", "box" ([x, y, width, height] in pixels) and "words", the nouns by which
        captions may name it.
    """
    check_size(size)
    scene, rng = compose(seed), np.random.default_rng((seed, 2))
    pixels = size * max(2, -(-288 // size))
    stage = Stage(Sketch(pixels, places.LIGHTS[scene.light][0]))
    stage.boxes += places.backdrop(stage.sketch, scene.place, scene.light, rng, scene.wet)
    if scene.place == "street":
        x = rng.uniform(-0.04, 0.1)
        while x < 1.05:
            wide = rng.uniform(0.24, 0.3)
            stage.put([("house", things.house(rng, int(rng.integers(1, 3))))], x, 0.6, wide)
            x += 1.32 * wide
    _play(scene, stage, rng)
    picture = cv2.resize(stage.sketch.image, (size, size), interpolation=cv2.INTER_AREA)
    return picture, list(_objects(stage.boxes, size))


def check_size(size):
    """Raises a ValueError unless pictures may have this size."""
    if not 64 <= size <= 1024:
        raise ValueError(f"size {size}, but a number of pixels from 64 to 1024 is needed")


class Stage:
    """A sketch that notes the box of everything put on it: (category, its four edges)."""

    def __init__(self, sketch):
        self.sketch, self.boxes = sketch, []

    def put(self, group, x, y, unit, floor=1.0):
        """Paints a list of (category, parts); nothing is to be seen of it below `floor`."""
        for category, parts in group:
            self.sketch.paint(parts, x, y, unit)
            left, low, right, top = bounds(parts)
            edges = x + left * unit, y - top * unit, x + right * unit, min(floor, y - low * unit)
            self.boxes.append((category, edges))

    def float(self, group, x, y, unit):
        """As `put`, in water that hides what is below y."""
        row = round(y * self.sketch.pixels)
        water = self.sketch.image[row:].copy()
        self.put(group, x, y, unit, floor=y)
        self.sketch.image[row:] = water


def _objects(boxes, size):
    for category, edges in boxes:
        left, top, right, low = (min(max(edge, 0), 1) * size for edge in edges)
        if right - left >= 1 and low - top >= 1:
            box = [round(value, 2) for value in (left, top, right - left, low - top)]
            yield {"category": category, "box": box, "words": NOUNS[category]}


def _play(scene, stage, rng):
    """Puts everybody on the stage, side by side, and what is behind them."""
    row = _row(scene, rng)
    spans = [bounds([part for _, parts in group for part in parts]) for group in row]
    width = sum(right - left for left, _, right, _ in spans) + GAP * (len(row) - 1)
    flying = scene.actors[0].kind == "bird"
    base = rng.uniform(*((0.4, 0.5) if flying else (0.74, 0.8) if scene.wet else (0.88, 0.94)))
    unit = min(SIZES[actor.kind] for actor in scene.everybody) * rng.uniform(0.92, 1.06)
    if scene.action == "swim" and scene.actors[0].kind in PEOPLE:  # little of whom is to be seen
        unit *= 1.4
    unit = min(unit, 0.95 / width, (base - 0.03) / max(top for *_, top in spans))
    free = 0.5 - width * unit / 2
    middle = 0.5 + rng.uniform(-1, 1) * min(0.2, free - 0.02)
    if scene.behind == "tree":
        tree = things.tree(scene.place, rng)
        stage.put([("tree", tree)], middle + rng.uniform(-0.12, 0.12), base - 0.12, 0.74)
    elif scene.behind == "house":
        x = min(max(middle + rng.choice((-0.16, 0.16)), 0.3), 0.7)
        stage.put([("house", things.house(rng))], x, 0.66, 0.44)
    if scene.action == "surf":
        places.wave(stage.sketch, rng, base)
    x, entries = middle - width * unit / 2, []
    for group, (left, _, right, _) in zip(row, spans, strict=True):
        y = base + rng.uniform(*((-0.1, 0.06) if flying else (-0.025, 0.015)))
        entries.append((y, x - left * unit, group))
        x += (right - left + GAP) * unit
    for y, x, group in sorted(entries, key=lambda entry: entry[0]):
        left, right = _footprint(group)
        left, right = x + left * unit, x + right * unit
        if scene.wet:
            stage.float(group, x, y, unit)
            places.ripples(stage.sketch, left, right, y)
            continue
        if not flying:
            stage.sketch.shadow((left + right) / 2, y, right - left)
        stage.put(group, x, y, unit)


def _footprint(group):
    """Left and right of all that is on the ground, or not far above it."""
    spans = [bounds(parts) for _, parts in group]
    spans = [span for span in spans if span[1] < 0.4]
    return min(span[0] for span in spans), max(span[2] for span in spans)


def _row(scene, rng):
    """Who stands there from left to right: lists as `_figure` returns them."""
    row, first = [_figure(actor, rng) for actor in scene.actors], scene.actors[0]
    if first.action == "play":
        ball = things.ball(first.thing_colour, 0, 0.1)
        return [row[0], [("ball", ball)], _flip(row[1])]
    if first.thing == "bench":
        seats = 0.46 * np.arange(len(row))
        bench = moved(things.bench(seats[-1] + 0.8), seats[-1] / 2 + 0.05)
        people = [(kind, moved(parts, x)) for x, [(kind, parts)] in zip(seats, row, strict=True)]
        row = [[("bench", bench), *people]]
    if scene.beside:
        row.append(_figure(scene.beside, rng))
    if rng.random() < 0.5:
        row = [_flip(group) for group in row]
    return row[::-1] if rng.random() < 0.5 else row


def _flip(group):
    return [(category, moved(parts, flip=True)) for category, parts in group]


def _figure(actor, rng):
    """An actor and the thing: list of (category, parts), the farther one first.

    They stand on y = 0; on the water that is the surface.
    """
    kind, colour, tint = actor.kind, actor.colour, actor.thing_colour
    if kind in PEOPLE:
        return _person(actor, rng)
    if kind == "bird":
        return [(kind, figures.bird(colour, rng.random()))]
    if kind in ("car", "bus", "bicycle"):
        return [(kind, getattr(things, kind)(colour))]
    if kind == "boat":
        return [(kind, things.sailboat(colour))]
    gait = {"carry": "run", "catch": "jump"}.get(actor.action, actor.action)
    parts, (x, y) = figures.animal(kind, colour, gait)
    if actor.action == "swim":
        parts = moved(parts, y=-0.2)
    group = [(kind, parts)]
    if actor.thing == "ball":
        group.append(("ball", things.ball(tint, x + 0.04, y, 0.075)))
    elif actor.thing == "frisbee":
        group.append(("frisbee", things.frisbee(tint, x + 0.1, y + 0.04)))
    return group


def _person(actor, rng):
    kind, action, thing, tint = actor.kind, actor.action, actor.thing, actor.thing_colour
    pose = {"ride": thing, "surf": thing, "play": "kick", "paddle": "boat"}.get(action, action)
    if action == "sit" and thing != "bench":
        pose = "ground"
    parts, joints = figures.person(kind, actor.colour, pose, rng)
    size, ground = 0.72 if kind in CHILDREN else 1, -joints["low"][1]
    x, y = {  # where the hips are
        "sit": (0, 0.31),
        "jump": (0, ground + 0.22),
        "ski": (0, ground + 0.04),
        "skateboard": (0, ground + 0.13),
        "surfboard": (0, ground + 0.08),
        "bicycle": (-0.11 * size, 0.52 * size),
        "horse": (-0.05, 0.79),
        "boat": (-0.1, 0.14),
        "swim": (0, -0.2 * size),
    }.get(pose, (0, ground))
    parts = moved(parts, x, y)
    hand, foot = ((joints[name][0] + x, joints[name][1] + y) for name in ("hand", "foot"))
    if action == "ski":
        skis = line(0.035, (190, 60, 60), (-0.4, 0.02), (0.36, 0.02), (0.46, 0.08))
        pole = line(0.018, figures.DARK, hand, (hand[0] - 0.24, 0))
        parts = [skis, *parts, pole]
    person = (kind, parts)
    match action, thing:
        case "kick", _:
            return [person, (thing, things.ball(tint, foot[0] + 0.2, max(0.1, foot[1])))]
        case "throw", "ball":
            return [person, (thing, things.ball(tint, hand[0] + 0.2, hand[1] + 0.1))]
        case "throw", "frisbee":
            return [person, (thing, things.frisbee(tint, hand[0] + 0.26, hand[1] + 0.06))]
        case _, "kite":
            return [person, (thing, things.kite(tint, hand, hand[0] + 0.55, 1.3))]
        case _, "boat":
            return [person, (thing, things.rowing_boat(tint, hand))]
        case _, "umbrella":
            return [(thing, things.umbrella(tint, hand)), person]
        case _, "bicycle":
            return [(thing, moved(things.bicycle(tint), size=size)), person]
        case _, "horse":
            return [(thing, figures.animal("horse", tint, "walk")[0]), person]
        case _, "skateboard":
            return [(thing, things.skateboard(tint)), person]
        case _, "surfboard":
            return [(thing, things.surfboard(tint)), person]
    return [person]
