"""Callbacks for `fit`: progress, images, measures, losses that are NaN, and their order."""

import time
from importlib.util import find_spec

import keras
import numpy as np
from tqdm.keras import TqdmCallback

from recipes import plotting
from recipes.datasets.files import hold, matching, not_a_file, release
from recipes.datasets.image_files import read
from recipes.training.batches import set_epoch
from recipes.training.checks import check_count, check_images
from recipes.training.distribution import optimizers_of
from recipes.training.resume import Resume, bad_weights

LEARNING_RATE = (keras.callbacks.LearningRateScheduler, keras.callbacks.ReduceLROnPlateau)


def progress():
    """One progress bar over the epochs, with the losses; goes with `fit(verbose=0)`."""
    return TqdmCallback(verbose=0)


GIF = "training.gif"


class ImageGrid(keras.callbacks.Callback):
    """Generates the same images every few epochs: shown in the notebook, kept as PNG and as GIF.

    Given real images, it also reports mode collapse: all generated images are (nearly) the same,
    though they differed before, or though two thirds of the training are over. It does not see
    that all are of one class, if they differ within it.

    Args:
        draw: function of the model that returns images, `(count, height, width, channels)` in
            [-1, 1], with 1 or 3 channels: the same ones each time, but for what the model has
            learned.
        folder: where `epoch-0001.png` and so on go, and at the end `training.gif`. A new training
            removes those of the one before; files of these names from elsewhere are an error.
        every: epochs from one grid to the next; the first and the last epoch get one anyway.
        columns: images in a row.
        real: a few real images, shape and range as those of `draw`, as different from one another
            as the generated ones should be.
    """

    remembered = ("greatest", "collapsed")  # by `Resume`

    def __init__(self, draw, folder, every=1, columns=8, real=None):
        super().__init__()
        check_count("every", every)
        check_count("columns", columns)
        self.folder = not_a_file(folder).absolute()  # the working directory may change
        self.draw, self.every, self.columns = draw, every, columns
        self.handle, self.greatest, self.collapsed = None, 0.0, False
        if real is not None:
            check_images(real, "real")
            if len(real) < 2:
                raise ValueError("real: 1 image, but how they differ takes 2 or more")
        self.real_diversity = None if real is None else diversity(real)

    def on_train_begin(self, logs=None):
        images = self.draw(self.model)  # better now than after an epoch
        shape = np.shape(images)
        if len(shape) != 4 or shape[-1] not in (1, 3):
            raise ValueError(
                f"draw: images of shape {shape}, but (count, height, width, 1 or 3) can be shown; "
                "of more channels let draw return images[..., :3]"
            )
        plotting.mosaic(images, self.columns)
        for path in (*self.paths(), self.folder / GIF):
            if path.exists() and not plotting.is_ours(path):
                raise ValueError(
                    f"{path} is an image that no ImageGrid wrote, and one of that name is to be "
                    "written: choose another folder"
                )
        hold(self.folder)

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 0:  # a new training: the images of the last one do not belong to it
            for path in self.paths():
                path.unlink()
            self.greatest, self.collapsed = 0.0, False

    def on_epoch_end(self, epoch, logs=None):
        if epoch and (epoch + 1) % self.every and epoch + 1 != self.params["epochs"]:
            return
        images = self.draw(self.model)
        grid = plotting.mosaic(images, self.columns)
        plotting.save_png(grid, self.folder / f"epoch-{epoch + 1:04d}.png")
        self.handle = plotting.display_image(grid, self.handle)
        if self.real_diversity:
            self.report_collapse(epoch + 1, diversity(images))

    def report_collapse(self, epoch, found):
        """Prints a line, once, if images of diversity `found` are too alike."""
        ratio = found / self.real_diversity
        self.greatest = max(self.greatest, ratio)
        # Digits, 32 at a time: 0.6 to 1.1 when it goes well, below 0.05 when all are the same. In
        # the first few hundred steps they are alike as well, so that alone says nothing.
        fallen = ratio < 0.25 * self.greatest and self.greatest > 0.2
        never = ratio < 0.1 and epoch >= max(3, 2 / 3 * self.params["epochs"])
        if (fallen or never) and not self.collapsed:
            print(
                f"epoch {epoch}: mode collapse, the generated images are alike (standard deviation "
                f"across them {found:.3f}, across real ones {self.real_diversity:.3f}). More "
                "epochs rarely help: try a lower learning rate, beta_1=0.5, or another seed"
            )
        self.collapsed = bool(fallen or never)

    def on_train_end(self, logs=None):
        if self.paths():
            plotting.save_gif([read(path) for path in self.paths()], self.folder / GIF)
        release(self.folder)

    def paths(self):
        """The grids so far, oldest first."""
        return matching(self.folder, r"epoch-\d{4,}\.png")


