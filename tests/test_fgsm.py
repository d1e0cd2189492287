import gc
import importlib
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import recipes.training  # first, as in a notebook: it sets how TensorFlow starts
from recipes import attacks, backbones, classifiers, fgsm
from recipes.datasets import image_files, scale

SHAPE, CLASSES = (6, 5, 3), 4


def small_net(end="softmax", sharpness=1.0):
    """Two layers with smooth activations: exact gradients by finite differences."""
    keras.utils.set_random_seed(0)
    inputs = keras.Input(SHAPE)
    x = layers.Conv2D(4, 3, activation="tanh")(inputs)
    x = layers.Dense(CLASSES, end)(layers.Flatten()(x))
    net = keras.Model(inputs, x)
    net.layers[-1].kernel.assign(net.layers[-1].kernel * sharpness)
    return net


@pytest.fixture(scope="module")
def net():
    return small_net()


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).uniform(-0.9, 0.9, (5, *SHAPE)).astype(np.float32)


LABELS = np.array([0, 1, 2, 3, 0])
ORDERS = {"inf": np.inf, 2: 2}  # of np.linalg.norm


def plain_loss(net, images, labels):
    """Cross-entropy of `small_net` in float64, one picture a row, by NumPy alone."""
    kernel, bias, dense, offset = (np.asarray(w, np.float64) for w in net.get_weights())
    windows = np.lib.stride_tricks.sliding_window_view(images, (3, 3), (1, 2))
    x = np.tanh(np.einsum("bijckl,klcf->bijf", windows, kernel) + bias)
    logits = x.reshape(len(x), -1) @ dense + offset
    logits -= logits.max(1, keepdims=True)
    return np.log(np.exp(logits).sum(1)) - logits[np.arange(len(x)), labels]


def plain_gradient(net, images, labels, step=1e-5):
    """Of each picture's loss, pixel by pixel, by central differences."""
    images = images.astype(np.float64)
    gradient = np.empty_like(images)
    for pixel in np.ndindex(*SHAPE):
        up, down = images.copy(), images.copy()
        up[:, *pixel] += step
        down[:, *pixel] -= step
        gap = plain_loss(net, up, labels) - plain_loss(net, down, labels)
        gradient[:, *pixel] = gap / (2 * step)
    return gradient


def clip(values):
    return np.clip(values, np.float32(-1), np.float32(1))


@pytest.mark.parametrize("targeted", [False, True])
def test_fgsm_is_its_definition_to_the_bit(net, images, targeted):
    sign = np.sign(plain_gradient(net, images, LABELS)).astype(np.float32)
    step = np.float32(0.2) * (-sign if targeted else sign)
    made = fgsm.fgsm(net, images, LABELS, epsilon=0.2, targeted=targeted)
    np.testing.assert_array_equal(made, clip(images + step))
    assert made.dtype == np.float32


@pytest.mark.parametrize("norm", [1, 2])
def test_the_step_in_other_norms(net, images, norm):
    gradient = plain_gradient(net, images, LABELS).reshape(5, -1)
    gradient /= np.linalg.norm(gradient, norm, axis=1, keepdims=True)
    made = fgsm.fgsm(net, images, LABELS, epsilon=0.1, norm=norm)
    np.testing.assert_allclose(made, images + 0.1 * gradient.reshape(images.shape), atol=2e-6)


def test_a_list_of_epsilons_is_as_good_as_one_after_the_other(net, images):
    epsilons = [0.0, 0.05, 0.3]
    made = fgsm.fgsm(net, images, LABELS, epsilon=epsilons)
    assert made.shape == (3, *images.shape)
    np.testing.assert_array_equal(made[0], images)
    for epsilon, batch in zip(epsilons, made, strict=True):
        np.testing.assert_array_equal(batch, fgsm.fgsm(net, images, LABELS, epsilon=epsilon))


def test_labels_default_to_what_the_model_sees_and_may_be_a_column_or_one_hot(net, images):
    seen, _ = attacks.predict(net, images)
    made = fgsm.fgsm(net, images, epsilon=0.1)
    np.testing.assert_array_equal(made, fgsm.fgsm(net, images, seen, epsilon=0.1))
    for labels in (seen[:, None], np.eye(4)[seen]):
        np.testing.assert_array_equal(made, fgsm.fgsm(net, images, labels, epsilon=0.1))


