"""What a server answers instead of a result: a status, and JSON with name, value, rule and fix."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from reparam.errors import ReparamError

RETRY = {"Retry-After": "1"}
"""The header that asks a client to come again after a second."""

LONGEST = 200
"""The largest number of characters of a value in an answer."""

_SENTENCE = re.compile(
    r"(?:(?P<name>[a-z]\w*)=(?P<value>.*?): )?(?P<rule>.+?)(?:(?:; |, so )(?P<fix>.+))?",
    re.DOTALL,
)
"""An error of the library: ``name=value: rule; fix``, where name, value and fix may be missing."""


@dataclass
class Problem(Exception):
    """A request that gets no result.

    Arguments:
        status: The status of the answer.
        rule: What is required.
        fix: What to do.
        name: The field, parameter or header that is wrong; None for the whole request.
        value: Its value.
        kind: The class of the error.
        headers: Further headers of the answer.

    Example:
        >>> Problem(422, "must be at least 1", "give more", "n", "0").to_dict()["message"]
        'n=0: must be at least 1; give more'
    """

    status: int
    rule: str
    fix: str
    name: str | None = None
    value: str | None = None
    kind: str = "RequestError"
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        value = "" if self.value is None else f"={self.value}"
        subject = "" if self.name is None else f"{self.name}{value}: "
        return f"{subject}{self.rule}" + (f"; {self.fix}" if self.fix else "")

    def to_dict(self) -> dict[str, str | int | None]:
        """Return the JSON of the answer."""
        return {
            "error": self.kind,
            "status": self.status,
            "message": str(self),
            "name": self.name,
            "value": self.value,
            "rule": self.rule,
            "fix": self.fix,
        }


def problem_of(error: ReparamError) -> Problem:
    """Return the answer to a request that the library refuses.

    Example:
        >>> found = problem_of(ReparamError("n_samples=0: must be at least 1; give more"))
        >>> int(found.status), found.name, found.value, found.rule, found.fix
        (422, 'n_samples', '0', 'must be at least 1', 'give more')
    """
    parts = _SENTENCE.fullmatch(str(error))
    found = {} if parts is None else parts.groupdict()
    value = found.get("value")
    return Problem(
        HTTPStatus.UNPROCESSABLE_ENTITY,
        rule=found.get("rule") or str(error),
        fix=found.get("fix") or "",
        name=found.get("name"),
        value=None if value is None else shown(value),
        kind=type(error).__name__,
    )


def bad_value(name: str, value: object, rule: str, fix: str) -> Problem:
    """Return the answer to a value that cannot be used."""
    return Problem(HTTPStatus.UNPROCESSABLE_ENTITY, rule, fix, name, shown(value))


def malformed(rule: str, fix: str, name: str = "body") -> Problem:
    """Return the answer to a request that cannot be read."""
    return Problem(HTTPStatus.BAD_REQUEST, rule, fix, name)


def overload(n: int) -> Problem:
    """Return the answer of a server in which so many requests wait already."""
    return Problem(
        HTTPStatus.TOO_MANY_REQUESTS,
        f"{n} requests wait already",
        "try again later, or send fewer at once",
        kind="Overload",
        headers=RETRY,
    )


def unavailable(rule: str) -> Problem:
    """Return the answer of a server that cannot do the work now."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE, rule, "try again", kind="Unavailable", headers=RETRY
    )


def shown(value: object) -> str:
    """Return a value as it is shown in a message: shortened, and text as it is.

    >>> shown([1.5]), len(shown("x" * 1000))
    ('[1.5]', 201)
    """
    text = value if isinstance(value, str) else repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}…"
