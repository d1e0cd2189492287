"""Downloads: also when the network, the server, the disk or the file is bad."""

import errno
import hashlib
import io
import os
import socket
import subprocess
import sys
import threading
import warnings
from pathlib import Path

import pytest

from recipes.datasets import download as module
from recipes.datasets import files
from recipes.datasets.download import download, fetch
from recipes.datasets.files import MissingDataError
from tools.soak import Killed, Operations, die

BODY = bytes(range(256)) * 40
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def server(http_server):
    http_server.url += "/set.bin"
    http_server.body, http_server.headers = BODY, {"ETag": '"one"'}
    return http_server


def ranges(server):
    """The range that each request asked for, or None."""
    return [headers["Range"] for headers in server.requests]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "sets" / "set.bin"


def names_in(folder):
    return sorted(item.name for item in folder.iterdir())


# Downloads


@pytest.mark.parametrize("sha256", [None, SHA256, SHA256.upper()])
def test_download(server, path, sha256):
    assert download(server.url, path, sha256, size=len(BODY)) == path
    assert path.read_bytes() == BODY
    assert names_in(path.parent) == ["set.bin"]


def test_download_leaves_a_file_alone_that_is_there(server, path):
    path.parent.mkdir()
    path.write_bytes(b"mine")
    assert download(server.url, path, SHA256) == path
    assert path.read_bytes() == b"mine"
    assert ranges(server) == []


def test_download_shows_its_progress_and_clears_it(server, path, capsys):
    download(server.url, path)
    output = capsys.readouterr()
    assert "set.bin" in output.err
    assert output.err.endswith("\r")
    assert output.out == ""


def test_download_without_progress_is_silent_even_when_it_waits(server, path, capsys):
    thread = threading.Thread(target=download, args=(server.url, path), kwargs={"progress": False})
    with files.locked(path):
        thread.start()
        thread.join(0.2)
    thread.join()
    assert path.read_bytes() == BODY
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("url", ["file:///etc/hostname", "ftp://127.0.0.1/set.bin", "set.bin"])
def test_download_of_another_kind_of_address(path, url):
    with pytest.raises(ValueError, match="not an http or https address"):
        download(url, path)


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("http://[bad", "Invalid IPv6 URL"),
        ("http://host:port/a", "Port could not be cast"),
        ("http:///a", "a host"),
        ("http://a..b/c", "label empty"),
        (f"http://{'a' * 64}/c", "label too long"),
    ],
)
def test_an_address_that_cannot_be(path, url, fault):
    with pytest.raises(ValueError, match=rf"not an http or https address \(.*{fault}") as error:
        download(url, path)
    assert url in str(error.value)
    assert not path.parent.exists()


@pytest.mark.parametrize(
    ("name", "asked"),
    [
        ("größe 1.bin", "gr%C3%B6%C3%9Fe%201.bin"),
        ("a%20b.bin?x=1&y=ü", "a%20b.bin?x=1&y=%C3%BC"),
        ("図.zip", "%E5%9B%B3.zip"),
    ],
)
def test_an_address_is_written_as_browsers_do(server, path, name, asked):
    assert download(server.url.replace("set.bin", name), path).read_bytes() == BODY
    assert [*server.asked] == [f"/{asked}"]


def test_download_with_another_checksum(server, path):
    wrong = "0" * 64
    message = f"{server.url}: expected SHA-256 {wrong}, found {SHA256}. It was deleted; .*{path}$"
    with pytest.raises(ValueError, match=message):
        download(server.url, path, wrong)
    assert names_in(path.parent) == []


def test_an_empty_file_is_refused(server, path):
    server.body = b""
    with pytest.raises(ValueError, match="the server sent an empty file. It was deleted"):
        download(server.url, path)
    assert names_in(path.parent) == []


def test_download_of_another_size(server, path):
    with pytest.raises(ValueError, match="expected 7 bytes, found 10,240"):
        download(server.url, path, size=7)
    assert names_in(path.parent) == []


def interrupt(server, path, after=3000):
    """Begin a download that breaks off, and check what is left of it."""
    server.breaks_after = after
    with pytest.raises(ConnectionError, match=rf"broke off after {after:,} of 10,240 bytes"):
        download(server.url, path, SHA256)
    assert names_in(path.parent) == ["set.bin.part", "set.bin.part.json"]
    assert path.with_name("set.bin.part").read_bytes() == BODY[:after]
    server.breaks_after = None
    server.requests.clear()


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
    download(server.url, path, SHA256)
    assert ranges(server) == ["bytes=3000-"]
    assert server.requests[-1]["If-Range"] == version
    assert path.read_bytes() == BODY
    assert names_in(path.parent) == ["set.bin"]


