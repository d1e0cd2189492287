"""FGSM and PGD, attacks on image classifiers, and adversarial training, the defence.

An attack is a function of a model and a batch of images. It returns other images, none of them
further than `epsilon` from where it was, and changes nothing in the model. `recipes.attacks` has
stronger attacks, and what all of them are made of.

`epsilon` is in the units of `bounds`, the least and the greatest value of a pixel. On the scale
from -1 to 1 of all our recipes an epsilon of 0.01 is 0.01 / 2 * 255 = 1.275 grey levels of 255;
papers that count in 1/255 on a scale from 0 to 1 have half of our number. `levels` converts.
"""

import re
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from recipes.attacks import BOUNDS, compiled, direction, log_odds, prepare, project, random_point
from recipes.plotting import save_png
from recipes.training import check_keras, checks
from recipes.training.base import RecipeModel


def fgsm(model, images, labels=None, *, epsilon, targeted=False, norm="inf", bounds=BOUNDS):
    """The fast gradient sign method (Goodfellow, Shlens, Szegedy 2015).

    x' = clip(x + epsilon * sign(dL/dx), low, high), where L is the cross-entropy with `labels`;
    with norm 1 or 2, the gradient divided by its own norm replaces the sign.

    Args:
        model: a Keras classifier, images -> `(batch, classes)`, logits or softmax.
        images: float array or tensor in `bounds`, `(batch, height, width, channels)`.
        labels: ints `(batch,)` or `(batch, 1)`, or one-hot `(batch, classes)`: the classes that
            the attack leads away from; by default those that the model predicts.
        epsilon: the size of the step; a list of them is answered from one gradient.
        targeted: whether the attack leads towards `labels` instead.
        norm: "inf" (each pixel by epsilon), 1 or 2 (each image by epsilon in that norm).
        bounds: least and greatest value of a pixel.

    Returns:
        float32 array of the shape of `images`; with a list, `(epsilons, *shape of images)`.

    Raises:
        ValueError: images, labels, epsilon or model that do not fit; the message says which.
    """
    logits, images, labels = prepare(model, images, labels, norm, bounds, targeted, ("inf", 1, 2))
    epsilons = checks.check_epsilon(epsilon, many=True)
    gradient, _, _ = logits.differentiate(images, labels, log_odds)
    step = direction(-gradient if targeted else gradient, norm)
    made = tf.clip_by_value(images + tf.reshape(epsilons, (-1, 1, 1, 1, 1)) * step, *bounds)
    return made.numpy() if epsilons.ndim else made[0].numpy()


def pgd(
    model, images, labels=None, *, epsilon, steps=10, step_size=None, random_start=True,
    momentum=0.0, diversity=0.0, targeted=False, norm="inf", bounds=BOUNDS, seed=0,
):  # fmt: skip
    """Projected gradient descent (Madry et al. 2018): FGSM in many small steps.

    From a random point of the ball around the image, each step goes on by `step_size` in FGSM's
    direction and back to the nearest point of the ball and of `bounds`. Without the random start
    it is I-FGSM (Kurakin, Goodfellow, Bengio 2017); with momentum 1 and step_size epsilon / steps
    besides, MI-FGSM (Dong et al. 2018), and with diversity 0.5, M-DI2-FGSM (Xie et al. 2019),
    which transfer better to models that they have not seen. Arguments and result as for `fgsm`:

    Args:
        epsilon: radius of the ball.
        steps: number of gradients.
        step_size: by default 2.5 * epsilon / steps, as in the paper.
        random_start: whether to start elsewhere than at the image.
        momentum: how much of the earlier gradients is kept, each divided by its L1 norm.
        diversity: the probability that a step sees its images shrunk to 90 to 100 %, in a frame.
        norm: "inf" or 2.
        seed: int, seed of the start and of the diversity.
    """
    checks.check_count("steps", steps)
    checks.check_seed(seed)
    if step_size is not None:
        checks.check_number("step_size", step_size, above=True)
    checks.check_number("momentum", momentum)
    checks.check_number("diversity", diversity, most=1)
    logits, images, labels = prepare(model, images, labels, norm, bounds, targeted)
    epsilon, rng = checks.check_epsilon(epsilon), np.random.default_rng(seed)
    size = (2.5 * epsilon / steps if step_size is None else step_size) * (-1 if targeted else 1)
    start = random_point(tf.shape(images), (seed, 0), norm) if random_start else 0.0

    def differentiate(x):
        if rng.random() >= diversity:
            return logits.differentiate(x, labels, log_odds)[0]
        with tf.GradientTape() as tape:
            tape.watch(x)
            seen = diversified(x, rng)
        return tape.gradient(seen, x, logits.differentiate(seen, labels, log_odds)[0])

    x = iterate(differentiate, images, start, epsilon, size, steps, momentum, norm, bounds)
    return x.numpy()


