"""The data root, downloads and archives: also when the network, the disk or the file is bad."""

import errno
import hashlib
import http.server
import io
import os
import socket
import stat
import subprocess
import sys
import tarfile
import threading
import zipfile
from pathlib import Path

import pytest

from recipes.datasets import files
from tools.soak import Killed, Operations, die

BODY = bytes(range(256)) * 40
SHA256 = hashlib.sha256(BODY).hexdigest()
REPOSITORY = Path(__file__).resolve().parents[1]

needs_locks = pytest.mark.skipif(files.fcntl is None, reason="this system has no fcntl locks")


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.body`; what the server is told decides how well."""

    def do_GET(self):
        server = self.server
        server.ranges_asked.append(self.headers["Range"])
        server.versions_asked.append(self.headers["If-Range"])
        server.on_request(len(server.ranges_asked))
        start, status = 0, 200
        if server.knows_ranges and self.headers["Range"]:
            same = self.headers["If-Range"] == server.headers.get("ETag")
            if same or server.ignores_if_range:
                start, status = int(self.headers["Range"][len("bytes=") : -1]), 206
        if start >= len(server.body):
            status = 416
        if server.status or status == 416:
            self.send_error(server.status or status)
            return
        rest = server.body[start:]
        self.send_response(status)
        self.send_header("Content-Length", str(len(rest)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(server.body) - 1}/*")
        for name, value in server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(rest[: server.breaks_after])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.url = f"http://127.0.0.1:{server.server_port}/set.bin"
        server.body, server.headers = BODY, {"ETag": '"one"'}
        server.status = server.breaks_after = None
        server.knows_ranges, server.ignores_if_range = True, False
        server.ranges_asked, server.versions_asked = [], []  # two headers of each request
        server.on_request = lambda count: None
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sets" / "set.bin"


def names_in(folder):
    return sorted(item.name for item in folder.iterdir())


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


# Downloads


@pytest.mark.parametrize("sha256", [None, SHA256, SHA256.upper()])
def test_download(server, path, sha256):
    assert files.download(server.url, path, sha256, size=len(BODY)) == path
    assert path.read_bytes() == BODY
    assert names_in(path.parent) == ["set.bin"]


def test_download_leaves_a_file_alone_that_is_there(server, path):
    path.parent.mkdir()
    path.write_bytes(b"mine")
    assert files.download(server.url, path, SHA256) == path
    assert path.read_bytes() == b"mine"
    assert server.ranges_asked == []


def test_download_shows_its_progress_and_clears_it(server, path, capsys):
    files.download(server.url, path)
    output = capsys.readouterr()
    assert "set.bin" in output.err
    assert output.err.endswith("\r")
    assert output.out == ""


def test_download_without_progress_is_silent_even_when_it_waits(server, path, capsys):
    thread = threading.Thread(
        target=files.download, args=(server.url, path), kwargs={"progress": False}
    )
    with files.locked(path):
        thread.start()
        thread.join(0.2)
    thread.join()
    assert path.read_bytes() == BODY
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/set.bin", "set.bin"])
def test_download_of_another_kind_of_address(path, url):
    with pytest.raises(ValueError, match="not an http or https address"):
        files.download(url, path)


def test_download_with_another_checksum(server, path):
    wrong = "0" * 64
    message = f"{server.url}: expected SHA-256 {wrong}, found {SHA256}. It was deleted; .*{path}$"
    with pytest.raises(ValueError, match=message):
        files.download(server.url, path, wrong)
    assert names_in(path.parent) == []


def test_download_of_another_size(server, path):
    with pytest.raises(ValueError, match="expected 7 bytes, found 10,240"):
        files.download(server.url, path, size=7)
    assert names_in(path.parent) == []


def interrupt(server, path, after=3000):
    """Begin a download that breaks off, and check what is left of it."""
    server.breaks_after = after
    with pytest.raises(ConnectionError, match=rf"broke off after {after:,} of 10,240 bytes"):
        files.download(server.url, path, SHA256)
    assert names_in(path.parent) == ["set.bin.part", "set.bin.part.tag"]
    assert path.with_name("set.bin.part").read_bytes() == BODY[:after]
    server.breaks_after = None
    server.ranges_asked.clear()


DATE = "Mon, 01 Jan 2024 00:00:00 GMT"


@pytest.mark.parametrize(
    ("headers", "version"),
    [
        ({"ETag": '"one"', "Last-Modified": DATE}, '"one"'),
        ({"Last-Modified": DATE}, DATE),
        ({"ETag": 'W/"one"', "Last-Modified": DATE}, DATE),
    ],
)
def test_broken_download_goes_on_where_it_stopped(server, path, headers, version):
    server.headers, server.ignores_if_range = headers, True
    interrupt(server, path)
    files.download(server.url, path, SHA256)
    assert server.ranges_asked == ["bytes=3000-"]
    assert server.versions_asked[-1] == version
    assert path.read_bytes() == BODY
    assert names_in(path.parent) == ["set.bin"]


def test_download_can_break_more_than_once(server, path):
    interrupt(server, path)
    server.breaks_after = 2000
    with pytest.raises(ConnectionError, match="broke off after 5,000 of 10,240"):
        files.download(server.url, path, SHA256)
    server.breaks_after = None
    files.download(server.url, path, SHA256)
    assert server.ranges_asked == ["bytes=3000-", "bytes=5000-"]
    assert path.read_bytes() == BODY


def test_broken_download_starts_anew_if_the_server_knows_no_ranges(server, path):
    server.knows_ranges = False
    interrupt(server, path)
    files.download(server.url, path, SHA256)
    assert path.read_bytes() == BODY


@pytest.mark.parametrize("ignores_if_range", [False, True])
def test_broken_download_starts_anew_if_the_file_has_changed(server, path, ignores_if_range):
    interrupt(server, path)
    server.body, server.headers = BODY[::-1], {"ETag": '"two"'}
    server.ignores_if_range = ignores_if_range
    files.download(server.url, path)
    assert path.read_bytes() == BODY[::-1]


def test_broken_download_starts_anew_if_nothing_tells_the_version(server, path):
    server.headers = {}
    interrupt(server, path)
    files.download(server.url, path)
    assert server.ranges_asked == [None]
    assert path.read_bytes() == BODY


def test_partial_file_that_is_not_ours_is_not_built_upon(server, path):
    path.parent.mkdir()
    path.with_name("set.bin.part").write_bytes(b"x" * 3000)
    files.download(server.url, path)
    assert path.read_bytes() == BODY


def test_partial_file_that_lacks_nothing(server, path):
    interrupt(server, path)
    path.with_name("set.bin.part").write_bytes(BODY)
    files.download(server.url, path, SHA256)
    assert server.ranges_asked == ["bytes=10240-", None]
    assert path.read_bytes() == BODY


def test_a_download_killed_at_any_file_operation_goes_on(server, path):
    with Operations(path.parents[1]) as operations:
        files.download(server.url, path, SHA256)
    assert operations.count >= 8
    for number in range(1, operations.count + 1):
        place = path.parents[1] / str(number) / path.name
        with Operations(place.parents[1], number, die), pytest.raises(Killed):
            files.download(server.url, place, SHA256)
        assert not place.exists() or place.read_bytes() == BODY
        files.download(server.url, place, SHA256)
        assert place.read_bytes() == BODY
        assert set(names_in(place.parent)) <= {"set.bin", ".set.bin.lock"}


def test_a_download_killed_in_its_check_is_not_fetched_again(server, path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", lambda *_: die())
        with pytest.raises(Killed):
            files.download(server.url, path, SHA256)
    assert not path.exists()
    files.download(server.url, path, SHA256)
    assert len(server.ranges_asked) == 1
    assert path.read_bytes() == BODY
    assert names_in(path.parent) == ["set.bin"]


def check_way_out(error, url, path):
    assert isinstance(error.value, OSError)
    for part in (url, str(path), "RECIPES_DATA_DIR"):
        assert part in str(error.value)


@pytest.mark.parametrize("status", [403, 404, 416, 500])
def test_http_error(server, path, status):
    server.status = status
    with pytest.raises(ConnectionError, match=f"HTTP Error {status}") as error:
        files.download(server.url, path)
    check_way_out(error, server.url, path)


def test_no_network(path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/set.bin"
    with pytest.raises(ConnectionError, match="refused") as error:
        files.download(url, path)
    check_way_out(error, url, path)
    assert names_in(path.parent) == []


def test_server_that_never_answers(path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/set.bin"
        with pytest.raises(ConnectionError, match="timed out") as error:
            files.download(url, path, timeout=0.05)
    check_way_out(error, url, path)


def refuse(code, at):
    """An `open` whose files for writing cannot be opened, or not be written."""

    class Full(io.FileIO):
        def write(self, data):
            raise OSError(code, os.strerror(code))

    def fake(path, mode="r", *args, **kwargs):
        if "b" not in mode or "r" in mode:
            return open(path, mode, *args, **kwargs)
        if at == "open":
            raise OSError(code, os.strerror(code))
        return Full(path, mode.replace("b", ""))

    return fake


@pytest.mark.parametrize(
    ("code", "at"), [(errno.ENOSPC, "write"), (errno.EROFS, "open"), (errno.EACCES, "open")]
)
def test_disk_full_or_read_only(server, path, monkeypatch, code, at):
    monkeypatch.setattr(files, "open", refuse(code, at), raising=False)
    with pytest.raises(OSError, match="cannot write") as error:
        files.download(server.url, path)
    assert error.value.errno == code
    assert not isinstance(error.value, ConnectionError)
    assert os.strerror(code) in str(error.value)
    check_way_out(error, "", path)
    assert not path.exists()


def test_data_root_in_which_no_folder_can_be_made(server, tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "sets" / "set.bin"
    with pytest.raises(NotADirectoryError, match="cannot write") as error:
        files.download(server.url, path)
    check_way_out(error, "", path)


@needs_locks
def test_two_at_once_download_once(server, path, monkeypatch):
    first_asks, second_is_there, gate = (threading.Event() for _ in range(3))

    def on_request(count):
        (first_asks if count == 1 else second_is_there).set()
        gate.wait(10)

    server.on_request = on_request
    monkeypatch.setattr(files, "print", lambda *a, **k: second_is_there.set(), raising=False)
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(files.download(server.url, path, SHA256)))
        for _ in range(2)
    ]
    threads[0].start()
    assert first_asks.wait(10)
    threads[1].start()
    assert second_is_there.wait(10)
    gate.set()
    for thread in threads:
        thread.join(10)
    assert results == [path, path]
    assert len(server.ranges_asked) == 1
    assert path.read_bytes() == BODY
    assert names_in(path.parent) == ["set.bin"]


@needs_locks
def test_who_waited_for_the_lock_has_one_that_others_see(path, monkeypatch):
    def work():
        with files.locked(path):
            found.append(names_in(path.parent))

    waits, found = threading.Event(), []
    monkeypatch.setattr(files, "print", lambda *a, **k: waits.set(), raising=False)
    thread = threading.Thread(target=work)
    with files.locked(path):
        thread.start()
        assert waits.wait(10)
        assert found == []
    thread.join(10)
    assert found == [[".set.bin.lock"]]


def run_python(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@needs_locks
def test_another_process_waits_and_finds_the_file(server, path):
    code = "import sys; from recipes.datasets import files; files.download(*sys.argv[1:])"
    with files.locked(path):
        other = run_python(code, server.url, path)
        assert any("waiting for it" in line for line in other.stderr)  # TensorFlow warns here too
        path.write_bytes(b"fetched meanwhile")
    with other:
        assert other.wait(10) == 0
    assert path.read_bytes() == b"fetched meanwhile"
    assert server.ranges_asked == []
    assert names_in(path.parent) == ["set.bin"]


@needs_locks
def test_lock_of_a_killed_process_is_free(server, path):
    code = """
import sys
from pathlib import Path
from recipes.datasets import files
with files.locked(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.read()
"""
    with run_python(code, path) as other:
        assert other.stdout.readline() == "locked\n"
        other.kill()
    assert names_in(path.parent) == [".set.bin.lock"]
    files.download(server.url, path, SHA256)
    assert names_in(path.parent) == ["set.bin"]


# Archives

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
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    target = files.unpack(archive, sets / "set", digest)
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
    files.unpack(archive, sets / "set")
    assert names_in(sets / "set") == ["mine"]


def test_unpack_clears_what_a_killed_process_left(sets):
    (sets / ".set.partial").mkdir()
    (sets / ".set.partial" / "half").touch()
    files.unpack(pack(sets / "set.zip"), sets / "set")
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
        files.unpack(archive, sets / "set")
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
    with pytest.raises(ValueError, match=r"set.bin: member 'odd' is a link or a device"):
        files.unpack(archive, sets / "set")
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
        files.unpack(archive, sets / "set")
    check_nothing_unpacked(tmp_path, archive)


def test_unpack_of_a_zip_with_a_damaged_member(tmp_path, sets):
    archive = sets / "set.zip"
    with zipfile.ZipFile(archive, "w") as file:  # not compressed, so that BODY can be found
        file.writestr("one", BODY)
    archive.write_bytes(archive.read_bytes().replace(BODY[:9], b"otherwise"[:9]))
    with pytest.raises(ValueError, match=r"set.zip cannot be unpacked: Bad CRC-32"):
        files.unpack(archive, sets / "set")
    check_nothing_unpacked(tmp_path, archive)


def test_unpack_of_what_is_no_archive(tmp_path, sets):
    archive = sets / "set.zip"
    archive.write_text("<html>Please log in</html>")
    with pytest.raises(ValueError, match="neither a whole zip nor a tar file"):
        files.unpack(archive, sets / "set")
    check_nothing_unpacked(tmp_path, archive)


def test_unpack_of_an_archive_with_another_checksum(tmp_path, sets):
    archive = pack(sets / "set.zip")
    with pytest.raises(ValueError, match=r"set.zip: expected SHA-256 0000"):
        files.unpack(archive, sets / "set", "0" * 64)
    check_nothing_unpacked(tmp_path, archive)


def test_unpack_of_a_missing_archive(sets):
    with pytest.raises(FileNotFoundError, match=r"no archive .*set.zip"):
        files.unpack(sets / "set.zip", sets / "set")
    assert names_in(sets) == []


def test_unpack_onto_a_full_disk(tmp_path, sets, monkeypatch):
    def fill(archive, folder):
        (folder / "half").touch()
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    archive = pack(sets / "set.zip")
    monkeypatch.setattr(files, "_extract", fill)
    with pytest.raises(OSError, match="cannot write") as error:
        files.unpack(archive, sets / "set")
    assert error.value.errno == errno.ENOSPC
    check_way_out(error, "", sets / "set")
    check_nothing_unpacked(tmp_path, archive)


# Folders


def writer(text, fault=None):
    def write(folder):
        assert not any(folder.iterdir())
        (folder / text).touch()
        if fault:
            raise fault

    return write


def test_a_folder_is_replaced_as_a_whole(sets):
    assert files.replace_folder(sets / "deep" / "set", writer("one")) == sets / "deep" / "set"
    files.replace_folder(sets / "deep" / "set", writer("two"))
    assert names_in(sets / "deep" / "set") == ["two"]
    assert names_in(sets / "deep") == ["set"]


def test_a_folder_stays_where_the_new_one_fails(sets):
    files.replace_folder(sets / "set", writer("one"))
    for name in ("set", "other"):
        with pytest.raises(KeyboardInterrupt):
            files.replace_folder(sets / name, writer("half", KeyboardInterrupt))
    assert names_in(sets / "set") == ["one"]
    assert names_in(sets) == ["set"]


def test_a_file_in_the_place_of_a_folder_stays(sets):
    (sets / "set").touch()
    with pytest.raises(OSError, match="set"):
        files.replace_folder(sets / "set", writer("one"))
    assert (sets / "set").is_file()
    assert names_in(sets) == ["set"]


@pytest.mark.parametrize("there", ["set", ".set.old"], ids=["before", "between"])
def test_a_kill_before_the_renames_or_between_them_loses_nothing(sets, there):
    files.replace_folder(sets / there, writer("one"))  # what the kill has left
    files.replace_folder(sets / ".set.partial", writer("half"))
    with pytest.raises(KeyboardInterrupt):
        files.replace_folder(sets / "set", writer("half", KeyboardInterrupt))
    assert names_in(sets / "set") == ["one"]
    files.replace_folder(sets / "set", writer("two"))
    assert names_in(sets / "set") == ["two"]
    assert names_in(sets) == ["set"]


def test_a_rename_that_fails_loses_nothing(sets, monkeypatch):
    def fail_at_the_second(*names):
        if (sets / ".set.old").exists():
            raise PermissionError(*names)
        replace(*names)

    replace = os.replace
    files.replace_folder(sets / "set", writer("one"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail_at_the_second)
        with pytest.raises(PermissionError):
            files.replace_folder(sets / "set", writer("two"))
    assert names_in(sets / ".set.old") == ["one"]
    files.replace_folder(sets / "set", writer("two"))
    assert names_in(sets / "set") == ["two"]
    assert names_in(sets) == ["set"]
