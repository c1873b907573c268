"""Which items may be answered."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from firstedge.graph.errors import QueryError


@dataclass(frozen=True)
class Range:
    """Numbers from ``min`` to ``max``, both included; None is without bound.

    Raises:
        QueryError: If no number can be in it.
    """

    min: float | None = None
    max: float | None = None

    def __post_init__(self) -> None:
        low = float("-inf") if self.min is None else self.min
        high = float("inf") if self.max is None else self.max
        if not low <= high:
            raise QueryError(f"no number lies in {self}")


Value = str | float | bool
Condition = Value | Range | Collection[Value]


@dataclass(frozen=True)
class Filter:
    """Which items may be answered: those that meet every condition.

    Args:
        exclude_given: Leave out the items of the events that speak for the user. What a return
            took back is not given, so it may be answered.
        categories: Only items in one of these categories or below it. An empty collection
            allows nothing, as with ``allowed``.
        allowed: Only these ids.
        denied: None of these ids.
        available: Only items that can be had.
        properties: Conditions on item properties: a value (equal), a collection (one of), or a
            Range. An item whose property is a list meets it by any element; one without the
            property does not meet it.

    Raises:
        QueryError: If a text stands where a collection of ids belongs.
    """

    exclude_given: bool = True
    categories: Collection[str] | None = None
    allowed: Collection[str] | None = None
    denied: Collection[str] = ()
    available: bool = True
    properties: Mapping[str, Condition] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("categories", "allowed", "denied"):
            if isinstance(ids := getattr(self, name), str):
                raise QueryError(f"{name} takes a collection of ids, got the text {ids!r}")


EVERYTHING = Filter()
