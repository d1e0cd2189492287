"""What run, render and test share: folders, environment, content hashes, executing a notebook."""

import asyncio
import hashlib
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
WIDGET = "application/vnd.jupyter.widget"
FIGURES = ("image/png", "image/jpeg")

# Seconds that a cell of a notebook may take in each mode; None: as long as it needs.
TIMEOUTS = {"reduced": 1800, "short": 3 * 3600, "full": None, "smoke": 1800}


def find_notebooks(root, names=()):
    """The notebooks in order; with names (`01_dcgan` or `01_dcgan.ipynb`), only those."""
    found = {path.stem: path for path in sorted((root / "notebooks").glob("*.ipynb"))}
    names = list(dict.fromkeys(Path(name).stem for name in names)) or list(found)
    if unknown := [name for name in names if name not in found]:
        sys.exit(
            f"no such notebook: {', '.join(unknown)} (there are: {', '.join(found) or 'none'})"
        )
    return [found[name] for name in names]


def read_notebook(path):
    """The notebook, checked.

    Raises:
        ValueError: the file cannot be read as a notebook; it names the file.
    """
    import nbformat

    try:
        nb = nbformat.read(path, as_version=4)
        nbformat.validate(nb)
    except Exception as error:  # nbformat raises whatever the JSON leads it to
        reason = str(error).strip().partition("\n")[0][:200] or type(error).__name__
        raise ValueError(f"{path.name} is not a notebook: {reason}") from error
    return nb


