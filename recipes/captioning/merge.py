"""The merge captioner: the image joins the words after the LSTM, not within it."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from recipes.captioning.model import CaptionModel


@keras.saving.register_keras_serializable(package="recipes")
class MergeCaptioner(CaptionModel):
    """The book's captioner (Tanti, Gatt, Camilleri 2017, "merge").

    features -> dropout -> Dense; words -> Embedding -> dropout -> LSTM; the sum of both -> Dense
    -> a logit for each word of the vocabulary.

    It is trained on whole captions. The LSTM's output at a word depends on the words up to there
    alone, so one pass does what the book does with a row of data for each word.

    Args:
        vocabulary_size, feature_shape: as for `CaptionModel`, of pooled features.
        width: units of the LSTM and of the Dense layers.
        embedding: length of a word's vector.
        dropout: rate, for the features and the words' vectors.
        seed: int, of the dropout.
    """

    def __init__(
        self,
        vocabulary_size,
        feature_shape,
        width=256,
        embedding=256,
        dropout=0.5,
        seed=0,
        **kwargs,
    ):
        settings = dict(
            vocabulary_size=vocabulary_size, feature_shape=tuple(feature_shape), width=width,
            embedding=embedding, dropout=dropout, seed=seed,
        )  # fmt: skip
        super().__init__(settings, spatial=False, **kwargs)
        self.feature_dropout = layers.Dropout(dropout, seed=seed)
        self.feature_dense = layers.Dense(width, "relu", name="features")
        self.embed = layers.Embedding(vocabulary_size, embedding, name="words")
        self.word_dropout = layers.Dropout(dropout, seed=seed + 1)
        # No mask: padding stands on the right, where it changes no word before it.
        self.lstm = layers.LSTM(width, return_sequences=True)
        self.hidden = layers.Dense(width, "relu", name="hidden")
        self.logits = layers.Dense(vocabulary_size, name="logits", dtype="float32")
        self({"features": np.zeros((1, *self.feature_shape)), "words": np.zeros((1, 2), "int32")})

    def call(self, inputs, training=False):
        image = self.feature_dense(self.feature_dropout(inputs["features"], training=training))
        words = self.word_dropout(self.embed(inputs["words"]), training=training)
        words = self.lstm(words)  # (batch, length, width)
        return self.logits(self.hidden(image[:, None] + words))

    def begin(self, features):
        image = self.feature_dense(ops.cast(features, self.compute_dtype))
        return image, self.lstm.cell.get_initial_state(tf.shape(features)[0])

    def step(self, words, memory, state):
        output, state = self.lstm.cell(self.embed(words), state)
        logits = self.logits(self.hidden(memory + output))
        return logits, state, tf.zeros((tf.shape(words)[0], 0))
