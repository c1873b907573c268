"""Sparse weighted edges as CSR: the closed-form half of the model, and what it counted."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from firstedge.graph.histories import ranges
from firstedge.models.topk import bounds_reached

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

# Rows of a sparse matrix are looked at in tables of at most this many cells.
_BLOCK_CELLS = 1 << 22


@dataclass(frozen=True)
class Edges:
    """Weighted edges from row to row, the targets of each source in ascending order.

    Attributes:
        offsets: int64[num_sources + 1].
        targets: int32[m], rows of targets.
        weights: float32[m].
        counts: int32[m], how many users have both ends (0: not counted); reasons quote it.
        num_targets: Width of the matrix.
    """

    offsets: Ints
    targets: npt.NDArray[np.int32]
    weights: Floats
    counts: npt.NDArray[np.int32]
    num_targets: int

    @classmethod
    def none(cls, num_sources: int, num_targets: int) -> Self:
        """No edges at all."""
        return cls(
            np.zeros(num_sources + 1, np.int64),
            np.empty(0, np.int32),
            np.empty(0, np.float32),
            np.empty(0, np.int32),
            num_targets,
        )

    @classmethod
    def of(cls, matrix: sparse.sparray, counts: sparse.sparray | None = None) -> Self:
        """From a scipy matrix [num_sources, num_targets], with counts looked up per edge."""
        csr = sparse.csr_array(matrix)
        csr.sort_indices()
        seen = np.zeros(csr.nnz, np.int32)
        if counts is not None and csr.nnz:
            seen = lookup(sparse.csr_array(counts), csr).astype(np.int32)
        return cls(
            csr.indptr.astype(np.int64),
            csr.indices.astype(np.int32),
            csr.data.astype(np.float32),
            seen,
            csr.shape[1],
        )

    def __len__(self) -> int:
        return len(self.targets)

    def __repr__(self) -> str:
        return f"Edges({len(self.offsets) - 1:,} x {self.num_targets:,}, {len(self):,} edges)"

    def matrix(self) -> sparse.csr_array:
        """float32 scipy CSR [num_sources, num_targets]."""
        shape = (len(self.offsets) - 1, self.num_targets)
        return sparse.csr_array((self.weights, self.targets, self.offsets), shape=shape)

    def of_source(self, source: int) -> slice:
        """Where the edges of one source lie."""
        return slice(int(self.offsets[source]), int(self.offsets[source + 1]))


def lookup(matrix: sparse.csr_array, where: sparse.csr_array) -> npt.NDArray[np.float64]:
    """Values of ``matrix`` at the stored positions of ``where``, in its order; 0 if absent."""
    matrix.sort_indices()
    width = where.shape[1]
    rows = np.repeat(np.arange(where.shape[0]), np.diff(where.indptr)).astype(np.int64)
    wanted = rows * width + where.indices
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)).astype(np.int64)
    stored = rows * width + matrix.indices
    if not len(stored):
        return np.zeros(len(wanted))
    at = np.minimum(np.searchsorted(stored, wanted), len(stored) - 1)
    return np.where(stored[at] == wanted, matrix.data[at], 0.0)


def prune(
    matrix: sparse.csr_array, most: int, importance: Floats | None = None
) -> sparse.csr_array:
    """Keep the strongest ``most`` entries of each row; of equals, the lower columns.

    Args:
        matrix: Any sparse matrix.
        most: Entries to keep of a row.
        importance: float32[columns], by which the size of an entry counts, whatever its sign; if
            None, only positive entries stay.
    """
    matrix = sparse.csr_array(matrix)
    matrix.sum_duplicates()
    strength = matrix.data
    if importance is not None:
        strength = np.abs(strength) * importance[matrix.indices]
    return strongest(matrix, strength, most)


def prune_blocks(blocks: Iterable[Floats], most: int, importance: Floats) -> sparse.csr_array:
    """What `prune` keeps of a dense matrix that comes some rows at a time.

    Args:
        blocks: float32[rows, columns] each, one or more.
        most: Entries to keep of a row.
        importance: float32[columns].
    """
    kept = []
    for block in blocks:
        strength = np.abs(block)
        strength *= importance
        places = np.flatnonzero(strength >= bounds_reached(strength, most)[:, None])
        at = np.unravel_index(places, block.shape)
        some = sparse.csr_array((block[at], at), shape=block.shape)
        kept.append(prune(some, most, importance))
    return sparse.csr_array(sparse.vstack(kept, format="csr"))


def prune_factors(x: Floats, y: Floats, most: int, importance: Floats) -> sparse.csr_array:
    """What `prune` keeps of x y^T without its diagonal, of which only some rows at a time are held.

    Args:
        x: float32[n, r].
        y: float32[n, r].
        most: Entries to keep of a row.
        importance: float32[n].
    """
    ends, step = np.ascontiguousarray(y.T), rows_at_once(len(y))

    def blocks() -> Iterator[Floats]:
        for start in range(0, len(x), step):
            block = x[start : start + step] @ ends
            rows = np.arange(len(block))
            block[rows, start + rows] = 0
            yield block

    return prune_blocks(blocks(), most, importance)


def prune_product(
    a: sparse.csr_array, b: sparse.csr_array, most: int, importance: Floats
) -> sparse.csr_array:
    """What `prune` keeps of a @ b, of which only some rows at a time are held."""
    step = rows_at_once(b.shape[1])
    starts = range(0, max(a.shape[0], 1), step)
    kept = [prune(a[start : start + step] @ b, most, importance) for start in starts]
    return sparse.csr_array(sparse.vstack(kept, format="csr"))


def rows_at_once(columns: int) -> int:
    """How many rows of a dense matrix to look at at a time."""
    return max(1, _BLOCK_CELLS // max(columns, 1))


def strongest(matrix: sparse.csr_array, strength: Floats, most: int) -> sparse.csr_array:
    """Keep of each row the ``most`` entries of the greatest positive strength.

    Args:
        matrix: With sorted columns.
        strength: float32[nnz], of the stored entries; of equals, the lower columns stay.
        most: Entries to keep of a row.
    """
    keep = strength > 0
    for at, filled in _padded_rows(matrix, most):
        padded = np.full(filled.shape, -np.inf, np.float32)
        padded[filled] = strength[at]
        keep[at] &= best_mask(padded, most)[filled]
    kept = np.flatnonzero(keep)
    offsets = np.searchsorted(kept, matrix.indptr).astype(matrix.indptr.dtype)
    parts = (matrix.data[kept], matrix.indices[kept], offsets)
    return sparse.csr_array(parts, shape=matrix.shape)


def _padded_rows(matrix: sparse.csr_array, most: int) -> Iterator[tuple[Ints, Bools]]:
    """Rows of more than ``most`` entries, in blocks of rows of like length.

    Yields:
        int64[e], where the block's entries lie, and bool[rows, width], where they stand in a table
        of these rows, each filled up to the longest.
    """
    lengths = np.diff(matrix.indptr).astype(np.int64)
    rows = np.flatnonzero(lengths > most)
    rows = rows[np.argsort(lengths[rows], kind="stable")]
    done = 0
    while done < len(rows):
        # No row of the block is longer than twice the shortest, and the block fits.
        width = 2 * int(lengths[rows[done]])
        some = rows[done : done + max(1, _BLOCK_CELLS // width)]
        some = some[lengths[some] <= width]
        filled = np.arange(int(lengths[some[-1]])) < lengths[some][:, None]
        yield ranges(matrix.indptr[some].astype(np.int64), lengths[some]), filled
        done += len(some)


def best_mask(scores: Floats, k: int) -> Bools:
    """Exactly the k best columns of each row, of equals the lower ones; bool[n, width].

    Args:
        scores: float32[n, width].
        k: At most width.
    """
    n, width = scores.shape
    if k == 0 or k == width:
        return np.full((n, width), k > 0)
    worst = np.partition(scores, width - k, axis=1)[:, width - k, None]
    mask = scores >= worst
    # Where more columns than fit tie at the last place, the lower ones stay.
    torn = np.flatnonzero(mask.sum(1) > k)
    above, tied = scores[torn] > worst[torn], scores[torn] == worst[torn]
    room = k - above.sum(1, keepdims=True)
    mask[torn] = above | (tied & (np.cumsum(tied, axis=1) <= room))
    return mask
