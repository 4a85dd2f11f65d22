"""What an explorer shows of places and examples, beside torch, closed forms and plain loops."""

from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import reparam as rp
from reparam.batch import Batch
from reparam.data import Dataset
from reparam.errors import DataError, OptionError
from reparam.explorer import cells, fragments
from reparam.explorer.explored import Explored
from reparam.explorer.neighbors import Neighbors
from reparam.explorer.session import Session, chosen_of
from reparam.explorer.shown import Looks
from reparam.report.plane import coordinate_plane, principal_plane
from reparam.variants import build
from tests.support import LINEAR, SHIFTED

QUICK = {"steps": 30, "early_stopping": 0, "progress": False, "lr": 0.003}


@cache
def explored(kind: str) -> Explored:
    """Return a run of a kind, trained for a few steps, with its data."""
    variants, data = rp.variants, rp.data
    digits: Any = data.load("digits")
    match kind:
        case "digits":
            recipe: Any = partial(build, "vae", latent_dim=5, prior="standard-normal")
        case "sphere":
            recipe = variants.vmf_vae
        case "label":
            recipe, digits = variants.cvae, digits.conditioned("label")
        case "inferred label":
            recipe, digits = variants.ss_vae, digits
        case "codes":
            recipe = partial(build, "vq-vae", n_codes=16)
        case "autoencoder":
            recipe = variants.ae
        case "covariates":
            rng = np.random.default_rng(0)
            c = {"age": rng.uniform(20, 80, 300), "sex": rng.choice(["F", "M"], 300)}
            recipe, digits = (
                variants.cvae,
                data.from_arrays(rng.normal(size=(300, 3)), covariates=c),
            )
        case "mixed":
            recipe, digits = variants.vae, people()
        case "counts":
            x = np.random.default_rng(0).poisson(3.0, (200, 50))
            recipe, digits = variants.vae, data.from_arrays(x, support="counts")
        case _:
            raise AssertionError(kind)
    run = rp.fit(recipe, digits, **QUICK)
    assert isinstance(run.data, Dataset)
    return Explored(run, run.data)


def people() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    rows = pd.DataFrame({"age": rng.integers(20, 60, 300), "pay": rng.gamma(2, 9, 300).round(2)})
    rows["sex"] = np.where(rng.random(300) < 0.5, "F", "M")
    rows.loc[::7, "pay"] = np.nan
    return rows


@cache
def linear(shifted: bool = False) -> Explored:
    """Return the linear-Gaussian model with its exact posterior, and draws of it as its data."""
    known = SHIFTED if shifted else LINEAR
    z = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(200, 3, generator=torch.Generator().manual_seed(1))
    x = z @ known.weight.T + known.bias + known.sigma * noise
    data = rp.data.from_arrays(x[:150], test=x[150:])
    return Explored(rp.Run(known.model(), data.spec, {}, data), data)


def test_few_held_out_examples_give_way_to_training_examples() -> None:
    x = torch.randn(90, 3, generator=torch.Generator().manual_seed(0))
    y = torch.zeros(90).long()
    y[80:] = torch.tensor([7] * 10)
    data = rp.data.from_arrays(x[:80], y[:80], test=(x[80:], y[80:]))
    found = Explored(rp.Run(LINEAR.model(), data.spec, {}, data), data)
    assert found.n_examples == 80
    codes = found.view.codes
    assert codes is not None
    for number in (0, 79):
        torch.testing.assert_close(found.view.encoded(found.example(number))[0], codes[number])
    assert found.view.class_names[7] == "7"  # which only test rows have


# Places


def test_a_place_is_decoded_as_by_torch() -> None:
    session = Session(explored("digits"))
    session.go(0.3, -0.2)
    model = session.explored.model.eval()
    plane = session.plane
    with torch.no_grad():
        expected = model.likelihood(session.z[None]).mean[0]
    torch.testing.assert_close(session.decoded(), expected)
    torch.testing.assert_close(plane.project(session.z), torch.tensor([0.3, -0.2]))


def test_the_plane_is_that_of_numpy() -> None:
    codes = torch.randn(40, 6, generator=torch.Generator().manual_seed(0)).double()
    codes[:, 2] *= 5
    plane = principal_plane(codes)
    variance, vectors = np.linalg.eigh(np.cov(codes.numpy().T))
    overlap = np.abs(plane.axes.numpy() @ vectors[:, ::-1][:, :2])
    np.testing.assert_allclose(overlap, np.eye(2), atol=1e-9)
    assert plane.share == pytest.approx(variance[-2:].sum() / variance.sum())


def test_a_slice_keeps_what_is_orthogonal_to_it() -> None:
    session = Session(explored("digits"))
    session.show_plane(1, 3)
    before = session.z.clone()
    session.go(2.0, -1.0)
    mean = session.explored.codes.mean(0)
    assert session.z[1] == pytest.approx(float(mean[1]) + 2)
    assert session.z[3] == pytest.approx(float(mean[3]) - 1)
    assert torch.equal(session.z[[0, 2, 4]], before[[0, 2, 4]])
    session.set(0, 7.0)
    assert session.z[0] == 7
    with pytest.raises(OptionError, match="give another"):
        coordinate_plane(session.explored.codes, 1, 1)


