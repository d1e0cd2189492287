"""Nothing is executed from data: what our code calls, and what hostile files bring about."""

import io
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image

from recipes.captioning import Captioner, ImageCaptionFeatureExtractor, MergeCaptioner, Vocabulary
from recipes.datasets import archives, cityscapes, coco, fashion_mnist, flickr8k
from recipes.dcgan import DCGAN, build_discriminator, build_generator

ROOT = Path(__file__).parents[1]

# What our code calls

FORBIDDEN = [
    "import pickle", "from joblib import load", "import dill", "import marshal", "eval(text)",
    "exec(text)", "import os; os.system(text)", "import subprocess; subprocess.run(x, shell=True)",
    "import yaml; yaml.load(text)", "import shutil; shutil.unpack_archive(path)",
    "import keras; keras.config.enable_unsafe_deserialization()",
    "from keras import layers; layers.TFSMLayer(path)",
    "import tensorflow as tf; tf.saved_model.load(path)",
    "import tarfile; tarfile.open(path).extractall(path)",
]  # fmt: skip


def test_ruff_forbids_what_would_run_code_out_of_data():
    """Its S rules and the banned names of pyproject.toml, over which `make test` goes first."""
    command = [sys.executable, "-m", "ruff", "check", "--no-cache", "--output-format=json"]
    command += ["--stdin-filename=recipes/x.py", "-"]
    done = subprocess.run(
        command, cwd=ROOT, input="\n".join(FORBIDDEN), capture_output=True, text=True
    )
    faults = [fault for fault in json.loads(done.stdout) if fault["code"][:2] in ("S1", "S2", "S3",
              "S4", "S5", "S6", "TI")]  # fmt: skip
    found = {fault["location"]["row"] for fault in faults}
    missed = [line for row, line in enumerate(FORBIDDEN, 1) if row not in found]
    assert missed == []


def test_our_code_asks_for_nothing_unsafe():
    """Arguments that Ruff does not know, and addresses that are not encrypted."""
    unsafe = re.compile(r"allow_pickle=(?!False)|safe_mode=(?!True)|[\"']http://(?!127\.0\.0\.1)\w")
    folders = ("recipes", "data/toyworlds", "tools", "benchmarks", "notebooks")
    files = [path for folder in folders for path in (ROOT / folder).rglob("*.[pi]*y*")]
    assert len(files) > 60
    for path in files:
        if path.suffix in (".py", ".ipynb"):
            text = path.read_text(encoding="utf-8")
            assert not unsafe.search(text), f"{path}: {unsafe.search(text)[0]}"
            if "datasets" in path.parts:  # PostScript, among others, is a program
                assert "Image.open(" not in text or "formats=" in text, path


# Archives; test_storage.py has the plain cases


def tar_with(path, *members):
    """A tar file of a picture and of `(name, type, link)`; a link leads to a file of that name."""
    with tarfile.open(path, "w:gz") as archive:
        for name, kind, link in [("train/1.png", tarfile.REGTYPE, ""), *members]:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.size = kind, link, 4 * (not link)
            archive.addfile(member, io.BytesIO(b"evil"))


@pytest.mark.parametrize(
    "members",
    [
        [("way", tarfile.SYMTYPE, "../.."), ("way/evil", tarfile.REGTYPE, "")],
        [("evil", tarfile.BLKTYPE, "x")],
        [("val", tarfile.SYMTYPE, "train")],
        [("train", tarfile.LNKTYPE, "/etc")],
        [("val/../../../evil", tarfile.REGTYPE, "")],
        [("/evil", tarfile.DIRTYPE, "")],
    ],
)
def test_a_hostile_archive_of_a_data_set(tmp_path, monkeypatch, members):
    monkeypatch.setenv("RECIPES_DATA_DIR", str(tmp_path))
    tar_with(tmp_path / "cityscapes.tar.gz", *members)
    with pytest.raises(ValueError, match=r"cityscapes.tar.gz cannot be unpacked: member ."):
        cityscapes.load()
    assert os.listdir(tmp_path) == ["cityscapes.tar.gz"]


