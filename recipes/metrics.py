"""How good generated images and translations are: measures that see what a person sees."""

import itertools

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from recipes.training import check_keras
from recipes.training.checks import check_images, check_labels, check_number, without_column

BATCH = 100
SSIM_WINDOW = 11  # pixels


def train_evaluator(images, labels, epochs=12, seed=0):
    """A small classifier that scores generated images, trained in seconds.

    Fréchet distance and class coverage are usually measured on an ImageNet network's features. For
    28x28 characters, a network that was trained on such characters sees more.

    Args:
        images: float32 array, `(count, height, width, channels)`, in [-1, 1].
        labels: int array, `(count,)` or `(count, 1)`, in [0, classes).
        epochs: passes over the images.
        seed: seed of the weights and of the order of the images.

    Returns:
        A `keras.Model`: images -> [features `(count, 64)`, probabilities `(count, classes)`].

    Raises:
        ValueError: other images or labels.
    """
    check_keras()
    check_images(images, "images")
    labels = without_column(labels)
    check_labels(labels, "labels", None, len(images))
    keras.utils.set_random_seed(seed)
    inputs = keras.Input(images.shape[1:])
    x = layers.Conv2D(32, 3, 2, "same", activation="relu")(inputs)
    x = layers.Conv2D(64, 3, 2, "same", activation="relu")(x)
    x = layers.Flatten()(x)
    features = layers.Dense(64, activation="relu", name="features", dtype="float32")(x)
    x = layers.Dropout(0.5)(features)
    outputs = layers.Dense(int(labels.max()) + 1, "softmax", name="classes", dtype="float32")(x)
    classifier = keras.Model(inputs, outputs)
    classifier.compile("adam", "sparse_categorical_crossentropy", jit_compile=False)
    classifier.fit(images, labels, batch_size=64, epochs=epochs, verbose=0)
    return keras.Model(inputs, [features, outputs], name="evaluator")


def train_domain_evaluator(first, second, epochs=3, seed=0):
    """An evaluator that tells two kinds of images apart, and by more than their colours.

    Half of what it sees has the colours of the other kind (see `colour_transfer`), and still
    counts as its own.

    Args:
        first, second: float arrays in [-1, 1], `(count, height, width, 3)`: classes 0 and 1.
        epochs: passes over the images, the recoloured ones included.
        seed: as for `train_evaluator`.

    Returns:
        As `train_evaluator`.
    """
    check_images(first, "first")
    check_images(second, "second", np.shape(first)[1:])
    recoloured = colour_transfer(first, second), colour_transfer(second, first)
    labels = np.repeat([0, 1, 0, 1], 2 * [len(first), len(second)])
    images = np.concatenate([first, second, *recoloured])
    return train_evaluator(images, labels, epochs, seed)


def apply(network, images, name="images"):
    """The outputs of a network for images in [-1, 1], a list of arrays, batch by batch.

    As `predict`, but that is traced anew for sets of other sizes, of which a training's measures
    have many. A `ValueError` tells of other images by `name`.
    """
    check_images(images, name)
    parts = [
        keras.tree.flatten(network(images[i : i + BATCH], training=False))
        for i in range(0, len(images), BATCH)
    ]
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def scored(evaluator, images, name="images"):
    """Features and probabilities, by a model of `train_evaluator`."""
    if len(evaluator.outputs) != 2:
        raise ValueError(
            f"evaluator: a model of {len(evaluator.outputs)} outputs, but one from "
            "train_evaluator is needed, which gives features and probabilities"
        )
    return apply(evaluator, images, name)


def evaluate_images(evaluator, images, reference):
    """Scores a set of generated images.

    Args:
        evaluator: model from `train_evaluator`.
        images: generated images, float32 in [-1, 1].
        reference: real images that neither the GAN nor the evaluator has seen, of the same kind.

    Returns:
        dict: `frechet` (float, in the evaluator's features), `confident_share` (float), `classes`
        (int, the covered ones).

    Raises:
        ValueError: images that are not in [-1, 1], or not finite.
    """
    features, probabilities = scored(evaluator, images)
    real_features, _ = scored(evaluator, reference, "reference")
    return {
        "frechet": frechet_distance(real_features, features),
        "confident_share": confident_share(probabilities),
        "classes": class_coverage(probabilities),
    }