def test_dimensions_are_in_the_order_of_their_variance() -> None:
    found = explored("digits")
    variance = found.codes.var(0)
    assert found.dimensions == sorted(range(5), key=lambda j: -float(variance[j]))
    low, high = found.reach(2)
    assert (low + high) / 2 == pytest.approx(float(found.codes[:, 2].mean()), abs=1e-6)
    assert (high - low) / 6 == pytest.approx(float(found.codes[:, 2].std()))


def test_a_place_on_a_sphere_is_decoded_on_it() -> None:
    session = Session(explored("sphere"))
    session.go(5.0, 5.0)
    z = session.z / session.z.norm()
    expected = session.explored.run.decode(z)[0]
    torch.testing.assert_close(session.decoded(), expected)


def test_a_draw_is_one_of_the_prior() -> None:
    found = explored("digits")
    draws = torch.stack([found.drawn(number=i) for i in range(400)])
    z_scores = draws.mean(0) * 20, (draws.var(0) - 1) * 14
    assert all(float(score.abs().max()) < 4.5 for score in z_scores)
    assert torch.equal(found.drawn(number=3), draws[3])


def test_codes_of_a_codebook_have_no_map() -> None:
    session = Session(explored("codes"))
    assert not session.has_map
    assert session.explored.dimensions == []
    assert Neighbors(session.explored).of(session.picked.example, 2)[0].shape == (2, 1, 8, 8)


# Conditions


def test_the_label_is_given_to_the_decoder() -> None:
    session = Session(explored("label"))
    for label in (2, 7):
        session.label = label
        c = torch.nn.functional.one_hot(torch.tensor([label]), 10).float()
        assert torch.equal(session.condition, c)
        expected = session.explored.run.decode(session.z, c)[0]
        torch.testing.assert_close(session.decoded(), expected)
    session.pick_number(4)
    assert session.label == int(session.explored.view.held.y[4])


def test_an_inferred_label_is_a_part_of_the_code() -> None:
    session = Session(explored("inferred label"))
    session.label = 3
    assert session.z[:10].tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
    torch.testing.assert_close(session.plane.axes[:, :10], torch.zeros(2, 10), atol=1e-5, rtol=0)
    assert all(j >= 10 for j in session.explored.dimensions)


def test_covariates_are_those_of_the_example_until_they_are_chosen() -> None:
    session = Session(explored("covariates"))
    held = session.explored.view.held
    assert session.covariates["age"] == pytest.approx(float(held.c[0, 0]))
    assert session.covariates["sex"] == ("F" if held.c[0, 1] == 1 else "M")
    session.covariates = {"age": 33.0, "sex": "M"}
    assert session.condition.tolist() == [[33.0, 0.0, 1.0]]
    assert chosen_of({"sex=F": 1.0, "sex=M": 0.0}) == {"sex": "F"}


# Examples


@pytest.mark.parametrize("shifted", [False, True])
def test_the_parts_of_the_elbo_are_those_of_the_exact_model(shifted: bool) -> None:
    found, known = linear(shifted), SHIFTED if shifted else LINEAR
    example = found.example(3)
    parts = found.account(example, n_samples=4000)
    exact = known.log_likelihood(example.x)[0]
    # The posterior is exact, so that every weight is p(x) and the ELBO is tight.
    assert float(parts.log_likelihood) == pytest.approx(exact, abs=1e-4)
    posterior = known.posterior(example.x)
    prior = torch.distributions.MultivariateNormal(torch.zeros(2), torch.eye(2))
    expected = float(torch.distributions.kl_divergence(posterior, prior)[0])
    assert float(parts.kl) == pytest.approx(expected, abs=0.1)
    assert float(parts.elbo) == pytest.approx(exact, abs=0.1)
    page = fragments.account(parts)
    assert f'<span class="number">{exact:.1f}</span>' in page


def test_an_autoencoder_has_a_reconstruction_alone() -> None:
    found = explored("autoencoder")
    page = fragments.account(found.account(found.example(0)))
    assert "reconstruction" in page
    assert "ELBO" not in page
    assert "nan" not in page


@pytest.mark.parametrize("kind", ["digits", "counts", "mixed"])
def test_neighbors_are_those_of_a_plain_search(kind: str) -> None:
    found = explored(kind)
    example, neighbors = found.example(2), Neighbors(found)
    near, distance = neighbors.of(example, 4)
    # Rows are compared as the encoder reads them, standardized and with classes one-hot.
    seen = found.run.latent_model.as_input if kind != "digits" else torch.clone
    place, places = seen(example.x).flatten(1), seen(found.view.train.x).flatten(1)
    expected, order = torch.cdist(place.double(), places.double())[0].sort()
    torch.testing.assert_close(distance, expected[:4])
    torch.testing.assert_close(near, found.view.train.x[order[:4]], equal_nan=True)
    assert neighbors.by_entries


def test_more_neighbors_than_training_examples_are_all_of_them() -> None:
    assert len(Neighbors(linear()).of(linear().example(0), 1000)[0]) == 150


