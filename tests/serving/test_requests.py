"""What a server refuses: bodies, values, sizes, keys, and too much at once."""

import io
import json
import struct
import threading
import time
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

import reparam as rp
from reparam.errors import OptionError
from reparam.serving import Limits, application
from reparam.serving.answers import wants_npy
from reparam.serving.problems import Problem
from reparam.serving.server import api_key, serve
from tests.serving.conftest import HOST
from tests.serving.test_operations import NPY, npy, strict
from tests.support import Bomb

PATH = "/runs/digits/encode"
KEY = "a-key-of-many-characters"


def refused(found: Any, status: int, *parts: str) -> dict[str, Any]:
    """Require an answer without a result, and return it."""
    assert found.status_code == status, found.text
    said: dict[str, Any] = strict(found.text)
    assert set(said) == {"error", "status", "message", "name", "value", "rule", "fix"}
    assert said["status"] == status
    for part in parts:
        assert part in said["message"]
    return said


@pytest.mark.parametrize(
    ("content", "status", "part"),
    [
        (b"{", 400, "must be JSON"),
        (b"\xff\xfe", 400, "must be JSON"),
        (b'{"x": [[NaN]]}', 400, "JSON has no NaN"),
        (b'{"x": [[-Infinity]]}', 400, "JSON has no -Infinity"),
        (b"[" * 100_000, 400, "too deep"),
        (b'{"x": ' + b"9" * 5000 + b"}", 400, "must be JSON"),
        (b"[1]", 400, "JSON object"),
        (b"", 422, "examples are needed"),
        (b"{}", 422, "examples are needed"),
        (b'{"z": [[0]]}', 422, "z="),
        (b'{"x": []}', 422, ""),
        (b'{"x": [[]]}', 422, ""),
        (b'{"x": 1}', 422, ""),
        (b'{"x": true}', 422, "numbers"),
        (b'{"x": [[1e999]]}', 422, ""),
        (b'{"x": [["1"]]}', 422, "numbers"),
        (b'{"x": [[{"a": 1}]]}', 422, "numbers"),
        (b'{"x": [[1, 2], [3]]}', 422, "equal length"),
        (b'{"x": [[0.5, 0.5]]}', 422, "shape"),
        (b'{"x": [["\\ud800"]]}', 422, "numbers"),
        (b'{"\\ud800": 1}', 422, "fields"),
        (b'{"x": [[1' + b"0" * 400 + b"]]}", 422, ""),
    ],
)
def test_bad_json(client: TestClient, content: bytes, status: int, part: str) -> None:
    headers = {"Content-Type": "application/json"}
    refused(client.post(PATH, content=content, headers=headers), status, part)