def frechet_distance(first, second):
    """Fréchet distance of two sets of features, each taken as Gaussian (Heusel et al. 2017).

    |m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^(1/2)) for means m and covariances C; 0 for equal ones.

    Args:
        first, second: float arrays, `(count, features)`. The count should be well above the
            number of features, and the same in all that is compared: the distance falls with it.
    """
    first, second = _features(first, second)
    gap = first.mean(0) - second.mean(0)
    covariance1, covariance2 = np.cov(first, rowvar=False), np.cov(second, rowvar=False)
    # tr (C1 C2)^(1/2) = tr (R C2 R)^(1/2) with R = C1^(1/2): symmetric, so no complex roots.
    values, vectors = np.linalg.eigh(np.atleast_2d(covariance1))
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    product = np.linalg.eigvalsh(root @ np.atleast_2d(covariance2) @ root)
    cross = np.sqrt(np.clip(product, 0, None)).sum()
    return float(gap @ gap + np.trace(np.atleast_2d(covariance1 + covariance2)) - 2 * cross)


def _features(first, second):
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    for name, x in (("first", first), ("second", second)):
        if x.ndim != 2 or len(x) < 2 or not np.isfinite(x).all():
            raise ValueError(f"{name}: needs a finite (count, features) array of 2 rows or more")
    if first.shape[1] != second.shape[1]:
        raise ValueError(f"second: {second.shape[1]} features, but first has {first.shape[1]}")
    return first, second


def kernel_distance(first, second):
    """Kernel Inception distance of two sets of features (Bińkowski et al. 2018).

    The unbiased estimate of the squared maximum mean discrepancy, with the cubic kernel
    (x . y / features + 1)^3. Unlike the Fréchet distance it does not depend on the count, on
    average, and works on a few hundred images; near 0 it may be negative.

    Args:
        first, second: float arrays, `(count, features)`, 2 rows or more each.
    """
    first, second = _features(first, second)

    def kernel(a, b):
        return (a @ b.T / a.shape[1] + 1) ** 3

    within = [
        (k.sum() - np.trace(k)) / (len(k) * (len(k) - 1))
        for k in (kernel(first, first), kernel(second, second))
    ]
    return float(sum(within) - 2 * kernel(first, second).mean())


def image_kernel_distance(network, images, reference):
    """Kernel distance of two sets of images in the features of a network.

    Features have an arbitrary scale: they are divided by their root mean square in `reference`.

    Args:
        network: model of images of one size, such as an evaluator or a backbone; its first output
            are the features, `(count, features)`.
        images, reference: float arrays in [-1, 1], `(count, height, width, channels)`, 2 or more
            each, of any size: they are scaled to that of the network.

    Raises:
        ValueError: images that are not in [-1, 1], or not finite, or a network of any size.
    """
    size = network.input_shape[1:3]
    if None in size:
        raise ValueError(
            f"network: it takes images of any size, {network.input_shape}; build it for one size"
        )
    first, second = (
        apply(network, shrink(x, size), name)[0]
        for name, x in (("images", images), ("reference", reference))
    )
    unit = np.sqrt(np.square(second).mean())
    return kernel_distance(first / unit, second / unit)


def confident_share(probabilities, threshold=0.9):
    """The share of images whose class an evaluator is sure of, a float in [0, 1].

    Args:
        probabilities: float array, `(count, classes)`.
        threshold: how sure is sure.

    Raises:
        ValueError: no rows, or rows that are no probabilities.
    """
    check_number("threshold", threshold, 1)
    return float((_probabilities(probabilities).max(axis=1) > threshold).mean())


def class_coverage(probabilities, share=0.02):
    """How many classes a set of images covers: a GAN whose modes have collapsed covers few.

    Args:
        probabilities: float array, `(count, classes)`, an evaluator's.
        share: a class counts as covered from this share of all images on.

    Returns:
        int, the number of covered classes. Each image counts for its most probable class.

    Raises:
        ValueError: as for `confident_share`.
    """
    check_number("share", share, 1)
    probabilities = _probabilities(probabilities)
    counts = np.bincount(probabilities.argmax(axis=1), minlength=probabilities.shape[1])
    return int((counts >= share * len(probabilities)).sum())


