"""Grids of images, measures, losses that are NaN, and the order of callbacks."""

import re

import keras
import numpy as np
import pytest
from PIL import Image

from recipes.training import callbacks
from recipes.training.callbacks import (
    ImageGrid,
    Measure,
    SetEpoch,
    arrange_callbacks,
    diversity,
    progress,
)
from recipes.training.resume import Resume
from tests.small import (
    POINTS,
    Line,
    X,
    Y,
    assert_same,
    interrupt_at,
    line,
    model,
    names,
    points,
    train,
)

# Images


def grid(folder, **kwargs):
    images = np.linspace(-1, 1, 4 * 6 * 6).reshape(4, 6, 6, 1)
    return ImageGrid(lambda net: images, folder, columns=2, **kwargs)


def test_the_grid_is_drawn_at_the_first_the_last_and_every_nth_epoch(tmp_path):
    callback = grid(tmp_path, every=3)
    model().fit(X, Y, epochs=7, callbacks=[callback], verbose=0)
    names = [path.stem for path in callback.paths()]
    assert names == ["epoch-0001", "epoch-0003", "epoch-0006", "epoch-0007"]
    with Image.open(tmp_path / "training.gif") as film:
        assert film.n_frames == 1 or film.n_frames == 4  # equal frames may be merged
    assert not list(tmp_path.glob("*.part"))


def test_a_new_training_clears_the_last_ones_pictures_and_a_resumed_one_does_not(tmp_path):
    model().fit(X, Y, epochs=3, callbacks=[grid(tmp_path)], verbose=0)
    model().fit(X, Y, epochs=5, initial_epoch=3, callbacks=[grid(tmp_path)], verbose=0)
    assert len(grid(tmp_path).paths()) == 5
    model().fit(X, Y, epochs=1, callbacks=[grid(tmp_path)], verbose=0)
    assert len(grid(tmp_path).paths()) == 1


def collapse(shares, tmp_path, real=None, every=1):
    """Lets a generator draw pictures whose spread is such a share of that of the real ones."""
    rng = np.random.default_rng(0)
    basis = rng.uniform(-1, 1, (6, 4, 4, 1))
    drawn = iter([1.0, *shares])  # the first one is only looked at
    grid = ImageGrid(lambda net: basis * next(drawn), tmp_path, every=every, real=real)
    model().fit(X, Y, epochs=len(shares), callbacks=[grid], verbose=0)
    return basis


def test_a_collapsed_generator_is_told_once_with_epoch_and_both_numbers(tmp_path, capsys):
    real = collapse([0.0], tmp_path)
    collapse([0.01, 0.05, 0.6, 0.7, 0.02, 0.01], tmp_path, real)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert "epoch 5: mode collapse" in lines[0]
    for number in (0.02 * diversity(real), diversity(real)):
        assert f"{number:.3f}" in lines[0]
    assert "lower learning rate" in lines[0]


@pytest.mark.parametrize(
    ("shares", "told"),
    [
        ([0.01, 0.1, 0.02, 0.4, 0.7], []),  # alike at first, as every generator
        ([0.9, 0.5, 0.3, 0.6], []),
        ([0.01, 0.02, 0.03, 0.02, 0.01, 0.05], [4]),  # never anything else
        ([0.6, 0.1, 0.6, 0.1], [2, 4]),
        ([0.01, 0.02], []),
    ],
)
def test_a_generator_that_learns_is_not_called_collapsed(tmp_path, capsys, shares, told):
    real = collapse([0.0], tmp_path)
    collapse(shares, tmp_path, real)
    lines = capsys.readouterr().out.splitlines()
    assert [int(line.split()[1].strip(":")) for line in lines] == told


def test_real_pictures_of_another_range_are_refused(tmp_path):
    real = np.array([0.0, 255.0]).reshape(2, 1, 1, 1)
    with pytest.raises(ValueError, match=r"real: values from 0 to 255, but \[-1, 1\] is needed"):
        ImageGrid(lambda net: None, tmp_path, real=real)


# Measures


def slope(net):
    return {"slope": np.float32(net.net.layers[0].kernel[0, 0])}


def test_a_measure_is_part_of_the_log_and_of_what_other_callbacks_see(tmp_path):
    measure = Measure(slope, every=3)
    log = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    # It falls from epoch to epoch, so the first measurement remains the best.
    stop = keras.callbacks.EarlyStopping("slope", mode="max", patience=4)
    net = line()
    history = net.fit(
        points().dataset, epochs=9, callbacks=[stop, log, measure], verbose=0
    ).history["slope"]
    assert len(history) == 5
    first, third = history[0], history[2]
    assert history == [first, first, third, third, third]
    assert first > third > slope(net)["slope"]
    assert measure.curve("slope") == ([1, 3], [first, third])
    assert measure.seconds == sum(record["seconds"] for record in measure.records) > 0
    table = np.genfromtxt(tmp_path / "log.csv", delimiter=",", names=True)
    np.testing.assert_allclose(table["slope"], history)
    net.fit(points().dataset, epochs=2, callbacks=[measure], verbose=0)
    assert measure.curve("slope")[0] == [1, 2]  # a new training; its last epoch counts


