"""Features of photos: that they are right, survive a kill, and are never of something else."""

import copy
import json
import os
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

import recipes  # noqa: F401  first, as in a notebook: it sets how TensorFlow starts
from recipes.captioning import feature_file
from recipes.captioning.features import ImageCaptionFeatureExtractor
from recipes.datasets import image_files, scale
from recipes.datasets.files import MissingDataError

SIZE = (8, 12)
FILES = ["features.json", "features.npy"]


def net_of(seed=0, channels=5, gain=1.0):
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((*SIZE, 3))
    maps = layers.Conv2D(channels, 3, 2, "same", name="maps")(inputs) * gain
    x = layers.Dense(6, "relu", name="pooled")(layers.GlobalAveragePooling2D()(maps))
    return keras.Model(inputs, layers.Dense(3, "softmax")(x))


NET = net_of()


def extractor(output_path=None, network=NET, batch_size=4, **options):
    return ImageCaptionFeatureExtractor(network, output_path, batch_size=batch_size, **options)


EXTRACT = extractor()


def extractor_of(output_path):
    """As `extractor`, without compiling the network once more."""
    made = copy.copy(EXTRACT)
    made.output_path = Path(output_path) if output_path else None
    return made


def write_photos(folder, count=22):
    rng = np.random.default_rng(0)
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        shape = (rng.integers(6, 40), rng.integers(6, 40), 3)
        Image.fromarray(rng.integers(0, 256, shape, np.uint8)).save(folder / f"{i:02}.png")
    return image_files.find(folder)


@pytest.fixture
def paths(tmp_path):
    return write_photos(tmp_path / "photos")


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out" / "features"


@pytest.fixture
def run_counts(monkeypatch):
    """How many photos have gone through a network."""
    counts = []
    predict = ImageCaptionFeatureExtractor._predict
    monkeypatch.setattr(
        ImageCaptionFeatureExtractor,
        "_predict",
        lambda self, batch: counts.append(len(batch)) or predict(self, batch),
    )
    return counts


def plain(paths, layer):
    """The same by Keras alone, image by image."""
    model = keras.Model(NET.input, NET.get_layer(layer).output)
    return np.concatenate([model(scale(image_files.load([path], SIZE))) for path in paths])


def files(folder):
    return sorted(path.name for path in folder.iterdir())


# What comes out


