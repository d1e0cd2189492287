"""Attacks that are stronger than FGSM, the accuracy that they leave, and what they are made of.

Arguments, results and errors are those of `recipes.fgsm.fgsm`; `norm` is "inf" or 2, `seed` an int.
"""

from functools import partial

import numpy as np
import tensorflow as tf

from recipes.classifiers import BOUNDS, compiled, predict
from recipes.datasets.files import check_choice
from recipes.training import checks

TINY = 1e-30  # a gradient that is zero has no direction: it stays zero
SIGNS = np.float32([-1, 1])
# The parts of its steps after which APGD looks back, and of its queries, after which Square halves
# the area of its squares.
CHECKPOINTS = (0.22, 0.41, 0.57, 0.70, 0.80, 0.87, 0.93, 0.99)
HALVED = (0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8)


def apgd(
    model, images, labels=None, *, epsilon, steps=100, loss="ce", targets=9, norm="inf",
    bounds=BOUNDS, seed=0,
):  # fmt: skip
    """Auto-PGD (Croce, Hein 2020): PGD with momentum that finds its step sizes itself.

    Each image's step begins at 2 * epsilon. At checkpoints it is halved, and the image goes back
    to its best point, where fewer than three quarters of the steps since the last one raised the
    loss, or where neither the best loss nor the step has changed since.

    Args:
        steps: number of gradients.
        loss: "ce", cross-entropy; "dlr", the difference of logits ratio, which does not depend on
            the scale of the logits; or "targeted", which leads with that ratio to each of the
            likeliest `targets` other classes in turn, as long as an image stands (APGD-T).

    Returns:
        For each image a point that fools the model, or else the one with the highest loss.
    """
    losses = {"ce": log_odds, "dlr": dlr, "targeted": targeted_dlr}
    check_choice("loss", loss, losses)
    checks.check_seed(seed)
    checks.check_count("steps", steps)
    checks.check_count("targets", targets)
    logits, images, labels = prepare(model, images, labels, norm, bounds)
    if loss != "ce" and logits.classes < 4:
        raise ValueError(f"loss {loss!r} needs 4 classes, but the model has {logits.classes}")
    options = losses[loss], checks.check_epsilon(epsilon), steps, norm, bounds, seed
    leads = [labels]
    if loss == "targeted":
        likeliest = np.argsort(-logits(images).numpy())
        leads = likeliest[likeliest != labels.numpy()[:, None]].reshape(len(images), -1).T
    made, standing = images.numpy(), np.arange(len(images))
    for target in leads[:targets]:
        rows = (tf.gather(tensor, standing) for tensor in (images, labels, target))
        made[standing], fooled = _apgd(logits, *rows, *options)
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
    last, checkpoints = 0, [np.ceil(round(share * steps, 6)) for share in CHECKPOINTS]
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


def square(
    model, images, labels=None, *, epsilon, queries=1000, share=0.8, norm="inf", bounds=BOUNDS,
    seed=0, count_queries=False,
):  # fmt: skip
    """Square (Andriushchenko et al. 2020): random search, which needs no gradient.

    It begins with vertical stripes of -epsilon and +epsilon ("inf") or a grid of bumps (2). Then it
    sets random squares to -epsilon or +epsilon, or moves what was added in one into a bump in
    another. An image keeps a change that raises its margin; the squares shrink as time goes on.

    Args:
        queries: how often the model may be asked about each image.
        share: how much of the image the first square covers: AutoAttack's; the paper's are smaller.
        count_queries: whether to return a pair: the images, and the queries that each took, int64
            `(batch,)`; `queries` where the model was not fooled.
    """
    checks.check_count("queries", queries)
    checks.check_number("share", share, most=1)
    checks.check_seed(seed)
    logits, images, labels = prepare(model, images, labels, norm, bounds)
    epsilon, rng = checks.check_epsilon(epsilon), np.random.default_rng(seed)
    propose = {"inf": _square_inf, 2: _square_2}[norm]
    made, used = images.numpy(), np.full(len(images), queries)
    standing, x, best = np.arange(len(images)), images, np.float32(-np.inf)
    for query in range(1, queries + 1):
        halvings = np.searchsorted(HALVED, (query - 1) / queries)
        side = round(np.sqrt(share / 2**halvings * np.prod(images.shape[1:3])))
        side = 0 if query == 1 else min(max(side, 1), *images.shape[1:3])  # 0: the beginning
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
    added, signs, plane = x - images, (batch, 1, 1, channels), (1, 2)
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
    bump = direction(bump * rng.choice(SIGNS, signs) + direction(added * one, 2, plane), 2, plane)
    unused = tf.maximum(epsilon**2 - size_of(added, 2) ** 2, 0) / channels
    added = added * (1 - both) + bump * tf.sqrt(size_of(added * both, 2, plane) ** 2 + unused)
    return images + epsilon * direction(added, 2)


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


