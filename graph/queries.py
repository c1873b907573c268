"""The queries that answer from what is published, under the names of a shop."""

from __future__ import annotations

from firstedge.graph.cypher import load, node_names
from firstedge.graph.schema import Schema

# Names of the queries, with parameters to try them by.
QUERIES = {
    "recommend": "{user: 'ID', k: 20, filter: {}, candidates: null}",
    "similar": "{item: 'ID', k: 20}",
    "why": "{user: 'ID', item: 'ID'}",
}
_FOLDER = "recommend"


def render(schema: Schema, name: str) -> str:
    """A query of `QUERIES` under the names of a Schema.

    Raises:
        SchemaError: If a name cannot be a name in Cypher.
    """
    types = tuple(kind.type for kind in schema.kind.values())
    return load(_FOLDER, name, {**node_names(schema), "types": types})
