"""Embedded data: pictures drawn from a seed, for recipes whose real data is not at hand."""

import json
from pathlib import Path

from recipes.datasets.storage import replace_folder

SETTINGS = "drawn.json"


def write_folder(folder, settings, write):
    """Fills a folder whole or not at all, and only when its settings are not the wanted ones.

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
    if folder.exists():
        if not folder.is_dir():
            raise ValueError(f"{folder} is a file, but a folder is to be written")
        if (folder / SETTINGS).is_file():
            if (folder / SETTINGS).read_text(encoding="utf-8") == text:
                return folder
        elif any(folder.iterdir()):
            raise ValueError(f"{folder} is not empty and has no {SETTINGS}: give another folder")

    def write_all(partial):
        write(partial)
        (partial / SETTINGS).write_text(text, encoding="utf-8")

    return replace_folder(folder, write_all)
