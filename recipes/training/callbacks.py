"""Callbacks for `fit`: progress, pictures, numbers gone wrong, going on after an interruption."""

import contextlib
import json
import math
import os
import re
import shutil
import tempfile
import zipfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from tqdm.keras import TqdmCallback

from recipes import plotting
from recipes.datasets.image_files import read
from recipes.training.checks import check_images
from recipes.training.distribution import from_first

PART = "part.keras"  # a checkpoint that is being written
STATE, WEIGHTS = "resume.json", "model.weights.h5"  # in a checkpoint; the second is Keras' name
# Of the settings these say how to compute, not what: they may be others on another machine.
HOW = {"jit_compile", "run_eagerly", "steps_per_execution", "fused_updates"}


def progress():
    """One progress bar over the epochs, with the losses; goes with `fit(verbose=0)`."""
    return TqdmCallback(verbose=0)


class PictureGrid(keras.callbacks.Callback):
    """Draws the same pictures every few epochs: shown in the notebook, kept as PNG and as GIF.

    Given real pictures, it also says when the generator has collapsed: when it draws (nearly) the
    same picture each time, though it drew different ones before, or though two thirds of the
    training are over. It does not see that all are of one class, if they differ within it.

    Args:
        draw: function of the model that returns pictures, `(count, height, width, channels)` in
            [-1, 1], the same ones each time but for what the model has learnt.
        folder: where `epoch-0001.png` and so on go, and at the end `training.gif`.
        every: epochs from one grid to the next; the first and the last epoch get one anyway.
        columns: pictures in a row.
        real: a few real pictures, shape and range as those of `draw`, as different from one
            another as the drawn ones should be.
    """

    def __init__(self, draw, folder, every=1, columns=8, real=None):
        super().__init__()
        self.draw, self.folder, self.every, self.columns = draw, Path(folder), every, columns
        self.handle, self.most, self.told = None, 0.0, False
        if real is not None:
            check_images(real, "real")
        self.real_spread = None if real is None else spread(real)

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 0:  # a new training: the pictures of the last one do not belong to it
            for path in self.paths():
                path.unlink()
            self.most, self.told = 0.0, False

    def on_epoch_end(self, epoch, logs=None):
        if epoch and (epoch + 1) % self.every and epoch + 1 != self.params["epochs"]:
            return
        pictures = self.draw(self.model)
        picture = plotting.mosaic(pictures, self.columns)
        plotting.save_png(picture, self.folder / f"epoch-{epoch + 1:04d}.png")
        self.handle = plotting.display_image(picture, self.handle)
        if self.real_spread:
            self.tell_collapse(epoch + 1, spread(pictures))

    def tell_collapse(self, epoch, found):
        """Prints a line, once, if pictures that differ by `found` are too alike."""
        share, self.most = found / self.real_spread, max(self.most, found / self.real_spread)
        # Digits, 32 at a time: 0.6 to 1.1 when it goes well, below 0.05 when all are the same. In
        # the first few hundred steps they are alike as well, so that alone says nothing.
        fallen = share < 0.25 * self.most and self.most > 0.2
        never = share < 0.1 and epoch >= max(3, 2 / 3 * self.params["epochs"])
        if (fallen or never) and not self.told:
            print(
                f"epoch {epoch}: the generator has collapsed, its pictures are alike (they differ "
                f"by {found:.3f}, real ones by {self.real_spread:.3f}). More epochs rarely mend "
                "that: try a lower learning rate, beta_1=0.5, or another seed"
            )
        self.told = fallen or never

    def on_train_end(self, logs=None):
        if self.paths():
            plotting.save_gif([read(path) for path in self.paths()], self.folder / "training.gif")

    def paths(self):
        """The grids so far, oldest first."""
        return sorted(self.folder.glob("epoch-*.png"))


def spread(pictures):
    """How much pictures `(count, height, width, channels)` differ: the mean over all pixels of
    the standard deviation across the pictures, a float."""
    return float(np.std(np.asarray(pictures, np.float32), axis=0, ddof=1).mean())


