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
Doubles = npt.NDArray[np.float64]

_HEIGHT = 64  # scores a column: fewer columns than scores, but more columns than k
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
    _, rows = rows_reaching(scores[None], np.array([k]), np.zeros(1))
    return rows[np.lexsort((rows, -scores[rows]))[:k]]


def rows_reaching(scores: Floats, ks: Ints, margins: Doubles) -> tuple[Ints, Ints]:
    """All scores that lie no further than a margin below their user's k-th highest.

    A few that lie lower may be among them: where the best stand in few columns, up to 64 times k.

    Args:
        scores: float32[m, n], no NaN; minus infinity reaches nothing.
        ks: int64[m], at least 1.
        margins: float64[m], 0 or more; infinity lets all through.

    Returns:
        Users and rows, both int64[p], in ascending order of users and then of rows.
    """
    if not scores.size:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    n = scores.shape[1]
    width = n // _HEIGHT
    if n < _FEW or 2 * ks.max(initial=0) > width:
        users, rows = (scores >= _floors(scores, ks, margins)[:, None]).nonzero()
        return users, rows
    whole = scores[:, : width * _HEIGHT].reshape(-1, _HEIGHT, width)
    peaks = whole.max(axis=1)
    floors = _floors(peaks, ks, margins)
    of, columns = (peaks >= floors[:, None]).nonzero()
    at, down = (whole[of, :, columns] >= floors[of, None]).nonzero()
    end_of, end = (scores[:, width * _HEIGHT :] >= floors[:, None]).nonzero()
    rows = down * width + columns[at]
    places = np.concatenate((of[at] * n + rows, end_of * n + end + width * _HEIGHT))
    places.sort()
    users = places // n
    return users, places - users * n


def _floors(values: Floats, ks: Ints, margins: Doubles) -> Floats:
    """The k-th highest of each row of values, or the lowest, less the margin."""
    places = np.maximum(values.shape[1] - ks, 0)
    highest = np.partition(values, np.unique(places), axis=1)[np.arange(len(ks)), places]
    with np.errstate(invalid="ignore"):  # infinity less infinity lets all through
        return np.fmax(highest - margins, _LOWEST).astype(np.float32)