def fmn(model, images, labels=None, *, steps=100, norm="inf", bounds=BOUNDS):
    """Fast minimum-norm attack (Pintor et al. 2021): the nearest image that fools the model.

    In `steps` gradients it follows that of the margin inside a ball that shrinks while the model
    is fooled and grows while it is not, until the image lies on the boundary of its class.

    Returns:
        `(made, distances)`: float32 arrays, of the shape of `images` and `(batch,)`; where nothing
        was found, the image itself and `inf`.
    """
    checks.check_count("steps", steps)
    logits, images, labels = prepare(model, images, labels, norm, bounds)
    low, high = checks.check_bounds(bounds)
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
        length = (high - low) * (0.01 + 0.99 * cosine)
        x = project(x + length * direction(gradient, 2), images, radius, norm, bounds)
    return best.numpy(), nearest.numpy().ravel()


def robust_accuracy(
    model, dataset, epsilon, *, steps=100, targets=9, queries=5000, batch_size=250, **options
):
    """The accuracy that APGD-CE, APGD-T and Square leave together, as AutoAttack measures it.

    Each attack gets the images that still stand (Croce, Hein 2020; without their attack FAB). The
    arguments are those of `accuracy_under_attack`, `apgd` and `square`; `options` go to all three.

    Returns:
        A dict, name -> accuracy after it: "clean", "APGD-CE", "APGD-T", and "Square", the result.
    """
    options["epsilon"] = epsilon
    for name, value in (("steps", steps), ("targets", targets), ("queries", queries)):
        checks.check_count(name, value)
    if compiled(model).classes < 4:
        raise ValueError(f"APGD-T needs 4 classes, but the model has {compiled(model).classes}")
    attacks = {
        "clean": lambda model, images, labels: images,
        "APGD-CE": partial(apgd, steps=steps, **options),
        "APGD-T": partial(apgd, loss="targeted", targets=targets, steps=steps, **options),
        "Square": partial(square, queries=queries, **options),
    }
    left, total = dict.fromkeys(attacks, 0), 0
    for images, labels in batches(model, dataset, batch_size):
        total += len(labels)
        for name, attack in attacks.items():
            if len(labels):
                made = attack(model, images, labels)
                stands = predict(model, made, bounds=options.get("bounds", BOUNDS))[0] == labels
                images, labels = images[stands], labels[stands]
            left[name] += len(labels)
    return {name: count / total for name, count in left.items()}


def accuracy_under_attack(model, dataset, epsilons, attack, batch_size=250, **options):
    """The accuracy that one attack leaves, for each epsilon.

    Args:
        dataset: a `tf.data.Dataset` of batches (images, labels), or a pair of arrays.
        epsilons: list of floats, or one.
        attack: `fgsm`, `pgd`, `random_signs`, `apgd`, `square`, or a function with their arguments.
        batch_size: how many images are attacked at once, at most.
        **options: go to the attack: `steps=20`, `norm=2`, `bounds=(0, 1)`.

    Returns:
        float array in [0, 1], `(epsilons,)`.
    """
    if options.get("targeted"):
        raise ValueError("targeted: the labels are the true ones here, not targets to lead to")
    checks.check_epsilon(epsilons, many=True)
    epsilons = np.atleast_1d(epsilons)
    right, total = np.zeros(len(epsilons)), 0
    for images, labels in batches(model, dataset, batch_size):
        total += len(labels)
        for i, epsilon in enumerate(epsilons):
            made = attack(model, images, labels, epsilon=epsilon, **options)
            seen, _ = predict(model, made, bounds=options.get("bounds", BOUNDS))
            right[i] += (seen == labels).sum()
    return right / total


