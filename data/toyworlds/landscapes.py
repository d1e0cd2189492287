"""Drawn mountain landscapes in summer and in winter: two sets of pictures without pairs.

A place is a skyline of granite, a valley with forest, meadow and water, and a foreground. The seed
alone decides on it; the season changes only light, colours and what lies on the ground.

Lengths are fractions of the picture's side, x to the right and y downwards; colours are float32
RGB in [0, 1]. Everything random is drawn in an order that does not depend on the size in pixels.
"""

from functools import partial
from types import SimpleNamespace

import cv2
import numpy as np
from PIL import Image

from recipes.arguments import check_seed
from toyworlds import write_folder

VERSION = 1  # of the drawings: a change of what is drawn has to raise it

# The colours of three moods, which a picture mixes: noon, haze, evening; frost, overcast, dusk.
# `sun` and `shade` multiply what stands in the light and what does not.
SUMMER = {
    "zenith": [(0.22, 0.48, 0.85), (0.36, 0.60, 0.88), (0.25, 0.40, 0.74)],
    "horizon": [(0.68, 0.85, 0.97), (0.86, 0.91, 0.92), (1.00, 0.82, 0.58)],
    "sun": [(1.18, 1.10, 0.96), (1.12, 1.04, 0.88), (1.32, 0.98, 0.64)],
    "shade": [(0.46, 0.53, 0.66), (0.54, 0.58, 0.68), (0.44, 0.44, 0.60)],
    "cloud": [(1.00, 1.00, 1.00), (0.97, 0.96, 0.94), (1.00, 0.86, 0.74)],
}
WINTER = {
    "zenith": [(0.50, 0.66, 0.85), (0.64, 0.69, 0.76), (0.60, 0.63, 0.82)],
    "horizon": [(0.86, 0.91, 0.96), (0.83, 0.86, 0.89), (0.99, 0.83, 0.82)],
    "sun": [(1.07, 1.03, 0.99), (0.93, 0.95, 0.99), (1.10, 0.93, 0.91)],
    "shade": [(0.52, 0.63, 0.84), (0.66, 0.72, 0.83), (0.54, 0.57, 0.80)],
    "cloud": [(0.95, 0.96, 0.98), (0.74, 0.77, 0.82), (0.97, 0.86, 0.88)],
}
GRANITE, SNOW, EARTH = (0.66, 0.60, 0.53), (0.97, 0.98, 1.00), (0.52, 0.46, 0.36)
GRASS, HAY, WOOD = (0.36, 0.58, 0.18), (0.60, 0.62, 0.28), (0.12, 0.29, 0.13)
COLD_GRANITE, COLD_WOOD = (0.47, 0.46, 0.48), (0.12, 0.23, 0.20)
WATER, DARK_WATER, ICE = (0.10, 0.40, 0.45), (0.14, 0.22, 0.31), (0.72, 0.82, 0.90)
FLOWERS = (0.98, 0.96, 0.90), (1.00, 0.85, 0.20), (0.70, 0.50, 0.85)


def colour(rgb):
    return np.array(rgb, np.float32)


def mix(a, b, share):
    """a where `share` is 0, b where it is 1; each a colour or a picture.

    `share` is a number, or a plane `(height, width)`, out of which comes a picture. It is merged
    from planes because NumPy's broadcasting is slow where the last axis has a length of 3.
    """
    if np.ndim(share) != 2:
        return a + (b - a) * np.float32(share)
    share = np.ascontiguousarray(share, np.float32)
    if a.ndim == b.ndim == 1:
        return cv2.merge([p + (q - p) * share for p, q in zip(a, b, strict=True)])
    a, b = (cv2.merge([np.full_like(share, p) for p in c]) if c.ndim == 1 else c for c in (a, b))
    return a + (b - a) * cv2.merge([share] * 3)