def test_measures_survive_a_restart(tmp_path):
    def go(folder, epochs, *callbacks):
        measure = Measure(slope, every=3)
        _, history = train(folder, epochs, [measure, *callbacks])
        return measure.curve("slope"), history

    whole = go(tmp_path / "whole", 6)
    stop = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt_at(4))
    with pytest.raises(KeyboardInterrupt):
        go(tmp_path / "parts", 6, stop)
    assert go(tmp_path / "parts", 6) == whole
    assert whole[0][0] == [1, 3, 6]


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (0.5, "has to return a dict, name -> number, not 0.5"),
        ({}, "has to return a dict"),
        ({"loss": 0.5}, "the log has a value 'loss' already"),
        ({"kid": np.nan}, "kid is nan after epoch 1"),
        ({"kid": np.zeros(2)}, r"kid is array\(\[0., 0.\]\), but a number is needed"),
        ({"kid": None}, "kid is None, but a number is needed"),
        ({"kid": "low"}, "kid is 'low', but a number is needed"),
    ],
)
def test_what_is_no_measure_is_refused(found, message):
    with pytest.raises(ValueError, match=f"measure: {message}"):
        line().fit(points().dataset, callbacks=[Measure(lambda net: found)], verbose=0)


@pytest.mark.parametrize("every", [0, 0.5])
def test_measuring_less_than_every_epoch_is_refused(tmp_path, every):
    for make in (lambda: Measure(slope, every), lambda: ImageGrid(slope, tmp_path, every)):
        with pytest.raises(ValueError, match=f"every {every}: at least 1 is needed"):
            make()


# Numbers gone wrong


def test_a_loss_that_is_no_number_stops_the_training_at_its_step(tmp_path):
    targets = 3 * POINTS
    targets[5] = np.nan
    order = points(targets)
    first = next(step for step, (_, y) in enumerate(order.dataset, 1) if np.isnan(y.numpy()).any())
    steps = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(1))
    with pytest.raises(
        FloatingPointError, match=rf"epoch 1, step {first}: loss is nan\. .*no check"
    ):
        train(tmp_path, 3, [count], batches=points(targets))
    assert len(steps) == first - 1  # those after `StopOnNaN` do not see this one
    assert names(tmp_path) == ["resume-0000.npz"]


def test_the_last_good_checkpoint_is_named_and_can_be_restored(tmp_path):
    batches = points()
    sane, _ = train(tmp_path, 2, batches=batches)
    net = line()
    resume = Resume(tmp_path, batches)
    done = resume.restore(net)
    steep = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: net.net.layers[0].kernel.assign(np.full((1, 4), np.inf))
    )
    with pytest.raises(FloatingPointError, match=r"last good checkpoint is .*resume-0002.npz;"):
        net.fit(batches.dataset, epochs=4, initial_epoch=done, callbacks=[resume, steep], verbose=0)
    resume.restore(net)
    assert_same(sane, net)


class TwoLosses(Line):
    """The second loss becomes infinite at step 3, the first one is NaN from step 5 on."""

    def train_step(self, data):
        step = keras.ops.cast(self.optimizer.iterations, "float32")
        self.optimizer.apply([0 * v for v in self.trainable_variables], self.trainable_variables)
        one = keras.ops.where(step >= 4, np.nan, 1.0)
        return {"first": one, "second": keras.ops.where(step >= 2, np.inf, 1.0), "fine": 0.5}


def test_of_several_losses_that_is_named_which_went_first():
    net = line(kind=TwoLosses)
    with pytest.raises(FloatingPointError, match=r"epoch 1, step 3: second is inf\. The training"):
        net.fit(points(batch_size=2).dataset, epochs=2, verbose=0)


def test_a_validation_loss_that_is_no_number_stops_the_training(tmp_path):
    bad = points(np.full_like(POINTS, np.nan)).dataset
    with pytest.raises(FloatingPointError, match="epoch 1, validation: val_loss is nan"):
        train(tmp_path, 2, validation_data=bad)
    assert names(tmp_path) == ["resume-0000.npz"]


def test_weights_that_are_no_numbers_are_not_written(tmp_path):
    train(tmp_path, 1)

    def spoil(epoch, logs):  # as the last update of an epoch may, after its loss was taken
        net.net.layers[0].kernel.assign(np.full((1, 4), np.nan))

    net = line()
    callbacks = [keras.callbacks.LambdaCallback(on_epoch_end=spoil)]
    with pytest.raises(
        FloatingPointError, match=r"epoch 2: .* 1 of 4 variables, .*kernel first.*0001"
    ):
        train(tmp_path, 3, callbacks, net)
    assert names(tmp_path) == ["resume-0000.npz", "resume-0001.npz"]


def test_progress_shows_a_bar(capsys):
    model().fit(X, Y, epochs=2, callbacks=[progress()], verbose=0)
    assert "2/2" in capsys.readouterr().err


