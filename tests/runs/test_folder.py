"""Run folders: who may write to them, what a reader leaves alone, which damage is mended."""

import errno
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import reparam as rp
from reparam.cli.main import main
from reparam.errors import CheckpointError, OptionError, ReparamError, RunError, WriteError
from reparam.runs.config import config_sha256
from reparam.runs.folder import RunFolder, next_free
from reparam.training import checkpoint as checkpoints
from reparam.training.checkpoint import (
    Checkpoint,
    load_checkpoint,
    load_tensors,
    save_checkpoint,
    save_tensors,
)
from reparam.training.metrics import read_rows
from tests.support import TRAIN, refused, reparam

FORKS = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def train(out: Path, seed: int = 0, **options: Any) -> rp.Run:
    torch.manual_seed(seed)
    data = rp.data.load("digits")
    recipe = rp.variants.vae(data.spec, latent_dim=2, hidden=[4])
    settings = {"epochs": 2, "batch_size": 512, "pictures_every": 0, "checkpoint_every": 0}
    settings |= {"progress": False, "resume": True, "seed": seed}
    return rp.fit(recipe, data, out=out, **settings | options)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(tmp_path_factory.mktemp("runs") / "run").folder.path  # type: ignore[union-attr]


@pytest.fixture
def run(original: Path, tmp_path: Path) -> Path:
    """A finished run, to be damaged."""
    return Path(shutil.copytree(original, tmp_path / "run"))


@pytest.fixture
def unfinished(run: Path) -> Path:
    for path in run.glob("model.*"):
        path.unlink()
    return run


