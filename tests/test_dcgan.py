import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.dcgan import DCGAN, build_discriminator, build_generator
from tests.tiny import LATENT, assert_equal_weights, copies, dcgan, descend, images, log_mean, step


def shapes(network):
    return [layer.output.shape[1:] for layer in network.layers]


def kinds(network):
    return [type(layer).__name__ for layer in network.layers]


def trained(network):
    return sum(np.prod(v.shape) for v in network.trainable_variables)


def test_the_generator_is_the_books():
    generator = build_generator()
    assert kinds(generator)[1:9] == [
        "Dense", "LeakyReLU", "BatchNormalization", "Reshape", "Conv2DTranspose",
        "LeakyReLU", "BatchNormalization", "Conv2DTranspose",
    ]  # fmt: skip
    assert shapes(generator)[4] == (7, 7, 256)
    assert shapes(generator)[5::3] == [(7, 7, 128), (14, 14, 64), (28, 28, 1)]
    # Dense, three transposed convolutions without bias, and 2 weights a channel of each norm.
    assert trained(generator) == (
        100 * 12544 + 25 * (256 * 128 + 128 * 64 + 64) + 2 * (12544 + 128 + 64)
    )
    assert generator.layers[2].negative_slope == 0.2


def test_the_discriminator_is_the_books():
    discriminator = build_discriminator()
    assert kinds(discriminator)[1:] == 2 * ["Conv2D", "LeakyReLU", "Dropout"] + ["Flatten", "Dense"]
    assert shapes(discriminator)[1:7:3] == [(14, 14, 64), (7, 7, 128)]
    assert trained(discriminator) == 25 * 64 + 64 + 25 * 64 * 128 + 128 + 7 * 7 * 128 + 1
    assert discriminator.layers[3].rate == 0.3
    assert discriminator.layers[-1].activation is keras.activations.linear


def test_the_papers_order_and_initialization():
    generator = build_generator(norm_first=True)
    assert kinds(generator)[2:4] == ["BatchNormalization", "ReLU"]
    kernels = [v for v in generator.trainable_variables if v.ndim == 4]
    assert np.std(kernels[0]) == pytest.approx(0.02, rel=0.05)
    assert not np.array_equal(kernels[1].numpy().ravel()[:9], kernels[2].numpy().ravel()[:9])


def test_switches():
    resized = build_generator((32, 16, 3), 5, 2, upsampling="resize")
    assert resized.output_shape == (None, 32, 16, 3)
    assert "Conv2DTranspose" not in kinds(resized)
    assert kinds(resized).count("UpSampling2D") == 2
    with pytest.raises(ValueError, match="4 has to divide"):
        build_generator((30, 28, 1))
    with pytest.raises(ValueError, match="'shuffle' is unknown"):
        build_generator(upsampling="shuffle", width=2)
    normed = build_discriminator((8, 8, 1), 2, spectral_norm=True, augmentation=2)
    assert kinds(normed).count("SpectralNormalization") == 3
    assert kinds(normed)[1] == "RandomShift"
    for _ in range(12):  # power iterations
        normed(images(), training=True)
    for layer in normed.layers:
        if type(layer).__name__ == "SpectralNormalization":
            kernel = layer.layer.kernel.numpy()
            largest = np.linalg.norm(kernel.reshape(-1, kernel.shape[-1]), 2)
            assert largest == pytest.approx(1, rel=0.05)


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_a_step_is_the_papers(label_smoothing):
    gan, x, noise = dcgan(label_smoothing=label_smoothing), images(5), tf.random.normal((5, LATENT))
    generator, discriminator = copies(gan.generator, gan.discriminator)
    gan.sample_noise = lambda count: noise[:count]
    logs = step(gan, x)
    with tf.GradientTape(persistent=True) as tape:
        real = tf.sigmoid(discriminator(x, training=True))
        fake = tf.sigmoid(discriminator(generator(noise, training=True), training=True))
        generator_loss = -log_mean(fake)
        discriminator_loss = -(1 - label_smoothing) * log_mean(real) - log_mean(1 - fake)
        discriminator_loss -= label_smoothing * log_mean(1 - real)
    descend(tape, generator_loss, generator)
    descend(tape, discriminator_loss, discriminator)
    assert_equal_weights((gan.generator, gan.discriminator), (generator, discriminator))
    assert logs == pytest.approx(
        {
            "generator_loss": float(generator_loss),
            "discriminator_loss": float(discriminator_loss),
            "real_score": float(tf.reduce_mean(real)),
            "fake_score": float(tf.reduce_mean(fake)),
        },
        rel=1e-5,
    )


def test_noise_is_standard_normal_new_every_time_and_seeded():
    first, second, other = dcgan(seed=1), dcgan(seed=1), dcgan(seed=2)
    noise = first.sample_noise(5000).numpy()
    assert noise.shape == (5000, LATENT)
    assert (noise.mean(), noise.std()) == pytest.approx((0, 1), abs=0.05)
    np.testing.assert_array_equal(noise, second.sample_noise(5000))
    for again in (first, other):
        assert (noise != again.sample_noise(5000).numpy()).all()


def test_the_books_networks_train():
    gan = DCGAN(build_generator((8, 8, 1), 4, 2), build_discriminator((8, 8, 1), 2))
    gan.compile(run_eagerly=True)
    gan.fit(tf.data.Dataset.from_tensors(images()), verbose=0)
    assert gan.generate(2).shape == (2, 8, 8, 1)
