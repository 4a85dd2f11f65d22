"""Whether drawn examples copy training examples: whether they are nearer to them than unseen ones.

Without copies a drawn example is as near to the training examples as an unseen one is.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from scipy.stats import betabinom
from torch import Tensor

from reparam.batch import Batch, in_chunks, to_device
from reparam.families import Mixed
from reparam.isolation import isolated
from reparam.models.conditional import family_of
from reparam.models.latent import LatentModel
from reparam.spec import DataSpec

N_COMPARED, FEWEST, N_TRAIN = 300, 10, 20_000
"""The largest number of samples that are compared, the least of unseen examples, and the largest of
training examples."""

NEAREST = 0.01
"""The share of unseen examples whose distance is near."""

_CHUNK = 100

TWIN = 0.5
"""A sample is a twin of a training example where it is nearer than this share of the near distance
of unseen examples themselves, whatever is made of these."""

CHANCE, LEAST = 0.99, 0.05
"""The probability with which chance makes a smaller share of near samples, and the least share of
them that is one of copies."""


@dataclass(frozen=True)
class Copies:
    """How near samples are to training examples, beside how near unseen examples are.

    Arguments:
        of_samples: The distance of each sample to the nearest training example, with shape (N,).
        of_unseen: That of each unseen example, with shape (M,).
        nearest: The place of the training example that is nearest to each sample, with shape (N,).
        n_near: The number of unseen examples that are near.
        share: The share of samples that are as near.
        by_chance: The share that samples without copies exceed in one case of a hundred.
        twins: The share of samples that are twins of training examples.
        is_known: Whether most unseen examples are no copies of training examples themselves.
    """

    of_samples: NDArray[np.float64]
    of_unseen: NDArray[np.float64]
    nearest: NDArray[np.int64]
    n_near: int
    share: float
    by_chance: float
    twins: float
    is_known: bool

    @property
    def are_likely(self) -> bool:
        """Whether some samples may be copies."""
        is_beyond_chance = self.share > max(LEAST, self.by_chance)
        return self.is_known and (is_beyond_chance or self.twins > LEAST)


def copies(
    drawn: Tensor,
    unseen: Tensor,
    train: Tensor,
    spec: DataSpec,
    model: LatentModel | None = None,
    means: Tensor | None = None,
) -> Copies:
    r"""Return how near drawn examples are to training examples.

    The distance of the nearest hundredth of the unseen examples is a threshold, which s of M unseen
    examples reach. Of N samples from the distribution of the data the number that does is at most
    beta-binomial, with parameters N, s + 1 and M - s, also where distances are equal.

    Where samples are means of p(x | z), the unseen examples are replaced by such means, which are
    as smooth. A decoder that gives back training examples for any code would hide so: samples that
    are much nearer than unseen examples themselves are twins.

    Arguments:
        drawn: The samples, with shape (N, \*shape).
        unseen: Examples that the model was not trained on, with shape (M, \*shape).
        train: The training examples, with shape (T, \*shape).
        spec: The properties of the data.
        model: The model that reads rows of a table; None for other data.
        means: Means of p(x | z) at codes of the unseen examples, with shape (M, \*shape), where
            samples are means; None otherwise.

    Example:
        >>> x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
        >>> train, unseen, other = x.chunk(3)
        >>> spec = DataSpec((2,), "real")
        >>> copies(other, unseen, train, spec).are_likely
        False
        >>> copies(train + 1e-4, unseen, train, spec).are_likely
        True
    """
    n, m = len(drawn), len(unseen)
    compared = torch.cat([drawn, unseen] if means is None else [drawn, unseen, means])
    both = distances(compared, train, spec, model)
    nearest = both.min(1)
    itself, of_unseen = nearest[n : n + m], nearest[-m:]
    place = max(1, round(NEAREST * m)) - 1
    threshold, near = np.sort(of_unseen)[place], np.sort(itself)[place]
    s = int((of_unseen <= threshold).sum())
    share = float((nearest[:n] <= threshold).mean())
    by_chance = 1.0 if s == m else float(betabinom.ppf(CHANCE, n, s + 1, m - s)) / n
    twins = float((nearest[:n] < TWIN * near).mean())
    is_known = float(np.median(itself)) > 0
    places = both[:n].argmin(1)
    return Copies(nearest[:n], of_unseen, places, s, share, by_chance, twins, is_known)


def distances(
    x: Tensor, others: Tensor, spec: DataSpec, model: LatentModel | None = None
) -> NDArray[np.float64]:
    r"""Return the distances of examples from others, with shape (N, M).

    Rows of a table are compared as the encoder reads them, standardized and with classes one-hot,
    and counts on a logarithmic scale. Of tokens it is the share that differs.

    Arguments:
        x: The examples, with shape (N, \*shape).
        others: The other examples, with shape (M, \*shape).
        spec: The properties of the data.
        model: The model that reads rows of a table; None for other data.
    """
    if spec.support == "tokens":
        return np.asarray(cdist(x.flatten(1).numpy(), others.flatten(1).numpy(), "hamming"))
    return np.asarray(cdist(vectors(x, spec, model), vectors(others, spec, model)))


def vectors(x: Tensor, spec: DataSpec, model: LatentModel | None = None) -> NDArray[np.float64]:
    r"""Return examples as vectors whose distances can be compared, with shape (N, D).

    Arguments:
        x: The examples, with shape (N, \*shape).
        spec: The properties of the data.
        model: The model that reads rows of a table; None for other data.
    """
    if model is not None and spec.has_rows:
        with torch.no_grad():
            x, family = x.to(next(model.parameters(), x).device), family_of(model.decoder)
            x = (family.as_vectors(x) if isinstance(family, Mixed) else model.as_input(x)).cpu()
    return np.asarray(x.flatten(1).double().nan_to_num(0.0).numpy())


def drawn_like(
    model: LatentModel, spec: DataSpec, n: int, c: Tensor | None, *, mean: bool, seed: int
) -> Tensor:
    r"""Return examples that a model draws under given conditions, with shape (N, \*shape).

    Arguments:
        model: The model.
        spec: The properties of the data.
        n: The number of examples.
        c: Conditions, with shape (M, C), which are taken in turn; None without a condition.
        mean: Whether the means of p(x | z) are returned, as pictures show them.
        seed: The seed of all draws.
    """
    given = repeated(c, n)
    with isolated(model, seed=seed) as device:
        found = model.sample(n, None if given is None else given.to(device), mean=mean).cpu()
    return found.reshape(-1, *spec.shape)


def means_of(model: LatentModel, spec: DataSpec, examples: Batch, seed: int) -> Tensor:
    r"""Return the means of p(x | z) at the codes of examples, with shape (N, \*shape).

    Arguments:
        model: The model.
        spec: The properties of the data.
        examples: The examples.
        seed: The seed of all draws.
    """
    with isolated(model, seed=seed) as device:
        moved = (to_device(part, device) for part in in_chunks(examples, _CHUNK))
        found = torch.cat([model.reconstruct(part.x, part.c).cpu() for part in moved])
    return found.reshape(-1, *spec.shape)


def repeated(c: Tensor | None, n: int) -> Tensor | None:
    """Return the first n rows of conditions, which begin again at the end.

    >>> repeated(torch.tensor([[1.0], [2.0]]), 3)
    tensor([[1.],
            [2.],
            [1.]])
    """
    return None if c is None else c[torch.arange(n) % len(c)]
