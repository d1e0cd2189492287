"""The base classes of the models: what a `train_step` needs behind a few plain verbs."""

from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from recipes.datasets.files import whole_file, writing
from recipes.training import check_keras, distribution
from recipes.training.batches import set_epoch
from recipes.training.callbacks import arrange_callbacks
from recipes.training.checks import (
    check_count,
    check_images,
    check_number,
    check_seed,
    first_batch,
    first_held_out,
    only_part,
)
from recipes.training.resume import Resume


def as_float32(x):
    """A tensor of a batch; floats as float32, of which a mixed precision makes what it needs."""
    return tf.cast(x, tf.float32) if x.dtype.is_floating else x


class RecipeModel(keras.Model):
    """Base of all models that the recipes train: settings that are saved, and a checked `fit`.

    Args:
        settings: the arguments of the recipe's `__init__`, by name; each becomes an attribute.
    """

    def __init__(self, settings, **kwargs):
        check_keras()  # again: set_image_data_format may have changed it since the import
        super().__init__(**kwargs)
        if "seed" in settings:
            check_seed(settings["seed"])
        self.settings = settings
        for name, value in settings.items():
            setattr(self, name, value)

    def get_config(self):
        return {**super().get_config(), **self.settings}

    def random_states(self):
        """The variables of all random generators: of the noise, and of dropout."""
        others = {id(variable) for variable in [*self.weights, *self.metrics_variables]}
        return [variable for variable in self.variables if id(variable) not in others]

    def save_own_variables(self, store):
        # Keras leaves these out: a model that is loaded would draw the first steps' noise again.
        for i, state in enumerate(self.random_states()):
            store[f"seed_{i}"] = state

    def load_own_variables(self, store):
        for i, state in enumerate(self.random_states()):
            state.assign(store[f"seed_{i}"])

    def save(self, filepath, overwrite=True, **kwargs):
        """`keras.Model.save`, whole or not at all: if it fails, the file of before stays.

        Raises:
            OSError: the file cannot be written.
        """
        path = Path(filepath)
        if path.suffix != ".keras" or (path.exists() and not overwrite):  # Keras says what to do
            return super().save(filepath, overwrite, **kwargs)
        with whole_file(path) as part:
            super().save(part, **kwargs)

    def fit(self, x=None, y=None, callbacks=None, **kwargs):
        """`keras.Model.fit`, which first shows the first batch to `check_batch`.

        Raises:
            ValueError: the batch is not what this recipe trains on, or a callback does not work
                with this model or with `Resume`; the message says why.
            FloatingPointError: a loss is NaN or infinite; see `callbacks.StopOnNaN`.
        """
        self.check_unweighted(kwargs)
        x, batch = first_batch(x, y, kwargs.get("batch_size"))
        self.check_batch(batch)
        self.check_trainable()
        held_out = kwargs.get("validation_data")
        if held_out is not None or kwargs.get("validation_split"):
            self.check_can_evaluate()
        if held_out is not None:
            kwargs["validation_data"], batch = first_held_out(held_out)
            try:
                self.check_held_out(batch)
            except ValueError as error:
                raise ValueError(f"validation_data: {error}") from None
        if isinstance(x, tf.data.Dataset):
            kwargs.setdefault("shuffle", False)  # a dataset shuffles itself
        callbacks = arrange_callbacks(callbacks, self)
        for callback in callbacks:
            if isinstance(callback, Resume) and callback.ended():
                kwargs["epochs"] = callback.state["epoch"]  # none is left
        try:
            return super().fit(x, y, callbacks=callbacks, **kwargs)
        except OSError as error:
            logs = [c.filename for c in callbacks if isinstance(c, keras.callbacks.CSVLogger)]
            if error.filename or "cannot write" in str(error) or not logs:
                raise
            with writing(" or ".join(logs)):  # Keras does not say which file
                raise
        finally:
            set_epoch(0)  # of a training that was interrupted, too

    def evaluate(self, x=None, y=None, batch_size=None, **kwargs):
        """`keras.Model.evaluate`, which first shows the first batch to `check_held_out`."""
        self.check_unweighted(kwargs)
        self.check_can_evaluate()
        if not kwargs.get("_use_cached_eval_dataset"):  # that is `fit`, which has looked at it
            x, batch = first_batch(x, y, batch_size)
            self.check_held_out(batch)
        return super().evaluate(x, y, batch_size, **kwargs)

    def train_on_batch(self, x, y=None, **kwargs):
        """`keras.Model.train_on_batch`, with the checks of `fit`."""
        self.check_unweighted(kwargs)
        self.check_batch(x if y is None else (x, y))
        return super().train_on_batch(x, y, **kwargs)

    def test_on_batch(self, x, y=None, **kwargs):
        """`keras.Model.test_on_batch`, with the checks of `evaluate`."""
        self.check_unweighted(kwargs)
        self.check_can_evaluate()
        self.check_held_out(x if y is None else (x, y))
        return super().test_on_batch(x, y, **kwargs)

    def check_held_out(self, batch):
        """Raises `ValueError` unless `batch` is what `test_step` takes."""
        self.check_batch(batch)

    def check_can_evaluate(self):
        """Raises `ValueError` if the model has nothing to evaluate."""

    def check_trainable(self):
        """Raises `ValueError` if a network that has an optimizer has been frozen."""

    def check_unweighted(self, arguments):
        """Raises `ValueError` if the arguments of `fit` or `evaluate` weigh the images."""
        for name in ("class_weight", "sample_weight"):
            if arguments.get(name) is not None:
                raise ValueError(
                    f"{name}: {type(self).__name__} weighs all images alike; repeat those in the "
                    "dataset that are to count more"
                )

    def _maybe_symbolic_build(self, **kwargs):
        """Nothing: these models are built. Keras' version takes the mean of the replicas' parts of
        a batch, and fails if one is smaller, or there are several machines (docs/machines.md)."""

    def _make_function(self, step):
        def step_on_batch(data):
            if isinstance(data, tuple):  # `train_on_batch` says None where it has nothing
                data = tuple(part for part in data if part is not None)
            logs = step(keras.tree.map_structure(as_float32, only_part(data)))
            # Keras 3.15 takes the mean of several machines' logs over an axis that they have not.
            if isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
                return keras.tree.map_structure(lambda log: log[None], logs)
            return logs

        return super()._make_function(step_on_batch)

    def check_batch(self, batch):
        """Raises `ValueError` unless `batch` is what `train_step` takes."""
        raise NotImplementedError


