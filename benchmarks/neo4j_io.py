"""How fast events go into a real Neo4j server and come out again, against the plain ways.

    python -m benchmarks.neo4j_io --events 200000

Ratios are of one run on one machine, server and client sharing its cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import LiteralString

import numpy as np
import pyarrow as pa
from neo4j import GraphDatabase, Session

from firstedge.graph.neo4j_store import Neo4jStore
from firstedge.graph.schema import Schema
from firstedge.graph.store import COLUMNS

sys.path.insert(0, str(Path(__file__).parent.parent / "deploy"))
from neo4j_server import LTS, Neo4jServer

# What most people write first. Without constraints every MERGE of a node is a scan, so that the
# rate falls with the number of nodes; with them it is a search in an index.
MERGE_BARE = """
UNWIND $rows AS row
MERGE (u:BareUser {id: row.user})
MERGE (i:BareItem {id: row.target})
MERGE (u)-[e:BARE {key: row.key}]->(i)
SET e.time = row.time, e.seq = row.seq, e.weight = row.weight
"""
MERGE_CONSTRAINED = """
UNWIND $rows AS row
MERGE (u:User {id: row.user})
MERGE (i:Item {id: row.target})
MERGE (u)-[e:VIEWED {key: row.key}]->(i)
SET e.time = row.time, e.seq = row.seq, e.weight = row.weight
"""
NAIVE_READ = """
MATCH (u:User)-[e:VIEWED]->(i:Item)
RETURN u.id, i.id, e.time, e.seq, e.weight, e.key
"""
SERVER_COUNT = """
MATCH (u:User)-[e:VIEWED]->(i:Item)
RETURN count(u.id), count(i.id), count(e.time), count(e.seq), count(e.weight), count(e.key)
"""
CHUNK = 10_000
SAMPLE = 2_000
NUM_USERS, NUM_ITEMS = 5_000, 3_000


def make_events(number: int, seed: int) -> pa.Table:
    """Events of 5,000 users with 3,000 items, some far more popular than others."""
    rng = np.random.default_rng(seed)
    users = rng.integers(0, NUM_USERS, number)
    items = (rng.random(number) ** 2 * NUM_ITEMS).astype(np.int64)
    return pa.table(
        {
            "user": [f"u{row:06d}" for row in users],
            "target": [f"i{row:06d}" for row in items],
            "kind": ["view"] * number,
            "time": 1_700_000_000_000 + np.arange(number),
            "seq": np.arange(number),
            "weight": np.ones(number),
            "key": [f"{key:016x}" for key in rng.integers(0, 1 << 62, number)],
        },
        schema=COLUMNS["events"],
    )


def write_ours(store: Neo4jStore, events: pa.Table) -> None:
    for start in range(0, events.num_rows, CHUNK):
        store.write("events", events.slice(start, CHUNK))


def write_naive(session: Session, query: LiteralString, events: pa.Table) -> None:
    rows = events.to_pylist()
    session.execute_write(lambda tx: tx.run(query, rows=rows).consume())


def read_naive(session: Session) -> int:
    rows = [tuple(record) for record in session.run(NAIVE_READ)]
    return len(pa.table([list(column) for column in zip(*rows, strict=True)], list("abcdef")))


def rate(number: int, work: Callable[[], object]) -> float:
    """Events per second."""
    start = time.perf_counter()
    work()
    return number / (time.perf_counter() - start)


def measure(store: Neo4jStore, session: Session, number: int, rounds: int) -> dict[str, float]:
    """Median rates in events per second; in each round the ways follow each other."""
    store.write("users", pa.table({"id": [f"u{row:06d}" for row in range(NUM_USERS)]}))
    store.write("items", pa.table({"id": [f"i{row:06d}" for row in range(NUM_ITEMS)]}))
    naive = {"MERGE, bare": MERGE_BARE, "MERGE, constrained": MERGE_CONSTRAINED}
    write_ours(store, make_events(5 * CHUNK, seed=0))  # the server compiles itself
    for query in naive.values():
        write_naive(session, query, make_events(SAMPLE, seed=1))
    found: dict[str, list[float]] = defaultdict(list)
    for seed in range(2, 2 + 2 * rounds, 2):
        events, few = make_events(number // rounds, seed), make_events(SAMPLE, seed + 1)
        found["write"].append(rate(len(events), partial(write_ours, store, events)))
        for name, query in naive.items():
            found[name].append(rate(len(few), partial(write_naive, session, query, few)))
    stored = store.counts()["events.view"]
    ways: dict[str, Callable[[], object]] = {
        "read": store.read_events,
        "a row an event": partial(read_naive, session),
        "the server's count": lambda: session.run(SERVER_COUNT).consume(),
    }
    for work in ways.values():
        work()
    for _ in range(rounds):
        for name, work in ways.items():
            found[name].append(rate(stored, work))
    return {name: statistics.median(rates) for name, rates in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--version", default=LTS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as home,
        Neo4jServer(Path(home), given.version) as server,
    ):
        os.environ["NEO4J_PASSWORD"] = server.password
        driver = GraphDatabase.driver(server.url, auth=("neo4j", server.password))
        with Neo4jStore(server.url, Schema()) as store, driver, driver.session() as session:
            rates = measure(store, session, given.events, given.rounds)
    ratios = [
        ("write / MERGE, bare", rates["write"] / rates["MERGE, bare"], 8.0),
        ("write / MERGE, constrained", rates["write"] / rates["MERGE, constrained"], 1.0),
        ("read / a row an event", rates["read"] / rates["a row an event"], 4.0),
        ("read / the server's count", rates["read"] / rates["the server's count"], 0.5),
    ]
    if given.json:
        print(json.dumps({"rates": rates, "ratios": {name: value for name, value, _ in ratios}}))
        return
    print(f"Neo4j {given.version}, {given.events:,} events, median of {given.rounds} rounds\n")
    for name, value in rates.items():
        print(f"{name:34}{value:12,.0f} events/s")
    for name, value, goal in ratios:
        print(f"{name:34}{value:12.2f} x   (goal {goal:g})")


if __name__ == "__main__":
    main()
