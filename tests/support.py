"""Helpers that several test files share.

Known models: a linear-Gaussian model with its closed forms, and parts that are functions. Runs: the
options of a small training, weights and their comparison, an exception that interrupts a training.
Files: a small MNIST in its own format, the content of a folder, damage. Command line: run
``reparam`` in this process and return its output. Processes: call a function in several of them.
"""

import gzip
import os
import shlex
import struct
import subprocess
import sys
from collections.abc import Callable, Iterable
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import BytesIO, TextIOWrapper
from itertools import chain
from pathlib import Path
from socket import socket
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor, nn
from torch.distributions import Distribution, Independent, MultivariateNormal, Normal

import reparam as rp
from reparam.cli.main import main
from reparam.errors import ReparamError
from reparam.families import Family
from reparam.models.latent import LatentModel
from reparam.priors import StandardNormal
from reparam.spec import DataSpec
from reparam.training import Event

ROOT = Path(__file__).parents[1]
BINARY = DataSpec((1, 4, 4), "binary")

Array = NDArray[np.float64]


# Known models


def normal(loc: Tensor, scale: Tensor | float) -> Independent:
    """Return N(loc, diag(scale²)) over the last dimension."""
    return Independent(Normal(loc, scale), 1)


def binary(n: int, *shape: int, seed: int = 0) -> Tensor:
    """Return n examples of fair coins, with shape (n, 1, 4, 4) or (n, *shape)."""
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(n, *(shape or BINARY.shape), generator=draw).round()


class Function(nn.Module):
    """A part of a model whose distribution is a function of its inputs.

    Arguments:
        function: Returns the distribution; it gets the condition only where there is one.
        family: The family that the part declares.
    """

    def __init__(self, function: Callable[..., Distribution], family: Family | None = None) -> None:
        super().__init__()
        self.function = function
        if family is not None:
            self.family = family

    def forward(self, *values: Tensor | None) -> Distribution:
        return self.function(*(value for value in values if value is not None))


class Constant(nn.Module):
    """p(y | value, c) = law: the same distribution for every input.

    Arguments:
        law: A distribution without batch shape.
        event_dim: The number of dimensions of one input, after those of the batch.
    """

    def __init__(self, law: Distribution, event_dim: int = 1) -> None:
        super().__init__()
        self.law, self.event_dim = law, event_dim

    def forward(self, value: Tensor, c: Tensor | None = None) -> Distribution:
        return self.law.expand(value.shape[: value.dim() - self.event_dim])


