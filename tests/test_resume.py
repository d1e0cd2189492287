"""What is left of a training that was interrupted."""

import json
import os
import socket
import subprocess
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.training.batches import Batches
from recipes.training.callback_state import REMEMBERED
from recipes.training.callbacks import arrange_callbacks, progress
from recipes.training.checkpoints import read_checkpoint, settings_of
from recipes.training.distribution import training_state
from recipes.training.resume import Resume
from tests.recipe_table import seeded
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


def test_resume_keeps_the_last_two_checkpoints_until_they_are_cleared(tmp_path):
    train(tmp_path, 4)
    assert names(tmp_path) == ["resume-0003.npz", "resume-0004.npz"]
    (tmp_path / ".part.resume-0001.npz").write_bytes(b"half")  # of a kill
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
    assert names(tmp_path) == ["resume-0001.npz", "resume-0002.npz"]


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
    with pytest.raises(ValueError, match=r"resume-0002.npz is not a checkpoint of this model"):
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
    newest = folder / "resume-0002.npz"
    newest.write_bytes(DAMAGE[damage](newest.read_bytes()))
    kept = []
    look = keras.callbacks.LambdaCallback(on_epoch_begin=lambda *_: kept.append(names(folder)))
    again, same = train(folder, 3, [look])
    assert f"damaged, so the checkpoint before it is taken: {newest}: " in capsys.readouterr().out
    assert kept[0] == ["resume-0001.npz", "resume-0002.npz"]  # until there is a new whole one
    assert_same(whole, again)
    assert history == same


def test_where_no_checkpoint_is_whole_each_is_named(tmp_path):
    train(tmp_path, 2)
    for path in tmp_path.iterdir():
        path.write_bytes(cut(path.read_bytes()))
    with pytest.raises(ValueError, match=r"no checkpoint .* is whole; remove .*0002.*0001.npz: "):
        train(tmp_path, 3)


def test_a_checkpoint_holds_no_more_than_it_says(tmp_path):
    train(tmp_path, 1)
    with zipfile.ZipFile(tmp_path / "resume-0001.npz") as file:
        assert len(file.namelist()) == len(set(file.namelist()))
        state = json.loads(file.read("state.json"))
    assert state["epoch"] == 1
    assert list(state["history"]) == ["loss"]
    assert state["settings"]["batches.0.rows"] == 12


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
    whole, history = stopped_early(tmp_path / "whole")
    assert len(history["loss"]) == 5
    assert names(tmp_path / "whole") == [f"resume-000{i}.npz" for i in (3, 4, 5)]
    best, _ = train(tmp_path / "best", 3)
    for ours, theirs in zip(whole.get_weights(), best.get_weights(), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    for dies_after in (2, 4, 5):  # before the best epoch, after it, and after the last
        folder = tmp_path / str(dies_after)
        stop = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt_at(dies_after))
        if dies_after < 5:  # after the checkpoint of this epoch
            with pytest.raises(KeyboardInterrupt):
                stopped_early(folder, stop)
        else:
            stopped_early(folder)  # to its end, but its model was not saved
        again, same = stopped_early(folder)
        assert history == same
        assert_same(whole, again)
    assert len(stopped_early(folder, patience=3)[1]["loss"]) == 6  # who wants more gets more


def test_without_the_best_epochs_checkpoint_early_stopping_begins_anew(tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        stopped_early(tmp_path, keras.callbacks.LambdaCallback(on_epoch_begin=interrupt_at(4)))
    best = tmp_path / "resume-0003.npz"
    best.write_bytes(b"")
    _, history = stopped_early(tmp_path)
    assert f"damaged, so EarlyStopping begins anew: {best}" in capsys.readouterr().out
    assert len(history["loss"]) == 7


def callbacks_see_losses(folder, callbacks, losses=(3.0, 1.0, 2.0, 1.5, 1.2)):
    folder.mkdir(exist_ok=True)
    give = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(loss=losses[epoch])
    )
    return train(folder / "checkpoints", len(losses), [give, *callbacks])


STATEFUL = {
    "EarlyStopping": lambda folder: [keras.callbacks.EarlyStopping("loss", patience=2)],
    "ReduceLROnPlateau": lambda folder: [
        keras.callbacks.ReduceLROnPlateau("loss", 0.1, patience=2, cooldown=1)
    ],
    "ModelCheckpoint": lambda folder: [
        keras.callbacks.ModelCheckpoint(folder / "best.keras", "loss", save_best_only=True)
    ],
    "ModelCheckpoint by steps": lambda folder: [
        keras.callbacks.ModelCheckpoint(folder / "{epoch}-{batch}.keras", save_freq=4)
    ],
    "ModelCheckpoint, the best of some steps": lambda folder: [
        keras.callbacks.ModelCheckpoint(
            folder / "best.keras", "loss", save_best_only=True, save_freq=2
        )
    ],
    "CSVLogger": lambda folder: [keras.callbacks.CSVLogger(folder / "log.csv")],
    "CSVLogger, append": lambda folder: [
        keras.callbacks.CSVLogger(folder / "log.csv", append=True)
    ],
    "LearningRateScheduler": lambda folder: [
        keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    ],
}