class GAN(RecipeModel):
    """Base of the GANs, whose networks are handed in.

    A recipe names its networks in three class attributes and writes `train_step` with three verbs:
    `sample_noise`, `minimize` and `report`.

    Args:
        networks: the `keras.Model`s that the recipe was given, by name; each becomes an attribute,
            and is saved with its architecture.
        settings: the other arguments of the recipe's `__init__`, by name; they hold `ema_decay`,
            the decay of a moving average of the weights of the `averaged` networks (0 for none),
            and `seed`, that of the noise.
    """

    trained = ()  # names of the networks, in the order of their updates; each gets an optimizer
    averaged = ()  # names of those whose weights `ema_decay` averages
    reported = ()  # names of the values that `train_step` reports

    def __init__(self, networks, settings, **kwargs):
        for name, value in settings.items():
            if name in ("ema_decay", "label_smoothing"):
                check_number(name, value, 1, below=True)
            elif name.endswith("weight"):
                check_number(name, value)
        if len({id(network) for network in networks.values()}) < len(networks):
            raise ValueError(
                f"{', '.join(networks)}: one network cannot be two of them; build each on its own"
            )
        super().__init__(settings, **kwargs)
        self.handed_in = tuple(networks)
        for name, network in networks.items():
            setattr(self, name, network)
        self.random = keras.random.SeedGenerator(settings["seed"])
        if self.ema_decay:
            self.updates = self.add_weight(name="updates", initializer="zeros", trainable=False)
            for name in self.averaged:
                setattr(self, f"ema_{name}", frozen_copy(networks[name], f"ema_{name}"))
        self.trackers = [keras.metrics.Mean(name) for name in self.reported]
        self.updates_of = {}
        self.built = True  # its networks are

    def save_own_variables(self, store):
        super().save_own_variables(store)
        if self.ema_decay:
            store["updates"] = self.updates

    def load_own_variables(self, store):
        super().load_own_variables(store)
        if self.ema_decay:
            self.updates.assign(store["updates"])

    def get_config(self):
        networks = {name: getattr(self, name) for name in self.handed_in}
        return {**super().get_config(), **keras.saving.serialize_keras_object(networks)}

    @classmethod
    def from_config(cls, config):
        return cls(**keras.saving.deserialize_keras_object(config))

    def compile(
        self,
        learning_rate=2e-4,
        beta_1=0.5,
        beta_2=0.999,
        fused_updates=False,
        jit_compile=False,
        **kwargs,
    ):
        """Gives each network an Adam optimizer.

        Args:
            learning_rate: a float or a `keras.optimizers.schedules.LearningRateSchedule`; or a
                dict of them, by the name of the network (Heusel et al. 2017 let discriminators
                learn faster: the two time-scale update rule).
            beta_1, beta_2: decays of Adam's first and second moment.
            fused_updates: let XLA compile the update of the weights, which pays for large
                networks. As `jit_compile`, which compiles the whole step, on one device only.
            **kwargs: for `keras.Model.compile`.

        Raises:
            ValueError: a learning rate or decay that cannot be, a dict that lacks a network, or an
                optimizer, loss or metrics, which a GAN has of its own.
        """
        own = {"optimizer", "loss", "loss_weights", "metrics", "weighted_metrics"}
        if given := own & {name for name, value in kwargs.items() if value is not None}:
            raise ValueError(
                f"{', '.join(sorted(given))}: a GAN has its own; compile takes learning_rate, "
                "beta_1 and beta_2"
            )
        check_number("beta_1", beta_1, 1, below=True)
        check_number("beta_2", beta_2, 1, below=True)
        one = not isinstance(learning_rate, dict)
        rates = dict.fromkeys(self.trained, learning_rate) if one else learning_rate
        if set(rates) != set(self.trained):
            raise ValueError(
                f"learning_rate: a dict of {', '.join(map(repr, rates)) or 'nothing'}, but "
                f"one rate for each of {', '.join(self.trained)} is needed"
            )
        if keras.config.dtype_policy().name == "mixed_float16":
            raise ValueError(
                "dtype policy mixed_float16: small gradients would become 0, as nothing scales the "
                "losses; make the networks anew under mixed_bfloat16 or float32"
            )
        for rate in rates.values():
            if not isinstance(rate, keras.optimizers.schedules.LearningRateSchedule):
                check_number("learning_rate", rate)
        several = distribution.has_replicas()  # XLA cannot add up the gradients of several replicas
        self.compile_settings = dict(
            learning_rate=learning_rate, beta_1=beta_1, beta_2=beta_2,
            fused_updates=fused_updates, jit_compile=jit_compile, **kwargs,
        )  # fmt: skip
        self.updates_of = {}  # compiled once: in eager mode, a new function would be at each step
        for name in self.trained:
            optimizer = keras.optimizers.Adam(rates[name], beta_1, beta_2)
            optimizer.build(getattr(self, name).trainable_variables)  # a resumed run needs it
            setattr(self, f"{name}_optimizer", optimizer)
            if fused_updates and not several:
                self.updates_of[name] = tf.function(optimizer.apply, jit_compile=True)
        super().compile(
            optimizer=getattr(self, f"{self.trained[0]}_optimizer"),
            jit_compile=jit_compile and not several,
            **kwargs,
        )

    def check_trainable(self):
        for name in self.trained:
            variables = getattr(self, name).trainable_variables
            optimizer = getattr(self, f"{name}_optimizer", None)
            if not variables or optimizer and len(optimizer._trainable_variables) != len(variables):
                raise ValueError(
                    f"{name}: {len(variables)} of its weights are trainable, others than when the "
                    "GAN was compiled; each update changes one network only, so none need be "
                    "frozen. After a change of your own to `trainable`, call compile again"
                )

    def predict(self, x, batch_size=None, **kwargs):
        """`keras.Model.predict`, which first looks at the first images."""
        x, batch = first_batch(x, None, batch_size)
        check_images(keras.tree.flatten(batch)[0], "images")
        for name in self.averaged:
            self.for_inference(name)  # not only when `call` is traced
        return super().predict(x, batch_size, **kwargs)

    def check_can_evaluate(self):
        if type(self).test_step is keras.Model.test_step:
            raise ValueError(
                f"{type(self).__name__} has no loss on held-out images, so no evaluate and no "
                "validation_data: measure what it generates with recipes.metrics"
            )

    def get_compile_config(self):
        if not self.compiled:
            return None
        return keras.saving.serialize_keras_object(self.compile_settings)

    def compile_from_config(self, config):
        self.compile(**keras.saving.deserialize_keras_object(config))

    @property
    def metrics(self):
        return self.trackers

    def sample_noise(self, count):
        """Latent vectors, standard normal, float `(count, latent_dim)`; replicas draw their own."""
        return distribution.own_rows(
            lambda total: keras.random.normal((total, self.latent_dim), seed=self.random), count
        )

    def minimize(self, loss, networks, tape):
        """One Adam step that lowers `loss` by the weights of a network, or of several.

        Args:
            loss: scalar, the mean over the batch (of each replica, if several share it).
            networks: one of the `trained` networks, or a tuple of them, whose gradients then come
                from one backward pass.
            tape: the `tf.GradientTape` that has seen the loss; a persistent one for several calls.
        """
        networks = networks if isinstance(networks, tuple) else (networks,)
        # Keras adds up the replicas' gradients: so each counts for its share of the batch.
        share = tf.cast(1 / distribution.replica_count(), loss.dtype)
        gradients = tape.gradient(loss, [n.trainable_variables for n in networks], share)
        for network, gradient in zip(networks, gradients, strict=True):
            name = next(name for name in self.trained if getattr(self, name) is network)
            self.apply_gradients(name, gradient)
            if self.ema_decay and name in self.averaged:
                self.update_average(name)

    def apply_gradients(self, name, gradients):
        """One Adam step with `gradients` on the network `name`; compiled by XLA, if asked for."""
        # The optimizer was built for the network's trainable variables, and has them itself.
        self.updates_of.get(name, getattr(self, f"{name}_optimizer").apply)(gradients)

    def update_average(self, name):
        """One step of the moving average of a network's weights (Polyak and Juditsky 1992).

        average <- d average + (1 - d) weights, d = min(ema_decay, (1 + n) / (10 + n)) after n
        steps: the first, bad weights are forgotten fast. Batch norm's moving statistics are
        averaged too; integers (the seeds of dropout) are not.
        """
        if name == self.averaged[0]:
            self.updates.assign_add(1.0)
        decay = tf.minimum(self.ema_decay, (1.0 + self.updates) / (10.0 + self.updates))
        pairs = zip(getattr(self, f"ema_{name}").weights, getattr(self, name).weights, strict=True)
        for average, weight in pairs:
            if average.dtype.startswith("float"):
                average.assign(decay * average + (1.0 - decay) * tf.cast(weight, average.dtype))

    def for_inference(self, name):
        """The moving average of a network, if there is one; otherwise the network itself."""
        if not (self.ema_decay and name in self.averaged):
            return getattr(self, name)
        average = getattr(self, f"ema_{name}")
        # Before the first step there is nothing to average, but the user may have put weights in.
        if tf.executing_eagerly() and not self.updates.numpy():
            average.set_weights(getattr(self, name).get_weights())
        return average

    def report(self, **values):
        """Updates the means over the epoch, by the names in `reported`; returns what `fit` shows.
        Of a tensor of any shape its mean counts."""
        for tracker in self.trackers:
            tracker.update_state(values[tracker.name])
        return {metric.name: metric.result() for metric in self.metrics}

    def report_held_out(self, count, **values):
        """As `report`, of `evaluate`: means over its rows so far, of which a batch has `count`."""
        means = {}
        for tracker in self.trackers:
            if tracker.name in values:
                tracker.update_state(values[tracker.name], sample_weight=count)
                means[tracker.name] = tracker.result()
        return means

    def check_input(self, network, images, name):
        """Raises `ValueError` unless `images` are what a network of one input takes."""
        check_images(images, name)
        sizes = np.shape(images)[1:]  # of images where the network's is open
        shape = zip(network.input_shape[1:], sizes, strict=False)
        check_images(images, name, tuple(wanted or size for wanted, size in shape))

    def check_output(self, generator, inputs, shape):
        """Raises `ValueError` unless a generator makes images of `shape` of inputs of a shape."""
        made = tuple(generator.compute_output_shape((1, *inputs)))[1:]
        if made != tuple(shape):
            raise ValueError(
                f"the generator makes images of shape {made}, but {tuple(shape)} is needed: look "
                "at its last layer's filters, at strides, and at padding, which has to be 'same'"
            )

    def check_rows(self, *counts):
        """Raises `ValueError` unless each device gets equally many of a batch's images."""
        devices = self.distribute_strategy.num_replicas_in_sync
        for count in counts:
            if count % devices:
                raise ValueError(
                    f"a batch of {count} images cannot be shared equally by {devices} devices: "
                    f"choose a batch size that {devices} divides, or make the model under "
                    "strategy(batch_size), which then takes one device"
                )


