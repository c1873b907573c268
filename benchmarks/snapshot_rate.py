"""Store to HeteroData: columns at a time against the loop that one writes first.

    python -m benchmarks.snapshot_rate [--events 200000] [--json]

The plain loop asks the database for rows one by one, looks ids up in dicts and appends to lists.
Both open the same embedded store and build the same graph, in turn; the best round of each counts.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import ladybug
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch_geometric.data import HeteroData

from firstedge.graph.histories import NO_TIME
from firstedge.graph.schema import Schema
from firstedge.graph.store import GraphStore, open_store
from firstedge.loaders.snapshot import read_snapshot

KINDS = ("view", "cart", "purchase")
LABELS = {"user": "User", "item": "Item", "category": "Category"}
TREE = {
    ("item", "in_category", "category"): "IN_CATEGORY",
    ("category", "child_of", "category"): "CHILD_OF",
}


def write_shop(store: GraphStore, events: int) -> None:
    """A user for ten events, an item for twenty, fifty categories."""
    draw = np.random.default_rng(7)
    num_users, num_items, num_categories = events // 10, events // 20, 50

    def ids(prefix: str, numbers: np.ndarray) -> pa.Array:
        return pc.binary_join_element_wise(prefix, pa.array(numbers).cast(pa.string()), "")

    items = ids("i", np.arange(num_items))
    categories = ids("c", np.arange(num_categories))
    parents = pa.array(np.arange(num_categories) % 7, mask=np.arange(num_categories) < 7)
    store.write("users", pa.table({"id": ids("u", np.arange(num_users))}))
    store.write("items", pa.table({"id": items}))
    store.write(
        "categories",
        pa.table(
            {
                "id": categories,
                "name": categories,
                "parent": ids("c", parents),
                "derived": np.zeros(num_categories, bool),
            }
        ),
    )
    of = ids("c", draw.integers(7, num_categories, num_items))
    store.write("item_categories", pa.table({"item": items, "category": of}))
    store.write(
        "events",
        pa.table(
            {
                "user": ids("u", draw.integers(0, num_users, events)),
                "target": ids("i", (num_items * draw.power(0.5, events)).astype(np.int64)),
                "kind": pa.array(KINDS).take(pa.array(draw.integers(0, 3, events))),
                "time": pa.array(draw.integers(1_700_000_000_000, 1_730_000_000_000, events)),
                "seq": pa.array(np.zeros(events, np.int64)),
                "weight": pa.array(np.ones(events)),
                "key": ids("k", np.arange(events)),
            }
        ),
    )


def read_plainly(path: Path) -> HeteroData:
    """The same graph through a cursor, one row at a time."""
    schema, data = Schema(), HeteroData()
    with ladybug.Database(path, read_only=True) as database, ladybug.Connection(database) as db:

        def rows(query: str) -> Iterator[list[Any]]:
            with db.execute(query) as found:  # type: ignore[union-attr]
                while found.has_next():
                    yield cast(list[Any], found.get_next())

        place: dict[str, dict[str, int]] = {}
        for node, label in LABELS.items():
            ids = sorted(id_ for (id_,) in rows(f"MATCH (n:{label}) RETURN n.id"))
            place[node] = {id_: row for row, id_ in enumerate(ids)}
            data[node].x = torch.zeros((len(ids), 0))
            data[node].num_nodes = len(ids)
        for kind in KINDS:
            found = rows(
                f"MATCH (u:User)-[e:{schema.kind[kind].type}]->(i:Item) "
                "RETURN u.id, i.id, e.time, e.weight"
            )
            users, items, times, weights = [], [], [], []
            for user, item, moment, weight in found:
                users.append(place["user"][user])
                items.append(place["item"][item])
                times.append(NO_TIME if moment is None else moment)
                weights.append(1.0 if weight is None else weight)
            more = {"edge_time": torch.tensor(times), "edge_weight": torch.tensor(weights)}
            add_edges(data, ("user", kind, "item"), [users, items], more)
        for (source, relation, target), type_ in TREE.items():
            ends: list[list[int]] = [[], []]
            match = f"MATCH (a:{LABELS[source]})-[:{type_}]->(b:{LABELS[target]}) "
            for one, other in rows(f"{match} RETURN a.id, b.id"):
                ends[0].append(place[source][one])
                ends[1].append(place[target][other])
            add_edges(data, (source, relation, target), ends, {})
    return data


def add_edges(
    data: HeteroData,
    edge: tuple[str, str, str],
    ends: list[list[int]],
    more: dict[str, torch.Tensor],
) -> None:
    source, relation, target = edge
    for name, index in ((edge, ends), ((target, f"rev_{relation}", source), ends[::-1])):
        data[name].edge_index = torch.tensor(index)
        data[name].update(more)


def read_columns(path: Path) -> HeteroData:
    with open_store(str(path), read_only=True) as store:
        return read_snapshot(store).hetero()


def seconds(read: Callable[[Path], HeteroData], path: Path) -> float:
    start = time.perf_counter()
    read(path)
    return time.perf_counter() - start


def same(one: HeteroData, other: HeteroData) -> bool:
    """Whether both have the same edges, in whatever order."""
    return all(
        sorted(one[edge].edge_index.T.tolist()) == sorted(other[edge].edge_index.T.tolist())
        for edge in other.edge_types
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "shop.lbug"
        with open_store(str(path)) as store:
            write_shop(store, args.events)
        if not same(read_columns(path), read_plainly(path)):
            raise SystemExit("the two ways read different graphs")
        rounds = [
            (seconds(read_columns, path), seconds(read_plainly, path)) for _ in range(args.rounds)
        ]
    columns, plain = (min(column) for column in zip(*rounds, strict=True))
    result = {
        "events": args.events,
        "seconds": round(columns, 3),
        "row_by_row_seconds": round(plain, 3),
        "ratio": round(plain / columns, 1),
    }
    if args.json:
        print(json.dumps(result))
        return
    print(f"{args.events:,} events, embedded store to HeteroData, best of {args.rounds} rounds")
    print(f"  read_snapshot(store).hetero()  {columns:6.2f} s")
    print(f"  row by row                     {plain:6.2f} s")
    print(f"  ratio {result['ratio']}")


if __name__ == "__main__":
    main()
