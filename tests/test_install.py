"""Installing the package: as a user, and from the setup cell that each notebook begins with."""

import json
import os
import re
import shutil
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

from tools import colab, common

ROOT = common.ROOT
NOTEBOOKS = common.find_notebooks(ROOT)

# What Colab has preinstalled, as it publishes it (2026).
COLAB = {
    "tensorflow": "2.20.0", "keras": "3.13.0", "tensorflow-datasets": "4.9.9", "numpy": "2.0.2",
    "matplotlib": "3.10.0", "opencv-python-headless": "4.13.0.92", "tqdm": "4.67.3",
    "nltk": "3.9.1", "scikit-learn": "1.6.1", "Pillow": "11.3.0", "mlxtend": "0.23.4",
    "importlib_resources": "6.5.2",
}  # fmt: skip


def setup_cell(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return next("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")


def run(code, **environment):
    """Runs code in a Python of its own."""
    command = [sys.executable, "-c", code]
    env = os.environ | environment
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)


def test_all_notebooks_begin_with_the_same_short_setup_cell():
    cells = {setup_cell(path) for path in NOTEBOOKS}
    assert len(cells) == 1, cells
    assert len(cells.pop().splitlines()) <= 6


def test_badges_and_setup_cells_lead_to_the_repository_of_this_project():
    name = colab.repository(ROOT)
    badge = "https://colab.research.google.com/github/{}/blob/main/notebooks/{}.ipynb"
    for path in NOTEBOOKS:
        assert f'"git+https://github.com/{name}"' in setup_cell(path)
        title = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"])
        assert f"]({badge.format(name, path.stem)})" in title
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    known = {badge.format(name, path.stem) for path in NOTEBOOKS}
    assert set(re.findall(r"https://colab\.research\.google\.com/github[^)\s]*", readme)) <= known


def test_another_owner_is_written_in_one_place(tmp_path):
    shutil.copytree(ROOT / "notebooks", tmp_path / "notebooks")
    shutil.copy(ROOT / "README.md", tmp_path)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (tmp_path / "pyproject.toml").write_text(
        project.replace(f"github.com/{colab.repository(ROOT)}", "github.com/some-one/her.recipes")
    )
    colab.main(root=tmp_path)
    for path in NOTEBOOKS:
        text = (tmp_path / "notebooks" / path.name).read_text(encoding="utf-8")
        assert "github/some-one/her.recipes/blob/main/notebooks/" in text
        assert "git+https://github.com/some-one/her.recipes" in text
        assert colab.repository(ROOT) not in text
    assert sorted(os.listdir(tmp_path)) == ["README.md", "notebooks", "pyproject.toml"]
    (tmp_path / "pyproject.toml").write_text('[project.urls]\nRepository = "github.com/x"\n')
    with pytest.raises(ValueError, match="'github.com/x' is not https://github.com/owner/name"):
        colab.main(root=tmp_path)


def test_installing_in_colab_replaces_nothing_there():
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert {requirement.name for requirement in wanted} == set(COLAB)
    for requirement in wanted:
        assert requirement.specifier.contains(COLAB[requirement.name]), requirement


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A git repository of the package as it is now, committed or not."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    folder = tmp_path_factory.mktemp("repository")
    for name in ("pyproject.toml", "requirements.txt", "README.md"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    shutil.copytree(ROOT / "data/weights", folder / "data/weights")
    user = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["add", "."], [*user, "commit", "-qm", "all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def test_the_setup_cell_installs_the_whole_package_in_colab(repository, tmp_path):
    """The very cell, with a stand-in for Colab; git takes its address for that of a folder."""
    stand_in = "import sys, types\nsys.modules['google.colab'] = types.ModuleType('google.colab')\n"
    done = run(
        stand_in + setup_cell(NOTEBOOKS[0]),
        GIT_CONFIG_COUNT="1",
        GIT_CONFIG_KEY_0=f"url.{repository.as_uri()}.insteadOf",
        GIT_CONFIG_VALUE_0=f"https://github.com/{colab.repository(ROOT)}",
        PIP_TARGET=str(tmp_path),
        PIP_NO_DEPS="1",
        PIP_NO_INDEX="1",
        PIP_NO_BUILD_ISOLATION="0",  # pip's way to say yes: nothing is fetched for the build
    )
    assert done.returncode == 0, done.stderr
    for path in (ROOT / "recipes").rglob("*.py"):
        assert (tmp_path / path.relative_to(ROOT)).read_bytes() == path.read_bytes(), path
    weights = "scenes_backbone.weights.h5"
    ours = (ROOT / "data/weights" / weights).read_bytes()
    assert (tmp_path / "recipes/weights" / weights).read_bytes() == ours


def test_the_setup_cell_says_so_if_installing_fails(tmp_path):
    stand_in = "import sys, types\nsys.modules['google.colab'] = types.ModuleType('google.colab')\n"
    done = run(stand_in + setup_cell(NOTEBOOKS[0]), PATH=str(tmp_path), PIP_NO_INDEX="1")
    assert done.returncode != 0
    assert "CalledProcessError" in done.stderr


def test_the_setup_cell_does_nothing_elsewhere():
    done = run(
        "import subprocess\n"
        "def run(*arguments, **options):\n    raise AssertionError('it ran something')\n"
        "subprocess.run = run\n" + setup_cell(NOTEBOOKS[0])
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_importing_recipes_costs_nothing():
    """It has to come before TensorFlow, so it must not wait for it, nor bring it along."""
    code = "import sys, recipes; print(*({'tensorflow', 'keras', 'numpy'} & set(sys.modules)))"
    done = run(code, PYTHONPATH=str(ROOT))
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr
