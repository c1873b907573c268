"""Edges in three parts: what every given item says alike, a few patterns, and single edges.

Single edges are dear: a bundle holds some hundred of each item, and where everybody chose from a
small catalogue that is a fraction of them. What many edges have in common is cheap, though: the
mean edge to an item, and a few factors of how edges deviate from it, fit into the vectors of items.
So they are taken out first, and the strongest of what then remains are kept one by one.

An edge matters by how often its start is given and its end could be the answer, and so do errors:
both the factors and the pruning weigh them by the popularity of the items.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from firstedge.models.bundle import PATTERNS
from firstedge.models.edges import prune, prune_table

Floats = npt.NDArray[np.float32]
Pair = tuple[Floats, Floats]

# Cells up to which edges are a full table: their remainder is then looked for in all of it.
FULL_CELLS = 1 << 25
# Power iterations of the factorisation.
_ITERATIONS = 4


@dataclass(frozen=True)
class EdgeParts:
    """S_ij = lean_j + x_i . y_j + edges_ij, but for what was pruned.

    Attributes:
        edges: float32[n, n], single edges.
        lean: float32[n], what every given item says of j.
        patterns: x and y, float32[n, PATTERNS] each.
    """

    edges: sparse.csr_array
    lean: Floats
    patterns: Pair

    @classmethod
    def none(cls, n: int) -> Self:
        """Of no edges."""
        nothing = np.zeros((n, PATTERNS), np.float32)
        return cls(sparse.csr_array((n, n), dtype=np.float32), nothing[:, 0], (nothing, nothing))

    def weighed(self, edges: float, lean: float, patterns: float) -> Self:
        """Each part times a number."""
        x, y = self.patterns
        return type(self)(
            sparse.csr_array(self.edges * np.float32(edges)),
            self.lean * np.float32(lean),
            (x, y * np.float32(patterns)),
        )


def take_apart(s: sparse.csr_array, most: int, importance: Floats) -> EdgeParts:
    """Split edges into their parts.

    Args:
        s: float32[n, n].
        most: Single edges to keep of each item.
        importance: float32[n], of the items.
    """
    lean = np.asarray(s.mean(axis=0), np.float32).ravel()
    deviation = sparse.csr_array((s.data - lean[s.indices], s.indices, s.indptr), shape=s.shape)
    if s.shape[0] ** 2 > FULL_CELLS:
        # What is seen of a sparse table are its strongest edges, and single ones hold these better.
        nothing = np.zeros((s.shape[0], PATTERNS), np.float32)
        return EdgeParts(prune(deviation, most, importance), lean, (nothing, nothing))
    x, y = _patterns(deviation, importance)
    edges = prune_table(deviation.toarray() - x @ y.T, most, importance)
    return EdgeParts(edges, lean, (x, y))


def _patterns(deviation: sparse.csr_array, importance: Floats) -> Pair:
    """Factors x, y, float32[n, PATTERNS], of a full table."""
    n = deviation.shape[0]
    rank = min(PATTERNS, n - 1)
    x, y = np.zeros((n, PATTERNS), np.float32), np.zeros((n, PATTERNS), np.float32)
    if rank < 1 or not deviation.nnz:
        return x, y
    starts, ends = np.sqrt(importance)[:, None], importance[:, None]
    weighed = deviation.multiply(starts).multiply(ends.T)
    left, sizes, right = randomized_svd(
        sparse.csr_array(weighed), rank, n_iter=_ITERATIONS, random_state=0
    )
    x[:, :rank] = left * np.sqrt(sizes) / starts
    y[:, :rank] = right.T * np.sqrt(sizes) / ends
    return x, y
