"""Where files are looked for, and downloads from a stand-in server."""

import gzip
import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from reparam.data import SOURCES, ImageSet, Remote, load
from reparam.errors import DataError
from tests.support import idx, mnist_files


def files(label: int) -> dict[str, bytes]:
    """Return the four gzipped files of a small MNIST, all of whose labels are ``label``."""
    made = mnist_files(20, 20)
    made |= {name: idx(np.full(20, label)) for name in made if "labels" in name}
    return {f"{name}.gz": gzip.compress(content, 1, mtime=0) for name, content in made.items()}


class Server:
    """A stand-in for the publisher: what it serves, how it fails, and what was asked of it."""

    def __init__(self) -> None:
        self.content = {f"/mnist/{name}": body for name, body in files(label=1).items()}
        self.damage: Callable[[bytes], bytes] = lambda body: body
        self.announced: Callable[[bytes], int] = len
        self.asked: list[str] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                server.asked.append(self.path)
                if self.path not in server.content:
                    self.send_error(404)
                    return
                body = server.content[self.path]
                self.send_response(200)
                self.send_header("Content-Length", str(server.announced(body)))
                self.end_headers()
                self.wfile.write(server.damage(body))

            def log_message(self, *args: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}/mnist/"
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.01,))
        self.thread.start()

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    server = Server()
    sums = {n: f"md5:{hashlib.md5(b).hexdigest()}" for n, b in files(label=1).items()}  # noqa: S324
    mnist = SOURCES["mnist"]
    assert isinstance(mnist, ImageSet)
    served = replace(mnist, remote=Remote(server.url, sums))
    monkeypatch.setitem(SOURCES._entries, "mnist", served)
    monkeypatch.setenv("REPARAM_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("REPARAM_DATA_DIR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    yield server
    server.close()


def place(folder: Path, label: int) -> None:
    folder.mkdir(parents=True)
    for name, body in files(label).items():
        (folder / name).write_bytes(body)


def label(**options: object) -> int:
    return int(load("mnist", **options).labels[0])


def refused(**options: object) -> str:
    with pytest.raises(DataError) as error:
        load("mnist", **options)
    message = str(error.value)
    assert "\n" not in message
    assert ". " not in message
    return message


def test_download_goes_to_the_cache_once(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert label() == 1
    assert len(server.asked) == 4
    out, err = capfd.readouterr()
    assert out == ""
    assert "train-images-idx3-ubyte.gz" in err
    assert sorted(p.name for p in (tmp_path / "cache/mnist").iterdir()) == sorted(files(1))
    assert label() == 1
    assert len(server.asked) == 4


def test_only_what_the_cache_lacks_is_downloaded(server: Server, tmp_path: Path) -> None:
    place(tmp_path / "cache/mnist", label=1)
    (tmp_path / "cache/mnist/t10k-labels-idx1-ubyte.gz").unlink()
    assert label() == 1
    assert server.asked == ["/mnist/t10k-labels-idx1-ubyte.gz"]


def test_the_order_of_places(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place(tmp_path / "given/mnist", label=5)
    place(tmp_path / "env/mnist", label=6)
    place(tmp_path / "cache/mnist", label=7)
    assert label() == 7
    monkeypatch.setenv("REPARAM_DATA_DIR", str(tmp_path / "env"))
    assert label() == 6
    assert label(data_dir=tmp_path / "given") == 5
    monkeypatch.setenv("REPARAM_DATA_DIR", str(tmp_path / "empty"))
    assert label() == 7
    assert server.asked == []


@pytest.mark.parametrize("there", ["nothing", "folder", "three files"])
def test_data_dir_never_falls_through(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: str
) -> None:
    place(tmp_path / "env/mnist", label=6)
    place(tmp_path / "cache/mnist", label=7)
    monkeypatch.setenv("REPARAM_DATA_DIR", str(tmp_path / "env"))
    given = tmp_path / "given"
    if there == "folder":
        (given / "mnist").mkdir(parents=True)
    if there == "three files":
        place(given / "mnist", label=5)
        (given / "mnist/train-labels-idx1-ubyte.gz").unlink()
    before = sorted(given.rglob("*"))
    message = refused(data_dir=given)
    assert str(given / "mnist") in message
    assert "train-labels-idx1-ubyte.gz" in message
    assert ("train-images" in message) == (there != "three files")
    assert "leave data_dir out" in message
    assert server.asked == []
    assert sorted(given.rglob("*")) == before


def cut(body: bytes) -> bytes:
    return body[: len(body) // 2]


def flip(body: bytes) -> bytes:
    return body[:40] + bytes([body[40] ^ 1]) + body[41:]


@pytest.mark.parametrize("kind", ["broken off", "short", "altered", "404", "nobody there"])
def test_a_failed_download_leaves_nothing_and_says_what_to_do(
    server: Server, tmp_path: Path, kind: str
) -> None:
    content = dict(server.content)
    if kind == "broken off":
        server.damage = cut
    elif kind == "short":
        server.damage = cut
        server.announced = lambda body: len(cut(body))
    elif kind == "altered":
        server.damage = flip
    elif kind == "404":
        server.content.clear()
    else:
        server.close()
    message = refused()
    assert "could not be downloaded from http://127.0.0.1" in message
    assert f"by hand into {tmp_path / 'cache/mnist'}" in message
    assert "set REPARAM_DATA_DIR" in message
    says = {"404": "HTTP status 404", "short": "checksum", "altered": "checksum"}
    assert says.get(kind, "") in message
    assert [p for p in (tmp_path / "cache").rglob("*") if p.is_file()] == []
    if kind != "nobody there":  # and the next attempt is not spoiled by this one
        server.damage, server.announced, server.content = (lambda body: body), len, content
        assert label() == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_cache_that_cannot_be_written(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o500)
    assert "set REPARAM_DATA_DIR" in refused()


def test_a_cache_that_is_a_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    assert "set REPARAM_DATA_DIR" in refused()


def test_the_official_sums_are_sums() -> None:
    remotes = [source.remote for source in SOURCES.values() if isinstance(source, ImageSet)]
    assert len(remotes) == 4
    for remote in remotes:
        if remote is None:  # of digits, which are embedded
            continue
        assert remote.url.endswith("/")
        for sum_ in remote.sums.values():
            kind, digest = sum_.split(":")
            assert kind == "md5"
            assert len(bytes.fromhex(digest)) == 16
