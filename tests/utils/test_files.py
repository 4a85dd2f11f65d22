"""Paths as users give them, and files that are read safely whatever lies in their place."""

import ast
import gzip
import io
import json
import os
import pwd
import tarfile
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import reparam as rp
from experiments.ledger.options import Options
from experiments.ledger.run import reproduce
from reparam.data.download import cache_folder
from reparam.data.idx import read_idx, unpacked
from reparam.data.sources.cifar10 import ARCHIVE, read_archive
from reparam.errors import DataError, OptionError, ReparamError
from reparam.pictures import grid, save
from reparam.plots import kl_per_dimension, save_figure
from reparam.runs.config import read_config
from reparam.runs.folder import RunFolder
from reparam.utils import files
from reparam.utils.files import (
    as_path,
    has_type,
    read_json,
    read_regular,
    read_text,
    read_yaml,
    stored_path,
    write_json,
)
from tests.support import QUICK, quick_fit, reparam

SOURCE = Path(rp.__file__).parent


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder, and a current one beside it."""
    (tmp_path / "work").mkdir()
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "home"


class TestHome:
    def test_is_what_a_tilde_stands_for(self, home: Path) -> None:
        assert as_path("~/runs/a") == home / "runs" / "a"
        assert as_path(Path("~")) == home
        assert as_path("a/~") == Path("a/~")

    def test_of_python(self, home: Path) -> None:
        x = torch.rand(20, 4)
        recipe = rp.variants.vae(rp.DataSpec((4,), "unit"), latent_dim=2, hidden=[4])
        quick_fit(recipe, x, out="~/runs/a")
        assert (home / "runs" / "a" / "config.yaml").is_file()
        assert RunFolder("~/runs/a").holds_run
        assert rp.load("~/runs/a", model=recipe).sample(2).shape == (2, 4)
        save(grid(torch.rand(4, 1, 2, 2)), "~/a.png")
        save_figure(kl_per_dimension([1.0]), "~/b.png")
        (home / "a.txt").write_text("to be or not to be " * 20)
        assert rp.data.load("text", path="~/a.txt", window=8).options["path"] == f"{home}/a.txt"
        assert Options(runs=Path("~/runs")).runs == home / "runs"
        reproduce("swapped-gradient", Options(n_samples=50), out="~/result.json")
        for name in ("a.png", "b.png", "result.json"):
            assert (home / name).is_file()
        assert list((home.parent / "work").iterdir()) == []

    def test_of_the_command_line(self, home: Path) -> None:
        (home / "some.yaml").write_text("variant: vae\nseed: 3\n")
        reparam("train", QUICK, "--config=~/some.yaml", "--out=~/run")
        reparam("train --resume '~/run'")
        reparam("sample '~/run' --out '~/s.npy'")
        reparam("doctor '~/s.npy'")
        kept = {path.name for path in home.iterdir()}
        assert kept == {"some.yaml", "run", "s.npy"}
        assert list((home.parent / "work").iterdir()) == []

    def test_of_places_of_data(self, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (home / "mnist").mkdir()
        with pytest.raises(DataError, match=f"{home}/mnist lacks"):
            rp.data.load("mnist", data_dir="~")
        assert f"{home}/mnist lacks" in reparam("train vae --data mnist --data-dir '~'", code=1).err
        monkeypatch.setenv("REPARAM_CACHE", "~/cache")
        assert cache_folder() == home / "cache"

    def test_that_is_not_known_is_one_sentence(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unknown(user: object) -> None:
            raise KeyError(user)

        monkeypatch.chdir(tmp_path)
        monkeypatch.delenv("HOME")
        monkeypatch.delenv("REPARAM_CACHE", raising=False)
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(pwd, "getpwuid", unknown)
        for place in ("~/a", "~no-such-user/a"):
            with pytest.raises(OptionError, match=r"out='~.*': the home folder is not known: set"):
                as_path(place, "out")
        with pytest.raises(OptionError, match="REPARAM_CACHE"):
            cache_folder()
        assert reparam("train vae --out '~/a'", code=2).err.startswith(
            "reparam: run='~/a': the home folder is not known"
        )
        assert list(tmp_path.iterdir()) == []


class TestPath:
    @pytest.mark.parametrize(
        ("place", "said"),
        [
            ("", "out='' is empty"),
            ("a\0b", r"out='a\\x00b': a path cannot contain a NUL"),
            ("\ud800", "is not a valid file name"),
            (3, "out=3 is not a path"),
            (None, "out=None is not a path"),
        ],
    )
    def test_that_is_none_is_one_sentence(self, place: Any, said: str) -> None:
        with pytest.raises(OptionError, match=said) as caught:
            as_path(place, "out")
        assert "\n" not in str(caught.value)

    @pytest.mark.parametrize(
        "words",
        [
            ["train", "vae", "--out", ""],
            ["train", "vae", "--out="],
            ["train", "vae", "--config", ""],
            ["train", "vae", "--data", "text", "--path", ""],
            ["evaluate", ""],
            ["sample", "run", "--out", ""],
            ["compare", "a", ""],
            ["demo", "--out", ""],
            ["train", "vae", "--out", "a\0b"],
            ["evaluate", "a\0b"],
        ],
    )
    def test_on_the_command_line(
        self, words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        said = reparam(*words, code=None).err
        assert said.startswith("reparam: ")
        assert said.count("\n") == 1
        assert list(tmp_path.iterdir()) == []

    def test_stored_in_another_locale_is_found(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # As in the locale C, whose names of files are ASCII, other bytes standing for themselves.
        def encode(name: Any) -> bytes:
            return os.fspath(name).encode("ascii", "surrogateescape")

        def decode(name: Any) -> str:
            return name.decode("ascii", "surrogateescape") if isinstance(name, bytes) else str(name)

        monkeypatch.setattr(files.os, "fsencode", encode)
        monkeypatch.setattr(files.os, "fsdecode", decode)
        found = as_path("runs/été")
        assert str(found).encode("ascii", "surrogateescape") == b"runs/\xc3\xa9t\xc3\xa9"
        assert stored_path(found) == "runs/été"

    def test_that_is_not_utf8_is_stored(self, tmp_path: Path) -> None:
        path = tmp_path / os.fsdecode(b"r\xff")
        assert as_path(stored_path(path)) == path
        write_json(tmp_path / "a.json", {"path": str(path), "name": "é"})
        text = (tmp_path / "a.json").read_bytes().decode("utf-8")
        assert "é" in text
        assert json.loads(text)["path"] == str(path)


def in_the_place_of(kind: str, path: Path) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()


class TestRegular:
    @pytest.mark.parametrize("kind", ["pipe", "device", "folder", "nothing"])
    def test_only_is_read(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "a"
        in_the_place_of(kind, path)
        with pytest.raises(OSError, match="not a regular file" if kind != "nothing" else "No such"):
            read_regular(path)
        for read in (read_text, read_json, read_yaml):
            with pytest.raises(OSError, match="a"):
                read(path)

    @pytest.mark.parametrize("kind", ["pipe", "device"])
    def test_of_options_and_text(self, tmp_path: Path, kind: str) -> None:
        path = tmp_path / "a"
        in_the_place_of(kind, path)
        for words in (["--config", str(path)], ["--data", "text", "--path", str(path)]):
            assert "it is not a regular file" in reparam("train vae", *words, code=1).err

    def test_up_to_a_limit(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"12345")
        assert read_regular(path, 5) == b"12345"
        with pytest.raises(OSError, match="larger than 4 bytes"):
            read_regular(path, 4)

    def test_a_huge_file_is_not_read(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        with path.open("wb") as stream:
            stream.truncate(2**40)  # takes no room on the disk
        for read in (read_json, read_yaml):
            with pytest.raises(OSError, match="it is larger than"):
                read(path)
        with pytest.raises(DataError, match="larger than"):
            read_config(path, [])


DEEP = "[" * 20_000


class TestContent:
    @pytest.mark.parametrize("text", [DEEP + "]" * 20_000, DEEP, '{"a":' * 20_000])
    def test_nested_too_deeply(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "a"
        path.write_text(text)
        for read in (read_json, read_yaml):
            with pytest.raises(ValueError, match=r".") as caught:
                read(path)
            assert not isinstance(caught.value, RecursionError)

    def test_that_is_not_utf8(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"a: \xe9\n")
        for read in (read_text, read_json, read_yaml):
            with pytest.raises(ValueError, match="utf-8"):
                read(path)
        with pytest.raises(OptionError, match="is no YAML"):
            read_config(path, [])

    @pytest.mark.parametrize(
        "text",
        [
            "a: &a [1]\nb: *a",
            "a: &a {x: 1}\nb: {<<: *a}",
            '!!int ""',
            '!!float ""',
            "!!timestamp x",
            "!!bool x",
            "? [1]\n: 2",
            "2001-99-99",
            "!!python/name:os.system",
            "a: \x00",
            "a: b: c",
        ],
    )
    def test_that_is_no_plain_yaml(self, tmp_path: Path, text: str) -> None:
        path = tmp_path / "a"
        path.write_text(text)
        with pytest.raises(ValueError, match=r".") as caught:
            read_yaml(path)
        assert "\n" not in str(caught.value)
        with pytest.raises(ReparamError):
            read_config(path, ["a", "b"])

    def test_that_is_plain_yaml(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_text("a: &a [1, é]\nb: '*a'\nc: 2 * 3\nd: 2001-01-02\n", encoding="utf-8")
        assert read_yaml(path) == {
            "a": [1, "é"],
            "b": "*a",
            "c": "2 * 3",
            "d": date(2001, 1, 2),
        }

    def test_aliases_do_not_multiply(self, tmp_path: Path) -> None:
        lines = ["l0: &l0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
        lines += [f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 10)}]" for i in range(1, 12)]
        (tmp_path / "a.yaml").write_text("\n".join(lines))
        said = reparam("train vae --config", tmp_path / "a.yaml", code=2)
        assert "it has aliases (*name), which are not read" in said.err

    @pytest.mark.parametrize(
        ("value", "kind", "expected"),
        [
            (1, float, True),
            (1.0, int, False),
            (True, int, False),
            (True, bool, True),
            (None, str | None, True),
            ("x", float | None, False),
            ([1], tuple[int, ...], False),
            ((1, "x"), tuple[int, ...], False),
            ({"a": None}, dict[str, float | None], True),
            ({"a": "x"}, dict[str, float | None], False),
        ],
    )
    def test_types(self, value: Any, kind: Any, expected: bool) -> None:
        assert has_type(value, kind) is expected


def is_text_without_encoding(call: ast.Call) -> bool:
    """Whether a call reads or writes text in the encoding of the locale."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    given = {keyword.arg for keyword in call.keywords}
    words = [a.value for a in call.args if isinstance(a, ast.Constant) and type(a.value) is str]
    if name in ("read_text", "write_text"):
        of_ours = isinstance(call.func, ast.Name)
        return not of_ours and "encoding" not in given and "utf-8" not in words
    if name in ("open", "fdopen", "NamedTemporaryFile"):
        of = getattr(getattr(call.func, "value", None), "id", "")
        modes = [word for word in words if set(word) <= set("rwaxbt+")]
        is_binary = any("b" in mode for mode in modes)
        return (
            of not in ("os", "gzip", "tarfile", "archive", "Image") and not is_binary and not given
        )
    return False


