"""What the documents promise: links, commands, variables and code, in README and elsewhere.

A command or a piece of code that is run here cannot go stale unseen. A piece of Python that needs
data which is not at hand stands after a line `<!-- not run: why -->`; then its imports are tried.
"""

import argparse
import ast
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from importlib import metadata, util
from pathlib import Path
from urllib.parse import unquote

import keras
import nbformat
import numpy as np
import pytest
import yaml
from keras import layers
from packaging.requirements import Requirement

from recipes.captioning import (
    Captioner,
    ImageCaptionFeatureExtractor,
    MergeCaptioner,
    Vocabulary,
)
from recipes.translation import build_unet
from tools import common

ROOT = common.ROOT
NOTEBOOKS = common.find_notebooks(ROOT)
DOCUMENTS = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "data/README.md")]
FENCE = re.compile(r"^(<!-- not run:.*-->\n)?```(\w*)\n(.*?)^```", re.DOTALL | re.MULTILINE)
ALLOWED = {"git": ["clone"], "cd": None, "mkdir": None, "cp": None}  # not run here

# What a reader may add, and our environment does not have.
OPTIONAL = {"tensorboard", "adversarial-robustness-toolbox", "foolbox"}


def read(path):
    """The text; of a notebook, its prose."""
    if path.suffix != ".ipynb":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def headings(text):
    """The anchors that GitHub gives to headings."""
    titles = re.findall(r"^#+ +(.+)$", FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def commands(text):
    """Each command line in a block of shell, and each in backquotes, as a list of words."""
    lines = []
    for _, language, block in FENCE.findall(text):
        if language in ("sh", "bash", "console"):
            lines += block.replace("\\\n", " ").splitlines()
    spans = re.findall(r"`([^`\n]+)`", FENCE.sub("", text))
    lines += [s for s in spans if re.match(r"(RECIPES_\w+=\S+ )*(make|python|pip|\.venv/\S+) .", s)]
    found = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines]
    return [words for words in found if words]


def printed(path):
    """All numbers that the committed notebook prints."""
    outputs = [
        o for cell in nbformat.read(path, as_version=4).cells for o in cell.get("outputs", ())
    ]
    texts = [o.text if o.output_type == "stream" else o.data.get("text/html", "") for o in outputs]
    return [float(number) for number in re.findall(r"\d*\.?\d+", " ".join(texts))]


def close(said, number):
    """Whether a number, rounded to the digits of `said`, is what was said."""
    return abs(number - float(said)) <= 0.5 / 10 ** len(said.partition(".")[2]) + 1e-9


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_headline_in_the_readme_is_what_the_notebook_prints(path):
    [row] = re.findall(
        rf"^\|.*\(notebooks/{path.name}\).*$", read(ROOT / "README.md"), re.MULTILINE
    )
    headline, numbers = row.split("|")[5], printed(path)
    numbers += [100 * number for number in numbers]  # per cent
    found = re.findall(r"(?<![\w.-])\d*\.?\d+", headline)
    assert found
    for said in found:
        assert any(close(said, number) for number in numbers), f"{said} in {headline}"


@pytest.mark.parametrize("path", DOCUMENTS + NOTEBOOKS, ids=lambda path: path.stem)
def test_every_link_leads_to_a_file(path):
    text = FENCE.sub("", read(path))
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"(https?|mailto|attachment):", link):
            continue
        file, _, anchor = unquote(link).partition("#")
        target = (path.parent / file).resolve() if file else path
        assert target.exists(), link
        if anchor:
            assert anchor in headings(read(target)), link


class ParsedError(Exception):
    """Raised instead of going on, when the arguments of a command have been understood."""


def check_module(words, monkeypatch):
    """`python -m words`: there is such a module, and it understands these arguments."""
    name, *arguments = words
    spec = util.find_spec(name)
    if spec and spec.submodule_search_locations:
        spec = util.find_spec(f"{name}.__main__")
    assert spec, f"there is no module {name}"
    if "parse_args" not in Path(spec.origin).read_text(encoding="utf-8"):
        return
    parse = argparse.ArgumentParser.parse_args

    def parse_only(parser, args=None, namespace=None):
        parse(parser, args, namespace)
        raise ParsedError

    with monkeypatch.context() as patch:
        patch.setattr(argparse.ArgumentParser, "parse_args", parse_only)
        patch.setattr(sys, "argv", [name, *arguments])
        with pytest.raises(ParsedError):
            runpy.run_module(name, run_name="__main__")


