"""A run that is served: bodies become examples, and results become plain values."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from reparam.batch import Batch
from reparam.data.checks import as_labels, as_rows
from reparam.data.condition import (
    check_condition,
    condition_of,
    covariates_for,
    label_number,
)
from reparam.data.damaged import counted, listed
from reparam.data.mixed import filled
from reparam.data.tables import Table
from reparam.data.vocabulary import Vocabulary
from reparam.errors import OptionError, ReparamError
from reparam.evaluation.conditionals import Imputation
from reparam.isolation import Progress
from reparam.models.latent import is_latent
from reparam.runs.run import Run
from reparam.schema import Column, Schema
from reparam.serving.answers import plain_numbers
from reparam.serving.batching import Joinable
from reparam.serving.bodies import Body, check_fields, numbers_in
from reparam.serving.limits import Limits
from reparam.serving.problems import bad_value
from reparam.times import date_text

OPERATIONS = ("encode", "decode", "reconstruct", "sample", "score", "impute")
"""All operations, in the order of the description."""

GIVEN = ("y", "covariates")
"""The fields of a condition."""

Cell = str | int | float | bool | None
"""A value in a row of a table."""


@dataclass(frozen=True)
class Found:
    """A result.

    Arguments:
        fields: The answer in JSON.
        array: The answer as an array of NumPy.
    """

    fields: Mapping[str, Any]
    array: NDArray[Any]


@dataclass(frozen=True)
class ServedRun:
    """A run, its name, and what its requests may ask for.

    Arguments:
        name: The name in the addresses of the server.
        run: The run.
        limits: The limits of a request.
        examples: An example of the body of each operation that the run has.
    """

    name: str
    run: Run
    limits: Limits
    examples: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, name: str, run: Run, limits: Limits) -> "ServedRun":
        """Return a run with the operations that it has, each of which is tried once.

        So a model has also computed once before its first request.

        Raises:
            OptionError: A run without any operation.
        """
        plain = cls(name, run, limits, {})
        examples = dict(plain._tried())
        if not examples:
            raise OptionError(
                f"name={name!r}: this run has no latent variables and does not generate examples, "
                "so there is nothing to ask it; serve another run"
            )
        return replace(plain, examples=examples)

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns, where an example is a row of a table."""
        spec = self.run.spec
        return spec.columns if spec.schema is None else spec.schema.names

    @property
    def operations(self) -> list[str]:
        """The operations that the run has."""
        return [name for name in OPERATIONS if name in self.examples]

    def _tried(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield every operation that a drawn example shows to work, with the body that asks it."""
        run, spec = self.run, self.run.spec
        condition: dict[str, Any] = {}
        c = torch.zeros(1, spec.context) if spec.context else None
        if spec.given_label and c is not None:
            condition["y"], c[0, 0] = [0], 1.0
        if spec.given_covariates:
            condition["covariates"] = [[0.0] * len(spec.covariates)]
        covariates = condition.get("covariates")
        x = torch.zeros(1, *spec.shape)  # which is in the support of any data
        with suppress(ReparamError):  # a model that does not generate, such as an autoencoder
            x = run.sample(1, covariates=None if covariates is None else np.array(covariates))
            yield "sample", {} if covariates is None else {"covariates": covariates}
        if not is_latent(run.model):
            return
        found, batch = self.examples_found(x).fields, Batch(x, c=c)
        words = run.vocabulary
        # Bytes may be no text.
        names = ("texts",) if words is not None and words.unit == "characters" else ("rows", "x")
        of_x = {name: found[name] for name in names if name in found} | condition
        z = run.encode(batch)
        yield "encode", of_x
        yield "reconstruct", of_x
        yield "decode", {"z": plain_numbers(z.double().numpy().round(3)), **condition}
        with suppress(ReparamError):  # an autoencoder too, whose posterior has no density
            run.log_likelihood(batch, n_samples=2)
            yield "score", of_x
        if spec.schema is not None:
            ((first, value), *_) = of_x["rows"][0].items()
            yield "impute", {"rows": [{**of_x["rows"][0], first: None}], **condition}
            if not condition:
                yield "sample", {"given": {first: value}}

    def facts(self) -> dict[str, Any]:
        """Return what a client has to know of the run."""
        spec, config = self.run.spec, self.run.config
        return {
            "name": self.name,
            "variant": config.get("variant"),
            "data": spec.name,
            "support": spec.support,
            "shape": list(spec.shape),
            "latent_dim": config.get("latent_dim"),
            "condition": spec.condition,
            "n_classes": spec.n_classes,
            "class_names": list(self.run.class_names),
            "covariates": list(spec.covariates) if spec.given_covariates else [],
            "columns": self._columns(),
            "tokens": self._tokens(),
            "operations": self.operations,
        }

    def _columns(self) -> list[dict[str, Any]]:
        """Return the kinds of the columns, and the classes of those that have some."""
        schema = self.run.spec.schema
        if schema is None:
            kind = {"counts": "count", "binary": "binary"}.get(self.run.spec.support, "real")
            return [{"name": name, "kind": kind} for name in self.columns]
        return [
            {"name": c.name, "kind": c.kind, **({"values": list(c.values)} if c.is_class else {})}
            for c in schema.features
        ]

    def _tokens(self) -> dict[str, Any] | None:
        """Return the unit of text and the tokens that are read at once; None for other data."""
        words = self.run.vocabulary
        return None if words is None else {"unit": words.unit, "length": self.run.spec.dim}

    # What is asked with

    def given_examples(self, body: Body, seed: int) -> tuple[Batch, Table | None]:
        """Return the examples of a request, and the table that they are the rows of.

        Arguments:
            body: An array, or the field ``x``, ``rows`` or ``texts``, with ``y`` and
                ``covariates``.
            seed: The seed of the draws that bytes are binarized or dequantized by.

        Raises:
            Problem: No examples, too many of them, or values that cannot be read.
            ReparamError: Values that the training data could not have had.
        """
        has_rows, words = bool(self.columns), self.run.vocabulary
        own = ["rows"] if has_rows else ["texts"] if words is not None else []
        check_fields(body.fields, ("x", *own, *GIVEN))
        given = [name for name in ("x", *own) if name in body.fields]
        if (body.array is not None) + len(given) != 1:
            fix = "give rows, objects of the columns, or x" if has_rows else "give x"
            fix = fix if words is None else "give texts, or x"
            raise bad_value("x", given or "nothing", "examples are needed once", fix)
        x: Any = body.array
        if given == ["rows"]:
            x = self._of_rows(body.fields["rows"])
        elif given == ["texts"] and words is not None:
            x = self._of_texts(body.fields["texts"], words)
        elif given:
            # Bytes are prepared as those of the training data; numbers of JSON are x itself.
            x = numbers_in(body.fields["x"], "x").astype(np.float32)
        n = len(x) if isinstance(x, Table) or x.ndim else 1
        self._check_rows(n, given[0] if given else "x")
        y, covariates = self._labels(body.fields), _covariates(body.fields)
        batch = self.run.examples({"x": x, "y": y, "covariates": covariates}, seed=seed)
        return Batch(batch.x, c=batch.c), x if isinstance(x, Table) else None

    def given_codes(self, body: Body) -> Batch:
        """Return the codes of a request, as x of a batch, and their condition.

        Arguments:
            body: An array, or the field ``z``, with ``y`` and ``covariates``.

        Raises:
            Problem: No codes, too many of them, or values that cannot be read.
            ReparamError: Codes of another size, or a condition that is missing.
        """
        check_fields(body.fields, ("z", *GIVEN))
        if body.array is None and "z" not in body.fields:
            raise bad_value("z", "nothing", "codes are needed", "give z")
        given = numbers_in(body.fields["z"], "z") if body.array is None else body.array
        z = as_rows(given, "z").float()
        self._check_rows(len(z), "z")
        spec, y, covariates = self.run.spec, self._labels(body.fields), _covariates(body.fields)
        labels = None if y is None else as_labels(y, len(z), spec.n_classes)
        of_rows = covariates_for(spec, covariates, len(z))
        check_condition(spec, labels, of_rows)
        return Batch(z, c=condition_of(spec, labels, of_rows))

    def _labels(self, fields: Mapping[str, Any]) -> NDArray[np.float64] | None:
        """Return the labels of a request, which may be names, NaN where a class is unknown.

        Raises:
            OptionError: A name that no class has.
        """
        y = fields.get("y")
        if isinstance(y, list):
            names = self.run.class_names
            y = [label_number(label, names) if isinstance(label, str) else label for label in y]
        return None if y is None else numbers_in(y, "y")

    def _check_rows(self, n: int, name: str) -> None:
        if n > self.limits.max_rows:
            rule = f"a request has at most {self.limits.max_rows:,} examples"
            raise bad_value(name, f"{n:,} examples", rule, "send them in parts")

    def _of_texts(self, texts: object, words: Vocabulary) -> NDArray[np.int64]:
        """Return the tokens of texts, with shape (N, T)."""
        if not isinstance(texts, list) or not texts or not all(isinstance(t, str) for t in texts):
            raise bad_value("texts", texts, "must be a list of texts", "give one for each example")
        self._check_rows(len(texts), "texts")
        return words.windows(texts, self.run.spec.dim, "a text").numpy()

    def _of_rows(self, rows: object) -> Table | NDArray[np.float32]:
        """Return rows, objects by the names of the columns, as what the run takes."""
        if not isinstance(rows, list) or not rows:
            fix = "give one object for each row, null for a missing value"
            raise bad_value("rows", rows, "must be a list of rows", fix)
        self._check_rows(len(rows), "rows")
        schema = self.run.spec.schema
        others = () if schema is None else tuple(c.name for c in schema.columns)
        known = tuple(dict.fromkeys((*self.columns, *others)))
        for number, row in enumerate(rows):
            if not isinstance(row, dict):
                fix = "give the values by the names of the columns"
                raise bad_value(f"rows[{number}]", row, "must be an object", fix)
            check_fields(row, known)
            if schema is None:
                _check_complete(row, number, self.columns)
        if schema is None:
            columns = {name: [row.get(name) for row in rows] for name in self.columns}
            numbers = [numbers_in(values, f"column {n!r}") for n, values in columns.items()]
            return np.stack(numbers, axis=1).astype(np.float32)
        # Columns that follow from those of x may tell values of x that are missing.
        told = [c for c in schema.columns if c.kind != "ignored"]
        return Table(
            "rows",
            {c.name: _column(c, [row.get(c.name) for row in rows]) for c in told},
            {c.name: c.stored for c in told},
            {c.name: c.decimals for c in told},
        )

    # What is computed

    def encoding(self, batch: Batch) -> Joinable:
        """Return the computation of the means of q(z | x, c)."""
        return self._joinable(self.run.encode, batch)

    def reconstruction(self, batch: Batch) -> Joinable:
        """Return the computation of the reconstructions."""
        return self._joinable(self.run.reconstruct, batch)

    def decoding(self, batch: Batch) -> Joinable:
        """Return the computation of the means of p(x | z, c)."""
        return self._joinable(lambda codes: self.run.decode(codes.x, codes.c), batch)

    def _joinable(self, compute: Any, batch: Batch) -> Joinable:
        key = (self.name, batch.x.dtype, batch.x.shape[1:], batch.c is None)
        return Joinable(key, compute, batch)

    def samples(
        self,
        body: Body,
        n_samples: int,
        seed: int,
        label: int | str | None,
        mean: bool,
        temperature: float,
    ) -> Tensor:
        """Return draws from the model, given the fields ``given`` and ``covariates``."""
        given, covariates = body.fields.get("given"), _covariates(body.fields)
        if given is None:
            return self.run.sample(
                n_samples, seed, label, covariates, mean=mean, temperature=temperature
            )
        return self.run.sample_given(given, n_samples, seed)

    def check_sample(self, body: Body, n_samples: int, label: int | str | None) -> None:
        """Refuse a request for samples that cannot be read.

        Raises:
            Problem: Too many samples, an array, or fields that are no values of columns.
        """
        if n_samples > self.limits.max_rows:
            rule = f"a request draws at most {self.limits.max_rows:,} examples"
            raise bad_value("n_samples", n_samples, rule, "ask for fewer")
        if body.array is not None:
            fix = "send JSON with covariates or given, or no body"
            raise bad_value("body", "an array", "samples are drawn without examples", fix)
        check_fields(body.fields, ("given", "covariates"))
        given = body.fields.get("given")
        if given is None:
            return
        if not isinstance(given, dict) or not all(isinstance(v, Cell) for v in given.values()):
            raise bad_value("given", given, "must be an object of values", 'such as {"age": 40}')
        if label is not None or body.fields.get("covariates") is not None:
            fix = "give the one or the other"
            raise bad_value("given", given, "cannot be joined with label or covariates", fix)

    def scores(self, batch: Batch, n_samples: int, seed: int, progress: Progress) -> Tensor:
        """Return log p(x) of examples, in nats."""
        return self.run.log_likelihood(batch, n_samples=n_samples, seed=seed, progress=progress)

    def imputation(
        self, batch: Batch, n_samples: int, interval: float, seed: int, progress: Progress
    ) -> Imputation:
        """Return values for what is missing in rows."""
        return self.run.impute(
            batch, n_samples=n_samples, interval=interval, seed=seed, progress=progress
        )

    # What is returned

    def examples_found(self, x: Tensor, table: Table | None = None) -> Found:
        """Return examples as an answer: rows by the names of columns, texts, or numbers.

        Arguments:
            x: The examples, with shape (N, *shape).
            table: The table whose missing values they are; None for new examples.
        """
        spec, x = self.run.spec, x.cpu()
        array = x.numpy()
        if spec.schema is not None:
            full = x.double().numpy()
            columns = spec.schema.decode(full) if table is None else filled(table, spec.schema, x)
            return Found({"rows": _rows(columns, spec.schema)}, array)
        if spec.columns:
            rows = [dict(zip(spec.columns, row, strict=True)) for row in plain_numbers(array)]
            return Found({"rows": rows}, array)
        fields = {"x": plain_numbers(array)}
        vocabulary = self.run.vocabulary
        if vocabulary is not None:
            fields["texts"] = vocabulary.texts(x)
        return Found(fields, array)

    def imputation_found(self, found: Imputation, table: Table | None) -> Found:
        """Return an imputation as an answer, with the ends of the intervals of quantities."""
        schema = self.run.spec.schema
        classes = {c.name for c in schema.features if c.is_class} if schema else set()
        ends = {
            name: [
                {k: None if k in classes else v for k, v in row.items()}
                for row in self.examples_found(values).fields["rows"]
            ]
            for name, values in (("low", found.low), ("high", found.high))
        }
        rows = self.examples_found(found.x, table)
        size = plain_numbers(found.effective_sample_size.numpy())
        about = {"interval": found.interval, "effective_sample_size": size}
        return Found({**rows.fields, **ends, **about}, rows.array)


def _check_complete(row: Mapping[str, Any], number: int, columns: Sequence[str]) -> None:
    """Refuse a row without a number in some column, of a model that has no missing values.

    Raises:
        Problem: Such a row.
    """
    lacking = [name for name in columns if row.get(name) is None]
    if lacking:
        rule = f"lacks {counted(len(lacking), 'column')} ({listed(lacking)})"
        raise bad_value(f"rows[{number}]", row, rule, "give a number for each column")


def _covariates(fields: Mapping[str, Any]) -> Any:
    """Return the covariates of a request: an array, or columns by name."""
    given = fields.get("covariates")
    if given is None:
        return None
    if not isinstance(given, dict):
        return numbers_in(given, "covariates")
    for name, values in given.items():
        listed = values if isinstance(values, list) else [values]
        if not all(isinstance(value, str | int | float) for value in listed):
            fix = "give one for all rows, or a list with one for each"
            raise bad_value(f"covariates[{name}]", values, "must be numbers or texts", fix)
        if len({isinstance(value, str) for value in listed}) > 1:
            raise bad_value(f"covariates[{name}]", values, "has numbers and texts", "give one kind")
    return given


def _column(column: Column, values: Sequence[object]) -> NDArray[Any]:
    """Return the values of a column as a table has them.

    Raises:
        Problem: A value of another type.
    """
    return np.concatenate([_cell(column, value, row) for row, value in enumerate(values)])


def _cell(column: Column, value: object, row: int) -> NDArray[Any]:
    if value is None:
        if column.is_date:
            return np.array(["NaT"], "datetime64[us]")
        return np.array([None], object) if column.stored == "text" else np.array([np.nan])
    is_text = column.stored == "text" or column.is_date
    if not isinstance(value, str if is_text else int | float):
        what = "a text" if column.stored == "text" else "a number"
        what = "a date, such as 2024-01-31" if column.is_date else what
        raise bad_value(f"rows[{row}].{column.name}", value, f"must be {what}", "or null")
    return column.as_array(value)


def _rows(columns: Mapping[str, NDArray[Any]], schema: Schema) -> list[dict[str, Cell]]:
    """Return the rows of a table, with null for a missing value and dates as text."""
    dates = {c.name: c for c in schema.columns if c.is_date}
    plain: dict[str, list[Cell]] = {}
    for name, values in columns.items():
        if values.dtype.kind == "M":
            unit, zone = dates[name].unit, dates[name].zone
            plain[name] = [date_text(moment, unit, zone) or None for moment in values]
        else:
            plain[name] = plain_numbers(values)
    return [dict(zip(plain, row, strict=True)) for row in zip(*plain.values(), strict=True)]
