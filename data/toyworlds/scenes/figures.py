"""People and animals of the scenes, made of the parts that `sketch` paints."""

import math

from toyworlds.scenes.composition import CHILDREN, DRESSED
from toyworlds.scenes.sketch import TURNS, bounds, disc, fill, line, moved, shade, step

COLOURS = {  # those that captions name
    "red": (216, 46, 42),
    "blue": (36, 92, 214),
    "green": (34, 150, 66),
    "yellow": (252, 208, 36),
    "pink": (250, 132, 182),
    "white": (246, 246, 244),
    "black": (46, 46, 54),
    "brown": (150, 90, 46),
    "orange": (240, 140, 40),
}
SKINS = ((252, 214, 184), (238, 188, 148), (190, 132, 92), (128, 84, 58))
HAIRS = ((62, 42, 32), (40, 34, 34), (112, 70, 40), (170, 96, 46))
TROUSERS = ((70, 80, 112), (112, 98, 84), (84, 90, 96))
DARK, GLASS = (52, 48, 52), (150, 200, 224)
WOOD, CLOTH = (150, 106, 66), (250, 248, 240)
BEAK, NOSE, TONGUE = (244, 160, 40), (30, 28, 30), (226, 120, 130)

# Of a person: how far the body leans, thigh and shin of both legs, upper arm and forearm of both
# arms, in degrees as for `step`; the near leg and arm first.
POSES = {
    "stand": (0, (10, 6), (-10, -6), (22, 32), (-26, -12)),
    "walk": (3, (26, 14), (-18, -34), (-28, -8), (28, 50)),
    "run": (14, (68, -12), (-22, -92), (-62, 24), (50, 128)),
    "sit": (-4, (86, 4), (80, -6), (38, 66), (10, 40)),
    "ground": (-10, (74, 96), (112, 30), (30, 62), (-30, -14)),
    "jump": (4, (62, -42), (-34, -92), (146, 160), (-140, -156)),
    "kick": (-10, (66, 58), (-10, -22), (-62, -40), (58, 74)),
    "throw": (-6, (24, 12), (-22, -34), (128, 146), (-46, -20)),
    "hold": (0, (8, 4), (-8, -4), (30, 128), (-14, -6)),
    "fly": (-6, (10, 4), (-14, -8), (108, 118), (84, 104)),
    "bicycle": (30, (66, -4), (24, -40), (18, 68), (12, 62)),
    "horse": (4, (40, -8), (40, -8), (34, 72), (28, 66)),
    "skateboard": (12, (34, -26), (-16, -44), (58, 76), (-66, -82)),
    "surfboard": (16, (46, -22), (-30, -58), (74, 92), (-78, -96)),
    "ski": (24, (46, -26), (36, -34), (34, 78), (20, 66)),
    "boat": (16, (80, 60), (76, 56), (52, 66), (46, 60)),
    "swim": (24, (0, 0), (0, 0), (116, 96), (-60, -80)),
}


