"""Exact top-k: the highest scores of many, in one pass over them.

Cut the scores into columns and take each column's maximum. The k-th highest maximum is a score that
at least k items reach, so whatever lies below it is out, and only the few columns whose maximum
reaches it are looked at again. One vectorised pass, where a partition moves every element.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

_HEIGHT = 64  # scores a column: fewer columns than scores, but many more columns than k
_FEW = 4096  # below this a partition is as good
_LOWEST = float(np.finfo(np.float32).min)


def top_k(scores: Floats, k: int, mask: npt.NDArray[np.bool_] | None = None) -> Ints:
    """Rows of the k highest scores, the highest first; of equals the lower row.

    Args:
        scores: float32[n], no NaN; minus infinity is never an answer.
        k: How many; fewer come back where fewer may be answered.
        mask: bool[n], the rows that may be answered, or None for all.

    Returns:
        int64[min(k, allowed)].
    """
    if mask is not None:
        scores = np.where(mask, scores, np.float32(-np.inf))
    rows = rows_reaching(scores, k)
    return rows[np.lexsort((rows, -scores[rows]))[:k]]


def rows_reaching(scores: Floats, k: int, margin: float = 0.0) -> Ints:
    """Rows of all scores that lie no further than ``margin`` below the k-th highest; int64[m].

    Args:
        scores: float32[n], no NaN; minus infinity reaches nothing.
        k: At least 1.
        margin: 0 or more; infinity lets all through.
    """
    rows = _candidates(scores, k, margin)
    if len(rows) > k:
        rows = rows[scores[rows] >= _floor(scores[rows], k, margin)]
    return rows[scores[rows] > -np.inf]


def _candidates(scores: Floats, k: int, margin: float) -> Ints:
    """Rows that may reach, in one pass, ascending."""
    width = len(scores) // _HEIGHT
    if len(scores) < _FEW or k >= width:
        return np.arange(len(scores))
    whole = scores[: width * _HEIGHT].reshape(_HEIGHT, width)
    peaks = whole.max(axis=0)
    floor = _floor(peaks, k, margin)
    columns = np.flatnonzero(peaks >= floor)
    down, across = np.nonzero(whole[:, columns] >= floor)
    rest = np.flatnonzero(scores[width * _HEIGHT :] >= floor) + width * _HEIGHT
    return np.concatenate((down * width + columns[across], rest))


def _floor(values: Floats, k: int, margin: float) -> float:
    """The k-th highest of at least k values, less the margin."""
    place = len(values) - k
    return max(_LOWEST, float(np.partition(values, place)[place]) - margin)
