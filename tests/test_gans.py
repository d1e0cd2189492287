"""What holds for every GAN, of networks that no recipe has."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.training.callbacks import Measure
from recipes.training.distribution import optimizers_of
from recipes.translation import build_patchgan
from tests.tiny import CLASSES, GANS, LABELS, critic, dcgan, images, ssgan, step

all_gans = pytest.mark.parametrize("name", GANS)
noise_gans = pytest.mark.parametrize("make", [dcgan, ssgan])


def compiled(name, **settings):
    model = GANS[name][0](**{"ema_decay": 0.9, "seed": 5} | settings)
    model.compile(1e-3, run_eagerly=True)  # a trace takes longer than these few steps
    return model


def state(model):
    optimizers = optimizers_of(model)
    assert len(optimizers) == len(model.trained)
    return [*model.variables, *(v for optimizer in optimizers for v in optimizer.variables)]


def assert_same(first, second):
    for a, b in zip(state(first), state(second), strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), err_msg=a.path)


@all_gans
def test_a_compiled_step_trains_every_network_and_is_traced_once(name):
    make, data = GANS[name]
    model, traces = make(), []
    model.compile(1e-3)
    train_step = model.train_step
    model.train_step = lambda batch: (traces.append(1), train_step(batch))[1]
    before = model.get_weights()
    history = model.fit(data()[1], epochs=2, verbose=0).history
    assert len(traces) == 1
    assert set(history) == {metric.name for metric in model.metrics} >= set(model.reported)
    assert np.isfinite(list(history.values())).all()
    for old, new in zip(before, model.weights, strict=True):
        assert (old != new.numpy()).any() or not new.trainable, new.path


@all_gans
def test_a_saved_model_goes_on_as_if_it_had_never_stopped(name, tmp_path):
    settings = {"dropout": 0.5, **({"pool_size": 3} if name == "cyclegan" else {})}
    model, data = compiled(name, **settings), GANS[name][1]
    model.fit(data()[1].take(2), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.settings == model.settings
    assert loaded.compile_settings == model.compile_settings
    assert_same(model, loaded)
    for each in (model, loaded):
        each.run_eagerly = True
        each.fit(data()[1].take(1), verbose=0)
    assert_same(model, loaded)


def test_a_model_that_was_loaded_without_its_optimizers_can_be_saved(tmp_path):
    model = compiled("dcgan")
    model.save(tmp_path / "a.keras")
    keras.models.load_model(tmp_path / "a.keras", compile=False).save(tmp_path / "b.keras")
    loaded = keras.models.load_model(tmp_path / "b.keras")
    assert not loaded.compiled
    np.testing.assert_array_equal(loaded.generate(2, seed=0), model.generate(2, seed=0))


def test_compile_gives_each_network_its_adam():
    model = GANS["cyclegan"][0]()
    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, 10, 0.9)
    rates = dict(zip(model.trained, (0.1, 0.2, 0.3, schedule), strict=True))
    model.compile(rates, beta_1=0.4, beta_2=0.8)
    for name, rate in rates.items():
        optimizer = getattr(model, f"{name}_optimizer")
        assert float(optimizer.learning_rate) == pytest.approx(0.5 if name[-1] == "y" else rate)
        assert (optimizer.beta_1, optimizer.beta_2) == (0.4, 0.8)
        assert len(optimizer.variables) > len(getattr(model, name).trainable_variables)
    again = GANS["cyclegan"][0]()
    again.compile_from_config(model.get_compile_config())
    assert float(again.generator_f_optimizer.learning_rate) == pytest.approx(0.2)
    [first, second] = (x.discriminator_y_optimizer.get_config() for x in (model, again))
    assert second | {"name": first["name"]} == first


@pytest.mark.parametrize("rates", [{}, {"generator": 0.1}, {"generator": 0.1, "critic": 0.1}])
def test_a_rate_for_each_network_or_one_for_all(rates):
    with pytest.raises(ValueError, match="learning_rate: .* one rate for each of generator, discr"):
        dcgan().compile(rates)


@pytest.mark.parametrize("name", ["ema_decay", "label_smoothing"])
@pytest.mark.parametrize("value", [-0.1, 1, np.nan, None, "0.5"])
def test_a_share_that_cannot_be(name, value):
    with pytest.raises(ValueError, match=f"{name} .*: a number of 0 or more and below 1 is"):
        dcgan(**{name: value})


def test_weights_of_losses_that_cannot_be():
    for name, setting in (("pix2pix", "l1_weight"), ("cyclegan", "cycle_weight")):
        for value in (-1, np.inf):
            with pytest.raises(ValueError, match=f"{setting} {value}: a number of 0 or more"):
                GANS[name][0](**{setting: value})


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"learning_rate": -1.0}, "learning_rate -1.0: a number of 0 or more"),
        ({"learning_rate": np.nan}, "learning_rate nan"),
        ({"learning_rate": "1e-4"}, "learning_rate '1e-4'"),
        ({"beta_1": 1.5}, "beta_1 1.5: a number of 0 or more and below 1"),
        ({"optimizer": "adam"}, "optimizer: a GAN has its own; compile takes learning_rate"),
        ({"loss": "mse", "metrics": ["accuracy"]}, "loss, metrics: a GAN has its own"),
    ],
)
def test_a_compile_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        dcgan().compile(**settings)


@pytest.mark.parametrize("name", ["ssgan", "pix2pix", "cyclegan"])
def test_predict_and_test_on_batch_look_at_their_images(name):
    model, [batch] = compiled(name), GANS[name][1]()[1].take(1)
    for bad in (255.0, np.nan):
        factor = np.float32(bad)
        wrong = keras.tree.map_structure(
            lambda x, by=factor: x.numpy() * (by if x.dtype.is_floating else 1), batch
        )
        if name == "ssgan":
            wrong = wrong[0]["labelled"], wrong[1]
        with pytest.raises(ValueError, match="values from|holds NaN"):
            model.test_on_batch(*wrong)
        with pytest.raises(ValueError, match="images: (values from|holds NaN)"):
            model.predict(wrong[0], verbose=0)


def test_one_network_in_two_roles_is_refused():
    gan = GANS["cyclegan"][0]()
    with pytest.raises(ValueError, match="one network cannot be two of them"):
        type(gan)(
            gan.generator_g, gan.generator_g, gan.discriminator_x, gan.discriminator_y
        )  # fmt: skip


@all_gans
def test_one_batch_trains_as_fit_does(name):
    one, other = compiled(name), compiled(name)
    other.set_weights(one.get_weights())
    [batch] = GANS[name][1]()[1].take(1)
    parts = batch if isinstance(batch, tuple) else (batch,)
    history = one.fit(GANS[name][1]()[1].take(1), verbose=0).history
    assert other.train_on_batch(*parts, return_dict=True) == {k: v for k, [v] in history.items()}
    assert_same(one, other)
    with pytest.raises(ValueError, match="(image|batch).*(needed|has to be)"):
        other.train_on_batch(np.zeros((2, 8), "float32"))


def test_an_update_that_xla_fuses_is_adam_s():
    updated = []
    for fused in (False, True):
        keras.utils.set_random_seed(0)
        model = dcgan()
        model.compile(1e-2, fused_updates=fused)
        weights = model.discriminator.trainable_variables
        model.apply_gradients("discriminator", [tf.sin(tf.convert_to_tensor(w)) for w in weights])
        updated.append(model.discriminator.get_weights())
    for a, b in zip(*updated, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


# The moving average of the weights


@all_gans
def test_the_average_is_its_formula(name):
    model = GANS[name][0](ema_decay=0.4)
    [data] = GANS[name][1]()[1].take(1)
    networks = [(getattr(model, n), getattr(model, f"ema_{n}")) for n in model.averaged]
    expected = [average.get_weights() for _, average in networks]
    for decay in (2 / 11, 3 / 12, 4 / 13):  # (1 + n) / (10 + n); of SSGAN's classifier too
        seen = {}
        update = model.update_average

        def look(network, update=update, seen=seen):
            seen[network] = getattr(model, network).get_weights()
            update(network)

        model.update_average = look
        step(model, data)
        model.update_average = update
        for i, network in enumerate(model.averaged):
            expected[i] = [
                decay * e + (1 - decay) * w for e, w in zip(expected[i], seen[network], strict=True)
            ]
    for values, (_, average) in zip(expected, networks, strict=True):
        assert not average.trainable_variables
        for a, b in zip(values, average.get_weights(), strict=True):
            np.testing.assert_allclose(a, b, atol=1e-6)
    model.updates.assign(1000.0)
    model.update_average(model.averaged[0])
    network, average = networks[0]
    for before, w, after in zip(
        expected[0], network.get_weights(), average.get_weights(), strict=True
    ):
        np.testing.assert_allclose(after, 0.4 * before + 0.6 * w, atol=1e-6)


def test_the_average_survives_compile():
    model = compiled("dcgan")
    model.fit(GANS["dcgan"][1]()[1], verbose=0)
    before = model.generate(2, seed=0)
    model.compile(1e-4)
    assert float(model.updates) == 3
    np.testing.assert_array_equal(model.generate(2, seed=0), before)


@all_gans
def test_the_average_is_what_a_user_gets(name):
    model = GANS[name][0](ema_decay=0.9)
    model.updates.assign(1.0)  # before the first step the weights themselves would be used
    use = {
        "dcgan": lambda: model.generate(2, seed=0),
        "ssgan": lambda: np.concatenate(
            [model.generate(2, seed=0).ravel(), model.predict(images(2), verbose=0).ravel()]
        ),
        "pix2pix": lambda: model.translate(images(2, 3)),
        "cyclegan": lambda: np.concatenate(
            [model.translate(images(2, 3)), model.translate(images(2, 3), back=True)]
        ),
    }[name]
    before = use()
    for network in model.averaged:
        for weight in getattr(model, network).trainable_variables:
            weight.assign(weight + 1)
    np.testing.assert_array_equal(use(), before)
    for network in model.averaged:
        getattr(model, f"ema_{network}").set_weights(getattr(model, network).get_weights())
    assert (use() != before).all(axis=-1).any()


@all_gans
def test_measuring_the_average_changes_nothing_of_the_training(name):
    def train(*callbacks):
        keras.utils.set_random_seed(0)
        model = compiled(name, dropout=0.5)
        history = model.fit(GANS[name][1]()[1], epochs=3, callbacks=callbacks, verbose=0).history
        return model, history

    def mean(model):
        if hasattr(model, "generate"):
            return {"mean": model.generate(3, seed=0).mean()}
        return {"mean": model.translate(images(3, 3)).mean()}

    plain, history = train()
    measured, more = train(Measure(mean, every=2))
    assert_same(plain, measured)
    assert more == {**history, "mean": more["mean"]}
    for network in measured.averaged:  # the weights as they are do not count
        getattr(measured, network).set_weights(
            [0 * weight for weight in getattr(measured, network).get_weights()]
        )
    assert mean(measured)["mean"] == more["mean"][-1] != 0


# Generating


@noise_gans
def test_generate_and_interpolate(make):
    model = make()
    generated = model.generate(5, seed=1)
    assert generated.shape == (5, 8, 8, 1)
    np.testing.assert_array_equal(generated, model.generate(5, seed=1))
    assert (generated != model.generate(5, seed=2)).any()
    model.decode = lambda noise: noise
    walks = model.interpolate(steps=5, rows=300, seed=1).reshape(300, 5, -1)
    lengths = (walks**2).sum(-1).mean(0)
    np.testing.assert_allclose(lengths, walks.shape[-1], rtol=0.15)  # a straight line halves it
    np.testing.assert_allclose(walks[:, 2], (walks[:, 0] + walks[:, 4]) / 2**0.5, atol=1e-5)


@pytest.mark.parametrize(
    ("act", "message"),
    [
        (lambda m: m.generate(0), "count 0"),
        (lambda m: m.interpolate(1), "steps 1"),
        (lambda m: m.decode(np.zeros((2, 3), "float32")), r"shape \(2, 3\), but \(count, 4\)"),
    ],
)
def test_generating_refuses_what_makes_no_sense(act, message):
    with pytest.raises(ValueError, match=message):
        act(dcgan())


# Bad batches are refused before the training


def refused(model, batch, message):
    model.compile()
    with pytest.raises(ValueError, match=message):
        model.fit(tf.data.Dataset.from_tensors(batch), verbose=0)


BAD_IMAGES = {
    r"shape \(12, 4, 8, 1\)": images()[:, :4],
    r"shape \(12, 8, 8, 4\)": images(channels=4),  # with an alpha channel
    "dtype uint8": np.zeros((4, 8, 8, 1), np.uint8),
    "values from 0 to 255": np.float32([0, 255]).repeat(64).reshape(2, 8, 8, 1),
    "NaN": images() * np.nan,
}


@pytest.mark.parametrize("message", BAD_IMAGES)
def test_images_that_the_networks_do_not_take(message):
    bad = BAD_IMAGES[message]
    refused(dcgan(), bad, f"training images.*{message}")
    good = {"labelled": images(), "unlabelled": images()}
    refused(ssgan(), (good | {"labelled": bad}, LABELS), f"^labelled images.*{message}")
    refused(ssgan(), (good | {"unlabelled": bad}, LABELS), f"unlabelled images.*{message}")


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (LABELS + 1, f"0 to {CLASSES - 1}"),
        (LABELS[:5], "5 labels for 12"),
        (np.eye(CLASSES)[LABELS], "not one-hot"),
    ],
)
def test_labels_that_the_classifier_does_not_know(labels, message):
    refused(ssgan(), ({"labelled": images(), "unlabelled": images()}, labels), message)


def test_a_batch_of_another_structure():
    for batch in ((images(), LABELS), images(2)):
        refused(ssgan(), batch, "semi_supervised makes such a dataset")


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_pairs_that_the_networks_do_not_take(name):
    x = images(2, 3)
    for batch, message in (
        (x, "has to be"),
        ((x, x + 5), "values from"),
        ((images(2, 4), x), r"shape \(2, 8, 8, 4\)"),
        ((x, x[:1]), "1"),
    ):
        refused(GANS[name][0](), batch, message)
    if name == "cyclegan":
        model = GANS[name][0](pool_size=2)
        refused(model, (x, np.zeros((2, 16, 16, 3), "float32")), r"images of y: shape \(2, 16, 16")


@all_gans
def test_a_batch_that_devices_cannot_share_equally(name, monkeypatch):
    model = GANS[name][0]()
    [batch] = GANS[name][1]()[1].take(1)
    model.check_batch(batch)
    monkeypatch.setattr(type(model.distribute_strategy), "num_replicas_in_sync", 3)
    with pytest.raises(ValueError, match="batch of 4 images cannot be shared equally by 3 devices"):
        model.check_batch(batch)


@all_gans
def test_a_generator_of_other_images_is_refused_before_the_training(name):
    model, [batch] = GANS[name][0](), GANS[name][1]()[1].take(1)
    which = "generator_f" if name == "cyclegan" else "generator"
    made = getattr(model, which)
    cut = keras.layers.Cropping2D(1)(made.output)
    setattr(model, which, keras.Model(made.input, cut))
    with pytest.raises(ValueError, match="generator makes images of shape .* is needed"):
        model.check_batch(batch)


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_a_discriminator_of_another_number_of_images_is_refused(name):
    model, [batch] = GANS[name][0](), GANS[name][1]()[1].take(1)
    other, wanted = (1, 2) if name == "pix2pix" else (2, 1)
    which = "discriminator" if name == "pix2pix" else "discriminator_y"
    setattr(model, which, build_patchgan(other, 2))
    with pytest.raises(ValueError, match=rf"takes {other} images at once, but {wanted} "):
        model.check_batch(batch)


@pytest.mark.parametrize("name", ["ssgan", "pix2pix"])
def test_bfloat16_gives_finite_losses_and_float32_images(name):
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = compiled(name)
    finally:
        keras.config.set_dtype_policy("float32")
    history = model.fit(GANS[name][1]()[1], verbose=0).history
    assert np.isfinite(list(history.values())).all()
    made = model.generate(2) if name == "ssgan" else model.translate(images(2, 3))
    assert made.dtype == np.float32
    assert {weight.dtype for weight in model.trainable_variables} == {"float32"}


def test_a_discriminator_of_any_size_takes_any_size():
    inputs = keras.Input((None, None, 1))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(2, 3)(inputs))
    model = dcgan()
    model.discriminator = keras.Model(inputs, keras.layers.Dense(1)(pooled))
    model.check_batch(images())
    assert critic().input_shape[1:] == (8, 8, 1)


def test_fused_updates_are_compiled_once_in_eager_mode_too():
    model, data = GANS["pix2pix"][0](), GANS["pix2pix"][1]
    model.compile(1e-3, fused_updates=True, run_eagerly=True)
    model.fit(data()[1], epochs=2, verbose=0)
    counts = [update.experimental_get_tracing_count() for update in model.updates_of.values()]
    assert counts == [1] * len(model.trained)
