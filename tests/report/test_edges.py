"""Reports of unusual runs: every variant, odd tables, data that are gone, names with HTML."""

import re
from html import unescape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import reparam as rp
from reparam.data.frames import of_frame
from reparam.diagnostics.context import diagnostic_context
from reparam.errors import SupportError
from reparam.report import report
from reparam.report.view import View
from reparam.variants import build, names
from tests.report.kinds import QUICK, digits, rng
from tests.report.test_report import require_good_page
from tests.support import reparam

FEW: dict[str, Any] = {**QUICK, "steps": 3}


def page_of(run: rp.Run) -> str:
    """Return the page of a run, which is complete and sound."""
    page = report(run, n_samples=2).html
    require_good_page(page)
    assert "could not be made" not in page
    return page


def text_file(folder: Path) -> Path:
    """Write a text of 4,000 characters."""
    file = folder / "rain.txt"
    file.write_text("the rain in spain falls mainly on the plain. " * 90, encoding="utf-8")
    return file


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_every_variant_has_a_report(name: str, tmp_path: Path) -> None:
    data = digits()
    try:
        build(name, data.spec)
    except SupportError:
        data = rp.data.load("text", path=text_file(tmp_path), window=8)
    page = page_of(rp.fit(lambda spec: build(name, spec), data, **FEW))
    found = set(re.findall(r'<section id="([a-z]+)-1"', page))
    assert found >= {"overview", "figures", "doctor"}


def table(n: int, columns: int) -> pd.DataFrame:
    """Return numbers of n rows."""
    return pd.DataFrame(rng().normal(size=(n, columns)), columns=[f"c{i}" for i in range(columns)])


def test_a_constant_column_and_missing_values() -> None:
    rows = table(100, 3)
    rows["same"], rows["kind"] = 7.0, np.where(rows["c0"] > 0, "a", "b")
    rows.loc[::3, "c1"] = rows.loc[::4, "kind"] = None
    page_of(rp.fit(rp.variants.vae, rows, **FEW))
    page_of(rp.fit(rp.variants.vae, rows[["c0", "c2", "same"]].to_numpy(), **FEW))


@pytest.mark.slow
def test_two_hundred_columns() -> None:
    page = page_of(rp.fit(rp.variants.vae, table(80, 200), **FEW))
    assert "of the 40 columns that differ most" in page


def test_a_single_column() -> None:
    page_of(rp.fit(rp.variants.vae, table(80, 1), **FEW))


@pytest.mark.parametrize(
    ("n_test", "shown"), [(5, "75 training rows"), (60, "60 rows that training did not see")]
)
def test_few_held_out_rows_give_way_to_training_rows(n_test: int, shown: str) -> None:
    rows = of_frame(table(75 + n_test, 2))
    assert rows is not None
    splits = {"train": np.arange(75), "test": np.arange(75, 75 + n_test)}
    run = rp.fit(rp.variants.vae, rp.data.from_table(rows, splits=splits), **FEW)
    page = page_of(run)
    assert f"Drawn rows beside {shown}" in page
    assert f"Of {shown}: the rank correlation" in page


def test_a_fitted_prior_shows_the_kl_of_each_dimension_from_a_standard_normal() -> None:
    run = rp.fit(lambda spec: rp.variants.vae(spec, latent_dim=3), digits(), **FEW)
    page = page_of(run.with_prior("mixture", n_components=2, steps=0))
    assert "The KL is that from a standard normal" in page


@pytest.mark.parametrize("latent_dim", [1, 500])
def test_few_and_many_latent_dimensions(latent_dim: int) -> None:
    # The prior is named, for fitting mixtures to codes of 500 dimensions takes long.
    options = {"latent_dim": latent_dim, "prior": "standard-normal"}
    for data in (digits(), table(80, 3)):
        page_of(rp.fit(lambda spec: build("vae", spec, **options), data, **FEW))


def test_twelve_rows() -> None:
    page_of(rp.fit(rp.variants.vae, table(12, 3), **FEW))


