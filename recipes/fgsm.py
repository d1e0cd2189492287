"""Attacks on picture classifiers: the fast gradient sign method, its iteration, and a defence.

An attack is a function of a model and a batch of pictures that returns other pictures, none of
them further than `epsilon` from where it was. It changes nothing in the model.

`epsilon` is in the units of `bounds`, the least and the greatest value of a pixel. On the scale
from -1 to 1 of all our recipes an epsilon of 0.01 is 0.01 / 2 * 255 = 1.275 grey levels of 255;
papers that count in 1/255 on a scale from 0 to 1 have half of our number. `levels` converts.

The model is any Keras classifier with one input and one output `(batch, classes)`, logits or
softmax. Attacks are compiled when a model is first attacked, and kept as long as it lives.
"""

import re
import weakref
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from recipes.plotting import save_png
from recipes.training.checks import check_images, check_labels

BOUNDS = (-1.0, 1.0)
PREDICTED = -1  # in the place of a label: what the model predicts
TINY = 1e-30  # a gradient that is zero has no direction: it stays zero


def fgsm(model, images, labels=None, *, epsilon, targeted=False, norm="inf", bounds=BOUNDS):
    """The fast gradient sign method (Goodfellow, Shlens, Szegedy 2015).

    x' = clip(x + epsilon * sign(dL/dx), low, high), where L is the cross-entropy with `labels`;
    with norm 1 or 2, the gradient divided by its own norm stands in the place of the sign. What
    is differentiated is log(p / (1 - p)), p the probability of the label: its gradient has the
    direction of the cross-entropy's, but does not vanish where the model is sure.

    Args:
        model: a Keras classifier, see above.
        images: float array or tensor in `bounds`, `(batch, height, width, channels)`.
        labels: ints `(batch,)`, or one-hot `(batch, classes)`: away from these classes the
            attack leads; by default from those that the model predicts.
        epsilon: the size of the step, in the units of `bounds` (on [-1, 1], 2/255 is one grey
            level). A list of them is answered from one gradient.
        targeted: whether the attack leads towards `labels` instead.
        norm: "inf" (each pixel by epsilon), 1 or 2 (each picture by epsilon in that norm).
        bounds: least and greatest value of a pixel.

    Returns:
        float32 array of the shape of `images`; with a list, `(epsilons, *shape of images)`.

    Raises:
        ValueError: pictures, labels, epsilon or model that do not fit; the message says which.
    """
    _check_norm(norm, ("inf", 1, 2))
    attack, images, labels, low_high = _prepare(model, images, labels, targeted, bounds)
    epsilons = _check_epsilon(epsilon)
    labels = np.full(len(images), PREDICTED, np.int64) if labels is None else labels
    sign = -1.0 if targeted else 1.0
    made = attack.fgsm[norm](images, labels, np.ravel(epsilons), sign, *low_high).numpy()
    return made if epsilons.ndim else made[0]


def pgd(
    model,
    images,
    labels=None,
    *,
    epsilon,
    steps=10,
    step_size=None,
    random_start=True,
    targeted=False,
    norm="inf",
    bounds=BOUNDS,
    seed=0,
):
    """Projected gradient descent (Madry et al. 2018): FGSM in many small steps.

    From a random point of the ball around the picture, each step goes on by `step_size` in
    FGSM's direction and back to the nearest point of the ball and of `bounds`. Without the
    random start it is I-FGSM (Kurakin, Goodfellow, Bengio 2017).

    Args:
        model, images, labels, targeted, bounds: as for `fgsm`. Labels that default to the model's
            predictions are those of the untouched pictures.
        epsilon: radius of the ball, in the units of `bounds`, or a list of radii.
        steps: number of gradients, for each epsilon.
        step_size: by default 2.5 * epsilon / steps, as in the paper.
        random_start: whether to start elsewhere than at the picture.
        norm: "inf" or 2.
        seed: int, seed of the start.

    Returns:
        As for `fgsm`.
    """
    _check_norm(norm, ("inf", 2))
    if steps < 1 or (step_size is not None and not step_size > 0):
        raise ValueError(f"steps {steps}, step_size {step_size}: both have to be above 0")
    attack, images, labels, low_high = _prepare(model, images, labels, targeted, bounds)
    epsilons = _check_epsilon(epsilon)
    labels = tf.argmax(attack.logits(images), 1) if labels is None else labels
    sign = -1.0 if targeted else 1.0
    start = _random_start(tf.shape(images), (seed, 0), norm) if random_start else 0 * images
    made = []
    for radius in np.ravel(epsilons):
        size = 2.5 * radius / steps if step_size is None else step_size
        made.append(attack.pgd[norm](images, labels, start, radius, size, sign, steps, *low_high))
    return np.stack(made) if epsilons.ndim else made[0].numpy()


