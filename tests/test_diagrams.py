import functools
import itertools

import keras
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from recipes import dcgan, diagrams, ssgan, translation
from recipes.captioning import MergeCaptioner


def unet_and_patchgan(image_size):
    unet = translation.build_unet(image_size, 8)
    return diagrams.pix2pix(unet, translation.build_patchgan(2, 8), image_size)


DIAGRAMS = {
    "dcgan": lambda: diagrams.dcgan(dcgan.build_generator(), dcgan.build_discriminator()),
    "ssgan": lambda: diagrams.ssgan(ssgan.build_classifier(width=8)),
    "pix2pix": lambda: unet_and_patchgan(64),
    "pix2pix, 256 pixels": lambda: unet_and_patchgan(256),
    "cyclegan": diagrams.cyclegan,
    "fgsm": diagrams.fgsm,
    "merge": lambda: diagrams.merge(MergeCaptioner(2000, (2048,), width=8)),
    "attention": diagrams.attention,
    "transformer": diagrams.transformer,
}


@functools.cache
def diagram(name):
    return DIAGRAMS[name]()


@pytest.mark.parametrize("name", DIAGRAMS)
def test_no_text_is_cut_or_covers_another(name):
    figure = diagram(name)
    renderer = FigureCanvasAgg(figure).get_renderer()
    (axis,) = figure.axes
    texts = [text for text in axis.texts if text.get_text()]
    extents = [text.get_window_extent(renderer) for text in texts]
    for text, extent in zip(texts, extents, strict=True):
        inside = figure.bbox.contains(*extent.min) and figure.bbox.contains(*extent.max)
        assert inside, text.get_text()
    for i, j in itertools.combinations(range(len(texts)), 2):
        pair = texts[i].get_text(), texts[j].get_text()
        assert not extents[i].overlaps(extents[j]), pair


@pytest.mark.parametrize("name", DIAGRAMS)
def test_diagrams_read_on_white_and_on_black(name):
    figure = diagram(name)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())
    assert (pixels[..., 3] == 0).mean() > 0.4  # what lies behind shows through
    used = {text.get_color() for text in figure.axes[0].texts}
    assert used == {diagrams.GREY, "white"}  # white stands in boxes only


def test_shapes_come_from_the_networks():
    generator = dcgan.build_generator(width=6)
    text = [text.get_text() for text in diagram("dcgan").axes[0].texts]
    assert diagrams.map_shapes(generator)[-1] == (28, 28, 1)
    assert diagrams.map_shapes(generator)[0] == (7, 7, 24)
    assert "7×7\n×256" in text
    unet = diagrams.map_shapes(translation.build_unet(64, 8), 64)
    assert unet[0] == unet[-1] == (64, 64, 3)
    assert [shape[0] for shape in unet] == [64, 32, 16, 8, 4, 2, 1, 2, 4, 8, 16, 32, 64]
    assert "Each of the 30×30 logits sees a patch of 70×70 pixels." in [
        text.get_text() for text in diagram("pix2pix, 256 pixels").axes[0].texts
    ]


@pytest.mark.parametrize("with_pools", [False, True])
def test_receptive_field_is_that_of_the_gradient(with_pools):
    layers = keras.layers
    x = images = keras.Input((31, 31, 1))
    if with_pools:
        x = layers.Conv2D(1, 3, dilation_rate=2, kernel_initializer="ones")(x)
        x = layers.AveragePooling2D(3, 2)(x)
        x = layers.Conv2D(1, 2, kernel_initializer="ones")(x)
    else:
        for kernel, stride in ((5, 2), (3, 1), (4, 2)):
            x = layers.Conv2D(1, kernel, stride, kernel_initializer="ones")(x)
    model = keras.Model(images, x)
    changed = np.zeros((31, 31), bool)
    one = np.eye(31 * 31).reshape(-1, 31, 31, 1)
    changed.flat[:] = model.predict(one, verbose=0, batch_size=512)[:, 0, 0, 0] != 0
    assert changed.any(0).sum() == diagrams.receptive_field(model)
