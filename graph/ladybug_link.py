"""The connection to an embedded database file: opening, locking, transactions, errors."""

from __future__ import annotations

import logging
import os
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ladybug
import pyarrow as pa

from firstedge.graph.cypher import load
from firstedge.graph.errors import StoreError, StoreLocked, StoreUnavailable, StoreUnsupported
from firstedge.graph.ladybug_index import StoreIndex
from firstedge.graph.ladybug_log import committed_end

try:
    import fcntl
except ImportError:  # Windows, where the database's own lock holds within a process too
    fcntl = None  # type: ignore[assignment]

_log = logging.getLogger(__name__)

# Names of tables and properties that are ours and no shop's.
NOTES = "_firstedge"
ROW = "_firstedge_row"
PENDING = "_firstedge_events_"

# Up to so many rows are inserted one by one, and so many ids are looked for one by one; for more
# of them there are ways that cost more at once and less a row.
FEW = 1_000

# Bytes that must be free before a write: a log that cannot grow ends the process (in 0.22).
ROOM = 64 << 20

_ARROW_CHUNK = 1 << 20


class Session:
    """Queries in one transaction, and what is known of the tables meanwhile.

    A session has a connection of its own: a connection keeps every Arrow table that it was ever
    given.

    What COPY writes is not in the database's log: it is on the disk when the commit has returned,
    but a process that is killed in the middle of the commit may keep what else the transaction
    did, and lose all that it copied. So what must not come apart is either all copied or all not.

    Attributes:
        copied: Whether something was copied.
        writes: Whether the session may change the store.
        index: Of the store as the session sees it.
    """

    def __init__(self, connection: ladybug.Connection, writes: bool) -> None:
        self.copied = False
        self.writes = writes
        self.index = StoreIndex()
        self._connection = connection

    def run(
        self, file: str, names: Mapping[str, str] | None = None, values: Any = None
    ) -> pa.Table:
        """The rows that the query of a file gives.

        Args:
            file: Its name under ``cypher/ladybug``.
            names: What its placeholders stand for.
            values: Its parameters, a dictionary.
        """
        return self.send(load("ladybug", file, names or {}), values)

    def send(self, query: str, values: Any = None) -> pa.Table:
        """The rows that a query gives."""
        result = self._connection.execute(query, values or {})
        if isinstance(result, list):
            result = result[-1]
        with result:
            return result.get_as_arrow(_ARROW_CHUNK)

    def number(self, file: str, names: Mapping[str, str]) -> int:
        """The one number that the query of a file gives."""
        return int(self.run(file, names)["number"][0].as_py())

    @property
    def tables(self) -> dict[str, str]:
        """Kinds of the tables, NODE or REL, by their names."""
        if self.index.tables is None:
            listed = self.run("list_tables").to_pydict()
            self.index.tables = dict(zip(listed["name"], listed["type"], strict=True))
        return self.index.tables

    def copy(self, table: str, rows: pa.Table) -> None:
        """Append many rows to a table; columns go by position, ends of relationships first."""
        self.run("copy", {"table": table}, {"rows": rows})
        self.copied = True
        self.index.forget(table)

    def create(self, table: str, file: str, names: Mapping[str, str]) -> None:
        """Make a table by the query of a file, unless it is there."""
        if table not in self.tables:
            self.run(file, names)
            self.index.tables = None

    def drop(self, table: str) -> None:
        """Drop a table with all that is in it."""
        self.run("drop_table", {"table": table})
        self.index.tables = None
        self.index.forget(table)

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()


