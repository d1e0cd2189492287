"""The attacks against what is known in closed form: on a linear model the optimum is."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import recipes  # noqa: F401  first, as in a notebook: it sets how TensorFlow starts
from recipes import attacks, fgsm

SHAPE, CLASSES, WIDE = (5, 6, 1), 5, (-10, 10)  # bounds that no perturbation reaches
DUAL = {"inf": 1, 2: 2}  # the norm of the gradient that a distance in the norm goes with


@pytest.fixture(scope="module")
def linear():
    keras.utils.set_random_seed(3)
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, layers.Dense(CLASSES)(layers.Flatten()(inputs)))
    model.layers[-1].bias.assign(np.linspace(-0.2, 0.2, CLASSES))
    return model


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(-0.5, 0.5, (12, *SHAPE)).astype(np.float32)


def distances(model, images, norm):
    """How far the nearest other class is, for each image: the least over the classes of
    (z_y - z_t) / |w_t - w_y|, in the dual norm."""
    kernel = model.layers[-1].kernel.numpy()
    logits = model(images).numpy()
    labels = logits.argmax(1)
    slopes = kernel.T[None] - kernel.T[labels][:, None]  # (images, classes, pixels)
    with np.errstate(invalid="ignore"):
        far = -(logits - logits[np.arange(len(labels)), labels][:, None]) / np.linalg.norm(
            slopes, DUAL[norm], axis=2
        )
    far[np.arange(len(labels)), labels] = np.inf
    return labels, far.min(1)


@pytest.mark.parametrize("norm", ["inf", 2])
def test_fmn_finds_the_distance_to_the_boundary(linear, images, norm):
    labels, exact = distances(linear, images, norm)
    made, found = attacks.fmn(linear, images, norm=norm, bounds=WIDE, steps=60)
    assert (attacks.predict(linear, made, bounds=WIDE)[0] != labels).all()
    moved = attacks.size_of(tf.constant(made - images), norm).numpy().ravel()
    np.testing.assert_allclose(found, moved, rtol=1e-4)
    assert (found >= exact * 0.9999).all()
    ratio = np.sort(found / exact)  # a few end at the boundary of another class than the nearest
    assert ratio[-3] < 1.01
    assert ratio[-1] < 1.5


@pytest.mark.parametrize("norm", ["inf", 2])
@pytest.mark.parametrize("loss", ["ce", "dlr", "targeted"])
def test_apgd_fools_whom_it_can(linear, images, norm, loss):
    labels, exact = distances(linear, images, norm)
    epsilon = np.sort(exact)[6:8].mean()  # of twelve, seven can be fooled
    made = attacks.apgd(
        linear, images, epsilon=epsilon, steps=20, loss=loss, norm=norm, bounds=WIDE
    )
    fooled = attacks.predict(linear, made, bounds=WIDE)[0] != labels
    if loss == "ce":  # it may lead to another class than the nearest
        assert not fooled[exact > epsilon].any()
        assert fooled.sum() >= 5
    else:
        np.testing.assert_array_equal(fooled, exact < epsilon)
    size = attacks.size_of(tf.constant(made - images), norm).numpy()
    assert size.max() <= epsilon * 1.0001


Z = np.array([[3.0, 1.0, 2.0, -1.0, 0.5], [0.0, 4.0, 1.0, 2.5, 1.5]], np.float32)


@pytest.mark.parametrize(
    ("loss", "expected"),
    [  # labels 0 and 0, targets 2 and 3; the logits from the largest: 3 2 1 .5, 4 2.5 1.5 1
        (attacks.margin, [2 - 3, 4 - 0]),
        (attacks.dlr, [(2 - 3) / (3 - 1), (4 - 0) / (4 - 1.5)]),
        (attacks.targeted_dlr, [(2 - 3) / (3 - 0.75), (2.5 - 0) / (4 - 1.25)]),
        (attacks.log_odds, np.log(np.exp(Z[:, 1:]).sum(1)) - Z[:, 0]),
    ],
)
def test_the_losses_are_their_formulas(loss, expected):
    found = loss(tf.constant(Z), tf.constant([0, 0]), tf.constant([2, 3]))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_the_checkpoints_of_apgd_are_those_of_the_paper():
    """p_0 = 0, p_1 = 0.22, p_(j+1) = p_j + max(p_j - p_(j-1) - 0.03, 0.06), as long as below 1."""
    before, at, points = 0, 0.22, []
    while at < 1:
        points.append(at)
        before, at = at, at + max(at - before - 0.03, 0.06)
    np.testing.assert_allclose(attacks.CHECKPOINTS, points)


def test_apgd_halves_its_step_where_it_swings(linear):
    """On a parabola: with steps of a constant 2 * epsilon it would jump from side to side."""
    target, asked = tf.constant(np.full((1, 2, 2, 1), 0.013, np.float32)), []

    class Parabola:
        def differentiate(self, x, *_):
            asked.append(x.numpy())
            gap = x - target
            value = -tf.reduce_sum(gap**2, (1, 2, 3), keepdims=True)
            return -2 * gap, value, tf.constant(False, shape=(1, 1, 1, 1))

    start, label = tf.zeros((1, 2, 2, 1)), tf.constant([0], tf.int64)
    made, _ = attacks._apgd(Parabola(), start, label, label, None, 0.3, 100, "inf", (-1, 1), 0)
    np.testing.assert_allclose(made, target, atol=0.01)
    best = min(asked[:23], key=lambda x: np.linalg.norm(x - target))  # at the first checkpoint, 22
    ahead = np.clip(best + 0.3 * np.sign(target - best), -0.3, 0.3)  # half of the first step, 0.6
    ahead = best + 0.75 * (ahead - best) + 0.25 * (best - asked[21])
    np.testing.assert_allclose(asked[23], np.clip(ahead, -0.3, 0.3), atol=1e-6)


@pytest.mark.parametrize("norm", ["inf", 2])
def test_square_asks_for_no_gradient_and_counts_its_queries(linear, images, norm, monkeypatch):
    labels, exact = distances(linear, images, norm)
    asked = []
    logits = attacks.compiled(linear)

    def count(x):
        asked.append(len(x))
        return logits(x)

    count.classes = CLASSES
    monkeypatch.setattr(attacks, "compiled", lambda *_: count)
    options = {"norm": norm, "bounds": WIDE, "count_queries": True, "queries": 200}
    epsilon = np.median(exact) * 1.6
    made, used = attacks.square(linear, images, labels, epsilon=epsilon, **options)
    assert sum(asked) == used.sum()
    fooled = attacks.predict(linear, made, bounds=WIDE)[0] != labels
    np.testing.assert_array_equal(fooled, used < 200)
    assert not fooled[exact > epsilon].any()
    assert fooled[exact < epsilon / 2.5].all()
    size = attacks.size_of(tf.constant(made - images), norm).numpy().ravel()
    np.testing.assert_allclose(size, epsilon, rtol=1e-3)  # it walks along the surface
    _, few = attacks.square(linear, images, labels, epsilon=1e-4, **{**options, "queries": 2})
    assert (few == 2).all()  # fewer queries than images: each image has its own
    with pytest.raises(ValueError, match="queries 0: at least 1"):
        attacks.square(linear, images, epsilon=0.1, queries=0)


def test_the_bump_of_square_is_two_heaps_of_length_1():
    bump = attacks._bump(np.random.default_rng(0), 7)
    assert np.linalg.norm(bump) == pytest.approx(1)
    assert 0.2 < abs(bump.max() / bump.min()) < 5
    turned = bump if (bump[0] * bump[-1] < 0).all() else bump.T
    assert (turned[0] * turned[-1] < 0).all()


@pytest.mark.parametrize("norm", ["inf", 2])
def test_robust_accuracy_is_the_share_that_no_attack_reaches(linear, images, norm):
    labels, exact = distances(linear, images, norm)
    labels = labels.copy()
    labels[0] = (labels[0] + 1) % CLASSES  # one is wrong to begin with
    epsilon = np.sort(exact)[6:8].mean()
    left = attacks.robust_accuracy(
        linear, (images, labels[:, None]), epsilon, norm=norm, steps=10, targets=4, queries=5,
        bounds=WIDE, batch_size=5,
    )  # fmt: skip
    assert list(left) == ["clean", "APGD-CE", "APGD-T", "Square"]
    assert left["clean"] == pytest.approx(11 / 12)
    assert left["Square"] == pytest.approx((exact[1:] > epsilon).mean() * 11 / 12)
    assert sorted(left.values(), reverse=True) == list(left.values())


def test_momentum_is_mi_fgsm(images):
    """g <- mu g + gradient / |gradient|_1, x <- x + step * sign(g) (Dong et al. 2018)."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SHAPE)
    steep = keras.initializers.RandomNormal(stddev=0.7, seed=0)  # gradients of many sizes
    x = layers.Dense(8, "tanh", kernel_initializer=steep)(layers.Flatten()(inputs))
    model = keras.Model(inputs, layers.Dense(CLASSES)(x))
    labels = model(images).numpy().argmax(1)
    x, velocity = images, np.zeros_like(images)
    for _ in range(5):
        with tf.GradientTape() as tape:
            point = tf.constant(x)
            tape.watch(point)
            loss = keras.losses.sparse_categorical_crossentropy(labels, model(point), True)
        gradient = tape.gradient(loss, point).numpy()
        velocity = 0.9 * velocity + gradient / np.abs(gradient).sum((1, 2, 3), keepdims=True)
        x = np.clip(x + 0.04 * np.sign(velocity), images - 0.1, images + 0.1).clip(-1, 1)
    options = {"epsilon": 0.1, "steps": 5, "step_size": 0.04, "random_start": False}
    made = fgsm.pgd(model, images, labels, momentum=0.9, **options)
    np.testing.assert_allclose(made, x, atol=1e-6)
    assert not np.array_equal(made, fgsm.pgd(model, images, labels, **options))


