"""Kills and full disks, while a training writes its checkpoints."""

import contextlib
import resource
import shutil

import keras
import numpy as np
import pytest

from recipes import plotting
from tests.small import assert_same, names, points, train
from tools.soak import Killed, Operations, die

FAULTS = pytest.mark.faults


@pytest.mark.parametrize(
    ("done", "every"), [(0, 7), pytest.param(0, 1, marks=FAULTS), pytest.param(2, 1, marks=FAULTS)]
)
def test_killed_at_any_file_operation_it_ends_as_if_it_had_not_been(tmp_path, done, every):
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
    for number in range(1, operations.count + 1, every):
        folder, began = tmp_path / str(number), []
        shutil.copytree(tmp_path / "start", folder)
        with Operations(tmp_path, number, die), pytest.raises(Killed):
            run(folder)
        again, same = run(folder, began=began)
        assert began in ([done], [])  # none but the last is lost
        assert_same(whole, again)
        assert history == same
        old = {"resume-0001.npz"}  # was about to be removed
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


@pytest.mark.parametrize("size", [1000, *(pytest.param(n, marks=FAULTS) for n in (0, 100, 4000))])
def test_a_full_disk_loses_no_checkpoint(tmp_path, size):
    train(tmp_path, 1)
    assert (tmp_path / "resume-0001.npz").stat().st_size > 4000
    message = r"cannot write .*resume-0002.npz: File too large. Make room .*run again"
    with contextlib.ExitStack() as disk:
        fill = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda *_: disk.enter_context(full_disk(size))
        )
        with pytest.raises(OSError, match=message):
            train(tmp_path, 3, [fill])
    assert names(tmp_path) == ["resume-0000.npz", "resume-0001.npz"]
    assert_same(train(tmp_path, 3)[0], train(tmp_path / "whole", 3)[0])


def test_a_picture_on_a_full_disk_leaves_nothing_and_says_where(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    message = r"cannot write .*a.png: File too large. Make room"
    with full_disk(1000), pytest.raises(OSError, match=message):
        plotting.save_png(noise, tmp_path / "a.png")
    assert not names(tmp_path)
