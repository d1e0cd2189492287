"""Pictures, numbers gone wrong, and what is left of a training that was interrupted."""

import contextlib
import json
import resource
import shutil
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from recipes import plotting
from recipes.training.base import RecipeModel
from recipes.training.batches import Batches
from recipes.training.callbacks import PictureGrid, Resume, progress, settings_of, spread
from tools.soak import Killed, Operations, die

X, Y = np.ones((8, 1), "float32"), np.ones((8, 1), "float32")


def model():
    net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    net.compile("adam", "mse")
    net.optimizer.build(net.trainable_variables)
    return net


class Line(RecipeModel):
    """The smallest recipe: a line through points, and noise of its own as dropout has it."""

    def __init__(self, width=4, seed=0, **kwargs):
        super().__init__({"width": width, "seed": seed}, **kwargs)
        self.net = keras.Sequential(
            [
                keras.Input((1,)),
                keras.layers.Dense(width, kernel_initializer=keras.initializers.Ones()),
                keras.layers.Dropout(0.5, seed=seed),
                keras.layers.Dense(1, kernel_initializer=keras.initializers.Ones()),
            ]
        )
        self.built = True

    def call(self, x, training=False):
        return self.net(x, training=training)

    def check_batch(self, batch):
        pass


POINTS = np.linspace(-1, 1, 12, dtype="float32")[:, None]


def line(learning_rate=0.01, kind=Line, **kwargs):
    made = kind(**kwargs)
    # Eager, since a trace takes longer than these few steps.
    made.compile(keras.optimizers.Adam(learning_rate), "mse", run_eagerly=True)
    made.optimizer.build(made.trainable_variables)
    return made


def points(targets=None, batch_size=4, seed=0):
    return Batches(
        POINTS, 3 * POINTS if targets is None else targets, batch_size=batch_size, seed=seed
    )


def train(folder, epochs, callbacks=(), net=None, batches=None, **kwargs):
    """As in a notebook; returns the trained model and its history."""
    net, batches = net or line(), batches or points()
    resume = Resume(folder, batches)
    history = net.fit(
        batches.dataset,
        epochs=epochs,
        initial_epoch=resume.restore(net),
        callbacks=[resume, *callbacks],
        verbose=0,
        **kwargs,
    )
    return net, history.history


def everything(net):
    return [v.numpy() for v in [*net.variables, *net.optimizer.variables]]


def assert_same(first, second):
    for a, b in zip(everything(first), everything(second), strict=True):
        np.testing.assert_array_equal(a, b)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


# Pictures


def grid(folder, **kwargs):
    pictures = np.linspace(-1, 1, 4 * 6 * 6).reshape(4, 6, 6, 1)
    return PictureGrid(lambda net: pictures, folder, columns=2, **kwargs)


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
    drawn = iter(shares)
    grid = PictureGrid(lambda net: basis * next(drawn), tmp_path, every=every, real=real)
    model().fit(X, Y, epochs=len(shares), callbacks=[grid], verbose=0)
    return basis


def test_a_collapsed_generator_is_told_once_with_epoch_and_both_numbers(tmp_path, capsys):
    real = collapse([0.0], tmp_path)
    collapse([0.01, 0.05, 0.6, 0.7, 0.02, 0.01], tmp_path, real)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1
    assert "epoch 5: the generator has collapsed" in lines[0]
    for number in (0.02 * spread(real), spread(real)):
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
        PictureGrid(lambda net: None, tmp_path, real=real)


def test_a_picture_on_a_full_disk_leaves_nothing_and_says_where(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    message = r"cannot write .*a.png: File too large. Make room"
    with full_disk(1000), pytest.raises(OSError, match=message):
        plotting.save_png(noise, tmp_path / "a.png")
    assert not names(tmp_path)


# Numbers gone wrong


def test_a_loss_that_is_no_number_stops_the_training_at_its_step(tmp_path):
    targets = 3 * POINTS
    targets[5] = np.nan
    order = points(targets)
    order.epoch = 0
    first = next(step for step, (_, y) in enumerate(order.dataset, 1) if np.isnan(y.numpy()).any())
    steps = []
    count = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: steps.append(1))
    with pytest.raises(
        FloatingPointError, match=rf"epoch 1, step {first}: loss is nan\. .*no check"
    ):
        train(tmp_path, 3, [count], batches=points(targets))
    assert len(steps) == first - 1  # those after `StopOnNaN` do not see this one
    assert not names(tmp_path)


