"""Stronger attacks than FGSM and PGD: APGD, Square and FMN, and the accuracy that they leave.

Arguments and results are those of `recipes.fgsm`.
"""

import keras  # noqa: F401
import numpy as np
import tensorflow as tf

from recipes.fgsm import (
    BOUNDS,
    batches,
    check_bounds,
    check_epsilon,
    check_norm,
    class_numbers,
    differentiate,
    direction,
    log_odds,
    predict,
    prepare,
    project,
    random_point,
    size_of,
)


def margin(logits, labels):
    """The largest other logit less that of the label, `(batch,)`: above 0 the model is fooled."""
    own = tf.one_hot(labels, tf.shape(logits)[1], True, False, dtype=tf.bool)
    others = tf.reduce_max(tf.where(own, logits.dtype.min, logits), 1)
    return others - tf.gather(logits, labels, batch_dims=1)


def dlr(logits, labels):
    """The difference of logits ratio (Croce, Hein 2020): the margin, whatever the logits' scale.

    (max of the others - z_y) / (z_1 - z_3), where z_1 >= z_2 >= z_3 are the largest logits.
    """
    top = tf.math.top_k(logits, 3).values
    return margin(logits, labels) / (top[:, 0] - top[:, 2] + 1e-12)


def targeted_dlr(targets):
    """The loss (z_t - z_y) / (z_1 - (z_3 + z_4) / 2), which leads to the class `targets`."""

    def loss(logits, labels):
        top = tf.math.top_k(logits, 4).values
        towards = tf.gather(logits, targets, batch_dims=1)
        away = tf.gather(logits, labels, batch_dims=1)
        return (towards - away) / (top[:, 0] - (top[:, 2] + top[:, 3]) / 2 + 1e-12)

    return loss


def apgd(
    model, images, labels=None, *, epsilon, steps=100, loss=log_odds, norm="inf", bounds=BOUNDS,
    seed=0,
):  # fmt: skip
    """Auto-PGD (Croce, Hein 2020): PGD with momentum that finds its step sizes itself.

    Each image's step begins at 2 * epsilon. At checkpoints that come closer and closer, it is
    halved, and the image goes back to its best point, where fewer than three quarters of the
    steps since the last checkpoint raised the loss, or the best loss and the step are as before.

    Args:
        model, images, labels, bounds: as for `fgsm.fgsm`.
        epsilon: radius of the ball, or a list of radii.
        steps: number of gradients, for each epsilon.
        loss: of (logits, labels), `(batch,)`: `log_odds`, which orders points as cross-entropy
            does (APGD-CE); `dlr`, or what `targeted_dlr` makes.
        norm: "inf" or 2.
        seed: int, seed of the start.

    Returns:
        As for `fgsm.fgsm`: a point that fools the model, or else the one with the highest loss.
    """
    check_norm(norm, ("inf", 2))
    logits, images, labels = prepare(model, images, labels, bounds)
    if loss is not log_odds and logits.classes < 4:
        raise ValueError(f"loss: it needs 4 classes or more, but the model has {logits.classes}")
    epsilons = check_epsilon(epsilon)
    made = [_apgd(logits, images, labels, e, steps, loss, norm, bounds, seed).numpy()
            for e in np.ravel(epsilons)]  # fmt: skip
    return np.stack(made) if epsilons.ndim else made[0]


def _apgd(logits, images, labels, epsilon, steps, loss, norm, bounds, seed):
    def pick(chosen, a, b):
        return tf.where(tf.reshape(chosen, (-1, *[1] * (len(a.shape) - 1))), a, b)

    x = random_point(tf.shape(images), (seed, 0), norm)
    x = x / tf.maximum(size_of(x, norm), 1e-12)  # on the surface of the ball
    x = tf.clip_by_value(images + epsilon * x, *bounds)
    gradient, value, outputs = differentiate(logits, x, labels, loss)
    best, best_gradient, best_value = x, gradient, value
    fooled = tf.argmax(outputs, 1) != labels
    made = x
    before = x
    size = tf.fill((len(images), 1, 1, 1), 2 * tf.cast(epsilon, tf.float32))
    checkpoints = _checkpoints(steps)
    rises = tf.zeros(len(images))  # steps since the last checkpoint that raised the loss
    last, value_then = 0, best_value
    halved = tf.ones(len(images), tf.bool)  # so that the second rule waits for a second checkpoint
    for step in range(1, steps):
        z = project(x + size * direction(gradient, norm), images, epsilon, norm, bounds)
        share = 1.0 if step == 1 else 0.75
        moved = x + share * (z - x) + (1 - share) * (x - before)
        before, x = x, project(moved, images, epsilon, norm, bounds)
        old = value
        gradient, value, outputs = differentiate(logits, x, labels, loss)
        now = tf.argmax(outputs, 1) != labels
        fooled |= now
        made = pick(now, x, made)
        rises += tf.cast(value > old, tf.float32)
        better = value > best_value
        best, best_gradient = pick(better, x, best), pick(better, gradient, best_gradient)
        best_value = tf.maximum(value, best_value)
        if step in checkpoints:
            stuck = ~halved & (best_value <= value_then)
            halved = (rises < 0.75 * (step - last)) | stuck
            size = pick(halved, size / 2, size)
            x, gradient = pick(halved, best, x), pick(halved, best_gradient, gradient)
            last, value_then, rises = step, best_value, tf.zeros(len(images))
    return pick(fooled, made, best)


