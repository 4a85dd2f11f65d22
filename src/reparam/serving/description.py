"""What the OpenAPI description says of bodies and answers, with examples of the runs themselves."""

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI

from reparam.serving.bodies import JSON, NPY
from reparam.serving.served import ServedRun

SUMMARY = """Log-probabilities are in **nats**.
A body is JSON, or an array as `numpy.save` writes it
(`Content-Type: application/x-npy`); an answer is JSON, or such an array (`Accept:
application/x-npy`). In JSON a missing value is `null`, and so is a result that is not finite.

Bytes (`uint8`) are prepared as the bytes of the training data were: scaled, binarized or
dequantized. All other numbers are x itself. Rows of a table are objects by the names of columns.

The same request with the same `seed` has the same answer, whatever else the server does."""

NUMBERS: Mapping[str, Any] = {
    "type": "array",
    "items": {"anyOf": [{"type": "number"}, {"type": "null"}, {"type": "array", "items": {}}]},
}
"""The schema of nested lists of numbers."""

ROWS: Mapping[str, Any] = {"type": "array", "items": {"type": "object"}}
"""The schema of rows of a table."""

TEXTS: Mapping[str, Any] = {"type": "array", "items": {"type": "string"}}
"""The schema of texts."""

LABELS: Mapping[str, Any] = {
    "type": "array",
    "items": {"type": ["integer", "string", "null"]},
    "description": "The label of each example, a number or the name of its class as text, for a "
    "model that is given it.",
}

COVARIATES: Mapping[str, Any] = {
    "description": "The covariates: columns by name, one value for all examples or one for each, "
    "or an array with shape (N, C).",
    "anyOf": [{"type": "object"}, NUMBERS],
}

PROBLEM: Mapping[str, Any] = {
    "type": "object",
    "required": ["error", "status", "message", "name", "value", "rule", "fix"],
    "properties": {
        "error": {"type": "string", "description": "The class of the error."},
        "status": {"type": "integer"},
        "message": {"type": "string", "description": "All of it in one sentence."},
        "name": {"type": ["string", "null"], "description": "What is wrong."},
        "value": {"type": ["string", "null"], "description": "Its value, shortened."},
        "rule": {"type": "string", "description": "What is required."},
        "fix": {"type": "string", "description": "What to do."},
    },
}

REFUSALS: Mapping[int, str] = {
    400: "The body cannot be read.",
    401: "The key is missing or wrong.",
    404: "No run has this name.",
    406: "No answer in a form that is accepted.",
    413: "The body is too large.",
    415: "The body is neither JSON nor an array of NumPy.",
    422: "A value that cannot be used.",
    429: "Too many requests wait; come again later.",
    503: "The server stops, or the time of the request is over; come again later.",
}
"""The statuses of answers without a result."""

OPERATIONS: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "encode": (
        "Means of q(z | x)",
        "The mean of the approximate posterior of each example, with shape (N, D).",
        ("x", "rows", "texts", "y", "covariates"),
    ),
    "decode": (
        "Means of p(x | z)",
        "The mean of the likelihood at each code z, with shape (N, *shape).",
        ("z", "y", "covariates"),
    ),
    "reconstruct": (
        "Decoded means of q(z | x)",
        "Each example, encoded and decoded, with shape (N, *shape).",
        ("x", "rows", "texts", "y", "covariates"),
    ),
    "sample": (
        "Draws from the model",
        "New examples: x ~ p(x), or p(x | c) given a label or covariates. With `given`, rows of a "
        "table that have given values in some columns. The body may be empty.",
        ("given", "covariates"),
    ),
    "score": (
        "log p(x) in nats",
        "The log-likelihood of each example in **nats**, estimated by importance sampling from the "
        "posterior; the estimate rises with `n_samples`. It is that of "
        "`Run.log_likelihood` with the same seed.",
        ("x", "rows", "texts", "y", "covariates"),
    ),
    "impute": (
        "Values for missing cells",
        "Rows of a table with a value in every cell: the mean of a quantity, the most probable "
        "class. `low` and `high` are the ends of the interval of every missing quantity; a class "
        "has `null` there.",
        ("x", "rows", "y", "covariates"),
    ),
}
"""The summary, the description and the fields of the body, by operation."""

