"""The gallery, made from the committed outputs: its links, and what a browser makes of it."""

import base64
import io
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlparse

import nbformat
import numpy as np
import pytest
from bs4 import BeautifulSoup
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

from tools import common, run
from tools import pages as maker

BROWSERS = ("google-chrome", "chromium", "chromium-browser", "chrome")

# Opens each page in a frame as wide as a phone and as a screen, and writes down what is wrong.
INSPECTOR = """<!DOCTYPE html><body><script>
const wrong = [];
function inspect(page, width) {
  return new Promise((done) => {
    const frame = document.createElement("iframe");
    frame.style = `width: ${width}px; height: 900px; border: 0`;
    frame.onload = () => {
      const inside = frame.contentDocument, where = `${page} at ${width}: `;
      for (const picture of inside.images)
        if (!picture.complete || !picture.naturalWidth) wrong.push(where + "a picture is missing");
      const used = inside.documentElement.scrollWidth;
      if (used > width) wrong.push(where + `wider than the screen, ${used}`);
      const lists = [...inside.querySelectorAll(".contents")].filter((x) => x.clientHeight);
      const wanted = page == "index.html" ? "" : width < 1000 ? "DETAILS" : "ASIDE";
      if (lists.map((x) => x.tagName).join() != wanted) wrong.push(where + "contents");
      frame.remove();
      done();
    };
    frame.src = page;
    document.body.append(frame);
  });
}
(async () => {
  for (const page of PAGES) for (const width of [390, 1400]) await inspect(page, width);
  document.body.innerHTML = `<pre>checked ${JSON.stringify(wrong)}</pre>`;
})();
</script></body>"""


class Page(HTMLParser):
    """The links, ids and pictures of a page."""

    def __init__(self, path):
        super().__init__()
        self.ids, self.links, self.pictures = set(), [], []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.ids.add(attributes.get("id"))
        self.links += [attributes[key] for key in ("href", "src") if key in attributes]
        if tag == "img":
            self.pictures.append(attributes)


@pytest.fixture(scope="module")
def gallery(tmp_path_factory):
    """A folder with the gallery and the page of each notebook, with its committed outputs."""
    build = tmp_path_factory.mktemp("gallery")
    results = {}
    for path in common.find_notebooks(common.ROOT):
        nb = nbformat.read(path, as_version=4)
        results[path.stem] = run.publish(nb, path.stem, build, seconds=60) | {"key": ""}
    run.write_pages(results, build, "reduced")
    assert [result["error"] for result in results.values() if not result["ok"]] == []
    return build


@pytest.fixture(scope="module")
def pages(gallery):
    found = [gallery / "index.html", *sorted(gallery.glob("pages/*.html"))]
    assert len(found) == 1 + len(common.find_notebooks(common.ROOT))
    return {path: Page(path) for path in found}


def test_every_link_leads_somewhere_on_the_disk_or_to_the_web(pages):
    for path, page in pages.items():
        assert len(page.links) > 5
        for link in page.links:
            url = urlparse(link)
            if url.scheme in ("http", "https", "data"):
                continue
            target = (path.parent / unquote(url.path)).resolve() if url.path else path
            assert target.is_file(), f"{path.name}: {link}"
            if url.fragment:
                assert unquote(url.fragment) in pages[target].ids, f"{path.name}: {link}"


def test_no_picture_comes_from_the_web_and_each_has_alternative_text(pages):
    for path, page in pages.items():
        assert len(page.pictures) > 3
        for picture in page.pictures:
            shown = f"{path.name}: {picture['src'][:60]}"
            assert not re.match(r"(https?:)?//", picture["src"]), shown
            alt = picture.get("alt") or ""
            assert len(alt) > 10, f"{shown} has no alternative text"
            assert not alt.startswith("No description"), f"{shown}: metadata.alt is missing"


def test_each_page_has_a_list_of_its_parts(pages):
    for path in pages:
        if path.parent.name == "pages":
            text = path.read_text(encoding="utf-8")
            listed = re.search(r"<aside .*?</aside>", text, re.DOTALL)[0]
            for part in ("Parameters", "How to read the curves", "Exercises", "References"):
                assert re.search(rf'<a href="#part-\d+">{part}', listed), f"{path.name}: {part}"
            parts = re.findall(r'<h[12] id="(part-\d+)"', text)
            assert re.findall(r'href="#(part-\d+)"', listed) == parts
            assert len(set(parts)) == len(parts)


