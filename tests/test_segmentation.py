"""The segmentation networks that score translations."""

import numpy as np
import pytest

from recipes import segmentation
from recipes.metrics import MeanColours
from recipes.segmentation import UNLABELLED, label_accuracy, label_ids, train_segmenter

COLOURS = [(0, 0, 142), (128, 64, 128), (70, 130, 180)]


def test_each_pixel_gets_the_number_of_its_colour_and_others_get_none():
    maps = np.array(COLOURS, np.uint8)[np.array([[[0, 1], [2, 0]]])]
    maps[0, 0, 0] += 9  # JPEG
    assert label_ids(maps, COLOURS).tolist() == [[[0, 1], [2, 0]]]
    assert label_ids(maps / np.float32(127.5) - 1, COLOURS).tolist() == [[[0, 1], [2, 0]]]
    maps[0, 1, 1] = 255, 255, 0
    assert label_ids(maps, COLOURS)[0, 1, 1] == UNLABELLED


def test_pixels_without_a_label_do_not_count():
    ids = np.array([[[0, 1], [UNLABELLED, 1]]])
    found = np.array([[[0, 1], [0, 0]]])
    for kind in (np.asarray, np.ndarray.tolist):
        assert label_accuracy(kind(found), kind(ids)) == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("found", "ids", "message"),
    [
        (np.zeros((1, 2, 2), int), np.full((1, 2, 2), UNLABELLED), "ids: not one pixel"),
        (np.zeros((1, 0, 2), int), np.zeros((1, 0, 2), np.uint8), "ids: not one pixel"),
        (np.zeros((1, 2, 2), int), np.zeros((1, 2, 2)), "ids: float64 of shape"),
        (np.zeros((2, 2), int), np.zeros((1, 2, 2), int), r"ids: .* of \(2, 2\)"),
        (np.zeros((1, 2, 2), int), np.full((1, 2, 2), -1), "ids: .* 0 or more"),
    ],
)
def test_ids_that_cannot_be_counted(found, ids, message):
    with pytest.raises(ValueError, match=message):
        label_accuracy(found, ids)
    with pytest.raises(ValueError, match="ids: "):
        train_segmenter(np.full((1, 2, 2, 3), -0.5, np.float32), ids if found.ndim == 3 else ids[0])


def test_it_finds_textures_but_not_flat_colours():
    """So that painting by numbers is far from the ceiling."""
    rng = np.random.default_rng(0)
    ids = np.repeat(rng.integers(0, 2, (24, 1, 4)), 16, 1).repeat(4, 2)  # stripes 4 pixels wide
    noise = rng.uniform(-1, 1, (24, 16, 16, 1))
    images = (0.2 * ids[..., None] + noise * ids[..., None] + np.zeros(3)).astype(np.float32) / 2
    segment = train_segmenter(images, ids, epochs=30)
    real = label_accuracy(segment(images), ids)
    labels = np.where(ids[..., None], 0.9, -0.9) + np.zeros(3)
    flat = label_accuracy(segment(MeanColours(labels, images).predict(labels)), ids)
    assert real > 0.8
    assert flat < real - 0.15


def test_the_segmenter_of_cityscapes_knows_its_classes(tmp_path):
    path = segmentation.cityscapes_segmenter_path()
    if not path.is_file():
        pytest.skip("the data root has no segmentation network")
    image = np.zeros((1, 40, 60, 3), np.float32)
    found = segmentation.load_cityscapes_segmenter(path)(image)
    assert found.shape == (1, 40, 60)
    assert found.max() < 19


def test_integers_of_any_width_are_grey_levels():
    maps = np.full((1, 2, 2, 3), [128, 64, 128])
    colours = np.array([[128, 64, 128], [0, 0, 0]], np.uint8)
    for kind in (np.uint8, np.int64):
        assert not segmentation.label_ids(maps.astype(kind), colours).any()
    with pytest.raises(ValueError, match=r"label maps: values from 64 to 128, but \[-1, 1\]"):
        segmentation.label_ids(maps.astype(np.float32), colours)
    with pytest.raises(ValueError, match=r"label maps: .* not shape \(2, 2, 3\)"):
        segmentation.label_ids(maps[0], colours)
