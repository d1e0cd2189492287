"""Installing the package: as a user, and from the setup cell that each notebook begins with."""

import json
import os
import shutil
import subprocess
import sys
import tomllib

import nbformat
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from tools import colab, common

ROOT = common.ROOT
NOTEBOOKS = common.find_notebooks(ROOT)


def setup_cell(path):
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    return next("".join(cell["source"]) for cell in cells if cell["id"] == "setup")


def run(code, **environment):
    """Runs code in a Python of its own."""
    command = [sys.executable, "-c", code]
    env = os.environ | environment
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=300)


def requirements(lines):
    """The requirements by name, of lines as in requirements.txt."""
    lines = [line.partition("#")[0].strip() for line in lines]
    return {r.name: r for r in map(Requirement, filter(None, lines)) if r}


def read_lines(name):
    return (ROOT / name).read_text(encoding="utf-8").splitlines()


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LEAN = requirements(PROJECT["project"]["dependencies"])  # what Colab installs
DEV = requirements(PROJECT["dependency-groups"]["dev"])


def test_requirements_txt_is_the_whole_environment():
    lines = read_lines("requirements.txt")
    assert lines.count("-e .") == 1
    whole = requirements(line for line in lines if line != "-e .")
    assert {str(r) for r in whole.values()} == {str(r) for r in (LEAN | DEV).values()}
    assert {"jupyter", "nbval"} <= set(DEV)
    assert not set(LEAN) & set(DEV)


def test_installing_in_colab_replaces_nothing_there():
    colab_has = requirements(read_lines(".github/constraints/colab.txt"))
    for name in set(colab_has) & set(LEAN):
        [pin] = colab_has[name].specifier
        assert LEAN[name].specifier.contains(pin.version), LEAN[name]


def test_the_oldest_versions_that_are_tested_are_those_that_are_admitted():
    oldest = requirements(read_lines(".github/constraints/oldest.txt"))
    assert set(oldest) == set(LEAN | DEV)
    for name, requirement in (LEAN | DEV).items():
        [bound], [pin] = requirement.specifier, oldest[name].specifier
        assert (bound.operator, pin.operator) == (">=", "==")
        assert Version(pin.version).release[: len(Version(bound.version).release)] == (
            Version(bound.version).release
        ), f"{name} {pin} is not the oldest of {bound}"


def test_the_version_is_the_same_everywhere():
    version = PROJECT["project"]["version"]
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert citation["repository-code"] == PROJECT["project"]["urls"]["Repository"]
    assert citation["license"] == "Apache-2.0"
    assert "Apache License" in (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_all_notebooks_have_the_same_short_setup_cell():
    cells = {setup_cell(path) for path in NOTEBOOKS}
    assert len(cells) == 1, cells
    assert len(cells.pop().splitlines()) <= 7


def test_badges_and_setup_cells_lead_to_the_repository_of_this_project():
    """As `make colab` leaves them."""
    name = colab.repository(ROOT)
    for path in NOTEBOOKS:
        nb = nbformat.read(path, as_version=4)
        colab.prepare(nb, name)
        assert nb == nbformat.read(path, as_version=4), f"make colab; {path.name}"
        assert "Open in Colab" in nb.cells[0].source
        assert "Open in Kaggle" in nb.cells[0].source
        assert f'"git+https://github.com/{name}"' in setup_cell(path)
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert colab.badges(readme, name) == readme, "make colab"


def copy_of_the_project(folder):
    shutil.copytree(ROOT / "notebooks", folder / "notebooks")
    for name in ("README.md", "pyproject.toml", "CITATION.cff"):
        shutil.copy(ROOT / name, folder)
    return folder


def test_another_owner_is_given_once(tmp_path):
    copy = copy_of_the_project(tmp_path)
    before = sorted(os.listdir(copy))
    colab.main("some-one/her.recipes", root=copy)
    assert sorted(os.listdir(copy)) == before
    old = f"github.com/{colab.repository(ROOT)}"
    for path in [*copy.glob("*.*"), *copy.glob("notebooks/*.ipynb")]:
        assert old not in path.read_text(encoding="utf-8"), path.name
    for path in NOTEBOOKS:
        text = (copy / "notebooks" / path.name).read_text(encoding="utf-8")
        assert f"github/some-one/her.recipes/blob/main/notebooks/{path.name}" in text
        assert (
            f"src=https://github.com/some-one/her.recipes/blob/main/notebooks/{path.name}" in text
        )
        assert "git+https://github.com/some-one/her.recipes" in text
    assert colab.repository(copy) == "some-one/her.recipes"
    with pytest.raises(ValueError, match="'her.recipes' is not owner/name"):
        colab.main("her.recipes", root=copy)
    (copy / "pyproject.toml").write_text('[project.urls]\nRepository = "github.com/x"\n')
    with pytest.raises(ValueError, match="'github.com/x' is not https://github.com/owner/name"):
        colab.main(root=copy)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("git@github.com:her/recipes.git", "her/recipes"),
        ("https://github.com/her/recipes", "her/recipes"),
        ("https://example.org/her/recipes", colab.repository(ROOT)),
        (None, colab.repository(ROOT)),
    ],
)
def test_the_owner_is_that_of_the_git_remote(tmp_path, url, name):
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    copy = copy_of_the_project(tmp_path)
    subprocess.run(["git", "init", "-q"], cwd=copy, check=True)
    if url:
        subprocess.run(["git", "remote", "add", "origin", url], cwd=copy, check=True)
    colab.main(root=copy)
    assert colab.repository(copy) == name


