"""The table of the README: what an ImageNet classifier sees in photos under FGSM.

    RECIPES_DATA_DIR=... python -m benchmarks.fgsm_imagenet

Reads `weights/mobilenet_v2_imagenet.weights.h5`, `weights/imagenet_class_index.json` and
`photos/*.jpg` from the data root. No label is given: the attack leads away from what is seen at
first. Epsilons are on the scale from -1 to 1.
"""

import argparse

from recipes import attacks, backbones, fgsm
from recipes.datasets import image_files, scale
from recipes.datasets.files import data_root
from recipes.training.runtime import setup

EPSILONS = [0.0, 0.005, 0.01, 0.1, 0.15, 0.2]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--net", default="MobileNetV2")
    parser.add_argument("--weights", default=None, help="a weights file, or imagenet")
    arguments = parser.parse_args()
    setup("reduced", 0)
    weights = data_root() / "weights" / "mobilenet_v2_imagenet.weights.h5"
    weights = arguments.weights or weights
    model = backbones.load_classifier(arguments.net, weights)
    names = backbones.class_names(weights)
    paths = image_files.find(data_root() / "photos")
    photos = scale(image_files.load(paths, model.input_shape[1:3]))
    labels, sure = attacks.predict(model, fgsm.fgsm(model, photos, epsilon=EPSILONS))
    print("\n| photo | " + " | ".join(f"epsilon {epsilon:g}" for epsilon in EPSILONS) + " |")
    print("| --- " * (len(EPSILONS) + 1) + "|")
    for i, path in enumerate(paths):
        cells = [
            f"{names[label]} {confidence:.2f}"
            for label, confidence in zip(labels[:, i], sure[:, i], strict=True)
        ]
        print(f"| {path.stem} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