class StopOnNaN(keras.callbacks.Callback):
    """Stops a training whose losses are no numbers any more, and says which went first.

    `RecipeModel.fit` adds it to every training. (Keras' TerminateOnNaN looks at `loss` alone, and
    ends the training as if it were done.)

    Raises:
        FloatingPointError: a loss, or another number of the log, is NaN or infinite. The message
            names epoch, step, all that went at this step, and the last checkpoint of `Resume`.
    """

    resume = None  # the training's `Resume`, if it has one: `in_order` sets it

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch + 1

    # At every step: the mean over an epoch stays NaN once it is, but does not say since when.
    def on_train_batch_end(self, batch, logs=None):
        self.check(logs, f"step {batch + 1}")

    def on_epoch_end(self, epoch, logs=None):
        self.check(logs, "validation")

    def check(self, logs, where):
        bad = [f"{k} is {v:g}" for k, v in (logs or {}).items() if not math.isfinite(v)]
        if bad:
            raise FloatingPointError(
                f"epoch {self.epoch}, {where}: {', '.join(bad)}. The training stops here, since "
                f"nothing can be learnt from that. {last_good(self.resume)} A lower learning rate "
                "or clipped gradients often help; look for odd values in the data, too"
            )


def last_good(resume):
    """Where weights are that were still numbers, in a sentence."""
    if not (resume and resume.state and resume.state["epoch"]):
        return "There is no checkpoint from before."
    return f"The last good checkpoint is {resume.newest()}; keras.models.load_model reads it."