def test_the_last_good_checkpoint_is_named_and_can_be_loaded(tmp_path):
    batches = points()
    sane, _ = train(tmp_path, 2, batches=batches)
    net = line()
    resume = Resume(tmp_path, batches)
    done = resume.restore(net)
    steep = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: net.net.layers[0].kernel.assign(np.full((1, 4), np.inf))
    )
    with pytest.raises(FloatingPointError, match=r"last good checkpoint is .*epoch-0002.keras;"):
        net.fit(batches.dataset, epochs=4, initial_epoch=done, callbacks=[resume, steep], verbose=0)
    loaded = keras.models.load_model(tmp_path / "epoch-0002.keras", custom_objects={"Line": Line})
    for ours, theirs in zip(sane.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)


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
    assert not names(tmp_path)


def test_weights_that_are_no_numbers_are_not_written(tmp_path):
    train(tmp_path, 1)

    def spoil(epoch, logs):  # as the last update of an epoch may, after its loss was taken
        net.net.layers[0].kernel.assign(np.full((1, 4), np.nan))

    net = line()
    callbacks = [keras.callbacks.LambdaCallback(on_epoch_end=spoil)]
    with pytest.raises(
        FloatingPointError, match=r"epoch 2 .* 1 of 4 variables, .*kernel first.*0001"
    ):
        train(tmp_path, 3, callbacks, net)
    assert names(tmp_path) == ["epoch-0001.keras"]


# Going on


def test_resume_keeps_the_last_two_checkpoints_until_they_are_cleared(tmp_path):
    train(tmp_path, 4)
    assert names(tmp_path) == ["epoch-0003.keras", "epoch-0004.keras"]
    (tmp_path / "part.keras").write_bytes(b"half")  # of a kill
    Resume(tmp_path).clear()
    assert not names(tmp_path)


def test_a_training_that_was_done_is_found_done(tmp_path, capsys):
    net, history = train(tmp_path, 3)
    again, same = train(tmp_path, 3, [progress()])
    assert_same(net, again)
    assert history == same
    assert "nothing is left to train" in capsys.readouterr().out
    longer, history = train(tmp_path, 5)
    assert_same(longer, train(tmp_path / "whole", 5)[0])
    assert len(history["loss"]) == 5
    with pytest.raises(ValueError, match="holds 5 epochs of this training, but fit is asked for 4"):
        train(tmp_path, 4)


