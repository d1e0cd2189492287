"""The tools behind `make`, on toy notebooks that import no TensorFlow."""

import base64
import io
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import nbformat
import numpy as np
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output
from PIL import Image

from benchmarks import variants
from tools import common, pages, render, run
from tools import test as driver

DOT = (  # a grey picture of one pixel
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNoAAAAggCBd81ytgAAAABJRU5ErkJggg=="
)
TEXT = "A [toy](x) of `one`\nline."
BADGE = "[![Open in Colab](https://colab.example/badge.svg)](https://colab.example/open)"
SHOW = f"import base64\nfrom IPython.display import Image\nImage(base64.b64decode('{DOT}'))"


needs_make = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in [name for name in os.environ if name.startswith("RECIPES_")]:
        monkeypatch.delenv(name)


def write(root, name, *code, tags=("thumbnail", "headline"), attachments=None):
    """A toy notebook: title cell, the given cells, the picture and the headline number."""
    cells = [
        new_markdown_cell(
            f"# The *{name}*\n\n![a dot](attachment:result.png) {BADGE}\n\n{TEXT}",
            attachments=attachments or {"result.png": {"image/png": DOT}},
        ),
        *[new_code_cell(source) for source in code],
        new_code_cell(
            SHOW, metadata={"tags": [tag for tag in tags if tag == "thumbnail"], "alt": "one pixel"}
        ),
        new_code_cell(
            "print('a line')\nprint('distance 12.3')",
            metadata={"tags": [tag for tag in tags if tag == "headline"]},
        ),
    ]
    for number, cell in enumerate(cells):
        cell.id = f"cell-{number}"
    path = root / "notebooks" / f"{name}.ipynb"
    path.parent.mkdir(exist_ok=True)
    nbformat.write(new_notebook(cells=cells), path)
    return path


@pytest.fixture
def executed(monkeypatch):
    """Replaces the kernel by a stand-in; the list of the notebooks that were executed."""
    names = []

    def fake(nb, folder, env):
        names.append(re.search(r"\*(\w+)\*", nb.cells[0].source)[1])
        for cell in nb.cells:
            if "thumbnail" in cell.metadata.get("tags", []):
                cell.outputs = [new_output("display_data", {"image/png": DOT})]
            if "headline" in cell.metadata.get("tags", []):
                cell.outputs = [new_output("stream", name="stdout", text="distance 12.3\n")]
        return "In [1]: it failed" if "raise" in nb.cells[1].source else ""

    monkeypatch.setattr(common, "execute", fake)
    return names


def test_run_writes_pages_that_need_no_network(tmp_path, capsys):
    widget = {"application/vnd.jupyter.widget-view+json": {}, "text/plain": "slider"}
    write(tmp_path, "bad", "1 / 0", "print('never')")
    write(tmp_path, "dead", "import os\nos.abort()")
    code = f"from IPython.display import HTML, display\ndisplay({widget}, raw=True)"
    code += "\nHTML('<script src=\"https://cdn.example/x.js\"></script><b>bold</b>')"
    write(
        tmp_path, "good", code, "import os, sys\nprint(sys.executable, os.environ['RECIPES_MODE'])"
    )
    assert run.main(root=tmp_path) == 1

    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"bad +\d+\.\d s  FAILED In \[1\]: ZeroDivisionError: .*zero", lines[0])
    assert re.fullmatch(r"dead +\d+\.\d s  FAILED In \[1\]: Kernel died.*", lines[1])
    assert re.fullmatch(r"good +\d+\.\d s  distance 12.3", lines[2])
    assert "ZeroDivisionError" in (tmp_path / "build/pages/bad.html").read_text()
    page = (tmp_path / "build/pages/good.html").read_text()
    assert f"{sys.executable} reduced" in page
    assert "<b>bold</b>" in page
    assert "slider</pre>" not in page.replace("\n", "")
    assert ">Open in Colab</a>" in page
    index = (tmp_path / "build/index.html").read_text()
    for text in (page, index):
        assert not re.search(r"<(script|link|iframe)\b|@import|url\(", text)
        assert not re.search(r'<img[^>]*src="(https?:)?//', text)
    assert '<h2><a href="pages/good.html">The good</a></h2>\n<p>A toy of one line.</p>' in index
    assert "<strong>distance 12.3</strong>" in index
    assert '<img src="gallery/good.png" width="640" height="400" alt="a dot">' in index
    assert re.search(r'<img [^>]*alt="one pixel"', page)
    assert Image.open(tmp_path / "build/gallery/good.png").size == (640, 400)


