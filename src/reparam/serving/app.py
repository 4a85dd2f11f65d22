"""The application: its routes, and what they return."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Annotated, Any

from fastapi import FastAPI, Path, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from starlette.exceptions import HTTPException
from starlette.types import Receive

from reparam.errors import OptionError, ReparamError, nearest
from reparam.runs.run import Run
from reparam.serving.answers import answer_of, as_json, as_npy, plain_numbers, wants_npy
from reparam.serving.batching import Alone, Batcher, Joinable
from reparam.serving.bodies import JSON, Body, body_of, read_body
from reparam.serving.description import SUMMARY, Description
from reparam.serving.guard import Guard
from reparam.serving.limits import Limits
from reparam.serving.metrics import Metrics
from reparam.serving.page import page
from reparam.serving.problems import Problem, malformed, overload, problem_of, shown
from reparam.serving.served import Found, ServedRun
from reparam.utils.arguments import LARGEST
from reparam.version import __version__

LARGE = 2**20
"""Bodies of more bytes are read in a thread, so that other requests wait less for them."""

CLOSING = 2.0
"""Seconds that a server which stops waits for the computation that runs."""

SEE = "see /openapi.json"
"""The fix of a request that the description does not have."""

Name = Annotated[str, Path(description="The name of the run.")]
Seed = Annotated[int, Query(ge=0, le=LARGEST, description="The seed of every draw.")]
SeedOfBytes = Annotated[
    int,
    Query(
        ge=0,
        le=LARGEST,
        description="The seed of the draws that make x of bytes, where those of the training data "
        "were binarized or dequantized.",
    ),
]
NSamples = Annotated[
    int, Query(description="The number of importance samples for each example.", le=LARGEST)
]


class Service:
    """What the routes share: the runs, the queue, and how a request becomes an answer.

    Arguments:
        runs: The runs by name.
        limits: The limits of a request.
        metrics: The counters.
    """

    def __init__(self, runs: Mapping[str, Run], limits: Limits, metrics: Metrics) -> None:
        self.runs = {name: ServedRun.of(name, run, limits) for name, run in runs.items()}
        self.limits = limits
        self.batcher = Batcher(limits, metrics)
        self._n_bodies = 0
        metrics.watch_queue(lambda: self.batcher.n_waiting)

    def run(self, name: str, operation: str) -> ServedRun:
        """Return a run that has an operation.

        Raises:
            Problem: No run has the name, or it does not have the operation.
        """
        if name not in self.runs:
            close = nearest(name, self.runs)
            hint = f"did you mean {close!r}?" if close else "see /runs"
            rule = f"the runs are {', '.join(self.runs)}"
            raise Problem(HTTPStatus.NOT_FOUND, rule, hint, "name", shown(name))
        run = self.runs[name]
        if operation not in run.operations:
            rule = f"the run {name!r} has the operations {', '.join(run.operations)}"
            raise Problem(422, rule, "use one of these", "operation", operation)
        return run

    def check_samples(self, n_samples: int) -> None:
        """Refuse too many importance samples.

        Raises:
            Problem: More than the limit.
        """
        most = self.limits.max_samples
        if n_samples > most:
            rule = f"a request has at most {most:,} importance samples"
            raise Problem(422, rule, "ask for fewer", "n_samples", str(n_samples))

    async def body(self, request: Request) -> Body:
        """Return the body of a request.

        Raises:
            Problem: A body that is too large or cannot be read, too many bodies at once, or an
                answer in a form that there is none in.
        """
        wants_npy(request.headers.get("accept"))  # refused before anything is computed
        if self._n_bodies >= self.limits.max_waiting:
            raise overload(self.limits.max_waiting)
        self._n_bodies += 1
        try:
            content = await read_body(request, 2**20 * self.limits.max_body_mb)
            kind = request.headers.get("content-type")
            return await _aside(len(content), body_of, content, kind)
        finally:
            self._n_bodies -= 1

    async def result(self, operation: str, job: Joinable | Alone, request: Request) -> Any:
        """Return the result of a computation, in its turn.

        A long one is ended after its next part when the client is gone.
        """
        waiting = self.batcher.result(operation, job)
        if isinstance(job, Joinable):
            return await waiting
        return await unless_gone(waiting, request.receive)


def answered(request: Request, found: Found) -> Response:
    """Return a result in the form that the client accepts."""
    if wants_npy(request.headers.get("accept")):
        return as_npy(found.array)
    return as_json(found.fields)


async def unless_gone(work: Coroutine[Any, Any, Any], receive: Receive) -> Any:
    """Return the result of some work, which is ended when the client is gone.

    Arguments:
        work: The work.
        receive: Returns the next message of the connection, whose body was read.

    Raises:
        Problem: The client is gone.
    """

    async def gone() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    waiting, leaving = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait({waiting, leaving}, return_when=asyncio.FIRST_COMPLETED)
        if not waiting.done():
            raise malformed("the client is gone", "wait for the answer")
        return waiting.result()
    finally:
        waiting.cancel()
        leaving.cancel()


async def _aside(n_bytes: int, function: Callable[..., Any], *arguments: Any) -> Any:
    """Return the result of a function; of a large body it is computed in a thread."""
    if n_bytes > LARGE:
        return await asyncio.to_thread(function, *arguments)
    return function(*arguments)


def application(
    runs: Mapping[str, Run],
    *,
    api_key: str | None = None,
    limits: Limits | None = None,
    is_draining: Callable[[], bool] = lambda: False,
) -> FastAPI:
    """Return the ASGI application that answers for some runs.

    Arguments:
        runs: The runs by the names that they have in addresses.
        api_key: The key that every request must have; None for a server on this machine alone,
            which answers only requests to ``localhost``.
        limits: The limits of a request.
        is_draining: Returns whether the server stops, so that it takes no further requests.

    Raises:
        OptionError: No run, a name that is no part of an address, or a run without any operation.

    Example:
        >>> from reparam import data, fit, variants
        >>> digits = data.load("digits")
        >>> run = fit(variants.vae, digits, steps=2, progress=False)
        >>> app = application({"digits": run})
        >>> "/runs/{name}/encode" in app.openapi()["paths"]
        True
    """
    if not runs:
        raise OptionError("runs={}: a server needs a run; give one or more")
    for name in runs:
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise OptionError(
                f"name={name!r}: the address of a run begins with a letter, a digit or '_', and "
                "has these, '-' and '.' alone; rename its folder"
            )
    limits, metrics = limits or Limits(), Metrics()
    service = Service(runs, limits, metrics)
    about = Description(list(service.runs.values()))

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        service.batcher.start()
        yield
        await asyncio.to_thread(service.batcher.close, CLOSING)

    app = FastAPI(
        title="reparam",
        summary="Trained variational autoencoders.",
        description=SUMMARY,
        version=__version__,
        lifespan=lifespan,
        docs_url=None,  # its page is loaded from another server
        redoc_url=None,
    )
    app.add_middleware(
        Guard,
        key=api_key,
        metrics=metrics,
        max_seconds=limits.max_seconds,
        is_draining=is_draining,
    )
    for kind in (Problem, ReparamError, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _refused)
    _add_state(app, service, metrics, is_draining)
    _add_operations(app, service, about)
    about.complete(app, has_key=api_key is not None)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    """Return the answer to a request that ends in an error."""
    return answer_of(_problem(error))


def _problem(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case ReparamError():
            return problem_of(error)
        case RequestValidationError():
            first = error.errors()[0]
            name, rule = str(first["loc"][-1]), str(first["msg"])
            return Problem(422, rule, SEE, name, shown(first.get("input")))
        case HTTPException():
            headers = error.headers or {}
            return Problem(error.status_code, str(error.detail), SEE, "path", headers=headers)
    rule = "an error of the server, which its log has"
    return Problem(500, rule, "tell who runs it", kind="InternalError")


def _add_state(
    app: FastAPI, service: Service, metrics: Metrics, is_draining: Callable[[], bool]
) -> None:
    """Add the routes on the server itself."""

    @app.get("/", include_in_schema=False)
    async def description(request: Request) -> Response:
        """Return a page for people, which needs no other server."""
        address = str(request.base_url).rstrip("/")
        return Response(page(app.openapi(), service.runs.values(), address), media_type="text/html")

    @app.get("/health", tags=["server"], summary="Whether the process answers")
    async def health() -> dict[str, str]:
        return {"status": "ok"}

    @app.get(
        "/ready",
        tags=["server"],
        summary="Whether requests are taken: 200 or 503",
        responses={503: {"description": "The server stops.", "content": {JSON: {}}}},
    )
    async def ready() -> Response:
        is_ready = service.batcher.is_alive and not is_draining()
        if is_ready:
            return as_json({"status": "ready"})
        return as_json({"status": "stopping"}, 503, {"Retry-After": "1"})

    @app.get(
        "/metrics",
        tags=["server"],
        summary="Counters, in the format of Prometheus",
        response_class=PlainTextResponse,
    )
    async def counters() -> Response:
        return Response(metrics.text(), media_type=CONTENT_TYPE_LATEST)

    @app.get("/runs", tags=["runs"], summary="The runs, their columns and their operations")
    async def listed() -> Response:
        return as_json({"runs": [run.facts() for run in service.runs.values()]})


def _add_operations(app: FastAPI, service: Service, about: Description) -> None:
    """Add the routes of the runs."""

    @app.post("/runs/{name}/encode", **about.of("encode"))
    async def encode(request: Request, name: Name, seed: SeedOfBytes = 0) -> Response:
        run = service.run(name, "encode")
        batch, _ = await examples(request, run, seed)
        z = (await service.result("encode", run.encoding(batch), request)).numpy()
        return answered(request, Found({"z": plain_numbers(z)}, z))

    @app.post("/runs/{name}/decode", **about.of("decode"))
    async def decode(request: Request, name: Name) -> Response:
        run = service.run(name, "decode")
        body = await service.body(request)
        x = await service.result("decode", run.decoding(run.given_codes(body)), request)
        return answered(request, run.examples_found(x))

    @app.post("/runs/{name}/reconstruct", **about.of("reconstruct"))
    async def reconstruct(request: Request, name: Name, seed: SeedOfBytes = 0) -> Response:
        run = service.run(name, "reconstruct")
        batch, _ = await examples(request, run, seed)
        x = await service.result("reconstruct", run.reconstruction(batch), request)
        return answered(request, run.examples_found(x))

    @app.post("/runs/{name}/sample", **about.of("sample"))
    async def sample(
        request: Request,
        name: Name,
        n_samples: Annotated[
            int, Query(ge=1, le=LARGEST, description="The number of examples.")
        ] = 1,
        seed: Seed = 0,
        label: Annotated[
            str | None,
            Query(
                max_length=200,
                description="The class to generate, for a model that is given it or infers it: its "
                "name, or its number where no class has this name; all in turn by default.",
            ),
        ] = None,
        mean: Annotated[
            bool,
            Query(description="Return means of p(x | z), as pictures show them, and no draws."),
        ] = False,
        temperature: Annotated[
            float,
            Query(description="A factor on z; below one, more typical and less varied examples."),
        ] = 1.0,
    ) -> Response:
        run = service.run(name, "sample")
        body = await service.body(request)
        run.check_sample(body, n_samples, label)
        options = (n_samples, seed, label, mean, temperature)
        x = await service.result("sample", lambda check: run.samples(body, *options), request)
        return answered(request, run.examples_found(x))

    @app.post("/runs/{name}/score", **about.of("score"))
    async def score(
        request: Request, name: Name, n_samples: NSamples = 100, seed: Seed = 0
    ) -> Response:
        run = service.run(name, "score")
        service.check_samples(n_samples)
        batch, _ = await examples(request, run, seed)
        found = await service.result(
            "score", lambda check: run.scores(batch, n_samples, seed, check), request
        )
        fields = {"log_likelihood": plain_numbers(found.numpy()), "unit": "nats"}
        return answered(request, Found(fields, found.numpy()))

    @app.post("/runs/{name}/impute", **about.of("impute"))
    async def impute(
        request: Request,
        name: Name,
        n_samples: NSamples = 1000,
        interval: Annotated[
            float, Query(description="The probability of the interval of a missing value.")
        ] = 0.9,
        seed: Seed = 0,
    ) -> Response:
        run = service.run(name, "impute")
        service.check_samples(n_samples)
        batch, table = await examples(request, run, seed)
        found = await service.result(
            "impute",
            lambda check: run.imputation(batch, n_samples, interval, seed, check),
            request,
        )
        return answered(request, run.imputation_found(found, table))

    async def examples(request: Request, run: ServedRun, seed: int) -> Any:
        """Return the examples of a request, and the table that they are the rows of."""
        body = await service.body(request)
        return await _aside(body.n_bytes, run.given_examples, body, seed)
