"""Generators in float16, and the tool that trains them."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from toyworlds import landscapes, streets

from recipes import metrics, showcase, translation
from recipes.datasets import digits, scale
from recipes.dcgan import DCGAN, build_discriminator
from recipes.showcase import load_showcase, write_float16
from tools import train_showcase


@pytest.fixture
def _eagerly():
    tf.config.run_functions_eagerly(True)  # a trace takes longer than these few steps
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture
def shown(tmp_path, monkeypatch):
    """A folder that stands in for `data/weights/`."""
    monkeypatch.setattr(showcase, "published", lambda name: tmp_path / name)
    return tmp_path


def test_a_generator_comes_back_in_float32(shown):
    network = translation.build_unet(32, 2, "instance", 0.5, "bilinear", "concat")
    write_float16(network, shown / "showcase_unet.npz")
    loaded = load_showcase("unet")
    assert {weight.dtype for weight in loaded.trainable_weights} <= {"float32"}
    assert not loaded.trainable
    images = np.random.default_rng(0).uniform(-1, 1, (2, 40, 33, 3)).astype("float32")
    outputs, expected = (translation.translate(x, images) for x in (loaded, network))
    assert outputs.dtype == np.float32
    np.testing.assert_allclose(outputs, expected, atol=5e-3)
    assert np.abs(outputs - expected).max() > 0  # it was rounded
    size = (shown / "showcase_unet.npz").stat().st_size
    assert size < 2 * network.count_params() + 60_000


def test_what_cannot_be_written_or_read_is_named(shown):
    with pytest.raises(FileNotFoundError, match=r"name 'unet': .*showcase_unet.npz; .*are: none"):
        load_showcase("unet")
    network = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="out")])
    write_float16(network, shown / "showcase_dense.npz")
    with pytest.raises(FileNotFoundError, match="there are: dense"):
        load_showcase("unet")
    content = (shown / "showcase_dense.npz").read_bytes()
    (shown / "showcase_unet.npz").write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"showcase_unet.npz is damaged \(.*get it anew"):
        load_showcase("unet")
    network.layers[0].kernel.assign([[1e5], [0]])
    with pytest.raises(ValueError, match="out/kernel: a value is no finite float16"):
        write_float16(network, shown / "showcase_dense.npz")


def test_the_digits_that_come_along_are_as_good_as_their_file_says():
    (images, labels), (held_out, _) = (digits.load(split) for split in ("train", "test"))
    evaluator = metrics.train_evaluator(scale(images), labels, epochs=6, seed=0)
    gan = DCGAN(load_showcase("dcgan"), build_discriminator(width=1))
    found = metrics.evaluate_images(evaluator, gan.generate(500, seed=1), scale(held_out))
    curve, real = showcase.load_curve("dcgan")
    assert found["classes"] == 10
    assert found["confident_share"] > 0.5  # of real ones this evaluator is sure of 85 %
    assert found["frechet"] < 8
    assert real["confident_share"] > curve["confident_share"][-1] > 0.75
    assert real["frechet"] < curve["frechet"][-1] < 20


@pytest.mark.usefixtures("_eagerly")
def test_the_tool_leaves_generators_and_a_curve_and_goes_on(shown, tmp_path, capsys):
    def train(minutes):
        train_showcase.main(
            f"pix2pix --minutes {minutes} --width 1 --batch-size 1 --steps 1 --images 2 "
            f"--folder {tmp_path / 'build'} --weights {shown}".split()
        )
        found = json.loads((shown / "showcase_pix2pix.json").read_text())
        assert not any(str(tmp_path) in str(value) for value in found["settings"].values())
        return found["curve"]

    first = train(1e-6)
    assert load_showcase("pix2pix").count_params() > 0
    curve, real = showcase.load_curve("pix2pix")
    assert curve["l1"] == [row["l1"] for row in first]
    assert real == {}
    more = train(2e-6)
    assert "going on after epoch 1" in capsys.readouterr().out
    assert more[0] == first[0]
    assert more[-1]["minutes"] > first[-1]["minutes"] > 0
    assert set(more[-1]) == {"minutes", "l1", "ssim"}


def test_the_streets_that_come_along_are_as_good_as_their_file_says():
    pairs = [streets.scene((0, 1, i), 64, "clear", 2) for i in range(80)]  # as drawn for it
    targets, inputs = (scale(np.stack(images)) for images in zip(*pairs, strict=True))
    found = metrics.image_distances(
        translation.translate(load_showcase("pix2pix"), inputs), targets
    )
    curve, _ = showcase.load_curve("pix2pix")
    for name in ("l1", "ssim"):
        assert found[name] == pytest.approx(curve[name][-1], rel=0.05)
    assert found["l1"] < 0.165


def test_the_landscapes_that_come_along_are_as_good_as_their_file_says():
    # As drawn for the tool's measures; the first 4,000 seeds are those of its training images.
    summer, winter = (
        scale(np.stack([landscapes.landscape(first + i, winter) for i in range(60)]))
        for first, winter in ((4000, False), (4060, True))
    )
    to_winter, to_summer = map(load_showcase, ("summer2winter", "winter2summer"))
    there, back = translation.translate(to_winter, summer), translation.translate(to_summer, winter)
    curve, _ = showcase.load_curve("summer2winter")
    cycled = translation.translate(to_summer, there)
    found = metrics.image_distances(cycled, summer)["l1"]
    assert found == pytest.approx(curve["cycle_l1"][-1], rel=0.05)
    assert curve["kid_winter"][-1] < 0.2
    assert curve["kid_summer"][-1] < 0.2

    def ground(images):  # meadow or snow
        return images[:, 48:].mean((0, 1, 2))

    gap = np.abs(ground(winter) - ground(summer)).max()
    assert np.abs(ground(there) - ground(winter)).max() < 0.25 * gap
    assert np.abs(ground(back) - ground(summer)).max() < 0.25 * gap
