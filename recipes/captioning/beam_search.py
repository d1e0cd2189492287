"""From a trained captioner to captions: beam search, in one compiled loop for a whole batch."""

from functools import partial
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from recipes.captioning.model import check_finite
from recipes.captioning.vocabulary import END, PAD, START, UNKNOWN
from recipes.training.checks import check_count


class Generated(NamedTuple):
    """What `generate` returns."""

    words: np.ndarray  # int32 (images, max_length), an end and then padding after the caption
    scores: np.ndarray  # float32 (images,), log-probability / length ** length_power
    # float32 (images, max_length, places): for each word, and the end, weights that sum to 1; then
    # zeros. None for a captioner without attention.
    attention: np.ndarray | None


def generate(model, features, beams=3, max_length=None, length_power=0.7, batch_size=64):
    """The best captions of images, by beam search.

    After each word, the `beams` likeliest partial captions are kept. Padding, start and unknown
    are never chosen, nor is a caption without a word. Of equally likely words the first one wins:
    the same features always give the same captions.

    Args:
        model: a `CaptionModel`.
        features: float array of any precision, `(images, ...)`, as the model takes them.
        beams: int, the beam width; 1 is greedy decoding.
        max_length: the most words of a caption, the end token included; by default 30, or as
            many as the captioner can make.
        length_power: the log-probability of a caption is divided by its length to this power
            (Wu et al. 2016, without their constant): at 0, short captions win too often.
        batch_size: images at a time.

    Returns:
        A `Generated`.

    Raises:
        ValueError: features of another shape, or that are not finite, no images, a beam width
            below 1, or a `max_length` that the captioner does not know.
    """
    model.check_features(features)
    max_length = longest(model, 30) if max_length is None else max_length
    numbers = {"beams": beams, "max_length": max_length, "batch_size": batch_size}
    for name, value in numbers.items():
        check_count(name, value)
    model.check_length(max_length)
    beams = min(beams, model.vocabulary_size)
    if beams not in model.searches:
        model.searches[beams] = tf.function(
            partial(_search, model, beams),
            input_signature=[
                tf.TensorSpec((None, *model.feature_shape)),
                tf.TensorSpec((), tf.int32),
                tf.TensorSpec(()),
            ],
            autograph=False,
        )
    search = model.searches[beams]
    parts = []
    for i in range(0, len(features), batch_size):
        batch = np.asarray(features[i : i + batch_size], np.float32)
        check_finite(batch)
        parts.append(search(batch, max_length, length_power))
    words, scores, attention = (np.concatenate(part) for part in zip(*parts, strict=True))
    return Generated(words, scores, attention if attention.shape[-1] else None)


def longest(model, length):
    """So many words, or as many as the captioner can make, if it has places for fewer."""
    return min(length, getattr(model, "max_length", length))


class PrintCaptions(keras.callbacks.Callback):
    """Prints the captions of a few images after each epoch, from their features, float
    `(images, ...)`: a reader sees sentences grow.

    Raises:
        ValueError: when the training begins, if features or vocabulary are not the captioner's.
    """

    def __init__(self, features, vocabulary):
        super().__init__()
        self.features, self.vocabulary = features, vocabulary

    def on_train_begin(self, logs=None):
        if len(self.vocabulary) != self.model.vocabulary_size:
            raise ValueError(
                f"vocabulary: {len(self.vocabulary)} words, but the captioner was built for "
                f"{self.model.vocabulary_size}"
            )
        generate(self.model, self.features, beams=1, max_length=1)  # better now than in an epoch

    def on_epoch_end(self, epoch, logs=None):
        made = generate(self.model, self.features, beams=1, max_length=longest(self.model, 15))
        for i, caption in enumerate(self.vocabulary.decode(made.words)):
            print("" if i else epoch + 1, caption, sep="\t")


def _search(model, beams, features, max_length, length_power):
    count, size = tf.shape(features)[0], model.vocabulary_size
    memory, state = model.begin(features)
    memory, state = (
        keras.tree.map_structure(lambda x: tf.repeat(x, beams, axis=0), nest)
        for nest in (memory, state)
    )
    banned = tf.constant([PAD, START, UNKNOWN])
    banned = tf.reduce_any(tf.range(size)[:, None] == banned, axis=1)
    # A caption that has ended goes on with padding, at no cost.
    ended = tf.where(tf.range(size) == PAD, 0.0, -np.inf)
    columns = tf.range(max_length)

    def step(now, last, words, scores, lengths, maps, state):
        logits, state, attention = model.step(last, memory, state)
        log_probs = tf.nn.log_softmax(tf.cast(logits, tf.float32))
        no_end = (now == 0) & (tf.range(size) == END)
        log_probs = tf.where(banned | no_end, -np.inf, log_probs)
        done = (last == END) | (last == PAD)
        log_probs = tf.where(done[:, None], ended, log_probs)
        attention = tf.where(done[:, None], 0.0, attention)
        totals = scores[..., None] + tf.reshape(log_probs, (count, beams, size))
        scores, best = tf.math.top_k(tf.reshape(totals, (count, beams * size)), beams)
        parents, chosen = best // size, best % size
        lengths = lengths + tf.cast(~tf.reshape(done, (count, beams)), tf.float32)

        def follow(x):  # the beams that live on
            return tf.gather(tf.reshape(x, (count, beams, *x.shape[1:])), parents, batch_dims=1)

        state = keras.tree.map_structure(
            lambda x: tf.reshape(follow(x), (count * beams, *x.shape[1:])), state
        )
        here = columns == now
        words = tf.where(here, chosen[..., None], tf.gather(words, parents, batch_dims=1))
        maps = tf.gather(maps, parents, batch_dims=1)
        maps = tf.where(here[:, None], follow(attention)[:, :, None], maps)
        lengths = tf.gather(lengths, parents, batch_dims=1)
        return now + 1, tf.reshape(chosen, [-1]), words, scores, lengths, maps, state

    def going_on(now, last, *_):
        return (now == 0) | tf.reduce_any((last != END) & (last != PAD))

    # At first all beams are equal: only one of them counts.
    first = tf.where(tf.range(beams) == 0, 0.0, -np.inf)
    start = (
        tf.constant(0),
        tf.fill([count * beams], START),
        tf.fill([count, beams, max_length], PAD),
        tf.repeat(first[None], count, axis=0),
        tf.zeros((count, beams)),
        tf.zeros((count, beams, max_length, model.places)),
        state,
    )
    _, _, words, scores, lengths, maps, _ = tf.while_loop(
        going_on, step, start, maximum_iterations=max_length
    )
    scores /= tf.maximum(lengths, 1) ** length_power
    best = tf.argmax(scores, axis=1)
    return tuple(tf.gather(x, best, batch_dims=1) for x in (words, scores, maps))
