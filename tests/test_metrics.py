import keras
import numpy as np
import pytest
from scipy.linalg import sqrtm
from sklearn.datasets import load_sample_image

from recipes import metrics, segmentation
from recipes.datasets import digits, scale

RNG = np.random.default_rng(0)


def test_frechet_distance_is_its_formula():
    a, b = RNG.normal(size=(50, 4)), RNG.normal(1, 2, size=(60, 4))
    c1, c2 = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    expected = ((a.mean(0) - b.mean(0)) ** 2).sum() + np.trace(c1 + c2 - 2 * sqrtm(c1 @ c2).real)
    assert metrics.frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)
    a[:, 2] = 0  # a dead feature
    assert metrics.frechet_distance(a, a) == pytest.approx(0, abs=1e-8)


@pytest.mark.parametrize("distance", [metrics.frechet_distance, metrics.kernel_distance])
@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((1, 3)), "second: needs a finite"),
        (np.zeros(3), "second: needs a finite"),
        (np.full((4, 3), np.nan), "second: needs a finite"),
        (np.zeros((4, 1)), "second: 1 features, but first has 3"),
    ],
)
def test_features_that_have_no_distance(distance, bad, message):
    with pytest.raises(ValueError, match=message):
        distance(np.eye(3), bad)


def tiny_evaluator():
    inputs = keras.Input((12, 12, 3))
    features = keras.layers.GlobalAveragePooling2D()(inputs)
    return keras.Model(inputs, [features, keras.layers.Softmax()(features)])


GOOD = RNG.uniform(-1, 1, (4, 12, 12, 3)).astype("float32")
LABELS = np.array([0, 1, 2, 0])
# Each measure of images, as a function of the ones and of the others that it looks at.
MEASURES = {
    "train_evaluator": lambda x, y: metrics.train_evaluator(x, LABELS, epochs=0),
    "train_domain_evaluator": metrics.train_domain_evaluator,
    "apply": lambda x, y: metrics.apply(tiny_evaluator(), x),
    "evaluate_images": lambda x, y: metrics.evaluate_images(tiny_evaluator(), x, y),
    "image_kernel_distance": lambda x, y: metrics.image_kernel_distance(tiny_evaluator(), x, y),
    "class_share": lambda x, y: metrics.class_share(tiny_evaluator(), x, 0),
    "nearest_images": metrics.nearest_images,
    "image_distances": metrics.image_distances,
    "colour_transfer": metrics.colour_transfer,
    "MeanColours": metrics.MeanColours,
    "MeanColours.predict": lambda x, y: metrics.MeanColours(GOOD, GOOD).predict(x),
    "train_segmenter": lambda x, y: segmentation.train_segmenter(x, np.zeros((4, 12, 12), int)),
}
OF_ONE = {"train_evaluator", "apply", "class_share", "MeanColours.predict", "train_segmenter"}
BAD = {
    "uint8": ((GOOD + 1) * 127.5).astype(np.uint8),
    "to 255": (GOOD + 1) * np.float32(127.5),
    "NaN": GOOD * np.float32(np.nan),
    "one image": GOOD[0],
    "none": GOOD[:0],
}


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize("bad", BAD)
def test_what_is_no_image_of_ours_is_not_measured(name, bad):
    words = {
        "uint8": "dtype uint8|values from", "to 255": "values from", "NaN": "holds NaN",
        "one image": "shape|is needed", "none": "no image|is needed",
    }[bad]  # fmt: skip
    pairs = [(BAD[bad], GOOD), (GOOD, BAD[bad])][: 1 if name in OF_ONE else 2]
    if name == "image_kernel_distance":  # they are of any size, and shrunk first
        pairs = pairs if bad in ("uint8", "to 255", "NaN") else []
    for pair in pairs:
        with pytest.raises(ValueError, match=rf"^\w+: .*({words})"):
            MEASURES[name](*pair)


def test_images_without_a_number_have_no_grid():
    big = RNG.uniform(-1, 1, (2, 16, 16, 3))
    for pair, name in (((big * np.nan, big), "images"), ((big, big * np.nan), "reference")):
        with pytest.raises(ValueError, match=f"^{name}: holds NaN"):
            metrics.grid_energy(*pair)


