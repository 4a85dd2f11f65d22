"""The VAE of tables whose values are missing not at random."""

from dataclasses import replace
from typing import Unpack

from torch import nn

from reparam.models.missingness import PART, Masks, SelfMasking, masked_places
from reparam.objectives import IWAE, NotMIWAE
from reparam.spec import DataSpec
from reparam.variants.builder import variant
from reparam.variants.networks import Net, perceptrons
from reparam.variants.specification import Specification


@variant("not-miwae", year=2021, paper="Ipsen, Mattei & Frellsen, ICLR 2021")
def not_miwae(
    spec: DataSpec,
    latent_dim: int = 20,
    n_importance: int = 20,
    masks: Masks = "any",
    **net: Unpack[Net],
) -> Specification:
    r"""The importance-weighted VAE with a model of why values are missing.

    Use it to fill in values that are missing because of what they are, such as large ones. For data
    whose quantities lack no values it is iwae.

    Limits: whether values are missing at random cannot be seen in the data, so that the result
    depends on this model of the mask; classes are missing at random. Figures such as log p(x) are
    those of the observed values, without the mask.

    Generative process:
        .. math:: z \sim \mathcal N(0, I), \quad x \sim p(x \mid z), \qquad
                  p(s_j = 0 \mid x) = \operatorname{sigmoid}(a_j + w_j y_j)

    Objective:
        .. math:: \mathcal L_K = \mathbb E\Bigl[\log \frac1K \sum_k
                  \frac{p(x_{\mathrm{obs}} \mid z_k)\, p(s \mid x_k)\, p(z_k)}
                  {q(z_k \mid x_{\mathrm{obs}})}\Bigr]

    Symbols:
        K (n_importance): The number of draws of z for each row.
        s: The mask: 1 for a value that is observed, 0 for one that is missing.
        a_j, w_j (masks): How the probability that column j lacks a value depends on the value; the
            sign of w.
        y_j: The standardized value of column j.
        x_{obs}: The observed values of a row.
        x_k: The row with its missing values drawn given z_k.

    Arguments:
        spec: The shape and support of the data.
        latent_dim: The number of dimensions of z.
        n_importance: The number K of draws for each example.
        masks: The values that tend to be missing: large, small, or any for a sign that is learned.
        net: The other options of ``vae``.

    Example:
        >>> from reparam.schema import Column, Schema
        >>> schema = Schema((Column("a", "real", has_missing=True), Column("b", "real")))
        >>> not_miwae(DataSpec((2,), "mixed", schema=schema)).objective
        NotMIWAE(n_importance=20)
    """
    parts, schema = perceptrons(latent_dim, **net), spec.schema
    if schema is None or not masked_places(schema):
        return Specification(spec, parts, IWAE(n_importance))

    def masking(spec: DataSpec, latent_dim: int) -> nn.Module:
        return SelfMasking(schema, masks)

    return Specification(spec, replace(parts, parts={PART: masking}), NotMIWAE(n_importance))
