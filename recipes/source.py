"""The package's own code, shown in a notebook: what a reader sees is what runs."""

import ast
import inspect
import textwrap


class Source:
    """Code that a notebook shows highlighted, in the colours of its theme, light or dark."""

    def __init__(self, pieces):
        self.pieces = pieces  # [(caption, code), ...]

    # Markdown, because JupyterLab, Colab, VS Code, GitHub and nbconvert highlight it each with its
    # own style sheet, while GitHub drops the styles of HTML.
    def _repr_markdown_(self):
        return "\n\n".join(f"{caption}\n\n```python\n{code}\n```" for caption, code in self.pieces)

    def __repr__(self):
        pieces = [f"# {caption.replace('`', '')}\n{code}" for caption, code in self.pieces]
        return "\n\n\n".join(pieces)


def show_source(*objects):
    """Shows the source of functions, methods and classes, each under the name of its file, with no
    more of a docstring than its first paragraph.

    Call it on the last line of a cell, which is what a notebook displays.

    Args:
        *objects: what to show; a method as `DCGAN.train_step`.
    """
    pieces = []
    for shown in objects:
        code = _shorten_docstrings(textwrap.dedent(inspect.getsource(shown)).rstrip())
        file = shown.__module__.replace(".", "/") + ".py"
        pieces.append((f"`{file}`: `{shown.__qualname__}`", code))
    return Source(pieces)


def _shorten_docstrings(code):
    lines = code.splitlines()
    # From the last to the first, so that the line numbers of those still to come stay right.
    for node in reversed(list(ast.walk(ast.parse(code)))):
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or not ast.get_docstring(node):
            continue
        string = node.body[0]
        paragraph = ast.get_docstring(node).split("\n\n")[0]
        indent = " " * string.col_offset
        text = textwrap.indent(f'"""{paragraph}"""', indent)
        lines[string.lineno - 1 : string.end_lineno] = text.splitlines()
    return "\n".join(lines)
