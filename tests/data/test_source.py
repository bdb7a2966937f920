import contextlib
import errno
import hashlib
import http.server
import os
import signal
import subprocess
import sys
import textwrap
import threading
import zipfile
from concurrent.futures import ThreadPoolExecutor

import pytest

from juggler import data
from juggler.data import download as download_module
from juggler.data.download import DownloadFailed, check_url, download
from juggler.data.sets.nsl_kdd import FILES
from juggler.data.source import RemoteFile, Source
from juggler.errors import DataError

CONTENT = b"0,tcp,http\n" * 50_000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"

    def do_GET(self):
        kind = self.path.strip("/")
        self.server.asked.append(kind)
        if kind == "missing":
            self.send_error(404)
            return
        if kind == "away":
            self.send_response(302)
            self.send_header("Location", "ftp://localhost/file")
            self.end_headers()
            return
        body = CONTENT.replace(b"http", b"smtp") if kind == "other" else CONTENT
        self.send_response(200)
        if kind != "chunked":
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(ConnectionError):
            while kind == "drip" and not self.server.released.wait(0.05):
                self.wfile.write(b"0")
            self.wfile.write(body[: len(body) // 2])
            if kind in ("slow", "stuck"):
                self.wfile.flush()
                self.server.released.wait(20)
            if kind != "truncated":
                self.wfile.write(body[len(body) // 2 :])

    def log_message(self, *args):
        pass


@pytest.fixture
def server():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as serving:
        serving.asked, serving.released = [], threading.Event()
        serving.url = f"http://127.0.0.1:{serving.server_port}/"
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield serving
        serving.released.set()
        serving.shutdown()
        thread.join()


@pytest.fixture(autouse=True)
def no_environment(monkeypatch):
    monkeypatch.delenv("JUGGLER_DATA", raising=False)
    monkeypatch.delenv("JUGGLER_OFFLINE", raising=False)


def remote(server, *kinds, max_bytes=1 << 20):
    return RemoteFile("Records+.txt", DIGEST, tuple(server.url + kind for kind in kinds), max_bytes)


def get(server, kind, folder, **options):
    options = {"sha256": DIGEST, "max_bytes": 1 << 20, "timeout_s": 5.0} | options
    return download(server.url + kind, folder / "file", **options)


def test_a_good_copy_is_fetched_once_and_then_cached(server, tmp_path):
    seen = []
    source = Source(cache=tmp_path / "new" / "cache", progress=lambda at: seen.append((at.done, at.total)))
    found = source.fetch(remote(server, "good"))
    assert found.data == CONTENT and found.origin == server.url + "good"
    assert seen[-1] == (len(CONTENT), len(CONTENT)) and len(seen) > 1
    assert [path.name for path in (tmp_path / "new" / "cache").iterdir()] == ["Records+.txt"]
    again = source.fetch(remote(server, "good"))
    assert again.data == CONTENT and again.origin == str(tmp_path / "new" / "cache" / "Records+.txt")
    assert server.asked == ["good"]


def test_an_unknown_length_is_said_to_be_unknown(server, tmp_path):
    seen = []
    get(server, "chunked", tmp_path, progress=lambda at: seen.append((at.done, at.total)))
    assert seen[-1] == (len(CONTENT), None)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        ("other", {}, f"its SHA-256 is [0-9a-f]{{64}}, expected {DIGEST}"),
        ("missing", {}, "HTTP status 404"),
        ("truncated", {}, "broke off after 275000 of 550000 bytes"),
        ("good", {"max_bytes": 1000}, "more than 1000 bytes"),
        ("slow", {"timeout_s": 0.2}, "broke off .*timed out"),
        ("away", {}, "scheme 'ftp'"),
    ],
)
def test_a_bad_copy_leaves_nothing(server, tmp_path, kind, options, message):
    with pytest.raises(DownloadFailed, match=message):
        get(server, kind, tmp_path, **options)
    assert [*tmp_path.iterdir()] == []


def test_the_next_copy_is_tried_and_a_damaged_cache_is_replaced(server, tmp_path):
    (tmp_path / "Records+.txt").write_bytes(b"half")
    source = Source(cache=tmp_path)
    found = source.fetch(remote(server, "missing", "other", "truncated", "good"))
    assert found.data == (tmp_path / "Records+.txt").read_bytes() == CONTENT
    assert server.asked == ["missing", "other", "truncated", "good"]


def test_what_was_tried_is_listed(server, tmp_path, monkeypatch):
    monkeypatch.setenv("JUGGLER_DATA", str(tmp_path / "nowhere"))
    (tmp_path / "empty").mkdir()
    source = Source(folder=tmp_path / "empty", cache=tmp_path / "cache")
    with pytest.raises(data.DataNotFound) as error:
        source.fetch(remote(server, "missing"))
    for step in (
        "the given folder",
        "does not hold it",
        "$JUGGLER_DATA",
        "does not exist",
        "the cache",
        "404",
    ):
        assert step in str(error.value)
    assert "Set JUGGLER_DATA to a folder or a zip that holds Records+.txt" in error.value.remedy


def test_offline_asks_nobody(server, tmp_path, monkeypatch):
    monkeypatch.setenv("JUGGLER_OFFLINE", "1")
    with pytest.raises(data.DataNotFound, match="JUGGLER_OFFLINE"):
        Source(cache=tmp_path).fetch(remote(server, "good"))
    assert server.asked == []


def test_a_server_that_is_gone_is_reported(tmp_path):
    with pytest.raises(DownloadFailed, match="no answer"):
        download("http://127.0.0.1:9/file", tmp_path / "file", sha256=DIGEST, max_bytes=9, timeout_s=5)


@pytest.mark.parametrize(
    "url", ["http://example.org/a", "file:///etc/passwd", "ftp://localhost/a", "nonsense"]
)
def test_only_https_and_loopback_are_fetched(url):
    with pytest.raises(DownloadFailed, match="Only HTTPS"):
        check_url(url)
    check_url("https://example.org/a")
    assert all(url.startswith("https://") and "%2B" in url for url in FILES["train"].urls)


def test_several_may_fetch_at_once(server, tmp_path):
    with ThreadPoolExecutor(4) as pool:
        paths = [*pool.map(lambda _: get(server, "good", tmp_path), range(8))]
    assert {path.read_bytes() for path in paths} == {CONTENT}
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9 is POSIX's")
def test_a_process_killed_half_way_leaves_nothing(server, tmp_path):
    script = f"""
        from pathlib import Path
        from juggler.data.download import download
        download({server.url + "stuck"!r}, Path({str(tmp_path / "file")!r}), sha256={DIGEST!r},
                 max_bytes=1 << 20, progress=lambda value: print(value.done, flush=True))
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    ) as process:
        while int(process.stdout.readline()) < len(CONTENT) // 2:
            pass
        process.kill()
    assert process.returncode == -signal.SIGKILL
    assert [*tmp_path.iterdir()] == []


def test_a_full_disk_is_named(server, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(download_module.shutil, "copyfileobj", full)
    with pytest.raises(DataError, match=r"the disk is full\. Make room there"):
        get(server, "good", tmp_path)
    assert [*tmp_path.iterdir()] == []


def test_a_cache_that_cannot_be_made_is_named(server, tmp_path):
    (tmp_path / "taken").write_text("a file where the folder should be")
    with pytest.raises(DataError, match="XDG_CACHE_HOME"):
        get(server, "good", tmp_path / "taken")


def offline(folder, **options):
    return Source(folder=folder, cache=folder / "no-cache", **options)


@pytest.fixture
def wanted(monkeypatch):
    monkeypatch.setenv("JUGGLER_OFFLINE", "1")
    return RemoteFile("Records+.txt", DIGEST, ())


def test_plain_files_folders_and_zips_are_found(tmp_path, wanted, monkeypatch):
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    with zipfile.ZipFile(deep / "all.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner/Records+.txt", CONTENT)
    before = sorted(tmp_path.rglob("*"))
    found = offline(tmp_path).fetch(wanted)
    assert found.data == CONTENT and found.origin == f"{deep / 'all.zip'}/inner/Records+.txt"
    assert sorted(tmp_path.rglob("*")) == before  # nothing is unpacked beside it
    assert offline(deep / "all.zip").fetch(wanted).data == CONTENT
    monkeypatch.setenv("JUGGLER_DATA", str(tmp_path))
    assert Source(cache=tmp_path / "none").fetch(wanted).data == CONTENT
    (tmp_path / "a" / "Records+.txt").write_bytes(CONTENT)
    assert offline(tmp_path).fetch(wanted).origin == str(tmp_path / "a" / "Records+.txt")


def test_deeper_than_three_folders_is_not_searched(tmp_path, wanted):
    deep = tmp_path / "a" / "b" / "c" / "d"
    deep.mkdir(parents=True)
    (deep / "Records+.txt").write_bytes(CONTENT)
    with pytest.raises(data.DataNotFound):
        offline(tmp_path).fetch(wanted)


def test_a_modified_file_is_refused_unless_allowed(tmp_path, wanted):
    file = tmp_path / "Records+.txt"
    file.write_bytes(b"mine")
    mine = hashlib.sha256(b"mine").hexdigest()
    with pytest.raises(DataError, match=f"its SHA-256 is {mine}, expected {DIGEST}") as error:
        offline(tmp_path).fetch(wanted)
    assert str(file) in str(error.value) and not isinstance(error.value, data.DataNotFound)
    assert offline(tmp_path, allow_modified=True).fetch(wanted).sha256 == mine
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "Records+.txt").write_bytes(CONTENT)
    assert offline(tmp_path).fetch(wanted).sha256 == DIGEST  # a right copy beside it is taken


def test_a_broken_zip_and_a_bomb_are_passed_over(tmp_path, wanted):
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 nothing")
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("Records+.txt", bytes(2_000_000))
    small = RemoteFile(wanted.name, DIGEST, (), max_bytes=1 << 20)
    with pytest.raises(data.DataNotFound, match=r"has more than 1048576 bytes.*cannot be read as a zip"):
        offline(tmp_path).fetch(small)


def test_a_data_set_reads_what_the_source_finds(tmp_path, monkeypatch):
    monkeypatch.setenv("JUGGLER_OFFLINE", "1")
    line = b"0,tcp,http,SF" + b",0" * 37 + b",normal,21\n"
    (tmp_path / "KDDTrain+.txt").write_bytes(line * 3)
    nsl_kdd = data.load_set("nsl-kdd", offline(tmp_path, allow_modified=True))
    records = nsl_kdd.training()
    assert len(records) == 3 and records.source == str(tmp_path / "KDDTrain+.txt")
    assert records.sha256 == hashlib.sha256(line * 3).hexdigest()
    with pytest.raises(DataError, match="expected 1b86d2f9"):
        data.load_set("nsl-kdd", offline(tmp_path)).training()
    with pytest.raises(data.DataNotFound, match=r"KDDTest-21\.txt"):
        nsl_kdd.load("test-21")


def test_an_answer_that_drips_has_a_deadline(server, tmp_path):
    with pytest.raises(DownloadFailed, match=r"bytes after 0\.3 s"):
        get(server, "drip", tmp_path, deadline_s=0.3)
    assert [*tmp_path.iterdir()] == []
