"""Puts the repository that pyproject.toml names into every Colab badge and every setup cell.

python -m tools.colab   For those who copy the repository to another owner or name.
"""

import os
import re
import sys
import tomllib

from tools import common

# In the README and the notebooks: what a badge opens, and what a setup cell installs.
ADDRESS = re.compile(
    r"(colab\.research\.google\.com/github/|git\+https://github\.com/)[\w.-]+/[\w.-]+"
)


def repository(root):
    """Owner and name of the repository on GitHub, "owner/name", as in pyproject.toml."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    url = project["urls"]["Repository"]
    if not (match := re.fullmatch(r"https://github\.com/([\w.-]+/[\w.-]+)", url)):
        raise ValueError(f"pyproject.toml: Repository {url!r} is not https://github.com/owner/name")
    return match[1]


def main(root=common.ROOT):
    name = repository(root)
    for path in (root / "README.md", *common.find_notebooks(root)):
        old = path.read_text(encoding="utf-8")
        new = ADDRESS.sub(rf"\g<1>{name}", old)
        if new != old:
            temporary = path.with_name(f".{path.name}.new")
            temporary.write_text(new, encoding="utf-8")
            os.replace(temporary, path)
        print(f"{path.stem:<28}{name if new != old else 'unchanged'}")


if __name__ == "__main__":
    try:
        main()
    except ValueError as error:
        sys.exit(str(error))
