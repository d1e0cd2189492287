"""Mistakes that users make: each is told in their terms, before anything is lost."""

import resource
import signal
import subprocess
import sys
import unicodedata
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers
from PIL import Image, PngImagePlugin
from toyworlds import landscapes, scenes, streets

from recipes import attacks, fgsm, metrics, plotting, segmentation
from recipes.captioning import (
    CaptionBatches,
    PrintCaptions,
    TransformerCaptioner,
    Vocabulary,
    evaluation,
)
from recipes.captioning.feature_file import Features
from recipes.datasets import cityscapes, flickr8k, image_files
from recipes.datasets.captions import CaptionedImages, split_by_image
from recipes.datasets.download import download
from recipes.datasets.files import InUseError
from recipes.datasets.image_array import ImageArray
from recipes.dcgan import DCGAN
from recipes.ssgan import SSGAN
from recipes.training.batches import Batches, semi_supervised
from recipes.training.callback_state import remembered, seen
from recipes.training.callbacks import ImageGrid
from recipes.training.resume import Resume
from recipes.translation import translate
from tests import small, tiny
from tests.recipe_table import IMAGES as IMAGES28
from tests.recipe_table import RECIPES
from tools import colab, common

IMAGES, LABELS = tiny.images(8), np.arange(8) % 4
BATCHES = Batches(IMAGES, batch_size=4, seed=0)
VOCABULARY = Vocabulary(["a", "dog"])
DATA = CaptionedImages([Path(f"{i}.jpg") for i in range(4)], [["a dog"]] * 4)
FEATURES = Features(np.zeros((4, 3), np.float32), DATA.paths)
ATTENTION = np.full((2, 4), 0.25)


class OneName(keras.callbacks.Callback):
    remembered = "seconds"


class Names(keras.callbacks.Callback):
    remembered = ("names",)
    names = frozenset("a")


def some_batches():
    yield tiny.images(4)


def classifier(activation=None):
    return keras.Sequential(
        [keras.Input(IMAGES.shape[1:]), layers.Flatten(), layers.Dense(4, activation)]
    )


def adversarial(loss):
    model = fgsm.AdversarialTraining(classifier(), epsilon=0.1)
    model.compile("adam", loss)
    model.fit(IMAGES, LABELS, verbose=0)


def attacked(data, **options):
    return attacks.accuracy_under_attack(classifier(), data, [0.1], fgsm.fgsm, **options)


def dataset(*parts):
    return tf.data.Dataset.from_tensor_slices(parts).batch(4)


