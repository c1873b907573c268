"""A `GraphStore` in one file, without a server."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import pyarrow as pa
import pyarrow.compute as pc

from firstedge.graph import ladybug_events as events
from firstedge.graph import ladybug_nodes as nodes
from firstedge.graph import ladybug_pending as pending
from firstedge.graph.cypher import node_names
from firstedge.graph.errors import FirstedgeError, SchemaError
from firstedge.graph.ladybug_check import check_schema
from firstedge.graph.ladybug_link import NOTES, PENDING, ROW, LadybugLink, Session
from firstedge.graph.ladybug_notes import read_note, write_note
from firstedge.graph.schema import Schema
from firstedge.graph.store import COLUMNS, TableName, Written
from firstedge.graph.tables import checked_table

_log = logging.getLogger(__name__)


class LadybugStore:
    """An embedded database as a store: one process writes it at a time.

    Tables are made under the names of the Schema when they are first written. Times are kept in
    milliseconds whatever `Kind.time_unit` says: that is for graphs that others made. Closing a
    store that was written may take some seconds a million events, and is when the last of them
    become relationships (`ladybug_pending`); without it nothing is lost.

    Args:
        path: The file, made if it is missing unless `read_only`.
        schema: The names in the graph.
        read_only: Open it for reading only, which several processes may do at a time.

    Raises:
        SchemaError: If two names of the Schema are one to this database.
        StoreUnavailable: If the file is missing or damaged.
        StoreLocked: If another process has it open for writing.
        StoreUnsupported: If it is no store, or made by another version of the database.
    """

    def __init__(self, path: str | Path, schema: Schema, read_only: bool = False) -> None:
        self.url = str(path)
        self.schema = schema
        _check_names(schema)
        self._link = LadybugLink(Path(path), read_only)
        self._open = True

    def __repr__(self) -> str:
        return f"LadybugStore({self.url!r})"

    def check(self) -> None:
        """See `GraphStore.check`."""
        with self._link.reading() as session:
            check_schema(session, self.schema)

    def counts(self) -> dict[str, int]:
        """See `GraphStore.counts`."""
        with self._link.reading() as session:
            return self._counts(session)

    def _counts(self, session: Session) -> dict[str, int]:
        labels = {
            "users": self.schema.user.label,
            "items": self.schema.item.label,
            "categories": self.schema.category.label,
        }
        counts = dict.fromkeys((*labels, "item_categories"), 0)
        for name, label in labels.items():
            if label in session.tables:
                counts[name] = session.number("count_nodes", {"label": label})
        member = self.schema.category.member
        if member in session.tables:
            counts["item_categories"] = session.number("count_relationships", {"type": member})
        of_kinds = events.count_events(session, self.schema)
        return counts | {f"events.{name}": number for name, number in of_kinds.items()}

    def write(
        self, table: TableName, rows: pa.Table, note: tuple[str, str] | None = None
    ) -> Written:
        """See `GraphStore.write`.

        Raises:
            DataError: If a column is missing or of a type that cannot be stored; if a category
                would be above itself.
            StoreError: If the store is open for reading only, or the disk is full.
        """
        rows = checked_table(table, rows, self.schema)
        if table == "events":
            self._fold_if(pending.fold_is_due)
        with self._link.writing() as session:
            written = self._write(session, table, rows)
            if note is not None:
                write_note(session, *note)
        return written

    def _write(self, session: Session, table: TableName, rows: pa.Table) -> Written:
        if not rows.num_rows:
            return Written()
        if table == "events":
            return events.write_events(session, self.schema, rows)
        if table == "categories":
            return nodes.write_categories(session, self.schema, rows)
        if table == "item_categories":
            return nodes.write_members(session, self.schema, rows)
        names = self.schema.user if table == "users" else self.schema.item
        return nodes.write_nodes(session, names.label, names.key, rows)

    def _fold_if(self, due: Callable[[Session], bool]) -> None:
        with self._link.reading() as session:
            if not due(session):
                return
        with self._link.writing() as session:
            pending.fold(session)
        with self._link.writing() as session:
            pending.drop_folded(session)

    def read(
        self,
        table: Literal["users", "items", "categories", "item_categories"],
        ids: Sequence[str] | None = None,
    ) -> pa.Table:
        """See `GraphStore.read`."""
        with self._link.reading() as session:
            if table == "item_categories":
                return self._read_members(session, ids)
            if table == "categories":
                return self._read_categories(session, ids)
            names = self.schema.user if table == "users" else self.schema.item
            return pa.table(nodes.read_nodes(session, names.label, names.key, names.fields, ids))

    def _read_categories(self, session: Session, chosen: Sequence[str] | None) -> pa.Table:
        names = self.schema.category
        fields = (names.name, "derived")
        columns = nodes.read_nodes(session, names.label, names.key, fields, chosen)
        ids, name, derived = columns.values()
        above = nodes.read_parents(session, self.schema)
        parents = pa.array([above.get(id_) for id_ in ids.to_pylist()], pa.string())
        derived = pc.fill_null(derived.cast(pa.bool_()), False)
        return pa.table([ids, name, parents, derived], schema=COLUMNS["categories"])

    def _read_members(self, session: Session, chosen: Sequence[str] | None) -> pa.Table:
        if self.schema.category.member not in session.tables:
            return COLUMNS["item_categories"].empty_table()
        names, item = node_names(self.schema), self.schema.item
        if chosen is None:
            found = session.run("read_members", names)
        else:
            rows = nodes.rows_there(session, item.label, item.key, chosen)
            found = session.run("read_members_at", names, {"rows": rows})
        return found.sort_by([("item", "ascending"), ("category", "ascending")])

    def read_events(
        self,
        users: Sequence[str] | None = None,
        until: int | None = None,
        since: int | None = None,
        progress: Callable[[int], None] | None = None,
    ) -> pa.Table:
        """See `GraphStore.read_events`."""
        bounds = events.Bounds(users, until, since)
        with self._link.reading() as session:
            return events.read_events(session, self.schema, bounds, progress)

    def read_note(self, name: str) -> str | None:
        """See `GraphStore.read_note`."""
        with self._link.reading() as session:
            return read_note(session, name)

    def write_note(self, name: str, text: str) -> None:
        """See `GraphStore.write_note`."""
        with self._link.writing() as session:
            write_note(session, name, text)

    def close(self) -> None:
        """See `GraphStore.close`."""
        if not self._open:
            return
        self._open = False
        try:
            if not self._link.read_only:
                self._fold_if(pending.something_is_left)
        except FirstedgeError as error:
            _log.warning("%s stays as it is, and nothing is lost: %s", self.url, error)
        finally:
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


def _check_names(schema: Schema) -> None:
    """Refuse names that are ours, or that differ only in case: this database does not see it."""
    names = [schema.user.label, schema.item.label, schema.category.label]
    names += [schema.category.parent, schema.category.member]
    names += [kind.type for kind in schema.kind.values()]
    lower = [name.lower() for name in names]
    for name in names:
        if lower.count(name.lower()) > 1:
            raise SchemaError(
                f"the embedded store has one table a name, whatever its case, and {name!r} is"
                " used for two labels or types"
            )
        if name == NOTES or name.startswith((PENDING, ROW)):
            raise SchemaError(f"the name {name!r} is one of firstedge's own: use another")
