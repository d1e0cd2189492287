"""Words and their numbers."""

import re
import unicodedata
from collections import Counter

import numpy as np
from keras.utils import pad_sequences

from recipes.datasets.files import load_json, save_json
from recipes.training.checks import check_count

PAD, START, END, UNKNOWN = range(4)
SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>")  # no cleaned word has brackets


def clean(text):
    """The words of a caption, in any script that puts blanks between them: a list of str in lower
    case, without punctuation; "a" and numbers stay. It may be empty."""
    # Twice: "J̌" has no character of its own, but the "ǰ" that `lower` makes of it has.
    text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).lower())
    text = re.sub(r"['’]", "", text)  # "man's" is one word
    # Letters, and the marks that belong to them in many scripts, which \\w leaves out.
    kept = (c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in text)
    return "".join(kept).split()


def check_lists(captions):
    """Raises `ValueError` unless there is a list of captions, texts, for each image."""
    texts = next((texts for texts in [captions, *captions] if isinstance(texts, str)), None)
    if texts is not None:
        raise ValueError(f"captions: a list for each image is needed, but {texts!r} is a text")
    for texts in captions:
        check_texts(texts)


def check_texts(captions):
    """Raises `ValueError` unless `captions` is a list of texts."""
    if isinstance(captions, str):
        raise ValueError(f"captions: a list is needed, but {captions!r} is one text")
    for text in captions:
        if not isinstance(text, str):
            raise ValueError(f"captions: {text!r} is no text; join words with blanks")


class Vocabulary:
    """The words that a captioner knows. Number 0 is padding, then start, end and unknown.

    Args:
        words: the words, without the special ones; the first one gets number 4.

    Raises:
        ValueError: no words, a word twice, or one that `clean` would change.
    """

    def __init__(self, words):
        if isinstance(words, (str, dict)) or not words:
            raise ValueError(f"words: a list of one or more is needed, not {words!r}")
        words = list(words)
        doubled = [word for word, count in Counter(words).items() if count > 1]
        if doubled:
            raise ValueError(f"words: more than once there: {', '.join(doubled[:10])}")
        foreign = [word for word in words if not isinstance(word, str) or clean(word) != [word]]
        if foreign:
            raise ValueError(f"words: not as `clean` leaves them: {foreign[:10]}")
        self.words = (*SPECIAL, *words)
        self._numbers = {word: number for number, word in enumerate(self.words)}

    @classmethod
    def build(cls, captions, min_count=1, max_words=None):
        """The words of captions, the most frequent first.

        Args:
            captions: list of lists of str, the captions of each image: of training images only,
                or the test is no longer one.
            min_count: words that are rarer become unknown.
            max_words: of the words, so many are taken; None: all.

        Raises:
            ValueError: no word is frequent enough, the captions are no lists, or a count that is no
            whole number above 0.
        """
        check_lists(captions)
        check_count("min_count", min_count)
        if max_words is not None:
            check_count("max_words", max_words)
        counts = Counter(word for texts in captions for text in texts for word in clean(text))
        # Words of equal count by the alphabet: the numbers do not depend on the captions' order.
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        words = [word for word, count in ranked if count >= min_count]
        if not words:
            raise ValueError(f"captions: no word is there {min_count} times or more")
        return cls(words[:max_words])

    def __len__(self):
        return len(self.words)

    def encode(self, captions):
        """Numbers of the words of captions, between start and end.

        Returns:
            int32 array, `(captions, longest)`, padded on the right: on the left, a GPU's LSTM
            would refuse it.

        Raises:
            ValueError: a caption without a word, one that is no text, or no captions.
        """
        return pad_sequences(self.numbers(captions), padding="post", value=PAD)

    def numbers(self, captions):
        """As `encode`, unpadded: a list of int32 arrays, one for each caption."""
        check_texts(captions)
        rows = []
        for text in captions:
            words = clean(text)
            if not words:
                raise ValueError(f"captions: no word in {text!r}; leave it out")
            known = [self._numbers.get(word, UNKNOWN) for word in words]
            rows.append(np.array([START, *known, END], np.int32))
        return rows

    def decode(self, numbers):
        """Int array `(captions, length)` -> list of captions; what follows an end, and padding and
        start, are left out.

        Raises:
            ValueError: a number that no word has, or an array of another shape.
        """
        if np.ndim(numbers) != 2:
            raise ValueError(
                f"numbers: shape {np.shape(numbers)}, but (captions, length) is needed; "
                "numbers[None] makes it of one row"
            )
        return [" ".join(self.tokens(row)) for row in np.asarray(numbers)]

    def tokens(self, row):
        """The words of one row of numbers, as `decode` joins them."""
        row = [int(number) for number in row]
        if unknown := [number for number in row if not 0 <= number < len(self)]:
            raise ValueError(f"numbers: {unknown[:10]}, but the words have 0 to {len(self) - 1}")
        if END in row:
            row = row[: row.index(END)]
        return [self.words[number] for number in row if number not in (PAD, START)]

    def save(self, path):
        """Writes the words to a JSON file."""
        save_json(path, {"words": self.words[len(SPECIAL) :]})

    @classmethod
    def load(cls, path):
        """A vocabulary that `save` has written.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not a vocabulary.
        """
        words = load_json(path, words=list)["words"]
        try:
            return cls(words)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} is not a vocabulary: {error}") from error