@dataclass(frozen=True)
class LinearGaussian:
    """z ~ N(m, diag(v²)) and x | z ~ N(W z + b, σ² I).

    Arguments:
        weight: W, with shape (D, L).
        sigma: σ.
        bias: b, with shape (D,).
        loc: m, with shape (L,).
        scale: v, with shape (L,).
    """

    weight: Tensor
    sigma: float
    bias: Tensor | float = 0.0
    loc: Tensor | float = 0.0
    scale: Tensor | float = 1.0

    @property
    def latent_dim(self) -> int:
        return self.weight.shape[1]

    @property
    def covariance(self) -> Tensor:
        """S = (diag(1/v²) + Wᵀ W / σ²)⁻¹, the covariance of the posterior of every x."""
        w = self.weight
        prior = torch.diag(torch.ones_like(w[0]) / torch.as_tensor(self.scale) ** 2)
        return torch.linalg.inv(prior + w.T @ w / self.sigma**2)

    def posterior(self, x: Tensor) -> MultivariateNormal:
        """p(z | x) = N(S (Wᵀ(x - b) / σ² + m / v²), S)."""
        scores = (x - self.bias) @ self.weight / self.sigma**2
        mean = (scores + self.loc / torch.as_tensor(self.scale) ** 2) @ self.covariance
        return MultivariateNormal(mean, self.covariance.expand(len(x), -1, -1))

    def likelihood(self, z: Tensor) -> Independent:
        """p(x | z) = N(W z + b, σ² I)."""
        return normal(z @ self.weight.T + self.bias, self.sigma)

    def log_likelihood(self, x: Tensor) -> Array:
        """log p(x) = log N(x; W m + b, W diag(v²) Wᵀ + σ² I), in float64."""
        w, b, m, v = self._arrays()
        covariance = w * v**2 @ w.T + self.sigma**2 * np.eye(len(w))
        law = stats.multivariate_normal(w @ m + b, covariance)
        return np.atleast_1d(law.logpdf(x.double().numpy()))

    def elbo(self, x: Tensor, mean: Array, covariance: Array, entropy: Array | float) -> Array:
        """E_q[log p(x | z) + log p(z)] + H[q], by the mean, covariance and entropy of any q(z)."""
        w, b, m, v = self._arrays()
        residual = x.double().numpy() - b - mean @ w.T
        fit = (residual**2).sum(-1) + np.einsum("di,...ij,dj->...", w, covariance, w)
        spread = (mean - m) ** 2 + np.diagonal(covariance, axis1=-2, axis2=-1)
        constant = len(w) * np.log(2 * np.pi * self.sigma**2) + np.log(2 * np.pi * v**2).sum()
        return -0.5 * (fit / self.sigma**2 + (spread / v**2).sum(-1) + constant) + entropy

    def model(
        self,
        encoder: Callable[..., Distribution] | None = None,
        prior: nn.Module | None = None,
    ) -> LatentModel:
        """Return the model, with the exact posterior as its encoder when none is given."""
        return LatentModel(
            Function(encoder or self.posterior),
            Function(lambda z, c=None: self.likelihood(z)),
            prior or StandardNormal(self.latent_dim),
        )

    def _arrays(self) -> tuple[Array, Array, Array, Array]:
        """Return W, b, m and v in float64."""
        w = self.weight.double().numpy()
        b, m, v = (np.asarray(value, float) for value in (self.bias, self.loc, self.scale))
        return w, b, np.broadcast_to(m, w.shape[1:]), np.broadcast_to(v, w.shape[1:])


LINEAR = LinearGaussian(torch.tensor([[1.2, -0.4], [0.3, 0.8], [-0.6, 0.5]]), sigma=0.6)
"""Three numbers with two latent ones, without a bias."""

SHIFTED = LinearGaussian(LINEAR.weight, LINEAR.sigma, bias=torch.tensor([0.3, -0.2, 0.1]))
"""The same with a bias."""


