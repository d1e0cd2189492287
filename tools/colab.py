"""Prepares the notebooks for Colab and Kaggle, and puts this repository's address everywhere.

python -m tools.colab [OWNER/NAME]   Without it, the address is that of `git remote`, where it is on
GitHub, else the one in pyproject.toml. It goes into pyproject.toml, CITATION.cff and the setup cell
of each notebook, and into the badges there and in the README.
"""

import argparse
import re
import subprocess
import sys
import tomllib

from recipes.datasets.files import whole_file
from tools import common

NAME = r"[\w.-]+/[\w.-]+"
COLAB = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
COLAB += "(https://colab.research.google.com/github/{name}/blob/main/notebooks/{stem}.ipynb)"
KAGGLE = "[![Open in Kaggle](https://kaggle.com/static/images/open-in-kaggle.svg)]"
KAGGLE += "(https://kaggle.com/kernels/welcome?src="
KAGGLE += "https://github.com/{name}/blob/main/notebooks/{stem}.ipynb)"
BADGES = re.compile(
    r"\[!\[Open in Colab\]\([^)]*\)\]\([^)]*/notebooks/(\w+)\.ipynb\)"
    r"( \[!\[Open in Kaggle\]\([^)]*\)\]\([^)]*\))?"
)
# How the setup cell tells that it is in a hosted notebook.
HOSTED = """import os
import subprocess
import sys

if "google.colab" in sys.modules or "KAGGLE_KERNEL_RUN_TYPE" in os.environ:
"""
SETUP = re.compile(
    r'(import os\n)?import subprocess\nimport sys\n\nif "google\.colab" in sys\.modules[^\n]*\n'
)
# What Colab gives a notebook that asks for it.
GPU = {"accelerator": "GPU", "colab": {"gpuType": "T4"}}


def repository(root):
    """Owner and name of the repository on GitHub, "owner/name", as in pyproject.toml."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    url = project["urls"]["Repository"]
    if not (match := re.fullmatch(rf"https://github\.com/({NAME})", url)):
        raise ValueError(f"pyproject.toml: Repository {url!r} is not https://github.com/owner/name")
    return match[1]


def remote(root):
    """Owner and name as `git remote` has them; None where `origin` is not on GitHub."""
    command = ["git", "-C", str(root), "remote", "get-url", "origin"]
    try:
        url = subprocess.run(command, capture_output=True, text=True).stdout.strip()
    except OSError:  # no git
        return None
    match = re.search(rf"github\.com(?::\d+)?[:/]({NAME})/?$", url)
    return match[1].removesuffix(".git") if match else None


def badges(text, name):
    """The text with both badges in the place of each that there is."""

    def both(match):
        return f"{COLAB} {KAGGLE}".format(name=name, stem=match[1])

    return BADGES.sub(both, text)


def write(path, text):
    with whole_file(path) as part:
        part.write_text(text, encoding="utf-8")


def prepare(nb, name):
    """Badges, address and setup cell of a notebook, and its wish for a GPU."""
    nb.cells[0].source = badges(nb.cells[0].source, name)
    for cell in nb.cells:
        if cell.id == "setup":
            cell.source = SETUP.sub(lambda _: HOSTED, cell.source)
            cell.source = re.sub(
                rf"(git\+https://github\.com/){NAME}", rf"\g<1>{name}", cell.source
            )
    nb.metadata.update(GPU)


def main(name=None, root=common.ROOT):
    import nbformat

    old = repository(root)
    name = (name or remote(root) or old).removesuffix(".git")
    if not re.fullmatch(NAME, name):
        raise ValueError(f"{name!r} is not owner/name")
    for path in (root / "pyproject.toml", root / "CITATION.cff", root / "README.md"):
        text = path.read_text(encoding="utf-8")
        write(
            path,
            badges(text, name).replace(f"https://github.com/{old}", f"https://github.com/{name}"),
        )
    for path in common.find_notebooks(root):
        nb = common.read_notebook(path)
        prepare(nb, name)
        write(path, nbformat.writes(nb) + "\n")
    print(f"badges and setup cells lead to https://github.com/{name}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m tools.colab")
    parser.add_argument("name", nargs="?", metavar="OWNER/NAME")
    try:
        main(parser.parse_args().name)
    except ValueError as error:
        sys.exit(str(error))
