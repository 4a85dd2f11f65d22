"""Requests that are made from the description itself, wrong ones too: none ends in an error 500."""

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.specs.openapi import checks
from starlette.testclient import TestClient

import reparam as rp
from reparam.serving import Limits, application
from tests.serving.conftest import HOST

CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
]


@pytest.mark.parametrize(
    "n_examples", [2, pytest.param(50, marks=[pytest.mark.slow])], ids=["few", "many"]
)
def test_no_request_is_an_error_of_the_server(runs: dict[str, rp.Run], n_examples: int) -> None:
    limits = Limits(max_rows=20, max_samples=20, window_ms=0)
    app = application(runs, limits=limits)
    schema = schemathesis.openapi.from_asgi("/openapi.json", app, headers={"Host": "localhost"})
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == 10
    cases = st.one_of(
        operation.as_strategy(generation_mode=mode)
        for operation in operations
        for mode in GenerationMode
    )
    statuses = set()

    @settings(
        max_examples=n_examples * len(operations),
        phases=[Phase.explicit, Phase.generate],
        database=None,
        deadline=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def ask(case: Case) -> None:
        found = case.call_and_validate(base_url=HOST, checks=CHECKS)
        statuses.add(found.status_code)

    with TestClient(app, base_url=HOST):  # which starts the thread of the model
        ask()
    assert {200, 422} <= statuses
    assert max(statuses) < 500