CLEAR = {
    # what a training is given
    "fit of Batches": (
        lambda: RECIPES["dcgan"].make().fit(BATCHES),
        "^Batches: pass its .dataset",
    ),
    "Resume of a dataset": (
        lambda: Resume("ck", BATCHES.dataset),
        r"batches: a \w+, but the `Batches` themselves",
    ),
    "Resume of a list": (lambda: Resume("ck", [BATCHES, BATCHES]), "batches: a list, but"),
    "semi_supervised of datasets": (
        lambda: semi_supervised(BATCHES.dataset, BATCHES.dataset),
        "but `Batches` are needed",
    ),
    "Batches of a dataset": (
        lambda: Batches(BATCHES.dataset, batch_size=4, seed=0),
        "arrays: a tf.data.Dataset has batches of its own",
    ),
    "Batches of two sizes": (
        lambda: Batches([np.zeros((8, 8, 3)), np.zeros((8, 9, 3))], batch_size=1, seed=0),
        r"rows of several shapes, \[\(8, 8, 3\), \(8, 9, 3\)\]",
    ),
    "networks exchanged": (
        lambda: DCGAN(tiny.critic(), tiny.generator()),
        "generator: it takes .* the order is generator, discriminator",
    ),
    "networks of SSGAN exchanged": (
        lambda: SSGAN(tiny.critic(4), tiny.generator()),
        "the order is generator, classifier",
    ),
    "a generator that is not called": (
        lambda: RECIPES["dcgan"].make().fit(some_batches),
        "some_batches: a function; call it",
    ),
    "a dataset of unknown axes": (
        lambda: RECIPES["dcgan"].make().fit(
            tf.data.Dataset.range(2).map(
                lambda i: tf.numpy_function(lambda i: tiny.images(4), [i], tf.float32)
            )
        ),
        r"map them with tf\.ensure_shape",
    ),
    "labels of unknown columns": (
        lambda: RECIPES["adversarial"].make().fit(
            tf.data.Dataset.from_generator(
                lambda: iter([(IMAGES28, np.arange(8)[:, None])]),
                output_signature=(
                    tf.TensorSpec((None, 28, 28, 1)),
                    tf.TensorSpec((None, None), tf.int64),
                ),
            )
        ),
        "labels: the dataset says of their shape only",
    ),
    "a set to be remembered": (lambda: seen([Names()]), r"Names\.names .* JSON cannot hold"),
    "remembered without its comma": (lambda: remembered(OneName()), "'seconds', but a tuple"),
    "half a step": (lambda: RECIPES["dcgan"].make().interpolate(2.5), "^steps 2.5"),
    "a walk without a seed": (
        lambda: RECIPES["dcgan"].make().interpolate(4, seed=-1),
        "^seed -1",
    ),
    "the whole GAN translates": (
        lambda: translate(RECIPES["pix2pix"].make(), np.zeros((8, 8, 3), np.uint8)),
        "generator: a whole Pix2Pix; call its translate",
    ),
    # captions
    "features of others": (
        lambda: CaptionBatches(
            FEATURES.array, DATA.captions[:3], VOCABULARY, batch_size=1, seed=0
        ),
        "captions: those of 3 images, but features has 4 rows: pass rows=",
    ),
    "half a caption": (
        lambda: CaptionBatches(FEATURES.array, DATA.captions, VOCABULARY, batch_size=2.5, seed=0),
        "^batch_size 2.5",
    ),
    "encode of a text": (lambda: VOCABULARY.encode("dog"), "captions: a list is needed, but 'dog'"),
    "decode of a row": (lambda: VOCABULARY.decode(np.array([4, 5])), r"shape \(2,\), but"),
    "build of tokens": (lambda: Vocabulary.build([[["a", "dog"]]]), "is no text; join words"),
    "bleu of tokens": (lambda: evaluation.bleu([[["a"]]], ["a"]), "is no text; join words"),
    "rows of one path": (lambda: FEATURES.rows("0.jpg"), "paths: a list is needed, but 0.jpg"),
    "rows of one Path": (lambda: FEATURES.rows(Path("0.jpg")), "paths: a list is needed"),
    "boxes in pixels": (
        lambda: evaluation.attention_in_boxes(
            ["a", "dog"], ATTENTION, (2, 2), [("dog", (0, 0, 48, 32))], {"dog": ["dog"]}
        ),
        "boxes: they are in pixels, but fractions",
    ),
    "take with a mask": (lambda: DATA.take([True] * 4), "np.flatnonzero"),
    "take with an array": (lambda: DATA.take(np.ones(4, bool)), "np.flatnonzero"),
    "one share": (lambda: split_by_image(DATA, 0.8), "shares must be above 0 and make 1"),
    # attacks
    "true labels as targets": (lambda: attacked((IMAGES, LABELS), targeted=True), "^targeted: "),
    "an endless dataset": (
        lambda: attacked(dataset(IMAGES, LABELS).repeat()),
        "dataset: it never ends",
    ),
    "weights": (
        lambda: attacked(dataset(IMAGES, LABELS, np.ones(8))),
        r"batches of 3 parts, but \(images, labels\)",
    ),
    "integers in 0 to 255": (
        lambda: fgsm.fgsm(classifier(), np.uint8(IMAGES > 0), epsilon=1, bounds=(0, 255)),
        r'images.astype\("float32"\)',
    ),
    "logits taken for probabilities": (
        lambda: adversarial("sparse_categorical_crossentropy"),
        "loss: the model gives logits",
    ),
    "a name missing": (
        lambda: fgsm.save_images("x", IMAGES, ["a"] * 7, [1] * 8, 0.1),
        "^images: 8, but 7 names and 8 confidences",
    ),
    # measures
    "per cent": (lambda: metrics.confident_share(np.eye(3), 90), "^threshold 90"),
    "classes in per cent": (lambda: metrics.class_coverage(np.eye(3), 2), "^share 2"),
    "no evaluator": (
        lambda: metrics.evaluate_images(classifier("softmax"), IMAGES, IMAGES),
        "^evaluator: a model of 1 outputs",
    ),
    "domains of two sizes": (
        lambda: metrics.train_domain_evaluator(tiny.images(4, 3), np.zeros((4, 9, 9, 3))),
        r"^second: shape \(4, 9, 9, 3\)",
    ),
    "odd sides": (
        lambda: segmentation.train_segmenter(np.zeros((2, 15, 15, 3)) - 1, np.zeros((2, 15, 15))),
        "even sides are needed",
    ),
    # figures
    "curves alone": (lambda: plotting.show_curves({"loss": [1, 2]}), "^panels: 'loss' needs"),
    "no curves": (lambda: plotting.show_curves({}), "^panels: "),
    "a reference for nothing": (
        lambda: plotting.show_curves({"a": ("y", {"b": [1]})}, references={"c": {"d": 1}}),
        "^panels: ",
    ),
    "counts without minlength": (lambda: plotting.show_counts([1, 2], "abc", "t"), "2 for 3 names"),
    "spectra of two sizes": (
        lambda: plotting.show_spectrum({"a": IMAGES}, np.zeros((2, 4, 4, 1))),
        r"^a: shape \(8, 8, 8, 1\), but real has \(2, 4, 4, 1\)",
    ),
    "an attack without titles": (
        lambda: plotting.show_attack(IMAGES, IMAGES, ["a"], ["b"]),
        "1 titles, 1 attacked_titles: they have to agree",
    ),
    "another grid": (
        lambda: plotting.show_attention(np.zeros((8, 8, 3)), ["a"], ATTENTION, (7, 7)),
        r"^grid \(7, 7\), but attention has the shape \(1, 4\)",
    ),
    "no grid's name": (lambda: plotting.show_training(["walk.png"]), r"end in an epoch: \['walk"),
    "a mosaic of two sizes": (
        lambda: plotting.mosaic([np.zeros((8, 8, 3)), np.zeros((8, 9, 3))]),
        "images: of several shapes",
    ),
    "fewer images than stops": (
        lambda: plotting.show_slider([np.zeros((8, 8, 3))], ["1", "2"], "epoch"),
        "^epoch: 1 images and 2 labels",
    ),
    # files
    "a folder to download to": (lambda: download("http://x/y", "folder/"), "^path folder/: a fold"),
    "md5 for sha256": (lambda: download("http://x/y", "f", "0" * 32), "^sha256 '0+': 64 hexadec"),
    "bytes as a text": (lambda: download("http://x/y", "f", size="5000"), "^size '5000'"),
    # drawings
    "a street": (lambda: streets.scene(-1), "^seed -1"),
    "a night": (lambda: streets.scene(1, day="night"), "day='night' is unknown"),
    "a landscape": (lambda: landscapes.landscape(-1), "^seed -1"),
    "a scene": (lambda: scenes.draw(-1), "^seed -1"),
}  # fmt: skip


