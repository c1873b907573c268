"""A `GraphStore` in a Neo4j database, under the names of the Schema and of nobody else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import pyarrow as pa
from neo4j import ManagedTransaction

from firstedge.graph.cypher import identifier, kind_names, load
from firstedge.graph.neo4j_address import RETRY_SECONDS
from firstedge.graph.neo4j_check import check_schema, count_rows
from firstedge.graph.neo4j_events import Bounds, read_events
from firstedge.graph.neo4j_link import NOTE_LABEL, Neo4jLink
from firstedge.graph.neo4j_read import read_nodes
from firstedge.graph.neo4j_write import write_categories, write_members, write_nodes
from firstedge.graph.neo4j_write_events import write_events
from firstedge.graph.schema import Schema
from firstedge.graph.store import TableName, Written
from firstedge.graph.tables import checked_table

# Rows that one query takes.
BATCH = 10_000


class Neo4jStore:
    """A Neo4j database as a store. Reading changes nothing in it.

    Nodes and relationships are as the Schema says. The first write makes a uniqueness constraint
    for each label's key and each event type's key, unless there is an index already. Notes are
    nodes ``:FirstedgeNote``, one of which is locked by every write: there is one writer at a time.

    Args:
        url: ``neo4j://host:port/database`` or one of its sister schemes; without a database, the
            user's home database.
        schema: The names in the graph.
        ca: A file of certificates, in place of the system's, that the server's certificate is
            held against; for ``neo4j+s`` and ``bolt+s``.
        patience: Seconds for which a server that is away is tried again.

    Raises:
        SchemaError: If a name cannot be a name in Cypher.
        SettingsError: If the URL, the CA file or the password file cannot be used.
        StoreUnavailable: If the server cannot be reached or has no such database.
        StoreAccessDenied: If it refuses the credentials.
        StoreUnsupported: If it is older than Neo4j 5.9.
    """

    def __init__(
        self,
        url: str,
        schema: Schema,
        ca: str | Path | None = None,
        patience: float = RETRY_SECONDS,
    ) -> None:
        for kind in schema.kind.values():
            for name in kind_names(schema, kind).values():
                identifier(name)  # a name that Cypher cannot hold is refused before it is used
        self.url = url
        self.schema = schema
        self._link = Neo4jLink(url, None if ca is None else Path(ca), patience)
        self._constrained = False

    def __repr__(self) -> str:
        return f"Neo4jStore({self.url!r})"

    @property
    def link(self) -> Neo4jLink:
        """The wire to the database, for what is beyond a store."""
        return self._link

    def check(self) -> None:
        """See `GraphStore.check`."""
        self._link.read(lambda tx: check_schema(tx, self.schema))

    def counts(self) -> dict[str, int]:
        """See `GraphStore.counts`."""
        return self._link.read(lambda tx: count_rows(tx, self.schema))

    def write(
        self, table: TableName, rows: pa.Table, note: tuple[str, str] | None = None
    ) -> Written:
        """See `GraphStore.write`.

        Raises:
            DataError: If a column is missing or of a type that cannot be stored; if a category
                would be above itself; if keys in the graph are not unique.
            StoreFull: If the server has no memory for so many rows in one transaction.
        """
        rows = checked_table(table, rows, self.schema)
        self._constrain()

        def work(tx: ManagedTransaction) -> Written:
            tx.run(load("neo4j", "lock", {})).consume()
            written = _write_table(tx, self.schema, table, rows, BATCH)
            if note is not None:
                _write_note(tx, *note)
            return written

        return self._link.write(work)

    def read(
        self,
        table: Literal["users", "items", "categories", "item_categories"],
        ids: Sequence[str] | None = None,
    ) -> pa.Table:
        """See `GraphStore.read`."""
        return self._link.read(lambda tx: read_nodes(tx, self.schema, table, ids))

    def read_events(
        self,
        users: Sequence[str] | None = None,
        until: int | None = None,
        since: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> pa.Table:
        """See `GraphStore.read_events`. An event without a key has the server's own id as key."""
        bounds = Bounds(users, until, since)
        return self._link.read(lambda tx: read_events(tx, self.schema, bounds, progress))

    def read_note(self, name: str) -> str | None:
        """See `GraphStore.read_note`."""

        def work(tx: ManagedTransaction) -> str | None:
            found = tx.run(load("neo4j", "read_note", {}), {"name": name}).single()
            return None if found is None else str(found["text"])

        return self._link.read(work)

    def write_note(self, name: str, text: str) -> None:
        """See `GraphStore.write_note`."""
        self._constrain()
        self._link.write(lambda tx: _write_note(tx, name, text))

    def close(self) -> None:
        """See `GraphStore.close`."""
        self._link.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _constrain(self) -> None:
        """Make keys unique, and quick to find, before anything is written."""
        if self._constrained:
            return
        schema = self.schema
        nodes = {part.label: part.key for part in (schema.user, schema.item, schema.category)}
        for label, key in {**nodes, NOTE_LABEL: "name"}.items():
            self._link.constrain(load("neo4j", "constrain_nodes", {"label": label, "key": key}))
        for kind in schema.kind.values():
            names = {"type": kind.type, "key": kind.event_key}
            self._link.constrain(load("neo4j", "constrain_events", names))
        self._link.constrain(load("neo4j", "await_indexes", {}))
        self._constrained = True


def _write_table(
    tx: ManagedTransaction, schema: Schema, table: TableName, rows: pa.Table, batch: int
) -> Written:
    if table == "users":
        return write_nodes(tx, schema.user.label, schema.user.key, rows, batch)
    if table == "items":
        return write_nodes(tx, schema.item.label, schema.item.key, rows, batch)
    if table == "categories":
        return write_categories(tx, schema, rows, batch)
    if table == "item_categories":
        return write_members(tx, schema, rows, batch)
    return write_events(tx, schema, rows, batch)


def _write_note(tx: ManagedTransaction, name: str, text: str) -> None:
    values: dict[str, Any] = {"name": name, "text": text}
    tx.run(load("neo4j", "write_note", {}), values).consume()
