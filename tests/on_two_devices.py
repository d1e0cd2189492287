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

from recipes.captioning import CaptionBatches, ImageCaptioner, MergeCaptioner, Vocabulary
from recipes.dcgan import DCGAN, build_discriminator, build_generator
from recipes.training.distribution import has_replicas, optimizers_of
from recipes.training.runtime import set_seed, strategy
from tests import tiny

RNG = np.random.default_rng(0)
CAPTIONS = [[" ".join(RNG.choice(list("abcdefg"), n)) for n in (2, 4, 6)] for _ in range(6)]
FEATURES = RNG.normal(size=(6, 2, 2, 5)).astype("float32")
VOCABULARY = Vocabulary.build(CAPTIONS)


def gan(name, make=None, **settings):
    def build():
        made = (make or tiny.GANS[name][0])(ema_decay=0.9, **settings)
        made.compile(
            1e-3, fused_updates=has_replicas(), jit_compile=has_replicas()
        )  # both without effect
        return made

    return build, lambda: tiny.GANS[name][1]()[1]


def with_all_switches(**settings):
    generator = build_generator((8, 8, 1), 4, 2, norm_first=True)
    shape = {"image_shape": (8, 8, 1), "width": 2, "dropout": 0.0}
    return DCGAN(
        generator, build_discriminator(**shape, spectral_norm=True, augmentation=1), **settings
    )


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
    "DCGAN": lambda: gan("dcgan", with_all_switches),
    "SSGAN": lambda: gan("ssgan"),
    "Pix2Pix": lambda: gan("pix2pix"),
    "CycleGAN": lambda: gan("cyclegan", pool_size=3),
    "MergeCaptioner": lambda: captioner(MergeCaptioner, POOLED, 17, width=4, dropout=0.0),  # 17 + 1
    "ImageCaptioner": lambda: captioner(
        ImageCaptioner, FEATURES, units=4, attention_units=4, doubly_stochastic=1.0
    ),
    "dropout": lambda: captioner(MergeCaptioner, POOLED, width=4, dropout=0.5),
    "clipnorm": lambda: captioner(MergeCaptioner, POOLED, width=4, dropout=0.0, clipnorm=0.01),
}


# The others train eagerly on two devices too: to trace a step for both takes longer than all else.
TRACED = ("DCGAN", "MergeCaptioner")


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


def train(where, make, data, traced=False):
    set_seed(0)
    with where.scope():
        model = make()
    model.run_eagerly = not traced
    before = values(model.trainable_variables)
    model.fit(data().take(3), verbose=0)
    return model, gap(before, values(model.trainable_variables))


def on_each(variables):
    """The values on the first device, and on the second."""
    copies = [strategy().experimental_local_results(v.value) for v in variables]
    return ([copy[i].numpy() for copy in copies] for i in (0, 1))


def compare(make, data, traced):
    one, way = train(tf.distribute.get_strategy(), make, data)
    two, _ = train(strategy(), make, data, traced)
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
    results = {}
    for name in sys.argv[1:] or CASES:
        results[name] = compare(*CASES[name](), traced=name in TRACED)
    print(json.dumps(results))