def test_pgd_is_its_definition(net, images):
    x = images
    for _ in range(3):
        x = x + np.float32(0.04) * np.sign(plain_gradient(net, x, LABELS)).astype(np.float32)
        x = clip(images + np.clip(x - images, np.float32(-0.1), np.float32(0.1)))
    options = {"epsilon": 0.1, "steps": 3, "step_size": 0.04, "random_start": False}
    np.testing.assert_array_equal(fgsm.pgd(net, images, LABELS, **options), x)


@pytest.mark.parametrize("norm", ["inf", 2])
def test_pgd_stays_in_the_ball_and_its_start_is_the_seed(net, images, norm):
    made, same, other = (
        fgsm.pgd(net, images, LABELS, epsilon=0.3, norm=norm, seed=seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(made, same)
    assert not np.array_equal(made, other)
    np.testing.assert_array_equal(fgsm.pgd(net, images, LABELS, epsilon=0, norm=norm), images)
    gap = np.linalg.norm((made - images).reshape(5, -1), ORDERS[norm], axis=1)
    assert (gap <= 0.3 + 1e-6).all()
    assert (gap > 0.2).all()
    assert np.abs(made).max() <= 1
    loss = [plain_loss(net, x, LABELS) for x in (images, made)]
    assert (loss[1] > loss[0]).all()


def test_a_sure_model_is_attacked_too(images):
    """At p = 1 the gradient of cross-entropy is exactly 0 in float32, even on logits."""
    sure, calm = small_net(sharpness=1000.0), small_net(sharpness=1.0)
    labels, confidence = attacks.predict(sure, images)
    assert (confidence == 1).any()
    made = fgsm.fgsm(sure, images, epsilon=0.1)
    moved = (made != images).mean((1, 2, 3))
    assert (moved > 0.99).all()
    away = fgsm.fgsm(calm, images, labels, epsilon=0.1)
    assert away.shape == made.shape


def with_end(end):
    """`small_net` whose softmax stands in another place."""
    inner = small_net(None)
    inputs = keras.Input(SHAPE)
    if end == "nested":
        return keras.Sequential([inputs, layers.Rescaling(1.0), small_net()])
    layer = {"softmax layer": layers.Softmax, "activation": lambda: layers.Activation("softmax")}
    return keras.Model(inputs, layer[end]()(inner(inputs)))


@pytest.mark.parametrize("end", ["softmax layer", "activation", "nested"])
def test_the_logits_in_front_of_a_softmax_are_found(net, images, end):
    model = with_end(end)
    np.testing.assert_array_equal(
        fgsm.fgsm(model, images, LABELS, epsilon=0.1), fgsm.fgsm(net, images, LABELS, epsilon=0.1)
    )


def test_logits_are_told_from_softmax(net, images):
    logits = small_net(None)
    for ours, theirs in zip(
        attacks.predict(logits, images), attacks.predict(net, images), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    np.testing.assert_allclose(
        attacks.predict(net, images)[1], net(images).numpy().max(1), rtol=1e-6
    )


def test_the_random_control_is_as_large_as_the_attack(images):
    made = fgsm.random_signs(None, images, epsilon=0.05)
    np.testing.assert_allclose(np.abs(made - images), 0.05, atol=1e-6)
    assert abs(np.sign(made - images).mean()) < 0.2


def test_accuracy_under_attack_counts(net, images):
    epsilons = [0.0, 0.1, 0.8]
    made = fgsm.fgsm(net, images, LABELS, epsilon=epsilons)
    expected = [(net(x).numpy().argmax(1) == LABELS).mean() for x in made]
    pair, column = (images, LABELS), (images, LABELS[:, None])
    dataset = tf.data.Dataset.from_tensor_slices((images, np.eye(4)[LABELS])).batch(2)
    for data in (pair, column, dataset):
        found = attacks.accuracy_under_attack(net, data, epsilons, fgsm.fgsm, batch_size=3)
        np.testing.assert_allclose(found, expected)
    for data in (pair, list(pair), [pair]):
        assert attacks.accuracy_under_attack(net, data, 0.8, fgsm.fgsm) == expected[-1:]
    noise = [
        attacks.accuracy_under_attack(net, data, [0.1], fgsm.random_signs)
        for data in (pair, column, dataset)
    ]
    assert noise[0] == noise[1] == noise[2]
    for empty in (dataset.take(0), (images[:0], LABELS[:0])):
        with pytest.raises(ValueError, match="dataset: it is empty"):
            attacks.accuracy_under_attack(net, empty, epsilons, fgsm.fgsm)


def measure_robust(net, data):
    return attacks.robust_accuracy(net, data, 0.1, steps=1, targets=1, queries=1)


def measure_noise(net, data):
    return attacks.accuracy_under_attack(net, data, [0.1], fgsm.random_signs)


@pytest.mark.parametrize("measure", [measure_noise, measure_robust])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS[:, None, None], r"labels: shape \(5, 1, 1\) and dtype int64"),
        (np.array(["0", "1", "2", "3", "0"]), r"labels: shape \(5,\) and dtype <U1"),
        (LABELS.astype(float), r"labels: .* dtype float64"),
        (LABELS[:4], "labels: 4 labels for 5 images"),
        (LABELS + 4, "labels: labels from 4 to 7, but the model has 4 classes"),
        (np.eye(5)[LABELS], r"labels: shape \(5, 5\), but .* a single 1 among 4 values"),
    ],
    ids=["three axes", "strings", "floats", "too few", "too large", "one-hot of others"],
)
def test_labels_that_do_not_fit_are_not_counted(net, images, measure, labels, message):
    """Compared with what the model sees, they would give an accuracy of 14.69, or of 0."""
    batches = [(images, labels)]  # a dataset of one batch
    for data in (batches[0], batches):
        with pytest.raises(ValueError, match=f"^{message}"):
            measure(net, data)


