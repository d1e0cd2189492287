"""Attacks on image classifiers: the fast gradient sign method, its iteration, and a defence.

An attack is a function of a model and a batch of images. It returns other images, none of them
further than `epsilon` from where it was, and changes nothing in the model. `recipes.attacks` has
stronger ones.

`epsilon` is in the units of `bounds`, the least and the greatest value of a pixel. On the scale
from -1 to 1 of all our recipes an epsilon of 0.01 is 0.01 / 2 * 255 = 1.275 grey levels of 255;
papers that count in 1/255 on a scale from 0 to 1 have half of our number. `levels` converts.

The model is any Keras classifier with one input and one output `(batch, classes)`, logits or
softmax, that knows the shape of its images.
"""

import re
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from recipes.plotting import save_png
from recipes.training.checks import check_images, check_labels

BOUNDS = (-1.0, 1.0)
TINY = 1e-30  # a gradient that is zero has no direction: it stays zero


def fgsm(model, images, labels=None, *, epsilon, targeted=False, norm="inf", bounds=BOUNDS):
    """The fast gradient sign method (Goodfellow, Shlens, Szegedy 2015).

    x' = clip(x + epsilon * sign(dL/dx), low, high), where L is the cross-entropy with `labels`;
    with norm 1 or 2, the gradient divided by its own norm replaces the sign.

    Args:
        model: a Keras classifier, see above.
        images: float array or tensor in `bounds`, `(batch, height, width, channels)`.
        labels: ints `(batch,)` or `(batch, 1)`, or one-hot `(batch, classes)`: the classes that
            the attack leads away from; by default those that the model predicts.
        epsilon: the size of the step, in the units of `bounds` (on [-1, 1], 2/255 is one grey
            level). A list of them is answered from one gradient.
        targeted: whether the attack leads towards `labels` instead.
        norm: "inf" (each pixel by epsilon), 1 or 2 (each image by epsilon in that norm).
        bounds: least and greatest value of a pixel.

    Returns:
        float32 array of the shape of `images`; with a list, `(epsilons, *shape of images)`.

    Raises:
        ValueError: images, labels, epsilon or model that do not fit; the message says which.
    """
    check_norm(norm, ("inf", 1, 2))
    logits, images, labels = prepare(model, images, labels, bounds, targeted)
    epsilons = check_epsilon(epsilon)
    gradient, _, _ = differentiate(logits, images, labels, log_odds)
    step = direction(-gradient if targeted else gradient, norm)
    made = tf.clip_by_value(images + tf.reshape(epsilons, (-1, 1, 1, 1, 1)) * step, *bounds)
    return made.numpy() if epsilons.ndim else made[0].numpy()