def _checkpoints(steps):
    """The steps at which APGD looks back: after 22 %, then 19, 16 ... 6 % of all more."""
    at, share, found = 0.0, 0.22, []
    while at + share < 1:
        at += share
        found.append(int(np.ceil(at * steps)))
        share = max(share - 0.03, 0.06)
    return found


def apgd_targeted(
    model, images, labels=None, *, epsilon, steps=100, targets=9, norm="inf", bounds=BOUNDS, seed=0
):
    """APGD-T (Croce, Hein 2020): APGD towards each of the classes that are likeliest next.

    Args:
        targets: number of classes; each gets `steps` gradients, for the images that still stand.
        others: as for `apgd`.
    """
    logits, _, numbers = prepare(model, images, labels, bounds)
    images, labels = np.asarray(images, np.float32), numbers.numpy()
    epsilons = check_epsilon(epsilon)
    own = tf.one_hot(labels, logits.classes, True, False, dtype=tf.bool)
    others = tf.where(own, np.float32(-np.inf), logits(tf.constant(images)))
    order = tf.math.top_k(others, min(targets, logits.classes - 1)).indices.numpy()
    made = np.repeat(images[None], epsilons.size, 0)
    for result, radius in zip(made, np.ravel(epsilons), strict=True):
        standing = np.arange(len(images))
        for column in order.T:
            if not len(standing):
                break
            result[standing] = apgd(
                model, images[standing], labels[standing], epsilon=radius, steps=steps,
                loss=targeted_dlr(tf.constant(column[standing])), norm=norm, bounds=bounds,
                seed=seed,
            )  # fmt: skip
            seen, _ = predict(model, result[standing], len(images))
            standing = standing[seen == labels[standing]]
    return made if epsilons.ndim else made[0]


def square(
    model, images, labels=None, *, epsilon, queries=1000, share=0.8, bounds=BOUNDS, seed=0,
    count_queries=False,
):  # fmt: skip
    """Square (Andriushchenko et al. 2020): random search that asks for no gradient.

    It begins with vertical stripes of -epsilon and +epsilon, and then tries a square of one
    colour, at -epsilon or +epsilon in each channel, at a random place of each image. A try is
    kept if it brings the margin closer to another class. The squares shrink as it goes on.

    Args:
        model, images, labels, bounds: as for `fgsm.fgsm`.
        epsilon: radius of the ball in the norm "inf", or a list of radii.
        queries: how often the model may be asked about each image, for each epsilon.
        share: how much of the image the first square covers.
        seed: int.
        count_queries: whether to return the queries, too.

    Returns:
        As for `fgsm.fgsm`; with `count_queries` also the queries that each image took, ints
        `(batch,)` or `(epsilons, batch)`: all of `queries` where the model was not fooled.
    """
    if queries < 1:
        raise ValueError(f"queries {queries}: at least 1 is needed for each image")
    logits, images, labels = prepare(model, images, labels, bounds)
    epsilons = check_epsilon(epsilon)
    made, used = zip(*(_square(logits, images, labels, e, queries, share, bounds, seed)
                       for e in np.ravel(epsilons)), strict=True)  # fmt: skip
    made, used = (np.stack(made), np.stack(used)) if epsilons.ndim else (made[0], used[0])
    return (made, used) if count_queries else made


def _square(logits, images, labels, epsilon, queries, share, bounds, seed):
    rng = np.random.default_rng(seed)
    count, height, width, channels = images.shape
    made, used = images.numpy(), np.full(count, queries)
    standing, best = np.arange(count), tf.fill((count,), np.float32(-np.inf))
    x = images
    for query in range(1, queries + 1):
        if query == 1:
            where = True
            colours = rng.choice([-1.0, 1.0], (count, 1, width, channels))
        else:
            where = _squares(rng, len(standing), height, width, share, query / queries)
            colours = rng.choice([-1.0, 1.0], (len(standing), 1, 1, channels))
        new = images + epsilon * tf.constant(colours, tf.float32)
        new = tf.where(where, tf.clip_by_value(new, *bounds), x)
        values = margin(logits(new), labels)
        x = tf.where(tf.reshape(values > best, (-1, 1, 1, 1)), new, x)
        best = tf.maximum(values, best)
        fell = best.numpy() > 0
        if fell.any():
            made[standing[fell]] = tf.gather(x, np.flatnonzero(fell)).numpy()
            used[standing[fell]] = query
            standing, stay = standing[~fell], np.flatnonzero(~fell)
            x, images, labels, best = (tf.gather(t, stay) for t in (x, images, labels, best))
        if not len(standing):
            break
    made[standing] = x
    return made, used


