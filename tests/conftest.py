"""What many tests share."""

import os
import socket
from pathlib import Path

import pytest

import recipes  # noqa: F401  first, as in a notebook: it sets how TensorFlow starts

REAL_ROOT = os.environ.get("RECIPES_DATA_DIR")


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty data root, an empty Keras cache and no network, whatever the machine has."""
    root = tmp_path / "root"
    root.mkdir()
    monkeypatch.setenv("RECIPES_DATA_DIR", str(root))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}/"
    for name in ("cityscapes", "coco", "emnist", "fashion_mnist", "flickr8k"):
        monkeypatch.setattr(f"recipes.datasets.{name}.URL", nowhere)
    return root


@pytest.fixture
def real(monkeypatch):
    """A function that makes the real data root the one in use, and returns it, a `Path`.

    It skips the test if that lacks one of the names it is given.
    """

    def use(*names):
        for name in names:
            if not REAL_ROOT or not Path(REAL_ROOT, name).exists():
                pytest.skip(f"no {name} in RECIPES_DATA_DIR")
        monkeypatch.setenv("RECIPES_DATA_DIR", REAL_ROOT)
        return Path(REAL_ROOT)

    return use