def diversity(images):
    """How much images `(count, height, width, channels)` differ: the standard deviation across
    them, as the mean over all pixels; a float."""
    return float(np.std(np.asarray(images, np.float32), axis=0, ddof=1).mean())


class Measure(keras.callbacks.Callback):
    """Measures the model every few epochs, for example the images that it generates.

        measure = Measure(
            lambda gan: metrics.evaluate_images(evaluator, gan.generate(500, seed=0), held_out),
            every=2,
        )
        gan.fit(dataset, epochs=10, callbacks=[measure])
        plotting.show_curves({"GAN": ("distance", {"Fréchet": measure.curve("frechet")})})

    What it finds is part of the epoch's log, which `EarlyStopping("frechet", mode="min")` can
    watch; an epoch without a measurement repeats the last one, so that patience counts epochs.
    `RecipeModel.fit` puts it before the other callbacks; for another `keras.Model`, name it first.

    Args:
        measure: function of the model that returns a dict, name -> number. What is random in it
            needs a seed of its own, as `generate` has: else it changes the training's.
        every: epochs from one measurement to the next; the first and the last get one anyway.

    Attributes:
        records: the measurements so far, a dict each: `epoch` (from 1), `seconds` (what it took),
            `values` (what `measure` returned, as floats).

    Raises:
        ValueError: `every` is no whole number above 0; or `measure` returns no such dict, a name
            that the log has already, or what is no finite number.
    """

    remembered = ("records",)  # by `Resume`

    def __init__(self, measure, every=1):
        super().__init__()
        check_count("every", every)
        self.measure, self.every, self.records = measure, every, []

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 0:  # a new training
            self.records = []

    def on_epoch_end(self, epoch, logs=None):
        # The first one that it sees gets a measurement: CSVLogger takes its columns from it.
        if not self.records or not (epoch + 1) % self.every or epoch + 1 == self.params["epochs"]:
            start = time.perf_counter()
            values = self.measure(self.model)
            seconds = time.perf_counter() - start
            if not isinstance(values, dict) or not values:
                raise ValueError(f"measure: has to return a dict, name -> number, not {values!r}")
            for name, value in values.items():
                if name in logs:
                    raise ValueError(f"measure: the log has a value {name!r} already; rename it")
                if np.ndim(value) or not np.issubdtype(np.asarray(value).dtype, np.number):
                    raise ValueError(f"measure: {name} is {value!r}, but a number is needed")
                if not np.isfinite(value):
                    raise ValueError(
                        f"measure: {name} is {value} after epoch {epoch + 1}, but a finite number "
                        "is needed"
                    )
            values = {name: float(value) for name, value in values.items()}
            record = {"epoch": epoch + 1, "seconds": seconds, "values": values}
            self.records = [*self.records, record]
        logs.update(self.records[-1]["values"])

    def curve(self, name):
        """(epochs, values) of one measure, two lists, as `plotting.show_curves` takes them."""
        return [x["epoch"] for x in self.records], [x["values"][name] for x in self.records]

    @property
    def seconds(self):
        """What all measurements together took."""
        return sum(record["seconds"] for record in self.records)


