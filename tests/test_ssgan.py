import keras
import numpy as np
import pytest
import tensorflow as tf

from recipes.ssgan import SSGAN, build_classifier, build_generator
from tests import tiny
from tests.tiny import (
    CLASSES,
    LABELS,
    LATENT,
    assert_equal_weights,
    copies,
    descend,
    few_labels,
    images,
    log_mean,
    ssgan,
    step,
)


def trained(network):
    return sum(np.prod(v.shape) for v in network.trainable_variables)


def kinds(network):
    return [type(layer).__name__ for layer in network.layers]


def test_the_networks_are_the_books():
    classifier, generator = build_classifier(), build_generator()
    conv = 9 * (1 + 128 + 128) * 128 + 3 * 128
    assert trained(classifier) == conv + 4 * 4 * 128 * 10 + 10
    assert kinds(classifier)[1:] == 3 * ["Conv2D", "LeakyReLU"] + ["Flatten", "Dropout", "Dense"]
    assert classifier.layers[-2].rate == 0.4
    upsample = 2 * (16 * 128 * 128 + 128)
    assert trained(generator) == 101 * 6272 + upsample + 49 * 128 + 1
    assert "BatchNormalization" not in kinds(generator)
    assert generator.output_shape == (None, 28, 28, 1)
    assert classifier.output_shape == (None, 10)


def test_switches():
    generator = build_generator(4, 2, norm=True, upsampling="resize")
    assert kinds(generator).count("BatchNormalization") == 3
    assert kinds(generator).count("UpSampling2D") == 2
    assert kinds(build_classifier(width=2, augmentation=2))[1] == "RandomShift"


@pytest.mark.parametrize("settings", [{}, {"share_fakes": True}, {"supervised_only": True}])
def test_a_step_is_four_updates_one_after_the_other(settings):
    gan, noise = ssgan(**settings), tf.random.stateless_normal((18, LATENT), (1, 2))
    generator, classifier, untouched = copies(gan.generator, gan.classifier, gan.generator)
    drawn = iter((noise[:6], noise[6:]))  # as many as real images, then twice as many
    gan.sample_noise = lambda count: next(drawn)[:count]
    labelled, real = images(4, seed=1), images(6, seed=2)
    logs = step(gan, ({"labelled": labelled, "unlabelled": real}, LABELS[:4]))

    def probability(x):  # of being real: Z / (Z + 1), Z the sum of the exponentials
        z = tf.reduce_sum(tf.exp(classifier(x, training=True)), axis=1)
        return z / (z + 1)

    expected = {}
    with tf.GradientTape() as tape:
        logits = classifier(labelled, training=True)
        chosen = tf.gather(tf.nn.softmax(logits), LABELS[:4], axis=1, batch_dims=1)
        expected["class_loss"] = -log_mean(chosen)
    expected["accuracy"] = np.mean(np.argmax(logits, 1) == LABELS[:4])
    descend(tape, expected["class_loss"], classifier)
    if not settings.get("supervised_only"):
        with tf.GradientTape() as tape:
            expected["real_loss"] = -log_mean(probability(real))
        descend(tape, expected["real_loss"], classifier)
        fakes = generator(noise[:6], training=True)
        with tf.GradientTape() as tape:
            expected["fake_loss"] = -log_mean(1 - probability(fakes))
        descend(tape, expected["fake_loss"], classifier)
        with tf.GradientTape() as tape:
            if "share_fakes" in settings:
                generator = untouched  # the norm sees these fakes once
                fakes = generator(noise[:6], training=True)
            else:
                fakes = generator(noise[6:], training=True)
            expected["generator_loss"] = -log_mean(probability(fakes))
        descend(tape, expected["generator_loss"], generator)
    assert_equal_weights((gan.generator, gan.classifier), (generator, classifier))
    assert logs == pytest.approx({k: float(v) for k, v in expected.items()}, rel=1e-5)


def test_predict_gives_probabilities_and_evaluate_their_accuracy():
    gan = ssgan()
    gan.compile(run_eagerly=True)
    probabilities = gan.predict(images(), verbose=0)
    expected = tf.nn.softmax(gan.classifier(images())).numpy()
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    result = gan.evaluate(images(), LABELS, verbose=0, return_dict=True)
    assert float(result["accuracy"]) == pytest.approx((expected.argmax(1) == LABELS).mean())


def test_the_baseline_starts_from_the_same_weights_and_labelled_batch():
    class_losses = []
    for supervised_only in (False, True):
        keras.utils.set_random_seed(0)
        gan = ssgan(supervised_only=supervised_only)
        [batch] = few_labels()[1].take(1)
        class_losses.append(step(gan, batch)["class_loss"])
    assert class_losses[0] == class_losses[1]


def test_logits_whose_exponential_overflows_give_finite_losses():
    gan = ssgan()
    gan.classifier.layers[-1].bias.assign(np.full(CLASSES, 200.0))
    logs = step(gan, ({"labelled": images(), "unlabelled": images()}, LABELS))
    assert np.isfinite(list(logs.values())).all()


def test_the_books_networks_train():
    gan = SSGAN(build_generator(4, 2), build_classifier(width=2))
    gan.compile(run_eagerly=True)
    x = np.zeros((4, 28, 28, 1), "float32")
    batch = ({"labelled": x, "unlabelled": x}, np.arange(4))
    gan.fit(tf.data.Dataset.from_tensors(batch), verbose=0)
    assert gan.generate(2).shape == (2, 28, 28, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (127.5 * (x + 1), y), "values from"),
        (lambda x, y: (x, y + 1), "3 classes"),
        (lambda x, y: (x, np.eye(3)[y]), "one-hot"),
    ],
)
def test_what_is_evaluated_is_looked_at(change, message):
    gan = tiny.ssgan()
    gan.compile(run_eagerly=True)
    x, y = tiny.images(), tiny.LABELS
    assert 0 <= gan.evaluate(x, y[:, None], verbose=0, return_dict=True)["accuracy"] <= 1
    x, y = change(x, y)
    with pytest.raises(ValueError, match=message):
        gan.evaluate(x, y, verbose=0)
    with pytest.raises(ValueError, match=message):
        gan.fit(tiny.few_labels()[1], validation_data=(x, y), verbose=0)


def test_every_label_that_is_evaluated_is_checked():
    gan = ssgan()
    gan.compile()
    labels = np.zeros(6, int)
    labels[5] = 99  # not in the first batch
    x = np.repeat(images(), 2, 0)[:6]
    with pytest.raises(ValueError, match="labels from 0 to 99"):
        gan.evaluate(x, labels, batch_size=2, verbose=0)
