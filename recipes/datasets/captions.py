"""Images with captions: what Flickr8k, COCO and captions of your own have in common."""

import math
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from recipes.arguments import check_count, check_seed
from recipes.datasets.image_files import some


@dataclass(frozen=True)
class CaptionedImages:
    """Image files, and the captions of each.

    `len` is the number of images. Images may have different numbers of captions.

    Attributes:
        paths: list of `Path`, one for each image.
        captions: list of lists of str, parallel to `paths`: at least one for each image, and none
            of them empty.

    Raises:
        ValueError: the lists differ in length, or an image has no captions or one that is empty.
    """

    paths: list
    captions: list

    def __post_init__(self):
        if len(self.paths) != len(self.captions):
            raise ValueError(
                f"{len(self.paths)} paths, but {len(self.captions)} lists of captions: "
                "each image has one list"
            )
        for path, texts in zip(self.paths, self.captions, strict=True):
            if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
                raise ValueError(f"{path}: captions {texts!r} are not a list of strings")
            if not texts or not all(text.strip() for text in texts):
                raise ValueError(f"{path} has no captions, or an empty one: {texts!r}")

    def __len__(self):
        return len(self.paths)

    def take(self, positions):
        """The images at these positions, in that order, as another `CaptionedImages`."""
        if any(isinstance(i, bool | np.bool_) for i in positions):
            raise ValueError(
                "positions: they are true or false; np.flatnonzero finds the true ones"
            )
        return CaptionedImages(
            [self.paths[i] for i in positions], [self.captions[i] for i in positions]
        )


def split_by_image(data, shares=(0.8, 0.1, 0.1), seed=0):
    """Split a `CaptionedImages` at random; all captions of an image go to the same part.

    Args:
        shares: one number above 0 for each part; in all they make 1.

    Returns:
        A tuple of `CaptionedImages`, one for each share; in each, the images keep their order.

    Raises:
        ValueError: `shares` do not make 1, or a part would have no image.
    """
    if np.ndim(shares) != 1 or not all(x > 0 for x in shares) or abs(sum(shares) - 1) > 1e-6:
        raise ValueError(f"shares must be above 0 and make 1 in all, found {shares!r}")
    check_seed(seed)
    order = np.random.default_rng(seed).permutation(len(data))
    ends = [0, *(round(len(data) * end) for end in accumulate(shares))]
    parts = tuple(data.take(sorted(order[start:end])) for start, end in pairwise(ends))
    if not all(parts):
        raise ValueError(
            f"{len(data)} images, split as {shares!r}, leave a part without any: "
            "give it more images or another share"
        )
    return parts


def sample(data, captions=30_000, seed=0):
    """Draw images, with all of their captions, from a `CaptionedImages`; they keep their order.

    Args:
        captions: how many there should be; the last image drawn may bring a few more. If there are
            fewer, all images are taken.
        seed: the same seed draws the same images; more captions are the same images and others.

    Raises:
        ValueError: `captions` is not a whole number above 0.
    """
    check_count("captions", captions)
    check_seed(seed)
    order = np.random.default_rng(seed).permutation(len(data))
    counts = np.cumsum([len(data.captions[i]) for i in order])
    return data.take(sorted(order[: np.searchsorted(counts, captions) + 1]))


def match(names, there, captions, place, source, skip_missing=False):
    """Find the captions of images; an image without them, or the reverse, is an error.

    Args:
        names: the images that are wanted.
        there: set or dict of the names of the images there are.
        captions: dict from a name to a list of str.
        place: where the images are, for the message.
        source: where the captions are, for the message.
        skip_missing: leave out images that are not there, images without captions and empty
            captions, and print which; else they are an error.

    Returns:
        dict from each name, in the order of `names`, to a list of its captions without the blanks
        around them; no list is empty.

    Raises:
        ValueError: something is missing, all of it in one message; or no image is left.
    """
    found, absent, silent, empty = {}, [], [], []
    for name in names:
        stripped = [text.strip() for text in captions.get(name, ())]
        full = [text for text in stripped if text]
        if name not in there:
            absent.append(name)
        elif not stripped:
            silent.append(name)
        elif len(full) < len(stripped):
            empty.append(name)
        if full and name in there:
            found[name] = full
    faults = [
        f"{len(bad)} {'image' if len(bad) == 1 else 'images'} {fault}: {some(bad)}"
        for bad, fault in (
            (absent, f"that {'is' if len(absent) == 1 else 'are'} not in {place}"),
            (silent, f"without a caption in {source}"),
            (empty, f"with an empty caption in {source}"),
        )
        if bad
    ]
    if not found:
        raise ValueError(
            f"there is no image in {place} that has a caption in {source}" + _lines(faults)
        )
    if faults and not skip_missing:
        raise ValueError(
            "images and captions do not go together:" + _lines(faults) + "\nRepair them, or load "
            "with skip_missing=True, which leaves out such images, and captions that are empty."
        )
    if faults:
        print(f"Left out: {'; '.join(faults)}")
    return found


def _lines(faults):
    return "".join(f"\n  {fault}" for fault in faults)


def fractions(x, y, width, height, image_width, image_height):
    """A box in fractions of its image, cut at the edges; `ValueError` if it is none."""
    edges = (x / image_width, y / image_height)
    ends = ((x + width) / image_width, (y + height) / image_height)
    if not (width >= 0 and height >= 0 and all(map(math.isfinite, edges + ends))):
        raise ValueError
    # Some boxes reach beyond the edge by a fraction of a pixel.
    left, upper, right, lower = (min(max(at, 0.0), 1.0) for at in edges + ends)
    return left, upper, right - left, lower - upper
