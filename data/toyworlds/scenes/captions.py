"""A scene in words: five captions, and the nouns by which they name things."""

import itertools

import numpy as np

from toyworlds.scenes.composition import BRIGHT, DRESSED, PAINTS, PEOPLE, VEHICLES

NUMBERS = {2: "two", 3: "three"}
# Of several words or phrases the first one is the most usual.
NAMES = {
    "man": ("man", "person", "guy"),
    "woman": ("woman", "person", "lady"),
    "boy": ("boy", "child", "little boy", "kid"),
    "girl": ("girl", "child", "little girl", "kid"),
    "bicycle": ("bike", "bicycle"),
}
PLURALS = {
    "man": ("men", "people"),
    "woman": ("women", "people"),
    "boy": ("boys", "children", "kids"),
    "girl": ("girls", "children", "kids"),
}
NOUNS = {  # of each category of objects, as words of captions
    "man": ("man", "men", "person", "people", "guy"),
    "woman": ("woman", "women", "person", "people", "lady"),
    "boy": ("boy", "boys", "child", "children", "kid", "kids"),
    "girl": ("girl", "girls", "child", "children", "kid", "kids"),
    "dog": ("dog", "dogs"),
    "cat": ("cat", "cats"),
    "horse": ("horse", "horses"),
    "bird": ("bird", "birds"),
    "car": ("car",),
    "bus": ("bus",),
    "bicycle": ("bike", "bicycle"),
    "boat": ("boat",),
    "ball": ("ball",),
    "frisbee": ("frisbee",),
    "kite": ("kite",),
    "umbrella": ("umbrella",),
    "skateboard": ("skateboard",),
    "surfboard": ("surfboard",),
    "bench": ("bench",),
    "tree": ("tree",),
    "house": ("house", "houses"),
    "grass": ("grass", "park", "field"),
    "sand": ("sand", "beach"),
    "snow": ("snow", "hill"),
    "street": ("street", "road"),
    "water": ("water", "ocean", "lake", "wave"),
    "sky": ("sky",),
}
VERBS = {  # third person, participle
    "walk": ("walks", "walking"),
    "run": ("runs", "running"),
    "stand": ("stands", "standing"),
    "sit": ("sits", "sitting"),
    "jump": ("jumps", "jumping"),
    "kick": ("kicks", "kicking"),
    "play": ("plays", "playing"),
    "throw": ("throws", "throwing"),
    "fly": ("flies", "flying"),
    "hold": ("holds", "holding"),
    "ride": ("rides", "riding"),
    "swim": ("swims", "swimming"),
    "surf": ("surfs", "surfing"),
    "ski": ("skis", "skiing"),
    "paddle": ("paddles", "paddling"),
    "carry": ("carries", "carrying"),
    "catch": ("catches", "catching"),
    "drive": ("drives", "driving"),
    "sail": ("sails", "sailing"),
}
PHRASES = {  # what somebody does; {} is the thing, and what is not listed is the verb alone
    ("jump", ""): ("jump", "jump in the air"),
    ("sit", "bench"): ("sit on a bench",),
    ("kick", "ball"): ("kick {}", "play with {}"),
    ("play", "ball"): ("play with {}",),
    ("throw", "ball"): ("throw {}", "play with {}"),
    ("throw", "frisbee"): ("throw {}", "play with {}"),
    ("fly", "kite"): ("fly {}", "play with {}"),
    ("hold", "umbrella"): ("hold {}", "stand under {}", "stand with {}"),
    ("ride", "bicycle"): ("ride {}",),
    ("ride", "horse"): ("ride {}",),
    ("ride", "skateboard"): ("ride {}",),
    ("surf", "surfboard"): ("surf on a wave", "ride {}", "ride a wave"),
    ("paddle", "boat"): ("paddle {}", "sit in {}", "ride in {}"),
    ("carry", "ball"): ("carry {}", "run with {}"),
    ("catch", "frisbee"): ("catch {}", "jump for {}"),
}
# Where it is: at rest ("rest"), on the move, in the air, in or on the water.
SPOTS = {
    "park": {
        "rest": ("on the grass", "in the park", "in a field"),
        "bench": ("in the park",),
        "move": ("on the grass", "in the park", "through the grass", "across a field"),
        "air": ("over the grass", "over the park", "over a field"),
    },
    "beach": {
        "rest": ("on the beach", "on the sand", "by the ocean"),
        "move": ("on the beach", "along the beach", "on the sand", "by the ocean"),
        "air": ("over the beach", "over the ocean", "over the water"),
        "in": ("in the ocean", "in the water"),
        "afloat": ("on the ocean", "on the water"),
    },
    "snow": {
        "rest": ("in the snow", "on a snowy hill"),
        "move": ("in the snow", "through the snow", "on a snowy hill"),
        "air": ("over the snow", "over a snowy hill"),
    },
    "street": {
        "rest": ("on the street", "on the road"),
        "move": ("down the street", "on the street", "on the road"),
    },
    "lake": {
        "rest": ("by the lake", "near the water", "on the grass"),
        "bench": ("by the lake", "near the water"),
        "move": ("by the lake", "along the lake", "near the water", "on the grass"),
        "air": ("over the lake", "over the water"),
        "in": ("in the lake", "in the water"),
        "afloat": ("on the lake", "on the water"),
    },
}
BEHIND = {
    "tree": ("under a tree", "near a tree", "next to a tree"),
    "house": ("in front of a house", "near a house"),
    "street": ("in front of some houses", "near some houses"),
}
WEATHER = {
    "sunny": ("on a sunny day", "under a blue sky"),
    "cloudy": ("on a cloudy day", "under a gray sky"),
    "sunset": ("at sunset", "under an orange sky"),
}
COLOURS = {colour for colours in (BRIGHT, *PAINTS.values()) for colour in colours}
THING_NOUNS = {word for kind, words in NOUNS.items() if kind not in PEOPLE for word in words}
FORMS_OF_VERBS = {form: verb for verb, forms in VERBS.items() for form in (verb, *forms)}
# Five ways to say it: is it going on, in which order, and how rich in colours and other details.
FORMS = {
    "does": ("who", "does", "company", "where", "behind", "light"),
    "is doing": ("who", "is", "doing", "company", "where", "behind", "light"),
    "doing": ("who", "doing", "company", "where", "behind", "light"),
    "place first": ("where", "comma", "who", "is", "doing", "company", "behind"),
    "short": ("who", "is", "doing", "company", "where", "light"),
}


