from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstedge.graph.histories import Events, Given, Histories, kind_weights, ranges
from firstedge.graph.schema import Schema

SCHEMA = Schema.parse(
    """
    [kind.buy]
    type = "BOUGHT"
    [kind.return]
    type = "RETURNED"
    weight = 0
    cancels = "buy"
    [kind.view]
    type = "VIEWED"
    weight = 0.3
    """
)
BUY, RETURN, VIEW = range(3)
USERS, ITEMS = 3, 3  # targets from ITEMS on are categories

Event = tuple[int, int]  # target, kind


@st.composite
def events(draw: st.DrawFn) -> Events:
    n = draw(st.integers(0, 40))
    column = lambda high: np.array(  # noqa: E731
        draw(st.lists(st.integers(0, high), min_size=n, max_size=n)), np.int64
    )
    ones = np.ones(n, np.float32)
    return Events(column(USERS - 1), column(ITEMS), column(2), column(9), np.arange(n), ones)


def rows_of(histories: Histories, user: int) -> list[Event]:
    at = slice(histories.offsets[user], histories.offsets[user + 1])
    pairs = zip(histories.targets[at], histories.kinds[at], strict=True)
    return [(int(target), int(kind)) for target, kind in pairs]


def naive_speaking(rows: list[Event]) -> list[Event]:
    opened: dict[int, list[int]] = {}
    gone = set()
    for place, (target, kind) in enumerate(rows):
        if kind == BUY:
            opened.setdefault(target, []).append(place)
        elif kind == RETURN and opened.get(target):
            gone.add(opened[target].pop())
    return [row for place, row in enumerate(rows) if place not in gone and row[1] != RETURN]


def naive_cut(rows: list[Event], k: int) -> int:
    seen: set[int] = set()
    for place, (target, _) in enumerate(rows):
        if target < ITEMS and target not in seen:
            if len(seen) == k:
                return place
            seen.add(target)
    return len(rows)


@settings(max_examples=150, deadline=None)
@given(events())
def test_histories_do_what_the_words_say(columns: Events) -> None:
    histories = Histories.of(columns, USERS, ITEMS)
    order = sorted(range(len(columns)), key=lambda e: (columns.times[e], e))
    speaking = histories.speaking(SCHEMA)
    edges = Given.of(speaking, kind_weights(SCHEMA))
    for user in range(USERS):
        mine = [e for e in order if columns.users[e] == user]
        rows = [(int(columns.targets[e]), int(columns.kinds[e])) for e in mine]
        assert rows_of(histories, user) == rows
        spoken = naive_speaking(rows)
        assert rows_of(speaking, user) == spoken
        for k in range(4):
            cut = naive_cut(spoken, k)
            assert rows_of(speaking.first(k), user) == spoken[:cut]
            assert rows_of(speaking.later(k), user) == spoken[cut:]
        assert_edges(edges, user, spoken)


def assert_edges(edges: Given, user: int, spoken: list[Event]) -> None:
    last: dict[int, int] = {}
    strongest: dict[int, int] = {}
    for place, (target, kind) in enumerate(spoken):
        last[target] = place
        strongest[target] = BUY if BUY in (kind, strongest.get(target)) else VIEW
    newest_first = sorted(last, key=lambda target: -last[target])
    at = slice(edges.offsets[user], edges.offsets[user + 1])
    assert edges.targets[at].tolist() == newest_first
    assert edges.kinds[at].tolist() == [strongest[target] for target in newest_first]
    assert edges.ranks[at].tolist() == list(range(len(newest_first)))
    weights = [1.0 if strongest[target] == BUY else 0.3 for target in newest_first]
    assert edges.weights[at].tolist() == pytest.approx(weights)


def test_users_may_be_taken_in_any_order_and_twice() -> None:
    columns = Events(
        np.array([0, 1, 1, 2]),
        np.array([0, 1, 2, 3]),
        np.zeros(4, np.int64),
        np.arange(4),
        np.zeros(4, np.int64),
        np.ones(4, np.float32),
    )
    taken = Histories.of(columns, 3, ITEMS).take(np.array([2, 1, 1]))
    assert [rows_of(taken, user) for user in range(3)] == [
        [(3, 0)],
        [(1, 0), (2, 0)],
        [(1, 0), (2, 0)],
    ]


def test_events_without_a_weight_or_against_an_item_do_not_speak() -> None:
    columns = Events(
        np.zeros(3, np.int64),
        np.arange(3),
        np.array([BUY, RETURN, BUY]),
        np.arange(3),
        np.zeros(3, np.int64),
        np.array([1, 1, 0], np.float32),
    )
    assert rows_of(Histories.of(columns, 1, ITEMS).speaking(SCHEMA), 0) == [(0, BUY)]


def test_ranges() -> None:
    assert ranges(np.array([5, 0, 9]), np.array([2, 0, 3])).tolist() == [5, 6, 9, 10, 11]
    assert ranges(np.empty(0, np.int64), np.empty(0, np.int64)).tolist() == []
