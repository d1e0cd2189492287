"""Captioner: whole captions against a padded row for each word; one compiled search against
`predict` for each word. Captions are as long as those of Flickr8k, of as many different words."""

import keras
import numpy as np
from keras import layers

from recipes.captioning import CaptionBatches, MergeCaptioner, Vocabulary, generate
from recipes.captioning.vocabulary import END, START

WORDS, CHANNELS, LONGEST, CAPTIONS = 4500, 4096, 34, 64


def ways(batch=64):
    rng = np.random.default_rng(0)
    words = [f"w{i}" for i in range(WORDS)]
    vocabulary = Vocabulary(words)
    # Lengths as in Flickr8k: 10.9 words on average, the longest 34 with start and end.
    lengths = np.clip(rng.poisson(9.9, 4 * CAPTIONS) + 1, 2, LONGEST - 2)
    lengths[0] = LONGEST - 2
    captions = [[" ".join(rng.choice(words, n))] for n in lengths]
    features = rng.normal(size=(max(len(captions), batch), CHANNELS)).astype(np.float32)
    model = MergeCaptioner(len(vocabulary), (CHANNELS,))
    model.compile()
    batches = CaptionBatches(features, captions, vocabulary, batch_size=CAPTIONS, seed=0)
    # The same words in as many batches: a row for each word, and its target as one-hot.
    rows, classic_model = classic_rows(features, vocabulary.encode([c for [c] in captions]))
    count = len(rows[2]) // batches.steps
    bias = np.zeros(len(vocabulary), np.float32)
    bias[END] = -1e9  # untrained, and so that each caption has the same number of words
    for network in (model, classic_model):
        network.layers[-1].bias.assign(bias)

    def fit_classic():
        classic_model.fit(
            (rows[0], rows[1]), keras.utils.to_categorical(rows[2], len(vocabulary)),
            batch_size=count, epochs=1, verbose=0,
        )  # fmt: skip

    def one_by_one():
        numbers = [START]
        for _ in range(12):
            padded = np.pad(numbers, (0, LONGEST - len(numbers)))[None]
            chances = classic_model.predict((features[:1], padded), verbose=0)
            numbers.append(int(chances.argmax()))

    return {
        f"training, {len(captions)} captions, {count} words a batch": (
            "epoch",
            3,
            {
                "classic": fit_classic,
                "whole captions": lambda: model.fit(batches.dataset, epochs=1, verbose=0),
            },
        ),
        "12 words for one photo": (
            "photo",
            3,
            {
                "classic": one_by_one,
                "greedy": lambda: generate(model, features[:1], 1, 12),
                "3 beams": lambda: generate(model, features[:1], 3, 12),
            },
        ),
        f"12 words for {batch} photos": (
            "batch",
            1,
            {
                "classic": lambda: [one_by_one() for _ in range(batch)],
                "greedy": lambda: generate(model, features[:batch], 1, 12, batch_size=batch),
                "3 beams": lambda: generate(model, features[:batch], 3, 12, batch_size=batch),
            },
        ),
    }


def classic_rows(features, numbers):
    """The book's data and network: (features, beginning) -> next word, for each word."""
    image, beginnings, following = [], [], []
    for row, feature in zip(numbers, features, strict=False):
        for n in range(1, (row != 0).sum()):
            image.append(feature)
            beginnings.append(np.pad(row[:n], (0, LONGEST - n)))
            following.append(row[n])
    photo, words = keras.Input((CHANNELS,)), keras.Input((LONGEST,))
    x = layers.Dense(256, "relu")(layers.Dropout(0.5)(photo))
    y = layers.Dropout(0.5)(layers.Embedding(WORDS + 4, 256, mask_zero=True)(words))
    y = layers.Dense(256, "relu")(layers.Add()([x, layers.LSTM(256)(y)]))
    model = keras.Model([photo, words], layers.Dense(WORDS + 4, "softmax")(y))
    model.compile("adam", "categorical_crossentropy")
    return (np.array(image), np.array(beginnings), np.array(following)), model
