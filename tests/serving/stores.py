"""A store of users of the random bundle, dirt included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from firstedge.graph.store import GraphStore, open_store
from firstedge.models.bundle import Bundle

NUM_USERS = 40


def write_store(path: Path, bundle: Bundle, seed: int = 8) -> None:
    """An embedded store, filled."""
    with open_store(str(path), bundle.schema) as store:
        fill_store(store, bundle, seed)


def fill_store(store: GraphStore, bundle: Bundle, seed: int = 8) -> None:
    """Forty users; the first has no event, and some events are on an item unknown to the bundle."""
    rng = np.random.default_rng(seed)
    n = 400
    items, categories = (*bundle.items.ids, "unheard-of"), bundle.categories.ids
    kinds = rng.choice(["view", "cart", "purchase", "return", "interest"], n)
    targets = [
        categories[rng.integers(len(categories))] if kind == "interest" else rng.choice(items)
        for kind in kinds
    ]
    users = [f"u{row:02d}" for row in range(NUM_USERS)]
    times = rng.integers(0, 50, n)
    events = {
        "user": rng.choice(users[1:], n),
        "target": targets,
        "kind": kinds,
        "time": pa.array([None if time > 45 else int(time) for time in times], pa.int64()),
        "seq": pa.array(np.arange(n)),
        "weight": pa.array(
            [None if row % 3 else 0.5 * (row % 4) for row in range(n)], pa.float64()
        ),
        "key": [f"e{row}" for row in range(n)],
    }
    countries = ["UK", "DE", None, " ", "FR"]
    store.write(
        "users",
        pa.table({"id": users, "country": [countries[row % 5] for row in range(NUM_USERS)]}),
    )
    fill_items(store, bundle)
    store.write("items", pa.table({"id": ["unheard-of"]}))
    store.write("events", pa.table(events))


def fill_items(store: GraphStore, bundle: Bundle) -> None:
    """Items and categories as the bundle knows them."""
    table = bundle.table
    stored = {name: list(table.properties[name]) for name in bundle.schema.item.properties}
    if bundle.schema.item.available:
        stored[bundle.schema.item.available] = table.available.tolist()
    store.write("items", pa.table({"id": bundle.items.ids, **stored}))
    ids = bundle.categories.ids
    parents = [None if row < 0 else ids[row] for row in table.parents]
    columns = [ids, table.category_names, pa.array(parents, pa.string()), [False] * len(ids)]
    store.write("categories", pa.table(columns, ["id", "name", "parent", "derived"]))
    of, categories = table.memberships.matrix().nonzero()
    pairs = [[bundle.items.ids[row] for row in of], [ids[row] for row in categories]]
    store.write("item_categories", pa.table(pairs, ["item", "category"]))
