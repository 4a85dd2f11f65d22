"""A server in a process of its own: it starts, answers, finishes what it has taken, and stops."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import create_server
from typing import Any
from urllib.request import Request, urlopen

import numpy as np
import pytest

import reparam as rp
from reparam.serving import Limits
from tests.support import ROOT, quick_fit, refused, reparam

KEY = "a-key-of-many-characters"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a run on digits into a folder."""
    path = tmp_path_factory.mktemp("runs") / "digits"
    digits = rp.data.load("digits")
    options: dict[str, Any] = {"latent_dim": 2, "hidden": [8]}
    quick_fit(rp.variants.vae(digits.spec, **options), digits, epochs=None, steps=5, out=path)
    return path


@contextmanager
def served(*words: object, **environment: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start a server on a free port; the context has its address and its process."""
    command = [sys.executable, "-m", "reparam", "serve", *map(str, words), "--port", "0"]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )
    try:
        assert process.stderr is not None
        found = None
        while found is None:
            line = process.stderr.readline()
            assert line, "the server has ended"
            found = re.search(r"http://\S+:\d+", line)
        yield found[0], process
    finally:
        process.kill()
        process.communicate()


def ask(address: str, path: str, body: Any = None, key: str | None = None) -> Any:
    """Return the JSON of an answer."""
    headers = {"Content-Type": "application/json"}
    headers |= {} if key is None else {"Authorization": f"Bearer {key}"}
    content = None if body is None else json.dumps(body).encode()
    with urlopen(Request(address + path, content, headers), timeout=60) as found:  # noqa: S310
        return json.load(found)


@pytest.mark.slow
def test_it_finishes_what_it_has_taken_and_stops(folder: Path) -> None:
    with served(folder, "--max-samples", 100_000, "--drain-seconds", 30) as (address, process):
        assert ask(address, "/ready") == {"status": "ready"}
        found: list[Any] = []
        body = {"x": [[0.0] * 64] * 200}

        def score() -> None:
            found.append(ask(address, "/runs/digits/score?n_samples=5000", body))

        waiting = threading.Thread(target=score)
        waiting.start()
        time.sleep(0.3)
        assert not found  # it is computed now
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        waiting.join()
        process.wait(40)
        assert time.monotonic() - began < 35
        assert len(found[0]["log_likelihood"]) == 200
        assert process.returncode in (0, -signal.SIGTERM)


@pytest.mark.slow
def test_the_code_of_the_page_asks(folder: Path) -> None:
    page = (ROOT / "docs" / "how-to" / "serve.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(block, names)  # noqa: S102
    with served(folder) as (address, _):
        x = np.zeros((2, 64), np.float32)
        expected = rp.load(folder).encode(x).numpy()
        place = f"{address}/runs/digits/encode"
        np.testing.assert_allclose(names["ask_numpy"](place, x), expected, rtol=1e-5)
        np.testing.assert_allclose(names["ask"](place, {"x": x.tolist()})["z"], expected, rtol=1e-5)


def test_the_page_has_every_limit_and_its_default() -> None:
    page = (ROOT / "docs" / "how-to" / "serve.md").read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `--([a-z-]+)` \| ([\d.]+) \|", page, re.MULTILINE))
    known = {name.replace("_", "-"): f"{value:g}" for name, value in vars(Limits()).items()}
    assert rows == {**known, "drain-seconds": "30"}


@pytest.mark.slow
def test_beyond_this_machine_with_a_key(folder: Path) -> None:
    with served(folder, "--host", "0.0.0.0", REPARAM_API_KEY=KEY) as (address, process):  # noqa: S104
        address = address.replace("0.0.0.0", "127.0.0.1")  # noqa: S104
        assert ask(address, "/health") == {"status": "ok"}
        assert ask(address, "/runs", key=KEY)["runs"][0]["name"] == "digits"
        with pytest.raises(OSError, match="401"):
            ask(address, "/runs")
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=40)
        assert process.returncode == 128 + signal.SIGINT
        assert "Traceback" not in said


def test_the_command_line_refuses(folder: Path, tmp_path: Path) -> None:
    refused(f"serve {folder} --host 0.0.0.0", "--host", "needs a key", "--api-key-file")
    refused(f"serve {folder} {folder}", "the same name")
    refused(f"serve {folder} --max-rows 0", "--max-rows 0: must be at least 1")
    refused(f"serve {folder} --max-seconds 0", "--max-seconds 0")
    refused(f"serve {folder} --api-key-file {tmp_path / 'none'}", "cannot be read")
    refused(f"serve {tmp_path / 'none'}", "none")
    with create_server(("127.0.0.1", 0)) as taken:
        refused(f"serve {folder} --port {taken.getsockname()[1]}", "cannot be listened on")
    assert "--api-key-file" in reparam("serve --help").out
    assert "--api-key " not in reparam("serve --help").out


class TestWithoutPackages:
    """Where the packages of a server are not installed."""

    @pytest.fixture(autouse=True)
    def _without(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "uvicorn", None)

    def test_help_needs_none(self) -> None:
        out, _ = reparam("serve --help", code=0)
        assert "max-seconds" in out

    def test_the_command_that_installs_them_is_told(self, folder: Path) -> None:
        refused(f"serve {folder}", "a server needs uvicorn", "pip install 'reparam[serve]'")
