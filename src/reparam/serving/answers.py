"""Answers: JSON without NaN, or an array of NumPy, as the client accepts."""

import io
import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import numpy as np
from fastapi import Response
from numpy.typing import NDArray

from reparam.serving.bodies import JSON, NPY
from reparam.serving.problems import Problem


def as_json(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer of JSON.

    Arguments:
        content: Plain values without NaN.
        status: The status.
        headers: Further headers.
    """
    # Text is escaped to ASCII: half of a surrogate pair has no UTF-8.
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    return Response(text, status, headers, JSON)


def as_npy(array: NDArray[Any]) -> Response:
    """Return an answer that ``numpy.load`` reads."""
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=False)
    return Response(stream.getvalue(), media_type=NPY)


def answer_of(problem: Problem) -> Response:
    """Return the answer to a request without a result."""
    return as_json(problem.to_dict(), problem.status, problem.headers)


def wants_npy(accept: str | None) -> bool:
    """Return whether a client prefers an array of NumPy to JSON.

    Arguments:
        accept: The header ``Accept``; JSON when None.

    Raises:
        Problem: It accepts neither.

    Example:
        >>> wants_npy("application/x-npy"), wants_npy("application/json, */*;q=0.5")
        (True, False)
    """
    accepted: dict[str, float] = {}
    for part in (accept or "*/*").lower().split(","):
        name, *parameters = (word.strip() for word in part.split(";"))
        quality = next((p.removeprefix("q=") for p in parameters if p.startswith("q=")), "1")
        accepted[name] = _quality(quality)

    def preferred(media_type: str) -> float:
        ranges = (media_type, "application/*", "*/*")
        return next((accepted[name] for name in ranges if name in accepted), 0.0)

    if max(preferred(JSON), preferred(NPY)) <= 0:
        raise Problem(
            HTTPStatus.NOT_ACCEPTABLE,
            f"an answer is {JSON} or {NPY}",
            "accept one of these",
            "Accept",
            accept,
        )
    return preferred(NPY) > preferred(JSON)


def _quality(text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        return 0.0
    return found if found >= 0 else 0.0  # also of NaN


def plain_numbers(array: NDArray[Any]) -> Any:
    """Return an array as nested lists, with null for what is not finite.

    >>> plain_numbers(np.array([[1.5, np.nan]]))
    [[1.5, None]]
    """
    if array.dtype.kind != "f":
        return array.tolist()
    is_finite = np.isfinite(array)
    if is_finite.all():
        return array.tolist()
    values = array.astype(object)
    values[~is_finite] = None
    return values.tolist()
