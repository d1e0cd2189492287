"""The data root, and how files get written: whole or not at all, by one process at a time.

What the package writes goes through one of these:

    with whole_file("outputs/letters.png") as part:      # a temporary name beside the file
        image.save(part)
    with whole_folder("outputs/captioner") as part:      # an empty folder beside the final one
        model.save(part / "captioner.keras")
    save_json("outputs/words.json", {"words": words})
    words = load_json("outputs/words.json", words=list)["words"]
    with locked("outputs/checkpoints", wait=False):      # for longer work in a folder
        ...

If the block raises, or the process is killed, what was there before is still there. A full disk
or a missing permission is an OSError that names the file and says what to do (`writing`).
"""

import contextlib
import gzip
import json
import math
import os
import re
import shutil
import socket
import sys
import time
import zipfile
import zlib
from errno import ENOLCK, ENOTDIR, ENOTSUP
from pathlib import Path

import filelock
import numpy as np

ENVIRONMENT = "RECIPES_DATA_DIR"
MAX_JSON = 200_000_000  # bytes; an index of a million photos has fewer

# What gzip and zipfile raise when a file is not what it should be; the last, of a password.
DAMAGED = (EOFError, gzip.BadGzipFile, zipfile.BadZipFile, zlib.error, RuntimeError)


class MissingDataError(FileNotFoundError):
    """A dataset is neither in the data root nor available; the message says what to put where."""


class InUseError(RuntimeError):
    """Another process is at work on a file or folder; the message says which one, since when."""


def data_root():
    """The folder that holds the real datasets, one folder each, as an absolute `Path`.

    `RECIPES_DATA_DIR` if that is set; else `data/` of the checkout that this file is part of;
    else `data/` under the current directory. It need not exist yet.

    Raises:
        NotADirectoryError: `RECIPES_DATA_DIR` is set to something that is not a folder.
    """
    if chosen := os.environ.get(ENVIRONMENT):
        root = expand_user(chosen, ENVIRONMENT).absolute()
        if not root.is_dir():
            raise NotADirectoryError(
                f"{ENVIRONMENT} is {chosen!r}, but there is no such folder. "
                "Create it, correct the variable, or unset it to use data/."
            )
        return root
    checkout = Path(__file__).resolve().parents[2]
    base = checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()
    return base / "data"


