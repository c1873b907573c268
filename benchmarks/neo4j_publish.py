"""How fast a model goes into a real Neo4j server, and how fast Cypher answers a stranger there.

    python benchmarks/neo4j_publish.py --demo demo

The shop and the model are those of `make demo`; what is missing of them is made first. Customers
with 0 to 10 products, written as a shop's own program would, are the strangers. Ratios are of one
run on one machine, server and client sharing its cores.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from neo4j import GraphDatabase, Session

from firstedge.cli import main as firstedge
from firstedge.graph.neo4j_publication import EdgeColumns, Publication
from firstedge.graph.neo4j_slots import Slot
from firstedge.graph.neo4j_store import Neo4jStore
from firstedge.graph.queries import render
from firstedge.graph.store import COLUMNS, open_store
from firstedge.models.bundle import Bundle
from firstedge.models.bundle_file import load_bundle
from firstedge.serving.publish import publish

sys.path.insert(0, str(Path(__file__).parent.parent / "deploy"))
from neo4j_server import LTS, Neo4jServer

ROOT = Path(__file__).resolve().parent.parent

# What most people write first.
NAIVE_EDGES = """
UNWIND $rows AS row
MATCH (source:Product {id: row.source})
MATCH (target:Product {id: row.target})
MERGE (source)-[e:NAIVE]->(target)
SET e.weight = row.weight
"""
STRANGERS_BY_K, SAMPLE, EDGES = 6, 4_000, 100_000
# Where the query ends early to see what its steps take: the text before, and what is returned.
STEPS = (
    ("events", "// 2.", "RETURN size(events)"),
    ("edges that speak", "// 3.", "RETURN size(given)"),
    ("vector of the user", "// 4.", "RETURN length"),
    ("index", "CALL (m, items) {", "RETURN size(hits)"),
    ("neighbours", "CALL (m, had, hits, near) {", "RETURN size(near)"),
    ("filter", "// 5.", "RETURN size(rows)"),
    ("ranking", "\x00", ""),
)


def make_demo(folder: Path) -> None:
    """Import the sample shop and train, if that has not been done."""
    shop = ["--schema", str(ROOT / "data" / "online_retail.toml")]
    shop += ["--store", str(folder / "shop.lbug")]
    os.environ["FIRSTEDGE_CACHE"] = str(folder / "cache")
    model = ["--bundle", str(folder / "bundle")]
    steps = (["import", *shop, "--rejects", str(folder / "rejects")], ["categorize", *shop])
    for step in (*steps, ["train", *shop, *model]):
        try:
            firstedge([*step, "--json"])
        except SystemExit as ended:
            if ended.code:
                raise


def copy_shop(source: Path, store: Neo4jStore) -> list[str]:
    """The catalogue, and strangers with the first purchases of customers; their ids."""
    with open_store(str(source), store.schema, read_only=True) as shop:
        for table in ("items", "categories", "item_categories"):
            store.write(table, shop.read(table))  # type: ignore[arg-type]
        customers = shop.read("users").slice(0, 11 * STRANGERS_BY_K)
        ids = customers["id"].to_pylist()
        events = shop.read_events(ids).to_pylist()
    events.sort(key=lambda event: (event["user"], event["time"], event["seq"]))
    rows, names = [], []
    for at, (id_, country) in enumerate(zip(ids, customers["country"].to_pylist(), strict=True)):
        k = at % 11
        mine = [event for event in events if event["user"] == id_ and event["kind"] == "purchase"]
        kept = list(dict.fromkeys(event["target"] for event in mine))[:k]
        names.append((id_, country))
        rows += [event for event in mine if event["target"] in kept]
    users = {"id": [name for name, _ in names], "country": [country for _, country in names]}
    store.write("users", pa.table(users))
    store.write("events", pa.Table.from_pylist(rows, COLUMNS["events"]))
    return list(users["id"])


def rates(store: Neo4jStore, session: Session, bundle: Bundle, rounds: int) -> dict[str, float]:
    """Median rates of writing, rows per second."""
    publication, slot = Publication(store.link, bundle.schema), Slot("a")
    publication.prepare()
    items = publication.find("item", bundle.items.ids)
    edges = bundle.edges
    sources = np.repeat(np.arange(len(bundle.items)), np.diff(edges.offsets))
    found: dict[str, list[float]] = {"vectors": [], "edges": [], "edges, MERGE": []}
    for turn in range(rounds + 1):
        publication.claim(slot)
        w = np.resize(bundle.w, (len(bundle.items), 64))
        seconds = timed(lambda w=w: publication.write_vectors(slot, "item", items, {slot.input: w}))
        part = slice(0, EDGES)
        columns = EdgeColumns(
            sources[part],
            edges.targets[part].astype(np.int64),
            edges.weights[part],
            edges.counts[part].astype(np.int64),
        )
        edge_seconds = timed(lambda c=columns: publication.write_edges(slot, items, c))
        few = slice(turn * SAMPLE, (turn + 1) * SAMPLE)
        ids = bundle.items.ids
        rows = [
            {"source": ids[s], "target": ids[t], "weight": w}
            for s, t, w in zip(
                sources[few].tolist(),
                edges.targets[few].tolist(),
                edges.weights[few].tolist(),
                strict=True,
            )
        ]
        merge_seconds = timed(lambda r=rows: session.run(NAIVE_EDGES, rows=r).consume())
        if turn:  # the first is for the server to compile itself
            found["vectors"].append(len(w) / seconds)
            found["edges"].append(len(columns.weights) / edge_seconds)
            found["edges, MERGE"].append(SAMPLE / merge_seconds)
    session.run("MATCH ()-[e:NAIVE]->() CALL (e) { DELETE e } IN TRANSACTIONS").consume()
    return {name: statistics.median(values) for name, values in found.items()}


def timed(work: Callable[[], object]) -> float:
    """Seconds."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def latencies(
    session: Session, query: str, users: list[str], rounds: int
) -> dict[str, dict[str, float]]:
    """p50 and p95 in milliseconds of the whole query and of its beginnings."""

    def ask(text: str, user: str) -> float:
        values: dict[str, Any] = {"user": user, "k": 20, "filter": {}, "candidates": None}
        return 1000 * timed(lambda: session.run(text, values).data())  # type: ignore[arg-type]

    texts = {name: query.split(end)[0] + tail for name, end, tail in STEPS}
    for _ in range(2 * rounds):
        for user in users:
            ask(query, user)
    found = {}
    for name, text in texts.items():
        for user in users:
            ask(text, user)
        times = sorted(ask(text, user) for _ in range(rounds) for user in users)
        p95 = times[int(0.95 * len(times))]
        found[name] = {"p50": statistics.median(times), "p95": p95}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--demo", type=Path, default=ROOT / "demo", help="folder of `make demo`")
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--version", default=LTS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if not (given.demo / "bundle" / "current").exists():
        make_demo(given.demo)
    bundle = load_bundle(given.demo / "bundle")
    with tempfile.TemporaryDirectory() as home, Neo4jServer(Path(home), given.version) as server:
        os.environ["NEO4J_PASSWORD"] = server.password
        auth = ("neo4j", server.password)
        driver = GraphDatabase.driver(server.url, auth=auth, notifications_min_severity="OFF")
        with Neo4jStore(server.url, bundle.schema) as store, driver, driver.session() as session:
            users = copy_shop(given.demo / "shop.lbug", store)
            rate = rates(store, session, bundle, given.rounds)
            done = publish(store, bundle)
            query = render(bundle.schema, "recommend")
            taken = latencies(session, query, users, given.rounds)
    whole = taken["ranking"]
    figures = {
        "vectors of 64 a second": rate["vectors"],
        "edges a second": rate["edges"],
        "edges / MERGE": rate["edges"] / rate["edges, MERGE"],
        "stranger p50 ms": whole["p50"],
        "stranger p95 ms": whole["p95"],
    }
    if given.json:
        print(json.dumps({"figures": figures, "steps": taken, "candidates": done.candidates}))
        return
    print(f"Neo4j {given.version}, {done.items:,} items, {done.edges:,} edges\n")
    for name, value in figures.items():
        print(f"{name:28}{value:12,.1f}")
    print(f"\nA stranger's query up to each step, {done.candidates} candidates: p50, p95 ms")
    for name, times in taken.items():
        print(f"{name:28}{times['p50']:12.1f}{times['p95']:12.1f}")


if __name__ == "__main__":
    main()
