"""How good captions are: BLEU, CIDEr-D, ROUGE-L, variety, and baselines that need no captioner.

All scores clean captions and references by `vocabulary.clean`. The COCO server uses the Penn
Treebank tokenizer, which drops punctuation as well, but splits "man's" in two.
"""

import math
from collections import Counter
from typing import NamedTuple

import numpy as np
from nltk import everygrams
from sklearn.neighbors import NearestNeighbors

from recipes.captioning.vocabulary import SPECIAL, check_lists, check_texts, clean


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
    references, captions = _tokens(references, captions)
    # Not NLTK's corpus_bleu: to it a caption shorter than n words has one n-gram, and misses it.
    matched, total, length, closest = np.zeros(4), np.zeros(4), 0, 0
    for words, texts in zip(captions, references, strict=True):
        length += len(words)
        closest += min((abs(len(text) - len(words)), len(text)) for text in texts)[1]
        most = Counter()
        for text in texts:
            most |= Counter(everygrams(text, 1, 4))
        for ngram, count in Counter(everygrams(words, 1, 4)).items():
            total[len(ngram) - 1] += count
            matched[len(ngram) - 1] += min(count, most[ngram])
    penalty = math.exp(min(1 - closest / length, 0)) if length else 0.0
    precisions = matched / np.maximum(total, 1)
    scores = penalty * np.cumprod(precisions) ** (1 / np.arange(1, 5))
    return {f"BLEU-{n}": float(score) for n, score in enumerate(scores, 1)}


def cider(references, captions):
    """CIDEr-D of captions (Vedantam, Zitnick, Parikh 2015): similarity of tf-idf of n-grams.

    N-grams that many images have in their references weigh little, so that "a man in a" brings
    less than "snowboarder". The score is the mean over the images, and over n from 1 to 4, of ten
    times the cosine of both vectors, clipped and with the Gaussian penalty for another length.

    Arguments and errors are those of `bleu`. Returns a float in [0, 10]; papers state either this
    or 100 times as much.
    """
    references, captions = _tokens(references, captions)
    counted = [[Counter(everygrams(words, 1, 4)) for words in texts] for texts in references]
    images_with = Counter(ngram for texts in counted for ngram in set().union(*texts))

    def weigh(counts):
        weights = [{}, {}, {}, {}]
        for ngram, count in counts.items():
            rarity = math.log(len(references) / max(images_with[ngram], 1))
            weights[len(ngram) - 1][ngram] = count * rarity
        return weights

    def similarity(caption, reference):
        """The clipped cosine, averaged over n."""
        total = 0.0
        for a, b in zip(weigh(caption), weigh(reference), strict=True):
            dot = sum(min(weight, b[ngram]) * b[ngram] for ngram, weight in a.items() if ngram in b)
            norm = math.hypot(*a.values()) * math.hypot(*b.values())
            total += dot / norm if norm else 0.0
        return total / 4

    scores = []
    for words, texts, counts in zip(captions, references, counted, strict=True):
        for reference, reference_counts in zip(texts, counts, strict=True):
            penalty = math.exp(-((len(words) - len(reference)) ** 2) / (2 * 6.0**2))
            alike = similarity(Counter(everygrams(words, 1, 4)), reference_counts)
            scores.append(10 * penalty * alike / len(texts))
    return sum(scores) / len(captions)


def rouge_l(references, captions):
    """ROUGE-L of captions (Lin 2004): F-score of the longest common subsequence of words.

    Recall counts 1.2 squared times as much as precision. Of an image's references, the best
    precision and the best recall are taken, as the COCO caption code does.

    Arguments and errors are those of `bleu`. Returns a float in [0, 1], the mean over the images.
    """
    references, captions = _tokens(references, captions)
    scores = []
    for words, texts in zip(captions, references, strict=True):
        common = [_common_subsequence(words, reference) for reference in texts]
        precision = max(common) / max(len(words), 1)
        recall = max(n / max(len(reference), 1) for n, reference in zip(common, texts, strict=True))
        weighted = recall + 1.2**2 * precision
        scores.append((1 + 1.2**2) * precision * recall / weighted if weighted else 0.0)
    return sum(scores) / len(scores)


def variety(captions, vocabulary):
    """How much captions differ: what tells a captioner from one that repeats a few sentences.

    Args:
        captions: list of str.
        vocabulary: a `Vocabulary`.

    Returns:
        dict: "distinct", the share of captions that no earlier one equals; "length", the mean
        number of words; "unused", the share of the vocabulary's words that no caption has.

    Raises:
        ValueError: no captions, or a text in place of a list.
    """
    captions = _texts(captions)
    if not captions:
        raise ValueError("captions: none")
    words = [clean(text) for text in captions]
    used = {word for text in words for word in text}
    known = set(vocabulary.words[len(SPECIAL) :])
    return {
        "distinct": len(set(map(tuple, words))) / len(captions),
        "length": sum(map(len, words)) / len(captions),
        "unused": len(known - used) / len(known),
    }


def all_scores(references, captions, vocabulary):
    """BLEU-4, CIDEr-D, ROUGE-L and `variety` in one dict; arguments and errors as theirs."""
    return {
        "BLEU-4": bleu(references, captions)["BLEU-4"],
        "CIDEr-D": cider(references, captions),
        "ROUGE-L": rouge_l(references, captions),
        **variety(captions, vocabulary),
    }


