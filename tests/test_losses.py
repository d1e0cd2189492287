import numpy as np
import pytest
import tensorflow as tf

from recipes import losses


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.fixture
def logits():
    return np.random.default_rng(0).normal(size=(6, 1)).astype("float32") * 3


def test_bce_is_its_formula(logits):
    p = sigmoid(logits.astype("float64"))
    for target in (0.0, 0.9, 1.0):
        expected = -(target * np.log(p) + (1 - target) * np.log(1 - p)).mean()
        assert float(losses.bce(target, logits)) == pytest.approx(expected, rel=1e-5)


def test_bce_is_finite_where_the_probability_is_not_representable():
    assert float(losses.bce(1.0, np.array([-1000.0], "float32"))) == pytest.approx(1000.0)


def test_discriminator_loss_smooths_the_real_side_only(logits):
    real, fake = logits, logits - 1
    expected = losses.bce(0.9, real) + losses.bce(0.0, fake)
    assert float(losses.discriminator_loss(real, fake, label_smoothing=0.1)) == float(expected)


def test_generator_loss_is_low_when_the_discriminator_is_fooled():
    fooled, not_fooled = np.full((4, 1), 5.0, "float32"), np.full((4, 1), -5.0, "float32")
    assert losses.generator_loss(fooled) < 0.01 < 4 < losses.generator_loss(not_fooled)


def test_real_logit_is_the_books_head():
    class_logits = np.random.default_rng(1).normal(size=(5, 10)).astype("float32")
    z = np.exp(class_logits.astype("float64")).sum(axis=1, keepdims=True)
    probability = sigmoid(losses.real_logit(class_logits).numpy())
    np.testing.assert_allclose(probability, z / (z + 1), rtol=1e-5)


def test_real_logit_survives_logits_whose_exponential_overflows():
    assert float(losses.real_logit(np.full((1, 10), 200.0, "float32"))[0, 0]) == pytest.approx(
        200 + np.log(10)
    )


def test_class_loss_is_cross_entropy_on_logits():
    class_logits = np.random.default_rng(3).normal(size=(7, 4)).astype("float32")
    labels = np.arange(7) % 4
    expected = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, class_logits)
    assert float(losses.class_loss(labels, class_logits)) == pytest.approx(
        float(tf.reduce_mean(expected)), rel=1e-6
    )


def test_least_squares_and_l1():
    x = np.array([1.0, 3.0], "float32")
    assert float(losses.least_squares(1.0, x)) == pytest.approx(2.0)
    assert float(losses.least_squares(0.0, x)) == pytest.approx(5.0)
    assert float(losses.l1(x, -x)) == pytest.approx(4.0)
