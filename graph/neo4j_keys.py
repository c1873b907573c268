"""Ids as a shop's own graph keeps them: firstedge knows text, and a graph may hold integers."""

from __future__ import annotations

import re
from collections.abc import Iterable

from neo4j import ManagedTransaction

from firstedge.graph.cypher import load

# Texts that are what Cypher's toString() makes of an integer; 18 digits fit 64 bits.
_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,17}")


def key_forms(ids: Iterable[str]) -> list[str | int]:
    """Every form in which a graph may hold these ids: text and, for numbers, integers too."""
    texts = list(ids)
    return [*texts, *(int(id_) for id_ in texts if _INTEGER.fullmatch(id_))]


def stored_keys(
    tx: ManagedTransaction, label: str, key: str, ids: Iterable[str]
) -> list[str | int]:
    """The ids in the form that the label's nodes hold: integers if one of its nodes does."""
    sample = tx.run(load("neo4j", "sample_key", {"label": label, "key": key})).single()
    if sample is None or not isinstance(sample["key"], int):
        return list(ids)
    return [int(id_) if _INTEGER.fullmatch(id_) else id_ for id_ in ids]