def random_signs(model, images, labels=None, *, epsilon, bounds=BOUNDS, seed=0):
    """The control of an attack: every pixel up or down by `epsilon`, by the toss of a coin.

    As large as FGSM's step; neither the model nor the labels are looked at. Arguments and result
    as for `fgsm`, and `seed`, an int.
    """
    low, high = _check_bounds(bounds)
    check_images(images, "images", low=low, high=high)
    epsilons = _check_epsilon(epsilon)
    coins = np.random.default_rng(seed).integers(0, 2, np.shape(images), np.int8)
    steps = np.multiply.outer(epsilons, np.float32(2) * coins - np.float32(1))
    return np.clip(np.asarray(images, np.float32) + steps, low, high)


def predict(model, images, batch_size=128):
    """What the model takes pictures for, and how sure it is.

    Args:
        model: a Keras classifier, see above.
        images: float array, `(..., height, width, channels)`: what an attack returns, with or
            without the axis of the epsilons.
        batch_size: pictures that are classified at once.

    Returns:
        `(labels, confidences)`, int64 and float32 in [0, 1], both of shape `(...)`.
    """
    images = np.asarray(images)
    if images.ndim < 4:
        raise ValueError(
            f"images: shape {images.shape}, but (..., batch, height, width, channels) is needed"
        )
    flat = images.reshape(-1, *images.shape[-3:]).astype(np.float32, copy=False)
    attack = _attack(model, flat)
    logits = [attack.logits(flat[i : i + batch_size]) for i in range(0, len(flat), batch_size)]
    probabilities = tf.nn.softmax(tf.concat(logits, 0)).numpy()
    shape = images.shape[:-3]
    return probabilities.argmax(-1).reshape(shape), probabilities.max(-1).reshape(shape)


def output_kind(model):
    """What the attacks found at the end of a model: "softmax" or "logits".

    Of a softmax they take what went into it. Probabilities that come out of something else are
    an error, because a loss on them has no gradient where the model is sure.
    """
    return _attack(model, _zeros(model)).kind


def accuracy_under_attack(model, dataset, epsilons, attack=fgsm, batch_size=250, **options):
    """The share of pictures that the model still gets right, for each epsilon.

    Args:
        model: a Keras classifier, see above.
        dataset: a `tf.data.Dataset` of batches (pictures, labels), or a pair of arrays.
        epsilons: list of floats, in the units of `bounds`.
        attack: `fgsm`, `pgd`, `random_signs`, or a function with their arguments.
        batch_size: pictures in a batch, where `dataset` is a pair of arrays.
        **options: go to the attack: `steps=20`, `norm=2`, `bounds=(0, 1)`.

    Returns:
        float array in [0, 1], `(epsilons,)`.
    """
    epsilons = np.atleast_1d(_check_epsilon(epsilons))
    if isinstance(dataset, tuple):
        images, labels = dataset
        if len(images) != len(labels):
            raise ValueError(f"dataset: {len(images)} pictures, but {len(labels)} labels")
        cuts = range(0, len(images), batch_size)
        dataset = [(images[i : i + batch_size], labels[i : i + batch_size]) for i in cuts]
    right, count = np.zeros(len(epsilons)), 0
    for images, labels in dataset:
        made = attack(model, images, labels, epsilon=epsilons, **options)
        right += (predict(model, made)[0] == _class_numbers(labels)).sum(1)
        count += len(labels)
    if not count:
        raise ValueError("dataset: it is empty, not one batch came out of it")
    return right / count


def smallest_epsilon(model, images, labels=None, *, epsilons, attack=fgsm, **options):
    """Of each picture the smallest of `epsilons` that fools the model.

    Args:
        model, images, labels: as for `fgsm`.
        epsilons: list of floats; as fine as the answer should be.
        attack: as for `accuracy_under_attack`; without `targeted`.
        **options: go to the attack.

    Returns:
        float32 array, `(batch,)`; `inf` where none of them does.
    """
    epsilons = np.sort(np.atleast_1d(_check_epsilon(epsilons)))
    if labels is None:
        labels = predict(model, images)[0]
    made = attack(model, images, labels, epsilon=epsilons, **options)
    fooled = predict(model, made)[0] != _class_numbers(labels)
    return np.where(fooled.any(0), epsilons[fooled.argmax(0)], np.float32(np.inf))


