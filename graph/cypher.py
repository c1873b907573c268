"""Cypher queries from their files, with the names of a Schema put in: all Cypher comes from here.

A file in ``cypher/<store>/`` holds one query. Where a name of the Schema belongs it has a
placeholder that is a back-quoted name in braces, such as ``(u:`{user}`)``, so that the file is
valid Cypher as it stands. Values are never put in: they go along as parameters.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from firstedge.graph.errors import SchemaError
from firstedge.graph.schema import Kind, Schema

_PLACEHOLDER = re.compile(r"`\{(\w+)\}`")


def identifier(name: str) -> str:
    r"""A name as a Cypher identifier, in back-quotes.

    Raises:
        SchemaError: If no quoting makes the name safe: it is empty, or it holds a NUL or a
            ``\u`` escape, which Cypher decodes even between back-quotes.
    """
    if not name or "\0" in name or "\\u" in name.lower():
        raise SchemaError(f"{name!r} cannot be a name in Cypher: it is empty or holds \\0 or \\u")
    return "`" + name.replace("`", "``") + "`"


def load(store: str, name: str, names: Mapping[str, str | tuple[str, ...]]) -> str:
    """The query of a file, with the names of a Schema in place of its placeholders.

    Args:
        store: The folder under ``cypher/``.
        name: The file's name without ``.cypher``.
        names: Placeholders and the names that they stand for, a tuple for any of them; more than
            the file uses is fine.

    Raises:
        SchemaError: If a name cannot be an identifier.
    """
    return _PLACEHOLDER.sub(lambda found: _any_of(names[found[1]]), _text(store, name))


def _any_of(names: str | tuple[str, ...]) -> str:
    return "|".join(map(identifier, (names,) if isinstance(names, str) else names))


def node_names(schema: Schema) -> dict[str, str]:
    """The placeholders for nodes, and for what ties items and categories together."""
    return {
        "user": schema.user.label,
        "user_key": schema.user.key,
        "item": schema.item.label,
        "item_key": schema.item.key,
        "category": schema.category.label,
        "category_key": schema.category.key,
        "category_name": schema.category.name,
        "parent": schema.category.parent,
        "member": schema.category.member,
    }


def kind_names(schema: Schema, kind: Kind) -> dict[str, str]:
    """The placeholders for events of one kind, with those for nodes."""
    target = schema.item if kind.to == "item" else schema.category
    return {
        **node_names(schema),
        "type": kind.type,
        "target": target.label,
        "target_key": target.key,
        "time": kind.time,
        "seq": kind.seq,
        "weight": kind.event_weight,
        "key": kind.event_key,
    }


@cache
def _text(store: str, name: str) -> str:
    return (Path(__file__).parent / "cypher" / store / f"{name}.cypher").read_text("utf-8")