def test_each_page_leads_to_its_neighbours_whenever_they_were_run(tmp_path, executed):
    for name in "abc":
        write(tmp_path, name)

    def steps(name):
        page = (tmp_path / f"build/pages/{name}.html").read_text()
        return re.findall(r'<a rel="(\w+)" href="(\w)\.html">([^<]*)', page[: page.index("<main>")])

    run.main(["c"], root=tmp_path)
    assert steps("c") == []
    run.main(["a"], root=tmp_path)
    assert steps("c") == [("prev", "a", "&larr; The a")]
    run.main(root=tmp_path)
    assert steps("b") == [("prev", "a", "&larr; The a"), ("next", "c", "The c &rarr;")]
    assert steps("c") == [("prev", "b", "&larr; The b")]
    assert executed == ["c", "a", "b"], "a page is written anew without running its notebook"


def test_run_executes_only_what_changed(tmp_path, executed, capsys, monkeypatch):
    (tmp_path / "recipes").mkdir()
    (tmp_path / "recipes/layers.py").write_text("ONE = 1\n")
    write(tmp_path, "a"), write(tmp_path, "b")
    assert run.main(root=tmp_path) == 0
    assert executed == ["a", "b"]
    path = tmp_path / "notebooks/a.ipynb"
    nb = nbformat.read(path, 4)  # fresh outputs are no change
    nb.cells[1].outputs, nb.cells[1].execution_count = [], 7
    nb.cells[0].attachments["result.png"] = {"image/png": "other"}
    nbformat.write(nb, path)
    capsys.readouterr()
    assert run.main(root=tmp_path) == 0
    assert capsys.readouterr().out == "nothing changed: build/index.html\n"
    write(tmp_path, "b", "2")
    run.main(root=tmp_path)
    assert executed[2:] == ["b"]
    (tmp_path / "recipes/layers.py").write_text("ONE = 2\n")
    run.main(["a"], root=tmp_path)
    assert executed[3:] == ["a"]
    run.main(root=tmp_path)
    assert executed[4:] == ["b"]
    monkeypatch.setenv("RECIPES_MODE", "smoke")
    run.main(root=tmp_path)
    assert executed[5:] == ["a", "b"]


def test_two_runs_at_once_remember_what_both_did(tmp_path, executed, monkeypatch):
    write(tmp_path, "a"), write(tmp_path, "b"), write(tmp_path, "c")
    alone = common.execute

    def beside_another(nb, *rest):
        if not executed:
            monkeypatch.setattr(common, "execute", alone)
            assert run.main(["b"], root=tmp_path) == 0
        return alone(nb, *rest)

    monkeypatch.setattr(common, "execute", beside_another)
    assert run.main(["a"], root=tmp_path) == 0
    assert executed == ["b", "a"]
    run.main(root=tmp_path)
    assert executed == ["b", "a", "c"]
    assert 'href="pages/b.html"' in (tmp_path / "build/index.html").read_text()


def test_run_tries_a_failed_notebook_again(tmp_path, executed):
    write(tmp_path, "a", "raise"), write(tmp_path, "b", attachments={"x": {"image/png": DOT}})
    assert [run.main(root=tmp_path), run.main(root=tmp_path)] == [1, 1]
    assert executed == ["a", "b", "a"]
    assert "FAILED In [1]: it failed" in (tmp_path / "build/index.html").read_text()


