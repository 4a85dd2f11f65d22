"""What a run is: its model, its data and its training, in a few words each."""

from reparam.evaluation.trained import TrainedRun
from reparam.models.directed import DirectedModel
from reparam.models.latent import LatentModel, as_latent, is_latent
from reparam.priors import NoPrior
from reparam.version import __version__

MOST_LISTED = 6
"""The number of formulas that are listed."""


def facts(run: TrainedRun) -> list[tuple[str, str]]:
    """Return the facts about a run that are known, each with its name."""
    config, recorded = run.config, run.config.get("recorded", {})
    length = recorded.get("length") or {}
    n_weights = sum(p.numel() for p in run.model.parameters())
    n_train = recorded.get("n_train")
    steps = max((int(row["step"]) for row in run.rows if "step" in row), default=0)
    seconds = max((float(row["seconds"]) for row in run.rows if "seconds" in row), default=0.0)
    reason = f" ({length['reason']})" if length.get("reason") else ""
    torch_version = f", torch {recorded['torch']}" if recorded.get("torch") else ""
    given = {"label": "the label", "label+covariates": "the label and covariates"}
    condition = run.spec.condition
    rows = [
        ("model", f"{variant_of(run)}, {n_weights:,} weights"),
        ("data", f"{run.spec.name}: {run.spec.words}"),
        ("computed", _computed(run)),
        ("given", given.get(condition, condition) if condition else ""),
        ("training examples", f"{n_train:,}" if n_train else ""),
        ("latent dimensions", str(config.get("latent_dim") or config.get("latent_dims") or "")),
        ("likelihood p(x | z)", str(config.get("likelihood") or "")),
        ("prior p(z)", _prior(run)),
        ("training", f"{steps:,} steps in {seconds:,.0f} s{reason}"),
        ("device", str(recorded.get("device_used", ""))),
        ("version", f"reparam {recorded.get('reparam', __version__)}{torch_version}"),
    ]
    return [row for row in rows if row[1]]


def variant_of(run: TrainedRun) -> str:
    """Return the variant of a run, or the class of a model that was composed by hand."""
    return str(run.config.get("variant") or type(run.model).__name__)


def latent_model_of(run: TrainedRun) -> LatentModel | None:
    """Return the model of a run, if it has latent variables."""
    is_one = is_latent(run.model) and not isinstance(run.model, DirectedModel)
    return as_latent(run.model) if is_one else None


def generates(run: TrainedRun) -> bool:
    """Return whether a run's model has latent variables, and a prior to draw them from."""
    model = latent_model_of(run)
    return model is not None and not isinstance(model.prior, NoPrior)


def _computed(run: TrainedRun) -> str:
    """Return the formulas of the columns that are computed from others, the first ones of many."""
    formulas = {} if run.spec.schema is None else run.spec.schema.computed.formulas
    listed = [f"{name} = {formula}" for name, formula in formulas.items()]
    more = f"; and {len(listed) - MOST_LISTED:,} more" if len(listed) > MOST_LISTED else ""
    return "; ".join(listed[:MOST_LISTED]) + more


def _prior(run: TrainedRun) -> str:
    fitted = run.config.get("fitted_prior") or {}
    if fitted:
        n = fitted.get("options", {}).get("n_components")
        size = f" of {n} components" if n else ""
        return f"{fitted['prior']}{size}, fitted to the codes after training"
    model = latent_model_of(run)
    return "" if model is None else type(model.prior).__name__
