import errno
import itertools
import json
import subprocess
import sys
import tracemalloc

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image
from toyworlds import scenes

import recipes  # noqa: F401  first, as in a notebook: it sets how TensorFlow starts
from recipes import captioning
from recipes.captioning import (
    CaptionBatches,
    Captioner,
    ImageCaptionFeatureExtractor,
    MergeCaptioner,
    Vocabulary,
    bleu,
    generate,
)
from recipes.captioning.vocabulary import END, PAD, START, UNKNOWN, clean
from recipes.losses import masked_cross_entropy
from recipes.training.batches import set_epoch

CAPTIONS = [
    ["A dog runs .", "The brown dog runs on grass"],
    ["A man's hat", "a man , and a hat !"],
    ["water"],
    ["A dog and a man and a hat on the brown grass"],
]
COCO_VALUES = 1.49469, 0.576856  # CIDEr-D and ROUGE-L of `drawn_captions`, by pycocoevalcap
FEATURES = np.random.default_rng(0).normal(size=(4, 5)).astype(np.float32)


@pytest.fixture(scope="module")
def vocabulary():
    return Vocabulary.build(CAPTIONS)


def captioner(vocabulary, dropout=0.0, seed=0):
    keras.utils.set_random_seed(seed)
    return MergeCaptioner(len(vocabulary), (5,), width=6, embedding=7, dropout=dropout, seed=seed)


# Words


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A man's dog -- a big, red one .", "a mans dog a big red one"),
        ("Two 3-year-olds", "two 3 year olds"),
        ("Ein Mädchen läuft.", "ein mädchen läuft"),
        ("एक लड़की दौड़ती है ।", "एक लड़की दौड़ती है"),
        ("Девочка бежит", "девочка бежит"),
        ("ｆｕｌｌ　ｗｉｄｔｈ", "full width"),
        ("<start> a_b", "start a b"),
        ("...", ""),
    ],
)
def test_cleaning(text, words):
    assert clean(text) == words.split()


def test_words_get_numbers_by_count_and_alphabet(vocabulary):
    assert vocabulary.words[:6] == ("<pad>", "<start>", "<end>", "<unknown>", "a", "and")
    again = Vocabulary.build([texts[::-1] for texts in CAPTIONS[::-1]])
    assert again.words == vocabulary.words
    assert "water" not in Vocabulary.build(CAPTIONS, min_count=2).words
    assert len(Vocabulary.build(CAPTIONS, max_words=3)) == 4 + 3


def test_encode_and_decode(vocabulary, tmp_path):
    texts = ["A dog runs .", "water", "a zebra runs"]
    numbers = vocabulary.encode(texts)
    assert numbers.dtype == np.int32
    assert numbers.shape == (3, 5)
    assert numbers[1].tolist()[2:] == [END, PAD, PAD]
    assert (numbers[:, 0] == START).all()
    assert numbers[2, 2] == UNKNOWN
    assert vocabulary.decode(numbers) == ["a dog runs", "water", "a <unknown> runs"]
    long = " ".join(["dog"] * 200)
    assert vocabulary.decode(vocabulary.encode([long])) == [long]
    for made in (vocabulary, Vocabulary(["köpek", "собака"])):
        made.save(tmp_path / "words.json")
        assert Vocabulary.load(tmp_path / "words.json").words == made.words


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda v, p: Vocabulary([]), r"words: a list of one or more is needed, not \[\]"),
        (lambda v, p: Vocabulary("abc"), "words: a list of one or more is needed, not 'abc'"),
        (lambda v, p: Vocabulary(["a", "b", "a"]), "words: more than once there: a"),
        (lambda v, p: Vocabulary(["two words", "<end>"]), "words: not as `clean`"),
        (lambda v, p: Vocabulary.build(CAPTIONS, min_count=99), "captions: no word is there 99"),
        (lambda v, p: v.encode(["a", "?!"]), r"captions: no word in '\?!'"),
        (lambda v, p: Vocabulary.load(p), "bad.json is damaged, or another kind of file"),
        (lambda v, p: Vocabulary.load(p.with_name("other.json")), "not a vocabulary: words: not"),
    ],
)
def test_bad_vocabularies(vocabulary, tmp_path, make, message):
    path = tmp_path / "bad.json"
    path.write_text('{"vocabulary": ["a"]}')
    (tmp_path / "other.json").write_text('{"words": ["A"]}')
    with pytest.raises(ValueError, match=message):
        make(vocabulary, path)


