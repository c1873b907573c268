"""A Filter as the parameter of the published queries."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from firstedge.graph.neo4j_keys import key_forms
from firstedge.serving.filter import Condition, Filter, Range


def filter_values(filter: Filter) -> dict[str, Any]:  # noqa: A002
    """The map that ``$filter`` takes: only what differs from letting everything through."""
    values: dict[str, Any] = {}
    if not filter.exclude_given:
        values["exclude_given"] = False
    if not filter.available:
        values["available"] = False
    if filter.categories is not None:
        values["categories"] = key_forms(filter.categories)
    if filter.allowed is not None:
        values["allowed"] = key_forms(filter.allowed)
    if filter.denied:
        values["denied"] = key_forms(filter.denied)
    if filter.properties:
        values["where"] = [_condition(name, one) for name, one in filter.properties.items()]
    return values


def _condition(name: str, condition: Condition) -> dict[str, Any]:
    if isinstance(condition, Range):
        return {"name": name, "min": condition.min, "max": condition.max}
    if isinstance(condition, Collection) and not isinstance(condition, str):
        return {"name": name, "any": list(condition)}
    return {"name": name, "any": [condition]}
