"""Executes the notebooks in place, so that the committed outputs are one whole fresh run.

python -m tools.render [NAME ...]   Reduced mode, from empty output folders. What differs from run
to run or machine to machine goes: progress bars, timings, versions of the kernel. A notebook that
fails, warns or shows where it ran is left as it was. The metadata say which code was run
(`rendered_code`), so that a test sees a cell that was changed afterwards.
"""

import base64
import io
import re
import shutil
import sys
from pathlib import Path

from PIL import Image

from recipes.datasets.files import whole_file
from tools import colab, common, pages

# " 12s 34ms/step" in a progress bar of Keras, " - 12s - 34ms/step" in its line for each epoch
KERAS_TIMES = re.compile(r" (- )?(\x1b\[1m)?[\d:]+s?(\x1b\[0m)? (- )?\d+[mu]?s/(step|epoch)")

LARGE = 120_000  # bytes of a PNG; a larger one may become a JPEG


def complaints(nb, stderr, root):
    """What must not stand in a committed notebook: warnings, this machine's paths, addresses."""
    bad = [line for line in stderr.splitlines() if re.search(r"Warning|Error|WARNING:\w", line)]
    found = [f"stderr: {line}" for line in bad]
    text = ""
    for output in (o for cell in nb.cells for o in cell.get("outputs", [])):
        text += output.get("text", "")
        text += "".join(v for k, v in output.get("data", {}).items() if k.startswith("text/"))
    paths = [rf"{re.escape(str(p))}[/\\]" for p in (root, Path.home(), sys.prefix)]
    pattern = re.compile(rf"{'|'.join(paths)}|\bat 0x[0-9a-f]{{6,}}")
    # Line by line, and searched for alone: a picture in HTML is one line of 100,000 letters.
    shown = [line.strip() for line in text.splitlines() if pattern.search(line)]
    return found + [f"a path or address of this machine: {line[:200]}" for line in shown[:1]]


def normalise(nb):
    """Leaves no trace of when and with which minor version the notebook was run."""
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    nb.metadata.update(kernelspec=kernel, language_info={"name": "python"}, **colab.GPU)
    nb.metadata["rendered_code"] = common.code_digest(nb)
    for cell in nb.cells:
        for key in ("execution", "ExecuteTime"):
            cell.metadata.pop(key, None)
        for output in (o for o in cell.get("outputs", []) if "text" in o):
            lines = KERAS_TIMES.sub("", output.text).split("\n")
            output.text = "\n".join(line.rstrip(" ") for line in lines)
        for data in (o.data for o in cell.get("outputs", []) if "image/png" in o.get("data", {})):
            data.update(smaller(data.pop("image/png")))
    if "attachment:result.png" in nb.cells[0].source:
        common.set_result(nb, common.thumbnail(nb))


def smaller(png):
    """A figure in as few bytes as its colours allow, as a dict of MIME type and base64.

    It stays a PNG without loss, transparent where it is. A large one, which is full of photos,
    becomes a JPEG on white that no eye tells from it.
    """
    figure = Image.open(io.BytesIO(base64.b64decode(png)))
    figure = figure.convert("RGBA") if pages.is_clear(figure) else figure.convert("RGB")
    lossless, lossy = io.BytesIO(), io.BytesIO()
    figure.save(lossless, "PNG", optimize=True)
    pages.on_white(figure).save(lossy, "JPEG", quality=85, subsampling=0, optimize=True)
    kind, kept = "image/png", lossless
    if len(lossless.getvalue()) > max(LARGE, 2 * len(lossy.getvalue())):
        kind, kept = "image/jpeg", lossy
    return {kind: base64.b64encode(kept.getvalue()).decode()}


def render(path, root):
    """Renders one notebook; the reason why it was left alone, or ''."""
    import nbformat

    try:
        nb = common.read_notebook(path)
    except ValueError as problem:
        return str(problem)
    outputs = root / "build/render" / path.stem
    shutil.rmtree(outputs, ignore_errors=True)
    outputs.mkdir(parents=True)
    env = common.environment(outputs, RECIPES_MODE="reduced")
    error = common.execute(nb, path.parent, env)
    if error:
        return error
    stderr = common.tidy(nb)
    try:
        normalise(nb)
    except ValueError as problem:
        return str(problem)
    if found := complaints(nb, stderr, root):
        return found[0]
    with whole_file(path) as part:
        nbformat.write(nb, part)
    return ""


def write_cards(root):
    """The pictures in the README's table, as the notebooks have them: docs/NAME.png."""
    (root / "docs").mkdir(exist_ok=True)
    for path in common.find_notebooks(root):
        try:
            data = common.thumbnail(common.read_notebook(path))
        except ValueError:
            continue  # it was never rendered
        picture = Image.open(io.BytesIO(base64.b64decode(data)))
        pages.card(picture, (360, 225)).save(root / f"docs/{path.stem}.png", optimize=True)


def main(names=(), root=common.ROOT):
    common.writable(root / "build/render")
    failed = 0
    for path in common.find_notebooks(root, names):
        print(f"{path.stem:<28}", end="", flush=True)
        error = render(path, root)
        failed += bool(error)
        print(f"FAILED, left alone: {error}" if error else "rendered", flush=True)
    if not failed:
        write_cards(root)
    return int(failed > 0)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("\ninterrupted")