# Batches


def all_batches(batches):
    return [(x["features"].numpy(), x["words"].numpy(), y.numpy()) for x, y in batches.dataset]


def test_an_epoch_holds_every_caption_once_beside_its_image(vocabulary):
    rows = [3, 1, 0, 2]
    batches = CaptionBatches(FEATURES, CAPTIONS, vocabulary, batch_size=2, seed=0, rows=rows)
    assert batches.steps == 3
    seen = []
    for features, words, following in all_batches(batches):
        assert features.dtype == np.float32
        np.testing.assert_array_equal(words[:, 1:], following[:, :-1])
        assert (words[:, 0] == START).all()
        assert (following[:, -1] != PAD).any()  # no longer than its longest caption
        texts = vocabulary.decode(following)
        seen += [(tuple(x), text) for x, text in zip(features, texts, strict=True)]
    expected = [
        (tuple(FEATURES[row]), " ".join(clean(text)))
        for row, texts in zip(rows, CAPTIONS, strict=True)
        for text in texts
    ]
    assert sorted(seen) == sorted(expected)


def test_the_order_is_a_function_of_seed_and_epoch(vocabulary):
    texts = [["dog"] * 3] * 40
    features = np.arange(40, dtype=np.float32)[:, None]

    def order(seed, epoch):
        batches = CaptionBatches(features, texts, vocabulary, batch_size=8, seed=seed)
        set_epoch(epoch)
        return np.concatenate([x for x, _, _ in all_batches(batches)]).ravel().tolist()

    assert order(0, 1) == order(0, 1)
    assert order(0, 1) != order(0, 2)
    assert order(0, 1) != order(1, 1)
    assert sorted(order(0, 1)) == sorted(order(0, 2))


def test_captions_of_like_length_come_together(vocabulary):
    lengths = np.random.default_rng(0).integers(1, 30, 400)
    texts = [["dog " * n] for n in lengths]
    batches = CaptionBatches(np.zeros((400, 1)), texts, vocabulary, batch_size=8, seed=0)
    words = sum((y != PAD).sum() for _, _, y in all_batches(batches))
    places = sum(y.size for _, _, y in all_batches(batches))
    assert words == sum(lengths) + 400
    assert places < 1.05 * words


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": [0, 1]}, "rows: 2 rows, but captions of 4 images"),
        ({"rows": [0, 1, 2, 4]}, "rows: from 0 to 4, but features has 4"),
        ({"captions": [[]] * 4}, "captions: there is none"),
        ({"batch_size": 0}, "batch_size 0: at least 1"),
        ({"seed": None}, "seed None: it has to be a whole number"),
        ({"steps": 0}, "steps 0: at least 1"),
    ],
)
def test_bad_batches(vocabulary, changes, message):
    arguments = {"captions": CAPTIONS, "batch_size": 2, "seed": 0, **changes}
    with pytest.raises(ValueError, match=message):
        CaptionBatches(FEATURES, vocabulary=vocabulary, **arguments)


def test_one_long_caption_costs_no_memory(vocabulary):
    texts = [["dog"] for _ in range(20_000)] + [["dog " * 5_000]]
    tracemalloc.start()
    batches = CaptionBatches(np.zeros((20_001, 1)), texts, vocabulary, batch_size=8, seed=0)
    assert tracemalloc.get_traced_memory()[1] < 20e6  # 400 MB, if all were padded to the longest
    tracemalloc.stop()
    assert max(batches.lengths) == 5_002