def test_adversarial_training_is_fit_on_both_halves(tmp_path, images):
    model, before = small_net(), small_net().get_weights()
    defence = fgsm.AdversarialTraining(model, epsilon=0.3, clean_share=0.25, seed=1)
    defence.compile(keras.optimizers.SGD(0.1), "sparse_categorical_crossentropy")
    loss = defence.fit(images, LABELS, batch_size=5, shuffle=False, verbose=0).history["loss"][0]
    after = model.get_weights()

    model.set_weights(before)
    seed = keras.random.SeedGenerator(1).next()
    start = attacks.random_point(images.shape, tf.cast(seed, tf.int64), "inf")
    start = clip(images + 0.3 * start.numpy())
    sign = np.sign(plain_gradient(model, start, LABELS))
    made = clip(images + np.clip(start + 0.375 * sign - images, -0.3, 0.3))
    expected = [plain_loss(model, x, LABELS).mean() for x in (images, made)]
    assert expected[1] > expected[0]
    assert loss == pytest.approx(0.25 * expected[0] + 0.75 * expected[1], rel=1e-5)
    assert not np.array_equal(before[0], after[0])

    defence.save(tmp_path / "defence.keras")
    loaded = keras.models.load_model(tmp_path / "defence.keras")
    assert (loaded.epsilon, loaded.clean_share, loaded.bounds) == (0.3, 0.25, (-1, 1))
    np.testing.assert_array_equal(loaded(images), defence(images))
    np.testing.assert_array_equal(defence(images), model(images))


def test_adversarial_training_takes_labels_of_each_kind(images):
    losses = []
    for labels, loss in (
        (LABELS, "sparse_categorical_crossentropy"),
        (LABELS[:, None], "sparse_categorical_crossentropy"),
        (np.eye(4)[LABELS], "categorical_crossentropy"),
    ):
        defence = fgsm.AdversarialTraining(small_net(), epsilon=0.3, clean_share=0)
        defence.compile("sgd", loss, metrics=["accuracy"])
        losses += defence.fit(images, labels, verbose=0, shuffle=False).history["loss"]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)
    weighted = tf.data.Dataset.from_tensors((images, np.eye(4)[LABELS], np.ones(5)))
    with pytest.raises(ValueError, match="sample_weight: AdversarialTraining weighs"):
        defence.fit(weighted, verbose=0)


DARK = np.full((2, *SHAPE), -0.5, np.float32)
USES = {
    "fit": lambda defence, data: defence.fit(*data),
    "evaluate": lambda defence, data: defence.evaluate(*data),
    "dataset": lambda defence, data: defence.fit(tf.data.Dataset.from_tensors(data)),
    "validation_data": lambda defence, data: defence.fit(DARK, LABELS[:2], validation_data=data),
}