@keras.saving.register_keras_serializable(package="recipes")
class AdversarialTraining(keras.Model):
    """A wrapper for `fit` that trains a classifier on pictures that attack it.

        defence = AdversarialTraining(classifier, epsilon=0.2)
        defence.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        defence.fit(dataset, epochs=4)  # trains `classifier` itself

    Each batch is joined by its own attack, which is FGSM from a random start (Wong, Rice, Kolter
    2020), or PGD with `steps` above 1. As in Goodfellow et al. 2015 the loss is
    clean_share * L(x) + (1 - clean_share) * L(x'). Predictions are those of the classifier.

    Args:
        model: the classifier, see above; its labels are ints `(batch,)`, or one-hot.
        epsilon: float, the radius of the attack, in the units of `bounds`.
        clean_share: float in [0, 1], weight of the pictures as they are.
        steps: gradients of an attack; each costs about as much as a training step.
        bounds: least and greatest value of a pixel.
        seed: int, seed of the random starts.
    """

    def __init__(self, model, epsilon, clean_share=0.5, steps=1, bounds=BOUNDS, seed=0, **kwargs):
        super().__init__(**kwargs)
        if _check_epsilon(epsilon).ndim:
            raise ValueError(f"epsilon: one number is needed, not {epsilon!r}")
        if not 0 <= clean_share <= 1:
            raise ValueError(f"clean_share {clean_share}: it has to be from 0 to 1")
        self.model, self.epsilon, self.steps = model, float(epsilon), steps
        self.clean_share, self.bounds, self.seed = clean_share, _check_bounds(bounds), seed
        self.seeds = keras.random.SeedGenerator(seed)
        self.attack = _attack(model, _zeros(model))
        self.built = True

    def call(self, images, training=False):
        return self.model(images, training=training)

    def train_step(self, data):
        images, labels = data
        wanted = labels if labels.shape.rank == 1 else tf.argmax(labels, -1)
        start = _random_start(tf.shape(images), tf.cast(self.seeds.next(), tf.int64), "inf")
        # 1.25 is the step of Wong et al. for one gradient, 2.5 / steps that of Madry et al.
        size = self.epsilon * (1.25 if self.steps == 1 else 2.5 / self.steps)
        wanted = tf.cast(wanted, tf.int64)
        made = self.attack.pgd["inf"](
            images, wanted, start, self.epsilon, size, 1.0, self.steps, *self.bounds
        )
        shares = tf.constant([2 * self.clean_share, 2 - 2 * self.clean_share])
        both = tf.concat([images, tf.stop_gradient(made)], 0), tf.concat([labels, labels], 0)
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
    """A small convolutional net for digits: pictures in [-1, 1] -> probabilities (softmax)."""
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


def save_pictures(folder, images, names, confidences, epsilon, bounds=BOUNDS):
    """Writes pictures as PNG (a JPEG would wipe the perturbation out), named by what is seen.

    A PNG holds whole grey levels: on [-1, 1], an epsilon under 1/255 rounds back to the original.

    Args:
        folder: where they go; made if it is not there.
        images: float array in `bounds`, `(batch, height, width, 1 or 3)`.
        names: list of str, what each picture is taken for; any characters.
        confidences: floats in [0, 1].
        epsilon: float.
        bounds: least and greatest value of a pixel.

    Returns:
        A list of `Path`s such as `00_pug_0.7233_eps0.005.png`.
    """
    low, high = _check_bounds(bounds)
    check_images(images, "images", low=low, high=high)
    scaled = np.rint((np.clip(images, low, high) - low) * (255 / (high - low))).astype(np.uint8)
    paths = []
    for i, (picture, name, sure) in enumerate(zip(scaled, names, confidences, strict=True)):
        safe = re.sub(r"[^A-Za-z0-9-]+", "_", str(name)).strip("_")[:60] or "unnamed"
        paths.append(Path(folder) / f"{i:02d}_{safe}_{sure:.4f}_eps{epsilon:g}.png")
        save_png(picture if picture.shape[-1] == 3 else picture.repeat(3, -1), paths[-1])
    return paths