def test_other_settings_are_refused_and_listed(tmp_path):
    train(tmp_path, 2)
    before = {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    others = line(learning_rate=0.02, width=5), points(batch_size=3, seed=1)
    with pytest.raises(ValueError, match="2 epochs of a training with other settings") as error:
        train(tmp_path, 4, net=others[0], batches=others[1])
    assert str(error.value).splitlines()[1:-1] == [
        "  width: there 4, here 5",
        "  compile.optimizer.learning_rate: there 0.01, here 0.02",
        "  batches.0.batch_size: there 4, here 3",
        "  batches.0.seed: there 0, here 1",
        "  batches.0.steps: there 3, here 4",
    ]
    assert "choose another folder" in str(error.value)
    assert before == {name: (tmp_path / name).read_bytes() for name in names(tmp_path)}
    train(tmp_path, 4)  # with the old ones, and more epochs


def test_a_net_that_is_made_again_in_the_same_process_has_the_same_settings(tmp_path):
    for epochs in (1, 2):  # Keras calls them sequential, dense and adam, then sequential_1 ...
        resume, net = Resume(tmp_path), model()
        net.fit(
            X, Y, epochs=epochs, initial_epoch=resume.restore(net), callbacks=[resume], verbose=0
        )
    assert names(tmp_path) == ["epoch-0001.keras", "epoch-0002.keras"]


def test_how_it_is_computed_may_change_with_the_machine():
    slow, fast = line(), line()
    fast.compile(keras.optimizers.Adam(0.01), "mse", jit_compile=True, steps_per_execution=2)
    assert settings_of(slow, [points()]) == settings_of(fast, [points()])


def test_a_checkpoint_of_another_version_of_the_model_is_refused(tmp_path):
    class Version2(Line):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.more = keras.layers.Dense(7)
            self.more.build((None, 3))

    train(tmp_path, 2)
    Version2.__name__ = "Line"
    net = line(kind=Version2)
    with pytest.raises(ValueError, match=r"epoch-0002.keras is not a checkpoint of this model"):
        Resume(tmp_path, points()).restore(net)
    assert len(names(tmp_path)) == 2  # nothing is lost


def test_a_checkpoint_that_nobody_restores_is_not_written_over(tmp_path):
    train(tmp_path, 2)
    with pytest.raises(ValueError, match="pass initial_epoch=resume.restore"):
        line().fit(points().dataset, callbacks=[Resume(tmp_path)], verbose=0)
    resume, net, batches = Resume(tmp_path, points()), line(), points()
    resume.restore(net)
    with pytest.raises(ValueError, match="begins with epoch 1, but 2 are done: pass initial_epoch"):
        net.fit(batches.dataset, epochs=3, callbacks=[resume], verbose=0)


def test_a_model_that_is_not_compiled_is_refused(tmp_path):
    with pytest.raises(ValueError, match="restore: compile the model first"):
        Resume(tmp_path).restore(Line())


def cut(data):
    return data[: len(data) // 2]


def flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


DAMAGE = {
    "empty": lambda data: b"",
    "cut": cut,
    "cut by a byte": lambda data: data[:-1],
    "one bit": flip,
    "zeros at the end": lambda data: cut(data) + bytes(len(data) - len(cut(data))),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_of_a_damaged_checkpoint_the_one_before_takes_over(tmp_path, capsys, damage):
    whole, history = train(tmp_path / "whole", 3)
    folder = tmp_path / "broken"
    train(folder, 2)
    newest = folder / "epoch-0002.keras"
    newest.write_bytes(DAMAGE[damage](newest.read_bytes()))
    kept = []
    look = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: kept.append(names(folder)))
    again, same = train(folder, 3, [look])
    assert f"damaged, so the checkpoint before it is taken: {newest}: " in capsys.readouterr().out
    assert kept[0] == ["epoch-0001.keras", "epoch-0002.keras"]  # until there is a new whole one
    assert_same(whole, again)
    assert history == same


def test_where_no_checkpoint_is_whole_each_is_named(tmp_path):
    train(tmp_path, 2)
    for path in tmp_path.iterdir():
        path.write_bytes(cut(path.read_bytes()))
    with pytest.raises(ValueError, match=r"no checkpoint .* is whole; remove .*0002.*0001.keras: "):
        train(tmp_path, 3)


def test_checkpoints_of_an_older_version_are_refused(tmp_path):
    line().save_weights(tmp_path / "epoch-0002.weights.h5")
    with pytest.raises(ValueError, match=r"no checkpoint .* is whole; .*0002.weights.h5: File is"):
        train(tmp_path, 3)


def test_a_checkpoint_holds_no_more_than_it_says(tmp_path):
    train(tmp_path, 1)
    with zipfile.ZipFile(tmp_path / "epoch-0001.keras") as file:
        assert len(file.namelist()) == len(set(file.namelist()))
        state = json.loads(file.read("resume.json"))
    assert state["epoch"] == 1
    assert list(state["history"]) == ["loss"]
    assert state["settings"]["batches.0.rows"] == 12


@pytest.mark.parametrize("done", [0, 2])
def test_killed_at_any_file_operation_it_ends_as_if_it_had_not_been(tmp_path, done):
    def run(folder, epochs=done + 1, began=None):
        note = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, _: began.append(epoch))
        callbacks = [] if began is None else [note]
        return train(folder, epochs, callbacks, batches=points(batch_size=12))

    (tmp_path / "start").mkdir()
    if done:
        run(tmp_path / "start", done)
    shutil.copytree(tmp_path / "start", tmp_path / "whole")
    with Operations(tmp_path) as operations:
        whole, history = run(tmp_path / "whole")
    assert operations.count >= 5
    for number in range(1, operations.count + 1):
        folder, began = tmp_path / str(number), []
        shutil.copytree(tmp_path / "start", folder)
        with Operations(tmp_path, number, die), pytest.raises(Killed):
            run(folder)
        again, same = run(folder, began=began)
        assert began in ([done], [])  # none but the last is lost
        assert_same(whole, again)
        assert history == same
        old = {"epoch-0001.keras"}  # was about to be removed
        assert set(names(folder)) - old == set(names(tmp_path / "whole")) - old


@contextlib.contextmanager
def full_disk(size):
    """In this block no file becomes larger than so many bytes; not even pytest's own log."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [0, 100, 1000, 3000, 10000, 20000])
def test_a_full_disk_loses_no_checkpoint(tmp_path, size):
    train(tmp_path, 1)
    assert (tmp_path / "epoch-0001.keras").stat().st_size > 20000
    message = r"cannot write .*epoch-0002.keras: File too large. Make room in .*run again"
    with contextlib.ExitStack() as disk:
        fill = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda *_: disk.enter_context(full_disk(size))
        )
        with pytest.raises(OSError, match=message):
            train(tmp_path, 3, [fill])
    assert names(tmp_path) == ["epoch-0001.keras"]
    assert_same(train(tmp_path, 3)[0], train(tmp_path / "whole", 3)[0])


def test_no_room_to_unpack_a_checkpoint_is_not_taken_for_damage(tmp_path):
    train(tmp_path, 2)
    message = r"cannot unpack .*0002.keras in .*: File too large.*TMPDIR"
    with full_disk(1000), pytest.raises(OSError, match=message):
        train(tmp_path, 3)


def stopped_early(folder, *callbacks, patience=2):
    """The validation loss is least after epoch 3; the weights of then are the result."""
    stop = keras.callbacks.EarlyStopping(patience=patience, restore_best_weights=True)
    worse = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(val_loss=float(abs(epoch - 2)))
    )
    return train(folder, 9, [worse, stop, *callbacks])


def test_validation_goes_on_in_its_order_too(tmp_path):
    def noisy(x, y, seed):
        return x + tf.random.stateless_normal((4, 1), seed), y

    def run(folder, epochs):
        parts = points(), Batches(POINTS, POINTS, batch_size=4, seed=1, transform=noisy)
        resume, net = Resume(folder, *parts), line()
        done = resume.restore(net)
        dataset, validation = (part.dataset for part in parts)
        return net.fit(
            dataset,
            validation_data=validation,
            epochs=epochs,
            initial_epoch=done,
            callbacks=[resume],
            verbose=0,
        ).history

    run(tmp_path / "parts", 1)
    assert run(tmp_path / "parts", 3) == run(tmp_path / "whole", 3)


def test_early_stopping_goes_on_where_it_was(tmp_path):
    def break_off(epoch, logs):
        if epoch == dies_after:
            raise KeyboardInterrupt

    dies_after = None
    whole, history = stopped_early(tmp_path / "whole")
    assert len(history["loss"]) == 5
    assert names(tmp_path / "whole") == [f"epoch-000{i}.keras" for i in (3, 4, 5)]
    best, _ = train(tmp_path / "best", 3)
    for ours, theirs in zip(whole.get_weights(), best.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for dies_after in range(1, 6):
        folder = tmp_path / str(dies_after)
        if dies_after < 5:  # after the checkpoint of this epoch
            with pytest.raises(KeyboardInterrupt):
                stopped_early(folder, keras.callbacks.LambdaCallback(on_epoch_begin=break_off))
        else:
            stopped_early(folder)  # to its end, but its model was not saved
        again, same = stopped_early(folder)
        assert history == same
        assert_same(whole, again)
    assert len(stopped_early(folder, patience=3)[1]["loss"]) == 6  # who wants more gets more


def test_without_the_best_epochs_checkpoint_early_stopping_begins_anew(tmp_path, capsys):
    def break_off(epoch, logs):
        if epoch == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stopped_early(tmp_path, keras.callbacks.LambdaCallback(on_epoch_begin=break_off))
    best = tmp_path / "epoch-0003.keras"
    best.write_bytes(b"")
    _, history = stopped_early(tmp_path)
    assert f"damaged, so EarlyStopping begins anew: {best}" in capsys.readouterr().out
    assert len(history["loss"]) == 7


def test_progress_shows_a_bar(capsys):
    model().fit(X, Y, epochs=2, callbacks=[progress()], verbose=0)
    assert "2/2" in capsys.readouterr().err