def saved_arrays(path):
    found = []
    with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as file:
        h5py.File(file).visititems(
            lambda name, item: found.append(item[()]) if isinstance(item, h5py.Dataset) else None
        )
    return found


@pytest.mark.parametrize("name", STATEFUL)
def test_what_keras_callbacks_have_seen_comes_back(tmp_path, name):
    make = STATEFUL[name]
    whole, history = callbacks_see_losses(tmp_path / "whole", make(tmp_path / "whole"))
    parts = tmp_path / "parts"
    stop = keras.callbacks.LambdaCallback(on_epoch_end=interrupt_at(2))
    with pytest.raises(KeyboardInterrupt):  # after all others have seen the third epoch
        callbacks_see_losses(parts, [*make(parts), stop])
    again, same = callbacks_see_losses(parts, make(parts))
    assert_same(whole, again)
    assert history == same
    made = [
        {path.name: path for path in (tmp_path / part).iterdir() if path.is_file()}
        for part in ("whole", "parts")
    ]
    assert made[0].keys() == made[1].keys()
    for file, path in made[0].items():
        if file.endswith(".csv"):
            assert path.read_text() == made[1][file].read_text()
        else:
            for one, other in zip(*(saved_arrays(m[file]) for m in made), strict=True):
                np.testing.assert_array_equal(one, other)


def test_every_callback_of_keras_is_restored_or_refused_by_name(tmp_path):
    kinds = {
        name
        for name, kind in vars(keras.callbacks).items()
        if isinstance(kind, type) and issubclass(kind, keras.callbacks.Callback)
    }
    refused = kinds - set(REMEMBERED) - {"Callback", "CallbackList"}
    assert refused - {"OrbaxCheckpoint"} == {"BackupAndRestore", "SwapEMAWeights"}
    for name in refused:
        kind = getattr(keras.callbacks, name)
        with pytest.raises(ValueError, match=f"{name} cannot go on exactly"):
            Resume(tmp_path).arrange([kind.__new__(kind)])


def test_a_callback_of_ones_own_names_what_it_remembers(tmp_path):
    class Count(keras.callbacks.Callback):
        remembered = ("epochs",)
        epochs = 0

        def on_epoch_end(self, epoch, logs=None):
            self.epochs += 1

    train(tmp_path, 2, [Count()])
    count = Count()
    train(tmp_path, 5, [count])
    assert count.epochs == 5


# Interrupted, and the cell run again


@pytest.mark.parametrize("at", [0, 1])
def test_the_cell_that_is_run_again_ends_as_if_it_had_not_been_interrupted(tmp_path, at):
    whole, history = train(tmp_path / "whole", 3)
    net = line()
    stop = keras.callbacks.LambdaCallback(on_epoch_end=interrupt_at(at))
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path / "parts", 3, [stop], net)
    _, same = train(tmp_path / "parts", 3, net=net)
    assert_same(whole, net)
    assert history == same


def test_callbacks_forget_what_they_saw_of_an_epoch_that_was_interrupted(tmp_path):
    def check(folder):
        return keras.callbacks.ModelCheckpoint(
            folder / "{epoch}-{batch}.keras", "loss", save_best_only=True, save_freq=2, mode="min"
        )

    stop = keras.callbacks.LambdaCallback(on_train_batch_end=interrupt_at(2))
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    train(whole / "checkpoints", 2, [check(whole)])
    net, callback = line(), check(parts)
    with pytest.raises(KeyboardInterrupt):
        train(parts / "checkpoints", 2, [callback, stop], net)
    assert callback.best is not None
    train(parts / "checkpoints", 2, [callback], net)
    assert names(whole) == names(parts)


def test_another_model_starts_the_first_epoch_as_it_is(tmp_path):
    stop = keras.callbacks.LambdaCallback(on_epoch_end=interrupt_at(0))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, 1, [stop])
    net = line(width=5)
    net.net.layers[0].kernel.assign(np.full((1, 5), 2.0))
    assert Resume(tmp_path, points()).restore(net) == 0
    assert (net.net.layers[0].kernel.numpy() == 2).all()


def test_a_model_that_is_trained_on_says_so(tmp_path, capsys):
    net, _ = train(tmp_path, 1)
    Resume(tmp_path).clear()
    train(tmp_path, 1, net=net)
    assert "this model has been trained before" in capsys.readouterr().out


def test_a_learning_rate_that_a_callback_has_changed_is_no_other_setting(tmp_path):
    schedule = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    stop = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt_at(2))
    net = line()
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "parts", 3, [schedule, stop], net)
    train(tmp_path / "parts", 3, [schedule], net)
    assert_same(net, train(tmp_path / "whole", 3, [schedule])[0])


