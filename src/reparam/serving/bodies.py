"""The bodies of requests: JSON, or an array of NumPy, checked before anything is allocated."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from math import prod
from typing import Any

import numpy as np
from fastapi import Request
from numpy.lib import format as npy
from numpy.typing import NDArray
from starlette.requests import ClientDisconnect

from reparam.errors import nearest
from reparam.serving.problems import Problem, bad_value, malformed

JSON, NPY = "application/json", "application/x-npy"
"""The media types of requests and answers."""

LONGEST_HEADER = 10_000
"""The largest number of characters of the header of a file of NumPy."""

MOST_AXES = 8
"""The largest number of axes of an array."""

_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


@dataclass(frozen=True)
class Body:
    """What a request contains.

    Arguments:
        fields: The fields of a JSON object.
        array: The array of a body of NumPy; None for JSON.
        n_bytes: The size of the body.
    """

    fields: Mapping[str, Any]
    array: NDArray[Any] | None = None
    n_bytes: int = 0


async def read_body(request: Request, max_bytes: int) -> bytes:
    """Return the body of a request, and stop reading when it becomes too large.

    Arguments:
        request: The request.
        max_bytes: The largest number of bytes.

    Raises:
        Problem: A larger body.
    """
    too_large = Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        f"a body has at most {max_bytes:,} bytes",
        "send fewer rows at once",
        "body",
        # What is left of the body is not read, so that no other request can follow it.
        headers={"Connection": "close"},
    )
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > max_bytes:
        raise too_large
    parts, n_bytes = [], 0
    try:
        async for part in request.stream():
            n_bytes += len(part)
            if n_bytes > max_bytes:
                raise too_large
            parts.append(part)
    except ClientDisconnect:
        raise malformed("the client is gone", "send the whole body") from None
    return b"".join(parts)


def body_of(content: bytes, media_type: str | None) -> Body:
    """Return the content of a body.

    Arguments:
        content: The bytes.
        media_type: The header ``Content-Type``; JSON when None.

    Raises:
        Problem: Another media type, or bytes that are not what it says.

    Example:
        >>> body_of(b'{"x": [[0.5]]}', "application/json").fields
        {'x': [[0.5]]}
    """
    found = (media_type or JSON).partition(";")[0].strip().lower()
    if found == NPY:
        return Body({}, array_of(content), len(content))
    if found == JSON:
        return Body(fields_of(content), None, len(content))
    raise Problem(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        f"a body is {JSON} or {NPY}",
        "send one of these",
        "Content-Type",
        found,
    )


def fields_of(content: bytes) -> Mapping[str, Any]:
    """Return the fields of a JSON object; none of an empty body.

    Raises:
        Problem: No JSON, no object, or the words NaN and Infinity, which JSON does not have.
    """
    if not content.strip():
        return {}

    def refuse(word: str) -> None:
        raise malformed(f"JSON has no {word}", "give null for a missing value")

    try:
        found = json.loads(content, parse_constant=refuse)
    except RecursionError:
        raise malformed("lists in lists are too deep", "give an array of numbers") from None
    except ValueError as error:  # also of bytes that are no text
        said = str(error).partition("\n")[0]
        raise malformed(f"must be JSON ({said})", "check the text") from None
    if not isinstance(found, dict):
        raise malformed(
            f"must be a JSON object, and is of type {type(found).__name__}",
            'give an object, such as {"x": [[0, 1]]}',
        )
    return found


def array_of(content: bytes) -> NDArray[Any]:
    """Return the array in the bytes of a file ``.npy``.

    The header is read first: an array of objects, or of another size than the bytes that follow, is
    refused before memory is allocated. Nothing is unpickled.

    Raises:
        Problem: Anything else than one array of numbers.

    Example:
        >>> stream = io.BytesIO()
        >>> np.save(stream, np.arange(3))
        >>> array_of(stream.getvalue())
        array([0, 1, 2])
    """
    stream = io.BytesIO(content)
    fix = "send what numpy.save writes of an array of numbers"
    try:
        version = npy.read_magic(stream)
        if version not in _READERS:
            raise malformed(f"the version {version} of the format .npy is not known", fix)
        shape, is_fortran, dtype = _READERS[version](stream, max_header_size=LONGEST_HEADER)
    except Problem:
        raise
    # The header is a literal of Python, and its parser raises errors of many kinds for other text.
    except Exception as error:
        said = str(error).partition("\n")[0]
        raise malformed(f"must be an array of NumPy ({said})", fix) from None
    if dtype.kind not in "biuf" or dtype.hasobject:
        raise malformed(f"an array of numbers is needed, and its type is {dtype}", fix)
    is_size = [type(size) is int and size >= 0 for size in shape]
    if len(shape) > MOST_AXES or not all(is_size):
        raise malformed("the shape in the header is no shape of examples", fix)
    n_bytes, n_left = prod(shape) * dtype.itemsize, len(content) - stream.tell()
    if n_bytes != n_left:
        raise malformed(f"the header says {n_bytes:,} bytes of numbers, and {n_left:,} follow", fix)
    if any(size > len(content) for size in shape):  # beside an axis of size 0
        raise malformed("the shape in the header is no shape of examples", fix)
    flat: NDArray[Any] = np.frombuffer(content, dtype, offset=stream.tell())
    return flat.reshape(shape, order="F" if is_fortran else "C")


def check_fields(fields: Mapping[str, Any], known: tuple[str, ...]) -> None:
    """Refuse a field that does not exist.

    Raises:
        Problem: Its name, with the nearest one that exists.
    """
    for name in fields:
        if name not in known:
            close = nearest(name, known)
            hint = f"did you mean {close!r}?" if close else "leave it out"
            raise bad_value(name, fields[name], f"the fields are {', '.join(known)}", hint)


def numbers_in(values: object, name: str) -> NDArray[np.float64]:
    """Return nested lists of numbers as an array, NaN where a number is null.

    Raises:
        Problem: Anything else, or lists of different lengths.

    Example:
        >>> numbers_in([[1, None], [0.5, 2]], "x")
        array([[1. , nan],
               [0.5, 2. ]])
    """
    fix = "give lists of numbers of the same length, and null for a missing one"
    if not isinstance(values, list | int | float):
        raise bad_value(name, values, "must be a list of numbers", fix)
    try:
        array = np.asarray(values)
        if array.dtype.kind == "O":
            kinds = {type(value) for value in array.flat}
            if not kinds <= {int, float, type(None)}:
                raise TypeError
        elif array.dtype.kind not in "iuf":
            raise TypeError
        return array.astype(np.float64)
    except (ValueError, TypeError, OverflowError):
        raise bad_value(name, values, "must be numbers in lists of equal length", fix) from None
