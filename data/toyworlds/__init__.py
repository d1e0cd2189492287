"""Embedded data: pictures drawn from a seed, for recipes whose real data is not at hand."""

import json
import shutil
from pathlib import Path

from recipes.datasets.files import locked, replace_folder

SETTINGS = "drawn.json"


def write_folder(folder, settings, write):
    """Fills a folder whole or not at all, and only when its settings are not the wanted ones.

    Of several processes that want the same folder, one draws and the others wait.

    Args:
        folder: the folder. It is replaced only if it is empty or was written by this function.
        settings: dict that JSON can hold, and that says all on which the contents depend.
        write: function of a `Path`, an empty folder beside the final one, which it fills.

    Returns:
        The folder, as `Path`.

    Raises:
        ValueError: a file is in the way, or a folder that holds somebody else's files.
    """
    folder = Path(folder).resolve()
    text = json.dumps(settings, indent=2, sort_keys=True) + "\n"
    old = folder.with_name(f".{folder.name}.old")  # as `replace_folder` names it
    if _is_drawn(folder, text) and not old.exists():
        return folder

    def write_all(partial):
        write(partial)
        (partial / SETTINGS).write_text(text, encoding="utf-8")

    with locked(folder):
        if not _is_drawn(folder, text):  # by another process, while this one waited
            return replace_folder(folder, write_all)
        shutil.rmtree(old, ignore_errors=True)  # of a drawing that was killed at its end
    return folder


def _is_drawn(folder, text):
    if not folder.exists():
        return False
    if not folder.is_dir():
        raise ValueError(f"{folder} is a file, but a folder is to be written")
    if (folder / SETTINGS).is_file():
        return (folder / SETTINGS).read_text(encoding="utf-8") == text
    if any(folder.iterdir()):
        raise ValueError(f"{folder} is not empty and has no {SETTINGS}: give another folder")
    return False
