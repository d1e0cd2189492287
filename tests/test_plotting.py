import io

import matplotlib.pyplot as plt
import numpy as np
import pytest
from PIL import Image

from recipes import plotting


@pytest.fixture(autouse=True)
def _no_window(monkeypatch):
    monkeypatch.setattr(plt, "show", lambda: None)
    yield
    assert not plt.get_fignums(), "a figure was left open"


def test_to_uint8_rounds_and_clips():
    np.testing.assert_array_equal(plotting.to_uint8([-2, -1, 0, 1, 2]), [0, 0, 128, 255, 255])


def test_mosaic_puts_every_picture_in_its_place():
    pictures = np.full((3, 2, 4, 1), -1.0)
    pictures[2] = 1.0
    sheet = plotting.mosaic(pictures, columns=2, gap=1, zoom=1)
    assert sheet.shape == (5, 9, 3)
    assert not sheet[:2, :4].any()  # the first, black
    assert (sheet[3:, :4] == 255).all()  # the third, white, in the second row
    assert (sheet[2] == 255).all()  # the gap
    assert plotting.mosaic(pictures, columns=2, gap=1, zoom=3).shape == (15, 27, 3)


def test_a_picture_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    plotting.save_png(np.zeros((2, 2, 3), np.uint8), path)
    before = path.read_bytes()

    def full(*arguments, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", full)
    with pytest.raises(OSError, match="No space left"):
        plotting.save_png(np.ones((2, 2, 3), np.uint8), path)
    assert path.read_bytes() == before


def test_the_film_has_every_frame(tmp_path):
    paths = []
    for i in range(3):
        paths.append(tmp_path / f"epoch-{i + 1:04d}.png")
        plotting.save_png(np.full((4, 4, 3), 80 * i, np.uint8), paths[-1])
    plotting.save_gif(paths, tmp_path / "film.gif")
    with Image.open(tmp_path / "film.gif") as film:
        assert film.n_frames == 3
    plotting.show_training(paths, count=2)


def test_figures_of_a_notebook():
    pictures = np.zeros((3, 4, 4, 1))
    plotting.show_pictures(pictures, titles=["a", "b", "c"], columns=2, suptitle="x")
    plotting.show_curves({"a": ("y", {"one": [1, 2], "two": ([0, 5], [1, 2])})})
    plotting.show_counts([1, 2], ["a", "b"], "title")


def test_outside_of_a_notebook_nothing_is_displayed(capsys):
    pytest.importorskip("IPython")  # that it has been imported makes no notebook
    assert plotting.display_picture(np.zeros((2, 2, 3), np.uint8)) is None
    plotting.show_gif("not-even-read.gif", "a film")
    assert capsys.readouterr() == ("", "")


def test_show_rows_takes_floats_and_bytes():
    pictures = np.zeros((3, 4, 6, 3))
    plotting.show_rows({"floats": pictures, "bytes": pictures.astype(np.uint8)}, suptitle="both")


def test_show_attack_magnifies_what_was_added(monkeypatch):
    shown, captions = [], []
    monkeypatch.setattr(plt.Axes, "imshow", lambda axis, picture, **kw: shown.append(picture))
    monkeypatch.setattr(plt.Axes, "set_title", lambda axis, text, **kw: captions.append(text))
    pictures = np.zeros((2, 2, 2, 1))
    attacked = pictures.copy()
    attacked[1, 0, 0] = 0.05
    attacked[1, 0, 1] = -0.05
    plotting.show_attack(pictures, attacked, ["a", "b"], ["c", "d"], suptitle="x")
    assert captions == ["a", "added: nothing", "c", "b", "added, x 20", "d"]
    np.testing.assert_array_equal(shown[4], [[255, 0], [128, 128]])


def test_show_captions_breaks_long_lines(monkeypatch):
    labels = []
    monkeypatch.setattr(plt.Axes, "set_xlabel", lambda axis, text, **kw: labels.append(text))
    pictures = [np.zeros((4, 6, 3), np.uint8), np.zeros((9, 5, 3), np.uint8)]
    plotting.show_captions(pictures, ["a dog\na cat", "word " * 20], columns=3)
    assert labels[0] == "a dog\na cat"
    assert labels[1].count("\n") > 2
    assert labels[1].split() == ["word"] * 20


@pytest.mark.parametrize("count", [1, 2, 3, 5, 11])
def test_attention_of_captions_of_any_length(tmp_path, count):
    image = np.full((40, 60, 3), 200, np.uint8)
    attention = np.zeros((count + 2, 4))
    attention[:, 2] = 1  # the lower left quarter
    words = [f"word{i}" for i in range(count)]
    plotting.show_attention(image, words, attention, (2, 2))
    panels = plotting.attention_panels(image, attention, (2, 2))
    assert panels[0].shape == image.shape
    assert (panels[0][-1, 0] == 200).all()
    assert (panels[0][0, -1] < 80).all()
    plotting.save_attention_gif(tmp_path / "new" / "a.gif", image, words, attention, (2, 2))
    with Image.open(tmp_path / "new" / "a.gif") as found:
        assert (found.size, getattr(found, "n_frames", 1)) == ((60, 66), count)


def test_a_slider_shows_the_picture_that_it_stands_at(monkeypatch):
    widgets = pytest.importorskip("ipywidgets")
    import IPython.display

    shown = []
    monkeypatch.setattr(plotting, "_in_notebook", lambda: True)
    monkeypatch.setattr(IPython.display, "display", shown.append)
    pictures = [np.full((2, 3, 3), value, np.uint8) for value in (0, 100, 200)]
    plotting.show_slider(pictures, ["a", "dog", "a"], "word")  # a caption may repeat a word
    slider, image = shown[0].children
    assert isinstance(slider, widgets.SelectionSlider)
    for i in (2, 0, 1):
        slider.index = i
        with Image.open(io.BytesIO(image.value)) as picture:
            assert picture.getpixel((0, 0)) == (100 * i,) * 3


def test_without_ipywidgets_there_is_no_slider(monkeypatch):
    monkeypatch.setattr(plotting, "_in_notebook", lambda: True)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    plotting.show_slider([np.zeros((2, 2, 3), np.uint8)], ["a"], "word")