def test_formulas_are_typeset(pages):
    """One that the converter does not know would stand there as LaTeX."""
    for path in pages:
        prose = BeautifulSoup(path.read_text(encoding="utf-8"), "html.parser")
        assert prose.select(".formula > code") == [], path.name
        for code in prose(["pre", "code", "style"]):
            code.decompose()
        assert "$" not in prose.get_text(), path.name


@pytest.mark.parametrize(
    ("latex", "mathml"),
    [
        (r"\frac{a}{b}", "<mfrac>"),
        (r"\arg\min_x \lVert x \rVert_1", "arg"),
        (r"\begin{aligned} a &= b \\ c &= d \end{aligned}", "<mtr>"),
        (r"a < b", "&#x0003C;"),
        (r"2\log x", '<mspace width="0.17em"></mspace><mi>log</mi><mspace'),
        (r"\log(x)", "<mi>log</mi><mo"),
        (r"\nosuch{a < b}", r"<code>\nosuch{a &lt; b}</code>"),
        (r"\hat{", "<code>"),
    ],
)
def test_a_formula_is_mathml_or_says_what_it_is(latex, mathml):
    shown = maker.formula(latex, "block")
    assert mathml in shown
    assert shown.startswith("<code>" if "<code>" in mathml else "<math ")


def test_figures_get_what_they_need_by_night_and_on_a_phone():
    """Paper, if they are opaque; a size to scroll, if they are wide."""

    def shown(width, height, kind="PNG", alpha=255):
        buffer = io.BytesIO()
        image = Image.new("RGBA", (width, height), (0, 0, 0, alpha))
        (image if alpha < 255 else image.convert("RGB")).save(buffer, kind)
        data = base64.b64encode(buffer.getvalue()).decode()
        outputs = [new_output("display_data", {f"image/{kind.lower()}": data})]
        nb = new_notebook(cells=[new_code_cell(outputs=outputs, metadata={"alt": "black"})])
        return BeautifulSoup(maker.page(nb), "html.parser").select_one("main span.figure")

    assert shown(300, 200)["class"] == ["figure", "paper"]
    assert shown(300, 200, alpha=9)["class"] == ["figure"]
    assert shown(900, 200, "JPEG")["class"] == ["figure", "wide", "paper"]
    moving = shown(300, 200, "GIF").img
    assert moving["src"].startswith("data:image/gif;base64,")
    assert (moving["alt"], moving["width"], moving["height"]) == ("black", "300", "200")


@pytest.fixture(scope="module")
def chromium(tmp_path_factory):
    """Calls Chromium without a window and a network; what it prints."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if not browser:
        pytest.skip(f"no browser on the path ({', '.join(BROWSERS)})")

    def call(page, *options):
        command = [
            browser, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
            "--hide-scrollbars", "--enable-logging=stderr", "--allow-file-access-from-files",
            "--host-resolver-rules=MAP * ~NOTFOUND",
            f"--user-data-dir={tmp_path_factory.mktemp('browser')}", *options, page.as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
        assert console == []
        return done.stdout

    return call


def test_a_browser_shows_every_page_whole_on_a_phone_and_on_a_screen(gallery, pages, chromium):
    names = [path.relative_to(gallery).as_posix() for path in pages]
    inspector = gallery / "inspector.html"
    inspector.write_text(INSPECTOR.replace("PAGES", json.dumps(names)))
    shown = chromium(inspector, "--virtual-time-budget=60000", "--dump-dom")
    assert "<pre>checked []</pre>" in shown, re.sub(r"<script.*?</script>", "", shown, flags=re.S)


@pytest.mark.parametrize(("page", "width"), [("index", 390), ("pages/01_dcgan", 1400)])
def test_it_is_light_by_day_and_dark_by_night(gallery, chromium, page, width):
    """The screenshots stay in build/screenshots/, for a person to look at."""
    folder = common.ROOT / "build/screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    back = {}
    for scheme, number in (("light", 1), ("dark", 0)):
        file = folder / f"{Path(page).name}-{width}-{scheme}.png"
        file.unlink(missing_ok=True)
        chromium(
            gallery / f"{page}.html",
            f"--blink-settings=preferredColorScheme={number}",
            f"--window-size={width},1600",
            f"--screenshot={file}",
        )
        picture = Image.open(file).convert("RGB")
        assert picture.size == (width, 1600)
        assert len(picture.getcolors(2**24)) > 100
        back[scheme] = np.mean(picture.getpixel((2, 2)))
    assert back["light"] > 220
    assert back["dark"] < 40
