"""What is asked: a Query of Events, a profile and a text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from firstedge.graph.errors import QueryError
from firstedge.graph.histories import NO_TIME

MAX_EVENTS = 1_000_000
MAX_TEXT = 100_000
MAX_WEIGHT = 1e6


@dataclass(frozen=True)
class Event:
    """One thing that a user did, with an item or with a category.

    Args:
        item: The item's id.
        category: The category's id: an interest in everything below it.
        kind: A kind of the bundle's Schema; None is the one of the highest weight (the first of
            equals) that goes to an item or to a category.
        at: When: a datetime with a zone, milliseconds since 1970 UTC, or None for unknown. An
            event without a time is taken as older than all that have one; events of one time
            stand in the order in which they are given.
        weight: How strongly it speaks, compared to others of its kind.

    Raises:
        QueryError: If it names both or neither, or a time or weight that cannot be.
    """

    item: str | None = None
    category: str | None = None
    kind: str | None = None
    at: datetime | int | None = None
    weight: float = 1.0

    def __post_init__(self) -> None:
        if (self.item is None) == (self.category is None):
            raise QueryError(
                "an event is of an item or of a category, got "
                f"item={self.item!r} and category={self.category!r}"
            )
        if not isinstance(self.item if self.category is None else self.category, str):
            raise QueryError(f"an id is a text, got {self!r}")
        if not (_is_number(self.weight) and 0 < self.weight <= MAX_WEIGHT):
            raise QueryError(
                f"an event's weight is a number above 0 and up to {MAX_WEIGHT:g}, got "
                f"{self.weight!r}; leave out an event that says nothing"
            )
        if isinstance(self.at, datetime):
            if self.at.utcoffset() is None:
                raise QueryError(
                    f"the time {self.at} has no zone: give one (tzinfo=timezone.utc), or "
                    "milliseconds since 1970 UTC"
                )
        elif self.at is not None and (isinstance(self.at, bool) or not isinstance(self.at, int)):
            raise QueryError(
                "a time is a datetime with a zone or a whole number of milliseconds since 1970 "
                f"UTC, got {self.at!r}"
            )
        elif self.at is not None and abs(self.at) >= 2**62:
            raise QueryError(f"{self.at} milliseconds is not a time that anybody lived in")

    @property
    def time(self) -> int:
        """Milliseconds since 1970 UTC, NO_TIME if unknown."""
        if self.at is None:
            return int(NO_TIME)
        return round(self.at.timestamp() * 1000) if isinstance(self.at, datetime) else self.at


@dataclass(frozen=True)
class Query:
    """What is known of a user: nothing at all is a legal Query.

    Args:
        events: What they did, in any order.
        profile: Values of profile fields, such as ``{"country": "UK"}``, or lists of them; None
            and blank texts are unknown.
        text: What they say of themselves or of what they look for.

    Raises:
        QueryError: If it is too large.
    """

    events: Sequence[Event] = ()
    profile: Mapping[str, object] = field(default_factory=dict)
    text: str = ""

    def __post_init__(self) -> None:
        if isinstance(self.events, Event) or not all(isinstance(e, Event) for e in self.events):
            raise QueryError(f"a query's events are a list of Event, got {self.events!r:.200}")
        if len(self.events) > MAX_EVENTS:
            raise QueryError(
                f"a query takes up to {MAX_EVENTS:,} events, got {len(self.events):,}: "
                "give the latest"
            )
        if len(self.text) > MAX_TEXT:
            raise QueryError(
                f"a query's text has up to {MAX_TEXT:,} characters, got {len(self.text):,}"
            )


def joined(known: Query, said: Query) -> Query:
    """What a store knows, followed by what was said: later events, values that replace.

    Among the stored events the order is kept and the times are dropped, since an event without a
    time is older than all that have one.
    """
    events = (*(replace(event, at=None) for event in known.events), *said.events)
    return Query(events, {**known.profile, **said.profile}, said.text or known.text)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
