"""Parts by name: the full product of them trains, save what is on the list of refusals."""

import itertools
from pathlib import Path

import pytest
import torch

import reparam as rp
from reparam.batch import Batch
from reparam.data.condition import conditions
from reparam.errors import DataError, OptionError, ReparamError, SupportError
from reparam.runs.resume import differences
from reparam.spec import DataSpec
from reparam.variants import build, names
from reparam.variants.compatibility import rules
from reparam.variants.kinds import OBJECTIVES, POSTERIORS, PRIORS
from tests.support import BINARY, quick_fit

SPEC = DataSpec((1, 4, 4), "binary", n_classes=3)
SPACES = {
    "von-mises-fisher": "sphere",
    "sphere": "sphere",
    "gumbel": "codes",
    "uniform-codes": "codes",
}
LEARNED = ("mixture", "vamp", "flow", "diffusion", "class-conditional")
NEEDS_NO_PRIOR = ("reconstruction", "denoising", "contractive")


def is_refused(posterior: str, prior: str, objective: str, condition: str | None) -> bool:
    """Whether the list of refusals has a combination: by its mathematics, not by trying it."""
    if prior == "class-conditional" and condition is None:
        return True
    if prior in LEARNED and objective in (*NEEDS_NO_PRIOR, "mmd"):
        return True
    if objective in NEEDS_NO_PRIOR:
        return False
    if posterior == "deterministic":
        return objective != "mmd"
    space = SPACES.get(posterior, "reals")
    if prior != "vamp" and space != SPACES.get(prior, "reals"):
        return True
    if prior == "vamp" and posterior in ("uniform", "gumbel"):
        return True
    if posterior == "gumbel" and objective in ("iwae", "dreg"):
        return True
    if objective == "tc" and posterior not in ("gaussian", "uniform"):
        return True
    return objective == "naive" and posterior != "gaussian"


PRODUCT = tuple(itertools.product(PRIORS, OBJECTIVES, (None, "label")))
# Each prior with each objective once, by turns with and without a condition.
HALF = tuple(parts for i, parts in enumerate(PRODUCT) if i % 2 == i // 2 % 2)


@pytest.mark.parametrize(
    "combinations", [HALF, pytest.param(PRODUCT, marks=pytest.mark.slow)], ids=["half", "all"]
)
@pytest.mark.parametrize("posterior", POSTERIORS)
def test_whatever_is_not_on_the_list_trains(
    posterior: str, combinations: tuple[tuple[str, str, str | None], ...]
) -> None:
    x = (torch.rand(6, 1, 4, 4) < 0.5).float()
    y = torch.arange(6) % 3
    for prior, objective, condition in combinations:
        said = f"{posterior}, {prior}, {objective}, {condition}"
        spec = SPEC.conditioned(condition)
        options = {"posterior": posterior, "prior": prior, "objective": objective}
        if is_refused(posterior, prior, objective, condition):
            with pytest.raises((OptionError, SupportError)) as caught:
                build("vae", spec, latent_dim=10, hidden=(8,), **options)
            assert len(str(caught.value)) < 300, said
            continue
        recipe = build("vae", spec, latent_dim=10, hidden=(8,), **options)
        batch = Batch(x, y, conditions(spec, 6), step=0, progress=0.0)
        loss = recipe.objective(recipe.model.train(), batch).loss
        loss.backward()
        gradients = [p.grad for p in recipe.model.encoder.parameters() if p.grad is not None]
        assert loss.isfinite(), said
        assert gradients, said
        assert all(gradient.isfinite().all() for gradient in gradients), said


def test_every_refusal_has_its_reason() -> None:
    assert all(rule.what and rule.reason and rule.fix for rule in rules())


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"prior": "vam"}, "unknown prior 'vam': did you mean 'vamp'"),
        ({"posterior": "gausian"}, "unknown posterior 'gausian': did you mean 'gaussian'"),
        ({"objective": "iwea"}, "unknown objective 'iwea': did you mean 'iwae'"),
        ({"n_importance": 5}, "add objective='iwae', or objective='dreg'"),
        ({"objective": "iwae", "free_bits": 0.1}, "add objective='elbo'"),
        ({"posterior": "deterministic", "free_bits": 0.1}, "no density"),
        ({"objective": "mmd", "free_bits": 0.1}, "add objective='elbo'"),
        ({"posterior": "von-mises-fisher"}, "infinite"),
        ({"posterior": "gumbel", "prior": "uniform-codes", "latent_dim": 5}, "latent_dim=5"),
        ({"prior": "class-conditional"}, "add condition='label'"),
    ],
)
def test_refusals_are_one_sentence_with_the_way_out(options: dict[str, object], said: str) -> None:
    with pytest.raises(ReparamError, match=said):
        build("vae", SPEC, **{"latent_dim": 10, "hidden": (8,), **options})


