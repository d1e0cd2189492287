"""What the recipes' models share: settings that are saved, seeds that resume, a checked `fit`."""

import keras
import tensorflow as tf

from recipes.training.callbacks import Resume, in_order, seeds_of
from recipes.training.checks import first_batch


class RecipeModel(keras.Model):
    """Base of the models that the recipes train.

    Args:
        settings: the arguments of the recipe's `__init__`, by name; each becomes an attribute.
    """

    def __init__(self, settings, **kwargs):
        super().__init__(**kwargs)
        self.settings = settings
        for name, value in settings.items():
            setattr(self, name, value)

    def get_config(self):
        return {**super().get_config(), **self.settings}

    def seeds(self):
        """The states of all random generators: of the noise, and of dropout."""
        return seeds_of(self)

    def save_own_variables(self, store):
        # Keras leaves these out of its files. Then a resumed run draws the noise of the first
        # steps again, and ends elsewhere than one that was never interrupted.
        for i, state in enumerate(self.seeds()):
            store[f"seed_{i}"] = state

    def load_own_variables(self, store):
        for i, state in enumerate(self.seeds()):
            state.assign(store[f"seed_{i}"])

    def fit(self, x=None, callbacks=None, **kwargs):
        """`keras.Model.fit` on a dataset, whose first batch is checked by `check_batch`.

        Raises:
            ValueError: the batch is not what this recipe trains on; the message says why.
            FloatingPointError: a loss is NaN or infinite; see `callbacks.StopOnNaN`.
        """
        if isinstance(x, tf.data.Dataset):
            self.check_batch(first_batch(x))
            kwargs.setdefault("shuffle", False)  # a dataset shuffles itself
        callbacks = in_order(callbacks)
        for callback in callbacks:
            if isinstance(callback, Resume) and callback.ended():
                kwargs["epochs"] = callback.state["epoch"]  # none is left
        return super().fit(x, callbacks=callbacks, **kwargs)

    def _maybe_symbolic_build(self, **kwargs):
        """Nothing: these models are built. Keras' version takes the mean of the replicas' parts of
        a batch, and fails if one is smaller, or there are several machines (docs/machines.md)."""

    def _make_function(self, step):
        # Keras 3.15 takes the mean of several machines' logs over an axis that a scalar has not.
        if isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return super()._make_function(
                lambda data: keras.tree.map_structure(lambda log: log[None], step(data))
            )
        return super()._make_function(step)

    def check_batch(self, batch):
        """Raises `ValueError` unless `batch` is what `train_step` takes."""
        raise NotImplementedError
