"""What is in a scene: decided from a seed, and told in tags."""

from dataclasses import dataclass

import numpy as np

from recipes.arguments import check_seed

PEOPLE = ("man", "woman", "boy", "girl")
CHILDREN, DRESSED = ("boy", "girl"), ("woman", "girl")
VEHICLES = ("car", "bus", "bicycle", "boat")
THINGS = ("ball", "frisbee", "kite", "umbrella", "skateboard", "surfboard", "bench")
LIGHTS = ("sunny", "cloudy", "sunset")
CLOTHES = ("red", "blue", "green", "yellow", "pink", "white", "black")
BRIGHT = ("red", "blue", "yellow", "green")
PAINTS = {  # the colours of what is not listed are BRIGHT
    **dict.fromkeys(PEOPLE, CLOTHES),
    "dog": ("brown", "black", "white"),
    "cat": ("orange", "black", "white"),
    "horse": ("brown", "black", "white"),
    "bird": ("white", "black", "red"),
    "car": ("red", "blue", "yellow", "white", "green"),
    "ball": ("red", "blue", "yellow", "white"),
    "umbrella": ("red", "blue", "yellow", "pink"),
}
# What everybody does where: an action, or an action and its thing.
DEEDS = {
    "park": {
        "person": "walk run stand sit:bench jump kick:ball throw:ball throw:frisbee play:ball "
        "fly:kite hold:umbrella ride:bicycle ride:horse ride:skateboard",
        "dog": "walk run stand sit jump carry:ball catch:frisbee",
        "cat": "walk run stand sit",
        "horse": "walk run stand",
        "bird": "fly",
    },
    "beach": {
        "person": "walk run stand sit jump kick:ball throw:ball throw:frisbee play:ball fly:kite "
        "hold:umbrella ride:horse swim surf:surfboard",
        "dog": "walk run stand sit jump swim carry:ball catch:frisbee",
        "horse": "walk run stand",
        "bird": "fly",
        "boat": "sail",
    },
    "snow": {
        "person": "walk run stand jump ski hold:umbrella ride:horse",
        "dog": "walk run stand sit jump carry:ball",
        "cat": "walk stand sit",
        "horse": "walk run stand",
        "bird": "fly",
    },
    "street": {
        "person": "walk run stand jump kick:ball hold:umbrella ride:bicycle ride:skateboard",
        "dog": "walk run stand sit",
        "cat": "walk run stand sit",
        "car": "drive",
        "bus": "drive",
    },
    "lake": {
        "person": "walk run stand sit:bench throw:ball fly:kite ride:bicycle hold:umbrella swim "
        "paddle:boat",
        "dog": "walk run stand sit swim carry:ball",
        "horse": "walk run stand",
        "bird": "fly",
        "boat": "sail",
    },
}
PLACES = tuple(DEEDS)
ACTIONS = tuple(
    dict.fromkeys(
        deed.partition(":")[0]
        for kinds in DEEDS.values()
        for deeds in kinds.values()
        for deed in deeds.split()
    )
)
SHARES = {"person": 8, "dog": 3}  # how often something is the actor; 1 for what is not listed
CALM = ("walk", "run", "stand", "sit")  # may have somebody beside
LANDMARKS = {
    "park": ("tree", "house"),
    "beach": ("tree",),
    "snow": ("tree", "house"),
    "lake": ("tree",),
}
TAGS = (
    *PEOPLE, "dog", "cat", "horse", "bird", *VEHICLES, *THINGS, "tree", "house",
    *ACTIONS, *PLACES, *LIGHTS, "two", "three", "beside",
    *(f"{colour} clothes" for colour in CLOTHES),
    *(f"{colour} animal" for colour in ("brown", "black", "white", "orange", "red")),
    *(f"{colour} thing" for colour in (*BRIGHT, "white", "pink")),
)  # fmt: skip


@dataclass(frozen=True)
class Actor:
    """Somebody who does something, perhaps with a thing. A person's colour is of the clothes."""

    kind: str
    colour: str
    action: str
    thing: str = ""
    thing_colour: str = ""


