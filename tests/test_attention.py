import keras
import numpy as np
import pytest
import tensorflow as tf

import recipes  # noqa: F401  first, as in a notebook: it sets how TensorFlow starts
from recipes.captioning import (
    BahdanauAttention,
    CaptionBatches,
    ImageCaptioner,
    Vocabulary,
    attention_in_boxes,
    boxes_of_words,
    by_noun,
    generate,
)
from recipes.captioning.vocabulary import END
from recipes.losses import masked_cross_entropy

CAPTIONS = [["a dog left"], ["a dog right"], ["a cat left"], ["a cat right"]] * 8
NOUNS = {"dog": ("dog", "puppy"), "cat": ("cat",)}


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.build(CAPTIONS)


def features():
    """A dog or a cat at one of four places; each place knows its column, the rest is noise."""
    rng = np.random.default_rng(0)
    made = rng.normal(0, 0.1, (len(CAPTIONS), 2, 2, 6)).astype(np.float32)
    made[:, :, 1, 5] += 1
    for i in range(len(CAPTIONS)):
        made[i, rng.integers(2), i % 2, i % 4 // 2] += 3
    return made


def build(vocabulary, **options):
    keras.utils.set_random_seed(0)
    sizes = {"embedding": 8, "units": 12, "attention_units": 10}
    return ImageCaptioner(len(vocabulary), (2, 2, 6), **sizes, **options)


@pytest.fixture(scope="module")
def learned(vocabulary):
    model = build(vocabulary)
    model.compile(keras.optimizers.Adam(0.02, clipnorm=5.0))
    batches = CaptionBatches(features(), CAPTIONS, vocabulary, batch_size=8, seed=0)
    model.fit(batches.dataset, epochs=40, verbose=0)
    return model


def plain_step(model, image, word, hidden):
    """One word of the decoder by NumPy, equation by equation."""
    decoder = model.decoder

    def values(layer):
        return [np.asarray(x, np.float64) for x in layer.get_weights()]

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    kernel, bias = values(model.encoder.dense)
    places = np.maximum(image.reshape(4, 6) @ kernel + bias, 0)
    (w1, b1), (w2,), (v,) = (values(getattr(decoder.attention, n)) for n in ("w1", "w2", "v"))
    scores = (np.tanh(places @ w1 + b1 + hidden @ w2) @ v)[:, 0]
    weights = np.exp(scores) / np.exp(scores).sum()
    x = np.concatenate([weights @ places, values(decoder.embed)[0][word]])
    kernel, recurrent, (bias, recurrent_bias) = values(decoder.cell)
    a, b = x @ kernel + bias, hidden @ recurrent + recurrent_bias
    (az, ar, ah), (bz, br, bh) = np.split(a, 3), np.split(b, 3)
    update, reset = sigmoid(az + bz), sigmoid(ar + br)
    hidden = update * hidden + (1 - update) * np.tanh(ah + reset * bh)
    (w, b), (u, c) = values(decoder.hidden), values(decoder.logits)
    return (hidden @ w + b) @ u + c, hidden, weights


@pytest.mark.parametrize("carry_state", [True, False])
def test_the_equations(vocabulary, carry_state):
    model = build(vocabulary, carry_state=carry_state)
    words = vocabulary.encode(["a dog left"])[:, :-1]
    image = features()[:1]
    logits = model({"features": image, "words": words}).numpy()[0]
    hidden = np.zeros(12)
    if carry_state:
        for n, word in enumerate(words[0]):
            expected, hidden, _ = plain_step(model, image[0], word, hidden)
            np.testing.assert_allclose(logits[n], expected, atol=1e-5)
    else:  # only the first word is the same: then the state is forgotten, though looked with
        np.testing.assert_allclose(
            logits[0], plain_step(model, image[0], words[0, 0], hidden)[0], atol=1e-5
        )
        carried = build(vocabulary)
        carried.set_weights(model.get_weights())
        gap = np.abs(carried({"features": image, "words": words}).numpy()[0] - logits).max(1)
        assert gap[0] < 1e-6
        assert (gap[1:] > 1e-4).all()


def test_keys_may_be_made_before():
    keras.utils.set_random_seed(0)
    attention = BahdanauAttention(5)
    places, hidden = np.random.default_rng(0).normal(size=(2, 7, 3)), np.ones((2, 4))
    context, weights = attention(places, hidden)
    again = attention(places, hidden, keys=attention.keys(places))
    np.testing.assert_allclose(again[0], context)
    np.testing.assert_allclose(tf.reduce_sum(weights, 1), 1, rtol=1e-6)
    np.testing.assert_allclose(context, tf.einsum("bp,bpc->bc", weights, places), rtol=1e-5)


def test_one_word_at_a_time_gives_the_logits_of_the_whole_caption(vocabulary, learned):
    words = vocabulary.encode(["a dog left", "a cat"])[:, :-1]
    images = features()[:2]
    whole = learned({"features": images, "words": words})
    memory, state = learned.begin(tf.constant(images))
    for n in range(words.shape[1]):
        logits, state, weights = learned.step(words[:, n], memory, state)
        np.testing.assert_allclose(logits, whole[:, n], atol=1e-5)
        assert weights.shape == (2, 4)


def test_it_learns_what_is_where_and_looks_there(vocabulary, learned):
    images = features()
    made = generate(learned, images, beams=2, max_length=5)
    assert vocabulary.decode(made.words) == [texts[0] for texts in CAPTIONS]
    place = images[..., :2].sum(-1).reshape(len(images), 4).argmax(1)
    animal = made.attention[:, 1]
    assert animal[np.arange(len(images)), place].mean() > 0.5
    np.testing.assert_allclose(made.attention[:, :4].sum(-1), 1, rtol=1e-5)
    assert (made.words[:, 3] == END).all()
    assert not made.attention[:, 4].any()


def test_greedy_attention_is_that_of_the_model(vocabulary, learned):
    made = generate(learned, features()[:3], beams=1, max_length=5)
    beams = generate(learned, features()[:3], beams=3, max_length=5)
    np.testing.assert_array_equal(made.words, beams.words)
    np.testing.assert_allclose(made.attention, beams.attention, atol=1e-5)
    memory, state = learned.begin(tf.constant(features()[:3]))
    last = np.full(3, 1)
    for n in range(3):
        _, state, weights = learned.step(last, memory, state)
        np.testing.assert_allclose(made.attention[:, n], weights, atol=1e-5)
        last = made.words[:, n]


def test_the_regularizer(vocabulary):
    plain, strict = build(vocabulary), build(vocabulary, doubly_stochastic=2.0)
    numbers = vocabulary.encode(["a dog left", "cat"])
    inputs = {"features": features()[:2], "words": numbers[:, :-1]}
    logits = strict(inputs)
    np.testing.assert_array_equal(logits, plain(inputs))
    _, maps = strict.decoder(strict.encode(inputs["features"]), inputs["words"])
    sums = [maps[0].numpy().sum(0), maps[1, :2].numpy().sum(0)]  # start and cat; no padding
    expected = 2 * np.mean((1 - np.array(sums)) ** 2)
    np.testing.assert_allclose(strict.losses, [expected], rtol=1e-5)
    assert not plain.losses


def test_the_gradient_reaches_everything(vocabulary):
    model = build(vocabulary, dropout=0.1)
    numbers = vocabulary.encode(["a dog left", "cat"])
    with tf.GradientTape() as tape:
        logits = model({"features": features()[:2], "words": numbers[:, :-1]}, training=True)
        loss = masked_cross_entropy(numbers[:, 1:], logits)
    for variable, gradient in zip(
        model.trainable_variables, tape.gradient(loss, model.trainable_variables), strict=True
    ):
        assert gradient is not None, variable.path
        assert np.abs(tf.convert_to_tensor(gradient)).max() > 0, variable.path


def test_save_and_load(vocabulary, learned, tmp_path):
    learned.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    ours, theirs = (generate(model, features()) for model in (learned, loaded))
    np.testing.assert_array_equal(ours.scores, theirs.scores)
    np.testing.assert_array_equal(ours.attention, theirs.attention)


def test_bad_features(vocabulary, learned):
    with pytest.raises(ValueError, match=r"feature_shape \(6,\): .*spatial features"):
        ImageCaptioner(10, (6,))
    with pytest.raises(ValueError, match=r"features: shape \(1, 3, 2, 6\), but \(images, 2, 2, 6"):
        generate(learned, np.zeros((1, 3, 2, 6)))


def test_attention_in_boxes():
    boxes = [("dog", (0, 0, 0.5, 0.5)), ("dog", (0.25, 0, 0.25, 0.5)), ("cat", (0.5, 0, 0.25, 1))]
    attention = np.array([[0.25] * 4, [0.7, 0.3, 0, 0], [0, 0.6, 0, 0.4], [0, 0, 0, 1]])
    found = attention_in_boxes(["a", "puppy", "cat", "runs"], attention, (2, 2), boxes, NOUNS)
    assert [one.word for one in found] == ["puppy", "cat"]
    np.testing.assert_allclose([one[1:3] for one in found], [(0.7, 0.25), (0.5, 0.25)], rtol=1e-6)
    uniform = attention_in_boxes(["dog"], np.full((1, 4), 0.25), (2, 2), boxes, NOUNS)
    assert uniform[0].share == pytest.approx(uniform[0].area)
    for beyond in ((-0.5, 0, 0.25, 1), (1.1, 0, 0.5, 1), (0, -2, 1, 1)):  # beside the image
        outside = attention_in_boxes(["dog"], attention[:1], (2, 2), [("dog", beyond)], NOUNS)
        assert outside[0][1:] == (0, 0, 0)
    middle = [("dog", (1 / 3, 1 / 3, 1 / 3, 1 / 3))]
    one = attention_in_boxes(["dog"], np.full((1, 9), 1 / 9), (3, 3), middle, NOUNS)[0]
    side = np.exp(-8 / 9)  # of a Gaussian of a quarter of the side, a third from the middle
    assert one.centre == pytest.approx(1 / (1 + 2 * side) ** 2, rel=1e-2)
    assert by_noun([*found, *found], 2) == {
        "puppy": pytest.approx((2, 0.7, 0.25, 0.25)),
        "cat": pytest.approx((2, 0.5, 0.25, 0.25)),
    }
    assert boxes_of_words(["a", "puppy", "cat"], boxes, NOUNS) == [None, boxes[0][1], boxes[2][1]]
    with pytest.raises(ValueError, match="attention: 1 rows, but 2 words"):
        attention_in_boxes(["a", "dog"], attention[:1], (2, 2), boxes, NOUNS)
    with pytest.raises(ValueError, match=r"grid \(3, 3\)"):
        attention_in_boxes(["dog"], attention, (3, 3), boxes, NOUNS)