def test_one_image_without_its_axis_has_no_grid():
    big = RNG.uniform(-1, 1, (2, 16, 16, 3))
    for pair in ((big[0], big), (big, big[0])):
        with pytest.raises(ValueError, match=r"grid_energy: .*\(count, height, width, channels\)"):
            metrics.grid_energy(*pair)


def test_flat_images_have_no_grid():
    big = RNG.uniform(-1, 1, (2, 16, 16, 3))
    for flat in (np.zeros_like(big), big[:0]):
        for pair, name in (((flat, big), "images"), ((big, flat), "reference")):
            with pytest.raises(ValueError, match=f"^{name}: no image that is not flat"):
                metrics.grid_energy(*pair)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.eye(3)[LABELS], r"labels: shape \(4, 3\) .* not one-hot"),
        (LABELS.astype(float), "labels: .* dtype float64"),
        (LABELS - 1, "labels: labels from -1 to 1"),
        (LABELS[:3], "labels: 3 labels for 4 images"),
    ],
)
def test_an_evaluator_takes_class_numbers(labels, message):
    with pytest.raises(ValueError, match=message):
        metrics.train_evaluator(GOOD, labels)


def test_an_evaluator_takes_a_column_of_labels():
    assert metrics.train_evaluator(GOOD, LABELS[:, None], epochs=1).output_shape[1] == (None, 3)
    with pytest.raises(ValueError, match="label: labels from 3 to 3, but the model has 3 classes"):
        metrics.class_share(tiny_evaluator(), GOOD, 3)


def test_kernel_distance_is_its_formula():
    a, b = RNG.normal(size=(5, 3)), RNG.normal(1, 2, size=(7, 3))

    def kernel(x, y):
        return (x @ y / 3 + 1) ** 3

    expected = -2 * np.mean([kernel(x, y) for x in a for y in b])
    for rows in (a, b):  # unbiased: no row with itself
        pairs = [(i, j) for i in range(len(rows)) for j in range(len(rows)) if i != j]
        expected += np.mean([kernel(rows[i], rows[j]) for i, j in pairs])
    assert metrics.kernel_distance(a, b) == pytest.approx(expected)
    many = RNG.normal(size=(1000, 3))
    assert metrics.kernel_distance(many[:500], many[500:]) == pytest.approx(0, abs=0.2)
    with pytest.raises(ValueError, match="2 rows or more"):
        metrics.kernel_distance(a, b[:1])


def test_what_an_evaluator_is_sure_of():
    probabilities = np.eye(4)[[0] * 96 + [1] * 3 + [2] * 1]
    assert metrics.class_coverage(probabilities, share=0.02) == 2
    assert metrics.class_coverage(probabilities, share=0.01) == 3
    unsure = np.array([[0.95, 0.05], [0.1, 0.9], [0.5, 0.5], [0.05, 0.95]])
    assert metrics.confident_share(unsure) == 0.5  # above 0.9, not at it
    assert metrics.confident_share(unsure, threshold=0.4) == 1


@pytest.mark.parametrize("measure", [metrics.confident_share, metrics.class_coverage])
@pytest.mark.parametrize(
    "bad", [np.zeros((0, 4)), np.full((3, 4), np.nan), 5 * np.eye(4), np.ones(4) / 4]
)
def test_what_is_no_probability_is_not_counted(measure, bad):
    with pytest.raises(ValueError, match=r"^probabilities: shape \("):
        measure(bad)


def test_the_evaluator_tells_real_digits_from_noise():
    images, labels = digits.load("train")
    real, _ = digits.load("test")
    evaluator = metrics.train_evaluator(scale(images[:2000]), labels[:2000], epochs=1)
    noise = RNG.uniform(-1, 1, (300, 28, 28, 1)).astype("float32")
    good = metrics.evaluate_images(evaluator, scale(images[:300]), scale(real[:300]))
    bad = metrics.evaluate_images(evaluator, noise, scale(real[:300]))
    assert good["frechet"] * 10 < bad["frechet"]
    assert good["classes"] > 7 > bad["classes"]
    features, probabilities = evaluator.predict(scale(images[:300]), verbose=0)
    assert features.shape == (300, 64)
    assert good["confident_share"] == metrics.confident_share(probabilities)
    expected = (probabilities.argmax(1) == 3).mean()
    assert metrics.class_share(evaluator, scale(images[:300]), 3) == pytest.approx(expected)