def test_no_file_is_read_in_the_encoding_of_the_locale() -> None:
    found = [
        f"{path.relative_to(SOURCE)}:{node.lineno}"
        for path in SOURCE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call) and is_text_without_encoding(node)
    ]
    assert found == []
    wrong = ["p.read_text()", "open('a')", "p.open('a')", "p.write_text('x')"]
    assert all(is_text_without_encoding(ast.parse(code).body[0].value) for code in wrong)  # type: ignore[attr-defined]


def idx(*shape: int, content: bytes) -> bytes:
    head = bytes([0, 0, 8, len(shape)])
    return head + np.array(shape, ">u4").tobytes() + content


class TestUnpacked:
    """A small file may unpack to more than any memory holds."""

    @pytest.fixture
    def largest(self, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
        """How many bytes were unpacked at once at most."""
        sizes = [0]
        real = unpacked

        def counted(stored: bytes, limit: int) -> bytes:
            content = real(stored, limit)
            sizes.append(len(content))
            return content

        monkeypatch.setattr("reparam.data.idx.unpacked", counted)
        return lambda: max(sizes)

    @pytest.mark.parametrize("start", [bytes(8), idx(10, content=b"")])
    @pytest.mark.parametrize("members", [1, 8])
    def test_labels(
        self, tmp_path: Path, start: bytes, members: int, largest: Callable[[], int]
    ) -> None:
        path = tmp_path / "labels"
        path.write_bytes(gzip.compress(start + bytes(2**22)) * members)
        with pytest.raises(DataError, match=r"too long|no IDX file"):
            read_idx(path, n_axes=1)
        assert largest() <= 2**16 + 1

    def test_a_header_that_promises_too_much(
        self, tmp_path: Path, largest: Callable[[], int]
    ) -> None:
        path = tmp_path / "images"
        path.write_bytes(gzip.compress(idx(2**31, 28, 28, content=bytes(2**20))))
        with pytest.raises(DataError, match="promises 1683627180048 bytes"):
            read_idx(path, n_axes=3)
        assert largest() <= 2**16 + 1

    def test_members_are_one_file(self, tmp_path: Path) -> None:
        content = idx(6, content=b"abcdef")
        path = tmp_path / "labels"
        path.write_bytes(gzip.compress(content[:9]) + gzip.compress(content[9:]) + bytes(5))
        assert bytes(read_idx(path, n_axes=1).tolist()) == b"abcdef"
        assert gzip.decompress(path.read_bytes()) == content

    def test_an_archive(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def archive(name: str, size: int) -> Path:
            buffer = io.BytesIO()
            with tarfile.open(fileobj=buffer, mode="w:gz") as packed:
                member = tarfile.TarInfo(name)
                member.size = size
                packed.addfile(member, io.BytesIO(bytes(size)))
            (tmp_path / ARCHIVE).write_bytes(buffer.getvalue())
            return tmp_path / ARCHIVE

        monkeypatch.setattr("reparam.data.sources.cifar10.RECORDS", 1)
        with pytest.raises(
            DataError, match=r"data_batch_1\.bin in .* has more than the 3073 bytes"
        ):
            read_archive(archive("data_batch_1.bin", 3074))
        monkeypatch.setattr("reparam.data.sources.cifar10.LARGEST", 2**16)
        with pytest.raises(DataError, match="unpacks to more than 65536 bytes"):
            read_archive(archive("other", 2**17))