class _Attack:
    """The compiled functions of one model, each traced once, for batches of any size.

    They hold it by a weak reference, so that they do not keep it alive.
    """

    def __init__(self, model, shape):
        self.model, self.kind = weakref.ref(model), None
        images, labels = tf.TensorSpec((None, *shape)), tf.TensorSpec((None,), tf.int64)
        number, steps = tf.TensorSpec(()), tf.TensorSpec((), tf.int32)
        epsilons, sign, low_high = tf.TensorSpec((None,)), number, (number, number)
        self.logits = _compiled(self._logits, images)
        self.fgsm = {
            norm: _compiled(partial(self._fgsm, norm), images, labels, epsilons, sign, *low_high)
            for norm in ("inf", 1, 2)
        }
        pgd = images, labels, images, number, number, sign, steps, *low_high
        self.pgd = {norm: _compiled(partial(self._pgd, norm), *pgd) for norm in ("inf", 2)}

    def _logits(self, images):
        outputs = self.model()(images, training=False)
        outputs = list(outputs.values()) if isinstance(outputs, dict) else outputs
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        if len(outputs) != 1:
            raise ValueError(
                f"model: it has {len(outputs)} outputs, but one is needed; choose one: "
                "keras.Model(model.inputs, model.outputs[0])"
            )
        [output] = outputs
        if output.shape.rank != 2 or (output.shape[1] or 2) < 2:
            raise ValueError(
                f"model: its output has the shape {output.shape}, but (batch, classes) with two "
                "classes or more is needed"
            )
        operation = output.op
        while operation.type in ("Identity", "Cast"):
            operation = operation.inputs[0].op
        if operation.type == "Sigmoid":
            raise ValueError("model: it ends in a sigmoid, but softmax or logits are needed")
        self.kind = "softmax" if operation.type == "Softmax" else "logits"
        return tf.cast(operation.inputs[0] if self.kind == "softmax" else output, tf.float32)

    def _direction(self, images, labels, norm):
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = self._logits(images)
            labels = tf.where(labels == PREDICTED, tf.argmax(logits, 1), labels)
            own = tf.one_hot(labels, tf.shape(logits)[1], True, False, dtype=tf.bool)
            # Cross-entropy is log(1 + exp(odds)). Its gradient, that of the odds times 1 - p,
            # is zero in float32 where p rounds to 1; that of the odds is not.
            others = tf.reduce_logsumexp(tf.where(own, logits.dtype.min, logits), 1)
            odds = others - tf.reduce_sum(tf.where(own, logits, 0.0), 1)
        gradient = tape.gradient(odds, images)
        if norm == "inf":
            return tf.sign(gradient)
        return gradient / tf.maximum(_size(gradient, norm), TINY)

    def _fgsm(self, norm, images, labels, epsilons, sign, low, high):
        step = sign * self._direction(images, labels, norm)
        steps = tf.reshape(epsilons, (-1, 1, 1, 1, 1)) * step
        return tf.clip_by_value(images + steps, low, high)

    def _pgd(self, norm, images, labels, start, epsilon, size, sign, steps, low, high):
        def step(made):
            gap = made + size * sign * self._direction(made, labels, norm) - images
            if norm == "inf":
                gap = tf.clip_by_value(gap, -epsilon, epsilon)
            else:
                gap *= tf.minimum(1.0, epsilon / tf.maximum(_size(gap, norm), TINY))
            return (tf.clip_by_value(images + gap, low, high),)

        made = tf.clip_by_value(images + epsilon * start, low, high)
        return tf.while_loop(lambda _: True, step, (made,), maximum_iterations=steps)[0]


def _compiled(function, *signature):
    # No autograph: an error reaches the reader as it was raised.
    return tf.function(function, input_signature=signature, autograph=False)


_attacks = weakref.WeakKeyDictionary()  # model -> dict from the shape of a picture


def _attack(model, images):
    """The compiled functions of `model`, which is looked at when it is new."""
    shape = _input_shape(model)
    if shape is not None:
        if shape[-1] == 3 and images.shape[-1] == 1:
            raise ValueError(
                f"images: grey, shape {tuple(images.shape)}, but the model takes RGB: "
                "np.repeat(images, 3, axis=-1)"
            )
        if any(n not in (None, m) for n, m in zip(shape, images.shape[1:], strict=True)):
            wanted = ", ".join("any" if n is None else str(n) for n in shape)
            raise ValueError(
                f"images: shape {tuple(images.shape)}, but the model takes (batch, {wanted}); "
                "recipes.datasets.image_files.load reads files at any size"
            )
    shape = tuple(images.shape[1:]) if shape is None else shape
    attacks = _attacks.setdefault(model, {})
    if shape not in attacks:
        attack = _Attack(model, shape)
        values = attack.logits(images[:1]).numpy()
        if attack.kind == "logits" and values.min() >= 0 and abs(values.sum() - 1) < 1e-3:
            raise ValueError(
                "model: its output looks like probabilities, but no softmax was found at its "
                "end; end it in a softmax layer, or leave the logits as they are"
            )
        attack.classes = values.shape[1]
        attacks[shape] = attack
    return attacks[shape]


