"""The GraphStore protocol: what firstedge asks of a place that keeps a shop's graph.

Five tables go in and come out as Arrow columns; how a store lays them out is its own affair (nodes
and relationships under the names of the Schema). Stores differ in nothing that a caller can see:
one contract-test class runs on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Literal, Protocol, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from firstedge.graph.schema import Schema

TableName = Literal["users", "items", "categories", "item_categories", "events"]

# The columns that a table must have. Users and items may carry any further columns (bool, int64,
# float64, string or list of string): they are stored as properties. A null leaves a property as
# it is.
COLUMNS: dict[TableName, pa.Schema] = {
    "users": pa.schema([("id", pa.string())]),
    "items": pa.schema([("id", pa.string())]),
    "categories": pa.schema(
        [
            ("id", pa.string()),
            ("name", pa.string()),
            ("parent", pa.string()),
            ("derived", pa.bool_()),
        ]
    ),
    "item_categories": pa.schema([("item", pa.string()), ("category", pa.string())]),
    "events": pa.schema(
        [
            ("user", pa.string()),
            ("target", pa.string()),  # an item's or a category's id, as the kind's `to` says
            ("kind", pa.string()),
            ("time", pa.int64()),  # milliseconds since 1970 UTC; null: unknown
            ("seq", pa.int64()),  # order among events of one time
            ("weight", pa.float64()),  # null: 1
            ("key", pa.string()),  # business key, unique among all events
        ]
    ),
}


@dataclass(frozen=True)
class Written:
    """What a write did.

    Attributes:
        new: Rows that were not in the store before.
        known: Rows whose id or key was there already (nodes: properties updated; events: left).
        orphans: int64[n], positions in the given rows that were not written because the user,
            item or category that they refer to is not in the store. A category whose parent is
            not there is an orphan too, and is written without it.
    """

    new: int = 0
    known: int = 0
    orphans: npt.NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))


class GraphStore(Protocol):
    """A store of users, items, categories and events. Use it as a context manager.

    Every method raises StoreUnavailable if the store has gone away, and leaves nothing half
    written: one call of `write` is one transaction.
    """

    url: str
    schema: Schema

    def check(self) -> None:
        """Hold the Schema against what is stored.

        Raises:
            SchemaError: With the label, type or property that is missing and the nearest one
                that exists.
        """

    def counts(self) -> dict[str, int]:
        """Numbers of rows.

        Of users, items, categories and item_categories, and of events by kind
        (``"events.view"``, ...).
        """

    def write(
        self, table: TableName, rows: pa.Table, note: tuple[str, str] | None = None
    ) -> Written:
        """Write rows, idempotent by id (nodes, memberships) or key (events).

        Args:
            table: Which table.
            rows: Columns of `COLUMNS[table]` and, for users and items, any properties.
            note: A (name, text) pair stored in the same transaction; see `read_note`.

        Raises:
            DataError: If a column is missing or of a type that cannot be stored, if an id, key or
                kind is null, a kind unknown, a weight not finite, or a category above itself.
            StoreFull: If so many rows are more than it has memory for.
        """

    def read(
        self,
        table: Literal["users", "items", "categories", "item_categories"],
        ids: Sequence[str] | None = None,
    ) -> pa.Table:
        """All rows, sorted by id.

        Columns of `COLUMNS` and the properties that the Schema names (null where a node has
        none). A parent is given by id, a root has null.

        Args:
            table: Which table.
            ids: Only the rows of these ids, each looked up; of item_categories those of these
                items. An id that is not in the store gives nothing.
        """

    def read_events(
        self,
        users: Sequence[str] | None = None,
        until: int | None = None,
        since: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> pa.Table:
        """Events of all kinds, in no particular order.

        Args:
            users: Only of these users; ids that are not in the store give nothing.
            until: Only events with time <= until (ms); those without a time are always given.
            since: Only events with time > since (ms); those without a time are then not given.
            progress: Called now and then with the number of events read so far.

        Returns:
            Columns of `COLUMNS["events"]`, `user`, `target` and `kind` dictionary-encoded.
        """

    def read_note(self, name: str) -> str | None:
        """The text of the note last written under this name, or None."""

    def write_note(self, name: str, text: str) -> None:
        """Store a note by itself, in a transaction of its own."""

    def close(self) -> None:
        """Let go of the store; calling it again does nothing."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...


def open_store(
    url: str,
    schema: Schema | None = None,
    *,
    read_only: bool = False,
    ca: str | Path | None = None,
    patience: float = 30.0,
) -> GraphStore:
    """Open a store by URL.

    Args:
        url: A path ending in ``.lbug`` (embedded, made if missing unless `read_only`), or
            ``neo4j://``, ``neo4j+s://``, ``bolt://``, ``bolt+s://`` with host and port and, after
            a slash, the database. User and password come from the environment variables
            ``NEO4J_USERNAME`` and ``NEO4J_PASSWORD`` or the file named by ``NEO4J_PASSWORD_FILE``.
        schema: The names in the graph; the default Schema if None.
        read_only: Open the embedded store for reading only: several processes may do that.
        ca: For ``neo4j+s://`` and ``bolt+s://``, a file of certificates that the server's is held
            against, in place of the system's.
        patience: Seconds for which a server that is away is tried again; an embedded store is
            there or not.

    Raises:
        SettingsError: If the URL, the CA file or the password file cannot be used.
        StoreUnavailable: If it is missing or cannot be reached.
        StoreLocked: If another process is writing the embedded store.
        StoreAccessDenied: If the credentials are refused.
    """
    schema = schema or Schema()
    if "://" in url:
        from firstedge.graph.neo4j_store import Neo4jStore

        return Neo4jStore(url, schema, ca, patience)
    from firstedge.graph.ladybug_store import LadybugStore

    return LadybugStore(url, schema, read_only=read_only)
