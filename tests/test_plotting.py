import functools
import io

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from PIL import Image

from recipes import plotting
from recipes.plotting import charts, display
from recipes.plotting.figures import GREY, STYLE

GREYS = np.linspace(-1, 1, 3 * 16).reshape(3, 4, 4, 1)
COLOURED = np.linspace(-1, 1, 3 * 72).reshape(3, 4, 6, 3)
PHOTO = np.full((40, 60, 3), 200, np.uint8)
ATTENTION = np.tile([0.1, 0.1, 0.7, 0.1], (5, 1))  # most of it at the lower left of 2x2 places

FIGURES = {
    "images": lambda: plotting.show_images(GREYS, ["a", "b", "c"], columns=2, title="x"),
    "bytes": lambda: plotting.show_images(plotting.to_uint8(GREYS)),
    "rows": lambda: plotting.show_rows({"one": COLOURED, "two": plotting.to_uint8(COLOURED)}),
    "captions": lambda: plotting.show_captions([PHOTO, PHOTO[:20]], ["a dog", "word " * 20]),
    "attention": lambda: plotting.show_attention(PHOTO, ["a", "dog"], ATTENTION, (2, 2)),
    "attack": lambda: plotting.show_attack(COLOURED, -COLOURED, list("abc"), list("def")),
    "curves": lambda: plotting.show_curves(
        {"A": ("y", {"one": [1, 2], "two": ([0, 5], [1, 2])}), "B": ("z", {"one": [3]})},
        title="x",
        references={"B": {"chance": 0.5}},
    ),
    "spectrum": lambda: plotting.show_spectrum({"made": COLOURED}, COLOURED + 0.1),
    "counts": lambda: plotting.show_counts([1, 2], ["a", "b"], "title", reference=1.5),
}


@functools.cache
def figure(name):
    return FIGURES[name]()


@pytest.mark.parametrize("name", FIGURES)
def test_figures_read_on_white_and_on_black(name):
    assert isinstance(figure(name), Figure)
    file = io.BytesIO()
    figure(name).savefig(file)
    assert np.asarray(Image.open(file))[..., 3].min() == 0  # transparent
    letters = [text for text in figure(name).findobj(Text) if text.get_text()]
    assert {text.get_color() for text in letters} <= {GREY}


@pytest.mark.parametrize("name", FIGURES)
def test_nothing_of_a_figure_is_cut(name):
    box = figure(name).get_tightbbox()
    width, height = figure(name).get_size_inches()
    assert min(box.x0, box.y0) > -0.02
    assert box.x1 < width + 0.02
    assert box.y1 < height + 0.02


def test_a_notebook_shows_a_figure_once():
    shell = pytest.importorskip("IPython.core.interactiveshell").InteractiveShell.instance()
    from IPython.utils.capture import capture_output

    call = "plotting.show_counts([1, 2], ['a', 'b'], 'title')"
    shell.run_cell("from recipes import plotting")
    try:
        for cell in (call, f"figure = {call}", f"{call}\n1 + 1;"):
            with capture_output() as captured:
                assert shell.run_cell(cell).success
            assert [list(output.data) for output in captured.outputs] == [
                ["image/png", "text/plain"]
            ], cell
            assert "Figure" not in captured.stdout
    finally:
        shell.clear_instance()


def test_figures_leave_the_style_of_others_alone():
    before = [matplotlib.rcParams[name] for name in STYLE]
    FIGURES["curves"]()
    assert [matplotlib.rcParams[name] for name in STYLE] == before


def test_to_uint8_rounds_and_clips():
    np.testing.assert_array_equal(plotting.to_uint8([-2.0, -1, 0, 1, 2]), [0, 0, 128, 255, 255])
    np.testing.assert_array_equal(plotting.to_uint8(np.uint8([0, 9, 255])), [0, 9, 255])
    for dtype in ("int64", "bool", "uint16"):
        with pytest.raises(ValueError, match=f"images: dtype {dtype}, but floats"):
            plotting.to_uint8(np.ones(2, dtype))


def test_mosaic_puts_every_image_in_its_place():
    images = np.full((3, 2, 4, 1), -1.0)
    images[2] = 1.0
    sheet = plotting.mosaic(images, columns=2, gap=1, zoom=1)
    assert sheet.shape == (5, 9, 3)
    assert not sheet[:2, :4].any()  # the first, black
    assert (sheet[3:, :4] == 255).all()  # the third, white, in the second row
    assert (sheet[2] == 255).all()  # the gap
    assert plotting.mosaic(images, columns=2, gap=1, zoom=3).shape == (15, 27, 3)