def pgd(
    model,
    images,
    labels=None,
    *,
    epsilon,
    steps=10,
    step_size=None,
    random_start=True,
    momentum=0.0,
    diversity=0.0,
    targeted=False,
    norm="inf",
    bounds=BOUNDS,
    seed=0,
):
    """Projected gradient descent (Madry et al. 2018): FGSM in many small steps.

    From a random point of the ball around the image, each step goes on by `step_size` in FGSM's
    direction and back to the nearest point of the ball and of `bounds`. Its relatives:

    - without the random start it is I-FGSM (Kurakin, Goodfellow, Bengio 2017);
    - and with momentum 1 and step_size epsilon / steps, MI-FGSM (Dong et al. 2018), which
      transfers better to models that it has not seen;
    - and with diversity 0.5, M-DI2-FGSM (Xie et al. 2019), which transfers better still.

    Args:
        model, images, labels, targeted, bounds: as for `fgsm`.
        epsilon: radius of the ball, in the units of `bounds`, or a list of radii.
        steps: number of gradients, for each epsilon.
        step_size: by default 2.5 * epsilon / steps, as in the paper.
        random_start: whether to start elsewhere than at the image.
        momentum: how much of the earlier gradients is kept, each divided by its L1 norm.
        diversity: the probability that a step looks at its images shrunk to between 90 and 100 %
            of their size, at a random place of a grey frame.
        norm: "inf" or 2.
        seed: int, seed of the start and of the diversity.

    Returns:
        As for `fgsm`.
    """
    check_norm(norm, ("inf", 2))
    if steps < 1 or (step_size is not None and not step_size > 0):
        raise ValueError(f"steps {steps}, step_size {step_size}: both have to be above 0")
    if momentum < 0 or not 0 <= diversity <= 1:
        raise ValueError(f"momentum {momentum}, diversity {diversity}: 0 or more, and 0 to 1")
    logits, images, labels = prepare(model, images, labels, bounds, targeted)
    epsilons = check_epsilon(epsilon)
    made = []
    for radius in np.ravel(epsilons):
        rng = np.random.default_rng(seed)

        def see(x, rng=rng):
            return logits(_diversified(x, rng) if rng.random() < diversity else x)

        start = random_point(tf.shape(images), (seed, 0), norm) if random_start else 0.0
        size = 2.5 * radius / steps if step_size is None else step_size
        size = -size if targeted else size
        x = iterate(see, images, labels, start, radius, size, steps, momentum, norm, bounds)
        made.append(x.numpy())
    return np.stack(made) if epsilons.ndim else made[0]


def iterate(logits, images, labels, start, epsilon, size, steps, momentum, norm, bounds):
    """The loop of `pgd`, from `images + epsilon * start`; made of TensorFlow operations only."""
    x = tf.clip_by_value(images + epsilon * start, *bounds)
    velocity = tf.zeros_like(images)
    for _ in range(steps):
        gradient, _, _ = differentiate(logits, x, labels, log_odds)
        velocity = momentum * velocity + direction(gradient, 1)
        x = project(x + size * direction(velocity, norm), images, epsilon, norm, bounds)
    return x


def random_signs(model, images, labels=None, *, epsilon, bounds=BOUNDS, seed=0):
    """The control of an attack: every pixel up or down by `epsilon`, by the toss of a coin.

    As large as FGSM's step; it looks neither at the model nor at the labels. Arguments and result
    as for `fgsm`, and `seed`, an int.
    """
    low, high = check_bounds(bounds)
    check_images(images, "images", low=low, high=high)
    epsilons = check_epsilon(epsilon)
    coins = np.random.default_rng(seed).integers(0, 2, np.shape(images), np.int8)
    steps = np.multiply.outer(epsilons, np.float32(2) * coins - np.float32(1))
    return np.clip(np.asarray(images, np.float32) + steps, low, high)


def log_odds(logits, labels):
    """log((1 - p) / p), p the probability of the label, `(batch,)`.

    Cross-entropy is log(1 + exp(log_odds)). Its gradient, that of the log-odds times 1 - p, is
    zero in float32 where p rounds to 1; this one has the same direction and does not vanish.
    """
    own = tf.one_hot(labels, tf.shape(logits)[1], True, False, dtype=tf.bool)
    others = tf.reduce_logsumexp(tf.where(own, logits.dtype.min, logits), 1)
    return others - tf.gather(logits, labels, batch_dims=1)


def predict(model, images, batch_size=128):
    """What the model sees in images, and how sure it is.

    Args:
        model: a Keras classifier, see above.
        images: float array, `(..., height, width, channels)`: what an attack returns, with or
            without the axis of the epsilons.
        batch_size: images that are classified at once.

    Returns:
        `(labels, confidences)`, int64 and float32 in [0, 1], both of shape `(...)`.
    """
    images = np.asarray(images)
    if images.ndim < 4:
        raise ValueError(
            f"images: shape {images.shape}, but (..., batch, height, width, channels) is needed"
        )
    flat = images.reshape(-1, *images.shape[-3:]).astype(np.float32, copy=False)
    logits = compiled(model, flat)
    cuts = range(0, len(flat), batch_size)
    values = tf.concat([logits(tf.constant(flat[i : i + batch_size])) for i in cuts], 0)
    probabilities = tf.nn.softmax(values).numpy()
    shape = images.shape[:-3]
    return probabilities.argmax(-1).reshape(shape), probabilities.max(-1).reshape(shape)


