"""One chunk of a file as rows of the store's tables, and the rows that are rejected with why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import xxhash

from firstedge.graph.schema import Schema
from firstedge.graph.store import COLUMNS, TableName
from firstedge.loaders.columns import (
    UNIT,
    ColumnType,
    flat,
    mask_of,
    parse_column,
    parse_times,
)
from firstedge.loaders.delimited import BAD, LINE, RAW
from firstedge.loaders.mapping import Column, Events, ImportMapping, ItemCategories
from firstedge.loaders.rules import Mask, kinds_of, rejected_by

DAY_MS = 86_400_000
PATH = " > "  # between the levels of a derived category's id

Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Plan:
    """What stays the same from chunk to chunk.

    Attributes:
        mapping: The mapping.
        schema: The store's.
        types: What a column is read as when the mapping does not say.
        latest: The last time that is not the future, ms since 1970 UTC.
        namespace: What keys of events start with, so that those of two imports never meet.
    """

    mapping: ImportMapping
    schema: Schema
    types: Mapping[str, ColumnType]
    latest: int
    namespace: str


@dataclass
class Sieve:
    """The first reason for which each row of a chunk is rejected."""

    size: int
    reasons: list[str] = field(default_factory=list)
    codes: npt.NDArray[np.int16] = field(init=False)

    def __post_init__(self) -> None:
        self.codes = np.full(self.size, -1, np.int16)

    @property
    def kept(self) -> Mask:
        """Rows that no reason speaks against, bool[n]."""
        return self.codes < 0

    @property
    def counts(self) -> dict[str, int]:
        """Rejected rows by reason."""
        found = np.bincount(self.codes[~self.kept], minlength=len(self.reasons))
        return {
            reason: int(count) for reason, count in zip(self.reasons, found, strict=True) if count
        }

    def reject(self, rows: Mask | Rows, reason: str) -> None:
        """Reject rows, given as a mask or by position, unless they are rejected already."""
        mask = np.zeros(self.size, bool)
        mask[rows] = True
        mask &= self.kept
        if mask.any():
            if reason not in self.reasons:
                self.reasons.append(reason)
            self.codes[mask] = self.reasons.index(reason)


@dataclass(frozen=True)
class Part:
    """Rows of one table of the store, and the row of the chunk that each came from."""

    table: pa.Table
    rows: Rows


def prepare(chunk: pa.Table, plan: Plan, first: int) -> tuple[dict[TableName, Part], Sieve]:
    """Turn texts into rows of tables.

    Args:
        chunk: A table of texts from a reader, its columns in one piece each.
        plan: The plan.
        first: The number of the chunk's first row in the file, from 0 on.

    Returns:
        Rows by table, those of rejected rows left out, and the sieve that says which these are.
    """
    sieve = Sieve(chunk.num_rows)
    sieve.reject(mask_of(chunk[BAD]), "malformed row")
    for rule in plan.mapping.reject:
        sieve.reject(rejected_by(rule, chunk), rule.name)
    tables = _tables(chunk, plan, first, sieve)
    kept = np.flatnonzero(sieve.kept)
    parts = {name: Part(table.take(pa.array(kept)), kept) for name, table in tables.items()}
    if plan.mapping.item_categories is not None:
        parts |= _memberships(chunk, plan.mapping.item_categories, kept)
    return dict(sorted(parts.items(), key=lambda part: list(COLUMNS).index(part[0]))), sieve


def _tables(chunk: pa.Table, plan: Plan, first: int, sieve: Sieve) -> dict[TableName, pa.Table]:
    """Rows of users, items, categories and events: one for each row of the chunk."""
    mapping = plan.mapping
    tables: dict[TableName, pa.Table] = {}
    if mapping.users_or_made is not None:
        tables["users"] = _nodes(chunk, mapping.users_or_made, plan, sieve, "no user")
    if mapping.items is not None:
        tables["items"] = _nodes(chunk, mapping.items, plan, sieve, "no item")
    if mapping.categories is not None:
        ids = flat(chunk[mapping.categories.id])
        sieve.reject(mask_of(ids.is_null()), "no category")
        tables["categories"] = _categories(
            ids,
            chunk[mapping.categories.name] if mapping.categories.name else ids,
            chunk[mapping.categories.parent] if mapping.categories.parent else None,
        )
    if mapping.item_categories is not None:
        sieve.reject(mask_of(chunk[mapping.item_categories.item].is_null()), "no item")
    if mapping.events is not None:
        tables["events"] = _events(chunk, mapping.events, plan, first, sieve)
    return tables


def _nodes(
    chunk: pa.Table, columns: Mapping[str, Column], plan: Plan, sieve: Sieve, missing: str
) -> pa.Table:
    found = {"id": flat(chunk[columns["id"].column])}
    sieve.reject(mask_of(found["id"].is_null()), missing)
    for name, column in columns.items():
        if name == "id":
            continue
        text = flat(chunk[column.column])
        type_ = column.type or plan.types.get(column.column, "text")
        values = parse_column(text, type_, column.separator)
        unread = mask_of(text.is_valid()) & mask_of(values.is_null())
        if type_ == "float":
            unread |= mask_of(pc.is_inf(values))
            values = pc.if_else(pc.is_nan(values), None, values)
        sieve.reject(unread, f"{name} is not of type {type_}")
        found[name] = values
    return pa.table(found)


def _categories(
    ids: pa.Array, names: pa.Array | pa.ChunkedArray, parents: pa.Array | pa.ChunkedArray | None
) -> pa.Table:
    parents = pa.nulls(len(ids), pa.string()) if parents is None else parents
    derived = pa.repeat(False, len(ids))
    return pa.table([ids, names, parents, derived], schema=COLUMNS["categories"])


def _events(chunk: pa.Table, events: Events, plan: Plan, first: int, sieve: Sieve) -> pa.Table:
    users, targets = flat(chunk[events.user]), flat(chunk[events.target])
    sieve.reject(mask_of(users.is_null()), "no user")
    sieve.reject(mask_of(targets.is_null()), "no target")
    kinds = kinds_of(events.kind, chunk)
    known = pc.is_in(kinds, pa.array(plan.schema.kinds, pa.string()))
    sieve.reject(~mask_of(known), "unknown kind")
    columns = [
        users,
        targets,
        kinds,
        _times(chunk, events, plan, sieve),
        _sequence(chunk, events, first, sieve),
        _weights(chunk, events, sieve),
        _keys(chunk, events, plan, sieve),
    ]
    return pa.table(columns, schema=COLUMNS["events"])


def _times(chunk: pa.Table, events: Events, plan: Plan, sieve: Sieve) -> pa.Array:
    if events.time is None:
        return pa.nulls(chunk.num_rows, pa.int64())
    text = flat(chunk[events.time.column])
    times = parse_times(text, events.time.format, events.time.zone)
    sieve.reject(mask_of(text.is_valid()) & mask_of(times.is_null()), "unreadable time")
    sieve.reject(mask_of(pc.greater(times, plan.latest)), "future time")
    return times


def _sequence(chunk: pa.Table, events: Events, first: int, sieve: Sieve) -> pa.Array:
    if events.seq is None:
        return pa.array(np.arange(first, first + chunk.num_rows))
    text = flat(chunk[events.seq])
    numbers = parse_column(text, "int")
    sieve.reject(mask_of(text.is_valid()) & mask_of(numbers.is_null()), "unreadable seq")
    return numbers


def _weights(chunk: pa.Table, events: Events, sieve: Sieve) -> pa.Array:
    if events.weight is None:
        return pa.nulls(chunk.num_rows, pa.float64())
    text = flat(chunk[events.weight])
    weights = parse_column(text, "float")
    usable = pc.and_(pc.is_finite(weights), pc.greater_equal(weights, 0))
    sieve.reject(mask_of(text.is_valid()) & ~mask_of(usable), "weight is not a number >= 0")
    return weights


def _keys(chunk: pa.Table, events: Events, plan: Plan, sieve: Sieve) -> pa.Array:
    """Business keys: the key column's text, else a hash of the key columns or of the whole row."""
    for name in events.key:
        sieve.reject(mask_of(chunk[name].is_null()), "no key")
    if len(events.key) == 1:
        text = flat(chunk[events.key[0]])
        return pc.binary_join_element_wise(plan.namespace, text, "") if plan.namespace else text
    names = events.key or sorted(set(chunk.column_names) - {LINE, RAW, BAD})
    parts = [flat(chunk[name]) for name in names]
    row = pc.binary_join_element_wise(
        *parts, "\x1e", null_handling="replace", null_replacement="\x00"
    )
    if not events.key:
        row = pc.coalesce(flat(chunk[RAW]), row)  # as it stands, from a reader that has it so
    joined = pc.binary_join_element_wise(plan.namespace, row, "\x1e")
    hashes = map(xxhash.xxh3_128_hexdigest, joined.cast(pa.binary()).to_pylist())
    return pa.array(hashes, pa.string(), size=chunk.num_rows)


