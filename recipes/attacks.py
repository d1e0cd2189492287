"""Attacks that are stronger than FGSM, the accuracy that they leave, and what they are made of.

`model`, `images`, `labels`, `epsilon` and `bounds` are those of `recipes.fgsm.fgsm`, and so is what
an attack returns, if nothing else is said. `norm` is "inf" or 2, `seed` an int.
"""

from functools import partial

import keras
import numpy as np
import tensorflow as tf

from recipes.training.checks import check_images, check_labels

BOUNDS = (-1.0, 1.0)
TINY = 1e-30  # a gradient that is zero has no direction: it stays zero
SIGNS = np.float32([-1, 1])
# The parts of its queries after which Square halves the area of its squares.
HALVED = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


def apgd(
    model, images, labels=None, *, epsilon, steps=100, loss="ce", targets=9, norm="inf",
    bounds=BOUNDS, seed=0,
):  # fmt: skip
    """Auto-PGD (Croce, Hein 2020): PGD with momentum that finds its step sizes itself.

    Each image's step begins at 2 * epsilon. At checkpoints that come closer and closer it is
    halved, and the image goes back to its best point, where fewer than three quarters of the
    steps since the last checkpoint raised the loss, or where neither the best loss nor the step
    has changed since.

    Args:
        steps: number of gradients.
        loss: "ce", cross-entropy; "dlr", the difference of logits ratio, which does not depend on
            the scale of the logits; or "targeted", which leads with that ratio to each of the
            likeliest other classes in turn, as long as an image stands (APGD-T).
        targets: number of those classes; each takes `steps` gradients.

    Returns:
        For each image a point that fools the model, or else the one with the highest loss.
    """
    check("norm", norm, ("inf", 2))
    check("loss", loss, ("ce", "dlr", "targeted"))
    logits, images, labels = prepare(model, images, labels, bounds)
    if loss != "ce" and logits.classes < 4:
        raise ValueError(f"loss {loss!r} needs 4 classes, but the model has {logits.classes}")
    options = check_epsilon(epsilon), steps, norm, bounds, seed
    if loss != "targeted":
        function = {"ce": log_odds, "dlr": dlr}[loss]
        return _apgd(logits, images, labels, labels, function, *options)[0].numpy()
    likeliest = np.argsort(-logits(images).numpy())
    others = likeliest[likeliest != labels.numpy()[:, None]].reshape(len(images), -1)
    made, standing = images.numpy(), np.arange(len(images))
    for target in others.T[:targets]:
        x, y, t = (tf.gather(tensor, standing) for tensor in (images, labels, target))
        x, fooled = _apgd(logits, x, y, t, targeted_dlr, *options)
        made[standing] = x
        standing = standing[~fooled.numpy()]
        if not len(standing):
            break
    return made


def _apgd(logits, images, labels, targets, loss, epsilon, steps, norm, bounds, seed):
    start = random_point(tf.shape(images), (seed, 0), norm)
    start /= size_of(start, norm)  # on the surface of the ball
    x = before = tf.clip_by_value(images + epsilon * start, *bounds)
    gradient, value, fooled = logits.differentiate(x, labels, loss, targets)
    made, best, best_gradient, best_value = x, x, gradient, value
    size = tf.fill(value.shape, np.float32(2 * epsilon))
    rises, value_then, halved = tf.zeros_like(value), value, tf.ones_like(fooled)
    last, checkpoints = 0, apgd_checkpoints(steps)
    for step in range(1, steps):
        ahead = project(x + size * direction(gradient, norm), images, epsilon, norm, bounds)
        if step > 1:  # 0.75 of the step, and 0.25 of the one before
            ahead = x + 0.75 * (ahead - x) + 0.25 * (x - before)
        before, x = x, project(ahead, images, epsilon, norm, bounds)
        value_before = value
        gradient, value, fools = logits.differentiate(x, labels, loss, targets)
        made, fooled = tf.where(fools, x, made), fooled | fools
        rises += tf.cast(value > value_before, tf.float32)
        better = value > best_value
        best, best_gradient = tf.where(better, x, best), tf.where(better, gradient, best_gradient)
        best_value = tf.maximum(value, best_value)
        if step in checkpoints:
            stuck = ~halved & (best_value == value_then)
            halved = (rises < 0.75 * (step - last)) | stuck
            size = tf.where(halved, size / 2, size)
            x, gradient = tf.where(halved, best, x), tf.where(halved, best_gradient, gradient)
            value = tf.where(halved, best_value, value)
            rises, value_then, last = tf.zeros_like(value), best_value, step
    return tf.where(fooled, made, best), tf.reshape(fooled, (-1,))


