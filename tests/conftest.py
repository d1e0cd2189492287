"""What many tests share."""

import http.server
import os
import socket
import threading
from collections import Counter
from pathlib import Path

import pytest

import recipes  # noqa: F401  first, as in a notebook: it sets how TensorFlow starts
from tools.soak import TRAININGS

REAL_ROOT = os.environ.get("RECIPES_DATA_DIR")


@pytest.fixture(params=TRAININGS)
def recipe(request):
    """Each model of the package, as `tests/recipe_table.py` makes it."""
    from tests.recipe_table import RECIPES  # only now: this imports TensorFlow

    assert tuple(RECIPES) == TRAININGS
    return RECIPES[request.param]


@pytest.fixture
def root(tmp_path, monkeypatch):
    """An empty data root, an empty Keras cache and no network, whatever the machine has."""
    root = tmp_path / "root"
    root.mkdir()
    monkeypatch.setenv("RECIPES_DATA_DIR", str(root))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{free.getsockname()[1]}/"
    for name in ("cityscapes", "coco", "emnist", "fashion_mnist", "flickr8k", "imagenet_sample"):
        monkeypatch.setattr(f"recipes.datasets.{name}.URL", nowhere)
    return root


@pytest.fixture
def real(monkeypatch):
    """A function that makes the real data root the one in use, and returns it, a `Path`.

    It skips the test if that lacks one of the names it is given.
    """

    def use(*names):
        for name in names:
            if not REAL_ROOT or not Path(REAL_ROOT, name).exists():
                pytest.skip(f"no {name} in RECIPES_DATA_DIR")
        monkeypatch.setenv("RECIPES_DATA_DIR", REAL_ROOT)
        return Path(REAL_ROOT)

    return use


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files`, and for any other path `server.body`; the rest says how badly."""

    def do_GET(self):
        server, path = self.server, self.path
        server.asked[path] += 1
        server.requests.append(self.headers)
        server.on_request(len(server.requests))
        body, status, start = server.files.get(path, server.body), 200, 0
        if body is None:
            self.send_error(404)
            return
        end = len(body)
        if server.knows_ranges and self.headers["Range"]:
            same = self.headers["If-Range"] == server.headers.get("ETag")
            if same or server.ignores_if_range:
                start, status = int(self.headers["Range"][len("bytes=") : -1]), 206
                end -= server.withholds
        if start >= len(body) > 0:
            status = 416
        fault = 503 if server.asked[path] <= server.faults.get(path, 0) else server.status
        if fault or status == 416:
            self.send_error(fault or status)
            return
        rest = body[start:end]
        self.send_response(server.claims_status or status)
        if server.tells_length:
            self.send_header("Content-Length", server.claims_length or str(len(rest)))
        if status == 206:
            total = len(body) if server.tells_total else "*"
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{total}")
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(rest[: server.breaks_after])

    def log_message(self, *args):
        pass


@pytest.fixture
def http_server():
    """A server on this machine: `url` is its address, `files` and `body` are what it has."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.url = f"http://127.0.0.1:{server.server_port}"
        server.files, server.body, server.headers = {}, None, {}
        server.asked, server.requests = Counter(), []  # by path; the headers of each
        server.on_request = lambda count: None
        server.faults = {}  # how often a path fails first
        server.status = server.breaks_after = None
        server.claims_status = server.claims_length = None
        server.tells_length = True
        server.withholds, server.tells_total = 0, False  # of the answer to a range
        server.knows_ranges, server.ignores_if_range = True, False
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()