@pytest.mark.parametrize("mistake", CLEAR)
def test_a_mistake_is_told(mistake, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    act, message = CLEAR[mistake]
    with pytest.raises(ValueError, match=message):
        act()
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_network_frozen_by_hand_is_told():
    # The classic loop freezes the discriminator while the generator learns.
    gan = RECIPES["dcgan"].make()
    gan.discriminator.trainable = False
    with pytest.raises(
        ValueError, match=r"^discriminator: 0 of its weights .* none need be frozen"
    ):
        gan.fit(IMAGES, verbose=0)
    gan.discriminator.trainable = True
    gan.fit(IMAGES, verbose=0)


def test_a_precision_that_would_need_loss_scaling_is_refused():
    gan = RECIPES["dcgan"].make()
    keras.config.set_dtype_policy("mixed_float16")
    try:
        with pytest.raises(ValueError, match="mixed_float16: small gradients .* mixed_bfloat16"):
            gan.compile()
    finally:
        keras.config.set_dtype_policy("float32")


def test_weights_that_were_put_in_are_those_that_generate():
    good, gan = tiny.generator(), DCGAN(tiny.generator(), tiny.critic(), ema_decay=0.9)
    gan.generator.set_weights(good.get_weights())
    expected = DCGAN(good, tiny.critic()).generate(4, seed=0)
    np.testing.assert_array_equal(gan.generate(4, seed=0), expected)


def test_probabilities_pass_with_a_loss_of_probabilities():
    model = fgsm.AdversarialTraining(classifier("softmax"), epsilon=0.1)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(IMAGES, LABELS, verbose=0)
    adversarial(keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    adversarial(
        lambda y, logits: keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True)
    )


def test_a_pair_of_odd_width_is_named(tmp_path):
    plotting.save_png(np.zeros((8, 17, 3), np.uint8), tmp_path / "odd.png")
    with pytest.raises(ValueError, match=r"odd.png.* its width 17 is odd"):
        ImageArray([tmp_path / "odd.png"], 8, half="left")[0]


def test_colours_may_be_a_dict_and_maps_in_0_1_are_told():
    _, labels = streets.scene(1, 32)
    ids = segmentation.label_ids(labels[None], cityscapes.COLOURS)
    expected = segmentation.label_ids(labels[None], list(cityscapes.COLOURS.values()))
    np.testing.assert_array_equal(ids, expected)
    with pytest.warns(UserWarning, match=r"label maps: no value is below 0, so .* \[0, 1\]"):
        segmentation.label_ids(labels[None] / np.float32(255), cityscapes.COLOURS)


def test_the_captions_of_the_nearest_take_lists():
    rows = np.eye(3)
    assert evaluation.nearest_captions(list(rows), [["a"], ["b"], ["c"]], list(rows[::-1])) == [
        "c", "b", "a",
    ]  # fmt: skip


def test_jpegs_as_windows_names_them_are_found(tmp_path):
    plotting.save_png(np.zeros((8, 8, 3), np.uint8), tmp_path / "a.png")
    (tmp_path / "a.png").rename(tmp_path / "a.jfif")
    assert image_files.find(tmp_path) == [tmp_path / "a.jfif"]


def test_grey_and_float_images_are_saved(tmp_path):
    plotting.save_png(np.zeros((8, 8, 1)), tmp_path / "grey.png")
    assert (image_files.read(tmp_path / "grey.png") == 128).all()
    plotting.save_gif(list(IMAGES[:2]), tmp_path / "film.gif")
    assert image_files.read(tmp_path / "film.gif").shape == (8, 8, 3)


@pytest.mark.parametrize(
    "url",
    [
        "https://github.com/me/repo.git", "https://github.com/me/repo/", "git@github.com:me/repo",
        "ssh://git@github.com:22/me/repo.git",
    ],
)  # fmt: skip
def test_any_address_of_a_remote_is_understood(tmp_path, monkeypatch, url):
    class Done:
        stdout = url + "\n"

    monkeypatch.setattr(colab.subprocess, "run", lambda *_, **__: Done)
    assert colab.remote(tmp_path) == "me/repo"


def test_a_checkpoint_of_other_images_is_refused(tmp_path):
    def resume(images):
        recipe = RECIPES["dcgan"]
        batches = Batches(
            images, batch_size=4, seed=0, transform=lambda x, seed: tf.cast(x, tf.float32) / 255
        )
        gan, stop = recipe.make(), Resume(tmp_path / "checkpoints", batches)
        done = stop.restore(gan)
        gan.fit(batches.dataset, epochs=1, initial_epoch=done, callbacks=[stop], verbose=0)

    bytes_ = np.uint8((IMAGES + 1) * 127.5)
    resume(bytes_)
    resume(bytes_)
    with pytest.raises(ValueError, match=r"other settings:\n  batches.0.first_rows.0: there \d+"):
        resume(bytes_[::-1])


def test_a_png_may_hold_much_text(tmp_path):
    info = PngImagePlugin.PngInfo()
    info.add_text("graph", "x" * 2_000_000, zip=True)
    Image.fromarray(np.full((4, 4, 3), 9, np.uint8)).save(tmp_path / "a.png", pnginfo=info)
    assert (image_files.read(tmp_path / "a.png") == 9).all()


def test_photos_in_a_format_that_is_not_read_are_said_to_be_left_out(tmp_path):
    Image.fromarray(np.full((4, 4, 3), 9, np.uint8)).save(tmp_path / "a.png")
    (tmp_path / "b.HEIC").touch()
    with pytest.warns(UserWarning, match=r"1 files that cannot be read here, such as b\.HEIC"):
        assert image_files.find(tmp_path) == [tmp_path / "a.png"]


def test_a_grid_does_not_write_over_the_images_of_others(tmp_path):
    path = tmp_path / "epoch-0001.png"
    Image.fromarray(np.full((4, 4, 3), 9, np.uint8)).save(path)
    before, gan = path.read_bytes(), RECIPES["dcgan"].make()
    grid = ImageGrid(lambda gan: gan.generate(2, seed=0), tmp_path)
    with pytest.raises(ValueError, match=r"epoch-0001\.png is an image that no ImageGrid wrote"):
        gan.fit(IMAGES, epochs=1, callbacks=[grid], verbose=0)
    assert path.read_bytes() == before


def test_a_drawn_folder_that_has_lost_an_image_is_drawn_again(tmp_path):
    folder = landscapes.draw(tmp_path / "drawn", train=2, test=1, size=32)
    (folder / "trainA/0001.jpg").unlink()
    landscapes.draw(folder, train=2, test=1, size=32)
    assert (folder / "trainA/0001.jpg").is_file()


def test_captions_to_print_are_those_of_the_captioner():
    vocabulary = Vocabulary(["a", "dog", "runs", "cat", "sits"])
    model = TransformerCaptioner(len(vocabulary), (4, 8), width=8, heads=2, blocks=1, max_length=6)
    model.compile()
    features = np.zeros((2, 4, 8), np.float32)
    batches = CaptionBatches(
        features, [["a dog runs"], ["a cat sits"]], vocabulary, batch_size=1, seed=0
    )
    for wrong, message in (
        (PrintCaptions(np.zeros((2, 9, 8), np.float32), vocabulary), "features: shape"),
        (PrintCaptions(features, Vocabulary(["a"])), "vocabulary: 5 words, but .* for 9"),
    ):
        with pytest.raises(ValueError, match=message):
            model.fit(batches.dataset, callbacks=[wrong], verbose=0)
        assert not int(model.optimizer.iterations)

    long = [["a dog runs"], ["a cat sits", "a dog runs a cat sits a dog runs"]]
    batches = CaptionBatches(features, long, vocabulary, batch_size=1, seed=0)
    with pytest.raises((ValueError, tf.errors.InvalidArgumentError), match="max_length"):
        model.fit(batches.dataset, verbose=0)


def test_a_grid_does_not_write_over_a_film_either_nor_after_a_restart(tmp_path):
    def run(epochs, *callbacks):
        batches, dataset = tiny.unlabelled()
        gan, resume = RECIPES["dcgan"].make(), Resume(tmp_path / "checkpoints", *batches)
        done = resume.restore(gan)
        gan.fit(
            dataset, epochs=epochs, initial_epoch=done, callbacks=[resume, *callbacks], verbose=0
        )

    run(1)
    for name in ("training.gif", "epoch-0002.png"):
        path = tmp_path / name / name
        path.parent.mkdir()
        path.write_bytes(b"mine")
        with pytest.raises(ValueError, match=f"{name} is an image that no ImageGrid wrote"):
            run(2, ImageGrid(lambda gan: gan.generate(2, seed=0), path.parent))
        assert path.read_bytes() == b"mine"


def test_two_processes_do_not_draw_into_one_folder(tmp_path):
    grid = ImageGrid(lambda gan: gan.generate(2, seed=0), tmp_path / "grid")
    program = (
        "import sys; from recipes.datasets.files import hold; "
        "hold(sys.argv[1]); print(flush=True); sys.stdin.read()"
    )
    command = [sys.executable, "-c", program, tmp_path / "grid"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(InUseError, match=f"in use by process {other.pid}"):
            RECIPES["dcgan"].make().fit(tiny.images(8), callbacks=[grid], verbose=0)
        other.stdin.close()
    RECIPES["dcgan"].make().fit(tiny.images(8), callbacks=[grid], verbose=0)
    assert sorted(path.name for path in tmp_path.rglob("*")) == [
        "epoch-0001.png", "grid", "training.gif"
    ]  # fmt: skip


def test_what_a_grid_cannot_show_is_told_before_the_first_step(tmp_path):
    gan = RECIPES["dcgan"].make()
    grid = ImageGrid(lambda gan: np.zeros((2, 8, 8, 1), np.int64), tmp_path)
    with pytest.raises(ValueError, match="dtype int64"):
        gan.fit(tiny.images(8), callbacks=[grid], verbose=0)
    assert not int(gan.optimizer.iterations)


@pytest.mark.parametrize("name", ["adversarial", "merge"])
def test_weights_that_are_nan_stop_a_training_whose_loss_is_finite(name):
    if name == "merge":
        features = np.random.default_rng(0).normal(size=(16, 5)).astype("float32")
        features[12] = np.nan  # in the second batch: the first one is looked at
        words = np.tile([[1, 4, 5, 2]], (16, 1))
        x, y = {"features": features, "words": words[:, :-1]}, words[:, 1:]
    else:
        x, y = IMAGES28.copy(), np.arange(8)
        x[6, 3, 3] = np.nan
    with pytest.raises(FloatingPointError, match="weights that are NaN or infinite"):
        RECIPES[name].make().fit(x, y, batch_size=4, epochs=2, shuffle=False, verbose=0)


def test_a_log_goes_on_under_another_spelling_of_its_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    small.train(tmp_path / "checkpoints", 2, [keras.callbacks.CSVLogger("log.csv")])
    small.train(tmp_path / "checkpoints", 3, [keras.callbacks.CSVLogger(tmp_path / "log.csv")])
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["epoch", "0", "1", "2"]


def test_a_model_that_cannot_be_saved_leaves_the_file_of_before(tmp_path):
    gan, path = RECIPES["dcgan"].make(), tmp_path / "gan.keras"
    gan.save(path)
    before = path.read_bytes()
    old, most = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, most))  # as a full disk does
    try:
        with pytest.raises(OSError, match=r"cannot write .*gan\.keras"):
            gan.save(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (old, most))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["gan.keras"]


