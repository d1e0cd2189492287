"""What the GANs share: settings that are saved, optimizers that resume, a check before `fit`."""

import keras
import numpy as np
import tensorflow as tf

from recipes.checks import first_batch


class GAN(keras.Model):
    """Base of the GANs. A recipe adds its networks, `compile` and `train_step`.

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

    def get_compile_config(self):
        return {
            name: keras.saving.serialize_keras_object(value)
            for name, value in self.compile_settings.items()
        }

    def compile_from_config(self, config):
        self.compile(
            **{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()}
        )

    def seeds(self):
        """The states of all random generators: of the noise, and of dropout."""
        weights = {id(variable) for variable in self.weights}
        return [variable for variable in self.variables if id(variable) not in weights]

    def save_own_variables(self, store):
        # Keras leaves these out of its files. Then a resumed run draws the noise of the first
        # steps again, and ends elsewhere than one that was never interrupted.
        for i, state in enumerate(self.seeds()):
            store[f"seed_{i}"] = state

    def load_own_variables(self, store):
        for i, state in enumerate(self.seeds()):
            state.assign(store[f"seed_{i}"])

    def adam(self, model, learning_rate, beta_1):
        """An Adam optimizer for the weights of `model`, built: a resumed run needs its state."""
        optimizer = keras.optimizers.Adam(learning_rate, beta_1)
        optimizer.build(model.trainable_variables)
        return optimizer

    def fit(self, x=None, **kwargs):
        """`keras.Model.fit` on a dataset, whose first batch is checked by `check_batch`.

        Raises:
            ValueError: the batch is not what this recipe trains on; the message says why.
        """
        if isinstance(x, tf.data.Dataset):
            self.check_batch(first_batch(x))
            kwargs.setdefault("shuffle", False)  # a dataset shuffles itself
        return super().fit(x, **kwargs)

    def check_batch(self, batch):
        """Raises `ValueError` unless `batch` is what `train_step` takes."""
        raise NotImplementedError


class LatentGAN(GAN):
    """A GAN whose generator draws from noise: `generator` takes `(batch, latent_dim)`."""

    def generate(self, count, seed=None, batch_size=256):
        """Draws pictures.

        Args:
            count: how many.
            seed: int, for the same pictures every time; None for new ones.
            batch_size: pictures drawn at a time.

        Returns:
            float32 array, `(count, height, width, channels)`, in [-1, 1].
        """
        if count < 1:
            raise ValueError(f"generate: count {count}, but at least 1 is needed")
        latent = np.random.default_rng(seed).standard_normal((count, self.latent_dim), np.float32)
        return self.decode(latent, batch_size)

    def interpolate(self, steps, rows=1, seed=None):
        """Walks from one latent vector to another, along the sphere that the vectors lie near.

        Args:
            steps: pictures in a walk, both ends counted; at least 2.
            rows: number of walks.
            seed: int, for the same walks every time.

        Returns:
            float32 array, `(rows * steps, height, width, channels)`, in [-1, 1], walk by walk.
        """
        if steps < 2:
            raise ValueError(f"interpolate: steps {steps}, but at least 2 are needed")
        rng = np.random.default_rng(seed)
        start, end = rng.standard_normal((2, rows, 1, self.latent_dim), np.float32)
        # cos and sin of a quarter circle keep the length of a Gaussian vector, on average; the
        # straight line between two of them passes through lengths that training never saw.
        angle = np.linspace(0, np.pi / 2, steps, dtype=np.float32)[:, None]
        walk = np.cos(angle) * start + np.sin(angle) * end  # (rows, steps, latent_dim)
        return self.decode(walk.reshape(-1, self.latent_dim))

    def decode(self, latent, batch_size=256):
        """Pictures of given latent vectors, float `(count, latent_dim)`."""
        if latent.ndim != 2 or latent.shape[1] != self.latent_dim:
            raise ValueError(
                f"decode: shape {latent.shape}, but (count, {self.latent_dim}) is needed"
            )
        generator = getattr(self, "averaged_generator", self.generator)
        return generator.predict(latent, batch_size=batch_size, verbose=0)