def _input_shape(model):
    if not isinstance(model, keras.Model):
        raise ValueError(f"model: a keras.Model is needed, not {type(model).__name__}")
    if len(getattr(model, "inputs", None) or [0]) != 1:
        raise ValueError(f"model: it has {len(model.inputs)} inputs, but one, pictures, is needed")
    try:
        return model.input_shape[1:]
    except (AttributeError, ValueError):  # a subclass of keras.Model takes what it takes
        return None


def _zeros(model):
    """A black picture that fits the model, to see what comes out of it."""
    shape = _input_shape(model)
    if shape is None:
        raise ValueError("model: the shape of its pictures is unknown; a functional or Sequential "
                         "model is needed")  # fmt: skip
    return np.zeros((1, *(n or 64 for n in shape)), np.float32)


def _prepare(model, images, labels, targeted, bounds):
    """Checks what an attack was given; `(compiled functions, images, labels, bounds)`."""
    low, high = _check_bounds(bounds)
    check_images(images, "images", low=low, high=high)
    images = tf.cast(images, tf.float32)
    attack = _attack(model, images)
    if labels is None:
        if targeted:
            raise ValueError("labels: a targeted attack needs the classes that it leads to")
        return attack, images, None, (low, high)
    labels = np.asarray(labels)
    if labels.ndim == 2:
        if labels.shape[1] != attack.classes:
            raise ValueError(
                f"labels: one-hot vectors of {labels.shape[1]}, but the model has "
                f"{attack.classes} classes"
            )
        if not (np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all()):
            raise ValueError("labels: two axes, but not one-hot: one 1 in each row, else zeros")
        labels = _class_numbers(labels)
    check_labels(labels, "labels", attack.classes, len(images))
    return attack, images, tf.constant(labels, tf.int64), (low, high)


def _class_numbers(labels):
    """Ints `(batch,)`, of those or of one-hot `(batch, classes)`."""
    labels = np.asarray(labels)
    return labels.argmax(1) if labels.ndim == 2 else labels


def _check_bounds(bounds):
    low, high = (float(value) for value in bounds)
    if not low < high or not np.isfinite([low, high]).all():
        raise ValueError(f"bounds {bounds}: (least, greatest) value of a pixel is needed")
    return low, high


def _check_epsilon(epsilon):
    epsilons = np.asarray(epsilon, np.float32)
    if epsilons.ndim > 1 or not epsilons.size or not np.isfinite(epsilons).all():
        raise ValueError(f"epsilon {epsilon!r}: a finite number or a list of them is needed")
    if epsilons.min() < 0:
        raise ValueError(f"epsilon {epsilon!r}: it is a distance, so 0 or more")
    return epsilons


def _check_norm(norm, known):
    if norm not in known:
        raise ValueError(f"norm {norm!r} is unknown; known: {', '.join(map(repr, known))}")


def _size(x, norm):
    """Norm 1 or 2 of each picture, `(batch, 1, 1, 1)`; scaled, or small squares would vanish."""
    most = tf.reduce_max(tf.abs(x), (1, 2, 3), keepdims=True)
    x = x / tf.maximum(most, TINY)
    total = tf.reduce_sum(tf.abs(x) ** norm, (1, 2, 3), keepdims=True)
    return most * (total if norm == 1 else tf.sqrt(total))


def _random_start(shape, seed, norm):
    """A random point of the unit ball for each picture, evenly spread."""
    if norm == "inf":
        return tf.random.stateless_uniform(shape, seed, -1.0, 1.0)
    seeds = tf.unstack(tf.random.split(seed, 2))
    point = tf.random.stateless_normal(shape, seeds[0])
    radius = tf.random.stateless_uniform((shape[0], 1, 1, 1), seeds[1])
    size = tf.cast(tf.reduce_prod(shape[1:]), tf.float32)
    return point / _size(point, 2) * radius ** (1 / size)
