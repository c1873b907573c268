"""A store of users of the random bundle, dirt included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa

from firstedge.graph.store import open_store
from firstedge.models.bundle import Bundle

NUM_USERS = 40


def write_store(path: Path, bundle: Bundle, seed: int = 8) -> None:
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
    with open_store(str(path), bundle.schema) as store:
        store.write(
            "users",
            pa.table({"id": users, "country": [countries[row % 5] for row in range(NUM_USERS)]}),
        )
        store.write("items", pa.table({"id": items}))
        empty = pa.nulls(len(categories), pa.string())
        flags = pa.nulls(len(categories), pa.bool_())
        store.write(
            "categories",
            pa.table({"id": categories, "name": categories, "parent": empty, "derived": flags}),
        )
        store.write("events", pa.table(events))