@pytest.mark.parametrize("use", USES)
@pytest.mark.parametrize(
    ("bad_images", "bad_labels", "message"),
    [
        (lambda x: (x + 1) * 127.5, LABELS, r"images: values from .* but \[-1, 1\]"),
        (lambda x: x.astype(np.uint8), LABELS, "images: dtype uint8"),
        (lambda x: x * np.nan, LABELS, "images: holds NaN"),
        (lambda x: x[..., :1], LABELS, r"images: shape .* takes \(None, 6, 5, 3\)"),
        (lambda x: x, LABELS + 1, "labels: labels from 1 to 4, but the model has 4 classes"),
        (lambda x: x, np.eye(5)[LABELS], r"labels: shape \(5, 5\)"),
    ],
)
def test_adversarial_training_looks_at_its_data(net, images, use, bad_images, bad_labels, message):
    defence = fgsm.AdversarialTraining(net, epsilon=0.3)
    defence.compile("sgd", "sparse_categorical_crossentropy")
    data, before = (bad_images(images), bad_labels), net.get_weights()
    with pytest.raises(ValueError, match=rf"^(validation_data: )?{message}"):
        USES[use](defence, data)
    for old, new in zip(before, net.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_adversarial_training_validates_on_pairs_and_datasets(images):
    defence = fgsm.AdversarialTraining(small_net(), epsilon=0.3)
    defence.compile("sgd", "sparse_categorical_crossentropy")
    pair = (images, LABELS)
    for data in (pair, tf.data.Dataset.from_tensors(pair)):
        found = defence.fit(*pair, epochs=2, validation_data=data, verbose=0).history
        assert found["val_loss"][1] == pytest.approx(defence.evaluate(*pair, verbose=0), rel=1e-5)


def compiled_anew(model):
    model.layers[-1].negative_slope = 0.9
    model.compile()


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.add(layers.Dense(CLASSES)),
        lambda model: model.pop(),
        lambda model: setattr(model.layers[1], "activation", keras.activations.relu),
        lambda model: model.layers[1].enable_lora(1),
        compiled_anew,
    ],
    ids=["layer added", "layer removed", "activation", "variables added", "compiled anew"],
)
def test_a_model_that_was_changed_is_compiled_anew(images, change):
    keras.utils.set_random_seed(0)
    stack = [layers.Flatten(), layers.Dense(CLASSES, "tanh"), layers.LeakyReLU()]
    model = keras.Sequential([keras.Input(SHAPE), *stack])
    defence = fgsm.AdversarialTraining(model, epsilon=0.3)
    attacks.predict(model, images)
    kept = model.compiled_logits
    attacks.predict(model, images)
    assert model.compiled_logits is kept
    change(model)
    for weight in model.trainable_weights:
        weight.assign(np.random.default_rng(0).normal(size=weight.shape))
    expected = model(images)
    np.testing.assert_allclose(classifiers.compiled(model)(images), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(defence.logits(images), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (np.zeros((2, *SHAPE), np.uint8), "images: dtype uint8"),
        (np.full((2, *SHAPE), 200.0), r"images: values from 200 to 200, but \[-1, 1\]"),
        (np.full((3, 2, *SHAPE), np.nan), "images: holds NaN"),
        (np.zeros((0, *SHAPE)), "images: no image"),
    ],
)
def test_predict_looks_at_its_images(net, bad, message):
    with pytest.raises(ValueError, match=message):
        attacks.predict(net, bad)


def test_other_bounds_are_those_of_the_prediction_too(net, images):
    grey = (images + 1) * np.float32(127.5)
    scaled = keras.Sequential([keras.Input(SHAPE), layers.Rescaling(1 / 127.5, -1), net])
    for ours, expected in zip(
        attacks.predict(scaled, grey, bounds=(0, 255)), attacks.predict(net, images), strict=True
    ):
        np.testing.assert_allclose(ours, expected, rtol=1e-4)
    options = {"epsilons": [0.0], "attack": fgsm.fgsm}
    found = attacks.accuracy_under_attack(scaled, (grey, LABELS), bounds=(0, 255), **options)
    assert found == attacks.accuracy_under_attack(net, (images, LABELS), **options)
    options = {"epsilon": 0, "steps": 1, "targets": 1, "queries": 1}
    found = attacks.robust_accuracy(scaled, (grey, LABELS), bounds=(0, 255), **options)
    assert found == attacks.robust_accuracy(net, (images, LABELS), **options)


