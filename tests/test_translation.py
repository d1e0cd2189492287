"""Pix2Pix, CycleGAN, and what they share."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from benchmarks.cyclegan import classic_gradients
from recipes.cyclegan import CycleGAN, ImagePool, LinearDecay, build_resnet
from recipes.datasets import scale
from recipes.layers import ReflectionPadding2D
from recipes.pix2pix import Pix2Pix
from recipes.training.batches import Batches, random_jitter
from recipes.training.distribution import Part
from recipes.training.resume import Resume
from recipes.translation import build_patchgan, build_unet, shapes, translate

SIZE = 32


def pictures(count=4, size=SIZE, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)


def batches(count=4, seed=0):
    return Batches(
        pictures(count, seed=1),
        pictures(count, seed=2),
        batch_size=2,
        seed=seed,
        transform=lambda x, y, seed: (scale(x), scale(y)),
    )


def make(kind, **settings):
    model = kind(image_size=SIZE, base_filters=4, seed=3, **settings)
    model.compile(fused_updates=False)  # to compile them takes longer than to do without
    return model


both = pytest.mark.parametrize("kind", [Pix2Pix, CycleGAN])


def test_the_book_s_u_net_halves_256_eight_times():
    net = build_unet(256, 64, "batch")
    kinds = [type(layer).__name__ for layer in net.layers]
    assert kinds.count("Conv2D") == 8
    assert kinds.count("Conv2DTranspose") == 8
    assert kinds.count("Concatenate") == 7
    assert kinds.count("Dropout") == 3
    # None at the first block and none at the 1x1 bottleneck, which it would set to zero.
    assert kinds.count("BatchNormalization") == 6 + 7
    filters = [layer.filters for layer in net.layers if isinstance(layer, keras.layers.Conv2D)]
    assert filters == [64, 128, 256, 512, 512, 512, 512, 512]
    # 54.4 million in the Pix2Pix authors' net; ours lacks the norm of the bottleneck.
    assert 54.3e6 < net.count_params() < 54.5e6


def test_a_logit_of_the_patchgan_sees_70_pixels():
    net = build_patchgan(1, 2, None)
    image = tf.Variable(tf.random.normal((1, 256, 256, 3), seed=0))
    with tf.GradientTape() as tape:
        logits = net(image)
        one = logits[0, 15, 15, 0]
    assert logits.shape == (1, 30, 30, 1)
    rows = np.flatnonzero(np.abs(tape.gradient(one, image)[0]).sum((1, 2)))
    assert rows[-1] - rows[0] + 1 == 70


@pytest.mark.parametrize("size", [0, 16, 100, 192, 2048])
def test_a_size_that_the_u_net_cannot_halve_is_an_error(size):
    with pytest.raises(ValueError, match=f"image_size {size}.*32, 64, 128, 256"):
        Pix2Pix(image_size=size)


def test_unknown_switches_are_errors():
    with pytest.raises(ValueError, match="'vgg' is unknown; known are: unet, resnet"):
        CycleGAN(image_size=SIZE, generator="vgg")
    with pytest.raises(ValueError, match="'layer' is unknown"):
        build_unet(SIZE, 4, norm="layer")


def test_the_bottleneck_still_says_something():
    """With a norm at the 1x1 bottleneck it would be the same for every picture."""
    net = build_unet(SIZE, 4, "instance")
    deepest = [layer for layer in net.layers if isinstance(layer, keras.layers.LeakyReLU)][-1]
    inner = keras.Model(net.input, deepest.output)
    first, second = inner(scale(pictures(2)))
    assert first.shape == (1, 1, 32)
    assert np.abs(first - second).max() > 1e-4


@both
def test_fit_learns_and_reports(kind):
    model, data = make(kind), batches()
    before = model.get_weights()
    history = model.fit(data.dataset, epochs=1, verbose=0).history
    assert set(history) == {metric.name for metric in model.metrics}
    assert all(np.isfinite(values).all() for values in history.values())
    moved = [
        (a != b).any() for a, b, w in zip(before, model.get_weights(), model.weights, strict=True)
        if w.trainable
    ]  # fmt: skip
    assert all(moved)
    assert model.evaluate(data.dataset, verbose=0, return_dict=True)


def test_it_learns_one_pair_by_heart():
    model = Pix2Pix(image_size=SIZE, base_filters=8, dropout=0.0)
    model.compile(1e-3, fused_updates=False)
    rng = np.random.default_rng(0)
    x, y = np.tanh(rng.normal(0, 1, (2, 1, 4, 4, 3))).repeat(8, 2).repeat(8, 3).astype("float32")
    data = tf.data.Dataset.from_tensors((x, y)).repeat(20)
    values = model.fit(data, epochs=4, verbose=0).history["l1"]
    assert values[-1] < values[0] / 2


@pytest.mark.parametrize("settings", [{}, {"least_squares": True}, {"identity_weight": 0.0}])
def test_cyclegan_s_gradients_are_those_of_four_tapes(settings):
    model = make(CycleGAN, dropout=0.0, **settings)
    x, y = (tf.constant(scale(pictures(2, seed=seed))) for seed in (1, 2))
    ours, _ = model.gradients(x, y, Part(len(x)))
    for mine, other in zip(ours, classic_gradients(model, x, y), strict=True):
        for a, b in zip(mine, other, strict=True):
            np.testing.assert_allclose(a, b, atol=1e-5 * max(1.0, float(np.abs(b).max())))


def test_xla_s_update_is_adam_s():
    fused, plain = make(Pix2Pix), make(Pix2Pix)
    fused.compile()
    plain.set_weights(fused.get_weights())
    for model in (fused, plain):
        model.fit(batches().dataset, verbose=0)
    for a, b in zip(fused.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


@both
def test_save_and_load(kind, tmp_path):
    settings = {"pool_size": 3, "generator": "unet"} if kind is CycleGAN else {}
    model = make(kind, **settings)
    model.fit(batches().dataset, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    x = pictures(1)
    np.testing.assert_array_equal(loaded.translate(x), model.translate(x))
    for each in (model, loaded):  # dropout and pool go on from the same state
        each.fit(batches(seed=5).dataset, verbose=0)
    np.testing.assert_array_equal(loaded.translate(x), model.translate(x))


@both
def test_one_generator_is_enough_to_translate(kind, tmp_path):
    model = make(kind)
    generator = model.generator if kind is Pix2Pix else model.generator_g
    generator.save(tmp_path / "generator.keras")
    loaded = keras.models.load_model(tmp_path / "generator.keras")
    x = pictures(2)
    np.testing.assert_array_equal(translate(loaded, x), model.translate(x))


@both
def test_resume_is_exact(kind, tmp_path):
    def train(folder, stops):  # each in turn, going on from the one before
        keras.utils.set_random_seed(0)
        data = batches()
        for epochs in stops:
            model = make(kind, **({"pool_size": 3} if kind is CycleGAN else {}))
            resume = Resume(folder, data)
            done = resume.restore(model)
            callbacks = [resume]
            if epochs < stops[-1]:  # dies after this epoch
                resume.on_train_end = lambda logs=None: None
            model.fit(
                data.dataset, epochs=epochs, initial_epoch=done, callbacks=callbacks, verbose=0
            )
        return model

    whole, parts = train(tmp_path / "a", [3]), train(tmp_path / "b", [1, 3])
    for a, b in zip(whole.variables, parts.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_translate_takes_any_size_and_gives_it_back():
    model = make(CycleGAN)
    photo = np.random.default_rng(0).integers(0, 256, (45, 70, 3), np.uint8)
    out = model.translate(photo)
    assert out.shape == photo.shape
    assert out.dtype == np.float32
    assert np.abs(out).max() <= 1
    assert model.translate(photo[None, :32, :64]).shape == (1, 32, 64, 3)
    assert not np.array_equal(model.translate(photo, back=True), out)
    # Nothing is padded where nothing has to be.
    fits = scale(photo[:32, :64])
    np.testing.assert_allclose(model.translate(fits), model.generator_g(fits[None])[0], atol=1e-5)


@pytest.mark.parametrize(
    ("images", "says"),
    [
        (np.zeros((8, 8)), "shape"),
        (np.zeros((8, 8, 4), np.uint8), "shape"),
        (np.zeros((0, 8, 8, 3), np.uint8), "shape"),
        (np.full((8, 8, 3), 200.0), "from 200 to 200"),
        (np.full((8, 8, 3), np.nan, np.float32), "nan"),
        (np.zeros((8, 8, 3), np.int32), "int32"),
    ],
)
def test_translate_says_what_it_needs(images, says):
    with pytest.raises(ValueError, match=says):
        translate(build_unet(SIZE, 2), images)


@both
def test_wrong_batches_are_named_before_training(kind):
    model, right = make(kind), np.zeros((1, SIZE, SIZE, 3), np.float32)
    for data, says in (
        (right, "pair|has to be"),
        ((right, right[:, :16]), "shape"),
        ((right + 5, right), "values from 5"),
        ((right.astype(np.uint8), right), "dtype uint8"),
        ((right.repeat(2, 0), right), "2"),
    ):
        with pytest.raises(ValueError, match=says):
            model.fit(tf.data.Dataset.from_tensors(data), verbose=0)


def test_resnet_generator():
    net = build_resnet(4, blocks=9)
    assert sum(isinstance(layer, ReflectionPadding2D) for layer in net.layers) == 1 + 18 + 1
    assert sum(isinstance(layer, keras.layers.Add) for layer in net.layers) == 9
    assert net(np.zeros((1, 64, 32, 3), np.float32)).shape == (1, 64, 32, 3)
    x = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    padded = ReflectionPadding2D(1)(x)
    np.testing.assert_array_equal(padded, np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], "reflect"))
    model = make(CycleGAN, generator="resnet")
    assert model.translate(np.zeros((30, 41, 3), np.uint8)).shape == (30, 41, 3)


def test_linear_decay():
    rate = LinearDecay(2e-4, hold=100, decay=100)
    np.testing.assert_allclose(
        [rate(step) for step in (0, 100, 150, 200, 999)], [2e-4, 2e-4, 1e-4, 0, 0]
    )
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(rate))
    assert again.get_config() == rate.get_config()


def test_pool_gives_new_or_old_fakes():
    pool = ImagePool(3, SIZE, seed=0)
    fakes = np.arange(40, dtype=np.float32)[:, None, None, None] * np.ones((1, SIZE, SIZE, 3))
    out = np.concatenate([pool.swap(tf.constant(x[None], tf.float32)) for x in fakes])[:, 0, 0, 0]
    np.testing.assert_array_equal(out[:3], [0, 1, 2])  # while it fills
    old = out[3:] < np.arange(3, 40)
    assert 8 < old.sum() < 30
    assert len(set(out[3:][old])) == old.sum(), "each old fake is given once"
    held = pool.images.numpy()[:, 0, 0, 0]
    assert not set(held) & set(out[3:])


def test_jitter_moves_both_halves_alike():
    x = np.zeros((6, 64, 64, 3), np.float32)
    x[:, 20:40, 10:30] = 1
    moved = [random_jitter(x, [1, 2], labels) for labels in (True, False)]
    assert moved[0].shape == x.shape
    assert set(np.unique(moved[0])) == {0, 1}
    assert len(np.unique(moved[1])) > 2
    for nearest, linear in zip(*moved, strict=True):
        assert np.abs(nearest - linear).mean() < 0.02
    assert len({picture.tobytes() for picture in moved[0].numpy()}) > 3
    other = random_jitter(x, [3, 4], True)
    assert not np.array_equal(other, moved[0])


def test_every_epoch_jitters_anew():
    data = Batches(
        pictures(2), batch_size=2, seed=0, transform=lambda x, seed: random_jitter(scale(x), seed)
    ).dataset
    first, second = next(iter(data)), next(iter(data))
    assert not np.array_equal(np.sort(first, axis=0), np.sort(second, axis=0))


def test_shapes_lists_what_each_convolution_makes():
    assert shapes(build_unet(SIZE, 4), SIZE) == [
        ("Conv2D", (16, 16, 4)),
        ("Conv2D", (8, 8, 8)),
        ("Conv2D", (4, 4, 16)),
        ("Conv2D", (2, 2, 32)),
        ("Conv2D", (1, 1, 32)),
        ("Conv2DTranspose", (2, 2, 32)),
        ("Conv2DTranspose", (4, 4, 16)),
        ("Conv2DTranspose", (8, 8, 8)),
        ("Conv2DTranspose", (16, 16, 4)),
        ("Conv2DTranspose", (32, 32, 3)),
    ]
    assert shapes(build_patchgan(2, 4), 256)[-1] == ("Conv2D", (30, 30, 1))


@both
def test_bfloat16_trains_and_losses_stay_float32(kind):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make(kind)
        history = model.fit(batches().dataset, verbose=0).history
        assert model.translate(pictures(1)).dtype == np.float32
    finally:
        keras.config.set_dtype_policy("float32")
    assert all(np.isfinite(values).all() for values in history.values())
    assert {weight.dtype for weight in model.weights} <= {"float32", "uint32", "int64"}