class LadybugLink:
    """An open database file.

    Args:
        path: The file; made if it is missing, unless `read_only`.
        read_only: Open it for reading only, which several processes may do at a time.

    Raises:
        StoreUnavailable: If there is no such file, or if it is damaged.
        StoreLocked: If another process has it open for writing.
        StoreUnsupported: If it is no database, or of another version.
    """

    def __init__(self, path: Path, read_only: bool) -> None:
        self.path = path
        self.read_only = read_only
        self._one_writer = threading.Lock()
        self._index, self._changes = StoreIndex(), 0
        self._turn = threading.Lock()  # a session begins or commits
        self._database: ladybug.Database | None = None
        self._check_path()
        made = not path.exists()
        self._lock = _locked(path, read_only)
        try:
            with self._translated():
                self._database = self._open()
        except BaseException:
            self.close()
            if made:
                path.unlink(missing_ok=True)
            raise

    def _open(self) -> ladybug.Database:
        """Open the file, without the torn end that a killed process left in its log."""
        try:
            return ladybug.Database(self.path, read_only=self.read_only)
        except RuntimeError as error:
            if not _may_be_of_the_log(str(error)):
                raise
            log = self.path.with_name(self.path.name + ".wal")
            try:
                written = log.read_bytes()
            except OSError:
                raise error from None
            end = committed_end(written)
            if end is None:
                raise
            if self.read_only:
                raise _not_closed(self.path) from None
        os.truncate(log, end)
        try:
            database = ladybug.Database(self.path)
        except RuntimeError:  # damaged before its end too
            with log.open("ab") as file:
                file.write(written[end:])
            raise
        _log.warning("%s was cut off while it was written; what was committed is kept", log)
        return database

    def _check_path(self) -> None:
        if self.path.is_dir():
            raise StoreUnavailable(f"{self.path} is a folder, and the embedded store is a file")
        if self.read_only and not self.path.exists():
            raise StoreUnavailable(f"there is no store {self.path}; `firstedge init` makes one")
        if not self.path.parent.is_dir():
            raise StoreUnavailable(f"{self.path.parent} is no folder: make it, or check the path")

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session that sees one state of the database."""
        with self._session("BEGIN TRANSACTION READ ONLY", writes=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session whose changes are all kept if nothing is raised, and else none of them.

        Raises:
            StoreError: If the store was opened for reading only, or the disk is nearly full.
        """
        if self.read_only:
            raise StoreError(f"{self.path} is open for reading only; open it without read_only")
        free = shutil.disk_usage(self.path.parent).free
        if free < ROOM:
            raise StoreError(
                f"the disk of {self.path} has {free >> 20} MB left, and writing needs"
                f" {ROOM >> 20} MB: make room and repeat the call"
            )
        with self._one_writer, self._session("BEGIN TRANSACTION", writes=True) as session:
            yield session

    @contextmanager
    def _session(self, begin: str, writes: bool) -> Iterator[Session]:
        if self._database is None:
            raise StoreUnavailable(f"the store {self.path} is closed; open it again")
        with self._translated():
            session = Session(ladybug.Connection(self._database), writes)
            try:
                with self._turn:
                    session.index, changes = self._index.copy(), self._changes
                    session.send(begin)
                yield session
                with self._turn:
                    self._commit(session, changes)
            except BaseException:
                with suppress(RuntimeError):
                    session.send("ROLLBACK")
                raise
            finally:
                session.close()

    def _commit(self, session: Session, changes: int) -> None:
        """Commit; if that fails, close, for only the file knows how far it came.

        What the session knows of the store is then known of it, unless a state has come since
        that it has not seen.
        """
        try:
            session.send("COMMIT")
        except RuntimeError:
            session.close()
            self.close()
            raise
        if changes == self._changes:
            self._index = session.index
        self._changes += session.writes

    @contextmanager
    def _translated(self) -> Iterator[None]:
        """Errors of the database as errors of ours."""
        try:
            yield
        except RuntimeError as error:
            raise _translation(str(error), self.path) from error

    def close(self) -> None:
        """Close the file; calling it again does nothing."""
        database, self._database = self._database, None
        if database is not None:
            with suppress(RuntimeError):
                database.close()
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)


def _locked(path: Path, read_only: bool) -> int | None:
    """Lock the file, and give the descriptor that holds the lock.

    The database has a lock of its own, but of the kind that a process does not hold against
    itself, and loses when it opens the file a second time.
    """
    if fcntl is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise StoreUnavailable(f"cannot open the store {path}: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if read_only else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise _lock_error(path) from None
    return descriptor


def _lock_error(path: Path) -> StoreLocked:
    return StoreLocked(
        f"the store {path} is in use: one process writes it at a time, and nobody reads it"
        " meanwhile; close it there (readers open it with read_only), and try again. If `firstedge"
        " serve` has it, send events and items to the service, which writes them: see"
        " Client.record_events and Client.upsert_items"
    )


def _not_closed(path: Path) -> StoreUnavailable:
    return StoreUnavailable(
        f"the store {path} was not closed properly; open it once for writing, which mends it"
    )


def _may_be_of_the_log(text: str) -> bool:
    """Whether an error may come from reading the log: an odd record fails an assertion."""
    text = text.lower()
    of_the_log = "wal" in text and ("corrupt" in text or "past the end" in text)
    return of_the_log or "assertion failed" in text


def _translation(text: str, path: Path) -> StoreError:
    if "lock on file" in text:
        return _lock_error(path)
    if "different version" in text:
        return StoreUnsupported(
            f"the store {path} was made by another version of ladybug ({text}); export it with"
            " that version, or import the shop's files into a new store"
        )
    if "not a valid" in text:
        return StoreUnsupported(f"{path} is not a store: it holds something else")
    if "recovery is pending" in text:
        return _not_closed(path)
    if "Cannot read checkpoint" in text or "past the end" in text or "corrupt" in text.lower():
        return StoreUnavailable(
            f"the store {path} is damaged ({text}); take it from a backup, or import the shop's"
            " files into a new store"
        )
    if "No space left" in text or "File too large" in text or "Disk quota" in text:
        return StoreError(
            f"the disk of {path} is full ({text}); the last call was kept whole or not at all:"
            " make room, open the store again and repeat the call"
        )
    return StoreError(f"{path}: {text}")
