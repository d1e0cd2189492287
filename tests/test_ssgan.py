import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes import losses
from recipes.ssgan import SSGAN, build_classifier, build_generator
from recipes.training.runtime import set_seed

RNG = np.random.default_rng(0)
PICTURES = RNG.uniform(-1, 1, (8, 28, 28, 1)).astype("float32")
LABELS = np.arange(8)


def count(model):
    return sum(np.prod(v.shape) for v in model.trainable_variables)


def test_the_networks_are_the_books():
    conv = 9 * (1 + 128 + 128) * 128 + 3 * 128
    assert count(build_classifier()) == conv + 4 * 4 * 128 * 10 + 10
    upsample = 2 * (16 * 128 * 128 + 128)
    assert count(build_generator()) == 101 * 6272 + upsample + 49 * 128 + 1


def test_predict_gives_probabilities_and_evaluate_their_accuracy():
    gan = SSGAN(width=4, generator_width=4)
    gan.compile()
    probabilities = gan.predict(PICTURES, verbose=0)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
    expected = (probabilities.argmax(axis=1) == LABELS).mean()
    result = gan.evaluate(PICTURES, LABELS, verbose=0, return_dict=True)
    assert float(result["accuracy"]) == pytest.approx(expected)


def step(gan):
    inputs = {"labelled": PICTURES, "unlabelled": PICTURES}
    return gan.train_step((inputs, LABELS))


@pytest.mark.parametrize(
    ("settings", "drawn"),
    [({}, [8, 16]), ({"generator_batch": 5}, [8, 5]), ({"generator_batch": "shared"}, [8])],
)
def test_how_many_pictures_the_generator_draws(settings, drawn):
    gan = SSGAN(width=4, generator_width=4, **settings)
    gan.compile()
    counts, draw = [], gan.draw
    gan.draw = lambda part: (counts.append(int(part.rows)), draw(part))[1]
    step(gan)
    assert counts == drawn


def test_the_generators_gradient_is_that_of_one_tape():
    """The chain rule in two pieces, as the step has it, against one tape over both networks."""
    gan = SSGAN(width=4, generator_width=4, generator_batch="shared")
    gan.compile(learning_rate=0.0)  # nothing moves, so that both see the same weights
    for layer in gan.classifier.layers:
        if isinstance(layer, keras.layers.Dropout):
            layer.rate = 0.0
    latent = tf.random.stateless_normal((8, 100), (1, 2))
    with tf.GradientTape() as tape:
        fakes = gan.generator(latent, training=True)
        logits = gan.classifier(fakes, training=True)["logits"]
        loss = losses.generator_loss(losses.real_logit(logits))
    variables = gan.generator.trainable_variables
    expected = tape.gradient(loss, variables)

    def draw(part):
        with tf.GradientTape() as tape:
            return gan.generator(latent, training=True), tape

    got = []
    gan.draw = draw
    gan.generator_optimizer.apply = lambda gradients, variables: got.extend(gradients)
    step(gan)
    for a, b in zip(expected, got, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7)


def test_the_baseline_touches_the_classifier_alone():
    gan = SSGAN(width=4, generator_width=4, supervised_only=True)
    gan.compile()
    before = [v.numpy() for v in gan.generator.trainable_variables]
    logs = step(gan)
    assert set(logs) == {"class_loss", "accuracy"}
    for old, new in zip(before, gan.generator.trainable_variables, strict=True):
        np.testing.assert_array_equal(old, new)


def test_the_baseline_starts_from_the_same_weights_and_labelled_batch():
    losses_seen = []
    for supervised_only in (False, True):
        set_seed(0)
        gan = SSGAN(width=4, generator_width=4, supervised_only=supervised_only)
        gan.compile()
        losses_seen.append(float(step(gan)["class_loss"]))
    assert losses_seen[0] == losses_seen[1]


def test_the_average_is_what_predict_uses():
    gan = SSGAN(width=4, generator_width=4, average=0.9)
    gan.compile()
    step(gan)
    gan.classifier.get_layer("logits").bias.assign(np.arange(10.0) * 100)
    assert not (gan.predict(PICTURES, verbose=0).argmax(axis=1) == 9).all()
