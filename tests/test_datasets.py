"""The loaders of digits, EMNIST and Fashion-MNIST, and the draw of a few labels."""

import gzip
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest

from recipes.datasets import digits, emnist, fashion_mnist
from recipes.datasets.captions import CaptionedImages, sample, split_by_image
from recipes.datasets.few_labels import few_labels
from recipes.datasets.files import MissingDataError
from recipes.datasets.idx import read_idx

pytestmark = pytest.mark.usefixtures("root")
REPOSITORY = Path(__file__).resolve().parents[1]
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (20, 28, 28), np.uint8)
LABELS = np.arange(20, dtype=np.uint8) % 10

FASHION_TRAIN = ("train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz")
FASHION_TEST = ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz")
EMNIST_TEST = (
    "emnist-balanced-test-images-idx3-ubyte.gz",
    "emnist-balanced-test-labels-idx1-ubyte.gz",
)


def idx_bytes(array):
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    return header + array.astype(np.uint8).tobytes()


def write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(idx_bytes(array), 1))
    return path


def write_set(folder, names, images=IMAGES, labels=LABELS):
    write_idx(folder / names[0], images)
    write_idx(folder / names[1], labels)


def check_types(images, labels, count):
    assert images.shape == (count, 28, 28, 1)
    assert images.dtype == np.uint8
    assert labels.shape == (count,)
    assert labels.dtype == np.int64


