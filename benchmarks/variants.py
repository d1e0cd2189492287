"""A notebook with other parameters, or other seeds: does its last cell hold, and what comes out?

    python -m benchmarks.variants 02_ssgan SEED=0 SEED=1 SEED=2
    RECIPES_MODE=short python -m benchmarks.variants 06_captioning DROPOUT=.3 "DROPOUT=.6; EPOCHS=9"

Executes the notebook, in the mode of `RECIPES_MODE`, once for each variant: assignments, with ";"
between several, that take the place of those in the notebook's cells. Prints each headline, and
ends with status 1 if one of the runs failed.
"""

import argparse
import ast
import sys
import tempfile
import time

from tools import common


def replace(notebook, variant):
    """Puts the assignments of a variant in the place of those in the notebook's code cells.

    Raises:
        ValueError: it is not made of assignments to names that the notebook assigns just once.
    """
    for new in ast.parse(variant).body:
        if not isinstance(new, ast.Assign) or not isinstance(new.targets[0], ast.Name):
            raise ValueError(f"{ast.unparse(new)!r}: NAME=value is needed")
        name, places = new.targets[0].id, []
        for cell in notebook.cells:
            if cell.cell_type == "code":
                places += [(cell, old) for old in ast.parse(cell.source).body if sets(old, name)]
        if len(places) != 1:
            raise ValueError(f"{name}: the notebook assigns it {len(places)} times, not once")
        [(cell, old)] = places
        lines = cell.source.splitlines()
        lines[old.lineno - 1 : old.end_lineno] = [ast.unparse(new)]
        cell.source = "\n".join(lines)


def sets(statement, name):
    return isinstance(statement, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == name for target in statement.targets
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("notebook")
    parser.add_argument("variants", nargs="+", metavar="NAME=value[; ...]")
    arguments = parser.parse_args()
    [path] = common.find_notebooks(common.ROOT, [arguments.notebook])
    failed = 0
    for variant in arguments.variants:
        notebook = common.read_notebook(path)
        try:
            replace(notebook, variant)
        except (SyntaxError, ValueError) as error:
            sys.exit(f"{path.name}, {variant}: {error}")
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as outputs:
            error = common.execute(notebook, path.parent, common.environment(outputs))
        failed += bool(error)
        line = f"FAILED {error}" if error else common.headline(notebook)
        print(f"{variant}: {time.monotonic() - began:5.0f} s  {line}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
