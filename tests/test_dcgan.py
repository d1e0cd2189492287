import numpy as np
import pytest

from recipes.dcgan import DCGAN, build_discriminator, build_generator
from recipes.layers import copy_of, update_average


def shapes(model):
    return [layer.output.shape[1:] for layer in model.layers]


def test_the_generator_is_the_books():
    generator = build_generator()
    assert [s for s in shapes(generator) if len(s) == 3][:1] == [(7, 7, 256)]
    assert (7, 7, 128) in shapes(generator)
    assert (14, 14, 64) in shapes(generator)
    assert generator.output_shape == (None, 28, 28, 1)
    # dense, three transposed convolutions without bias, and 4 weights a channel of each norm
    trained = 100 * 12544 + 25 * (256 * 128 + 128 * 64 + 64) + 2 * (12544 + 128 + 64)
    assert sum(np.prod(v.shape) for v in generator.trainable_variables) == trained


def test_the_discriminator_is_the_books():
    discriminator = build_discriminator()
    assert (14, 14, 64) in shapes(discriminator)
    assert (7, 7, 128) in shapes(discriminator)
    trained = 25 * 64 + 64 + 25 * 64 * 128 + 128 + 7 * 7 * 128 + 1
    assert sum(np.prod(v.shape) for v in discriminator.trainable_variables) == trained


def test_paper_switches_order_and_start():
    names = [type(layer).__name__ for layer in build_generator(paper=True).layers[2:4]]
    assert names == ["BatchNormalization", "ReLU"]
    names = [type(layer).__name__ for layer in build_generator().layers[2:4]]
    assert names == ["LeakyReLU", "BatchNormalization"]
    kernels = [v for v in build_generator(paper=True).trainable_variables if v.ndim == 4]
    assert np.std(kernels[0]) == pytest.approx(0.02, rel=0.05)
    assert not np.array_equal(kernels[1].numpy().ravel()[:9], kernels[2].numpy().ravel()[:9])


def test_pictures_of_another_shape():
    gan = DCGAN(image_shape=(32, 16, 3), width=2)
    assert gan.generate(1).shape == (1, 32, 16, 3)
    with pytest.raises(ValueError, match="divisible by 4"):
        DCGAN(image_shape=(30, 28, 1))


def test_the_average_follows_the_weights_and_draws_the_pictures():
    gan = DCGAN(width=2, average=0.5)
    assert not gan.averaged_generator.trainable_variables
    before = gan.generate(1, seed=0)
    for v in gan.generator.trainable_variables:
        v.assign(v + 0.1)
    np.testing.assert_array_equal(gan.generate(1, seed=0), before)
    update_average(gan.averaged_generator, gan.generator, 0.5, 1000)
    assert (gan.generate(1, seed=0) != before).any()


def test_update_average_is_its_formula():
    model = build_discriminator(width=2)
    average = copy_of(model, "average")
    old, new = average.weights[0].numpy(), model.weights[0].numpy() + 1
    model.weights[0].assign(new)
    update_average(average, model, decay=0.9, step=10)  # (1 + 10) / (10 + 10) = 0.55 < 0.9
    np.testing.assert_allclose(average.weights[0], 0.55 * old + 0.45 * new, rtol=1e-5)
    update_average(average, model, decay=0.0, step=10)
    np.testing.assert_allclose(average.weights[0], new, rtol=1e-6)
