"""The figures of decoded pictures: squared errors, and distances of samples from examples."""

from typing import Any

import torch
from torch import Tensor

from reparam.batch import Batch
from reparam.errors import OptionError
from reparam.evaluation.context import Context
from reparam.evaluation.figure import Facts, Figure, Figures
from reparam.evaluation.metric import METRICS, Measured, Metric, Needs, Quantity, Section
from reparam.evaluation.samples import identity, sample_beside_examples, sample_quality
from reparam.families import Mixed
from reparam.models.conditional import family_of
from reparam.models.latent import standardization_of


def _error(facts: Facts, figures: Figures) -> str:
    of = "" if facts.n_rounded is None else ", in variances of each column"
    return f"squared error per entry of a reconstruction{of}"


@METRICS.register("reconstruction")
class Reconstruction(Metric):
    """The mean squared error of the decoded posterior mean, for values with distances."""

    section = Section.SAMPLES
    needs = Needs.LATENTS
    quantities = (Quantity("mse", _error, higher_is_better=False),)

    def compute(self, context: Context) -> Measured:
        """Return the mean over the examples; nothing for classes and tokens."""
        if context.spec.support in ("categorical", "tokens"):
            return Measured()

        layer, family = standardization_of(context.latent), family_of(context.latent.decoder)
        quantities = family.quantities if isinstance(family, Mixed) else None
        if isinstance(family, Mixed) and quantities is None:
            return Measured()

        def error(part: Batch) -> Tensor:
            found, x = context.latent.reconstruct(part.x, part.c), part.x
            if quantities is not None:
                found, x = found[:, quantities[1]], x[:, quantities[1]]
            if layer is not None and layer.per_entry:  # columns of a table have their own units
                found, x = layer(found), layer(x)
            # A value that is missing has no error.
            return (found - x).double().square().flatten(1).nanmean(1).cpu()

        errors = torch.cat(context.each(error))
        return Measured({"mse": Figure.mean(errors[~errors.isnan()])})


def _compared(facts: Facts) -> str:
    kind = "means of p(x | z)" if facts.sample_means else "samples"
    return f"of {facts.n_generated or 0:,} {kind} and examples"


def _frechet(facts: Facts, figures: Figures) -> str:
    bias = figures["fid"].bias
    high = "" if bias is None else f"; about {bias:.2g} too high"
    return f"Fréchet distance {_compared(facts)} in features{high}"


@METRICS.register("samples")
class Samples(Metric):
    """MMD², and with features also the Fréchet and the kernel distance."""

    section = Section.SAMPLES
    quantities = (
        Quantity(
            "sample_mmd",
            lambda facts, figures: f"MMD² {_compared(facts)}; 0 for the same distribution",
            higher_is_better=False,
        ),
        Quantity("fid", _frechet, higher_is_better=False, has_bias=True),
        Quantity(
            "kid",
            "kernel distance in features; 0 for the same distribution",
            higher_is_better=False,
        ),
    )

    def check(self, context: Context) -> None:
        """Refuse classes and tokens without features, since their values have no distances.

        Raises:
            OptionError: These.
        """
        n, support = context.sample_quality, context.spec.support
        if n > 0 and support in ("tokens", "categorical") and context.features is None:
            raise OptionError(
                f"sample_quality={n}: {support} values have no distances; give features=, or 0"
            )

    def compute(self, context: Context) -> Measured:
        """Return the distances of ``sample_quality`` samples; nothing for none."""
        n = min(context.sample_quality, len(context.batch))
        if n == 0:
            return Measured()
        pair = sample_beside_examples(
            context.model, context.batch, context.spec, n, context.seed, context.sample_means
        )
        family = family_of(context.latent.decoder) if context.spec.schema is not None else None
        if family is not None:  # classes have no distances, and their one-hot codes have
            pair = (family.as_input(pair[0]), family.as_input(pair[1]))
        found = sample_quality(*pair, context.features)
        figures = {"sample_mmd": found.mmd, "fid": found.fid, "kid": found.kid}
        facts: dict[str, Any] = {"n_generated": n, "sample_means": context.sample_means}
        if context.features is not None:
            facts["features"], facts["features_sha256"] = identity(context.features)
        return Measured(figures, facts)