def test_features_that_are_not_finite_stop_the_training(vocabulary):
    features = FEATURES.copy()
    features[2, 3] = np.nan
    batches = CaptionBatches(features, CAPTIONS, vocabulary, batch_size=2, seed=0)
    model = captioner(vocabulary)
    model.compile(run_eagerly=True)
    with pytest.raises(tf.errors.OpError, match="features: row 2 holds NaN"):
        model.fit(batches.dataset, verbose=0)


# The model


def test_whole_captions_are_the_same_as_a_row_for_each_word(vocabulary):
    """Logits and gradients of one pass, and those of every beginning with its next word."""
    model = captioner(vocabulary)
    numbers = vocabulary.encode([text for texts in CAPTIONS for text in texts])
    features = FEATURES[[0, 0, 1, 1, 2, 3]]
    with tf.GradientTape() as tape:
        logits = model({"features": features, "words": numbers[:, :-1]})
        loss = masked_cross_entropy(numbers[:, 1:], logits)
    gradients = tape.gradient(loss, model.trainable_variables)

    rows = [(i, n) for i, row in enumerate(numbers) for n in range(1, (row != PAD).sum())]
    following = np.array([numbers[i, n] for i, n in rows])
    with tf.GradientTape() as tape:
        predicted = []
        for i, n in rows:  # each beginning by itself, without any padding
            inputs = {"features": features[i : i + 1], "words": numbers[i : i + 1, :n]}
            predicted.append(model(inputs)[0, -1])
        predicted = tf.stack(predicted)
        each = keras.losses.sparse_categorical_crossentropy(following, predicted, True)
        loss_of_rows = tf.reduce_mean(each)
    of_rows = tape.gradient(loss_of_rows, model.trainable_variables)

    together = np.stack([logits[i, n - 1] for i, n in rows])
    np.testing.assert_allclose(together, predicted, atol=1e-5)
    np.testing.assert_allclose(loss, loss_of_rows, rtol=1e-6)
    for ours, theirs in zip(gradients, of_rows, strict=True):
        np.testing.assert_allclose(
            tf.convert_to_tensor(ours), tf.convert_to_tensor(theirs), atol=1e-5
        )


def test_the_loss_does_not_depend_on_padding(vocabulary):
    model = captioner(vocabulary)
    numbers = vocabulary.encode(["a dog runs", "water"])
    wide = np.pad(numbers, ((0, 0), (0, 9)))
    short, long = (
        masked_cross_entropy(x[:, 1:], model({"features": FEATURES[:2], "words": x[:, :-1]}))
        for x in (numbers, wide)
    )
    np.testing.assert_allclose(short, long, rtol=1e-6)


def test_one_word_at_a_time_gives_the_logits_of_the_whole_caption(vocabulary):
    model = captioner(vocabulary, dropout=0.5)
    words = vocabulary.encode(["a dog runs on grass", "a brown hat and water"])[:, :-1]
    whole = model({"features": FEATURES[:2], "words": words})
    memory, state = model.begin(tf.constant(FEATURES[:2]))
    for n in range(words.shape[1]):
        logits, state, _ = model.step(words[:, n], memory, state)
        np.testing.assert_allclose(logits, whole[:, n], atol=1e-5)


def trained(vocabulary, epochs, **options):
    model = captioner(vocabulary, **options)
    model.compile(keras.optimizers.Adam(0.03))
    batches = CaptionBatches(FEATURES, CAPTIONS, vocabulary, batch_size=3, seed=0)
    history = model.fit(batches.dataset, epochs=epochs, verbose=0).history
    return model, batches, history


@pytest.fixture(scope="module")
def learned(vocabulary):
    return trained(vocabulary, epochs=100)


def test_it_learns_captions(vocabulary, learned):
    model, _, history = learned
    assert history["loss"][-1] < 0.3 * history["loss"][0]
    captions = vocabulary.decode(generate(model, FEATURES).words)
    assert captions[2] == "water"
    assert captions[3] == "a dog and a man and a hat on the brown grass"
    assert captions[0] in ("a dog runs", "the brown dog runs on grass")


