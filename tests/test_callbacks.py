import os
import signal
import subprocess
import sys
import textwrap
import time

import keras
import numpy as np
import pytest
from PIL import Image

from recipes.callbacks import PictureGrid, Resume, progress

X, Y = np.ones((8, 1), "float32"), np.ones((8, 1), "float32")


def model():
    net = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    net.compile("adam", "mse")
    net.optimizer.build(net.trainable_variables)
    return net


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


def test_resume_keeps_the_last_two_checkpoints_while_training(tmp_path):
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: seen.append(sorted(p.name for p in tmp_path.iterdir()))
    )
    resume = Resume(tmp_path)
    net = model()
    net.fit(X, Y, epochs=4, initial_epoch=resume.restore(net), callbacks=[resume, watch], verbose=0)
    assert seen[-1] == ["epoch-0003.weights.h5", "epoch-0004.weights.h5", "history.json"]
    assert not list(tmp_path.iterdir())


def leave_checkpoint(folder, epochs=2):
    resume, net = Resume(folder), model()
    resume.on_train_end = lambda logs=None: None
    net.fit(X, Y, epochs=epochs, initial_epoch=0, callbacks=[resume], verbose=0)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    leave_checkpoint(tmp_path)
    other = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3)])
    with pytest.raises(ValueError, match=r"epoch-0002.weights.h5 is not a checkpoint of this"):
        Resume(tmp_path).restore(other)
    assert len(list(tmp_path.glob("*.h5"))) == 2  # nothing is lost


def test_a_checkpoint_that_nobody_restores_is_not_written_over(tmp_path):
    leave_checkpoint(tmp_path)
    with pytest.raises(ValueError, match="pass initial_epoch=resume.restore"):
        model().fit(X, Y, callbacks=[Resume(tmp_path)], verbose=0)


def test_a_half_written_checkpoint_is_not_taken_for_a_whole_one(tmp_path):
    leave_checkpoint(tmp_path)
    (tmp_path / "part.weights.h5").write_bytes(b"half")
    (tmp_path / "history.json.part").write_text("{")
    assert Resume(tmp_path).restore(model()) == 2


TRAINING = """
    import sys, time
    import numpy as np
    import keras
    from recipes.callbacks import Resume
    from recipes.datasets import Batches
    from recipes.dcgan import DCGAN
    from recipes.mode import set_seed

    folder, out, pause = sys.argv[1], sys.argv[2], float(sys.argv[3])
    set_seed(0)
    x = np.random.default_rng(0).uniform(-1, 1, (12, 28, 28, 1)).astype("float32")
    batches = Batches(x, batch_size=4, seed=0)
    gan = DCGAN(width=4, latent_dim=8, seed=1)
    gan.compile()
    def slow(batch, logs):
        print("step", flush=True)
        time.sleep(pause)
    resume = Resume(folder, batches)
    gan.fit(batches.dataset, epochs=4, initial_epoch=resume.restore(gan), verbose=0,
            callbacks=[resume, keras.callbacks.LambdaCallback(on_train_batch_end=slow)])
    optimizers = [gan.generator_optimizer, gan.discriminator_optimizer]
    variables = [*gan.variables, *(v for o in optimizers for v in o.variables)]
    np.savez(out, *[v.numpy() for v in variables])
    print("done", int(optimizers[0].iterations.numpy()))
"""


def run_training(folder, out, pause=0.0, kill_at_step=None):
    arguments = [sys.executable, "-c", textwrap.dedent(TRAINING), folder, out, str(pause)]
    process = subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if kill_at_step:
        for _ in range(kill_at_step):
            while "step" not in process.stdout.readline():
                assert process.poll() is None, process.stderr.read()
        os.kill(process.pid, signal.SIGKILL)
    stdout, stderr = process.communicate(timeout=120)
    assert process.returncode == (-signal.SIGKILL if kill_at_step else 0), stderr
    return stdout


def test_a_training_killed_in_the_middle_of_an_epoch_ends_as_if_it_had_not_been(tmp_path):
    whole, broken = tmp_path / "whole.npz", tmp_path / "broken.npz"
    assert "done 12" in run_training(tmp_path / "a", whole)
    run_training(tmp_path / "b", broken, pause=0.2, kill_at_step=8)  # the 2nd of 3 of epoch 3
    time.sleep(0.1)
    assert not broken.exists()
    output = run_training(tmp_path / "b", broken)
    assert "going on after epoch 2" in output
    assert "done 12" in output
    with np.load(whole) as first, np.load(broken) as second:
        assert len(first.files) == len(second.files) > 20
        for name in first.files:
            np.testing.assert_array_equal(first[name], second[name])


def test_progress_shows_a_bar(capsys):
    model().fit(X, Y, epochs=2, callbacks=[progress()], verbose=0)
    assert "2/2" in capsys.readouterr().err
