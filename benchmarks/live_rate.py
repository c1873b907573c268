"""What it costs that a running service keeps events and takes items, on the embedded store.

Events go in through `RecordEvents`, four streams at a time, and straight into a store like it by
calls of as many rows as the service puts into a transaction. Then single events, each followed by
a ranking of the same user, and single new items, each followed by a ranking that has it.

    python -m benchmarks.live_rate [--items 20000] [--users 100000] [--events 500000] [--json]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from subprocess import PIPE, Popen
from typing import Any

import numpy as np
import pyarrow as pa

from benchmarks.made_shop import Shape, build_bundle
from firstedge.graph.store import COLUMNS, GraphStore, open_store
from firstedge.models.bundle import Bundle
from firstedge.models.bundle_file import save_bundle
from firstedge.serving.calls import Item, RecordedEvent
from firstedge.serving.client import Client, ClientOptions
from firstedge.serving.filter import Filter
from firstedge.serving.query import Event
from firstedge.serving.recording import ROWS

STREAMS, STREAM_EVENTS = 4, 5_000


def fill(store: GraphStore, bundle: Bundle, users: int, events: int) -> None:
    """Users with some events, items with their categories."""
    rng = np.random.default_rng(1)
    ids, categories = bundle.items.ids, bundle.categories.ids
    store.write("users", pa.table({"id": [f"u{n}" for n in range(users)]}))
    store.write("items", pa.table({"id": ids}))
    columns = [categories, categories, [None] * len(categories), [False] * len(categories)]
    store.write("categories", pa.table(columns, schema=COLUMNS["categories"]))
    of, column = bundle.table.memberships.matrix().nonzero()
    pairs = [[ids[row] for row in of], [categories[at] for at in column]]
    store.write("item_categories", pa.table(pairs, schema=COLUMNS["item_categories"]))
    store.write("events", rows(rng, bundle, users, (0, events)))


def rows(
    rng: np.random.Generator, bundle: Bundle, users: int, numbers: tuple[int, int]
) -> pa.Table:
    """Events of random users with random items, numbered."""
    first, last = numbers
    size = last - first
    columns = {
        "user": [f"u{n}" for n in rng.integers(0, users, size)],
        "target": [bundle.items.ids[n] for n in rng.integers(0, len(bundle.items), size)],
        "kind": ["purchase"] * size,
        "time": np.arange(first, last),
        "seq": np.zeros(size, np.int64),
        "weight": np.ones(size),
        "key": [f"key {n}" for n in range(first, last)],
    }
    return pa.table(columns, schema=COLUMNS["events"])


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """The address of a service of its own process."""
    command = Path(sys.executable).with_name("firstedge")
    places = ["--bundle", folder / "bundle", "--store", folder / "served.lbug"]
    arguments = ["serve", *map(str, places), "--port", "0", "--json", "--log-level", "error"]
    process = Popen([str(command), *arguments], stdout=PIPE, text=True)
    try:
        assert process.stdout is not None  # noqa: S101
        yield f"127.0.0.1:{json.loads(process.stdout.readline())['port']}"
    finally:
        process.terminate()
        process.wait()


def through_the_store(folder: Path, table: pa.Table, bundle: Bundle) -> float:
    """Events a second, straight into the store."""
    with open_store(str(folder / "plain.lbug"), bundle.schema) as store:
        store.write("events", table.slice(0, 1).set_column(6, "key", pa.array(["warm"])))
        began = time.perf_counter()
        for start in range(0, table.num_rows, ROWS):
            store.write("events", table.slice(start, ROWS))
        return table.num_rows / (time.perf_counter() - began)


def through_the_service(client: Client, table: pa.Table) -> float:
    """Events a second, over the wire."""
    events = [
        RecordedEvent(row["user"], Event(row["target"], at=row["time"]), row["key"])
        for row in table.to_pylist()
    ]
    parts = [events[at : at + STREAM_EVENTS] for at in range(0, len(events), STREAM_EVENTS)]
    client.record_events([replace(events[0], key="warm")])
    began = time.perf_counter()
    with ThreadPoolExecutor(STREAMS) as pool:
        kept = sum(recorded.recorded for recorded in pool.map(client.record_events, parts))
    assert kept == len(events)  # noqa: S101
    return kept / (time.perf_counter() - began)


def milliseconds(call: Callable[[int], Any], times: int) -> tuple[float, float]:
    """Median and 95th percentile."""
    took = []
    for turn in range(times):
        began = time.perf_counter()
        call(turn)
        took.append(1000 * (time.perf_counter() - began))
    return float(np.median(took)), float(np.percentile(took, 95))


def measure(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    bundle = build_bundle(Shape(items=args.items), np.random.default_rng(0))
    save_bundle(bundle, folder / "bundle")
    for name in ("plain", "served"):
        with open_store(str(folder / f"{name}.lbug"), bundle.schema) as store:
            fill(store, bundle, args.users, args.events)
    numbers = (args.events, args.events + args.recorded)
    table = rows(np.random.default_rng(2), bundle, args.users, numbers)
    plain = through_the_store(folder, table, bundle)
    options = ClientOptions(timeout=300)
    with serving(folder) as address, Client(address, options) as client:
        served = through_the_service(client, table)
        ids, categories = bundle.items.ids, bundle.categories.ids

        def record(turn: int) -> None:
            client.record_events([RecordedEvent("u7", Event(ids[turn]), f"one {turn}")])

        def record_and_rank(turn: int) -> None:
            client.record_events([RecordedEvent(f"u{turn}", Event(ids[turn]), f"two {turn}")])
            assert ids[turn] not in client.recommend(k=20, user=f"u{turn}").ids  # noqa: S101

        def add_and_rank(turn: int) -> None:
            client.upsert_items([Item(f"new {turn}", {}, [categories[turn]])])
            ranking = client.recommend(filter=Filter(allowed=[f"new {turn}"]))
            assert len(ranking) == 1  # noqa: S101

        alone, both, item = (
            milliseconds(call, args.times) for call in (record, record_and_rank, add_and_rank)
        )
    return {
        "events stored before": args.events,
        "events/s into the store": plain,
        "events/s through the service": served,
        "service / store": served / plain,
        "one event kept, ms": alone[0],
        "one event kept, p95 ms": alone[1],
        "one event kept and ranked with, ms": both[0],
        "one item added and ranked, ms": item[0],
        "one item added and ranked, p95 ms": item[1],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--users", type=int, default=100_000)
    parser.add_argument("--events", type=int, default=500_000, help="in the store before")
    parser.add_argument("--recorded", type=int, default=40_000)
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        result = measure(Path(folder), args)
    if args.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:<40}{value:>14,.2f}")


if __name__ == "__main__":
    main()