def test_the_same_images_are_captioned_after_each_epoch(vocabulary, capsys):
    model = captioner(vocabulary)
    model.compile()
    assert model.jit_compile is False  # XLA would compile each length, and fails on a GPU's loops
    model.run_eagerly = True
    batches = CaptionBatches(FEATURES, CAPTIONS, vocabulary, batch_size=3, seed=0)
    watch = captioning.PrintCaptions(FEATURES[:2], vocabulary)
    model.fit(batches.dataset, epochs=2, verbose=0, callbacks=[watch])
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines() if "\t" in line]
    assert [number for number, _ in lines] == ["1", "", "2", ""]
    last = vocabulary.decode(generate(model, FEATURES[:2], 1, 15).words)
    assert [caption for _, caption in lines[2:]] == last


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (np.zeros((2, 6)), r"features: shape \(2, 6\), but \(images, 5\)"),
        (np.zeros(5), r"features: shape \(5,\)"),
        (np.zeros((0, 5)), "features: of no image"),
    ],
)
def test_features_of_another_net(vocabulary, features, message):
    with pytest.raises(ValueError, match=message):
        generate(captioner(vocabulary), features)


def test_bad_data_for_fit(vocabulary):
    model = captioner(vocabulary)
    model.compile()
    plain = tf.data.Dataset.from_tensors(FEATURES)
    with pytest.raises(ValueError, match="CaptionBatches makes one"):
        model.fit(plain)
    larger = Vocabulary([*vocabulary.words[4:], "zebra"])
    batches = CaptionBatches(FEATURES, [["zebra"]] * 4, larger, batch_size=2, seed=0)
    with pytest.raises(ValueError, match="words: numbers from 2 to .*vocabulary of"):
        model.fit(batches.dataset)
    with pytest.raises(ValueError, match="feature_shape .*pooled features"):
        MergeCaptioner(10, (7, 7, 5))


# Decoding


def naive_greedy(model, features, max_length):
    numbers = [START]
    for n in range(max_length):
        words = np.array([numbers])
        logits = model({"features": features[None], "words": words})[0, -1].numpy()
        logits[[PAD, START, UNKNOWN]] = -np.inf
        if n == 0:
            logits[END] = -np.inf
        numbers.append(int(logits.argmax()))
        if numbers[-1] == END:
            break
    return numbers[1:]


def test_one_beam_is_greedy(learned):
    model, _, _ = learned
    made = generate(model, FEATURES, beams=1, max_length=7, batch_size=3)
    assert made.attention is None
    for i, row in enumerate(made.words):
        expected = naive_greedy(model, FEATURES[i], 7)
        assert row[: len(expected)].tolist() == expected
        assert not row[len(expected) :].any()


def test_many_beams_find_the_best_caption_of_all():
    """Against every caption of up to three words."""
    vocabulary = Vocabulary(["a", "b"])
    model = captioner(vocabulary, seed=3)
    model.logits.kernel.assign(4 * model.logits.kernel)
    endings = [[*words, END] for n in (1, 2) for words in itertools.product((4, 5), repeat=n)]
    endings += [list(words) for words in itertools.product((4, 5), repeat=3)]
    full = np.array([[*words, PAD][:3] for words in endings])
    inputs = np.concatenate([np.full((len(full), 1), START), full[:, :-1]], 1)
    made = {power: generate(model, FEATURES, 6, 3, power) for power in (0.0, 1.0)}
    for i, features in enumerate(FEATURES):
        logits = model({"features": np.repeat(features[None], len(full), 0), "words": inputs})
        chances = tf.gather(tf.nn.log_softmax(logits), full, batch_dims=2).numpy()
        totals = np.where(full == PAD, 0, chances).sum(1)
        for power in made:
            scores = totals / (full != PAD).sum(1) ** power
            assert made[power].words[i].tolist() == full[scores.argmax()].tolist()
            np.testing.assert_allclose(made[power].scores[i], scores.max(), rtol=1e-5)


