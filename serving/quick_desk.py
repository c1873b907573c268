"""Where quick questions wait for the event loop itself, which saves them the way to a thread.

What waits is answered, several questions in one go, as soon as the loop has nothing else to bring:
requests that have reached the process are let in first, so that they share an answer's fixed costs
and so that refusals, which cost least, are not held up by answers. Answering has a share of the
time all the same, however many come. The newest are answered first: a crowd makes a few wait for
long then, and not everybody.

An arrival is refused, before any of it is read, if too many wait to be answered in time. The more
are refused, the fewer may wait. Whoever was let in is refused too if their turn comes late. While
most must be refused, whoever is let in is answered soon: few at a time are, and late is earlier. A
refusal is not hurried: those who ask again at once would keep the server busy with refusing.
Refusals of a few milliseconds are given together, which costs less than one by one.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TypeVar, cast

from firstedge.graph.errors import Overloaded
from firstedge.serving.tickets import AT_ONCE, KEEP, Ticket, answered, hand_out, take

Question = TypeVar("Question")
Answer = TypeVar("Answer")

FULL = "more requests wait than can be answered in time: try again later"

_STILL = 8  # turns of the loop without a sign of a request, after which none is on its way
_STILL_COMING = 64  # the same, where one was let in that is not here yet
_LETTING_IN = 3.0  # seconds spent on letting requests in, for each second of answering
_LEAST_TURN = 0.001  # seconds
_SOON = 0.15  # of the patience, in which all who wait are to be answered
_SOONER = 0.03  # of the patience, after which a turn is late while most are refused
_FEW = 2  # that may always wait, and that are answered together while most are refused
_LATELY = 32  # arrivals
_TOGETHER = 0.01  # seconds whose refusals are given at once


class QuickDesk:
    """Answers questions in the event loop's own thread.

    Args:
        patience: Seconds that a question may wait; so many that they would wait for more than a
            seventh of it are not let in. A refusal is held for all of it, or a little less.
    """

    def __init__(self, patience: float) -> None:
        self._patience = patience
        self._waiting: deque[Ticket] = deque()  # the newest first
        self._batch_seconds = 0.0  # that answering takes at a time, lately
        self._pace = 0.0  # seconds from one answer to the next, lately
        self._share = 1.0  # of the arrivals that were let in, lately
        self._arrivals = self._seen = self._still = 0
        self._coming = 0  # let in since the last answer, and not here yet
        self._turn_began = self._answer_began = 0.0
        self._refused, self._refused_since = asyncio.Event(), -_TOGETHER

    @property
    def waiting(self) -> int:
        """Questions that wait for their turn."""
        return len(self._waiting)

    def let_in(self) -> bool:
        """Whether there is room for a ranking; to be asked of every one that arrives."""
        self._arrivals += 1
        waiting = len(self._waiting)
        in_time = waiting * self._pace <= _SOON * self._patience * self._share**2
        let = waiting < _FEW or in_time
        self._share += (let - self._share) / _LATELY
        self._coming += let
        return let

    async def hold(self) -> None:
        """Wait before a refusal is given."""
        loop = asyncio.get_running_loop()
        if loop.time() - self._refused_since >= _TOGETHER:
            self._refused, self._refused_since = asyncio.Event(), loop.time()
            loop.call_later(self._patience, self._refused.set)
        await self._refused.wait()

    async def ask(
        self, answer: Callable[[Sequence[Question]], Sequence[Answer]], question: Question
    ) -> Answer:
        """The answer to one question, as of `Desk.ask`.

        Raises:
            Overloaded: If its turn came too late, for more came after it than can be answered.
            Exception: Whatever ``answer`` raises for this question.
        """
        loop = asyncio.get_running_loop()
        ticket = Ticket(answer, question, loop.create_future())
        self._arrivals += 1
        self._coming = max(0, self._coming - 1)
        self._waiting.appendleft(ticket)
        if len(self._waiting) == 1:
            self._begin_turn(loop)
        try:
            return cast(Answer, await ticket.future)
        except Overloaded:
            await self.hold()
            raise

    def _begin_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turn_began, self._still = perf_counter(), 0
        loop.call_soon(self._turn, loop)

    def _turn(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let requests in as long as they come and it is time; then answer."""
        if self._more_may_come():
            loop.call_soon(self._turn, loop)
            return
        self._answer()
        if self._waiting:
            self._begin_turn(loop)

    def _more_may_come(self) -> bool:
        self._still = self._still + 1 if self._arrivals == self._seen else 0
        self._seen = self._arrivals
        longest = max(_LEAST_TURN, _LETTING_IN * self._batch_seconds)
        enough = _STILL_COMING if self._coming else _STILL
        return self._still < enough and perf_counter() - self._turn_began < longest

    def _answer(self) -> None:
        """Answer those who are next, but refuse those whose turn comes late."""
        self._coming = 0  # a ranking that others answer, or that was given up, never comes
        refuses_most = self._share <= 0.5
        self._refuse_late(refuses_most)
        tickets = take(self._waiting, _FEW if refuses_most else AT_ONCE)
        if not tickets:
            return
        self._answer_began = perf_counter()
        results = answered(tickets)
        now = perf_counter()
        seconds = now - self._answer_began
        self._batch_seconds += (1 - KEEP) * (seconds - self._batch_seconds)
        self._pace += (1 - KEEP) * ((now - self._turn_began) / len(tickets) - self._pace)
        hand_out(tickets, results)

    def _refuse_late(self, refuses_most: bool) -> None:
        """Refuse those who have waited for long, but for a few."""
        now = perf_counter()
        if refuses_most:
            since = now - _SOONER * self._patience
        else:  # those before whom others were answered, not all whom a stop of the process held up
            since = min(now - self._patience, self._answer_began)
        while len(self._waiting) > _FEW and self._waiting[-1].since < since:
            future = self._waiting.pop().future
            if not future.done():  # given up meanwhile
                future.set_exception(Overloaded(FULL))