@pytest.mark.parametrize(
    ("spatial", "layer", "shape"), [(False, "pooled", (6,)), (True, "maps", (4, 6, 5))]
)
@pytest.mark.parametrize("dtype", ["float16", "float32"])
def test_features_are_those_of_the_net(paths, out, spatial, layer, shape, dtype):
    found = extractor(out, spatial=spatial, dtype=dtype).extract_features(paths)
    assert found.array.shape == (len(paths), *shape)
    assert found.array.dtype == dtype
    assert len(found) == len(paths)
    assert found.paths == paths
    np.testing.assert_allclose(
        found.array, plain(paths, layer), rtol=1e-3 if dtype == "float16" else 1e-5, atol=1e-5
    )
    assert isinstance(found.array, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        found.array[0] = 0
    assert files(out) == FILES
    np.testing.assert_array_equal(np.load(out / "features.npy"), found.array)


def test_a_folder_and_names_as_text(paths, out):
    expected = EXTRACT.extract_features(paths)  # in memory
    assert not isinstance(expected.array, np.memmap)
    for images in (paths, paths[0].parent, str(paths[0].parent), [str(path) for path in paths]):
        found = extractor_of(out).extract_features(images)
        assert found.paths == expected.paths == paths
        np.testing.assert_array_equal(found.array, expected.array)


def test_a_few_photos(paths):
    expected = EXTRACT.extract_features(paths[:5]).array
    pixels = [image_files.read(path) for path in paths[:5]]
    same_size = np.stack([image_files.resize(image, SIZE) for image in pixels])
    for images in (paths[:5], pixels, same_size, [*pixels[:2], *paths[2:5]]):
        found = EXTRACT(images)
        assert found.dtype == np.float16
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(EXTRACT(paths[0].parent), EXTRACT(paths))


def test_pil_images_of_more_than_8_bits():
    levels = np.linspace(0, 65535, 7 * 9).reshape(7, 9)
    images = [levels.astype(kind) for kind in (np.uint16, np.int32)]
    images.append(np.float32(levels / 65535))
    bytes_ = np.rint(images[0] * (255 / 65535)).astype(np.uint8)[..., None].repeat(3, -1)
    found = EXTRACT([Image.fromarray(image) for image in images])
    np.testing.assert_allclose(found, EXTRACT([bytes_] * 3), atol=2e-2)
    with pytest.raises(ValueError, match="the PIL image .* go from"):
        EXTRACT(Image.new("I", (9, 9), 70_000))


def test_rows(paths, out, monkeypatch):
    monkeypatch.chdir(out.parents[1])
    found = extractor_of(out).extract_features([f"photos/{path.name}" for path in paths])
    assert found.rows([paths[7], paths[2], str(paths[7])]).tolist() == [7, 2, 7]
    assert found.rows([f"photos/{paths[3].name}"]).tolist() == [3]
    with pytest.raises(ValueError, match="1 of 2 photos have no features: .*none.png"):
        found.rows([paths[0], "none.png"])
    many = [f"{i}.png" for i in range(15)]
    with pytest.raises(ValueError, match="15 of 15 .* 9.png, and 5 more$"):
        found.rows(many)


def test_the_same_photo_twice(paths, out):
    found = extractor_of(out).extract_features([paths[0], paths[1], paths[0]])
    np.testing.assert_array_equal(found.array[0], found.array[2])
    assert found.paths == [paths[0], paths[1], paths[0]]


# Once done, it is kept


def test_what_is_finished_is_reused(paths, out, run_counts, capfd):
    expected = extractor(out).extract_features(paths).array
    assert sum(run_counts) == len(paths)
    for images in (paths, paths[0].parent):
        np.testing.assert_array_equal(extractor(out).extract_features(images).array, expected)
    assert sum(run_counts) == len(paths)
    assert capfd.readouterr() == ("", "")


def test_a_folder_that_moved_is_no_change(paths, out, run_counts):
    extractor_of(out).extract_features(paths)
    moved = paths[0].parent.rename(out.parents[1] / "elsewhere")
    found = extractor_of(out).extract_features(moved)
    assert found.paths == image_files.find(moved)
    assert sum(run_counts) == len(paths)


def changed(path):
    os.utime(path, ns=(0, path.stat().st_mtime_ns + 1))


def larger(path):
    stat = path.stat()
    Image.new("RGB", (50, 50)).save(path)
    os.utime(path, ns=(0, stat.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda paths: changed(paths[3]), "changed since: 03.png"),
        (lambda paths: larger(paths[3]), "changed since: 03.png"),
        (lambda paths: paths.pop(), "they are of 22 photos, of which 21 are asked for"),
        (lambda paths: paths.reverse(), "they are of 22 photos, of which 22 are asked for"),
        (lambda paths: paths.append(paths[-1].rename(paths.pop().with_name("x.png"))), "lack x"),
    ],
)
def test_features_of_other_photos_are_made_anew(paths, out, capsys, change, reason):
    extractor_of(out).extract_features(paths)
    change(paths)
    found = extractor_of(out).extract_features(paths)
    assert reason in capsys.readouterr().out
    np.testing.assert_array_equal(found.array, EXTRACT(paths))
    assert found.paths == paths
    assert files(out) == FILES
    extractor_of(out).extract_features(paths)
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"network": net_of(1)}, r"a keras.Model \(6, float16, weights"),
        ({"spatial": True}, r"\(4x6x5, float16"),
        ({"dtype": "float32"}, r"\(6, float32"),
    ],
)
def test_features_of_another_net_are_an_error(paths, out, options, words):
    expected = extractor_of(out).extract_features(paths).array
    with pytest.raises(
        ValueError, match=f"holds features of .* but those of .*{words}.*another ou"
    ):
        extractor(out, **options).extract_features(paths)
    assert files(out) == FILES
    np.testing.assert_array_equal(extractor_of(out).extract_features(paths).array, expected)


# Interrupted


class Killed(BaseException):
    """Like a kill, it is caught nowhere."""


