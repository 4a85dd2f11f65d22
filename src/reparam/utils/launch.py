"""How the processes of a run were started: alone, or by torchrun, SLURM or another program.

Without such a program the first process starts the others of its machine. With one, each process
finds in its environment how many there are, and this must agree with ``devices`` and ``nodes``:
processes that do not know of each other would train side by side and write the same files, and a
process that expects more than there are would wait for them.
"""

import os
from collections.abc import Mapping

from reparam.errors import OptionError

RANKS = ("RANK", "SLURM_PROCID", "LOCAL_RANK")
"""The variables with the number of a process, the first that is set."""

_BY_HAND = ("bash", "interactive")
"""The names of jobs of SLURM in which processes are started by hand."""


def is_first(environment: Mapping[str, str] = os.environ) -> bool:
    """Return whether this is the first process of a run, which prints and writes for it.

    Arguments:
        environment: The variables of the environment.

    Example:
        >>> is_first({}), is_first({"RANK": "0"}), is_first({"NODE_RANK": "1", "LOCAL_RANK": "0"})
        (True, True, False)
    """
    ranks = [environment[name] for name in RANKS if name in environment]
    if _is_by_hand(environment):
        ranks = [environment[name] for name in ("RANK", "LOCAL_RANK") if name in environment]
    return [*ranks, "0"][0] == "0" and environment.get("NODE_RANK", "0") == "0"


def check_launch(devices: int, nodes: int, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse numbers of devices and nodes that do not agree with the environment.

    Arguments:
        devices: The number of devices of each node, a process each.
        nodes: The number of nodes.
        environment: The variables of the environment.

    Raises:
        OptionError: Another number of processes than torchrun or SLURM has started.

    Example:
        >>> check_launch(2, 1, {"WORLD_SIZE": "2", "LOCAL_RANK": "0"})
        >>> check_launch(1, 1, {"WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "2", "LOCAL_RANK": "0"})
        Traceback (most recent call last):
        reparam.errors.OptionError: devices=1, nodes=1: 1 process is asked for, and ...
    """
    n = devices * nodes
    asked = f"devices={devices}, nodes={nodes}: {n} {'process is' if n == 1 else 'processes are'}"
    world = _number(environment, "WORLD_SIZE")
    if world is not None:
        local = _number(environment, "LOCAL_WORLD_SIZE")
        if n != world or local not in (None, devices):
            here = "" if local is None else f" with {local} on each node"
            fix = f"give devices={local or world} and nodes={world // (local or world)}"
            raise OptionError(f"{asked} asked for, and WORLD_SIZE is {world}{here}: {fix}")
        return
    tasks = _number(environment, "SLURM_NTASKS")
    if tasks is None or _is_by_hand(environment):
        return
    is_step = "SLURM_STEP_ID" in environment
    if n == 1 and not is_step:
        return  # one process of a batch script, whatever the job could start
    start = f"srun --nodes={nodes} --ntasks-per-node={devices}"
    each = _number(environment, "SLURM_NTASKS_PER_NODE")
    for name, found, expected in (
        ("SLURM_NTASKS", tasks, n),
        ("SLURM_NTASKS_PER_NODE", each, devices),
        ("SLURM_NNODES", _number(environment, "SLURM_NNODES"), nodes),
    ):
        if found not in (None, expected):
            raise OptionError(
                f"{asked} asked for, and {name} is {found}: start the program with {start}"
            )
    if n > 1 and (each is None or not is_step):
        missing = "SLURM_STEP_ID" if each is not None else "SLURM_NTASKS_PER_NODE"
        raise OptionError(
            f"{asked} asked for, and {missing} is not set: start the program with {start}"
        )


def _is_by_hand(environment: Mapping[str, str]) -> bool:
    return environment.get("SLURM_JOB_NAME") in _BY_HAND


def _number(environment: Mapping[str, str], name: str) -> int | None:
    """Return the number in a variable; None where it is not set.

    Raises:
        OptionError: The value is no whole number.
    """
    text = environment.get(name)
    if text is None:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise OptionError(f"{name} is {text!r} in the environment: it must be a number from 1 on")
    return int(text)
