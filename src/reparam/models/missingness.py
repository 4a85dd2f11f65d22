r"""Why values are missing: a model of the mask given the values.

Values that are missing not at random are missing because of what they are, such as large incomes.
"""

from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.nn.functional import logsigmoid, softplus

from reparam.distributions import MixedRow
from reparam.errors import OptionError, SupportError, unknown
from reparam.families import Mixed
from reparam.models.conditional import family_of
from reparam.models.latent import LatentModel
from reparam.schema import QUANTITIES, Schema

Masks = Literal["any", "large", "small"]
"""The values that tend to be missing: found in training, large ones, or small ones."""

PART = "missingness"
"""The name of the part of a latent-variable model."""


def masked_places(schema: Schema | None) -> list[int]:
    """Return the places in x of the quantities that rows lack, and that are no values then.

    >>> from reparam.schema import Column
    >>> masked_places(Schema((Column("age", "count", has_missing=True), Column("b", "real"))))
    [0]
    """
    if schema is None:
        return []
    return [
        i for i in schema.places(QUANTITIES) if i in {*schema.optional} - {*schema.valued_missing}
    ]


class SelfMasking(nn.Module):
    r"""The probability that a quantity is missing, given its own value.

    .. math:: p(s_j = 0 \mid x) = \operatorname{sigmoid}(a_j + w_j y_j)

    with s_j = 0 for a missing value, and y_j the standardized value. In the notation of the paper
    W_j = -w_j and b_j = -a_j / w_j. Classes are missing at random.

    Arguments:
        schema: The columns of x.
        masks: ``large`` or ``small``: such values tend to be missing, w_j > 0 or w_j < 0; ``any``:
            the sign is learned, which needs more rows.

    Raises:
        OptionError: Another word for the values, or columns of which none may be missing.

    References:
        Ipsen, Mattei & Frellsen, not-MIWAE, ICLR 2021, section 4.
    """

    def __init__(self, schema: Schema, masks: Masks = "any") -> None:
        super().__init__()
        if masks not in get_args(Masks):
            raise unknown("masks", str(masks), get_args(Masks))
        found = masked_places(schema)
        if not found:
            raise OptionError("no quantity of the schema lacks values: use a model without a mask")
        quantities = schema.places(QUANTITIES)
        self.masks = masks
        self.places: Tensor
        self.register_buffer("places", torch.tensor(found), persistent=False)
        self.among: Tensor
        among = torch.tensor([quantities.index(i) for i in found])
        self.register_buffer("among", among, persistent=False)
        self.offset = nn.Parameter(torch.zeros(len(found)))
        self.slope = nn.Parameter(torch.zeros(len(found)))

    @torch.no_grad()
    def start_at(self, x: Tensor) -> None:
        """Start at the frequencies of missing values in training rows.

        Arguments:
            x: The rows, with shape (N, D).
        """
        least = 0.5 / len(x)
        share = x[:, self.places].isnan().double().mean(0).clamp(least, 1 - least)
        self.offset.copy_(share.logit())

    def forward(self, y: Tensor) -> Tensor:
        r"""Return the logits that values are missing, with shape (\*, n).

        Arguments:
            y: The standardized quantities, with shape (\*, number of quantities).
        """
        sign = {"any": 0, "large": 1, "small": -1}[self.masks]
        slope = sign * softplus(self.slope) if sign else self.slope
        return self.offset + slope * y[..., self.among]


def missingness_of(model: LatentModel) -> SelfMasking | None:
    """Return the model of the mask that is a part of a model; None without one."""
    part = dict(model.named_children()).get(PART)
    return part if isinstance(part, SelfMasking) else None


def completed(model: LatentModel, likelihood: Distribution, x: Tensor) -> tuple[Tensor, Tensor]:
    """Draw the missing values of rows, and return them with log p(mask | rows) in nats.

    Arguments:
        model: A model with a model of the mask.
        likelihood: p(x | z) of K draws of z, with batch shape (K, B).
        x: The rows, with shape (B, D), NaN for missing values.

    Returns:
        The rows with shape (K, B, D), and the log-probabilities with shape (K, B).

    Raises:
        SupportError: A model without a model of the mask, or of other data than a mixed table.
    """
    part, family = missingness_of(model), family_of(model.decoder)
    if part is None or not isinstance(family, Mixed) or not isinstance(likelihood, MixedRow):
        raise SupportError(
            "the model has no model of the mask: build the variant 'not-miwae' on a table whose "
            "quantities lack values"
        )
    missing = x.isnan()
    rows = torch.where(missing, likelihood.observed.sample(), x)
    quantities = family.quantities
    if quantities is None:
        raise SupportError("the table has no quantities, whose mask could be modeled: use 'iwae'")
    scaled, places = quantities
    logits = part(scaled.as_input(rows[..., places]))
    is_missing = missing[..., part.places]
    return rows, logsigmoid(torch.where(is_missing, logits, -logits)).sum(-1)
