"""Tables as a store takes them: the columns that must be there, of types that can be stored."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from graphlib import CycleError, TopologicalSorter

import pyarrow as pa
import pyarrow.compute as pc

from firstedge.graph.errors import DataError
from firstedge.graph.schema import Schema
from firstedge.graph.store import COLUMNS, TableName

# Columns that say nothing when they are null.
_OPTIONAL = {"name", "parent", "derived", "time", "seq", "weight"}


def checked_table(table: TableName, rows: pa.Table, schema: Schema) -> pa.Table:
    """Rows as the store can write them: plain columns in the order of `COLUMNS`, then properties.

    Raises:
        DataError: If a column is missing, of a type that cannot be stored, or null where an id
            must be; if a weight is not finite; if a kind is not in the Schema.
    """
    columns = {name: _typed(table, rows, name, type_) for name, type_ in _fields(table)}
    for name, column in columns.items():
        if name not in _OPTIONAL and column.null_count:
            row = pc.index(column.is_null(), True).as_py()
            raise DataError(f"{table}: {name!r} is null in row {row}: every row needs one")
    if table in ("users", "items"):
        further = [name for name in rows.column_names if name not in columns]
        columns |= {name: _property(table, rows, name) for name in further}
    if table == "events":
        _check_events(columns, schema)
    return pa.table(columns)


def _fields(table: TableName) -> list[tuple[str, pa.DataType]]:
    return [(field.name, field.type) for field in COLUMNS[table]]


def _typed(table: TableName, rows: pa.Table, name: str, type_: pa.DataType) -> pa.ChunkedArray:
    if name not in rows.column_names:
        raise DataError(
            f"{table}: there is no column {name!r}; it needs {', '.join(COLUMNS[table].names)}"
            f" and got {', '.join(rows.column_names) or 'none'}"
        )
    given = rows[name].type
    plain = given.value_type if pa.types.is_dictionary(given) else given
    fits = pa.types.is_null(plain) or _family(plain) == _family(type_)
    if not fits and not (pa.types.is_integer(plain) and pa.types.is_floating(type_)):
        raise DataError(f"{table}: column {name!r} is {given}, and {type_} is needed")
    try:
        return rows[name].cast(type_)
    except pa.ArrowInvalid as error:
        raise DataError(f"{table}: column {name!r} does not fit {type_}: {error}") from None


def _property(table: TableName, rows: pa.Table, name: str) -> pa.ChunkedArray:
    given = rows[name].type
    plain = given.value_type if pa.types.is_dictionary(given) else given
    family = _family(plain)
    if family is None:
        raise DataError(
            f"{table}: property {name!r} is {given}, which cannot be stored; make it a boolean,"
            " integer, float, string or list of strings"
        )
    return rows[name].cast(family)


def _family(given: pa.DataType) -> pa.DataType | None:
    """The type in which a value of the given type is stored; None if it cannot be."""
    if pa.types.is_boolean(given):
        return pa.bool_()
    if pa.types.is_integer(given):
        return pa.int64()
    if pa.types.is_floating(given):
        return pa.float64()
    if pa.types.is_string(given) or pa.types.is_large_string(given) or pa.types.is_null(given):
        return pa.string()
    lists = pa.types.is_list(given) or pa.types.is_large_list(given)
    if lists and _family(given.value_type) == pa.string():
        return pa.list_(pa.string())
    return None


def _check_events(columns: dict[str, pa.ChunkedArray], schema: Schema) -> None:
    weights = columns["weight"]
    wrong = pc.invert(pc.fill_null(pc.is_finite(weights), True))
    if pc.any(wrong).as_py():
        row = pc.index(wrong, True).as_py()
        raise DataError(f"events: 'weight' is {weights[row]} in row {row}: it must be a number")
    for kind in pc.unique(columns["kind"]).to_pylist():
        if kind not in schema.kind:
            near = get_close_matches(kind, schema.kinds, n=1, cutoff=0)
            raise DataError(
                f"events: kind {kind!r} is not in the Schema; the nearest is {near[0]!r}"
            )


def check_tree(parents: Iterable[tuple[str, str]]) -> None:
    """Refuse categories that are their own ancestors.

    Args:
        parents: Pairs of a category and its parent.

    Raises:
        DataError: With the categories of a cycle, child first.
    """
    above: dict[str, list[str]] = {}
    for child, parent in parents:
        above.setdefault(child, []).append(parent)
    try:
        TopologicalSorter(above).prepare()
    except CycleError as error:
        cycle = " -> ".join(reversed(error.args[1]))
        raise DataError(
            f"categories form a cycle, child -> parent: {cycle}; a category cannot be above itself"
        ) from None
