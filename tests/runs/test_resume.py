"""A run that was stopped, however it was, ends with exactly the weights of the undisturbed one."""

import fcntl
import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

import reparam as rp
from reparam.errors import CheckpointError, Interrupted, RunError
from reparam.training.step import Step
from tests.support import (
    Stop,
    contents,
    fit_until,
    flip,
    quick_fit,
    reparam,
    require_exact_resume,
    same,
)

# 1,373 images: 3 steps an epoch, 9 in all.
TRAIN = shlex.split(
    "train vae --data digits --binarize dynamic --hidden 8 --latent-dim 2 --epochs 3 "
    "--batch-size 512 --log-every 1 --checkpoint-every 0 --pictures-every 0 "
    "--precision float32 --validation 64 --no-report"
)
KEPT = ["--ema", "0.9", "--early-stopping", "3"]
N_STEPS = 9
N_WRITES = 24  # config, metrics, two files for each of 10 checkpoints and for the weights

# Forks a child for each case, so that torch is imported once. A case is the words of a command
# line and when to send which signal: at the n-th step, or at the n-th file that is written, just
# before or just after it takes its name.
ZYGOTE = """
import json, os, signal, sys
import docstring_parser, rich.progress, torch._dynamo, torch.utils.tensorboard
import reparam.cli.train, reparam.data
from reparam.cli.main import main
from reparam.training.step import Step

def at_step(n, number):
    real, count = Step.__call__, [0]
    def step(self, batch):
        count[0] += 1
        if count[0] == n:
            os.kill(os.getpid(), number)
        return real(self, batch)
    Step.__call__ = step

def at_write(n, number, before):
    real, count = os.replace, [0]
    def replace(source, target):
        count[0] += 1
        if count[0] == n and before:
            os.kill(os.getpid(), number)
        real(source, target)
        if count[0] == n:
            os.kill(os.getpid(), number)
    os.replace = replace

reparam.data.load("digits")
for line in sys.stdin:
    case = json.loads(line)
    child = os.fork()
    if child == 0:
        log = os.open(case["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 1), os.dup2(log, 2)
        if "step" in case:
            at_step(case["step"], case["signal"])
        if "write" in case:
            at_write(case["write"], case["signal"], case["before"])
        os._exit(main(case["words"]))
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""

Command = Callable[..., int]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error::ResourceWarning"}


@pytest.fixture(scope="module")
def zygote(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Command]:
    """Run a command line in a child process and return its exit code; -9 for a killed one."""
    log = tmp_path_factory.mktemp("log") / "log"
    with subprocess.Popen(
        [sys.executable, "-c", ZYGOTE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment(),
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None

        def command(words: list[str], **case: Any) -> int:
            case = {"words": words, "log": str(log), "signal": signal.SIGKILL, **case}
            process.stdin.write(json.dumps(case) + "\n")  # type: ignore[union-attr]
            process.stdin.flush()  # type: ignore[union-attr]
            code = int(process.stdout.readline())  # type: ignore[union-attr]
            command.said = log.read_text()  # type: ignore[attr-defined]
            assert "Traceback" not in log.read_text()
            return code

        yield command
        process.stdin.close()


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory, zygote: Command) -> Path:
    run = tmp_path_factory.mktemp("undisturbed") / "run"
    assert zygote([*TRAIN, *KEPT, "--out", str(run)]) == 0
    return run


def model_of(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def rows_of(run: Path) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for row in rows:
        for name in ("seconds", "images_per_second"):
            row.pop(name, None)
    return rows


def assert_same(run: Path, undisturbed: Path) -> None:
    assert model_of(run) == model_of(undisturbed)
    assert rows_of(run) == rows_of(undisturbed)
    left = [path.name for path in run.rglob(".*")]
    assert left == []
    assert [path for path in run.parent.iterdir() if path.name.startswith(".")] == []


class TestKilled:
    def check(self, zygote: Command, run: Path, undisturbed: Path, **when: Any) -> None:
        words = [*TRAIN, *KEPT, "--out", str(run), "--resume"]
        assert zygote(words, **when) == -signal.SIGKILL
        assert not (run / "model.json").exists() or when.get("write") == N_WRITES
        assert zygote(words) == 0
        assert_same(run, undisturbed)

    # Before config.yaml, right after; around metrics.jsonl; within the first checkpoint, between
    # its two files; in the middle; within the weights, between them and their checksum.
    @pytest.mark.parametrize(
        ("write", "before"),
        [(1, True), (1, False), (3, True), (12, True), (21, False)],
    )
    def test_in_a_write(
        self, zygote: Command, tmp_path: Path, undisturbed: Path, write: int, before: bool
    ) -> None:
        self.check(zygote, tmp_path / "run", undisturbed, write=write, before=before)

    @pytest.mark.parametrize("step", [1, 5])
    def test_in_a_step(self, zygote: Command, tmp_path: Path, undisturbed: Path, step: int) -> None:
        self.check(zygote, tmp_path / "run", undisturbed, step=step)

    @pytest.mark.slow
    def test_at_every_write(self, zygote: Command, tmp_path: Path, undisturbed: Path) -> None:
        for write in range(1, N_WRITES + 1):
            for before in (True, False):
                run = tmp_path / f"{write}-{before}" / "run"
                run.parent.mkdir()
                self.check(zygote, run, undisturbed, write=write, before=before)
        # That was all of them.
        words = [*TRAIN, *KEPT, "--out", str(tmp_path / "whole")]
        assert zygote(words, write=N_WRITES + 1, before=True) == 0

    # Killed in the n-th step a command leaves n - 1 steps behind.
    @pytest.mark.parametrize(
        ("step", "n_kills"), [(4, 2), pytest.param(2, N_STEPS - 1, marks=pytest.mark.slow)]
    )
    def test_again_and_again(
        self, zygote: Command, tmp_path: Path, undisturbed: Path, step: int, n_kills: int
    ) -> None:
        run = tmp_path / "run"
        words = [*TRAIN, *KEPT, "--out", str(run), "--resume"]
        codes = [zygote(words, step=step) for _ in range(n_kills)]
        assert codes == [-signal.SIGKILL] * n_kills
        assert zygote(words) == 0
        assert_same(run, undisturbed)

    def test_with_nothing_but_the_first_weights(
        self, zygote: Command, tmp_path: Path, undisturbed: Path
    ) -> None:
        rare = [*TRAIN, *KEPT, "--checkpoint-every", "1000", "--out", str(tmp_path / "run")]
        assert zygote(rare, step=8) == -signal.SIGKILL
        kept = [path.stem for path in (tmp_path / "run" / "checkpoints").glob("*.json")]
        assert kept == ["step-000000000"]
        assert zygote(["train", "--resume", str(tmp_path / "run")]) == 0
        assert_same(tmp_path / "run", undisturbed)


class TestStopped:
    """SIGTERM and Ctrl-C save, say how to go on, and leave with the code that shells expect."""

    # Within an epoch, and at the end of one.
    @pytest.mark.parametrize(
        ("step", "number", "code"),
        [
            (2, signal.SIGTERM, 143),
            (6, signal.SIGINT, 130),
            pytest.param(2, signal.SIGINT, 130, marks=pytest.mark.slow),
            pytest.param(6, signal.SIGTERM, 143, marks=pytest.mark.slow),
        ],
    )
    def test_by_a_signal(
        self,
        zygote: Command,
        tmp_path: Path,
        undisturbed: Path,
        step: int,
        number: signal.Signals,
        code: int,
    ) -> None:
        run = tmp_path / "run"
        words = [*TRAIN, *KEPT, "--checkpoint-every", "1000", "--out", str(run)]
        assert zygote(words, step=step, signal=number) == code
        last = zygote.said.splitlines()[-1]  # type: ignore[attr-defined]
        epoch = 1 if step == 2 else 3
        assert last.startswith(f"reparam: stopped at epoch {epoch}, step {step} and saved")
        command = last.partition("go on with reparam ")[2].split()
        assert command == ["train", "--resume", str(run)]
        kept = sorted(path.stem for path in (run / "checkpoints").glob("*.json"))
        assert kept == ["step-000000000", f"step-{step:09d}"]
        assert zygote(command) == 0
        assert_same(run, undisturbed)

    def test_in_the_last_step_lets_it_end(
        self, zygote: Command, tmp_path: Path, undisturbed: Path
    ) -> None:
        words = [*TRAIN, *KEPT, "--out", str(tmp_path / "run")]
        assert zygote(words, step=N_STEPS, signal=signal.SIGTERM) == 0
        assert_same(tmp_path / "run", undisturbed)

    def test_handlers_are_given_back(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
        real = Step.__call__

        def step(self: Step, batch: rp.Batch) -> dict[str, Tensor]:
            signal.raise_signal(signal.SIGTERM)
            return real(self, batch)

        monkeypatch.setattr(Step, "__call__", step)
        data = rp.data.load("digits")
        with pytest.raises(Interrupted, match="nothing was saved: give out= to keep checkpoints"):
            rp.fit(rp.variants.vae(data.spec, hidden=[4]), data, lr=5e-3, progress=False)
        assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def digits_run(out: Path | None, stop: int | None = None, **options: Any) -> dict[str, Tensor]:
    """Train in this process until a step, or resume it."""
    data = rp.data.load("digits", binarize="dynamic", validation=64)
    settings = {"epochs": 3, "batch_size": 512, "pictures_every": 0, "precision": "float32"}
    torch.manual_seed(0)
    recipe = rp.variants.vae(data.spec, latent_dim=2, hidden=[8])
    return fit_until(stop, recipe, data, out, **settings, **options)


class TestRaised:
    @pytest.mark.parametrize("options", [{}, {"ema": 0.9}, {"early_stopping": 1, "lr": 0.3}])
    @pytest.mark.parametrize(
        "steps", [(3, 7), pytest.param((1, 2, 3, 5, 7, 8), marks=pytest.mark.slow)]
    )
    def test_at_any_step(
        self, tmp_path: Path, steps: tuple[int, ...], options: dict[str, Any]
    ) -> None:
        expected = digits_run(None, **options)
        for step in steps:
            out = tmp_path / str(step)
            try:
                digits_run(out, step, **options)
            except Stop:
                assert not (out / "model.json").exists()
            assert same(digits_run(out, **options), expected)

    def test_with_the_defaults_of_its_beginning(self, tmp_path: Path) -> None:
        """Options that are not given are those of the run, whatever the defaults are now."""
        options: dict[str, Any] = {"lr_schedule": "cosine", "clip_norm": 1.0, "ema": 0.5}
        expected = digits_run(None, **options)
        with pytest.raises(Stop):
            digits_run(tmp_path / "run", 4, **options)
        assert same(digits_run(tmp_path / "run"), expected)

    def test_with_a_loader(self, tmp_path: Path) -> None:
        x = torch.rand(90, 6, generator=torch.Generator().manual_seed(0)).round()

        def train(out: Path | None, stop: int | None) -> dict[str, Tensor]:
            torch.manual_seed(0)
            recipe = rp.variants.vae(rp.DataSpec((6,), "binary"), latent_dim=2, hidden=[8])
            loader = torch.utils.data.DataLoader(x, batch_size=20, shuffle=True)
            return fit_until(stop, recipe, loader, out, epochs=3)

        require_exact_resume(train, tmp_path, [7])


@pytest.fixture(scope="module")
def killed(zygote: Command, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed in its sixth step."""
    run = tmp_path_factory.mktemp("killed") / "run"
    assert zygote([*TRAIN, *KEPT, "--out", str(run)], step=6) == -signal.SIGKILL
    return run


