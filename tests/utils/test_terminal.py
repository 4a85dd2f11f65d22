"""The terminal: narrow, closed, full, without our signs, without a home folder, and Ctrl-C."""

import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace

import pooch
import pytest

from reparam.cli import main as command_line
from reparam.cli.main import CtrlC, main, verbs
from reparam.cli.table import print_table
from reparam.data.download import cache_folder
from reparam.errors import OptionError
from reparam.runs.options import DataOptions, ModelOptions
from reparam.training.options import MachineOptions, TrainingOptions
from reparam.utils.terminal import NARROWEST, BestEffortStream, ascii_for, wide_enough, width
from reparam.variants import get, names
from tests.support import TRAIN, reparam


class Terminal(io.StringIO):
    """A terminal that remembers what was written to it."""

    def isatty(self) -> bool:
        return True


class TestWidth:
    @pytest.mark.parametrize("verb", verbs())
    def test_one_column_has_help(self, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", "1")
        assert f"usage: reparam {verb}" in reparam(verb, "--help").out
        assert os.environ["COLUMNS"] == "1"

    @pytest.mark.parametrize("columns", ["2", "5", "6", "20", "80", "0", "-3", "wide", ""])
    def test_any_width_has_help(self, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("COLUMNS", columns)
        assert "The number of pairs" in " ".join(reparam("interpolate --help").out.split())

    def test_help_is_never_narrower_than_its_words(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("COLUMNS", raising=False)
        monkeypatch.setattr(os, "get_terminal_size", lambda *a: os.terminal_size((3, 24)))
        with wide_enough():
            assert width() == NARROWEST
        assert "COLUMNS" not in os.environ
        monkeypatch.setenv("COLUMNS", "132")
        with wide_enough():
            assert width() == 132

    @pytest.mark.parametrize("columns", ["1", "2", "5", "20", "80", "0"])
    def test_table_keeps_all_of_its_letters(
        self, columns: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setattr(sys, "stdout", Terminal())
        print_table(("a", "b"), [("q" * 30, "z" * 45), ("x", "y")])
        shown = sys.stdout.getvalue()  # type: ignore[attr-defined]
        assert (shown.count("q"), shown.count("z")) == (30, 45)

    @pytest.mark.parametrize("columns", ["1", "2", "20"])
    def test_training_shows_its_bar(
        self, columns: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("COLUMNS", columns)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(sys, "stderr", Terminal())
        assert main([*TRAIN.split(), "--out", str(tmp_path / "run")]) == 0
        assert "\x1b[" in sys.stderr.getvalue()  # type: ignore[attr-defined]

    def test_training_on_a_dumb_terminal_writes_lines(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("TERM", "dumb")
        monkeypatch.setattr(sys, "stderr", Terminal())
        assert main([*TRAIN.split(), "--out", str(tmp_path / "run")]) == 0
        shown = sys.stderr.getvalue()  # type: ignore[attr-defined]
        assert shown.startswith("data: ")
        assert "\nepoch   1/1" in shown
        assert "\x1b" not in shown


class TestEncoding:
    @pytest.mark.parametrize("encoding", ["ascii", "cp1252", "cp437", "latin-1", "koi8-r"])
    @pytest.mark.parametrize("words", ["models", "models vmf-vae", "data", "train cae --help"])
    def test_without_our_signs_writes_stand_ins(
        self, encoding: str, words: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shown = io.BytesIO()
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding=encoding))
            with suppress(SystemExit):  # as --help ends
                assert main(words.split()) == 0
            text = shown.getvalue().decode(encoding)
        assert len(text) > 300
        assert "�" not in text

    def test_what_an_encoding_has_stays(self, monkeypatch: pytest.MonkeyPatch) -> None:
        shown = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="latin-1"))
        monkeypatch.setattr(command_line, "_run", lambda *a: print("2 ± 1 λ – ‖x‖ ≤ ½…"))
        assert main([]) == 0
        assert shown.getvalue().decode("latin-1").strip() == "2 ± 1 lambda - ||x|| <= ½..."

    def test_bytes_of_names_that_are_no_text_are_escaped(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        shown = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(shown, encoding="utf-8"))
        name = os.fsdecode(b"caf\xe9.png")
        monkeypatch.setattr(command_line, "_run", lambda *a: print(name))
        assert main([]) == 0
        assert shown.getvalue().strip() == rb"caf\xe9.png"

    def test_every_stand_in_is_ascii(self) -> None:
        for sign in map(chr, range(0x80, 0x3000)):
            assert ascii_for(sign).isascii()
            assert ascii_for(sign) != ""


@pytest.fixture
def pipe_without_reader() -> Iterator[io.TextIOWrapper]:
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "w", encoding="utf-8") as stream:
        yield stream


@pytest.fixture
def full() -> Iterator[io.TextIOWrapper]:
    if not os.path.exists("/dev/full"):
        pytest.skip("no device that is always full")
    stream = open("/dev/full", "w", encoding="utf-8")  # noqa: SIM115
    yield stream
    try:
        stream.close()
    except OSError:
        assert stream.closed


class TestStreams:
    @pytest.mark.parametrize("words", ["", "models", "models vae", "data", "reproduce --list"])
    def test_a_reader_that_left_ends_it_quietly(
        self,
        words: str,
        pipe_without_reader: io.TextIOWrapper,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(sys, "stdout", pipe_without_reader)
        assert main(words.split()) == 141
        assert capsys.readouterr().err == ""
        # Python flushes once more when it ends: that must not fail again.
        pipe_without_reader.flush()

    def test_help_that_nobody_reads(
        self, pipe_without_reader: io.TextIOWrapper, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(sys, "stdout", pipe_without_reader)
        assert main(["sample", "--help"]) == 141

    def test_a_full_device_is_one_sentence(
        self,
        full: io.TextIOWrapper,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        monkeypatch.setattr(sys, "stdout", full)
        assert main(["data"]) == 1
        said = "reparam: the output cannot be written: No space left on device\n"
        assert capsys.readouterr().err == said
        full.flush()

    def test_training_goes_on_where_nothing_can_be_told(
        self, full: io.TextIOWrapper, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setattr(sys, "stderr", full)
        assert main([*TRAIN.split(), "--out", str(tmp_path / "run")]) == 0
        assert (tmp_path / "run" / "model.json").exists()
        full.flush()

    def test_closed_streams_are_replaced(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("stdin", "stdout", "stderr"):
            monkeypatch.setattr(sys, name, None)
        assert main(["models", "vae"]) == 0
        assert main(["model"]) == 2
        opened = [sys.stdin, sys.stdout, sys.stderr]
        assert [stream.name for stream in opened] == [os.devnull] * 3
        for stream in opened:
            stream.close()

    def test_lasting_writes_what_can_be_written(self) -> None:
        below = io.StringIO()
        print("told", file=BestEffortStream(below))
        assert below.getvalue() == "told\n"
        print("told", file=BestEffortStream(None))
        assert not BestEffortStream(None).isatty()


class TestCtrlC:
    def test_raises_while_a_verb_runs(self) -> None:
        before = signal.getsignal(signal.SIGINT)
        with CtrlC(is_process=False) as ctrl_c, pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert ctrl_c.came
        assert signal.getsignal(signal.SIGINT) == before

    @pytest.mark.parametrize("error", [ImportError, RuntimeError, KeyboardInterrupt, OSError])
    def test_is_what_is_said_whatever_it_came_out_as(
        self,
        error: type[BaseException],
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def interrupted(*arguments: object) -> None:
            try:
                signal.raise_signal(signal.SIGINT)
            except KeyboardInterrupt:
                raise error("half of a module") from None

        monkeypatch.setattr(command_line, "_run", interrupted)
        assert main(["data"]) == 130
        assert capsys.readouterr().err == "reparam: stopped\n"

    def test_leaves_at_once_during_imports(
        self, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
    ) -> None:
        class Left(Exception):
            """In the place of the end of the process."""

        def leave(code: int) -> None:
            raise Left(code)

        monkeypatch.setattr(os, "_exit", leave)
        ctrl_c = CtrlC(is_process=True)
        with pytest.raises(Left, match="130"):
            ctrl_c._handle(signal.SIGINT, None)
        # An interrupt that nothing could be done about, as in a finalizer.
        with pytest.raises(Left, match="130"):
            ctrl_c._unraisable(SimpleNamespace(exc_value=KeyboardInterrupt()))  # type: ignore[arg-type]
        assert capfd.readouterr().err == "reparam: stopped\n" * 2
        ctrl_c.leaves_at_once = False
        with pytest.raises(KeyboardInterrupt):
            ctrl_c._handle(signal.SIGINT, None)

    def test_stays_ignored_in_the_background(self) -> None:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        try:
            with CtrlC(is_process=False) as ctrl_c:
                signal.raise_signal(signal.SIGINT)
            assert not ctrl_c.came
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        finally:
            signal.signal(signal.SIGINT, before)


def test_without_docstrings_there_is_help(monkeypatch: pytest.MonkeyPatch) -> None:
    groups = (ModelOptions, DataOptions, TrainingOptions, MachineOptions)
    for part in (*groups, *(get(name).builder for name in names())):
        monkeypatch.setattr(part, "__doc__", None)
    said = reparam("train beta-vae --help").out
    assert "--beta" in said
    assert "standard-normal" in said
    assert main(["models", "beta-vae"]) == 0


def test_without_a_home_folder_downloads_need_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless(project: str) -> str:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv("REPARAM_CACHE", raising=False)
    monkeypatch.setattr(pooch, "os_cache", homeless)
    with pytest.raises(OptionError, match="REPARAM_CACHE is not set"):
        cache_folder()
