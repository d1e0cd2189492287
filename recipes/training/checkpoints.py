"""The checkpoints of `Resume`: files of NumPy arrays, and the settings that they depend on."""

import json
import re
import zipfile

import numpy as np

from recipes.datasets import files

# These compile settings say how to compute, not what: they may differ on another machine.
EXECUTION = {"jit_compile", "run_eagerly", "steps_per_execution", "fused_updates"}


def write_checkpoint(path, state, variables, advice):
    """Writes a checkpoint, whole or not at all.

    A zip file, as `numpy.savez` writes it, has a checksum of each part, and is written by Python
    alone: on a full disk HDF5 may take the process down. Nor does it leak: Keras 3.15 leaves 0.07
    MB behind whenever it looks for what is to be saved of an optimizer.

    Args:
        path: the file.
        state: a dict that JSON knows.
        variables: list of Keras variables.
        advice: what to do should the disk be full; see `files.whole_file`.
    """
    with files.whole_file(path, advice) as part, zipfile.ZipFile(part, "w") as archive:
        archive.writestr("state.json", json.dumps(state, default=float))
        for number, variable in enumerate(variables):
            with archive.open(f"{number}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, variable.numpy(), allow_pickle=False)


def read_checkpoint(path):
    """What is in a checkpoint: the state of `Resume`, and the values of `training_state`.

    Raises:
        Exception: of almost any kind, if the file is damaged.
    """
    with zipfile.ZipFile(path) as archive:
        state, values = json.loads(archive.read("state.json")), []
        for number in range(len(archive.namelist()) - 1):
            with archive.open(f"{number}.npy") as member:
                values.append(np.lib.format.read_array(member, allow_pickle=False))
                if member.read():  # to its end, where the checksum is compared
                    raise ValueError(f"{number}.npy holds more than its array")
    return state, values


def remove(path):
    # Google Drive keeps what is removed in a bin that counts as used space: leave nothing in it.
    if path.stat().st_nlink == 1 and not path.is_symlink():  # else somebody's backup would go
        path.write_bytes(b"")
    path.unlink()


def settings_of(model, batches):
    """All settings of a training, flat: `{"width": 64, "compile.learning_rate": 0.001, ...}`."""
    compiled = model.get_compile_config() or {}
    found = {
        "class": type(model).__name__,
        **model.get_config(),
        "compile": {name: value for name, value in compiled.items() if name not in EXECUTION},
        "batches": [each.settings for each in batches],
    }
    return dict(_flat(json.loads(json.dumps(found, default=_as_json))))


def _as_json(value):
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    return getattr(value, "__name__", type(value).__name__)


def _flat(value, name=""):
    if isinstance(value, dict) and value.get("class_name") == "__lambda__":
        yield name, "lambda"  # Keras has its byte code there, which names a cell of this kernel
    elif isinstance(value, dict | list):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            # Keras nests all in "config", which says nothing to a reader.
            yield from _flat(inner, name if key == "config" else f"{name}.{key}".strip("."))
    else:
        if isinstance(value, str):  # a network made again in the same process is dense_1, not dense
            value = re.sub(r"_\d+$", "", value)
        if isinstance(value, float):  # Keras keeps 0.001 as 0.0010000000474974513
            value = float(f"{value:.6g}")
        yield name, value


def is_foreign(path):
    """Whether a file is whole and no checkpoint; one that is damaged may have been one."""
    try:
        with zipfile.ZipFile(path) as file:
            return "state.json" not in file.namelist()
    except (OSError, zipfile.BadZipFile):
        return False