def test_import_is_light():
    code = """
import sys
import recipes.datasets
assert not {"mlxtend", "tensorflow", "tensorflow_datasets"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True)


# The embedded digits


@pytest.mark.parametrize(("split", "count"), [("train", 4000), ("test", 1000)])
def test_digits(split, count):
    images, labels = digits.load(split)
    check_types(images, labels, count)
    assert np.bincount(labels).tolist() == [count // 10] * 10
    assert (images.min(), images.max()) == (0, 255)


def test_digits_are_upright_and_labelled():
    # The mean zero is hollow, the mean one is one stroke downwards, the seven has its bar on top.
    images, labels = digits.load("test")
    mean = [images[labels == digit].mean(axis=0)[..., 0] for digit in range(10)]
    assert mean[0][13:16, 13:16].mean() < 40 < mean[1][13:16, 13:16].mean()
    assert np.ptp(np.nonzero(mean[1] > 60)[0]) > np.ptp(np.nonzero(mean[1] > 60)[1])
    assert mean[7][:14].sum() > 1.1 * mean[7][14:].sum()


def test_digits_of_the_splits_are_the_5000_and_differ():
    images = {image.tobytes() for split in digits.SPLITS for image in digits.load(split)[0]}
    assert len(images) == 5000


def test_digits_come_in_an_order_that_never_changes():
    np.random.seed(1)  # noqa: NPY002 - of no account
    first = digits.load("train")
    np.random.seed(2)  # noqa: NPY002
    second = digits.load("train")
    assert all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))
    assert first[1][:12].tolist() == [4, 3, 9, 9, 0, 9, 6, 5, 7, 7, 7, 9]


def test_digits_can_be_changed_without_harm():
    images, labels = digits.load("test")
    images[:], labels[:] = 0, 0
    images, labels = digits.load("test")
    assert images.any()
    assert labels.any()


@pytest.mark.parametrize("loader", [emnist, fashion_mnist])
@pytest.mark.parametrize("split", ["train", "test"])
def test_embedded_sets_are_the_digits(loader, split):
    for found, expected in zip(loader.load(split, embedded=True), digits.load(split), strict=True):
        assert np.array_equal(found, expected)


@pytest.mark.parametrize("loader", [digits, emnist, fashion_mnist])
def test_unknown_split(loader):
    with pytest.raises(ValueError, match="unknown split 'validation'; known: train, test"):
        loader.load("validation")


# idx files


@pytest.mark.parametrize("shape", [(3,), (2, 3, 4), (0, 28, 28)])
def test_read_idx(tmp_path, shape):
    array = np.arange(np.prod(shape)).reshape(shape)
    found = read_idx(write_idx(tmp_path / "a.gz", array))
    assert found.dtype == np.uint8
    assert found.shape == shape
    assert np.array_equal(found, array)
    assert found.flags.writeable


WHOLE = idx_bytes(IMAGES)
PACKED = gzip.compress(WHOLE, 1, mtime=0)


def flip_a_bit(data):
    return data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(PACKED[:-100], "is cut off or damaged", id="truncated"),
        pytest.param(PACKED[:-3], "is cut off or damaged", id="truncated-in-the-checksum"),
        pytest.param(PACKED[:5], "is cut off or damaged", id="truncated-in-the-gzip-header"),
        pytest.param(flip_a_bit(PACKED), "is cut off or damaged", id="a-bit-flipped"),
        pytest.param(WHOLE, "is cut off or damaged", id="not-compressed"),
        pytest.param(b"<html>", "is cut off or damaged", id="not-gzip"),
        pytest.param(b"", "is not an idx file", id="empty"),
        pytest.param(gzip.compress(b"<html>"), "is not an idx file", id="not-idx"),
        pytest.param(gzip.compress(b"\0\0\x08"), "is not an idx file", id="no-magic-number"),
        pytest.param(
            gzip.compress(b"\0\0\x0d" + WHOLE[3:]), "is not an idx file of unsigned", id="floats"
        ),
        pytest.param(gzip.compress(WHOLE[:7]), "by its header, but holds 0", id="no-sizes"),
        pytest.param(gzip.compress(WHOLE[:-1]), "but holds 15,679", id="a-byte-less"),
        pytest.param(gzip.compress(WHOLE + b"x"), "but holds more than 15,680", id="a-byte-more"),
        pytest.param(
            gzip.compress(b"\0\0\x08\xff" + b"\0\0\0\1" * 255 + b"x"),
            "is not an idx file of unsigned bytes: it starts with 000008ff",
            id="255-dimensions",
        ),
        pytest.param(
            gzip.compress(WHOLE[:4] + b"\xff" * 12 + WHOLE[16:]), "4294967295", id="senseless-sizes"
        ),
    ],
)
def test_bad_idx_file(root, content, message):
    write_set(root / "fashion-mnist", FASHION_TRAIN)
    path = root / "fashion-mnist" / FASHION_TRAIN[0]
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        fashion_mnist.load("train")
    assert str(path) in str(error.value)
    assert "get it again" in str(error.value) or "Put the published file" in str(error.value)


def test_an_idx_file_is_read_no_further_than_its_header_says(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(idx_bytes(np.zeros(10)) + bytes(30_000_000), 1))
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"should hold \(10,\) bytes .* holds more than 10"):
        read_idx(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000


@pytest.mark.parametrize(
    ("images", "labels", "message"),
    [
        pytest.param(IMAGES, LABELS + 1, "holds the label 10", id="label-out-of-range"),
        pytest.param(IMAGES, LABELS[:-1], "a label for each of the 20 images", id="labels-missing"),
        pytest.param(IMAGES[:-1], LABELS, "a label for each of the 19 images", id="images-missing"),
        pytest.param(IMAGES, IMAGES, "a label for each of the 20 images", id="images-for-labels"),
        pytest.param(LABELS, LABELS, "should hold 28x28 images", id="labels-for-images"),
        pytest.param(IMAGES[:, 1:], LABELS, "should hold 28x28 images", id="size"),
        pytest.param(IMAGES[:0], LABELS[:0], "should hold 28x28 images", id="no-images"),
    ],
)
def test_idx_files_that_do_not_belong_together(root, images, labels, message):
    write_set(root / "fashion-mnist", FASHION_TEST, images, labels)
    with pytest.raises(ValueError, match=message) as error:
        fashion_mnist.load("test")
    assert str(root / "fashion-mnist") in str(error.value)


# Fashion-MNIST


@pytest.mark.parametrize(
    "folder", ["root/fashion-mnist", "root/fashion_mnist", "keras/datasets/fashion-mnist"]
)
@pytest.mark.parametrize(("split", "names"), [("train", FASHION_TRAIN), ("test", FASHION_TEST)])
def test_fashion_mnist_is_found(tmp_path, folder, split, names):
    write_set(tmp_path / folder, names)
    images, labels = fashion_mnist.load(split)
    check_types(images, labels, 20)
    assert np.array_equal(images[..., 0], IMAGES)
    assert np.array_equal(labels, LABELS)


def test_fashion_mnist_in_the_data_root_comes_first(tmp_path):
    write_set(tmp_path / "root" / "fashion-mnist", FASHION_TEST)
    write_set(
        tmp_path / "keras" / "datasets" / "fashion-mnist", FASHION_TEST, IMAGES[:5], LABELS[:5]
    )
    check_types(*fashion_mnist.load("test"), count=20)


def test_fashion_mnist_that_is_nowhere(root):
    with pytest.raises(MissingDataError, match="cannot be downloaded") as error:
        fashion_mnist.load("train")
    for part in (*FASHION_TRAIN, str(root / "fashion-mnist"), "RECIPES_DATA_DIR", "embedded=True"):
        assert part in str(error.value)
    assert isinstance(error.value.__cause__, ConnectionError)
    assert isinstance(error.value, FileNotFoundError)


def test_fashion_mnist_downloads_what_is_lacking(root, monkeypatch):
    def download(url, path, sha256, md5):
        asked.append((url, len(sha256)))
        if not path.is_file():
            write_idx(path, IMAGES)

    asked = []
    monkeypatch.setattr(fashion_mnist, "URL", "https://host/")
    monkeypatch.setattr("recipes.datasets.download.download", download)
    write_idx(root / "fashion-mnist" / FASHION_TRAIN[1], LABELS)
    check_types(*fashion_mnist.load("train"), count=20)
    assert asked == [("https://host/" + name, 64) for name in FASHION_TRAIN]


def test_fashion_mnist_class_names():
    assert len(set(fashion_mnist.CLASS_NAMES)) == 10
    assert fashion_mnist.CLASS_NAMES[9] == "Ankle boot"


def test_real_fashion_mnist(real):
    real("fashion-mnist")
    for split, count, mean in (("train", 60_000, 0.2860), ("test", 10_000, 0.2868)):
        images, labels = fashion_mnist.load(split)
        check_types(images, labels, count)
        assert np.bincount(labels).tolist() == [count // 10] * 10
        assert images.mean() / 255 == pytest.approx(mean, abs=5e-5)  # as published
        assert fashion_mnist.CLASS_NAMES[labels[0]] == "Ankle boot"
    chosen = few_labels(labels, 100, seed=0)
    assert np.bincount(labels[chosen]).tolist() == [10] * 10


# EMNIST


def write_emnist_zip(path, folder="gzip/"):
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name, array in zip(EMNIST_TEST, (IMAGES, LABELS + 37), strict=True):
            archive.writestr(folder + name, gzip.compress(idx_bytes(array), 1))
    return path


@pytest.mark.parametrize("place", ["emnist", "emnist/gzip", "emnist/gzip.zip", "flat"])
def test_emnist_comes_upright(root, place):
    if place == "emnist/gzip.zip":
        write_emnist_zip(root / place)
    elif place == "flat":
        write_emnist_zip(root / "emnist" / "gzip.zip", folder="")
    else:
        write_set(root / place, EMNIST_TEST, labels=LABELS + 37)
    images, labels = emnist.load("test")
    check_types(images, labels, 20)
    assert np.array_equal(images[..., 0], IMAGES.transpose(0, 2, 1))
    assert np.array_equal(labels, LABELS + 37)


def test_emnist_turns_every_image_of_a_large_set(root):
    images = np.zeros((20_001, 28, 28), np.uint8)
    images[:, 0, 5] = 1
    write_set(root / "emnist", EMNIST_TEST, images, np.zeros(20_001))
    images, _ = emnist.load("test")
    assert images[:, 5, 0].all()
    assert images.sum() == 20_001


@pytest.fixture
def prepared(root):
    """What TensorFlow Datasets leaves in the data root when it has prepared a set."""
    for part in emnist.PARTS:
        folder = root / "tensorflow_datasets" / "emnist" / part / "3.1.0"
        folder.mkdir(parents=True)
        (folder / "dataset_info.json").touch()


@pytest.mark.usefixtures("prepared")
@pytest.mark.parametrize("part", sorted(emnist.PARTS))
def test_emnist_prepared_by_tensorflow_datasets(part):
    tfds = pytest.importorskip("tensorflow_datasets")
    with tfds.testing.mock_data(num_examples=7):
        images, labels = emnist.load("train", part)
        lying = list(tfds.as_numpy(tfds.load(f"emnist/{part}", split="train")))
    check_types(images, labels, 7)
    for image, label, example in zip(images, labels, lying, strict=True):
        assert np.array_equal(image, example["image"].transpose(1, 0, 2))
        assert label == example["label"]


@pytest.mark.usefixtures("prepared")
def test_emnist_reads_the_split_that_is_asked_for(monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")
    tf = pytest.importorskip("tensorflow")

    def as_dataset(self, split, **options):
        count = {"train": 3000, "test": 20}[str(split)]  # 3000: more than one batch
        images = np.resize(IMAGES, (count, 28, 28))[..., np.newaxis]
        return tf.data.Dataset.from_tensor_slices({"image": images, "label": np.arange(count)})

    with tfds.testing.mock_data(as_dataset_fn=as_dataset):
        for split, count in (("train", 3000), ("test", 20)):
            images, labels = emnist.load(split)
            check_types(images, labels, count)
            assert np.array_equal(images[-20:, ..., 0], IMAGES.transpose(0, 2, 1))
            assert np.array_equal(labels, np.arange(count))


def test_emnist_of_an_unknown_part():
    with pytest.raises(ValueError, match="unknown part 'greek'; known: balanced, byclass, .*mnist"):
        emnist.load("train", part="greek")


def test_emnist_with_a_label_of_another_part(root):
    write_set(root / "emnist", EMNIST_TEST, labels=LABELS + 38)
    with pytest.raises(ValueError, match="holds the label 47, but labels go from 0 to 46"):
        emnist.load("test")


def test_emnist_that_is_nowhere(root):
    with pytest.raises(MissingDataError, match="cannot be downloaded") as error:
        emnist.load("test")
    for expected in (
        *EMNIST_TEST,
        "gzip.zip",
        str(root / "emnist"),
        "RECIPES_DATA_DIR",
        "embedded=True",
    ):
        assert expected in str(error.value)
    assert isinstance(error.value.__cause__, ConnectionError)


@pytest.mark.parametrize("damage", ["end", "member"])
def test_emnist_in_a_damaged_archive(root, damage):
    archive = write_emnist_zip(root / "emnist" / "gzip.zip")
    data = archive.read_bytes()
    archive.write_bytes(data[:-60] if damage == "end" else data[:5000] + b"?" + data[5001:])
    with pytest.raises(ValueError, match="damaged.*get it again") as error:
        emnist.load("test")
    assert str(archive) in str(error.value)


def test_emnist_in_another_archive(root):
    archive = write_emnist_zip(root / "emnist" / "gzip.zip", folder="matlab/")
    with pytest.raises(ValueError, match="does not hold emnist-balanced-test-images") as error:
        emnist.load("test")
    assert str(archive) in str(error.value)


def test_real_emnist(real):
    real("emnist")
    images, labels = emnist.load("test", part="letters")
    check_types(images, labels, 10_000)
    assert np.bincount(labels).tolist() == [0] + [800] * 12 + [400]  # A to L, and half of M
    # Upright, the mean L stands on its foot, and leans on its left.
    mean = images[labels == 12].mean(axis=0)[..., 0]
    assert mean[18:].sum() > 1.2 * mean[:10].sum()
    assert mean[:, :14].sum() > 1.2 * mean[:, 14:].sum()
    for split in emnist.SPLITS:
        images, labels = emnist.load(split)
        check_types(images, labels, 2000)
        assert len(np.unique(labels)) == 47


# A few labels


def test_few_labels_are_equally_many_of_each_class_and_distinct():
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(10, dtype=np.uint8), 150))
    chosen = few_labels(labels, 1000, seed=3)
    assert chosen.dtype == np.int64
    assert np.bincount(labels[chosen]).tolist() == [100] * 10
    assert len(set(chosen.tolist())) == 1000
    assert len(set(labels[chosen[:40]].tolist())) > 5  # shuffled, not class by class


def test_few_labels_depend_on_the_seed_alone():
    first = few_labels(LABELS, 10, seed=3)
    assert np.array_equal(few_labels(LABELS, 10, seed=3), first)
    assert set(few_labels(LABELS, 10, seed=4).tolist()) != set(first.tolist())


def test_few_labels_can_be_all():
    assert sorted(few_labels(LABELS, 20, seed=0).tolist()) == list(range(20))


@pytest.mark.parametrize(
    ("labels", "count", "num_classes", "message"),
    [
        pytest.param(LABELS, 30, None, "class 0 has 2 images, but 3 of each", id="too-many"),
        pytest.param(LABELS, 22, 11, "class 10 has 0 images, but 2 of each", id="empty-class"),
        pytest.param([0, 0, 2, 2], 3, None, "class 1 has 0 images", id="empty-class-between"),
        pytest.param(LABELS, 15, None, "15 labelled images cannot be split", id="not-divisible"),
        pytest.param(LABELS, 0, None, "count 0: at least 1 is needed", id="none-wanted"),
        pytest.param(LABELS, -10, None, "count -10: at least 1", id="fewer-than-none"),
        pytest.param([], 10, None, "dataset that is not empty", id="no-labels"),
        pytest.param([[0, 1]], 2, None, r"found shape \(1, 2\)", id="matrix"),
        pytest.param([0.0, 1.0], 2, None, "type float64", id="floats"),
        pytest.param(LABELS, 5, 5, r"must be in 0..4, found 0..9", id="no-such-class"),
        pytest.param([-1, 0, 1], 2, None, r"must be in 0..1, found -1..1", id="negative"),
    ],
)
def test_few_labels_refuses(labels, count, num_classes, message):
    with pytest.raises(ValueError, match=message):
        few_labels(labels, count, seed=0, num_classes=num_classes)


@pytest.mark.parametrize("seed", [-1, 0.5, None, True])
def test_a_seed_that_is_none_is_refused(seed):
    data = CaptionedImages([Path(f"{i}.jpg") for i in range(10)], [["a"]] * 10)
    for draw in (
        lambda: few_labels(LABELS, 10, seed),
        lambda: split_by_image(data, seed=seed),
        lambda: sample(data, 5, seed),
    ):
        with pytest.raises(ValueError, match=rf"^seed {seed}: .* whole number, 0 or more"):
            draw()
