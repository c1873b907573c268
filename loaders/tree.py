"""The category tree as arrays: parents, depths, and the one category that speaks for an item."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from firstedge.graph.errors import DataError
from firstedge.graph.vocabulary import Vocabulary

Ints = npt.NDArray[np.int64]


def tree_depths(parents: Ints, categories: Vocabulary) -> Ints:
    """How many ancestors each category has.

    Args:
        parents: int64[m], the row of each category's parent, -1 for a root.
        categories: Their ids, for the error.

    Returns:
        int64[m], 0 for a root.

    Raises:
        DataError: If there is a cycle; the text names it.
    """
    depths = (parents >= 0).astype(np.int64)
    above = parents.copy()
    # Each round doubles how far up `above` lies and adds the steps between.
    for _ in range(len(parents).bit_length()):
        inner = np.flatnonzero(above >= 0)
        depths[inner] += depths[above[inner]]
        above[inner] = above[above[inner]]
    if (above >= 0).any():
        cycle = _cycle(parents, int(np.flatnonzero(above >= 0)[0]))
        names = " -> ".join(repr(categories.ids[row]) for row in cycle)
        raise DataError(f"the category tree has a cycle ({names}): remove one of these parents")
    return depths


def _cycle(parents: Ints, row: int) -> list[int]:
    """The cycle above a row, from its smallest row around to it."""
    for _ in range(len(parents)):
        row = int(parents[row])
    cycle = [row]
    while (row := int(parents[row])) != cycle[0]:
        cycle.append(row)
    smallest = cycle.index(min(cycle))
    return [*cycle[smallest:], *cycle[: smallest + 1]]


def primary_categories(items: Ints, categories: Ints, depths: Ints, num_items: int) -> Ints:
    """The category that speaks for each item: its deepest, of several the first by row.

    Args:
        items: int64[e], item rows of memberships.
        categories: int64[e], their category rows.
        depths: int64[m], as `tree_depths` gives them.
        num_items: n.

    Returns:
        int64[n], category rows, -1 for an item without one.
    """
    order = np.lexsort((categories, -depths[categories], items))
    members, first = np.unique(items[order], return_index=True)
    primary = np.full(num_items, -1, np.int64)
    primary[members] = categories[order][first]
    return primary