def test_a_run_without_a_test_split() -> None:
    x = rng().normal(size=(60, 3))
    data = rp.data.from_arrays(x, validation=12, name="rows")
    assert "test" not in data.splits
    page = page_of(rp.fit(rp.variants.vae, data, **FEW))
    assert "of the split &#39;validation&#39;" in page


def test_data_that_were_in_memory_are_missed_in_a_sentence(tmp_path: Path) -> None:
    rp.fit(rp.variants.vae, rng().normal(size=(60, 3)), out=tmp_path / "run", **FEW)
    page = page_of(rp.load(tmp_path / "run"))
    assert "The data of this run are gone" in page
    found = set(re.findall(r'<section id="([a-z]+)-1"', page))
    assert found == {"overview", "missing", "curves"}
    given = report(rp.load(tmp_path / "run"), data=rng().normal(size=(60, 3)), n_samples=2).html
    assert "are gone" not in given


def test_a_file_that_was_deleted_is_missed_in_a_sentence(tmp_path: Path) -> None:
    file, run = tmp_path / "rows.csv", tmp_path / "run"
    table(60, 3).to_csv(file, index=False)
    reparam("train vae --data", file, "--steps 3 --early-stopping 0 --out", run)
    reparam("evaluate", run, "--split train --n-samples 2")
    file.unlink()
    page = page_of(rp.load(run))
    assert "The data of this run are gone" in page
    assert "rows.csv" in page
    # The figures that the folder keeps are shown.
    assert 'id="figures-1"' in page


@pytest.mark.slow
def test_the_command_of_a_page_repeats_the_run(tmp_path: Path) -> None:
    folder = tmp_path / "a run"
    rp.fit(rp.variants.vae, digits(), out=folder, **FEW)
    page = page_of(rp.load(folder))
    (command,) = re.findall(r"<pre tabindex=.0.>reparam (.*?)</pre>", page)
    reparam(unescape(command))
    again = folder.with_name("a run-again")
    one, other = (rp.load(path).model.state_dict() for path in (folder, again))
    assert all((one[name] == other[name]).all() for name in one)


def test_names_with_html_are_shown_as_they_are(tmp_path: Path) -> None:
    bad = '<img src=x onerror="alert(1)">'
    n = 60
    rows = table(n, 2).rename(columns={"c0": bad})
    rows["</script><script>alert(1)//"] = np.where(np.arange(n) % 2, bad, "$\\frac{$")
    rows["$x_1"] = np.arange(n) % 7
    data = rp.data.from_table(of_frame(rows), name=bad)
    page = page_of(rp.fit(rp.variants.vae, data, **FEW))
    assert "<img src=x" not in page
    assert "<script>alert" not in page
    assert page.count("</script>") == 2  # of the data of the map, and of the page


def test_text_has_samples_and_walks(tmp_path: Path) -> None:
    data = rp.data.load("text", path=text_file(tmp_path), window=16)
    page = page_of(rp.fit(rp.variants.text_vae, data, **FEW))
    found = set(re.findall(r'<section id="([a-z]+)-1"', page))
    assert found >= {"samples", "reconstructions", "interpolations", "map", "memory"}


def test_a_loader_has_a_report() -> None:
    x = torch.from_numpy(rng().normal(size=(60, 3))).float()
    run = rp.fit(rp.variants.vae, DataLoader(TensorDataset(x), batch_size=20), **FEW)
    assert "of the split &#39;train&#39;, which training saw" in page_of(run)


def test_a_report_and_the_doctor_look_at_the_same_examples() -> None:
    x = torch.from_numpy(rng().normal(size=(200, 3))).float()
    run = rp.fit(rp.variants.vae, x, **FEW)
    stream = run.prepared(DataLoader(TensorDataset(x), batch_size=20))
    for source in (run.dataset(), stream):
        shown = View(run, source).some("train", 50)
        assert torch.equal(shown.x, diagnostic_context(run, source, n_examples=50).train.x)
        assert len(shown) == 50
