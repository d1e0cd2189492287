"""How a notebook runs: mode, output folder, precision and seed. The one place that reads them.

| variable | values | default |
| --- | --- | --- |
| `RECIPES_MODE` | `reduced`, `smoke`, `full` | `reduced` |
| `RECIPES_OUTPUT_DIR` | folder for what a notebook writes | `outputs` |
| `RECIPES_PRECISION` | `float32`, `bfloat16` | `float32` |
"""

import os
import platform
import sys
from pathlib import Path

import keras
import tensorflow as tf

MODES = ("reduced", "smoke", "full")
DRIVE = Path("/content/drive")  # where Colab puts it
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16"}


def current():
    """The mode, one of `MODES`.

    Raises:
        ValueError: `RECIPES_MODE` is none of them.
    """
    return _read("RECIPES_MODE", MODES)


def choose(*, reduced, smoke, full):
    """The argument that is named as the mode: `EPOCHS = choose(reduced=8, smoke=1, full=200)`."""
    return {"reduced": reduced, "smoke": smoke, "full": full}[current()]


def output_dir(name, drive=False):
    """The folder that recipe `name` writes to, made if it is not there: a `pathlib.Path`.

    Each mode has its own, so that a reduced run never resumes a full one.

    Args:
        name: of the recipe.
        drive: puts it into your Google Drive, under `vision-recipes`, so that it outlives a Colab
            session; Colab asks for permission.

    Raises:
        ValueError: `drive` outside Colab.
        OSError: the folder cannot be made, or lies in a Google Drive that is not mounted.
    """
    folder = Path(os.environ.get("RECIPES_OUTPUT_DIR") or "outputs").expanduser()
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
    """Seeds Python, NumPy, TensorFlow and Keras.

    Args:
        seed: int.
        deterministic: makes TensorFlow's operations deterministic too, where they are not (on a
            GPU); slower, and without XLA.
    """
    keras.utils.set_random_seed(seed)
    if deterministic:
        tf.config.experimental.enable_op_determinism()


def start(seed, deterministic=False):
    """First line of every recipe: sets precision and seed, prints what the notebook runs on."""
    precision = _read("RECIPES_PRECISION", tuple(POLICIES))
    keras.config.set_dtype_policy(POLICIES[precision])
    set_seed(seed, deterministic)
    devices = tf.config.list_physical_devices("GPU")
    names = [
        tf.config.experimental.get_device_details(d).get("device_name", d.name) for d in devices
    ]
    print(
        f"mode {current()} | {', '.join(names) or 'CPU'} | {precision} | seed {seed} | "
        f"TensorFlow {tf.__version__}, Keras {keras.__version__}, "
        f"Python {platform.python_version()}"
    )


def _read(variable, known):
    value = os.environ.get(variable) or known[0]
    if value not in known:
        raise ValueError(f"{variable}={value!r} is unknown; known are: {', '.join(known)}")
    return value