def test_download_can_break_more_than_once(server, path):
    interrupt(server, path)
    server.breaks_after = 2000
    with pytest.raises(ConnectionError, match="broke off after 5,000 of 10,240"):
        download(server.url, path, SHA256)
    server.breaks_after = None
    download(server.url, path, SHA256)
    assert ranges(server) == ["bytes=3000-", "bytes=5000-"]
    assert path.read_bytes() == BODY


def test_broken_download_starts_anew_if_the_server_knows_no_ranges(server, path):
    server.knows_ranges = False
    interrupt(server, path)
    download(server.url, path, SHA256)
    assert path.read_bytes() == BODY


@pytest.mark.parametrize("ignores_if_range", [False, True])
def test_broken_download_starts_anew_if_the_file_has_changed(server, path, ignores_if_range):
    interrupt(server, path)
    server.body, server.headers = BODY[::-1], {"ETag": '"two"'}
    server.ignores_if_range = ignores_if_range
    download(server.url, path)
    assert path.read_bytes() == BODY[::-1]


def test_broken_download_starts_anew_if_nothing_tells_the_version(server, path):
    server.headers = {}
    interrupt(server, path)
    download(server.url, path)
    assert ranges(server) == [None]
    assert path.read_bytes() == BODY


def test_partial_file_that_is_not_ours_is_not_built_upon(server, path):
    path.parent.mkdir()
    path.with_name("set.bin.part").write_bytes(b"x" * 3000)
    download(server.url, path)
    assert path.read_bytes() == BODY


def test_partial_file_that_lacks_nothing(server, path):
    interrupt(server, path)
    path.with_name("set.bin.part").write_bytes(BODY)
    download(server.url, path, SHA256)
    assert ranges(server) == ["bytes=10240-", None]
    assert path.read_bytes() == BODY


@pytest.mark.parametrize("tells_total", [True, False])
def test_a_shorter_range_than_was_asked_for_is_not_the_whole_file(server, path, tells_total):
    interrupt(server, path)
    server.withholds, server.tells_total = 5000, tells_total
    assert download(server.url, path).read_bytes() == BODY
    assert ranges(server) == ["bytes=3000-", None]


@pytest.mark.parametrize("status", [206, 204, 202])
def test_an_answer_that_is_not_the_whole_file(server, path, status):
    server.claims_status = status
    with pytest.raises(ConnectionError, match=f"answers with status {status}, not the file"):
        download(server.url, path)
    assert names_in(path.parent) == []


def test_where_nobody_says_how_long_a_file_is_there_is_a_warning(server, path):
    server.tells_length, server.breaks_after = False, 3000
    with pytest.warns(UserWarning, match="the server does not say how long the file is"):
        assert len(download(server.url, path).read_bytes()) == 3000
    path.unlink()
    with pytest.raises(ValueError, match="expected SHA-256"):
        download(server.url, path, SHA256)


@pytest.mark.parametrize("length", [None, "3", "5", "abc"])  # chunks go before a length
def test_a_download_in_chunks_says_where_it_ends(server, path, length):
    server.headers["Transfer-Encoding"] = "chunked"
    server.tells_length, server.body = False, b"5\r\nhello\r\n0\r\n\r\n"
    server.breaks_after = 10
    with pytest.raises(ConnectionError, match="IncompleteRead"):
        download(server.url, path)
    assert not path.exists()
    server.breaks_after, server.knows_ranges = None, False
    server.tells_length, server.claims_length = length is not None, length
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert download(server.url, path).read_bytes() == b"hello"


def test_a_file_that_is_packed_for_the_journey_is_refused(server, path):
    server.headers["Content-Encoding"] = "gzip"
    with pytest.raises(ConnectionError, match=rf"sends it packed \('gzip'\).* put it at {path}"):
        download(server.url, path)
    assert names_in(path.parent) == []
    archive = path.with_name("set.tgz")  # of which Apache says so, and sends it as it is
    assert download(server.url, archive).read_bytes() == BODY


@pytest.mark.parametrize("coding", ["gzip", "gzip, chunked"])
def test_a_file_in_a_coding_of_the_server(server, path, coding):
    server.headers["Transfer-Encoding"] = coding
    with pytest.raises(ConnectionError, match=f"in a coding of its own, '{coding}'") as error:
        download(server.url, path)
    assert server.url in str(error.value)
    assert not path.exists()


@pytest.mark.parametrize("length", ["abc", "5, 5", "-1", "1e4", "1" * 40])
def test_a_senseless_length(server, path, length):
    server.claims_length = length
    with pytest.raises(ConnectionError, match=f"senseless Content-Length: {length}") as error:
        download(server.url, path)
    check_way_out(error, server.url, path)
    assert names_in(path.parent) == []


