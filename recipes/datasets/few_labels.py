"""The few labelled images that a semi-supervised recipe may look at."""

import numpy as np

from recipes.arguments import check_count, check_seed


def few_labels(labels, count, seed, num_classes=None):
    """Draw `count` labelled images without replacement, equally many of each class.

    Args:
        labels: integers in [0, num_classes), `(n,)`.
        count: how many to draw in all; a multiple of the number of classes.
        seed: the same seed draws the same images.
        num_classes: number of classes; by default one more than the largest label.

    Returns:
        int64 `(count,)`, positions in `labels`, each at most once, shuffled.

    Raises:
        ValueError: no labels, a label that is no class, a `count` that cannot be split
            equally, or a class with fewer images than it has to give.
    """
    check_seed(seed)
    check_count("count", count)
    labels = np.asarray(labels)
    if labels.ndim != 1 or not labels.size or labels.dtype.kind not in "iu":
        raise ValueError(
            "labels must be integers, one for each image of a dataset that is not empty; "
            f"found shape {labels.shape}, type {labels.dtype}"
        )
    if num_classes is None:
        num_classes = int(labels.max()) + 1
    if labels.min() < 0 or labels.max() >= num_classes:
        raise ValueError(
            f"labels must be in 0..{num_classes - 1}, found {labels.min()}..{labels.max()}"
        )
    if count % num_classes:
        raise ValueError(
            f"{count} labelled images cannot be split equally among {num_classes} classes"
        )
    each = count // num_classes
    rng = np.random.default_rng(seed)
    drawn = []
    for label in range(num_classes):
        own = np.flatnonzero(labels == label)
        if len(own) < each:
            raise ValueError(
                f"class {label} has {len(own)} images, but {each} of each class are asked for"
            )
        drawn.append(rng.choice(own, each, replace=False))
    return rng.permutation(np.concatenate(drawn)).astype(np.int64)
