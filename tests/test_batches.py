import numpy as np
import pytest
import tensorflow as tf

from recipes.datasets import scale
from recipes.training.batches import Batches, random_shift, semi_supervised, set_epoch


@pytest.fixture(autouse=True)
def _first_epoch():
    set_epoch(0)
    yield
    set_epoch(0)


def epoch(batches, number=0):
    set_epoch(number)
    return np.concatenate([batch.numpy() for batch in batches.dataset])


def test_an_epoch_holds_every_row_once_and_each_epoch_is_ordered_anew():
    batches = Batches(np.arange(12), batch_size=4, seed=0)
    first, second = epoch(batches), epoch(batches, 1)
    assert sorted(first) == sorted(second) == list(range(12))
    assert list(first) != list(second)


def test_the_order_depends_on_seed_and_epoch_alone():
    batches = Batches(np.arange(12), batch_size=4, seed=0)
    orders = [epoch(batches, number) for number in range(3)]
    later = Batches(np.arange(12), batch_size=4, seed=0)
    np.testing.assert_array_equal(epoch(later, 2), orders[2])
    other = Batches(np.arange(12), batch_size=4, seed=1)
    assert list(epoch(other)) != list(orders[0])


def test_more_steps_than_rows_go_round_again_and_fewer_stop_early():
    rows = epoch(Batches(np.arange(10), batch_size=4, seed=0, steps=5))
    assert len(rows) == 20
    assert np.bincount(rows).min() >= 1
    batches = Batches(np.arange(10), batch_size=4, seed=0, steps=1)
    assert len(epoch(batches)) == 4
    assert len(batches.dataset) == 1


def test_the_transform_gets_all_arrays_and_another_seed_for_every_batch():
    batches = Batches(
        np.arange(8), np.arange(8) * 10, batch_size=4, seed=0,
        transform=lambda x, y, seed: (y - 10 * x, seed),
    )  # fmt: skip
    (zero, seed1), (_, seed2) = list(batches.dataset)
    assert not zero.numpy().any()
    assert list(seed1.numpy()) != list(seed2.numpy())


@pytest.mark.parametrize(
    ("arrays", "options", "message"),
    [
        ((np.zeros(3), np.zeros(4)), {}, "different lengths"),
        ((), {}, "arrays are needed"),
        ((np.zeros(3),), {"batch_size": 4}, "batch_size 4, but there are 3 rows"),
        ((np.zeros(0),), {"batch_size": 1}, "batch_size 1, but there are 0 rows"),
        ((np.zeros(3),), {"batch_size": 0}, "batch_size 0"),
        ((np.zeros(3),), {"batch_size": 1.5}, "batch_size 1.5: .* a whole number"),
        ((np.zeros(3),), {"steps": 0}, "steps 0: at least 1"),
        ((np.zeros(3),), {"seed": None}, "seed None: it has to be a whole number, 0 or more"),
        ((np.zeros(3),), {"seed": -1}, "seed -1: it has"),
        ((np.zeros(3),), {"seed": 1.5}, "seed 1.5: it has"),
    ],
)
def test_arrays_that_make_no_batch_are_refused(arrays, options, message):
    with pytest.raises(ValueError, match=message):
        Batches(*arrays, **{"batch_size": 2, "seed": 0} | options)


def test_scale_maps_bytes_to_minus_one_and_one():
    pictures = np.array([[0, 255]], np.uint8)
    for made in (scale(pictures), scale(tf.constant(pictures)).numpy()):
        np.testing.assert_allclose(made, [[-1, 1]], atol=1e-6)
        assert made.dtype == np.float32
    with pytest.raises(ValueError, match="uint8 is needed"):
        scale(pictures.astype("float32"))


def test_random_shift_moves_and_mirrors_whole_pictures():
    picture = np.zeros((64, 9, 9, 1), "float32")
    picture[:, 4, 4] = 1  # a dot in the middle, and a mark to its right
    picture[:, 4, 6] = 0.5
    moved = random_shift(picture, seed=[1, 2], pixels=2, flip=True).numpy()[..., 0]
    dots, marks = np.argwhere(moved == 1), np.argwhere(moved == 0.5)
    assert len(dots) == 64
    assert {tuple(d) for d in dots[:, 1:] - 4} <= {
        (i, j) for i in range(-2, 3) for j in range(-2, 3)
    }
    assert len({tuple(d) for d in dots[:, 1:]}) > 15
    sides = [int(np.sign(x)) for n in range(64) for x in marks[marks[:, 0] == n, 2] - dots[n, 2]]
    assert {-1, 1} == set(sides)  # some were mirrored, some were not
    again = random_shift(picture, seed=[1, 2], pixels=2, flip=True).numpy()[..., 0]
    np.testing.assert_array_equal(moved, again)


def test_semi_supervised_pairs_the_two():
    labelled = Batches(np.zeros((6, 2)), np.arange(6), batch_size=2, seed=0, steps=4)
    unlabelled = Batches(np.ones((9, 2)), batch_size=3, seed=0, steps=4)
    steps = list(semi_supervised(labelled, unlabelled))
    assert len(steps) == 4
    inputs, labels = steps[0]
    assert inputs["labelled"].shape == (2, 2)
    assert inputs["unlabelled"].shape == (3, 2)
    assert labels.shape == (2,)


def test_rows_are_asked_for_in_order_as_hdf5_wants_them():
    class Ordered:
        def __len__(self):
            return 6

        def __getitem__(self, rows):
            assert (np.diff(rows) > 0).all()
            return 10 * rows

    batches = Batches(Ordered(), np.arange(6), batch_size=4, seed=0, steps=6)
    assert all(np.array_equal(x, 10 * y) for x, y in batches.dataset)


def test_pandas_rows_are_taken_in_order_not_by_their_labels():
    pandas = pytest.importorskip("pandas")
    labels = pandas.Series(np.arange(6), index=[5, 4, 3, 2, 1, 0])
    x, y = next(iter(Batches(np.arange(6), labels, batch_size=6, seed=0).dataset))
    assert np.array_equal(x, y)
