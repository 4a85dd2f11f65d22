"""Devices, precisions and processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

import reparam as rp
from reparam.data import Batches
from reparam.errors import LostError, OptionError
from reparam.training.checkpoint import load_checkpoint
from reparam.training.options import TrainingOptions
from reparam.training.runtime import (
    SingleDevice,
    answered,
    make_runtime,
    resolve_device,
    resolve_precision,
)
from reparam.training.signals import StopRequests
from reparam.training.trainer import Trainer
from tests.support import Stop, same, stop_at


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(OptionError, match="'cuda'"):
        resolve_device("cudo")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(OptionError, match="use device='cpu'"):
        resolve_device("cuda")


def test_precision_follows_the_machine() -> None:
    found = resolve_precision("auto", torch.device("cpu"))
    assert (found == "bfloat16") == torch.cpu._is_avx512_bf16_supported()
    with pytest.raises(OptionError, match="'bfloat16'"):
        resolve_precision("bf16", torch.device("cpu"))


def test_at_least_one_device() -> None:
    with pytest.raises(OptionError, match="devices=0"):
        make_runtime("cpu", "float32", devices=0)


def test_autocast_lowers_a_matrix_product_and_nothing_else() -> None:
    layer = torch.nn.Linear(3, 2)
    with make_runtime("cpu", "bfloat16").autocast():
        assert layer(torch.zeros(1, 3)).dtype == torch.bfloat16
    with make_runtime("cpu", "float32").autocast():
        assert layer(torch.zeros(1, 3)).dtype == torch.float32
    assert layer.weight.dtype == torch.float32


class OneOfTwo(SingleDevice):
    """One of two processes, as far as its own draws go: nothing is exchanged."""

    def __init__(self, rank: int = 0, lost: str = "") -> None:
        super().__init__(torch.device("cpu"), "float32")
        self.rank, self.world_size, self.lost = rank, 2, lost

    def average(self, values: Sequence[torch.Tensor], weight: float = 1.0) -> None:
        if self.lost:
            with answered():
                raise RuntimeError(self.lost)


def one_of_two(runtime: OneOfTwo, folder: Path | None, callback: Any = None) -> Trainer:
    torch.manual_seed(0)
    data = rp.data.load("digits", binarize="dynamic")
    recipe = rp.variants.vae(data.spec, latent_dim=2, hidden=[8])
    options = TrainingOptions(epochs=2, batch_size=400, log_every=1, checkpoint_every=0)
    batches = Batches(
        data.split("train"), data.transform, 400, rank=runtime.rank, world_size=2, seed=0
    )
    watchers = [] if callback is None else [callback]
    return Trainer(recipe, batches, options, runtime, checkpoints=folder, callbacks=watchers)


def test_each_of_two_processes_resumes_to_its_own_draws(tmp_path: Path) -> None:
    expected = [one_of_two(OneOfTwo(rank), None).fit().state_dict() for rank in (0, 1)]
    assert not same(*expected)

    with pytest.raises(Stop):
        one_of_two(OneOfTwo(), tmp_path, stop_at(6)).fit()
    checkpoint = load_checkpoint(tmp_path, print)
    assert checkpoint is not None
    assert checkpoint.step == 5  # within the second epoch
    resumed = one_of_two(OneOfTwo(), None)
    resumed.restore(checkpoint)
    assert same(resumed.fit(), expected[0])
    # The other process draws by its own number, whatever state was stored.
    draws = []
    for _ in range(2):
        other = one_of_two(OneOfTwo(rank=1), None)
        torch.manual_seed(17)
        other.restore(checkpoint)
        other.state.seed_draws()
        draws.append(torch.rand(3))
    resumed.restore(checkpoint)
    resumed.state.seed_draws()
    assert torch.equal(*draws)
    assert not torch.equal(torch.rand(3), draws[0])


@pytest.mark.parametrize(
    "said",
    ["[gloo/transport/tcp/pair.cc:553] Connection closed by peer [127.0.0.1]:1", "NCCL error"],
)
def test_a_process_that_is_gone_is_one_sentence(tmp_path: Path, said: str) -> None:
    with pytest.raises(LostError, match="another process of this run has ended; go on from") as e:
        one_of_two(OneOfTwo(lost=said), tmp_path / "run" / "checkpoints").fit()
    assert str(e.value).endswith(f"the newest checkpoint in {tmp_path / 'run' / 'checkpoints'}")
    with pytest.raises(RuntimeError, match="shapes"):
        one_of_two(OneOfTwo(lost="shapes differ"), None).fit()


def test_a_request_to_stop_reaches_all_processes() -> None:
    class BesideAnother(OneOfTwo):
        """The other process has had SIGTERM, and a callback of it has called ``event.stop()``."""

        def mean(self, value: torch.Tensor) -> torch.Tensor:
            return (value + torch.ones_like(value)) / 2

    requests = StopRequests()
    assert requests.agreed(OneOfTwo()) == 0
    assert not requests.ends_training
    assert requests.agreed(BesideAnother()) == signal.SIGTERM
    assert requests.ends_training


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_two_processes_train_as_one_does(tmp_path: Path, precision: str) -> None:
    # A classifier on fixed images draws nothing, so both must take the same steps.
    command = [sys.executable, "-m", "reparam", "train", "classifier", "--binarize", "threshold"]
    command += ["--device", "cpu", "--precision", precision, "--epochs", "3"]
    for devices in ("1", "2"):
        subprocess.run(
            [*command, "--devices", devices, "--out", str(tmp_path / devices)],
            check=True,
            capture_output=True,
            timeout=300,
            env={**os.environ, "GLOO_SOCKET_IFNAME": "lo"},
        )
    one, two = (load_file(tmp_path / devices / "model.safetensors") for devices in ("1", "2"))
    assert one.keys() == two.keys()
    for name, value in one.items():
        if precision == "float32":
            torch.testing.assert_close(two[name], value, rtol=0, atol=1e-5)
        else:
            # Adam makes whole steps of gradients that are nothing but rounding, as of pixels that
            # are hardly ever on: single weights may differ by 0.02, and all of them by 2e-4 in the
            # root mean square. A process that takes no part in a step makes that 2e-3 to 1e-2.
            assert float((two[name] - value).square().mean().sqrt()) < 1e-3
