"""Edges that new items borrow: who chose what an item reads like may choose it, too.

An item without an event has no edges. The items nearest to it by text lend it theirs, all parts of
them: their weighted mean, by softmax of the cosines.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import sparse

from firstedge.models.edges import prune_product, rows_at_once
from firstedge.models.patterns import EdgeParts

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

# Items that lend to one, and the temperature of their shares.
LENDERS, TEMPERATURE = 10, 0.1
_TINY = 1e-9


def lenders(text: Floats, new: Ints, known: Ints) -> sparse.csr_array:
    """float32[h, n]: the share of each known item in what a new one borrows; rows add up to 1.

    A new item without a text borrows nothing, and a known one without lends nothing.

    Args:
        text: float32[n, t], text vectors of items, zeros for none.
        new: int64[h], rows of new items.
        known: int64[m], rows of items that have edges.
    """
    places = np.flatnonzero(text[new].any(axis=1))
    known = known[text[known].any(axis=1)]
    shape, most = (len(new), len(text)), min(LENDERS, len(known))
    if not len(places) or not most:
        return sparse.csr_array(shape, dtype=np.float32)
    units = text / np.maximum(np.linalg.norm(text, axis=1, keepdims=True), _TINY)
    columns, cosines = [], []
    step = rows_at_once(len(known))
    for start in range(0, len(places), step):
        found = units[new[places[start : start + step]]] @ units[known].T
        nearest = np.argpartition(-found, most - 1, axis=1)[:, :most]
        columns.append(known[nearest])
        cosines.append(np.take_along_axis(found, nearest, 1))
    near = np.concatenate(cosines)
    shares = np.exp((near - near.max(axis=1, keepdims=True)) / TEMPERATURE)
    shares /= shares.sum(axis=1, keepdims=True)
    at = (np.repeat(places, most), np.concatenate(columns).ravel())
    return sparse.csr_array((shares.ravel().astype(np.float32), at), shape)


def borrow(parts: EdgeParts, shares: sparse.csr_array, most: int, importance: Floats) -> EdgeParts:
    """Edges to new items; of the single ones, the ``most`` strongest to each.

    Args:
        parts: Between known items; all single edges, not those that pruning leaves.
        shares: float32[h, n], see `lenders`.
        most: Single edges to each new item.
        importance: float32[n], of the items that they start from, see `prune`.
    """
    found = prune_product(shares, parts.back, most, importance)
    x, y = parts.patterns
    return EdgeParts(sparse.csr_array(found.T), shares @ parts.lean, (x, shares @ y))