@pytest.mark.parametrize("name", ["ae", "dae", "cae"])
def test_free_bits_of_a_code_without_kl_are_refused(name: str) -> None:
    with pytest.raises(SupportError, match="is a point, which has no KL"):
        build(name, SPEC, latent_dim=4, hidden=(8,), free_bits=0.1)


@pytest.mark.parametrize(
    ("name", "own", "parts", "part"),
    [
        ("vamp-vae", {"n_components": 7}, {"posterior": "coupling"}, 7),
        ("vamp-vae", {"n_components": 7}, {"prior": "mixture"}, 7),
        ("iwae", {"n_importance": 50}, {"objective": "dreg"}, 50),
        ("beta-vae", {"beta": 8.0}, {"objective": "elbo"}, 8.0),
        ("dae", {"corruption": "masking"}, {"objective": "denoising"}, "masking"),
    ],
)
def test_own_options_go_with_the_part_that_comes_in(
    name: str, own: dict[str, object], parts: dict[str, object], part: object
) -> None:
    recipe = build(name, SPEC, latent_dim=4, hidden=(8,), **own, **parts)
    prior, objective = recipe.model.prior, recipe.objective
    found = {
        "n_components": len(getattr(prior, "pseudo_inputs", getattr(prior, "loc", ()))),
        "n_importance": getattr(objective, "n_importance", None),
        "beta": getattr(objective, "beta", None),
        "corruption": getattr(getattr(objective, "corruption", None), "kind", None),
    }
    (option,) = own
    assert found[option] == part


@pytest.mark.parametrize("name", ["vq-vae", "cluster-vae", "ss-vae", "ss-vae-stacked"])
def test_objectives_that_make_a_variant_stay(name: str) -> None:
    with pytest.raises(OptionError, match="this variant is made for its own objective"):
        build(name, DataSpec((1, 16, 16), "binary", n_classes=3), objective="elbo")


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("beta-vae", {"beta": 4.5, "objective": "iwae"}, "beta=4.5"),
        ("tc-vae", {"beta": 3.0, "objective": "elbo"}, "beta=3.0"),
        ("vmf-vae", {"concentration": 20.0, "posterior": "gaussian"}, "concentration=20.0"),
        ("flow-prior-vae", {"n_transforms": 3, "prior": "mixture"}, "n_transforms=3"),
        ("iaf-vae", {"n_transforms": 3, "posterior": "gaussian"}, "n_transforms=3"),
    ],
)
def test_an_option_of_a_part_that_is_replaced_is_refused(
    name: str, options: dict[str, object], said: str
) -> None:
    others = {"prior": "standard-normal"} if name == "vmf-vae" else {}
    with pytest.raises(OptionError, match=f"{said}: has no effect with .*; drop one of them"):
        build(name, SPEC, latent_dim=4, hidden=(8,), **options, **others)
    # At its default it was not asked for.
    free = {k: v for k, v in options.items() if k in ("objective", "posterior", "prior")}
    assert build(name, SPEC, latent_dim=4, hidden=(8,), **free, **others).source is not None


