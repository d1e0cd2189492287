"""The first exercise of each GAN's notebook: another network, made in a cell, is trained."""

import re

import nbformat
import numpy as np
import pytest
import tensorflow as tf

from recipes import translation
from tools import common

PARAMETERS = {
    "WIDTH": 4, "BASE_FILTERS": 4, "EMA_DECAY": 0.9, "HALVINGS": 2, "NORM": "instance",
    "GENERATOR": {"width": 4},
}  # fmt: skip


def digits():
    return np.random.default_rng(0).uniform(-1, 1, (4, 28, 28, 1)).astype(np.float32)


def photos():
    return np.random.default_rng(0).uniform(-1, 1, (2, 64, 64, 3)).astype(np.float32)


BATCHES = {
    "01_dcgan": digits,
    "02_ssgan": lambda: ({"labelled": digits(), "unlabelled": digits()}, np.arange(4)),
    "03_pix2pix": lambda: (photos(), photos()),
    "04_cyclegan": lambda: (photos(), photos()),
}


@pytest.mark.parametrize("name", BATCHES)
def test_the_network_of_the_first_exercise_trains(name):
    nb = nbformat.read(common.ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    cells = {cell.id: cell.source for cell in nb.cells}
    imports = [x for x in cells["imports"].splitlines() if not x.startswith(("setup(", "#"))]
    (code,) = re.findall(r"```python\n(.*?)```", cells["exercises"], re.DOTALL)
    discriminators = [translation.build_patchgan(1, 4, "instance") for _ in range(2)]
    names = {**PARAMETERS, "discriminators": discriminators}
    exec("\n".join(imports), names)
    exec("\n".join(line.removeprefix("   ") for line in code.splitlines()), names)
    gan = names["gan"]
    gan.compile(1e-3, run_eagerly=True)
    generator = getattr(gan, gan.handed_in[0])
    before = [np.copy(weight) for weight in generator.get_weights()]
    gan.fit(tf.data.Dataset.from_tensors(BATCHES[name]()), verbose=0)
    assert any((a != b).any() for a, b in zip(before, generator.get_weights(), strict=True))