def nouns():
    """The words by which captions name the objects: `{category: tuple of words}`."""
    return dict(NOUNS)


def describe(scene):
    """Five different captions of a scene, each of 6 to 14 words and a full stop.

    Returns:
        list of str, such as "A boy in a red shirt kicks a ball on the grass ."
    """
    rng, captions = np.random.default_rng((scene.seed, 1)), []
    for form in FORMS:
        while True:
            text = Teller(scene, rng, form).tell()
            caption = text[0].upper() + text[1:] + " ."
            if 6 <= len(text.replace(",", "").split()) <= 14 and caption not in captions:
                break
        captions.append(caption)
    return captions


def check_caption(scene, caption):
    """Which of a caption's colours, numbers and actions the scene has.

    A colour has to be that of what it is said of: "a black dog" is wrong where the dog is brown,
    though somebody's shirt be black. An action may be told as any phrase that fits, such as
    "plays with a ball" for a kick.

    Args:
        scene: a `Scene`.
        caption: str.

    Returns:
        dict, "colour", "number" and "action" -> list of bool, one for each that the caption names.
    """
    words = caption.lower().replace(".", " ").replace(",", " ").split()
    clothes = {x.colour for x in scene.everybody if x.kind in PEOPLE}
    painted = [(x.kind, x.colour) for x in scene.everybody if x.kind not in PEOPLE]
    painted += [(x.thing, x.thing_colour) for x in scene.everybody if x.thing_colour]
    phrases = {
        phrase.partition(" ")[0]
        for x in scene.everybody
        for phrase in PHRASES.get((x.action, x.thing), (x.action,))
    }
    right = {"colour": [], "number": [], "action": []}
    for word, following in itertools.pairwise([*words, ""]):
        if word in COLOURS and following != "sky":  # else "a red dress", or "in red"
            colours = {colour for kind, colour in painted if following in NOUNS[kind]}
            right["colour"].append(word in (colours if following in THING_NOUNS else clothes))
        elif word in NUMBERS.values():
            right["number"].append(word == NUMBERS.get(len(scene.actors)))
        elif word in FORMS_OF_VERBS:
            right["action"].append(FORMS_OF_VERBS[word] in phrases)
    return right