def test_functions_that_run_eagerly_change_nothing(net, images):
    expected = fgsm.pgd(net, images, LABELS, epsilon=0.1, steps=2)
    tf.config.run_functions_eagerly(True)
    try:
        made = fgsm.pgd(small_net(), images, LABELS, epsilon=0.1, steps=2)
        defence = fgsm.AdversarialTraining(small_net(), epsilon=0.3, steps=2)
        defence.compile("sgd", "sparse_categorical_crossentropy")
        defence.fit(images, LABELS, verbose=0)
    finally:
        tf.config.run_functions_eagerly(False)
    np.testing.assert_allclose(made, expected, atol=1e-6)


def test_a_model_in_bfloat16(images):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = small_net()
    finally:
        keras.config.set_dtype_policy("float32")
    made = fgsm.fgsm(model, images, LABELS, epsilon=0.1)
    assert made.dtype == np.float32
    assert ((made != images).mean((1, 2, 3)) > 0.9).all()
    assert attacks.square(model, images, LABELS, epsilon=0.1, queries=2).shape == images.shape


def test_keras_set_to_other_axes_is_refused():
    """With channels_first the classifier would be another network, in silence."""
    keras.config.set_image_data_format("channels_first")
    try:
        with pytest.raises(ValueError, match="image_data_format 'channels_first', but the recipes"):
            importlib.reload(recipes.training)
    finally:
        keras.config.set_image_data_format("channels_last")
    importlib.reload(recipes.training)


def test_an_attack_changes_no_weight_and_does_not_keep_the_model(images):
    model = small_net()
    before = model.get_weights()
    fgsm.pgd(model, images, epsilon=0.1)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    model.layers[-1].bias.assign([9.0, 0, 0, 0])  # trained on, it is the new weights that count
    assert (attacks.predict(model, images)[0] == 0).all()
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


@keras.saving.register_keras_serializable(package="tests")
class Subclass(keras.Model):
    """A model that says nothing of the size of its pictures."""

    def __init__(self):
        super().__init__()
        self.pool, self.dense = layers.GlobalAveragePooling2D(), layers.Dense(CLASSES)

    def call(self, x):
        return self.dense(self.pool(x))


def open_net():
    return keras.Sequential([keras.Input((None, None, 3)), Subclass()])


def test_a_model_of_any_size_is_attacked_at_several(images):
    model = open_net()
    for part in (images, images[:, :4], images[:, :, :4]):
        assert fgsm.fgsm(model, part, LABELS, epsilon=0.1).shape == part.shape
    with pytest.raises(ValueError, match=r"name it: keras.Sequential"):
        fgsm.fgsm(Subclass(), images, LABELS, epsilon=0.1)


def test_saved_pictures_have_safe_names_and_still_fool(tmp_path, net, images):
    made = fgsm.fgsm(net, images, epsilon=0.1)
    names = ["../../etc/passwd", "Brabançon griffon", 'a<b>:"|?*', "", "x" * 300]
    paths = fgsm.save_images(tmp_path / "new", made, names, [0.43031] * 5, 0.1)
    assert [path.name for path in paths[:4]] == [
        "00_etc_passwd_0.4303_eps0.1.png",
        "01_Braban_on_griffon_0.4303_eps0.1.png",
        "02_a_b_0.4303_eps0.1.png",
        "03_unnamed_0.4303_eps0.1.png",
    ]
    assert all(path.parent == tmp_path / "new" for path in paths)
    assert len(paths[4].name) < 100
    for path, picture in zip(paths, made, strict=True):
        np.testing.assert_allclose(scale(image_files.read(path)), picture, atol=1 / 255 + 1e-6)
    [path] = fgsm.save_images(tmp_path, np.full((1, 2, 2, 1), 0.2), ["grey"], [1], 0, (0, 1))
    assert (image_files.read(path) == 51).all()
    with pytest.raises(ValueError, match=r"shape \(1, 2, 2, 4\), but 1 or 3 channels"):
        fgsm.save_images(tmp_path, np.full((1, 2, 2, 4), 0.2), ["a"], [1], 0, (0, 1))


