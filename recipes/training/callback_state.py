"""What the callbacks of a training remember, which `Resume` brings back."""

import csv
from pathlib import Path

import keras

from recipes.datasets import files

# What Keras' callbacks remember from one epoch to the next, and forget when a training begins.
REMEMBERED = {
    "CSVLogger": (),  # its file is cut instead
    "EarlyStopping": ("best", "best_epoch", "wait", "stopped_epoch"),
    "History": (),  # is in the checkpoint anyway
    "LambdaCallback": (),
    "LearningRateScheduler": (),
    "ModelCheckpoint": ("best", "_batches_seen_since_last_saving"),
    "ProgbarLogger": (),
    "ReduceLROnPlateau": ("best", "wait", "cooldown_counter"),
    "RemoteMonitor": (),
    "TensorBoard": ("_global_train_batch", "_global_test_batch"),
    "TerminateOnNaN": (),
}


def numbered(callbacks):
    """Pairs of a name, such as "EarlyStopping 0", and a callback that remembers something."""
    counts = {}
    for callback in callbacks:
        if remembered(callback):
            kind = type(callback).__name__
            counts[kind] = counts.get(kind, -1) + 1
            yield f"{kind} {counts[kind]}", callback


def remembered(callback):
    """The names of the attributes that a callback needs back; None if Keras' own needs more."""
    if hasattr(callback, "remembered"):
        return callback.remembered
    for kind in type(callback).__mro__:
        if kind.__module__.startswith("keras.") and kind is not keras.callbacks.Callback:
            return REMEMBERED.get(kind.__name__)
    return ()


def cut_log(logger, done):
    """Removes from a CSVLogger's file what it wrote after the epoch from which it goes on."""
    path = Path(logger.filename)
    if not path.exists():
        return
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file, delimiter=logger.sep))
    while len(rows) > 1 and rows[-1][:1] != ["epoch"] and int(rows[-1][0]) >= done:
        rows.pop()
    with files.whole_file(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter=logger.sep).writerows(rows)
