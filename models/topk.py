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

_HEIGHT = 64  # scores a column at most
_WIDTH = 4  # columns for each that is wanted: most of the best then stand in one of their own
_FEW = 4096  # scores below which a partition is as good
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


def top_k_each(scores: Floats, k: int) -> Ints:
    """The k best columns of each row, the best first; of equals the lower column.

    Args:
        scores: float32[m, n], no NaN; minus infinity is never an answer.
        k: At least 1.

    Returns:
        int64[m, k]; -1 where there are no more answers.
    """
    m, n = scores.shape
    if not scores.size:
        return np.full((m, k), -1)
    bounds = bounds_reached(scores, k + 1)
    places = np.flatnonzero(scores > bounds[:, None])
    counts = np.bincount(places // n, minlength=m)
    # Fewer than k lie above the bound only where several equal it: the lower columns, then.
    short = np.flatnonzero(counts < k)
    equal = scores[short] == bounds[short, None]
    equal &= np.cumsum(equal, axis=1, dtype=np.int32) <= (k - counts[short])[:, None]
    tied, columns = equal.nonzero()
    places = np.sort(np.concatenate((places, short[tied] * n + columns)))
    rows, columns = np.unravel_index(places, scores.shape)
    counts = np.bincount(rows, minlength=m)
    filled = np.arange(max(k, int(counts.max()))) < counts[:, None]
    values = np.full(filled.shape, -np.inf, scores.dtype)
    values[filled] = scores[rows, columns]
    found = np.full(filled.shape, -1, np.int64)
    found[filled] = columns
    best = np.argsort(-values, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(found, best, 1)


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
    whole = _columns(scores, int(ks.max(initial=1)))
    _, height, width = whole.shape
    peaks = whole.max(axis=1)
    floors = _floors(peaks, ks, margins)
    if height == 1:
        users, rows = (scores >= floors[:, None]).nonzero()
        return users, rows
    of, columns = (peaks >= floors[:, None]).nonzero()
    at, down = (whole[of, :, columns] >= floors[of, None]).nonzero()
    end_of, end = (scores[:, width * height :] >= floors[:, None]).nonzero()
    rows = down * width + columns[at]
    n = scores.shape[1]
    places = np.concatenate((of[at] * n + rows, end_of * n + end + width * height))
    places.sort()
    users = places // n
    return users, places - users * n


def bounds_reached(scores: Floats, k: int) -> Floats:
    """A bound for each row that its k highest scores reach, and few others; float32[m].

    Args:
        scores: float32[m, n], no NaN.
        k: At least 1.
    """
    if not scores.size:
        return np.zeros(len(scores), np.float32)
    peaks = _columns(scores, k).max(axis=1)
    return _floors(peaks, np.full(len(scores), k), np.zeros(len(scores)))


def _columns(scores: Floats, k: int) -> Floats:
    """Scores cut into columns, [m, height, width]; a few may be left at the end."""
    n = scores.shape[1]
    height = 1 if scores.size < _FEW else max(1, min(_HEIGHT, n // (_WIDTH * k)))
    width = n // height
    return scores[:, : width * height].reshape(-1, height, width)


def _floors(values: Floats, ks: Ints, margins: Doubles) -> Floats:
    """The k-th highest of each row of values, or the lowest, less the margin."""
    places = np.maximum(values.shape[1] - ks, 0)
    highest = np.partition(values, np.unique(places), axis=1)[np.arange(len(ks)), places]
    with np.errstate(invalid="ignore"):  # infinity less infinity lets all through
        return np.fmax(highest - margins, _LOWEST).astype(values.dtype)