def extract_until(out, paths, where, name, after):
    """Extracts until the function `name` of `where` is called once more than `after` times."""
    function, calls = getattr(where, name), []

    def breaks(*args, **kwargs):
        calls.append(name)
        if len(calls) > after:
            raise Killed
        return function(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(where, name, breaks)
        with pytest.raises(Killed):
            extractor_of(out).extract_features(paths)


@pytest.mark.parametrize("batches", [0, 1, 5])
def test_an_interrupted_extraction_goes_on(paths, out, monkeypatch, run_counts, batches):
    monkeypatch.setattr(feature_file, "SAVE_SECONDS", 0)
    extract_until(out, paths, ImageCaptionFeatureExtractor, "_predict", batches)
    assert files(out) == FILES
    assert sum(run_counts) == 4 * batches
    rows = np.lib.format.open_memmap(out / "features.npy", "r+")
    rows[4 * batches :] = np.nan  # what was on its way when the kill came
    rows.flush()
    found = extractor_of(out).extract_features(paths)
    assert sum(run_counts) == len(paths)
    np.testing.assert_array_equal(found.array, EXTRACT(paths))


@pytest.mark.parametrize("operation", ["replace", "fsync"])
@pytest.mark.parametrize("after", range(7))
def test_killed_at_any_file_operation(paths, out, monkeypatch, operation, after, run_counts):
    """Old features are there, and new ones are on the way: 2 files are made, 1 written 5 times."""
    extractor_of(out).extract_features(paths[:3])
    monkeypatch.setattr(feature_file, "SAVE_SECONDS", 0)
    extract_until(out, paths[:18], os, operation, after)
    run_counts.clear()
    found = extractor_of(out).extract_features(paths[:18])
    assert len(run_counts) == min(7 - after, 5)
    np.testing.assert_array_equal(found.array, EXTRACT(paths[:18]))
    assert files(out) == FILES


def test_only_the_last_seconds_are_lost(paths, out, run_counts):
    extract_until(out, paths, ImageCaptionFeatureExtractor, "_predict", 3)
    assert json.loads((out / "features.json").read_text())["done"] == 0
    found = extractor_of(out).extract_features(paths)
    assert sum(run_counts) == 12 + len(paths)
    np.testing.assert_array_equal(found.array, EXTRACT(paths))


@pytest.mark.parametrize("array", [None, "cut off", np.zeros((22, 7), np.float16), np.zeros(3)])
def test_rows_that_are_gone_are_made_again(paths, out, monkeypatch, run_counts, array):
    monkeypatch.setattr(feature_file, "SAVE_SECONDS", 0)
    extract_until(out, paths, ImageCaptionFeatureExtractor, "_predict", 3)
    if isinstance(array, str):
        os.truncate(out / "features.npy", (out / "features.npy").stat().st_size - 22 * 6 * 2 + 50)
    elif array is None:
        (out / "features.npy").unlink()
    else:
        np.save(out / "features.npy", array)
    found = extractor_of(out).extract_features(paths)
    assert sum(run_counts) == 12 + len(paths)
    np.testing.assert_array_equal(found.array, EXTRACT(paths))


def test_unfinished_features_of_something_else(paths, out, monkeypatch, capsys):
    monkeypatch.setattr(feature_file, "SAVE_SECONDS", 0)
    extract_until(out, paths, ImageCaptionFeatureExtractor, "_predict", 3)
    with pytest.raises(ValueError, match="holds features of .* but those of .* are asked for"):
        extractor(out, dtype="float32").extract_features(paths)
    found = extractor_of(out).extract_features(paths[::-1])
    assert "are of 22 photos, of which 22 are asked for): made anew" in capsys.readouterr().out
    np.testing.assert_array_equal(found.array, EXTRACT(paths[::-1]))


def test_a_full_disk(paths, out, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match=r" cannot write [^ ]*npy: No space .* it goes on where"):
            extractor_of(out).extract_features(paths)
    assert not files(out)
    np.testing.assert_array_equal(extractor_of(out).extract_features(paths).array, EXTRACT(paths))


# Photos that cannot be read


def test_bad_photos_are_named_and_no_work_is_lost(paths, out, run_counts, capsys):
    paths[3].write_bytes(b"")
    paths[9].write_bytes(paths[9].read_bytes()[:-40])
    paths.insert(10, paths[0].with_name("gone.png"))
    for _ in range(2):
        with pytest.raises(ValueError, match="3 of 23 photos cannot be used:") as error:
            extractor_of(out).extract_features(paths)
        for name in ("03.png", "09.png", "gone.png"):
            assert str(error.value).count(name) == 1
        assert "skip_bad=True" in str(error.value)
    good = [path for i, path in enumerate(paths) if i not in (3, 9, 10)]
    for _ in range(2):
        found = extractor_of(out).extract_features(paths, skip_bad=True)
        count, *lines = capsys.readouterr().out.splitlines()
        assert count == "3 of 23 photos left out:"
        bad = [str(paths[i]) in line for i, line in zip((3, 9, 10), lines, strict=True)]
        assert all(bad)
        assert found.paths == good
    assert sum(run_counts) == len(good)
    np.testing.assert_array_equal(found.array, EXTRACT(good))
    with pytest.raises(ValueError, match="3 of 23 photos cannot be used"):
        extractor_of(out).extract_features(paths)


@pytest.mark.parametrize("where", [None, "out"])
def test_bad_photos_in_and_out_of_memory(paths, tmp_path, where, capsys):
    folder = where and tmp_path / where
    for path in paths[4:20]:  # a batch without one good photo
        path.write_bytes(b"no photo")
    with pytest.raises(ValueError, match="16 of 22 .*\n(.*\n){16}Repair or remove"):
        extractor_of(folder).extract_features(paths)
    found = extractor_of(folder).extract_features(paths, skip_bad=True)
    assert "16 of 22 photos left out" in capsys.readouterr().out
    assert found.paths == paths[:4] + paths[20:]
    np.testing.assert_array_equal(found.array, EXTRACT(found.paths))
    with pytest.raises(ValueError, match="2 of 2 photos cannot be used"):
        extractor_of(folder and folder / "2").extract_features(paths[4:6], skip_bad=True)


def test_a_repaired_photo_is_seen(paths, out, capsys):
    whole = paths[3].read_bytes()
    paths[3].write_bytes(b"")
    extractor_of(out).extract_features(paths, skip_bad=True)
    paths[3].write_bytes(whole)
    found = extractor_of(out).extract_features(paths)
    np.testing.assert_array_equal(found.array, EXTRACT(paths))


def test_pictures_that_will_not_do(paths):
    image = np.zeros((9, 9, 3), np.uint8)
    for images, message in (
        (
            [image, image / 255],
            r"1 of 2 photos .*\n  image 1: float64 \(9, 9, 3\), but uint8",
        ),
        ([image[..., 0]], r"image 0: uint8 \(9, 9\), but"),
        (paths[:1] + ["none.png"], "1 of 2 photos .*\n.*none.png"),
    ):
        with pytest.raises(ValueError, match=message):
            EXTRACT(images)


@pytest.mark.parametrize("output", [None, "out"])
def test_no_photos(tmp_path, output):
    extract = extractor_of(output and tmp_path / output)
    (tmp_path / "empty").mkdir()
    for call in (extract, extract.extract_features):
        with pytest.raises(ValueError, match="the list is empty"):
            call([])
        with pytest.raises(ValueError, match="there is no image in .*empty"):
            call(tmp_path / "empty")
        with pytest.raises(MissingDataError, match="there is no folder .*none"):
            call(tmp_path / "none")


def test_features_in_files_are_of_files(out):
    with pytest.raises(ValueError, match="image_paths: with an output_path they have to be files"):
        extractor_of(out).extract_features(np.zeros((2, 8, 8, 3), np.uint8))


@pytest.mark.parametrize("gain", [1e6, np.nan])
def test_features_that_are_no_numbers(paths, out, gain):
    huge = net_of(gain=gain)
    with pytest.raises(ValueError, match="features of .*00.png are not finite in float16"):
        extractor(out, huge, spatial=True).extract_features(paths)
    with pytest.raises(ValueError, match="features of image 0 are not finite"):
        extractor(None, huge, spatial=True)(np.full((1, 9, 9, 3), 200, np.uint8))
    if gain == 1e6:
        shutil.rmtree(out)
        extractor(out, huge, spatial=True, dtype="float32").extract_features(paths)


# Files that are not as they should be


SETTINGS = {"backbone": "VGG16", "shape": [7], "dtype": "float16", "weights_sha256": "0" * 64}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("features.json", b"{", "features.json is damaged"),
        ("features.json", b"[]", "features.json is damaged"),
        ("features.json", b'{"settings": {}}', "features.json is damaged"),
        ("features.json", {"settings": {}}, "features.json is damaged"),
        ("features.json", {"settings": {**SETTINGS, "shape": 7}}, "features.json is damaged"),
        ("features.json", {"settings": {**SETTINGS, "weights_sha256": 7}}, "json is damaged"),
        ("features.json", {"images": [1, 2]}, "features.json is damaged"),
        ("features.json", {"images": [[[], 1, 2]]}, "features.json is damaged"),
        ("features.json", {"done": -1}, "features.json is damaged"),
        ("features.json", {"done": 10**30}, "features.json is damaged"),
        ("features.json", {"bad": [3]}, "features.json is damaged"),
        ("features.json", {"bad": [["0", "why"]]}, "features.json is damaged"),
        ("features.json", {"bad": [[10**9, "why"]]}, "features.json is damaged"),
        ("features.json", {"bad": [[0, None]]}, "features.json is damaged"),
        ("features.json", {"bad": [[0, "why"], [0, "why"]]}, "features.json is damaged"),
        ("features.npy", b"", "features.npy cannot be used"),
        ("features.npy", b"\x93NUMPY nothing", "features.npy cannot be used"),
        ("features.npy", "half", "features.npy cannot be used"),
        ("features.npy", None, "features.npy cannot be used"),
        ("features.npy", np.zeros((22, 7), np.float16), r"it holds float16 \(22, 7\), but"),
        ("features.npy", np.zeros((22, 6)), r"it holds float64 \(22, 6\), but float16 \(22, 6\)"),
        ("features.npy", np.array([{}]), "features.npy cannot be used"),
    ],
)
def test_damaged_files(paths, out, name, content, message):
    extractor_of(out).extract_features(paths)
    path = out / name
    if content is None:
        path.unlink()
    elif isinstance(content, np.ndarray):
        np.save(path, content)
    elif isinstance(content, dict):
        path.write_text(json.dumps({**json.loads(path.read_text()), **content}))
    else:
        path.write_bytes(path.read_bytes()[:-9] if content == "half" else content)
    with pytest.raises(ValueError, match=message) as error:
        extractor_of(out).extract_features(paths)
    assert str(out) in str(error.value)


