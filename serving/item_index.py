"""The items as filters see them: categories with their subtrees, availability, properties."""

from __future__ import annotations

from collections.abc import Collection
from difflib import get_close_matches
from functools import cached_property

import numpy as np
import numpy.typing as npt

from firstedge.graph.errors import QueryError
from firstedge.graph.histories import ranges
from firstedge.models.bundle import Bundle
from firstedge.serving.columns import NumberColumn, TextColumn, column
from firstedge.serving.filter import Filter

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


class ItemIndex:
    """Turns a Filter into a mask over the items. Safe to use from several threads.

    Args:
        bundle: The trained model.
    """

    def __init__(self, bundle: Bundle) -> None:
        self._items, self._categories = bundle.items, bundle.categories
        self._table = bundle.table
        self._all_available = bool(bundle.table.available.all())
        self._columns: dict[str, NumberColumn | TextColumn] = {}

    def mask(self, filter: Filter) -> Bools | None:  # noqa: A002
        """bool[n], the items that a Filter lets through; None if it lets all through.

        Ids of ``allowed`` and ``denied`` that are not here are no items of this bundle and change
        nothing. ``exclude_given`` is the user's affair, not the items'.

        Raises:
            UnknownId: If a category is not in the bundle.
            QueryError: If a property is not, or a condition does not fit it.
        """
        conditions = [
            self._column(name).matches(condition) for name, condition in filter.properties.items()
        ]
        if filter.available and not self._all_available:
            conditions.append(self._table.available)
        if filter.categories is not None:
            conditions.append(self._only(self.within(filter.categories)))
        if filter.allowed is not None:
            conditions.append(self._only(self._rows(filter.allowed)))
        if filter.denied:
            conditions.append(~self._only(self._rows(filter.denied)))
        if len(conditions) < 2:
            return conditions[0] if conditions else None
        return np.logical_and.reduce(conditions)

    def within(self, categories: Collection[str]) -> Ints:
        """Rows of the items in one of these categories or below it; a row may come twice.

        Raises:
            UnknownId: If a category is not in the bundle.
        """
        inside = self.below(self._categories.rows(tuple(categories)))
        offsets, items = self._members
        starts = offsets[inside]
        return items[ranges(starts, offsets[inside + 1] - starts)]

    def below(self, categories: Ints) -> Ints:
        """Rows of these categories and of all below them."""
        parents = self._table.parents
        inside = np.zeros(len(parents) + 1, np.bool_)  # the last stands for "no parent"
        inside[categories] = True
        while True:
            grown = inside.copy()
            grown[:-1] |= inside[parents]
            if (grown == inside).all():
                return np.flatnonzero(inside)
            inside = grown

    @cached_property
    def _members(self) -> tuple[Ints, Ints]:
        """Items by category, as CSR (offsets, items)."""
        members = self._table.memberships
        items = np.repeat(np.arange(len(self._items)), np.diff(members.offsets))
        counts = np.bincount(members.targets, minlength=len(self._categories))
        offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
        return offsets, items[np.argsort(members.targets, kind="stable")]

    def _rows(self, ids: Collection[str]) -> Ints:
        rows = self._items.rows(tuple(ids), unknown="skip")
        return rows[rows >= 0]

    def _only(self, rows: Ints) -> Bools:
        mask = np.zeros(len(self._items), np.bool_)
        mask[rows] = True
        return mask

    def _column(self, name: str) -> NumberColumn | TextColumn:
        if name not in self._columns:
            known = self._table.properties
            if name not in known:
                near = get_close_matches(name, list(known), n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise QueryError(
                    f"items of this bundle have no property {name!r}{hint} Name it in the "
                    "Schema under item.properties and train again"
                )
            self._columns[name] = column(name, known[name])
        return self._columns[name]
