"""The pairs of Cityscapes and the photos of Yosemite."""

import io
import os
import tarfile

import numpy as np
import pytest
from PIL import Image

from recipes.datasets import cityscapes, image_files, yosemite
from recipes.datasets.files import MissingDataError

pytestmark = pytest.mark.usefixtures("root")
ROAD, SKY = cityscapes.COLOURS["road"], cityscapes.COLOURS["sky"]


def save(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.asarray(array, np.uint8)).save(path)
    return path


def photo(value, height=32, width=32):
    """Grey, all of it `value`."""
    return np.full((height, width, 3), value, np.uint8)


def label_map(height=32, width=32):
    """Sky above, road below."""
    labels = np.empty((height, width, 3), np.uint8)
    labels[: height // 2], labels[height // 2 :] = SKY, ROAD
    return labels


def pair(value, height=32, width=32):
    return np.hstack((photo(value, height, width), label_map(height, width)))


def write_pairs(folder, values=(10, 20, 30)):
    for value in values:
        save(folder / f"{value:03}.png", pair(value))
    return folder


def colours(labels):
    return {tuple(colour) for colour in labels.reshape(-1, 3).tolist()}


# Pairs


def check_pairs(labels, photos, values=(10, 20, 30), size=(32, 32)):
    assert labels.shape == photos.shape == (len(values), *size, 3)
    assert labels.dtype == photos.dtype == np.uint8
    assert [np.unique(image).tolist() for image in photos] == [[value] for value in values]
    assert colours(labels) == {SKY, ROAD}
    assert colours(labels[:, : size[0] // 2]) == {SKY}


@pytest.mark.parametrize("split", ["train", "val", "mine"])
@pytest.mark.parametrize("given", [True, False])
def test_pairs(root, tmp_path, split, given):
    folder = tmp_path / "facades" if given else root / "cityscapes"
    write_pairs(folder / split)
    check_pairs(*cityscapes.load(split, folder if given else None, size=32))
    photos, labels = cityscapes.load(
        split, str(folder) if given else None, 32, direction="photos_to_labels"
    )
    check_pairs(labels, photos)


@pytest.mark.parametrize("size", [16, 64, (48, 20), (20, 100)])
def test_pairs_are_cut_before_they_are_resized(tmp_path, size):
    write_pairs(tmp_path / "train")
    shape = size if isinstance(size, tuple) else (size, size)
    check_pairs(*cityscapes.load("train", tmp_path, size), size=shape)


def test_pairs_are_of_256_pixels_and_in_the_order_of_their_names(tmp_path):
    values = (250, 9, 100, 30, 77, 5)
    write_pairs(tmp_path / "train", values)
    labels, photos = cityscapes.load(folder=tmp_path)
    assert photos.shape == (6, 256, 256, 3)
    assert photos[:, 0, 0, 0].tolist() == sorted(values)
    again = cityscapes.load(folder=tmp_path)
    assert np.array_equal(again[0], labels)
    assert np.array_equal(again[1], photos)


def test_unknown_direction():
    with pytest.raises(ValueError, match="unknown direction 'both'; known: labels_to_photos, phot"):
        cityscapes.load(direction="both")


@pytest.mark.parametrize("split", ["test", "", "..", "train/../train"])
def test_split_that_is_not_there(tmp_path, split):
    folder = tmp_path / "mine"
    write_pairs(folder / "val")
    write_pairs(folder / "train")
    (folder / ".cache").mkdir()
    (folder / "notes.txt").touch()
    with pytest.raises(ValueError, match="there is no folder .* there are: train, val$") as error:
        cityscapes.load(split, folder)
    assert str(folder) in str(error.value)


def test_folder_of_pairs_that_is_not_there_or_empty(tmp_path):
    with pytest.raises(MissingDataError, match="there is no folder .*nowhere"):
        cityscapes.load("train", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="there are: none"):
        cityscapes.load("train", tmp_path / "empty")
    (tmp_path / "empty" / "train").mkdir()
    with pytest.raises(ValueError, match="there is no image in .*train"):
        cityscapes.load("train", tmp_path / "empty")


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        pytest.param((32, 65), "is 65 pixels wide: an odd number", id="odd"),
        pytest.param((64, 64), "is a single image, not a pair: 64x64", id="one-half"),
        pytest.param((64, 76), "is a single image, not a pair: 76x64", id="nearly-square"),
        pytest.param((100, 60), "is a single image, not a pair: 60x100", id="portrait"),
        pytest.param((15, 64), "is too small: 64x15", id="low"),
        pytest.param((20, 30), "is too small: 30x20", id="narrow"),
        pytest.param((1, 1), "is too small: 1x1", id="dot"),
    ],
)
def test_files_that_are_no_pairs(tmp_path, capsys, shape, message):
    folder = write_pairs(tmp_path / "train")
    path = save(folder / "015.png", np.zeros((*shape, 3)))
    with pytest.raises(ValueError, match=message) as error:
        cityscapes.load("train", tmp_path)
    assert str(path) in str(error.value)
    check_pairs(*cityscapes.load("train", tmp_path, 32, skip_bad=True))
    assert str(path) in capsys.readouterr().out


@pytest.mark.parametrize("shape", [(16, 32), (64, 78), (32, 200)])
def test_files_that_are_just_pairs(tmp_path, shape):
    save(tmp_path / "train" / "a.png", np.zeros((*shape, 3)))
    assert cityscapes.load("train", tmp_path, 32)[0].shape == (1, 32, 32, 3)


def test_photo_and_labels_of_a_bad_file_both_go(tmp_path, capsys):
    folder = write_pairs(tmp_path / "train")
    (folder / "020.png").write_bytes(b"text")
    with pytest.raises(ValueError, match=r"1 of 3 images cannot be used:\n.*020\.png is not a"):
        cityscapes.load("train", tmp_path)
    check_pairs(*cityscapes.load("train", tmp_path, 32, skip_bad=True), values=(10, 30))
    printed = capsys.readouterr().out
    assert printed.startswith(f"1 of 3 images left out:\n  {folder / '020.png'} is not a")


# Getting Cityscapes


def write_archive(path, top="cityscapes/"):
    with tarfile.open(path, "w:gz") as archive:
        for split, values in {"train": (10, 20, 30), "val": (40,)}.items():
            for value in values:
                image = io.BytesIO()
                Image.fromarray(pair(value)).save(image, "png")
                member = tarfile.TarInfo(f"{top}{split}/{value:03}.png")
                member.size = image.tell()
                image.seek(0)
                archive.addfile(member, image)
    return path


@pytest.mark.parametrize("top", ["cityscapes/", ""])
@pytest.mark.parametrize("there", [True, False])
def test_archive_is_unpacked(root, monkeypatch, top, there):
    def download(url, path, sha256, md5):
        asked.append(url)
        if not path.is_file():
            write_archive(path, top)

    asked = []
    monkeypatch.setattr("recipes.datasets.download.download", download)
    if there:
        write_archive(root / "cityscapes.tar.gz", top)
        (root / "cityscapes").mkdir()
    check_pairs(*cityscapes.load("train", size=32))
    check_pairs(*cityscapes.load("val", size=32), values=(40,))
    assert asked == [cityscapes.URL]  # once: then it is there
    with pytest.raises(ValueError, match="there are: train, val"):
        cityscapes.load("test")


def test_cityscapes_that_is_nowhere(root):
    with pytest.raises(MissingDataError, match="cannot be downloaded") as error:
        cityscapes.load()
    for part in (str(root / "cityscapes"), "train/", "val/", "cityscapes.tar.gz", "RECIPES_DATA"):
        assert part in str(error.value)
    assert isinstance(error.value.__cause__, ConnectionError)


def test_damaged_archive(root):
    path = write_archive(root / "cityscapes.tar.gz")
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(ValueError, match="cannot be unpacked.*get it again") as error:
        cityscapes.load()
    assert str(path) in str(error.value)
    assert not (root / "cityscapes").exists()


def test_data_root_without_the_split(root):
    write_pairs(root / "cityscapes" / "val")
    with pytest.raises(ValueError, match="no folder 'train' in .*cityscapes; there are: val"):
        cityscapes.load("train")


def test_colours():
    assert len(set(cityscapes.COLOURS.values())) == len(cityscapes.COLOURS) == 19
    assert all(0 <= value < 256 for colour in cityscapes.COLOURS.values() for value in colour)


def test_real_cityscapes(real):
    root = real("cityscapes")
    labels, photos = cityscapes.load("val", size=128)
    assert labels.shape == photos.shape == (len(photos), 128, 128, 3)
    assert len(photos) >= 100
    # Most of a label map is in the colours of the classes, as near as JPEG allows (black is what
    # belongs to none); no photo is.
    palette = np.array(list(cityscapes.COLOURS.values()))

    def share(images):
        pixels = images[:20, ::4, ::4].reshape(-1, 1, 3).astype(int)
        return (np.abs(pixels - palette).max(axis=-1).min(axis=-1) <= 12).mean()

    assert share(labels) > 0.6
    assert share(photos) < 0.3
    whole = image_files.read(image_files.find(root / "cityscapes" / "val")[0])
    exact_labels, exact_photos = (part[0] for part in cityscapes.load("val"))
    assert np.array_equal(np.hstack((exact_photos, exact_labels)), whole)


# Joining folders


@pytest.fixture
def halves(tmp_path):
    for value in (10, 20, 30):
        save(tmp_path / "photos" / f"{value:03}.bmp", photo(value, 33, 47))
        save(tmp_path / "labels" / f"{value:03}.png", label_map(33, 47))
    return tmp_path / "photos", tmp_path / "labels"


def test_joined_folders_load_as_pairs(tmp_path, halves):
    target = tmp_path / "mine" / "train"
    assert cityscapes.join_folders(*map(str, halves), str(target)) == target
    assert [path.name for path in image_files.find(target)] == ["010.png", "020.png", "030.png"]
    expected = np.hstack((photo(20, 33, 47), label_map(33, 47)))
    assert np.array_equal(image_files.read(target / "020.png"), expected)
    assert os.listdir(target.parent) == ["train"]
    labels, photos = cityscapes.load("train", tmp_path / "mine", size=(33, 47))
    assert np.array_equal(photos[1], photo(20, 33, 47))
    assert np.array_equal(labels[1], label_map(33, 47))


def test_join_into_an_empty_folder_after_a_run_that_was_killed(tmp_path, halves):
    (tmp_path / "train").mkdir()
    save(tmp_path / ".part.train" / "old.png", pair(1))
    cityscapes.join_folders(*halves, tmp_path / "train")
    assert len(image_files.find(tmp_path / "train")) == 3
    assert not (tmp_path / ".part.train").exists()


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_join_overwrites_nothing(tmp_path, halves, kind):
    target = tmp_path / "train"
    kept = target / "kept.txt" if kind == "folder" else target
    kept.parent.mkdir(exist_ok=True)
    kept.write_text("kept")
    with pytest.raises(FileExistsError, match="has something in it already") as error:
        cityscapes.join_folders(*halves, target)
    assert str(target) in str(error.value)
    assert kept.read_text() == "kept"


@pytest.mark.parametrize("which", [0, 1])
def test_join_wants_a_partner_for_each(tmp_path, halves, which):
    lonely = save(halves[which] / "025.png", photo(0))
    with pytest.raises(ValueError, match="has no partner 025") as error:
        cityscapes.join_folders(*halves, tmp_path / "train")
    assert str(lonely) in str(error.value)
    assert str(halves[1 - which]) in str(error.value)
    assert not (tmp_path / "train").exists()


def test_join_wants_one_size(tmp_path, halves):
    other = save(halves[1] / "020.png", label_map(47, 33))
    with pytest.raises(ValueError, match="is 47x33 pixels, but .* is 33x47") as error:
        cityscapes.join_folders(*halves, tmp_path / "train")
    assert str(other) in str(error.value)
    assert str(halves[0] / "020.bmp") in str(error.value)
    assert sorted(os.listdir(tmp_path)) == ["labels", "photos", "root"]


def test_join_refuses_what_would_not_load(tmp_path, halves):
    for folder, suffix in zip(halves, ("bmp", "png"), strict=True):
        save(folder / f"040.{suffix}", photo(40, 100, 50))
    with pytest.raises(ValueError, match=r"040\.bmp beside .*040\.png is a single image"):
        cityscapes.join_folders(*halves, tmp_path / "train")


def test_join_wants_one_image_of_a_name(tmp_path, halves):
    save(halves[0] / "010.jpg", photo(10))
    with pytest.raises(ValueError, match="have the same name but for the suffix") as error:
        cityscapes.join_folders(*halves, tmp_path / "train")
    assert "010.bmp" in str(error.value)
    assert "010.jpg" in str(error.value)


def test_join_of_a_damaged_image_or_no_folder(tmp_path, halves):
    (halves[1] / "030.png").write_bytes(b"text")
    with pytest.raises(ValueError, match=r"030\.png is not an image"):
        cityscapes.join_folders(*halves, tmp_path / "train")
    assert sorted(os.listdir(tmp_path)) == ["labels", "photos", "root"]
    with pytest.raises(MissingDataError, match="there is no folder .*nowhere"):
        cityscapes.join_folders(halves[0], tmp_path / "nowhere", tmp_path / "train")


# Yosemite


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("split", yosemite.SPLITS)
def test_yosemite(root, tmp_path, given, split):
    folder = tmp_path / "mine" if given else root / "summer2winter_yosemite"
    for number, name in enumerate(yosemite.SPLITS):
        for value in (3, 1, 2):
            save(folder / name / f"{value}.png", photo(10 * number + value, 40, 50))
    images = yosemite.load(split, folder if given else None, size=16)
    assert images.shape == (3, 16, 16, 3)
    assert images.dtype == np.uint8
    first = 10 * yosemite.SPLITS.index(split)
    assert images[:, 0, 0, 0].tolist() == [first + 1, first + 2, first + 3]
    assert yosemite.load(split, folder if given else None).shape == (3, 256, 256, 3)


def test_yosemite_of_an_unknown_split(root):
    with pytest.raises(ValueError, match="unknown split 'train'; known: trainA, trainB, testA, te"):
        yosemite.load("train")
    save(root / "summer2winter_yosemite" / "trainA" / "a.png", photo(0))
    with pytest.raises(ValueError, match="no folder 'trainB' in .*yosemite; there are: trainA"):
        yosemite.load("trainB")


def test_yosemite_with_bad_files(tmp_path, capsys):
    save(tmp_path / "trainA" / "a.png", photo(7))
    (tmp_path / "trainA" / "b.jpg").write_bytes(b"")
    with pytest.raises(ValueError, match=r"1 of 2 images cannot be used:\n.*b\.jpg"):
        yosemite.load("trainA", tmp_path)
    assert yosemite.load("trainA", tmp_path, skip_bad=True).shape == (1, 256, 256, 3)
    assert "b.jpg" in capsys.readouterr().out


def test_yosemite_folder_that_is_not_there(tmp_path):
    with pytest.raises(MissingDataError, match="there is no folder .*nowhere"):
        yosemite.load("trainA", tmp_path / "nowhere")


@pytest.mark.parametrize("split", yosemite.SPLITS)
def test_yosemite_by_tensorflow_datasets(root, monkeypatch, split):
    tfds = pytest.importorskip("tensorflow_datasets")
    tf = pytest.importorskip("tensorflow")
    asked = []

    def as_dataset(self, split, **options):
        asked.append((self.name, self.builder_config.name, str(split)))
        images = np.stack([photo(value, 40, 50) for value in (3, 1, 2)])
        return tf.data.Dataset.from_tensor_slices({"image": images, "label": [0, 0, 0]})

    def load(*args, data_dir, **options):
        assert data_dir == root / "tensorflow_datasets"
        return tfds_load(*args, data_dir=data_dir, **options)

    tfds_load = tfds.load
    monkeypatch.setattr(tfds, "load", load)
    with tfds.testing.mock_data(as_dataset_fn=as_dataset):
        images = yosemite.load(split, size=16)
    assert images.shape == (3, 16, 16, 3)
    assert images.dtype == np.uint8
    assert images[:, 0, 0, 0].tolist() == [3, 1, 2]
    assert asked == [("cycle_gan", "summer2winter_yosemite", split)]


def test_yosemite_by_tensorflow_datasets_of_its_own_making():
    tfds = pytest.importorskip("tensorflow_datasets")
    with tfds.testing.mock_data(num_examples=4):
        assert yosemite.load("testB").shape == (4, 256, 256, 3)


def test_yosemite_that_is_nowhere(root, monkeypatch):
    tfds = pytest.importorskip("tensorflow_datasets")

    def load(*args, **options):
        raise ConnectionError("no network here")

    monkeypatch.setattr(tfds, "load", load)
    (root / "summer2winter_yosemite").mkdir()
    with pytest.raises(MissingDataError, match="no network here") as error:
        yosemite.load()
    for part in (str(root / "summer2winter_yosemite"), *yosemite.SPLITS, "RECIPES_DATA_DIR"):
        assert part in str(error.value)
    assert isinstance(error.value.__cause__, ConnectionError)


def test_real_yosemite(real):
    root = real("summer2winter_yosemite")
    summer, winter = yosemite.load("testA"), yosemite.load("testB")
    for images in (summer, winter):
        assert images.shape == (len(images), 256, 256, 3)
        assert len(images) >= 50
    # Green is what summer has more of than winter.
    green = [(images[..., 1] - images.mean(axis=-1)).mean() for images in (summer, winter)]
    assert green[0] > green[1] + 1
    paths = image_files.find(root / "summer2winter_yosemite" / "testA")
    assert np.array_equal(summer[-1], image_files.read(paths[-1]))
