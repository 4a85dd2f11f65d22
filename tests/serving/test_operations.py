"""What a server answers is what the run itself returns."""

import io
import json
from typing import Any

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient

import reparam as rp
from tests.serving.conftest import people

NPY = "application/x-npy"


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def strict(text: str) -> Any:
    """Return JSON, in which NaN and Infinity are errors."""

    def refuse(word: str) -> None:
        raise AssertionError(word)

    return json.loads(text, parse_constant=refuse)


def answer(client: TestClient, path: str, body: Any, **query: Any) -> Any:
    found = client.post(f"/runs/{path}", json=body, params=query)
    assert found.status_code == 200, found.text
    return strict(found.text)


def images(n: int) -> np.ndarray:
    return rp.data.load("digits").examples("test", limit=n).x.numpy()


def test_encoding_of_json_and_of_numpy(client: TestClient, runs: dict[str, rp.Run]) -> None:
    x = images(5)
    expected = runs["digits"].encode(x).numpy()
    np.testing.assert_allclose(answer(client, "digits/encode", {"x": x.tolist()})["z"], expected)
    headers = {"Content-Type": NPY, "Accept": NPY}
    found = client.post("/runs/digits/encode", content=npy(x), headers=headers)
    assert found.headers["content-type"] == NPY
    array = np.load(io.BytesIO(found.content), allow_pickle=False)
    np.testing.assert_array_equal(array, expected)
    assert array.dtype == np.float32


def test_decoding_and_reconstruction(client: TestClient, runs: dict[str, rp.Run]) -> None:
    z = [[0.5, -1.0], [2.0, 0.0]]
    expected = runs["digits"].decode(np.array(z, np.float32)).numpy()
    np.testing.assert_allclose(answer(client, "digits/decode", {"z": z})["x"], expected)
    x = images(4)
    expected = runs["digits"].reconstruct(x).numpy()
    found = answer(client, "digits/reconstruct", {"x": x.reshape(4, -1).tolist()})["x"]
    np.testing.assert_allclose(found, expected)


def test_scores_are_those_of_the_run_in_nats(client: TestClient, runs: dict[str, rp.Run]) -> None:
    x = images(3)
    found = answer(client, "digits/score", {"x": x.tolist()}, seed=7, n_samples=30)
    expected = runs["digits"].log_likelihood(x, seed=7, n_samples=30).numpy()
    np.testing.assert_array_equal(np.float32(found["log_likelihood"]), expected)
    assert found["unit"] == "nats"


def test_samples_follow_from_the_seed(client: TestClient, runs: dict[str, rp.Run]) -> None:
    one = answer(client, "digits/sample", {}, n_samples=3, seed=4, mean=True)["x"]
    np.testing.assert_allclose(one, runs["digits"].sample(3, seed=4, mean=True).numpy())
    assert one == answer(client, "digits/sample", {}, n_samples=3, seed=4, mean=True)["x"]
    assert one != answer(client, "digits/sample", {}, n_samples=3, seed=5, mean=True)["x"]
    assert client.post("/runs/digits/sample").status_code == 200  # without any body


def test_samples_under_a_condition(client: TestClient, runs: dict[str, rp.Run]) -> None:
    covariates = {"age": 0.5, "sex": "F"}
    found = answer(
        client, "given/sample", {"covariates": covariates}, n_samples=4, label=1, seed=3
    )["x"]
    expected = runs["given"].sample(4, 3, 1, covariates).numpy()
    np.testing.assert_allclose(found, expected)


