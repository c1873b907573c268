"""What stands for an item that nobody chose yet: its category's figures."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.integer]

# Events of doubt when a category's mean stands in for a newcomer's own figure.
_DOUBT = 5.0
# Items with at most this many users are rare: what a newcomer looks like.
_RARE = 3


def category_means(values: Floats, counts: Ints, primary: Ints, num_categories: int) -> Floats:
    """Means of values of items by category, shrunk to the mean of rare items.

    Args:
        values: float32[n], popularity or bias.
        counts: int[n], users of each item; those without one do not count.
        primary: int[n], each item's category, -1 for none.
        num_categories: m.

    Returns:
        float32[m + 1], the last one for items without a category.
    """
    known = counts > 0
    rare = known & (counts <= max(_RARE, counts[known].min(initial=_RARE)))
    usual = values[rare if rare.any() else known]
    mean = float(usual.mean()) if len(usual) else 0.0
    column = np.where(primary >= 0, primary, num_categories)[known]
    totals = np.bincount(column, values[known], num_categories + 1)
    members = np.bincount(column, minlength=num_categories + 1)
    totals[num_categories], members[num_categories] = 0, 0
    return ((totals + _DOUBT * mean) / (members + _DOUBT)).astype(np.float32)
