"""What `fit` is given is looked at before the training."""

import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes import fgsm, metrics, segmentation
from recipes.backbones import load_backbone
from recipes.dcgan import DCGAN
from recipes.training.checks import check_images, first_batch
from tests import tiny
from tests.recipe_table import RECIPES

make_dcgan, IMAGES = RECIPES["dcgan"].make, tiny.images(8)
BYTES = ((IMAGES + 1) * 127.5).astype("uint8")


class Rows(keras.utils.PyDataset):
    def __init__(self, images, batch=lambda images: images):
        super().__init__()
        self.images, self.batch = images, batch

    def __len__(self):
        return 2

    def __getitem__(self, index):
        return self.batch(self.images[4 * index : 4 * index + 4])


def alone(images):
    return (images,)


WAYS = {
    "array": lambda images: images,
    "tensor": tf.constant,
    "dataset": lambda images: tf.data.Dataset.from_tensor_slices(images).batch(4),
    "dataset of tuples": lambda images: tf.data.Dataset.from_tensor_slices((images,)).batch(4),
    "PyDataset": Rows,
    "PyDataset of tuples": lambda images: Rows(images, alone),
    "generator": lambda images: (images[start : start + 4] for start in (0, 4)),
    "generator by zip": lambda images: zip(images[start : start + 4] for start in (0, 4)),
    "generator of tuples": lambda images: (alone(images[start : start + 4]) for start in (0, 4)),
}


@pytest.mark.parametrize("way", WAYS)
def test_fit_checks_its_first_batch_whatever_it_is_given(way):
    gan = make_dcgan(run_eagerly=True)
    with pytest.raises(ValueError, match=r"dtype uint8, but floats in \[-1, 1\] are needed"):
        gan.fit(WAYS[way](BYTES), verbose=0)
    assert int(gan.optimizer.iterations) == 0
    x, batch = first_batch(WAYS[way](IMAGES), batch_size=4)
    np.testing.assert_array_equal(batch, IMAGES[:4])
    if "generator" in way:  # what was looked at comes again
        np.testing.assert_array_equal(np.concatenate([images for (images,) in x]), IMAGES)


def trained(data, **options):
    """The losses of an epoch, and for how many images noise was drawn at each step."""
    keras.utils.set_random_seed(0)
    gan, counts = make_dcgan(run_eagerly=True), []
    sample = gan.sample_noise
    gan.sample_noise = lambda count: (counts.append(int(count)), sample(count))[1]
    return gan.fit(data, shuffle=False, verbose=0, **options).history, counts


@pytest.mark.parametrize("way", WAYS)
def test_all_ways_train_alike(way):
    size = {"batch_size": 4} if way in ("array", "tensor") else {}
    history, counts = trained(WAYS[way](IMAGES), **size)
    assert counts == [4, 4]
    assert history == trained(IMAGES, batch_size=4)[0]


def test_pairs_as_a_list_of_arrays_train_as_a_dataset_does():
    batch, histories = tiny.images(4, 3), []
    for data in ([batch, batch], Rows(batch, lambda x: [x, x])):
        keras.utils.set_random_seed(0)
        gan = RECIPES["pix2pix"].make(run_eagerly=True)
        histories.append(gan.fit(data, steps_per_epoch=1, shuffle=False, verbose=0).history)
    assert histories[0] == histories[1]


@pytest.mark.parametrize("images", [[IMAGES, np.arange(8)], list(IMAGES), [IMAGES[0], BYTES]])
def test_a_list_is_refused(images):
    with pytest.raises(ValueError, match=r"training images: a list of \d parts, but images alone"):
        make_dcgan().fit(images, verbose=0)