def test_levels_of_grey():
    assert fgsm.levels(0.2) == pytest.approx(25.5)
    assert fgsm.levels(8 / 255, (0, 1)) == pytest.approx(8)


def two_outputs():
    inputs = keras.Input(SHAPE)
    x = layers.Flatten()(inputs)
    return keras.Model(inputs, [layers.Dense(4)(x), layers.Dense(2)(x)])


def one_layer(layer, shape=SHAPE):
    inputs = keras.Input(shape)
    return keras.Model(inputs, layer(layers.Flatten()(inputs)))


@keras.saving.register_keras_serializable(package="tests")
class Shares(layers.Layer):
    """Probabilities that no softmax has made."""

    def call(self, x):
        x = keras.ops.abs(x) + 0.1
        return x / keras.ops.sum(x, axis=1, keepdims=True)


GOOD = np.zeros((2, *SHAPE), np.float32)


@pytest.mark.parametrize("attack", [fgsm.fgsm, fgsm.pgd])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"images": GOOD + 2}, r"images: values from 2 to 2, but \[-1, 1\]"),
        ({"images": GOOD - 0.5, "bounds": (0, 1)}, r"images: values from -0.5"),
        ({"images": GOOD.astype(np.uint8)}, r"images: dtype uint8, .* recipes.datasets.scale"),
        (
            {"images": GOOD.astype(np.uint8), "bounds": (0, 255)},
            r"images: .* makes them from integers",
        ),
        ({"images": GOOD + 2, "bounds": (0, 1)}, r"images: values .* bring the images to \[0, 1\]"),
        ({"images": GOOD * np.nan}, "images: holds NaN"),
        ({"images": GOOD[0]}, r"images: shape \(6, 5, 3\)"),
        ({"images": GOOD[:0]}, "images: no image"),
        ({"images": GOOD[..., :1]}, r"images: shape .* takes \(None, 6, 5, 3\); .* in colour"),
        ({"labels": [0, 4]}, "labels: labels from 0 to 4, but the model has 4 classes"),
        ({"labels": [0, -1]}, "labels: labels from -1"),
        ({"labels": [0]}, "labels: 1 labels for 2 images"),
        ({"labels": [0.5, 1.0]}, "labels: .* dtype float64"),
        ({"labels": np.eye(5)[:2]}, r"labels: shape \(2, 5\), but .* a single 1 among 4 values"),
        ({"labels": np.full((2, 4), 0.25)}, r"labels: shape \(2, 4\), but class"),
        ({"labels": None, "targeted": True}, "labels: a targeted attack needs"),
        ({"epsilon": -0.1}, "epsilon -0.1: it has to be a finite number, 0 or more"),
        ({"epsilon": [0.1, np.nan]}, "epsilon .*: it has to be a finite number"),
        ({"epsilon": []}, "epsilon .*: it has to be a finite number"),
        ({"norm": 3}, "unknown norm 3; known: inf, "),
        ({"labels": np.zeros((2, 1, 1), int)}, r"labels: shape \(2, 1, 1\)"),
        ({"labels": ["pug", "cat"]}, "labels: .* dtype <U3"),
        ({"bounds": (1, -1)}, r"bounds \(1, -1\): .least, greatest."),
        ({"bounds": (0, np.inf)}, r"bounds \(0, inf\): .least, greatest."),
        ({"bounds": (-1, 0, 1)}, r"bounds \(-1, 0, 1\): .least, greatest."),
        ({"bounds": 255}, r"bounds 255: .least, greatest."),
        ({"model": two_outputs()}, r"model: its output is \(.*, 4\), \(.*, 2\), but one of"),
        ({"model": one_layer(layers.Dense(1))}, r"model: its output is \(.*, 1\), but one of"),
        ({"model": one_layer(layers.Dense(3, "sigmoid"))}, "model: it ends in a sigmoid"),
        ({"model": one_layer(Shares())}, "model: its output looks like probabilities"),
        ({"model": len}, "model: a keras.Model is needed"),
    ],
    ids=str,
)
def test_bad_input_is_named(net, attack, changes, message):
    arguments = {"model": net, "images": GOOD, "labels": [0, 1], "epsilon": 0.1, **changes}
    if arguments["labels"] is not None:
        arguments["labels"] = np.asarray(arguments["labels"])
    with pytest.raises(ValueError, match=f"^{message}"):
        attack(**arguments)


