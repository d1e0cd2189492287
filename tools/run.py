"""Executes the notebooks and writes them, as pages, and a gallery of them into build/.

python -m tools.run [NAME ...]   A notebook is executed again only where something changed: its
cells, recipes/, the tools or requirements, a version, a RECIPES_ setting, or where it failed.
"""

import base64
import io
import json
import os
import sys
import time
from pathlib import Path

from recipes.datasets import files
from tools import common, pages

INPUTS = ("recipes/**/*", "data/toyworlds/**/*", "data/weights/*", "requirements.txt")
INPUTS += ("pyproject.toml", "tools/common.py", "tools/run.py")
LOOK = ("tools/pages.py", "tools/templates/**/*")  # for these a page is written anew, not run

# What is remembered of a notebook in build/results.json.
TEXTS = ("title", "description", "shown", "headline", "error", "key", "page")


def remembered(build):
    """The results of earlier runs by name, without those that another version wrote."""
    return {
        name: result
        for name, result in common.read_json(build / "results.json").items()
        if isinstance(result, dict)
        and all(isinstance(result.get(key), str) for key in TEXTS)
        and isinstance(result.get("seconds"), float)
        and all(isinstance(result.get(key), bool) for key in ("ok", "clear"))
    }


def stored_cells(path):
    """The cells as they stand in the file, without what a run puts there.

    They are [] of a file that is no notebook; `run_one` says what is wrong with it.
    """
    try:
        cells = json.loads(path.read_bytes())["cells"]  # nbformat takes seconds to import
        for cell in cells:
            cell.update(outputs=[], execution_count=None)
            cell.get("attachments", {}).pop("result.png", None)  # each run puts its own there
    except (OSError, RecursionError, ValueError, KeyError, TypeError, AttributeError):
        return []
    return cells


def publish(nb, name, build, seconds, error=""):
    """Stores a notebook that was run and the image of its card; what the card says."""
    import nbformat
    from PIL import Image

    image, number = ("", "") if error else (common.thumbnail(nb), common.headline(nb))
    common.set_result(nb, image)
    common.tidy(nb, keep_stderr=bool(error))
    for folder in ("gallery", "notebooks", "pages"):
        (build / folder).mkdir(parents=True, exist_ok=True)
    clear = False
    if image:
        with Image.open(io.BytesIO(base64.b64decode(image))) as figure:
            clear = pages.is_clear(figure)
            pages.card(figure).save(build / f"gallery/{name}.png")
    nbformat.write(nb, build / f"notebooks/{name}.ipynb")
    return pages.outline(nb.cells) | {
        "clear": clear,
        "headline": number,
        "seconds": round(float(seconds), 1),
        "error": error,
        "ok": not error,
        "page": "",
    }


def stand_in(name):
    """A notebook in the place of one that cannot be shown."""
    from nbformat.v4 import new_markdown_cell, new_notebook

    return new_notebook(cells=[new_markdown_cell(f"# {name}")])


def run_one(path, build, env):
    """Executes one notebook and stores it; the result without its key."""
    start = time.monotonic()
    nb = stand_in(path.stem)
    try:
        nb = common.read_notebook(path)
        for tag in ("thumbnail", "headline"):  # before the minute that it takes, not after
            common.tagged(nb, tag)
        error = common.execute(nb, path.parent, env)
        if not error:
            return publish(nb, path.stem, build, time.monotonic() - start)
    except ValueError as problem:
        error = str(problem)
    return publish(nb, path.stem, build, time.monotonic() - start, error)


def write_pages(results, build, mode):
    """Writes the pages whose notebook, neighbours or templates changed, and the gallery."""
    import nbformat

    results = {name: result for name, result in results.items() if result}  # {}: never run
    links = [{"name": name, "title": result["title"]} for name, result in results.items()]
    for name, before, after in zip(results, [None, *links], [*links[1:], None], strict=False):
        result, file = results[name], build / f"pages/{name}.html"
        key = common.digest(common.ROOT, LOOK, {}, result["key"], result["error"], before, after)
        if result["page"] == key and file.exists():
            continue
        nb = nbformat.read(build / f"notebooks/{name}.ipynb", as_version=4)
        try:
            page = pages.page(nb, before, after)
        except Exception as error:  # nbconvert raises whatever a cell leads it to
            result.update(ok=False, error=f"no page can be made of it: {error}")
            page = pages.page(stand_in(name), before, after)
        file.write_text(page, encoding="utf-8")
        result["page"] = key
    (build / "index.html").write_text(pages.gallery(results, mode), encoding="utf-8")
    common.write_json(build / "results.json", results)


def store(results, own, build, mode):
    """Writes results and pages, beside other runs that may have finished others meanwhile."""
    with files.locked(build / "results.json"):
        for name, result in remembered(build).items():
            there = (build / f"notebooks/{name}.ipynb").exists()
            if name in results and name not in own and there:
                results[name] = result
        write_pages(results, build, mode)


def main(names=(), root=common.ROOT):
    build = root / "build"
    env = common.environment(os.environ.get("RECIPES_OUTPUT_DIR") or build / "outputs")
    common.writable(Path(env["RECIPES_OUTPUT_DIR"]))
    old, results, todo = remembered(build), {}, {}
    wanted = [path.stem for path in common.find_notebooks(root, names)]
    for path in common.find_notebooks(root):
        key = common.digest(root, INPUTS, env, stored_cells(path))
        executed = (build / f"notebooks/{path.stem}.ipynb").exists()
        results[path.stem] = result = old.get(path.stem, {}) if executed else {}
        fresh = result.get("ok") and result["key"] == key
        fresh = fresh and (build / f"gallery/{path.stem}.png").exists()
        if path.stem in wanted and not fresh:
            todo[path.stem] = path, key
    for name in wanted if todo else ():
        print(f"{name:<28}", end="", flush=True)
        if name in todo:
            path, key = todo[name]
            results[name] = run_one(path, build, env) | {"key": key}
            store(results, todo, build, env["RECIPES_MODE"])
        result = results[name]
        time_used = f"{result['seconds']:.1f} s" if name in todo else "unchanged"
        note = result["headline"] if result["ok"] else f"FAILED {result['error']}"
        print(f"{time_used:>10}  {note}", flush=True)
    store(results, todo, build, env["RECIPES_MODE"])  # where only the templates changed
    print(f"{'gallery:' if todo else 'nothing changed:'} build/index.html")
    return int(not all(results[name]["ok"] for name in wanted))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("\ninterrupted")