@dataclass(frozen=True)
class Scene:
    """All that is decided about a picture.

    Attributes:
        seed: int, as given to `compose`.
        place, light: one of `PLACES` and one of `LIGHTS`.
        actors: tuple of one to three of class `Actor`, who all do the same.
        beside: one more `Actor`, who is of another kind or age, or a dog of another colour; or
            None.
        behind: "tree", "house" or "".
    """

    seed: int
    place: str
    light: str
    actors: tuple
    beside: Actor | None
    behind: str

    @property
    def action(self):
        return self.actors[0].action

    @property
    def wet(self):
        """Whether it takes place on the water, where no shore is in sight."""
        return self.action in ("swim", "surf", "paddle", "sail")

    @property
    def everybody(self):
        return (*self.actors, self.beside) if self.beside else self.actors


def compose(seed):
    """Decides on a scene, a `Scene`, from an int >= 0."""
    check_seed(seed)
    rng = np.random.default_rng((seed, 0))

    def pick(options):
        return options[rng.integers(len(options))]

    def paint(kind, but=""):
        return pick([colour for colour in PAINTS.get(kind, BRIGHT) if colour != but])

    place, light = pick(PLACES), pick(LIGHTS)
    kinds = list(DEEDS[place])
    shares = np.array([SHARES.get(kind, 1) for kind in kinds])
    kind = kinds[rng.choice(len(kinds), p=shares / shares.sum())]
    action, _, thing = pick(DEEDS[place][kind].split()).partition(":")
    count = int(rng.choice((1, 2, 3), p=(0.62, 0.24, 0.14)))
    if action == "play" or (action == "ski" and count == 3):  # three with skis are too wide
        count = 2
    elif thing not in ("", "bench") or kind in VEHICLES:
        count = 1
    group = [kind] * count
    if kind == "person":  # of a swimmer the height is not to be seen, so only children do it
        group = [pick(CHILDREN if action == "swim" else PEOPLE)] * count
        if count > 1 and rng.random() < 0.5:
            pair = CHILDREN if group[0] in CHILDREN else PEOPLE[:2]
            group = [*pair, pick(pair)][:count]
    colour, thing_colour = paint(group[0]), "" if thing in ("", "bench") else paint(thing)
    alike = len(set(group)) == 1 and (kind != "person" or rng.random() < 0.5)
    actors = [
        Actor(kind, colour if alike else paint(kind), action, thing, thing_colour) for kind in group
    ]
    beside, behind = None, ""
    if count == 1 and action in CALM and kind in ("person", "dog") and rng.random() < 0.5:
        company = ["dog", "dog", "cat"]
        if kind == "person":  # grown-ups beside children: two alike would be a group
            company[2:] = PEOPLE[:2] if group[0] in CHILDREN else CHILDREN
        if action == "stand" and kind == "person":
            company += ["car", "car", "bicycle"] if place == "street" else ["horse"]
        other = pick(company)
        beside = Actor(other, paint(other, actors[0].colour), action)
    narrow = action in (*CALM, "jump", "kick") or thing in ("bicycle", "horse")
    if place in LANDMARKS and narrow and count < 3 and rng.random() < 0.45:
        behind = pick(LANDMARKS[place])
    return Scene(int(seed), place, light, tuple(actors), beside, behind)


def attributes(scene):
    """The tags of a scene: a list of those of `TAGS` that hold, in their order."""
    tags = {scene.place, scene.light, scene.behind, {2: "two", 3: "three"}.get(len(scene.actors))}
    if scene.beside:
        tags.add("beside")
    if scene.place == "street":
        tags.add("house")
    for actor in scene.everybody:
        tags |= {actor.kind, actor.action, actor.thing, _colour(actor.kind, actor.colour)}
        tags.add(_colour(actor.thing, actor.thing_colour))
        if actor.action == "swim" and actor.kind in PEOPLE:
            tags.remove(_colour(actor.kind, actor.colour))  # it is under water
    return [tag for tag in TAGS if tag in tags]


def _colour(kind, colour):
    animal = kind in ("dog", "cat", "horse", "bird")
    return f"{colour} {'clothes' if kind in PEOPLE else 'animal' if animal else 'thing'}"
