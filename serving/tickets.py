"""Questions that wait, and how several of one sort are answered in one go."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, TypeVar

Answer = TypeVar("Answer")

AT_ONCE = 16  # questions that are answered together, at most
KEEP = 0.9  # of what was known of the pace, when a batch tells more


@dataclass(eq=False)
class Ticket:
    """One question: what answers it, with others of its sort, who waits for it, and since when."""

    answer: Callable[[Sequence[Any]], Sequence[Any]]
    question: Any
    future: asyncio.Future[Any]
    since: float = field(default_factory=perf_counter)


def take(waiting: deque[Ticket], most: int = AT_ONCE) -> list[Ticket]:
    """Take the questions that are next, all of one sort; none that was given up meanwhile."""
    taken: list[Ticket] = []
    while waiting and len(taken) < most:
        if taken and waiting[0].answer != taken[0].answer:
            break
        ticket = waiting.popleft()
        if not ticket.future.done():
            taken.append(ticket)
    return taken


def answered(tickets: Sequence[Ticket]) -> list[Any]:
    """The answer to each, or the exception."""
    try:
        return list(tickets[0].answer([ticket.question for ticket in tickets]))
    except Exception as error:
        if len(tickets) == 1:
            return [error]
    return [answered([ticket])[0] for ticket in tickets]


def hand_out(tickets: Sequence[Ticket], results: Sequence[Any]) -> None:
    """Give everybody what they wait for; in the event loop's thread."""
    for ticket, result in zip(tickets, results, strict=True):
        if ticket.future.done():  # given up meanwhile
            continue
        if isinstance(result, Exception):
            ticket.future.set_exception(result)
        else:
            ticket.future.set_result(result)


def one_by_one(calls: Sequence[Callable[[], Answer]]) -> list[Answer]:
    """Answers to questions that gain nothing from company."""
    return [call() for call in calls]