def person(kind, colour, pose, rng):
    """A man, woman, boy or girl: the parts, hips at (0, 0), and where hand and foot are, and `low`.

    `low` is how far the lowest joint is below the hips, as a y.
    """
    lean, near_leg, far_leg, near_arm, far_arm = POSES[pose]
    child, dress = kind in CHILDREN, kind in DRESSED
    skin, hair = SKINS[rng.integers(4)], HAIRS[rng.integers(4)]
    cloth, trousers = COLOURS[colour], TROUSERS[rng.integers(3)]
    if child:  # a large head on short legs, and bare shins
        size, bone, torso, head, arm, thick = 0.72, 0.17, 0.27, 0.155, 0.165, 0.115
    else:
        size, bone, torso, head, arm, thick = 1, 0.23, 0.32, 0.112, 0.175, 0.1
    neck, shoulder = step((0, 0), 180 - lean, torso), step((0, 0), 180 - lean, 0.88 * torso)
    x, y = face = step(neck, 180 - lean * 0.6, head * 0.95)

    def leg(angles, tone):
        knee = step((0, 0), angles[0], bone)
        foot = step(knee, angles[1], bone)
        parts = [line(0.75 * thick, DARK, foot, step(foot, angles[1] + 80, 0.075))]
        if child or dress:
            parts.append(line(0.8 * thick, shade(skin, tone), knee, foot))
        if dress:
            parts.append(line(0.8 * thick, shade(skin, tone), (0, 0), knee))
        elif child:
            parts.append(line(1.15 * thick, shade(trousers, tone), (0, 0), knee))
        else:
            parts.append(line(thick, shade(trousers, tone), (0, 0), knee, foot))
        return parts, foot, min(0, knee[1], foot[1])

    def reach(angles, tone):
        elbow = step(shoulder, angles[0], arm)
        hand = step(elbow, angles[1], arm)
        sleeve = line(0.84 * thick, shade(cloth, tone), shoulder, elbow)
        return [line(0.66 * thick, shade(skin, tone), elbow, hand), sleeve], hand

    behind, _, low = leg(far_leg, 0.8)
    before, foot, other_low = leg(near_leg, 1)
    near_hand, hand = reach(near_arm, 1)
    body = [line(0.2, cloth, (0, 0.03), step((0, 0), 180 - lean, 0.78 * torso))]
    if dress:
        hem = sorted(step((0, 0), angles[0], 0.86 * bone) for angles in (near_leg, far_leg))
        (x0, y0), (x1, y1) = hem
        body.append(fill(cloth, (-0.1, 0.06), (0.1, 0.06), (x1 + 0.07, y1), (x0 - 0.07, y0)))
        body.append(line(1.5 * head, hair, (x - 0.35 * head, y), (x - 0.6 * head, y - 1.5 * head)))
    top = [
        line(0.7 * thick, skin, neck, face),
        disc(skin, x, y, head),
        fill(hair, *(TURNS[2:13] * head * 1.12 + face)),
        disc(DARK, x + 0.52 * head, y - 0.02 * head, 0.13 * head, 0.17 * head, flat=True),
    ]
    parts = [*reach(far_arm, 0.82)[0], *behind, *before, *body, *top, *near_hand]
    joints = {"hand": hand, "foot": foot, "low": (0, min(low, other_low) - 0.4 * thick)}
    return moved(parts, size=size), {k: (size * x, size * y) for k, (x, y) in joints.items()}


# Length of the body, height of the legs, thickness of body, legs and neck; the neck (forwards,
# up); radius of the head; length, thickness and angle of the muzzle; angles, length and width of
# the tail.
BUILDS = {
    "dog": (
        (0.36, 0.25, 0.17, 0.07, 0.12), (0.12, 0.15), 0.09,
        (0.11, 0.085, 68), (-150, -115, 0.17, 0.045),
    ),
    "cat": (
        (0.27, 0.17, 0.14, 0.055, 0.1), (0.07, 0.1), 0.095,
        (0.05, 0.07, 68), (-175, -140, 0.22, 0.04),
    ),
    "horse": (
        (0.54, 0.5, 0.27, 0.085, 0.17), (0.2, 0.35), 0.1,
        (0.23, 0.115, 42), (-24, -24, 0.42, 0.1),
    ),
}  # fmt: skip
# Thigh and shin of the front legs, then of the hind legs, the near one first; the body's turn.
GAITS = {
    "stand": ((4, 0), (-8, -4), (10, -8), (-6, -10), 0),
    "walk": ((24, 8), (-20, -36), (26, -2), (-24, -34), 0),
    "run": ((66, 24), (40, -14), (-34, -78), (-4, -62), 2),
    "jump": ((62, -20), (44, -40), (-52, -58), (-36, -70), 24),
    "sit": ((0, 0), (-8, 0), (60, -40), (60, -40), 44),
    "swim": ((60, 30), (20, -20), (-40, -60), (10, -40), 8),
}


