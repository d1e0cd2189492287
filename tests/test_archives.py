"""Archives of every kind: whole, damaged, hostile and senseless ones."""

import bz2
import errno
import gzip
import io
import lzma
import os
import shutil
import stat
import tarfile
import zipfile

import pytest

from recipes.datasets import archives
from recipes.datasets.archives import unpack

BODY = bytes(range(256)) * 40


def names_in(folder):
    return sorted(item.name for item in folder.iterdir())


FILES = {"captions.txt": b"a dog", "Images/one.jpg": BODY, "Images/deep/two.jpg": b""}
FORMATS = ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"]


def pack(path, kind="zip"):
    if kind == "zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in FILES.items():
                archive.writestr(name, content)
    else:
        with tarfile.open(path, "w:" + kind[len("tar.") :]) as archive:
            for name, content in FILES.items():
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
    return path


def check_nothing_unpacked(tmp_path, archive):
    """Nothing is left but the archive: neither in the folder, nor beside it, nor above it."""
    assert names_in(tmp_path) == ["sets"]
    assert names_in(tmp_path / "sets") == [archive.name]


@pytest.fixture
def sets(tmp_path):
    (tmp_path / "sets").mkdir()
    return tmp_path / "sets"


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("empty_folder", [False, True])
def test_unpack(sets, kind, empty_folder):
    archive = pack(sets / f"set.{kind}", kind)
    if empty_folder:
        (sets / "set").mkdir()
    target = unpack(archive, sets / "set")
    assert target == sets / "set"
    found = {
        file.relative_to(target).as_posix(): file.read_bytes()
        for file in target.rglob("*")
        if file.is_file()
    }
    assert found == FILES
    assert names_in(sets) == ["set", archive.name]


def test_unpack_leaves_a_folder_alone_that_has_something_in_it(sets):
    archive = pack(sets / "set.zip")
    (sets / "set").mkdir()
    (sets / "set" / "mine").touch()
    unpack(archive, sets / "set")
    assert names_in(sets / "set") == ["mine"]


def test_unpack_clears_what_a_killed_process_left(sets):
    (sets / ".part.set").mkdir()
    (sets / ".part.set" / "half").touch()
    unpack(pack(sets / "set.zip"), sets / "set")
    assert names_in(sets / "set") == ["Images", "captions.txt"]
    assert names_in(sets) == ["set", "set.zip"]


def hostile_zip(path, name, kind=stat.S_IFREG):
    pack(path)
    with zipfile.ZipFile(path, "a") as archive:
        member = zipfile.ZipInfo(name)
        member.external_attr = (kind | 0o644) << 16
        archive.writestr(member, "../../outside")


def hostile_tar(path, name, kind=tarfile.REGTYPE):
    pack(path, "tar")
    with tarfile.open(path, "a") as archive:
        member = tarfile.TarInfo(name)
        member.type, member.linkname = kind, "captions.txt"
        archive.addfile(member)


@pytest.mark.parametrize("make", [hostile_zip, hostile_tar])
@pytest.mark.parametrize(
    "name", ["../evil", "Images/../../evil", "/evil", "..\\evil", "\\evil", "C:\\evil", "C:evil"]
)
def test_unpack_refuses_what_leads_out_of_the_folder(tmp_path, sets, make, name):
    archive = sets / "set.bin"
    make(archive, name)
    with pytest.raises(ValueError, match="leads out of the folder") as error:
        unpack(archive, sets / "set")
    assert str(archive) in str(error.value)
    assert repr(name) in str(error.value)
    check_nothing_unpacked(tmp_path, archive)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (hostile_zip, stat.S_IFLNK),
        (hostile_zip, stat.S_IFIFO),
        (hostile_tar, tarfile.SYMTYPE),
        (hostile_tar, tarfile.LNKTYPE),
        (hostile_tar, tarfile.FIFOTYPE),
        (hostile_tar, tarfile.CHRTYPE),
    ],
)
def test_unpack_refuses_links_and_devices(tmp_path, sets, make, kind):
    archive = sets / "set.bin"
    make(archive, "odd", kind)
    with pytest.raises(ValueError, match=r"set.bin .*: member 'odd' is a link, a device"):
        unpack(archive, sets / "set")
    check_nothing_unpacked(tmp_path, archive)


def test_unpack_refuses_sparse_files(tmp_path, sets):
    archive = sets / "set.bin"
    hole = tarfile.TarInfo("odd")
    hole.size, hole.type = 0, tarfile.GNUTYPE_SPARSE
    with tarfile.open(archive, "w", format=tarfile.GNU_FORMAT) as file:
        file.addfile(hole)
    with pytest.raises(ValueError, match="member 'odd' is .*a file with holes"):
        unpack(archive, sets / "set")
    check_nothing_unpacked(tmp_path, archive)


def cut_short(archive):
    archive.write_bytes(archive.read_bytes()[:-4])


