"""Features of photos: a frozen network runs over them once, and its features are kept.

`feature_file` says how they are kept.
"""

import collections
import functools
import hashlib
import itertools
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image
from tqdm import tqdm

from recipes.backbones import PUBLISHED, load_backbone
from recipes.captioning.feature_file import FeatureFile, Features
from recipes.datasets import files, image_files, scale

__all__ = ["Features", "ImageCaptionFeatureExtractor"]

CONFIG, MODEL = EXTRACTOR_FILES = "extractor.json", "extractor.keras"
CONFIG_KINDS = {
    "backbone": (str, type(None)), "weights": (str, type(None)), "spatial": bool,
    "dtype": str, "batch_size": int, "weights_sha256": str,
}  # fmt: skip


class ImageCaptionFeatureExtractor:
    """Runs a frozen network over photos, in batches, while threads read the next ones.

        extractor = ImageCaptionFeatureExtractor("MobileNetV2", "outputs/features")
        features = extractor.extract_features("photos")
        features.array[features.rows(["photos/dog.jpg"])]

    Args:
        feature_extractor: a name or a `keras.Model`, as for `load_backbone`; by default VGG16.
        output_path: the folder for the features; by default they stay in memory.
        weights, spatial: as for `load_backbone`.
        dtype: of the features, "float16" or "float32".
        batch_size: photos that go through the network at once.

    Attributes:
        backbone: the frozen `keras.Model`, from images in [-1, 1] to features.
        size: (height, width) of its images.
        shape: of the features of one photo.

    Raises:
        ValueError, FileNotFoundError, ConnectionError: as `load_backbone`; or another dtype, or an
            `output_path` that is a file.
    """

    def __init__(
        self,
        feature_extractor=None,
        output_path=None,
        *,
        weights="pretrained",
        spatial=False,
        dtype="float16",
        batch_size=32,
    ):
        network = "VGG16" if feature_extractor is None else feature_extractor
        config = {
            "backbone": None if isinstance(network, keras.Model) else network,
            "weights": weights if weights in (None, *PUBLISHED) else os.path.abspath(weights),
            "spatial": bool(spatial),
            "dtype": np.dtype(dtype).name,
            "batch_size": batch_size,
        }
        self._set_up(config, output_path, lambda: load_backbone(network, weights, spatial))

    def _set_up(self, config, output_path, load):
        files.check_choice("dtype", config["dtype"], ("float16", "float32"))
        if not (isinstance(config["batch_size"], int) and config["batch_size"] > 0):
            raise ValueError(f"batch_size {config['batch_size']!r}: a number above 0 is needed")
        self.output_path = (
            None if output_path is None else files.not_a_file(output_path, "output_path")
        )
        self.backbone = backbone = load()
        self.size, self.shape = backbone.input_shape[1:3], backbone.output_shape[1:]
        self.dtype, self.batch_size = np.dtype(config["dtype"]), config["batch_size"]
        self._config = config
        # XLA would be slower on a CPU; without autograph errors come out as they were raised.
        self._net = tf.function(
            lambda images: tf.cast(backbone(scale(images), training=False), tf.float32),
            input_signature=[tf.TensorSpec((None, *self.size, 3), tf.uint8)],
            autograph=False,
            jit_compile=False,
        )

    def extract_features(self, image_paths, skip_bad=False):
        """The features of photos in files; those in `output_path`, if they are of the same photos.

        An extraction that was interrupted goes on where it stopped. Features of other photos, or
        of photos that have changed since, are made anew, and a printed line says why.

        Args:
            image_paths: list of files, of any size; or one file, or a folder.
            skip_bad: leave out photos that cannot be read, and print which; else they are an error
                at the end, after which all the rest need not be done again.

        Returns:
            `Features`, in the order of `image_paths`.

        Raises:
            ValueError: no photos; photos that cannot be read, all in one message; `output_path`
                holds features of another network or dtype, or damaged files; or features that are
                not finite in `dtype`.
            MissingDataError: no such folder.
            OSError: `output_path` cannot be written.
        """
        paths = _listed(image_paths)
        if self.output_path is None:
            array, bad = self._in_memory(paths)
        else:
            if any(isinstance(path, np.ndarray) for path in paths):
                raise ValueError(
                    "image_paths: with an output_path they have to be files; extractor(images) "
                    "takes images too"
                )
            file = FeatureFile(self.output_path, paths, self.settings)
            if not file.finished:
                with files.locked(self.output_path / "features"):
                    file.start()
                    for rows, faults in self._run(paths, file.index["done"]):
                        file.add(rows, faults)
            array, bad = file.open()
        _report(bad, paths, skip_bad)
        gone = {i for i, _ in bad}
        return Features(array, [path for i, path in enumerate(paths) if i not in gone])

    def __call__(self, images):
        """The features of a few photos, in memory.

        Args:
            images: a file, a folder, a PIL image, or a uint8 array or tensor `(height, width, 3)`;
                a list of them, of any sizes; or uint8 `(batch, height, width, 3)`.

        Returns:
            array of `dtype`, `(batch, channels)` or `(batch, rows, columns, channels)`.

        Raises:
            ValueError, MissingDataError: as for `extract_features`.
        """
        images = _listed(images)
        array, bad = self._in_memory(images)
        _report(bad, images, skip_bad=None)
        return array

    @property
    def settings(self):
        """What the features depend on, but for the photos; JSON can hold it."""
        keys = ("backbone", "size", "shape", "dtype", "weights_sha256")
        return {key: self.config()[key] for key in keys}

    def config(self):
        """All that describes this extractor; JSON can hold it."""
        made = {"size": list(self.size), "shape": list(self.shape)}
        return {**self._config, **made, "weights_sha256": self._fingerprint}

    @functools.cached_property
    def _fingerprint(self):
        digest = hashlib.sha256()
        for values in self.backbone.weights:
            digest.update(np.ascontiguousarray(values.numpy()))
        return digest.hexdigest()

    def save(self, folder):
        """Writes `extractor.json` into a folder, of which `load` makes this extractor again.

        Weights that are neither published nor in a file go with it, in `extractor.keras`.
        """
        folder = Path(folder)
        config = self.config()
        if _holds_model(config):
            with files.whole_file(folder / MODEL) as part:
                self.backbone.save(part)
        files.save_json(folder / CONFIG, config)

    @classmethod
    def load(cls, folder, output_path=None, weights=None):
        """An extractor that `save` has written.

        Args:
            folder: where it was saved.
            output_path: as for the class.
            weights: where the weights file lies now, if not where it did.

        Raises:
            FileNotFoundError: there is no extractor, or its weights file is gone.
            ValueError: damaged files, or weights that are not those of then.
        """
        path = Path(folder) / CONFIG
        config = files.load_json(path, **CONFIG_KINDS)
        expected = config.pop("weights_sha256")
        if weights is not None:
            config["weights"] = os.path.abspath(weights)

        def backbone():
            if _holds_model(config):
                return load_model(path.with_name(MODEL))  # it is cut already
            return load_backbone(config["backbone"], config["weights"], config["spatial"])

        extractor = cls.__new__(cls)
        try:
            extractor._set_up(config, output_path, backbone)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{path} was made with weights that are not there any more, {config['weights']}; "
                "say where they are: load(folder, weights=...)"
            ) from error
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} describes no extractor that can be made: {error}") from error
        if extractor._fingerprint != expected:
            raise ValueError(
                f"{path} was made with other weights: their SHA-256 was {expected}, but now "
                f"{extractor._fingerprint}"
            )
        return extractor

    def _in_memory(self, images):
        rows, bad = zip(*self._run(images), strict=True)
        return np.concatenate(rows), sum(bad, [])

    def _run(self, images, start=0):
        """Yields for each batch from `start` on its rows, and `[position, fault]` of bad photos."""
        ends = range(start, len(images), self.batch_size)
        cuts = [images[i : i + self.batch_size] for i in ends]
        bar = tqdm(
            desc="features", initial=start, total=len(images), unit="photo", delay=2, leave=False
        )
        with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool, bar:
            ahead = collections.deque(pool.map(self._read, cut) for cut in cuts[:2])
            for first, cut, later in itertools.zip_longest(ends, cuts, cuts[2:], fillvalue=()):
                found = list(ahead.popleft())
                ahead.append(pool.map(self._read, later))
                bad = [[first + i, text] for i, text in enumerate(found) if isinstance(text, str)]
                good = [first + i for i, x in enumerate(found) if not isinstance(x, str)]
                rows = np.empty((0, *self.shape), self.dtype)
                if good:
                    rows = self._predict(np.stack([found[i - first] for i in good]))
                finite = np.isfinite(rows).all(tuple(range(1, rows.ndim)))
                if not finite.all():
                    raise ValueError(
                        f"the features of {_name(images, good[finite.argmin()])} are not finite "
                        f'in {self.dtype}: choose dtype="float32", or look at the network'
                    )
                yield rows, bad
                bar.update(len(cut))

    def _read(self, image):
        """An image of the network's size, or a text that says why there is none."""
        try:
            if not isinstance(image, np.ndarray):
                image = image_files.read(image)
            elif image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
                return f"{image.dtype} {image.shape}, but uint8 (height, width, 3) is needed"
            return image_files.resize(image, self.size)
        except (ValueError, OSError) as error:
            return str(error)

    def _predict(self, batch):
        with np.errstate(over="ignore"):  # what is too large for float16 is an error of `_run`
            return self._net(batch).numpy().astype(self.dtype)


