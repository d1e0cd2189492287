"""Downloads that arrive whole or not at all.

Whatever goes wrong on the way (no network, a full disk, a damaged file) is an error that names the
file and says what to do. Nothing half-written ever bears the name of a finished file.
"""

import contextlib
import hashlib
import http.client
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
import warnings
from pathlib import Path

from tqdm import tqdm

from recipes.arguments import check_count
from recipes.datasets.files import (
    ENVIRONMENT,
    MissingDataError,
    load_json,
    locked,
    save_json,
    writing,
)

CHUNK = 1 << 18
ELSEWHERE = f", or set {ENVIRONMENT} to a folder that can be written"


def fetch(dataset, url, path, terms, by_hand, sha256=None, md5=None, size=None):
    """Download a file of a dataset, after a line that says how large it is and under which terms.

    Args:
        dataset: its name, for the messages.
        url, path, sha256, md5, size: as for `download`; `size` may be about right, if there is a
            hash.
        terms: under which terms the publisher gives it.
        by_hand: what to put where instead, for the error.

    Returns:
        `path` as a `Path`.

    Raises:
        MissingDataError: it cannot be downloaded.
        ValueError, OSError: as for `download`.
    """
    path = Path(path)
    if not path.is_file():
        print(f"Downloading {dataset} ({size / 1e6:,.0f} MB) from {url} to {path}. Terms: {terms}")
    try:
        return download(url, path, sha256, md5)
    except ConnectionError as error:
        raise MissingDataError(
            f"{dataset} is not in {path.parent} and cannot be downloaded. {by_hand} ({error})"
        ) from error


def download(url, path, sha256=None, md5=None, size=None, timeout=30, progress=True):
    """Fetch a file, unless it is there already. A broken download goes on where it stopped.

    The bytes gather in `<path>.part`; when all have come it becomes `<path>.whole`, and `path` if
    they are right. If several processes want the same file, one downloads and the others wait. A
    file that is there already stays as it is.

    Where neither the server nor the caller says how long the file is, a connection that breaks
    looks like its end: there is a warning.

    Args:
        url: http or https; it may hold blanks and any letters, as in a browser.
        path: the file to write; its folder is made.
        sha256, md5: hexadecimal hash of the file, if known.
        size: number of bytes of the file, if known.
        timeout: seconds of silence after which to give up.
        progress: whether to show a bar, and to say so when it waits for another process.

    Returns:
        `path` as a `Path`.

    Raises:
        ValueError: another kind of url, or what came has another hash or size.
        ConnectionError: no network, an HTTP error, or the connection broke.
        OSError: the file cannot be written (disk full, no permission).
    """
    if str(path).endswith(("/", os.sep)) or Path(path).is_dir():
        raise ValueError(f"path {path}: a folder, but the name of a file is needed")
    for name, given, digits in (("sha256", sha256, 64), ("md5", md5, 32)):
        if given is not None and not re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", given):
            raise ValueError(f"{name} {given!r}: {digits} hexadecimal digits are needed")
    if size is not None:
        check_count("size", size)
    path = Path(path)
    _address(url)  # before anything is written
    if path.is_file():
        return path
    with writing(path, ELSEWHERE), locked(path, tell=progress):
        if not path.is_file():  # another process may have fetched it while this one waited
            part, whole = (path.with_name(path.name + end) for end in (".part", ".whole"))
            if not whole.is_file():  # killed in the check of a large file, which takes a minute
                if not (_receive(url, path, part, timeout, progress) or sha256 or md5 or size):
                    warnings.warn(
                        f"{url}: the server does not say how long the file is, so nobody knows "
                        f"whether all of it has come. Compare {path} with what its publisher says, "
                        "or pass download its size or its hash",
                        stacklevel=2,
                    )
                os.replace(part, whole)
            try:
                _check(whole, url, sha256, md5, size)
            except ValueError as error:
                whole.unlink()
                raise ValueError(
                    f"{error}. It was deleted; try again later, or put the right file at {path}"
                ) from None
            os.replace(whole, path)
    return path


def _address(url):
    """The url in the characters that HTTP allows, as a browser writes it."""
    try:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("it begins with neither http:// nor https:// and a host")
        _ = parts.port  # raises if it is not a number
        parts = parts._replace(netloc=parts.netloc.encode("idna").decode())
    except ValueError as error:
        raise ValueError(f"cannot download {url}: not an http or https address ({error})") from None
    return urllib.parse.quote(parts.geturl(), safe="%/:?#[]@!$&'()*+,;=~")


