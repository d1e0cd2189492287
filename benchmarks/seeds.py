"""Does a notebook's last cell hold for other seeds too?

    python -m benchmarks.seeds 02_ssgan --seeds 5

Executes the notebook in the mode of `RECIPES_MODE` with `SEED = 0`, `SEED = 1` and so on, prints
each headline and ends with status 1 if one of the runs failed.
"""

import argparse
import re
import sys
import tempfile
import time

from tools import common


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("notebook")
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    [path] = common.find_notebooks(common.ROOT, [arguments.notebook])
    failed = 0
    for seed in range(arguments.seeds):
        notebook = common.read_notebook(path)
        lines = 0
        for cell in notebook.cells:
            if cell.cell_type == "code":
                cell.source, n = re.subn(r"(?m)^SEED = \d+$", f"SEED = {seed}", cell.source)
                lines += n
        if lines != 1:
            sys.exit(f"{path.name}: {lines} lines read SEED = <number>, but one is needed")
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as outputs:
            error = common.execute(notebook, path.parent, common.environment(outputs))
        failed += bool(error)
        line = f"FAILED {error}" if error else common.headline(notebook)
        print(f"seed {seed}: {time.monotonic() - began:5.0f} s  {line}", flush=True)
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