def _holds_model(config):
    """Whether the network itself has to be saved: no name and no file leads to its weights."""
    return config["backbone"] is None or config["weights"] is None


def _listed(images):
    """A list of what was handed in: files and uint8 arrays."""
    if isinstance(images, (str, os.PathLike)):
        path = Path(images)
        images = [path] if path.is_file() else image_files.find(path)
    elif isinstance(images, Image.Image) or len(getattr(images, "shape", ())) == 3:
        images = [images]
    images = [_file_or_array(image) for image in images]
    if not images:
        raise ValueError("there are no photos to extract features from: the list is empty")
    return images


def _file_or_array(image):
    if isinstance(image, (str, os.PathLike)):
        return Path(image)
    return image_files.from_pil(image) if isinstance(image, Image.Image) else np.asarray(image)


def _report(bad, images, skip_bad):
    faults = [(_name(images, i), text) for i, text in bad]
    image_files.report(faults, len(images), skip_bad, "photos")


def _name(images, i):
    return f"image {i}" if isinstance(images[i], np.ndarray) else str(images[i])


def load_model(path):
    """A model that was saved for us, in Keras' safe mode: no code comes out of the file.

    Raises:
        ValueError: the file is damaged, or holds code.
    """
    try:
        return keras.models.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # of damaged files Keras says almost anything
        raise ValueError(f"{path} cannot be loaded: {error}") from error