def check(words, monkeypatch):
    while re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    program, *rest = words
    for word in rest:
        assert "<" in word or not word.endswith((".py", ".ipynb")) or (ROOT / word).is_file(), word
    if program == "make":
        if not shutil.which("make"):
            pytest.skip("make is not installed")
        done = subprocess.run(["make", "-n", *rest], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        for word in rest:
            if word.startswith("NB=") and "<" not in word:
                common.find_notebooks(ROOT, word[3:].split())
    elif re.fullmatch(r"(\.venv/bin/)?python[\d.]*", program):
        assert rest[0] == "-m", "only `python -m module` is tested"
        check_module(rest[1:], monkeypatch)
    elif re.fullmatch(r"(\.venv/bin/)?pip", program):
        assert rest[0] == "install"
        if rest[1] == "-r":
            assert (ROOT / rest.pop(2)).is_file()
        for word in rest[1:]:
            if re.match(r"[a-z]", word) and word not in OPTIONAL:
                wanted = Requirement(word)
                assert wanted.extras <= set(
                    metadata.metadata(wanted.name).get_all("Provides-Extra")
                )
    elif program == "uv":
        assert rest[0] == "run"
        check(rest[1:], monkeypatch)
    elif program == "jupyter":
        assert rest[0] == "lab"
        assert (ROOT / rest[1]).is_dir()
    elif program == "export":
        assert re.fullmatch(r"RECIPES_[A-Z_]+=\S+", rest[0])
    else:
        assert program in ALLOWED, "no test knows this command"
        assert ALLOWED[program] is None or rest[0] in ALLOWED[program]


@pytest.mark.parametrize("path", DOCUMENTS + NOTEBOOKS, ids=lambda path: path.stem)
def test_every_command_works(path, monkeypatch):
    found = commands(read(path))
    assert path.parent != ROOT or len(found) > 4
    for words in found:
        try:
            check(words, monkeypatch)
        except (AssertionError, SystemExit, ImportError) as error:
            raise AssertionError(f"{shlex.join(words)}: {error}") from error


def test_every_command_of_the_workflow_works(monkeypatch):
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    lines = [line for step in steps for line in step.get("run", "").splitlines()]
    assert "make test" in lines
    for line in lines:
        check(shlex.split(line), monkeypatch)


def test_the_variables_in_the_readme_are_those_that_the_code_reads():
    files = [*ROOT.glob("recipes/**/*.py"), *ROOT.glob("tools/*.py"), ROOT / "Makefile"]
    code = "\n".join(path.read_text(encoding="utf-8") for path in files)
    pattern = r"\bRECIPES_[A-Z_]*[A-Z]"
    assert set(re.findall(pattern, read(DOCUMENTS[0]))) == set(re.findall(pattern, code))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the files that the README's code reads: a photo and two saved models."""
    folder = tmp_path_factory.mktemp("readme")
    photo = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    keras.utils.save_img(folder / "photo.jpg", photo, scale=False)
    build_unet(image_size=32, base_filters=4).save(folder / "summer2winter.keras")
    vocabulary = Vocabulary.build([["a dog"], ["a man"]])
    inputs = keras.Input((8, 8, 3))
    net = keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling2D()(inputs)))
    model = MergeCaptioner(len(vocabulary), (5,), width=4, embedding=4, seed=0)
    model({"features": np.zeros((1, 5), np.float32), "words": np.ones((1, 2), np.int32)})
    Captioner(model, vocabulary, ImageCaptionFeatureExtractor(net)).save(folder / "captioner")
    return folder


CODE = [
    pytest.param(code, not remark, id=f"{path.stem}-{number}")
    for path in DOCUMENTS
    for number, (remark, language, code) in enumerate(FENCE.findall(read(path)))
    if language == "python"
]


@pytest.mark.parametrize(("code", "whole"), CODE)
def test_the_code_in_the_documents_runs(code, whole, folder, monkeypatch):
    fit = keras.Model.fit

    def short(self, *arguments, **options):
        self.run_eagerly = True  # a trace takes longer than two steps
        return fit(self, *arguments, **options | {"epochs": 1, "steps_per_epoch": 2, "verbose": 0})

    monkeypatch.setattr(keras.Model, "fit", short)
    monkeypatch.chdir(folder)
    tree = ast.parse(code)
    if not whole:
        tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    exec(compile(tree, "document", "exec"), {})


def test_each_promise_has_its_test():
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").glob("*.py"))
    promised = re.findall(r"`(test_\w+)`", (ROOT / "docs/promises.md").read_text(encoding="utf-8"))
    assert len(promised) >= 15
    assert [name for name in promised if f"def {name}(" not in tests] == []


def test_there_is_code_in_the_readme():
    assert len(CODE) >= 3
