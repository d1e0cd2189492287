"""How much memory a notebook takes at most.

    python -m benchmarks.memory [06_captioning ...] [--mode smoke]

Executes the notebooks one after the other, and asks each kernel at the end for its peak; smoke mode
has the book's sizes. Pages of a feature file that is memory-mapped count too, though the system may
take them back. Figures go to benchmarks/results/memory.json, beside those of other notebooks.
"""

import argparse
import sys
import tempfile
import time

import nbformat

from tools import common

RESULTS = common.ROOT / "benchmarks" / "results" / "memory.json"
# Executed in the kernel, where it is the last line. Linux alone knows the peak of this very program
# apart from that of the one that started it.
PEAK = """
import resource, sys
try:
    with open("/proc/self/status") as file:
        peak = next(int(line.split()[1]) / 2**20 for line in file if line.startswith("VmHWM"))
except OSError:
    unit = 2**30 if sys.platform == "darwin" else 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit
print(peak)
"""


def measure(path, mode):
    """`{"gigabytes", "minutes"}` of a notebook; it ends the program if that fails."""
    notebook = nbformat.read(path, as_version=4)
    notebook.cells.append(nbformat.v4.new_code_cell(PEAK))
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as outputs:
        env = common.environment(outputs, RECIPES_MODE=mode)
        if error := common.execute(notebook, path.parent, env):
            sys.exit(f"{path.stem}: {error}")
    [output] = notebook.cells[-1].outputs
    minutes = (time.monotonic() - began) / 60
    return {"gigabytes": round(float(output.text), 2), "minutes": round(minutes, 1)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*")
    parser.add_argument("--mode", default="smoke", choices=("reduced", "smoke", "full"))
    arguments = parser.parse_args()
    results = common.read_json(RESULTS)
    for path in common.find_notebooks(common.ROOT, arguments.names):
        found = measure(path, arguments.mode)
        print(f"{path.stem:<28}{found['gigabytes']:6.2f} GB{found['minutes']:7.1f} min", flush=True)
        results.setdefault(arguments.mode, {})[path.stem] = found
        common.write_json(RESULTS, results)


if __name__ == "__main__":
    main()
