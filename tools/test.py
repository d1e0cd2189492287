"""Lint, unit tests and every cell of every notebook; the last line counts them all.

python -m tools.test [--force]                everything; a green run is remembered
python -m tools.test --notebooks [NAME ...]   the notebooks only
python -m tools.test --gpu [NAME ...]         the notebooks in smoke mode, then in short mode, on
                                              the real data; fails where TensorFlow sees no GPU
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from xml.etree import ElementTree

from tools import common

INPUTS = [f"{name}/**/*" for name in ("recipes", "tests", "tools", "benchmarks", "notebooks")]
INPUTS += ["*.md", "data/README.md", "data/toyworlds/**/*", "data/weights/*", "docs/**/*"]
INPUTS += [".ci/*", ".github/**/*"]
INPUTS += ["Makefile", "pyproject.toml", "requirements.txt"]
NBVAL = ["--nbval-lax", "--nbval-current-env", "-x"]
AT_ONCE = 4  # steps, if there are as many processors: a notebook takes more than a gigabyte
PARTS = 2  # of the unit tests; each imports TensorFlow once
# Two processes of one thread each are faster than one of two, as a tiny network has nothing to
# share out. A notebook keeps its threads: what it computes may depend on their number.
ONE_THREAD = {"TF_NUM_INTRAOP_THREADS": "1", "OMP_NUM_THREADS": "1"}
FOREVER = 10**7  # seconds; nbval has no cell without a limit
GPU = "import sys, tensorflow as tf; sys.exit(not tf.config.list_physical_devices('GPU'))"


def counted(report, failed):
    """Passed, failed and skipped as in pytest's XML; a run that failed has a failure at least."""
    counts = {"tests": 0, "failures": 0, "errors": 0, "skipped": 0}
    try:
        suites = list(ElementTree.parse(report).iter("testsuite"))
    except (OSError, ElementTree.ParseError):
        suites = []
    for suite in suites:
        for key in counts:
            counts[key] += int(suite.get(key, 0))
    bad = counts["failures"] + counts["errors"]
    good = counts["tests"] - bad - counts["skipped"]
    return good, max(bad, int(failed)), counts["skipped"]


def report(build, name):
    return build / (re.sub(r"\W+", "-", name) + ".xml")


def pytest(build, name, *arguments):
    """The command; tests that run side by side cannot share pytest's cache."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    return [*command, f"--junitxml={report(build, name)}"]


def lint(root):
    folders = ["recipes", "tests", "tools", "benchmarks", "notebooks"]
    folders = [name for name in folders if (root / name).is_dir()]
    ruff = [sys.executable, "-m", "ruff"]
    return {
        "lint": ([*ruff, "check", *folders], {}),
        "format": ([*ruff, "format", "--check", *folders], {}),
    }


def unit_tests(root, build):
    """In parts of whole files, as these share what is slow to make."""
    files = sorted(str(path.relative_to(root)) for path in root.glob("tests/**/test_*.py"))
    steps = {}
    for number in range(min(PARTS, len(files))):
        name = f"unit tests {number + 1}/{PARTS}"
        command = pytest(build, name, "--durations=5", *files[number::PARTS])
        # Outside a notebook there is no front end that could show a figure.
        steps[name] = command, {"MPLBACKEND": "Agg", **ONE_THREAD}
    return steps


def main(arguments=(), root=common.ROOT):
    parser = argparse.ArgumentParser(prog="python -m tools.test")
    parser.add_argument("names", nargs="*")
    parser.add_argument("--force", action="store_true")
    parser.add_argument("--notebooks", action="store_true")
    parser.add_argument("--gpu", action="store_true")
    options = parser.parse_args(arguments)
    build, everything = root / "build/test", not (options.notebooks or options.gpu)
    common.writable(build)
    env = common.environment(build / "outputs")
    key, remembered = common.digest(root, INPUTS, env), common.read_json(root / "build/test.json")
    if everything and not options.force and remembered.get("key") == key:
        print("nothing changed since the last green run; make test FORCE=1 runs it anyway")
        print(remembered["summary"])
        return 0
    if options.gpu and subprocess.run([sys.executable, "-c", GPU], env=env).returncode:
        print("TensorFlow sees no GPU on this machine (make smoke does without one)")
        return 1

    shutil.rmtree(build, ignore_errors=True)
    (build / "outputs").mkdir(parents=True)
    steps = {}  # name -> command, and what it needs beside `env`
    if everything:
        steps |= lint(root) | unit_tests(root, build)
    for mode in ("smoke", "short") if options.gpu else (env["RECIPES_MODE"],):
        for path in common.find_notebooks(root, options.names):
            name = f"{path.stem} {mode}" if options.gpu else path.stem
            limit = f"--nbval-cell-timeout={common.TIMEOUTS[mode] or FOREVER}"
            command = pytest(build, name, *NBVAL, limit, str(path.relative_to(root)))
            steps[name] = command, {"RECIPES_MODE": mode}

    def run(name):
        print(f"{name} ...", flush=True)
        command, more = steps[name]
        begin = time.monotonic()
        done = subprocess.run(
            command, cwd=root, env=env | more, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        return done, time.monotonic() - begin

    rows, total, start = {}, (0, 0, 0), time.monotonic()
    # On a GPU one after the other: each takes all of its memory.
    with ThreadPoolExecutor(1 if options.gpu else min(os.cpu_count() or 1, AT_ONCE)) as pool:
        running = {pool.submit(run, name): name for name in steps}
        try:
            for future in as_completed(running):
                name, (done, seconds) = running[future], future.result()
                failed = done.returncode != 0
                print(f"\n== {name}\n{done.stdout}", end="", flush=True)
                counts = (int(not failed), int(failed), 0)
                if "pytest" in done.args:
                    counts = counted(report(build, name), failed)
                total = tuple(map(sum, zip(total, counts, strict=True)))
                rows[name] = f"{name:<28}{'FAILED' if failed else 'ok':<8}{seconds:7.1f} s"
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    lines = [rows[name] for name in steps]
    lines.append(f"{'all, side by side':<36}{time.monotonic() - start:7.1f} s")
    skipped = f", {total[2]} skipped" if total[2] else ""
    lines.append(f"{total[0]} passed, {total[1]} failed{skipped}")
    summary = "\n".join(lines)
    print(f"\n{summary}", flush=True)
    if everything:
        common.write_json(
            root / "build/test.json", {} if total[1] else dict(key=key, summary=summary)
        )
    return int(total[1] > 0)


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("\ninterrupted")