def _memberships(chunk: pa.Table, columns: ItemCategories, kept: Rows) -> dict[TableName, Part]:
    """Memberships of the kept rows, and the categories that are made from names."""
    text = flat(chunk[columns.category or columns.names or ""]).take(pa.array(kept))
    items = flat(chunk[columns.item]).take(pa.array(kept))
    encoded = text.dictionary_encode()
    paths = [_paths(value, columns) for value in encoded.dictionary.to_pylist()]
    offsets = np.cumsum([0, *map(len, paths)])
    ids = pa.array([UNIT.join(path) for found in paths for path in found], pa.string())
    codes = pc.fill_null(encoded.indices, len(paths)).to_numpy()
    counts = np.append(np.diff(offsets), 0)[codes]
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    at = np.repeat(np.append(offsets[:-1], 0)[codes], counts) + within
    owners = np.repeat(np.arange(len(kept)), counts)
    members = pa.table(
        [items.take(pa.array(owners)), pc.replace_substring(ids, UNIT, PATH).take(pa.array(at))],
        schema=COLUMNS["item_categories"],
    )
    parts: dict[TableName, Part] = {"item_categories": Part(members, kept[owners])}
    if columns.names is not None:
        made = _made_categories(dict.fromkeys(path for found in paths for path in found))
        parts["categories"] = Part(made, np.zeros(made.num_rows, np.int64))
    return parts


def _paths(text: str, columns: ItemCategories) -> list[tuple[str, ...]]:
    """The categories of one text, each as the names of its levels from the root down."""
    several = text.replace(columns.separator or UNIT, UNIT).split(UNIT)
    levels = [part.split(columns.levels) if columns.levels else [part] for part in several]
    paths = [tuple(name.strip() for name in path if name.strip()) for path in levels]
    return list(dict.fromkeys(path for path in paths if path))


def _made_categories(paths: dict[tuple[str, ...], None]) -> pa.Table:
    """The categories of paths and of all that is above them."""
    every = dict.fromkeys(path[:depth] for path in paths for depth in range(1, len(path) + 1))
    return _categories(
        pa.array([PATH.join(path) for path in every], pa.string()),
        pa.array([path[-1] for path in every], pa.string()),
        pa.array([PATH.join(path[:-1]) or None for path in every], pa.string()),
    )
