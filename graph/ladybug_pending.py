"""Events that are not relationships yet, in the embedded store.

A relationship table is rewritten as a whole, more or less, whenever it grows, so that a load by
calls of 100,000 rows would rewrite the first of them over and over. Many events are therefore
appended to small tables of their own, the pending ones, and `fold` makes relationships of them all
at once. Both belong to the same transactions as everything else, and reading looks at both.
"""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from firstedge.graph.ladybug_link import PENDING, Session
from firstedge.graph.ladybug_notes import read_note, write_note

# With so many pending rows or tables the next write folds them first.
FOLD_ROWS = 1_000_000
FOLD_TABLES = 16
_FOLDED = "firstedge/folded"


def append(session: Session, edges: pa.Table) -> None:
    """Append events, with type and ends as the store's own numbers, as a pending table."""
    table = f"{PENDING}{1 + max(map(_number, _made(session)), default=_folded(session))}"
    session.create(table, "create_pending", {"pending": table})
    session.copy(table, edges)
    session.index.keys = None


def _number(pending: str) -> int:
    return int(pending.removeprefix(PENDING))


def _made(session: Session) -> list[str]:
    """All tables of pending events, also those that were folded and should go."""
    return sorted((name for name in session.tables if name.startswith(PENDING)), key=_number)


def _folded(session: Session) -> int:
    """The number of the last table that was folded."""
    return int(read_note(session, _FOLDED) or 0)


def pending_tables(session: Session) -> list[str]:
    """The tables of events that are not relationships yet, oldest first."""
    made = _made(session)
    folded = _folded(session) if made else 0
    return [name for name in made if _number(name) > folded]


def fold_is_due(session: Session) -> bool:
    """Whether so much is pending that it should become relationships."""
    pending = pending_tables(session)
    if len(pending) >= FOLD_TABLES:
        return True
    rows = (session.number("count_nodes", {"label": name}) for name in pending)
    return sum(rows) >= FOLD_ROWS


def something_is_left(session: Session) -> bool:
    """Whether there is a table of pending events."""
    return bool(_made(session))


def fold(session: Session) -> None:
    """Make relationships of the pending events, and note that their tables are done with.

    The tables are dropped by `drop_folded` in the next transaction; see `Session`.
    """
    pending = pending_tables(session)
    for name in pending:
        edges = session.run("read_pending", {"pending": name})
        for type_ in pc.unique(edges["type"]).to_pylist():
            of_type = edges.filter(pc.equal(edges["type"], type_)).drop_columns("type")
            session.copy(type_, of_type)
    if pending:
        write_note(session, _FOLDED, str(_number(pending[-1])))


def drop_folded(session: Session) -> None:
    """Drop the tables that were folded."""
    for name in set(_made(session)) - set(pending_tables(session)):
        session.drop(name)