def test_an_array_of_somebody_else(paths, out):
    out.mkdir(parents=True)
    np.save(out / "features.npy", np.zeros(3))
    with pytest.raises(ValueError, match="holds features.npy, but no features.json"):
        extractor_of(out).extract_features(paths)
    assert files(out) == ["features.npy"]
    with pytest.raises(ValueError, match="output_path: .* is a file, but a folder is needed"):
        extractor(out / "features.npy")


def test_options_that_cannot_be():
    with pytest.raises(ValueError, match="unknown dtype 'int32'; known: float16, float32"):
        extractor(dtype="int32")
    for size in (0, 1.5):
        with pytest.raises(ValueError, match="batch_size .*: a number above 0"):
            extractor(batch_size=size)


# Saved and loaded


@pytest.mark.parametrize("spatial", [False, True])
def test_an_extractor_with_a_model_of_its_own(paths, tmp_path, out, spatial, run_counts):
    extract = extractor(out, spatial=spatial, dtype="float32", batch_size=7)
    expected = extract.extract_features(paths).array
    extract.save(tmp_path / "saved")
    assert files(tmp_path / "saved") == ["extractor.json", "extractor.keras"]
    assert json.loads((tmp_path / "saved" / "extractor.json").read_text()) == extract.config()
    again = ImageCaptionFeatureExtractor.load(tmp_path / "saved")
    assert again.config() == extract.config()
    np.testing.assert_array_equal(again(paths), expected)
    run_counts.clear()
    ImageCaptionFeatureExtractor.load(tmp_path / "saved", out).extract_features(paths)
    assert not run_counts  # its features are still those