def test_a_full_disk_is_told_with_the_file_of_a_log():
    with pytest.raises(OSError, match=r"cannot write /dev/full: .*Make room"):
        small.line().fit(
            small.points().dataset, callbacks=[keras.callbacks.CSVLogger("/dev/full")], verbose=0
        )


def test_a_caption_without_end_is_told():
    features, captions = np.zeros((2, 3), np.float32), [["a dog"], ["dog " * 500]]
    with pytest.warns(UserWarning, match=r"one has 502 words.*'dog dog"):
        CaptionBatches(features, captions, VOCABULARY, batch_size=2, seed=0)


def test_names_that_macos_has_decomposed(tmp_path):
    decomposed = unicodedata.normalize("NFD", "tür")
    (tmp_path / decomposed).mkdir()
    assert image_files.find_split(tmp_path, "tür") == tmp_path / decomposed
    features = Features(np.zeros((1, 3), np.float32), [Path(f"{decomposed}/a.png")])
    assert features.rows(["tür/a.png"]) == [0]


def test_an_output_folder_in_the_home_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert common.environment("~/out")["RECIPES_OUTPUT_DIR"] == str(tmp_path / "out")


def test_no_advice_leads_in_a_circle(tmp_path):
    (tmp_path / "bad.jpg").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"Repair or remove them\.$"):
        ImageArray([tmp_path / "bad.jpg"], 8)[[0]]


def test_a_box_file_of_zeros_is_not_read_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(flickr8k, "MAX_BYTES", 1000)
    (tmp_path / flickr8k.BOX_FILE).write_bytes(b"image,phrase\n" + bytes(2000))
    with pytest.raises(ValueError, match="has more than 1,000 bytes"):
        flickr8k.boxes(tmp_path)


def test_floatx_is_float32(monkeypatch):
    monkeypatch.setattr(keras.config, "floatx", lambda: "float64")
    with pytest.raises(ValueError, match="floatx 'float64', but the recipes need 'float32'"):
        DCGAN(tiny.generator(), tiny.critic())
