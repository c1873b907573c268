"""Holding a Schema against a Neo4j database, and counting what the Schema names there."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from neo4j import ManagedTransaction

from firstedge.graph.cypher import kind_names, load, node_names
from firstedge.graph.errors import SchemaError
from firstedge.graph.neo4j_link import NOTE_LABEL
from firstedge.graph.schema import Kind, Schema

_log = logging.getLogger(__name__)


def count_rows(tx: ManagedTransaction, schema: Schema) -> dict[str, int]:
    """Numbers of rows, as `GraphStore.counts` gives them."""
    look = _Look(tx)
    labels = {
        "users": schema.user.label,
        "items": schema.item.label,
        "categories": schema.category.label,
    }
    counts = {name: look.count("count_nodes", {"label": label}) for name, label in labels.items()}
    counts["item_categories"] = look.count("count_members", node_names(schema))
    for name, kind in schema.kind.items():
        counts[f"events.{name}"] = _count_events(look, kind_names(schema, kind))
    return counts


def _count_events(look: _Look, names: Mapping[str, str]) -> int:
    """Neo4j keeps counts by type and by one end: where they agree, nothing has to be walked."""
    kept = {look.count(f"count_type{end}", names) for end in ("", "_from", "_to")}
    return kept.pop() if len(kept) == 1 else look.count("count_events", names)


def check_schema(tx: ManagedTransaction, schema: Schema) -> None:
    """Hold a Schema against the database; one that holds nothing yet fits every Schema.

    Raises:
        SchemaError: With the label, type or property that is missing and the nearest one.
    """
    look = _Look(tx)
    notes = look.count("count_nodes", {"label": NOTE_LABEL})
    if look.count("count_all", {}) == notes:
        return
    labels = set(look.names("list_labels")) - {NOTE_LABEL}
    nodes: list[tuple[str, str, str, tuple[str, ...]]] = [
        ("user", schema.user.label, schema.user.key, schema.user.fields),
        ("item", schema.item.label, schema.item.key, schema.item.fields),
    ]
    category = schema.category
    if category.label in labels or "label" in category.model_fields_set:
        nodes.append(("category", category.label, category.key, ()))
    for part, label, key, fields in nodes:
        if label not in labels:
            raise _missing(f"{part}.label", "label", label, labels)
        _check_properties(look, part, label, (key, *fields))
        _warn_of_keyless(look, label, key)
    _check_kinds(look, schema)


def _check_properties(look: _Look, part: str, label: str, names: tuple[str, ...]) -> None:
    if not look.count("count_nodes", {"label": label}):
        return
    for name in names:
        if look.example("find_property", {"label": label}, name) is None:
            there = look.names("list_properties", {"label": label})
            raise _missing(part, f"property of :{label}", name, there)


def _warn_of_keyless(look: _Look, label: str, key: str) -> None:
    number = look.count("count_keyless", {"label": label, "key": key})
    if number:
        _log.warning("%d nodes :%s have no property %r and are not read", number, label, key)


def _check_kinds(look: _Look, schema: Schema) -> None:
    types = set(look.names("list_types"))
    missing = [name for name, kind in schema.kind.items() if kind.type not in types]
    # A graph need not have all the kinds that a Schema has by default, but it must have one.
    chosen = "kind" in schema.model_fields_set
    if missing and (chosen or len(missing) == len(schema.kind)):
        name = missing[0]
        raise _missing(f"kind.{name}.type", "relationship type", schema.kind[name].type, types)
    for name, kind in schema.kind.items():
        if kind.type in types:
            _check_kind(look, name, kind, kind_names(schema, kind))


def _check_kind(look: _Look, name: str, kind: Kind, names: Mapping[str, str]) -> None:
    if not look.count("count_type", names):
        return
    if look.example("find_event", names) is None:
        raise SchemaError(
            f"kind.{name}: no :{kind.type} goes from a :{names['user']} to a :{names['target']};"
            " turn it round, or name the labels that it joins"
        )
    for part in ("time", "seq", "event_weight", "event_key"):
        wanted = getattr(kind, part)
        named = part in kind.model_fields_set
        if named and look.example("find_event_property", names, wanted) is None:
            there = look.names("list_event_properties", names)
            raise _missing(f"kind.{name}.{part}", f"property of :{kind.type}", wanted, there)


def _missing(where: str, what: str, name: str, there: Collection[str]) -> SchemaError:
    near = get_close_matches(name, sorted(there), n=1, cutoff=0)
    hint = f"the nearest is {near[0]!r}" if near else "there are none"
    return SchemaError(f"{where}: the database has no {what} {name!r}; {hint}")


@dataclass(frozen=True)
class _Look:
    """Small questions to a database."""

    tx: ManagedTransaction

    def count(self, file: str, names: Mapping[str, str]) -> int:
        return int(self.tx.run(load("neo4j", file, names)).single(strict=True)["number"])

    def names(self, file: str, names: Mapping[str, str] | None = None) -> list[str]:
        return list(self.tx.run(load("neo4j", file, names or {})).single(strict=True)["names"])

    def example(self, file: str, names: Mapping[str, str], name: str = "") -> Any:
        found = self.tx.run(load("neo4j", file, names), {"name": name}).single()
        return None if found is None else found["example"]