class Resume(keras.callbacks.Callback):
    """Lets a training that was interrupted go on from its last whole epoch, exactly.

        resume = Resume(folder, batches)
        done = resume.restore(model)
        model.fit(batches.dataset, epochs=9, initial_epoch=done, callbacks=[resume])
        model.save("model.keras")
        resume.clear()

    Each epoch ends with one file: the model and its optimizers, as Keras saves them, and with them
    random seeds, settings, history, and what EarlyStopping has seen. The file gets its name when
    all of it is on the disk: whenever the process dies, the last one is whole. (Keras'
    BackupAndRestore writes weights and epoch number to two files; a kill between the two repeats
    an epoch on weights that have had it.) Should a disk damage it later, the one before is taken.

    The files stay until `clear`: if the process dies after the training, but before its model was
    saved, the next run finds the training done.

    `RecipeModel.fit` puts this callback after all others, and lets it bring EarlyStopping back.
    For another `keras.Model` of one optimizer, pass `in_order([..., resume])`.

    Args:
        folder: where the checkpoints go; one training at a time.
        *batches: the `Batches` that the training reads, those of the validation too; they are set
            to the right epoch.
    """

    stops = ()  # the training's EarlyStopping callbacks: `in_order` sets them

    def __init__(self, folder, *batches):
        super().__init__()
        self.folder, self.batches = Path(folder), batches
        self.state = self.needed = None

    def restore(self, model):
        """Loads the last whole checkpoint, if there is one, into `model`, which is compiled.

        Returns:
            int, the epochs that are done: `fit`'s `initial_epoch`.

        Raises:
            ValueError: the checkpoint is one of other settings, which are listed, or of another
                version of the model; or none is whole.
        """
        if not model.compiled:
            raise ValueError("restore: compile the model first; a checkpoint holds its optimizer")
        if not model.optimizer.built:  # else Keras would leave its state out
            model.optimizer.build(model.trainable_variables)
        self._load(model)
        epoch = from_first(model, self.state["epoch"])
        if isinstance(model.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            # The other machines have no checkpoint: EarlyStopping begins anew on all of them.
            self.state.update(epoch=epoch, stopping=[])
        return epoch

    def _load(self, model):
        settings, damaged = settings_of(model, self.batches), []
        self.state = {"epoch": 0, "settings": settings, "history": {}, "stopping": []}
        self.needed = set()
        for path in reversed(self.checkpoints()):
            try:
                state = read_state(path)
            except Exception as error:  # of damaged files zipfile says almost anything
                damaged.append(f"{path}: {error or type(error).__name__}")
                continue
            self._refuse_others(state)
            try:
                load_weights(model, path)
            except (ValueError, KeyError) as error:
                raise ValueError(
                    f"{path} is not a checkpoint of this model ({error}); remove {self.folder} to "
                    "start anew, or choose another folder"
                ) from error
            for seed, value in zip(seeds_of(model), state["seeds"], strict=True):
                seed.assign(value)
            for fault in damaged:
                print(f"damaged, so the checkpoint before it is taken: {fault}")
            print(f"going on after epoch {state['epoch']}, from {path}")
            self.state, self.needed = state, epochs_needed(state)
            return
        if damaged:
            raise ValueError(
                f"no checkpoint in {self.folder} is whole; remove that folder to start anew. "
                + "; ".join(damaged)
            )

    def clear(self):
        """Removes the checkpoints: the model has been saved, or is to be trained anew."""
        for path in reversed(self.checkpoints()):  # the oldest last: others are of no use alone
            remove(path)
        (self.folder / PART).unlink(missing_ok=True)

    def ended(self):
        """Whether EarlyStopping had ended the training that `restore` has found."""
        found = zip(self.stops, self.state["stopping"] if self.state else (), strict=False)
        return any(seen["stopped_epoch"] and seen["wait"] >= stop.patience for stop, seen in found)

    def checkpoints(self):
        """The files, oldest first."""
        return sorted(self.folder.glob("epoch-*"))

    def newest(self):
        """The checkpoint of the last epoch that is done."""
        return self._path(self.state["epoch"])

    def on_train_begin(self, logs=None):
        if self.state is None:
            if self.checkpoints():
                raise ValueError(
                    f"{self.folder} holds a checkpoint: pass initial_epoch=resume.restore(model) "
                    "to fit, or remove the folder to start anew"
                )
            self.restore(self.model)
        done, epochs = self.state["epoch"], self.params["epochs"]
        if done > epochs:
            raise ValueError(
                f"{self.folder} holds {done} epochs of this training, but fit is asked for "
                f"{epochs}: ask for more, or remove the folder to start anew"
            )
        if done == epochs:
            print(f"nothing is left to train; remove {self.folder} to start anew")
        for stop, seen in zip(self.stops, self.state["stopping"], strict=False):
            self._bring_back(stop, seen)

    def on_epoch_begin(self, epoch, logs=None):
        if epoch != self.state["epoch"]:
            raise ValueError(
                f"fit begins with epoch {epoch + 1}, but {self.state['epoch']} are done: pass "
                "initial_epoch=resume.restore(model)"
            )
        for batches in self.batches:
            batches.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        bad = [v.path for v in self.model.weights if not np.isfinite(v.numpy()).all()]
        if bad:
            raise FloatingPointError(
                f"epoch {epoch + 1} has left weights that are NaN or infinite, in {len(bad)} of "
                f"{len(self.model.weights)} variables, {bad[0]} first: they are not written. "
                + last_good(self)
            )
        for name, value in (logs or {}).items():
            self.state["history"].setdefault(name, []).append(float(value))
        names = ("best", "best_epoch", "wait", "stopped_epoch")
        stopping = [{name: getattr(stop, name) for name in names} for stop in self.stops]
        seeds = [seed.numpy().tolist() for seed in seeds_of(self.model)]
        self.state.update(epoch=epoch + 1, stopping=stopping, seeds=seeds)
        self._write(self.newest())
        # Two are kept, should the disk lose the last one. What was damaged goes only now.
        needed = epochs_needed(self.state)
        keep = [self._path(number) for number in needed | self.needed]
        for path in self.checkpoints():
            if path not in keep:
                remove(path)
        self.needed = needed

    def on_train_end(self, logs=None):
        self.model.history.history = self.state["history"]  # of all epochs, not only the last ones
        self.state = None  # another `fit` needs another `restore`

    def _path(self, epoch):
        return self.folder / f"epoch-{epoch:04d}.keras"

    def _write(self, path):
        part = self.folder / PART
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            # Not save_weights: on a full disk HDF5 takes the whole process down. This is written
            # by Python, from memory, with a checksum of each part.
            self.model.save(part)
            with zipfile.ZipFile(part, "a") as file:
                file.writestr(STATE, json.dumps(self.state, default=float))
            with open(part, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(part, path)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink()
            raise OSError(
                error.errno,
                f"cannot write {path}: {error.strerror or error}. Make room in {self.folder}, or "
                "get the permission, and run again: it goes on from the checkpoint before",
            ) from error

    def _refuse_others(self, state):
        here, there = self.state["settings"], state["settings"]
        pairs = {name: (there.get(name, "-"), here.get(name, "-")) for name in {**there, **here}}
        changes = [
            f"  {name}: there {there}, here {here}"
            for name, (there, here) in pairs.items()
            if there != here
        ]
        if changes:
            raise ValueError(
                f"{self.folder} holds {state['epoch']} epochs of a training with other settings:\n"
                + "\n".join(changes)
                + "\nSet them back to go on with it; or choose another folder, or remove that one, "
                "to start anew"
            )

    def _bring_back(self, stop, seen):
        vars(stop).update(seen)
        best = self._path(seen["best_epoch"] + 1)
        if not stop.restore_best_weights:
            return
        try:
            read_state(best)
        except Exception as error:
            print(f"damaged, so EarlyStopping begins anew: {best}: {error}")
            stop.on_train_begin()
            return
        load_weights(self.model, best)
        stop.best_weights = self.model.get_weights()
        load_weights(self.model, self.newest())


def in_order(callbacks):
    """The callbacks of a training: `StopOnNaN` first, then those given, but each `Resume` last.

    Nothing is drawn or saved of weights that are no numbers, and a checkpoint comes after all that
    belongs to its epoch.
    """
    callbacks = keras.tree.flatten(callbacks or [])
    last = [callback for callback in callbacks if isinstance(callback, Resume)]
    others = [callback for callback in callbacks if not isinstance(callback, Resume | StopOnNaN)]
    first = StopOnNaN()
    for resume in last:
        first.resume = resume
        resume.stops = [c for c in others if isinstance(c, keras.callbacks.EarlyStopping)]
    return [first, *others, *last]


def seeds_of(model):
    """The states of all random generators, of noise and of dropout: Keras' files lack them."""
    weights = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in weights]


def settings_of(model, batches):
    """All settings of a training, flat: `{"width": 64, "compile.learning_rate": 0.001, ...}`."""
    compiled = model.get_compile_config() or {}
    found = {
        "class": type(model).__name__,
        **model.get_config(),
        "compile": {name: value for name, value in compiled.items() if name not in HOW},
        "batches": [each.settings for each in batches],
    }
    return dict(_flat(json.loads(json.dumps(found, default=str))))


def _flat(value, name=""):
    if isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            # Keras nests all in "config", which says nothing to a reader.
            yield from _flat(inner, name if key == "config" else f"{name}.{key}".strip("."))
    else:
        if isinstance(value, str):  # a net made again in the same process is dense_1, not dense
            value = re.sub(r"_\d+$", "", value)
        if isinstance(value, float):  # Keras keeps 0.001 as 0.0010000000474974513
            value = float(f"{value:.6g}")
        yield name, value


def read_state(path):
    """What `Resume` has put into a checkpoint, after a look at the checksums of all that is in it.

    Raises:
        Exception: of almost any kind, if the file is damaged.
    """
    with zipfile.ZipFile(path) as file:
        if bad := file.testzip():
            raise zipfile.BadZipFile(f"the checksum of its {bad} is wrong")
        return json.loads(file.read(STATE))


def load_weights(model, path):
    """Loads a checkpoint; ten times as fast as Keras, which reads the file without unpacking it."""
    with zipfile.ZipFile(path) as file, tempfile.TemporaryDirectory() as folder:
        try:
            weights = Path(folder) / WEIGHTS
            with file.open(WEIGHTS) as packed, open(weights, "wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)
        except OSError as error:
            raise OSError(
                error.errno,
                f"cannot unpack {path} in {folder}: {error.strerror or error}. Make room there, or "
                "set TMPDIR to another folder",
            ) from error
        model.load_weights(weights)


def epochs_needed(state):
    """Numbers of the checkpoints of which a training goes on: the last, and EarlyStopping's."""
    return {state["epoch"], *(seen["best_epoch"] + 1 for seen in state["stopping"])}


def remove(path):
    # Google Drive keeps what is removed in a bin that counts as used space: leave nothing in it.
    path.write_bytes(b"")
    path.unlink()
