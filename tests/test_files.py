"""The data root, and files and folders that are written whole or not at all, one at a time."""

import contextlib
import errno
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from recipes.datasets import files
from recipes.training.checkpoints import remove
from recipes.training.runtime import output_dir
from tools.soak import Killed, Operations, die

REPOSITORY = Path(__file__).resolve().parents[1]


def names_in(folder):
    return sorted(item.name for item in folder.iterdir())


@pytest.fixture
def sets(tmp_path):
    (tmp_path / "sets").mkdir()
    return tmp_path / "sets"


# The data root


def test_data_root_is_the_folder_in_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("RECIPES_DATA_DIR", str(tmp_path))
    assert files.data_root() == tmp_path


def test_data_root_expands_the_home_folder(tmp_path, monkeypatch):
    (tmp_path / "sets").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("RECIPES_DATA_DIR", "~/sets")
    assert files.data_root() == tmp_path / "sets"


def test_a_home_folder_of_nobody_is_named(monkeypatch):
    for name, act in (
        ("RECIPES_DATA_DIR", files.data_root),
        ("RECIPES_OUTPUT_DIR", lambda: output_dir("dcgan")),
    ):
        monkeypatch.setenv(name, "~nosuchuser/sets")
        with pytest.raises(ValueError, match=f"{name} is '~nosuchuser/sets': .*whole path"):
            act()


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_data_root_that_is_no_folder(tmp_path, monkeypatch, kind):
    place = tmp_path / "place"
    if kind == "file":
        place.touch()
    monkeypatch.setenv("RECIPES_DATA_DIR", str(place))
    with pytest.raises(NotADirectoryError, match="RECIPES_DATA_DIR is .*place"):
        files.data_root()