class StopOnNaN(keras.callbacks.Callback):
    """Stops a training whose losses are NaN or infinite, and says which one went first.

    `RecipeModel.fit` adds it to every training. (Keras' TerminateOnNaN looks at `loss` alone, and
    ends the training as if it were done.)

    Raises:
        FloatingPointError: a value of the log, or at an epoch's end a weight, is NaN or infinite.
            The message names epoch, step, all values that are, and the last checkpoint of the
            training's `resume`, if it has one.
    """

    def __init__(self, resume=None):
        super().__init__()
        self.resume = resume

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch + 1

    # At every step: the mean over an epoch stays NaN once it is, but does not say since when.
    def on_train_batch_end(self, batch, logs=None):
        self.check(logs, f"step {batch + 1}")

    def on_epoch_end(self, epoch, logs=None):
        self.check(logs, "validation")
        # A loss may stay finite all the same: ReLU makes 0 of NaN.
        self.stop(bad_weights(self.model), "its end")

    def check(self, logs, where):
        # A metric may have a value for each class.
        bad = [f"{k} is {v}" for k, v in (logs or {}).items() if not np.isfinite(v).all()]
        self.stop(", ".join(bad), where)

    def stop(self, what, where):
        if what:
            saved = self.resume.last_good() if self.resume else "There is no checkpoint."
            raise FloatingPointError(
                f"epoch {self.epoch}, {where}: {what}. The training stops here, since "
                f"nothing can be learned from that. {saved} A lower learning rate or clipped "
                "gradients often help; look for odd values in the data, too"
            )


class SetEpoch(keras.callbacks.Callback):
    """Tells `Batches` which epoch a training is in, so that each epoch has an order of its own.

    `RecipeModel.fit` adds it to every training; the `fit` of another `keras.Model` needs it.
    """

    def on_epoch_begin(self, epoch, logs=None):
        set_epoch(epoch)

    def on_train_end(self, logs=None):
        set_epoch(0)


def arrange_callbacks(callbacks, model):
    """The callbacks of a training: `StopOnNaN`, each `Measure`, the others given, `Resume`.

    So nothing is measured, drawn or saved of weights that are NaN, the others see what was
    measured, and a checkpoint comes after all that belongs to its epoch.

    Raises:
        ValueError: one of them changes the learning rate, but the model has several optimizers;
            two `ImageGrid` write to one folder; `Resume` cannot restore one, or is there twice; or
            TensorBoard is not installed.
    """
    callbacks = list(each_callback(callbacks or []))
    resumes = [callback for callback in callbacks if isinstance(callback, Resume)]
    if len(resumes) > 1:
        raise ValueError(f"{len(resumes)} Resume in one training: leave one of them")
    ours = (Resume, StopOnNaN, SetEpoch)
    others = [callback for callback in callbacks if not isinstance(callback, ours)]
    others.sort(key=lambda callback: not isinstance(callback, Measure))
    count = len(optimizers_of(model))
    for callback in others:
        if isinstance(callback, LEARNING_RATE) and count > 1:
            raise ValueError(
                f"{type(callback).__name__} would change one of the {count} optimizers of "
                f"{type(model).__name__}: give compile a learning rate that is a "
                "keras.optimizers.schedules.LearningRateSchedule"
            )
        # Keras notices only when the first epoch is done.
        if isinstance(callback, keras.callbacks.TensorBoard) and not find_spec("tensorboard"):
            raise ValueError("TensorBoard is not installed: pip install tensorboard")
    folders = [callback.folder.resolve() for callback in others if isinstance(callback, ImageGrid)]
    if len(set(folders)) < len(folders):
        raise ValueError(
            f"two ImageGrid would write to the same folder, one over the other, of "
            f"{', '.join(map(str, folders))}: give each its own"
        )
    for resume in resumes:
        resume.arrange(others)
    return [SetEpoch(), StopOnNaN(resumes[0] if resumes else None), *others, *resumes]


def each_callback(callbacks):
    """The callbacks in a list, a `CallbackList`, or lists of them; or the one that is given."""
    for callback in keras.tree.flatten(callbacks):
        if isinstance(callback, keras.callbacks.CallbackList):
            yield from each_callback(callback.callbacks)
        else:
            yield callback