def test_a_loaded_model_is_not_cut_again(paths, tmp_path):
    inputs = keras.Input((*SIZE, 3))
    x = layers.Dense(4, "sigmoid")(layers.GlobalAveragePooling2D()(inputs))
    extract = extractor(network=keras.Model(inputs, layers.Dense(3, "softmax")(x)))
    extract.save(tmp_path)
    again = ImageCaptionFeatureExtractor.load(tmp_path)
    assert again.shape == (4,)
    np.testing.assert_array_equal(again(paths), extract(paths))


def test_weights_from_a_file_and_random_ones(tmp_path, monkeypatch):
    """The file is only pointed at; random weights have to be saved."""

    def build(weights):
        network = net_of()
        if weights:
            network.load_weights(weights)
        return network

    build.__module__ = "keras.src.applications.vgg16"  # its scaling
    monkeypatch.setattr(keras.applications, "Tiny", build, raising=False)
    photo = np.random.default_rng(0).integers(0, 256, (1, 50, 60, 3), np.uint8)
    path, moved = tmp_path / "network.weights.h5", tmp_path / "moved.weights.h5"
    net_of(1).save_weights(path)
    extract = ImageCaptionFeatureExtractor("Tiny", weights=path)
    extract.save(tmp_path / "saved")
    assert files(tmp_path / "saved") == ["extractor.json"]
    path.rename(moved)
    with pytest.raises(FileNotFoundError, match=r"network.weights.h5; say where they are: load\("):
        ImageCaptionFeatureExtractor.load(tmp_path / "saved")
    again = ImageCaptionFeatureExtractor.load(tmp_path / "saved", weights=moved)
    expected = extract(photo)
    np.testing.assert_array_equal(again(photo), expected)
    net_of(2).save_weights(moved)
    with pytest.raises(ValueError, match="made with other weights: their SHA-256 was .* but now"):
        ImageCaptionFeatureExtractor.load(tmp_path / "saved", weights=moved)

    other = ImageCaptionFeatureExtractor("Tiny", weights=None)
    other.save(tmp_path / "random")
    assert files(tmp_path / "random") == ["extractor.json", "extractor.keras"]
    again = ImageCaptionFeatureExtractor.load(tmp_path / "random")
    assert again.config() == other.config()
    np.testing.assert_array_equal(again(photo), other(photo))
    assert not np.array_equal(again(photo), expected)