def batches(model, dataset, size):
    """Checked arrays (images, labels) of a dataset, or of a pair of arrays, at most `size` each."""
    classes, total = compiled(model).classes, 0
    if (
        isinstance(dataset, tf.data.Dataset)
        and dataset.cardinality() == tf.data.INFINITE_CARDINALITY
    ):
        raise ValueError("dataset: it never ends; leave repeat() out, or take(...) some batches")
    pair = isinstance(dataset, list) and dataset and not isinstance(dataset[0], tuple | list)
    for batch in [dataset] if pair or isinstance(dataset, tuple) else dataset:
        if len(batch) != 2:
            raise ValueError(f"dataset: batches of {len(batch)} parts, but (images, labels) needed")
        images, labels = batch
        images, labels = np.asarray(images), checks.class_numbers(labels, classes, len(images))
        total += len(labels)
        for i in range(0, len(labels), size):
            yield images[i : i + size], labels[i : i + size]
    if not total:
        raise ValueError("dataset: it is empty, not one image came out of it")


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


# What attacks are made of. A norm is that of each image, or of each of its channels: axes (1, 2).


def direction(gradient, norm, axes=(1, 2, 3)):
    """The sign of a gradient, or the gradient divided by its norm 1 or 2."""
    if norm == "inf":
        return tf.sign(gradient)
    return gradient / tf.maximum(size_of(gradient, norm, axes), TINY)


def project(x, images, epsilon, norm, bounds):
    """The point of the ball around `images` that is nearest to `x`, clipped to `bounds`."""
    gap = x - images
    if norm == "inf":
        gap = tf.clip_by_value(gap, -epsilon, epsilon)
    else:
        gap *= tf.minimum(1.0, epsilon / tf.maximum(size_of(gap, norm), TINY))
    return tf.clip_by_value(images + gap, *bounds)


def size_of(x, norm, axes=(1, 2, 3)):
    """The norm of each image, `(batch, 1, 1, 1)`."""
    most = tf.reduce_max(tf.abs(x), axes, keepdims=True)
    if norm == "inf":
        return most
    x = x / tf.maximum(most, TINY)  # else the squares of small numbers would vanish
    total = tf.reduce_sum(tf.abs(x) ** norm, axes, keepdims=True)
    return most * (total if norm == 1 else tf.sqrt(total))


def random_point(shape, seed, norm):
    """For each image a random point of the unit ball; in the norm 2 of the ball's surface."""
    if norm == "inf":
        return tf.random.stateless_uniform(shape, seed, -1.0, 1.0)
    return direction(tf.random.stateless_normal(shape, seed), 2)


def prepare(model, images, labels, norm, bounds, targeted=False, norms=("inf", 2)):
    """What an attack was given, checked: the compiled model, float32 images, int64 labels."""
    if norm == np.inf:
        raise ValueError('norm inf: write "inf", in quotes')
    check_choice("norm", norm, norms)
    checks.check_images(images, "images", None, *checks.check_bounds(bounds))
    images = tf.cast(images, tf.float32)
    logits = compiled(model, images)
    if labels is None:
        if targeted:
            raise ValueError("labels: a targeted attack needs the classes that it leads to")
        return logits, images, tf.argmax(logits(images), 1)
    labels = checks.class_numbers(labels, logits.classes, len(images))
    return logits, images, tf.constant(labels, tf.int64)