def test_run_asks_for_the_tags(tmp_path, executed, capsys):
    write(tmp_path, "a", tags=["headline"]), write(tmp_path, "b", tags=["thumbnail"])
    assert run.main(root=tmp_path) == 1
    out = capsys.readouterr().out
    assert "FAILED no cell tagged thumbnail" in out
    assert "FAILED no cell tagged headline" in out
    assert executed == []


NOT_NOTEBOOKS = [
    "<<<<<<< HEAD", "[]", "3", "{}", '{"cells": 3}', '{"cells": [3]}', '{"nbformat": "x"}',
    '{"cells": [{"cell_type": "code"}], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}',
]  # fmt: skip


@pytest.mark.parametrize("text", NOT_NOTEBOOKS)
def test_run_names_a_file_that_is_no_notebook_and_goes_on(tmp_path, executed, capsys, text):
    write(tmp_path, "a").write_text(text)
    write(tmp_path, "b")
    assert run.main(root=tmp_path) == 1
    assert re.search(r"a +\d.\d s  FAILED a.ipynb is not a notebook: .", capsys.readouterr().out)
    assert executed == ["b"]
    assert render.main(["a"], root=tmp_path) == 1
    assert "left alone: a.ipynb is not a notebook" in capsys.readouterr().out


@pytest.mark.parametrize("text", ["[]", '{"a": 3}', '{"a": {"ok": true, "key": 7}}', "{"])
def test_run_does_without_results_that_it_did_not_write(tmp_path, executed, text):
    write(tmp_path, "a")
    run.main(root=tmp_path)
    (tmp_path / "build/results.json").write_text(text)
    assert run.main(root=tmp_path) == 0
    assert executed == ["a", "a"]


