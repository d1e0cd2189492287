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
    news = ast.parse(variant).body
    if not news:
        raise ValueError("NAME=value is needed")
    for new in news:
        if not isinstance(new, ast.Assign) or [type(x) for x in new.targets] != [ast.Name]:
            raise ValueError(f"{ast.unparse(new)!r}: NAME=value is needed")
        name, places, times = new.targets[0].id, [], 0
        for cell in notebook.cells:
            if cell.cell_type == "code":
                tree = ast.parse(cell.source)
                times += sum(
                    isinstance(x, ast.Name) and x.id == name and isinstance(x.ctx, ast.Store)
                    for x in ast.walk(tree)
                )
                places += [(cell, old) for old in tree.body if sets(old, name)]
        if (times, len(places)) != (1, 1):
            raise ValueError(f"{name}: the notebook has to assign it once, in a line of its own")
        [(cell, old)] = places
        lines = cell.source.split("\n")
        lines[old.lineno - 1 : old.end_lineno] = [ast.unparse(new)]
        cell.source = "\n".join(lines)


def sets(statement, name):
    """Whether it is `name = ...`, and begins its line."""
    return (
        isinstance(statement, ast.Assign)
        and statement.col_offset == 0
        and [x.id for x in statement.targets if isinstance(x, ast.Name)] == [name]
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
