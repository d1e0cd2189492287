"""Features of photos: Keras' own reader and one `predict` a photo, against the extractor."""

import atexit
import shutil
import tempfile
from pathlib import Path

import keras
import numpy as np
from PIL import Image

from recipes.captioning.features import ImageCaptionFeatureExtractor

SIZE = 224


def ways(photos=48):
    keras.utils.set_random_seed(0)
    paths = draw(photos)
    extractor = ImageCaptionFeatureExtractor("MobileNetV2", weights=None)
    return {
        f"{photos} photos of {SIZE}x{SIZE}, MobileNetV2": (
            f"{photos} photos",
            3,
            {
                "classic": lambda: classic(extractor.backbone, paths),
                "batched, read ahead": lambda: extractor.extract_features(paths),
            },
        )
    }


def draw(photos):
    """Smooth noise as JPEG files, in a folder that goes with the process."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    rng, paths = np.random.default_rng(0), []
    for i in range(photos):
        noise = Image.fromarray(rng.integers(0, 256, (28, 28, 3), np.uint8))
        paths.append(folder / f"{i:03}.jpg")
        noise.resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(paths[-1], quality=90)
    return paths


def classic(model, paths):
    rows = {}
    for path in paths:
        image = keras.utils.load_img(path, target_size=(SIZE, SIZE))
        array = keras.utils.img_to_array(image)[np.newaxis] / 127.5 - 1
        rows[path.name] = model.predict(array, verbose=0)
    return rows
