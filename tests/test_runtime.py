"""Devices, precisions and processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from reparam.errors import OptionError
from reparam.training.runtime import make_runtime, resolve_device, resolve_precision


def test_an_unknown_device_is_refused() -> None:
    with pytest.raises(OptionError, match="'cuda'"):
        resolve_device("cudo")


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(OptionError, match="use --device cpu"):
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