class LatentGAN(GAN):
    """A GAN whose `generator` starts from noise, `(batch, latent_dim)`."""

    def __init__(self, networks, settings, **kwargs):
        if len(networks["generator"].input_shape) != 2:
            raise ValueError(
                f"generator: it takes {networks['generator'].input_shape}, but noise (batch, "
                f"latent_dim) is needed; the order is {', '.join(networks)}"
            )
        super().__init__(networks, settings, **kwargs)

    @property
    def latent_dim(self):
        return self.generator.input_shape[-1]

    def generate(self, count, seed=None, batch_size=256):
        """Generates images.

        Args:
            count: how many.
            seed: int, for the same images every time; None for new ones.
            batch_size: images generated at a time.

        Returns:
            float32 array, `(count, height, width, channels)`, in [-1, 1].
        """
        check_count("count", count)
        if seed is not None:
            check_seed(seed)
        noise = np.random.default_rng(seed).standard_normal((count, self.latent_dim), np.float32)
        return self.decode(noise, batch_size)

    def interpolate(self, steps, rows=1, seed=None):
        """Walks from one latent vector to another, along the sphere that the vectors lie near.

        Args:
            steps: images in a walk, both ends included; at least 2.
            rows: number of walks.
            seed: int, for the same walks every time.

        Returns:
            float32 array, `(rows * steps, height, width, channels)`, in [-1, 1], walk by walk.
        """
        check_count("rows", rows)
        check_count("steps", steps)
        if steps < 2:
            raise ValueError(f"interpolate: steps {steps}, but at least 2 are needed")
        if seed is not None:
            check_seed(seed)
        rng = np.random.default_rng(seed)
        first, last = rng.standard_normal((2, rows, 1, self.latent_dim), np.float32)
        # cos and sin of a quarter circle keep the length of a Gaussian vector, on average; the
        # straight line between two of them passes through lengths that training never saw.
        angle = np.linspace(0, np.pi / 2, steps, dtype=np.float32)[:, None]
        walk = np.cos(angle) * first + np.sin(angle) * last  # (rows, steps, latent_dim)
        return self.decode(walk.reshape(-1, self.latent_dim))

    def decode(self, noise, batch_size=256):
        """The images of given latent vectors, float `(count, latent_dim)`."""
        noise = np.asarray(noise, np.float32)
        if noise.ndim != 2 or noise.shape[1] != self.latent_dim:
            raise ValueError(
                f"decode: shape {noise.shape}, but (count, {self.latent_dim}) is needed"
            )
        generator = self.for_inference("generator")
        return np.float32(generator.predict(noise, batch_size=batch_size, verbose=0))


def frozen_copy(network, name):
    """A second network of the same architecture and weights, not trainable."""
    twin = keras.models.clone_model(network)
    twin.set_weights(network.get_weights())
    twin.trainable = False
    twin.name = name
    return twin