def _receive(url, path, part, timeout, progress):
    """Append to `part` the bytes of `url` that it lacks; returns whether its end is known."""
    state_file = part.with_name(part.name + ".json")  # the version that `part` belongs to
    have, state = 0, {}
    if part.is_file() and state_file.is_file():
        with contextlib.suppress(ValueError):
            state = load_json(state_file, version=str, total=(int, type(None)))
            have = part.stat().st_size
    with _network(url, path):
        response, have, total = _ask(url, have, state, timeout)
    coding = response.headers["Content-Encoding"] or "identity"
    # Some servers call a .tgz a tar that is packed for the journey.
    if coding != "identity" and path.suffix not in (".gz", ".tgz"):
        response.close()
        raise ConnectionError(
            f"cannot download {url}: the server sends it packed ({coding[:40]!r}), though it was "
            f"asked not to. Get the file with a browser, and put it at {path}"
        )
    with response, open(part, "ab" if have else "wb") as file:
        save_json(state_file, {"version": _version(response), "total": total})
        with tqdm(
            desc=path.name, initial=have, total=total, unit="B", unit_scale=True,
            file=sys.stderr, leave=False, disable=not progress,
        ) as bar:  # fmt: skip
            while True:
                with _network(url, path):
                    chunk = response.read(CHUNK)
                    if not chunk and total is not None and have != total:
                        raise ConnectionError(f"broke off after {have:,} of {total:,} bytes")
                if not chunk:
                    break
                file.write(chunk)
                have += len(chunk)
                bar.update(len(chunk))
    state_file.unlink()
    return total is not None or response.chunked


def _ask(url, have, state, timeout):
    """Ask for the bytes from `have` on.

    Returns:
        The response, the position of its first byte, and the size of the whole file or None.
    """
    request = urllib.request.Request(_address(url), headers={"User-Agent": "vision-recipes"})
    if have and state["version"]:  # else nobody can tell whether it is still the same file
        request.add_header("Range", f"bytes={have}-")
        request.add_header("If-Range", state["version"])
    try:
        response = urllib.request.urlopen(request, timeout=timeout)
    except urllib.error.HTTPError as error:
        if error.code != 416 or not request.has_header("Range"):
            raise
        return _ask(url, 0, {}, timeout)  # `have` is all there is, or more
    # Where both are given, the chunks say where it ends, and the length does not count (RFC 9112).
    total = None if response.chunked else _length(response)
    if response.status == 206 and request.has_header("Range"):
        span = re.fullmatch(
            r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", response.headers["Content-Range"] or ""
        )
        total = state["total"] or (int(span[3]) if span and span[3] != "*" else None)
        same = span and span[3] in ("*", str(total)) and _version(response) == state["version"]
        if same and int(span[1]) == have and int(span[2]) + 1 == total:
            return response, have, total
        response.close()
        return _ask(url, 0, {}, timeout)  # another file, or not all of the rest
    if response.status != 200:
        response.close()
        raise ConnectionError(f"the server answers with status {response.status}, not the file")
    return response, 0, total


def _length(response):
    if coding := response.headers["Transfer-Encoding"]:
        raise ConnectionError(f"the server sends the file in a coding of its own, {coding[:40]!r}")
    lengths = set(response.headers.get_all("Content-Length", ()))
    if len(lengths) > 1 or not all(re.fullmatch("[0-9]{1,18}", length) for length in lengths):
        raise ConnectionError(
            f"the server gives a senseless Content-Length: {', '.join(lengths)[:40]}"
        )
    return int(lengths.pop()) if lengths else None


def _version(response):
    # A weak ETag (W/...) does not promise the same bytes, so it is no ground to resume on.
    tag = response.headers["ETag"] or ""
    return tag if tag.startswith('"') else response.headers["Last-Modified"] or ""


def _check(path, origin, sha256, md5, size):
    if not path.stat().st_size:
        raise ValueError(f"{origin}: the server sent an empty file")
    if size is not None and path.stat().st_size != size:
        raise ValueError(f"{origin}: expected {size:,} bytes, found {path.stat().st_size:,}")
    for kind, expected in (("SHA-256", sha256), ("MD5", md5)):
        if expected:
            with open(path, "rb") as file:
                found = hashlib.file_digest(file, kind.replace("-", "")).hexdigest()
            if found != expected.lower():
                raise ValueError(f"{origin}: expected {kind} {expected}, found {found}")


@contextlib.contextmanager
def _network(url, path):
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:  # the last: a bad redirect
        raise ConnectionError(
            f"cannot download {url}: {error}. Try again later (what came is kept), put the file "
            f"at {path} yourself, or set {ENVIRONMENT} to the folder of your datasets."
        ) from error
