"""Mini-batches of whole captions of like length."""

import warnings

import numpy as np
import tensorflow as tf
from keras.utils import pad_sequences

from recipes.captioning.model import check_array
from recipes.captioning.vocabulary import PAD, check_lists
from recipes.training.batches import WITHOUT_AUTOTUNE, current_epoch
from recipes.training.checks import check_count, check_seed

LONG = 200  # words; captions of photos have a few dozen
POOL = 50  # batches that are sorted by length together: less padding, and still a good shuffle


class CaptionBatches:
    """Endless epochs of shuffled mini-batches of captions, each with its image's features.

    An epoch holds every caption once. Captions of like length come together, so that little is
    computed for padding; which of them, and in which order, depends on the seed and on the number
    of the training's epoch alone, so that `Resume` can go on exactly.

    Args:
        features: float array, `(rows, ...)`; of a file on disk, a batch is read at a time.
        captions: list of lists of str: the captions of each image.
        vocabulary: a `Vocabulary`.
        batch_size: captions in a batch. The last one of an epoch may be smaller.
        seed: int, 0 or more, seed of the order.
        rows: the row in `features` of each image; by default image i has row i.
        steps: batches in an epoch, where it should be shorter; by default all.

    Attributes:
        dataset: the `tf.data.Dataset` of `({"features", "words"}, next words)`: float32
            `(batch, ...)`, int32 `(batch, length)` from the start token on, and int32
            `(batch, length)` to the end token. Each new iterator is one epoch.
        steps: batches in an epoch.
        settings: dict of ints, on which the order depends; `Resume` compares them.

    Raises:
        ValueError: another number of rows than of images, rows that are not there, or no caption.
    """

    def __init__(self, features, captions, vocabulary, *, batch_size, seed, rows=None, steps=None):
        check_lists(captions)
        check_array(features)
        check_count("batch_size", batch_size)
        if rows is None and len(features) != len(captions):
            raise ValueError(
                f"captions: those of {len(captions)} images, but features has {len(features)} "
                "rows: pass rows=, the row of each image"
            )
        rows = np.arange(len(captions)) if rows is None else np.asarray(rows)
        if len(rows) != len(captions):
            raise ValueError(f"rows: {len(rows)} rows, but captions of {len(captions)} images")
        if len(rows) and not np.issubdtype(rows.dtype, np.integer):
            raise ValueError(f"rows: dtype {rows.dtype}, but whole numbers are needed")
        if len(rows) and not 0 <= rows.min() <= rows.max() < len(features):
            raise ValueError(
                f"rows: from {rows.min()} to {rows.max()}, but features has {len(features)} of them"
            )
        check_seed(seed)
        texts = [text for image in captions for text in image]
        if not texts:
            raise ValueError("captions: there is none")
        self.features, self.batch_size, self.seed = features, batch_size, seed
        self.rows = np.repeat(rows, [len(image) for image in captions])
        self.words = vocabulary.numbers(texts)
        self.lengths = np.array([len(row) for row in self.words])
        if (longest := self.lengths.max()) > LONG:
            warnings.warn(
                f"captions: one has {longest:,} words, and its whole batch takes memory for as "
                f"many: {texts[self.lengths.argmax()][:40]!r}...; leave it out",
                stacklevel=2,
            )
        self.steps = -(-len(texts) // batch_size)
        self.steps = self.steps if steps is None else min(steps, self.steps)
        check_count("steps", self.steps)
        self.settings = dict(rows=len(texts), batch_size=batch_size, seed=seed, steps=self.steps)
        words = tf.TensorSpec((None, None), tf.int32)
        signature = (
            {"features": tf.TensorSpec((None, *features.shape[1:]), tf.float32), "words": words},
            words,
        )
        self.dataset = (
            tf.data.Dataset.from_generator(self._batches, output_signature=signature)
            .apply(tf.data.experimental.assert_cardinality(self.steps))
            .prefetch(4)
            .with_options(WITHOUT_AUTOTUNE)
        )

    def _batches(self):
        rng = np.random.default_rng([self.seed, current_epoch()])
        for positions in self._order(rng)[: self.steps]:
            words = pad_sequences([self.words[i] for i in positions], padding="post", value=PAD)
            # Each row of a file once: the captions of an image often come together.
            rows, where = np.unique(self.rows[positions], return_inverse=True)
            features = np.asarray(self.features[rows], np.float32)
            finite = np.isfinite(features).all(tuple(range(1, features.ndim)))
            if not finite.all():  # ReLU makes 0 of NaN: the loss would stay finite
                raise ValueError(
                    f"features: row {rows[finite.argmin()]} holds NaN or infinite values; extract "
                    "the features again"
                )
            yield {"features": features[where], "words": words[:, :-1]}, words[:, 1:]

    def _order(self, rng):
        """Positions of the captions of each batch, the longest caption last."""
        shuffled = rng.permutation(len(self.rows))
        batches = []
        for start in range(0, len(shuffled), POOL * self.batch_size):
            pool = shuffled[start : start + POOL * self.batch_size]
            pool = pool[np.argsort(self.lengths[pool], kind="stable")]
            batches += np.split(pool, range(self.batch_size, len(pool), self.batch_size))
        return [batches[i] for i in rng.permutation(len(batches))]
