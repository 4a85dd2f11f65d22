r"""The graphs of a trained model: encoder, decoder and sampler, or the conditionals.

.. math:: x, c \mapsto q(z \mid x, c), \qquad z, c \mapsto p(x \mid z, c), \qquad
          \varepsilon, u, c \mapsto z \sim p(z \mid c)

A graph is a module from named inputs to named outputs without random numbers. Distributions are
given by their parameters. Where a posterior is a chain or a flow, the encoder takes noise too, and
returns a draw with the parameters along its way.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import one_hot

from reparam.batch import weights_type
from reparam.distributions import Autoregressive, Chain, Flow, base_distribution, mean_or_mode
from reparam.distributions.chain import Reordered
from reparam.errors import SupportError
from reparam.export.noise import Fresh, Given, Noise, drawn, drawn_in_turn, joined
from reparam.export.parameters import Parameters, parameters_of, unit_of_mean
from reparam.models.directed import DirectedModel
from reparam.models.latent import LatentModel, as_latent, is_latent
from reparam.priors import Prior
from reparam.spec import DataSpec

GRAPHS = ("encoder", "decoder", "sampler", "conditionals")
"""The names of all graphs; a model has some of them."""

N_EXAMPLES = 10
"""The number of examples that the inputs of a graph are made for."""

_MISSING = 0.2
"""The share of values that are made missing in a column that may lack values."""


@dataclass(frozen=True)
class Outputs:
    """The outputs of a graph, and the distributions that they are the parameters of.

    Arguments:
        tensors: The outputs by name, with batch shape (B,).
        groups: The parameters of each group of entries, by its name.
        units: The size of one unit of the outputs that are in the units of the data.
    """

    tensors: Mapping[str, Tensor]
    groups: Mapping[str, Parameters] = field(default_factory=dict)
    units: Mapping[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Graph:
    """A module from named inputs to named outputs.

    Arguments:
        name: The name of its file.
        variable: What it describes or draws, such as ``q(z``.
        given: The names of the inputs that this depends on.
        module: The module. It takes inputs by name, and returns outputs by name.
        inputs: Some of the inputs by name, for 10 examples.
        outputs: The outputs for these inputs.
    """

    name: str
    variable: str
    given: Sequence[str]
    module: nn.Module
    inputs: Mapping[str, Tensor]
    outputs: Outputs

    @property
    def computes(self) -> str:
        """What it computes, as a formula."""
        given = ", ".join(name for name in self.given if name in self.inputs)
        return f"{self.variable} | {given})" if given else f"{self.variable})"

    def without(self, names: Collection[str]) -> "Graph":
        """Return the same graph without inputs that its outputs do not depend on."""
        return replace(self, inputs={k: v for k, v in self.inputs.items() if k not in names})


class Encoder(nn.Module):
    """From x (and c) to the parameters of q(z | x, c).

    Arguments:
        model: The model.
    """

    def __init__(self, model: LatentModel) -> None:
        super().__init__()
        self.model = model

    def outputs(self, x: Tensor, c: Tensor | None, noise: Noise) -> Outputs:
        """Return the outputs; a chain and a flow take noise."""
        q = self.model.posterior(x, c)
        return _with_mean(q, _of_posterior(q, noise))

    def forward(
        self,
        x: Tensor,
        c: Tensor | None = None,
        normal: Tensor | None = None,
        uniform: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the outputs by name."""
        return dict(self.outputs(x, c, Given(normal, uniform)).tensors)


class Decoder(nn.Module):
    """From z (and c) to the parameters of p(x | z, c), and its mean.

    Arguments:
        model: The model.
    """

    def __init__(self, model: LatentModel) -> None:
        super().__init__()
        self.model = model

    def outputs(self, z: Tensor, c: Tensor | None, x: Tensor | None = None) -> Outputs:
        """Return the outputs; of a sequence, the logits of each token given those of x before."""
        p = self.model.likelihood(z, c)
        single = base_distribution(p)
        if isinstance(single, Autoregressive) and x is not None:
            draw = "value[t] = argmax(logits[t] - log(-log(uniform)), -1), one t after the other"
            logits = {"logits": single.logits(x)}
            return Outputs(logits, {"": Parameters("Autoregressive", draw, logits)})
        return _with_mean(p, _of_groups(parameters_of(p)))

    def forward(
        self, z: Tensor, c: Tensor | None = None, x: Tensor | None = None
    ) -> dict[str, Tensor]:
        """Return the outputs by name."""
        return dict(self.outputs(z, c, x).tensors)


class Sampler(nn.Module):
    """From noise (and c) to a draw z of p(z | c).

    Arguments:
        model: The model.
    """

    def __init__(self, model: LatentModel) -> None:
        super().__init__()
        self.model = model

    def draw(self, c: Tensor | None, noise: Noise) -> Tensor:
        """Return a draw of the prior, with shape (B, D)."""
        return drawn(self.model.prior_distribution(c), noise)

    def forward(
        self,
        c: Tensor | None = None,
        normal: Tensor | None = None,
        uniform: Tensor | None = None,
    ) -> dict[str, Tensor]:
        """Return the outputs by name."""
        return {"z": self.draw(c, Given(normal, uniform))}


class Conditionals(nn.Module):
    """From x (and y) to the parameters of every conditional of a directed model.

    Arguments:
        model: The model.
    """

    def __init__(self, model: DirectedModel) -> None:
        super().__init__()
        self.model = model

    def outputs(self, x: Tensor, y: Tensor | None) -> Outputs:
        """Return the outputs, each after the name of its variable."""
        values = self.model.variables(x, y)
        groups: dict[str, Parameters] = {}
        for name in self.model.parents:
            p = self.model.distribution(name, values)
            p = p if p.batch_shape else p.expand(x.shape[:1])
            groups |= {joined(name, group): found for group, found in parameters_of(p).items()}
        return _of_groups(groups)

    def forward(self, x: Tensor, y: Tensor | None = None) -> dict[str, Tensor]:
        """Return the outputs by name."""
        return dict(self.outputs(x, y).tensors)


def graphs_of(model: nn.Module, spec: DataSpec) -> list[Graph]:
    """Return the graphs of a model in evaluation mode on the CPU.

    Arguments:
        model: The model.
        spec: The shape and support of its data.

    Raises:
        SupportError: A distribution that no graph can return or draw from.

    Example:
        >>> from reparam.variants import build
        >>> spec = DataSpec((1, 8, 8), "binary")
        >>> for graph in graphs_of(build("vae", spec).model.eval(), spec):
        ...     print(graph.name, *graph.inputs, "->", *graph.outputs.tensors)
        encoder x -> loc scale mean
        decoder z -> logits mean
        sampler normal -> z
    """
    if isinstance(model, DirectedModel):
        return [_conditionals(model, spec)]
    if not is_latent(model):
        raise SupportError(
            f"a {type(model).__name__} has no encoder, decoder and prior, so that it has no graphs "
            "to export: give a latent-variable model or a DirectedModel"
        )
    return _latent_graphs(as_latent(model), spec)


def _latent_graphs(model: LatentModel, spec: DataSpec) -> list[Graph]:
    """Return encoder, decoder and, if there is a prior, sampler, with examples of the model."""
    dtype, n = _dtype(model), N_EXAMPLES
    c = _conditions(model, spec, dtype)
    given = {} if c is None else {"c": c}
    graphs: list[Graph] = []
    prior = dict(model.named_children()).get("prior")
    if isinstance(prior, Prior) and not prior.exists:
        # Codes about those of an empty example.
        mean = model.encode(torch.zeros(n, *spec.shape, dtype=dtype), c)
        z = mean + torch.randn_like(mean)
    else:
        sampler, noise = Sampler(model), Fresh(n, dtype)
        z = sampler.draw(c, noise)
        inputs = {**given, **noise.inputs()}
        graphs.append(Graph("sampler", "z ~ p(z", ["c"], sampler, inputs, Outputs({"z": z})))
    p = model.likelihood(z, c)
    x = _as_given(p.sample().reshape(n, *spec.shape), spec, dtype)
    decoder, inputs = Decoder(model), {"z": z, **given}
    if isinstance(base_distribution(p), Autoregressive):
        inputs["x"] = x
    outputs = decoder.outputs(z, c, inputs.get("x"))
    graphs.append(Graph("decoder", "p(x", ["z", "c"], decoder, inputs, outputs))
    encoder, noise = Encoder(model), Fresh(n, dtype)
    outputs = encoder.outputs(x, c, noise)
    inputs = {"x": x, **given, **noise.inputs()}
    graphs.append(Graph("encoder", "q(z", ["x", "c"], encoder, inputs, outputs))
    return graphs[::-1]


def _conditionals(model: DirectedModel, spec: DataSpec) -> Graph:
    dtype, n = _dtype(model), N_EXAMPLES
    # A model of x draws it; of a classifier x is any input.
    drawn_x = model.assemble(model.sample(n), spec.shape) if model.columns else None
    x = torch.rand(n, *spec.shape).round() if drawn_x is None else drawn_x
    inputs = {"x": _as_given(x, spec, dtype)}
    if any("y" in parents for parents in model.parents.values()):
        inputs["y"] = torch.randint(spec.n_classes or 1, (n,))
    module = Conditionals(model)
    variables = ", ".join(name for name in model.parents)
    outputs = module.outputs(inputs["x"], inputs.get("y"))
    # The conditionals are all those of p(variables); what is given is not modeled.
    given = [name for name in ("x", "y") if name not in model.parents and name in inputs]
    given = given if not model.columns else []
    return Graph("conditionals", f"p({variables}", given, module, inputs, outputs)


def _dtype(model: nn.Module) -> torch.dtype:
    """Return the type of the inputs that are real numbers: float32, or that of wider weights."""
    return torch.promote_types(weights_type(model) or torch.float32, torch.float32)


def _conditions(model: LatentModel, spec: DataSpec, dtype: torch.dtype) -> Tensor | None:
    """Return conditions: random labels, and covariates in the units of the training data."""
    if not spec.context:
        return None
    c = torch.randn(N_EXAMPLES, spec.context, dtype=dtype)
    layer = model.standardize_condition if isinstance(model, LatentModel) else None
    if layer is not None:
        c = layer.inverse(c)
    k = spec.label_context
    labels = one_hot(torch.randint(max(k, 1), (N_EXAMPLES,)), max(k, 1)).to(c)
    return torch.cat([labels[:, :k], c[:, k:]], -1)


def _as_given(x: Tensor, spec: DataSpec, dtype: torch.dtype) -> Tensor:
    """Return draws as examples are given: tokens as whole numbers, some values missing."""
    if spec.support == "tokens":
        return x.long()
    x = x.to(dtype)
    if spec.schema is not None and spec.schema.optional:
        places = spec.schema.optional
        x[:, places] = x[:, places].masked_fill(
            torch.rand(len(x), len(places)) < _MISSING, torch.nan
        )
    return x


def _of_posterior(q: Distribution, noise: Noise) -> Outputs:
    """Return the parameters of a posterior; a draw of one that has none of a fixed number."""
    single = base_distribution(q)
    if isinstance(single, Chain | Reordered):
        z, given = drawn_in_turn(single, noise)
        groups = {
            joined(name, group): found
            for name, p in given.items()
            for group, found in parameters_of(p).items()
        }
        return _of_groups(groups, {"z": z})
    if isinstance(single, Flow):
        start = drawn(single.base, noise)
        z, log_det = single.transform.call_and_ladj(start)  # type: ignore[attr-defined]
        draw = "z is the draw for the noise that is given, and log_prob its density, in nats"
        found = {"z": z, "log_prob": single.base.log_prob(start) - log_det}
        return Outputs(found, {"": Parameters("Flow", draw, {})})
    return _of_groups(parameters_of(q))


def _of_groups(
    groups: Mapping[str, Parameters], others: Mapping[str, Tensor] | None = None
) -> Outputs:
    """Return the parameters of all groups as outputs, after others."""
    tensors: dict[str, Tensor] = dict(others or {})
    units: dict[str, Tensor] = {}
    for group, found in groups.items():
        tensors |= {joined(group, name): value for name, value in found.tensors.items()}
        units |= {joined(group, name): value for name, value in found.units.items()}
    return Outputs(tensors, groups, units)


def _with_mean(p: Distribution, found: Outputs) -> Outputs:
    """Return outputs with the mean of a distribution, or its mode where the mean is no value."""
    tensors = {**found.tensors, "mean": mean_or_mode(p)}
    return Outputs(tensors, found.groups, {**found.units, "mean": unit_of_mean(p)})