def most_frequent_caption(captions):
    """The caption that most training images have, cleaned; of several as frequent, the first: the
    baseline that does not look at the photo. `captions` is a list of lists of str."""
    check_lists(captions)
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

    Raises:
        ValueError: captions of more or fewer images than there are training features.
    """
    check_lists(train_captions)
    if len(train_captions) != len(train_features):
        raise ValueError(
            f"train_captions: those of {len(train_captions)} images, but train_features are of "
            f"{len(train_features)}"
        )
    train_features, features = (_pooled(x) for x in (train_features, features))
    search = NearestNeighbors(n_neighbors=1, metric="cosine").fit(train_features)
    nearest = search.kneighbors(features, return_distance=False)[:, 0]
    return [train_captions[i][0] for i in nearest]


class InBox(NamedTuple):
    """How much of the attention to one noun lies in the boxes of what it names."""

    word: str
    share: float  # of attention in the boxes: attention correctness (Liu et al. 2017)
    area: float  # share of the image in the boxes, which uniform attention would give
    # What a Gaussian around the image's centre would give, whose standard deviation is a quarter
    # of each side: photographers put the main thing there.
    centre: float


def attention_in_boxes(tokens, attention, grid, boxes, nouns):
    """For each noun of a caption, the share of attention within the boxes of what it names.

    Attention is taken as spread evenly within each place.

    Args:
        tokens: list of str, the words of one caption.
        attention: float `(words, places)`, at least one row for each of them.
        grid: `(rows, columns)` of the places.
        boxes: list of `(category, (x, y, width, height))` of the image, in fractions of it, as
            `coco.boxes` and `flickr8k.boxes` give them.
        nouns: dict, category -> the words by which it may be named.

    Returns:
        A list of `InBox`, for the words that name something that has a box.

    Raises:
        ValueError: a grid that does not go with the attention, or words without attention.
    """
    attention = np.asarray(attention)
    if len(attention) < len(tokens):
        raise ValueError(f"attention: {len(attention)} rows, but {len(tokens)} words")
    if attention.ndim != 2 or attention.shape[1] != grid[0] * grid[1]:
        raise ValueError(f"grid {grid}, but attention has the shape {attention.shape}")
    sizes = [box[2:] for _, box in boxes]
    if sizes and np.max(sizes) > 1.5:
        raise ValueError("boxes: they are in pixels, but fractions of the image are needed")
    prior = np.outer(*(np.exp(-8 * ((np.arange(n) + 0.5) / n - 0.5) ** 2) for n in grid))
    prior /= prior.sum()
    found = []
    for word, weights in zip(tokens, attention, strict=False):
        named = [box for category, box in boxes if word in nouns.get(category, ())]
        if named:
            inside = _covered(named, grid)
            share = float((weights * inside.ravel()).sum())
            found.append(InBox(word, share, float(inside.mean()), float((prior * inside).sum())))
    return found


def boxes_of_words(tokens, boxes, nouns):
    """For each word the box of the first object that it names, or None; as `attention_in_boxes`."""
    return [
        next((box for category, box in boxes if word in nouns.get(category, ())), None)
        for word in tokens
    ]


def by_noun(found, at_least=5):
    """The means of what `attention_in_boxes` has `found`, of any number of captions, for each noun
    that is there often enough.

    Returns:
        dict, word -> `(count, share, area, centre)`, the most frequent first.
    """
    counts = Counter(one.word for one in found)
    return {
        word: (count, *np.mean([one[1:] for one in found if one.word == word], axis=0).tolist())
        for word, count in counts.most_common()
        if count >= at_least
    }


def _tokens(references, captions):
    """The words of both sides, or the error that `bleu` documents."""
    captions = _texts(captions)
    if not captions or len(captions) != len(references):
        raise ValueError(f"captions: {len(captions)} for {len(references)} images")
    bare = [i for i, texts in enumerate(references) if isinstance(texts, str) or not texts]
    if bare:
        raise ValueError(f"references: no list of captions for the images {bare[:10]}")
    check_lists(references)
    references = [[clean(text) for text in texts] for texts in references]
    return references, [clean(text) for text in captions]


def _texts(captions):
    check_texts(captions)
    return list(captions)


def _common_subsequence(a, b):
    """Length of the longest common subsequence, by dynamic programming."""
    lengths = [0] * (len(b) + 1)
    for x in a:
        above = lengths
        lengths = [0]
        for i, y in enumerate(b):
            lengths.append(above[i] + 1 if x == y else max(above[i + 1], lengths[i]))
    return lengths[-1]


def _covered(boxes, grid, fine=16):
    """How much of each place the boxes cover together, `(rows, columns)`, in [0, 1]."""
    rows, columns = grid[0] * fine, grid[1] * fine
    mask = np.zeros((rows, columns), np.float32)
    for x, y, width, height in boxes:
        top, bottom = (min(max(round(at * rows), 0), rows) for at in (y, y + height))
        left, right = (min(max(round(at * columns), 0), columns) for at in (x, x + width))
        mask[top:bottom, left:right] = 1
    return mask.reshape(grid[0], fine, grid[1], fine).mean((1, 3))


def _pooled(features):
    features = np.asarray(features) if isinstance(features, list) else features
    if features.ndim == 2:
        return np.asarray(features, np.float32)
    # One image after the other: a file of spatial features may be larger than the memory.
    axes = tuple(range(features.ndim - 2))
    return np.stack([np.asarray(x, np.float32).mean(axes) for x in features])
