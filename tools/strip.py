"""The README's first picture, of what the notebooks have left behind: docs/strip.png.

    RECIPES_DATA_DIR=... .venv/bin/python -m tools.strip build/render

Nothing in it is from a data set that may not be shown: digits are generated, streets, landscapes
and scenes are drawn, and the photo comes with Matplotlib.
"""

import argparse
from pathlib import Path

import keras
import matplotlib.cbook
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from toyworlds import landscapes, scenes, streets

from recipes import backbones, fgsm, plotting
from recipes.captioning import Captioner, generate
from recipes.classifiers import predict
from recipes.datasets import image_files, scale
from recipes.datasets.files import data_root
from recipes.translation import translate
from tools import common

SIDE = 200  # pixels of a panel
SIZE = 64  # pixels of a translated image
EPSILON = 0.01  # of the attack


def find(outputs, name):
    """The one file or folder of that name."""
    found = sorted(outputs.rglob(name))
    if len(found) != 1:
        raise SystemExit(f"{len(found)} of {name} in {outputs}, but 1 is needed")
    return found[0]


def digits(outputs):
    gan = keras.models.load_model(find(outputs, "dcgan.keras"))
    yield "DCGAN: digits out of noise", plotting.mosaic(gan.generate(16, seed=3), columns=4)


def street(outputs):
    generator = keras.models.load_model(find(outputs, "03_pix2pix/generator.keras"))
    _, labels = streets.scene(3, SIZE, day="clear", colours=2)
    yield "Pix2Pix: a label map", labels
    yield "becomes a street", plotting.to_uint8(translate(generator, labels))


def season(outputs):
    generator = keras.models.load_model(find(outputs, "summer2winter.keras"))
    summer = landscapes.landscape(10_003, size=SIZE)
    yield "CycleGAN: a summer", summer
    yield "becomes a winter", plotting.to_uint8(translate(generator, summer))


def attack(outputs):
    weights = data_root() / "weights/mobilenet_v2_imagenet.weights.h5"
    network = backbones.load_classifier("MobileNetV2", weights)
    names = backbones.class_names(weights)
    path = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    photo = scale(image_files.load([path], network.input_shape[1:3]))
    both = np.concatenate([photo, fgsm.fgsm(network, photo, epsilon=EPSILON)])
    labels, shares = predict(network, both)
    for how, image, label, share in zip(("FGSM: ", ""), both, labels, shares, strict=True):
        yield f"{how}{names[label].replace('_', ' ')}, {share:.0%}", plotting.to_uint8(image)


def attention(outputs, seed=20_011):
    captioner = Captioner.load(find(outputs, "07_attention_captioning/captioner"))
    image = np.asarray(scenes.draw(seed, 224)[0])
    made = generate(captioner.model, captioner.extractor([image]), 3)
    words = captioner.vocabulary.tokens(made.words[0])
    maps, grid = made.attention[0][: len(words)], captioner.extractor.shape[:2]
    yield "Captioning: a scene", image
    named = {word for forms in scenes.nouns().values() for word in forms}
    word = next(i for i, word in enumerate(words) if word in named)
    yield f"attention for “{words[word]}”", plotting.attention_panels(image, maps, grid)[word]


def square(image):
    """The middle of an image, (SIDE, SIDE, 3)."""
    side = min(image.shape[:2])
    top, left = ((length - side) // 2 for length in image.shape[:2])
    middle = Image.fromarray(image[top : top + side, left : left + side])
    return np.asarray(middle.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("outputs", type=Path)
    outputs = parser.parse_args().outputs
    panels = [x for make in (digits, street, season, attack, attention) for x in make(outputs)]
    figure, axes = plt.subplots(1, len(panels), figsize=(2.05 * len(panels), 2.35), dpi=100)
    for axis, (title, image) in zip(axes, panels, strict=True):
        axis.imshow(square(image))
        axis.set_title(title, fontsize=11)
        axis.axis("off")
    figure.tight_layout(pad=0.3)
    figure.savefig(common.ROOT / "docs/strip.png")


if __name__ == "__main__":
    main()