def step(low, high, values):
    """Rises smoothly from 0 at `low` to 1 at `high`."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def noise(seed, n, columns, rows, roughness=0.55):
    """Fractal noise, float32 `(n, n)`, around 0 with a deviation of about 1.

    Args:
        seed: list of ints.
        n: side in pixels. A larger one adds finer octaves to the same coarse ones.
        columns, rows: cells of the coarsest octave; unequal ones stretch the pattern.
        roughness: amplitude of an octave, over that of the coarser one before.
    """
    rng, total, weight = np.random.default_rng(seed), np.zeros((n, n), np.float32), 1.0
    while max(columns, rows) <= n:
        grid = rng.standard_normal((rows, columns), np.float32) * np.float32(weight)
        total += cv2.resize(grid, (n, n), interpolation=cv2.INTER_LINEAR)
        columns, rows, weight = 2 * columns, 2 * rows, weight * roughness
    return total


def crest(rng, x, bumps, base, jags):
    """Skyline, y `(n,)`: bumps (centre, height, width left and right, power) and jags."""
    height = np.zeros(len(x))
    for centre, top, left, right, power in bumps:
        t = np.clip(np.abs(x - centre) / np.where(x < centre, left, right), 0, 1)
        height = np.maximum(height, top * (1 - t**power))
    for octave in range(8):  # midpoint displacement, all points of a level at once
        knots = rng.uniform(-1, 1, (1, 5 * 2**octave + 1)) * jags * 0.55**octave
        height += cv2.resize(knots, (len(x), 1), interpolation=cv2.INTER_LINEAR)[0]
    return (base - height).astype(np.float32)


def compose_ridges(rng, x, level):
    """The mountains, from the far to the near: list of (distance, skyline)."""
    middle, tall, turn = rng.uniform(0.3, 0.7), rng.uniform(0.34, 0.48), rng.choice([-1, 1])
    centres, tops = rng.uniform(0, 1, 5), rng.uniform(0, 1, 5)
    far = list(zip(centres, 0.14 + 0.16 * tops, [0.3] * 5, [0.3] * 5, [1.0] * 5, strict=True))
    wide, jags = rng.uniform(0.22, 0.4, 2), 0.045
    side = rng.uniform(0.1, 0.24, 3)
    kind = rng.choice(["walls", "peak", "dome", "range"])
    if kind == "walls":  # a gate to the valley: one bold wall, a lower one, a peak between
        a, b = (0.0, 1.0)[::turn]
        near = [(a, tall + 0.06, *wide, 5.0), (b, 0.7 * tall, *wide, 3.0)]
        far.append((middle, 0.8 * tall, 0.22, 0.22, 1.0))
        jags = 0.03
    elif kind == "peak":
        near = [(middle, tall, *wide, 0.85), (middle + 0.13 * turn, 0.7 * tall, 0.2, 0.2, 1.0)]
        near += [(c, top, 0.25, 0.25, 1.0) for c, top in zip(centres[::-1], side, strict=False)]
    elif kind == "dome":  # round on one side, cut off on the other
        near = [(middle, tall, *(0.34, 0.08)[::turn], 2.4), (middle, 0.45 * tall, 0.5, 0.5, 1.0)]
        jags = 0.025
    else:
        spread = np.linspace(0.05, 0.95, 5) + 0.16 * (tops - 0.5)
        near = [(c, 0.16 + 0.22 * t, 0.2, 0.2, 1.0) for c, t in zip(spread, centres, strict=True)]
    hills = [(c, rng.uniform(0.04, 0.12), 0.4, 0.4, 1.3) for c in rng.uniform(-0.1, 1.1, 3)]
    return [
        (0.8, crest(rng, x, far, level, 0.04)),
        (0.4, crest(rng, x, near, level, jags)),
        (0.15, crest(rng, x, hills, level, 0.012)),
    ]


def things(rng, x, y, height):
    """Trees or boulders: where they stand, how high, how wide for it, how bright."""
    order, count = np.argsort(y, kind="stable"), len(y)
    rows = np.stack([x, y, height, rng.uniform(0.8, 1.15, count), rng.uniform(0.75, 1.2, count)])
    return rows[:, order].astype(np.float32)


def compose(seed, n):
    """The place: whatever both seasons share, `n` pixels wide."""
    rng = np.random.default_rng([seed, 0])
    # Python's numbers rather than NumPy's, which would turn float32 arrays into float64.
    place = SimpleNamespace(n=n, side=int(rng.choice([-1, 1])), level=rng.uniform(0.58, 0.7))
    place.x, place.y = np.meshgrid(*[(np.arange(n, dtype=np.float32) + 0.5) / n] * 2)
    place.first = int(place.level * n)  # the first row of the valley's floor
    place.far = np.maximum(place.y - place.level, 0) / (1 - place.level)  # 0 there, 1 at our feet
    place.ridges = compose_ridges(rng, place.x[0], place.level)
    place.water = rng.choice(["lake", "river", "none"], p=[0.45, 0.35, 0.2])
    place.bend, place.swing, place.phase = rng.uniform((0.25, 0.1, 0), (0.75, 0.25, 6.3)).tolist()
    place.reach, place.wide = rng.uniform((0.2, 0.35), (0.5, 0.9)).tolist()
    place.flowers = colour(FLOWERS[rng.integers(3)])

    x, far, tall = rng.uniform((0, 0, 0.03), (1, 0.015, 0.07), (60, 3)).T
    place.edge = things(rng, x, place.level + far, tall)
    far = rng.uniform(0.03, 0.75, 36) ** 1.7
    x = rng.uniform(0, 1, 4)[rng.integers(0, 4, 36)] + rng.normal(0, 0.08, 36)
    tall = (0.06 + 0.26 * far) * rng.uniform(0.8, 1.4, 36)
    place.groups = things(rng, x, place.level + far * (1 - place.level), tall)
    front = rng.choice([0, 1, 2, 3], p=[0.35, 0.2, 0.25, 0.2])
    x = 0.5 + (0.5 - rng.uniform(-0.05, 0.12, front)) * rng.choice([-1, 1], front)
    place.front = things(rng, x, rng.uniform(0.97, 1.1, front), rng.uniform(0.4, 0.8, front))
    count = rng.integers(0, 9)
    y = 1 - 0.25 * rng.uniform(0, 1, count) ** 2
    place.boulders = things(rng, rng.uniform(0, 1, count), y, rng.uniform(0.02, 0.07, count))

    patterns = {  # name -> columns, rows, roughness
        "billows": (3, 7, 0.55), "crags": (12, 4, 0.65), "patches": (5, 5, 0.65),
        "speckle": (32, 24, 0.8), "waves": (3, 14, 0.6), "ripple": (5, 40, 0.55),
    }  # fmt: skip
    for i, (name, (columns, rows, rough)) in enumerate(patterns.items()):
        setattr(place, name, noise([seed, 10 + i], n, columns, rows, rough))
    return place


def choose_mood(seed, winter):
    """Light and weather: the colours of SUMMER or WINTER mixed, clouds, mist, snow and ice."""
    rng = np.random.default_rng([seed, 1 + winter])
    shares = rng.dirichlet([0.5, 0.4, 0.4])
    mood = {
        name: (shares @ np.array(rgb)).astype(np.float32)
        for name, rgb in (WINTER if winter else SUMMER).items()
    }
    mood["haze"] = mix(mood["horizon"], mood["zenith"], 0.3)
    return SimpleNamespace(
        **mood,
        winter=winter,
        clouds=rng.uniform(-0.9, 0.5) + 0.5 * winter * float(shares[1]),
        mist=rng.uniform(0, 0.5),
        old_snow=rng.uniform(0.3, 1) if rng.random() < 0.25 else 0.0,
        frozen=rng.uniform(0.1, 1.0),
        flakes=rng.random((3, rng.integers(60, 160) if winter and rng.random() < 0.25 else 0)),
        rock=colour(COLD_GRANITE if winter else GRANITE),
        wood=colour(COLD_WOOD if winter else WOOD),
        leaf=colour(SNOW if winter else GRASS),  # what the sun finds on a branch
    )


def lit(mood, albedo, light):
    """Colours of a material: `light` is 0 in the shade and 1 in the sun."""
    if albedo.ndim == 1:
        return mix(albedo * mood.shade, albedo * mood.sun, light)
    return albedo * mix(mood.shade, mood.sun, light)


def draw_sky(place, mood):
    """A gradient, the glow on the sun's side, and clouds: float32 `(n, n, 3)`."""
    x, y, n = place.x, place.y, place.n
    image = mix(mood.zenith, mood.horizon, step(0, place.level, y))
    glow = np.exp(-((x - 0.5 - 0.4 * place.side) ** 2 + (y - 0.25) ** 2) * 9)
    image = mix(image, np.minimum(mood.sun, 1), 0.35 * glow)
    billows = place.billows
    cover = step(0.2, 1.6, billows + 1.6 * mood.clouds - 1.2 * np.abs(y - 0.25))
    shaded = step(-0.6, 0.9, billows - billows[np.maximum(np.arange(n) - n // 24, 0)])
    cloud = mix(mix(mood.cloud, mood.zenith, 0.35), mood.cloud, shaded)
    return mix(image, cloud, 0.9 * cover)


def draw_ridge(image, place, mood, number):
    """One layer of mountains: faces turned to the sun or away, snow, forest below, and haze."""
    n, (distance, line) = place.n, place.ridges[number]
    rows = slice(int(max(line.min(), 0) * n), place.first + 2)
    altitude = place.level - place.y[rows]
    # A mirrored pattern for each layer.
    flips = (slice(None), slice(None, None, (-1, 1)[number % 2]))
    crags, patches = place.crags[flips][rows], place.patches[flips][rows]
    # A face goes on below the skyline that it begins at, wandering sideways on the way down.
    blur = 2 * (n // 64) + 1
    slope = cv2.GaussianBlur(np.gradient(line)[None] * n, (blur, 1), 0)[0]
    depth = place.y[rows] - line
    wander = place.x[rows] + 0.04 * patches * np.minimum(6 * depth, 1)
    slope = slope[np.clip(wander * n, 0, n - 1).astype(int)]
    relief = cv2.Sobel(crags, cv2.CV_32F, 1, 0, ksize=3) * (n / 1200)
    light = np.clip(0.5 + place.side * (0.33 * np.tanh(1.3 * slope) + 0.8 * relief), 0, 1)

    face = lit(mood, mood.rock, light + 0.08 * patches)
    if mood.winter:  # least on the walls and on the spurs
        cover = 0.75 + 1.2 * altitude - 0.75 * np.tanh(0.6 * np.abs(slope)) + 0.5 * crags
    else:
        cover = mood.old_snow * (4 * altitude - 0.7 + 0.5 * crags) - 0.1
    face = mix(face, lit(mood, colour(SNOW), 0.1 + 0.9 * light), step(0, 0.7, cover))
    trees = step(0.01, 0.05, 0.11 - altitude + 0.05 * patches + (0.2 if number == 2 else 0))
    speckle = step(-0.5, 0.9, place.speckle[rows])
    wood, leaf = lit(mood, mood.wood, 0.2 + 0.5 * light), lit(mood, mood.leaf, light)
    face = mix(face, mix(wood, leaf, 0.45 * speckle), trees)
    mist = mood.mist * step(0.2, 0.0, altitude) * (0.4 + 0.6 * distance)
    face = mix(face, mood.haze, np.minimum(0.75 * distance**1.5 + mist, 1))
    image[rows] = mix(image[rows], face, np.clip(depth * n + 0.5, 0, 1))


def water_field(place):
    """Above 0 where there is water: float32 `(n, n)`."""
    x, far, wobble = place.x, place.far, 0.14 * place.waves
    if place.water == "lake":
        across = (x - place.bend) / place.wide / (1 + far)
        field = 1 - across**2 - (far / place.reach - 1) ** 2 + wobble
    elif place.water == "river":
        path = place.bend + place.swing * np.sin(3.2 * np.log(far + 0.25) + place.phase)
        field = 1 - np.abs(x - path) / (0.02 + 0.22 * far**1.4) + wobble
    else:
        field = wobble - 2
    return np.where(far > 0, field, -2)


def draw_ground(image, place, mood):
    """Meadow with flowers, or snow, from the foot of the mountains to the lower edge."""
    rows = slice(place.first, None)
    far, waves, tufts = place.far[rows], place.waves[rows], place.speckle[rows]
    light = np.clip(0.6 + 0.2 * waves + 0.12 * tufts * far, 0, 1)
    if mood.winter:
        ground = lit(mood, colour(SNOW), light + 0.1)
    else:
        grass = mix(colour(GRASS), colour(HAY), step(-0.8, 1.8, waves))
        ground = lit(mood, grass, light)
        bloom = step(1.5, 2.2, tufts + waves - 0.5) * step(0.2, 0.6, far)
        ground = mix(ground, lit(mood, place.flowers, light), 0.8 * bloom)
    image[rows] = mix(ground, mood.haze, 0.3 * step(0.5, 0, far))


def draw_water(image, place, mood, field):
    """What stands above the shore, upside down on moving water, or dim on ice."""
    n, rows = place.n, slice(place.first, None)
    field, far, ripple = field[rows], place.far[rows], place.ripple[rows]
    bank = lit(mood, colour(SNOW if mood.winter else EARTH), 0.3)
    image[rows] = mix(image[rows], bank, 0.6 * step(-0.2, -0.02, field))
    across = place.x[rows] * n + (0.003 + 0.012 * far) * n * ripple
    up = np.maximum(place.first - 1 - 1.15 * np.arange(len(far), dtype=np.float32), 0)
    up = np.repeat(up[:, None], n, 1)
    seen = cv2.remap(image, across, up, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    if mood.winter:
        drifts = 0.3 * step(0.6, 1.4, place.billows[rows])
        ice = lit(mood, colour(ICE), 0.45 + 0.1 * ripple + drifts)
        seen = mix(mix(seen, colour(DARK_WATER), 0.45), ice, 0.85 * mood.frozen)
    else:
        seen = mix(seen, colour(WATER), 0.2 + 0.3 * far)
        seen = mix(seen, mood.cloud, 0.06 * ripple)
    image[rows] = mix(image[rows], seen, np.clip(12 * field, 0, 1))


def draw_shadows(image, place, mood, *groups):
    """Soft shadows that point away from the sun."""
    n, mask = place.n, np.zeros((place.n, place.n), np.float32)
    for x, y, tall in np.concatenate(groups, 1)[:3].T * n:
        centre = (int((x - 0.3 * place.side * tall) * 16), int(y * 16))
        cv2.ellipse(mask, centre, (int(6 * tall), int(tall)), 0, 0, 360, 0.8, -1, shift=4)
    rows = slice(place.first, None)
    mask = cv2.GaussianBlur(mask[rows], (0, 0), n / 200)
    image[rows] *= mix(np.ones(3, np.float32), mood.shade / mood.sun, mask)


def paint(image, place, mood, group, parts):
    """Draws things one over the other, from the back to the front.

    Args:
        group: what `things` returns.
        parts: list of (polygon of a thing that stands on (0, 0) and is 1 high, colour, light).
    """
    x, y, tall, slim, tone = group[:, :, None]
    corners, colours = [], []
    for points, albedo, light in parts:
        at = np.stack([x + points[:, 0] * tall * slim, y + points[:, 1] * tall], -1)
        corners.append(np.rint(at * place.n * 16).astype(np.int32))
        rgb = albedo * tone * mix(mood.shade, mood.sun, light)
        colours.append((rgb + (mood.haze - rgb) * 0.35 * np.exp(-14 * tall)).tolist())
    for i in range(len(tall)):
        for polygons, rgbs in zip(corners, colours, strict=True):
            cv2.fillPoly(image, [polygons[i]], rgbs[i], shift=4)


def draw_pines(image, place, mood, group, tiers):
    """Pines: dark, lighter on the sun's side, with snow on the branches in winter."""
    half, teeth, step_down = [(0, -1)], [(0, -1)], 0.92 / tiers
    for tier in range(1, tiers + 1):
        low, reach = -1 + tier * step_down, 0.015 + 0.195 * (tier / tiers) ** 1.2
        half += [(reach, low), (0.5 * reach, low - 0.02)]
        teeth += [(0.8 * reach, low - 0.2 * step_down), (0.1 * reach, low - 0.4 * step_down)]
    half = np.array([*half[:-1], (0.02, -0.08), (0.02, 0), (0, 0)], np.float32)
    sunny, dark = colour((place.side, 1)), colour((-place.side, 1))
    green = mood.wood if mood.winter else mix(mood.wood, colour(GRASS), 0.3)
    parts = [(half * dark, mood.wood, 0.2), (half * sunny, green, 0.7)]
    if mood.winter:
        teeth = np.array(teeth, np.float32)
        frost = mix(mood.wood, mood.leaf, 0.8)
        parts += [(teeth * sunny, frost, 0.9), (teeth * dark * (0.7, 1), frost, 0.15)]
    paint(image, place, mood, group, parts)


def draw_boulders(image, place, mood):
    """Granite in front: a dark face, a lit one and the top, which snow covers in winter."""
    rim = np.array(
        [(-1, 0), (-0.9, -0.4), (-0.5, -0.8), (0.1, -0.95), (0.6, -0.7), (0.95, -0.3), (1, 0)]
    )
    lit_face = np.array([*rim[3:], (0.4, 0), (0.15, -0.45)])
    top = np.array([*rim[1:6], (0.4, -0.5), (-0.2, -0.45)])
    parts = [(rim, mood.rock, 0.1), (lit_face, mood.rock, 0.75)]
    parts.append((top, colour(SNOW), 0.75) if mood.winter else (top, mood.rock, 0.5))
    flip = (place.side, 1)
    paint(image, place, mood, place.boulders, [(points * flip, *rest) for points, *rest in parts])


def draw_flakes(image, place, mood):
    """Falling snow, in some winters."""
    if not mood.flakes.size:
        return
    mask = np.zeros((place.n, place.n), np.float32)
    for x, y, wide in mood.flakes.T * place.n * 16:
        cv2.circle(mask, (int(x), int(y)), int(wide * 0.003 + 0.003 * 16 * place.n), 1, -1, shift=4)
    image[:] = mix(image, colour(SNOW), 0.65 * mask)


def check_size(size):
    if not 32 <= size <= 1024 or size % 2:
        raise ValueError(f"size {size}, but an even number from 32 to 1024 is needed")


def landscape(seed, winter=False, size=64):
    """A landscape; the other season of the same seed shows the same place.

    Args:
        seed: int >= 0.
        winter: the season.
        size: side in pixels, an even number from 32 to 1024. All show the same scene.

    Returns:
        uint8 array, `(size, size, 3)`.
    """
    check_seed(seed)
    check_size(size)
    place, mood = compose(seed, 2 * size), choose_mood(seed, bool(winter))
    image = draw_sky(place, mood)
    for number in range(len(place.ridges)):
        draw_ridge(image, place, mood, number)
    field = water_field(place)
    draw_ground(image, place, mood)
    draw_pines(image, place, mood, place.edge, 3)
    draw_water(image, place, mood, field)
    at = np.clip(place.groups[:2] * place.n, 0, place.n - 1).astype(int)
    groups = place.groups[:, field[at[1], at[0]] < -0.15]  # none stands in the water
    draw_shadows(image, place, mood, groups, place.boulders)
    draw_pines(image, place, mood, groups, 4)
    draw_boulders(image, place, mood)
    draw_pines(image, place, mood, place.front, 9)
    draw_flakes(image, place, mood)
    image = cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def _write(partial_folder, train, test, size, seed):
    # One run of seeds after the other, so that no place is in two folders.
    first = seed * 2 * (train + test)
    for name, count in {"trainA": train, "trainB": train, "testA": test, "testB": test}.items():
        (partial_folder / name).mkdir()
        for i in range(count):
            picture = Image.fromarray(landscape(first + i, name.endswith("B"), size))
            path = partial_folder / name / f"{i:04d}.jpg"
            picture.save(path, "JPEG", quality=95, subsampling=0)
        first += count


def draw(folder, train=300, test=60, size=64, seed=0):
    """Writes an unpaired data set in CycleGAN's layout: A is summer, B is winter.

    Files are `trainA/0000.jpg` and so on, the same in `trainB`, `testA` and `testB`. No place is
    in two of the folders. A folder that was drawn with the same arguments is left as it is.

    Args:
        folder: the folder. It must be absent, empty, or drawn by this package.
        train, test: pictures of each season.
        size: side in pixels, an even number from 32 to 1024.
        seed: int >= 0.

    Returns:
        The folder, as `Path`.

    Raises:
        ValueError: a number out of range, or a folder that holds somebody else's files.
    """
    if train < 1 or test < 1:
        raise ValueError(f"train {train} and test {test}, but at least 1 of each is needed")
    check_seed(seed)
    check_size(size)
    numbers = {"train": train, "test": test, "size": size, "seed": seed}
    settings = {"drawing": "landscapes", "version": VERSION, **numbers}
    return write_folder(folder, settings, partial(_write, **numbers))
