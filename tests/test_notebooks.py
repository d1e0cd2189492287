"""What a reader may expect of every notebook, checked without executing it."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def cells(request):
    return json.loads(request.param.read_text())["cells"]


def source(cell):
    return "".join(cell["source"])


def code(cells):
    return [cell for cell in cells if cell["cell_type"] == "code"]


def test_all_notebooks_are_there():
    assert [path.stem for path in NOTEBOOKS] == [
        "01_dcgan",
        "02_ssgan",
        "03_pix2pix",
        "04_cyclegan",
        "05_fgsm",
        "06_captioning",
        "07_attention_captioning",
    ]


def test_it_has_the_parts_of_every_recipe(cells):
    text = "\n".join(source(cell) for cell in cells if cell["cell_type"] == "markdown")
    for part in (
        "# ", "Parameters", "Look at the data", "The model", "Training", "How to read the curves",
        "Results in numbers", "Your own pictures", "Save and load", "When it goes wrong",
        "Exercises", "References",
    ):  # fmt: skip
        assert re.search(rf"^#+ .*{part}|^{part}", text, re.MULTILINE), part
    assert 20 <= len(cells) <= 35
    assert "(attachment:result.png)" in source(cells[0])
    assert "colab" in source(cells[0])


def test_cells_can_be_read_without_scrolling(cells):
    for cell in code(cells):
        assert source(cell).count("\n") < 25, source(cell)
        assert "def " not in source(cell), "functions belong in the package"


def test_nothing_in_it_can_fail_unseen(cells):
    """nbval passes a cell whose magic fails, so none is used, and an assertion closes."""
    for cell in code(cells):
        assert not re.search(r"^\s*[%!]", source(cell), re.MULTILINE)
    last = code(cells)[-1]
    assert last is cells[-1]
    assert "assert" in source(last)
    assert last["metadata"]["tags"] == ["headline"]


def test_seed_and_mode_stand_where_the_tools_look_for_them(cells):
    lines = "\n".join(source(cell) for cell in code(cells)).splitlines()
    assert lines.count("SEED = 0") == 1
    imports = [
        line for line in lines if re.match(r"(from|import) (recipes|keras|tensorflow)", line)
    ]
    assert imports[0].startswith("from recipes"), "recipes sets how TensorFlow starts"


def test_the_committed_outputs_are_those_of_one_whole_run(cells):
    counts = [cell["execution_count"] for cell in code(cells)]
    assert counts == list(range(1, len(counts) + 1))
    streams = [o for cell in code(cells) for o in cell["outputs"]]
    assert not [o for o in streams if o.get("name") == "stderr" or o["output_type"] == "error"]
    assert len(cells[0]["attachments"]["result.png"]["image/png"]) > 5000