def test_a_lambda_is_the_same_setting_in_another_kernel(tmp_path):
    settings = []
    for kernel in ("1", "2"):
        cell, names = tmp_path / f"{kernel}.py", {}
        cell.write_text("rate = lambda: 0.01")
        exec(compile(cell.read_text(), cell, "exec"), names)
        with pytest.warns(UserWarning, match="lambda"):
            settings.append(settings_of(line(names["rate"]), [points()]))
    assert settings[0] == settings[1]


def test_steps_per_epoch_is_refused(tmp_path):
    with pytest.raises(ValueError, match="fit is told to take 2 steps an epoch.*with steps=2"):
        train(tmp_path, 3, steps_per_epoch=2)


# The folder


def test_what_others_have_written_stays(tmp_path):
    others = [
        "epoch-01.keras",
        "resume-notes.txt",
        "resume-1.npz",
        "epoch-0001.keras",
        "part.keras",
    ]
    for name in others:
        (tmp_path / name).write_bytes(b"mine")
    train(tmp_path, 4)
    Resume(tmp_path).clear()
    assert names(tmp_path) == sorted(others)


SECOND = """
import recipes, sys
from recipes.datasets.files import InUseError
from recipes.training.resume import Resume
from tests.small import line, points

try:
    Resume(sys.argv[1], points()).restore(line())
except InUseError as error:
    print(error, flush=True)
sys.stdin.readline()
Resume(sys.argv[1], points()).restore(line())
"""


def test_a_second_process_is_refused_and_told_who_is_at_work(tmp_path):
    resume, net = Resume(tmp_path, points()), line()
    resume.restore(net)
    before, command = names(tmp_path), [sys.executable, "-c", SECOND, str(tmp_path)]
    pipes = {name: subprocess.PIPE for name in ("stdin", "stdout", "stderr")}
    with subprocess.Popen(command, text=True, **pipes) as second:
        error = second.stdout.readline()
        assert f"in use by process {os.getpid()} on {socket.gethostname()} since" in error
        assert names(tmp_path) == before
        net.fit(points().dataset, callbacks=[resume], verbose=0)
        resume.clear()
        _, errors = second.communicate("go on\n", timeout=120)
    assert second.returncode == 0, errors


# Every recipe


def test_a_training_in_two_parts_ends_where_one_does(recipe, tmp_path):
    def run(folder, epochs):
        model, (batches, dataset) = seeded(recipe, run_eagerly=True), recipe.data()
        resume = Resume(tmp_path / folder, *batches)
        done = resume.restore(model)
        history = model.fit(
            dataset,
            epochs=epochs,
            initial_epoch=done,
            callbacks=arrange_callbacks([resume], model),
            shuffle=False,
            verbose=0,
        ).history
        return model, history

    whole, history = run("whole", 2)
    run("parts", 1)
    again, same = run("parts", 2)
    assert_same(whole, again)
    assert history == same
    _, before = read_checkpoint(tmp_path / "whole/resume-0001.npz")
    changed = [(a != b.numpy()).any() for a, b in zip(before, training_state(whole), strict=True)]
    assert sum(changed) > len(changed) / 2


def test_arrays_of_others_are_no_checkpoints(tmp_path):
    train(tmp_path, 2)
    np.savez(tmp_path / "resume-2023.npz", mine=1)
    train(tmp_path, 4)
    assert np.load(tmp_path / "resume-2023.npz")["mine"] == 1


@pytest.mark.parametrize("append", [True, False])
def test_a_log_that_is_new_does_not_cut_that_of_another_training(tmp_path, append):
    train(tmp_path, 1, [])
    before = "epoch,loss\n0,1.0\n1,0.5\n2,0.25\n"
    (tmp_path / "log.csv").write_text(before)
    train(tmp_path, 2, [keras.callbacks.CSVLogger(tmp_path / "log.csv", append=append)])
    after = (tmp_path / "log.csv").read_text()
    assert after.startswith(before) == append
    assert "\n1," in after


@pytest.mark.parametrize("line", ["", "1;2.5", "one,2.5"])
def test_a_log_that_another_program_wrote_is_named(tmp_path, line):
    def run(epochs):
        log = keras.callbacks.CSVLogger(tmp_path / "log.csv", append=True)
        return train(tmp_path, epochs, [log])

    run(1)
    with open(tmp_path / "log.csv", "a") as file:
        file.write(line + "\n")
    if not line:
        run(2)
        return
    with pytest.raises(ValueError, match=r"log\.csv is no longer as CSVLogger wrote it"):
        run(2)


def test_what_was_seen_of_another_quantity_is_not_brought_back(tmp_path):
    first = keras.callbacks.EarlyStopping("loss", patience=5)
    train(tmp_path, 2, [first])
    other = keras.callbacks.EarlyStopping("val_loss", mode="max", patience=5)
    level = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: logs.update(val_loss=float(-epoch))
    )
    train(tmp_path, 3, [level, other, keras.callbacks.EarlyStopping("loss", patience=5)])
    assert other.best == -2.0
