"""Where long questions wait for a thread: answered several at a time, refused when it gets late.

A thread that becomes free takes all questions of one sort that wait, up to a number, and answers
them in one go: what numpy costs by the call is then shared, and no question waits for others to
come. A question is refused as it arrives if, at the pace of late, its turn would not come in time;
so a server that is asked for more than it can do keeps answering as fast as before, to fewer.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from time import perf_counter
from typing import TypeVar, cast

from firstedge.graph.errors import Overloaded
from firstedge.serving.tickets import KEEP, Ticket, answered, hand_out, take

Question = TypeVar("Question")
Answer = TypeVar("Answer")

_SLOWER = 5  # nice: a refusal, which the event loop gives, goes before an answer


class Desk:
    """Threads that answer questions. Asked from an event loop.

    Args:
        threads: How many.
        patience: Seconds that a question may wait for its turn.
    """

    def __init__(self, threads: int, patience: float) -> None:
        self._patience, self._num_threads = patience, threads
        self._waiting: deque[Ticket] = deque()
        self._came = threading.Condition()
        self._seconds = 0.0  # that a question takes, lately
        self._closed = False
        names = [f"answer-{number}" for number in range(threads)]
        self._threads = [threading.Thread(target=self._work, name=n, daemon=True) for n in names]
        for thread in self._threads:
            thread.start()

    @property
    def waiting(self) -> int:
        """Questions that wait for a thread."""
        return len(self._waiting)

    async def ask(
        self, answer: Callable[[Sequence[Question]], Sequence[Answer]], question: Question
    ) -> Answer:
        """The answer to one question.

        Args:
            answer: Gives the answers to several questions, in their order. Questions whose
                ``answer`` is equal are of one sort. If it raises, each is asked alone.
            question: What to ask.

        Raises:
            Overloaded: If its turn would not come in time.
            Exception: Whatever ``answer`` raises for this question.
        """
        wait = len(self._waiting) * self._seconds / self._num_threads
        if wait > self._patience:
            raise Overloaded(
                f"{len(self._waiting):,} requests wait, some {1000 * wait:.0f} ms of work, and up "
                f"to {1000 * self._patience:.0f} ms are accepted: try again later"
            )
        ticket = Ticket(answer, question, asyncio.get_running_loop().create_future())
        with self._came:
            self._waiting.append(ticket)
            self._came.notify()
        return cast(Answer, await ticket.future)

    def close(self) -> None:
        """Answer what waits, then let the threads go."""
        with self._came:
            self._closed = True
            self._came.notify_all()
        for thread in self._threads:
            thread.join()

    def _work(self) -> None:
        if sys.platform == "linux":
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _SLOWER)
        while tickets := self._next():
            began = perf_counter()
            results = answered(tickets)
            each = (perf_counter() - began) / len(tickets)
            self._seconds = KEEP * self._seconds + (1 - KEEP) * each if self._seconds else each
            loop = tickets[0].future.get_loop()
            loop.call_soon_threadsafe(hand_out, tickets, results)

    def _next(self) -> list[Ticket]:
        """Questions of one sort, those first that came first; none when the desk is closed."""
        with self._came:
            while True:
                if tickets := take(self._waiting):
                    return tickets
                if self._closed:
                    return []
                self._came.wait()
