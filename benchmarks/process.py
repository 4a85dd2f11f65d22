"""Run a process, and measure it as a whole.

On Linux the peak memory of a process begins with that of its parent, so that modules which
import this one must not import torch.
"""

import json
import os
import subprocess
import tempfile
import time
from collections.abc import Mapping, Sequence
from typing import Any

LIMIT_S = 1800.0
"""Seconds after which a process is stopped; each should take less than ten minutes."""


class ContenderError(Exception):
    """A contender failed; the message has the end of its output."""


def run(
    command: Sequence[str], environment: Mapping[str, str], limit_s: float = LIMIT_S
) -> dict[str, Any]:
    """Run a command to its end, and return its costs and the JSON that it printed last.

    Arguments:
        command: The program and its arguments.
        environment: Variables in addition to those of this process.
        limit_s: Seconds after which it is stopped.

    Returns:
        ``wall_s`` from before the start to after the end, ``cpu_s`` of user and system together,
        ``peak_mb`` the largest resident set, ``result`` the JSON of the last line or None.

    Raises:
        ContenderError: It failed, or took too long.

    Example:
        >>> import sys
        >>> run([sys.executable, "-c", "print('{\\"a\\": 1}')"], {})["result"]
        {'a': 1}
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        child = subprocess.Popen(  # noqa: S603
            command, stdout=out, stderr=err, env={**os.environ, **environment}
        )
        status, usage = _wait(child.pid, began + limit_s)
        wall = time.perf_counter() - began
        # The child is waited for already: subprocess must not look for it again.
        child.returncode = status
        said, complained = (_text(stream) for stream in (out, err))
    if status != 0:
        how = "took too long" if wall >= limit_s else f"failed with {status}"
        raise ContenderError(f"{' '.join(command)} {how}: {complained[-2000:] or said[-2000:]}")
    return {
        "wall_s": wall,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mb": usage.ru_maxrss / 1024,
        "result": last_json(said),
    }


def _wait(pid: int, deadline: float) -> tuple[int, Any]:
    # wait4 gives the usage of this child alone; that of RUSAGE_CHILDREN is a maximum over all.
    while True:
        done, status, usage = os.wait4(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status), usage
        if time.perf_counter() > deadline:
            os.kill(pid, 9)
            deadline = float("inf")
        time.sleep(0.002)


def _text(stream: Any) -> str:
    stream.seek(0)
    return stream.read().decode(errors="replace")


def last_json(text: str) -> Any:
    """Return the JSON object on the last line that is one; None where there is none.

    >>> last_json('loss 3\\n{"seconds": [1.5]}\\n')
    {'seconds': [1.5]}
    """
    for line in reversed(text.splitlines()):
        if line.startswith("{"):
            try:
                return json.loads(line)
            except ValueError:
                continue
    return None
