"""The data root, and how files get there: downloads and archives that arrive whole or not at all.

Whatever goes wrong on the way (no network, a full disk, a damaged file) is an error that names
the file and says what to do. Nothing half-written ever bears the name of a finished file.
"""

import contextlib
import gzip
import hashlib
import http.client
import json
import lzma
import os
import shutil
import stat
import sys
import tarfile
import urllib.error
import urllib.request
import zipfile
import zlib
from pathlib import Path, PureWindowsPath

from tqdm import tqdm

try:
    import fcntl
except ImportError:  # Windows: no lock there, see `locked`
    fcntl = None

ENVIRONMENT = "RECIPES_DATA_DIR"
CHUNK = 1 << 18

# What the readers of the standard library raise when a compressed file is not what it should be.
DAMAGED = (
    EOFError,
    gzip.BadGzipFile,
    lzma.LZMAError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


class MissingDataError(FileNotFoundError):
    """A data set is neither in the data root nor to be had; the message says what to put where."""


def data_root():
    """The folder that holds the real data sets, one folder each; it need not exist yet.

    `RECIPES_DATA_DIR` if that is set; else `data/` of the checkout that this file is part of;
    else `data/` under the current directory.

    Returns:
        An absolute `Path`.

    Raises:
        NotADirectoryError: `RECIPES_DATA_DIR` is set to something that is not a folder.
    """
    if chosen := os.environ.get(ENVIRONMENT):
        root = Path(chosen).expanduser().absolute()
        if not root.is_dir():
            raise NotADirectoryError(
                f"{ENVIRONMENT} is {chosen!r}, but there is no such folder. "
                "Create it, correct the variable, or unset it to use data/."
            )
        return root
    checkout = Path(__file__).resolve().parents[2]
    base = checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()
    return base / "data"


def find_folder(folders, names):
    """The first of `folders` that holds all the files `names`, or None.

    Args:
        folders: paths, by preference; those that do not exist are passed over.
        names: file names, relative to the folder.
    """
    return next((f for f in folders if all((f / name).is_file() for name in names)), None)


def check_choice(what, value, known):
    """Raise a ValueError that lists what is known, if `value` is not in `known`."""
    if value not in known:
        raise ValueError(f"unknown {what} {value!r}; known: {', '.join(known)}")


def download(url, path, sha256=None, size=None, timeout=30, progress=True):
    """Fetch a file, unless it is there already. A broken download goes on where it stopped.

    The bytes gather in `<path>.part`; when all have come it becomes `<path>.whole`, and `path` if
    they are right. If several processes want the same file, one downloads and the others wait. A
    file that is there already is taken as it is.

    Args:
        url: http or https.
        path: the file to write; its folder is made.
        sha256: hexadecimal hash of the file, if known.
        size: number of bytes of the file, if known.
        timeout: seconds of silence after which to give up.
        progress: whether to show a bar, and to tell of another process that is waited for.

    Returns:
        `path` as a `Path`.

    Raises:
        ValueError: another kind of url, or what came does not have this `sha256` or `size`.
        ConnectionError: no network, an HTTP error, or the connection broke.
        OSError: the file cannot be written (disk full, no permission).
    """
    path = Path(path)
    if not url.startswith(("http://", "https://")):
        raise ValueError(f"cannot download {url}: not an http or https address")
    if path.is_file():
        return path
    with _writing(path), locked(path, progress):
        if not path.is_file():  # another process may have fetched it while this one waited
            part, whole = (path.with_name(path.name + end) for end in (".part", ".whole"))
            if not whole.is_file():  # killed in the check of a large file, which takes a minute
                _receive(url, path, part, size, timeout, progress)
                os.replace(part, whole)
            try:
                _check(whole, url, sha256, size)
            except ValueError as error:
                whole.unlink()
                raise ValueError(
                    f"{error}. It was deleted; try again later, or put the right file at {path}"
                ) from None
            os.replace(whole, path)
    return path


def read_json(path, keys):
    """The dict that a JSON file holds.

    Args:
        path: the file.
        keys: what has to be in it.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is damaged, or lacks one of the keys.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FileNotFoundError(f"there is no {path}") from None
    except (ValueError, RecursionError):  # the latter: brackets in thousands of brackets
        value = None
    if not (isinstance(value, dict) and set(keys) <= set(value)):
        raise ValueError(f"{path} is damaged, or another kind of file: remove it and make it anew")
    return value


def write_json(path, value):
    """Write a JSON file, whole or not at all."""
    path = Path(path)
    part = path.with_name(f"{path.name}.new")
    with open(part, "w", encoding="utf-8") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def replace_folder(folder, write):
    """Fill a folder whole or not at all; what was in it is replaced.

    Args:
        folder: the folder; its parents are made.
        write: function of a `Path`, an empty folder beside the final one, which it fills. If it
            raises, all stays as it was.

    Returns:
        The folder, as an absolute `Path`.

    Raises:
        OSError: a file is in the way, or the folder cannot be written.
    """
    folder = Path(folder).resolve()
    # Fixed names: what a killed process left behind is cleared away by the next one.
    partial, old = (folder.with_name(f".{folder.name}.{end}") for end in ("partial", "old"))
    if old.exists() and not folder.exists():
        os.replace(old, folder)  # it was killed between the two renames below
    for left_over in (partial, old):
        shutil.rmtree(left_over, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        write(partial)
        if folder.is_dir():
            os.replace(folder, old)  # rather than a slow rmtree, which might be killed half-way
        os.replace(partial, folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    return folder


def unpack(archive, target, sha256=None):
    """Unpack a zip or tar (plain, gz, bz2, xz) file, unless `target` has something in it already.

    Args:
        archive: the file.
        target: the folder to unpack into; it appears when everything is in it.
        sha256: hexadecimal hash of the archive, if known.

    Returns:
        `target` as a `Path`.

    Raises:
        FileNotFoundError: no such archive.
        ValueError: another hash, a damaged file, another format; or a member that would land
            outside of `target`, or is a link or a device.
        OSError: the folder cannot be written.
    """
    archive, target = Path(archive), Path(target)
    if target.is_dir() and any(target.iterdir()):
        return target
    if not archive.is_file():
        raise FileNotFoundError(f"there is no archive {archive} to unpack")
    _check(archive, archive, sha256)
    with _writing(target), locked(target):
        if target.is_dir() and any(target.iterdir()):
            return target
        # A fixed name: what a killed process left behind is cleared away by the next one.
        partial = target.with_name(f".{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            partial.mkdir()
            _extract(archive, partial)
            if target.is_dir():
                target.rmdir()  # Windows does not rename onto an empty folder
            partial.rename(target)
        except (*DAMAGED, RuntimeError) as error:  # RuntimeError: a zip with a password
            raise ValueError(
                f"{archive} cannot be unpacked: {error}. Delete it and get it again."
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return target


def _receive(url, path, part, size, timeout, progress):
    """Append to `part` the bytes of `url` that it lacks."""
    tag_file = part.with_name(part.name + ".tag")  # tells which version `part` belongs to
    have = part.stat().st_size if part.is_file() and tag_file.is_file() else 0
    tag = tag_file.read_text() if have else ""
    with _network(url, path):
        response, have = _open(url, have, tag, timeout)
    with response, open(part, "ab" if have else "wb") as file:
        tag_file.write_text(_version(response))
        length = response.headers["Content-Length"]
        total = have + int(length) if length else size
        with tqdm(
            desc=path.name, initial=have, total=total, unit="B", unit_scale=True,
            file=sys.stderr, leave=False, disable=not progress,
        ) as bar:  # fmt: skip
            while True:
                with _network(url, path):
                    chunk = response.read(CHUNK)
                    if not chunk and length and have < total:
                        raise ConnectionError(f"broke off after {have:,} of {total:,} bytes")
                if not chunk:
                    break
                file.write(chunk)
                have += len(chunk)
                bar.update(len(chunk))
    tag_file.unlink()


def _open(url, have, tag, timeout):
    """Ask for the bytes from `have` on. Returns the response and where it really starts."""
    request = urllib.request.Request(url, headers={"User-Agent": "vision-recipes"})
    if have and tag:  # without a tag nobody can tell whether it is still the same file
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", tag)
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not have:
            raise
        return _open(url, 0, "", timeout)  # `have` is all there is, or more
    if not (have and response.status == 206):
        return response, 0
    starts = response.headers["Content-Range"] or ""
    if starts.startswith(f"bytes {have}-") and _version(response) == tag:
        return response, have
    response.close()
    return _open(url, 0, "", timeout)


def _version(response):
    # A weak ETag (W/...) does not promise the same bytes, so it is no ground to resume on.
    tag = response.headers["ETag"] or ""
    return tag if tag.startswith('"') else response.headers["Last-Modified"] or ""


def _check(path, origin, sha256=None, size=None):
    if size is not None and path.stat().st_size != size:
        raise ValueError(f"{origin}: expected {size:,} bytes, found {path.stat().st_size:,}")
    if sha256:
        with open(path, "rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if found != sha256.lower():
            raise ValueError(f"{origin}: expected SHA-256 {sha256}, found {found}")


def _extract(archive, folder):
    """Unpack into `folder`, after a look at every member: one bad one, and nothing is written."""
    if zipfile.is_zipfile(archive):
        with zipfile.ZipFile(archive) as file:
            for member in file.infolist():
                kind = stat.S_IFMT(member.external_attr >> 16)  # 0: not packed on Unix
                _check_member(archive, member.filename, kind in (0, stat.S_IFREG, stat.S_IFDIR))
            file.extractall(folder)
    elif tarfile.is_tarfile(archive):
        with tarfile.open(archive) as file:
            for member in file:
                _check_member(archive, member.name, member.isreg() or member.isdir())
            # tarfile stops reading before the checksum at the end of a .gz, and so misses damage.
            while file.fileobj.read(CHUNK):
                pass
            file.extractall(folder, filter="data")
    else:
        raise tarfile.ReadError("it is neither a whole zip nor a tar file")


def _check_member(archive, name, plain):
    inside = PureWindowsPath(name)  # knows both kinds of slash, and drives
    if inside.drive or inside.root or ".." in inside.parts:
        raise ValueError(f"{archive}: member {name!r} leads out of the folder; nothing unpacked")
    if not plain:
        raise ValueError(f"{archive}: member {name!r} is a link or a device; nothing unpacked")


@contextlib.contextmanager
def _network(url, path):
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionError(
            f"cannot download {url}: {error}. Try again later (what came is kept), put the file "
            f"at {path} yourself, or set {ENVIRONMENT} to the folder of your data sets."
        ) from error


@contextlib.contextmanager
def _writing(path):
    try:
        yield
    except ConnectionError:
        raise
    except OSError as error:
        raise OSError(
            error.errno,
            f"cannot write {path}: {error.strerror or error}. Make room or get the permission, or "
            f"set {ENVIRONMENT} to a folder that can be written",
        ) from error


@contextlib.contextmanager
def locked(path, tell=True):
    """Be the only process at work on `path`. The system lets go of the lock if we are killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.with_name(f".{path.name}.lock")
    while fcntl:
        with open(lock, "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if tell:
                    print(f"Another process is at work on {path}: waiting for it.", file=sys.stderr)
                fcntl.flock(file, fcntl.LOCK_EX)
            except OSError:
                pass  # some network folders know no locks: then go on without
            # Whoever held the lock has removed its file: then this one locks nothing. Once more.
            if not _is_file(lock, file):
                continue
            try:
                yield
            finally:
                lock.unlink(missing_ok=True)
            return
    yield  # Windows


def _is_file(path, file):
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
