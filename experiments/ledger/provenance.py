"""Where figures come from: the command, the commit, the machine and the date.

Experiments and benchmarks store the same facts. Nothing here imports torch, since the peak memory
of a process that a benchmark starts begins with that of its parent.
"""

import os
import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import reparam as rp

FORMAT = 1
"""The format of a stored result."""

ROOT = Path(__file__).resolve().parents[2]
"""The root of the clone."""

SOURCE = ("src", "experiments", "benchmarks")
"""The folders whose changes make a commit dirty."""


def provenance(command: str, *, device: str = "cpu", threads: int) -> dict[str, Any]:
    """Return the facts that are stored with figures.

    Arguments:
        command: The command line that made them.
        device: The name of the device that computed them.
        threads: The number of torch's threads.

    Example:
        >>> sorted(provenance("reparam reproduce iwae", threads=1))
        ['command', 'commit', 'date', 'format', 'machine', 'version']
    """
    return {
        "format": FORMAT,
        "command": command,
        "version": rp.__version__,
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "machine": machine(device, threads),
    }


def commit() -> str | None:
    """Return the commit of the source, marked where its files differ; None without a repository."""
    # A copy may lie inside another repository, whose commit says nothing about it.
    if _git("ls-files", "--error-unmatch", "src/reparam/__init__.py") is None:
        return None
    found = _git("rev-parse", "HEAD")
    differs = _git("status", "--porcelain", "--untracked-files=no", "--", *SOURCE)
    return f"{found}-dirty" if found and differs else found


def _git(*words: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603  (fixed words, and no shell)
            ["git", "-C", str(ROOT), *words],  # noqa: S607
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=10,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def machine(device: str, threads: int) -> dict[str, Any]:
    """Return what the times, and with bfloat16 the figures, depend on.

    >>> machine("cpu", 2)["threads"]
    2
    """
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines()
    except OSError:  # not Linux
        lines = []
    entries = {key.strip(): value.strip() for key, _, value in (s.partition(":") for s in lines)}
    flags = entries.get("flags", "").split()
    return {
        "cores": os.cpu_count(),
        "cpu": entries.get("model name") or platform.processor() or platform.machine(),
        "bfloat16": [flag for flag in ("avx512_bf16", "amx_bf16") if flag in flags],
        "device": device,
        "threads": threads,
        "torch": version("torch"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
    }


def words(facts: dict[str, Any]) -> str:
    """Return the machine, the versions and the commit of stored facts as text."""
    on = facts["machine"]
    return (
        f"{on['cpu']}, {on['threads']} of {on['cores']} cores, torch {on['torch']}, "
        f"seed {facts['seed']}, {facts['date']}, commit {str(facts['commit'])[:12]}"
    )