def test_input_diversity_shrinks_and_frames(images):
    rng = np.random.default_rng(0)
    white = tf.ones((2, 40, 30, 1))
    seen = [fgsm.diversified(white, rng).numpy() for _ in range(20)]
    shares = [x[0].mean() for x in seen]
    assert all(x.shape == (2, 40, 30, 1) and set(np.unique(x)) <= {0, 1} for x in seen)
    assert 0.8 <= min(shares) < 0.9 < max(shares) <= 1


@keras.saving.register_keras_serializable(package="tests")
class Rounded(layers.Layer):
    """A defence that hides the gradient: of a rounded value it is zero."""

    def call(self, x):
        return keras.ops.round(x * 8) / 8


def test_a_masked_gradient_stands_all_but_square(linear, images):
    inputs = keras.Input(SHAPE)
    masked = keras.Model(inputs, linear(Rounded()(inputs)))
    labels, exact = distances(linear, images, "inf")
    labels, _ = attacks.predict(masked, images)
    epsilon = exact.max() * 1.5  # in reach for all of them
    for attack, options in ((fgsm.fgsm, {}), (fgsm.pgd, {"random_start": False})):
        options = {"epsilon": epsilon, "bounds": WIDE, **options}
        np.testing.assert_array_equal(attack(masked, images, labels, **options), images)
        bare = attack(linear, images, labels, **options)
        assert (attacks.predict(linear, bare, bounds=WIDE)[0] == labels).mean() < 0.1
    made = attacks.square(masked, images, labels, epsilon=epsilon, queries=300, bounds=WIDE)
    assert (attacks.predict(masked, made, bounds=WIDE)[0] != labels).all()


