"""Import: from files by their mappings, or from tables in memory, into a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import nullcontext

import pyarrow as pa
import xxhash

from firstedge.graph.errors import MappingError
from firstedge.graph.schema import Schema
from firstedge.graph.store import GraphStore, TableName
from firstedge.loaders.columns import ColumnType
from firstedge.loaders.job import ImportOptions, Job
from firstedge.loaders.mapping import (
    Categories,
    Column,
    Events,
    ImportMapping,
    ItemCategories,
    TimeColumn,
)
from firstedge.loaders.readers import check_columns, open_source, table_source
from firstedge.loaders.report import FileReport, ImportReport
from firstedge.loaders.rules import KindRule


def import_files(
    store: GraphStore,
    mappings: Sequence[ImportMapping],
    options: ImportOptions = ImportOptions(),  # noqa: B008 - frozen
) -> ImportReport:
    """Import the files of mappings: catalogues first, then what refers to them.

    A file that was imported before is skipped, by its content and its mapping; a run that was cut
    off goes on where it was.

    Args:
        store: Where to.
        mappings: What the files hold.
        options: Options.

    Raises:
        MappingError: If a file cannot be read or lacks a column of its mapping.
        SettingsError: If the rejected rows cannot be written.
        StoreError: If the store cannot be written.
    """
    ordered = sorted(mappings, key=_order)
    return ImportReport(tuple(_import_file(store, mapping, options) for mapping in ordered))


def _order(mapping: ImportMapping) -> int:
    """Categories, then items and users, then what may refer to them."""
    if mapping.categories is not None:
        return 0
    if mapping.items is not None:
        return 1
    return 1 if mapping.events is None and mapping.item_categories is None else 2


def import_users(
    store: GraphStore,
    rows: object,
    options: ImportOptions = ImportOptions(),  # noqa: B008
) -> FileReport:
    """Import users from a table in memory: `id`, and a column for each property.

    Args:
        store: Where to.
        rows: An Arrow table, or anything that gives one (a data frame, a dictionary of lists).
        options: Options.

    Raises:
        MappingError: If a column is missing or of a type that cannot be read.
    """
    return _import_table(store, "users", rows, options)


def import_items(
    store: GraphStore,
    rows: object,
    options: ImportOptions = ImportOptions(),  # noqa: B008
) -> FileReport:
    """Import items from a table in memory: `id`, and a column for each property.

    Like `import_users` in all else.
    """
    return _import_table(store, "items", rows, options)


def import_categories(
    store: GraphStore,
    rows: object,
    options: ImportOptions = ImportOptions(),  # noqa: B008
) -> FileReport:
    """Import categories from a table in memory: `id` and, as far as there are, `name`, `parent`.

    Like `import_users` in all else.
    """
    return _import_table(store, "categories", rows, options)


def import_item_categories(
    store: GraphStore,
    rows: object,
    options: ImportOptions = ImportOptions(),  # noqa: B008
) -> FileReport:
    """Import memberships from a table in memory: `item` and `category`, both of them ids.

    Like `import_users` in all else.
    """
    return _import_table(store, "item_categories", rows, options)


def import_events(
    store: GraphStore,
    rows: object,
    options: ImportOptions = ImportOptions(),  # noqa: B008
) -> FileReport:
    """Import events from a table in memory.

    Args:
        store: Where to. Users that it does not know are made; an item that it does not know makes
            a rejected row.
        rows: `user`, `target`, `kind` and, as far as there are, `time` (datetimes, ISO texts or
            milliseconds since 1970 UTC), `seq`, `weight` and `key` (without one, the whole row
            is its own key). Like `import_users` in all else.
        options: Options.

    Raises:
        MappingError: If a column is missing or of a type that cannot be read.
    """
    return _import_table(store, "events", rows, options)


def fingerprint(mapping: ImportMapping, schema: Schema) -> str:
    """A hash of a file's bytes and of what decides what they become: mapping and kinds.

    Raises:
        MappingError: If the file cannot be read.
    """
    kinds = [f"{name}>{kind.to}" for name, kind in schema.kind.items()]
    hasher = xxhash.xxh3_128("\n".join([mapping.digest, *kinds]).encode())
    try:
        with mapping.file.open("rb") as file:
            while block := file.read(1 << 20):
                hasher.update(block)
    except OSError as error:
        raise MappingError(
            f"import {mapping.name!r}: cannot read {mapping.file}: {error.strerror}"
        ) from None
    return hasher.hexdigest()


def _import_file(store: GraphStore, mapping: ImportMapping, options: ImportOptions) -> FileReport:
    job = Job(
        store,
        mapping,
        options,
        lambda: open_source(mapping),
        note=f"import/{mapping.name}/{fingerprint(mapping, store.schema)}",
    )
    return job.run()


def _import_table(
    store: GraphStore, name: TableName, rows: object, options: ImportOptions
) -> FileReport:
    try:
        table = rows if isinstance(rows, pa.Table) else pa.table(rows)
    except (TypeError, ValueError, pa.ArrowInvalid) as error:
        raise MappingError(
            f"{name}: not a table: {error}; a file is imported by import_files with a mapping"
        ) from None
    source = table_source(table)
    mapping = _canonical_mapping(name, source.columns, source.types)
    check_columns(source, mapping)
    return Job(store, mapping, options, lambda: nullcontext(table_source(table))).run()


def _canonical_mapping(
    table: TableName, columns: tuple[str, ...], types: Mapping[str, ColumnType]
) -> ImportMapping:
    """The mapping of a table in memory whose columns are named like the store's.

    Args:
        table: Which of the store's tables it is.
        columns: The columns that it has.
        types: Their types, text if not here.
    """
    properties = {name: Column(column=name) for name in dict.fromkeys(("id", *columns))}
    if table == "users":
        return ImportMapping(name=table, users=properties)
    if table == "items":
        return ImportMapping(name=table, items=properties)
    if table == "categories":
        found = {name: name for name in ("name", "parent") if name in columns}
        return ImportMapping(name=table, categories=Categories(id="id", **found))
    if table == "item_categories":
        return ImportMapping(
            name=table, item_categories=ItemCategories(item="item", category="category")
        )
    time = TimeColumn(column="time", format="iso" if types.get("time", "text") == "text" else "ms")
    events = Events(
        user="user",
        target="target",
        kind=(KindRule(column="kind"),),
        time=time if "time" in columns else None,
        seq="seq" if "seq" in columns else None,
        weight="weight" if "weight" in columns else None,
        key=("key",) if "key" in columns else (),
    )
    return ImportMapping(name=table, events=events)