def require_gradient(
    loss: Callable[[], Tensor], module: nn.Module, rel: float = 1e-6, step: float = 1e-6
) -> None:
    """Require that a gradient is the central difference of a loss along a random direction.

    Arguments:
        loss: The loss; its draws are the same in every call.
        module: A module in float64 with the parameters.
        rel: The largest relative error.
        step: The step of the difference.
    """

    def value() -> Tensor:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(3)
            return loss()

    parameters = [p for p in module.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(value(), parameters)
    directions = [torch.randn_like(parameter) for parameter in parameters]
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
    values = []
    with torch.no_grad():
        for sign in (1, -2):
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter += sign * step * direction
            values.append(float(value()))
    assert slope == pytest.approx((values[0] - values[1]) / (2 * step), rel=rel)


# Weights and runs


def scrambled(module: nn.Module, scale: float = 0.3) -> nn.Module:
    """Return a module in float64 whose parameters are draws of N(0, scale²)."""
    for parameter in module.double().parameters():
        parameter.data.normal_(0, scale)
    return module


def weights(of: Any) -> dict[str, Tensor]:
    """Return a copy of the state of a module, or of the model of a run or recipe."""
    module = of if isinstance(of, nn.Module) else of.model
    return {name: value.clone() for name, value in module.state_dict().items()}


def same(one: Any, other: Any) -> bool:
    """Whether two states, or modules, runs or recipes, have equal names and bits."""
    a, b = (given if isinstance(given, dict) else weights(given) for given in (one, other))
    return list(a) == list(b) and all(torch.equal(a[name], b[name]) for name in a)


class Stop(Exception):
    """Interrupts a training, raised by a callback."""


def stop_at(step: int | None) -> Callable[[Event], None]:
    """Return a callback that raises ``Stop`` when a step is logged; never when None."""

    def callback(event: Event) -> None:
        if event.kind == "log" and event.step == step:
            raise Stop

    return callback


def quick_fit(model: Any, data: Any, **options: Any) -> rp.Run:
    """Train on the CPU without a progress bar, for one epoch by default."""
    return rp.fit(model, data, **{"epochs": 1, "device": "cpu", "progress": False, **options})


def fit_until(
    step: int | None, recipe: Any, data: Any, out: Path | None, **options: Any
) -> dict[str, Tensor]:
    """Train with a checkpoint and a log at every step, resumed where there is one.

    Returns:
        The weights. ``Stop`` is raised at the step, if any.
    """
    every = {"log_every": 1, "checkpoint_every": 0}
    callbacks = [stop_at(step)]
    run = quick_fit(recipe, data, out=out, resume=True, callbacks=callbacks, **every, **options)
    return weights(run)


def require_exact_resume(
    train: Callable[[Path | None, int | None], dict[str, Tensor]],
    folder: Path,
    steps: Iterable[int],
) -> dict[str, Tensor]:
    """Require the same weights from a training that is interrupted at a step and resumed.

    Arguments:
        train: Trains into a folder until a step, as ``fit_until`` does, and returns the weights.
        folder: The folder of the runs.
        steps: The steps to interrupt it at.

    Returns:
        The weights of the training without interruption.
    """
    expected = train(None, None)
    for step in steps:
        with pytest.raises(Stop):
            train(folder / str(step), step)
        assert same(train(folder / str(step), None), expected), step
    return expected


# Files


def idx(array: NDArray[Any]) -> bytes:
    """Return the IDX file of a uint8 array, after the description of the format."""
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    return head + array.astype(np.uint8).tobytes()


def mnist_files(n_train: int = 40, n_test: int = 10) -> dict[str, bytes]:
    """Return four files in the layout of MNIST, by name: noise, whose first pixels count."""
    rng = np.random.default_rng(0)
    files = {}
    for part, n in (("train", n_train), ("t10k", n_test)):
        images = rng.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        images[:, 0, 0] = np.arange(n) % 256
        files[f"{part}-images-idx3-ubyte"] = idx(images)
        files[f"{part}-labels-idx1-ubyte"] = idx(np.arange(n) % 10)
    return files


def write_mnist(folder: Path, n_train: int = 40, n_test: int = 10, zipped: bool = True) -> Path:
    """Write ``mnist_files`` into a new folder, and return the folder."""
    folder.mkdir(parents=True)
    for name, content in mnist_files(n_train, n_test).items():
        path = folder / (f"{name}.gz" if zipped else name)
        path.write_bytes(gzip.compress(content, 1, mtime=0) if zipped else content)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    """Return the content of every file below a folder, by its path there."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def flip(path: Path, at: int | None = None) -> None:
    """Flip a bit of the byte at a place of a file, by default in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if at is None else at] ^= 1
    path.write_bytes(content)


