"""How good the pictures and the classifiers are."""

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def train_judge(images, labels, epochs=4, seed=0):
    """A small classifier that judges generated pictures, trained in seconds.

    Frechet distance and class coverage are usually measured on an ImageNet network's features.
    For 28x28 characters, a network that was trained on such characters sees more.

    Args:
        images: float32 array, `(count, height, width, channels)`, in [-1, 1].
        labels: int array, `(count,)`, in [0, classes).
        epochs: passes over the pictures.
        seed: seed of the weights and of the order of the pictures.

    Returns:
        A `keras.Model`: pictures -> [features `(count, 64)`, probabilities `(count, classes)`].
    """
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(images.shape[1:])
    x = layers.Conv2D(32, 3, 2, "same", activation="relu")(inputs)
    x = layers.Conv2D(64, 3, 2, "same", activation="relu")(x)
    x = layers.Flatten()(x)
    features = layers.Dense(64, activation="relu", name="features", dtype="float32")(x)
    x = layers.Dropout(0.5)(features)
    outputs = layers.Dense(int(labels.max()) + 1, "softmax", name="classes", dtype="float32")(x)
    classifier = keras.Model(inputs, outputs)
    classifier.compile("adam", "sparse_categorical_crossentropy")
    classifier.fit(images, labels, batch_size=64, epochs=epochs, verbose=0)
    return keras.Model(inputs, [features, outputs], name="judge")


def frechet_distance(first, second):
    """Frechet distance of two sets of features, each taken for Gaussian (Heusel et al. 2017).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) for means m and covariances C; 0 for equal ones.

    Args:
        first, second: float arrays, `(count, features)`. The count should be well above the
            number of features, and the same in all that is compared: the distance falls with it.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    for name, x in (("first", first), ("second", second)):
        if x.ndim != 2 or len(x) < 2 or not np.isfinite(x).all():
            raise ValueError(f"{name}: needs a finite (count, features) array of 2 rows or more")
    gap = first.mean(0) - second.mean(0)
    covariance1, covariance2 = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    # tr (C1 C2)^(1/2) = tr (R C2 R)^(1/2) with R = C1^(1/2): symmetric, so no complex roots.
    values, vectors = np.linalg.eigh(np.atleast_2d(covariance1))
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    product = np.linalg.eigvalsh(root @ np.atleast_2d(covariance2) @ root)
    cross = np.sqrt(np.clip(product, 0, None)).sum()
    return float(gap @ gap + np.trace(np.atleast_2d(covariance1 + covariance2)) - 2 * cross)


def class_coverage(probabilities, share=0.02):
    """How many classes a set of pictures covers: a GAN that has collapsed covers few.

    Args:
        probabilities: float array, `(count, classes)`: a classifier's judgement of the pictures.
        share: a class counts as covered from this share of all pictures on.

    Returns:
        int, the number of covered classes. Each picture counts for its most probable class.
    """
    probabilities = np.asarray(probabilities)
    counts = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    return int((counts >= share * len(probabilities)).sum())


def judge_pictures(judge, pictures, reference):
    """Both figures of a set of generated pictures.

    Args:
        judge: model from `train_judge`.
        pictures: generated pictures, float32 in [-1, 1].
        reference: real pictures that neither the GAN nor the judge has seen.

    Returns:
        dict: `frechet` (float), `classes` (int), `probabilities` (array, `(count, classes)`).
    """
    features, probabilities = judge.predict(pictures, batch_size=256, verbose=0)
    real_features, _ = judge.predict(reference, batch_size=256, verbose=0)
    return {
        "frechet": frechet_distance(real_features, features),
        "classes": class_coverage(probabilities),
        "probabilities": probabilities,
    }


def picture_distances(outputs, targets):
    """How far pictures are from the ones that they should be.

    Args:
        outputs, targets: float arrays in [-1, 1], `(count, height, width, channels)`; sides of at
            least 11 pixels, the window of SSIM.

    Returns:
        dict: `l1`, the mean absolute difference (0 to 2), and `ssim`, the mean structural
        similarity (Wang et al. 2004; 1 for equal pictures).
    """
    outputs, targets = np.asarray(outputs, np.float32), np.asarray(targets, np.float32)
    if outputs.shape != targets.shape:
        raise ValueError(f"outputs of shape {outputs.shape}, but targets of {targets.shape}")
    similar = [
        tf.image.ssim(outputs[i : i + 32], targets[i : i + 32], max_val=2.0)
        for i in range(0, len(outputs), 32)
    ]
    return {
        "l1": float(np.abs(outputs - targets).mean()),
        "ssim": float(np.concatenate(similar).mean()),
    }


class MeanColours:
    """The baseline of a translation from label maps: every label in the mean colour of its photos.

    Colours of the label maps are rounded to 8 levels a channel, which JPEG does not blur away.

    Args:
        labels, photos: float arrays in [-1, 1], `(count, height, width, 3)`, the training pairs.
    """

    def __init__(self, labels, photos):
        cells, colours = self.cells(labels).ravel(), np.asarray(photos).reshape(-1, 3)
        self.mean = colours.mean(0)
        counts = np.bincount(cells, minlength=512)
        sums = np.stack([np.bincount(cells, c, minlength=512) for c in colours.T], axis=1)
        seen = counts > 0
        self.colours = np.tile(self.mean, (512, 1))  # of a label that was never seen
        self.colours[seen] = sums[seen] / counts[seen, None]

    def predict(self, labels):
        """Label maps -> pictures, float32 of the same shape."""
        return self.colours[self.cells(labels)].astype(np.float32)

    @staticmethod
    def cells(labels):
        levels = np.clip((np.asarray(labels) + 1) * 4, 0, 7).astype(np.int64)
        return levels @ np.array([64, 8, 1])


def share_taken_for(judge, pictures, domain):
    """The share of pictures that a classifier takes for `domain`.

    Args:
        judge: model from `train_judge`.
        pictures: float array in [-1, 1], `(count, height, width, channels)`.
        domain: int, the class.
    """
    _, probabilities = judge.predict(pictures, batch_size=256, verbose=0)
    return float((probabilities.argmax(axis=1) == domain).mean())


def shrink(pictures, size):
    """Pictures `(count, height, width, channels)` at size x size, antialiased; float32."""
    small = [
        tf.image.resize(pictures[i : i + 32], (size, size), antialias=True)
        for i in range(0, len(pictures), 32)
    ]
    return np.concatenate(small)
