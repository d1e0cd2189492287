"""A notebook as a web page, and a gallery of all of them, by the templates in tools/templates/.

The pages load nothing from the network: they have no scripts and no fonts of their own, formulas
are MathML, and an image that lies elsewhere (a badge) becomes its alternative text.
"""

import base64
import functools
import html
import io
import re

import jinja2
import mistune
from bs4 import BeautifulSoup
from PIL import Image, ImageChops, ImageOps

from tools import common

LANCZOS = Image.Resampling.LANCZOS
TEMPLATES = common.ROOT / "tools/templates"
CARD = (640, 400)  # pixels of a card's image, twice what a screen shows
WIDE = 2.4  # width / height from which a phone scrolls a figure rather than shrinks it
# Of the ways in which an output can be shown, the first of these: nbconvert's without widgets and
# JavaScript, and with animations.
SHOWN = ["text/html", "text/markdown", "image/svg+xml", "image/gif", "image/webp", "image/png"]
SHOWN += ["image/jpeg", "text/latex", "text/plain"]
FUNCTION = "<mi>(?:exp|ln|log|sin|cos|tanh)</mi>"
THIN = '<mspace width="0.17em"></mspace>'
LONGEST = 50_000  # characters of one output that a page shows


def outline(cells):
    """Title, description and what the result shows, as plain text: a dict of str.

    They are the first heading, the first paragraph after it that has words, and the alternative
    text of `result.png`.

    Args:
        cells: of a notebook, as dictionaries or `NotebookNode`s.
    """
    sources = [cell["source"] for cell in cells if cell["cell_type"] == "markdown"]
    text = "\n\n".join("".join(source) for source in sources)
    # It takes `attachment:` for harmful, unless it is told that none is.
    renderer = mistune.HTMLRenderer(escape=False, allow_harmful_protocols=True)
    soup = BeautifulSoup(mistune.create_markdown(renderer=renderer)(text), "html.parser")
    title = soup.find(["h1", "h2", "h3"])
    shown = soup.find("img", src="attachment:result.png")
    paragraphs = title.find_all_next("p") if title else []
    found = {
        "title": title.get_text() if title else "Untitled",
        "description": next((p.get_text() for p in paragraphs if p.get_text(strip=True)), ""),
        "shown": shown["alt"] if shown else "",
    }
    return {key: " ".join(value.split()) for key, value in found.items()}


def formula(latex, display):
    """MathML; where the LaTeX is not understood, the LaTeX itself as code.

    Args:
        latex: without its dollars.
        display: "inline" or "block".
    """
    from latex2mathml.converter import convert

    known = latex.strip().replace("{aligned}", "{align*}")  # the converter lacks these two
    known = re.sub(r"\\arg\b", r"\\operatorname{arg}", known)
    try:
        mathml = convert(known, display=display)
    except Exception:  # it has many
        mathml = "\\"
    # Browsers set no space around a function's name, as TeX does, and stretch a norm's bars apart.
    mathml = re.sub(rf"({FUNCTION})(?=<m[infrs])", rf"\1{THIN}", mathml)
    mathml = re.sub(rf"(</m[in]>)(?={FUNCTION})", rf"\1{THIN}", mathml)
    mathml = mathml.replace("<mo>&#x02016;</mo>", '<mo stretchy="false">&#x02016;</mo>')
    # A command that it does not know is passed on with its backslash.
    return f"<code>{html.escape(latex)}</code>" if "\\" in mathml else mathml


@functools.cache
def exporter():
    """nbconvert's exporter, with formulas as MathML and with animations."""
    from nbconvert import HTMLExporter
    from nbconvert.filters.markdown_mistune import IPythonRenderer, MarkdownWithMath
    from traitlets.config import Config

    class Renderer(IPythonRenderer):
        def inline_math(self, body):
            return formula(body, "inline")

        def block_math(self, body):
            return f'<span class="formula">{formula(body, "block")}</span>'

        def latex_environment(self, name, body):
            return self.block_math(rf"\begin{{{name}}}{body}\end{{{name}}}")

    class Exporter(HTMLExporter):
        @jinja2.pass_context
        def markdown2html(self, context, source):
            attachments = context.get("cell", {}).get("attachments", {})
            renderer = Renderer(escape=False, exclude_anchor_links=True, attachments=attachments)
            return MarkdownWithMath(renderer=renderer).render(source)

    return Exporter(
        template_name="cells",
        extra_template_basedirs=[str(TEMPLATES)],
        config=Config({"NbConvertBase": {"display_data_priority": SHOWN}}),
        exclude_input_prompt=True,
        exclude_output_prompt=True,
    )