def apgd_checkpoints(steps):
    """The steps at which APGD looks back: after 22 %, then 19, 16 ... 6 % of all more."""
    checkpoints, share, at = [], 0.22, 0.22
    while at < 1:
        checkpoints.append(int(np.ceil(round(at * steps, 6))))
        share = max(share - 0.03, 0.06)
        at += share
    return checkpoints


def square(
    model, images, labels=None, *, epsilon, queries=1000, share=0.8, norm="inf", bounds=BOUNDS,
    seed=0, count_queries=False,
):  # fmt: skip
    """Square (Andriushchenko et al. 2020): random search, which needs no gradient.

    In the norm "inf" it begins with vertical stripes of -epsilon and +epsilon, and then sets a
    square at a random place to -epsilon or +epsilon in each channel. In the norm 2 it begins with
    a grid of bumps, and then moves what was added in one square into a bump in another. An image
    keeps a change that raises its margin; the squares shrink as the search goes on.

    Args:
        queries: how often the model may be asked about each image.
        share: how much of the image the first square covers; the paper has 0.05 ("inf") and 0.1
            (2) for ImageNet, AutoAttack 0.8.
        count_queries: whether to return a pair: the images, and the queries that each took, ints
            `(batch,)`, all of them where the model was not fooled.
    """
    check("norm", norm, ("inf", 2))
    if queries < 1:
        raise ValueError(f"queries {queries}: at least 1 is needed for each image")
    logits, images, labels = prepare(model, images, labels, bounds)
    epsilon, rng = check_epsilon(epsilon), np.random.default_rng(seed)
    propose = {"inf": _square_inf, 2: _square_2}[norm]
    made, used = images.numpy(), np.full(len(images), queries)
    standing, best = np.arange(len(images)), np.float32(-np.inf)
    x = images
    for query in range(1, queries + 1):
        halvings = np.searchsorted(HALVED, (query - 1) / queries)
        side = round(np.sqrt(share / 2**halvings * images.shape[1] * images.shape[2]))
        side = 0 if query == 1 else min(max(side, 1), *images.shape[1:3])
        new = tf.clip_by_value(propose(rng, x, images, epsilon, side), *bounds)
        value = margin(logits(new), labels)[:, None, None, None]
        x, best = tf.where(value > best, new, x), tf.maximum(value, best)
        fell = best.numpy().ravel() > 0
        if fell.any():
            made[standing[fell]], used[standing[fell]] = tf.boolean_mask(x, fell), query
            x, images, labels, best = (tf.boolean_mask(t, ~fell) for t in (x, images, labels, best))
            standing = standing[~fell]
        if not len(standing):
            break
    made[standing] = x
    return (made, used) if count_queries else made


def _square_inf(rng, x, images, epsilon, side):
    batch, height, width, channels = images.shape
    if not side:
        return images + epsilon * rng.choice(SIGNS, (batch, 1, width, channels))
    new = images + epsilon * rng.choice(SIGNS, (batch, 1, 1, channels))
    return tf.where(_placed(rng, np.ones((side, side)), height, width) > 0, new, x)


