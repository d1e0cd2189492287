"""What the GANs share: how they are compiled, and for those that draw from noise, how they draw."""

import keras
import numpy as np

from recipes.training import distribution as replicas
from recipes.training.model import RecipeModel


class GAN(RecipeModel):
    """Base of the GANs. A recipe adds its networks, `compile` and `train_step`."""

    def compile(self, jit_compile="auto", **kwargs):
        # XLA cannot compile a step in which the replicas add up their gradients.
        jit_compile = False if replicas.several() else jit_compile
        super().compile(jit_compile=jit_compile, **kwargs)

    def check_share(self, rows):
        """Raises `ValueError` unless each device gets one of a batch's rows: of none,
        a convolution fails."""
        devices = self.distribute_strategy.num_replicas_in_sync
        if rows < devices:
            raise ValueError(
                f"batches of {rows}, which {devices} devices cannot share: make the model under "
                "strategy(batch_size), which takes one device for it, or make the batches larger"
            )

    def get_compile_config(self):
        return {
            name: keras.saving.serialize_keras_object(value)
            for name, value in self.compile_settings.items()
        }

    def compile_from_config(self, config):
        self.compile(
            **{name: keras.saving.deserialize_keras_object(value) for name, value in config.items()}
        )

    def track(self, part, *values):
        """Updates the losses, in the order in which they were named; returns what `fit` shows."""
        for tracker, value in zip(self.trackers, values, strict=True):
            # A mean has to be weighted; of a tensor of values, the tracker takes the mean itself.
            tracker.update_state(part.balanced(value) if value.shape.rank == 0 else value)
        return {tracker.name: tracker.result() for tracker in self.trackers}

    def adam(self, model, learning_rate, beta_1):
        """An Adam optimizer for the weights of `model`, built: a resumed run needs its state."""
        optimizer = keras.optimizers.Adam(learning_rate, beta_1)
        optimizer.build(model.trainable_variables)
        return optimizer


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
