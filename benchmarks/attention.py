"""Attention captioner: one traced loop over the words of a batch, against a step that is unrolled
to the longest caption, makes the attention keys anew at each word, and each word's logits alone."""

import time

import keras
import numpy as np
import tensorflow as tf

from recipes.captioning import CaptionBatches, ImageCaptioner, Vocabulary, generate
from recipes.captioning.vocabulary import END, START
from recipes.losses import masked_cross_entropy

WORDS, SHAPE, LONGEST, BATCH = 5000, (8, 8, 2048), 34, 64


def ways(steps=4):
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(WORDS - 4)]
    vocabulary = Vocabulary(words)
    lengths = np.clip(rng.poisson(9.9, steps * BATCH) + 1, 2, LONGEST - 2)
    lengths[0] = LONGEST - 2
    captions = [[" ".join(rng.choice(words, n))] for n in lengths]
    features = rng.normal(size=(len(captions), *SHAPE)).astype(np.float16)
    model, other = (ImageCaptioner(len(vocabulary), SHAPE) for _ in range(2))
    bias = np.zeros(len(vocabulary), np.float32)
    bias[END] = -1e9  # untrained, and so that each caption has the same number of words
    for network in (model, other):
        network.compile(keras.optimizers.Adam(1e-3, clipnorm=5.0))
        network.decoder.logits.bias.assign(bias)
    batches = CaptionBatches(features, captions, vocabulary, batch_size=BATCH, seed=0)
    padded = vocabulary.encode([c for [c] in captions])
    step = classic_step(other)

    def classic():
        for i in range(0, len(captions), BATCH):
            image = tf.constant(features[i : i + BATCH], tf.float32)
            loss = step(image, tf.constant(padded[i : i + BATCH]))
        return float(loss)

    # Each way is traced in its first call, which also warms it up: that is the time to trace.
    for name, way in (("classic", classic), ("ours", lambda: fit(model, batches))):
        began = time.perf_counter()
        way()
        first = time.perf_counter() - began
        began = time.perf_counter()
        way()
        print(f"{name}: {first - (time.perf_counter() - began):.1f} s to trace")

    def one_by_one():
        """A function call without a graph for each word, as in the classic version."""
        memory, state = other.begin(tf.constant(features[:1], tf.float32))
        word = tf.constant([START])
        for _ in range(12):
            memory, _ = other.begin(tf.constant(features[:1], tf.float32))
            logits, state, _ = other.step(word, memory, state)
            word = tf.argmax(logits, -1, tf.int32)

    return {
        f"training, {len(captions)} captions": (
            "epoch",
            3,
            {"classic": classic, "fit": lambda: fit(model, batches)},
        ),
        "12 words for each of 64 photos": (
            "64 photos",
            1,
            {
                "classic": lambda: [one_by_one() for _ in range(BATCH)],
                "greedy": lambda: generate(model, features[:BATCH], 1, 12),
                "3 beams": lambda: generate(model, features[:BATCH], 3, 12),
            },
        ),
    }


def fit(model, batches):
    model.fit(batches.dataset, epochs=1, verbose=0)


def classic_step(model):
    @tf.function
    def step(image, words):
        with tf.GradientTape() as tape:
            state, losses = model.decoder.start(BATCH), []
            places = model.encode(image)
            for n in range(words.shape[1] - 1):  # Python: one copy of the graph for each word
                logits, state, _ = model.decoder.step(words[:, n], places, None, state)
                losses.append(masked_cross_entropy(words[:, n + 1], logits))
            loss = tf.add_n(losses) / len(losses)
        variables = model.trainable_variables
        model.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return loss

    return step