def test_apgd_t_goes_on_to_the_next_likeliest_class():
    """The likeliest other class is out of reach, the next one is not."""
    inputs = keras.Input((2, 2, 1))
    model = keras.Model(inputs, layers.Dense(4)(layers.Flatten()(inputs)))
    model.layers[-1].set_weights([np.eye(4)[2] * np.ones((4, 1)), np.array([1, 0.9, 0.5, -5])])
    options = {"epsilon": 0.2, "steps": 10, "loss": "targeted"}
    for targets, seen in ((1, 0), (2, 2)):
        made = attacks.apgd(model, np.full((1, 2, 2, 1), -1e-3), targets=targets, **options)
        assert attacks.predict(model, made)[0] == [seen]


def test_a_model_with_few_classes(images):
    inputs = keras.Input(SHAPE)
    model = keras.Model(inputs, layers.Dense(3)(layers.Flatten()(inputs)))
    assert attacks.apgd(model, images, epsilon=0.1, steps=3).shape == images.shape
    for loss in ("dlr", "targeted"):
        with pytest.raises(ValueError, match=f"loss '{loss}' needs 4 classes, .* has 3"):
            attacks.apgd(model, images, epsilon=0.1, loss=loss)
    with pytest.raises(ValueError, match="APGD-T needs 4 classes, but the model has 3"):
        attacks.robust_accuracy(model, (images, np.zeros(len(images), int)), 0.1)
