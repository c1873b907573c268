"""Reading events from Neo4j: a list a user on the wire, Arrow columns in the hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from neo4j import ManagedTransaction, Result

from firstedge.graph.cypher import kind_names, load
from firstedge.graph.errors import DataError
from firstedge.graph.neo4j_keys import key_forms
from firstedge.graph.schema import Kind, Schema
from firstedge.graph.store import COLUMNS

# Events that are held as Python objects before they become columns.
CHUNK = 65_536

_CODES = pa.dictionary(pa.int32(), pa.string())
_ENCODED = pa.schema(
    [
        field.with_type(_CODES) if field.name in ("user", "target", "kind") else field
        for field in COLUMNS["events"]
    ]
)


@dataclass(frozen=True)
class Bounds:
    """Which events to read; see `GraphStore.read_events`."""

    users: Sequence[str] | None = None
    until: int | None = None
    since: int | None = None

    def values(self, kind: Kind) -> dict[str, Any]:
        """The query's parameters, times in the unit of the kind."""
        scale = 1000 if kind.time_unit == "s" else 1
        return {
            "users": None if self.users is None else key_forms(dict.fromkeys(self.users)),
            "until": None if self.until is None else self.until / scale,
            "since": None if self.since is None else self.since / scale,
            "datetime": kind.time_unit == "datetime",
        }


def read_events(
    tx: ManagedTransaction,
    schema: Schema,
    bounds: Bounds,
    progress: Callable[[int], None] | None = None,
) -> pa.Table:
    """Events of all kinds within the bounds, as `GraphStore.read_events` gives them.

    Raises:
        DataError: If a time, sequence or weight is not a number.
    """
    file = "read_events" if bounds.users is None else "read_events_of"
    kinds = pa.array(schema.kinds, pa.string())
    tables = [_ENCODED.empty_table()]
    for row, kind in enumerate(schema.kind.values()):
        names = kind_names(schema, kind)
        if not tx.run(load("neo4j", "count_type", names)).single(strict=True)["number"]:
            continue  # the server knows it without a look at every user
        result = tx.run(load("neo4j", file, names), bounds.values(kind))
        for rows in _chunks(result):
            columns = _columns(rows, kind)
            codes = pa.array(np.full(len(columns[0]), row, np.int32))
            columns.insert(2, pa.DictionaryArray.from_arrays(codes, kinds))
            tables.append(pa.table(columns, schema=_ENCODED))
            if progress is not None:
                progress(sum(table.num_rows for table in tables))
    return pa.concat_tables(tables).unify_dictionaries()


def _chunks(result: Result) -> Iterator[list[tuple[Any, ...]]]:
    rows: list[tuple[Any, ...]] = []
    size = 0
    for record in result:
        row = tuple(record)
        rows.append(row)
        size += len(row[1])
        if size >= CHUNK:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _columns(rows: list[tuple[Any, ...]], kind: Kind) -> list[pa.Array]:
    """The columns of `COLUMNS["events"]` without the kind, from rows of a user and lists."""
    users, *lists = zip(*rows, strict=True)
    targets, times, seqs, weights, keys = (list(chain.from_iterable(each)) for each in lists)
    owners = np.repeat(np.arange(len(rows), dtype=np.int32), [len(each) for each in lists[0]])
    scale = 1000 if kind.time_unit == "s" else 1
    return [
        pa.DictionaryArray.from_arrays(pa.array(owners), pa.array(users, pa.string())),
        pa.array(targets, pa.string()).dictionary_encode(),
        _whole(pc.multiply(_numbers(times, kind, kind.time), scale)),
        _whole(_numbers(seqs, kind, kind.seq)),
        _numbers(weights, kind, kind.event_weight).cast(pa.float64()),
        pa.array(keys, pa.string()),
    ]


def _numbers(values: Sequence[Any], kind: Kind, name: str) -> pa.Array:
    try:
        column = pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        column = None
    if column is None or not _is_number(column.type):
        hint = '; a date or a text is read with time_unit = "datetime"' if name == kind.time else ""
        example = next((v for v in values if not isinstance(v, int | float | None)), None)
        raise DataError(f"property {name!r} of {kind.type} must be a number, got {example!r}{hint}")
    return column.cast(pa.int64()) if pa.types.is_null(column.type) else column


def _whole(column: pa.Array) -> pa.Array:
    """Integers as they are, and floats as the nearest integer."""
    return column if pa.types.is_integer(column.type) else pc.round(column).cast(pa.int64())


def _is_number(given: pa.DataType) -> bool:
    return pa.types.is_null(given) or pa.types.is_integer(given) or pa.types.is_floating(given)