def _square_2(rng, x, images, epsilon, side):
    batch, height, width, channels = images.shape
    added, signs = x - images, (batch, 1, 1, channels)
    if not side:
        side = max(min(height, width) // 5, 1)
        for place in np.ndindex(height // side, width // side):
            bump = _placed(rng, _bump(rng, side), height, width, np.multiply(place, side))
            added += bump * rng.choice(SIGNS, signs)
        return images + epsilon * direction(added, 2)
    side = min(max(side, 3) | 1, height, width)
    one, two = (_placed(rng, np.ones((side, side)), height, width) for _ in range(2))
    both = np.maximum(one, two)
    bump = _placed(rng, _bump(rng, side), height, width, np.argwhere(one[0, :, :, 0])[0])
    bump = bump * rng.choice(SIGNS, signs) + added * one / tf.maximum(_length(added * one), TINY)
    bump /= tf.maximum(_length(bump), TINY)
    unused = tf.maximum(epsilon**2 - size_of(added, 2) ** 2, 0) / channels
    added = added * (1 - both) + bump * tf.sqrt(_length(added * both) ** 2 + unused)
    return images + epsilon * direction(added, 2)


def _length(x):
    """The L2 norm of each channel of each image, `(batch, 1, 1, channels)`."""
    return tf.sqrt(tf.reduce_sum(x**2, (1, 2), keepdims=True))


def _placed(rng, square, height, width, place=None):
    """A square in a frame of zeros, `(1, height, width, 1)`, by default at a random place."""
    frame, side = np.zeros((1, height, width, 1), np.float32), len(square)
    top, left = rng.integers(0, (height - side + 1, width - side + 1)) if place is None else place
    frame[0, top : top + side, left : left + side, 0] = square
    return frame


def _bump(rng, side):
    """Two heaps side by side or one above the other, up and down, `(side, side)`, of length 1."""

    def heap(rows, columns):
        far = np.maximum.outer(*(np.abs(np.arange(n) - n // 2) for n in (rows, columns)))
        return sum((far <= r) / (r + 1) ** 2 for r in range(max(rows, columns) // 2 + 1))

    bump = np.concatenate([heap(side // 2, side), -heap(side - side // 2, side)])
    bump /= np.linalg.norm(bump)
    return bump.T if rng.random() < 0.5 else bump


def fmn(model, images, labels=None, *, steps=100, step_size=None, norm="inf", bounds=BOUNDS):
    """Fast minimum-norm attack (Pintor et al. 2021): the nearest image that fools the model.

    It follows the gradient of the margin inside a ball that shrinks while the model is fooled and
    grows while it is not, until the image lies on the boundary of its class.

    Args:
        steps: number of gradients.
        step_size: L2 length of the first step, by default the width of `bounds`; the last step is
            a hundredth of it.

    Returns:
        `(made, distances)`: float32 arrays, of the shape of `images` and `(batch,)`; where nothing
        was found, the image itself and `inf`.
    """
    check("norm", norm, ("inf", 2))
    low, high = check_bounds(bounds)
    logits, images, labels = prepare(model, images, labels, bounds)
    x = best = images
    nearest = radius = tf.fill((len(images), 1, 1, 1), np.float32(np.inf))
    farthest = size_of(tf.maximum(images - low, high - images), norm)
    for step in range(steps):
        cosine = (1 + np.cos(np.pi * step / steps)) / 2  # from 1 to 0
        gradient, value, fooled = logits.differentiate(x, labels, margin)
        gradient = tf.where(tf.where(gradient < 0, x > low, x < high), gradient, 0)  # may go there
        distance = size_of(x - images, norm)
        better = fooled & (distance < nearest)
        best, nearest = tf.where(better, x, best), tf.where(better, distance, nearest)
        # To first order the boundary is |margin| / (dual norm of the gradient) away; 1 % beyond.
        slope = tf.maximum(size_of(gradient, 1 if norm == "inf" else 2), TINY)
        gamma = 0.001 + 0.049 * cosine
        found = tf.math.is_finite(nearest)
        grown = tf.where(found, radius * (1 + gamma), distance - 1.01 * value / slope)
        radius = tf.where(fooled, tf.minimum(radius * (1 - gamma), nearest), grown)
        radius = tf.minimum(radius, farthest)
        length = (high - low if step_size is None else step_size) * (0.01 + 0.99 * cosine)
        x = project(x + length * direction(gradient, 2), images, radius, norm, bounds)
    return best.numpy(), nearest.numpy().ravel()


def robust_accuracy(
    model, dataset, epsilon, *, norm="inf", steps=100, targets=9, queries=5000, bounds=BOUNDS,
    batch_size=250, seed=0,
):  # fmt: skip
    """The accuracy that APGD-CE, APGD-T and Square leave together, as AutoAttack measures it.

    Each attack gets the images that still stand (Croce, Hein 2020; without their attack FAB). The
    arguments are those of `accuracy_under_attack`, `apgd` and `square`.

    Returns:
        A dict, name -> accuracy after it: "clean", "APGD-CE", "APGD-T", "Square"; the last one is
        the robust accuracy.
    """
    common = {"epsilon": epsilon, "norm": norm, "bounds": bounds, "seed": seed}
    attacks = {
        "clean": lambda model, images, labels: images,
        "APGD-CE": partial(apgd, steps=steps, **common),
        "APGD-T": partial(apgd, loss="targeted", targets=targets, steps=steps, **common),
        "Square": partial(square, queries=queries, **common),
    }
    left, total = dict.fromkeys(attacks, 0), 0
    for images, labels in batches(dataset, batch_size):
        total += len(labels)
        for name, attack in attacks.items():
            if len(labels):
                stands = predict(model, attack(model, images, labels))[0] == labels
                images, labels = images[stands], labels[stands]
            left[name] += len(labels)
    return {name: count / total for name, count in left.items()}


def accuracy_under_attack(model, dataset, epsilons, attack, batch_size=250, **options):
    """The accuracy that one attack leaves, for each epsilon.

    Args:
        dataset: a `tf.data.Dataset` of batches (images, labels), or a pair of arrays.
        epsilons: list of floats.
        attack: `fgsm`, `pgd`, `random_signs`, `apgd`, `square`, or a function with their arguments.
        batch_size: images in a batch, where `dataset` is a pair of arrays.
        **options: go to the attack: `steps=20`, `norm=2`, `bounds=(0, 1)`.

    Returns:
        float array in [0, 1], `(epsilons,)`.
    """
    right, total = np.zeros(len(epsilons)), 0
    for images, labels in batches(dataset, batch_size):
        total += len(labels)
        for i, epsilon in enumerate(epsilons):
            made = attack(model, images, labels, epsilon=epsilon, **options)
            right[i] += (predict(model, made)[0] == labels).sum()
    return right / total


def predict(model, images, batch_size=128):
    """What the model sees in images, and how sure it is.

    Args:
        images: float array, `(..., height, width, channels)`.
        batch_size: how many are classified at once.

    Returns:
        `(labels, confidences)`, int64 and float32 in [0, 1], both of shape `(...)`.
    """
    images = np.asarray(images)
    if images.ndim < 4:
        raise ValueError(
            f"images: shape {images.shape}, but (..., batch, height, width, channels) is needed"
        )
    flat = images.reshape(-1, *images.shape[-3:]).astype(np.float32, copy=False)
    logits, cuts = compiled(model, flat), range(batch_size, len(flat), batch_size)
    values = [logits(tf.constant(batch)) for batch in np.split(flat, cuts)]
    probabilities = tf.nn.softmax(tf.concat(values, 0)).numpy()
    return tuple(
        p.reshape(images.shape[:-3]) for p in (probabilities.argmax(1), probabilities.max(1))
    )


# The losses, of logits, labels and, for one of them, targets: `(batch,)`.


def log_odds(logits, labels, targets=None):
    """log((1 - p) / p), p the probability of the label: cross-entropy is log(1 + exp(log_odds)).

    It orders points as cross-entropy does, and its gradient has the same direction; but that of
    cross-entropy, smaller by the factor 1 - p, is zero in float32 where p rounds to 1.
    """
    own, others = _split(logits, labels)
    return tf.reduce_logsumexp(others, 1) - own


def margin(logits, labels, targets=None):
    """The largest other logit less that of the label: above 0 the model is fooled."""
    own, others = _split(logits, labels)
    return tf.reduce_max(others, 1) - own


def dlr(logits, labels, targets=None):
    """The difference of logits ratio: the margin / (z1 - z3), z1 >= z2 >= z3 the largest logits."""
    top = tf.math.top_k(logits, 3).values
    return margin(logits, labels) / (top[:, 0] - top[:, 2] + 1e-12)


def targeted_dlr(logits, labels, targets):
    """Towards the targets: (z_t - z_y) / (z1 - (z3 + z4) / 2)."""
    top = tf.math.top_k(logits, 4).values
    gap = tf.gather(logits, targets, batch_dims=1) - tf.gather(logits, labels, batch_dims=1)
    return gap / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2 + 1e-12)


def _split(logits, labels):
    own = tf.one_hot(labels, tf.shape(logits)[1], True, False, dtype=tf.bool)
    return tf.gather(logits, labels, batch_dims=1), tf.where(own, logits.dtype.min, logits)


# What attacks are made of.


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
    return direction(point, 2) * radius ** (1 / size)


def compiled(model, images=None):
    """`Compiled(model)`, made once and kept on the model, as Keras keeps what `predict` compiles.

    `images`, if given, have to fit the model.
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
    given = shape if images is None else images.shape[1:]
    if any(n not in (None, m) for n, m in zip(shape, given, strict=True)):
        raise ValueError(
            f"images: shape {images.shape}, but the model takes {(None, *shape)}; "
            "recipes.datasets.image_files.load reads files in colour, at any size"
        )
    if not hasattr(model, "compiled_for_attacks"):
        model.compiled_for_attacks = Compiled(model, shape)
    return model.compiled_for_attacks


class Compiled:
    """The function images -> logits of a model, and gradients, compiled for batches of any size.

    Of a softmax it returns what went into it.
    """

    def __init__(self, model, shape):
        self.model, self.images, self.gradients = model, tf.TensorSpec((None, *shape)), {}
        self.compiled = self._compile(self._logits, self.images)
        values = self(tf.zeros((1, *(n or 64 for n in shape)))).numpy()
        if values.min() >= 0 and abs(values.sum() - 1) < 1e-3:
            raise ValueError(
                "model: its output looks like probabilities, but no softmax was found at its end; "
                "end it in a softmax layer, or leave the logits as they are"
            )
        self.classes = values.shape[1]

    def __call__(self, images):
        return self.compiled(images)

    def differentiate(self, images, labels, loss, targets=None):
        """The gradient of a loss by the images, its values, who is fooled: `(batch, 1, 1, 1)`."""
        if loss not in self.gradients:
            classes = tf.TensorSpec((None,), tf.int64)
            function = partial(self._differentiate, loss)
            self.gradients[loss] = self._compile(function, self.images, classes, classes)
        return self.gradients[loss](images, labels, labels if targets is None else targets)

    def _differentiate(self, loss, images, labels, targets):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(images)
            logits = self._logits(images)
            value = loss(logits, labels, targets)
        gradient = tape.gradient(value, images, unconnected_gradients="zero")  # as of a rounding
        fooled = tf.argmax(logits, 1) != labels
        return gradient, value[:, None, None, None], fooled[:, None, None, None]

    def _logits(self, images):
        outputs = tf.nest.flatten(self.model(images, training=False))
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
        last = output.op
        while last.type in ("Identity", "Cast"):
            last = last.inputs[0].op
        if last.type == "Sigmoid":
            raise ValueError("model: it ends in a sigmoid, but softmax or logits are needed")
        return tf.cast(last.inputs[0] if last.type == "Softmax" else output, tf.float32)

    @staticmethod
    def _compile(function, *signature):
        # A concrete function stays a graph under `tf.config.run_functions_eagerly`. Without
        # autograph, an error reaches the reader as it was raised.
        return tf.function(function, autograph=False).get_concrete_function(*signature)


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
    labels = class_numbers(labels, logits.classes)
    check_labels(labels, "labels", logits.classes, len(images))
    return logits, images, tf.constant(labels, tf.int64)


def class_numbers(labels, classes=None):
    """Ints `(batch,)`, of those, of a column `(batch, 1)` or of one-hot `(batch, classes)`."""
    labels = np.asarray(labels)
    if labels.ndim != 2:
        return labels
    if labels.shape[1] == 1:
        return labels[:, 0]
    if classes not in (None, labels.shape[1]):
        raise ValueError(
            f"labels: one-hot vectors of {labels.shape[1]}, but the model has {classes} classes"
        )
    if not (np.isin(labels, (0, 1)).all() and (labels.sum(1) == 1).all()):
        raise ValueError("labels: two axes, but not one-hot: one 1 in each row, else zeros")
    return labels.argmax(1)


def batches(dataset, size):
    """Arrays (images, labels) of a dataset's batches, or of a pair of arrays in batches."""
    if isinstance(dataset, tuple):
        images, labels = dataset
        if len(images) != len(labels):
            raise ValueError(f"dataset: {len(images)} images, but {len(labels)} labels")
        cuts = range(0, len(labels), size)
        dataset = [(images[i : i + size], labels[i : i + size]) for i in cuts]
    empty = True
    for images, labels in dataset:
        empty = False
        yield np.asarray(images), class_numbers(labels)
    if empty:
        raise ValueError("dataset: it is empty, not one batch came out of it")


def check(name, value, known):
    if value not in known:
        raise ValueError(f"{name} {value!r} is unknown; known: {', '.join(map(repr, known))}")


def check_bounds(bounds):
    low, high = (float(value) for value in bounds)
    if not low < high or not np.isfinite([low, high]).all():
        raise ValueError(f"bounds {bounds}: (least, greatest) value of a pixel is needed")
    return low, high


def check_epsilon(epsilon, many=False):
    epsilons = np.asarray(epsilon, np.float32)
    good = epsilons.size and np.isfinite(epsilons).all() and epsilons.min() >= 0
    if epsilons.ndim > many or not good:
        wanted = "a finite number, 0 or more" + (", or a list of them" if many else "")
        raise ValueError(f"epsilon {epsilon!r}: it has to be {wanted}")
    return epsilons
