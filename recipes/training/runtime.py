"""How a notebook runs: mode, output folder, precision and seed. The one place that reads them.

| variable | values | default |
| --- | --- | --- |
| `RECIPES_MODE` | `reduced`, `short`, `full`, `smoke` | what `setup` is given |
| `RECIPES_OUTPUT_DIR` | folder for what a notebook writes | `outputs` |
| `RECIPES_PRECISION` | `float32`, `bfloat16` | `float32` |
| `TF_CONFIG` | TensorFlow's list of the machines that train together | none |
"""

import atexit
import functools
import json
import os
import platform
import shutil
import sys
import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from recipes.datasets.files import expand_user

MODES = ("reduced", "short", "full")  # those of a notebook's form
DRIVE = Path("/content/drive")  # where Colab puts it
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}

_mode = "reduced"  # what `setup` was given


def setup(mode, seed, deterministic=False):
    """First line of every recipe: sets mode, precision and seed, prints what it runs on.

    Args:
        mode: one of `MODES`, the value of the notebook's form. `RECIPES_MODE` wins over it, and
            may be `smoke` as well, which is for tests.
        seed: int.
        deterministic: as `set_seed` takes it.

    Raises:
        ValueError: mode or an environment variable is unknown.
    """
    global _mode
    if mode not in MODES:
        raise ValueError(f"setup: mode {mode!r} is unknown; known are: {', '.join(MODES)}")
    _mode = mode
    precision = _read("RECIPES_PRECISION", tuple(POLICIES), "float32")
    mode = current()
    if machines() > 1:
        _multi_worker()  # which has to come before TensorFlow's first operation
    keras.config.set_dtype_policy(POLICIES[precision])
    set_seed(seed, deterministic)
    details = tf.config.experimental.get_device_details
    gpus = [details(d).get("device_name", d.name) for d in tf.config.list_physical_devices("GPU")]
    each = f" on each of {machines()} machines" if machines() > 1 else ""
    print(
        f"mode {mode} | {', '.join(gpus) or 'CPU'}{each} | {precision} | seed {seed} | "
        f"TensorFlow {tf.__version__}, Keras {keras.__version__}, "
        f"Python {platform.python_version()}"
    )


def current():
    """The mode in force: that of `RECIPES_MODE`, else the one that `setup` was given.

    Raises:
        ValueError: `RECIPES_MODE` is unknown.
    """
    return _read("RECIPES_MODE", (*MODES, "smoke"), _mode)


def choose(*, reduced, short, full, smoke):
    """The argument named as the mode: `EPOCHS = choose(reduced=8, short=20, full=200, smoke=1)`."""
    return {"reduced": reduced, "short": short, "full": full, "smoke": smoke}[current()]


def output_dir(name, drive=False):
    """The folder that recipe `name` writes to, made if it is not there: a `pathlib.Path`.

    Each mode has its own, so that a reduced run never resumes a full one. Of several machines that
    train together the first one writes there; the others get a folder that goes when they end.

    Args:
        name: of the recipe.
        drive: puts it into your Google Drive, under `vision-recipes`, so that it outlives a Colab
            session; Colab asks for permission.

    Raises:
        ValueError: `drive` outside Colab, or a home folder of nobody.
        OSError: the folder cannot be made, or lies in a Google Drive that is not mounted.
    """
    if not is_chief():
        folder = tempfile.mkdtemp(prefix=f"{name}-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)
    folder = expand_user(os.environ.get("RECIPES_OUTPUT_DIR") or "outputs", "RECIPES_OUTPUT_DIR")
    if drive:
        if "google.colab" not in sys.modules:
            raise ValueError("drive=True works in Colab only; elsewhere, set RECIPES_OUTPUT_DIR")
        from google.colab import drive as google_drive

        google_drive.mount(str(DRIVE))
        folder = DRIVE / "MyDrive/vision-recipes"
    folder = folder / current() / name
    # A folder made in its place would be gone with the session, and keep Drive from being mounted.
    if DRIVE in folder.parents and not (DRIVE / "MyDrive").is_dir():
        raise FileNotFoundError(
            f"RECIPES_OUTPUT_DIR: {folder} is in Google Drive, which is not mounted: write "
            "output_dir(..., drive=True), which mounts it"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot make {folder}: {error.strerror}. Set RECIPES_OUTPUT_DIR to a folder that can "
            "be written",
        ) from error
    return folder


def set_seed(seed, deterministic=False):
    """Seeds Python, NumPy, TensorFlow and Keras with an int.

    `deterministic` makes TensorFlow's operations deterministic too, where they are not (on a GPU);
    slower, and without XLA.
    """
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def strategy(batch_size=None):
    """How to train on the devices at hand: `with strategy(BATCH_SIZE).scope():` make the model.

    Several GPUs share out each batch of the dataset (`MirroredStrategy`), and so do the machines
    that `TF_CONFIG` names (`MultiWorkerMirroredStrategy`; `setup` has to come first). Where there
    is no GPU, a CPU that TensorFlow was told to divide counts as several, for tests. Otherwise it
    is TensorFlow's default strategy, which changes nothing.

    Args:
        batch_size: rows in a batch of the dataset, the global one. If the devices cannot share
            them equally, the machine trains on one of them.
    """
    if machines() > 1:
        return _multi_worker()
    devices = _devices()
    if len(devices) == 1 or (batch_size is not None and batch_size % len(devices)):
        return tf.distribute.get_strategy()
    return _mirrored(devices)


# Each is made once: TensorFlow's collective operations mix up two of them.
@functools.cache
def _multi_worker():
    return tf.distribute.MultiWorkerMirroredStrategy()


@functools.cache
def _mirrored(devices):
    return tf.distribute.MirroredStrategy(devices)


def _devices():
    """The names of the GPUs, or where there is none, of the CPUs."""
    for kind in ("GPU", "CPU"):
        devices = tf.config.list_physical_devices(kind)
        # Asked for without starting TensorFlow, as `list_logical_devices` would.
        parts = [tf.config.get_logical_device_configuration(device) or [0] for device in devices]
        if devices:
            return tuple(f"{kind}:{i}" for i in range(sum(map(len, parts))))


def machines():
    """How many machines train together: those that `TF_CONFIG` names, else 1.

    Raises:
        ValueError: `TF_CONFIG` is not what TensorFlow takes.
    """
    cluster = _tf_config()["cluster"]
    return max(1, sum(len(cluster.get(kind, ())) for kind in ("chief", "worker")))


def is_chief():
    """Whether this machine is the one of them that writes files."""
    cluster, task = _tf_config()["cluster"], _tf_config()["task"]
    return task.get("type") == "chief" if "chief" in cluster else int(task.get("index", 0)) == 0


def _tf_config():
    text = os.environ.get("TF_CONFIG") or "{}"
    try:
        found = {"cluster": {}, "task": {}, **json.loads(text)}
        cluster, task = found["cluster"], found["task"]
        if not isinstance(cluster, dict) or not isinstance(task, dict):
            raise TypeError("cluster and task have to be dictionaries")
        if not all(isinstance(addresses, list) for addresses in cluster.values()):
            raise TypeError("each kind in cluster needs a list of addresses")
        int(task.get("index", 0))
    except (ValueError, TypeError) as error:
        raise ValueError(f"TF_CONFIG={text!r} is not what TensorFlow takes: {error}") from None
    return found


def _read(variable, known, default):
    value = os.environ.get(variable) or default
    if value not in known:
        raise ValueError(f"{variable}={value!r} is unknown; known are: {', '.join(known)}")
    return value
