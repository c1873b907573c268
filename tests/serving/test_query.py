from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from firstedge.graph.errors import QueryError
from firstedge.graph.histories import NO_TIME
from firstedge.serving.filter import Filter, Range
from firstedge.serving.query import Event, Query


@pytest.mark.parametrize("weight", [0, -1, float("nan"), float("inf"), 1e7, "1", True, None])
def test_a_weight_that_cannot_be_is_refused(weight: Any) -> None:
    with pytest.raises(QueryError, match=r"weight is a number above 0 .*, got "):
        Event(item="a", weight=weight)


def test_an_event_is_of_one_thing() -> None:
    with pytest.raises(QueryError, match="an item or of a category, got item='a' and category='b'"):
        Event(item="a", category="b")
    with pytest.raises(QueryError, match="item=None and category=None"):
        Event()
    with pytest.raises(QueryError, match="an id is a text"):
        Event(item=22423)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("at", "text"),
    [
        (datetime(2026, 1, 1), "has no zone"),
        (1.5, "whole number of milliseconds"),
        (True, "whole number of milliseconds"),
        ("2026-01-01", "whole number of milliseconds"),
        (2**63, "not a time"),
    ],
)
def test_a_time_that_cannot_be_is_refused(at: Any, text: str) -> None:
    with pytest.raises(QueryError, match=text):
        Event(item="a", at=at)


def test_times_of_different_zones_are_one_time() -> None:
    utc = datetime(2026, 1, 1, 12, tzinfo=UTC)
    tokyo = utc.astimezone(timezone(timedelta(hours=9)))
    milliseconds = 1_767_268_800_000
    assert Event(item="a", at=utc).time == Event(item="a", at=tokyo).time == milliseconds
    assert Event(item="a", at=milliseconds).time == milliseconds
    assert Event(item="a").time == NO_TIME


def test_a_query_that_is_too_large_or_no_list_of_events_is_refused() -> None:
    with pytest.raises(QueryError, match=r"up to 1,000,000 events, got 1,000,001"):
        Query([Event(item="a")] * 1_000_001)
    with pytest.raises(QueryError, match="up to 100,000 characters"):
        Query(text="a" * 100_001)
    with pytest.raises(QueryError, match="a list of Event"):
        Query(Event(item="a"))  # type: ignore[arg-type]
    with pytest.raises(QueryError, match="a list of Event"):
        Query(["a"])  # type: ignore[list-item]


def test_a_filter_that_nothing_can_pass_by_mistake_is_refused() -> None:
    with pytest.raises(QueryError, match="takes a collection of ids, got the text 'home'"):
        Filter(categories="home")
    with pytest.raises(QueryError, match=r"no number lies in Range\(min=3, max=2\)"):
        Range(3, 2)
    with pytest.raises(QueryError, match="no number"):
        Range(max=float("nan"))
