"""Embedded data: images drawn from a seed, for recipes whose real data is not at hand."""

import json
from pathlib import Path

from recipes.datasets.files import finish_folder, load_json, locked, save_json, whole_folder

SETTINGS = "drawn.json"


def write_folder(folder, settings, write):
    """Fill a folder whole or not at all, unless it holds all that these settings make.

    Of several processes that want the same folder, one draws and the others wait. What others put
    into the folder stays there.

    Args:
        folder: the folder. It has to be absent, empty, or written by this function.
        settings: dict that JSON can hold, and that says all on which the contents depend.
        write: function of a `Path`, an empty folder beside the final one, which it fills.

    Returns:
        The folder, as `Path`.

    Raises:
        ValueError: a file is in the way, or a folder that holds somebody else's files.
        OSError: the folder cannot be written.
    """
    folder, settings = Path(folder).resolve(), json.loads(json.dumps(settings))  # tuples: lists
    finish_folder(folder, _own)
    if not _complete(folder, settings):
        with locked(folder):
            if not _complete(folder, settings):  # another process may have drawn it
                with whole_folder(folder, _own) as part:
                    write(part)
                    names = (path.relative_to(part) for path in part.rglob("*") if path.is_file())
                    files = sorted(name.as_posix() for name in names)
                    save_json(part / SETTINGS, {"settings": settings, "files": files})
    return folder


def _complete(folder, settings):
    found = _drawn(folder)
    names = found.get("files", ())
    return found.get("settings") == settings and all((folder / name).is_file() for name in names)


def _own(folder):
    return _drawn(folder).get("files", ())


def _drawn(folder):
    """What `SETTINGS` in a folder says; an empty dict if the folder is absent or empty."""
    if (folder / SETTINGS).is_file():
        return load_json(folder / SETTINGS, settings=dict, files=list)
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"{folder} is a file, but a folder is to be written")
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty and has no {SETTINGS}: give another folder")
    return {}