def test_a_damaged_extractor(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no .*extractor.json"):
        ImageCaptionFeatureExtractor.load(tmp_path)
    EXTRACT.save(tmp_path)
    (tmp_path / "extractor.keras").write_bytes(b"no model")
    with pytest.raises(ValueError, match="extractor.keras cannot be loaded"):
        ImageCaptionFeatureExtractor.load(tmp_path)
    net_of(1).save(tmp_path / "extractor.keras")
    with pytest.raises(ValueError, match="extractor.json was made with other weights"):
        ImageCaptionFeatureExtractor.load(tmp_path)
    (tmp_path / "extractor.json").write_text("{}")
    with pytest.raises(ValueError, match="extractor.json is damaged"):
        ImageCaptionFeatureExtractor.load(tmp_path)


# Real photos


def test_flickr8k(out, real):
    name = "weights/mobilenet_v2_imagenet.weights.h5"
    root = real(name, "flickr8k/Images")
    weights, paths = root / name, image_files.find(root / "flickr8k" / "Images")[:32]
    pooled = ImageCaptionFeatureExtractor("MobileNetV2", weights=weights)
    spatial = ImageCaptionFeatureExtractor("MobileNetV2", out, weights=weights, spatial=True)
    maps = spatial.extract_features(paths).array
    assert maps.shape == (32, 7, 7, 1280)
    means = maps.astype(np.float32).mean((1, 2))
    np.testing.assert_allclose(pooled(paths[:8]), means[:8], atol=2e-3)
    # Features of different photos differ, and do not depend on how many are seen at once.
    assert np.corrcoef(means)[~np.eye(32, dtype=bool)].max() < 0.98
    np.testing.assert_allclose(pooled(paths[5:6]), means[5:6], atol=2e-3)
