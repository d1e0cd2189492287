"""What the captioners have in common."""

import keras
import numpy as np
import tensorflow as tf

from recipes.captioning.vocabulary import PAD
from recipes.losses import masked_cross_entropy
from recipes.training import distribution
from recipes.training.base import RecipeModel


def check_array(features):
    """Raises `ValueError` unless `features` are an array, or a tensor."""
    if not hasattr(features, "shape"):
        raise ValueError(
            f"features: a {type(features).__name__}, but an array is needed; of what "
            "extract_features returns, pass .array"
        )


def check_finite(features):
    """Raises `ValueError` if a value is NaN or infinite."""
    if not np.isfinite(np.asarray(features, np.float32)).all():
        raise ValueError("features: holds NaN or infinite values; extract the features again")


class CaptionModel(RecipeModel):
    """Base of the captioners: from features of images, and words, to logits of the next words.

    A recipe adds `call` for training on whole captions, and for decoding `begin(features)`, which
    returns `(memory, state)`, and `step(words, memory, state)`, which returns
    `(logits, state, attention)`. All of them are nests of tensors, `(batch, ...)`.

    Attributes:
        vocabulary_size: number of words, with the special ones.
        feature_shape: shape of the features of one image: `(channels,)` of pooled features,
            `(rows, columns, channels)` or `(places, channels)` of spatial ones.
        places: number of places that attention is shared out to; 0 without attention.

    Raises:
        ValueError: `feature_shape` is not that of spatial features, or of pooled ones if not
            `spatial`.
    """

    def __init__(self, settings, spatial=True, **kwargs):
        super().__init__(settings, **kwargs)
        lengths, wanted = (1,), "(channels,) is needed; pooled features"
        if spatial:
            lengths = (2, 3)
            wanted = "(rows, columns, channels) or (places, channels) is needed; spatial features"
        if len(self.feature_shape) not in lengths or min(self.feature_shape) < 1:
            raise ValueError(f"feature_shape {self.feature_shape}: {wanted}")
        self.places = int(np.prod(self.feature_shape[:-1])) if spatial else 0
        self.supports_jit = False  # XLA would compile anew for each length of a batch
        self.searches = {}  # the compiled beam searches, by the number of beams

    def compile(self, optimizer="adam", loss=masked_cross_entropy, **kwargs):
        """As `keras.Model.compile`, with the loss per word, a scalar; padding does not count.

        `evaluate` and `validation_data` give the mean over all words; what `fit` reports of the
        training is a mean of the batches'.

        Where replicas share a batch, XLA is off, and an optimizer's `clipnorm` holds for each
        replica's part of a gradient: Keras clips before it adds them up.
        """
        if distribution.has_replicas():
            kwargs["jit_compile"] = False
        super().compile(optimizer=optimizer, loss=loss, **kwargs)
        self.optimizer.build(self.trainable_variables)  # a resumed run needs its state

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    def train_step(self, data):
        return super().train_step(self.weighted(data))

    def test_step(self, data):
        # Keras' own counts each batch by its captions, though its loss is a mean over its words:
        # short captions, which come in batches together, would weigh more than long ones.
        inputs, words, *weight = self.weighted(data)
        logits = self(inputs, training=False)
        loss = self.compute_loss(inputs, words, logits, *weight, training=False)
        count, replica = tf.math.count_nonzero(words != PAD), distribution.replica_context()
        if replica is not None:  # each has its share of the loss of all words
            count = replica.all_reduce(distribution.SUM, count)
            loss *= replica.num_replicas_in_sync
        self._loss_tracker.update_state(loss, sample_weight=tf.cast(count, loss.dtype))
        return self.compute_metrics(inputs, words, logits, *weight)

    @staticmethod
    def weighted(data):
        """A batch, and where replicas share it, what the words and images of this one weigh.

        Then the sum over the replicas is the mean over the words of the global batch. The replicas
        have to agree here, before the forward pass: if one stops for the others after that, it
        goes on with the `losses` of another, as Keras has one list for all.
        """
        if distribution.replica_context() is None:
            return data
        inputs, words = data
        one, count = tf.ones(()), tf.math.count_nonzero(words != PAD)
        inputs = {**inputs, "weight": distribution.weigh_by_count(one, tf.shape(words)[0])}
        return inputs, words, distribution.weigh_by_count(one, count, distribution.SUM)

    def check_length(self, length):
        """Raises `ValueError` if captions of so many words, with the start, are too long."""

    def check_features(self, features):
        """Raises `ValueError` unless `features` are those that the captioner was built for."""
        check_array(features)
        shape = tuple(features.shape)
        if len(shape) != len(self.feature_shape) + 1 or shape[1:] != tuple(self.feature_shape):
            raise ValueError(
                f"features: shape {shape}, but (images, {', '.join(map(str, self.feature_shape))})"
                " is needed: those of the network that the captioner was trained with"
            )
        if not shape[0]:
            raise ValueError("features: of no image")

    def check_batch(self, batch):
        pair = isinstance(batch, tuple) and len(batch) == 2 and isinstance(batch[0], dict)
        if not (pair and {"features", "words"} <= set(batch[0])):
            raise ValueError(
                "the dataset yields something else than ({'features', 'words'}, next words); "
                "recipes.captioning.CaptionBatches makes one"
            )
        self.check_features(batch[0]["features"])
        check_finite(batch[0]["features"])
        self.check_length(batch[1].shape[1])
        least, most = int(tf.reduce_min(batch[1])), int(tf.reduce_max(batch[1]))
        if not 0 <= least <= most < self.vocabulary_size:
            raise ValueError(
                f"words: numbers from {least} to {most}, but the captioner was built for a "
                f"vocabulary of {self.vocabulary_size}"
            )