def test_an_image_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    plotting.save_png(np.zeros((2, 2, 3), np.uint8), path)
    before = path.read_bytes()

    def full(*arguments, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space left"):
        plotting.save_png(np.ones((2, 2, 3), np.uint8), path)
    assert path.read_bytes() == before


def test_an_animation_has_every_frame(tmp_path):
    frames = [np.full((4, 4, 3), 80 * i, np.uint8) for i in range(3)]
    plotting.save_gif(frames, tmp_path / "new" / "a.gif")
    with Image.open(tmp_path / "new" / "a.gif") as animation:
        assert animation.n_frames == 3
    frames = [np.zeros((4, 8, 3), np.uint8), np.zeros((6, 2, 3), np.uint8)]
    plotting.save_gif(frames, tmp_path / "b.gif")
    with Image.open(tmp_path / "b.gif") as animation:
        assert (animation.size, animation.n_frames) == ((8, 6), 2)


def test_show_training_takes_the_first_and_the_last_epoch(tmp_path):
    paths = [tmp_path / f"epoch-{epoch:04d}.png" for epoch in range(1, 12)]
    for path in paths:
        plotting.save_png(np.zeros((4, 4, 3), np.uint8), path)
    titles = [axis.get_title() for axis in plotting.show_training(paths, count=3).axes]
    assert titles == ["epoch 1", "epoch 6", "epoch 11"]
    assert len(plotting.show_training(paths[:1]).axes) == 1


@pytest.mark.parametrize("name", FIGURES)
def test_text_is_large_enough_to_read(name):
    texts = [text for text in figure(name).findobj(Text) if text.get_text()]
    assert min([text.get_fontsize() for text in texts], default=9) >= 8  # points


def test_outside_of_a_notebook_nothing_is_displayed(capsys):
    pytest.importorskip("IPython")  # that it has been imported makes no notebook
    assert plotting.display_image(np.zeros((2, 2, 3), np.uint8)) is None
    FIGURES["counts"]()
    assert capsys.readouterr() == ("", "")


def test_show_attack_magnifies_the_perturbation():
    images = np.zeros((2, 2, 2, 1))
    attacked = images.copy()
    attacked[1, 0, 0] = 0.05
    attacked[1, 0, 1] = -0.05
    axes = plotting.show_attack(images, attacked, ["a", "b"], ["c", "d"]).axes
    texts = [axis.get_title() for axis in axes]
    assert texts == ["a", "+ no perturbation", "= c", "b", "+ perturbation (× 20)", "= d"]
    np.testing.assert_array_equal(axes[4].images[0].get_array(), [[255, 0], [128, 128]])


def test_rows_of_unequal_counts_are_refused():
    with pytest.raises(ValueError, match=r"\{'real': 3, 'fake': 1\}"):
        plotting.show_rows({"real": COLOURED, "fake": COLOURED[:1]})


NOTHING = np.zeros((0, 8, 8, 3), np.uint8)
CAPTIONS = ["a"] * len(COLOURED)


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: plotting.show_images(NOTHING), "there is none"),
        (lambda: plotting.show_rows({}), "there is none"),
        (lambda: plotting.show_rows({"real": NOTHING}), "there is none"),
        (lambda: plotting.mosaic(NOTHING), "there is none"),
        (lambda: plotting.show_images(COLOURED[..., :2]), r"number 0 has shape \(.*, 2\)"),
        (lambda: plotting.show_images(COLOURED[0]), "number 0 has shape"),
        (lambda: plotting.mosaic(COLOURED[0]), "number 0 has shape"),
        (lambda: plotting.show_images(COLOURED, ["a"]), "^titles: 1 for"),
        (lambda: plotting.show_images(COLOURED, columns=0), "^columns 0"),
        (lambda: plotting.mosaic(COLOURED, columns=0), "^columns 0"),
        (lambda: plotting.show_captions(COLOURED, CAPTIONS, columns=0), "^columns 0"),
        (lambda: plotting.show_captions(COLOURED, ["a"]), "^captions: 1 for"),
        (lambda: plotting.show_captions([], []), "^captions: 0 for 0"),
        (lambda: plotting.show_slider([], [], "epoch"), "^epoch: 0 images and 0 labels"),
        (lambda: plotting.save_gif([], "film.gif"), "^film.gif: there are no frames"),
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()


def test_show_captions_breaks_long_lines():
    photos = [np.zeros((4, 6, 3), np.uint8), np.zeros((9, 5, 3), np.uint8)]
    axes = plotting.show_captions(photos, ["a dog\na cat", "word " * 20]).axes
    labels = [axis.get_xlabel() for axis in axes]
    assert labels[0] == "a dog\na cat"
    assert labels[1].count("\n") > 2
    assert labels[1].split() == ["word"] * 20