@pytest.fixture
def stopped(killed: Path, tmp_path: Path) -> Path:
    """A copy of the run that was killed, which a test may change."""
    return Path(shutil.copytree(killed.parent, tmp_path / "copy")) / "run"


class TestResume:
    def test_of_an_empty_folder_starts_a_run(
        self, zygote: Command, tmp_path: Path, undisturbed: Path
    ) -> None:
        (tmp_path / "run").mkdir()
        assert zygote([*TRAIN, *KEPT, "--resume", str(tmp_path / "run")]) == 0
        assert_same(tmp_path / "run", undisturbed)

    def test_of_a_finished_run_changes_nothing(self, undisturbed: Path) -> None:
        before = contents(undisturbed)
        for words in (
            ["train --resume", undisturbed],
            [*TRAIN, *KEPT, "--out", undisturbed, "--resume"],
        ):
            assert f"reparam evaluate {undisturbed}" in reparam(*words).out
        assert contents(undisturbed) == before

    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--lr", "0.1"], "lr (0.005 in the run, 0.1 now)"),
            (["--hidden", "4"], "hidden ([8] in the run, [4] now)"),
            (["--epochs", "4", "--seed", "2"], "epochs (3 in the run, 4 now); seed (0 in the run"),
            (["--beta", "2"], "beta (1.0 in the run, 2.0 now)"),
            (["--binarize", "static"], "binarize (dynamic in the run, static now)"),
            (["--validation", "10"], "validation (64 in the run, 10 now)"),
            (["--precision", "bfloat16"], "precision (float32 in the run, bfloat16 now)"),
        ],
    )
    def test_with_changed_options_names_them(
        self, undisturbed: Path, words: list[str], said: str
    ) -> None:
        before = contents(undisturbed)
        for verb in (["train"], ["train", "vae"]):
            error = reparam(*verb, "--resume", undisturbed, *words, code=1).err
            assert error.startswith("reparam: ")
            assert said in error
            assert error.count("\n") == 1
        assert contents(undisturbed) == before

    def test_with_another_variant_names_it(self, undisturbed: Path) -> None:
        said = reparam("train beta-vae --resume", undisturbed, code=2)
        assert "the run's variant is 'vae', not 'beta-vae'" in said.err

    def test_with_other_data_is_refused(self, tmp_path: Path) -> None:
        out = tmp_path / "run"
        model = rp.LatentModel(
            encoder=rp.Conditional(rp.nn.MLP(4), rp.families.Gaussian(2)),
            decoder=rp.Conditional(rp.nn.MLP(2), rp.families.Bernoulli(4)),
            prior=rp.priors.StandardNormal(2),
        )
        quick_fit(model, torch.rand(20, 4).round(), out=out)
        with pytest.raises(RunError, match=r"data of shape \(2, 2\)|data of shape \(4,\)"):
            quick_fit(model, torch.rand(20, 2, 2).round(), out=out, resume=True)

    def test_of_another_model_is_one_sentence(self, stopped: Path) -> None:
        config = stopped / "config.yaml"
        config.write_text(config.read_text().replace("- 8\nlike", "- 9\nlike"))
        with pytest.raises(CheckpointError, match="another model") as caught:
            rp.load(stopped)
        assert "\n" not in str(caught.value)

    def test_without_a_variant_stored_says_where_to_go_on(self, tmp_path: Path) -> None:
        spec = rp.DataSpec((4,), "binary")
        recipe = rp.variants.vae(spec, latent_dim=2, hidden=[4])
        out = tmp_path / "run"
        quick_fit(recipe, torch.rand(20, 4).round(), out=out)
        assert "the data were given in Python" in reparam("train --resume", out, code=2).err

    def test_of_an_objective_written_as_a_function(self, tmp_path: Path) -> None:
        # Its repr holds an address, which is another in every process.
        def run(resume: bool) -> rp.Run:
            elbo = rp.objectives.ELBO()
            spec = rp.DataSpec((4,), "binary")
            model = rp.variants.vae(spec, latent_dim=2, hidden=[4]).model
            x = torch.ones(20, 4)
            out = tmp_path / "run"
            objective = lambda model, batch: elbo(model, batch)  # noqa: E731
            options = {"epochs": 1, "progress": False, "out": out, "resume": resume}
            return rp.fit(model, x, objective=objective, **options)

        first, second = run(False), run(True)
        assert torch.equal(first.sample(3), second.sample(3))

    def test_while_another_process_trains_is_refused(self, stopped: Path) -> None:
        lock = stopped / "lock"
        before = contents(stopped)
        with lock.open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            said = reparam("train --resume", stopped, code=1).err
        assert "another process is training" in said
        assert contents(stopped) == before
        reparam("train --resume", stopped)

    def test_in_the_folder_itself(
        self, stopped: Path, undisturbed: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(stopped)
        reparam("train --resume .")
        assert_same(stopped, undisturbed)


class TestDamaged:
    def newest_first(self, run: Path) -> list[Path]:
        return sorted((run / "checkpoints").glob("*.safetensors"), reverse=True)

    def test_newest_checkpoint_falls_back_to_the_one_before(
        self, stopped: Path, undisturbed: Path
    ) -> None:
        newest, before = self.newest_first(stopped)
        assert (newest.stem, before.stem) == ("step-000000005", "step-000000004")
        flip(newest)
        said = reparam("train --resume", stopped).err
        assert f"reparam: {newest} is damaged: its checksum does not match; falling back" in said
        assert_same(stopped, undisturbed)

    def test_all_checkpoints_are_one_sentence(self, stopped: Path, undisturbed: Path) -> None:
        for path in self.newest_first(stopped):
            flip(path)
        said = reparam("train --resume", stopped, code=1).err
        assert "every checkpoint in" in said
        assert "Traceback" not in said
        # What the sentence advises works.
        for path in (stopped / "checkpoints").iterdir():
            path.unlink()
        reparam("train --resume", stopped)
        assert_same(stopped, undisturbed)

    def test_newer_run_is_one_sentence(self, stopped: Path) -> None:
        config = stopped / "config.yaml"
        config.write_text(config.read_text().replace("format: 1", "format: 2"))
        for words in (["train", "--resume"], ["evaluate"], ["sample"]):
            said = reparam(*words, stopped, code=1).err
            assert said.startswith("reparam: ")
            assert "upgrade reparam" in said
            assert said.count("\n") == 1

    def test_last_metric_that_was_cut_is_dropped(self, stopped: Path, undisturbed: Path) -> None:
        before = rp.load(stopped).rows
        with (stopped / "metrics.jsonl").open("a") as stream:
            stream.write('{"split": "tr')
        assert rp.load(stopped).rows == before
        assert len(before) == len(rows_of(undisturbed)[:6])
        reparam("train --resume", stopped)
        assert_same(stopped, undisturbed)

    def test_weights_are_taken_from_the_last_checkpoint(
        self, stopped: Path, undisturbed: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        reparam("train --resume", stopped)
        flip(stopped / "model.safetensors")
        found = rp.load(stopped)
        said = capsys.readouterr().err
        assert "model.safetensors is damaged" in said
        assert "using the newest checkpoint instead" in said
        expected = rp.load(undisturbed).model.state_dict()
        for name, value in found.model.state_dict().items():
            assert torch.equal(value, expected[name])


@pytest.mark.slow
class TestProcesses:
    """The command itself, as a person runs it: killed at moments that nobody chose."""

    WORDS = shlex.split(
        "train vae --data digits --binarize dynamic --hidden 32 --epochs 60 --batch-size 64 "
        "--log-every 5 --checkpoint-every 0.05 --pictures-every 0"
    )

    def start(self, *words: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "reparam", *words],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
            env=environment(),
        )

    def undisturbed(self, folder: Path) -> Path:
        with self.start(*self.WORDS, "--out", str(folder / "whole")) as process:
            process.communicate()
        assert process.returncode == 0
        return folder / "whole"

    def wait_for(self, process: "subprocess.Popen[str]", path: Path) -> None:
        until = time.monotonic() + 60
        while not path.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.005)

    def test_killed_at_odd_moments(self, tmp_path: Path) -> None:
        whole = self.undisturbed(tmp_path)
        run = tmp_path / "run"
        words = [*self.WORDS, "--out", str(run), "--resume"]
        # During the imports, as soon as there is a folder, then in the middle of training.
        for after, delay in [(None, 0.3), (run, 0.0), ("metrics.jsonl", 0.2), ("events", 0.5)]:
            with self.start(*words) as process:
                if after is not None:
                    self.wait_for(process, run / after)
                time.sleep(delay)
                process.kill()
                process.communicate()
        with self.start("train", "--resume", str(run)) as process:
            error = process.communicate()[1]
        assert process.returncode == 0, error
        assert model_of(run) == model_of(whole)
        seen = [(row["split"], row["step"]) for row in rows_of(run)]
        assert len(seen) == len(set(seen))
        assert seen == sorted(seen, key=lambda pair: pair[1])

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
    def test_stopped(self, tmp_path: Path, number: signal.Signals, code: int) -> None:
        whole = self.undisturbed(tmp_path)
        run = tmp_path / "run"
        with self.start(*self.WORDS, "--out", str(run)) as process:
            self.wait_for(process, run / "checkpoints")
            process.send_signal(number)
            error = process.communicate()[1]
        assert process.returncode == code
        assert error.splitlines()[-1].endswith(f"reparam train --resume {run}")
        assert "Traceback" not in error
        with self.start("train", "--resume", str(run)) as process:
            process.communicate()
        assert process.returncode == 0
        assert model_of(run) == model_of(whole)
