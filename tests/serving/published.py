"""A published shop that uses every term of the score, and what the library answers about it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from firstedge.graph.neo4j_store import Neo4jStore
from firstedge.graph.queries import render
from firstedge.graph.store import COLUMNS, open_store
from firstedge.models.bundle import Bundle
from firstedge.models.scorer import Scorer
from firstedge.models.topk import top_k
from firstedge.serving.cypher_filter import filter_values
from firstedge.serving.filter import EVERYTHING, Filter
from firstedge.serving.item_index import ItemIndex
from firstedge.serving.store_users import StoreUsers, read_users
from tests.models.bundles import random_bundle
from tests.serving.stores import write_store

NEAR = 1e-4  # scores closer than this may swap places


def shop_bundle(num_items: int = 300, seed: int = 3) -> Bundle:
    """A random model, by its seed, of one shop whose items have properties and a flag."""
    shop = random_bundle(num_items, seed=3)
    bundle = replace(random_bundle(num_items, seed=seed), table=shop.table)
    rng = np.random.default_rng(3)
    colours = [
        None if c == "none" else str(c) for c in rng.choice(["red", "blue", "none"], num_items)
    ]
    tags = [list(map(str, rng.choice(["new", "sale", "eco"], 2, False))) for _ in range(num_items)]
    item = bundle.schema.item.model_copy(
        update={"properties": ("price", "colour", "tags"), "available": "in_stock"}
    )
    properties = {**bundle.table.properties, "colour": tuple(colours), "tags": tuple(tags)}
    return replace(
        bundle,
        schema=bundle.schema.model_copy(update={"item": item}),
        table=replace(bundle.table, properties=properties),
    )


def fill(url: str, bundle: Bundle) -> None:
    """The shop of a bundle, users with all kinds of events and strangers with 0 to 10."""
    write_store(url, bundle)  # type: ignore[arg-type]
    table, ids = bundle.table, bundle.items.ids
    properties = {name: pa.array(values) for name, values in table.properties.items()}
    flags = pa.array([None if row % 2 and a else bool(a) for row, a in enumerate(table.available)])
    members = np.flatnonzero(table.primary >= 0)
    parents = [None if p < 0 else bundle.categories.ids[p] for p in table.parents]
    empty = pa.nulls(len(parents), pa.string())
    with open_store(url, bundle.schema) as store:
        store.write("items", pa.table({"id": ids, **properties, "in_stock": flags}))
        categories = {"id": bundle.categories.ids, "name": empty, "parent": parents}
        derived = pa.nulls(len(parents), pa.bool_())
        store.write("categories", pa.table({**categories, "derived": derived}))
        store.write(
            "item_categories",
            pa.table(
                {
                    "item": [ids[row] for row in members],
                    "category": [bundle.categories.ids[table.primary[row]] for row in members],
                }
            ),
        )
        store.write("users", pa.table({"id": [f"new{k}" for k in range(11)]}))
        store.write("events", strangers(bundle))


def strangers(bundle: Bundle) -> pa.Table:
    rng = np.random.default_rng(2)
    rows = [
        (f"new{k}", str(item), "purchase", None, place, 1.0, f"new{k}-{place}")
        for k in range(11)
        for place, item in enumerate(rng.choice(bundle.items.ids, k, False))
    ]
    columns = [
        pa.array(column, field.type)
        for column, field in zip(zip(*rows, strict=True), COLUMNS["events"], strict=True)
    ]
    return pa.table(columns, schema=COLUMNS["events"])


@dataclass
class Library:
    """What the library answers about the users of a store."""

    bundle: Bundle
    users: StoreUsers

    @classmethod
    def of(cls, store: Neo4jStore, bundle: Bundle) -> Library:
        return cls(bundle, read_users(store, bundle))

    def scores(self, user: str, filter: Filter = EVERYTHING) -> np.ndarray[Any, Any]:  # noqa: A002
        row = self.users.ids.row(user)
        batch = self.users.users.take(row, row + 1)
        scores = Scorer(self.bundle).score(batch)[0]
        mask = ItemIndex(self.bundle).mask(filter)
        if mask is not None:
            scores[~mask] = -np.inf
        if filter.exclude_given:
            items = batch.given.targets[batch.given.targets < len(self.bundle.items)]
            scores[items] = -np.inf
        return scores


def ask(store: Neo4jStore, query: str, **values: Any) -> list[dict[str, Any]]:
    """Rows of a published query, as any driver gives them."""
    return store.link.read(lambda tx: tx.run(query, values).data())  # type: ignore[arg-type]


def difference(
    store: Neo4jStore,
    library: Library,
    user: str,
    filter: Filter = EVERYTHING,  # noqa: A002
    candidates: int | None = None,
    k: int = 20,
) -> str:
    """How the answer of the query differs from the library's; "" if it does not."""
    values = {"user": user, "k": k, "filter": filter_values(filter), "candidates": candidates}
    rows = ask(store, render(library.bundle.schema, "recommend"), **values)
    scores = library.scores(user, filter)
    best = top_k(scores, k)
    found = library.bundle.items.rows([row["id"] for row in rows])
    if len(found) != len(best) or len(set(found.tolist())) != len(best):
        return f"{user}: {len(found)} items, expected {len(best)}"
    if not len(best):
        return ""
    apart = np.abs(scores[found] - scores[best]).max()
    answered = np.array([row["score"] for row in rows])
    right = np.allclose(answered, scores[found], rtol=1e-5, atol=NEAR)
    if apart < NEAR and right:
        return ""
    lost = [library.bundle.items.ids[row] for row in best if row not in found]
    return f"{user} {filter}: {lost} lost, apart {apart}, scores {'right' if right else 'wrong'}"
