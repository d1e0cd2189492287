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


def test_picture_distances():
    rng = np.random.default_rng(0)
    targets = rng.uniform(-1, 1, (40, 16, 16, 3)).astype("float32")
    assert metrics.picture_distances(targets, targets) == pytest.approx({"l1": 0, "ssim": 1})
    off = metrics.picture_distances(targets * 0.5, targets)
    assert off["l1"] == pytest.approx(np.abs(targets).mean() / 2, rel=1e-5)
    assert 0 < off["ssim"] < 1
    with pytest.raises(ValueError, match="shape"):
        metrics.picture_distances(targets[:3], targets)


def test_mean_colours_paints_each_label_in_its_mean():
    labels = np.full((2, 4, 4, 3), -1.0)
    labels[:, :, 2:] = 1.0
    photos = np.where(labels > 0, 0.5, -0.25) + np.array([-0.1, 0.1])[:, None, None, None]
    baseline = metrics.MeanColours(labels, photos)
    painted = baseline.predict(labels[:1] * 0.98)  # JPEG blurs colours a little
    np.testing.assert_allclose(painted[0, :, :2], -0.25, atol=1e-6)
    np.testing.assert_allclose(painted[0, :, 2:], 0.5, atol=1e-6)
    unseen = baseline.predict(np.zeros((1, 1, 1, 3)))
    np.testing.assert_allclose(unseen, photos.mean(), atol=1e-6)


def test_share_taken_for_and_shrink():
    pictures = np.full((6, 32, 48, 3), -0.8, np.float32)
    pictures[4:] = 0.8
    small = metrics.shrink(pictures, 16)
    assert small.shape == (6, 16, 16, 3)
    np.testing.assert_allclose(small[[0, 5], 3, 3, 0], [-0.8, 0.8], atol=1e-6)
    labels = np.array([0, 0, 0, 0, 1, 1])
    judge = metrics.train_judge(np.tile(small, (20, 1, 1, 1)), np.tile(labels, 20), epochs=8)
    assert metrics.share_taken_for(judge, small, 1) == pytest.approx(1 / 3)