@pytest.mark.parametrize("name", sorted(RECIPES))
def test_weights_of_images_are_refused_by_name(name):
    model, [batch] = RECIPES[name].make(), RECIPES[name].data()[1].take(1)
    for act, option in (
        (model.fit, {"class_weight": {0: 2.0}}),
        (model.fit, {"sample_weight": np.ones(4)}),
        (model.evaluate, {"sample_weight": np.ones(4)}),
    ):
        with pytest.raises(ValueError, match=f"{[*option][0]}: {type(model).__name__} weighs"):
            act(*(batch if isinstance(batch, tuple) else [batch]), **option)


def test_other_axes_are_refused_when_they_come_after_the_import():
    networks = tiny.generator(), tiny.critic()
    keras.config.set_image_data_format("channels_first")
    try:
        for act in (
            lambda: DCGAN(*networks),
            lambda: load_backbone("VGG16", None),
            fgsm.build_classifier,
            lambda: metrics.train_evaluator(IMAGES, np.arange(8)),
            lambda: segmentation.train_segmenter(IMAGES.repeat(3, -1), np.zeros(IMAGES.shape[:3])),
        ):
            with pytest.raises(ValueError, match="image_data_format 'channels_first', but the rec"):
                act()
    finally:
        keras.config.set_image_data_format("channels_last")


def test_pairs_of_arrays_are_the_batch_that_a_dataset_would_yield():
    _, (x, y) = first_batch(np.zeros((9, 2)), np.ones(9), batch_size=4)
    assert (x.shape, y.shape) == ((4, 2), (4,))
    _, (x, y) = first_batch({"labelled": np.zeros((40, 2))}, np.ones(40))
    assert (x["labelled"].shape, y.shape) == ((32, 2), (32,))


def test_images_with_labels_are_refused_with_the_way_to_drop_them():
    dataset = tf.data.Dataset.from_tensor_slices((IMAGES, np.arange(8))).batch(4)
    with pytest.raises(ValueError, match=r"tuple of 2 parts.*lambda images, labels: images"):
        make_dcgan().fit(dataset, verbose=0)


def test_images_in_0_1_are_warned_of_and_others_are_not():
    with pytest.warns(UserWarning, match=r"no value is below 0, so .* in \[0, 1\]"):
        check_images((IMAGES + 1) / 2, "images")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_images(IMAGES, "images")
        check_images((IMAGES + 1) / 2, "images", low=0)


def test_the_advice_fits_the_bounds():
    with pytest.raises(ValueError, match=r'images.astype\("float32"\) makes them'):
        check_images(BYTES, "images", low=0, high=255)
    with pytest.raises(ValueError, match=r"bring the images to \[0, 1\]"):
        check_images(np.float32(BYTES), "images", low=0, high=1)


def test_a_gan_has_nothing_to_evaluate_and_says_so_before_it_trains():
    gan = make_dcgan(run_eagerly=True)
    for act in (
        lambda: gan.evaluate(IMAGES),
        lambda: gan.fit(IMAGES, validation_data=IMAGES),
        lambda: gan.fit(IMAGES, validation_split=0.5),
    ):
        with pytest.raises(ValueError, match=r"DCGAN has no loss on held-out images.*metrics"):
            act()
    assert int(gan.optimizer.iterations) == 0


def test_a_gan_that_is_not_compiled_is_saved_and_loaded(tmp_path):
    gan = make_dcgan()
    gan.save(tmp_path / "compiled.keras")
    plain = keras.models.load_model(tmp_path / "compiled.keras", compile=False)
    plain.save(tmp_path / "plain.keras")
    loaded = keras.models.load_model(tmp_path / "plain.keras")
    np.testing.assert_array_equal(loaded.generate(2, seed=0), gan.generate(2, seed=0))


@pytest.mark.parametrize("dtype", ["float64", "float16"])
def test_other_floats_train_as_float32(dtype):
    images = tiny.images(2, channels=3).astype(dtype)
    gan = tiny.pix2pix()
    gan.compile(run_eagerly=True)
    gan.fit(tf.data.Dataset.from_tensors((images, images)), epochs=1, verbose=0)
