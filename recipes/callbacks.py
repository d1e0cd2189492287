"""Callbacks for `fit`: progress, pictures as the net learns, going on after an interruption."""

import json
import os
from pathlib import Path

import keras
from tqdm.keras import TqdmCallback

from recipes import plotting
from recipes.replicas import from_first


def progress():
    """One progress bar over the epochs, with the losses; goes with `fit(verbose=0)`."""
    return TqdmCallback(verbose=0)


class PictureGrid(keras.callbacks.Callback):
    """Draws the same pictures every few epochs: shown in the notebook, kept as PNG and as GIF.

    Args:
        draw: function of the model that returns pictures, `(count, height, width, channels)` in
            [-1, 1], the same ones each time but for what the model has learnt.
        folder: where `epoch-0001.png` and so on go, and at the end `training.gif`.
        every: epochs from one grid to the next; the first and the last epoch get one anyway.
        columns: pictures in a row.
    """

    def __init__(self, draw, folder, every=1, columns=8):
        super().__init__()
        self.draw, self.folder, self.every, self.columns = draw, Path(folder), every, columns
        self.handle = None

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 0:  # a new training: the pictures of the last one do not belong to it
            for path in self.paths():
                path.unlink()

    def on_epoch_end(self, epoch, logs=None):
        if epoch and (epoch + 1) % self.every and epoch + 1 != self.params["epochs"]:
            return
        picture = plotting.mosaic(self.draw(self.model), self.columns)
        plotting.save_png(picture, self.folder / f"epoch-{epoch + 1:04d}.png")
        self.handle = plotting.display_picture(picture, self.handle)

    def on_train_end(self, logs=None):
        if self.paths():
            plotting.save_gif(self.paths(), self.folder / "training.gif")

    def paths(self):
        """The grids so far, oldest first."""
        return sorted(self.folder.glob("epoch-*.png"))


class Resume(keras.callbacks.Callback):
    """Lets a training that was interrupted go on from its last whole epoch, exactly.

        resume = Resume(folder, batches)
        done = resume.restore(model)
        model.fit(batches.dataset, epochs=9, initial_epoch=done, callbacks=[resume])

    After each epoch all that the model saves (a GAN: weights, optimizers, random seeds) is written
    to one file under a temporary name, which is then renamed: whenever the process dies, the last
    file is whole. (Keras' BackupAndRestore writes weights and epoch number to two files; a kill
    between the two repeats an epoch on weights that have had it.) When the training ends, the
    files are removed.

    Args:
        folder: where the checkpoints go; one training at a time.
        *batches: the `Batches` that the training reads, which are set to the right epoch.
    """

    def __init__(self, folder, *batches):
        super().__init__()
        self.folder, self.batches = Path(folder), batches
        self.history, self.restored = {}, False

    def restore(self, model):
        """Loads the last checkpoint into `model`, if there is one.

        Returns:
            int, the epochs that are done: `fit`'s `initial_epoch`.

        Raises:
            ValueError: the checkpoint is of another model.
        """
        self.restored, self.history = True, {}
        return from_first(model, self._load(model))

    def _load(self, model):
        checkpoints = self.checkpoints()
        if not checkpoints:
            return 0
        path = checkpoints[-1]
        try:
            model.load_weights(path)
        except (ValueError, KeyError, OSError) as error:
            raise ValueError(
                f"{path} is not a checkpoint of this model ({error}); remove {self.folder} to "
                "start anew, or choose another folder"
            ) from error
        epoch = int(path.name.split(".")[0].split("-")[1])
        history = json.loads((self.folder / "history.json").read_text())
        self.history = {name: values[:epoch] for name, values in history.items()}
        print(f"going on after epoch {epoch}, from {path}")
        return epoch

    def on_train_begin(self, logs=None):
        if not self.restored and self.checkpoints():
            raise ValueError(
                f"{self.folder} holds a checkpoint: pass initial_epoch=resume.restore(model) to "
                "fit, or remove the folder to start anew"
            )

    def on_epoch_begin(self, epoch, logs=None):
        for batches in self.batches:
            batches.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        for name, value in (logs or {}).items():
            self.history.setdefault(name, []).append(float(value))
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / "history.json.part"
        part.write_text(json.dumps(self.history))
        os.replace(part, self.folder / "history.json")
        part = self.folder / "part.weights.h5"
        self.model.save_weights(part, overwrite=True)
        os.replace(part, self.folder / f"epoch-{epoch + 1:04d}.weights.h5")
        for old in self.checkpoints()[:-2]:  # two are kept, should a disk lose the last
            old.unlink()

    def on_train_end(self, logs=None):
        self.model.history.history = self.history  # the whole curve, not only the last part
        for path in [*self.checkpoints(), self.folder / "history.json"]:
            path.unlink(missing_ok=True)

    def checkpoints(self):
        return sorted(self.folder.glob("epoch-*.weights.h5"))
