"""What takes minutes to test: python -m tools.soak [NAME ...]

Each job is killed at ten moments, by SIGKILL, and each time simply started again. In the end it
has to have made the very same as a run that was never interrupted. Half of the moments are drawn
from the time that the job takes; the others are file operations (opening a file to write, renaming
it, removing it), before which the process kills itself.
"""

import contextlib
import functools
import hashlib
import http.server
import io
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from pathlib import Path

from tools import common

KILLS, EPOCHS = 10, 6


# The jobs. Each does all its work in a folder, whatever it finds there, and returns arrays and the
# like that have to be the same in the end. The imports are here, as only a child needs them.


def training(name, folder, url):
    import keras
    import numpy as np

    from recipes.training.callbacks import ImageGrid, arrange_callbacks
    from recipes.training.distribution import training_state
    from recipes.training.resume import Resume
    from tests.recipe_table import RECIPES, seeded

    def slow(batch, logs):
        ready()
        time.sleep(0.03)  # as long as a checkpoint takes, so that kills meet both

    recipe = RECIPES[name]
    model, (batches, dataset) = seeded(recipe), recipe.data()
    resume = Resume(folder / "checkpoints", *batches)
    done = resume.restore(model)
    print("epoch", done, flush=True)
    tell = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: print("epoch", epoch, flush=True),
        on_train_batch_end=slow,
    )
    callbacks = [tell, keras.callbacks.EarlyStopping("loss", patience=9)]
    if recipe.draw:  # the GANs have no loss to stop early by
        callbacks[1] = ImageGrid(recipe.draw, folder / "images")
    history = model.fit(
        dataset,
        epochs=EPOCHS,
        initial_epoch=done,
        callbacks=arrange_callbacks([*callbacks, resume], model),
        verbose=0,
        shuffle=False,
    ).history
    model.save(folder / "model.keras")
    made = [path.read_bytes() for path in sorted(folder.glob("images/*"))]
    state = [np.asarray(variable) for variable in training_state(model)]
    return [*state, json.dumps(history, sort_keys=True), *made]


def extraction(folder, url):
    from toyworlds import scenes

    from recipes.captioning import ImageCaptionFeatureExtractor, feature_file

    feature_file.SAVE_SECONDS = 0.1
    photos = scenes.write_flickr8k(folder / "scenes", 200) / "Images"
    ready()
    extractor = ImageCaptionFeatureExtractor("scenes", folder / "features", batch_size=4)
    return [extractor.extract_features(photos).array]


def download(folder, url):
    from recipes.datasets import archives, download

    ready()
    path = download.download(url, folder / "set.zip", hashlib.sha256(archive()).hexdigest())
    return [file.read_bytes() for file in sorted(archives.unpack(path, folder / "set").iterdir())]


def drawing(folder, url):
    from toyworlds import landscapes, scenes, streets

    ready()
    made = (
        streets.draw(folder / "streets", 20, 4),
        landscapes.draw(folder / "landscapes", 20, 4),
        scenes.write_flickr8k(folder / "flickr8k", 20),
        scenes.write_coco(folder / "coco", 20),
    )
    return [file.read_bytes() for each in made for file in sorted(each.rglob("*.*"))]


# The keys of tests/recipe_table.py.
TRAININGS = (
    "dcgan", "ssgan", "pix2pix", "cyclegan", "merge", "attention", "transformer", "adversarial"
)  # fmt: skip
JOBS = {f"training, {name}": functools.partial(training, name) for name in TRAININGS} | {
    "feature extraction": extraction,
    "download": download,
    "drawing": drawing,
}


# The child


class Killed(BaseException):
    """A kill for tests that go on in the same process: it is caught nowhere."""


def die():
    raise Killed


class Operations:
    """Counts what this process does to the files of a folder; from number `last` on, it is killed.

    Args:
        folder: the folder.
        last: number of the operation that does not come about any more; None or 0 for no such.
        kill: what is called instead, and at each later one; `die` for a test.
    """

    current = None  # an audit hook cannot be removed: one for all

    def __init__(self, folder, last=None, kill=lambda: os.kill(os.getpid(), signal.SIGKILL)):
        self.folder, self.last, self.kill, self.count = os.fspath(folder), last, kill, 0

    def __enter__(self):
        if not hasattr(Operations, "hooked"):
            Operations.hooked = sys.addaudithook(Operations.hook)
        Operations.current = self
        return self

    def __exit__(self, *_):
        Operations.current = None

    @staticmethod
    def hook(event, arguments):
        self = Operations.current
        if self is None or event not in ("open", "os.rename", "os.remove", "os.rmdir", "os.mkdir"):
            return
        if event == "open" and not arguments[2] & (os.O_WRONLY | os.O_RDWR):
            return
        relative = event in ("os.remove", "os.rmdir") and arguments[1] != -1  # within a rmtree
        if relative or os.fspath(arguments[0] or "").startswith(self.folder):
            self.count += 1
            if self.last and self.count >= self.last:
                self.kill()


def ready():
    """Tells the parent that the work begins."""
    if not hasattr(ready, "told"):
        ready.told = print("ready", flush=True)


def child(name, folder, url, last):
    import recipes  # noqa: F401  first: it sets how TensorFlow starts

    if name.startswith("training"):
        from recipes.training.runtime import set_seed

        set_seed(0, deterministic=True)
    with Operations(folder, int(last)) as operations:
        made = JOBS[name](Path(folder), url)
    digest = hashlib.sha256()
    for each in made:
        digest.update(each.encode() if isinstance(each, str) else bytes(each))
    # Nothing half-written stays; a lock, and a checkpoint that was about to be removed, may.
    names = [os.path.relpath(path, folder) for path in Path(folder).rglob("*")]
    names = sorted(
        n for n in names if "checkpoints/resume-" not in n and not n.endswith((".lock", ".holder"))
    )
    digest.update(json.dumps(names).encode())
    print("operations", operations.count)
    print("result", digest.hexdigest(), flush=True)


