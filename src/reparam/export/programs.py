"""Graphs as bytes: a model of ONNX, or a program of torch.export, without traces of this machine.

Both run in other processes without this library. ``Program.run`` runs the bytes themselves, so that
what is compared with the model is what is written.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.distributions import Distribution
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from reparam.errors import SupportError
from reparam.export.graphs import Graph
from reparam.utils.optional import optional_module
from reparam.version import __version__

OPSET = 18
"""The version of the operators of ONNX: the oldest that torch writes, which most runtimes have."""

BATCH = "batch"
"""The name of the axis of the examples, whose size is free."""

_N_TRACED = 3
"""The number of examples that a graph is traced with; one would be taken for a fixed size."""

Run = Callable[[Mapping[str, Tensor]], dict[str, NDArray[Any]]]
"""From inputs to outputs, both by name."""


@dataclass(frozen=True)
class Program:
    """A graph as bytes.

    Arguments:
        graph: The graph, with the inputs that it needs.
        content: The bytes.
        run: A function that runs them.
    """

    graph: Graph
    content: bytes
    run: Run


def traced(graph: Graph) -> tuple[Graph, ExportedProgram]:
    """Return the program of a graph, and the graph without inputs that have no effect.

    The program holds the weights that it needs, and no places in source files.

    Arguments:
        graph: The graph.

    Raises:
        SupportError: A graph that cannot be traced.
    """
    program = _program(graph)
    needed = {node.name for node in _needed(program)}
    unused = [name for name in graph.inputs if name not in needed]
    if unused:
        graph = graph.without(unused)
        program = _program(graph)
    _drop_unused(program)
    for node in (node for module in _modules(program) for node in module.graph.nodes):
        for key in ("stack_trace", "nn_module_stack", "source_fn_stack", "from_node"):
            node.meta.pop(key, None)
    return graph, program


def torch_program(graph: Graph) -> Program:
    """Return a graph as a file of ``torch.export``, which ``torch.export.load`` reads.

    Its module takes the inputs by name, and returns the outputs by name.

    Arguments:
        graph: The graph.

    Raises:
        SupportError: A graph that cannot be traced.
    """
    graph, program = traced(graph)
    stream = BytesIO()
    with _quiet():
        torch.export.save(program, stream)
        stream.seek(0)
        module = torch.export.load(stream).module()

    def run(inputs: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
        return {name: value.numpy() for name, value in module(**inputs).items()}

    return Program(graph, stream.getvalue(), run)


def onnx_program(graph: Graph, metadata: Callable[[Graph], Mapping[str, str]]) -> Program:
    """Return a graph as a file of ONNX.

    Arguments:
        graph: The graph.
        metadata: A function from the graph, with the inputs that it needs, to texts that the file
            holds.

    Raises:
        SupportError: A graph that cannot be traced, or has an operation that ONNX lacks.
        MissingPackageError: onnx, onnxscript or onnxruntime is not installed.
    """
    for package in ("onnx", "onnxscript"):
        optional_module(package, "export", "an export to ONNX")
    runtime = optional_module("onnxruntime", "export", "an export to ONNX")
    graph, program = traced(graph)
    outputs = list(graph.outputs.tensors)
    try:
        with _quiet():
            made = torch.onnx.export(
                program,
                kwargs=_some(graph),
                input_names=list(graph.inputs),
                output_names=outputs,
                opset_version=OPSET,
                dynamo=True,
                custom_translation_table=_translations(),
                external_data=False,
                verbose=False,
            )
    except torch.onnx.errors.OnnxExporterError as error:
        raise _refused(graph, error) from error
    model: Any = made.model  # type: ignore[union-attr]
    _forget_places(model)
    model.producer_name, model.producer_version = "reparam", __version__
    model.metadata_props.update(metadata(graph))
    content = made.model_proto.SerializeToString(deterministic=True)  # type: ignore[union-attr]
    options = runtime.SessionOptions()
    options.log_severity_level = 3  # errors; remarks on folded constants are none
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])

    def run(inputs: Mapping[str, Tensor]) -> dict[str, NDArray[Any]]:
        found = session.run(outputs, {name: value.numpy() for name, value in inputs.items()})
        return {name: np.asarray(value) for name, value in zip(outputs, found, strict=True)}

    return Program(graph, content, run)


def _translations() -> dict[Callable[..., Any], Callable[..., Any]]:
    """Return operations of torch in those of ONNX, where torch has no translation of its own."""
    from onnxscript import opset18 as op

    def hypot(a: Any, b: Any) -> Any:
        return op.Sqrt(op.Add(op.Mul(a, a), op.Mul(b, b)))

    def distances(a: Any, b: Any, p: float, compute_mode: int | None = None) -> Any:
        if p != 2.0:
            raise SupportError(f"distances with p={p}: only those with p=2 are known in ONNX")
        axes: list[Any] = [op.Constant(value_ints=[axis]) for axis in (-2, -3, -1)]
        away = op.Sub(op.Unsqueeze(a, axes[0]), op.Unsqueeze(b, axes[1]))
        return op.ReduceL2(away, axes[2], keepdims=0)

    aten = torch.ops.aten
    return {aten.hypot.default: hypot, aten._cdist_forward.default: distances}


def _some(graph: Graph) -> dict[str, Tensor]:
    return {name: value[:_N_TRACED] for name, value in graph.inputs.items()}


def _program(graph: Graph) -> ExportedProgram:
    axes = {name: {0: torch.export.Dim(BATCH)} for name in graph.inputs}
    try:
        with _quiet(), _unchecked():
            return torch.export.export(graph.module, (), _some(graph), dynamic_shapes=axes)
    except (RuntimeError, ValueError, TypeError) as error:
        raise _refused(graph, error) from error


def _refused(graph: Graph, error: Exception) -> SupportError:
    last: BaseException = error
    while last.__cause__ is not None:  # what torch says first is how to report it
        last = last.__cause__
    first = next((line for line in str(last).splitlines() if line.strip()), type(last).__name__)
    return SupportError(
        f"the {graph.name} of this model cannot be exported, because torch says: {first.strip()}"
    )


def _needed(program: ExportedProgram) -> set[torch.fx.Node]:
    """Return the operations and inputs that the outputs depend on, and no mere checks."""
    waiting = [node for node in program.graph.nodes if node.op == "output"]
    found = set(waiting)
    while waiting:
        new = [node for node in waiting.pop().all_input_nodes if node not in found]
        found.update(new)
        waiting += new
    return found


def _placeholders(program: ExportedProgram) -> list[torch.fx.Node]:
    return [node for node in program.graph.nodes if node.op == "placeholder"]


def _modules(program: ExportedProgram) -> Iterator[torch.fx.GraphModule]:
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            yield module


def _drop_unused(program: ExportedProgram) -> None:
    """Remove weights that no operation reads, such as those of a discriminator."""
    kept = []
    specs = program.graph_signature.input_specs
    for spec, node in zip(specs, _placeholders(program), strict=True):
        if node.users or spec.kind == InputKind.USER_INPUT:
            kept.append(spec)
            continue
        program.graph.erase_node(node)
        for held in (program.state_dict, program.constants):
            held.pop(str(spec.target), None)
    specs[:] = kept
    program.graph_module.recompile()


def _forget_places(model: Any) -> None:
    """Remove names of source files from a model of ONNX, and name the axis of the examples."""
    graphs: Sequence[Any] = [model.graph, *model.functions.values()]
    model.graph.metadata_props.clear()
    for graph in graphs:
        for node in graph.all_nodes():
            node.metadata_props.clear()
            node.doc_string = None
            for value in node.outputs:
                value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.outputs, *model.graph.initializers.values()):
        value.metadata_props.clear()
    for value in (*model.graph.inputs, *model.graph.outputs):
        value.shape = type(value.shape)([BATCH, *list(value.shape)[1:]])


@contextmanager
def _unchecked() -> Iterator[None]:
    """Within the context, distributions do not look at values, which a graph does not have yet."""
    checks = Distribution._validate_args
    Distribution.set_default_validate_args(False)
    try:
        yield
    finally:
        Distribution.set_default_validate_args(checks)


@contextmanager
def _quiet() -> Iterator[None]:
    """Within the context, remarks of torch on its own parts are not shown."""
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = logger.level
    with warnings.catch_warnings():
        # torch's own list of the weights of a recurrent network, and its own trees in a copy.
        weights = r"The tensor attributes? self\.[\w.]*\._flat_weights\[0\]"
        warnings.filterwarnings("ignore", weights, UserWarning)
        warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)`", FutureWarning)
        logger.setLevel(logging.ERROR)  # torchvision is not needed
        try:
            yield
        finally:
            logger.setLevel(level)
