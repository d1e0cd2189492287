"""Several processes of this machine train a notebook together, as several machines would.

python -m tools.workers [NAME ...]   01_dcgan and 06_captioning, if no other is named
    [--epochs N]   instead of the notebook's own; leaves out its last cell, which asserts success

Each notebook runs twice: undisturbed, and with the second worker killed after the first checkpoint
and all of them started again. Both times all workers have to end with the same weights.
"""

import argparse
import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tools import common

NAMES = ("01_dcgan", "06_captioning")
LIMIT = 3600  # seconds that one run may take


def tf_configs(count):
    """A `TF_CONFIG` for each of so many workers on this machine, at ports that are free."""
    sockets = [socket.socket() for _ in range(count)]
    for each in sockets:
        each.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    tasks = [{"type": "worker", "index": index} for index in range(count)]
    return [json.dumps({"cluster": {"worker": addresses}, "task": task}) for task in tasks]


def work(name, epochs=None):
    """Runs a notebook's cells in this process; prints a digest of its model's weights."""
    import nbformat
    import tensorflow as tf

    from recipes.training.base import RecipeModel

    [path] = common.find_notebooks(common.ROOT, [name])
    names = {"__name__": "__main__"}
    for cell in nbformat.read(path, 4).cells:
        if cell.cell_type != "code" or (epochs and cell.id == "headline"):
            continue
        exec(compile(cell.source, f"{name}, cell {cell.id}", "exec"), names)
        if epochs and cell.id == "parameters":
            names["EPOCHS"] = epochs
    shared = tf.distribute.MultiWorkerMirroredStrategy
    models = [
        x for x in names.values()
        if isinstance(x, RecipeModel) and isinstance(x.distribute_strategy, shared)
    ]  # fmt: skip
    assert models, f"{name} makes no model under strategy()"
    weights = b"".join(weight.tobytes() for model in models for weight in model.get_weights())
    print("weights", hashlib.sha256(weights).hexdigest())


def begin(name, folder, epochs, count=2):
    """Starts the workers; the output of each goes to `worker-0.log` and so on."""
    command = [sys.executable, "-m", "tools.workers", "--worker", name]
    command += ["--epochs", str(epochs)] if epochs else []
    processes = []
    for index, config in enumerate(tf_configs(count)):
        (folder / f"tmp-{index}").mkdir(exist_ok=True)
        environment = {
            **os.environ, "TF_CONFIG": config, "TMPDIR": str(folder / f"tmp-{index}"),
            "RECIPES_OUTPUT_DIR": str(folder / "outputs"), "MPLBACKEND": "agg",
            # oneDNN fails on the empty batch of a worker for which no picture is left.
            "TF_ENABLE_ONEDNN_OPTS": "0",
        }  # fmt: skip
        with open(folder / f"worker-{index}.log", "w") as log:
            processes.append(
                subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=common.ROOT)
            )
    return processes


def end(processes, folder, limit=LIMIT):
    """Waits for the workers; returns the digests of their weights.

    Raises:
        RuntimeError: a worker failed; its last lines.
    """
    stop = time.monotonic() + limit
    try:
        for index, process in enumerate(processes):
            if process.wait(max(stop - time.monotonic(), 1)):
                log = (folder / f"worker-{index}.log").read_text()
                raise RuntimeError(f"worker {index} failed:\n{log[-3000:]}")
    finally:
        for process in processes:
            process.kill()
            process.wait()
    logs = [(folder / f"worker-{i}.log").read_text() for i in range(len(processes))]
    return [log.splitlines()[-1] for log in logs]


def lose_a_worker(processes, folder, limit=LIMIT):
    """Kills the last worker when there is a checkpoint; returns how long until the rest ended."""
    stop = time.monotonic() + limit
    while not list(folder.glob("outputs/**/checkpoints/resume-0001.npz")):
        if time.monotonic() > stop or any(process.poll() is not None for process in processes):
            end(processes, folder, 1)
            raise RuntimeError("there was no checkpoint")
        time.sleep(0.1)
    processes[-1].send_signal(signal.SIGKILL)
    killed = time.monotonic()
    for process in processes:
        process.wait(300)
    return time.monotonic() - killed


def check(name, epochs=None):
    """Trains a notebook undisturbed, and with a worker lost.

    Returns:
        dict: `name`, `seconds` of the undisturbed run, `noticed`, the seconds after which the
        other worker noticed the loss, and `files`, the number that the first worker left.

    Raises:
        RuntimeError: a worker failed, weights differ, or a worker but the first left files.
    """
    folder = Path(tempfile.mkdtemp(prefix="workers-"))
    try:
        began = time.monotonic()
        whole = end(begin(name, folder, epochs), folder)
        seconds = time.monotonic() - began
        files = [path for path in folder.glob("outputs/**/*") if path.is_file()]
        if left := [path.name for path in folder.glob("tmp-[1-9]/*")]:
            raise RuntimeError(f"{name}: files that a worker but the first left: {left}")
        shutil.rmtree(folder / "outputs")
        noticed = lose_a_worker(begin(name, folder, epochs), folder)
        resumed = end(begin(name, folder, epochs), folder)
        log = (folder / "worker-0.log").read_text()
        if len(set(whole + resumed)) != 1 or "going on after epoch" not in log:
            raise RuntimeError(f"{name}: weights {whole}, after the loss of a worker {resumed}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return {"name": name, "seconds": seconds, "noticed": noticed, "files": len(files)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=NAMES)
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        return work(*arguments.names, arguments.epochs)
    for name in arguments.names:
        result = check(name, arguments.epochs)
        print(
            f"{name}: two workers end with the same weights ({result['seconds']:.0f} s), also "
            f"after one was lost ({result['noticed']:.0f} s until the other noticed)"
        )


if __name__ == "__main__":
    main()
