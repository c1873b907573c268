"""Closed forms: what counts alone say of items, without learning.

Every function takes X, the binary matrix of users and the distinct items of their speaking events.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import linalg, sparse

from firstedge.graph.histories import Histories
from firstedge.models.edges import lookup, strongest

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

# Co-occurrences that one matrix holds: 1 GiB of values and columns.
MOST_PAIRS = 1 << 27
# Those that are looked at at a time.
_BLOCK_PAIRS = 1 << 24
# Rows that are mirrored at a time.
_MIRRORED = 1 << 10
# Doubt about profiles as a share of what all users chose: a small shop has little to overcome it.
MOST_DOUBT = 0.1
# The back-off of category lifts where the edges have none.
LIFT_BACK_OFF = 0.6


@dataclass(frozen=True)
class CategoryTree:
    """Categories of items.

    Attributes:
        primary: int64[n], the category that speaks for an item, -1 for none.
        parents: int64[m], -1 for a root.
    """

    primary: Ints
    parents: Ints

    def lineage(self) -> sparse.csr_array:
        """float32[m, m]: 1 where the column's category is the row's or above it."""
        m = len(self.parents)
        rows, columns = [np.arange(m)], [np.arange(m)]
        up = np.asarray(self.parents, np.int64)
        while (up >= 0).any():
            has = np.flatnonzero(up >= 0)
            rows.append(has)
            columns.append(up[has])
            up = np.where(up >= 0, self.parents[up], -1)
        below, above = np.concatenate(rows), np.concatenate(columns)
        return sparse.csr_array((np.ones(len(below), np.float32), (below, above)), shape=(m, m))


@dataclass(frozen=True)
class NaiveBayes:
    """Options of the smoothed naive Bayes edges.

    Attributes:
        smoothing: s, how many users' worth of doubt each item starts with.
        length_discount: rho, a user of n items counts n^-rho.
        back_off: b, how far an item without counts leans on those of its category, 0 to < 1.
    """

    smoothing: float = 100.0
    length_discount: float = 0.5
    back_off: float = 0.0

    def __post_init__(self) -> None:
        if not (self.smoothing > 0 and self.length_discount >= 0 and 0 <= self.back_off < 1):
            raise ValueError(f"smoothing > 0, length_discount >= 0, 0 <= back_off < 1: {self}")


def interactions(histories: Histories) -> sparse.csr_array:
    """float32[num_users, num_items]: X, 1 where a user has an event on an item."""
    touches = histories.touches()
    ones = np.ones(len(touches.items), np.float32)
    shape = (len(histories), histories.num_items)
    x = sparse.csr_array((ones, touches.items, touches.offsets), shape=shape)
    x.sort_indices()
    return x


def log_prior(x: sparse.csr_array) -> Floats:
    """float32[num_items]: log p_j, p_j = (n_j + 1) / (N + items)."""
    counts = np.asarray(x.sum(0), np.float64)
    return np.log((counts + 1) / (counts.sum() + len(counts))).astype(np.float32)


def cooccurrence(
    x: sparse.csr_array, length_discount: float = 0.0, most_pairs: int = MOST_PAIRS
) -> sparse.csr_array:
    """float32[num_items, num_items]: C = X^T D X without its diagonal, D = length^-rho.

    Where more than ``most_pairs`` could come together, C is counted in blocks of rows, and each
    row keeps its nearest, by C_ij / sqrt(n_j): no more of C is ever held.

    Args:
        x: float32[num_users, num_items], 1 where a user has an item.
        length_discount: rho.
        most_pairs: Pairs to keep; each takes eight bytes.
    """
    weighted = sparse.csr_array(x.multiply(_user_weights(x, length_discount)[:, None]))
    bounds = pair_bounds(x)
    if bounds.sum() <= most_pairs:
        c = sparse.csr_array(x.T @ weighted, dtype=np.float32)
        c.setdiag(0)
        c.eliminate_zeros()
        c.sort_indices()
        return c
    most, norms = _row_limit(bounds, most_pairs), np.sqrt(np.maximum(x.sum(0), 1))
    kept = []
    for start, c in _row_blocks(x, weighted, bounds):
        rows = np.repeat(np.arange(start, start + c.shape[0]), np.diff(c.indptr))
        nearness = np.where(c.indices == rows, 0, c.data / norms[c.indices]).astype(np.float32)
        kept.append(strongest(c, nearness, most))
    return sparse.csr_array(sparse.vstack(kept, format="csr"))


def pair_totals(x: sparse.csr_array, length_discount: float) -> Doubles:
    """float64[num_items]: the column sums of all of C, without counting its pairs."""
    lengths = np.diff(x.indptr).astype(np.float64)
    return np.asarray(x.T @ (_user_weights(x, length_discount) * np.maximum(lengths - 1, 0)))


def pair_bounds(x: sparse.csr_array) -> Ints:
    """int64[num_items]: at most how many items come together with each."""
    others = np.maximum(np.diff(x.indptr).astype(np.float64) - 1, 0)
    return np.minimum(np.asarray(x.T @ others), max(x.shape[1] - 1, 0)).astype(np.int64)


def pair_counts(x: sparse.csr_array, pairs: sparse.csr_array) -> sparse.csr_array:
    """int32[num_items, num_items], where ``pairs`` has entries: how many users have both items."""
    found = [
        lookup(c, sparse.csr_array(pairs[start : start + c.shape[0]]))
        for start, c in _row_blocks(x, x, pair_bounds(x))
    ]
    counts = np.concatenate(found).astype(np.int32)
    return sparse.csr_array((counts, pairs.indices, pairs.indptr), shape=pairs.shape)


def _user_weights(x: sparse.csr_array, length_discount: float) -> Floats:
    lengths = np.maximum(np.diff(x.indptr), 1).astype(np.float32)
    return np.asarray(lengths**-length_discount, np.float32)


def _row_limit(bounds: Ints, most_pairs: int) -> int:
    """The largest number of entries a row by which all rows together keep to ``most_pairs``."""
    low, high = 1, int(bounds.max(initial=1))
    while low < high:
        middle = (low + high + 1) // 2
        if np.minimum(bounds, middle).sum() <= most_pairs:
            low = middle
        else:
            high = middle - 1
    return low


def _row_blocks(
    x: sparse.csr_array, weighted: sparse.csr_array, bounds: Ints
) -> Iterator[tuple[int, sparse.csr_array]]:
    """X^T times a matrix in blocks of rows: the first row, and float32[rows, num_items]."""
    items = sparse.csr_array(x.T)
    ends = np.cumsum(bounds)
    start = 0
    while start < len(bounds):
        done = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, done + _BLOCK_PAIRS, "right")))
        c = sparse.csr_array(items[start:stop] @ weighted, dtype=np.float32)
        c.sort_indices()
        yield start, c
        start = stop


def naive_bayes(
    c: sparse.csr_array, options: NaiveBayes, tree: CategoryTree, totals: Doubles | None = None
) -> tuple[sparse.csr_array, sparse.csr_array]:
    """Naive Bayes edges R and category lifts log g.

    With q the item shares of C and g(c, c') = (1 - b) + b P(c'|c) / q(c') over primary categories,
    R_ij = log(1 + C_ij / (s q_j g(c_i, c_j))). An item without a category is unrelated to all.
    Where b is 0, R backs off to nothing, and the lifts are those of LIFT_BACK_OFF: an event on a
    category has nothing else to speak through.

    Args:
        c: Co-occurrences, float32[n, n].
        options: Smoothing, discount and back-off.
        tree: Categories.
        totals: float64[n], the column sums of C where ``c`` holds only a part of it.

    Returns:
        R float32[n, n], and log(g / (1 - b)) float32[m, m], both sparse and not negative.
    """
    share = np.asarray(c.sum(0), np.float64) if totals is None else totals
    share = (share + 1e-9) / (share.sum() + 1e-9 * len(share))
    ratio = _category_ratio(c, share, tree)
    back_off = options.back_off
    between = ratio.toarray() if back_off and ratio.shape[0] <= 4096 else ratio
    r = np.empty(c.nnz, np.float32)
    for at, rows in _pieces(c):
        columns = c.indices[at]
        expected = options.smoothing * share[columns]
        if back_off:
            relative = back_off / (1 - back_off) * _between(between, tree.primary, rows, columns)
            expected *= (1 - back_off) * (1 + relative)
        r[at] = np.log1p(c.data[at] / expected)
    odds = (back_off or LIFT_BACK_OFF) / (1 - (back_off or LIFT_BACK_OFF))
    lifts = np.log1p(odds * ratio.data).astype(np.float32)
    return (
        sparse.csr_array((r, c.indices, c.indptr), shape=c.shape),
        sparse.csr_array((lifts, ratio.indices, ratio.indptr), shape=ratio.shape),
    )


def _pieces(c: sparse.csr_array) -> Iterator[tuple[slice, Ints]]:
    """The entries of a matrix, some rows at a time: where they lie, and the row of each."""
    start = 0
    while start < c.shape[0]:
        most = int(c.indptr[start]) + _BLOCK_PAIRS
        stop = max(start + 1, int(np.searchsorted(c.indptr, most, "right")) - 1)
        lengths = np.diff(c.indptr[start : stop + 1])
        at = slice(int(c.indptr[start]), int(c.indptr[stop]))
        yield at, np.repeat(np.arange(start, stop), lengths)
        start = stop


def ease(x: sparse.csr_array, ridge: float) -> Floats:
    """EASE, float32[n, n]: B = -P / diag(P), P = (X^T X + ridge I)^-1, diagonal zero.

    Steck, Embarrassingly Shallow Autoencoders for Sparse Data, WWW 2019. Dense: for catalogues of
    up to some 20,000 items.
    """
    gram = (x.T @ x).astype(np.float32).toarray(order="F")
    gram[np.diag_indices_from(gram)] += ridge
    # One table from here on: every step is done in place.
    factor, _ = linalg.cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
    inverse, info = linalg.lapack.spotri(factor, lower=1, overwrite_c=1)  # type: ignore[attr-defined]
    if info:
        raise ArithmeticError(f"the Gram matrix is singular at ridge {ridge}: take a larger one")
    _mirror(inverse)
    b: Floats = inverse.T  # the same, as it is symmetric, with rows that lie together
    b /= -np.diag(b)
    np.fill_diagonal(b, 0)
    return b


def _mirror(table: Floats) -> None:
    """Write what is below the diagonal above it."""
    n = len(table)
    for start in range(0, n, _MIRRORED):
        stop = min(start + _MIRRORED, n)
        table[start:stop, stop:] = table[stop:, start:stop].T
        corner = np.tril(table[start:stop, start:stop])
        table[start:stop, start:stop] = corner + np.tril(corner, -1).T


def rp3(c: sparse.csr_array, counts: Floats, alpha: float, beta: float) -> sparse.csr_array:
    """RP3beta, float32[n, n]: three-step walks with tempered steps, less popular ends preferred.

    S_ij = n_i^-alpha n_j^-beta sum_u length_u^-alpha x_ui x_uj; Paudel et al., Updatable,
    Accurate, Diverse, and Scalable Recommendations for Interactive Applications, TiiS 2016.

    Args:
        c: Co-occurrences with length discount alpha, float32[n, n].
        counts: float32[n], users of each item.
        alpha: Tempers the steps.
        beta: Tempers the popularity of the end.
    """
    counts = np.maximum(counts, 1)
    source, target = counts**-alpha, counts**-beta
    weights = np.empty(c.nnz, np.float32)
    for at, rows in _pieces(c):
        weights[at] = c.data[at] * source[rows] * target[c.indices[at]]
    return sparse.csr_array((weights, c.indices, c.indptr), shape=c.shape)


def profile_lifts(
    x: sparse.csr_array, profiles: sparse.csr_array, smoothing: float
) -> sparse.csr_array:
    """float32[f, n]: P_fj = log(1 + C_fj / (s p_j)), the smoothed log-lift of item j in profile f.

    The constant of f that a full log-lift has beside this is dropped: it changes no ranking.

    Args:
        x: float32[num_users, n].
        profiles: float32[num_users, f], 1 where a user has a profile value.
        smoothing: s, events of doubt; at most `MOST_DOUBT` of all that users chose.
    """
    c = sparse.csr_array(profiles.T @ x, dtype=np.float32)
    p = np.exp(log_prior(x))
    doubt = min(smoothing, MOST_DOUBT * x.nnz)
    c.data = np.log1p(c.data / (doubt * p[c.indices])).astype(np.float32)
    return c


def _membership(primary: Ints, num_categories: int) -> sparse.csr_array:
    rows = np.flatnonzero(primary >= 0)
    ones = np.ones(len(rows), np.float32)
    shape = (len(primary), num_categories)
    return sparse.csr_array((ones, (rows, primary[rows])), shape=shape)


def _category_ratio(
    c: sparse.csr_array, share: npt.NDArray[np.float64], tree: CategoryTree
) -> sparse.csr_array:
    """[m, m]: P(c'|c) / q(c'), c with all that is below it, c' as a primary category."""
    primary, m = tree.primary, len(tree.parents)
    z = _membership(primary, m)
    counts = sparse.csr_array(tree.lineage().T @ (z.T @ c @ z), dtype=np.float64)
    totals = np.asarray(counts.sum(1))
    shares = np.bincount(primary[primary >= 0], share[primary >= 0], m)
    rows = np.repeat(np.arange(m), np.diff(counts.indptr))
    counts.data /= totals[rows] * shares[counts.indices]
    return counts


def _between(
    relative: sparse.csr_array | Doubles, primary: Ints, rows: Ints, columns: Ints
) -> Doubles:
    """Values of an [m, m] matrix at the categories of item pairs; 0 where one has none."""
    source, target = primary[rows], primary[columns]
    known = (source >= 0) & (target >= 0)
    values = np.zeros(len(rows))
    values[known] = np.asarray(relative[source[known], target[known]]).ravel()
    return values