def test_a_path_leads_from_one_reconstruction_to_another() -> None:
    found = explored("digits")
    path = found.path(found.example(0), found.example(1), 5)
    for place, number in ((0, 0), (-1, 1)):
        torch.testing.assert_close(path[place], found.reconstructed(found.example(number)))
    middle = (found.encoded(found.example(0)) + found.encoded(found.example(1))) / 2
    torch.testing.assert_close(path[2], found.run.decode(middle)[0])


def test_a_path_interpolates_the_label() -> None:
    found = explored("label")
    a, b = found.example(0), found.example(1)
    path = found.path(a, b, 3)
    z = (found.encoded(a) + found.encoded(b)) / 2
    torch.testing.assert_close(path[1], found.run.decode(z, (a.c + b.c) / 2)[0])


def test_noise_is_that_of_the_corruption() -> None:
    found = explored("digits")
    example = found.example(0)
    noisy, cleaned = found.denoised(example, rp.Corruption("masking", 0.5))
    changed = noisy != example.x[0]
    assert (noisy[changed] == 0).all()
    with torch.no_grad():
        expected = found.model.eval().reconstruct(noisy[None])[0]
    torch.testing.assert_close(cleaned, expected)
    again, _ = found.denoised(example, rp.Corruption("masking", 0.5))
    assert torch.equal(again, noisy)


def test_points_are_colored_by_columns_of_classes() -> None:
    found = explored("mixed")
    names, labels = found.colorings["sex"]
    assert [names[k] for k in labels] == list(
        found.run.to_table(found.view.held.x)["sex"].to_pylist()
    )
    assert set(found.colorings) == {"sex"}
    assert explored("digits").colorings["label"][1] == explored("digits").view.held.y.tolist()


# Rows


def weighted(found: Explored, row: torch.Tensor, n: int = 40_000) -> tuple[Any, torch.Tensor]:
    """Return p(x | z) of many draws of z from the prior, and their weights p(x_obs | z)."""
    model = found.model.eval()
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        p = model.likelihood(model.draw_prior(n)[:, None])
        weight = p.observed.log_prob(row).softmax(0)
    return p, weight[:, 0]


@pytest.mark.parametrize("empty", ["pay", "sex"])
def test_missing_cells_are_filled_in_as_by_draws_from_the_prior(empty: str) -> None:
    looks = Looks(explored("mixed"))
    names = looks.names
    typed = {"age": "30", "pay": "12.5", "sex": "F"} | {empty: " "}
    row = cells.encoded(looks.explored, typed)
    j = names.index(empty)
    assert row.isnan()[0].nonzero().tolist() == [[j]]
    cell = cells.filled(looks, row, None)[j]
    p, weight = weighted(looks.explored, row)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        torch.manual_seed(6)
        drawn = p.sample()[:, 0, j]
    assert cell.is_filled
    if empty == "sex":
        shares = {part.split()[0]: float(part.split()[1]) for part in cell.spread.split(", ")}
        assert shares["F"] == pytest.approx(100 * float(weight[drawn == 0].sum()), abs=9)
        assert sum(shares.values()) == pytest.approx(100, abs=1)
        assert shares[cell.value] == max(shares.values())
        return
    spread, center = float(drawn.std()), p.parts[0][1].mean.detach()[:, 0, j]
    assert float(cell.value) == pytest.approx(float((weight * center).sum()), abs=0.1 * spread)
    ordered, order = drawn.sort()
    reached = weight[order].cumsum(0)
    for end, level in zip(cell.spread.split(" to "), (0.05, 0.95), strict=True):
        place = int((reached < level).sum())
        assert float(end) == pytest.approx(float(ordered[place]), abs=0.3 * spread)


def test_a_filled_row_shows_the_filled_cells_first() -> None:
    page = fragments.filled([cells.Cell("a", "1"), cells.Cell("b", "2", "1 to 3")])
    assert page.index(">b<") < page.index(">a<")
    assert "<td>given</td>" in page


@pytest.mark.parametrize(
    ("typed", "said"), [({"age": "old"}, "number"), ({"sex": "X"}, "F, M"), ({"age": "7"}, "range")]
)
def test_a_cell_that_is_no_value_is_refused(typed: dict[str, str], said: str) -> None:
    with pytest.raises(DataError, match=said):
        cells.encoded(explored("mixed"), typed)


def test_a_row_without_any_cell_is_empty() -> None:
    assert cells.encoded(explored("mixed"), {"age": " "}).isnan().all()
    with pytest.raises(OptionError, match="train on a table"):
        cells.choices(linear())


def test_a_directed_model_is_refused() -> None:
    digits = rp.data.load("digits")
    run = rp.fit(rp.variants.classifier, digits, **QUICK)
    with pytest.raises(OptionError, match="no latent variables"):
        Explored(run, digits)


def test_an_example_may_be_one_of_the_users_own() -> None:
    session = Session(explored("digits"))
    x = torch.zeros(1, 1, 8, 8)
    session.pick(Batch(x), "mine")
    assert session.picked.name == "mine"
    assert session.before.number == 0
    torch.testing.assert_close(session.z, session.explored.run.encode(Batch(x))[0])