@pytest.mark.parametrize("piece", ["1", " ", "\r 12"])
def test_a_notebook_may_print_a_very_long_line(tmp_path, piece):
    """In time that grows with its length, not with its square: that would be for ever."""
    line = piece * (1_000_000 // len(piece)) + "x"
    nb = nbformat.read(write(tmp_path, "a", "print(...)"), 4)
    nb.cells[1].outputs = [new_output("stream", name="stdout", text=f"{line}\nthe end\n")]
    nb.cells[2].outputs = [new_output("display_data", {"image/png": DOT})]
    nb.cells[3].outputs = [new_output("stream", name="stdout", text=line)]
    assert render.complaints(nb, line, tmp_path) == []
    result = run.publish(nb, "a", tmp_path, seconds=1) | {"key": ""}
    render.normalise(nb)
    run.write_pages({"a": result}, tmp_path, "reduced")
    page = (tmp_path / "pages/a.html").read_text()
    assert len(page) < 200_000
    assert "the end" in page
    assert ("characters are left out here ...]" in page) == (piece != "\r 12")
    assert len(result["headline"]) <= 200


def test_run_says_before_it_starts_that_it_cannot_write(tmp_path, executed):
    write(tmp_path, "a")
    (tmp_path / "build").write_text("a file in the place of the folder")
    for tool in (run, render, driver):
        with pytest.raises(SystemExit, match="cannot write to .*build"):
            tool.main(root=tmp_path)
    assert executed == []


def test_an_unknown_mode_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("RECIPES_MODE", "tiny")
    with pytest.raises(SystemExit, match="'tiny': choose one of reduced, short, full, smoke"):
        run.main(root=tmp_path)


def test_unknown_notebook_is_an_error(tmp_path):
    write(tmp_path, "a")
    assert len(common.find_notebooks(common.ROOT, ["02_ssgan", "02_ssgan.ipynb"])) == 1
    with pytest.raises(SystemExit, match="no such notebook: b"):
        run.main(["b"], root=tmp_path)


def test_render_twice_gives_the_same_bytes(tmp_path):
    noisy = "import sys\nfor i in range(3):\n    print(i, end='\\r', flush=True)\n"
    noisy += "    print('50%', file=sys.stderr, flush=True)\nprint('done')"
    path = write(tmp_path, "a", noisy, attachments={"result.png": {"image/png": "old"}})
    assert render.main(root=tmp_path) == 0
    first = path.read_bytes()
    assert render.main(["a"], root=tmp_path) == 0
    assert path.read_bytes() == first
    nb = nbformat.reads(first.decode(), 4)
    [shown] = nb.cells[0].attachments["result.png"].values()
    assert shown == common.thumbnail(nb)
    dot = Image.open(io.BytesIO(base64.b64decode(shown)))
    assert (
        dot.getcolors() == Image.open(io.BytesIO(base64.b64decode(DOT))).convert("RGB").getcolors()
    )
    assert [cell.id for cell in nb.cells] == [f"cell-{n}" for n in range(4)]
    assert [cell.execution_count for cell in nb.cells[1:]] == [1, 2, 3]
    assert [(o.name, o.text) for o in nb.cells[1].outputs] == [("stdout", "done\n")]
    assert nb.metadata.language_info == {"name": "python"}
    assert nb.metadata.kernelspec.name == "python3"
    assert nb.metadata.rendered_code == common.code_digest(nb)
    assert nb.cells[2].metadata == {"tags": ["thumbnail"], "alt": "one pixel"}
    assert os.listdir(path.parent) == ["a.ipynb"]


def test_the_digest_of_a_notebook_changes_with_its_code_only(tmp_path):
    nb = nbformat.read(write(tmp_path, "a", "1"), 4)
    before = common.code_digest(nb)
    nb.cells[0].source, nb.cells[1].outputs = "# Other prose", [new_output("stream", text="1")]
    nb.cells.insert(0, new_code_cell("print('in Colab')", id="setup"))
    assert common.code_digest(nb) == before
    nb.cells[2].source = "2"
    assert common.code_digest(nb) != before


def test_render_leaves_alone_what_warns_or_fails(tmp_path, capsys):
    paths = [write(tmp_path, "a", "import warnings\nwarnings.warn('old', stacklevel=1)\n1")]
    paths.append(write(tmp_path, "b", "1 / 0"))
    before = [path.read_bytes() for path in paths]
    assert render.main(root=tmp_path) == 1
    assert [path.read_bytes() for path in paths] == before
    out = capsys.readouterr().out
    assert re.search("a +FAILED, left alone: stderr: .*UserWarning: old", out)
    assert re.search("b +FAILED, left alone: In .1.: ZeroDivisionError", out)


def test_render_refuses_traces_of_the_machine(tmp_path):
    def complaints(text):
        cell = new_code_cell(outputs=[new_output("stream", name="stdout", text=text)])
        return render.complaints(new_notebook(cells=[cell]), "", tmp_path)

    assert complaints(f"saved {tmp_path}/x.keras\n")
    assert complaints("<Model object at 0x7f00aa00bb00>\n")
    assert not complaints("accuracy 0.97 at 10 epochs\n")


def test_render_drops_the_times_of_keras(tmp_path):
    bar = "\x1b[1m8/8\x1b[0m \x1b[32m━━\x1b[0m\x1b[37m\x1b[0m \x1b[1m1:02\x1b[0m 6ms/step"
    text = f"{bar} - loss: 0.5  \n8/8 - 12s - 345us/step - loss: 0.25\n"
    cell = new_code_cell(outputs=[new_output("stream", name="stdout", text=text)])
    render.normalise(new_notebook(cells=[cell]))
    short = re.sub(r"\x1b\[\d+m", "", cell.outputs[0].text)
    assert short == "8/8 ━━ - loss: 0.5\n8/8 - loss: 0.25\n"


def test_last_line_of_the_tests_counts_everything(tmp_path, monkeypatch, capsys):
    write(tmp_path, "a")
    (tmp_path / "tests").mkdir()
    (tmp_path / "tests/test_x.py").touch()
    calls, red = [], False

    def fake(command, **options):
        calls.append(command)
        report = next((part[11:] for part in command if part.startswith("--junitxml=")), "")
        failures = int(red and any(part.endswith(".ipynb") for part in command))
        if report:
            suite = f'<testsuite tests="5" failures="{failures}" errors="0" skipped="1"/>'
            Path(report).write_text(f"<testsuites>{suite}</testsuites>")
        return subprocess.CompletedProcess(command, failures, stdout="what it said\n")

    monkeypatch.setattr(subprocess, "run", fake)
    assert driver.main(root=tmp_path) == 0
    assert len(calls) == 4
    assert capsys.readouterr().out.splitlines()[-1] == "10 passed, 0 failed, 2 skipped"
    assert driver.main(root=tmp_path) == 0  # remembered
    assert len(calls) == 4
    assert capsys.readouterr().out.splitlines()[-1] == "10 passed, 0 failed, 2 skipped"
    red = True
    assert driver.main(["--force"], root=tmp_path) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "9 passed, 1 failed, 2 skipped"
    red = False
    assert driver.main(root=tmp_path) == 0  # a red run is not remembered
    assert len(calls) == 12
    (tmp_path / "tests/test_x.py").write_text("1\n")
    assert driver.main(root=tmp_path) == 0
    assert len(calls) == 16


def test_every_test_file_is_run_once(tmp_path):
    steps = driver.unit_tests(common.ROOT, tmp_path)
    named = [part for command, _ in steps.values() for part in command if part.endswith(".py")]
    files = (common.ROOT / "tests").rglob("test_*.py")
    assert sorted(named) == sorted(str(path.relative_to(common.ROOT)) for path in files)


def test_two_notebooks_run_side_by_side_and_each_is_reported_whole(tmp_path, monkeypatch, capsys):
    write(tmp_path, "a"), write(tmp_path, "b")
    both = threading.Barrier(2)

    def fake(command, **options):
        both.wait(10)
        return subprocess.CompletedProcess(command, 0, stdout="line 1\nline 2\n")

    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(subprocess, "run", fake)
    assert driver.main(["--notebooks"], root=tmp_path) == 0
    out = capsys.readouterr().out
    assert "== a\nline 1\nline 2\n" in out
    assert "== b\nline 1\nline 2\n" in out


def test_the_gpu_test_runs_smoke_and_then_short_mode(tmp_path, monkeypatch):
    write(tmp_path, "a")
    seen, gpus = [], 1

    def fake(command, env, **options):
        if "-c" in command:
            return subprocess.CompletedProcess(command, int(gpus == 0))
        limit = [part for part in command if part.startswith("--nbval-cell-timeout=")]
        seen.append((env["RECIPES_MODE"], *limit))
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(subprocess, "run", fake)
    assert driver.main(["--gpu"], root=tmp_path) == 0
    assert seen == [
        ("smoke", "--nbval-cell-timeout=1800"),
        ("short", "--nbval-cell-timeout=10800"),
    ]
    gpus = 0
    assert driver.main(["--gpu"], root=tmp_path) == 1
    assert len(seen) == 2


def test_a_run_without_a_report_counts_as_failed(tmp_path):
    assert driver.counted(tmp_path / "none.xml", failed=True) == (0, 1, 0)


# Answers as Python does, as far as the Makefile asks, and does nothing.
FAKE = """#!/bin/sh
case "$*" in
  *print*) echo "3 {minor}";;
  "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python;;
esac
"""


@needs_make
def test_setup_remakes_the_environment_for_another_python(tmp_path):
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        shutil.copy(common.ROOT / name, tmp_path)
    for minor in (11, 12):
        (tmp_path / f"python3.{minor}").write_text(FAKE.format(minor=minor))
        (tmp_path / f"python3.{minor}").chmod(0o755)
    mark = tmp_path / ".venv/mark"

    def is_kept(*arguments):
        done = subprocess.run(["make", "setup", *arguments], cwd=tmp_path, capture_output=True)
        assert done.returncode == 0, done.stderr
        kept = mark.exists()
        mark.touch()
        return kept

    assert not is_kept("PYTHON=./python3.11")
    assert is_kept("PYTHON=./python3.11")
    assert is_kept()
    assert not is_kept("PYTHON=./python3.12")
    assert is_kept("PYTHON=./python3.12")
    (tmp_path / "requirements.txt").touch()
    assert is_kept(), "updated, not remade"


@needs_make
def test_help_lists_every_target():
    targets = re.findall(r"^([a-z-]+):.* ## ", (common.ROOT / "Makefile").read_text(), re.MULTILINE)
    shown = subprocess.run(["make"], cwd=common.ROOT, capture_output=True, text=True).stdout
    assert len(targets) > 8
    assert [target for target in targets if f"\n  {target} " not in f"\n{shown}"] == []


def test_figures_keep_their_colours_and_photos_take_little_room():
    rows = np.linspace(0, 255, 256).astype(np.uint8)
    smooth = np.stack(np.broadcast_arrays(rows[:, None], rows[None], np.uint8(90)), axis=-1)
    noise = np.random.default_rng(0).integers(0, 25, (600, 600, 3))
    photo = (np.tile(smooth, (3, 3, 1))[:600, :600] * 0.8 + noise).astype(np.uint8)
    for image, kind in ((smooth, "image/png"), (photo, "image/jpeg")):
        buffer = io.BytesIO()
        Image.fromarray(image).convert("RGBA").save(buffer, "PNG")
        [(found, data)] = render.smaller(base64.b64encode(buffer.getvalue()).decode()).items()
        assert found == kind
        again = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))), int)
        assert np.abs(again - image).mean() < (0.1 if kind == "image/png" else 6)
        assert len(data) < len(buffer.getvalue()) * (1.4 if kind == "image/png" else 0.6)