def test_the_kernel_distance_of_images_is_that_of_their_features_in_units_of_the_reference():
    inputs = keras.Input((4, 4, 3))
    features = keras.layers.Flatten()(keras.layers.AveragePooling2D(2)(inputs))
    network = keras.Model(inputs, [features, features * 0])
    images, reference = RNG.uniform(-1, 1, (2, 5, 4, 4, 3)).astype("float32")
    a, b = (x.reshape(5, 2, 2, 2, 2, 3).mean((2, 4)).reshape(5, -1) for x in (images, reference))
    unit = np.sqrt((b**2).mean())
    expected = pytest.approx(metrics.kernel_distance(a / unit, b / unit), rel=1e-4)
    assert metrics.image_kernel_distance(network, images, reference) == expected
    large = RNG.uniform(-1, 1, (2, 5, 16, 16, 3)).astype("float32")
    found = metrics.image_kernel_distance(keras.Model(inputs, features * 9), *large)
    shrunk = (metrics.shrink(x, 4) for x in large)
    assert found == pytest.approx(metrics.image_kernel_distance(network, *shrunk), rel=1e-4)


def test_the_network_of_the_kernel_distance_has_a_size_of_its_own():
    images, reference = RNG.uniform(-1, 1, (2, 5, 16, 16, 3)).astype("float32")
    for size in ((8, 4), (None, None)):
        inputs = keras.Input((*size, 3))
        network = keras.Model(inputs, keras.layers.GlobalAveragePooling2D()(inputs))
        if None in size:
            with pytest.raises(ValueError, match="network: it takes images of any size"):
                metrics.image_kernel_distance(network, images, reference)
        else:
            assert np.isfinite(metrics.image_kernel_distance(network, images, reference))


def test_colour_alone_does_not_convince_an_evaluator_of_domains():
    y, x = np.mgrid[0:16, 0:16] // 4 % 2 * 1.0

    def draw(pattern, colour, count=60):  # stripes of some contrast, in a tint
        contrast = RNG.uniform(0.3, 1, (count, 1, 1, 1))
        return np.float32(np.clip((pattern[..., None] - 0.5) * contrast + colour, -1, 1))

    blue, red = draw(x, [-0.5, 0, 0.5]), draw(y, [0.5, 0, -0.5])
    evaluator = metrics.train_domain_evaluator(blue, red, epochs=6)
    assert metrics.class_share(evaluator, blue, 0) > 0.9 < metrics.class_share(evaluator, red, 1)
    blued = metrics.colour_transfer(red, blue)
    assert metrics.class_share(evaluator, blued, 1) > 0.9
    plain = metrics.train_evaluator(np.concatenate([blue, red]), np.repeat([0, 1], 60), epochs=6)
    assert metrics.class_share(plain, blued, 1) < 0.5  # colour convinces this one


def test_nearest_images():
    candidates = RNG.uniform(-0.5, 0.5, (9, 4, 4, 3)).astype("float32")
    images = candidates[[7, 2]] + np.float32(0.01)
    images[1, 0] += 48 * 0.1 / 12
    found, distances = metrics.nearest_images(images, candidates)
    np.testing.assert_array_equal(found, [7, 2])
    np.testing.assert_allclose(distances, [0.01, 0.11], rtol=1e-4)


# The structural similarity of scikit-image 0.26.0: `structural_similarity((a + 1) / 2, (b + 1) / 2,
# data_range=1.0, channel_axis=-1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False)`.


def noisy():
    rng = np.random.default_rng(0)
    a = rng.uniform(-1, 1, (24, 32, 3)).astype("float32")
    return a, np.clip(0.7 * a + 0.3 * rng.uniform(-1, 1, a.shape), -1, 1)


def grey(level):
    return np.full((16, 16, 3), level / 127.5 - 1)


def ramps():
    ramp = np.linspace(-1, 1, 24 * 32 * 3).reshape(24, 32, 3)
    return ramp, np.clip(ramp * 0.5 + 0.2, -1, 1)


@pytest.mark.parametrize(
    ("pair", "ssim"),
    [
        (noisy(), 0.8862703),
        ((grey(120), grey(135)), 0.99310476),  # of values in [-1, 1] it would be near -0.9
        (ramps(), 0.79156146),
    ],
)
def test_image_distances_are_those_of_scikit_image(pair, ssim):
    a, b = (np.float32(image)[None].repeat(33, axis=0) for image in pair)  # more than a batch
    found = metrics.image_distances(a, b)
    assert found["ssim"] == pytest.approx(ssim, abs=2e-4)
    assert found["l1"] == pytest.approx(np.abs(pair[0] - pair[1]).mean(), rel=1e-4)
    assert metrics.image_distances(a, a) == pytest.approx({"l1": 0, "ssim": 1})
    with pytest.raises(ValueError, match="but targets of"):
        metrics.image_distances(a[:3], b)


