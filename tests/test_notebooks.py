"""What a reader may expect of every notebook, checked without executing it."""

import re

import nbformat
import pytest

from tools import common

NOTEBOOKS = common.find_notebooks(common.ROOT)


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def nb(request):
    return nbformat.read(request.param, as_version=4)


def code(nb):
    return [cell for cell in nb.cells if cell.cell_type == "code"]


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


def test_it_has_the_parts_of_every_recipe(nb):
    text = "\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    for part in (
        "# ", "Parameters", "Look at the data", "The (model|method)", "Training",
        "How to read the curves",
        "Results in numbers", "Your own (images|pictures)", "Save and load", "When it goes wrong",
        "Exercises", "References",
    ):  # fmt: skip
        assert re.search(rf"^#+ .*{part}|^{part}", text, re.MULTILINE), part
    assert 20 <= len(nb.cells) <= 48
    assert "(attachment:result.png)" in nb.cells[0].source
    assert "colab" in nb.cells[0].source


def test_cells_can_be_read_without_scrolling(nb):
    for cell in code(nb):
        assert cell.source.count("\n") < (35 if cell.id in ("imports", "parameters") else 25), (
            cell.source
        )
        assert "def " not in cell.source, "functions belong in the package"


def test_outputs_can_be_read_without_scrolling(nb):
    for cell in code(nb):
        lines = "".join(output.get("text", "") for output in cell.outputs).splitlines()
        assert len(lines) <= 25, f"{cell.id}: {len(lines)} lines"
        assert all(len(line) <= 110 for line in lines), f"{cell.id}: a line is too long"


def test_nothing_in_it_can_fail_unseen(nb):
    """nbval passes a cell whose magic fails, so none is used, and an assertion closes."""
    for cell in code(nb):
        assert not re.search(r"^\s*[%!]", cell.source, re.MULTILINE)
    last = code(nb)[-1]
    assert last is nb.cells[-1]
    assert "assert" in last.source
    assert last.metadata.tags == ["headline"]


def test_seed_and_mode_stand_where_the_tools_look_for_them(nb):
    lines = "\n".join(cell.source for cell in code(nb)).splitlines()
    assert lines.count("SEED = 0") == 1
    assert lines[0] == 'MODE = "reduced"  # @param ["reduced", "short", "full"]'
    assert common.tagged(nb, "parameters").id == "parameters"
    imports = [
        line for line in lines if re.match(r"(from|import) (recipes|keras|tensorflow)", line)
    ]
    assert imports[0].startswith("from recipes"), "recipes sets how TensorFlow starts"
    assert code(nb)[1].id == "setup", "the one that acts in Colab only"


def test_a_model_that_is_made_again_has_the_same_initial_weights(nb):
    """Whatever ran before, an interrupted cell for example."""
    made = re.compile(r"^with strategy\(BATCH_SIZE\)\.scope\(\):.*\n    (?!model\.compile)", re.M)
    for cell in code(nb):
        if made.search(cell.source):
            assert "set_seed(SEED)" in cell.source[: made.search(cell.source).start()]


def test_the_committed_outputs_are_those_of_one_whole_run(nb):
    """`make render` leaves them so, and writes down which code it ran; it took its last assert."""
    counts = [cell.execution_count for cell in code(nb)]
    assert counts == list(range(1, len(counts) + 1))
    outputs = [output for cell in code(nb) for output in cell.outputs]
    assert not [o for o in outputs if o.get("name") == "stderr" or o.output_type == "error"]
    assert common.headline(nb)
    assert list(nb.cells[0].attachments["result.png"].values()) == [common.thumbnail(nb)]
    assert nb.metadata.get("rendered_code") == common.code_digest(nb), "make render"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_is_small_enough_for_a_repository(path):
    assert path.stat().st_size < 1_500_000


def test_every_figure_has_a_text_for_those_who_do_not_see_it(nb):
    """`alt` in the metadata of the cell that shows it."""
    for cell in code(nb):
        kinds = {kind for output in cell.outputs for kind in output.get("data", {})}
        if any(kind.startswith("image/") for kind in kinds):
            assert len(cell.metadata.get("alt", "")) > 20, f"no metadata.alt: {cell.id}"
        for html in (o.data["text/html"] for o in cell.outputs if "text/html" in o.get("data", {})):
            for picture in re.findall(r"<img\b[^>]*", html):
                assert re.search(r'\balt="[^"]{10}', picture), f"no alt: {cell.id}"
    assert re.search(r"!\[[^]]{20,}\]\(attachment:result\.png\)", nb.cells[0].source)
