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
import torch
from neo4j import GraphDatabase, Session
from torch_geometric.data import HeteroData

from firstedge.graph.neo4j_store import Neo4jStore
from firstedge.graph.schema import ItemNames, Kind, Schema, UserNames
from firstedge.graph.store import COLUMNS
from firstedge.loaders.snapshot import read_snapshot

sys.path.insert(0, str(Path(__file__).parent.parent / "deploy"))
from neo4j_server import LTS, Neo4jServer

# What most people write first. Without constraints every MERGE of a node is a scan, so that the
# rate falls with the number of nodes; with them it is a search in an index. Our own constraint on
# the events' key, which few people think of, makes even the third MERGE a search.
MERGE_BARE = """
UNWIND $rows AS row
MERGE (u:BareUser {id: row.user})
MERGE (i:BareItem {id: row.target})
MERGE (u)-[e:BARE {key: row.key}]->(i)
SET e.time = row.time, e.seq = row.seq, e.weight = row.weight
"""
MERGE_NODES = """
UNWIND $rows AS row
MERGE (u:KeyedUser {id: row.user})
MERGE (i:KeyedItem {id: row.target})
MERGE (u)-[e:KEYED {key: row.key}]->(i)
SET e.time = row.time, e.seq = row.seq, e.weight = row.weight
"""
KEYED: tuple[LiteralString, ...] = (
    "CREATE CONSTRAINT FOR (n:KeyedUser) REQUIRE n.id IS UNIQUE",
    "CREATE CONSTRAINT FOR (n:KeyedItem) REQUIRE n.id IS UNIQUE",
)
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
NAIVE_IDS: dict[str, LiteralString] = {
    "User": "MATCH (u:User) RETURN u.id",
    "Item": "MATCH (i:Item) RETURN i.id",
}
SERVER_COUNT = """
MATCH (u:User)-[e:VIEWED]->(i:Item)
RETURN count(u.id), count(i.id), count(e.time), count(e.seq), count(e.weight), count(e.key)
"""
# The same shop as somebody else would have it: numbers for ids, times as datetimes, neither keys
# nor constraints.
FOREIGN_NODES: tuple[LiteralString, ...] = (
    "MATCH (u:User) CREATE (:Customer {no: toInteger(substring(u.id, 1))})",
    "MATCH (i:Item) CREATE (:Product {sku: toInteger(substring(i.id, 1))})",
    "CREATE INDEX FOR (n:Customer) ON (n.no)",
    "CREATE INDEX FOR (n:Product) ON (n.sku)",
    "CALL db.awaitIndexes(60)",
)
FOREIGN_EVENTS: LiteralString = """
MATCH (u:User)-[e:VIEWED]->(i:Item)
CALL (u, e, i) {
  MATCH (c:Customer {no: toInteger(substring(u.id, 1))})
  MATCH (p:Product {sku: toInteger(substring(i.id, 1))})
  CREATE (c)-[:BOUGHT {at: datetime({epochMillis: e.time})}]->(p)
} IN TRANSACTIONS OF 20000 ROWS
"""
FOREIGN = Schema(
    user=UserNames(label="Customer", key="no"),
    item=ItemNames(label="Product", key="sku"),
    kind={"purchase": Kind(type="BOUGHT", time="at", time_unit="datetime")},
)
GOALS = (
    ("write", "MERGE, bare", 8.0),
    ("write", "MERGE, nodes constrained", 1.0),
    ("write", "MERGE, all constrained", 1.0),
    ("read", "a row an event", 4.0),
    ("read", "the server's count", 0.5),
    ("read, a foreign graph", "read", 1.0),
    ("refresh, 1 % is new", "read", 1.0),
)
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


