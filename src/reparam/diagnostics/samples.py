"""Checks of drawn examples: whether they copy training examples."""

from reparam.diagnostics.context import DiagnosticContext
from reparam.diagnostics.finding import Evidence, Finding, NotApplicable, check
from reparam.evaluation.copies import FEWEST, N_COMPARED, N_TRAIN, copies, drawn_like
from reparam.pictures import is_picturable
from reparam.priors import NoPrior


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
    found = copies(drawn, held.x[:N_COMPARED], train.x, spec, model)
    if not found.is_known:
        raise NotApplicable("unseen examples are copies of training examples too")
    text = (
        f"{found.share:.1%} of {n} samples are as near to one of {len(train):,} training examples "
        f"as {found.n_near} of {len(found.of_unseen)} unseen ones are; by chance it would be up to "
        f"{found.by_chance:.1%}"
    )
    evidence = Evidence(text, share=found.share, by_chance=found.by_chance)
    if not found.are_likely:
        return evidence.fine("samples are no nearer to training examples than unseen examples are")
    return evidence.advice(
        "Some samples may be copies of training examples",
        "a shorter training (early_stopping), fewer latent dimensions, or more data; look at the "
        "nearest examples in the report before samples are given to others",
    )
