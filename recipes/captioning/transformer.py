"""The transformer captioner: each word attends to the words before it, and to the image."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from recipes.captioning.model import CaptionModel


@keras.saving.register_keras_serializable(package="recipes")
class MultiHeadAttention(layers.Layer):
    """Scaled dot-product attention in several heads (Vaswani et al. 2017): softmax(QK'/sqrt(d))V.

    Unlike Keras' layer of that name it makes keys and values apart from the queries, so that
    decoding can keep them from word to word.

    Args:
        width: length of the vectors, in all heads together.
        heads: number of heads.
    """

    def __init__(self, width, heads, **kwargs):
        super().__init__(**kwargs)
        self.width, self.heads = width, heads
        self.query = layers.Dense(width, name="query")
        self.key = layers.Dense(width, use_bias=False, name="key")  # softmax cancels its bias
        self.value = layers.Dense(width, name="value")
        self.mix = layers.Dense(width, name="mix")

    def build(self, shape, *_):
        for dense in (self.query, self.key, self.value, self.mix):
            dense.build((None, None, self.width))

    def keys_values(self, x):
        """float `(batch, n, width)` -> two of `(batch, heads, n, width / heads)`."""
        return self._split(self.key(x)), self._split(self.value(x))

    def call(self, x, keys, values, visible=None):
        """Attends from each of `x` to all that is visible.

        Args:
            x: float `(batch, queries, width)`.
            keys, values: from `keys_values`.
            visible: bool that broadcasts to `(batch, heads, queries, n)`: what may be attended to.

        Returns:
            `(output, weights)`: `(batch, queries, width)`, and `(batch, queries, n)`, the mean of
            the heads' weights.
        """
        queries = self._split(self.query(x)) * (self.width // self.heads) ** -0.5
        scores = ops.cast(ops.matmul(queries, ops.swapaxes(keys, -1, -2)), "float32")
        if visible is not None:
            scores = ops.where(visible, scores, -1e9)
        weights = ops.softmax(scores)
        found = ops.matmul(ops.cast(weights, values.dtype), values)
        found = ops.swapaxes(found, 1, 2)  # (batch, queries, heads, width / heads)
        return self.mix(ops.reshape(found, ops.shape(x))), ops.mean(weights, 1)

    def _split(self, x):
        shape = (*ops.shape(x)[:2], self.heads, self.width // self.heads)
        return ops.swapaxes(ops.reshape(x, shape), 1, 2)


@keras.saving.register_keras_serializable(package="recipes")
class DecoderBlock(layers.Layer):
    """Attention to the earlier words, attention to the image, two Dense layers.

    Each has a residual connection, and layer normalization before it (Xiong et al. 2020), with
    which training needs no warm-up. The arguments are as for `TransformerCaptioner`.
    """

    def __init__(self, width, heads, dropout=0.0, seed=0, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.self_attention = MultiHeadAttention(width, heads, name="self_attention")
        self.cross_attention = MultiHeadAttention(width, heads, name="cross_attention")
        self.wide = layers.Dense(4 * width, "relu", name="wide")
        self.narrow = layers.Dense(width, name="narrow")
        self.norms = [layers.LayerNormalization(epsilon=1e-5) for _ in range(3)]
        self.dropouts = [layers.Dropout(dropout, seed=seed + i) for i in range(3)]

    def build(self, shape, *_):
        shape = (None, None, self.width)
        for layer in (self.self_attention, self.cross_attention, self.wide, *self.norms):
            layer.build(shape)
        self.narrow.build((None, None, 4 * self.width))

    def call(self, x, image, visible=None, training=False):
        """Whole captions.

        Args:
            x: float `(batch, length, width)`.
            image: keys and values of the places, `cross_attention.keys_values`.
            visible: bool `(length, length)`: which words each word may see.

        Returns:
            `(x, weights)`: `(batch, length, width)`, and the attention to the places,
            `(batch, length, places)`.
        """
        seen = self.norms[0](x)
        words = self.self_attention.keys_values(seen)
        return self.attend(x, seen, words, image, visible, training)

    def step(self, x, image, cache, position):
        """One word, in decoding, with the keys and values of the words before it.

        Args:
            x: float `(batch, 1, width)`.
            image: as for `call`.
            cache: two of float `(batch, heads, max_length, width / heads)`.
            position: int `(batch,)`, the word's place in the caption.

        Returns:
            `(x, weights, cache)`.
        """
        seen = self.norms[0](x)
        position = position[:, None, None, None]
        columns = ops.arange(cache[0].shape[2])[None, None, :, None]
        cache = tuple(
            ops.where(columns == position, new, old)
            for new, old in zip(self.self_attention.keys_values(seen), cache, strict=True)
        )
        visible = ops.swapaxes(columns <= position, -1, -2)
        return *self.attend(x, seen, cache, image, visible), cache

    def attend(self, x, seen, words, image, visible, training=False):
        """Attends to the words (queries `seen`, keys and values `words`), then to the image."""
        found, _ = self.self_attention(seen, *words, visible=visible)
        x = x + self.dropouts[0](found, training=training)
        found, weights = self.cross_attention(self.norms[1](x), *image)
        x = x + self.dropouts[1](found, training=training)
        found = self.narrow(self.wide(self.norms[2](x)))
        return x + self.dropouts[2](found, training=training), weights


@keras.saving.register_keras_serializable(package="recipes")
class TransformerCaptioner(CaptionModel):
    """A transformer's decoder over the spatial features of a frozen network.

    Args:
        vocabulary_size, feature_shape: as for `CaptionModel`, of spatial features.
        width: length of the vectors of places and words.
        heads: number of attention heads; they share `width`.
        blocks: number of `DecoderBlock`s.
        dropout: rate, for places, words and the blocks' outputs.
        max_length: the longest caption, in words with the start token. Each position has an
            embedding of its own.
        seed: int, of the dropout.

    Raises:
        ValueError: features without places, or a width that the heads cannot share.
    """

    def __init__(
        self,
        vocabulary_size,
        feature_shape,
        width=256,
        heads=4,
        blocks=2,
        dropout=0.3,
        max_length=50,
        seed=0,
        **kwargs,
    ):
        settings = dict(
            vocabulary_size=vocabulary_size, feature_shape=tuple(feature_shape), width=width,
            heads=heads, blocks=blocks, dropout=dropout, max_length=max_length, seed=seed,
        )  # fmt: skip
        super().__init__(settings, **kwargs)
        if width % heads:
            raise ValueError(f"width {width}: {heads} heads cannot share it evenly")
        self.image_dense = layers.Dense(width, name="places")
        self.image_norm = layers.LayerNormalization(epsilon=1e-5, name="places_norm")
        self.image_dropout = layers.Dropout(dropout, seed=seed)
        self.place_positions = layers.Embedding(self.places, width, name="place_positions")
        self.embed = layers.Embedding(vocabulary_size, width, name="words")
        self.positions = layers.Embedding(max_length, width, name="positions")
        self.word_dropout = layers.Dropout(dropout, seed=seed + 1)
        self.decoder = [
            DecoderBlock(width, heads, dropout, seed + 2 + 3 * i, name=f"block_{i}")
            for i in range(blocks)
        ]
        for block in self.decoder:
            block.build((None, None, width))
        self.norm = layers.LayerNormalization(epsilon=1e-5, name="norm")
        self.logits = layers.Dense(vocabulary_size, name="logits", dtype="float32")
        self({"features": np.zeros((1, *self.feature_shape)), "words": np.zeros((1, 2), "int32")})

    def call(self, inputs, training=False):
        image = self.image_dropout(self.encode(inputs["features"]), training=training)
        length = tf.shape(inputs["words"])[1]
        tf.debugging.assert_less_equal(length, self.max_length, "a caption is over max_length")
        positions = tf.range(length)
        words = self.embed(inputs["words"]) + self.positions(positions)
        words = self.word_dropout(words, training=training)
        earlier = positions[None, :] <= positions[:, None]  # each word sees itself and those before
        for block in self.decoder:
            places = block.cross_attention.keys_values(image)
            words, _ = block(words, places, visible=earlier, training=training)
        return self.logits(self.norm(words))

    def encode(self, features):
        """Spatial features -> float `(batch, places, width)`."""
        features = ops.cast(features, self.compute_dtype)
        features = ops.reshape(features, (-1, self.places, self.feature_shape[-1]))
        places = self.image_norm(self.image_dense(features))
        return places + self.place_positions(ops.arange(self.places))

    def check_length(self, length):
        if length > self.max_length:
            raise ValueError(
                f"{length} words with the start token: this captioner has {self.max_length} "
                "positions; leave longer captions out, or build it with a larger max_length"
            )

    def begin(self, features):
        image = self.encode(features)
        count, size = tf.shape(image)[0], self.width // self.heads
        memory = tuple(block.cross_attention.keys_values(image) for block in self.decoder)
        empty = tf.zeros((count, self.heads, self.max_length, size), self.compute_dtype)
        caches = tuple((empty, empty) for _ in self.decoder)
        return memory, (tf.zeros(count, tf.int32), caches)

    def step(self, words, memory, state):
        position, caches = state
        x = (self.embed(words) + self.positions(position))[:, None]
        kept = []
        for block, places, cache in zip(self.decoder, memory, caches, strict=True):
            x, attention, cache = block.step(x, places, cache, position)
            kept.append(cache)
        return self.logits(self.norm(x))[:, 0], (position + 1, tuple(kept)), attention[:, 0]
