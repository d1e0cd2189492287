"""What the callbacks of a training remember, which `Resume` brings back."""

import csv
import json
from pathlib import Path

import keras

from recipes.datasets import files

# What Keras' callbacks remember from one epoch to the next, and forget when a training begins.
REMEMBERED = {
    "CSVLogger": ("filename",),  # that file is cut
    "EarlyStopping": ("best", "best_epoch", "wait", "stopped_epoch"),
    "History": (),  # is in the checkpoint anyway
    "LambdaCallback": (),
    "LearningRateScheduler": (),
    "ModelCheckpoint": ("best", "mode", "_batches_seen_since_last_saving"),
    "ProgbarLogger": (),
    "ReduceLROnPlateau": ("best", "wait", "cooldown_counter"),
    "RemoteMonitor": (),
    "TensorBoard": ("_global_train_batch", "_global_test_batch"),
    "TerminateOnNaN": (),
}


def numbered(callbacks):
    """Pairs of a name, such as "EarlyStopping val_loss 0", and a callback that remembers something.

    What one has seen of another quantity is of no use: so the name says which it monitors.
    """
    counts = {}
    for callback in callbacks:
        if remembered(callback):
            monitor = getattr(callback, "monitor", None)
            kind = type(callback).__name__ + (f" {monitor}" if monitor else "")
            counts[kind] = counts.get(kind, -1) + 1
            yield f"{kind} {counts[kind]}", callback


def remembered(callback):
    """The names of the attributes that a callback needs back; None if Keras' own needs more."""
    if hasattr(callback, "remembered"):
        if isinstance(callback.remembered, str):
            raise ValueError(
                f"{type(callback).__name__}: remembered is the text {callback.remembered!r}, but a "
                "tuple of names is needed; one name has a comma behind it"
            )
        return callback.remembered
    for kind in type(callback).__mro__:
        if kind.__module__.startswith("keras.") and kind is not keras.callbacks.Callback:
            return REMEMBERED.get(kind.__name__)
    return ()


def seen(callbacks):
    """What each callback remembers: dict from its numbered name to a dict of attributes."""
    found = {}
    for name, callback in numbered(callbacks):
        if "mode" in remembered(callback) and callback.monitor_op:  # what Keras made of "auto"
            callback.mode = "min" if callback.monitor_op is keras.ops.less else "max"
        found[name] = {key: getattr(callback, key) for key in remembered(callback)}
        for key, value in found[name].items():
            try:
                json.dumps(value, default=float)
            except (TypeError, ValueError) as error:
                raise ValueError(
                    f"{type(callback).__name__}.{key} is to be remembered, but is of a type "
                    f"that JSON cannot hold ({error}): make it numbers, texts, lists or dicts"
                ) from error
    return found


def bring_back(callbacks, found):
    """Gives callbacks what `seen` has found."""
    for name, callback in numbered(callbacks):
        if not isinstance(callback, keras.callbacks.CSVLogger):  # its file may be another
            vars(callback).update(found.get(name, {}))
        # Keras compares only from the end of an epoch on: too late, if this saves within the first.
        if "mode" in found.get(name, {}) and callback.mode != "auto" and not callback.monitor_op:
            callback._set_monitor_op()


def cut_logs(callbacks, found, done):
    """Lets each CSVLogger of `found` go on after epoch `done`; one that is new keeps its file."""
    written = {Path(s["filename"]).resolve() for s in found.values() if "filename" in s}
    for callback in callbacks:
        is_log = isinstance(callback, keras.callbacks.CSVLogger)
        if is_log and Path(callback.filename).resolve() in written:
            _cut(callback, done)
            callback.append = True


def _cut(logger, done):
    """Removes from its file what it wrote after the epoch from which it goes on."""
    path = Path(logger.filename)
    if not path.exists():
        return
    try:
        with open(path, newline="", encoding="utf-8") as file:
            rows = [row for row in csv.reader(file, delimiter=logger.sep) if row]
        while len(rows) > 1 and rows[-1][0] != "epoch" and float(rows[-1][0]) >= done:
            rows.pop()
    except (ValueError, csv.Error) as error:
        raise ValueError(
            f"{path} is no longer as CSVLogger wrote it: {error}. Move it away to go on without it"
        ) from error
    with files.whole_file(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=logger.sep).writerows(rows)
