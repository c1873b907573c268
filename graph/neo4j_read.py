"""Reading users, items, categories and memberships from Neo4j into Arrow columns."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from neo4j import ManagedTransaction

from firstedge.graph.cypher import load, node_names
from firstedge.graph.neo4j_keys import key_forms
from firstedge.graph.schema import CategoryNames, ItemNames, Schema, UserNames
from firstedge.graph.store import COLUMNS

NodeTable = Literal["users", "items", "categories", "item_categories"]
Keys = list[str | int] | None


def read_nodes(
    tx: ManagedTransaction, schema: Schema, table: NodeTable, ids: Sequence[str] | None = None
) -> pa.Table:
    """Rows of a table, as `GraphStore.read` gives them."""
    forms = None if ids is None else key_forms(dict.fromkeys(ids))
    if table == "users":
        return _read_label(tx, schema.user, schema.user.fields, forms)
    if table == "items":
        return _read_label(tx, schema.item, schema.item.fields, forms)
    if table == "categories":
        return _read_categories(tx, schema, forms)
    return _read_members(tx, schema, forms)


def _read_label(
    tx: ManagedTransaction,
    names: UserNames | ItemNames | CategoryNames,
    fields: Sequence[str],
    chosen: Keys,
) -> pa.Table:
    ids: list[str] = []
    columns: list[list[Any]] = [[] for _ in fields]
    file = "read_nodes" if chosen is None else "read_nodes_of"
    query = load("neo4j", file, {"label": names.label, "key": names.key})
    for record in tx.run(query, {"fields": list(fields), "ids": chosen}):
        ids += record["ids"]
        for column, page in zip(columns, record["columns"], strict=True):
            column += page
    arrays = [pa.array(ids, pa.string()), *map(property_column, columns)]
    return pa.table(arrays, names=["id", *fields]).sort_by("id")


def _read_categories(tx: ManagedTransaction, schema: Schema, chosen: Keys) -> pa.Table:
    names = schema.category
    found = _read_label(tx, names, (names.name, "derived"), chosen)
    parents: dict[str, str] = {
        record["child"]: record["parent"]
        for record in tx.run(load("neo4j", "read_parents", node_names(schema)))
    }
    ids, name, derived = found.columns
    marked = derived if pa.types.is_boolean(derived.type) else pa.nulls(len(ids), pa.bool_())
    columns = [
        ids,
        name.cast(pa.string()),
        pa.array(map(parents.get, ids.to_pylist()), pa.string()),
    ]
    return pa.table([*columns, pc.fill_null(marked, False)], schema=COLUMNS["categories"])


def _read_members(tx: ManagedTransaction, schema: Schema, chosen: Keys) -> pa.Table:
    items: list[list[str]] = []
    categories: list[str] = []
    file = "read_members" if chosen is None else "read_members_of"
    for record in tx.run(load("neo4j", file, node_names(schema)), {"ids": chosen}):
        items.append(record["items"])
        categories.append(record["category"])
    members = {
        "item": pa.array(chain.from_iterable(items), pa.string()),
        "category": pa.array(categories, pa.string()).take(_owners(items)),
    }
    distinct = pa.table(members).group_by(["item", "category"]).aggregate([])
    return distinct.sort_by([("item", "ascending"), ("category", "ascending")])


def _owners(lists: Sequence[Sequence[Any]]) -> pa.Array:
    """The position of the list that each value of the flattened lists came from, int32."""
    sizes = np.fromiter(map(len, lists), np.int64, len(lists))
    return pa.array(np.repeat(np.arange(len(lists), dtype=np.int32), sizes))


def property_column(values: list[Any]) -> pa.Array:
    """A property's values as a column of bool, int64, float64, string or list of string.

    What is none of these becomes text: dates and times are ISO, mixed types are as Python says.
    """
    given = [value for value in values if value is not None]
    if not given:
        return pa.nulls(len(values), pa.string())
    types = set(map(type, given))
    if types <= {int, float} and types != {int}:
        return pa.array([None if v is None else float(v) for v in values], pa.float64())
    if len(types) == 1 and types <= {bool, int, str}:
        return pa.array(values)
    if list in types:
        rows = [v if isinstance(v, list) or v is None else [v] for v in values]
        texts = [None if row is None else [_text(v) for v in row] for row in rows]
        return pa.array(texts, pa.list_(pa.string()))
    return pa.array([None if v is None else _text(v) for v in values], pa.string())


def _text(value: Any) -> str:
    return value.iso_format() if hasattr(value, "iso_format") else str(value)