def _probabilities(values):
    values = np.asarray(values, np.float64)
    if values.ndim != 2 or not values.size or not np.allclose(values.sum(1), 1, atol=1e-2):
        raise ValueError(
            f"probabilities: shape {values.shape}, but (count, classes) is needed, 1 row or more, "
            "each of which adds up to 1; softmax makes them of logits"
        )
    return values


def nearest_images(images, candidates):
    """The nearest candidate of each image by mean absolute difference of pixels.

    Args:
        images, candidates: float arrays in [-1, 1], `(count, height, width, channels)`, of one
            shape but for the count.

    Returns:
        (ints `(count,)`, positions in candidates; floats `(count,)`, the differences). Generated
        images that are copies of training images have differences far below those of held-out
        real ones.
    """
    check_images(images, "images")
    check_images(candidates, "candidates", np.shape(images)[1:])
    flat = np.asarray(candidates, np.float32).reshape(len(candidates), -1)
    distances = np.stack(
        [np.abs(flat - image).mean(1) for image in np.reshape(images, (len(images), -1))]
    )
    return distances.argmin(1), distances.min(1)


def image_distances(outputs, targets):
    """How far images are from those that they should be.

    Args:
        outputs, targets: float arrays in [-1, 1], `(count, height, width, channels)`; sides of at
            least `SSIM_WINDOW`.

    Returns:
        dict: `l1`, the mean absolute difference (0 to 2), and `ssim`, the mean structural
        similarity (Wang et al. 2004; 1 for equal images). SSIM compares means and contrasts with
        constants for values from 0 up, so it is taken of (x + 1) / 2, in [0, 1].
    """
    check_images(outputs, "outputs")
    check_images(targets, "targets")
    outputs, targets = np.asarray(outputs, np.float32), np.asarray(targets, np.float32)
    if outputs.shape != targets.shape:
        raise ValueError(f"outputs of shape {outputs.shape}, but targets of {targets.shape}")
    if min(outputs.shape[1:3]) < SSIM_WINDOW:
        raise ValueError(
            f"outputs of shape {outputs.shape}, but SSIM needs sides of {SSIM_WINDOW} or more"
        )
    similar = [
        tf.image.ssim((a + 1) / 2, (b + 1) / 2, max_val=1.0, filter_size=SSIM_WINDOW)
        for a, b in zip(_batches(outputs), _batches(targets), strict=True)
    ]
    return {
        "l1": float(np.abs(outputs - targets).mean()),
        "ssim": float(np.concatenate(similar).mean()),
    }