# The parent


def run(name, folder, url, last=0, seconds=None):
    """Starts a job, which is killed at a file operation, or so long after its work has begun.

    Returns:
        `(lines, seconds)`: what it said, and how long it worked.
    """
    command = [sys.executable, "-m", "tools.soak", "--child", name, str(folder), url, str(last)]
    env = os.environ | {"PYTHONHASHSEED": "0"}
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            command, cwd=common.ROOT, env=env, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        timer, start, lines = threading.Timer(seconds or 0, process.kill), time.monotonic(), []
        with process, contextlib.ExitStack() as end:
            for line in process.stdout:
                lines.append(line.strip())
                if lines[-1] == "ready":
                    start = time.monotonic()
                    if seconds is not None:
                        timer.start()
                        end.callback(timer.cancel)
        if process.returncode not in (0, -signal.SIGKILL):
            errors.seek(0)
            raise RuntimeError(f"{name}: {errors.read().decode()[-3000:]}")
    return lines, time.monotonic() - start


def said(lines, word):
    """All that came after this word."""
    return [line.split()[1] for line in lines if line.startswith(f"{word} ")]


def survive(name, kills=KILLS):
    """Kills a job so often.

    Returns:
        dict: kills, restarts, lost (epochs, at most), and whether the result was the same.
    """
    with tempfile.TemporaryDirectory() as folder, serve(archive()) as url:
        lines, seconds = run(name, Path(folder, "whole"), url)
        (result,), (operations,) = said(lines, "result"), said(lines, "operations")
        found = {"kills": 0, "restarts": 0, "lost": 0, "same": True}
        starts, begun, again, place = 0, None, False, Path(folder, "0")
        while True:
            choice = random.Random(f"{name} {starts}")
            moment = {}
            if found["kills"] < kills and starts % 2:
                # Rather an early one: there are few when most of the work is done already.
                moment = {"last": int(int(operations) ** choice.random())}
            elif found["kills"] < kills:
                moment = {"seconds": choice.uniform(0, 0.6 * seconds)}
            lines, _ = run(name, place, url, **moment)
            epochs = [int(number) for number in said(lines, "epoch")]
            found["restarts"] += again
            if begun is not None and epochs:
                found["lost"] = max(found["lost"], begun + 1 - epochs[0])
            begun, again = epochs[-1] if epochs else begun, True
            starts += 1
            if not said(lines, "result"):
                found["kills"] += 1
                continue
            found["same"] &= said(lines, "result") == [result]
            if not moment:
                return found
            place, begun, again = (
                Path(folder, str(starts)),
                None,
                False,
            )  # it was done before the kill came


def archive():
    """A zip file of 4 MB, always the same."""
    rng, data = random.Random(0), io.BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        for number in range(8):
            file.writestr(zipfile.ZipInfo(f"{number}.bin"), rng.randbytes(1 << 19))
    return data.getvalue()


@contextlib.contextmanager
def serve(body):
    """Offers `body` at the url that it yields, slowly, and from any byte on."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            start = int((self.headers["Range"] or "bytes=0-")[len("bytes=") : -1])
            self.send_response(206 if start else 200)
            self.send_header("Content-Length", str(len(body) - start))
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
            self.send_header("ETag", '"one"')
            self.end_headers()
            with contextlib.suppress(OSError):  # the client was killed
                for at in range(start, len(body), 1 << 16):
                    self.wfile.write(body[at : at + (1 << 16)])
                    time.sleep(0.01)

        def log_message(self, *args):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/set.zip"
        server.shutdown()


def killed(names):
    """All jobs, and the table of what became of them; whether all is well."""
    rows, well = [], True
    for name in names:
        print(f"{name} ...", flush=True)
        start = time.monotonic()
        try:
            found = survive(name)
        except RuntimeError as error:
            print(error)
            found = {"kills": "", "restarts": "", "lost": 2, "same": False}
        good = found["same"] and found["lost"] <= 1
        lost = found["lost"] if name.startswith("training") else "-"
        same = "yes" if found["same"] else "NO"
        rows.append((name, found["kills"], found["restarts"], lost, same, time.monotonic() - start))
        well &= good
    print(f"\n{'what':<32}{'kills':>6}{'restarts':>10}{'epochs lost':>13}{'same':>6}{'seconds':>9}")
    for name, *numbers, seconds in rows:
        print(f"{name:<32}" + "{:>6}{:>10}{:>13}{:>6}".format(*numbers) + f"{seconds:>9.0f}")
    return well


def module(name, *arguments):
    """Runs another of our programs; whether all is well."""
    print(f"\n{name} ...", flush=True)
    return subprocess.run([sys.executable, "-m", name, *arguments], cwd=common.ROOT).returncode == 0


# Each prints its table and says whether all is well.
STEPS = [
    lambda: killed(JOBS),
    lambda: module("pytest", "-q", "-m", "faults"),
    lambda: module("tools.bad_data", "--count", "2000"),
    lambda: module("tools.workers", "--epochs", "2"),
]


def main(arguments):
    if arguments[:1] == ["--child"]:
        return child(*arguments[1:])
    steps = [lambda: killed(arguments)] if arguments else STEPS
    return int(not all([step() for step in steps]))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
