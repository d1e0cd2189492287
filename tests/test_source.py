import ast
import importlib
import inspect
import re
import sys
from pathlib import Path

import nbformat
import pytest

from recipes import dcgan, losses
from recipes.source import show_source
from recipes.training.base import LatentGAN

NOTEBOOKS = sorted((Path(__file__).parents[1] / "notebooks").glob("*.ipynb"))
FENCE = re.compile(r"^`(recipes/[\w/]+\.py)`: `([\w.]+)`\n\n```python\n(.*?)\n```$", re.S | re.M)


def shown_code(source):
    """The code in what a notebook displays: name -> code."""
    return {name: code for _, name, code in FENCE.findall(source._repr_markdown_())}


def without_docstrings(node):
    for part in ast.walk(node):
        if isinstance(part, ast.FunctionDef | ast.ClassDef) and ast.get_docstring(part):
            part.body = part.body[1:]
    return ast.dump(node)


@pytest.mark.parametrize(
    "shown", [losses.generator_loss, dcgan.build_generator, dcgan.DCGAN, dcgan.DCGAN.train_step]
)
def test_what_is_shown_is_what_runs(shown):
    body = ast.parse(Path(sys.modules[shown.__module__].__file__).read_text("utf-8")).body
    for name in shown.__qualname__.split("."):
        (runs,) = (node for node in body if getattr(node, "name", None) == name)
        body = runs.body
    code = shown_code(show_source(shown))[shown.__qualname__]
    assert without_docstrings(ast.parse(code).body[0]) == without_docstrings(runs)


def test_a_docstring_is_shortened_to_its_first_paragraph():
    code = shown_code(show_source(LatentGAN))["LatentGAN"]
    for documented in (LatentGAN, LatentGAN.generate):
        assert inspect.getdoc(documented).split("\n\n")[0] in code
    assert "Args:" not in code
    ast.parse(code)


def test_source_names_files_as_the_repository_does():
    source = show_source(losses.l1, dcgan.DCGAN.train_step)
    files = [file for file, _, _ in FENCE.findall(source._repr_markdown_())]
    assert files == ["recipes/losses.py", "recipes/dcgan.py"]
    assert repr(source).startswith("# recipes/losses.py: l1\ndef l1(")
    assert sys.prefix not in repr(source)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_rendered_notebooks_show_the_present_source(path):
    """A cell's output goes stale when the package changes: render the notebook again."""
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", []):
            for file, name, code in FENCE.findall(output.get("data", {}).get("text/markdown", "")):
                shown = importlib.import_module(file[:-3].replace("/", "."))
                for part in name.split("."):
                    shown = getattr(shown, part)
                assert code == shown_code(show_source(shown))[name], f"{file}: {name}"