class Bomb:
    """An object whose pickle makes a folder when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.path),)


# The command line

QUICK = "--hidden 4 --latent-dim 2 --epochs 1 --batch-size 2000 --pictures-every 0"
"""The options of a training of one step on the embedded digits."""

TRAIN = f"train vae {QUICK}"


class Said(NamedTuple):
    """What a command wrote to standard output and standard error."""

    out: str
    err: str


def reparam(*words: object, code: int | None = 0) -> Said:
    """Run ``reparam`` in this process, and require its exit code.

    Arguments:
        words: The words of the command. Text is split as in a shell; a path is one word.
        code: The exit code; 1 or 2 when None.
    """
    split = [shlex.split(word) if isinstance(word, str) else [str(word)] for word in words]
    if split[:1] and split[0][:1] == ["train"] and not any("report" in w for s in split for w in s):
        split.append(["--no-report"])  # which would take longer than the training
    # The encoding is spelt as by pytest: under this spelling tyro draws no boxes around its help.
    streams = [TextIOWrapper(BytesIO(), "UTF-8", newline="") for _ in range(2)]
    with redirect_stdout(streams[0]), redirect_stderr(streams[1]):
        try:
            found = main([*chain.from_iterable(split)])
        except SystemExit as end:  # after --help
            found = int(end.code or 0)
    for stream in streams:
        stream.flush()
    said = Said(*(stream.buffer.getvalue().decode() for stream in streams))
    assert found in ((1, 2) if code is None else (code,)), said.err
    return said


def refused(line: str, *parts: str, code: int | None = None) -> str:
    """Run a command line that must end in one sentence on standard error, and return it.

    Arguments:
        line: The words after ``reparam``, as typed in a shell.
        parts: Parts of the sentence.
        code: The exit code; 1 or 2 when None.
    """
    out, err = reparam(line, code=code)
    # The lines on what was chosen, and of epochs that went well, come before.
    before = ("data: ", "model: ", "training: ", "epoch ")
    err = "".join(line for line in err.splitlines(True) if not line.startswith(before))
    assert err.startswith("reparam: ")
    assert err.count("\n") == 1, f"more than one sentence: {err}"
    assert "Traceback" not in err
    assert "Error(" not in err
    for part in parts:
        assert part in err
    assert out == ""
    return err


# Processes


def of_torchrun(n: int, rank: int) -> dict[str, object]:
    """Return the variables that torchrun sets on one node."""
    shared = {"WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n, "TORCHELASTIC_RUN_ID": "a"}
    return {**shared, "RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": 0}


def of_srun(n: int, rank: int) -> dict[str, object]:
    """Return the variables that srun sets on one node."""
    shared = {"NTASKS": n, "NTASKS_PER_NODE": n, "NNODES": 1, "NODEID": 0, "STEP_ID": 0}
    named = {**shared, "PROCID": rank, "LOCALID": rank, "JOB_ID": 1, "JOB_NAME": "train"}
    return {f"SLURM_{name}": value for name, value in named.items()}


def in_processes(
    n: int,
    function: str,
    folder: Path,
    timeout: float = 120,
    variables: Callable[[int, int], dict[str, object]] = of_torchrun,
) -> None:
    """Call a function with a folder in several processes that know each other.

    Arguments:
        n: The number of processes.
        function: The function as ``module:name``.
        folder: The folder.
        variables: The variables of a process, given the number of all and its own.
        timeout: The number of seconds after which they are killed.
    """
    module, _, name = function.partition(":")
    code = f"import pathlib, sys; from {module} import {name}; {name}(pathlib.Path(sys.argv[1]))"
    with socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "OMP_NUM_THREADS": 1}
    shared |= {"GLOO_SOCKET_IFNAME": "lo"}
    started = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder)],
            env=os.environ | {k: str(v) for k, v in {**shared, **variables(n, i)}.items()},
            stderr=subprocess.PIPE,
            cwd=ROOT,
        )
        for i in range(n)
    ]
    try:
        said = [each.communicate(timeout=timeout)[1].decode() for each in started]
    finally:
        for each in started:
            each.kill()
            each.wait()
    assert not any(each.returncode for each in started), "\n".join(said)


# Messages


def sentence(error: pytest.ExceptionInfo[ReparamError]) -> str:
    """Return the message, having checked that it is one sentence."""
    message = str(error.value)
    assert "\n" not in message
    assert ". " not in message
    assert not message.endswith(".")
    return message