def _squares(rng, count, height, width, share, done):
    """For each image a square that is True, `(count, height, width, 1)`."""
    halvings = np.searchsorted([0.001, 0.005, 0.02, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8], done)
    side = round(np.sqrt(share / 2**halvings * height * width))
    side = np.clip(side, 1, min(height, width))
    top = rng.integers(0, height - side + 1, (count, 1))
    left = rng.integers(0, width - side + 1, (count, 1))
    rows = (np.arange(height) >= top) & (np.arange(height) < top + side)
    columns = (np.arange(width) >= left) & (np.arange(width) < left + side)
    return tf.constant(rows[:, :, None, None]) & tf.constant(columns[:, None, :, None])


def fmn(model, images, labels=None, *, steps=100, step_size=None, norm="inf", bounds=BOUNDS):
    """Fast minimum-norm attack (Pintor et al. 2021): for each image the nearest that fools.

    Steps along the gradient of the margin, inside a ball whose radius shrinks while the model is
    fooled and grows while it is not, until the image lies on the boundary of its class.

    Args:
        model, images, labels, bounds: as for `fgsm.fgsm`.
        steps: number of gradients.
        step_size: L2 length of the first step; the last is a hundredth of it. By default the
            width of `bounds`.
        norm: "inf" or 2, that of the distance.

    Returns:
        `(made, distances)`: float32 arrays, of the shape of `images` and `(batch,)`; where nothing
        was found, the image itself and `inf`.
    """
    check_norm(norm, ("inf", 2))
    low, high = check_bounds(bounds)
    logits, images, labels = prepare(model, images, labels, bounds)
    size = high - low if step_size is None else step_size
    x, best = images, images
    nearest = tf.fill((len(images), 1, 1, 1), np.float32(np.inf))
    radius = nearest
    farthest = size_of(tf.maximum(images - low, high - images), norm)
    for step in range(steps):
        cosine = (1 + np.cos(np.pi * step / steps)) / 2
        gradient, values, _ = differentiate(logits, x, labels, margin)
        gap = size_of(x - images, norm)
        fooled = tf.reshape(values > 0, gap.shape)
        better = fooled & (gap < nearest)
        best, nearest = tf.where(better, x, best), tf.where(better, gap, nearest)
        # To first order the boundary is |margin| / (dual norm of the gradient) away.
        slope = tf.maximum(size_of(gradient, 1 if norm == "inf" else 2), 1e-12)
        boundary = gap + tf.reshape(tf.abs(values), gap.shape) / slope
        gamma = 0.001 + (0.05 - 0.001) * cosine
        grown = tf.where(tf.math.is_inf(nearest), boundary, radius * (1 + gamma))
        radius = tf.where(fooled, tf.minimum(radius * (1 - gamma), nearest), grown)
        radius = tf.minimum(radius, farthest)
        length = size * (0.01 + 0.99 * cosine)
        x = project(x + length * direction(gradient, 2), images, radius, norm, bounds)
    return best.numpy(), nearest.numpy().ravel()


def robust_accuracy(
    model, dataset, epsilon, *, norm="inf", steps=100, targets=9, queries=5000, batch_size=250,
    bounds=BOUNDS, seed=0,
):  # fmt: skip
    """The accuracy that is left when APGD-CE, APGD-T and Square have had their turn.

    As in AutoAttack (Croce, Hein 2020), each attack gets the images that still stand.

    Returns:
        A dict, name -> accuracy after it: "clean", "APGD-CE", "APGD-T", "Square". The last one is
        the robust accuracy.
    """
    pairs = [(np.asarray(x, np.float32), class_numbers(y)) for x, y in batches(dataset, batch_size)]
    images, labels = (np.concatenate(part) for part in zip(*pairs, strict=True))
    options = {"epsilon": epsilon, "bounds": bounds, "seed": seed}
    attacks = {
        "APGD-CE": lambda *data: apgd(*data, steps=steps, norm=norm, **options),
        "APGD-T": lambda *data: apgd_targeted(
            *data, steps=steps, targets=targets, norm=norm, **options
        ),
        "Square": lambda *data: square(*data, queries=queries, **options),
    }
    standing = np.flatnonzero(predict(model, images, batch_size)[0] == labels)
    left = {"clean": len(standing) / len(labels)}
    for name, attack in attacks.items():
        still = [
            rows[
                predict(model, attack(model, images[rows], labels[rows]), batch_size)[0]
                == labels[rows]
            ]
            for rows in np.split(standing, range(batch_size, len(standing), batch_size))
            if len(rows)
        ]
        standing = np.concatenate([*still, np.zeros(0, int)])
        left[name] = len(standing) / len(labels)
    return left