def header(shape: str, descr: str = "'<f4'", version: int = 1) -> bytes:
    """Return the header of a file ``.npy``, after the description of the format."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(text)) + text


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (b"", "NumPy"),
        (b"no array", "NumPy"),
        (header("(1000000000000,)") + bytes(8), "4,000,000,000,000 bytes"),
        (header("(1000000, 1000000)"), "0 follow"),
        (header("(2,)") + bytes(7), "7 follow"),
        (header("(2,)") + bytes(9), "9 follow"),
        (header("(-1,)"), ""),
        (header("(1,)", "'|O'") + bytes(8), "object"),
        (header("(1,)", "'<U4'") + bytes(16), "<U4"),
        (header("(1,)", "[('a', '<f4')]") + bytes(4), "numbers"),
        (header("(1,)", "'<c8'") + bytes(8), "complex"),
        (header("(" + "1," * 40 + ")") + bytes(4), "shape"),
        (header("(1,)", "'<f4'", version=9), "version"),
        (header("[1]"), "NumPy"),
        (header("(1,")[:-3], "NumPy"),  # a bracket that is not closed
        (header("(" * 9000), "NumPy"),
        (header("(1,)", "()") + bytes(4), "NumPy"),
        (header("(1,)", "('<f4',)") + bytes(4), "NumPy"),
        (header(f"(0, {2**62})"), "shape"),
        (header(f"(0, {10**30})"), "shape"),
        (header("(True, True)") + bytes(4), "shape"),
        (header("__import__('os').getpid()"), "NumPy"),
        (npy(np.zeros((2, 64), np.float32))[:-10], "follow"),
    ],
)
def test_bad_arrays_are_refused_before_memory_is_allocated(
    client: TestClient, content: bytes, part: str
) -> None:
    tracemalloc.start()
    try:
        found = client.post(PATH, content=content, headers={"Content-Type": NPY})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    refused(found, 400, part)
    assert peak < 20e6


def test_nothing_is_unpickled(client: TestClient, tmp_path: Path) -> None:
    stream = io.BytesIO()
    np.save(stream, np.array([Bomb(tmp_path / "made")], object), allow_pickle=True)
    refused(client.post(PATH, content=stream.getvalue(), headers={"Content-Type": NPY}), 400)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("path", "body", "part"),
    [
        ("digits/decode", {"z": [[0.0] * 3]}, "(2,)"),
        ("digits/decode", {"z": [["a"]]}, "numbers"),
        ("digits/decode", {"z": [[None, 0]]}, "NaN"),
        ("digits/decode", {}, "codes are needed"),
        ("digits/sample?n_samples=0", {}, "n_samples=0"),
        ("digits/sample?n_samples=1001", {}, "at most 1,000"),
        ("digits/sample?n_samples=many", {}, "n_samples=many"),
        ("digits/sample?seed=-1", {}, "seed=-1"),
        ("digits/sample?label=1", {}, "label=1"),
        ("digits/sample?temperature=nan", {}, "temperature=nan"),
        ("digits/sample?temperature=inf", {}, "temperature=inf"),
        ("digits/sample", {"given": {"a": 1}}, "given"),
        ("digits/score?n_samples=1001", {"x": [[0.0] * 64]}, "at most 1,000"),
        ("digits/score?n_samples=0", {"x": [[0.0] * 64]}, "n_samples=0"),
        ("digits/encode", {"x": [[0.0] * 64] * 1001}, "at most 1,000"),
        ("digits/encode", {"rows": [{}]}, "rows="),
        ("people/impute?interval=2", {"rows": [{"sex": "F"}]}, "interval=2"),
        ("people/encode", {"rows": [{"sax": "F"}]}, "did you mean 'sex'"),
        ("people/encode", {"rows": [{"sex": "X"}]}, "'X'"),
        ("people/encode", {"rows": [{"sex": 1}]}, "a text"),
        ("people/encode", {"rows": [{"height": "tall"}]}, "a number"),
        ("people/encode", {"rows": [{"height": {}}]}, "a number"),
        ("people/encode", {"rows": [{"height": 10**400}]}, ""),
        ("people/encode", {"rows": [{"born": 3}]}, "a date"),
        ("people/encode", {"rows": [{"born": "x"}]}, "a date"),
        ("people/encode", {"rows": [3]}, "object"),
        ("people/encode", {"rows": []}, "list of rows"),
        ("people/encode", {"rows": [{}] * 1001}, "at most 1,000"),
        ("people/encode", {"rows": [{}], "x": [[0]]}, "once"),
        ("people/sample", {"given": {"sex": [1]}}, "given"),
        ("people/sample", {"given": {"sex": None}}, ""),
        ("people/sample", {"given": {"height": 99}}, "range"),
        ("people/sample", {"given": {}}, "given"),
        ("given/encode", {"x": [[0, 0, 0]]}, "labels"),
        ("given/encode", {"x": [[0, 0, 0]], "y": [5], "covariates": [[0, 1, 0]]}, ""),
        ("given/encode", {"x": [[0, 0, 0]], "y": [None], "covariates": [[0, 1, 0]]}, ""),
        ("given/decode", {"z": [[0, 0]], "y": [-1], "covariates": [[0, 1, 0]]}, ""),
        ("given/decode", {"z": [[0, 0]], "y": [0.5], "covariates": [[0, 1, 0]]}, ""),
        ("given/decode", {"z": [[0, 0]], "y": [0]}, "covariates"),
        ("given/decode", {"z": [[0, 0]], "y": [0, 1], "covariates": [[0, 1, 0]]}, ""),
        ("given/sample?label=7", {"covariates": {"age": 0, "sex": "F"}}, "label=7"),
        ("given/sample", {"covariates": {"age": 0, "sex": "X"}}, "'X'"),
        ("given/sample", {"covariates": {"age": [[1]], "sex": "F"}}, ""),
        ("given/sample", {"covariates": {"age": ["a", 1], "sex": "F"}}, ""),
        ("given/sample", {"covariates": {"age": 0}}, "sex"),
        ("given/sample", {"covariates": "F"}, "numbers"),
        ("text/encode", {"x": [[9] * 6]}, "9"),
        ("text/encode", {"x": [[0.5] * 6]}, ""),
        ("text/impute", {"x": [[0] * 6]}, "operations"),
    ],
)
def test_bad_values_are_the_client_s(client: TestClient, path: str, body: Any, part: str) -> None:
    content = json.dumps(body).encode()
    headers = {"Content-Type": "application/json"}
    refused(client.post(f"/runs/{path}", content=content, headers=headers), 422, part)


def test_places_and_types(client: TestClient) -> None:
    refused(client.post("/runs/digit/encode", json={}), 404, "did you mean 'digits'")
    refused(client.post("/runs/..%2F..%2Fetc/encode", json={}), 404)
    refused(client.get(PATH), 405)
    refused(client.get("/nowhere"), 404)
    refused(client.post(PATH, content=b"x", headers={"Content-Type": "text/csv"}), 415, "text/csv")
    body = {"x": [[0.0] * 64]}
    refused(client.post(PATH, json=body, headers={"Accept": "text/html"}), 406, "text/html")


@pytest.mark.parametrize(
    ("accept", "is_npy"),
    [
        (None, False),
        ("*/*", False),
        ("application/*", False),
        ("application/x-npy", True),
        ("application/x-npy;q=0.5, application/json", False),
        ("application/x-npy, */*;q=0.1", True),
        ("application/json;q=nan, application/x-npy;q=0.1", True),
    ],
)
def test_what_is_accepted(accept: str | None, is_npy: bool) -> None:
    assert wants_npy(accept) == is_npy
    with pytest.raises(Problem):
        wants_npy("application/json;q=0, application/x-npy;q=0")


def small(runs: dict[str, rp.Run], **options: Any) -> TestClient:
    """Return a client of a server with other limits."""
    return TestClient(application(runs, limits=Limits(**options)), base_url=HOST)


def test_a_body_is_read_up_to_its_limit(runs: dict[str, rp.Run]) -> None:
    n_sent = 0

    def parts() -> Iterator[bytes]:  # without Content-Length
        nonlocal n_sent
        for _ in range(100):
            n_sent += 1
            yield b" " * 2**18

    with small(runs, max_body_mb=1) as client:
        headers = {"Content-Type": "application/json"}
        for content in (b" " * (2**20 + 1), parts()):
            found = client.post(PATH, content=content, headers=headers)
            refused(found, 413, "1,048,576 bytes")
            assert found.headers["connection"] == "close"
        declared = {**headers, "Content-Length": "9" * 30}
        refused(client.post(PATH, content=b"{}", headers=declared), 413)
        assert client.post(PATH, json={"x": [[0.0] * 64]}).status_code == 200


class Gate:
    """A run whose samples wait until they may be drawn."""

    def __init__(self, run: rp.Run, monkeypatch: pytest.MonkeyPatch) -> None:
        self.began, self.may_go, self._run = threading.Event(), threading.Event(), run
        self._sample = rp.Run.sample
        monkeypatch.setattr(rp.Run, "sample", lambda *a, **k: self.sample(*a, **k))

    def sample(self, *arguments: Any, **options: Any) -> Any:
        self.began.set()
        assert self.may_go.wait(20)
        return self._sample(*arguments, **options)


def test_overload_is_refused_at_once(
    runs: dict[str, rp.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    with small(runs, max_waiting=2) as client:
        gate = Gate(runs["digits"], monkeypatch)
        found: list[Any] = []

        def ask() -> None:
            found.append(client.post("/runs/digits/sample"))

        threads = [threading.Thread(target=ask) for _ in range(3)]
        threads[0].start()
        assert gate.began.wait(20)  # it is computed, and the next two wait
        for thread in threads[1:]:
            thread.start()
        while "reparam_queue_length 2.0" not in client.get("/metrics").text:
            time.sleep(0.01)
        late = client.post("/runs/digits/sample")
        refused(late, 429, "2 requests wait")
        assert int(late.headers["retry-after"]) > 0
        gate.may_go.set()
        for thread in threads:
            thread.join()
        assert [answer.status_code for answer in found] == [200] * 3


def test_a_request_has_a_time(runs: dict[str, rp.Run], monkeypatch: pytest.MonkeyPatch) -> None:
    with small(runs, max_seconds=0.2) as client:
        gate = Gate(runs["digits"], monkeypatch)
        late = client.post("/runs/digits/sample")
        refused(late, 503, "at most 0.2 seconds")
        assert "retry-after" in late.headers
        gate.may_go.set()
        assert client.post(PATH, json={"x": [[0.0] * 64]}).status_code == 200


def test_a_long_score_ends_after_its_time(
    runs: dict[str, rp.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rp.runs.run, "CHUNK", 1)
    body = {"x": [[0.0] * 64] * 1000}
    with small(runs, max_seconds=0.3) as client:
        refused(client.post("/runs/digits/score?n_samples=1000", json=body), 503)
        began = time.monotonic()
        assert client.post(PATH, json={"x": [[0.0] * 64]}).status_code in (200, 503)
        assert time.monotonic() - began < 10  # all of it would take longer


def test_a_server_that_stops_takes_nothing(runs: dict[str, rp.Run]) -> None:
    draining = False
    app = application(runs, is_draining=lambda: draining)
    with TestClient(app, base_url=HOST) as client:
        assert client.get("/ready").status_code == 200
        draining = True
        refused_late = client.post(PATH, json={"x": [[0.0] * 64]})
        refused(refused_late, 503, "stopping")
        assert "retry-after" in refused_late.headers
        assert client.get("/ready").status_code == 503
        assert client.get("/health").status_code == 200


@pytest.mark.parametrize(
    "given", ["", "Bearer ", f"Bearer {KEY}x", f"Basic {KEY}", KEY, "Bearer é"]
)
def test_a_wrong_key(runs: dict[str, rp.Run], given: str) -> None:
    with TestClient(application(runs, api_key=KEY), base_url="http://there") as client:
        headers = {"Authorization": given.encode()}
        for path in ("/runs", "/metrics", "/", "/openapi.json", "/nowhere"):
            found = client.get(path, headers=headers)
            refused(found, 401)
            assert found.headers["www-authenticate"] == "Bearer"
        refused(client.post(PATH, json={}, headers=headers), 401)
        assert client.get("/health", headers=headers).status_code == 200
        assert client.get("/ready", headers=headers).status_code == 200


def test_the_right_key(runs: dict[str, rp.Run]) -> None:
    app = application(runs, api_key=KEY)
    assert app.openapi()["components"]["securitySchemes"]["key"]["scheme"] == "bearer"
    with TestClient(app, base_url="http://there") as client:
        assert client.get("/runs", headers={"Authorization": f"Bearer {KEY}"}).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [("localhost", 200), ("127.0.0.1:8000", 200), ("[::1]:80", 200), ("evil.example", 421)],
)
def test_without_a_key_only_this_machine_is_named(
    client: TestClient, host: str, status: int
) -> None:
    assert client.get("/runs", headers={"Host": host}).status_code == status


def test_where_a_key_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPARAM_API_KEY", raising=False)
    assert api_key() is None
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    assert api_key(file) == KEY
    monkeypatch.setenv("REPARAM_API_KEY", KEY)
    assert api_key() == KEY
    for bad in ("short", "with a space in it, and long", "", "é" * 20):
        monkeypatch.setenv("REPARAM_API_KEY", bad)
        with pytest.raises(OptionError, match="at least 16 visible"):
            api_key()
    with pytest.raises(OptionError, match="cannot be read"):
        api_key(tmp_path / "none")


def test_beyond_this_machine_a_key_is_needed(runs: dict[str, rp.Run]) -> None:
    for host in ("0.0.0.0", "::", "192.168.1.2", "my-machine"):  # noqa: S104
        with pytest.raises(OptionError, match="needs a key"):
            serve(runs, host=host)


def test_bad_names_of_runs(runs: dict[str, rp.Run]) -> None:
    for name in ("", "a/b", "a b", "a?b", "..", ".hidden"):
        with pytest.raises(OptionError, match="address of a run"):
            application({name: runs["digits"]})
    with pytest.raises(OptionError, match="needs a run"):
        application({})


def test_an_error_of_the_server_says_nothing_of_it(
    runs: dict[str, rp.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any, **options: Any) -> None:
        raise RuntimeError("a secret")

    app = application(runs)
    with TestClient(app, base_url=HOST, raise_server_exceptions=False) as client:
        monkeypatch.setattr(rp.Run, "sample", fail)
        found = client.post("/runs/digits/sample")
        refused(found, 500, "its log")
        assert "secret" not in found.text
        assert client.post(PATH, json={"x": [[0.0] * 64]}).status_code == 200


def test_what_is_counted(client: TestClient) -> None:
    client.post(PATH, json={"x": [[0.0] * 64] * 3})
    client.post(PATH, json={})
    client.get("/one-of-many-paths")
    text = client.get("/metrics").text
    for line in (
        'reparam_requests_total{route="/runs/{name}/encode",status="200"} 1.0',
        'reparam_requests_total{route="/runs/{name}/encode",status="422"} 1.0',
        'reparam_requests_total{route="other",status="404"} 1.0',
        'reparam_errors_total{route="/runs/{name}/encode"} 1.0',
        'reparam_request_seconds_count{route="/runs/{name}/encode"} 2.0',
        'reparam_batch_size_sum{operation="encode"} 3.0',
        "reparam_queue_length 0.0",
    ):
        assert line in text