def test_what_never_comes_out(vocabulary):
    model = captioner(vocabulary)
    bias = np.zeros(len(vocabulary), np.float32)
    bias[[PAD, START, END, UNKNOWN]] = 50
    model.logits.bias.assign(bias)
    words = generate(model, FEATURES, beams=2, max_length=4).words
    assert (words[:, 0] >= 4).all()
    assert (words[:, 1] == END).all()
    model.logits.kernel.assign(0 * model.logits.kernel)
    model.logits.bias.assign(0 * bias)  # all words are equal: the first one wins
    made = [generate(model, FEATURES, beams=3, max_length=4).words for _ in range(2)]
    np.testing.assert_array_equal(*made)
    assert (made[0] == made[0][0]).all()


def test_batches_do_not_change_the_captions(learned):
    model, _, _ = learned
    whole = generate(model, FEATURES, beams=3)
    each = [generate(model, FEATURES[[i]], beams=3) for i in range(4)]
    np.testing.assert_array_equal(whole.words, np.concatenate([x.words for x in each]))
    np.testing.assert_allclose(whole.scores, np.concatenate([x.scores for x in each]), rtol=1e-5)
    with pytest.raises(ValueError, match="beams 0"):
        generate(model, FEATURES, beams=0)


# Evaluation


def test_bleu_of_captions_shorter_than_four_words():
    same = ["two dogs", "a red bird sits on a tree", "surfing"]
    assert set(bleu([[text] for text in same], same).values()) == {1.0}
    # 3 of 4 words, 1 of 2 pairs, no three: of captions of 3 words and of 1.
    scores = bleu([["a black dog"], ["cats"]], ["a black cat", "cats"])
    assert scores["BLEU-1"] == pytest.approx(3 / 4)
    assert scores["BLEU-2"] == pytest.approx((3 / 4 * 1 / 2) ** 0.5)
    assert scores["BLEU-3"] == 0


def test_captions_that_are_no_lists_are_refused():
    with pytest.raises((TypeError, ValueError), match="list"):
        CaptionBatches(np.zeros((2, 3)), ["dog", "cat"], Vocabulary(["dog"]), batch_size=2, seed=0)


def test_bleu_is_that_of_the_paper():
    scores = bleu([["A cat sat on the mat .", "the cat is there"]], ["the the cat sat on"])
    # 1-grams the (1 at most in a reference, and 1), cat, sat, on: 4 of 5; 2-grams: 3 of 4 ...
    assert scores["BLEU-1"] == pytest.approx(4 / 5)
    assert scores["BLEU-2"] == pytest.approx((4 / 5 * 3 / 4) ** 0.5)
    assert scores["BLEU-3"] == pytest.approx((4 / 5 * 3 / 4 * 1 / 3) ** (1 / 3))
    assert scores["BLEU-4"] == 0
    assert bleu([["a dog"]], ["cat"])["BLEU-1"] == 0
    long = bleu([["one two three four five six"]], ["one two three"])["BLEU-1"]
    assert long == pytest.approx(np.exp(1 - 6 / 3))


def drawn_captions(count=60):
    """One caption of each scene, of which some are of other scenes, and four references."""
    texts = [scenes.describe(scenes.compose(i)) for i in range(count)]
    captions = [texts[i if i % 3 else i - 1][0] for i in range(count)]
    return [x[1 : 3 + i % 3] for i, x in enumerate(texts)], captions


def test_cider_and_rouge_are_those_of_the_coco_caption_code():
    references, captions = drawn_captions()
    values = captioning.cider(references, captions), captioning.rouge_l(references, captions)
    assert values == pytest.approx(COCO_VALUES, abs=1e-4)
    assert captioning.cider(references, [x[0] for x in references]) > 4
    assert captioning.rouge_l([["a dog runs"]], ["a dog runs"]) == pytest.approx(1)
    assert captioning.rouge_l([["a dog"]], ["cats"]) == 0