def test_the_setup_cell_knows_where_it_is_hosted():
    source = 'import subprocess\nimport sys\n\nif "google.colab" in sys.modules:  # else\n    x = 1'
    cell = nbformat.v4.new_code_cell(source, id="setup")
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# A"), cell])
    colab.prepare(nb, "a/b")
    first = cell.source
    assert first.startswith("import os\nimport subprocess\nimport sys\n\nif ")
    assert first.endswith("in os.environ:\n    x = 1")
    colab.prepare(nb, "a/b")
    assert cell.source == first
    assert (nb.metadata.accelerator, nb.metadata.colab.gpuType) == ("GPU", "T4")


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A git repository of the package as it is now, committed or not."""
    if not shutil.which("git"):
        pytest.skip("git is not installed")
    folder = tmp_path_factory.mktemp("repository")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "recipes", folder / "recipes")
    for name in ("toyworlds", "weights"):
        shutil.copytree(ROOT / "data" / name, folder / "data" / name)
    user = ["-c", "user.name=test", "-c", "user.email=test@localhost"]
    for command in (["init", "-q"], ["add", "."], [*user, "commit", "-qm", "all"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


IN_COLAB = "import sys, types\nsys.modules['google.colab'] = types.ModuleType('google.colab')\n"
IN_KAGGLE = "import os\nos.environ['KAGGLE_KERNEL_RUN_TYPE'] = 'Interactive'\n"


def test_the_setup_cell_installs_the_whole_package(repository, tmp_path):
    """The very cell, with a stand-in for Colab; git takes its address for that of a folder."""
    done = run(
        IN_COLAB + setup_cell(NOTEBOOKS[0]),
        GIT_CONFIG_COUNT="1",
        GIT_CONFIG_KEY_0=f"url.{repository.as_uri()}.insteadOf",
        GIT_CONFIG_VALUE_0=f"https://github.com/{colab.repository(ROOT)}",
        PIP_TARGET=str(tmp_path),
        PIP_NO_DEPS="1",
        PIP_NO_INDEX="1",
        PIP_NO_BUILD_ISOLATION="0",  # pip's way to say yes: nothing is fetched for the build
    )
    assert done.returncode == 0, done.stderr
    for folder in (ROOT / "recipes", ROOT / "data/toyworlds"):
        for path in folder.rglob("*.py"):
            installed = tmp_path / path.relative_to(folder.parent)
            assert installed.read_bytes() == path.read_bytes(), path
    weights = ROOT / "data/weights"
    for ours in (weights / "scenes_backbone.weights.h5", *weights.glob("showcase_*")):
        assert (tmp_path / "recipes/weights" / ours.name).read_bytes() == ours.read_bytes()


@pytest.mark.parametrize("host", [IN_COLAB, IN_KAGGLE], ids=["Colab", "Kaggle"])
def test_the_setup_cell_says_so_if_installing_fails(tmp_path, host):
    done = run(host + setup_cell(NOTEBOOKS[0]), PATH=str(tmp_path), PIP_NO_INDEX="1")
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