def test_more_bad_input_is_named(net, images):
    two = keras.Input(SHAPE), keras.Input(SHAPE)
    model = keras.Model(two, layers.Dense(4)(layers.Flatten()(layers.Add()(two))))
    with pytest.raises(ValueError, match="model: it has 2 inputs"):
        fgsm.fgsm(model, images, epsilon=0.1)
    for attack in (fgsm.pgd, attacks.apgd):
        with pytest.raises(ValueError, match="steps 0: at least 1"):
            attack(net, images, epsilon=0.1, steps=0)
    with pytest.raises(ValueError, match="steps 0: at least 1"):
        attacks.fmn(net, images, steps=0)
    with pytest.raises(ValueError, match="targets 0: at least 1"):
        attacks.apgd(net, images, epsilon=0.1, targets=0)
    for attack in (fgsm.pgd, attacks.apgd):
        with pytest.raises(ValueError, match="seed None: it has to be a whole number"):
            attack(net, images, epsilon=0.1, seed=None)
    for bad in (
        {"step_size": 0}, {"step_size": np.inf}, {"momentum": -1}, {"momentum": np.nan},
        {"diversity": 2},
    ):  # fmt: skip
        [[name, value]] = bad.items()
        with pytest.raises(ValueError, match=f"{name} {value}: a number (above 0|of 0 or more)"):
            fgsm.pgd(net, images, epsilon=0.1, **bad)
    with pytest.raises(ValueError, match="clean_share 2"):
        fgsm.AdversarialTraining(net, 0.1, clean_share=2)
    with pytest.raises(ValueError, match="steps 0: at least 1"):
        fgsm.AdversarialTraining(net, 0.1, steps=0)
    with pytest.raises(ValueError, match=r"epsilon \[0.1\]: it has to be a finite number"):
        fgsm.AdversarialTraining(net, [0.1])
    with pytest.raises(ValueError, match=r"images: shape \(6, 5, 3\)"):
        attacks.predict(net, images[0])


def test_the_pug_becomes_a_griffon(real):
    name = "weights/mobilenet_v2_imagenet.weights.h5"
    root = real(name, "photos/dog.jpg")
    model = backbones.load_classifier("MobileNetV2", root / name)
    names = backbones.class_names(root / name)
    photo = scale(image_files.load([root / "photos" / "dog.jpg"], 224))
    made = fgsm.fgsm(model, photo, epsilon=[0, 0.005])
    labels, sure = attacks.predict(model, made)
    assert [names[label] for label in labels[:, 0]] == ["pug", "Brabancon_griffon"]
    assert sure[0, 0] == pytest.approx(0.72, abs=0.05)
    grey = photo.mean(-1, keepdims=True)
    with pytest.raises(ValueError, match="images: shape .* in colour"):
        fgsm.fgsm(model, grey, epsilon=0.1)


def test_adversarial_training_stops_on_nan():
    model = fgsm.AdversarialTraining(fgsm.build_classifier(width=2), epsilon=0.3)
    model.compile(keras.optimizers.SGD(1e38), "sparse_categorical_crossentropy")
    images = np.random.default_rng(0).uniform(-1, 1, (8, 28, 28, 1)).astype("float32")
    with pytest.raises(FloatingPointError, match="epoch 1, step 2: loss is"):
        model.fit(images, np.arange(8), batch_size=4, shuffle=False, verbose=0)


def test_adversarial_training_takes_metrics_of_each_class(images):
    defence = fgsm.AdversarialTraining(small_net(), epsilon=0.3)
    defence.compile("sgd", "categorical_crossentropy", metrics=[keras.metrics.F1Score()])
    found = defence.fit(images, np.eye(4, dtype="float32")[LABELS], verbose=0).history
    assert np.shape(found["f1_score"]) == (1, CLASSES)


def test_adversarial_training_goes_on_with_its_random_starts_when_it_is_loaded(tmp_path):
    model = fgsm.AdversarialTraining(fgsm.build_classifier(width=2), epsilon=0.3)
    model.compile("sgd", "sparse_categorical_crossentropy")
    model.seeds.next()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.seeds.state, model.seeds.state)
