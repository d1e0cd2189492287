"""All that is needed to caption a photo, in one folder."""

import hashlib
from pathlib import Path

from recipes.captioning.beam_search import generate
from recipes.captioning.features import EXTRACTOR_FILES, ImageCaptionFeatureExtractor, load_model
from recipes.captioning.model import CaptionModel
from recipes.captioning.vocabulary import Vocabulary
from recipes.datasets.files import load_json, save_json, whole_folder

MODEL, VOCABULARY, CONFIG = "captioner.keras", "vocabulary.json", "captioner.json"
OWN_FILES = (MODEL, VOCABULARY, CONFIG, *EXTRACTOR_FILES)


class Captioner:
    """A trained captioner with its vocabulary and the extractor of its features.

        from recipes.captioning import Captioner

        print(Captioner.load("outputs/captioner").caption(["photo.jpg"]))

    Args:
        model: a `CaptionModel`.
        vocabulary, extractor: the `Vocabulary` and the `ImageCaptionFeatureExtractor` that it was
            trained with.

    Raises:
        ValueError: a vocabulary or an extractor that does not go with the model.
    """

    def __init__(self, model, vocabulary, extractor):
        if len(vocabulary) != model.vocabulary_size:
            raise ValueError(
                f"vocabulary: it has {len(vocabulary)} words, but the captioner was built for "
                f"{model.vocabulary_size}: it is that of another model"
            )
        if tuple(extractor.shape) != tuple(model.feature_shape):
            raise ValueError(
                f"extractor: its features have the shape {tuple(extractor.shape)}, but the "
                f"captioner was built for {tuple(model.feature_shape)}"
            )
        self.model, self.vocabulary, self.extractor = model, vocabulary, extractor

    def caption(self, images, beams=3, **options):
        """Captions of photos.

        Args:
            images: a file, a folder, whose photos are taken by name, a PIL image, or a uint8
                array or tensor `(height, width, 3)`; a list of them; or a uint8 batch.
            beams: beam width; 1 is greedy decoding.
            **options: go to `generate`.

        Returns:
            A list of str, in the order of the images, also for a single one.

        Raises:
            ValueError: no images, or some that cannot be read, all in one message.
            MissingDataError: no such folder.
        """
        made = generate(self.model, self.extractor(images), beams, **options)
        return self.vocabulary.decode(made.words)

    def save(self, folder):
        """Writes a folder, whole or not at all.

        A captioner that was saved there is replaced; other files in the folder stay. While one
        process saves, another one that wants to save there waits.

        Raises:
            ValueError: the folder holds something, but no captioner.
            OSError: the folder cannot be written.
        """
        folder = Path(folder)
        if folder.exists() and not (folder / CONFIG).is_file() and any(folder.iterdir()):
            raise ValueError(f"{folder} is not empty and holds no captioner: give another folder")

        advice = "; what was saved there before is unchanged"
        with whole_folder(folder, own=lambda folder: OWN_FILES, advice=advice) as part:
            self.model.save(part / MODEL)
            self.vocabulary.save(part / VOCABULARY)
            self.extractor.save(part)
            save_json(part / CONFIG, {"vocabulary_sha256": _digest(self.vocabulary)})

    @classmethod
    def load(cls, folder, weights=None):
        """A captioner that `save` has written.

        Args:
            folder: where it was saved.
            weights: where the backbone's weights file lies now, if not where it did.

        Raises:
            FileNotFoundError: there is no captioner, or its backbone's weights are gone.
            ValueError: damaged files, or files of another captioner.
        """
        folder = Path(folder)
        if not (folder / CONFIG).is_file():
            raise FileNotFoundError(f"there is no captioner in {folder}: no {CONFIG}")
        vocabulary = Vocabulary.load(folder / VOCABULARY)
        config = load_json(folder / CONFIG, vocabulary_sha256=str)
        if config["vocabulary_sha256"] != _digest(vocabulary):
            raise ValueError(f"{folder / VOCABULARY} is the vocabulary of another captioner")
        model = load_model(folder / MODEL)
        if not isinstance(model, CaptionModel):
            raise ValueError(f"{folder / MODEL} is a {type(model).__name__}, not a captioner")
        return cls(model, vocabulary, ImageCaptionFeatureExtractor.load(folder, weights=weights))


def _digest(vocabulary):
    return hashlib.sha256("\n".join(vocabulary.words).encode()).hexdigest()
