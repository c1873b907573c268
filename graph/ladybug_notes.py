"""Notes in the embedded store: a log, of which the last line of a name counts."""

from __future__ import annotations

import pyarrow as pa

from firstedge.graph.ladybug_link import NOTES, Session


def write_note(session: Session, name: str, text: str) -> None:
    """Store a note, so that it cannot outlive what the same transaction copied."""
    session.create(NOTES, "create_notes", {})
    last = session.run("last_note")["n"][0].as_py()
    note = {"n": 1 if last is None else last + 1, "name": name, "text": text}
    if session.copied:
        session.copy(NOTES, pa.Table.from_pylist([note]))
    else:
        session.run("insert_note", values=note)
        session.run("drop_notes", values={"n": note["n"], "name": name})


def read_note(session: Session, name: str) -> str | None:
    """The text of the note last written under a name."""
    if NOTES not in session.tables:
        return None
    found: list[str] = session.run("read_note", values={"name": name})["text"].to_pylist()
    return found[0] if found else None
