"""Edges in three parts: what every given item says alike, a few patterns, and single edges.

Single edges are dear: a bundle holds some hundred of each item, and where everybody chose from a
small catalogue that is a fraction of them. What many edges have in common is cheap, though: the
mean edge to an item, and a few factors of how edges deviate from it, fit into the vectors of items.
So they are taken out first, and the strongest of what then remains are kept one by one.

An edge matters by how often its start is given and its end could be the answer, and so do errors:
both the factors and the pruning weigh them by the popularity of the items.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.utils.extmath import randomized_svd

from firstedge.models.bundle import PATTERNS
from firstedge.models.edges import prune

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Pair = tuple[Floats, Floats]

# Cells up to which edges are a full table: their remainder is then looked for in all of it.
FULL_CELLS = 1 << 25
# Power iterations of the factorisation.
_ITERATIONS = 4


@dataclass(frozen=True)
class EdgeParts:
    """S_ij = lean_j + x_i . y_j + edges_ij, from n items to m; m is n but where items are new.

    Attributes:
        edges: float32[n, m], single edges.
        lean: float32[m], what every given item says of j.
        patterns: x, float32[n, PATTERNS], and y, float32[m, PATTERNS].
    """

    edges: sparse.csr_array
    lean: Floats
    patterns: Pair

    @classmethod
    def none(cls, n: int) -> Self:
        """Of no edges."""
        nothing = np.zeros((n, PATTERNS), np.float32)
        return cls(sparse.csr_array((n, n), dtype=np.float32), nothing[:, 0], (nothing, nothing))

    @cached_property
    def back(self) -> sparse.csr_array:
        """float32[m, n], single edges by the item that they lead to."""
        return sparse.csr_array(self.edges.T)

    def pruned(self, most: int, importance: Floats) -> Self:
        """With the strongest ``most`` single edges of each item, see `prune`."""
        return replace(self, edges=prune(self.edges, most, importance))

    def weighed(self, edges: float, lean: float, patterns: float) -> Self:
        """Each part times a number."""
        x, y = self.patterns
        return type(self)(
            sparse.csr_array(self.edges * np.float32(edges)),
            self.lean * np.float32(lean),
            (x, y * np.float32(patterns)),
        )

    def with_new(self, new: Ints, lent: EdgeParts) -> Self:
        """With the edges to new items, which had none.

        Args:
            new: int64[h], their rows.
            lent: Edges to them, by the patterns of these parts.
        """
        x, y = self.patterns
        lean, y = self.lean.copy(), y.copy()
        lean[new], y[new] = lent.lean, lent.patterns[1]
        added = lent.edges.tocoo()
        edges = sparse.csr_array((added.data, (added.row, new[added.col])), self.edges.shape)
        return type(self)(sparse.csr_array(self.edges + edges), lean, (x, y))

    def told(self, given: sparse.csr_array) -> Floats:
        """float32[users, m]: what given items say, their weights in float32[users, n]."""
        x, y = self.patterns
        alike = given.sum(axis=1)[:, None] * self.lean
        return np.asarray((given @ self.edges).toarray() + alike + (given @ x) @ y.T, np.float32)


def is_full(num_items: int) -> bool:
    """Whether the edges of a catalogue are looked at as a full table; else it is a large one."""
    return num_items**2 <= FULL_CELLS


def take_apart(s: sparse.csr_array, importance: Floats) -> EdgeParts:
    """Split edges into their parts, all single edges among them.

    Args:
        s: float32[n, n].
        importance: float32[n], of the items.
    """
    lean = np.asarray(s.mean(axis=0), np.float32).ravel()
    deviation = sparse.csr_array((s.data - lean[s.indices], s.indices, s.indptr), shape=s.shape)
    if not is_full(s.shape[0]):
        # What is seen of a sparse table are its strongest edges, and single ones hold these better.
        nothing = np.zeros((s.shape[0], PATTERNS), np.float32)
        return EdgeParts(deviation, lean, (nothing, nothing))
    x, y = _patterns(deviation, importance)
    return EdgeParts(sparse.csr_array(deviation.toarray() - x @ y.T), lean, (x, y))


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
