"""The README's first picture, of what the notebooks have left behind: docs/strip.png.

    RECIPES_DATA_DIR=... .venv/bin/python -m tools.strip build/render

Nothing in it is from a data set that may not be shown: the street and the scene are drawn, and the
photo comes with Matplotlib. Few panels and large letters, so that it can be read on a phone.
"""

import argparse
from pathlib import Path

import matplotlib.cbook
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from toyworlds import scenes, streets

from recipes import backbones, fgsm, plotting
from recipes.captioning import Captioner, attention_in_boxes, generate
from recipes.classifiers import predict
from recipes.datasets import image_files, scale
from recipes.datasets.files import data_root
from recipes.showcase import load_showcase
from recipes.translation import translate
from tools import common

SIDE = 360  # pixels of a panel
SIZE = 64  # pixels of a translated image
EPSILON = 0.01  # of the attack


def find(outputs, name):
    """The one file or folder of that name."""
    found = sorted(outputs.rglob(name))
    if len(found) != 1:
        raise SystemExit(f"{len(found)} of {name} in {outputs}, but 1 is needed")
    return found[0]


def street(_):
    _, labels = streets.scene((0, 1, 1), SIZE, day="clear", colours=2)  # none it was trained on
    yield "label map", labels
    yield "→ street", plotting.to_uint8(translate(load_showcase("pix2pix"), labels))


def attack(outputs):
    weights = data_root() / "weights/mobilenet_v2_imagenet.weights.h5"
    network = backbones.load_classifier("MobileNetV2", weights)
    names = backbones.class_names(weights)
    path = matplotlib.cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    photo = scale(image_files.load([path], network.input_shape[1:3]))
    both = np.concatenate([photo, fgsm.fgsm(network, photo, epsilon=EPSILON)])
    labels, _ = predict(network, both)
    for how, image, label in zip(("", "→ "), both, labels, strict=True):
        yield f"{how}{names[label].replace('_', ' ')}", plotting.to_uint8(image)


def attention(outputs, seeds=range(20_000, 20_030)):
    """Of some scenes, the noun whose attention is most in its box."""
    captioner = Captioner.load(find(outputs, "07_attention_captioning/captioner"))
    drawn, grid = [scenes.draw(seed, 224) for seed in seeds], captioner.extractor.shape[:2]
    made = generate(captioner.model, captioner.extractor([image for image, _ in drawn]), 3)
    found = []
    for (image, objects), numbers, maps in zip(drawn, made.words, made.attention, strict=True):
        words = captioner.vocabulary.tokens(numbers)
        boxes = [(x["category"], np.array(x["box"]) / 224) for x in objects]
        for noun in attention_in_boxes(words, maps, grid, boxes, scenes.nouns()):
            if noun.area < 0.2:  # of a lake, any attention would be inside
                place = words.index(noun.word)
                found.append((noun.share, noun.word, image, maps[: len(words)], place))
    _, word, image, maps, place = max(found, key=lambda noun: noun[0])
    yield f"attention: {word}", plotting.attention_panels(image, maps, grid)[place]


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
    panels = [x for make in (attack, street, attention) for x in make(outputs)]
    figure, axes = plt.subplots(1, len(panels), figsize=(3.66 * len(panels), 4.2), dpi=100)
    for axis, (title, image) in zip(axes, panels, strict=True):
        axis.imshow(square(image))
        axis.set_title(title, fontsize=27)
        axis.axis("off")
    figure.subplots_adjust(left=0.002, right=0.998, bottom=0, top=0.87, wspace=0.03)
    figure.savefig(common.ROOT / "docs/strip.png")


if __name__ == "__main__":
    main()
