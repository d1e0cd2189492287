"""All models in their smallest form, with data: what holds for each is tested by one table."""

from collections import namedtuple

import keras
import numpy as np

from recipes import fgsm
from recipes.captioning import (
    CaptionBatches,
    ImageCaptioner,
    MergeCaptioner,
    TransformerCaptioner,
    Vocabulary,
)
from recipes.training.batches import Batches
from tests import tiny

Recipe = namedtuple("Recipe", "make data draw")  # draw: images of a trained model, or None

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, (8, 28, 28, 1)).astype("float32")
WORDS = [f"w{i}" for i in range(9)]
VOCABULARY = Vocabulary(WORDS)
CAPTIONS = [[" ".join(RNG.choice(WORDS, n)) for n in range(1, 5)] for _ in range(5)]
POOLED, SPATIAL = (RNG.normal(size=(5, *shape)).astype("float32") for shape in ((5,), (2, 2, 5)))


def compiled(model, **settings):
    model.compile(**settings)
    return model


def make_gan(name, **settings):
    return lambda **how: compiled(tiny.GANS[name][0](**settings), **how)


def make_merge(**how):
    return compiled(MergeCaptioner(len(VOCABULARY), (5,), width=4, embedding=4), **how)


def make_attention(**how):
    sizes = {"units": 4, "embedding": 4, "attention_units": 4, "dropout": 0.3}
    return compiled(ImageCaptioner(len(VOCABULARY), (2, 2, 5), **sizes), **how)


def make_transformer(**how):
    return compiled(
        TransformerCaptioner(len(VOCABULARY), (2, 2, 5), width=4, heads=2, blocks=1), **how
    )


def make_adversarial(**how):
    model = fgsm.AdversarialTraining(fgsm.build_classifier(width=2), epsilon=0.3)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"], **how)
    return model


def photos_and_labels():
    batches = Batches(IMAGES, np.arange(8), batch_size=4, seed=0)
    return [batches], batches.dataset


def captions(features):
    batches = CaptionBatches(features, CAPTIONS, VOCABULARY, batch_size=8, seed=0)
    return [batches], batches.dataset


def generated(model):
    return model.generate(16, seed=0)


def translated(model):
    return model.translate(tiny.images(2, 3))


RECIPES = {
    "dcgan": Recipe(make_gan("dcgan", ema_decay=0.9), tiny.unlabelled, generated),
    "ssgan": Recipe(make_gan("ssgan", ema_decay=0.9), tiny.few_labels, generated),
    "pix2pix": Recipe(make_gan("pix2pix", dropout=0.5), tiny.pairs, translated),
    "cyclegan": Recipe(make_gan("cyclegan", pool_size=3), tiny.domains, translated),
    "merge": Recipe(make_merge, lambda: captions(POOLED), None),
    "attention": Recipe(make_attention, lambda: captions(SPATIAL), None),
    "transformer": Recipe(make_transformer, lambda: captions(SPATIAL), None),
    "adversarial": Recipe(make_adversarial, photos_and_labels, None),
}


def seeded(recipe, **how):
    """A new model of a recipe, always with the same weights."""
    keras.utils.set_random_seed(0)
    return recipe.make(**how)