@pytest.mark.parametrize("name", ["factor-vae", "vae-gan"])
@pytest.mark.parametrize("part", [{"prior": "flow"}, {"prior": "vamp", "posterior": "coupling"}])
def test_players_go_with_any_posterior_and_prior(name: str, part: dict[str, str]) -> None:
    recipe = build(name, SPEC, latent_dim=4, hidden=(8,), **part)
    batch = Batch((torch.rand(6, *SPEC.shape) < 0.5).float(), step=0, progress=0.0)
    sum(p.objective(recipe.model, batch).loss for p in recipe.players).backward()
    recipe.model.zero_grad()
    recipe.objective(recipe.model, batch).loss.backward()
    gradients = [p.grad for p in recipe.model.prior.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    with pytest.raises(OptionError, match="this variant is made for its own objective"):
        build(name, SPEC, objective="elbo")


@pytest.mark.parametrize("name", ["ladder-vae", "vq-vae", "classifier", "cluster-vae"])
def test_variants_whose_parts_are_made_for_each_other_keep_them(name: str) -> None:
    with pytest.raises(OptionError, match="such as 'vae'"):
        build(name, DataSpec((1, 16, 16), "binary", n_classes=3), prior="mixture")


@pytest.mark.parametrize("name", names())
def test_any_variant_takes_a_condition(name: str) -> None:
    spec = DataSpec((1, 16, 16), "binary", n_classes=3, condition="label")
    if name in ("classifier", "directed", "ss-vae", "ss-vae-stacked"):
        with pytest.raises(OptionError, match="the label is what this variant models"):
            build(name, spec)
        return
    if name == "text-vae":
        spec = DataSpec((16,), "tokens", n_classes=3, levels=5, condition="label")
    recipe = build(name, spec)
    assert recipe.spec is not None
    assert recipe.spec.condition == "label"
    x = (torch.rand(6, *spec.shape) < 0.5).to(torch.long if name == "text-vae" else torch.float32)
    batch = Batch(x, torch.arange(6) % 3, conditions(spec, 6), step=0, progress=0.0)
    assert recipe.objective(recipe.model, batch).loss.isfinite()
    if name in ("ae", "dae", "cae"):
        with pytest.raises(SupportError, match="has no prior"):
            recipe.model.sample(6, batch.c)
        return
    assert recipe.model.sample(6, batch.c).shape == x.shape


def test_a_condition_needs_labels() -> None:
    with pytest.raises(DataError, match="no labels to condition on"):
        build("vae", BINARY.conditioned("label"))
    with pytest.raises(DataError, match="no labels to condition on"):
        build("cvae", BINARY)


def test_parts_survive_the_folder(tmp_path: Path) -> None:
    few = rp.data.load("digits", binarize="threshold", validation=0).examples(limit=16)
    digits = rp.data.from_arrays(few.x, few.y, n_classes=10, name="16 digits")
    options = {"prior": "vamp", "posterior": "coupling", "objective": "iwae", "n_importance": 3}
    recipe = build("vae", digits.spec.conditioned("label"), latent_dim=4, hidden=(8,), **options)
    run = quick_fit(recipe, digits, out=tmp_path)
    loaded = rp.load(tmp_path)
    assert type(loaded.model.prior).__name__ == "VampPrior"
    assert loaded.config["n_importance"] == 3
    assert loaded.spec.condition == "label"
    for path, value in run.model.state_dict().items():
        assert torch.equal(loaded.model.state_dict()[path], value), path
    assert loaded.sample(4, label=2).shape == (4, 1, 8, 8)


def test_a_decoder_starts_at_the_mean_of_the_data() -> None:
    """Whatever the code, and after steps too small to move anything."""
    data = rp.data.load("digits", binarize="none")
    recipe = build("vae", data.spec, hidden=(8,), likelihood="gaussian-shared", start_at_mean=True)
    quick_fit(recipe, data, lr=1e-12, precision="float32")
    found = recipe.model.decoder.family(torch.zeros(8)).mean
    mean = data.examples("train").x.mean(0)
    assert torch.allclose(found, mean, atol=1e-4)


def test_a_part_left_as_it_is_changes_no_configuration() -> None:
    """Else a run could not go on from the command line, nor be a second seed of one from there."""
    source = build("vae", SPEC, start_at_mean=True, prior=None).source
    assert source == build("vae", SPEC).source
    assert differences({"prior": "vamp"}, {"prior": "vamp", "start_at_mean": True}) == []
    assert differences({}, {"start_at_mean": False}) == [
        "start_at_mean (True in the run, False now)"
    ]


@pytest.mark.parametrize(
    "parts", [{"prior": "vamp", "n_components": 4}, {"posterior": "iaf"}, {"prior": "mixture"}]
)
def test_a_recipe_with_other_parts_is_built_again(tmp_path: Path, parts: dict[str, object]) -> None:
    x = torch.rand(20, 6).round()
    recipe = build("vae", rp.data.from_arrays(x).spec, latent_dim=2, hidden=[4], **parts)
    run = quick_fit(recipe, x, out=tmp_path / "run")
    assert torch.equal(rp.load(tmp_path / "run").encode(x), run.encode(x))
    assert {name: run.config[name] for name in parts} == parts
