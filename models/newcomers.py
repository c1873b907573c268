"""What stands for an item that nobody chose yet: its text, and its category's figures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import sparse

from firstedge.models.bundle import EXTRA, POPULARITIES, Bundle

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


@dataclass(frozen=True)
class Newcomers:
    """What a bundle has of items that nobody chose yet.

    Attributes:
        w: float32[h, d].
        v: float32[h, d].
        prior: float32[h].
        b: float32[h].
    """

    w: Floats
    v: Floats
    prior: Floats
    b: Floats


def embed_newcomers(
    bundle: Bundle, counts: Ints, text: Floats, members: sparse.csr_array, primary: Ints
) -> Newcomers:
    """What new items would have in a bundle.

    Args:
        bundle: Whose items they are like.
        counts: int[n], users of each item of the bundle; those without one do not count.
        text: float32[h, t], unit text vectors of the new items, zeros for none.
        members: float32[h, m], their categories.
        primary: int[h], the category whose lifts apply, -1 for none.
    """
    n, m = len(bundle.items), len(bundle.categories)
    share = 1 / np.maximum(np.diff(members.indptr), 1).astype(np.float32)[:, None]
    w = text @ bundle.text_w + (members @ bundle.category_w) * share
    v = text @ bundle.text_v + (members @ bundle.v[n:]) * share

    def usual(values: Floats) -> Floats:
        means = category_means(values, counts, bundle.table.primary, m)
        return means[np.where(primary >= 0, primary, m)]

    # The last dimensions are of popularity, of what any given item says alike, and of patterns.
    alike = POPULARITIES - EXTRA
    for column in range(-EXTRA, alike):
        w[:, column] = usual(bundle.w[:, column])
    w[:, alike:], v[:, -EXTRA:], v[:, alike] = 0, 0, 1
    return Newcomers(w, v, usual(bundle.prior), usual(bundle.b))