def in_child(action: Callable[[], object]) -> int:
    """Do something in a child process, and return its number."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            action()
            code = 0
        finally:
            os._exit(code)
    return child


def ended_well(child: int) -> bool:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


class TestLock:
    @FORKS
    @pytest.mark.parametrize("has_run", [True, False])
    def test_has_one_holder(self, tmp_path: Path, has_run: bool) -> None:
        # What is read, and written after a moment, is right only where nobody comes in between.
        folder, counter = RunFolder(tmp_path / "run"), tmp_path / "counter"
        counter.write_text("0")
        if has_run:
            folder.begin({})

        def count() -> None:
            done = 0
            while done < 30:
                try:
                    with folder.locked():
                        before = int(counter.read_text())
                        time.sleep(0.0005)
                        counter.write_text(str(before + 1))
                        done += 1
                except RunError:
                    time.sleep(0.0005)

        children = [in_child(count) for _ in range(3)]
        assert [ended_well(child) for child in children] == [True] * 3
        assert counter.read_text() == "90"

    @FORKS
    def test_goes_with_its_process_and_not_with_what_that_started(self, tmp_path: Path) -> None:
        folder = RunFolder(tmp_path / "run")
        ready, still = os.pipe(), os.pipe()

        def hold() -> None:
            with folder.locked():
                in_child(lambda: (os.close(still[1]), os.read(still[0], 1)))  # as a loader's worker
                os.write(ready[1], b"x")
                time.sleep(60)

        holder = in_child(hold)
        os.read(ready[0], 1)
        with pytest.raises(RunError, match="another process is training"), folder.locked():
            pass
        os.kill(holder, signal.SIGKILL)
        os.waitpid(holder, 0)
        with folder.locked():
            pass
        for end in (*ready, *still):
            os.close(end)

    def test_lies_in_the_folder_and_nothing_beside_it(self, tmp_path: Path) -> None:
        folder = RunFolder(tmp_path / "run")
        with folder.locked():
            assert [path.name for path in tmp_path.iterdir()] == ["run"]
            assert [path.name for path in folder.path.iterdir()] == ["lock"]

    def test_that_is_there_is_no_run(self, tmp_path: Path) -> None:
        (tmp_path / "run").mkdir()
        (tmp_path / "run" / "lock").touch()
        (tmp_path / "run" / ".writing-abc").write_text("half")
        train(tmp_path / "run", epochs=1, resume=False)
        assert not (tmp_path / "run" / ".writing-abc").exists()

    def test_is_not_put_into_a_folder_of_other_files(self, tmp_path: Path) -> None:
        (tmp_path / "thesis.tex").write_text("mine")
        with pytest.raises(RunError, match=r"is not empty \(it holds thesis.tex\)"):
            train(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]

    @pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOTSUP, errno.EINVAL, errno.ENOLCK])
    def test_where_there_can_be_none(
        self,
        tmp_path: Path,
        number: int,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        def flock(handle: int, operation: int) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr("fcntl.flock", flock)
        train(tmp_path / "run", epochs=1)
        (said,) = capsys.readouterr().err.splitlines()
        assert "has no locks" in said
        assert "no other process trains this run" in said
        assert rp.load(tmp_path / "run").folder.is_finished  # type: ignore[union-attr]

    def test_that_fails_otherwise_is_one_sentence(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def flock(handle: int, operation: int) -> None:
            raise OSError(errno.EIO, "Input/output error")

        monkeypatch.setattr("fcntl.flock", flock)
        with pytest.raises(WriteError, match=r"cannot write .*run: Input/output error"):
            train(tmp_path / "run")

    def test_in_the_way_is_one_sentence(self, tmp_path: Path) -> None:
        (tmp_path / "run" / "lock").mkdir(parents=True)
        with pytest.raises(WriteError, match="cannot write"):
            train(tmp_path / "run")


class TestNextFree:
    def test_is_for_one(self, tmp_path: Path) -> None:
        found: list[Path] = []
        start = threading.Barrier(8)

        def take() -> None:
            start.wait()
            found.append(next_free(tmp_path / "runs", "a"))

        threads = [threading.Thread(target=take) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(path.name for path in found) == [f"a-{i}" for i in range(1, 9)]

    def test_is_passed_over_while_another_run_begins(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        with RunFolder("runs/digits-vae-1").locked():
            reparam(TRAIN)
        assert (tmp_path / "runs" / "digits-vae-2" / "model.json").is_file()

    def test_is_not_taken_for_nothing(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        refused("train vae --early-stopping 1 --validation 0", code=1)
        assert list(tmp_path.iterdir()) == []

    def test_that_cannot_be_made_says_to_give_out(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "runs").write_text("a file")
        refused(TRAIN, "--out", code=1)


@pytest.fixture
def read_only(run: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A run on a file system that is mounted for reading, as Python asks the system for a file."""
    real = os.open

    def refuse(path: Any, flags: int, *rest: Any, **named: Any) -> int:
        if flags & os.O_CREAT and Path(os.fsdecode(path)).is_relative_to(run):
            raise OSError(errno.EROFS, "Read-only file system", path)
        return real(path, flags, *rest, **named)

    monkeypatch.setattr(os, "open", refuse)
    return run


class TestReadOnly:
    def test_figures_are_printed_and_returned(self, read_only: Path) -> None:
        said = reparam("evaluate", read_only, "--n-samples 2")
        assert "elbo" in said.out
        assert "Read-only file system; the figures are not kept" in said.err
        result = rp.load(read_only).evaluate(n_samples=2)
        assert result.elbo is not None
        assert not (read_only / "evaluation.json").exists()

    @pytest.mark.parametrize("verb", ["sample", "reconstruct", "encode", "plot"])
    def test_pictures_say_to_give_out(self, read_only: Path, tmp_path: Path, verb: str) -> None:
        refused(
            f"{verb} {read_only}", "Read-only file system; name another place with --out", code=1
        )
        elsewhere = tmp_path / ("plots" if verb == "plot" else "a.npy")
        reparam(verb, read_only, "--out", elsewhere)

    def test_training_is_one_sentence(self, read_only: Path) -> None:
        # A finished run has nothing to write.
        reparam("train --resume", read_only)
        (read_only / "model.json").unlink()
        refused(f"train --resume {read_only}", "Read-only file system", code=1)


