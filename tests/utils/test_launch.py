"""The environment of a run: how many processes there are, and which one this is."""

from pathlib import Path

import pytest
import torch

import reparam as rp
from reparam.errors import OptionError
from reparam.utils.launch import check_launch, is_first
from tests.support import refused

TORCHRUN = {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "RANK": "1", "LOCAL_RANK": "1"}
SRUN = {
    "SLURM_NTASKS": "4",
    "SLURM_NTASKS_PER_NODE": "2",
    "SLURM_NNODES": "2",
    "SLURM_PROCID": "3",
    "SLURM_STEP_ID": "0",
    "SLURM_JOB_NAME": "train",
}


def without(environment: dict[str, str], name: str) -> dict[str, str]:
    """Return variables without one of them."""
    return {key: value for key, value in environment.items() if key != name}


@pytest.mark.parametrize(
    ("devices", "nodes", "environment"),
    [
        (1, 1, {}),
        (8, 4, {}),
        (2, 2, TORCHRUN),
        (2, 2, SRUN),
        (4, 1, without(TORCHRUN, "LOCAL_WORLD_SIZE")),
        # torchrun that SLURM starts once on each node.
        (2, 2, {**TORCHRUN, **SRUN, "SLURM_NTASKS": "2", "SLURM_NTASKS_PER_NODE": "1"}),
        # A shell in a job, and one process of a batch script.
        (2, 1, {**SRUN, "SLURM_JOB_NAME": "interactive"}),
        (1, 1, without(SRUN, "SLURM_STEP_ID")),
    ],
)
def test_numbers_that_agree(devices: int, nodes: int, environment: dict[str, str]) -> None:
    check_launch(devices, nodes, environment)


@pytest.mark.parametrize(
    ("devices", "nodes", "environment", "said"),
    [
        (1, 1, TORCHRUN, "WORLD_SIZE is 4 with 2 on each node: give devices=2 and nodes=2"),
        (4, 1, TORCHRUN, "WORLD_SIZE is 4 with 2 on each node: give devices=2 and nodes=2"),
        (2, 4, TORCHRUN, "8 processes are asked for, and WORLD_SIZE is 4"),
        (1, 1, {"WORLD_SIZE": "3"}, "WORLD_SIZE is 3: give devices=3 and nodes=1"),
        (1, 1, {"WORLD_SIZE": "many"}, "WORLD_SIZE is 'many' in the environment"),
        (
            1,
            1,
            SRUN,
            "SLURM_NTASKS is 4: start the program with srun --nodes=1 --ntasks-per-node=1",
        ),
        (
            4,
            2,
            SRUN,
            "SLURM_NTASKS is 4: start the program with srun --nodes=2 --ntasks-per-node=4",
        ),
        (4, 1, SRUN, "SLURM_NTASKS_PER_NODE is 2"),
        (2, 2, {**SRUN, "SLURM_NNODES": "1"}, "SLURM_NNODES is 1"),
        # lightning-fabric needs this variable, and waits for processes that srun did not start.
        (2, 2, without(SRUN, "SLURM_NTASKS_PER_NODE"), "SLURM_NTASKS_PER_NODE is not set"),
        (2, 2, without(SRUN, "SLURM_STEP_ID"), "SLURM_STEP_ID is not set: start the program with"),
    ],
)
def test_other_numbers_are_refused(
    devices: int, nodes: int, environment: dict[str, str], said: str
) -> None:
    with pytest.raises(OptionError) as error:
        check_launch(devices, nodes, environment)
    assert said in str(error.value)
    if "many" not in said:
        assert f"devices={devices}, nodes={nodes}: " in str(error.value)
    assert "\n" not in str(error.value)


def test_nothing_is_written_before_it_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in TORCHRUN.items():
        monkeypatch.setenv(name, value)
    out = tmp_path / "run"
    with pytest.raises(OptionError, match="WORLD_SIZE is 4"):
        rp.fit(rp.variants.vae, torch.zeros(8, 3), steps=1, out=out)
    refused(f"train vae --devices 4 --out {out}", "--devices 4, --nodes 1", "give --devices 2")
    assert not out.exists()


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, True),
        ({"LOCAL_RANK": "1"}, False),
        ({"LOCAL_RANK": "0", "NODE_RANK": "1"}, False),
        ({"RANK": "0", "LOCAL_RANK": "0"}, True),
        ({"RANK": "2", "LOCAL_RANK": "0"}, False),
        (SRUN, False),
        ({**SRUN, "SLURM_PROCID": "0"}, True),
        ({**SRUN, "SLURM_JOB_NAME": "bash"}, True),
    ],
)
def test_the_first_process(environment: dict[str, str], expected: bool) -> None:
    assert is_first(environment) == expected