def test_a_length_of_thousands_of_digits(server, path):
    server.claims_length = "1" * 5000
    with pytest.raises(ConnectionError, match="senseless Content-Length: 1{40}[.]") as error:
        download(server.url, path)
    assert server.url in str(error.value)


@pytest.mark.parametrize("state", ["", "[]", '{"version": 3, "total": 4}', '{"version": "x"}'])
def test_damaged_notes_on_a_broken_download(server, path, state):
    interrupt(server, path)
    path.with_name("set.bin.part.json").write_text(state)
    assert download(server.url, path).read_bytes() == BODY
    assert ranges(server) == [None]


def test_a_download_killed_at_any_file_operation_goes_on(server, path):
    with Operations(path.parents[1]) as operations:
        download(server.url, path, SHA256)
    assert operations.count >= 8
    for number in range(1, operations.count + 1):
        place = path.parents[1] / str(number) / path.name
        with Operations(place.parents[1], number, die), pytest.raises(Killed):
            download(server.url, place, SHA256)
        assert not place.exists() or place.read_bytes() == BODY
        download(server.url, place, SHA256)
        assert place.read_bytes() == BODY
        assert set(names_in(place.parent)) <= {"set.bin", ".set.bin.lock", ".set.bin.holder"}


def test_a_download_killed_in_its_check_is_not_fetched_again(server, path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", lambda *_: die())
        with pytest.raises(Killed):
            download(server.url, path, SHA256)
    assert not path.exists()
    download(server.url, path, SHA256)
    assert len(server.requests) == 1
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
        download(server.url, path)
    check_way_out(error, server.url, path)


def test_no_network(path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/set.bin"
    with pytest.raises(ConnectionError, match="refused") as error:
        download(url, path)
    check_way_out(error, url, path)
    assert names_in(path.parent) == []


def test_server_that_never_answers(path):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/set.bin"
        with pytest.raises(ConnectionError, match="timed out") as error:
            download(url, path, timeout=0.05)
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
    monkeypatch.setattr(module, "open", refuse(code, at), raising=False)
    with pytest.raises(OSError, match="cannot write") as error:
        download(server.url, path)
    assert error.value.errno == code
    assert not isinstance(error.value, ConnectionError)
    assert os.strerror(code) in str(error.value)
    check_way_out(error, "", path)
    assert not path.exists()


def test_data_root_in_which_no_folder_can_be_made(server, tmp_path):
    (tmp_path / "file").touch()
    path = tmp_path / "file" / "sets" / "set.bin"
    with pytest.raises(NotADirectoryError, match="cannot write") as error:
        download(server.url, path)
    check_way_out(error, "", path)


def test_two_at_once_download_once(server, path, monkeypatch):
    first_asks, second_is_there, gate = (threading.Event() for _ in range(3))

    def on_request(count):
        (first_asks if count == 1 else second_is_there).set()
        gate.wait(10)

    server.on_request = on_request
    monkeypatch.setattr(files, "print", lambda *a, **k: second_is_there.set(), raising=False)
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(download(server.url, path, SHA256)))
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
    assert len(server.requests) == 1
    assert path.read_bytes() == BODY
    assert names_in(path.parent) == ["set.bin"]


def test_another_process_waits_and_finds_the_file(server, path):
    code = "import sys; from recipes.datasets.download import download; download(*sys.argv[1:])"
    with files.locked(path):
        other = subprocess.Popen(
            [sys.executable, "-c", code, server.url, path],
            cwd=Path(__file__).resolve().parents[1],
            stderr=subprocess.PIPE,
            text=True,
        )
        assert f"Waiting for process {os.getpid()} on " in other.stderr.readline()
        path.write_bytes(b"fetched meanwhile")
    with other:
        assert other.wait(10) == 0
    assert path.read_bytes() == b"fetched meanwhile"
    assert ranges(server) == []
    assert names_in(path.parent) == ["set.bin"]


# What is said before a download, and instead


def test_fetch_says_what_comes_from_where_and_under_which_terms(server, path, capsys):
    fetch("Birds", server.url, path, "CC BY 4.0", "Put it there.", SHA256, size=10_240_000)
    said = f"Downloading Birds (10 MB) from {server.url} to {path}. Terms: CC BY 4.0\n"
    assert capsys.readouterr().out == said
    fetch("Birds", server.url, path, "CC BY 4.0", "Put it there.", SHA256, size=10_240_000)
    assert capsys.readouterr().out == ""


def test_fetch_that_fails_says_what_to_do_by_hand(server, path):
    server.status = 404
    with pytest.raises(MissingDataError, match="Birds is not in .*Put it there. .*404") as error:
        fetch("Birds", server.url, path, "CC BY 4.0", "Put it there.", size=10)
    assert isinstance(error.value.__cause__, ConnectionError)