def a(text):
    return f"an {text}" if text[0] in "aeiou" else f"a {text}"


class Teller:
    """Somebody who words a scene, in one of the `FORMS`."""

    def __init__(self, scene, rng, form):
        self.scene, self.rng, self.form = scene, rng, form
        alike = scene.beside and scene.beside.kind == scene.actors[0].kind
        # How often a colour is told; always, where nothing else tells two from each other.
        self.detail = 1 if alike else 0.5 if form == "short" else 0.85

    def usual(self, options):
        """The first one, more often than not."""
        if len(options) == 1 or self.rng.random() < 0.6:
            return options[0]
        return options[1 + self.rng.integers(len(options) - 1)]

    def thing(self, kind, colour):
        name = self.usual(NAMES.get(kind, (kind,)))
        return f"{colour} {name}" if self.rng.random() < self.detail else name

    def one(self, actor):
        if actor.kind not in PEOPLE:
            return a(self.thing(actor.kind, actor.colour))
        text = a(self.usual(NAMES[actor.kind]))
        if actor.action == "swim" or self.rng.random() > self.detail:
            return text
        garment = "dress" if actor.kind in DRESSED else "shirt"
        return text + self.usual((f" in a {actor.colour} {garment}", f" in {actor.colour}"))

    def many(self, actors):
        kinds, colours = {x.kind for x in actors}, {x.colour for x in actors}
        kind, number = actors[0].kind, NUMBERS[len(actors)]
        told = len(colours) == 1 and self.rng.random() < self.detail
        if kind not in PEOPLE:
            return f"{number} {actors[0].colour} {kind}s" if told else f"{number} {kind}s"
        if len(kinds) > 1:
            if len(actors) == 2 and self.rng.random() < 0.6:
                return " and ".join(a(x.kind) for x in actors)
            return f"{number} {self.usual(PLURALS[kind][1:])}"
        text = f"{number} {self.usual(PLURALS[kind])}"
        if not told or actors[0].action == "swim":
            return text
        return f"{text} in {actors[0].colour} {'dresses' if kind in DRESSED else 'shirts'}"

    def where(self, first):
        spots = SPOTS[self.scene.place]
        if first.thing == "bench":
            return self.usual(spots["bench"])
        if first.kind == "bird":
            return self.usual(spots["air"])
        if self.scene.wet:
            afloat = first.action in ("sail", "paddle")
            return self.usual(spots["afloat" if afloat else "in"])
        moves = first.action in ("walk", "run", "ride", "ski", "drive", "carry")
        return self.usual(spots["move" if moves else "rest"])

    def tell(self):
        scene, rng = self.scene, self.rng
        first, beside, plural = scene.actors[0], scene.beside, len(scene.actors) > 1
        said = dict.fromkeys(("company", "behind", "light"), "")
        said["who"] = self.many(scene.actors) if plural else self.one(first)
        if beside and rng.random() < 0.92:
            other = self.one(beside)
            alike = beside.kind not in VEHICLES and first.thing != "bench"
            if alike and rng.random() < 0.5:
                said["who"], plural = f"{said['who']} and {other}", True
            elif first.action in ("stand", "sit"):
                said["company"] = f"{self.usual(('next to', 'beside'))} {other}"
            else:
                said["company"] = f"with {other}"
        phrase = self.usual(PHRASES.get((first.action, first.thing), (first.action,)))
        if "{}" in phrase:
            phrase = phrase.format(a(self.thing(first.thing, first.thing_colour)))
        verb, blank, rest = phrase.partition(" ")
        said["does"] = (verb if plural else VERBS[verb][0]) + blank + rest
        said["doing"] = VERBS[verb][1] + blank + rest
        said["is"], said["comma"] = "are" if plural else "is", ","
        said["where"] = self.where(first)
        behind = scene.behind or ("street" if scene.place == "street" else "")
        if behind and rng.random() < (0.5 if scene.behind else 0.25):
            said["behind"] = self.usual(BEHIND[behind])
        if rng.random() < (0.4 if scene.light == "sunset" else 0.15):
            said["light"] = self.usual(WEATHER[scene.light])
        return " ".join(said[part] for part in FORMS[self.form] if said[part])
