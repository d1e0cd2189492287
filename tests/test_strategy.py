"""Training on several devices, and on several machines."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from recipes import mode

PROGRAM = Path(__file__).with_name("on_two_devices.py")
MODELS = ("DCGAN", "SSGAN", "Pix2Pix", "CycleGAN", "MergeCaptioner", "ImageCaptioner")


@pytest.fixture(scope="module")
def reports():
    """Of each case: how far the first device's training went, and what differs."""
    done = subprocess.run(
        [sys.executable, PROGRAM], cwd=PROGRAM.parent.parent, capture_output=True, text=True,
        timeout=600, check=False, env={**os.environ, "PYTHONPATH": "."},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize("model", MODELS)
def test_two_devices_end_where_one_does(reports, model):
    # Weights, optimizers and seeds after three steps; batch norm is that of the global batch.
    assert reports[model]["gap"] < 1e-5 < 1e-3 < reports[model]["way"]


@pytest.mark.parametrize("model", MODELS)
def test_both_devices_hold_the_same(reports, model):
    assert reports[model]["replicas"] == 0


@pytest.mark.parametrize("model", MODELS)
def test_a_checkpoint_gives_both_devices_all_of_it(reports, model):
    assert reports[model]["restored"] == 0


@pytest.mark.parametrize("case", ["dropout", "clipnorm"])
def test_where_two_devices_cannot_do_what_one_does(reports, case):
    # Keras gives each device the same masks of dropout, and clips its part of a gradient.
    assert reports[case]["gap"] > 1e-3
    assert reports[case]["replicas"] == 0
