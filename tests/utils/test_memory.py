"""Sizes that the memory cannot hold: one sentence that names what to make smaller."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import reparam as rp
from reparam.errors import OptionError, ReparamError
from reparam.utils.memory import (
    allocating,
    available,
    building,
    memory_error,
    require_memory,
    without_training,
)
from tests.support import TRAIN, reparam

SPEC = rp.DataSpec((1, 8, 8), "unit", levels=17)


@pytest.fixture
def little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with one megabyte, and no other device."""
    monkeypatch.setattr("reparam.utils.memory.available", lambda device=None: 1e6)
    monkeypatch.setattr(torch.accelerator, "is_available", lambda *a: False)


class TestBuilding:
    def test_is_refused_before_the_weights_are_filled(
        self, little: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fill(layer: nn.Linear) -> None:
            pytest.fail("the weights were filled")

        monkeypatch.setattr(nn.Linear, "reset_parameters", fill)
        said = r"^width=400: takes 2\.56 MB of memory at once, and 1 MB of memory is free"
        with pytest.raises(OptionError, match=said), building(width=400, depth=2):
            nn.Linear(400, 400, bias=False)

    def test_counts_what_training_takes(self, little: None) -> None:
        # 300 × 300 weights of four bytes: 0.36 MB, four times as much in training.
        with building(width=300), without_training():
            pass
        with without_training(), building(width=300):
            nn.Linear(300, 300)
        with pytest.raises(OptionError, match="width=300"), building(width=300):
            nn.Linear(300, 300)

    def test_counts_layers_together(self, little: None) -> None:
        with pytest.raises(OptionError, match=r"hidden=\[200, 200\]"), building(hidden=[200, 200]):
            [nn.Linear(200, 200) for _ in range(2)]

    @pytest.mark.parametrize("make", [torch.zeros, torch.ones, torch.rand, torch.randn])
    def test_looks_at_what_is_filled_at_once(
        self, little: None, make: type[torch.Tensor], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with pytest.raises(OptionError, match="n=600"), building(n=600):
            make(600, 600)
        with building(n=600):
            assert make(60, 60).shape == (60, 60)

    def test_leaves_nothing_behind(self, little: None) -> None:
        with pytest.raises(OptionError), building(width=400):
            nn.Linear(400, 400)
        assert nn.Linear(400, 400).weight.shape == (400, 400)

    @pytest.mark.parametrize(
        ("options", "named"),
        [
            ({"hidden": [10**12]}, r"hidden=\(1000000000000,\)"),
            ({"hidden": [2, 10**10, 3]}, "hidden="),
            ({"latent_dim": 2**60, "hidden": [8]}, "latent_dim="),
        ],
    )
    def test_of_variants_names_the_option(self, options: dict[str, object], named: str) -> None:
        with pytest.raises(OptionError, match=f"^{named}"):
            rp.variants.vae(SPEC, **options)  # type: ignore[arg-type]

    def test_of_parts_names_the_option(self) -> None:
        with pytest.raises(OptionError, match=r"^n_components=1000000000000: takes"):
            rp.variants.build("vae", SPEC, hidden=[8], prior="mixture", n_components=10**12)


class TestAllocating:
    @pytest.mark.parametrize("size", [10**15, 2**62])
    def test_failures_are_a_sentence(self, size: int) -> None:
        for fail in (
            lambda: torch.empty(size, 8),
            lambda: torch.linspace(0, 1, size),
            lambda: torch.zeros(1).expand(size, 8).contiguous(),
            lambda: np.zeros(size),
            lambda: bytearray(2**62),
        ):
            sizes = {"n_samples": size, "n_steps": 3, "beta": 2.0, "name": "x"}
            with pytest.raises(OptionError, match=f"n_samples={size}: takes"), allocating(**sizes):
                fail()

    def test_a_size_is_named_in_words(self) -> None:
        error = RuntimeError("can't allocate memory: you tried to allocate 3600000000 bytes.")
        assert str(memory_error(error, n=4)).startswith("n=4: takes 3.6 GB of memory at once")
        assert str(memory_error(error)).startswith("this takes 3.6 GB")
        assert "more memory than any machine has" in str(memory_error(MemoryError(), n=4))

    def test_other_errors_stay(self) -> None:
        assert memory_error(RuntimeError("shapes differ")) is None
        for error in (ReparamError("can't allocate memory"), ValueError("a"), KeyError("b")):
            with pytest.raises(type(error)) as caught, allocating(n=3):
                raise error
            assert caught.value is error

    def test_what_is_there_is_told_by_the_system(self) -> None:
        if not Path("/proc/meminfo").exists():
            pytest.skip("no /proc")
        # As much as there is of it all, at most.
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        whole = {line.split(":")[0]: int(line.split()[1]) * 1024 for line in lines}
        assert 0 < available() <= whole["MemTotal"] + whole["SwapTotal"]

    def test_is_required_of_the_device(self, little: None) -> None:
        require_memory(1e6, n=3)
        with pytest.raises(OptionError, match=r"^n=3: takes 1 MB of memory"):
            require_memory(1e6 + 1, n=3)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "run"
    reparam(TRAIN, "--out", path)
    return path


class TestUse:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            ("sample {run} -n 1000000000000000", "n_samples=1000000000000000: takes 512 PB"),
            ("interpolate {run} --steps 1000000000000000", "--steps 1000000000000000: takes 4 PB"),
            ("train vae --hidden 1000000000000", "--hidden 1000000000000: takes 256 TB"),
            (
                "train vae --objective iwae --n-importance 1000000000000000",
                "--n-importance 1000000000000000: takes",
            ),
            ("train vae --devices 4096", "--batch-size 128: 4096 devices share a batch"),
        ],
    )
    def test_on_the_command_line(
        self, run: Path, tmp_path: Path, words: str, said: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        err = reparam(words.format(run=run), code=2).err
        assert err.startswith(f"reparam: {said}")
        assert err.count("\n") == 1
        assert list(tmp_path.iterdir()) == []

    def test_a_run_needs_less_than_its_training(
        self, run: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        n_bytes = sum(p.nbytes for p in rp.load(run).model.parameters())
        monkeypatch.setattr("reparam.utils.memory.available", lambda device=None: 1.5 * n_bytes)
        monkeypatch.setattr(torch.accelerator, "is_available", lambda *a: False)
        assert rp.load(run).spec.dim == 64
        with pytest.raises(OptionError, match=r"hidden=.*takes"):
            rp.variants.vae(SPEC, latent_dim=2, hidden=[4])
