"""Every variant is served: its own examples are answered, and wrong codes are refused."""

import pytest
from starlette.testclient import TestClient

import reparam as rp
from reparam.errors import OptionError
from reparam.serving import application
from reparam.variants import names
from tests.serving.conftest import HOST
from tests.support import quick_fit
from tests.variants.test_variants import digits, points, tokens, windows  # noqa: F401


@pytest.fixture(scope="module")
def images() -> tuple[rp.data.Dataset, rp.Batch]:
    """32 thresholded digits of 24 × 24 pixels, with labels."""
    return digits(32, scale=3)


@pytest.mark.slow
@pytest.mark.parametrize("name", names())
def test_a_variant_is_served(name: str, points: tuple[rp.data.Dataset, rp.Batch]) -> None:  # noqa: F811
    recipe = rp.variants.build(name, points[0].spec)
    run = quick_fit(recipe, points[0], epochs=1, lr=1e-3)
    if name == "classifier":
        with pytest.raises(OptionError, match="nothing to ask"):
            application({"run": run})
        return
    with TestClient(application({"run": run}), base_url=HOST) as client:
        operations = client.get("/runs").json()["runs"][0]["operations"]
        paths = client.get("/openapi.json").json()["paths"]
        for operation in operations:
            said = paths["/runs/{name}/" + operation]["post"]["requestBody"]["content"]
            body = said["application/json"]["examples"]["run"]["value"]
            assert client.post(f"/runs/run/{operation}", json=body).status_code == 200
        for z in ([[0.0]], [[0.5] * 3], [[1e30] * 50], [[[0.0] * 4] * 4]):
            found = client.post("/runs/run/decode", json={"z": z})
            assert found.status_code in (200, 422), found.text