def iterate(differentiate, images, start, epsilon, size, steps, momentum, norm, bounds):
    """The loop of `pgd`, from `images + epsilon * start`; made of TensorFlow operations only."""
    x, velocity = tf.clip_by_value(images + epsilon * start, *bounds), tf.zeros_like(images)
    for _ in range(steps):
        velocity = momentum * velocity + direction(differentiate(x), 1)
        x = project(x + size * direction(velocity, norm), images, epsilon, norm, bounds)
    return x


def random_signs(model, images, labels=None, *, epsilon, bounds=BOUNDS, seed=0):
    """The control of an attack: every pixel up or down by `epsilon`, by the toss of a coin.

    It looks neither at the model nor at the labels. Arguments and result as for `fgsm`.
    """
    checks.check_seed(seed)
    low, high = checks.check_bounds(bounds)
    checks.check_images(images, "images", low=low, high=high)
    coins = np.random.default_rng(seed).integers(0, 2, np.shape(images), np.int8)
    step = checks.check_epsilon(epsilon) * (np.float32(2) * coins - np.float32(1))
    return np.clip(np.asarray(images, np.float32) + step, low, high)


def diversified(images, rng):
    """Images shrunk to 90 to 100 %, at a random place of a frame of zeros."""
    height, width = images.shape[1:3]
    share = rng.uniform(0.9, 1)
    rows, columns = round(share * height), round(share * width)
    top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    small = tf.image.resize(images, (rows, columns))
    return tf.image.pad_to_bounding_box(small, top, left, height, width)


def numbers_of(labels):
    """Class numbers, int64 `(batch,)`, of a tensor of them, also as a column, or of one-hot labels.

    Raises:
        ValueError: its shape does not say which of these it is.
    """
    if labels.shape.rank is None or (labels.shape.rank == 2 and labels.shape[1] is None):
        raise ValueError(
            f"labels: the dataset says of their shape only {labels.shape}, so that one-hot and "
            "class numbers look alike; map them with tf.ensure_shape(labels, [None])"
        )
    if labels.shape.rank == 2 and labels.shape[1] != 1:
        return tf.argmax(labels, -1)
    return tf.cast(tf.reshape(labels, [-1]), tf.int64)


@keras.saving.register_keras_serializable(package="recipes")
class AdversarialTraining(RecipeModel):
    """A wrapper for `fit` that trains a classifier on images that attack it.

        defence = AdversarialTraining(classifier, epsilon=0.2)
        defence.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        defence.fit(dataset, epochs=4)  # trains `classifier` itself

    Each batch is joined by its own attack, which is FGSM from a random start (Wong, Rice, Kolter
    2020), or PGD with `steps` above 1. As in Goodfellow et al. 2015 the loss is
    clean_share * L(x) + (1 - clean_share) * L(x'). Predictions are those of the classifier, and
    `model`, `epsilon`, `bounds`, `seed` and the labels are those of `pgd`. If the first batch has
    other images or labels, `fit` and `evaluate` raise a `ValueError` before they begin.

    Args:
        clean_share: float in [0, 1], weight of the images as they are.
        steps: gradients of an attack; each costs about as much as a training step.
    """

    def __init__(self, model, epsilon, clean_share=0.5, steps=1, bounds=BOUNDS, seed=0, **kwargs):
        checks.check_epsilon(epsilon)
        checks.check_count("steps", steps)
        checks.check_number("clean_share", clean_share, most=1)
        settings = dict(
            epsilon=float(epsilon), clean_share=clean_share, steps=steps,
            bounds=checks.check_bounds(bounds), seed=seed,
        )  # fmt: skip
        compiled(model)  # here, because it raises what is wrong with the model
        super().__init__(settings, **kwargs)
        self.model, self.seeds = model, keras.random.SeedGenerator(seed)
        self.built = True

    @property
    def logits(self):
        return compiled(self.model)

    def call(self, images, training=False):
        return self.model(images, training=training)

    def check_batch(self, batch):
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(batch)
        self.check_unweighted({"sample_weight": weights})
        checks.check_images(images, "images", None, *self.bounds)
        classes = compiled(self.model, images).classes
        checks.class_numbers(labels, classes, len(images))
        loss = getattr(self, "loss", None)
        config = loss.get_config() if isinstance(loss, keras.losses.Loss) else {}
        names = "sparse_categorical_crossentropy", "categorical_crossentropy"
        of_probabilities = config.get("from_logits") is False or loss in names
        if not of_probabilities:
            return
        outputs = np.asarray(self.model(np.asarray(images[:1], np.float32)), np.float64)
        if abs(outputs.sum() - 1) > 0.01:
            raise ValueError(
                "loss: the model gives logits, but the loss takes probabilities; compile with "
                "keras.losses.SparseCategoricalCrossentropy(from_logits=True)"
            )

    def train_step(self, data):
        images, labels = data
        numbers = numbers_of(labels)
        seed = tf.cast(self.seeds.next(), tf.int64)
        start = random_point(tf.shape(images), seed, "inf")
        # 1.25 is the step of Wong et al. for one gradient, 2.5 / steps that of Madry et al.
        size = self.epsilon * (1.25 if self.steps == 1 else 2.5 / self.steps)
        attacked = iterate(
            lambda x: self.logits.differentiate(x, numbers, log_odds)[0],
            images, start, self.epsilon, size, self.steps, 0.0, "inf", self.bounds,
        )  # fmt: skip
        shares = tf.constant([2 * self.clean_share, 2 - 2 * self.clean_share])
        both = tf.concat([images, tf.stop_gradient(attacked)], 0), tf.concat([labels, labels], 0)
        return super().train_step((*both, tf.repeat(shares, tf.shape(images)[0])))

    def get_config(self):
        model = keras.saving.serialize_keras_object(self.model)
        return {**super().get_config(), "model": model}

    @classmethod
    def from_config(cls, config):
        model = keras.saving.deserialize_keras_object(config["model"])
        return cls(**{**config, "model": model})