def writable(folder):
    """Makes the folder; exits with its name where nothing can be written there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"0")
    except OSError as error:
        sys.exit(f"cannot write to {folder}: {error.strerror}; make room or remove what is there")


def environment(outputs, **changes):
    """Environment for a kernel or a test: reduced mode unless another was asked for."""
    env = os.environ | {
        "PYTHONHASHSEED": "0",
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",  # or every kernel prints a debugger warning
        "RECIPES_MODE": os.environ.get("RECIPES_MODE") or "reduced",
        "RECIPES_OUTPUT_DIR": str(Path(outputs).expanduser().resolve()),
    }
    if env["RECIPES_MODE"] not in TIMEOUTS:
        sys.exit(f"RECIPES_MODE={env['RECIPES_MODE']!r}: choose one of {', '.join(TIMEOUTS)}")
    env.pop("MPLBACKEND", None)  # another backend than the notebook's own would show no figure
    if env.get("RECIPES_DATA_DIR"):  # a kernel works in notebooks/, so it has to be absolute
        env["RECIPES_DATA_DIR"] = str(Path(env["RECIPES_DATA_DIR"]).expanduser().resolve())
    return env | changes


def versions():
    found = {"Python": platform.python_version()}
    for title, package in (("TensorFlow", "tensorflow"), ("Keras", "keras")):
        try:
            found[title] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[title] = "not installed"
    return found


def digest(root, patterns, env, *more):
    """SHA-256 of the files that match, of the versions, the RECIPES_ settings and of `more`."""
    total = hashlib.sha256()
    files = {path for pattern in patterns for path in root.glob(pattern) if path.is_file()}
    for path in sorted(files):
        if not {"__pycache__", ".ipynb_checkpoints"} & set(path.parts):
            total.update(f"{path.relative_to(root)}\0".encode())
            total.update(hashlib.sha256(path.read_bytes()).digest())
    settings = {key: value for key, value in env.items() if key.startswith("RECIPES_")}
    total.update(json.dumps([versions(), settings, *more], sort_keys=True).encode())
    return total.hexdigest()


def code_digest(nb):
    """SHA-256 of what a notebook runs: its code cells, without the one that acts in Colab only."""
    cells = [cell for cell in nb.cells if cell.cell_type == "code" and cell.id != "setup"]
    return hashlib.sha256(json.dumps([cell.source for cell in cells]).encode()).hexdigest()


def read_json(path):
    """The stored dictionary, or {} where there is none that can be read."""
    try:
        data = json.loads(path.read_text())
    except (OSError, RecursionError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def write_json(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".new")
    temporary.write_text(json.dumps(data, indent=1, sort_keys=True) + "\n")
    temporary.replace(path)


def tagged(nb, tag):
    """The one cell with this tag."""
    cells = [cell for cell in nb.cells if tag in cell.metadata.get("tags", [])]
    if len(cells) != 1:
        raise ValueError(f"{'no' if not cells else 'more than one'} cell tagged {tag}")
    return cells[0]


def thumbnail(nb):
    """The last figure of the cell tagged `thumbnail`, in base64."""
    outputs = tagged(nb, "thumbnail").get("outputs", [])
    found = [o.data[t] for o in outputs for t in FIGURES if t in o.get("data", {})]
    if not found:
        raise ValueError(f"the cell tagged thumbnail shows no {' and no '.join(FIGURES)}")
    return "".join(found[-1].split())


def headline(nb):
    """The last line that the cell tagged `headline` prints."""
    outputs = tagged(nb, "headline").get("outputs", [])
    lines = "".join(o.text for o in outputs if o.get("name") == "stdout").strip().splitlines()
    if not lines:
        raise ValueError("the cell tagged headline prints nothing")
    return lines[-1].strip()[:200]


def set_result(nb, image):
    """Puts a figure, in base64, where the first cell shows `result.png`; "" takes that away."""
    first = nb.cells[0] if nb.cells else {}
    if image and "(attachment:result.png)" in first.get("source", ""):
        kind = "image/jpeg" if image.startswith("/9j/") else "image/png"
        first.setdefault("attachments", {})["result.png"] = {kind: image}
    elif not image and first.get("source"):
        first.source = re.sub(r"!\[[^]]*\]\(attachment:result\.png\)", "", first.source)


def execute(nb, folder, env):
    """Runs the cells in a fresh kernel of this very Python; the reason why it failed, or ''.

    Args:
        nb: the notebook; its outputs are replaced.
        folder: the kernel's working directory.
        env: from `environment`; a cell may take as long as its mode allows a notebook.
    """
    from ipykernel.kernelspec import get_kernel_dict
    from jupyter_client import AsyncKernelManager
    from jupyter_client.kernelspec import KernelSpec
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError

    class ThisPython(AsyncKernelManager):
        # Whatever other kernel the user has registered under the name python3.
        kernel_spec = KernelSpec(**get_kernel_dict())

    timeout = TIMEOUTS[env["RECIPES_MODE"]]
    for cell in nb.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None

    def free_signals(**_):  # nbclient would take Ctrl-C for a kernel that died, and go on
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)

    client = NotebookClient(
        nb,
        extra_arguments=["--log-level=ERROR"],  # else each kernel warns of its unencrypted socket
        kernel_manager_class=ThisPython,
        on_notebook_start=free_signals,
        record_timing=False,
        resources={"metadata": {"path": str(folder)}},
        timeout=timeout,
    )
    try:
        # A library's C++ log reaches the notebook; a second copy would break up our own lines.
        client.execute(env=env, stderr=subprocess.DEVNULL)
        return ""
    except CellExecutionError as error:
        message = re.sub(r"\x1b\[[0-9;]*m", "", error.evalue).strip().partition("\n")[0]
        reason = f"{error.ename}: {message}" if message else error.ename
    except CellTimeoutError:
        reason = f"ran for more than {timeout} s"
    except RuntimeError as error:  # the kernel died, or did not start
        reason = f"{error} (out of memory?)"
    return f"In [{client.code_cells_executed}]: {reason}"


def tidy(nb, keep_stderr=False):
    """Drops widgets and stderr, joins the pieces of a stream; returns what stood in stderr."""
    dropped = ""
    for cell in nb.cells:
        kept = []
        for output in cell.get("outputs", []):
            if any(kind.startswith(WIDGET) for kind in output.get("data", {})):
                continue
            if output.get("name") == "stderr" and not keep_stderr:
                dropped += output.text
            elif kept and "text" in output and kept[-1].get("name") == output.get("name"):
                kept[-1].text += output.text
            else:
                kept.append(output)
        for output in (output for output in kept if "text" in output):
            lines = output.text.replace("\r\n", "\n").split("\n")
            # Of a progress bar, what stands on its line in the end.
            output.text = "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)
        if cell.cell_type == "code":
            cell.outputs = kept
    nb.metadata.pop("widgets", None)
    return dropped