def test_the_coco_caption_code_itself():
    """Gives `COCO_VALUES`; of the development extra, so that it may be missing."""
    scorer = pytest.importorskip("pycocoevalcap.cider.cider_scorer").CiderScorer()
    rouge = pytest.importorskip("pycocoevalcap.rouge.rouge").Rouge()
    references, captions = drawn_captions()
    references = [[" ".join(clean(text)) for text in texts] for texts in references]
    captions = [" ".join(clean(text)) for text in captions]
    for caption, texts in zip(captions, references, strict=True):
        scorer += (caption, texts)
    score, _ = rouge.compute_score(
        dict(enumerate(references)), {i: [text] for i, text in enumerate(captions)}
    )
    assert (scorer.compute_score()[0], score) == pytest.approx(COCO_VALUES, abs=1e-5)


def test_variety():
    vocabulary = Vocabulary(["a", "dog", "cat", "runs"])
    found = captioning.variety(["A dog .", "a dog", "a dog runs"], vocabulary)
    assert found == pytest.approx({"distinct": 2 / 3, "length": 7 / 3, "unused": 1 / 4})
    with pytest.raises(ValueError, match="captions: none"):
        captioning.variety([], vocabulary)
    scores = captioning.all_scores([["a dog runs fast"]] * 2, ["a dog runs fast"] * 2, vocabulary)
    assert list(scores) == ["BLEU-4", "CIDEr-D", "ROUGE-L", "distinct", "length", "unused"]
    assert scores["BLEU-4"] == scores["ROUGE-L"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("references", "captions", "message"),
    [
        ([["a"]], [], "captions: 0 for 1 images"),
        ([["a"]], ["a", "b"], "captions: 2 for 1 images"),
        ([["a"], []], ["a", "b"], r"references: no list of captions for the images \[1\]"),
        (["a dog"], ["a dog"], "references: no list"),
    ],
)
def test_bad_references(references, captions, message):
    if captions:
        with pytest.raises(ValueError, match="captions: .* is one text"):
            bleu(references, captions[0])
        with pytest.raises(ValueError, match="captions: .* is one text"):
            captioning.variety(captions[0], captioning.Vocabulary(["dog"]))
    for score in (bleu, captioning.cider, captioning.rouge_l):
        with pytest.raises(ValueError, match=message):
            score(references, captions)


def test_baselines():
    captions = [["A dog .", "b"], ["B!"], ["c"]]
    assert captioning.most_frequent_caption(captions) == "b"
    features = np.array([[1, 0], [0, 1], [-1, 0]], np.float32)
    found = captioning.nearest_captions(features, captions, 5 * features[[2, 0]])
    assert found == ["c", "A dog ."]
    spatial = np.stack([features, features], 1)[:, None].astype(np.float16)  # (3, 1, 2, 2)
    assert captioning.nearest_captions(spatial, captions, spatial[1:]) == ["B!", "c"]
    for wrong in (captions[:2], [*captions, ["d"]]):
        with pytest.raises(ValueError, match=rf"those of {len(wrong)} images, .* are of 3"):
            captioning.nearest_captions(features, wrong, features)


# A captioner in one folder


@pytest.fixture(scope="module")
def saved(vocabulary, learned, tmp_path_factory):
    keras.utils.set_random_seed(0)
    inputs = keras.Input((8, 8, 3))
    network = keras.Model(inputs, layers.Dense(5)(layers.GlobalAveragePooling2D()(inputs)))
    model, _, _ = learned
    folder = tmp_path_factory.mktemp("saved") / "captioner"
    Captioner(model, vocabulary, ImageCaptionFeatureExtractor(network)).save(folder)
    return folder


PHOTOS = np.random.default_rng(0).integers(0, 256, (3, 9, 7, 3), np.uint8)


