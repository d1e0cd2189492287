"""All models in their smallest form, with data: what holds for each is tested by one table."""

from collections import namedtuple

import keras
import numpy as np
import tensorflow as tf

from recipes import cyclegan, dcgan, fgsm, pix2pix, ssgan
from recipes.captioning import (
    CaptionBatches,
    ImageCaptioner,
    MergeCaptioner,
    TransformerCaptioner,
    Vocabulary,
)
from recipes.training.batches import Batches, random_shift, semi_supervised
from recipes.translation import build_patchgan, build_unet

Recipe = namedtuple("Recipe", "make data draw")  # draw: images of a trained model, or None

RNG = np.random.default_rng(0)
IMAGES = RNG.uniform(-1, 1, (8, 28, 28, 1)).astype("float32")
PAIRS = RNG.uniform(-1, 1, (2, 4, 32, 32, 3)).astype("float32")
WORDS = [f"w{i}" for i in range(9)]
VOCABULARY = Vocabulary(WORDS)
CAPTIONS = [[" ".join(RNG.choice(WORDS, n)) for n in range(1, 5)] for _ in range(5)]
POOLED, SPATIAL = (RNG.normal(size=(5, *shape)).astype("float32") for shape in ((5,), (2, 2, 5)))


def compiled(model, **settings):
    model.compile(**settings)
    return model


def make_dcgan(**how):
    networks = dcgan.build_generator(latent_dim=8, width=4), dcgan.build_discriminator(width=4)
    return compiled(dcgan.DCGAN(*networks, ema_decay=0.9), **how)


def make_ssgan(**how):
    networks = ssgan.build_generator(latent_dim=8, width=4), ssgan.build_classifier(width=4)
    return compiled(ssgan.SSGAN(*networks, ema_decay=0.9), **how)


def make_pix2pix(**how):
    networks = build_unet(32, 2, seed=0), build_patchgan(2, 2)
    return compiled(pix2pix.Pix2Pix(*networks), **how)


def make_cyclegan(**how):
    generators = [build_unet(32, 2, "instance", seed=seed) for seed in (0, 50)]
    critics = [build_patchgan(1, 2, "instance") for _ in generators]
    gan = cyclegan.CycleGAN(*generators, *critics, pool_size=3, image_size=32)
    return compiled(gan, **how)


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


def batches_of(*arrays, batch_size=4, **options):
    batches = Batches(*arrays, batch_size=batch_size, seed=0, **options)
    return [batches], batches.dataset


def shifted(images, seed):
    return random_shift(images, seed, 2)


def labels_and_images():
    labelled, _ = batches_of(IMAGES, np.arange(8))
    unlabelled, _ = batches_of(IMAGES)
    return [*labelled, *unlabelled], semi_supervised(*labelled, *unlabelled)


def domains():
    batches = [batches_of(images, batch_size=2, steps=1)[0][0] for images in PAIRS]
    return batches, tf.data.Dataset.zip(*(each.dataset for each in batches))


def captions(features):
    batches = CaptionBatches(features, CAPTIONS, VOCABULARY, batch_size=8, seed=0)
    return [batches], batches.dataset


def generated(model):
    return model.generate(16, seed=0)


def translated(model):
    return model.translate(PAIRS[0])


RECIPES = {
    "dcgan": Recipe(make_dcgan, lambda: batches_of(IMAGES, transform=shifted), generated),
    "ssgan": Recipe(make_ssgan, labels_and_images, generated),
    "pix2pix": Recipe(make_pix2pix, lambda: batches_of(*PAIRS, batch_size=2, steps=1), translated),
    "cyclegan": Recipe(make_cyclegan, domains, translated),
    "merge": Recipe(make_merge, lambda: captions(POOLED), None),
    "attention": Recipe(make_attention, lambda: captions(SPATIAL), None),
    "transformer": Recipe(make_transformer, lambda: captions(SPATIAL), None),
    "adversarial": Recipe(make_adversarial, lambda: batches_of(IMAGES, np.arange(8)), None),
}


def seeded(recipe, **how):
    """A new model of a recipe, always with the same weights."""
    keras.utils.set_random_seed(0)
    return recipe.make(**how)