class TestReader:
    def test_writes_nothing(self, unfinished: Path) -> None:
        (unfinished / "checkpoints" / ".writing-abc").write_text("half")
        before = {path: path.stat().st_mtime_ns for path in unfinished.rglob("*")}
        rp.load(unfinished)
        assert {path: path.stat().st_mtime_ns for path in unfinished.rglob("*")} == before

    def test_looks_again_where_training_went_on(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def save(step: int) -> None:
            save_checkpoint(tmp_path, Checkpoint(step, {"step": torch.tensor(step)}, {}))

        save(1)
        save(2)
        real, steps = checkpoints.read_regular, iter([3, 4, 5])

        def read(path: Path) -> bytes:
            for step in steps:
                save(step)
            return real(path)

        monkeypatch.setattr(checkpoints, "read_regular", read)
        found = load_checkpoint(tmp_path, pytest.fail)
        assert found is not None
        assert found.step == int(found.tensors["step"]) == 5

    def test_what_is_left_half_written_goes_on_resume(self, run: Path) -> None:
        left = [run / f".writing-{i}" for i in range(1)]
        left += [run / name / ".writing-x" for name in ("pictures", "checkpoints")]
        for path in left:
            path.parent.mkdir(exist_ok=True)
            path.write_text("half")
        reparam("train --resume", run)
        assert not any(path.exists() for path in left)


ROW = {"split": "train", "epoch": 0, "step": 1, "loss": 2.5}


class TestMetrics:
    @pytest.mark.parametrize(
        "line",
        [
            b"\xff",
            b"[]",
            b"null",
            b"3",
            b"[" * 20_000,
            b"{",
            b'{"split": "train", "epoch": 0}',
            b'{"split": "train", "epoch": 0, "step": "x"}',
            b'{"split": "train", "epoch": 0, "step": true}',
            b'{"split": "train", "epoch": -1, "step": 1}',
            b'{"split": 3, "epoch": 0, "step": 1}',
            b'{"split": "train", "epoch": 0, "step": 5, "loss": "x"}',
            b'{"split": "train", "epoch": 0, "step": 5, "loss": [1]}',
            b'{"split": "train", "epoch": 0, "step": 5, "loss": 1' + b"0" * 400 + b"}",
            b'{"split": "train", "epoch": 0, "step": 1, "loss": 2.5}',  # a second time
        ],
    )
    def test_a_damaged_row_is_left_out(self, tmp_path: Path, line: bytes) -> None:
        path = tmp_path / "metrics.jsonl"
        second = {**ROW, "step": 9}
        path.write_bytes(
            b"\n".join([json.dumps(ROW).encode(), line, json.dumps(second).encode(), b""])
        )
        said: list[str] = []
        assert read_rows(path, said.append) == [ROW, second]
        (sentence,) = said
        assert sentence == f"{path} is damaged: 1 of its 3 rows are left out"

    def test_what_is_null_is_no_number(self, tmp_path: Path) -> None:
        path = tmp_path / "metrics.jsonl"
        path.write_text('{"split": "train", "epoch": 0, "step": 1, "loss": null}\n')
        (row,) = read_rows(path, pytest.fail)
        assert row["loss"] != row["loss"]

    @pytest.mark.parametrize("kind", ["bytes", "pipe", "device", "folder"])
    def test_stop_no_verb(self, run: Path, kind: str) -> None:
        path = run / "metrics.jsonl"
        rows = path.read_bytes()
        path.unlink()
        if kind == "bytes":
            path.write_bytes(bytes([rows[0], 0xE8]) + rows[2:])
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "device":
            path.symlink_to("/dev/zero")
        else:
            path.mkdir()
        said = reparam("sample", run, "--out", run / "a.npy").err
        assert str(path) in said
        assert said.count("\n") == 1

    def test_are_mended_when_the_run_goes_on(
        self, unfinished: Path, original: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = unfinished / "metrics.jsonl"
        first, rest = path.read_bytes().split(b"\n", 1)
        path.write_bytes(first + b"\nnull\n" + rest)
        train(unfinished)
        assert path.read_bytes() == (original / "metrics.jsonl").read_bytes()
        assert "1 of its" in capsys.readouterr().err


class TestInThePlaceOfAFile:
    @pytest.mark.parametrize("kind", ["pipe", "device"])
    @pytest.mark.parametrize(
        ("name", "code"),
        [("config.yaml", 1), ("model.safetensors", 0), ("model.json", 0), ("evaluation.json", 0)],
    )
    def test_is_found_at_once(self, run: Path, kind: str, name: str, code: int) -> None:
        (run / name).unlink(missing_ok=True)
        if kind == "pipe":
            os.mkfifo(run / name)
        else:
            (run / name).symlink_to("/dev/zero")
        said = reparam("sample", run, "--out", run / "a.npy", code=code).err
        # Without its record a run counts as unfinished; without an evaluation as not evaluated.
        is_told = name in ("config.yaml", "model.safetensors")
        assert ("it is not a regular file" in said) == is_told
        assert code or rp.load(run).kept_evaluation() is None

    def test_nesting_in_a_record(self, run: Path, original: Path) -> None:
        (run / "model.json").write_text("[" * 20_000 + "]" * 20_000)
        expected = rp.load(original).sample(3)
        assert torch.equal(rp.load(run).sample(3), expected)
        assert RunFolder(run).weights_sha256 is None

    def test_permissions(self, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        real = os.stat

        def stat(path: Any, *rest: Any, **named: Any) -> os.stat_result:
            if isinstance(path, str | Path) and Path(path).is_relative_to(run / "config.yaml"):
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return real(path, *rest, **named)

        monkeypatch.setattr(os, "stat", stat)
        for action in (lambda: rp.load(run), lambda: train(run), lambda: train(run, resume=False)):
            with pytest.raises(RunError, match=r"cannot read .*run: Permission denied"):
                action()

    def test_an_evaluation_of_other_types(self, run: Path) -> None:
        loaded = rp.load(run)
        loaded.evaluate(n_samples=2)
        path = run / "evaluation.json"
        whole = json.loads(path.read_text())
        assert loaded.kept_evaluation() is not None
        for wrong in ({"elbo": "x"}, {"n_samples": 2.5}, {"warnings": [3]}, {"split": None}):
            path.write_text(json.dumps(whole | wrong))
            assert loaded.kept_evaluation() is None
            assert main(["compare", str(run), str(run), "--n-samples", "2"]) in (0, 1, 2)
        path.write_text("[" * 20_000 + "]" * 20_000)
        assert loaded.kept_evaluation() is None


def newest(run: Path) -> Path:
    return max((run / "checkpoints").glob("*.safetensors"))


Tensors = dict[str, Any]


class TestPlanted:
    """A checkpoint whose checksum is sound, and that no training wrote."""

    @pytest.mark.parametrize(
        "change",
        [
            lambda t, v: ({}, v),
            lambda t, v: (t, {}),
            lambda t, v: (t, {**v, "epoch": "x"}),
            lambda t, v: (t, {**v, "epoch": True}),
            lambda t, v: (t, {**v, "batch": -1}),
            lambda t, v: (t, {**v, "step": None}),
            lambda t, v: (t, {**v, "step": 1.5}),
            lambda t, v: (t, {**v, "step": 3}),
            lambda t, v: (t, {**v, "epoch": 10**400}),
            lambda t, v: (t, {**v, "batch": 1}),
            lambda t, v: (t, {**v, "seconds": 10**400}),
            lambda t, v: (t, {**v, "seconds": [1]}),
            lambda t, v: (t, {**v, "best": "x"}),
            lambda t, v: (t, {**v, "more": 1}),
            lambda t, v: ({k: x for k, x in t.items() if not k.startswith("rng")}, v),
            lambda t, v: ({k: x for k, x in t.items() if not k.startswith("optimizer")}, v),
            lambda t, v: ({**t, "optimizer.0.99.step": torch.zeros(())}, v),
            lambda t, v: ({**t, "optimizer.0.x.step": torch.zeros(())}, v),
            lambda t, v: ({**t, "optimizer.0.0.exp_avg": torch.zeros(7)}, v),
            lambda t, v: ({**t, "optimizer.0.0.other": torch.zeros(())}, v),
            lambda t, v: ({**t, "rng.cpu": torch.zeros(3)}, v),
            lambda t, v: ({**t, "best.x": torch.zeros(3)}, v),
            lambda t, v: ({k: x.flatten()[:1] for k, x in t.items()}, v),
        ],
    )
    def test_is_refused(
        self, unfinished: Path, change: Callable[[Tensors, Tensors], tuple[Tensors, Tensors]]
    ) -> None:
        stored = load_tensors(newest(unfinished))
        save_tensors(newest(unfinished), *change(stored.tensors, stored.values))
        with pytest.raises(CheckpointError) as caught:
            train(unfinished)
        assert "\n" not in str(caught.value)
        with suppress(CheckpointError):  # a look asks for the weights and the epoch alone
            rp.load(unfinished)


class TestMended:
    def damaged(self, path: Path, kind: str) -> None:
        if kind == "missing":
            path.unlink()
        elif kind == "cut":
            os.truncate(path, 100)
        else:
            content = bytearray(path.read_bytes())
            content[-3] ^= 16
            path.write_bytes(bytes(content))

    @pytest.mark.parametrize(
        ("kind", "options"),
        [("missing", {}), ("cut", {"early_stopping": 5}), ("flipped", {"ema": 0.9})],
    )
    def test_weights_of_a_finished_run(
        self,
        tmp_path: Path,
        kind: str,
        options: dict[str, Any],
        capsys: pytest.CaptureFixture[str],
    ) -> None:
        run = tmp_path / "run"
        train(run, **options)
        before = {name: (run / name).read_bytes() for name in ("model.safetensors", "model.json")}
        rows = (run / "metrics.jsonl").read_bytes()
        self.damaged(run / "model.safetensors", kind)
        capsys.readouterr()
        train(run, **options)
        assert "making the weights again from the newest checkpoint" in capsys.readouterr().err
        assert {name: (run / name).read_bytes() for name in before} == before
        assert (run / "metrics.jsonl").read_bytes() == rows

    def test_from_the_checkpoint_before_the_last(
        self, run: Path, original: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (run / "model.safetensors").unlink()
        newest(run).with_suffix(".json").unlink()
        train(run)
        said = capsys.readouterr().err
        assert "is ignored, since it has no .json file" in said
        weights = (original / "model.safetensors").read_bytes()
        assert (run / "model.safetensors").read_bytes() == weights

    def test_a_sound_run_is_left_alone(self, run: Path) -> None:
        before = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
        train(run)
        after = {path: path.stat().st_mtime_ns for path in run.rglob("*") if path.is_file()}
        assert after == before


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that differs in its seed."""
    return train(tmp_path_factory.mktemp("runs") / "other", seed=1).folder.path  # type: ignore[union-attr]


class TestOfAnotherRun:
    def test_a_configuration(
        self, unfinished: Path, other: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        shutil.copy(other / "config.yaml", unfinished)
        with pytest.raises(CheckpointError, match="are of another configuration than the config"):
            train(unfinished, seed=1)
        capsys.readouterr()
        rp.load(unfinished)
        assert "was trained under another configuration" in capsys.readouterr().err

    def test_weights(self, run: Path, other: Path, capsys: pytest.CaptureFixture[str]) -> None:
        for name in ("model.safetensors", "model.json"):
            shutil.copy(other / name, run)
        rp.load(run)
        assert "was trained under another configuration" in capsys.readouterr().err

    def test_the_newest_checkpoints(self, unfinished: Path, other: Path, original: Path) -> None:
        # They have the same numbers as the run's own.
        for path in (other / "checkpoints").glob(f"{newest(other).stem}.*"):
            shutil.copy(path, unfinished / "checkpoints")
        train(unfinished)
        weights = (original / "model.safetensors").read_bytes()
        assert (unfinished / "model.safetensors").read_bytes() == weights

    def test_what_may_move_is_no_other_run(
        self, run: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        config = yaml.safe_load((run / "config.yaml").read_text())
        config |= {"data_dir": "/elsewhere", "path": "/elsewhere"}
        config["recorded"] |= {"torch": "9.9", "command": "another", "machine": "another"}
        config["recorded"]["data"] |= {"data_dir": "/elsewhere"}
        shuffled = dict(reversed(config.items()))
        (run / "config.yaml").write_text(yaml.safe_dump(shuffled, sort_keys=False))
        rp.load(run)
        assert capsys.readouterr().err == ""
        assert config_sha256(config) != config_sha256({**config, "seed": 1})
        assert config_sha256(config) != config_sha256({**config, "lr": 1.0})

    def test_runs_from_before_there_was_a_checksum(
        self, run: Path, original: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (run / "lock").unlink()
        for path in [run / "model.json", *run.glob("checkpoints/*.json")]:
            record = json.loads(path.read_text())
            assert len(record.pop("config_sha256")) == 64
            path.write_text(json.dumps(record))
        expected = rp.load(original).sample(3)
        assert torch.equal(rp.load(run).sample(3), expected)
        for path in run.glob("model.*"):
            path.unlink()
        train(run)
        assert torch.equal(rp.load(run).sample(3), expected)
        assert capsys.readouterr().err == ""


class TestNames:
    def test_that_are_not_utf8(self, tmp_path: Path) -> None:
        out = tmp_path / os.fsdecode(b"r\xff")
        said = reparam(f"{TRAIN} --out", out)
        assert "The run is in" in said.out
        assert "nothing is written for TensorBoard" in said.err
        reparam("train --resume", out)
        reparam("sample", out)
        assert (out / "samples.png").is_file()

    def test_with_signs_of_any_language(self, tmp_path: Path) -> None:
        out = tmp_path / "été 模型"
        train(out, epochs=1)
        assert rp.load(out).sample(1).shape == (1, 1, 8, 8)
        assert any((out / "events").iterdir())

    @pytest.mark.parametrize("place", ["", "a\0b"])
    def test_that_are_none(self, place: str) -> None:
        for action in (lambda: train(place), lambda: rp.load(place), lambda: RunFolder(place)):  # type: ignore[arg-type]
            with pytest.raises(OptionError):
                action()

    def test_that_are_too_long(self, tmp_path: Path) -> None:
        for action in (train, rp.load):
            with pytest.raises(ReparamError, match="File name too long"):
                action(tmp_path / ("x" * 300))

    def test_made_by_a_function_once_all_else_is_in_order(self, tmp_path: Path) -> None:
        asked: list[Path] = []

        def make() -> Path:
            asked.append(tmp_path / "run")
            return asked[-1]

        with pytest.raises(OptionError):
            train(make, epochs=0)  # type: ignore[arg-type]
        assert asked == []
        run = train(make, epochs=1)  # type: ignore[arg-type]
        assert [run.folder.path] == asked  # type: ignore[union-attr]


def test_a_list_that_occurs_twice_is_written_out_twice(tmp_path: Path) -> None:
    words = ["unknown", "none"]
    config = {"na_values": words, "recorded": {"format": 2, "spec": {}, "objective": "elbo"}}
    config["recorded"]["data"] = {"na_values": words}  # type: ignore[index]
    folder = RunFolder(tmp_path / "run")
    folder.begin(config)
    text = folder.config_file.read_text(encoding="utf-8")
    assert "&" not in text
    assert yaml.safe_load(text) == config
