"""Pix2Pix, CycleGAN, and what they share."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.cyclegan import CycleGAN, ImagePool, LinearDecay, build_resnet
from recipes.datasets import scale
from recipes.layers import ReflectionPadding2D
from recipes.pix2pix import Pix2Pix
from recipes.training.batches import Batches, random_jitter, set_epoch
from recipes.translation import build_patchgan, build_unet, shapes, translate
from tests.tiny import (
    GANS,
    assert_equal_weights,
    copies,
    cyclegan,
    descend,
    images,
    log_mean,
    pix2pix,
    step,
    translator,
)


def kinds(network):
    return [type(layer).__name__ for layer in network.layers]


# The networks


def test_the_book_s_u_net_halves_256_eight_times():
    net = build_unet(256, 64, "batch")
    found = kinds(net)
    assert found.count("Concatenate") == 7
    assert found.count("Dropout") == 3
    # None at the first block and none at the 1x1 bottleneck, which it would set to zero.
    assert found.count("BatchNormalization") == 6 + 7
    widths = [64, 128, 256, 512, 512, 512, 512, 512]
    assert shapes(net, 256) == [
        *[("Conv2D", (2**i, 2**i, n)) for i, n in zip(range(7, -1, -1), widths, strict=True)],
        *[("Conv2DTranspose", (2**i, 2**i, n)) for i, n in enumerate([*widths[-2::-1], 3], 1)],
    ]
    down = 16 * sum(a * b for a, b in zip([3, *widths], widths, strict=False))
    up = 16 * (512 * 512 + 3 * 1024 * 512 + 1024 * 256 + 512 * 128 + 256 * 64 + 128 * 3) + 3
    norms = 2 * (sum(widths[1:-1]) + sum(widths[:-1]))
    assert sum(np.prod(v.shape) for v in net.trainable_variables) == down + up + norms


def test_a_logit_of_the_patchgan_sees_70_pixels():
    net = build_patchgan(1, 2, None)
    image = tf.Variable(tf.random.normal((1, 256, 256, 3), seed=0))
    with tf.GradientTape() as tape:
        logits = net(image)
        one = logits[0, 15, 15, 0]
    assert logits.shape == (1, 30, 30, 1)
    rows = np.flatnonzero(np.abs(tape.gradient(one, image)[0]).sum((1, 2)))
    assert rows[-1] - rows[0] + 1 == 70


def test_the_book_s_patchgan():
    net = build_patchgan(2)
    trained = sum(np.prod(v.shape) for v in net.trainable_variables)
    kernels = 16 * (6 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512) + 1
    assert trained == kernels + 2 * (128 + 256 + 512)
    assert len(net.inputs) == 2


@pytest.mark.parametrize("size", [0, 16, 100, 2048])
def test_a_size_that_the_u_net_cannot_halve_is_an_error(size):
    with pytest.raises(ValueError, match=f"image_size {size}.*32, 64, 128, 256"):
        build_unet(size)


def test_unknown_switches_are_errors():
    with pytest.raises(ValueError, match="'layer' is unknown"):
        build_unet(32, 4, norm="layer")


def test_the_bottleneck_still_says_something():
    """With a norm at the 1x1 bottleneck it would be the same for every image."""
    net = build_unet(32, 4, "instance")
    deepest = [layer for layer in net.layers if isinstance(layer, keras.layers.LeakyReLU)][-1]
    x = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
    first, second = keras.Model(net.input, deepest.output)(x)
    assert first.shape == (1, 1, 32)
    assert np.abs(first - second).max() > 1e-4


def test_the_papers_resnet():
    net = build_resnet(4, blocks=9)
    assert sum(isinstance(layer, ReflectionPadding2D) for layer in net.layers) == 1 + 18 + 1
    assert kinds(net).count("Add") == 9
    assert kinds(net).count("GroupNormalization") == 1 + 2 + 18 + 2
    assert net(np.zeros((1, 16, 8, 3), np.float32)).shape == (1, 16, 8, 3)
    x = np.arange(12, dtype=np.float32).reshape(1, 2, 2, 3)
    padded = ReflectionPadding2D(1)(x)
    np.testing.assert_array_equal(padded, np.pad(x, [(0, 0), (1, 1), (1, 1), (0, 0)], "reflect"))


# The steps


def test_a_step_of_pix2pix_is_the_papers():
    gan, (x, y) = pix2pix(l1_weight=7.0), (tf.constant(images(2, 3, seed)) for seed in (0, 1))
    generator, discriminator = copies(gan.generator, gan.discriminator)
    logs = step(gan, (x, y))
    with tf.GradientTape(persistent=True) as tape:
        output = generator(x, training=True)
        real = tf.sigmoid(discriminator([x, y], training=True))
        fake = tf.sigmoid(discriminator([x, output], training=True))
        l1 = tf.reduce_mean(tf.abs(output - y))
        total = -log_mean(fake) + 7 * l1
        discriminator_loss = -log_mean(real) - log_mean(1 - fake)
    descend(tape, total, generator)
    descend(tape, discriminator_loss, discriminator)
    assert_equal_weights((gan.generator, gan.discriminator), (generator, discriminator))
    assert logs == pytest.approx(
        {
            "generator_loss": float(-log_mean(fake)),
            "l1_loss": float(l1),
            "discriminator_loss": float(discriminator_loss),
            "real_score": float(tf.reduce_mean(real)),
            "fake_score": float(tf.reduce_mean(fake)),
        },
        rel=1e-5,
    )
    assert Pix2Pix(gan.generator, gan.discriminator).l1_weight == 100


@pytest.mark.parametrize(
    "settings", [{}, {"least_squares": True}, {"identity_weight": 0.0}, {"pool_size": 1}]
)
def test_a_step_of_cyclegan_is_the_papers(settings):
    gan, x, y = cyclegan(**settings), images(2, 3), images(2, 3, seed=1)
    g, f, dx, dy = references = copies(*(getattr(gan, name) for name in gan.trained))
    identity, least_squares = settings.get("identity_weight", 5.0), settings.get("least_squares")
    olds = []
    for name in ("pool_x", "pool_y"):
        pool = getattr(gan, name)
        setattr(gan, name, lambda fakes, pool=pool: olds.append(0.9 * pool(fakes)) or olds[-1])

    def real(logits):
        if least_squares:
            return tf.reduce_mean((logits - 1) ** 2)
        return -log_mean(tf.sigmoid(logits))

    def fake(logits):
        return tf.reduce_mean(logits**2) if least_squares else -log_mean(1 - tf.sigmoid(logits))

    def l1(a, b):
        return tf.reduce_mean(tf.abs(a - b))

    logs = step(gan, (x, y))
    with tf.GradientTape(persistent=True) as tape:
        fake_y, fake_x = g(x, training=True), f(y, training=True)
        cycled_x, cycled_y = f(fake_y, training=True), g(fake_x, training=True)
        cycle = l1(x, cycled_x) + l1(y, cycled_y)
        same_x = l1(x, f(x, training=True)) if identity else 0.0
        same_y = l1(y, g(y, training=True)) if identity else 0.0
        adversarial_g, adversarial_f = (
            real(dy(fake_y, training=True)),
            real(dx(fake_x, training=True)),
        )
        loss_g = adversarial_g + 10 * cycle + identity * same_y
        loss_f = adversarial_f + 10 * cycle + identity * same_x
        old_x, old_y = olds or (fake_x, fake_y)
        loss_dx = 0.5 * (
            real(dx(x, training=True)) + fake(dx(tf.stop_gradient(old_x), training=True))
        )
        loss_dy = 0.5 * (
            real(dy(y, training=True)) + fake(dy(tf.stop_gradient(old_y), training=True))
        )
    for loss, network in zip((loss_g, loss_f, loss_dx, loss_dy), references, strict=True):
        descend(tape, loss, network)
    assert_equal_weights([getattr(gan, name) for name in gan.trained], references)
    assert logs == pytest.approx(
        {
            "adversarial_loss": float(adversarial_g + adversarial_f),
            "cycle_loss": float(cycle),
            "identity_loss": float(same_x + same_y),
            "discriminator_loss": float(loss_dx + loss_dy),
        },
        rel=1e-5,
    )
    np.testing.assert_allclose(olds[0][0], 0.9 * fake_x[0], atol=1e-6)  # the first of x, not of y


def test_linear_decay():
    with pytest.raises(ValueError, match="decay 0: a number above 0"):
        LinearDecay(2e-4, hold=10, decay=0)
    rate = LinearDecay(2e-4, hold=100, decay=100)
    np.testing.assert_allclose(
        [rate(step) for step in (0, 100, 150, 200, 999)], [2e-4, 2e-4, 1e-4, 0, 0]
    )
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(rate))
    assert again.get_config() == rate.get_config()


def test_pool_gives_new_or_old_fakes():
    pool = ImagePool(3, 2, seed=0)
    fakes = np.arange(40, dtype=np.float32)[:, None, None, None] * np.ones((1, 2, 2, 3))
    out = pool(tf.constant(fakes, tf.float32)).numpy()[:, 0, 0, 0]
    np.testing.assert_array_equal(out[:3], [0, 1, 2])  # while it fills
    old = out[3:] < np.arange(3, 40)
    assert 8 < old.sum() < 30
    assert len(set(out[3:][old])) == old.sum(), "each old fake is given once"
    held = pool.images.numpy()[:, 0, 0, 0]
    assert not set(held) & set(out[3:])
    np.testing.assert_array_equal(ImagePool(0, 2)(fakes), fakes)


# Using them


def test_evaluate_measures_without_training():
    x, y = images(2, 3), images(2, 3, seed=1)
    data = tf.data.Dataset.from_tensors((x, y))
    gan = pix2pix()
    gan.compile(run_eagerly=True)
    found = gan.evaluate(data, verbose=0, return_dict=True)
    assert found["l1_loss"] == pytest.approx(np.abs(gan.translate(x) - y).mean(), rel=1e-5)
    gan = cyclegan()
    gan.compile(run_eagerly=True)
    found = gan.evaluate(data, verbose=0, return_dict=True)
    there, back = gan.translate(gan.translate(x), back=True), gan.translate(gan.translate(y, True))
    expected = np.abs(there - x).mean() + np.abs(back - y).mean()
    assert found["cycle_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_evaluate_is_the_mean_over_all_images(name):
    model = GANS[name][0]()
    model.compile()
    x, y = np.random.default_rng(0).uniform(-1, 1, (2, 5, 8, 8, 3)).astype("float32")
    x[4] = -1  # in the last batch, which is smaller
    whole = model.evaluate(x, y, batch_size=5, verbose=0, return_dict=True)
    parts = model.evaluate(x, y, batch_size=2, verbose=0, return_dict=True)
    [value] = whole.values()
    assert list(parts.values()) == pytest.approx([value], rel=1e-5)


@pytest.mark.parametrize("way", ["evaluate", "validation_data"])
@pytest.mark.parametrize("wrong", [127, np.nan])
def test_held_out_images_are_checked(way, wrong):
    model = GANS["pix2pix"][0]()
    model.compile()
    x = np.zeros((2, 8, 8, 3), "float32") - 0.5
    acts = {
        "evaluate": lambda: model.evaluate(x, x + wrong, verbose=0),
        "validation_data": lambda: model.fit(x, x, validation_data=(x, x + wrong), verbose=0),
    }
    with pytest.raises(ValueError, match="target images"):
        acts[way]()


def test_one_generator_is_enough_to_translate_any_size(tmp_path):
    generator = build_unet(32, 2, "instance")
    generator.save(tmp_path / "generator.keras")
    loaded = keras.models.load_model(tmp_path / "generator.keras")
    photo = np.random.default_rng(0).integers(0, 256, (45, 70, 3), np.uint8)
    out = translate(loaded, photo)
    assert out.shape == photo.shape
    assert out.dtype == np.float32
    assert np.abs(out).max() <= 1
    np.testing.assert_allclose(translate(generator, photo[None])[0], out, atol=1e-5)
    # Nothing is padded where nothing has to be.
    fits = scale(photo[:32, :64])
    np.testing.assert_allclose(translate(loaded, fits), generator(fits[None])[0], atol=1e-5)


@pytest.mark.parametrize(
    ("x", "says"),
    [
        (np.zeros((8, 8)), "shape"),
        (np.zeros((8, 8, 4), np.uint8), "shape"),
        (np.zeros((0, 8, 8, 3), np.uint8), "shape"),
        (np.full((8, 8, 3), 200.0), "from 200 to 200"),
        (np.full((8, 8, 3), np.nan, np.float32), "NaN"),
        (np.zeros((8, 8, 3), np.int32), "int32"),
        ([np.zeros((8, 8, 3)), np.zeros((8, 9, 3))], r"\(8, 8, 3\), \(8, 9, 3\).*one by one"),
    ],
)
def test_translate_says_what_it_needs(x, says):
    with pytest.raises(ValueError, match=says):
        translate(translator(), x)


def test_translate_warns_of_images_in_0_1():
    with pytest.warns(UserWarning, match=r"translate: no value is below 0, so .* in \[0, 1\]"):
        translate(translator(), np.full((32, 32, 3), 0.5))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        translate(translator(), np.full((32, 32, 3), 200, np.uint8))


def test_sides_that_the_generator_cannot_halve_are_refused_before_the_training():
    u_net, x = build_unet(32, 2), np.zeros((1, 48, 32, 3), "float32")
    pair = Pix2Pix(u_net, build_patchgan(2, 2))
    with pytest.raises(ValueError, match="input images: 48x32, but .* sides that 32 divides"):
        pair.check_batch((x, x))
    cycle = CycleGAN(u_net, build_resnet(2, 1), build_patchgan(1, 2), build_patchgan(1, 2))
    cycle.check_batch((x[:, :32], x))  # the ResNet takes what 4 divides
    with pytest.raises(ValueError, match="images of x: 48x32"):
        cycle.check_batch((x, x))


# Jitter


def test_jitter_moves_both_halves_alike():
    x = np.zeros((6, 64, 64, 3), np.float32)
    x[:, 20:40, 10:30] = 1
    moved = [random_jitter(x, [1, 2], labels) for labels in (True, False)]
    assert moved[0].shape == x.shape
    assert set(np.unique(moved[0])) == {0, 1}
    assert len(np.unique(moved[1])) > 2
    for nearest, linear in zip(*moved, strict=True):
        assert np.abs(nearest - linear).mean() < 0.02
    assert len({image.tobytes() for image in moved[0].numpy()}) > 3
    other = random_jitter(x, [3, 4], True)
    assert not np.array_equal(other, moved[0])


def test_every_epoch_jitters_anew():
    x = np.random.default_rng(0).uniform(-1, 1, (2, 32, 32, 3)).astype("float32")
    data = Batches(
        x, batch_size=2, seed=0, transform=lambda x, seed: random_jitter(x, seed)
    ).dataset
    first = next(iter(data))
    set_epoch(1)
    second = next(iter(data))
    set_epoch(0)
    assert not np.array_equal(np.sort(first, axis=0), np.sort(second, axis=0))