def animal(kind, colour, gait):
    """A dog, cat or horse: the parts, standing on y = 0, and where the mouth is."""
    (long, tall, thick, bone, throat), neck, head, (muzzle, snout, down), tail = BUILDS[kind]
    near_front, far_front, near_hind, far_hind, turn = GAITS[gait]
    coat, sits = COLOURS[colour], gait == "sit"
    far, dark = shade(coat, 0.75), shade(coat, 0.62)
    front = (long / 2 * math.cos(math.radians(turn)), long / 2 * math.sin(math.radians(turn)))
    rear = (-front[0], -front[1])

    def leg(start, angles, colour):
        half = 0.5 * (tall + (2 * front[1] if sits else 0))
        knee = step(start, angles[0], half)
        return line(bone, colour, start, knee, step(knee, angles[1], half))

    x, y = nape = (front[0] + neck[0], front[1] + neck[1])
    nose = step(nape, down, head * 0.6 + muzzle)
    first, second, wag, bushy = tail
    root = step(rear, -90, 0.4 * thick)
    bend = step(root, first + turn, 0.5 * wag)
    tip = step(bend, second + turn, 0.5 * wag)
    hind = line(bushy, dark if kind == "horse" else coat, root, bend, tip)
    behind = [leg(front, far_front, far)]
    body = [line(thick, coat, rear, front), line(throat, coat, front, nape)]
    body += [disc(coat, x, y, head), line(snout, coat, nape, nose), leg(front, near_front, coat)]
    if sits:
        thigh, low = shade(coat, 0.99), rear[1] - 0.45 * thick  # a colour, and so a rim, of its own
        body.append(line(bone, thigh, (rear[0] + 0.02, low), (rear[0] + 0.16, low)))
        body.append(disc(thigh, rear[0] + 0.05, rear[1] + 0.01, 0.6 * thick, 0.52 * thick))
    else:
        behind.append(leg(rear, far_hind, far))
        body.append(leg(rear, near_hind, coat))
    if kind == "dog":
        body.append(line(0.07, dark, (x - 0.03, y + 0.05), (x - 0.06, y - 0.07)))
    elif kind == "cat":
        for near, tip, far in ((-0.09, -0.075, 0), (0.09, 0.065, 0)):
            ear = (x + near, y + 0.04), (x + tip, y + 0.155), (x + far, y + 0.075)
            body.insert(1, fill(coat, *ear))
    else:
        mane = (front[0] - 0.02, front[1] + 0.17), (x - 0.07, y), (x - 0.01, y + 0.1)
        body.append(line(0.07, dark, *mane))
        body.append(fill(coat, (x - 0.02, y + 0.06), (x, y + 0.17), (x + 0.05, y + 0.06)))
    eye = CLOTH if colour == "black" else DARK
    body.append(disc(eye, x + 0.35 * head, y + 0.25 * head, 0.17 * head, flat=True))
    tip = step(nose, 90, 0.3 * snout)
    body.append(disc(TONGUE if kind == "cat" else NOSE, *tip, 0.3 * snout, flat=True))
    lift = 0.3 * (gait == "jump") - bounds([*behind, *body])[1]
    return moved([hind, *behind, *body], y=lift), (nose[0], nose[1] + lift - 0.3 * snout)


def bird(colour, beat):
    """A bird in flight; `beat`, from 0 to 1, is how high its wings are."""
    coat, y = COLOURS[colour], 0.14 + 0.2 * beat
    return [
        fill(shade(coat, 0.75), (-0.02, 0.02), (0.1, y), (0.2, 1.3 * y + 0.06), (0.14, 0.03)),
        fill(BEAK, (0.24, 0.06), (0.24, 0.0), (0.33, 0.02)),
        fill(coat, (-0.16, 0.02), (-0.36, 0.07), (-0.36, -0.05)),
        line(0.12, coat, (-0.12, 0), (0.1, 0.01)),
        disc(coat, 0.19, 0.035, 0.075),
        fill(coat, (-0.06, 0.02), (-0.2, y - 0.02), (-0.16, 1.3 * y + 0.06), (0.1, 0.03)),
        disc(CLOTH if colour == "black" else DARK, 0.21, 0.055, 0.017, flat=True),
    ]