@pytest.mark.parametrize("value", [None, ""])
def test_data_root_in_a_checkout(tmp_path, monkeypatch, value):
    if value is None:
        monkeypatch.delenv("RECIPES_DATA_DIR", raising=False)
    else:
        monkeypatch.setenv("RECIPES_DATA_DIR", value)
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.setattr(files, "__file__", str(tmp_path / "recipes" / "datasets" / "files.py"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert files.data_root() == tmp_path / "data"


def test_data_root_of_an_installed_package(tmp_path, monkeypatch):
    monkeypatch.delenv("RECIPES_DATA_DIR", raising=False)
    monkeypatch.setattr(files, "__file__", str(tmp_path / "lib" / "recipes" / "a" / "b.py"))
    monkeypatch.chdir(tmp_path)
    assert files.data_root() == tmp_path / "data"


def test_find_folder_wants_all_files(tmp_path):
    for name in ("half/a", "whole/a", "whole/b", "later/a", "later/b"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    folders = [tmp_path / name for name in ("none", "half", "whole", "later")]
    assert files.find_folder(folders, ["a", "b"]) == tmp_path / "whole"
    assert files.find_folder(folders, ["a", "c"]) is None


def test_check_choice_lists_what_is_known():
    files.check_choice("split", "train", ("train", "test"))
    with pytest.raises(ValueError, match="unknown split 'validation'; known: train, test"):
        files.check_choice("split", "validation", ("train", "test"))


# Files


def write_file(path, text, fault=None):
    with files.whole_file(path) as part:
        part.write_text(text)
        if fault:
            raise fault


def test_a_file_is_written_whole_or_not_at_all(sets):
    path = sets / "deep" / "a.png"
    with files.whole_file(path) as part:
        part.write_text("one")
        assert part.suffix == ".png"  # Keras and Pillow go by it
        assert not path.exists()
    for fault in (ValueError, KeyboardInterrupt, ConnectionError("no network")):
        with contextlib.suppress(ValueError, KeyboardInterrupt, ConnectionError):
            write_file(path, "half", fault)
    assert path.read_text() == "one"
    write_file(path, "two")
    assert path.read_text() == "two"
    assert names_in(path.parent) == ["a.png"]


def test_a_link_stays_and_what_it_leads_to_is_replaced(sets):
    (sets / "target").write_text("one")
    (sets / "link").symlink_to("target")
    write_file(sets / "link", "two")
    assert (sets / "link").is_symlink()
    assert (sets / "target").read_text() == "two"


def test_a_file_killed_at_any_operation_stays_and_can_be_written_again(sets):
    with Operations(sets) as operations:
        write_file(sets / "a", "one")
    for number in range(1, operations.count + 1):
        with Operations(sets, number, die), pytest.raises(Killed):
            write_file(sets / "a", "two")
        assert (sets / "a").read_text() in ("one", "two")
        write_file(sets / "a", "one")
        assert (sets / "a").read_text() == "one"
        assert {"a"} <= set(names_in(sets)) <= {"a", ".a.lock", ".a.holder"}


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_what_cannot_be_written_is_named_once(sets, code):
    with (
        pytest.raises(OSError, match=r"cannot write \S+/sets/set: .*, or pray$") as error,
        files.whole_folder(sets / "set", advice=", or pray") as folder,
    ):
        write_file(folder / "a", "half", OSError(code, os.strerror(code)))
    assert error.value.errno == code
    assert isinstance(error.value, PermissionError) == (code == errno.EACCES)
    assert str(error.value).count("cannot write") == 1
    assert f"{os.strerror(code)}. Make room or get the permission" in str(error.value)
    assert names_in(sets) == []


def test_a_folder_that_cannot_be_made(sets):
    (sets / "file").touch()
    with pytest.raises(OSError, match="cannot write .*Make room"):
        files.save_json(sets / "file" / "a.json", {})


# JSON


def test_json(sets):
    path = sets / "a.json"
    files.save_json(path, {"words": ["ü"], "count": 3, "none": None})
    found = files.load_json(str(path), words=list, count=(int, str), none=type(None))
    assert found == {"words": ["ü"], "count": 3, "none": None}
    with pytest.raises(FileNotFoundError, match=r"there is no .*b\.json"):
        files.load_json(sets / "b.json")


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"", "damaged"),
        (b'{"count": 3', "damaged"),
        (b"\xff\xfe", "damaged"),
        (b"[" * 100_000, "damaged"),
        (b"[3]", "no JSON object"),
        (b"{}", 'it has no "count"'),
        (b'{"count": [3]}', 'its "count" is a list'),
        (b'{"count": null}', 'its "count" is a NoneType'),
        (b'{"count": true}', 'its "count" is a bool'),
    ],
)
def test_json_that_is_not_what_it_should_be(sets, content, fault):
    (sets / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=fault) as error:
        files.load_json(sets / "a.json", count=int)
    assert str(sets / "a.json") in str(error.value)
    assert "remove it" in str(error.value)


# Folders


def write(folder, *names, fault=None, own=()):
    with files.whole_folder(folder, lambda old: own) as part:
        assert names_in(part) == []
        for name in names:
            (part / name).parent.mkdir(exist_ok=True)
            (part / name).write_text("new")
        if fault:
            raise fault
    return folder


def test_a_folder_is_replaced_but_what_others_put_there_stays(sets):
    folder = write(sets / "deep" / "set", "one", "two", "a/three", "a/four")
    for name in ("notes", "a/photo"):
        (folder / name).write_text("mine")
    (folder / "link").symlink_to("gone")
    own = ("one", "two", "a/three", "a/four")
    write(folder, "two", "a/four", own=own)
    assert names_in(folder) == ["a", "link", "notes", "two"]
    assert names_in(folder / "a") == ["four", "photo"]
    assert (folder / "a" / "photo").read_text() == "mine"
    assert names_in(sets / "deep") == ["set"]


def test_a_folder_stays_where_the_new_one_fails(sets):
    write(sets / "set", "one")
    for name in ("set", "other"):
        with pytest.raises(KeyboardInterrupt):
            write(sets / name, "half", fault=KeyboardInterrupt)
    assert names_in(sets / "set") == ["one"]
    assert names_in(sets) == ["set"]


def test_a_file_in_the_place_of_a_folder_stays(sets):
    (sets / "set").touch()
    with pytest.raises(NotADirectoryError, match="cannot write .*set: Not a directory"):
        write(sets / "set", "one")
    assert (sets / "set").is_file()
    assert names_in(sets) == ["set"]


