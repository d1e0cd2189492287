"""Executes the notebooks and writes them, as pages, and a gallery of them into build/.

python -m tools.run [NAME ...]   A notebook is executed again only where something changed: its
cells, recipes/, the tools or requirements, a version, a RECIPES_ setting, or where it failed.
"""

import base64
import html
import json
import re
import sys
import time
from string import Template

from tools import common

INPUTS = ("recipes/**/*", "data/weights/*", "requirements.txt")
INPUTS += ("tools/common.py", "tools/run.py", "tools/page.html")


def heading(nb):
    """Title, description and what the picture shows: the first heading, the first paragraph after
    it and the alternative text of `result.png`, as plain text."""
    text = "\n\n".join(cell.source for cell in nb.cells if cell.cell_type == "markdown")
    shown = re.search(r"!\[([^]]*)\]\(attachment:result\.png\)", text)
    title = re.search(r"^#+ +(.+)$", text, re.MULTILINE)
    if not title:
        return "Untitled", "", ""
    text = re.sub(r"\[?!\[[^]]*\]\([^)]*\)(\]\([^)]*\))?", "", text[title.end() :])  # pictures
    text = re.sub(r"\[([^]]+)\]\([^)]*\)", r"\1", text)  # links
    paragraph = next((p for p in re.split(r"\n\s*\n", text) if p.strip()), "")
    parts = title[1], paragraph, shown[1] if shown else ""
    return [re.sub(r"[*`]", "", " ".join(part.split())) for part in parts]


def contents(body):
    """The body with an id at each heading below the title, and a list of links to them."""
    links = []

    def anchored(heading):
        level, text = heading.groups()
        links.append(f'<li class="level-{level}"><a href="#part-{len(links) + 1}">{text}</a></li>')
        return f'<h{level} id="part-{len(links)}">{text}</h{level}>'

    title, end, rest = body.partition("</h1>")
    rest = re.sub(r"<h([12])>(.*?)</h\1>", anchored, rest, flags=re.DOTALL)
    return title + end + rest, f"<ul>{''.join(links)}</ul>"


def page(nb, title):
    """One HTML page that fetches nothing: no script, no CDN, a badge becomes its text.

    A figure's alternative text is what its cell's metadata has under `alt`.
    """
    from nbconvert import HTMLExporter
    from pygments.formatters import HtmlFormatter

    exporter = HTMLExporter(
        template_name="basic",
        exclude_anchor_links=True,
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )
    body, _ = exporter.from_notebook_node(nb)
    body = re.sub(r"<script\b.*?</script>", "", body, flags=re.DOTALL | re.IGNORECASE)

    def text_of(picture):
        alt = re.search(r'\balt="([^"]*)"', picture[0])
        return alt[1] if alt else ""

    body = re.sub(r'<img\b[^>]*\bsrc="(https?:)?//[^>]*>', text_of, body)
    styles = {
        name: HtmlFormatter(style=style).get_style_defs(".highlight")
        for name, style in (("light", "default"), ("dark", "github-dark"))
    }
    template = Template((common.ROOT / "tools/page.html").read_text())
    body, links = contents(body)
    return template.substitute(title=html.escape(title), body=body, contents=links, **styles)


def duration(seconds):
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def gallery(results, mode):
    """The index page: a card for each notebook."""
    cards = []
    for name, result in results.items():
        text = {key: html.escape(str(value)) for key, value in result.items()}
        number = f"<strong>{text['headline']}</strong>"
        picture = f'<img class="picture" src="gallery/{name}.png" alt="{text["shown"]}">'
        if not result["ok"]:
            number = f'<strong class="failed">FAILED {text["error"]}</strong>'
            picture = '<div class="picture"></div>'
        cards.append(
            f'<article class="card">{picture}<div class="text">'
            f'<h2><a href="pages/{name}.html">{text["title"]}</a></h2>'
            f"<p>{text['description']}</p>{number}"
            f'<span class="time">{duration(result["seconds"])}</span></div></article>'
        )
    used = " · ".join(f"{title} {version}" for title, version in common.versions().items())
    template = Template((common.ROOT / "tools/gallery.html").read_text())
    return template.substitute(cards="\n".join(cards), mode=html.escape(mode), versions=used)


def publish(nb, name, build, seconds, error=""):
    """Writes the page and the picture of a notebook that was run; what its card says."""
    picture, number = "" if error else common.thumbnail(nb), "" if error else common.headline(nb)
    title, description, shown = heading(nb)
    common.set_result(nb, picture)
    common.tidy(nb, keep_stderr=bool(error))
    for folder in ("gallery", "pages"):
        (build / folder).mkdir(parents=True, exist_ok=True)
    if picture:
        (build / f"gallery/{name}.png").write_bytes(base64.b64decode(picture))
    (build / f"pages/{name}.html").write_text(page(nb, title), encoding="utf-8")
    return {
        "title": title,
        "description": description,
        "shown": shown,
        "headline": number,
        "seconds": round(seconds, 1),
        "error": error,
        "ok": not error,
    }


def run_one(path, build, env):
    """Executes one notebook, writes its page and its picture; the result without its key."""
    import nbformat

    start = time.monotonic()
    nb = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(f"# {path.stem}")])
    try:
        nb = nbformat.read(path, as_version=4)
        for tag in ("thumbnail", "headline"):  # before the minute that it takes, not after
            common.tagged(nb, tag)
        timeout = None if env["RECIPES_MODE"] == "full" else 1800
        error = common.execute(nb, path.parent, env, timeout)
        if not error:
            return publish(nb, path.stem, build, time.monotonic() - start)
    except ValueError as problem:
        error = str(problem)
    return publish(nb, path.stem, build, time.monotonic() - start, error)


def main(names=(), root=common.ROOT):
    build = root / "build"
    env = common.environment(build / "outputs")
    old, results, todo = common.read_json(build / "results.json"), {}, {}
    wanted = [path.stem for path in common.find_notebooks(root, names)]
    for path in common.find_notebooks(root):
        try:
            cells = json.loads(path.read_bytes())["cells"]  # nbformat takes seconds to import
        except (ValueError, KeyError):
            cells = []  # run_one says what is wrong with it
        for cell in cells:
            cell.update(outputs=[], execution_count=None)
            cell.get("attachments", {}).pop("result.png", None)  # each run puts its own there
        key = common.digest(root, INPUTS, env, cells)
        results[path.stem] = result = old.get(path.stem, {})
        files = build / f"pages/{path.stem}.html", build / f"gallery/{path.stem}.png"
        fresh = result.get("ok") and result["key"] == key and all(f.exists() for f in files)
        if path.stem in wanted and not fresh:
            todo[path.stem] = path, key
    (build / "outputs").mkdir(parents=True, exist_ok=True)
    for name in wanted if todo else ():
        print(f"{name:<28}", end="", flush=True)
        if name in todo:
            path, key = todo[name]
            results[name] = run_one(path, build, env) | {"key": key}
            common.write_json(build / "results.json", results)
        result = results[name]
        time_used = f"{result['seconds']:.1f} s" if name in todo else "unchanged"
        note = result["headline"] if result["ok"] else f"FAILED {result['error']}"
        print(f"{time_used:>10}  {note}", flush=True)
    results = {name: result for name, result in results.items() if result}
    index = gallery(results, env["RECIPES_MODE"])
    (build / "index.html").write_text(index, encoding="utf-8")
    print(f"{'gallery:' if todo else 'nothing changed:'} build/index.html")
    return int(not all(results[name]["ok"] for name in wanted))


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit("\ninterrupted")
