import keras
import numpy as np
import pytest
import tensorflow as tf

import recipes  # noqa: F401  first, as in a notebook: it sets how TensorFlow starts
from recipes.captioning import (
    CaptionBatches,
    PrintCaptions,
    TransformerCaptioner,
    Vocabulary,
    generate,
)
from recipes.captioning.transformer import MultiHeadAttention

CAPTIONS = [["a dog left"], ["a dog right"], ["a cat left"], ["a cat right"]] * 4
VOCABULARY = Vocabulary.build(CAPTIONS)


def features():
    """A dog or a cat at one of four places; each place knows its column, the rest is noise."""
    rng = np.random.default_rng(0)
    made = rng.normal(0, 0.1, (len(CAPTIONS), 2, 2, 6)).astype(np.float32)
    made[:, :, 1, 5] += 1
    for i in range(len(CAPTIONS)):
        made[i, rng.integers(2), i % 2, i % 4 // 2] += 3
    return made


def build(**options):
    keras.utils.set_random_seed(0)
    sizes = {"width": 12, "heads": 3, "max_length": 8}
    return TransformerCaptioner(len(VOCABULARY), (2, 2, 6), **sizes, **options)


@pytest.fixture(scope="module")
def learned():
    model = build(dropout=0.0)
    model.compile(keras.optimizers.Adam(0.01, clipnorm=5.0))
    batches = CaptionBatches(features(), CAPTIONS, VOCABULARY, batch_size=8, seed=0)
    model.fit(batches.dataset, epochs=40, verbose=0)
    return model


def test_attention_is_that_of_keras():
    """Against `keras.layers.MultiHeadAttention`, with a mask, of the same weights."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    x, memory = (rng.normal(size=(2, n, 12)).astype(np.float32) for n in (4, 5))
    visible = rng.random((4, 5)) < 0.6
    visible[:, 0] = True
    ours, theirs = MultiHeadAttention(12, 3), keras.layers.MultiHeadAttention(3, 4)
    ours.build((2, 4, 12))
    theirs.build((2, 4, 12), (2, 5, 12))
    (q, _, k, v, v_bias, o, o_bias) = ours.get_weights()
    q_bias = rng.normal(size=12).astype(np.float32)
    ours.query.bias.assign(q_bias)
    split = [w.reshape(12, 3, 4) for w in (q, k, v)]
    biases = [b.reshape(3, 4) for b in (q_bias, np.zeros(12), v_bias)]
    pairs = [part for pair in zip(split, biases, strict=True) for part in pair]
    theirs.set_weights([*pairs, o.reshape(3, 4, 12), o_bias])
    expected, weights = theirs(
        x, memory, attention_mask=visible[None], return_attention_scores=True
    )
    found, mean = ours(x, *ours.keys_values(memory), visible=visible)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    np.testing.assert_allclose(mean, tf.reduce_mean(weights, 1), atol=1e-6)


def test_cached_decoding_gives_the_logits_of_the_whole_caption(learned):
    words = VOCABULARY.encode(["a dog left", "a cat"])[:, :-1]
    whole = learned({"features": features()[:2], "words": words})
    memory, state = learned.begin(tf.constant(features()[:2]))
    for n in range(words.shape[1]):
        logits, state, weights = learned.step(words[:, n], memory, state)
        np.testing.assert_allclose(logits, whole[:, n], atol=1e-5)
        np.testing.assert_allclose(tf.reduce_sum(weights, 1), 1, rtol=1e-5)


def test_no_word_sees_a_later_one(learned):
    words = VOCABULARY.encode(["a dog left"])[:, :-1]
    logits = learned({"features": features()[:1], "words": words}).numpy()
    changed = np.concatenate([words[:, :2], words[:, 1:3]], 1)
    again = learned({"features": features()[:1], "words": changed}).numpy()
    np.testing.assert_allclose(again[:, :2], logits[:, :2], atol=1e-6)
    assert np.abs(again[:, 2:] - logits[:, 2:]).max() > 1e-3


def test_it_learns_what_is_where_and_looks_there(learned):
    images = features()
    made = generate(learned, images, beams=2, max_length=5)
    assert VOCABULARY.decode(made.words) == [texts[0] for texts in CAPTIONS]
    place = images[..., :2].sum(-1).reshape(len(images), 4).argmax(1)
    assert made.attention[:, 1][np.arange(len(images)), place].mean() > 0.4


def test_beam_search_keeps_each_beams_cache(learned):
    """The best caption's score is that of the whole caption in one pass."""
    made = generate(learned, features()[:4], beams=4, max_length=6, length_power=0)
    words = np.concatenate([np.full((4, 1), 1), made.words[:, :-1]], 1)
    logits = learned({"features": features()[:4], "words": words})
    chances = tf.gather(tf.nn.log_softmax(logits), made.words, batch_dims=2).numpy()
    scores = np.where(made.words == 0, 0, chances).sum(1)
    np.testing.assert_allclose(made.scores, scores, atol=1e-4)


def test_save_and_load(learned, tmp_path):
    learned.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    ours, theirs = (generate(model, features(), max_length=7) for model in (learned, loaded))
    np.testing.assert_array_equal(ours.scores, theirs.scores)


def test_captions_are_as_long_as_the_captioner_can_make_them(learned, capsys):
    assert generate(learned, features()).words.shape == (len(CAPTIONS), 8)
    printed = PrintCaptions(features()[:1], VOCABULARY)
    printed.set_model(learned)
    printed.on_epoch_end(0)
    assert capsys.readouterr().out.startswith("1\ta ")


def test_features_that_are_no_numbers_get_no_caption(learned):
    bad = features()
    bad[3] = np.nan
    with pytest.raises(ValueError, match="features: holds NaN"):
        generate(learned, bad, max_length=4)
    with pytest.raises(ValueError, match=r"features: a list, .* pass .array"):
        generate(learned, list(bad))
    words = np.ones((len(bad), 3), np.int32)
    with pytest.raises(ValueError, match="features: holds NaN"):
        learned.train_on_batch({"features": bad, "words": words}, words)


def test_the_loss_of_held_out_captions_is_the_mean_over_their_words(learned):
    captions = [["dog"], ["a dog left " * 2], ["cat"], ["a cat"]]
    losses = [
        learned.evaluate(
            CaptionBatches(features(), captions, VOCABULARY, batch_size=size, seed=0,
                           rows=range(4)).dataset, verbose=0,
        )
        for size in (1, 3, 4)
    ]  # fmt: skip
    np.testing.assert_allclose(losses, losses[-1], rtol=1e-5)


def test_what_cannot_be(learned):
    with pytest.raises(ValueError, match=r"feature_shape \(6,\): .*spatial features"):
        TransformerCaptioner(10, (6,))
    with pytest.raises(ValueError, match="width 10: 4 heads cannot share it"):
        TransformerCaptioner(10, (2, 2, 6), width=10)
    with pytest.raises(ValueError, match="9 words .*: this captioner has 8 positions"):
        generate(learned, features(), max_length=9)
    long = [["dog " * 8]] * 2
    batches = CaptionBatches(features()[:2], long, VOCABULARY, batch_size=2, seed=0)
    with pytest.raises(ValueError, match="9 words with the start token"):
        learned.fit(batches.dataset, verbose=0)