@pytest.mark.parametrize("kind", [stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_devices_in_a_zip(tmp_path, kind):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        member = zipfile.ZipInfo("odd")
        member.external_attr = (kind | 0o644) << 16
        archive.writestr(member, "x")
    with pytest.raises(ValueError, match="'odd' is a link, a device"):
        archives.unpack(tmp_path / "a.zip", tmp_path / "a")


# Downloads


def test_a_download_with_another_checksum_is_deleted(tmp_path, monkeypatch, http_server):
    http_server.body = b"evil"
    monkeypatch.setenv("RECIPES_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.setattr(fashion_mnist, "URL", f"{http_server.url}/")
    with pytest.raises(ValueError, match="expected SHA-256 .* It was deleted; ") as error:
        fashion_mnist.load()
    assert str(tmp_path / "fashion-mnist" / "train-images-idx3-ubyte.gz") in str(error.value)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


# Files that hold code


class Evil:
    """Unpickled, it makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.fixture
def mark(tmp_path):
    """The file that is there when code of a hostile file was executed."""
    return tmp_path / "executed"


@pytest.fixture(scope="module")
def extractor():
    inputs = keras.Input((8, 8, 3))
    outputs = layers.Dense(5, name="dense")(layers.GlobalAveragePooling2D()(inputs))
    return ImageCaptionFeatureExtractor(keras.Model(inputs, outputs))


@pytest.fixture(scope="module")
def captioner(extractor, tmp_path_factory):
    vocabulary = Vocabulary(["a", "dog"])
    model = MergeCaptioner(len(vocabulary), (5,), width=2, embedding=2)
    folder = tmp_path_factory.mktemp("saved") / "captioner"
    Captioner(model, vocabulary, extractor).save(folder)
    return folder


@pytest.fixture
def saved(tmp_path, captioner):
    """A folder with a captioner, in which a test may change something."""
    return shutil.copytree(captioner, tmp_path / "captioner")


def test_pickled_objects_in_place_of_features(tmp_path, extractor, mark):
    photo, out = tmp_path / "photo.png", tmp_path / "features"
    Image.new("RGB", (8, 8)).save(photo)
    made = ImageCaptionFeatureExtractor(extractor.backbone, out)
    made.extract_features([photo])
    np.save(out / "features.npy", np.array([Evil(mark)]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"features\.npy cannot be used"):
        made.extract_features([photo])
    assert not mark.exists()
    np.load(out / "features.npy", allow_pickle=True)
    assert mark.exists()  # it is as hostile as was meant


def lambda_model(path, mark):
    inputs = keras.Input((8, 8, 3))
    text = str(mark)
    run = layers.Lambda(lambda x: (open(text, "w").close(), x)[1], output_shape=(8, 8, 3))
    outputs = layers.GlobalAveragePooling2D()(run(inputs))
    keras.Model(inputs, outputs).save(path)
    mark.unlink(missing_ok=True)


def changed_config(path, change):
    """Lets `change` work on the configuration of a `.keras` file."""
    with zipfile.ZipFile(path) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    config = json.loads(content["config.json"])
    change(config)
    content["config.json"] = json.dumps(config)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in content.items():
            archive.writestr(name, data)


def calls(module, name, **config):
    """A `.keras` file that has something else than a layer of Keras in place of a layer."""

    def make(path, mark):
        inputs = keras.Input((4,))
        keras.Model(inputs, layers.Dense(2, name="dense")(inputs)).save(path)
        layer = {"module": module, "class_name": name, "registered_name": None, "config": config}
        if "command" in config:
            config["command"] = f"touch {mark}"
        changed_config(path, lambda value: value["config"]["layers"][1].update(layer))

    return make


def hdf5(path, mark):
    lambda_model(path.with_suffix(".h5"), mark)
    path.with_suffix(".h5").rename(path)


HOSTILE = {
    "a Lambda layer": lambda_model,
    "a Lambda layer in HDF5": hdf5,
    "os.system": calls("os", "system", command=""),
    "subprocess": calls("subprocess", "Popen", args=["true"]),
    "a function that downloads": calls("keras.utils", "get_file", fname="a", origin="file:///b"),
    "an end of safe mode": calls("keras.config", "enable_unsafe_deserialization"),
    "a SavedModel": calls("keras.layers", "TFSMLayer", filepath="a", call_endpoint="serve"),
    "no configuration": lambda path, mark: changed_config(
        (calls("a", "b")(path, mark), path)[1], lambda value: value.clear()
    ),
    "no zip": lambda path, mark: path.write_bytes(b"no zip"),
}


@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("captioner.keras", Captioner.load),
        ("extractor.keras", ImageCaptionFeatureExtractor.load),
    ],
)
def test_a_saved_model_that_holds_code(saved, mark, name, load, kind):
    (saved / name).unlink()
    HOSTILE[kind](saved / name, mark)
    with pytest.raises(ValueError, match=f"{name} cannot be loaded"):
        load(saved)
    assert not mark.exists()


def test_the_lambda_layer_is_as_hostile_as_was_meant(tmp_path, mark):
    lambda_model(tmp_path / "a.keras", mark)
    keras.models.load_model(tmp_path / "a.keras", safe_mode=False)(np.zeros((1, 8, 8, 3)))
    assert mark.exists()


def test_a_gan_whose_settings_hold_code(tmp_path, mark):
    """As notebooks load it."""
    path = tmp_path / "gan.keras"
    gan = DCGAN(build_generator(width=2, latent_dim=2), build_discriminator(width=2))
    gan.compile()
    gan.save(path)
    keras.models.load_model(path)
    lambda_model(tmp_path / "evil.keras", mark)
    with zipfile.ZipFile(tmp_path / "evil.keras") as archive:
        evil = json.loads(archive.read("config.json"))["config"]["layers"][1]
    whole = path.read_bytes()
    for place, name in (("config", "generator"), ("compile_config", "learning_rate")):
        path.write_bytes(whole)

        def change(value, place=place, name=name):
            value[place][name] = evil

        changed_config(path, change)
        with pytest.raises((ValueError, TypeError)):
            keras.models.load_model(path)
        assert not mark.exists()


def test_another_model_in_place_of_the_captioner(saved, extractor):
    extractor.backbone.save(saved / "captioner.keras")
    with pytest.raises(ValueError, match=r"captioner\.keras is a Functional, not a captioner"):
        Captioner.load(saved)


# Settings


NOT_OURS = ["", "{", "[]", "5", "null", '"words"', "[" * 100_000, "{}", "\ufeff{}", '{"a": 1}']


@pytest.mark.parametrize(
    ("name", "load"),
    [
        ("captioner.json", Captioner.load),
        ("vocabulary.json", lambda folder: Vocabulary.load(folder / "vocabulary.json")),
        ("extractor.json", ImageCaptionFeatureExtractor.load),
    ],
)
def test_json_that_is_not_ours(saved, name, load):
    for content in [*NOT_OURS, '{"words": "abc"}', '{"words": {"a": 1}}', '{"words": [["a"]]}']:
        (saved / name).write_text(content, encoding="utf-8")
        with pytest.raises(ValueError, match=name):
            load(saved)
    (saved / name).write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match=name):
        load(saved)


@pytest.mark.parametrize(
    "changes",
    [
        {"backbone": "../../evil", "weights": "pretrained"},
        {"backbone": "/etc/passwd", "weights": "imagenet"},
        {"backbone": "NoSuchNet", "weights": "pretrained"},
        {"backbone": "imagenet_utils", "weights": "pretrained"},
        {"backbone": "__loader__", "weights": "pretrained"},
        {"backbone": {"module": "os", "class_name": "system"}, "weights": "pretrained"},
        {"backbone": ["MobileNetV2"], "weights": "pretrained"},
        {"backbone": "scenes", "weights": "imagenet"},
        {"backbone": "scenes", "weights": 5},
        {"backbone": "scenes", "weights": ["a"]},
        {"backbone": "scenes", "weights": __file__},
        {"backbone": "scenes", "weights": "pretrained", "spatial": "no"},
        {"dtype": "object"},
        {"dtype": 3},
        {"batch_size": "many"},
        {"batch_size": 0},
        {"weights_sha256": "0"},
    ],
)
def test_an_extractor_of_other_settings(saved, changes):
    path = saved / "extractor.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(ValueError, match=r"extractor\.json"):
        ImageCaptionFeatureExtractor.load(saved)


# Names that lead out of the folder

OUT = ["../out.jpg", "../../flickr8k/../out.jpg", "{}/out.jpg", "sub/../../out.jpg", "..\\out.jpg"]


@pytest.mark.parametrize("name", OUT)
def test_captions_of_photos_outside_of_the_folder(tmp_path, name):
    name = name.format(tmp_path)
    images = tmp_path / "flickr8k" / "Images"
    for path in (images / "a.jpg", tmp_path / "out.jpg", images.parent / "out.jpg"):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(path)
    (images.parent / "captions.txt").write_text(f"image,caption\na.jpg,a dog\n{name},a secret\n")
    with pytest.raises(ValueError, match="1 image that is not in .*Images") as error:
        flickr8k.load("all", images.parent)
    assert name in str(error.value) or repr(name)[1:-1] in str(error.value)
    data = flickr8k.load("all", images.parent, skip_missing=True)
    assert data.paths == [images / "a.jpg"]
    (images.parent / "train.txt").write_text(f"a.jpg\n{name}\n")
    assert flickr8k.load("train", images.parent, skip_missing=True).paths == data.paths


@pytest.mark.parametrize("name", OUT)
@pytest.mark.parametrize("download", [False, True])
def test_coco_of_photos_outside_of_the_folder(tmp_path, monkeypatch, http_server, name, download):
    http_server.body = b"evil"
    monkeypatch.setenv("RECIPES_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(coco, "URL", http_server.url)
    value = {
        "images": [{"id": 1, "file_name": name.format(tmp_path)}],
        "annotations": [{"id": 1, "image_id": 1, "caption": "a secret"}],
    }
    path = tmp_path / "coco" / "annotations" / "captions_train2017.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps(value))
    with pytest.raises(ValueError, match="is not the plain name of a file"):
        coco.load(download=download)
    assert not list(tmp_path.rglob("out.jpg*"))
    shutil.copy(path, path.with_name("instances_train2017.json"))
    with pytest.raises(ValueError, match=r"instances_train2017\.json"):
        coco.boxes()