def opened(url):
    """The image in a data URL; None where Pillow does not read it (an SVG)."""
    try:
        return Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2])))
    except OSError:
        return None


def is_clear(image):
    """Whether a PIL image is transparent somewhere, and so made for any background."""
    return image.convert("RGBA").getextrema()[3][0] < 255


def finish(body):
    """The cells' HTML with paper behind opaque figures and ids at the headings below the title.

    Returns:
        The HTML, and its parts as a list of dicts: `level`, `id`, and `text` as HTML.
    """
    soup = BeautifulSoup(body, "html.parser")
    for element in soup(["script", "link", "iframe", "object", "embed"]):
        element.decompose()
    for image in soup("img"):
        if not image["src"].startswith("data:"):
            image.replace_with(image.get("alt", ""))
            continue
        frame = image.wrap(soup.new_tag("span", attrs={"class": ["figure"]}))
        if figure := opened(image["src"]):
            image["width"], image["height"] = figure.size
            if figure.width > WIDE * figure.height:
                frame["class"].append("wide")
                frame["tabindex"] = 0  # keys scroll it, too
        if not (figure and is_clear(figure)):
            frame["class"].append("paper")
    parts = []
    for number, heading in enumerate(soup(["h1", "h2"])[1:], 1):
        heading["id"] = f"part-{number}"
        text = heading.decode_contents()
        parts.append({"level": heading.name[1], "id": heading["id"], "text": text})
    return str(soup), parts


def shorten(nb):
    """Cuts what a page could not show: the middle of an output of more than LONGEST characters."""
    for output in (o for cell in nb.cells for o in cell.get("outputs", []) if "text" in o):
        if (left_out := len(output.text) - LONGEST) > 0:
            half = LONGEST // 2
            note = f"\n[... {left_out:,} characters are left out here ...]\n"
            output.text = output.text[:half] + note + output.text[-half:]


@functools.cache
def templates():
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES), autoescape=True, undefined=jinja2.StrictUndefined
    )
    environment.filters["duration"] = duration
    return environment


def duration(seconds):
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def page(nb, before=None, after=None):
    """The HTML page of a notebook. A figure's alternative text is its cell's `metadata.alt`.

    Args:
        nb: the notebook, executed.
        before, after: its neighbours, dicts with `name` and `title`, where there are any.
    """
    from pygments.formatters import HtmlFormatter

    shorten(nb)
    body, parts = finish(exporter().from_notebook_node(nb)[0])
    styles = {
        name: HtmlFormatter(style=style).get_style_defs(".highlight")
        for name, style in (("light", "default"), ("dark", "github-dark"))
    }
    template = templates().get_template("page.html.j2")
    title = outline(nb.cells)["title"]
    return template.render(
        title=title, body=body, parts=parts, before=before, after=after, **styles
    )


def gallery(results, mode):
    """The index page: a card for each notebook.

    Args:
        results: what `run.publish` returned, by the notebooks' names.
        mode: in which they ran.
    """
    versions = " · ".join(f"{title} {version}" for title, version in common.versions().items())
    template = templates().get_template("gallery.html.j2")
    return template.render(results=results, mode=mode, versions=versions)


def card(image, size=CARD):
    """A figure for a card: whole, without its margins, and in the middle of what room is left.

    Args:
        image: PIL image.
        size: (width, height) in pixels.

    Returns:
        PIL image, RGBA, of that size; transparent around a figure that is.
    """
    white = Image.new("RGB", image.size, "white")
    margins = ImageChops.difference(on_white(image), white).getbbox()
    sheet = Image.new("RGBA", size, (255, 255, 255, 0 if is_clear(image) else 255))
    image = image.convert("RGBA").crop(margins)
    edge = size[0] // 40
    image = ImageOps.contain(image, (size[0] - 2 * edge, size[1] - 2 * edge), LANCZOS)
    sheet.paste(image, ((size[0] - image.width) // 2, (size[1] - image.height) // 2))
    return sheet


def on_white(image):
    """A PIL image as RGB, white where it is transparent."""
    image = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