def grid_energy(images, reference, periods=(2, 4, 8)):
    """Energy at the frequencies of upsampling grids, relative to real images; 1 is clean.

    A transposed convolution of stride 2 leaves a pattern that repeats every 2 pixels, and those
    before it every 4 and 8 (Odena et al. 2016). Such a pattern is a peak in the spectrum, at
    multiples of 1/period. The peak is measured against the frequencies around it, and that again
    against the same ratio in real images.

    Args:
        images, reference: float arrays, `(count, height, width, channels)`; `reference` are real
            images of the same size. The largest period has to divide the sides.
        periods: in pixels.

    Returns:
        float, the largest ratio of all periods.

    Raises:
        ValueError: other shapes, values that are NaN or infinite, or flat images.
    """
    if np.ndim(images) != 4 or np.ndim(reference) != 4:
        raise ValueError(
            f"grid_energy: shapes {np.shape(images)} and {np.shape(reference)}, but (count, "
            "height, width, channels) is needed"
        )
    height, width = np.shape(images)[1:3]
    if height % max(periods) or width % max(periods) or np.shape(reference)[1:3] != (height, width):
        raise ValueError(
            f"grid_energy: sides {height}x{width}, and of the reference "
            f"{'x'.join(map(str, np.shape(reference)[1:3]))}: they have to be equal, and "
            f"{max(periods)} has to divide them"
        )

    def peaks(images, name):
        grey = np.asarray(images, np.float64).mean(-1)
        if not np.isfinite(grey).all():
            raise ValueError(f"{name}: holds NaN or infinite values")
        if not len(grey) or not np.ptp(grey, (1, 2)).any():
            raise ValueError(f"{name}: no image that is not flat, so there is no spectrum")
        # A window against the cross that an image's borders leave in its spectrum.
        window = np.hanning(height)[:, None] * np.hanning(width)
        spectra = np.fft.fft2((grey - grey.mean((1, 2), keepdims=True)) * window)
        power = (np.abs(spectra) ** 2).mean(0)
        found = []
        for period in periods:
            rows = np.arange(period) * (height // period)
            columns = np.arange(period) * (width // period)
            ratios = []
            for r, c in itertools.product(rows, columns):
                if r % (2 * rows[1]) or c % (2 * columns[1]):  # else a shorter period has it, too
                    near = np.ix_(np.arange(r - 4, r + 5) % height, np.arange(c - 4, c + 5) % width)
                    ratios.append(power[r, c] / np.median(power[near]))
            found.append(np.mean(ratios))
        return np.array(found)

    return float((peaks(images, "images") / peaks(reference, "reference")).max())


def colour_transfer(images, reference):
    """The colours of another set: each image gets its mean and covariance (Reinhard et al. 2001).

    The baseline of a translation between seasons: what colour alone can do.

    Args:
        images, reference: float arrays in [-1, 1], `(count, height, width, 3)`.

    Returns:
        float32 array of the shape of `images`, clipped to [-1, 1].
    """
    for name, x in (("images", images), ("reference", reference)):
        check_images(x, name, (*np.shape(x)[1:3], 3))

    def moments(pixels):
        values, vectors = np.linalg.eigh(np.cov(pixels, rowvar=False))
        return pixels.mean(0), (vectors * np.sqrt(np.clip(values, 1e-8, None))) @ vectors.T

    mean, root = moments(np.reshape(images, (-1, 3)).astype(np.float64))
    new_mean, new_root = moments(np.reshape(reference, (-1, 3)).astype(np.float64))
    changed = (np.asarray(images) - mean) @ np.linalg.inv(root) @ new_root + new_mean
    return np.clip(changed, -1, 1).astype(np.float32)


class MeanColours:
    """The baseline of a translation from label maps: painting by numbers.

    Every label gets the mean colour of its pixels in the photos. Colours of the label maps are
    rounded to 8 levels a channel, which JPEG does not blur away.

    Args:
        labels, photos: float arrays in [-1, 1], `(count, height, width, 3)`, the training pairs.
    """

    def __init__(self, labels, photos):
        cells = self.cells(labels).ravel()
        check_images(photos, "photos", np.shape(labels)[1:])
        if len(photos) != len(labels):
            raise ValueError(f"photos: {len(photos)} of them, but {len(labels)} label maps")
        colours = np.asarray(photos).reshape(-1, 3)
        counts = np.bincount(cells, minlength=512)
        sums = np.stack([np.bincount(cells, c, minlength=512) for c in colours.T], axis=1)
        seen = counts > 0
        self.colours = np.tile(colours.mean(0), (512, 1))  # of a label that was never seen
        self.colours[seen] = sums[seen] / counts[seen, None]

    def predict(self, labels):
        """Label maps -> images, float32 of the same shape."""
        return self.colours[self.cells(labels)].astype(np.float32)

    @staticmethod
    def cells(labels):
        check_images(labels, "labels", (*np.shape(labels)[1:3], 3))
        levels = np.clip((np.asarray(labels) + 1) * 4, 0, 7).astype(np.int64)
        return levels @ np.array([64, 8, 1])


def class_share(evaluator, images, label):
    """The share of images that an evaluator assigns to class `label`, a float in [0, 1]."""
    _, probabilities = scored(evaluator, images)
    check_labels([label], "label", probabilities.shape[1])
    return float((probabilities.argmax(axis=1) == label).mean())


def shrink(images, size):
    """Images `(count, height, width, channels)`, antialiased, at a size `(height, width)`, or at
    size x size; float32."""
    size = (size, size) if isinstance(size, int) else size
    small = [tf.image.resize(x, size, antialias=True) for x in _batches(images)]
    return np.concatenate(small)


def _batches(images, size=32):
    return [images[i : i + size] for i in range(0, len(images), size)]