def build_classifier(shape=(28, 28, 1), classes=10, width=24):
    """A small convolutional net for digits: images in [-1, 1] -> probabilities (softmax)."""
    check_keras()
    inputs = keras.Input(shape)
    x = layers.Conv2D(width, 5, 2, "same", activation="relu")(inputs)  # (14, 14, width)
    x = layers.Conv2D(2 * width, 3, 2, "same", activation="relu")(x)  # (7, 7, 2 width)
    x = layers.Conv2D(4 * width, 3, 2, "same", activation="relu")(x)  # (4, 4, 4 width)
    x = layers.Dense(8 * width, activation="relu")(layers.Flatten()(x))
    x = layers.Dropout(0.3)(x)
    outputs = layers.Dense(classes, "softmax", dtype="float32")(x)
    return keras.Model(inputs, outputs, name="digits")


def levels(epsilon, bounds=BOUNDS):
    """An epsilon in the units of `bounds`, in grey levels of 255."""
    return epsilon * 255 / (bounds[1] - bounds[0])


def save_images(folder, images, names, confidences, epsilon, bounds=BOUNDS):
    """Writes images as PNG (a JPEG would wipe the perturbation out), named by what is seen.

    A PNG holds whole grey levels: on [-1, 1], an epsilon under 1/255 rounds back to the original.

    Args:
        images: float array in `bounds`, `(batch, height, width, 1 or 3)`.
        names, confidences: what the model sees in each image (any characters), and how surely.

    Returns:
        A list of `Path`s such as `00_pug_0.7233_eps0.005.png`.
    """
    low, high = checks.check_bounds(bounds)
    checks.check_images(images, "images", low=low, high=high)
    if images.shape[-1] not in (1, 3):
        raise ValueError(f"images: shape {images.shape}, but 1 or 3 channels can be saved")
    if not len(images) == len(names) == len(confidences):
        raise ValueError(
            f"images: {len(images)}, but {len(names)} names and {len(confidences)} confidences"
        )
    epsilon = float(checks.check_epsilon(epsilon))
    scaled = np.rint((np.clip(images, low, high) - low) * (255 / (high - low))).astype(np.uint8)
    paths = []
    for i, (image, name, sure) in enumerate(zip(scaled, names, confidences, strict=True)):
        safe = re.sub(r"[^A-Za-z0-9-]+", "_", str(name)).strip("_")[:60] or "unnamed"
        paths.append(Path(folder) / f"{i:02d}_{safe}_{sure:.4f}_eps{epsilon:g}.png")
        save_png(image if image.shape[-1] == 3 else image.repeat(3, -1), paths[-1])
    return paths
