"""Training on several devices, and on several machines."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow as tf

from recipes.training import distribution
from recipes.training import runtime as mode
from tools.workers import tf_configs

TESTS = Path(__file__).parent
MODELS = ("DCGAN", "SSGAN", "Pix2Pix", "CycleGAN", "MergeCaptioner", "ImageCaptioner")


def begin(program, **variables):
    return subprocess.Popen(
        [sys.executable, TESTS / program], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env={**os.environ, "PYTHONPATH": str(TESTS.parent), **variables},
    )  # fmt: skip


def report(process):
    out, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors[-3000:]
    return json.loads(out.splitlines()[-1])


@pytest.fixture(scope="module")
def two_devices():
    """Of each case: how far one device's training went, and what differs with two."""
    return report(begin("on_two_devices.py"))


@pytest.mark.parametrize("model", MODELS)
def test_two_devices_end_where_one_does(two_devices, model):
    # Weights, optimizers and seeds after three steps; batch norm is that of the global batch.
    assert two_devices[model]["gap"] < 1e-5 < 1e-3 < two_devices[model]["way"]


@pytest.mark.parametrize("model", MODELS)
def test_both_devices_hold_the_same(two_devices, model):
    assert two_devices[model]["replicas"] == 0


@pytest.mark.parametrize("model", MODELS)
def test_a_checkpoint_gives_both_devices_all_of_it(two_devices, model):
    assert two_devices[model]["restored"] == 0


@pytest.mark.parametrize("case", ["dropout", "clipnorm"])
def test_where_two_devices_cannot_do_what_one_does(two_devices, case):
    # Keras drops out the same on each device, and clips each device's part of a gradient.
    assert two_devices[case]["gap"] > 1e-3
    assert two_devices[case]["replicas"] == 0


def test_two_machines_end_with_the_same_and_the_first_alone_leaves_files(tmp_path):
    folders = [tmp_path / name for name in ("first", "second")]
    for folder in folders:
        folder.mkdir()
    first, second = (
        report(process)
        for process in [
            begin("on_two_machines.py", TF_CONFIG=config, TMPDIR=str(folder),
                  RECIPES_OUTPUT_DIR=str(tmp_path / "outputs"))
            for config, folder in zip(tf_configs(2), folders, strict=True)
        ]
    )  # fmt: skip
    assert first["machines"] == 2
    assert first["folder"] != second["folder"]
    for part in ("weights", "losses", "picture"):
        assert first[part] == second[part]
    assert {p.name for p in Path(first["folder"]).iterdir()} == {
        "checkpoints", "dcgan.keras", "pictures"
    }  # fmt: skip
    assert not Path(second["folder"]).exists()


def test_one_device_gets_the_default_strategy(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert mode.strategy() is tf.distribute.get_strategy()
    assert mode.machines() == 1
    assert mode.is_chief()
    assert not distribution.has_replicas()


@pytest.mark.parametrize(
    ("cluster", "task", "machines", "chief"),
    [
        ({"worker": ["a:1"]}, ("worker", 0), 1, True),
        ({"worker": ["a:1", "b:1"]}, ("worker", 0), 2, True),
        ({"worker": ["a:1", "b:1"]}, ("worker", 1), 2, False),
        ({"chief": ["a:1"], "worker": ["b:1"]}, ("chief", 0), 2, True),
        ({"chief": ["a:1"], "worker": ["b:1"]}, ("worker", 0), 2, False),
    ],
)
def test_tf_config_says_how_many_machines_and_which_is_the_first(
    monkeypatch, tmp_path, cluster, task, machines, chief
):
    task = dict(zip(("type", "index"), task, strict=True))
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": cluster, "task": task}))
    monkeypatch.setenv("RECIPES_OUTPUT_DIR", str(tmp_path))
    assert (mode.machines(), mode.is_chief()) == (machines, chief)
    assert mode.output_dir("x").is_relative_to(tmp_path) == chief


def test_an_index_may_be_a_text(monkeypatch):
    task = {"type": "worker", "index": "0"}  # as TensorFlow takes it, too
    monkeypatch.setenv("TF_CONFIG", json.dumps({"cluster": {"worker": ["a:1"]}, "task": task}))
    assert mode.is_chief()


@pytest.mark.parametrize(
    "config",
    ["{", "[1]", '{"cluster": null}', '{"task": []}', '{"cluster": {"worker": "a:1"}}']
    + ['{"task": {"index": "x"}}'],
)
def test_a_tf_config_that_cannot_be_read_is_named(monkeypatch, config):
    monkeypatch.setenv("TF_CONFIG", config)
    with pytest.raises(ValueError, match="TF_CONFIG=.*is not what TensorFlow takes"):
        mode.strategy()