@pytest.mark.parametrize("clear", [False, True])
def test_a_card_shows_the_whole_figure_without_its_margins(clear):
    figure = Image.new("RGBA", (300, 900), (255, 255, 255, 0 if clear else 255))
    figure.paste((0, 0, 255, 255), (100, 300, 200, 500))
    card = pages.card(figure)
    assert (card.size, pages.is_clear(card)) == ((640, 400), clear)
    blue = (np.asarray(card) == (0, 0, 255, 255)).all(axis=-1)
    assert [blue.any(axis=axis).sum() for axis in (0, 1)] == pytest.approx([184, 368], abs=2)


def test_a_transparent_figure_stays_transparent():
    buffer = io.BytesIO()
    Image.new("RGBA", (300, 200), (0, 0, 255, 60)).save(buffer, "PNG")
    [(kind, data)] = render.smaller(base64.b64encode(buffer.getvalue()).decode()).items()
    again = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (kind, again.getpixel((9, 9))) == ("image/png", (0, 0, 255, 60))


def test_a_variant_takes_the_place_of_what_a_notebook_assigns():
    notebook = common.read_notebook(common.find_notebooks(common.ROOT, ["02_ssgan"])[0])
    variants.replace(notebook, "SEED = 3; GENERATOR = {}")
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert sum(line == "SEED = 3" for cell in cells for line in cell.splitlines()) == 1
    [parameters] = [cell for cell in cells if "WIDTH = choose(" in cell]
    assert "GENERATOR = {}\n# pixels by which" in parameters  # it took five lines before


@pytest.mark.parametrize("variant", ["", "NOTHING = 1", "x.y = 1", "print(1)", "images = 1"])
def test_a_variant_of_something_else_is_refused(variant):
    notebook = common.read_notebook(common.find_notebooks(common.ROOT, ["02_ssgan"])[0])
    with pytest.raises(ValueError, match="NAME=value|the notebook has to assign it once"):
        variants.replace(notebook, variant)
