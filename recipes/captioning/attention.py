"""The attention captioner: before each word it attends anew to the places of the image."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from recipes.captioning.model import CaptionModel
from recipes.captioning.vocabulary import END, PAD


@keras.saving.register_keras_serializable(package="recipes")
class CNNEncoder(layers.Layer):
    """Spatial features of a frozen network -> vectors of the decoder's size: Dense and ReLU.

    Args:
        embedding: length of a place's vector.
    """

    def __init__(self, embedding=256, **kwargs):
        super().__init__(**kwargs)
        self.dense = layers.Dense(embedding, "relu", name="dense")

    def build(self, shape):
        self.dense.build(shape)

    def call(self, features):
        return self.dense(features)  # (batch, places, channels) -> (batch, places, embedding)


@keras.saving.register_keras_serializable(package="recipes")
class BahdanauAttention(layers.Layer):
    """Additive attention (Bahdanau, Cho, Bengio 2015): softmax over places of V tanh(W1 x + W2 h).

    W1 x, the keys, are the same for every word of a caption: `keys` makes them once.

    Args:
        units: length of a key.
    """

    def __init__(self, units=512, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.w1 = layers.Dense(units, name="w1")
        self.w2 = layers.Dense(units, use_bias=False, name="w2")  # W1 has the bias of the sum
        self.v = layers.Dense(1, use_bias=False, name="v")  # softmax would cancel a bias

    def build(self, places_shape, hidden_shape):
        self.w1.build(places_shape)
        self.w2.build(hidden_shape)
        self.v.build((*places_shape[:-1], self.units))

    def keys(self, places):
        """float `(batch, places, embedding)` -> `(batch, places, units)`."""
        return self.w1(places)

    def call(self, places, hidden, keys=None):
        """The weighted sum of the places that the decoder gets to see next.

        Args:
            places: float `(batch, places, embedding)`.
            hidden: float `(batch, hidden)`, the state of the decoder.
            keys: `keys(places)`, where they are known already.

        Returns:
            `(context, weights)`: the weighted sum of the places, `(batch, embedding)`, and the
            weights, `(batch, places)`, which sum to 1.
        """
        keys = self.keys(places) if keys is None else keys
        scores = self.v(ops.tanh(keys + self.w2(hidden)[:, None]))[..., 0]
        weights = ops.softmax(ops.cast(scores, "float32"))
        shares = ops.cast(weights, places.dtype)
        return ops.matmul(shares[:, None], places)[:, 0], weights


@keras.saving.register_keras_serializable(package="recipes")
class RNNDecoder(layers.Layer):
    """Embedding, attention, GRU, Dense, logits: the next word from the last one and the image.

    The arguments are as for `ImageCaptioner`.
    """

    def __init__(
        self,
        vocabulary_size,
        embedding=256,
        units=512,
        attention_units=512,
        dropout=0.0,
        carry_state=True,
        seed=0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units, self.carry_state = units, carry_state
        self.embed = layers.Embedding(vocabulary_size, embedding, name="words")
        self.word_dropout = layers.Dropout(dropout, seed=seed)
        self.attention = BahdanauAttention(attention_units, name="attention")
        self.cell = layers.GRUCell(units, name="gru")
        self.hidden_dropout = layers.Dropout(dropout, seed=seed + 1)
        self.hidden = layers.Dense(units, name="hidden")
        self.logits = layers.Dense(vocabulary_size, name="logits", dtype="float32")

    def build(self, places_shape, words_shape=None):
        context = places_shape[-1]
        self.embed.build()
        self.attention.build(places_shape, (None, self.units))
        self.cell.build((None, context + self.embed.output_dim))
        self.hidden.build((None, None, self.units))
        self.logits.build((None, None, self.units))

    def call(self, places, words, training=False):
        """Whole captions, by teacher forcing.

        Args:
            places: float `(batch, places, embedding)`.
            words: int `(batch, length)`.

        Returns:
            `(logits, attention)`: `(batch, length, vocabulary)`, `(batch, length, places)`.
        """
        words = self.word_dropout(self.embed(words), training=training)
        words = tf.transpose(words, (1, 0, 2))  # (length, batch, embedding)
        keys = self.attention.keys(places)  # the same for all words
        batch, length = tf.shape(words)[1], tf.shape(words)[0]

        def next_word(i, state, outputs, maps):
            state, weights = self.update(words[i], state, places, keys)
            return i + 1, state, outputs.write(i, state), maps.write(i, weights)

        outputs = tf.TensorArray(self.compute_dtype, length, element_shape=(None, self.units))
        maps = tf.TensorArray("float32", length, element_shape=(None, places.shape[1]))
        _, _, outputs, maps = tf.while_loop(
            lambda i, *_: i < length, next_word, (0, self.start(batch), outputs, maps)
        )
        outputs = tf.transpose(outputs.stack(), (1, 0, 2))  # (batch, length, units)
        outputs = self.hidden_dropout(outputs, training=training)
        return self.logits(self.hidden(outputs)), tf.transpose(maps.stack(), (1, 0, 2))

    def start(self, count):
        """The state before the first word, float `(count, units)`."""
        return tf.zeros((count, self.units), self.compute_dtype)

    def update(self, word, state, places, keys):
        """Attends, then updates the GRU: word vectors `(batch, embedding)` -> state, weights."""
        context, weights = self.attention(places, state, keys)
        before = state if self.carry_state else tf.zeros_like(state)
        state, _ = self.cell(tf.concat([context, word], -1), [before])
        return state, weights

    def step(self, words, places, keys, state):
        """One word, in decoding: `(logits, state, weights)`."""
        state, weights = self.update(self.embed(words), state, places, keys)
        return self.logits(self.hidden(state)), state, weights


@keras.saving.register_keras_serializable(package="recipes")
class ImageCaptioner(CaptionModel):
    """The book's attention captioner: CNNEncoder and RNNDecoder (after Xu et al. 2015).

    Args:
        vocabulary_size, feature_shape: as for `CaptionModel`, of spatial features.
        embedding: length of a place's vector, and of a word's.
        units: of the GRU and of the Dense layer after it.
        attention_units: length of an attention key.
        dropout: rate, for places, words and outputs; the book has none.
        doubly_stochastic: weight of Xu et al.'s regularizer, the mean over the places of
            (1 - attention summed over the words)^2: each place should get as much attention.
        carry_state: whether the GRU keeps its state from word to word. False: it starts from
            zeros at each, as in the classic version of this recipe, which calls it without one.
        seed: int, of the dropout.
    """

    def __init__(
        self,
        vocabulary_size,
        feature_shape,
        embedding=256,
        units=512,
        attention_units=512,
        dropout=0.0,
        doubly_stochastic=0.0,
        carry_state=True,
        seed=0,
        **kwargs,
    ):
        settings = dict(
            vocabulary_size=vocabulary_size, feature_shape=tuple(feature_shape),
            embedding=embedding, units=units, attention_units=attention_units, dropout=dropout,
            doubly_stochastic=doubly_stochastic, carry_state=carry_state, seed=seed,
        )  # fmt: skip
        super().__init__(settings, **kwargs)
        self.encoder = CNNEncoder(embedding)
        self.place_dropout = layers.Dropout(dropout, seed=seed + 2)
        self.decoder = RNNDecoder(
            vocabulary_size, embedding, units, attention_units, dropout, carry_state, seed
        )
        self({"features": np.zeros((1, *self.feature_shape)), "words": np.zeros((1, 2), "int32")})

    def call(self, inputs, training=False):
        places = self.place_dropout(self.encode(inputs["features"]), training=training)
        logits, attention = self.decoder(places, inputs["words"], training=training)
        if self.doubly_stochastic:
            words = inputs["words"]
            said = tf.cast((words != PAD) & (words != END), attention.dtype)
            once = 1 - tf.reduce_sum(attention * said[..., None], 1)
            penalty = self.doubly_stochastic * tf.reduce_mean(tf.square(once))
            if "weight" in inputs:  # of one of several replicas; without images the mean is NaN
                penalty = tf.math.multiply_no_nan(penalty, inputs["weight"])
            self.add_loss(penalty)
        return logits

    def encode(self, features):
        """Spatial features -> float `(batch, places, embedding)`."""
        features = tf.cast(features, self.compute_dtype)
        return self.encoder(tf.reshape(features, (-1, self.places, self.feature_shape[-1])))

    def begin(self, features):
        places = self.encode(features)
        memory = places, self.decoder.attention.keys(places)
        return memory, self.decoder.start(tf.shape(places)[0])

    def step(self, words, memory, state):
        return self.decoder.step(words, *memory, state)
