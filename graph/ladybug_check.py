"""Holding a Schema against an embedded store."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

from firstedge.graph.errors import SchemaError
from firstedge.graph.ladybug_link import NOTES, PENDING, Session
from firstedge.graph.ladybug_nodes import node_columns
from firstedge.graph.schema import Kind, Schema


def check_schema(session: Session, schema: Schema) -> None:
    """Hold a Schema against the store.

    Tables are made when they are first written, so a name that is missing is only then a mistake
    when the store has a table of the same sort that the Schema does not name.

    Raises:
        SchemaError: With the label, type or property that is missing and the nearest one.
    """
    labels = _of_sort(session, "NODE")
    nodes: list[tuple[str, str, str, tuple[str, ...]]] = [
        ("user", schema.user.label, schema.user.key, schema.user.fields),
        ("item", schema.item.label, schema.item.key, schema.item.fields),
        ("category", schema.category.label, schema.category.key, ()),
    ]
    _check_named([(f"{part}.label", label) for part, label, _, _ in nodes], labels, "label")
    types = [(f"kind.{name}.type", kind.type) for name, kind in schema.kind.items()]
    types += [
        ("category.parent", schema.category.parent),
        ("category.member", schema.category.member),
    ]
    _check_named(types, _of_sort(session, "REL"), "relationship type")
    for part, label, key, fields in nodes:
        if label in labels:
            _check_properties(session, part, label, (key, *fields))
    for name, kind in schema.kind.items():
        if kind.type in session.tables:
            _check_kind(session, name, kind)


def _of_sort(session: Session, sort: str) -> set[str]:
    named = {name for name, found in session.tables.items() if found == sort}
    return {name for name in named if name != NOTES and not name.startswith(PENDING)}


def _check_named(wanted: Iterable[tuple[str, str]], there: set[str], what: str) -> None:
    wanted = list(wanted)
    missing = [(where, name) for where, name in wanted if name not in there]
    unnamed = there - {name for _, name in wanted}
    if missing and unnamed:
        where, name = _likeliest(missing, unnamed)
        raise _missing(where, what, name, unnamed)


def _likeliest(missing: list[tuple[str, str]], there: set[str]) -> tuple[str, str]:
    """The missing name that is most like one that is there: the one that was misspelt."""
    for cutoff in (0.8, 0.6, 0.3):
        for where, name in missing:
            if get_close_matches(name, there, n=1, cutoff=cutoff):
                return where, name
    return missing[0]


def _check_properties(session: Session, part: str, label: str, names: tuple[str, ...]) -> None:
    if not session.number("count_nodes", {"label": label}):
        return
    there = node_columns(session, label)
    for name in names:
        if name not in there:
            raise _missing(part, f"property of :{label}", name, there)


def _check_kind(session: Session, name: str, kind: Kind) -> None:
    listed = session.run("list_event_columns", {"type": kind.type}).column_names
    there = [column.removeprefix("e.") for column in listed]
    for part in ("time", "seq", "event_weight", "event_key"):
        wanted = getattr(kind, part)
        if wanted not in there:
            raise _missing(f"kind.{name}.{part}", f"property of :{kind.type}", wanted, there)


def _missing(where: str, what: str, name: str, there: Collection[str]) -> SchemaError:
    near = get_close_matches(name, sorted(there), n=1, cutoff=0)
    hint = f"the nearest is {near[0]!r}" if near else "there are none"
    return SchemaError(f"{where}: the store has no {what} {name!r}; {hint}")