def accuracy_under_attack(model, dataset, epsilons, attack=fgsm, batch_size=250, **options):
    """The accuracy that the model keeps, for each epsilon.

    Args:
        model: a Keras classifier, see above.
        dataset: a `tf.data.Dataset` of batches (images, labels), or a pair of arrays.
        epsilons: list of floats, in the units of `bounds`.
        attack: `fgsm`, `pgd`, `random_signs`, or a function with their arguments.
        batch_size: images in a batch, where `dataset` is a pair of arrays.
        **options: go to the attack: `steps=20`, `norm=2`, `bounds=(0, 1)`.

    Returns:
        float array in [0, 1], `(epsilons,)`.
    """
    epsilons = np.atleast_1d(check_epsilon(epsilons))
    right, count = np.zeros(len(epsilons)), 0
    for images, labels in batches(dataset, batch_size):
        labels = class_numbers(labels)
        made = attack(model, images, labels, epsilon=epsilons, **options)
        right += (predict(model, made)[0] == labels).sum(1)
        count += len(labels)
    return right / count


def smallest_epsilon(model, images, labels=None, *, epsilons, attack=fgsm, **options):
    """Of each image the smallest of `epsilons` that fools the model.

    Args:
        model, images, labels: as for `fgsm`.
        epsilons: list of floats; as fine as the answer should be.
        attack: as for `accuracy_under_attack`; without `targeted`.
        **options: go to the attack.

    Returns:
        float32 array, `(batch,)`; `inf` where none of them does.
    """
    epsilons = np.sort(np.atleast_1d(check_epsilon(epsilons)))
    labels = predict(model, images)[0] if labels is None else class_numbers(labels)
    made = attack(model, images, labels, epsilon=epsilons, **options)
    fooled = predict(model, made)[0] != labels
    return np.where(fooled.any(0), epsilons[fooled.argmax(0)], np.float32(np.inf))


@keras.saving.register_keras_serializable(package="recipes")
class AdversarialTraining(keras.Model):
    """A wrapper for `fit` that trains a classifier on images that attack it.

        defence = AdversarialTraining(classifier, epsilon=0.2)
        defence.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        defence.fit(dataset, epochs=4)  # trains `classifier` itself

    Each batch is joined by its own attack, which is FGSM from a random start (Wong, Rice, Kolter
    2020), or PGD with `steps` above 1. As in Goodfellow et al. 2015 the loss is
    clean_share * L(x) + (1 - clean_share) * L(x'). Predictions are those of the classifier.

    Args:
        model: the classifier, see above; its labels are ints `(batch,)` or `(batch, 1)`, or
            one-hot.
        epsilon: float, the radius of the attack, in the units of `bounds`.
        clean_share: float in [0, 1], weight of the images as they are.
        steps: gradients of an attack; each costs about as much as a training step.
        bounds: least and greatest value of a pixel.
        seed: int, seed of the random starts.
    """

    def __init__(self, model, epsilon, clean_share=0.5, steps=1, bounds=BOUNDS, seed=0, **kwargs):
        super().__init__(**kwargs)
        if check_epsilon(epsilon).ndim:
            raise ValueError(f"epsilon: one number is needed, not {epsilon!r}")
        if not 0 <= clean_share <= 1:
            raise ValueError(f"clean_share {clean_share}: it has to be from 0 to 1")
        self.model, self.epsilon, self.steps = model, float(epsilon), steps
        self.clean_share, self.bounds, self.seed = clean_share, check_bounds(bounds), seed
        self.seeds = keras.random.SeedGenerator(seed)
        self.logits = compiled(model)
        self.built = True

    def call(self, images, training=False):
        return self.model(images, training=training)

    def train_step(self, data):
        images, labels, weights = keras.utils.unpack_x_y_sample_weight(data)
        if weights is not None:
            raise ValueError(
                "sample_weight, class_weight: AdversarialTraining weighs the clean and the "
                "attacked half of a batch itself; repeat rows of the dataset instead"
            )
        numbers = labels if labels.shape.rank == 1 else labels[:, 0]
        if labels.shape.rank == 2 and labels.shape[1] != 1:  # one-hot
            numbers = tf.argmax(labels, -1)
        seed = tf.cast(self.seeds.next(), tf.int64)
        start = random_point(tf.shape(images), seed, "inf")
        # 1.25 is the step of Wong et al. for one gradient, 2.5 / steps that of Madry et al.
        size = self.epsilon * (1.25 if self.steps == 1 else 2.5 / self.steps)
        attacked = iterate(
            self.logits, images, tf.cast(numbers, tf.int64), start, self.epsilon, size,
            self.steps, 0.0, "inf", self.bounds,
        )  # fmt: skip
        shares = tf.constant([2 * self.clean_share, 2 - 2 * self.clean_share])
        both = tf.concat([images, tf.stop_gradient(attacked)], 0), tf.concat([labels, labels], 0)
        return super().train_step((*both, tf.repeat(shares, tf.shape(images)[0])))

    def get_config(self):
        config = {"epsilon": self.epsilon, "clean_share": self.clean_share, "steps": self.steps}
        model = keras.saving.serialize_keras_object(self.model)
        more = {"model": model, "bounds": self.bounds, "seed": self.seed}
        return {**super().get_config(), **config, **more}

    @classmethod
    def from_config(cls, config):
        model = keras.saving.deserialize_keras_object(config["model"])
        return cls(**{**config, "model": model})