def test_a_saved_captioner_captions_in_a_fresh_process(saved, tmp_path):
    captions = Captioner.load(saved).caption(PHOTOS)
    assert len(captions) == 3
    assert all(captions)
    keras.utils.save_img(tmp_path / "photo.png", PHOTOS[0], scale=False)
    code = (
        "from recipes.captioning import Captioner\n"
        f"print(Captioner.load({str(saved)!r}).caption([{str(tmp_path / 'photo.png')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert not done.returncode, done.stderr
    assert done.stdout.strip() == str(captions[:1])


@pytest.mark.parametrize("kind", ["path", "pillow", "array", "tensor", "list", "batch"])
def test_one_image_of_any_kind(saved, tmp_path, kind):
    image = PHOTOS[0]
    Image.fromarray(image).save(tmp_path / "photo.png")
    made = {
        "path": str(tmp_path / "photo.png"),
        "pillow": Image.fromarray(image),
        "array": image,
        "tensor": tf.constant(image),
        "list": [Image.fromarray(image)],
        "batch": tf.constant(image[None]),
    }[kind]
    captioner = Captioner.load(saved)
    assert captioner.caption(made) == captioner.caption([image])


def test_a_full_disk_while_saving(saved, tmp_path, monkeypatch):
    folder, loaded = tmp_path / "captioner", Captioner.load(saved)
    loaded.save(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(path):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(loaded.extractor, "save", full)
    with pytest.raises(OSError, match=r"cannot write .*captioner: No space .* unchanged"):
        loaded.save(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_saving_again_replaces_a_captioner_and_nothing_else(saved, tmp_path):
    loaded = Captioner.load(saved)
    before = sorted(path.name for path in saved.iterdir())
    (saved / "captioner.keras.bak").write_bytes(b"mine")
    loaded.save(saved)
    (saved / "captioner.keras.bak").unlink()
    assert sorted(path.name for path in saved.iterdir()) == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds no captioner: give another folder"):
        loaded.save(tmp_path)


def test_parts_that_do_not_go_together(saved, vocabulary, tmp_path):
    loaded = Captioner.load(saved)
    larger = Vocabulary([*vocabulary.words[4:], "zebra"])
    with pytest.raises(ValueError, match="that of another model"):
        Captioner(loaded.model, larger, loaded.extractor)
    other = MergeCaptioner(len(vocabulary), (6,), width=2, embedding=2)
    with pytest.raises(ValueError, match="extractor: its features have the shape"):
        Captioner(other, vocabulary, loaded.extractor)
    with pytest.raises(FileNotFoundError, match="there is no captioner in"):
        Captioner.load(tmp_path)
    folder = tmp_path / "copy"
    loaded.save(folder)
    Vocabulary(sorted(vocabulary.words[4:], reverse=True)).save(folder / "vocabulary.json")
    with pytest.raises(ValueError, match="vocabulary of another captioner"):
        Captioner.load(folder)
    (folder / "captioner.json").write_text(json.dumps({}))
    with pytest.raises(ValueError, match="captioner.json is damaged"):
        Captioner.load(folder)
    loaded.save(folder)
    (folder / "captioner.keras").write_bytes(b"no model")
    with pytest.raises(ValueError, match="captioner.keras cannot be loaded"):
        Captioner.load(folder)


@pytest.mark.parametrize(
    "use",
    [
        captioning.Vocabulary.build,
        captioning.most_frequent_caption,
        lambda captions: captioning.nearest_captions(np.eye(2), captions, np.eye(2)),
    ],
)
@pytest.mark.parametrize("captions", [["a dog", "a cat"], "a dog"])
def test_texts_are_not_taken_for_lists_of_captions(use, captions):
    with pytest.raises(ValueError, match="captions: a list for each image is needed"):
        use(captions)


def test_numbers_that_no_word_has():
    vocabulary = captioning.Vocabulary(["dog"])
    for row in ([1, -1], [1, 5]):
        with pytest.raises(ValueError, match=rf"numbers: \[{row[1]}\], but the words have 0 to 4"):
            vocabulary.decode([row])
    for bad in (0, -1, 1.5):
        with pytest.raises(ValueError, match=f"max_words {bad}: at least 1"):
            captioning.Vocabulary.build([["a dog"]], max_words=bad)


def test_capitals_whose_small_letter_has_a_character_of_its_own():
    assert captioning.Vocabulary.build([["a J\u030c sign"]], 1).words[4:] == ("a", "sign", "\u01f0")