@pytest.mark.parametrize("count", [1, 2, 3, 5, 11])
def test_attention_of_captions_of_any_length(tmp_path, count):
    attention = np.tile(ATTENTION[:1], (count + 2, 1))
    words = [f"word{i}" for i in range(count)]
    boxes = [None, (5, 10, 20, 25), *[None] * count][:count]
    *axes, scale = plotting.show_attention(PHOTO, words, attention, (2, 2), boxes).axes
    assert [axis.get_title() for axis in axes] == ["", *words]
    assert [len(axis.patches) for axis in axes] == [0, *(box is not None for box in boxes)]
    assert scale.get_xlim()[1] == pytest.approx(70)
    plotting.save_attention_gif(tmp_path / "new" / "a.gif", PHOTO, words, attention, (2, 2))
    with Image.open(tmp_path / "new" / "a.gif") as found:
        assert (found.size, getattr(found, "n_frames", 1)) == ((60, 66), count)


def test_attention_panels_colour_what_was_looked_at():
    weak = np.full(4, 0.25)
    panels = plotting.attention_panels(PHOTO, np.stack([ATTENTION[0], weak]), (2, 2))
    assert panels[0].shape == PHOTO.shape
    changed = np.abs(panels[0].astype(int) - PHOTO).sum(-1)
    assert changed[-1, 0] > 2 * changed[0, -1]
    red, green, blue = panels[0][-1, 0].astype(int)
    assert min(red, green) > blue + 50  # viridis ends in yellow
    floats = plotting.attention_panels(PHOTO / np.float32(127.5) - 1, ATTENTION, (2, 2))
    np.testing.assert_allclose(floats[0], panels[0], atol=1)
    # One scale for all words: spread out evenly, attention is weak everywhere.
    assert np.abs(panels[1].astype(int) - PHOTO).sum(-1).max() < changed[-1, 0]


def test_curves_have_their_reference_lines():
    losses, scores = figure("curves").axes
    assert [line.get_label() for line in losses.lines] == ["one", "two"]
    assert list(losses.lines[1].get_xdata()) == [0, 5]
    assert list(scores.lines[-1].get_ydata()) == [0.5, 0.5]
    assert scores.texts[0].get_text() == "chance"


def test_two_numbers_are_a_curve_and_two_lists_are_its_axes():
    values = {"numbers": (0.9, 0.5), "lists": [[1, 5], [0.1, 0.2]]}
    [axis] = plotting.show_curves({"a": ("b", values)}).axes
    assert [line.get_xydata().tolist() for line in axis.lines] == [
        [[1, 0.9], [2, 0.5]],
        [[1, 0.1], [5, 0.2]],
    ]


def test_two_classes_of_one_name_have_two_bars():
    [axis] = plotting.show_counts([3, 1], ["crane", "crane"], "counts").axes
    assert [bar.get_x() for bar in axis.patches] == pytest.approx([-0.4, 0.6])


def test_legends_lie_below_their_panels():
    made = figure("curves")
    for axis in made.axes:
        assert axis.get_legend().get_window_extent().y1 < axis.get_window_extent().y0


@pytest.mark.parametrize(("period", "place"), [(2, 15), (4, 7), (8, 3)])
def test_the_spectrum_shows_the_period_of_a_grid(period, place):
    real = np.random.default_rng(0).normal(size=(20, 32, 32, 3))
    wave = np.cos(2 * np.pi * np.arange(32) / period)[None, :, None, None]
    ratio = charts.axis_power(real + wave) / charts.axis_power(real)
    assert ratio.argmax() == place
    assert ratio[place] > 2
    assert np.delete(ratio, place).max() < 1.2


def test_a_slider_shows_the_image_that_it_stands_at(monkeypatch):
    widgets = pytest.importorskip("ipywidgets")
    import IPython.display

    shown = []
    monkeypatch.setattr(display, "in_notebook", lambda: True)
    monkeypatch.setattr(IPython.display, "display", shown.append)
    images = [np.full((2, 3, 3), value, np.uint8) for value in (0, 100, 200)]
    plotting.show_slider(images, ["a", "dog", "a"], "word")  # a caption may repeat a word
    slider, image = shown[0].children
    assert isinstance(slider, widgets.SelectionSlider)
    for i in (2, 0, 1):
        slider.index = i
        with Image.open(io.BytesIO(image.value)) as found:
            assert found.getpixel((0, 0)) == (100 * i,) * 3


def test_without_ipywidgets_there_is_no_slider(monkeypatch):
    monkeypatch.setattr(display, "in_notebook", lambda: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    plotting.show_slider([np.zeros((2, 2, 3), np.uint8)], ["a"], "word")


def test_dollars_in_a_caption_are_no_formula():
    text = "a $5 bill beside a $10 bill"
    figure = plotting.show_captions([np.zeros((8, 8, 3), np.uint8)], [text])
    [drawn] = figure.findobj(lambda part: isinstance(part, Text) and "$" in part.get_text())
    assert not drawn.get_parse_math()
