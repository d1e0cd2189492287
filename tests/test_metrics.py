import numpy as np
import pytest
from scipy.linalg import sqrtm

from recipes import metrics
from recipes.datasets import digits, scale


def test_frechet_distance_is_its_formula():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(50, 4)), rng.normal(1, 2, size=(60, 4))
    c1, c2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(c1 + c2 - 2 * sqrtm(c1 @ c2).real)
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


def test_frechet_distance_of_equal_sets_is_zero_even_where_features_are_dead():
    a = np.random.default_rng(0).normal(size=(50, 4))
    a[:, 2] = 0
    assert metrics.frechet_distance(a, a) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("bad", [np.zeros((1, 3)), np.zeros(3), np.full((4, 3), np.nan)])
def test_frechet_distance_refuses_what_has_no_covariance(bad):
    with pytest.raises(ValueError, match="second: needs a finite"):
        metrics.frechet_distance(np.eye(3), bad)


def test_class_coverage_counts_classes_with_their_share():
    probabilities = np.eye(4)[[0] * 96 + [1] * 3 + [2] * 1]
    assert metrics.class_coverage(probabilities, share=0.02) == 2
    assert metrics.class_coverage(probabilities, share=0.01) == 3


def test_the_judge_tells_real_digits_from_noise():
    images, labels = digits.load("train")
    real, _ = digits.load("test")
    judge = metrics.train_judge(scale(images), labels, epochs=1)
    noise = np.random.default_rng(0).uniform(-1, 1, (500, 28, 28, 1)).astype("float32")
    good = metrics.judge_pictures(judge, scale(images[:500]), scale(real[:500]))
    bad = metrics.judge_pictures(judge, noise, scale(real[:500]))
    assert good["frechet"] * 10 < bad["frechet"]
    assert good["classes"] == 10
    assert bad["classes"] < 10
