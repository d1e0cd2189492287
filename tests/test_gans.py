"""What holds for every GAN: it trains, saves, loads, resumes exactly and refuses bad input."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes import dcgan, ssgan
from recipes.training.batches import Batches, semi_supervised
from recipes.training.resume import Resume
from recipes.training.runtime import set_seed

RNG = np.random.default_rng(0)
PICTURES = RNG.uniform(-1, 1, (12, 28, 28, 1)).astype("float32")
LABELS = np.arange(12) % 10


def make_dcgan(**kwargs):
    gan = dcgan.DCGAN(width=4, latent_dim=8, **kwargs)
    gan.compile(1e-3, 0.5)
    return gan


def make_ssgan(**kwargs):
    gan = ssgan.SSGAN(width=4, generator_width=4, latent_dim=8, **kwargs)
    gan.compile(1e-3)
    return gan


def dcgan_data():
    batches = Batches(PICTURES, batch_size=4, seed=0)
    return [batches], batches.dataset


def ssgan_data():
    batches = [
        Batches(PICTURES, LABELS, batch_size=4, seed=0),
        Batches(PICTURES, batch_size=3, seed=1, steps=3),
    ]
    return batches, semi_supervised(*batches)


RECIPES = {
    "dcgan": (make_dcgan, dcgan_data),
    "ssgan": (lambda **k: make_ssgan(average=0.9, **k), ssgan_data),
}


@pytest.fixture(params=RECIPES)
def recipe(request):
    return RECIPES[request.param]


def weights(model):
    """All that a checkpoint has to hold: weights, optimizer states, random seeds."""
    optimizers = [v for v in vars(model).values() if isinstance(v, keras.optimizers.Optimizer)]
    assert len(optimizers) >= 2
    variables = [*model.variables, *(v for o in optimizers for v in o.variables)]
    return [v.numpy() for v in variables]


def assert_same(first, second):
    for a, b in zip(weights(first), weights(second), strict=True):
        np.testing.assert_array_equal(a, b)


class Stop(keras.callbacks.Callback):
    """Breaks off in the middle of an epoch."""

    def __init__(self, epoch, step=1):
        super().__init__()
        self.at, self.epoch = (epoch, step), None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            raise KeyboardInterrupt


def train(recipe, folder, epochs, stop=()):
    make, data = recipe
    set_seed(3)
    model = make(seed=5)
    batches, dataset = data()
    resume = Resume(folder, *batches)
    history = model.fit(
        dataset,
        epochs=epochs,
        initial_epoch=resume.restore(model),
        callbacks=[resume, *stop],
        verbose=0,
    )
    return model, history.history


def test_training_changes_every_network(recipe):
    make, data = recipe
    model = make()
    before = [v.numpy() for v in model.trainable_variables]
    model.fit(data()[1], epochs=1, verbose=0)
    for old, new in zip(before, model.trainable_variables, strict=True):
        assert (old != new.numpy()).any(), new.path


def test_the_same_seed_gives_the_same_weights(recipe, tmp_path):
    first, _ = train(recipe, tmp_path / "a", 2)
    second, _ = train(recipe, tmp_path / "b", 2)
    assert_same(first, second)


def test_resume_is_exact(recipe, tmp_path):
    whole, history = train(recipe, tmp_path / "whole", 4)
    with pytest.raises(KeyboardInterrupt):
        train(recipe, tmp_path / "broken", 4, stop=[Stop(epoch=2)])
    resumed, resumed_history = train(recipe, tmp_path / "broken", 4)
    assert_same(whole, resumed)
    assert history == resumed_history


def test_a_saved_model_goes_on_as_if_it_had_never_stopped(recipe, tmp_path):
    make, data = recipe
    model, batches = make(seed=5), data()
    model.fit(batches[1], epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    assert_same(model, loaded)
    for each in (model, loaded):
        each.fit(batches[1], epochs=1, verbose=0)
    assert_same(model, loaded)


def test_the_step_is_traced_once(recipe):
    make, data = recipe
    model, traces = make(), []
    step = model.train_step
    model.train_step = lambda batch: (traces.append(1), step(batch))[1]
    model.fit(data()[1], epochs=3, verbose=0)
    assert len(traces) == 1


def test_bfloat16_trains_and_draws_float32(recipe):
    make, data = recipe
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = make()
        history = model.fit(data()[1], epochs=1, verbose=0).history
    finally:
        keras.config.set_dtype_policy("float32")
    assert np.isfinite(list(history.values())).all()
    assert model.generate(2).dtype == np.float32


def test_generate_and_interpolate(recipe):
    model = recipe[0]()
    drawn = model.generate(5, seed=1)
    assert drawn.shape == (5, 28, 28, 1)
    assert np.abs(drawn).max() <= 1
    np.testing.assert_array_equal(drawn, model.generate(5, seed=1))
    assert (drawn != model.generate(5, seed=2)).any()
    walk = model.interpolate(steps=4, rows=2, seed=1)
    assert walk.shape == (8, 28, 28, 1)
    gaps = np.abs(np.diff(walk[:4], axis=0)).sum(axis=(1, 2, 3))
    assert gaps.max() < np.abs(walk[3] - walk[0]).sum()  # no jump as long as the whole way


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda m: m.generate(0), "count 0"),
        (lambda m: m.interpolate(1), "steps 1"),
        (lambda m: m.decode(np.zeros((2, 3), "float32")), r"shape \(2, 3\)"),
    ],
)
def test_drawing_refuses_what_makes_no_sense(recipe, act, message):
    with pytest.raises(ValueError, match=message):
        act(recipe[0]())


BAD_PICTURES = {
    "28, 28, 1": PICTURES[:, :14],
    "no picture": PICTURES[:0],
    "dtype uint8": np.zeros((4, 28, 28, 1), np.uint8),
    "values from 0 to 255": np.float32([0, 255]).repeat(784).reshape(2, 28, 28, 1),
    "NaN": PICTURES * np.nan,
}


@pytest.mark.parametrize("message", BAD_PICTURES)
def test_dcgan_refuses_bad_pictures(message):
    data = tf.data.Dataset.from_tensors(BAD_PICTURES[message])
    with pytest.raises(ValueError, match=f"training pictures.*{message}"):
        make_dcgan().fit(data, verbose=0)


@pytest.mark.parametrize("message", BAD_PICTURES)
@pytest.mark.parametrize("part", ["labelled", "unlabelled"])
def test_ssgan_refuses_bad_pictures(part, message):
    inputs = {"labelled": PICTURES, "unlabelled": PICTURES, part: BAD_PICTURES[message]}
    data = tf.data.Dataset.from_tensors((inputs, LABELS))
    with pytest.raises(ValueError, match=f"{part} pictures.*{message}"):
        make_ssgan().fit(data, verbose=0)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS + 1, "0 to 9"),
        (LABELS - 1, "0 to 9"),
        (LABELS[:5], "5 labels for 12 pictures"),
        (np.eye(10)[LABELS], "not one-hot"),
        (LABELS.astype("float32"), "one integer a picture"),
    ],
)
def test_ssgan_refuses_bad_labels(labels, message):
    data = tf.data.Dataset.from_tensors(({"labelled": PICTURES, "unlabelled": PICTURES}, labels))
    with pytest.raises(ValueError, match=message):
        make_ssgan().fit(data, verbose=0)


def test_ssgan_says_what_a_batch_looks_like():
    with pytest.raises(ValueError, match="semi_supervised makes such a dataset"):
        make_ssgan().fit(tf.data.Dataset.from_tensors((PICTURES, LABELS)), verbose=0)


def test_an_empty_dataset_is_refused(recipe):
    with pytest.raises(ValueError, match="the data set is empty"):
        recipe[0]().fit(recipe[1]()[1].take(0), verbose=0)
