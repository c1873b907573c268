"""The Schema: how a shop names its users, items, categories and events.

It is a TOML file. Every name has a default, so that an empty file is a valid Schema for a graph
that firstedge makes itself; a graph that exists already is read under its own names.
"""

from __future__ import annotations

import re
import string
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from firstedge.graph.errors import SchemaError

Name = Annotated[str, StringConstraints(min_length=1, max_length=200, pattern=r"^[^`\x00]+$")]
TimeUnit = Literal["ms", "s", "datetime"]
Target = Literal["item", "category"]

# Sections of the same file that belong to others: the import mappings and the command's settings.
OTHER_SECTIONS = ("import", "settings")


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def template_fields(template: str) -> tuple[str, ...]:
    """The property names in a text template such as ``"{title}. {brand}"``."""
    return tuple(name for _, name, _, _ in string.Formatter().parse(template) if name)


class _Node(_Part):
    key: Name = "id"
    text: str = ""

    @model_validator(mode="after")
    def _plain_fields(self) -> _Node:
        for template in (self.text, getattr(self, "title", "")):
            for _, name, spec, conversion in string.Formatter().parse(template):
                if name is not None and (spec or conversion or not re.fullmatch(r"\w+", name)):
                    raise ValueError(
                        f"a template takes plain property names in braces, got {template!r}"
                    )
        return self


class UserNames(_Node):
    """Users: label, key property, text template and profile fields."""

    label: Name = "User"
    profile: tuple[Name, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """Every property that the model reads, without the key."""
        return tuple(dict.fromkeys((*self.profile, *template_fields(self.text))))


class ItemNames(_Node):
    """Items: label, key property, templates, properties for filters and the availability flag."""

    label: Name = "Item"
    title: str = ""
    properties: tuple[Name, ...] = ()
    available: Name | None = None

    @property
    def fields(self) -> tuple[str, ...]:
        """Every property that the model and the filters read, without the key."""
        flag = (self.available,) if self.available else ()
        templates = (*template_fields(self.title), *template_fields(self.text))
        return tuple(dict.fromkeys((*templates, *self.properties, *flag)))


class CategoryNames(_Part):
    """Categories: label, properties, and the relationships that make them a tree with items."""

    label: Name = "Category"
    key: Name = "id"
    name: Name = "name"
    parent: Name = "CHILD_OF"
    member: Name = "IN_CATEGORY"


class Kind(_Part):
    """A kind of event: its relationship type, its target, and the names of its properties.

    ``weight`` is what one such event says for its target; zero or less says nothing, and the kind
    is then neither given nor a target. ``cancels`` names the kind whose latest earlier event on
    the same item an event of this kind takes back (a return cancels a purchase).
    """

    type: Name
    to: Target = "item"
    weight: float = Field(default=1.0, allow_inf_nan=False, ge=-1e6, le=1e6)
    cancels: str | None = None
    time: Name = "time"
    time_unit: TimeUnit = "ms"
    seq: Name = "seq"
    event_weight: Name = "weight"
    event_key: Name = "key"


def _default_kinds() -> dict[str, Kind]:
    return {
        "view": Kind(type="VIEWED", weight=0.3),
        "cart": Kind(type="CARTED", weight=0.6),
        "purchase": Kind(type="PURCHASED"),
        "return": Kind(type="RETURNED", weight=0.0, cancels="purchase"),
        "rating": Kind(type="RATED"),
        "review": Kind(type="REVIEWED"),
        "interest": Kind(type="INTERESTED_IN", to="category"),
    }


class Schema(_Part):
    """How the graph names things.

    Attributes:
        user: Names of users.
        item: Names of items.
        category: Names of categories.
        kind: Kinds of events by name, in the order in which rows of tables stand for them.
    """

    user: UserNames = UserNames()
    item: ItemNames = ItemNames()
    category: CategoryNames = CategoryNames()
    kind: dict[Name, Kind] = Field(default_factory=_default_kinds, min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Schema:
        labels = (self.user.label, self.item.label, self.category.label)
        if len(set(labels)) < 3:
            raise ValueError(f"users, items and categories need three labels, got {labels}")
        types = [k.type for k in self.kind.values()]
        types += [self.category.parent, self.category.member]
        twice = sorted({t for t in types if types.count(t) > 1})
        if twice:
            raise ValueError(f"relationship type {twice[0]!r} is used for two things")
        for name, kind in self.kind.items():
            if kind.cancels is not None and kind.cancels not in self.kind:
                raise ValueError(f"kind {name!r} cancels {kind.cancels!r}, which is no kind here")
            if kind.cancels is not None and kind.weight > 0:
                raise ValueError(f"kind {name!r} cancels events, so its weight cannot be positive")
        return self

    @property
    def kinds(self) -> tuple[str, ...]:
        """Names of the kinds; a kind's row is its position here."""
        return tuple(self.kind)

    @classmethod
    def parse(cls, text: str, source: str = "schema") -> Schema:
        """Read a Schema from TOML text.

        Args:
            text: The TOML text.
            source: What to call it in errors, usually the file's name.

        Raises:
            SchemaError: With the line at fault.
        """
        try:
            data = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise SchemaError(f"{source}: {error}") from None
        data = {name: part for name, part in data.items() if name not in OTHER_SECTIONS}
        try:
            return cls.model_validate(data)
        except ValidationError as error:
            raise SchemaError(explain(error, text, source)) from None

    @classmethod
    def load(cls, path: str | Path) -> Schema:
        """Read a Schema file.

        Raises:
            SchemaError: If there is no such file, or with the line at fault.
        """
        path = Path(path)
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise SchemaError(
                f"cannot read the Schema {path}: {error}; `firstedge init` writes one"
            ) from None
        return cls.parse(text, path.name)


def explain(error: ValidationError, text: str, source: str) -> str:
    """A validation error as ``file:line: path: what is wrong``, one line for each fault."""
    return "\n".join(
        f"{source}:{line_of(text, fault['loc'])}: {'.'.join(map(str, fault['loc']))}: "
        f"{fault['msg'].removeprefix('Value error, ')}"
        for fault in error.errors(include_url=False, include_input=False)
    )


def line_of(text: str, loc: tuple[Any, ...]) -> int:
    """The 1-based line of the TOML key at ``loc``, or of the nearest section above it.

    A table of an array of tables (``[[import]]``) has its position in ``loc``.
    """
    names = [str(part) for part in loc]
    section: list[str] = []
    tables: dict[tuple[str, ...], int] = {}
    best, best_depth = 1, 0
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*(\[+)\s*([^\]]+?)\s*\]+", line)
        assigned = re.match(r"\s*[\"']?([\w.\- ]+?)[\"']?\s*=", line)
        if header:
            section = _section(header[2], header[1] == "[[", tables)
            here = section
        elif assigned:
            here = [*section, *assigned[1].split(".")]
        else:
            continue
        depth = len(here)
        if depth > best_depth and here == names[:depth]:
            best, best_depth = number, depth
    return best


def _section(header: str, array: bool, tables: dict[tuple[str, ...], int]) -> list[str]:
    """The path of a section, with the position of each array's table; `tables` counts these."""
    section: list[str] = []
    parts = [part.strip(" \"'") for part in header.split(".")]
    for part in parts[:-1]:
        section.append(part)
        if tuple(section) in tables:
            section.append(str(tables[tuple(section)]))
    section.append(parts[-1])
    if array:
        tables[tuple(section)] = tables.get(tuple(section), -1) + 1
        section.append(str(tables[tuple(section)]))
    return section
