"""Events into the embedded store, against the plain loop that one would write first.

    python -m benchmarks.import_rate [--events 1000000] [--json]

`write` gets chunks of 100,000 rows, checks that users and items are there, and writes no key twice;
its time includes closing the store. The plain loop creates one relationship a query, with
parameters and in one transaction; it does neither check.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import ladybug
import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.table import Table

from firstedge.graph.ladybug_store import LadybugStore
from firstedge.graph.schema import Schema

USERS, ITEMS = 20_000, 5_000
CHUNK = 100_000
SAMPLE = 2_000

TABLES = (
    "CREATE NODE TABLE User (id STRING PRIMARY KEY)",
    "CREATE NODE TABLE Item (id STRING PRIMARY KEY)",
    "CREATE REL TABLE BOUGHT (FROM User TO Item, time INT64, seq INT64, weight DOUBLE, key STRING)",
)
CREATE = """
MATCH (u:User {id: $user}), (i:Item {id: $target})
CREATE (u)-[:BOUGHT {time: $time, seq: $seq, weight: $weight, key: $key}]->(i)
"""


def make_ids(prefix: str, number: int) -> pa.Array:
    """Ids as shops have them: a word and a number."""
    return pa.array([f"{prefix}-{n:06d}" for n in range(number)])


def make_events(number: int) -> pa.Table:
    """Events of users at random on items of which a few are popular."""
    draw = np.random.default_rng(0)
    users = pa.array(draw.integers(0, USERS, number))
    items = pa.array((draw.zipf(1.3, number) - 1) % ITEMS)
    kinds = pa.array(draw.choice(3, number, p=[0.7, 0.2, 0.1]))
    return pa.table(
        {
            "user": make_ids("customer", USERS).take(users),
            "target": make_ids("product", ITEMS).take(items),
            "kind": pa.array(["view", "cart", "purchase"]).take(kinds),
            "time": pa.array(1_600_000_000_000 + 1000 * np.arange(number)),
            "seq": pa.array(np.arange(number)),
            "weight": pa.array(np.ones(number)),
            "key": make_ids("order", number),
        }
    )


def time_store(path: Path, events: pa.Table) -> float:
    """Seconds of writing events to an empty store by chunks, and of closing it."""
    store = LadybugStore(path, Schema())
    store.write("users", pa.table({"id": make_ids("customer", USERS)}))
    store.write("items", pa.table({"id": make_ids("product", ITEMS)}))
    start = time.perf_counter()
    for offset in range(0, events.num_rows, CHUNK):
        store.write("events", events.slice(offset, CHUNK))
    store.close()
    return time.perf_counter() - start


def time_loop(path: Path, events: pa.Table) -> float:
    """Seconds of creating events one by one."""
    with ladybug.Database(str(path)) as database, ladybug.Connection(database) as connection:
        for query in TABLES:
            connection.execute(query)
        for label, prefix, number in (("User", "customer", USERS), ("Item", "product", ITEMS)):
            ids = pa.table({"id": make_ids(prefix, number)})
            connection.execute(f"COPY {label} FROM $ids", {"ids": ids})
        rows = events.drop_columns("kind").to_pylist()
        start = time.perf_counter()
        connection.execute("BEGIN TRANSACTION")
        for row in rows:
            connection.execute(CREATE, row)
        connection.execute("COMMIT")
        return time.perf_counter() - start


def measure(number: int) -> dict[str, float]:
    """Rates, in events per second, and their ratio."""
    events = make_events(number)
    sample = events.slice(0, SAMPLE)
    with tempfile.TemporaryDirectory() as folder:
        ours = number / time_store(Path(folder) / "store.lbug", events)
        plain = sample.num_rows / time_loop(Path(folder) / "plain.lbug", sample)
        size = (Path(folder) / "store.lbug").stat().st_size
    return {
        "events": number,
        "write_per_s": ours,
        "loop_per_s": plain,
        "ratio": ours / plain,
        "bytes_per_event": size / number,
    }


def main() -> None:
    """Print the table, or JSON."""
    parser = argparse.ArgumentParser(description="Events a second into the embedded store.")
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    figures = measure(given.events)
    if given.json:
        print(json.dumps(figures))
        return
    table = Table("first load, embedded store", "events/s", "ratio")
    table.add_row("a plain loop of CREATE", f"{figures['loop_per_s']:,.0f}", "1.0")
    name = f"write(), {given.events:,} events by {CHUNK:,}"
    table.add_row(name, f"{figures['write_per_s']:,.0f}", f"{figures['ratio']:,.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