def build_classifier(shape=(28, 28, 1), classes=10, width=24):
    """A small convolutional net for digits: images in [-1, 1] -> probabilities (softmax)."""
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
        folder: where they go; made if it is not there.
        images: float array in `bounds`, `(batch, height, width, 1 or 3)`.
        names: list of str, what the model sees in each image; any characters.
        confidences: floats in [0, 1].
        epsilon: float.
        bounds: least and greatest value of a pixel.

    Returns:
        A list of `Path`s such as `00_pug_0.7233_eps0.005.png`.
    """
    low, high = check_bounds(bounds)
    check_images(images, "images", low=low, high=high)
    scaled = np.rint((np.clip(images, low, high) - low) * (255 / (high - low))).astype(np.uint8)
    paths = []
    for i, (image, name, sure) in enumerate(zip(scaled, names, confidences, strict=True)):
        safe = re.sub(r"[^A-Za-z0-9-]+", "_", str(name)).strip("_")[:60] or "unnamed"
        paths.append(Path(folder) / f"{i:02d}_{safe}_{sure:.4f}_eps{epsilon:g}.png")
        save_png(image if image.shape[-1] == 3 else image.repeat(3, -1), paths[-1])
    return paths


def compiled(model, images=None):
    """The function images -> logits of `model`, compiled for batches of any size.

    Of a softmax it returns what went into it. It is made once and kept on the model, as Keras
    keeps what `predict` compiles.

    Args:
        model: a Keras classifier.
        images: if given, they have to fit the model.
    """
    if not isinstance(model, keras.Model):
        raise ValueError(f"model: a keras.Model is needed, not {type(model).__name__}")
    if len(getattr(model, "inputs", None) or [0]) != 1:
        raise ValueError(f"model: it has {len(model.inputs)} inputs, but one, images, is needed")
    try:
        shape = model.input_shape[1:]
    except (AttributeError, ValueError):  # a subclass of keras.Model
        raise ValueError(
            "model: the shape of its images is unknown; name it: "
            "keras.Sequential([keras.Input(shape), model])"
        ) from None
    if images is not None:
        _check_fit(images.shape, shape)
    if not hasattr(model, "_logits_for_attacks"):
        model._logits_for_attacks = _compile(model, shape)
    return model._logits_for_attacks


def _compile(model, shape):
    def logits(images):
        output = model(images, training=False)
        output = list(output.values()) if isinstance(output, dict) else output
        output = output if isinstance(output, (list, tuple)) else [output]
        if len(output) != 1:
            raise ValueError(
                f"model: it has {len(output)} outputs, but one is needed; choose one: "
                "keras.Model(model.inputs, model.outputs[0])"
            )
        [output] = output
        if output.shape.rank != 2 or (output.shape[1] or 2) < 2:
            raise ValueError(
                f"model: its output has the shape {output.shape}, but (batch, classes) with two "
                "classes or more is needed"
            )
        last = output.op
        while last.type in ("Identity", "Cast"):
            last = last.inputs[0].op
        if last.type == "Sigmoid":
            raise ValueError("model: it ends in a sigmoid, but softmax or logits are needed")
        kinds.append("softmax" if last.type == "Softmax" else "logits")
        return tf.cast(last.inputs[0] if last.type == "Softmax" else output, tf.float32)

    kinds = []
    # A concrete function stays compiled where `tf.config.run_functions_eagerly` is on. Without
    # autograph, an error reaches the reader as it was raised.
    function = tf.function(logits, autograph=False).get_concrete_function(
        tf.TensorSpec((None, *shape))
    )
    function.kind = kinds[-1]
    values = function(tf.zeros((1, *(n or 64 for n in shape)))).numpy()
    if function.kind == "logits" and values.min() >= 0 and abs(values.sum() - 1) < 1e-3:
        raise ValueError(
            "model: its output looks like probabilities, but no softmax was found at its end; end "
            "it in a softmax layer, or leave the logits as they are"
        )
    function.classes = values.shape[1]
    return function


def output_kind(model):
    """What the attacks found at the end of a model: "softmax" or "logits".

    Probabilities that come out of something else are an error, because a loss on them has no
    gradient where the model is sure.
    """
    return compiled(model).kind


def differentiate(logits, images, labels, loss):
    """The gradient of `loss(logits, labels)` by the images, its values `(batch,)`, the logits."""
    with tf.GradientTape() as tape:
        tape.watch(images)
        outputs = logits(images)
        values = loss(outputs, labels)
    return tape.gradient(values, images), values, outputs


def direction(gradient, norm):
    """The sign of a gradient, or the gradient divided by its norm 1 or 2."""
    if norm == "inf":
        return tf.sign(gradient)
    return gradient / tf.maximum(size_of(gradient, norm), TINY)


def project(x, images, epsilon, norm, bounds):
    """The point of the ball around `images` that is nearest to `x`, clipped to `bounds`."""
    gap = x - images
    if norm == "inf":
        gap = tf.clip_by_value(gap, -epsilon, epsilon)
    else:
        gap *= tf.minimum(1.0, epsilon / tf.maximum(size_of(gap, norm), TINY))
    return tf.clip_by_value(images + gap, *bounds)


def size_of(x, norm):
    """The norm of each image, `(batch, 1, 1, 1)`."""
    most = tf.reduce_max(tf.abs(x), (1, 2, 3), keepdims=True)
    if norm == "inf":
        return most
    x = x / tf.maximum(most, TINY)  # else the squares of small numbers would vanish
    total = tf.reduce_sum(tf.abs(x) ** norm, (1, 2, 3), keepdims=True)
    return most * (total if norm == 1 else tf.sqrt(total))


def random_point(shape, seed, norm):
    """A random point of the unit ball for each image, evenly spread."""
    if norm == "inf":
        return tf.random.stateless_uniform(shape, seed, -1.0, 1.0)
    seeds = tf.unstack(tf.random.split(seed, 2))
    point = tf.random.stateless_normal(shape, seeds[0])
    radius = tf.random.stateless_uniform((shape[0], 1, 1, 1), seeds[1])
    size = tf.cast(tf.reduce_prod(shape[1:]), tf.float32)
    return point / size_of(point, 2) * radius ** (1 / size)


def _diversified(images, rng):
    """Images shrunk to 90 to 100 %, at a random place of a frame of zeros."""
    height, width = images.shape[1:3]
    share = rng.uniform(0.9, 1)
    rows, columns = round(share * height), round(share * width)
    top, left = rng.integers(0, height - rows + 1), rng.integers(0, width - columns + 1)
    small = tf.image.resize(images, (rows, columns))
    return tf.image.pad_to_bounding_box(small, top, left, height, width)


def prepare(model, images, labels, bounds, targeted=False):
    """Checks what an attack was given: the compiled model, float32 images, int64 labels."""
    low, high = check_bounds(bounds)
    check_images(images, "images", low=low, high=high)
    images = tf.cast(images, tf.float32)
    logits = compiled(model, images)
    if labels is None:
        if targeted:
            raise ValueError("labels: a targeted attack needs the classes that it leads to")
        return logits, images, tf.argmax(logits(images), 1)
    if np.ndim(labels) == 2 and np.shape(labels)[1] not in (1, logits.classes):
        raise ValueError(
            f"labels: one-hot vectors of {np.shape(labels)[1]}, but the model has "
            f"{logits.classes} classes"
        )
    labels = class_numbers(labels)
    check_labels(labels, "labels", logits.classes, len(images))
    return logits, images, tf.constant(labels, tf.int64)


def class_numbers(labels):
    """Ints `(batch,)`, of those, of a column `(batch, 1)` or of one-hot `(batch, classes)`."""
    labels = np.asarray(labels)
    if labels.ndim != 2:
        return labels
    if labels.shape[1] == 1:
        return labels[:, 0]
    if not (np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all()):
        raise ValueError("labels: two axes, but not one-hot: one 1 in each row, else zeros")
    return labels.argmax(1)


def batches(dataset, batch_size):
    """Batches (images, labels) of a dataset or of a pair of arrays; ValueError if there is none."""
    if isinstance(dataset, tuple):
        images, labels = dataset
        if len(images) != len(labels):
            raise ValueError(f"dataset: {len(images)} images, but {len(labels)} labels")
        cuts = range(0, len(images), batch_size)
        dataset = [(images[i : i + batch_size], labels[i : i + batch_size]) for i in cuts]
    empty = True
    for batch in dataset:
        empty = False
        yield batch
    if empty:
        raise ValueError("dataset: it is empty, not one batch came out of it")


def check_bounds(bounds):
    low, high = (float(value) for value in bounds)
    if not low < high or not np.isfinite([low, high]).all():
        raise ValueError(f"bounds {bounds}: (least, greatest) value of a pixel is needed")
    return low, high


def check_epsilon(epsilon):
    epsilons = np.asarray(epsilon, np.float32)
    if epsilons.ndim > 1 or not epsilons.size or not np.isfinite(epsilons).all():
        raise ValueError(f"epsilon {epsilon!r}: a finite number or a list of them is needed")
    if epsilons.min() < 0:
        raise ValueError(f"epsilon {epsilon!r}: it is a distance, so 0 or more")
    return epsilons


def check_norm(norm, known):
    if norm not in known:
        raise ValueError(f"norm {norm!r} is unknown; known: {', '.join(map(repr, known))}")


def _check_fit(given, wanted):
    if wanted[-1] == 3 and given[-1] == 1:
        raise ValueError(
            f"images: grey, shape {tuple(given)}, but the model takes RGB: "
            "np.repeat(images, 3, axis=-1)"
        )
    if any(n not in (None, m) for n, m in zip(wanted, given[1:], strict=True)):
        sizes = ", ".join("any" if n is None else str(n) for n in wanted)
        raise ValueError(
            f"images: shape {tuple(given)}, but the model takes (batch, {sizes}); "
            "recipes.datasets.image_files.load reads files at any size"
        )
