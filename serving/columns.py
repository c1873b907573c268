"""Item properties as columns that a condition can be held against."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from firstedge.graph.errors import QueryError
from firstedge.graph.histories import ranges
from firstedge.serving.filter import Condition, Range, Value

Bools = npt.NDArray[np.bool_]


class NumberColumn:
    """A property that is a number or a flag.

    Args:
        name: The property's name, for errors.
        values: One number an item, None where it has none.
    """

    def __init__(self, name: str, values: Sequence[float | None]) -> None:
        self.name = name
        self._has = np.array([value is not None for value in values], np.bool_)
        self._values = np.array([0 if value is None else value for value in values])

    def matches(self, condition: Condition) -> Bools:
        """bool[n]: the items that meet the condition.

        Raises:
            QueryError: If it is about texts.
        """
        if isinstance(condition, Range):
            low = -np.inf if condition.min is None else condition.min
            high = np.inf if condition.max is None else condition.max
            return self._has & (self._values >= low) & (self._values <= high)
        wanted = _values(condition)
        if any(isinstance(value, str) for value in wanted):
            raise QueryError(f"property {self.name!r} is a number, got {condition!r}")
        return self._has & np.isin(self._values, np.array(wanted))


class TextColumn:
    """A property that is a text or a list of texts.

    Args:
        name: The property's name, for errors.
        values: One text or list an item, None where it has none.
    """

    def __init__(self, name: str, values: Sequence[str | Sequence[str] | None]) -> None:
        self.name = name
        self._num_items = len(values)
        lists = [() if v is None else (v,) if isinstance(v, str) else v for v in values]
        items = np.repeat(np.arange(len(lists)), [len(texts) for texts in lists])
        texts, codes = np.unique(
            np.array([text for texts in lists for text in texts], object), return_inverse=True
        )
        self._codes = {text: code for code, text in enumerate(texts.tolist())}
        self._items = items[np.argsort(codes, kind="stable")]
        self._offsets = np.concatenate(([0], np.cumsum(np.bincount(codes, minlength=len(texts)))))

    def matches(self, condition: Condition) -> Bools:
        """bool[n]: the items that meet the condition.

        Raises:
            QueryError: If it is about numbers.
        """
        wanted = () if isinstance(condition, Range) else _values(condition)
        if isinstance(condition, Range) or not all(isinstance(value, str) for value in wanted):
            raise QueryError(f"property {self.name!r} is a text, got {condition!r}")
        codes = np.array([self._codes[v] for v in set(wanted) if v in self._codes], np.int64)
        starts = self._offsets[codes]
        met = np.zeros(self._num_items, np.bool_)
        met[self._items[ranges(starts, self._offsets[codes + 1] - starts)]] = True
        return met


def column(name: str, values: Sequence[Any]) -> NumberColumn | TextColumn:
    """The column for a property's values."""
    if any(isinstance(value, str | list | tuple) for value in values):
        return TextColumn(name, values)
    return NumberColumn(name, values)


def _values(condition: Value | Collection[Value]) -> tuple[Value, ...]:
    if isinstance(condition, str | int | float):
        return (condition,)
    return tuple(condition)
