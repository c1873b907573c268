from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

import pytest

from firstedge.graph.errors import Overloaded
from firstedge.serving.desk import Desk
from firstedge.serving.tickets import one_by_one


@pytest.fixture
def desk() -> Iterator[Desk]:
    desk = Desk(1, patience=60)
    yield desk
    desk.close()


class Gate:
    """Holds a desk's only thread until it is opened."""

    def __init__(self, desk: Desk) -> None:
        self.opened = threading.Event()
        self.task = asyncio.create_task(desk.ask(one_by_one, self.opened.wait))

    async def reached(self, desk: Desk) -> None:
        await asyncio.sleep(0)
        while desk.waiting:
            await asyncio.sleep(0.001)


def run(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(body(), 30))


def test_what_waits_is_answered_at_once_and_in_order(desk: Desk) -> None:
    batches: list[list[int]] = []

    def squares(numbers: Sequence[int]) -> list[int]:
        batches.append(list(numbers))
        return [number * number for number in numbers]

    async def body() -> None:
        gate = Gate(desk)
        await gate.reached(desk)
        tasks = [asyncio.create_task(desk.ask(squares, number)) for number in range(20)]
        await asyncio.sleep(0)
        gate.opened.set()
        assert await asyncio.gather(*tasks) == [number**2 for number in range(20)]

    run(body)
    assert batches == [list(range(16)), [16, 17, 18, 19]]


def test_one_that_fails_fails_alone(desk: Desk) -> None:
    def inverses(numbers: Sequence[int]) -> list[float]:
        return [1 / number for number in numbers]

    async def body() -> None:
        gate = Gate(desk)
        await gate.reached(desk)
        tasks = [asyncio.create_task(desk.ask(inverses, number)) for number in (1, 0, 2)]
        await asyncio.sleep(0)
        gate.opened.set()
        one, failed, half = await asyncio.gather(*tasks, return_exceptions=True)
        assert (one, half) == (1, 0.5)
        assert isinstance(failed, ZeroDivisionError)

    run(body)


def test_what_is_given_up_is_never_begun(desk: Desk) -> None:
    begun: list[str] = []

    async def body() -> None:
        gate = Gate(desk)
        await gate.reached(desk)
        lost = asyncio.create_task(desk.ask(one_by_one, lambda: begun.append("lost")))
        kept = asyncio.create_task(desk.ask(one_by_one, lambda: begun.append("kept")))
        await asyncio.sleep(0)
        lost.cancel()
        gate.opened.set()
        await kept
        with pytest.raises(asyncio.CancelledError):
            await lost

    run(body)
    assert begun == ["kept"]


def test_beyond_its_patience_it_refuses_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0, 0.02)
    monkeypatch.setattr("firstedge.serving.desk.perf_counter", lambda: next(clock))
    desk = Desk(1, patience=0.05)

    async def body() -> None:
        await desk.ask(one_by_one, lambda: 7)
        gate = Gate(desk)
        await gate.reached(desk)
        waiting = [asyncio.create_task(desk.ask(one_by_one, lambda: 7)) for _ in range(9)]
        await asyncio.sleep(0)
        # Three of 20 ms each are more than 50 ms, so the fourth is refused and all after it.
        refused = [task for task in waiting if task.done()]
        assert (len(refused), desk.waiting) == (6, 3)
        for task in refused:
            with pytest.raises(Overloaded, match="3 requests wait, some 60 ms of work"):
                task.result()
        gate.opened.set()
        assert await asyncio.gather(*waiting[:3]) == [7, 7, 7]

    run(body)
    desk.close()


def test_closing_answers_what_waits() -> None:
    desk = Desk(2, patience=60)

    async def body() -> None:
        tasks = [asyncio.create_task(desk.ask(one_by_one, lambda: 1)) for _ in range(40)]
        await asyncio.sleep(0)
        await asyncio.to_thread(desk.close)
        assert sum(await asyncio.gather(*tasks)) == 40

    run(body)
