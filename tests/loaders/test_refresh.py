"""A snapshot from an earlier one is the snapshot that reading everything gives."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firstedge.graph.ladybug_store import LadybugStore
from firstedge.graph.schema import Kind, Schema, UserNames
from firstedge.graph.store import COLUMNS, GraphStore, open_store
from firstedge.loaders.snapshot import Snapshot, read_snapshot
from tests.conftest import both_neo4j, wipe

SCHEMA = Schema(
    user=UserNames(profile=("country",)),
    kind={
        "view": Kind(type="VIEWED", weight=0.3),
        "purchase": Kind(type="PURCHASED"),
        "follow": Kind(type="FOLLOWS", to="category"),
    },
)
Row = tuple[int, int, str, int | None, int | None, float | None]

# New ids come in between old ones, and times, sequences and weights are often the same.
rows = st.lists(
    st.tuples(
        st.integers(0, 6),
        st.integers(0, 4),
        st.sampled_from(["view", "purchase", "follow"]),
        st.one_of(st.none(), st.integers(0, 12)),
        st.one_of(st.none(), st.integers(0, 2)),
        st.sampled_from([None, 0.5, 2.0]),
    ),
    max_size=25,
)


def write(store: GraphStore, events: list[Row], first_key: int) -> None:
    """Events, and the nodes that they need."""
    ids = pa.array([f"{n}" for n in sorted({t for _, t, *_ in events})], pa.string())
    people = pa.array(sorted({f"u{u}" for u, *_ in events}), pa.string())
    store.write("users", pa.table({"id": people, "country": ["DE"] * len(people)}))
    store.write("items", pa.table({"id": ids}))
    flags, nulls = [False] * len(ids), pa.nulls(len(ids), pa.string())
    named = {"id": ids, "name": ids, "parent": nulls, "derived": flags}
    store.write("categories", pa.table(named, schema=COLUMNS["categories"]))
    columns = [
        [f"u{event[0]}" for event in events],
        [f"{event[1]}" for event in events],
        *([event[at] for event in events] for at in (2, 3, 4, 5)),
        [f"k{first_key + n}" for n in range(len(events))],
    ]
    store.write("events", pa.table(columns, schema=COLUMNS["events"]))


def same_tensors(one: Snapshot, other: Snapshot) -> None:
    assert one.fingerprint == other.fingerprint
    assert (one.as_of, one.skipped) == (other.as_of, other.skipped)
    left, right = one.hetero().to_dict(), other.hetero().to_dict()
    assert left.keys() == right.keys()
    for part, values in left.items():
        assert values.keys() == right[part].keys()
        for name, value in values.items():
            np.testing.assert_array_equal(np.asarray(value), np.asarray(right[part][name]))


def grow(store: GraphStore, first: list[Row], second: list[Row], until: int | None) -> None:
    """Write, read, write more, and read again in both ways."""
    write(store, first, 0)
    early = read_snapshot(store, until)
    write(store, second, len(first))
    same_tensors(read_snapshot(store, until, earlier=early), read_snapshot(store, until))
    same_tensors(read_snapshot(store, earlier=early), read_snapshot(store))


@settings(max_examples=15, deadline=None)
@given(first=rows, second=rows, until=st.one_of(st.none(), st.integers(0, 12)))
def test_a_refresh_gives_the_same_tensors(
    first: list[Row], second: list[Row], until: int | None
) -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        LadybugStore(Path(folder) / "shop.lbug", SCHEMA) as store,
    ):
        grow(store, first, second, until)


@both_neo4j
def test_a_refresh_gives_the_same_tensors_on_neo4j(neo4j_server: Any) -> None:
    with open_store(neo4j_server.url, SCHEMA) as store:

        @settings(
            max_examples=5,
            deadline=None,
            suppress_health_check=[HealthCheck.function_scoped_fixture],
        )
        @given(first=rows, second=rows, until=st.one_of(st.none(), st.integers(0, 12)))
        def check(first: list[Row], second: list[Row], until: int | None) -> None:
            wipe(neo4j_server.url, neo4j_server.password)
            grow(store, first, second, until)

        check()


class Watched(LadybugStore):
    """Says how many events it gave at each read."""

    def read_events(self, *args: Any, **kwargs: Any) -> pa.Table:
        found = super().read_events(*args, **kwargs)
        self.gave = [*getattr(self, "gave", []), found.num_rows]
        return found


@pytest.fixture
def watched(tmp_path: Path) -> Any:
    with Watched(tmp_path / "shop.lbug", SCHEMA) as store:
        write(store, [(n % 5, n % 3, "view", n, 0, None) for n in range(1, 100)], 0)
        yield store


Change = Callable[[Watched], object]


@pytest.mark.parametrize(
    ("change", "gave"),
    [
        (lambda store: write(store, [], 0), [1]),
        (lambda store: write(store, [(6, 9, "purchase", 200, 0, 2.0)], 100), [2]),
        (lambda store: write(store, [(0, 0, "follow", 99, 0, None)], 100), [2]),
        # Late, or without a time: only the counts tell.
        (lambda store: write(store, [(0, 0, "view", 50, 0, None)], 100), [1, 100]),
        (lambda store: write(store, [(0, 0, "view", None, 0, None)], 100), [1, 100]),
    ],
    ids=["nothing", "later", "at the same time", "late", "timeless"],
)
def test_a_refresh_reads_what_came_since(watched: Watched, change: Change, gave: list[int]) -> None:
    early = read_snapshot(watched)
    change(watched)
    watched.gave = []
    fresh = read_snapshot(watched, earlier=early)
    assert watched.gave == gave
    same_tensors(fresh, read_snapshot(watched))


def test_another_schema_reads_all(watched: Watched, tmp_path: Path) -> None:
    early = read_snapshot(watched)
    watched.close()
    with Watched(tmp_path / "shop.lbug", Schema(kind={"view": Kind(type="VIEWED")})) as store:
        read_snapshot(store, earlier=early)
        assert store.gave == [99]


def test_what_comes_in_while_we_read_is_not_half_seen(tmp_path: Path) -> None:
    with LadybugStore(tmp_path / "shop.lbug", SCHEMA) as store:
        read_while_people_buy(store, store)


@both_neo4j
def test_what_comes_in_while_we_read_is_not_half_seen_on_neo4j(neo4j_server: Any) -> None:
    with open_store(neo4j_server.url, SCHEMA) as store, open_store(store.url, SCHEMA) as other:
        read_while_people_buy(store, other)


def read_while_people_buy(store: GraphStore, till: GraphStore) -> None:
    """Somebody buys five things at a time; a snapshot has all of them or none."""
    stop = threading.Event()
    write(store, [(0, item, "view", 5, 0, None) for item in range(5)], 0)

    def buy() -> None:
        number = 5
        while not stop.is_set():
            now = time.time_ns() // 1_000_000 + 1
            user = number % 7
            write(till, [(user, n, "purchase", now, n, None) for n in range(5)], number)
            number += 5

    buyer = threading.Thread(target=buy)
    buyer.start()
    try:
        snapshots = [read_snapshot(store) for _ in range(10)]
        refreshed = snapshots[0]
        for _ in range(5):
            refreshed = read_snapshot(store, earlier=refreshed)
            snapshots.append(refreshed)
    finally:
        stop.set()
        buyer.join()
    for snapshot in snapshots:
        times, sizes = np.unique(snapshot.histories.times, return_counts=True)
        assert set((sizes % 5).tolist()) == {0}
        assert not any("unknown" in reason for reason in snapshot.skipped)
        same_tensors_of_events(snapshot, read_snapshot(store, until=int(times[-1])))


def same_tensors_of_events(one: Snapshot, other: Snapshot) -> None:
    """The same events of the same users on the same items; later ones may have come since."""
    for snapshot in (one, other):
        assert len(snapshot.histories.targets) == snapshot.histories.offsets[-1]
    np.testing.assert_array_equal(np.sort(one.histories.times), np.sort(other.histories.times))


def test_progress_is_told(watched: Watched) -> None:
    told: list[int] = []
    read_snapshot(watched, progress=told.append)
    assert told[-1] == 99