def read_naive(session: Session) -> HeteroData:
    """The graph by the loop that one writes first: a row an event, ids looked up in dicts."""
    place: dict[str, dict[str, int]] = {}
    data = HeteroData()
    for node in ("User", "Item"):
        ids = sorted(id_ for (id_,) in session.run(NAIVE_IDS[node]))
        place[node] = {id_: row for row, id_ in enumerate(ids)}
        data[node.lower()].num_nodes = len(ids)
    users, items, times, weights = [], [], [], []
    for user, item, moment, _, weight, _ in session.run(NAIVE_READ):
        users.append(place["User"][user])
        items.append(place["Item"][item])
        times.append(moment)
        weights.append(weight)
    edges = data["user", "view", "item"]
    edges.edge_index = torch.tensor([users, items])
    edges.edge_time, edges.edge_weight = torch.tensor(times), torch.tensor(weights)
    return data


def rate(number: int, work: Callable[[], object]) -> float:
    """Events per second."""
    start = time.perf_counter()
    work()
    return number / (time.perf_counter() - start)


def measure_writes(
    store: Neo4jStore, session: Session, number: int, rounds: int
) -> dict[str, float]:
    """Median rates in events per second; in each round the ways follow each other."""
    store.write("users", pa.table({"id": [f"u{row:06d}" for row in range(NUM_USERS)]}))
    store.write("items", pa.table({"id": [f"i{row:06d}" for row in range(NUM_ITEMS)]}))
    for query in KEYED:
        session.run(query).consume()
    naive = {
        "MERGE, bare": MERGE_BARE,
        "MERGE, nodes constrained": MERGE_NODES,
        "MERGE, all constrained": MERGE_CONSTRAINED,
    }
    write_ours(store, make_events(5 * CHUNK, seed=0))  # the server compiles itself
    for query in naive.values():
        write_naive(session, query, make_events(SAMPLE, seed=1))
    found: dict[str, list[float]] = defaultdict(list)
    for seed in range(2, 2 + 2 * rounds, 2):
        events, few = make_events(number // rounds, seed), make_events(SAMPLE, seed + 1)
        found["write"].append(rate(len(events), partial(write_ours, store, events)))
        for name, query in naive.items():
            found[name].append(rate(len(few), partial(write_naive, session, query, few)))
    return medians(found)


def measure_reads(store: Neo4jStore, session: Session, rounds: int) -> dict[str, float]:
    """Median rates in events per second, of a store to PyG's HeteroData in several ways."""
    for query in (*FOREIGN_NODES, FOREIGN_EVENTS):
        session.run(query).consume()
    stored = store.counts()["events.view"]
    earlier = read_snapshot(store)
    write_ours(store, make_events(stored // 100, seed=99).set_column(*later(stored)))
    now = store.counts()["events.view"]
    with Neo4jStore(store.url, FOREIGN) as foreign:
        ways: dict[str, tuple[int, Callable[[], object]]] = {
            "read": (now, lambda: read_snapshot(store).hetero()),
            "events alone, as Arrow": (now, store.read_events),
            "a row an event": (now, partial(read_naive, session)),
            "the server's count": (now, lambda: session.run(SERVER_COUNT).consume()),
            "read, a foreign graph": (stored, lambda: read_snapshot(foreign).hetero()),
            "refresh, 1 % is new": (now, lambda: read_snapshot(store, earlier=earlier).hetero()),
        }
        found: dict[str, list[float]] = defaultdict(list)
        for at in range(rounds + 2):
            for name, (number, work) in ways.items():
                one = rate(number, work)
                if at > 1:  # by then the server has compiled itself
                    found[name].append(one)
    return medians(found)


def later(first: int) -> tuple[int, str, pa.Array]:
    """The column of times, after all that were there."""
    times = 1_700_000_000_000 + first + np.arange(first // 100)
    return COLUMNS["events"].get_field_index("time"), "time", pa.array(times)


def medians(found: dict[str, list[float]]) -> dict[str, float]:
    return {name: statistics.median(rates) for name, rates in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=5)
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
            rates = measure_writes(store, session, given.events, given.rounds)
            rates |= measure_reads(store, session, given.rounds)
    ratios = [(f"{one} / {other}", rates[one] / rates[other], goal) for one, other, goal in GOALS]
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