FIELDS: Mapping[str, Mapping[str, Any]] = {
    "x": {**NUMBERS, "description": "The examples, with shape (N, *shape); instead of rows."},
    "rows": {**ROWS, "description": "Rows of a table, by the names of columns; instead of x."},
    "texts": {**TEXTS, "description": "Texts of a run on text, as long as it reads; instead of x."},
    "z": {**NUMBERS, "description": "The codes, with shape (N, D)."},
    "y": LABELS,
    "covariates": COVARIATES,
    "given": {"type": "object", "description": "Values of some columns, by name."},
}
"""The fields of bodies."""

ANSWERS: Mapping[str, Mapping[str, Any]] = {
    "encode": {"z": NUMBERS},
    "decode": {"x": NUMBERS, "rows": ROWS, "texts": TEXTS},
    "reconstruct": {"x": NUMBERS, "rows": ROWS, "texts": TEXTS},
    "sample": {"x": NUMBERS, "rows": ROWS, "texts": TEXTS},
    "score": {
        "log_likelihood": {**NUMBERS, "description": "log p(x) of each example in nats."},
        "unit": {"type": "string", "const": "nats"},
    },
    "impute": {
        "rows": ROWS,
        "low": ROWS,
        "high": ROWS,
        "interval": {"type": "number"},
        "effective_sample_size": {
            **NUMBERS,
            "description": "The number of importance samples that count, of each row.",
        },
    },
}
"""The fields of answers, by operation."""


class Description:
    """What is said of the routes of some runs.

    Arguments:
        runs: The runs.
    """

    def __init__(self, runs: Sequence[ServedRun]) -> None:
        self._runs = runs

    def of(self, operation: str) -> dict[str, Any]:
        """Return the arguments of a route that describe an operation."""
        summary, description, fields = OPERATIONS[operation]
        schema = {
            "type": "object",
            "properties": {name: FIELDS[name] for name in fields},
            "additionalProperties": False,
        }
        examples = {
            run.name: {"summary": f"for {run.name}", "value": run.examples[operation]}
            for run in self._runs
            if operation in run.examples
        }
        content: dict[str, Any] = {JSON: {"schema": schema, "examples": examples}}
        if operation != "sample":
            content[NPY] = {"schema": {"type": "string", "format": "binary"}}
        body = {"required": operation != "sample", "content": content}
        return {
            "tags": ["operations"],
            "summary": summary,
            "description": description,
            "openapi_extra": {"requestBody": body},
            "responses": self._responses(operation),
            "response_model": None,
        }

    def _responses(self, operation: str) -> dict[int | str, dict[str, Any]]:
        """Return what is said of the answers of an operation, by status."""
        fields = {"type": "object", "properties": ANSWERS[operation]}
        array = {"schema": {"type": "string", "format": "binary"}}
        found: dict[int | str, dict[str, Any]] = {
            200: {"description": "The result.", "content": {JSON: {"schema": fields}, NPY: array}}
        }
        for status, text in REFUSALS.items():
            found[status] = {"description": text, "content": {JSON: {"schema": PROBLEM}}}
        return found

    def complete(self, app: FastAPI, *, has_key: bool) -> None:
        """Put the names of the runs, and the key, into the description of an application."""
        said = app.openapi()
        names = [run.name for run in self._runs]
        for path, methods in said["paths"].items():
            for method in methods.values():
                for parameter in method.get("parameters", []):
                    if parameter["name"] == "name":
                        able = [r.name for r in self._runs if path.split("/")[-1] in r.operations]
                        parameter["schema"] = {"type": "string", "enum": able or names}
        if has_key:
            scheme = {"key": {"type": "http", "scheme": "bearer"}}
            said.setdefault("components", {})["securitySchemes"] = scheme
            said["security"] = [{"key": []}]
