"""How good captions are: BLEU, and two baselines that need no captioner."""

import warnings
from collections import Counter

import numpy as np
from nltk.translate.bleu_score import corpus_bleu
from sklearn.neighbors import NearestNeighbors

from recipes.captioning.vocabulary import clean


def bleu(references, captions):
    """BLEU-1 to BLEU-4 of captions (Papineni et al. 2002), all references of an image together.

    Both sides are cleaned in the same way, and neither has start or end tokens: those alone would
    give a wrong caption a BLEU-1 of a quarter.

    Args:
        references: list of lists of str, the captions that people gave each image.
        captions: list of str, one for each image.

    Returns:
        dict, "BLEU-1" to "BLEU-4", floats in [0, 1].

    Raises:
        ValueError: no captions, another number of them than of images, or an image without a
            reference.
    """
    if not captions or len(captions) != len(references):
        raise ValueError(f"captions: {len(captions)} for {len(references)} images")
    bare = [i for i, texts in enumerate(references) if isinstance(texts, str) or not texts]
    if bare:
        raise ValueError(f"references: no list of captions for the images {bare[:10]}")
    references = [[clean(text) for text in texts] for texts in references]
    weights = [(1 / n,) * n for n in (1, 2, 3, 4)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a score is 0, which can be seen
        scores = corpus_bleu(references, [clean(text) for text in captions], weights=weights)
    # Where nothing matches NLTK gives 1e-231, where nothing could, 0.
    return {f"BLEU-{n}": round(float(score), 12) for n, score in enumerate(scores, 1)}


def most_frequent_caption(captions):
    """The caption that most images have: the baseline that does not look at the photo.

    Args:
        captions: list of lists of str, of the training images.

    Returns:
        A cleaned caption; of several as frequent, the one that comes first.
    """
    counts = Counter(" ".join(clean(text)) for texts in captions for text in texts)
    return counts.most_common(1)[0][0]


def nearest_captions(train_features, train_captions, features):
    """The first caption of the training image whose features are nearest, by their angle.

    Args:
        train_features: float array, `(training images, ...)`; spatial ones are averaged.
        train_captions: list of lists of str, in the same order.
        features: float array, `(images, ...)`.

    Returns:
        A list of str, one for each image.
    """
    train_features, features = (_pooled(x) for x in (train_features, features))
    search = NearestNeighbors(n_neighbors=1, metric="cosine").fit(train_features)
    nearest = search.kneighbors(features, return_distance=False)[:, 0]
    return [train_captions[i][0] for i in nearest]


def attention_in_boxes(tokens, attention, grid, boxes, nouns):
    """For each noun of a caption, the share of attention within the boxes of what it names.

    Attention is taken as spread evenly within each place. Uniform attention then gives exactly
    the share of the picture that the boxes cover: that is what chance would give.

    Args:
        tokens: list of str, the words of one caption.
        attention: float `(words, places)`, at least one row for each of them.
        grid: `(rows, columns)` of the places.
        boxes: list of `(category, (x, y, width, height))` of the picture, in fractions of it, as
            `coco.boxes` gives them.
        nouns: dict, category -> the words by which it may be named.

    Returns:
        A list of `(word, share, chance)`, for the words that name something that has a box.

    Raises:
        ValueError: a grid that does not go with the attention.
    """
    attention = np.asarray(attention)
    if attention.ndim != 2 or attention.shape[1] != grid[0] * grid[1]:
        raise ValueError(f"grid {grid}, but attention has the shape {attention.shape}")
    found = []
    for word, weights in zip(tokens, attention, strict=False):
        named = [box for category, box in boxes if word in nouns.get(category, ())]
        if named:
            inside = _covered(named, grid)
            found.append((word, float((weights * inside.ravel()).sum()), float(inside.mean())))
    return found


def _covered(boxes, grid, fine=16):
    """How much of each place the boxes cover together, `(rows, columns)`, in [0, 1]."""
    rows, columns = grid[0] * fine, grid[1] * fine
    mask = np.zeros((rows, columns), np.float32)
    for x, y, width, height in boxes:
        top, bottom = round(y * rows), round((y + height) * rows)
        left, right = round(x * columns), round((x + width) * columns)
        mask[max(top, 0) : bottom, max(left, 0) : right] = 1
    return mask.reshape(grid[0], fine, grid[1], fine).mean((1, 3))


def _pooled(features):
    if features.ndim == 2:
        return np.asarray(features, np.float32)
    # One image after the other: a file of spatial features may be larger than the memory.
    axes = tuple(range(features.ndim - 2))
    return np.stack([np.asarray(x, np.float32).mean(axes) for x in features])
