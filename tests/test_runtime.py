import random
import sys
import types

import keras
import pytest

from recipes.training import runtime as mode


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    monkeypatch.setattr(mode, "_mode", "reduced")
    for name in ("RECIPES_MODE", "RECIPES_PRECISION", "RECIPES_OUTPUT_DIR"):
        monkeypatch.delenv(name, raising=False)
    yield
    keras.config.set_dtype_policy("float32")


@pytest.mark.parametrize(
    ("form", "variable", "expected"),
    [
        ("reduced", "", 8),
        ("short", "", 20),
        ("full", "", 200),
        ("full", "reduced", 8),
        ("reduced", "full", 200),
        ("short", "smoke", 1),
    ],
)
def test_the_environment_wins_over_the_form(monkeypatch, capsys, form, variable, expected):
    monkeypatch.setenv("RECIPES_MODE", variable)
    mode.setup(form, 0)
    assert mode.choose(reduced=8, short=20, full=200, smoke=1) == expected
    assert f"mode {variable or form} |" in capsys.readouterr().out


def test_a_form_has_three_modes():
    with pytest.raises(
        ValueError, match="mode 'smoke' is unknown; known are: reduced, short, full"
    ):
        mode.setup("smoke", 0)


@pytest.mark.parametrize(
    ("variable", "act", "known"),
    [
        ("RECIPES_MODE", mode.current, "reduced, short, full, smoke"),
        ("RECIPES_PRECISION", lambda: mode.setup("reduced", 0), "float32, bfloat16"),
    ],
)
def test_an_unknown_value_lists_the_known_ones(monkeypatch, variable, act, known):
    monkeypatch.setenv(variable, "quick")
    with pytest.raises(ValueError, match=f"{variable}='quick' is unknown; known are: {known}"):
        act()


def test_setup_sets_precision_and_seed_and_says_so(monkeypatch, capsys):
    monkeypatch.setenv("RECIPES_PRECISION", "bfloat16")
    mode.setup("reduced", 7)
    first = keras.random.uniform(()), random.random()
    assert keras.config.dtype_policy().compute_dtype == "bfloat16"
    line = capsys.readouterr().out
    assert "mode reduced" in line
    assert "bfloat16" in line
    assert "seed 7" in line
    mode.set_seed(7)
    assert (keras.random.uniform(()), random.random()) == first


@pytest.mark.parametrize(
    ("batch_size", "shared"), [(4, True), (5, False), (1, False), (None, True)]
)
def test_a_batch_that_two_devices_cannot_share_equally_is_for_one(monkeypatch, batch_size, shared):
    monkeypatch.setattr(mode, "_devices", lambda: ("CPU:0", "CPU:1"))
    monkeypatch.setattr(mode, "_mirrored", lambda devices: devices)
    assert (mode.strategy(batch_size) == ("CPU:0", "CPU:1")) == shared


def test_every_mode_has_its_own_output_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("RECIPES_OUTPUT_DIR", str(tmp_path))
    reduced = mode.output_dir("x")
    monkeypatch.setenv("RECIPES_MODE", "full")
    assert reduced.is_dir()
    assert mode.output_dir("x") != reduced


def test_a_drive_is_mounted_in_colab_only_and_only_if_asked(monkeypatch, tmp_path):
    mounted = []

    def mount(place):
        mounted.append(place)
        (tmp_path / "drive/MyDrive").mkdir(parents=True)

    drive = types.SimpleNamespace(mount=mount)
    monkeypatch.setattr(mode, "DRIVE", tmp_path / "drive")
    monkeypatch.setenv("RECIPES_OUTPUT_DIR", str(tmp_path / "here"))
    monkeypatch.delitem(sys.modules, "google.colab", raising=False)
    with pytest.raises(ValueError, match="Colab only; elsewhere, set RECIPES_OUTPUT_DIR"):
        mode.output_dir("x", drive=True)
    colab = types.ModuleType("google.colab")
    colab.drive = drive
    monkeypatch.setitem(sys.modules, "google.colab", colab)
    assert mode.output_dir("x") == tmp_path / "here/reduced/x"
    assert mounted == []
    assert mode.output_dir("x", drive=True) == tmp_path / "drive/MyDrive/vision-recipes/reduced/x"
    assert mounted == [str(tmp_path / "drive")]


def test_a_drive_that_is_not_mounted_is_an_error_and_no_folder_is_made(monkeypatch, tmp_path):
    drive = tmp_path / "drive"
    monkeypatch.setattr(mode, "DRIVE", drive)
    monkeypatch.setenv("RECIPES_OUTPUT_DIR", str(drive / "MyDrive" / "recipes"))
    with pytest.raises(FileNotFoundError, match="not mounted: write .*drive=True"):
        mode.output_dir("x")
    assert not drive.exists()
    (drive / "MyDrive").mkdir(parents=True)
    assert mode.output_dir("x").is_dir()


def test_a_folder_that_cannot_be_made_names_the_variable(monkeypatch, tmp_path):
    (tmp_path / "file").touch()
    monkeypatch.setenv("RECIPES_OUTPUT_DIR", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"cannot make .*file.*: Not a dir.*Set RECIPES_OUTPUT_DIR"):
        mode.output_dir("x")
