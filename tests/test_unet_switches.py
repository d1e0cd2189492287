"""The switches of the networks of Pix2Pix and CycleGAN that lead away from the book."""

import keras
import numpy as np
import pytest
from toyworlds.streets import scene

from recipes.diagrams import receptive_field
from recipes.metrics import grid_energy
from recipes.translation import build_patchgan, build_unet, translate


@pytest.fixture(scope="module")
def maps():
    labels = np.stack([scene(i, 32)[1] for i in range(16)])
    return labels / np.float32(127.5) - 1


def test_bilinear_upsampling_begins_without_a_grid(maps):
    energies = {}
    for method in ("transposed", "bilinear"):
        keras.utils.set_random_seed(0)
        network = build_unet(32, 8, dropout=0, upsampling=method)
        energies[method] = grid_energy(network(maps, training=False), maps)
    assert energies["transposed"] > 5 * energies["bilinear"], energies


def test_the_input_skip_hands_on_every_pixel(maps):
    network = build_unet(32, 4, "instance", input_skip="concat")
    kernel = np.zeros((3, 3, 7, 3), np.float32)
    kernel[1, 1, 4:] = np.eye(3)  # nothing of the 4 filters, all of the image
    network.layers[-2].set_weights([kernel, np.zeros(3)])
    np.testing.assert_allclose(network(maps), np.tanh(maps), atol=1e-5)


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_what_is_added_to_zeros_is_the_image(maps, tmp_path, policy):
    keras.config.set_dtype_policy(policy)
    try:
        network = build_unet(32, 4, "instance", upsampling="bilinear", input_skip="add")
    finally:
        keras.config.set_dtype_policy("float32")
    last = [layer for layer in network.layers if layer.weights][-1]
    last.set_weights([0 * value for value in last.get_weights()])
    network.save(tmp_path / "generator.keras")
    loaded = keras.models.load_model(tmp_path / "generator.keras")
    for made in (network, loaded):
        image = made(maps)
        assert image.dtype == "float32"
        np.testing.assert_allclose(image, 0.98 * maps, atol=1e-5)


@pytest.mark.parametrize("skip", [True, False, "join"])
def test_an_unknown_skip_is_refused(skip):
    with pytest.raises(ValueError, match=f"input_skip {skip!r}: known are None, 'concat', 'add'"):
        build_unet(32, 4, input_skip=skip)


def test_bilinear_upsampling_takes_images_of_several_sizes(tmp_path):
    build_unet(32, 4, "instance", upsampling="bilinear").save(tmp_path / "generator.keras")
    network = keras.models.load_model(tmp_path / "generator.keras")
    for height, width in ((64, 64), (32, 96), (40, 33)):
        image = np.zeros((height, width, 3), np.float32)
        assert translate(network, image).shape == image.shape


@pytest.mark.parametrize(("halvings", "side"), [(3, 70), (2, 34), (1, 16)])
def test_fewer_halvings_look_at_smaller_patches(halvings, side):
    assert receptive_field(build_patchgan(1, 2, None, halvings)) == side


def test_streets_of_fewer_colours_keep_their_label_maps():
    (image, labels), (plain, same) = scene(3, 32), scene(3, 32, colours=1)
    np.testing.assert_array_equal(labels, same)
    assert not np.array_equal(image, plain)
