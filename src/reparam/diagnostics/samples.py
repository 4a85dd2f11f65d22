"""Checks of drawn examples: whether they copy training examples, and whether they are like them."""

import numpy as np

from reparam.batch import in_chunks
from reparam.diagnostics.context import DiagnosticContext
from reparam.diagnostics.finding import Evidence, Finding, NotApplicable, check
from reparam.evaluation.copies import FEWEST, N_COMPARED, N_TRAIN, copies, drawn_like, means_of
from reparam.evaluation.marginals import Values, by_chance, distance, rank_correlations
from reparam.pictures import is_picturable
from reparam.priors import NoPrior

N_ROWS = 2_000
"""The largest number of rows of both kinds whose columns are compared."""

APART, LESS_RELATED = 0.15, 0.3
"""The distances of two distributions, and the differences of two rank correlations, that are named
where chance makes smaller ones."""

FEWEST_ROWS = 50
"""The least number of rows, and of those that have both values of a pair."""

MOST_COLUMNS = 100
"""The largest number of columns whose correlations are compared."""

ERRORS = 4.0
"""The number of standard errors that chance makes the difference of two correlations."""


@check("copies")
def copied(context: DiagnosticContext) -> Finding:
    """Check whether samples are nearer to training examples than unseen examples are."""
    model, spec, held = context.latent, context.run.spec, context.held
    if isinstance(model.prior, NoPrior):
        raise NotApplicable("it has no prior to draw from")
    if held is None or len(held) < FEWEST:
        raise NotApplicable("there are too few held-out examples to compare with")
    # Pictures of images are means, as a report compares them.
    n, mean = context.affordable(N_COMPARED, 1), is_picturable(spec)
    drawn = drawn_like(model, spec, n, held.c, mean=mean, seed=context.seed)
    train = context.train if context.more is None else context.more(N_TRAIN)
    some = next(in_chunks(held, N_COMPARED))
    means = means_of(model, spec, some, context.seed) if mean else None
    found = copies(drawn, some.x, train.x, spec, model, means)
    if not found.is_known:
        raise NotApplicable("unseen examples are copies of training examples too")
    text = (
        f"{found.share:.1%} of {n} samples are as near to one of {len(train):,} training examples "
        f"as {found.n_near} of {len(found.of_unseen)} unseen ones are; by chance it would be up to "
        f"{found.by_chance:.1%}; {found.twins:.1%} are less than half as far"
    )
    evidence = Evidence(text, share=found.share, by_chance=found.by_chance, twins=found.twins)
    if not found.are_likely:
        return evidence.fine("samples are no nearer to training examples than unseen examples are")
    return evidence.advice(
        "Some samples may be copies of training examples",
        "a shorter training (early_stopping), fewer latent dimensions, or more data; look at the "
        "nearest examples in the report before samples are given to others",
    )


@check("marginals")
def unlike(context: DiagnosticContext) -> Finding:
    """Check whether columns of drawn rows, and their correlations, are those of training rows."""
    model, spec = context.latent, context.run.spec
    if not spec.is_table:
        raise NotApplicable("the data are no table")
    if isinstance(model.prior, NoPrior):
        raise NotApplicable("it has no prior to draw from")
    train = context.train if context.more is None else context.more(N_ROWS)
    if len(train) < FEWEST_ROWS:
        raise NotApplicable("there are too few training examples to compare with")
    n = context.affordable(N_ROWS, 1)
    drawn = drawn_like(model, spec, n, train.c, mean=False, seed=context.seed)
    real, made = (x.flatten(1).double().cpu().numpy() for x in (train.x, drawn))
    apart = _apart(real, made, _columns(context))
    quantities = spec.quantities[:MOST_COLUMNS]
    related = _less_related(real[:, quantities], made[:, quantities])
    evidence = Evidence(
        f"{len(apart)} of {spec.dim} columns of {n:,} drawn rows are far from those of "
        f"{len(train):,} training rows",
        n_columns=len(apart),
        n_pairs=len(related),
    )
    if apart:
        worst = max(apart, key=lambda i: apart[i])
        evidence.add(f": {spec.listed([worst])} by a distance of {apart[worst]:.2f}")
    if related:
        (i, j), (known, found) = max(related.items(), key=lambda pair: abs(np.subtract(*pair[1])))
        evidence.add(
            f"; {len(related)} of their rank correlations differ, most that of "
            f"{spec.listed([quantities[i]])} and {spec.listed([quantities[j]])}: {known:.2f} in "
            f"training rows and {found:.2f} in drawn ones"
        )
    if not apart and not related:
        return evidence.fine("drawn columns are like those of the data")
    return evidence.advice(
        "Drawn rows differ from the rows of the data",
        f"{context.longer}, run.with_prior('flow') for codes that lie elsewhere than the prior "
        "draws, or more data",
    )


def _columns(context: DiagnosticContext) -> list[tuple[int, bool]]:
    """Return of each column the number of classes, 0 for a quantity, and if a missing value is one.

    Where it is not, drawn rows lack no values.
    """
    schema = context.run.spec.schema
    if schema is None:
        return [(0, False)] * context.run.spec.dim
    return [(column.n_values, column.missing_as_value) for column in schema.features]


def _apart(real: Values, drawn: Values, columns: list[tuple[int, bool]]) -> dict[int, float]:
    """Return the distances of the columns that are far apart, by their places."""
    found: dict[int, float] = {}
    level = 0.05 / len(columns)
    for i, (n_classes, has_missing) in enumerate(columns):
        missing = [np.isnan(x[:, i]) for x in (real, drawn)]
        one, other = (x[~lacks, i] for x, lacks in zip((real, drawn), missing, strict=True))
        pairs = [(one, other, n_classes)]
        if has_missing:
            pairs.append((missing[0].astype(float), missing[1].astype(float), 2))
        for pair in pairs:
            far = distance(*pair)
            if far > max(APART, by_chance(*pair, level)):
                found[i] = max(far, found.get(i, 0.0))
    return found


def _less_related(real: Values, drawn: Values) -> dict[tuple[int, int], tuple[float, float]]:
    """Return the rank correlations of pairs of quantities that are far apart, by their places."""
    known, found = rank_correlations(real), rank_correlations(drawn)
    there = [(~np.isnan(x)).astype(float) for x in (real, drawn)]
    n, m = (np.maximum(each.T @ each, 1) for each in there)
    differs = np.abs(np.nan_to_num(known - found))
    is_far = differs > np.maximum(LESS_RELATED, ERRORS * np.sqrt(1 / n + 1 / m))
    is_far &= np.minimum(n, m) >= FEWEST_ROWS
    pairs = zip(*np.nonzero(np.triu(is_far, 1)), strict=True)
    return {(int(i), int(j)): (float(known[i, j]), float(found[i, j])) for i, j in pairs}
