"""The import mapping: which columns of a shop's files are its users, items and events.

Mappings are the ``[[import]]`` tables of the Schema file, one a file. A file may feed several
tables at once: an invoice line names a user, an item and an event.

    [[import]]
    name = "invoices"
    path = "invoices.csv.gz"
    users = {id = "customer", country = "country"}
    items = {id = "sku", title = "description", price = "unit_price:float"}
    events = {user = "customer", target = "sku", time = "date", kind = "purchase"}

    [[import.reject]]
    name = "no customer"
    column = "customer"
    missing = true
"""

from __future__ import annotations

import codecs
import tomllib
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

import xxhash
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    ValidationError,
    field_validator,
    model_validator,
)

from firstedge.graph.errors import MappingError
from firstedge.graph.schema import Name, Schema, explain
from firstedge.loaders.columns import COLUMN_TYPES, ColumnType
from firstedge.loaders.rules import ColumnName, KindRule, Part, RejectRule

Format = Literal["csv", "tsv", "parquet", "jsonl", "recbole", "lightgcn"]
SUFFIXES: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".pq": "parquet",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".inter": "recbole",
    ".user": "recbole",
    ".item": "recbole",
}


def _checked_zone(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise ValueError(f"there is no time zone {zone!r}; one is 'Europe/London'") from None
    return zone


def _column_of_text(value: object) -> object:
    """``"price:float"`` as ``{column = "price", type = "float"}``."""
    if not isinstance(value, str):
        return value
    column, _, type_ = value.rpartition(":")
    if column and type_ in COLUMN_TYPES:
        return {"column": column, "type": type_}
    return {"column": value}


def _time_of_text(value: object) -> object:
    return {"column": value} if isinstance(value, str) else value


def _rules_of_kind(value: object) -> object:
    """A constant or one rule as a list of rules."""
    if isinstance(value, str):
        return ({"is": value},)
    return (value,) if isinstance(value, dict) else value


class Column(Part):
    """A column that becomes a property.

    Attributes:
        column: Its name in the file.
        type: What its text is read as; None is the file's own type (Parquet, RecBole), else text.
        separator: What stands between the elements of a list that the file keeps as one text.
    """

    column: ColumnName
    type: ColumnType | None = None
    separator: str | None = Field(default=None, min_length=1)


class TimeColumn(Part):
    """A column of times.

    Attributes:
        column: Its name in the file.
        format: ``iso`` (also for the datetime columns of Parquet), ``s`` or ``ms`` since 1970, or
            a pattern of strptime such as ``%d/%m/%Y %H:%M``.
        zone: The time zone of times that name none.
    """

    column: ColumnName
    format: str = Field(default="iso", min_length=1)
    zone: Annotated[str, AfterValidator(_checked_zone)] = "UTC"

    @field_validator("format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        if value not in ("iso", "s", "ms") and "%" not in value:
            raise ValueError(f"a time's format is iso, s, ms or a strptime pattern, got {value!r}")
        return value


class Events(Part):
    """Columns of events.

    Attributes:
        user: Id of the user; users without a table of their own are made from it.
        target: Id of the item, or of the category for kinds of events that go to categories.
        kind: A kind of the Schema, a column, or rules.
        time: When; None or a missing text is an unknown time.
        seq: Order among events of one time; by default the order of the rows.
        weight: A column of numbers >= 0; None or a missing text is 1.
        key: Columns that together name an event for ever; by default the whole row does.
    """

    user: ColumnName
    target: ColumnName
    kind: Annotated[tuple[KindRule, ...], BeforeValidator(_rules_of_kind), Field(min_length=1)]
    time: Annotated[TimeColumn | None, BeforeValidator(_time_of_text)] = None
    seq: ColumnName | None = None
    weight: ColumnName | None = None
    key: tuple[ColumnName, ...] = ()


class Categories(Part):
    """Columns of categories; a parent is an id, a row without one is a root."""

    id: ColumnName
    name: ColumnName | None = None
    parent: ColumnName | None = None


class ItemCategories(Part):
    """Which items are in which categories.

    Attributes:
        item: Id of the item.
        category: Id of a category that is known from elsewhere, or
        names: names of categories, which are made from it.
        separator: What stands between several of them in one text.
        levels: With `names`: what stands between the levels of one path, ``" > "``.
    """

    item: ColumnName
    category: ColumnName | None = None
    names: ColumnName | None = None
    separator: str | None = Field(default=None, min_length=1)
    levels: str | None = Field(default=None, min_length=1)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.category is None) == (self.names is None):
            raise ValueError("give either category (ids of known ones) or names (to make them of)")
        if self.levels is not None and self.names is None:
            raise ValueError("levels go with names")
        return self


Properties = dict[Name, Annotated[Column, BeforeValidator(_column_of_text)]]


class ImportMapping(Part):
    """What one file holds.

    Attributes:
        name: What the report, the rejects and the events' keys call this import.
        path: The file; None if the command line gives it.
        format: By default from the path's suffix (before ``.gz``).
        encoding: Of text files.
        delimiter: Of CSV; by default a comma, in TSV a tab.
        columns: Names of the columns of a CSV or TSV file without a header line.
        users: Column of the id, and columns of any further properties.
        items: Likewise.
        categories: Columns of categories.
        item_categories: Columns of memberships.
        events: Columns of events.
        reject: Rows not to import, by name.
    """

    name: Annotated[str, StringConstraints(pattern=r"^[\w.-]+$", max_length=100)]
    path: Path | None = None
    format: Format | None = None
    encoding: str = "utf-8"
    delimiter: str | None = Field(default=None, pattern=r"^[\x01-\x7f]$")
    columns: tuple[ColumnName, ...] = ()
    users: Properties | None = None
    items: Properties | None = None
    categories: Categories | None = None
    item_categories: ItemCategories | None = None
    events: Events | None = None
    reject: tuple[RejectRule, ...] = ()

    @field_validator("encoding")
    @classmethod
    def _readable(cls, value: str) -> str:
        try:
            plain = codecs.encode('\n,"\t', value) == b'\n,"\t'
        except (LookupError, TypeError):
            raise ValueError(f"there is no encoding {value!r}; one is 'gb18030'") from None
        if not plain:
            raise ValueError(f"{value!r} files are not read: convert the file to utf-8")
        return value

    @field_validator("users", "items")
    @classmethod
    def _has_id(cls, value: dict[str, Column] | None) -> dict[str, Column] | None:
        if value is not None and "id" not in value:
            raise ValueError("id is missing: the column of the key")
        return value

    @model_validator(mode="after")
    def _something_to_import(self) -> Self:
        parts = (self.users, self.items, self.categories, self.item_categories, self.events)
        if not any(parts):
            raise ValueError(
                "nothing to import: give users, items, categories, item_categories or events"
            )
        if self.categories and self.item_categories and self.item_categories.names:
            raise ValueError("categories come from a table or from names, not from both")
        names = [rule.name for rule in self.reject]
        if len(set(names)) < len(names):
            raise ValueError("two reject rules have one name")
        return self

    @property
    def users_or_made(self) -> dict[str, Column] | None:
        """The columns of users; without any, the id alone from the events."""
        if self.users is None and self.events is not None:
            return {"id": Column(column=self.events.user)}
        return self.users

    @property
    def column_names(self) -> tuple[str, ...]:
        """Every column of the file that is named here, once."""
        names: list[str | None] = []
        for nodes in (self.users_or_made, self.items):
            names += [column.column for column in (nodes or {}).values()]
        if self.categories is not None:
            names += [self.categories.id, self.categories.name, self.categories.parent]
        if self.item_categories is not None:
            part = self.item_categories
            names += [part.item, part.category, part.names]
        if self.events is not None:
            found = self.events
            names += [found.user, found.target, found.seq, found.weight, *found.key]
            names += [rule.column for rule in found.kind]
            names.append(found.time.column if found.time else None)
        for rule in self.reject:
            names += [rule.column, rule.unless.column if rule.unless else None]
        return tuple(dict.fromkeys(name for name in names if name is not None))

    @property
    def file(self) -> Path:
        """The path.

        Raises:
            MappingError: If there is none.
        """
        if self.path is None:
            raise MappingError(
                f"import {self.name!r} has no file: give it a path, or name one on the command line"
            )
        return self.path

    @property
    def file_format(self) -> Format:
        """The format, given or by the path's suffix.

        Raises:
            MappingError: If the suffix tells nothing.
        """
        if self.format is not None:
            return self.format
        suffixes = [suffix for suffix in self.file.suffixes if suffix != ".gz"]
        found = SUFFIXES.get(suffixes[-1].lower() if suffixes else "")
        if found is None:
            raise MappingError(
                f"import {self.name!r}: the name {self.file.name!r} does not tell its format; "
                f'add e.g. format = "csv"'
            )
        return found

    @property
    def digest(self) -> str:
        """A hash of all that decides what a file's rows become."""
        return xxhash.xxh3_64_hexdigest(self.model_dump_json(exclude={"path"}).encode())


class _Mappings(Part):
    imports: tuple[ImportMapping, ...] = Field(default=(), alias="import")

    @field_validator("imports")
    @classmethod
    def _distinct(cls, value: tuple[ImportMapping, ...]) -> tuple[ImportMapping, ...]:
        names = [mapping.name for mapping in value]
        if len(set(names)) < len(names):
            raise ValueError("two imports have one name")
        return value


def parse_mappings(
    text: str, source: str = "schema", folder: Path | None = None
) -> tuple[ImportMapping, ...]:
    """Read the ``[[import]]`` tables of a Schema file.

    Args:
        text: The TOML text, the Schema included.
        source: What to call it in errors, usually the file's name.
        folder: What relative paths start from; the working directory if None.

    Raises:
        SchemaError: If the Schema itself is at fault.
        MappingError: With the line at fault.
    """
    schema = Schema.parse(text, source)
    data = {"import": tomllib.loads(text).get("import", [])}
    try:
        mappings = _Mappings.model_validate(data).imports
    except ValidationError as error:
        raise MappingError(explain(error, text, source)) from None
    for mapping in mappings:
        _check_kinds(mapping, schema, source)
    base = folder or Path()
    return tuple(
        mapping.model_copy(update={"path": base / mapping.path}) if mapping.path else mapping
        for mapping in mappings
    )


def load_mappings(path: str | Path) -> tuple[ImportMapping, ...]:
    """The mappings of a Schema file; their paths start from its folder.

    Raises:
        SchemaError: If there is no such file, or the Schema in it is at fault.
        MappingError: With the line at fault.
    """
    path = Path(path)
    Schema.load(path)
    return parse_mappings(path.read_text("utf-8"), path.name, path.parent)


def _check_kinds(mapping: ImportMapping, schema: Schema, source: str) -> None:
    rules = mapping.events.kind if mapping.events else ()
    for kind in (kind for rule in rules for kind in rule.kinds):
        if kind not in schema.kind:
            raise MappingError(
                f"{source}: import {mapping.name!r}: {kind!r} is not a kind of the Schema "
                f"({', '.join(schema.kinds)}); a column is written kind = {{column = {kind!r}}}"
            )
