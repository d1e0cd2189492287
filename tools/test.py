"""Lint, unit tests and every cell of every notebook; the last line counts them all.

python -m tools.test [--force]                everything; a green run is remembered
python -m tools.test --notebooks [NAME ...]   the notebooks only
python -m tools.test --gpu [NAME ...]         the notebooks in smoke mode, then in short mode, on
                                              the real data; fails where TensorFlow sees no GPU
"""

import argparse
import shutil
import subprocess
import sys
import time
from xml.etree import ElementTree

from tools import common

INPUTS = [f"{name}/**/*" for name in ("recipes", "tests", "tools", "benchmarks", "notebooks")]
INPUTS += ["*.md", "data/README.md", "data/toyworlds/**/*", "data/weights/*", "docs/**/*"]
INPUTS += [".ci/*", ".github/**/*"]
INPUTS += ["Makefile", "pyproject.toml", "requirements.txt"]
NBVAL = ["--nbval-lax", "--nbval-current-env", "-x"]
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

    pytest = [sys.executable, "-m", "pytest", "-q"]
    folders = ["recipes", "tests", "tools", "benchmarks", "notebooks"]
    folders = [name for name in folders if (root / name).is_dir()]
    steps = {}
    if everything:
        ruff = [sys.executable, "-m", "ruff"]
        steps["lint"] = [*ruff, "check", *folders]
        steps["format"] = [*ruff, "format", "--check", *folders]
        steps["unit tests"] = [*pytest, "tests"]
    for mode in ("smoke", "short") if options.gpu else (env["RECIPES_MODE"],):
        limit = f"--nbval-cell-timeout={common.TIMEOUTS[mode] or FOREVER}"
        for path in common.find_notebooks(root, options.names):
            name = f"{path.stem} {mode}" if options.gpu else path.stem
            steps[name] = [*pytest, *NBVAL, limit, str(path.relative_to(root))]

    shutil.rmtree(build, ignore_errors=True)
    (build / "outputs").mkdir(parents=True)
    lines, total = [], (0, 0, 0)
    for name, command in steps.items():
        print(f"\n== {name}", flush=True)
        report, start = build / f"{name}.xml".replace(" ", "-"), time.monotonic()
        # Outside a notebook there is no front end that could show a figure.
        step_env = env | ({"MPLBACKEND": "Agg"} if name == "unit tests" else {})
        if options.gpu:
            step_env["RECIPES_MODE"] = name.split()[-1]
        command = command + ([f"--junitxml={report}"] if "pytest" in command else [])
        failed = subprocess.run(command, cwd=root, env=step_env).returncode != 0
        counts = counted(report, failed) if "pytest" in command else (int(not failed), failed, 0)
        total = tuple(map(sum, zip(total, counts, strict=True)))
        status = "FAILED" if failed else "ok"
        lines.append(f"{name:<28}{status:<8}{time.monotonic() - start:7.1f} s")
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
