"""The files of a trained model, checked against the model itself before anything is written."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from reparam.errors import RunError, WriteError, unknown
from reparam.evaluation.trained import TrainedRun
from reparam.export.graphs import GRAPHS, Graph, graphs_of
from reparam.export.metadata import of_graph, of_model
from reparam.export.programs import OPSET, Program, onnx_program, torch_program
from reparam.isolation import default_modes, isolated
from reparam.utils.files import as_path, read_json, write_atomic, write_json

Format = Literal["onnx", "torch"]
"""The formats of the files: ONNX, and torch.export."""

ENDINGS = {"onnx": ".onnx", "torch": ".pt2"}
"""The endings of the files of graphs."""

DESCRIPTION = "model.json"
"""The name of the file that describes the others."""

TOLERANCE = 1e-4
"""The largest difference between a file and the model."""

BATCHES = (1, 2, 7)
"""The numbers of examples that a file and the model are compared on."""


@dataclass(frozen=True)
class Export:
    """The files of a model.

    Arguments:
        path: Their folder.
        files: The files of the graphs, by name, and the description.
        differences: The largest difference between each file and the model.

    Example:
        >>> Export(Path("out"), {"encoder": Path("out/encoder.onnx")}, {"encoder": 2e-7})
        Export(1 graph in out, largest difference 2e-07)
    """

    path: Path
    files: Mapping[str, Path]
    differences: Mapping[str, float]

    def __repr__(self) -> str:
        n = len(self.differences)
        graphs = f"{n} graph{'' if n == 1 else 's'}"
        return f"Export({graphs} in {self.path}, largest difference {self.difference:.0e})"

    @property
    def difference(self) -> float:
        """The largest difference of all graphs: see ``difference_of``."""
        return max(self.differences.values())


@default_modes()
def export(
    run: TrainedRun, path: str | Path, to: Format = "onnx", overwrite: bool = False
) -> Export:
    """Write the graphs of a trained model as files, which run without this library.

    They are ``encoder``, ``decoder`` and ``sampler``; an autoencoder has no sampler, and a model
    without latent variables has ``conditionals``. ``model.json`` describes them. Every file is run
    and compared with the model before anything is written.

    Arguments:
        run: The run.
        path: The folder.
        to: ``onnx``, or ``torch`` for ``torch.export.load``.
        overwrite: Whether files of an earlier export in the folder are replaced.

    Raises:
        OptionError: Another format.
        SupportError: A model that cannot be exported.
        MissingPackageError: A package that is not installed.
        RunError: The folder holds another export, a file differs from the model, or one cannot be
            written. Nothing is left behind.

    Example:
        >>> from tempfile import TemporaryDirectory
        >>> from reparam import data, fit, variants
        >>> run = fit(variants.vae, data.load("digits"), steps=20, progress=False, early_stopping=0)
        >>> with TemporaryDirectory() as folder:
        ...     sorted(file.name for file in export(run, folder, to="torch").files.values())
        ['decoder.pt2', 'encoder.pt2', 'model.json', 'sampler.pt2']
    """
    if to not in get_args(Format):
        raise unknown("format", str(to), get_args(Format))
    folder, about = as_path(path), of_model(run)
    _require_free(folder, overwrite)
    described: dict[str, Any] = {}
    programs: list[Program] = []
    differences: dict[str, float] = {}

    def metadata(graph: Graph) -> Mapping[str, str]:
        return {"reparam": json.dumps({**about, **of_graph(graph, run.spec)}, allow_nan=False)}

    with isolated(run.model, "cpu", seed=0):
        for graph in graphs_of(run.model, run.spec):
            program = onnx_program(graph, metadata) if to == "onnx" else torch_program(graph)
            name = program.graph.name
            differences[name] = checked(program)
            described[name] = {
                "file": f"{name}{ENDINGS[to]}",
                **of_graph(program.graph, run.spec),
                "largest_difference": differences[name],
            }
            programs.append(program)
    version = {"opset": OPSET} if to == "onnx" else {"torch": torch.__version__.partition("+")[0]}
    values = {**about, "format": to, **version, "graphs": described}
    return Export(folder, dict(_written(folder, programs, values)), differences)


def checked(program: Program) -> float:
    """Return the largest difference between a file and the model, over batches of several sizes.

    Raises:
        RunError: It is above the tolerance.
    """
    differences = difference_of(program)
    worst = max(differences, key=lambda name: differences[name])
    if not differences[worst] <= TOLERANCE:
        raise RunError(
            f"{worst} of the exported {program.graph.name} differs from the model by "
            f"{differences[worst]:.1e}, and at most {TOLERANCE:g} is allowed: nothing was written; "
            "try the other format, or report it"
        )
    return differences[worst]


def difference_of(program: Program) -> dict[str, float]:
    r"""Return the largest difference between a file and the model for each output.

    .. math:: \max_{i, j} \frac{|\hat a_{ij} - a_{ij}|}{\max(u_j, \max_i |a_{ij}|)}

    of example i and entry j: in units of the entry, or relative to its largest value where that is
    larger. The unit u is 1, and for an entry in the units of the data the scale of the data.
    A value that is not a number in one of both counts as infinitely far.
    """
    graph, start = program.graph, 0
    found: dict[str, list[NDArray[Any]]] = {name: [] for name in graph.outputs.tensors}
    expected: dict[str, list[NDArray[Any]]] = {name: [] for name in graph.outputs.tensors}
    for size in BATCHES:
        inputs = {name: value[start : start + size] for name, value in graph.inputs.items()}
        start += size
        for name, value in program.run(inputs).items():
            found[name].append(value)
        for name, value in graph.module(**inputs).items():
            expected[name].append(value.numpy())
    one = torch.ones(())
    return {
        name: _largest(
            np.concatenate(found[name]),
            np.concatenate(expected[name]),
            graph.outputs.units.get(name, one).numpy(),
        )
        for name in found
    }


def _largest(found: NDArray[Any], expected: NDArray[Any], unit: NDArray[Any]) -> float:
    if found.shape != expected.shape:
        return np.inf
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    with np.errstate(invalid="ignore"):  # equal infinite values differ by nothing
        away = np.where(found == expected, 0.0, np.abs(found - expected))
    size = np.maximum(unit, np.abs(np.where(np.isfinite(expected), expected, 0.0)).max(0))
    return float(np.nan_to_num(away / size, nan=np.inf, posinf=np.inf).max(initial=0.0))


def _require_free(folder: Path, overwrite: bool) -> None:
    """Refuse a folder that holds an export, unless it is overwritten, or the model of a run.

    Raises:
        RunError: Gives the file.
    """
    description = folder / DESCRIPTION
    # The weights of a run have a file of this name beside them too.
    if description.exists() and not _is_of_export(description):
        raise RunError(f"{description} describes no export, but maybe a run: choose another folder")
    graphs = (f"{name}{ending}" for name in GRAPHS for ending in ENDINGS.values())
    taken = next((name for name in (DESCRIPTION, *graphs) if (folder / name).exists()), None)
    if taken is not None and not overwrite:
        raise RunError(
            f"{folder} holds another export (it has {taken}): choose another folder, or replace it "
            "by overwrite=True"
        )


def _is_of_export(description: Path) -> bool:
    """Return whether a file is the description of graphs; one that cannot be read is none."""
    try:
        return "graphs" in read_json(description)
    except (OSError, ValueError, TypeError):
        return False


def _written(
    folder: Path, programs: list[Program], values: Mapping[str, Any]
) -> Iterator[tuple[str, Path]]:
    """Write all files, and yield their names and places; after an error none of them is left."""
    done: list[Path] = []
    try:
        for program in programs:
            name = program.graph.name
            file = folder / values["graphs"][name]["file"]
            done.append(write_atomic(file, program.content))
            yield name, file
        yield "description", write_json(folder / DESCRIPTION, values)
    except WriteError:
        for file in done:
            file.unlink(missing_ok=True)
        raise