def test_a_folder_killed_at_any_operation_loses_nothing(sets):
    folder = write(sets / "set", "one")
    (folder / "mine").touch()
    with Operations(sets) as operations:
        write(folder, "one", "two", own=["one", "two"])
    for number in range(1, operations.count + 1):
        with Operations(sets, number, die), pytest.raises(Killed):
            write(folder, "one", "two", own=["one", "two"])
        write(folder, "two", own=["one", "two"])
        assert names_in(folder) == ["mine", "two"]
        assert {"set"} <= set(names_in(sets)) <= {"set", ".set.lock", ".set.holder"}


def test_a_rename_that_fails_loses_nothing(sets, monkeypatch):
    def fail_at_the_second(*names):
        if (sets / ".old.set").exists():
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        replace(*names)

    replace = os.replace
    write(sets / "set", "one")
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail_at_the_second)
        with pytest.raises(PermissionError, match="cannot write"):
            write(sets / "set", "two")
    assert names_in(sets / ".old.set") == ["one"]
    write(sets / "set", "two")
    assert names_in(sets / "set") == ["one", "two"]
    assert names_in(sets) == ["set"]


# Locks


def run_python(code, *arguments):
    code = f"import sys; from recipes.datasets import files; path = sys.argv[1]\n{code}"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


HOLD = """
with files.locked(path):
    print("locked", flush=True)
    sys.stdin.read()
"""


def test_a_lock_says_who_holds_it_and_a_killed_process_holds_none(sets, capsys):
    with run_python(HOLD, sets / "a") as other:
        assert other.stdout.readline() == "locked\n"
        holder = rf"process {other.pid} on \S+ since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d"
        message = f"a is in use by {holder}. Wait until"
        with pytest.raises(files.InUseError, match=message), files.locked(sets / "a", wait=False):
            pass
        threading.Timer(0.2, other.kill).start()
        with files.locked(sets / "a"):
            assert f"process {os.getpid()} on" in (sets / ".a.holder").read_text()
    assert names_in(sets) == []
    assert f"Waiting for process {other.pid} on" in capsys.readouterr().err


def test_threads_take_turns_and_one_thread_may_lock_twice(sets):
    def work():
        with files.locked(sets / "a", tell=False):
            found.append(inside)

    found, inside = [], True
    threads = [threading.Thread(target=work) for _ in range(5)]
    with files.locked(sets / "a"), files.locked(sets / "a", wait=False):
        for thread in threads:
            thread.start()
        threads[0].join(0.2)
        assert found == []
        inside = False
    for thread in threads:
        thread.join(10)
    assert found == [False] * 5
    assert names_in(sets) == []


def test_two_processes_that_write_one_folder_take_turns(sets):
    code = """
for i in range(60):
    with files.whole_folder(path) as part:
        for name in "abc":
            (part / name).write_text(f"{sys.argv[2]} {i}")
"""
    others = [run_python(code, sets / "set", number) for number in (1, 2)]
    for other in others:
        with other:
            assert other.wait(60) == 0, other.stderr.read()
    assert len({path.read_text() for path in (sets / "set").iterdir()}) == 1
    assert names_in(sets) == ["set"]


def test_a_folder_whose_system_knows_no_locks_is_written_all_the_same(sets, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(fcntl, "flock", refuse)
    files.save_json(sets / "a.json", {"a": 1})
    assert json.loads((sets / "a.json").read_text()) == {"a": 1}


def test_files_are_sorted_by_number_beyond_four_digits(tmp_path):
    for number in (10_000, 9_999, 1):
        (tmp_path / f"resume-{number:04}.npz").touch()
    (tmp_path / "resume-0002.npz").mkdir()  # of somebody else
    found = files.matching(tmp_path, r"resume-\d+\.npz")
    assert [path.name for path in found] == [f"resume-{n}.npz" for n in ("0001", 9_999, 10_000)]


def test_a_backup_that_is_a_hard_link_outlives_what_is_removed(tmp_path):
    (tmp_path / "a.npz").write_bytes(b"weights")
    os.link(tmp_path / "a.npz", tmp_path / "backup.npz")
    remove(tmp_path / "a.npz")
    assert (tmp_path / "backup.npz").read_bytes() == b"weights"
