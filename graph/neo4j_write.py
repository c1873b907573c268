"""Writing users, items, categories and memberships to Neo4j: columns go along as parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from neo4j import ManagedTransaction

from firstedge.graph.cypher import load, node_names
from firstedge.graph.neo4j_keys import stored_keys
from firstedge.graph.schema import Schema
from firstedge.graph.store import Written
from firstedge.graph.tables import check_tree


@dataclass(frozen=True)
class Ends:
    """The nodes that a column of ids refers to.

    Attributes:
        codes: int32[n], each row's position among the distinct ids.
        keys: The distinct ids as the graph holds them.
        found: bool[distinct], whether there is such a node.
    """

    codes: npt.NDArray[np.int32]
    keys: list[str | int]
    found: npt.NDArray[np.bool_]

    @property
    def exists(self) -> npt.NDArray[np.bool_]:
        """bool[n], whether there is a node for the row."""
        return self.found[self.codes]


def parts(size: int, batch: int) -> Iterator[slice]:
    """Slices of at most `batch` rows that cover `size` rows."""
    return (slice(start, start + batch) for start in range(0, size, batch))


def find_ends(
    tx: ManagedTransaction, label: str, key: str, ids: pa.Array | pa.ChunkedArray, batch: int
) -> Ends:
    """Look a column of ids up among the nodes of a label."""
    column = ids.combine_chunks() if isinstance(ids, pa.ChunkedArray) else ids
    encoded = column.dictionary_encode()
    keys = stored_keys(tx, label, key, encoded.dictionary.to_pylist())
    query = load("neo4j", "find_nodes", {"label": label, "key": key})
    found: set[str | int] = set()
    for part in parts(len(keys), batch):
        found.update(tx.run(query, {"ids": keys[part]}).single(strict=True)["found"])
    exists = np.fromiter((one in found for one in keys), np.bool_, len(keys))
    return Ends(encoded.indices.to_numpy(), keys, exists)


def write_nodes(
    tx: ManagedTransaction, label: str, key: str, rows: pa.Table, batch: int
) -> Written:
    """Write nodes: the column ``id`` is their key, the others are properties.

    Not by MERGE: it takes no hint, and a plan of it that was made when there were few nodes scans
    them all for each row.
    """
    ends = find_ends(tx, label, key, rows["id"], batch)
    _, first = np.unique(ends.codes, return_index=True)
    new = np.zeros(rows.num_rows, np.bool_)
    new[first] = ~ends.found
    properties = _property_maps(rows.drop_columns("id"))
    for file, chosen in (("create_nodes", new), ("update_nodes", ~new)):
        query = load("neo4j", file, {"label": label, "key": key})
        at = np.flatnonzero(chosen).tolist()
        for part in parts(len(at), batch):
            ids = [ends.keys[ends.codes[row]] for row in at[part]]
            tx.run(
                query, {"ids": ids, "properties": [properties[row] for row in at[part]]}
            ).consume()
    return Written(new=int(new.sum()), known=int((~new).sum()))


def _property_maps(columns: pa.Table) -> list[dict[str, Any]]:
    """A map a row, without nulls: Cypher's ``+=`` would remove those properties."""
    if not columns.num_columns:
        return [{} for _ in range(columns.num_rows)]
    return [
        {name: value for name, value in row.items() if value is not None}
        for row in columns.to_pylist()
    ]


def write_categories(tx: ManagedTransaction, schema: Schema, rows: pa.Table, batch: int) -> Written:
    """Write categories, then hang each below its parent.

    Raises:
        DataError: If a category would be above itself.
    """
    names = schema.category
    plain = pa.table([rows["id"], rows["name"], rows["derived"]], ["id", names.name, "derived"])
    written = write_nodes(tx, names.label, names.key, plain, batch)
    below = pc.is_valid(rows["parent"])
    at = np.flatnonzero(below.to_numpy())
    ends = find_ends(tx, names.label, names.key, rows["parent"].filter(below), batch)
    children = stored_keys(tx, names.label, names.key, rows["id"].filter(below).to_pylist())
    # Of a category that comes twice, the last parent holds, as in two calls.
    parents = {children[n]: ends.keys[ends.codes[n]] for n in np.flatnonzero(ends.exists)}
    _write_parents(tx, schema, parents, batch)
    return Written(written.new, written.known, at[~ends.exists])


def _write_parents(
    tx: ManagedTransaction, schema: Schema, parents: dict[str | int, str | int], batch: int
) -> None:
    names = node_names(schema)
    children, above = list(parents), list(parents.values())
    for part in parts(len(children), batch):
        values = {"children": children[part], "parents": above[part]}
        tx.run(load("neo4j", "drop_parents", names), values).consume()
        tx.run(load("neo4j", "write_parents", names), values).consume()
    for part in parts(len(children), batch):
        found = tx.run(load("neo4j", "read_ancestors", names), {"children": children[part]})
        check_tree((record["child"], record["parent"]) for record in found)


def write_members(tx: ManagedTransaction, schema: Schema, rows: pa.Table, batch: int) -> Written:
    """Tie items to categories."""
    items = find_ends(tx, schema.item.label, schema.item.key, rows["item"], batch)
    categories = find_ends(tx, schema.category.label, schema.category.key, rows["category"], batch)
    exists = items.exists & categories.exists
    at = np.flatnonzero(exists)
    item_codes, category_codes = items.codes[at].tolist(), categories.codes[at].tolist()
    query = load("neo4j", "write_members", node_names(schema))
    new = 0
    for part in parts(len(at), batch):
        values = {
            "items": [items.keys[code] for code in item_codes[part]],
            "categories": [categories.keys[code] for code in category_codes[part]],
        }
        new += tx.run(query, values).consume().counters.relationships_created
    return Written(new, len(at) - new, np.flatnonzero(~exists))
