"""Requests that wait are joined, and their results do not depend on it."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from starlette.testclient import TestClient
from torch import Tensor

import reparam as rp
from reparam.batch import Batch
from reparam.errors import OptionError
from reparam.serving import Limits, application
from reparam.serving.app import unless_gone
from reparam.serving.batching import Alone, Batcher, Joinable
from reparam.serving.metrics import Metrics
from reparam.serving.problems import Problem
from tests.serving.conftest import HOST


def results(jobs: Sequence[Joinable | Alone], **options: Any) -> list[Any]:
    """Return the results, or the errors, of jobs that wait at the same time."""

    async def all_of() -> list[Any]:
        batcher = Batcher(Limits(**options), Metrics())
        waiting = [asyncio.create_task(batcher.result("job", job)) for job in jobs]
        await asyncio.sleep(0)  # all are in the queue before the thread starts
        batcher.start()
        try:
            return await asyncio.gather(*waiting, return_exceptions=True)
        finally:
            batcher.close(5)

    return asyncio.run(all_of())


def doubled(sizes: list[int]) -> Callable[[Batch], Tensor]:
    """Return a function that doubles x and notes how many rows it was given."""

    def compute(batch: Batch) -> Tensor:
        sizes.append(len(batch))
        if bool((batch.x < 0).any()):
            raise OptionError("x=-1: must not be negative")
        return 2 * batch.x

    return compute


def test_works_of_one_key_are_computed_together() -> None:
    sizes: list[int] = []
    compute = doubled(sizes)
    batches = [Batch(torch.full((n, 2), float(n))) for n in (1, 2, 3)]
    found = results([Joinable("key", compute, batch) for batch in batches])
    assert sizes == [6]
    for batch, result in zip(batches, found, strict=True):
        assert torch.equal(result, 2 * batch.x)


def test_a_batch_has_at_most_its_size_and_keeps_the_order() -> None:
    sizes: list[int] = []
    compute = doubled(sizes)
    jobs = [Joinable("key", compute, Batch(torch.full((n, 1), 1.0))) for n in (2, 2, 2, 7)]
    assert [len(found) for found in results(jobs, batch_size=4)] == [2, 2, 2, 7]
    assert sizes == [4, 2, 7]  # a request that is larger is computed alone


def test_other_keys_are_computed_apart() -> None:
    sizes: list[int] = []
    compute = doubled(sizes)
    keys = ["a", "b", "a", "b"]
    jobs = [Joinable(key, compute, Batch(torch.ones(1, 1))) for key in keys]
    results([*jobs, lambda check: sizes.append(0)])
    assert sizes == [2, 2, 0]


def test_the_error_of_one_is_not_that_of_the_others() -> None:
    sizes: list[int] = []
    values = [1.0, -1.0, 3.0]
    jobs = [Joinable("key", doubled(sizes), Batch(torch.full((1, 1), v))) for v in values]
    one, error, other = results(jobs)
    assert (one.item(), other.item()) == (2.0, 6.0)
    assert isinstance(error, OptionError)


def test_short_works_pass_a_long_one_after_its_parts() -> None:
    order: list[str] = []

    def long(check: Callable[[int, int], None]) -> str:
        for part in range(3):
            order.append(f"part {part}")
            check(part + 1, 3)
        return "long"

    def short(name: str) -> Joinable:
        return Joinable(name, lambda b: (order.append(name), 2 * b.x)[1], Batch(torch.ones(1, 1)))

    found = results([long, short("a"), short("a"), short("b"), lambda check: order.append("last")])
    assert found[0] == "long"
    assert [result.item() for result in found[1:4]] == [2.0] * 3
    assert order == ["part 0", "a", "part 1", "b", "part 2", "last"]


def test_a_request_that_is_gone_while_others_could_join_it_ends_nothing() -> None:
    async def asked() -> float:
        batcher = Batcher(Limits(window_ms=300, max_waiting=2), Metrics())
        batcher.start()

        def ask() -> "asyncio.Task[Any]":
            job = Joinable("key", lambda b: 2 * b.x, Batch(torch.ones(1, 1)))
            return asyncio.create_task(batcher.result("job", job))

        gone, other = ask(), ask()
        await asyncio.sleep(0.05)
        gone.cancel()
        other.cancel()
        await asyncio.sleep(0.05)
        last = ask()  # the queue is full of those that are gone, and is cleared
        found = await asyncio.wait_for(last, 5)
        assert batcher.is_alive
        batcher.close(5)
        return float(found.item())

    assert asyncio.run(asked()) == 2.0


def test_work_is_ended_when_the_client_is_gone() -> None:
    async def asked(is_leaving: bool) -> tuple[str, bool]:
        was_ended = False

        async def work() -> str:
            nonlocal was_ended
            try:
                await asyncio.sleep(0.2)
            except asyncio.CancelledError:
                was_ended = True
                raise
            return "done"

        async def receive() -> dict[str, Any]:
            await asyncio.sleep(0.05 if is_leaving else 60)
            return {"type": "http.disconnect"}

        try:
            return await unless_gone(work(), receive), was_ended
        except Problem as problem:
            await asyncio.sleep(0)
            return problem.rule, was_ended

    assert asyncio.run(asked(is_leaving=False)) == ("done", False)
    assert asyncio.run(asked(is_leaving=True)) == ("the client is gone", True)


def test_requests_are_joined_as_long_as_they_come() -> None:
    sizes: list[int] = []

    async def asked() -> None:
        batcher = Batcher(Limits(window_ms=400), Metrics())
        batcher.start()
        jobs = []
        for _ in range(4):  # the last comes after the window of the first
            job = Joinable("key", doubled(sizes), Batch(torch.ones(1, 1)))
            jobs.append(asyncio.create_task(batcher.result("job", job)))
            await asyncio.sleep(0.15)
        await asyncio.gather(*jobs)
        batcher.close(5)

    asyncio.run(asked())
    assert sizes == [4]


def test_conditions_are_joined_with_their_rows() -> None:
    jobs = [
        Joinable("key", lambda b: b.x + b.c, Batch(torch.zeros(2, 1), c=torch.full((2, 1), i)))
        for i in (1.0, 2.0)
    ]
    assert [found.flatten().tolist() for found in results(jobs)] == [[1, 1], [2, 2]]


def test_nothing_is_taken_after_the_end() -> None:
    async def late() -> None:
        batcher = Batcher(Limits(), Metrics())
        batcher.start()
        assert batcher.is_alive
        batcher.close(5)
        assert not batcher.is_alive
        with pytest.raises(Exception, match="stopping"):
            await batcher.result("job", lambda check: None)

    asyncio.run(late())


def test_what_waits_is_finished_at_the_end() -> None:
    async def closing() -> Any:
        batcher = Batcher(Limits(window_ms=5000), Metrics())
        job = Joinable("key", lambda b: 2 * b.x, Batch(torch.ones(1, 1)))
        waiting = asyncio.create_task(batcher.result("job", job))
        await asyncio.sleep(0)
        batcher.start()
        await asyncio.to_thread(batcher.close, 5)  # it does not wait for the window
        return await waiting

    assert asyncio.run(closing()).item() == 2


def answers(runs: dict[str, rp.Run], asked: Sequence[tuple[str, Any]], at_once: bool) -> list[Any]:
    """Return the answers to requests, sent at the same time or one after the other."""
    limits = Limits(window_ms=600 if at_once else 0)
    with TestClient(application(runs, limits=limits), base_url=HOST) as client:
        everyone = threading.Barrier(len(asked) if at_once else 1)

        def ask(path: str, body: Any) -> Any:
            everyone.wait(20)
            found = client.post(f"/runs/{path}", json=body)
            assert found.status_code == 200
            return found.json()

        if not at_once:
            return [ask(*each) for each in asked]
        with ThreadPoolExecutor(len(asked)) as pool:
            found = list(pool.map(lambda each: ask(*each), asked))
        text = client.get("/metrics").text
        assert 'reparam_batch_size_bucket{le="1.0",operation="encode"} 0.0' in text
        return found


def test_results_do_not_depend_on_who_asks_at_the_same_time(runs: dict[str, rp.Run]) -> None:
    rng = np.random.default_rng(0)
    bodies = [{"x": rng.random((n, 64)).round().tolist()} for n in (1, 2, 3)]
    draws = ["digits/score?seed=1&n_samples=20", "digits/score?seed=2&n_samples=20"]
    asked: list[tuple[str, Any]] = [("digits/encode", body) for body in bodies]
    asked += [(path, body) for path in draws for body in bodies[:2]]
    asked += [("digits/sample?seed=3", {}), ("people/sample?seed=3", {})]
    alone, joined = (answers(runs, asked, at_once) for at_once in (False, True))
    for one, other in zip(alone[:3], joined[:3], strict=True):
        # Matrix products of other sizes are rounded otherwise.
        np.testing.assert_allclose(one["z"], other["z"], rtol=1e-5, atol=1e-6)
    assert alone[3:] == joined[3:]  # draws are equal to the last bit


def test_the_longest_wait_fits_into_the_time_of_a_request() -> None:
    assert Limits(window_ms=400, max_seconds=2).window_ms == 400
    with pytest.raises(OptionError, match=r"window_ms=401.0: .*5 windows.*; give at most 400$"):
        Limits(window_ms=401, max_seconds=2)