# The grid that upsampling leaves


def crops(rng, count=60):
    """Squares of 64x64 pixels of a photo."""
    photo = np.float32(load_sample_image("china.jpg")) / 127.5 - 1
    corners = zip(
        rng.integers(0, photo.shape[0] - 64, count),
        rng.integers(0, photo.shape[1] - 64, count),
        strict=True,
    )
    return np.stack([photo[r : r + 64, c : c + 64] for r, c in corners])


@pytest.fixture(scope="module")
def photos():
    rng = np.random.default_rng(1)
    return crops(rng), crops(rng)


def test_grid_energy_of_real_images_is_one(photos):
    images, reference = photos
    assert metrics.grid_energy(reference, reference) == 1
    assert 0.7 < metrics.grid_energy(images, reference) < 1.6


@pytest.mark.parametrize(("period", "deviation"), [(2, 0.02), (4, 0.02), (8, 0.04)])
def test_grid_energy_sees_a_faint_pattern_of_any_period(photos, period, deviation):
    images, reference = photos
    dots = np.zeros((64, 64, 1), np.float32)
    dots[::period, ::period] = deviation * period  # that is its standard deviation, in [-1, 1]
    clean = metrics.grid_energy(images, reference)
    assert metrics.grid_energy(images + dots, reference) > 4 * clean
    for size in (28, 64):
        with pytest.raises(ValueError, match="grid_energy: sides"):
            metrics.grid_energy(images[:, :size, :28], reference)


def test_grid_energy_takes_no_blur_for_a_grid(photos):
    images, reference = photos
    blurred = images
    for axis in (1, 2):
        blurred = (np.roll(blurred, 1, axis) + 2 * blurred + np.roll(blurred, -1, axis)) / 4
    assert metrics.grid_energy(blurred, reference) < 2


# The baselines


def test_colour_transfer_gives_the_mean_and_covariance_of_the_others():
    images = RNG.normal(size=(3, 20, 20, 3)) @ RNG.normal(size=(3, 3)) * 0.05 - 0.3
    reference = RNG.normal(size=(2, 30, 10, 3)) @ RNG.normal(size=(3, 3)) * 0.05 + 0.2
    changed = metrics.colour_transfer(images, reference)
    assert (changed.shape, changed.dtype) == (images.shape, np.float32)
    assert np.abs(changed).max() < 1  # nothing was clipped
    changed, reference = changed.reshape(-1, 3), reference.reshape(-1, 3)
    np.testing.assert_allclose(changed.mean(0), reference.mean(0), atol=1e-5)
    np.testing.assert_allclose(np.cov(changed.T), np.cov(reference.T), atol=1e-5)


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


def test_shrink():
    small = metrics.shrink(np.arange(6.0)[:, None, None, None] * np.ones((6, 32, 48, 3)), 16)
    assert small.shape == (6, 16, 16, 3)
    np.testing.assert_allclose(small[:, 3, 3, 0], np.arange(6), atol=1e-5)


def test_image_distances_refuse_values_that_are_not_in_minus_one_to_one():
    with pytest.raises(ValueError, match="outputs: dtype uint8"):
        metrics.image_distances(np.zeros((1, 16, 16, 3), np.uint8), np.zeros((1, 16, 16, 3)))
    with pytest.raises(ValueError, match="targets: holds NaN"):
        metrics.image_distances(np.zeros((1, 16, 16, 3)), np.full((1, 16, 16, 3), np.nan))


def test_image_distances_of_images_that_are_smaller_than_the_window_of_ssim():
    smallest = np.linspace(-1, 1, 121).reshape(1, 11, 11, 1)
    assert metrics.image_distances(smallest, smallest)["ssim"] == pytest.approx(1)
    with pytest.raises(
        ValueError, match=r"outputs of shape \(1, 10, 11, 1\), but SSIM needs .* 11"
    ):
        metrics.image_distances(smallest[:, 1:], smallest[:, 1:])