# Before the training


def test_images_that_cannot_be_shown_are_refused_before_the_first_epoch(tmp_path):
    for shape in ((2, 4, 4, 4), (4, 4, 3)):
        grid = ImageGrid(lambda net, shape=shape: np.zeros(shape), tmp_path)
        with pytest.raises(ValueError, match=rf"draw: images of shape {re.escape(str(shape))}"):
            model().fit(X, Y, callbacks=[grid], verbose=0)


def test_the_grid_removes_what_it_has_written_and_nothing_else(tmp_path):
    model().fit(X, Y, epochs=2, callbacks=[grid(tmp_path)], verbose=0)
    others = ["epoch-final.png", "epoch-1.png", "notes.txt"]
    for name in others:
        (tmp_path / name).write_bytes(b"mine")
    model().fit(X, Y, epochs=1, callbacks=[grid(tmp_path)], verbose=0)
    assert names(tmp_path) == sorted(["epoch-0001.png", "training.gif", *others])


class TwoOptimizers(Line):
    def compile(self, **kwargs):
        super().compile(keras.optimizers.Adam(0.01), "mse")
        self.second = keras.optimizers.Adam(0.01)


@pytest.mark.parametrize(
    "callback",
    [
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2),
        keras.callbacks.ReduceLROnPlateau("loss"),
    ],
)
def test_a_learning_rate_that_would_reach_one_of_two_optimizers_is_refused(callback):
    net = TwoOptimizers()
    net.compile()
    with pytest.raises(ValueError, match=r"one of the 2 optimizers .*schedules.LearningRate"):
        net.fit(points().dataset, callbacks=[callback], verbose=0)
    line().fit(points().dataset, callbacks=[callback], verbose=0)


def test_a_list_of_callbacks_is_looked_into(tmp_path):
    net, resume = TwoOptimizers(), Resume(tmp_path, points())
    net.compile()
    plateau = keras.callbacks.ReduceLROnPlateau("loss")
    with pytest.raises(ValueError, match="one of the 2 optimizers"):
        net.fit(points().dataset, callbacks=keras.callbacks.CallbackList([plateau]), verbose=0)
    found = arrange_callbacks([keras.callbacks.CallbackList([resume, plateau])], line())
    assert found[2:] == [plateau, resume]


def test_two_resumes_are_refused(tmp_path):
    resumes = [Resume(tmp_path / name, points()) for name in "ab"]
    with pytest.raises(ValueError, match="2 Resume in one training"):
        line().fit(points().dataset, callbacks=resumes, verbose=0)
    assert not names(tmp_path)


def test_two_grids_in_one_folder_are_refused(tmp_path):
    grids = [ImageGrid(slope, tmp_path / name) for name in ("a", "b", "a/../b")]
    assert arrange_callbacks(grids[:2], line())[2:] == grids[:2]
    with pytest.raises(ValueError, match="two ImageGrid would write to the same folder"):
        arrange_callbacks(grids, line())


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "file").write_text("kept")
    for make in (Resume, lambda folder: ImageGrid(slope, folder)):
        with pytest.raises(ValueError, match="folder: .*file is a file, but a folder is needed"):
            make(tmp_path / "file")


def test_tensorboard_that_is_not_installed_is_told_before_the_training(tmp_path, monkeypatch):
    monkeypatch.setattr(callbacks, "find_spec", lambda name: None)
    board = keras.callbacks.TensorBoard(tmp_path)
    with pytest.raises(ValueError, match="pip install tensorboard"):
        line().fit(points().dataset, callbacks=[board], verbose=0)


def test_a_batch_that_is_looked_at_changes_nothing():
    class Seen(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            next(iter(batches.dataset))

    def fit(callbacks):
        net = line()
        net.fit(batches.dataset, epochs=3, callbacks=callbacks, verbose=0)
        return net

    batches = points()
    first = [x.numpy() for x, _ in batches.dataset]
    plain, looked_at = fit([]), fit([Seen()])
    assert_same(plain, looked_at)
    np.testing.assert_array_equal(first, [x.numpy() for x, _ in batches.dataset])
    with pytest.raises(KeyboardInterrupt):
        fit([keras.callbacks.LambdaCallback(on_epoch_begin=interrupt_at(2))])
    np.testing.assert_array_equal(first, [x.numpy() for x, _ in batches.dataset])


def test_each_epoch_of_a_training_has_its_own_order():
    orders, batches = [], points()

    class Orders(Line):
        def train_step(self, data):
            orders.append(data[0].numpy().ravel().tolist())
            return super().train_step(data)

    line(kind=Orders).fit(batches.dataset, epochs=2, verbose=0)
    assert orders[:3] != orders[3:6]
    # A keras.Model of another kind has to be told.
    plain, options = line(kind=Orders), {"epochs": 2, "shuffle": False, "verbose": 0}
    keras.Model.fit(plain, batches.dataset, callbacks=[SetEpoch()], **options)
    assert orders[:6] == orders[6:]