def cut_in_half(archive):
    data = archive.read_bytes()
    archive.write_bytes(data[: len(data) // 2])


def flip_a_bit(archive):
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    archive.write_bytes(data)


@pytest.mark.parametrize(
    ("kind", "damage"),
    # The end of a plain tar is padding, and its contents have no checksum.
    [
        (kind, damage)
        for kind in FORMATS
        for damage in (cut_short, cut_in_half, flip_a_bit)
        if (kind, damage) not in (("tar", cut_short), ("tar", flip_a_bit), ("zip", flip_a_bit))
    ],
)
def test_unpack_of_a_damaged_archive(tmp_path, sets, kind, damage):
    archive = pack(sets / "set.bin", kind)
    damage(archive)
    with pytest.raises(ValueError, match=r"set.bin cannot be unpacked: .*get it again"):
        unpack(archive, sets / "set")
    check_nothing_unpacked(tmp_path, archive)


def test_unpack_of_a_zip_with_a_damaged_member(tmp_path, sets):
    archive = sets / "set.zip"
    with zipfile.ZipFile(archive, "w") as file:  # not compressed, so that BODY can be found
        file.writestr("one", BODY)
    archive.write_bytes(archive.read_bytes().replace(BODY[:9], b"otherwise"[:9]))
    with pytest.raises(ValueError, match=r"set.zip cannot be unpacked: Bad CRC-32"):
        unpack(archive, sets / "set")
    check_nothing_unpacked(tmp_path, archive)


def test_unpack_of_what_is_no_archive(tmp_path, sets):
    archive = sets / "set.zip"
    archive.write_text("<html>Please log in</html>")
    with pytest.raises(ValueError, match="neither a whole zip nor a tar file"):
        unpack(archive, sets / "set")
    check_nothing_unpacked(tmp_path, archive)


def test_unpack_of_a_missing_archive(sets):
    with pytest.raises(FileNotFoundError, match=r"no archive .*set.zip"):
        unpack(sets / "set.zip", sets / "set")
    assert names_in(sets) == []


def write_zip(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), name)
    return path


def test_unpack_leaves_out_a_single_folder_at_the_top_and_what_macos_adds(sets):
    archive = write_zip(sets / "a.zip", "set/a.txt", "set/set/b.txt", "__MACOSX/set/._a.txt")
    assert names_in(unpack(archive, sets / "one")) == ["a.txt", "set"]
    archive = write_zip(sets / "b.zip", "set/a.txt", "b.txt", "__MACOSX/._b.txt")
    assert names_in(unpack(archive, sets / "two")) == ["b.txt", "set"]


def test_unpack_takes_windows_slashes(sets):
    archive = write_zip(sets / "a.zip", "Images\\a.jpg", "b.txt")
    assert names_in(unpack(archive, sets / "set") / "Images") == ["a.jpg"]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "there is no file in it"),
        (["a/", "__MACOSX/b"], "there is no file in it"),
        (["a", "."], "member '.' has a name that no file can have"),
        (["a" * 256], "has a name that no file can have"),
        (["a", "b/c", "b"], "member 'b' is both a file and a folder"),
        (["a/b/c/d", "a/b"], "member 'a/b' is both a file and a folder"),
        (["a", "b", "./a"], "member './a' is there twice"),
    ],
)
@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_unpack_of_a_senseless_archive(tmp_path, sets, names, message, kind):
    archive = sets / "set.bin"
    if kind == "zip":
        write_zip(archive, *names)
    else:
        with tarfile.open(archive, "w") as file:
            for name in names:
                member = tarfile.TarInfo(name)
                member.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
                file.addfile(member)
    with pytest.raises(ValueError, match=f"set.bin cannot be unpacked: .*{message}"):
        unpack(archive, sets / "set")
    check_nothing_unpacked(tmp_path, archive)


def test_unpack_of_archives_with_any_byte_wrong(sets):
    for kind in FORMATS:
        whole = pack(sets / "set.bin", kind).read_bytes()
        for at in range(0, len(whole), len(whole) // 10):
            damaged = bytearray(whole)
            damaged[at] ^= 0xFF
            (sets / "set.bin").write_bytes(damaged)
            try:
                unpack(sets / "set.bin", sets / "set")
            except ValueError as error:  # any other error fails the test
                assert "set.bin cannot be unpacked" in str(error)  # noqa: PT017
            shutil.rmtree(sets / "set", ignore_errors=True)


@pytest.mark.parametrize("kind", FORMATS[1:])
@pytest.mark.parametrize("damage", ["a bit of a header", "cut at a header", "cut in it", "zeros"])
def test_a_tar_that_seems_to_end_early_is_refused(tmp_path, sets, kind, damage):
    with tarfile.open(sets / "set.bin", "w") as archive:
        for i in range(8):
            member = tarfile.TarInfo(f"{i}.txt")
            member.size = 1000
            archive.addfile(member, io.BytesIO(bytes(1000)))
    raw, third = bytearray((sets / "set.bin").read_bytes()), 2 * 1536  # begins the third member
    if damage == "a bit of a header":
        raw[third + 20] ^= 1
    elif damage == "zeros":
        raw[third : third + 1536] = bytes(1536)
    else:
        raw = raw[: third + 300 * (damage == "cut in it")]
    packers = {"tar": bytes, "tar.gz": gzip.compress, "tar.bz2": bz2.compress}
    (sets / "set.bin").write_bytes(packers.get(kind, lzma.compress)(bytes(raw)))
    with pytest.raises(ValueError, match="damaged or cut off"):
        unpack(sets / "set.bin", sets / "set")
    check_nothing_unpacked(tmp_path, sets / "set.bin")


def test_unpack_onto_a_full_disk(tmp_path, sets, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    archive = pack(sets / "set.zip")
    monkeypatch.setattr(archives, "open", full, raising=False)
    with pytest.raises(OSError, match=r"cannot write .*/set: No .*RECIPES_DATA_DIR") as error:
        unpack(archive, sets / "set")
    assert error.value.errno == errno.ENOSPC
    check_nothing_unpacked(tmp_path, archive)
