"""Metrics of ranked lists, for all users at once, and how sure they are.

A ranked list is a row of an int64[n, k] array of item rows, the best first; -1 stands for "no
further item" and is never a hit. Ideal and denominator run over min(k, number of targets), so
that a user with a single target can reach 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]

# Resampled users are counted in blocks of at most this many cells.
_BLOCK_CELLS = 1 << 24


@dataclass(frozen=True)
class Targets:
    """What users went on to touch, as CSR; a user's items are distinct.

    Attributes:
        offsets: int64[num_users + 1].
        items: int64[m], item rows.
    """

    offsets: Ints
    items: Ints

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def counts(self) -> Ints:
        """int64[num_users], how many targets each user has."""
        return np.diff(self.offsets)

    def take(self, start: int, stop: int) -> Targets:
        """Those of users start:stop."""
        offsets = self.offsets[start : stop + 1]
        return Targets(offsets - offsets[0], self.items[offsets[0] : offsets[-1]])


@dataclass(frozen=True)
class Interval:
    """A mean and the bounds between which 95 % of the resampled means lie."""

    mean: float
    low: float
    high: float


def hits(ranked: Ints, targets: Targets) -> Bools:
    """Which ranked items are targets of their user, bool[n, k].

    Args:
        ranked: int64[n, k], item rows, -1 for none.
        targets: Of the same n users.
    """
    width = 1 + max(int(ranked.max(initial=0)), int(targets.items.max(initial=0)))
    owners = np.repeat(np.arange(len(targets)), targets.counts)
    wanted = np.arange(len(ranked))[:, None] * width + ranked
    return np.isin(wanted, owners * width + targets.items) & (ranked >= 0)


def ndcg(hit: Bools, counts: Ints) -> Floats:
    """Normalised discounted cumulative gain, float64[n]; Jarvelin and Kekalainen (2002).

    Args:
        hit: bool[n, k], see `hits`.
        counts: int64[n], targets of each user; a user without any gets 0.
    """
    k = hit.shape[1]
    discounts = 1.0 / np.log2(np.arange(2, k + 2))
    ideal = np.concatenate(([0.0], np.cumsum(discounts)))[np.minimum(counts, k)]
    return np.divide(hit @ discounts, ideal, out=np.zeros(len(hit)), where=ideal > 0)


def recall(hit: Bools, counts: Ints) -> Floats:
    """Share of the targets that the list finds, of those that it could hold, float64[n].

    Args:
        hit: bool[n, k], see `hits`.
        counts: int64[n], targets of each user; a user without any gets 0.
    """
    most = np.minimum(counts, hit.shape[1])
    return np.divide(hit.sum(1), most, out=np.zeros(len(hit)), where=most > 0)


def coverage(ranked: Ints, num_items: int) -> float:
    """Share of the catalogue that is on at least one user's list."""
    return len(np.unique(ranked[ranked >= 0])) / num_items


def mean_popularity(ranked: Ints, popularity: Floats) -> Floats:
    """Mean popularity of the items on each list, float64[n]; 0 for an empty list.

    Args:
        ranked: int64[n, k], item rows, -1 for none.
        popularity: float64[num_items], for instance the share of training users with the item.
    """
    real = ranked >= 0
    total = np.where(real, popularity[ranked], 0.0).sum(1)
    return np.asarray(total / np.maximum(real.sum(1), 1))


def resampled_means(values: Floats, draws: int = 1000, seed: int = 0) -> Floats:
    """Bootstrap means: users are drawn with replacement, the same ones for every row.

    Args:
        values: float64[m, n], m quantities of the same n users.
        draws: How many times n users are drawn.
        seed: Of the draws.

    Returns:
        float64[draws, m].

    Raises:
        ValueError: If there are no users.
    """
    n = values.shape[1]
    if n == 0:
        raise ValueError("a mean over users needs at least one user")
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK_CELLS // n)
    means = []
    for start in range(0, draws, block):
        rows = min(block, draws - start)
        drawn = rng.integers(0, n, (rows, n)) + np.arange(rows)[:, None] * n
        times = np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n)
        means.append(times @ values.T / n)
    return np.concatenate(means)


def intervals(values: Floats, draws: int = 1000, seed: int = 0) -> tuple[Interval, ...]:
    """Means of float64[m, n] over n users with their bootstrap intervals (95 %)."""
    lows, highs = np.quantile(resampled_means(values, draws, seed), (0.025, 0.975), axis=0)
    bounds = zip(values.mean(1), lows, highs, strict=True)
    return tuple(Interval(float(mean), float(low), float(high)) for mean, low, high in bounds)


def relative_differences(
    ours: Floats, theirs: Floats, draws: int = 1000, seed: int = 0
) -> tuple[Interval, ...]:
    """By how much our means exceed theirs, as a share of theirs, over the same users.

    Paired: a resample draws users, not the two results apart, so that what makes a user hard for
    both cancels out.

    Args:
        ours: float64[m, n], m quantities of n users.
        theirs: float64[m, n], of the same users.
        draws: Resamples.
        seed: Of the resamples.

    Returns:
        ``mean(ours) / mean(theirs) - 1`` with its interval, for each of m; all three numbers are
        NaN where theirs is 0.
    """
    means = resampled_means(np.concatenate((ours, theirs)), draws, seed)
    a, b = np.split(means, 2, axis=1)
    return tuple(
        _relative(float(our.mean()), float(their.mean()), a[:, row], b[:, row])
        for row, (our, their) in enumerate(zip(ours, theirs, strict=True))
    )


def _relative(mean: float, base: float, a: Floats, b: Floats) -> Interval:
    if base <= 0:
        return Interval(math.nan, math.nan, math.nan)
    low, high = np.quantile(a[b > 0] / b[b > 0], (0.025, 0.975)) - 1
    return Interval(mean / base - 1, float(low), float(high))