def test_examples_under_a_condition(client: TestClient, runs: dict[str, rp.Run]) -> None:
    x = np.random.default_rng(2).normal(size=(2, 3)).astype(np.float32)
    y, covariates = [0, 1], {"age": [0.1, 0.2], "sex": ["M", "F"]}
    c = torch.tensor([[1, 0, 0.1, 0, 1], [0, 1, 0.2, 1, 0]])  # label, age, sex=F, sex=M
    expected = runs["given"].encode(rp.Batch(torch.from_numpy(x), c=c)).numpy()
    body = {"x": x.tolist(), "y": y, "covariates": covariates}
    np.testing.assert_allclose(answer(client, "given/encode", body)["z"], expected, rtol=1e-6)
    z = [[0.0, 1.0], [1.0, 0.0]]
    expected = runs["given"].decode(np.float32(z), c).numpy()
    found = answer(client, "given/decode", {"z": z, "y": y, "covariates": covariates})["x"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_labels_by_the_names_of_their_classes(client: TestClient) -> None:
    facts = {run["name"]: run for run in client.get("/runs").json()["runs"]}
    assert facts["given"]["class_names"] == ["cat", "dog"]
    covariates = {"age": 0.5, "sex": "F"}
    of_z, of_sample = {"z": [[0.0, 1.0]] * 2, "covariates": covariates}, {"covariates": covariates}
    by_name = answer(client, "given/decode", {**of_z, "y": ["dog", "cat"]})
    assert by_name == answer(client, "given/decode", {**of_z, "y": [1, 0]})
    by_name = answer(client, "given/sample", of_sample, label="dog")
    assert by_name == answer(client, "given/sample", of_sample, label=1)
    for found in (
        client.post("/runs/given/sample?label=dof", json=of_sample),
        client.post("/runs/given/decode", json={**of_z, "y": ["dof", "cat"]}),
    ):
        assert found.status_code == 422
        assert "'dog'" in found.json()["message"]


def rows(n: int) -> list[dict[str, Any]]:
    """Return rows of people as JSON has them."""
    return json.loads(people(n).to_json(orient="records", date_format="iso"))


def test_rows_of_a_table(client: TestClient, runs: dict[str, rp.Run]) -> None:
    table = people(6)
    expected = runs["people"].log_likelihood(table, n_samples=20, seed=1).numpy()
    found = answer(client, "people/score", {"rows": rows(6)}, n_samples=20, seed=1)
    np.testing.assert_allclose(found["log_likelihood"], expected, rtol=1e-5)
    expected = runs["people"].encode(table).numpy()
    found = answer(client, "people/encode", {"rows": rows(6)})["z"]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_imputed_rows_keep_what_is_known(client: TestClient, runs: dict[str, rp.Run]) -> None:
    given = [{**row, "born": row["born"][:10]} for row in rows(8)]
    found = answer(client, "people/impute", {"rows": given}, n_samples=50, seed=2)
    assert len(found["rows"]) == 8
    for row, full, low, high in zip(given, found["rows"], found["low"], found["high"], strict=True):
        assert list(full) == ["height", "children", "sex", "born"]
        assert {k: full[k] for k, v in row.items() if v is not None} == {
            k: v for k, v in row.items() if v is not None
        }
        assert full["sex"] in ("F", "M")
        assert low["sex"] is None
        assert high["sex"] is None
        if row["height"] is None:
            assert low["height"] <= full["height"] <= high["height"]
    # The same, when a column is left out of a row, and with the numbers of x.
    given[0].pop("height")
    again = answer(client, "people/impute", {"rows": given}, n_samples=50, seed=2)
    assert again["rows"] == found["rows"]
    expected = runs["people"].impute(people(8), n_samples=50, seed=2)
    np.testing.assert_allclose(
        found["effective_sample_size"], expected.effective_sample_size.numpy(), rtol=1e-5
    )


def test_drawn_rows_have_the_types_of_the_table(client: TestClient) -> None:
    for row in answer(client, "people/sample", {}, n_samples=5)["rows"]:
        assert isinstance(row["children"], int)
        assert row["sex"] in ("F", "M")
        assert len(row["born"]) == 10
    given = {"given": {"sex": "M", "children": 2}}
    for row in answer(client, "people/sample", given, n_samples=5)["rows"]:
        assert (row["sex"], row["children"]) == ("M", 2)


def test_tokens(client: TestClient, runs: dict[str, rp.Run]) -> None:
    x = [[0, 1, 2, 3, 4, 0]]
    expected = runs["text"].encode(np.array(x)).numpy()
    np.testing.assert_allclose(answer(client, "text/encode", {"x": x})["z"], expected, rtol=1e-6)
    texts = runs["text"].vocabulary.texts(torch.tensor(x))
    np.testing.assert_allclose(
        answer(client, "text/encode", {"texts": texts})["z"], expected, rtol=1e-6
    )
    assert len(answer(client, "text/score", {"texts": texts})["log_likelihood"]) == 1
    refused = client.post("/runs/text/encode", json={"texts": [texts[0][:2]]})
    assert refused.status_code == 422
    assert "the model reads 6 at once" in refused.text
    found = answer(client, "text/sample", {}, n_samples=2, seed=1)["x"]
    assert found == runs["text"].sample(2, seed=1).tolist()


def test_bytes_are_prepared_as_those_of_the_training_data(
    client: TestClient, runs: dict[str, rp.Run]
) -> None:
    grey = np.random.default_rng(0).integers(0, 17, (3, 1, 8, 8), np.uint8)
    found = client.post(
        "/runs/digits/encode?seed=5", content=npy(grey), headers={"Content-Type": NPY}
    )
    expected = runs["digits"].encode(grey, seed=5).numpy()
    np.testing.assert_allclose(found.json()["z"], expected)


def test_the_list_of_runs_says_what_each_takes(client: TestClient) -> None:
    found = {run["name"]: run for run in client.get("/runs").json()["runs"]}
    assert found["digits"]["shape"] == [1, 8, 8]
    assert "impute" not in found["digits"]["operations"]
    columns = {column["name"]: column for column in found["people"]["columns"]}
    assert columns["sex"] == {"name": "sex", "kind": "binary", "values": ["F", "M"]}
    assert "impute" in found["people"]["operations"]
    assert found["given"]["covariates"] == ["age", "sex=F", "sex=M"]
    assert found["text"]["tokens"] == {"unit": "characters", "length": 6}
    assert found["digits"]["tokens"] is None


@pytest.mark.parametrize("operation", ["encode", "decode", "reconstruct", "sample", "score"])
def test_every_example_of_the_description_works(client: TestClient, operation: str) -> None:
    said = client.get("/openapi.json").json()["paths"]["/runs/{name}/" + operation]["post"]
    examples = said["requestBody"]["content"]["application/json"]["examples"]
    assert set(examples) == {"digits", "people", "given", "text"}
    for name, example in examples.items():
        answer(client, f"{name}/{operation}", example["value"])


def test_the_page_has_every_operation_and_no_other_server(client: TestClient) -> None:
    text = client.get("/").text
    for word in ("/runs/{name}/impute", "nats", "digits", "children", "log p(x)"):
        assert word in text
    assert "src=" not in text
    assert "https://" not in text