def expand_user(path, name):
    """The path with ~ and ~user replaced by the home folder; `name` is what to call it if there is
    no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{name} is {str(path)!r}: {error}; write the whole path") from None


def not_a_file(folder, name="folder"):
    """The path of a folder that may not exist yet; a ValueError if it is a file."""
    if Path(folder).is_file():
        raise ValueError(f"{name}: {folder} is a file, but a folder is needed")
    return Path(folder)


def find_folder(folders, names):
    """The first of `folders` that holds all the files `names`, or None."""
    return next((f for f in folders if all((f / name).is_file() for name in names)), None)


def matching(folder, pattern):
    """The files in a folder, sorted, whose whole name matches a regular expression; none if there
    is no such folder."""
    found = folder.iterdir() if folder.is_dir() else ()
    found = (path for path in found if re.fullmatch(pattern, path.name) and not path.is_dir())
    return sorted(found, key=lambda path: (len(path.name), path.name))  # 10000 after 9999


def check_choice(what, value, known):
    """Raise a ValueError that lists what is known, if `value` is not in `known`."""
    if value not in known:
        raise ValueError(f"unknown {what} {value!r}; known: {', '.join(map(str, known))}")


@contextlib.contextmanager
def writing(path, advice=""):
    """Make an OSError of the block one that says which file cannot be written, and what to do.

    Args:
        path: what is being written.
        advice: what else the reader may do; it follows "Make room or get the permission".
    """
    try:
        yield
    except OSError as error:
        if error.errno is None:  # not of the system: it says all there is to say
            raise
        # Of a block in a block the outer one speaks: the inner one wrote to a temporary name.
        cause = error.__cause__ if str(error.strerror).startswith("cannot write") else error
        raise OSError(
            cause.errno,
            f"cannot write {path}: {cause.strerror}. Make room or get the permission{advice}",
        ) from cause


@contextlib.contextmanager
def whole_file(path, advice=""):
    """Write a file whole or not at all.

    Yields a temporary name beside the file, with the same suffix. What the block has written there
    becomes `path` when the block ends, in place of what was there; if the block raises, `path`
    stays as it was. Its folder is made. Advice and errors are those of `writing`.
    """
    path = Path(path).resolve()
    part = path.with_name(f".part.{path.name}")  # fixed: the next one replaces what a kill has left
    with writing(path, advice), locked(path):
        try:
            yield part
            with open(part, "rb+") as file:  # have the disk write what the system still holds
                os.fsync(file.fileno())
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)


@contextlib.contextmanager
def whole_folder(folder, own=lambda folder: (), advice=""):
    """Write a folder whole or not at all.

    Yields an empty folder beside the final one. When the block ends, what it has written there
    replaces the files of the same names; all other files that were in the folder stay, except for
    `own`. If the block raises, all stays as it was. Processes that write the same folder take
    turns.

    Args:
        folder: the folder; its parents are made.
        own: function of the folder that is replaced, a `Path`; returns the names, relative to it
            and with "/", of what an earlier call has written: they go, if not written anew.
        advice: as for `writing`.

    Raises:
        OSError: the folder cannot be written (see `writing`), or a file is in the way.
    """
    folder = Path(folder).resolve()
    part, old = (folder.with_name(f".{end}.{folder.name}") for end in ("part", "old"))
    with writing(folder, advice), locked(folder):
        finish_folder(folder, own)
        if folder.exists() and not folder.is_dir():
            raise NotADirectoryError(ENOTDIR, os.strerror(ENOTDIR), str(folder))
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.mkdir()
            yield part
            if folder.exists():
                os.replace(folder, old)
            os.replace(part, folder)
        finally:
            shutil.rmtree(part, ignore_errors=True)
        finish_folder(folder, own)


def finish_folder(folder, own=lambda folder: ()):
    """Do the rest of a `whole_folder` that was killed after its block, if there is such a rest."""
    old, gone = (folder.with_name(f".{end}.{folder.name}") for end in ("old", "gone"))
    if not old.exists() and not gone.exists():
        return
    with locked(folder):
        shutil.rmtree(gone, ignore_errors=True)
        if old.exists() and not folder.exists():
            os.replace(old, folder)
        elif old.exists():
            ours = set(own(old))
            for path in sorted(old.rglob("*")):
                name, is_file = path.relative_to(old), path.is_file() or path.is_symlink()
                target = folder / name
                if is_file and name.as_posix() not in ours and not os.path.lexists(target):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(path, target)
            os.replace(old, gone)  # now that there is nothing in it to keep
            shutil.rmtree(gone, ignore_errors=True)


def save_json(path, value):
    """Write a JSON file, whole or not at all; raises as `whole_file` does."""
    with whole_file(path) as part:
        part.write_text(json.dumps(value), encoding="utf-8")


def new_array(path, dtype, shape):
    """Make a `.npy` file of zeros, whole or not at all, and open it for writing, memory-mapped.

    All of it is written at once: in a mapped file, a full disk ends the process.
    """
    with whole_file(path) as part, open(part, "wb") as file:
        dtype = np.dtype(dtype)
        descr = np.lib.format.dtype_to_descr(dtype)
        head = {"descr": descr, "fortran_order": False, "shape": tuple(shape)}
        np.lib.format.write_array_header_1_0(file, head)
        row = bytes(dtype.itemsize * math.prod(shape[1:]))
        for _ in range(shape[0]):
            file.write(row)
    return np.lib.format.open_memmap(path, "r+")


def old_array(path, dtype, shape):
    """A whole file of `new_array`, opened anew; None if it is not there, damaged or another."""
    with contextlib.suppress(OSError, ValueError, EOFError):
        np.lib.format.open_memmap(path, "r")  # for writing, one that was cut off would be filled up
        array = np.lib.format.open_memmap(path, "r+")
        if (array.dtype, array.shape) == (dtype, tuple(shape)):
            return array
    return None


def read_bytes(path, most):
    """The content of a file; a ValueError if it has more than so many bytes.

    Args:
        path: a `Path` or a `zipfile.Path`.
    """
    try:
        with path.open("rb") as file:
            content = file.read(most + 1)
    except DAMAGED as error:
        raise ValueError(f"{path} is damaged ({error}). Delete it and get it again.") from error
    if len(content) > most:
        raise ValueError(f"{path} has more than {most:,} bytes: it is not the file it should be")
    return content


def load_json(path, **kinds):
    """Read a dict from a JSON file.

    Args:
        path: the file; a `Path`, or a `zipfile.Path`.
        **kinds: for each key that the dict must have, the class of its value, or a tuple of them.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or lacks a key, or holds a value of another kind.
    """
    path = Path(path) if isinstance(path, str) else path
    again = "remove it and make it anew"
    try:
        value = json.loads(read_bytes(path, MAX_JSON))
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no {path}") from None
    except (ValueError, RecursionError) as error:  # the latter: brackets in thousands of brackets
        raise ValueError(f"{path} is damaged ({error}): {again}") from error
    fault = "" if isinstance(value, dict) else "it holds no JSON object"
    for key, kind in {} if fault else kinds.items():
        found = type(value.get(key))
        if key not in value:
            fault = f'it has no "{key}"'
        elif not issubclass(found, kind) or (found is bool and kind is int):  # True is an int
            fault = f'its "{key}" is a {found.__name__}'
    if fault:
        raise ValueError(f"{path} is damaged, or another kind of file ({fault}): {again}")
    return value


@contextlib.contextmanager
def locked(path, wait=True, tell=True):
    """Be the only one at work on `path`, among all threads and processes that ask for this lock.

    A thread that holds the lock may take it again. When a process dies, its locks are free.

    Args:
        path: the file or folder; it need not exist. Its parent is made.
        wait: whether to wait until the lock is free.
        tell: whether to say on stderr who is waited for.

    Raises:
        InUseError: the lock is not free, and `wait` is false.
    """
    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    # A singleton may be taken again by its thread; other threads get a lock of their own.
    lock = filelock.FileLock(path.with_name(f".{path.name}.lock"), is_singleton=True)
    holder = path.with_name(f".{path.name}.holder")
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        who = _read_holder(holder)
        if not wait:
            raise InUseError(
                f"{path} is in use by {who}. Wait until it is done or stop it, or choose another "
                "place"
            ) from None
        if tell:
            print(f"Waiting for {who}, which is at work on {path}.", file=sys.stderr)
        lock.acquire()
    except OSError as error:
        if error.errno not in (ENOLCK, ENOTSUP):  # some network folders know no locks
            raise
    try:
        if lock.lock_counter == 1:
            now = time.strftime("%Y-%m-%d %H:%M:%S")
            with contextlib.suppress(OSError):
                holder.write_text(f"process {os.getpid()} on {socket.gethostname()} since {now}")
        yield
    finally:
        if lock.lock_counter == 1:
            for file in (holder, Path(lock.lock_file)):
                with contextlib.suppress(OSError):  # Windows removes no file that is open
                    file.unlink()
        if lock.is_locked:
            lock.release()


HELD = {}  # what `hold` has taken: path -> ExitStack


def hold(path):
    """Takes the lock of `path` until `release`, or the end of this process.

    Raises:
        InUseError: another process has it.
    """
    path = Path(path).resolve()
    if path not in HELD:  # of a training that was interrupted in this process
        with contextlib.ExitStack() as stack:
            stack.enter_context(locked(path, wait=False))
            HELD[path] = stack.pop_all()


def release(path):
    """Frees what `hold` has taken, if it has."""
    if held := HELD.pop(Path(path).resolve(), None):
        held.close()


def _read_holder(path):
    try:
        return path.read_text() or "another process"
    except (OSError, UnicodeDecodeError):  # it is just being written, or removed
        return "another process"
