"""What a person needs to use the files of a model: names, shapes, units, and what to draw."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from reparam.data.vocabulary import vocabulary_of
from reparam.evaluation.trained import TrainedRun
from reparam.export.graphs import Graph
from reparam.export.parameters import Parameters
from reparam.export.programs import BATCH
from reparam.spec import DataSpec
from reparam.version import __version__

_INPUTS = {
    "x": "an example, in the units of the data",
    "c": "the condition",
    "z": "a code",
    "y": "the number of the label",
    "normal": "independent standard normal numbers; zeros give the mean or a typical value",
    "uniform": "independent numbers, uniform in [0, 1)",
}
"""What the inputs are."""

_TOKENS = "tokens; the logits of each depend on those before it"


def of_model(run: TrainedRun) -> dict[str, Any]:
    """Return what is known of a model and its data, as plain values.

    Arguments:
        run: The run.
    """
    recorded = run.config.get("recorded") or {}
    vocabulary = vocabulary_of(recorded.get("data"))
    found = {
        "reparam": __version__,
        "variant": run.config.get("variant") or type(run.model).__name__,
        "fitted_prior": (run.config.get("fitted_prior") or {}).get("prior"),
        "data": run.spec.to_dict(),
        "stored_as": recorded.get("transform"),
        "classes": list(recorded.get("class_names") or ()),
        "condition": _condition(run.spec),
        "vocabulary": vocabulary
        and {"unit": vocabulary.unit, "symbols": vocabulary.symbols, "size": len(vocabulary)},
    }
    return {key: value for key, value in found.items() if value or key in ("variant", "data")}


def of_graph(graph: Graph, spec: DataSpec) -> dict[str, Any]:
    """Return what a graph computes, its inputs and outputs, and what to draw, as plain values.

    Arguments:
        graph: The graph.
        spec: The shape and support of the data.
    """
    tokens = graph.name == "decoder" and "x" in graph.inputs
    said = {**_INPUTS, "x": _TOKENS} if tokens else _INPUTS
    return {
        "computes": graph.computes,
        "inputs": [
            {**_axis(name, value), "what": said[name]} for name, value in graph.inputs.items()
        ],
        "outputs": [_axis(name, value) for name, value in graph.outputs.tensors.items()],
        "distributions": [
            _distribution(group, found, spec) for group, found in graph.outputs.groups.items()
        ],
    }


def _axis(name: str, value: Tensor) -> dict[str, Any]:
    dtype = str(value.dtype).removeprefix("torch.")
    return {"name": name, "shape": [BATCH, *value.shape[1:]], "dtype": dtype}


def _distribution(group: str, found: Parameters, spec: DataSpec) -> dict[str, Any]:
    prefix = f"{group}_" if group else ""
    values: dict[str, Any] = {
        "distribution": found.distribution,
        "parameters": {name: f"{prefix}{name}" for name in found.tensors},
        "draw": found.draw,
    }
    if group:
        values = {"of": group, **values}
    if found.places is not None:
        names = _names(spec)
        values["columns"] = [names[i] for i in found.places.tolist()]
    if found.constants:
        values["constants"] = {name: value.tolist() for name, value in found.constants.items()}
    return values


def _names(spec: DataSpec) -> Sequence[str]:
    return spec.columns if spec.schema is None else spec.schema.names


def _condition(spec: DataSpec) -> Mapping[str, Any] | None:
    """Return what the entries of a condition are, in their order; None without one."""
    if not spec.context:
        return None
    covariates = list(spec.covariates) if spec.given_covariates else []
    return {"one_hot_label_of": spec.label_context, "covariates": covariates}
