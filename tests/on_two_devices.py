"""Trains every model on one device and on two, and prints how far apart they end, as JSON.

A program of its own, which `test_strategy.py` runs: the CPU has to be divided in two before
TensorFlow starts.
"""

import json
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from recipes import cyclegan, pix2pix
from recipes.captioning import CaptionBatches, ImageCaptioner, MergeCaptioner, Vocabulary
from recipes.dcgan import DCGAN
from recipes.layers import convolution, downsample, upsample
from recipes.ssgan import SSGAN
from recipes.training.batches import Batches, semi_supervised
from recipes.training.distribution import optimizers_of, several
from recipes.training.runtime import set_seed, strategy

RNG = np.random.default_rng(0)
DIGITS = RNG.uniform(-1, 1, (12, 28, 28, 1)).astype("float32")
PHOTOS = RNG.uniform(-1, 1, (2, 12, 32, 32, 3)).astype("float32")
CAPTIONS = [[" ".join(RNG.choice(list("abcdefg"), n)) for n in (2, 4, 6)] for _ in range(6)]
FEATURES = RNG.normal(size=(6, 2, 2, 5)).astype("float32")
VOCABULARY = Vocabulary.build(CAPTIONS)


def small_net(pictures, norm, channels):
    """In the place of U-Net and PatchGAN, which take ten times as long to be traced."""
    inputs = [keras.Input((32, 32, 3)) for _ in range(pictures)]
    x = keras.layers.Concatenate()(inputs) if pictures > 1 else inputs[0]
    x = upsample(downsample(x, 4, norm), 4, norm)
    return keras.Model(inputs if pictures > 1 else inputs[0], convolution(channels, 3, 1)(x))


def dcgan(batch_size):
    def make():
        gan = DCGAN(width=2, latent_dim=4, dropout=0.0, paper=True, average=0.9)
        gan.compile(1e-3, 0.5, jit_compile=several())
        return gan

    return make, lambda: tf.data.Dataset.from_tensor_slices(DIGITS).batch(batch_size)


def ssgan(**settings):
    def make():
        gan = SSGAN(width=2, generator_width=2, latent_dim=4, average=0.9, **settings)
        gan.compile(1e-3)
        [dropout] = [x for x in gan.classifier.layers if isinstance(x, keras.layers.Dropout)]
        dropout.rate = 0.0
        return gan

    def data():
        labelled = Batches(DIGITS, np.arange(12) % 10, batch_size=4, seed=0)
        return semi_supervised(labelled, Batches(DIGITS, batch_size=3, seed=1, steps=3))

    return make, data


def translation(kind, **settings):
    def make():
        gan = kind(image_size=32, base_filters=2, dropout=0.0, **settings)
        gan.compile(1e-3, fused_updates=several())
        return gan

    return make, lambda: Batches(*PHOTOS, batch_size=4, seed=0).dataset


def captioner(kind, features, batch_size=4, clipnorm=None, **settings):
    def make():
        model = kind(len(VOCABULARY), features.shape[1:], embedding=4, **settings)
        model.compile(keras.optimizers.SGD(0.1, momentum=0.9, clipnorm=clipnorm))
        return model

    def data():
        return CaptionBatches(features, CAPTIONS, VOCABULARY, batch_size=batch_size, seed=0).dataset

    return make, data


POOLED = FEATURES.mean((1, 2))
CASES = {
    "DCGAN": lambda: dcgan(5),  # 5 + 5 + 2 pictures, so 3 on one device, 2 on the other
    "SSGAN": lambda: ssgan(generator_batch=5, feature_matching=True),
    "Pix2Pix": lambda: translation(pix2pix.Pix2Pix),
    "CycleGAN": lambda: translation(cyclegan.CycleGAN, pool_size=3),
    "MergeCaptioner": lambda: captioner(MergeCaptioner, POOLED, 17, width=4, dropout=0.0),  # 17 + 1
    "ImageCaptioner": lambda: captioner(
        ImageCaptioner, FEATURES, units=4, attention_units=4, doubly_stochastic=1.0
    ),
    "dropout": lambda: captioner(MergeCaptioner, POOLED, width=4, dropout=0.5),
    "clipnorm": lambda: captioner(MergeCaptioner, POOLED, width=4, dropout=0.0, clipnorm=0.01),
}


def state(model):
    """All that training changes."""
    return [
        *model.variables,
        *(v for optimizer in optimizers_of(model) for v in optimizer.variables),
    ]


def values(variables):
    return [v.numpy() for v in variables]


def gap(first, second):
    return max(float(np.abs(a - b).max(initial=0)) for a, b in zip(first, second, strict=True))


def train(where, make, data):
    set_seed(0)
    with where.scope():
        model = make()
    before = values(model.trainable_variables)
    model.fit(data().take(3), verbose=0)
    return model, gap(before, values(model.trainable_variables))


def on_each(variables):
    """The values on the first device, and on the second."""
    copies = [strategy().experimental_local_results(v.value) for v in variables]
    return ([copy[i].numpy() for copy in copies] for i in (0, 1))


def compare(make, data):
    one, way = train(tf.distribute.get_strategy(), make, data)
    two, _ = train(strategy(), make, data)
    trained = values(state(two))
    report = {
        "way": way,
        "gap": gap(values(state(one)), trained),
        "replicas": gap(*on_each(state(two))),
    }
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = Path(folder) / "checkpoint.weights.h5"
        two.save_weights(checkpoint)
        for variable in state(two):
            variable.assign(variable * 0)
        two.load_weights(checkpoint)
    report["restored"] = max(gap(trained, copy) for copy in on_each(state(two)))
    return report


if __name__ == "__main__":
    [cpu] = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    for recipe in (cyclegan, pix2pix):
        recipe.build_unet = lambda size, filters, norm, *_: small_net(1, norm, 3)
        recipe.build_patchgan = lambda pictures, filters, norm: small_net(pictures, norm, 1)
    results = {}
    for name in sys.argv[1:] or CASES:
        results[name] = compare(*CASES[name]())
    print(json.dumps(results))
