from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from firstedge.graph.errors import Overloaded
from firstedge.serving import quick_desk
from firstedge.serving.quick_desk import QuickDesk


def run(body: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(asyncio.wait_for(body(), 30))


def squares(numbers: Sequence[int]) -> list[int]:
    return [number * number for number in numbers]


async def waiting(desk: QuickDesk, count: int) -> list[asyncio.Task[int]]:
    """So many questions more that have arrived and are not answered yet, of the next numbers."""
    numbers = range(desk.waiting, desk.waiting + count)
    tasks = [asyncio.create_task(desk.ask(squares, number)) for number in numbers]
    await asyncio.sleep(0)
    assert desk.waiting == numbers.stop
    return tasks


async def paced(patience: float) -> QuickDesk:
    """A desk whose pace is 10 ms: a tenth of what its first answer took."""
    desk = QuickDesk(patience)

    def slowly(numbers: Sequence[int]) -> list[int]:
        time.sleep(0.1)
        return squares(numbers)

    await desk.ask(slowly, 1)
    return desk


def test_what_arrives_together_is_answered_together_the_newest_first() -> None:
    batches: list[list[int]] = []

    def recorded(numbers: Sequence[int]) -> list[int]:
        batches.append(list(numbers))
        return squares(numbers)

    async def body() -> None:
        desk = QuickDesk(patience=60)
        answers = await asyncio.gather(*(desk.ask(recorded, number) for number in range(20)))
        assert answers == [number**2 for number in range(20)]

    run(body)
    assert batches == [list(range(19, 3, -1)), [3, 2, 1, 0]]


def test_while_most_are_refused_few_are_answered_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(quick_desk, "_SOONER", 100)  # nobody waits for too long
    batches: list[int] = []

    def recorded(numbers: Sequence[int]) -> list[int]:
        batches.append(len(numbers))
        return squares(numbers)

    async def body() -> None:
        desk = await paced(patience=10)
        asked = [asyncio.create_task(desk.ask(recorded, number)) for number in range(200)]
        await asyncio.sleep(0)
        assert [desk.let_in() for _ in range(30)] == [False] * 30
        assert await asyncio.gather(*asked) == [number**2 for number in range(200)]

        assert [desk.let_in() for _ in range(100)] == [True] * 100
        await asyncio.gather(*(desk.ask(recorded, number) for number in range(16)))

    run(body)
    assert batches == [*[2] * 100, 16]


def test_an_arrival_is_let_in_before_what_waits_is_answered() -> None:
    batches: list[list[int]] = []

    def recorded(numbers: Sequence[int]) -> list[int]:
        batches.append(list(numbers))
        return squares(numbers)

    async def later(desk: QuickDesk) -> int:
        await asyncio.sleep(0)  # a turn of the loop between reaching the process and asking
        desk.let_in()
        for _ in range(20):  # and more until all of it is read
            await asyncio.sleep(0)
        return await desk.ask(recorded, 2)

    async def body() -> None:
        desk = QuickDesk(patience=60)
        assert await asyncio.gather(desk.ask(recorded, 1), later(desk)) == [1, 4]

    run(body)
    assert batches == [[2, 1]]


def test_answering_has_its_share_however_many_arrive() -> None:
    async def body() -> None:
        desk = QuickDesk(patience=60)
        task = asyncio.create_task(desk.ask(squares, 3))
        while not task.done():
            desk.let_in()
            await asyncio.sleep(0)
        assert task.result() == 9

    run(body)


def test_one_that_fails_fails_alone_and_what_is_given_up_is_never_begun() -> None:
    begun: list[int] = []

    def inverses(numbers: Sequence[int]) -> list[float]:
        begun.extend(numbers)
        return [1 / number for number in numbers]

    async def body() -> None:
        desk = QuickDesk(patience=60)
        tasks = [asyncio.create_task(desk.ask(inverses, number)) for number in (1, 0, 5, 2)]
        await asyncio.sleep(0)
        tasks[2].cancel()
        one, failed, _, half = await asyncio.gather(*tasks, return_exceptions=True)
        assert (one, half) == (1, 0.5)
        assert isinstance(failed, ZeroDivisionError)

    run(body)
    assert 5 not in begun


def test_as_many_wait_as_are_answered_in_time_and_fewer_the_more_are_refused() -> None:
    async def body() -> None:
        desk = await paced(0.72)  # ten are answered in time
        tasks = await waiting(desk, 10)
        assert desk.let_in()
        tasks += await waiting(desk, 1)
        assert [desk.let_in() for _ in range(100)] == [False] * 100  # most are refused
        await asyncio.gather(*tasks)

        tasks = await waiting(desk, 1)
        assert desk.let_in()  # a few may always wait
        tasks += await waiting(desk, 1)
        assert not desk.let_in()
        await asyncio.gather(*tasks)

        arrivals = [desk.let_in() for _ in range(500)]
        assert False not in arrivals  # and nobody is refused any more
        tasks = await waiting(desk, 10)
        assert desk.let_in()
        await asyncio.gather(*tasks)

    run(body)


def test_while_most_are_refused_those_who_waited_for_long_are_too_but_for_a_few() -> None:
    async def body() -> None:
        desk = await paced(0.5)  # nine are answered in time
        tasks = await waiting(desk, 9)
        tasks += await waiting(desk, 1)
        assert sum(desk.let_in() for _ in range(100)) == 0
        time.sleep(0.03)  # longer than .03 of the patience
        began = time.perf_counter()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [Overloaded] * 8 + [int] * 2
        assert results[8:] == [64, 81]
        assert time.perf_counter() - began == pytest.approx(0.5, abs=0.04)  # held like others

        # Where others are not refused, a stop of the process refuses nobody.
        assert sum(desk.let_in() for _ in range(500)) == 500
        tasks = await waiting(desk, 9)
        time.sleep(0.6)
        assert await asyncio.gather(*tasks) == squares(range(9))

    run(body)


def test_nobody_is_left_waiting_while_others_come_and_go() -> None:
    async def body() -> None:
        desk = QuickDesk(patience=0.1)
        oldest = await waiting(desk, 3)
        others: list[asyncio.Task[int]] = []

        def answer(numbers: Sequence[int]) -> list[int]:
            if time.perf_counter() < end:  # as many come as are answered
                others.extend(asyncio.ensure_future(desk.ask(answer, one)) for one in range(16))
            time.sleep(0.005)
            return squares(numbers)

        end = time.perf_counter() + 0.5
        others += [asyncio.create_task(desk.ask(answer, number)) for number in range(16)]
        results = await asyncio.gather(*oldest, return_exceptions=True)
        assert time.perf_counter() < end
        assert isinstance(results[0], Overloaded)
        await asyncio.sleep(0.5)
        answers = await asyncio.gather(*others)
        assert answers == squares(range(16)) * (len(others) // 16)

    run(body)


def test_a_refusal_takes_as_long_as_an_answer_may() -> None:
    async def body() -> None:
        desk = QuickDesk(patience=0.05)
        for _ in range(2):  # the second is of another group
            began = time.perf_counter()
            await desk.hold()
            assert time.perf_counter() - began == pytest.approx(0.05, abs=0.04)

    run(body)


def test_refusals_of_the_same_moment_are_given_together() -> None:
    async def body() -> None:
        desk, given = QuickDesk(patience=0.05), []

        async def hold(number: int) -> None:
            await desk.hold()
            given.append((number, time.perf_counter()))

        held = [asyncio.create_task(hold(number)) for number in range(5)]
        await asyncio.sleep(0)
        held[2].cancel()  # who hangs up takes nobody along
        await asyncio.gather(*held, return_exceptions=True)
        assert [number for number, _ in given] == [0, 1, 3, 4]
        assert given[-1][1] - given[0][1] < 0.005

    run(body)
