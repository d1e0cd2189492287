"""Going on after an interruption: `Resume` writes a checkpoint after each epoch, and reads it."""

import json
import uuid

import keras
import numpy as np
import tensorflow as tf

from recipes.datasets import files
from recipes.training.callback_state import bring_back, cut_logs, numbered, remembered, seen
from recipes.training.checkpoints import (
    is_foreign,
    read_checkpoint,
    remove,
    settings_of,
    write_checkpoint,
)
from recipes.training.distribution import broadcast_from_chief, training_state

NAME = r"resume-\d{4,}\.npz"
LEFT = rf"\.(part\.)?{NAME}(\.lock|\.holder)?"  # by a kill
# What the callbacks of a training had seen before its first epoch: its start -> JSON. Should that
# epoch be interrupted, and the same callbacks be given to the next `fit`, they have seen a part.
FIRST = {}


class Resume(keras.callbacks.Callback):
    """Lets a training that was interrupted go on from its last whole epoch, exactly.

        resume = Resume(folder, batches)
        done = resume.restore(model)
        model.fit(batches.dataset, epochs=9, initial_epoch=done, callbacks=[resume])
        model.save("model.keras")
        resume.clear()

    Before the first epoch and after each one it writes a file: weights, optimizers, random
    generators, settings, history, and what Keras' callbacks have seen. Whenever the process dies,
    the last one is whole. (A kill between the two files of Keras' BackupAndRestore repeats an epoch
    on weights that have had it.) Should a disk damage it later, the one before is taken. The files
    stay until `clear`, should the process die before the model was saved.

    If a training is interrupted and its cell run again, the same model goes back to the start of
    the epoch that was cut short, the first one too. Another model starts a first epoch as it is.
    From `restore` to the end of `fit` the folder is locked against other processes.

    `RecipeModel.fit` puts this callback after all others, and lets it restore them. For another
    `keras.Model` of one optimizer, pass `arrange_callbacks([..., resume], model)`. A callback of
    your own that has to remember something names those attributes, of values that JSON knows, in
    an attribute `remembered`; they exist when the training begins.

    Args:
        folder: where the checkpoints go; one training at a time.
        *batches: the `Batches` that the training reads, those of the validation too: their
            settings must not change.
    """

    def __init__(self, folder, *batches):
        super().__init__()
        for each in batches:
            if not hasattr(each, "settings"):
                raise ValueError(
                    f"batches: a {type(each).__name__}, but the `Batches` themselves are needed, "
                    "Resume(folder, first, second): without them nobody knows the order"
                )
        # Absolute, for a cell between `restore` and `fit` may change the working directory.
        self.folder = files.not_a_file(folder).absolute()
        self.batches, self.others = batches, []
        self.state = self.needed = None

    def restore(self, model):
        """Loads the last whole checkpoint, if there is one, into `model`, which is compiled.

        Returns:
            int, the epochs that are done: `fit`'s `initial_epoch`.

        Raises:
            ValueError: the checkpoint is one of other settings, which are listed, or of another
                version of the model; or none is whole.
            InUseError: another process trains in this folder; the message says which.
        """
        if not model.compiled:
            raise ValueError("restore: compile the model first; a checkpoint holds its optimizer")
        if not model.optimizer.built:  # else it would have no state yet
            model.optimizer.build(model.trainable_variables)
        files.hold(self.folder)
        try:
            self._tidy()
            self._load(model)
        except BaseException:
            files.release(self.folder)
            raise
        epoch = broadcast_from_chief(model, self.state["epoch"])
        if isinstance(model.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            # The other machines have no checkpoint: the callbacks begin anew on all of them.
            self.state.update(epoch=epoch, callbacks={})
        return epoch

    def _load(self, model):
        settings, damaged = settings_of(model, self.batches), []
        started = getattr(model, "resume_start", None)  # by which restore knows its model again
        self.state = {"epoch": 0, "settings": settings, "history": {}, "callbacks": {}}
        self.needed = {0}
        for path in reversed(self.checkpoints()):
            try:
                state, values = read_checkpoint(path)
            except Exception as error:  # of damaged files zipfile and NumPy say almost anything
                damaged.append(f"{path}: {error or type(error).__name__}")
                continue
            if not state["epoch"] and state["start"] != started:
                continue  # the start of another model
            self._refuse_others(state, state["start"] == started)
            variables = training_state(model)
            if [v.shape for v in variables] != [v.shape for v in values]:
                raise ValueError(
                    f"{path} is not a checkpoint of this model: its weights have other shapes; "
                    f"remove {self.folder} to start anew, or choose another folder"
                )
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
            for fault in damaged:
                print(f"damaged, so the checkpoint before it is taken: {fault}")
            where = f"going on after epoch {state['epoch']}" if state["epoch"] else "starting again"
            print(f"{where}, from {path}")
            self.state, self.needed = state, epochs_needed(state)
            model.resume_start = state["start"]
            return
        if damaged:
            raise ValueError(
                f"no checkpoint in {self.folder} is whole; remove that folder to start anew. "
                + "; ".join(damaged)
            )
        if started:
            print("this model has been trained before, and goes on from there; make it anew to not")
        self.state["start"] = model.resume_start = uuid.uuid4().hex
        self._write(model)

    def clear(self):
        """Removes the checkpoints: the model has been saved, or is to be trained anew."""
        with files.locked(self.folder, wait=False):
            for path in reversed(self.checkpoints()):  # the oldest last: others are no use alone
                remove(path)
            self._tidy()

    def arrange(self, callbacks):
        """Prepares the other callbacks of the training, which has not begun.

        Raises:
            ValueError: there is one of Keras' that cannot be restored.
        """
        self.others = callbacks
        done = self.state["epoch"] if self.state else 0
        for callback in callbacks:
            if remembered(callback) is None:
                raise ValueError(
                    f"{type(callback).__name__} cannot go on exactly where it was: use it without "
                    "Resume, or leave it out"
                )
        if done:
            cut_logs(callbacks, self.state["callbacks"], done)

    def ended(self):
        """Whether EarlyStopping had ended the training that `restore` has found."""
        found = self.state["callbacks"] if self.state else {}
        return any(
            isinstance(callback, keras.callbacks.EarlyStopping)
            and found.get(name, {}).get("stopped_epoch")
            and found[name]["wait"] >= callback.patience
            for name, callback in numbered(self.others)
        )

    def checkpoints(self):
        """The files, oldest first; not those of the same name that somebody else has put there."""
        return [path for path in files.matching(self.folder, NAME) if not is_foreign(path)]

    def newest(self):
        """The checkpoint of the last epoch that is done."""
        return self._path(self.state["epoch"])

    def last_good(self):
        """Where weights are that were still numbers, in a sentence."""
        if not (self.state and self.state["epoch"]):
            return "There is no checkpoint from before."
        return f"The last good checkpoint is {self.newest()}; restore(model) of Resume loads it."

    def on_train_begin(self, logs=None):
        if self.state is None:
            if any(path != self._path(0) for path in self.checkpoints()):
                raise ValueError(
                    f"{self.folder} holds a checkpoint: pass initial_epoch=resume.restore(model) "
                    "to fit, or remove the folder to start anew"
                )
            self.restore(self.model)
        done, epochs, steps = self.state["epoch"], self.params["epochs"], self.params["steps"]
        if self.batches and steps not in [batches.steps for batches in self.batches]:
            raise ValueError(
                f"fit is told to take {steps} steps an epoch, and Resume could not tell which ones "
                f"come next: leave steps_per_epoch out, and make the batches with steps={steps}"
            )
        if done > epochs:
            raise ValueError(
                f"{self.folder} holds {done} epochs of this training, but fit is asked for "
                f"{epochs}: ask for more, or remove the folder to start anew"
            )
        if done == epochs:
            print(f"nothing is left to train; remove {self.folder} to start anew")
        found = self.state["callbacks"]
        if not done:
            text = json.dumps(seen(self.others), default=float)
            found = json.loads(FIRST.setdefault(self.state["start"], text))
        bring_back(self.others, found)
        for name, callback in numbered(self.others):
            known = self.state["callbacks"].get(name, {})
            if isinstance(callback, keras.callbacks.EarlyStopping) and "best" in known:
                self._restore_best_weights(callback)

    def on_epoch_begin(self, epoch, logs=None):
        if epoch != self.state["epoch"]:
            raise ValueError(
                f"fit begins with epoch {epoch + 1}, but {self.state['epoch']} are done: pass "
                "initial_epoch=resume.restore(model)"
            )

    def on_epoch_end(self, epoch, logs=None):
        if bad := bad_weights(self.model):
            raise FloatingPointError(
                f"epoch {epoch + 1}: {bad}; they are not written. {self.last_good()}"
            )
        for name, value in (logs or {}).items():
            self.state["history"].setdefault(name, []).append(np.asarray(value, float).tolist())
        self.state.update(epoch=epoch + 1, callbacks=seen(self.others))
        self._write(self.model)
        # Two are kept, should the disk lose the last one. What was damaged goes only now.
        needed = epochs_needed(self.state)
        keep = [self._path(number) for number in needed | self.needed]
        for path in self.checkpoints():
            if path not in keep:
                remove(path)
        self.needed = needed

    def on_train_end(self, logs=None):
        self.model.history.history = self.state["history"]  # of all epochs, not only the last ones
        self.model.history.epoch = list(range(self.state["epoch"]))
        FIRST.pop(self.state["start"], None)
        self.state = None  # another `fit` needs another `restore`
        files.release(self.folder)

    def _tidy(self):
        for path in files.matching(self.folder, LEFT):
            path.unlink(missing_ok=True)

    def _path(self, epoch):
        return self.folder / f"resume-{epoch:04d}.npz"

    def _write(self, model):
        advice = f" in {self.folder}, and run again: it goes on from the checkpoint before"
        write_checkpoint(self.newest(), self.state, training_state(model), advice)

    def _refuse_others(self, state, same_model):
        here, there = self.state["settings"], state["settings"]
        pairs = {name: (there.get(name, "-"), here.get(name, "-")) for name in {**there, **here}}
        if same_model:  # a callback may have changed it
            pairs.pop("compile.optimizer.learning_rate", None)
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

    def _restore_best_weights(self, stop):
        if not stop.restore_best_weights or stop.best is None:
            return
        path = self._path(stop.best_epoch + 1)
        try:
            _, values = read_checkpoint(path)
        except Exception as error:
            print(f"damaged, so EarlyStopping begins anew: {path}: {error}")
            stop.on_train_begin()
            stop.best = None  # Keras before 3.15 would keep it
            return
        order = {id(v): n for n, v in enumerate(training_state(self.model))}
        stop.best_weights = [values[order[id(weight)]] for weight in self.model.weights]


def bad_weights(model):
    """Which weights of a model are NaN or infinite, in words; "" if none is."""
    bad = [v.path for v in model.weights if not np.isfinite(v.numpy()).all()]
    if not bad:
        return ""
    count = f"in {len(bad)} of {len(model.weights)} variables, {bad[0]} first"
    return f"there are weights that are NaN or infinite, {count}"


def epochs_needed(state):
    """Numbers of the checkpoints of which a training goes on: the last, and EarlyStopping's."""
    best = {seen["best_epoch"] + 1 for seen in state["callbacks"].values() if "best_epoch" in seen}
    return {state["epoch"]} | best
