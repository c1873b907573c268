"""Late fusion: one coefficient for each term of the score, chosen on validation users.

A channel is what one term gives for every validation case and item. The search moves one
coefficient at a time, up, down and to zero, for as long as the mean NDCG over users and ks rises;
it starts from several points, among them the closed forms alone, so that a term that does not
earn its place ends at zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from firstedge.models import metrics
from firstedge.models.protocol import KShotCases
from firstedge.models.scorer import UserBatch

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

# Factors by which a coefficient is moved, one round each.
ROUNDS = (2.0, 1.5, 1.2)
# A round's gain below this is noise, and ends it.
LEAST_GAIN = 1e-5
# Candidates that each channel and each start brings to the pool of a search.
POOL_DEPTH = 60


@dataclass(frozen=True)
class Found:
    """Coefficients and what they reach.

    Attributes:
        weights: By name of the channel.
        objective: Mean NDCG over validation users and ks.
        trials: Combinations that were evaluated.
    """

    weights: Mapping[str, float]
    objective: float
    trials: int


class Arena:
    """Validation cases flattened into one list of requests, with the metric that ranks them.

    Args:
        cases: Validation users at every k.
        k: Length of the lists.
        exclude_given: Whether given items are no candidates.
    """

    def __init__(self, cases: KShotCases, k: int = 20, exclude_given: bool = True) -> None:
        self.users: tuple[UserBatch, ...] = tuple(case.users for case in cases.cases)
        self.counts = np.concatenate([case.targets.counts for case in cases.cases])
        self.k = min(k, cases.num_items)
        self.relevant = np.zeros((len(self.counts), cases.num_items), np.bool_)
        self.barred = np.zeros_like(self.relevant)
        start = 0
        for case in cases.cases:
            owners = np.repeat(np.arange(start, start + len(case.users)), case.targets.counts)
            self.relevant[owners, case.targets.items] = True
            given = case.users.given
            is_item = given.targets < cases.num_items
            self.barred[given.users[is_item] + start, given.targets[is_item]] = exclude_given
            start += len(case.users)

    def ndcg(self, scores: Floats) -> float:
        """Mean NDCG@k of float32[requests, num_items]; what is barred is overwritten."""
        scores[self.barred] = -np.inf
        return self._mean_ndcg(scores, self.relevant)

    def pooled(self, lists: Sequence[Floats], depth: int) -> Pool:
        """The candidates that any of some scores has among its best ``depth``.

        Args:
            lists: Scores, float32[requests, num_items] each.
            depth: Candidates from each.
        """
        depth = min(depth, self.relevant.shape[1])
        candidates = np.zeros_like(self.relevant)
        for scores in lists:
            allowed = np.where(self.barred, -np.inf, scores)
            best = torch.topk(torch.from_numpy(allowed), depth).indices.numpy()
            np.put_along_axis(candidates, best, True, axis=1)
        candidates &= ~self.barred
        width = max(int(candidates.sum(1).max(initial=0)), self.k)
        # Candidates first, in the order of their rows; what fills up a row stays void.
        items = np.argsort(~candidates, axis=1, kind="stable")[:, :width]
        void = ~np.take_along_axis(candidates, items, 1)
        relevant = np.take_along_axis(self.relevant, items, 1) & ~void
        return Pool(items, void, lambda scores: self._mean_ndcg(scores, relevant))

    def _mean_ndcg(self, scores: Floats, relevant: npt.NDArray[np.bool_]) -> float:
        top = torch.topk(torch.from_numpy(scores), self.k).indices.numpy()
        hit = np.take_along_axis(relevant, top, 1)
        return float(metrics.ndcg(hit, self.counts).mean())


@dataclass(frozen=True)
class Pool:
    """A few candidates of each request, among which a search is quick.

    Attributes:
        items: int64[requests, width], item rows.
        void: bool[requests, width], places that hold no candidate.
        figure: Mean NDCG of float32[requests, width], scores of the candidates.
    """

    items: Ints
    void: npt.NDArray[np.bool_]
    figure: Callable[[Floats], float]

    def take(self, scores: Floats) -> Floats:
        """float32[requests, width] of float32[requests, num_items], finite or -inf where void."""
        return np.take_along_axis(scores, self.items, 1)

    def ndcg(self, scores: Floats) -> float:
        """Mean NDCG of float32[requests, width]; void places are overwritten."""
        scores[self.void] = -np.inf
        return self.figure(scores)


def search(
    arena: Arena,
    channels: Mapping[str, Floats],
    starts: Sequence[Mapping[str, float]],
    units: Mapping[str, float],
) -> Found:
    """Find coefficients by coordinate ascent from several starts.

    Args:
        arena: Validation requests.
        channels: float32[requests, num_items] by name.
        starts: Coefficients to start from; a channel that is not named starts at zero.
        units: By name, a coefficient of a usual size: what to try for a channel that is at zero.
    """
    first = [
        combine(channels, {name: start.get(name, 0.0) for name in channels}) for start in starts
    ]
    pool = arena.pooled([*channels.values(), *first], POOL_DEPTH)
    pooled = {name: pool.take(channel) for name, channel in channels.items()}
    climbs = [_climb(pool, pooled, start, units) for start in starts]
    best = max(climbs, key=lambda found: found.objective)
    objective = arena.ndcg(combine(channels, best.weights))
    return Found(best.weights, objective, sum(found.trials for found in climbs))


def _climb(
    pool: Pool,
    channels: Mapping[str, Floats],
    start: Mapping[str, float],
    units: Mapping[str, float],
) -> Found:
    weights = {name: float(start.get(name, 0.0)) for name in channels}
    total = combine(channels, weights)
    best, trials = pool.ndcg(total.copy()), 1
    for factor in ROUNDS:
        for name, channel in channels.items():
            now = weights[name]
            usual = units[name]
            moves = (0.0, now * factor, now / factor) if now else (usual / 4, usual)
            for move in moves:
                trial = total + np.float32(move - weights[name]) * channel
                figure = pool.ndcg(trial.copy())
                trials += 1
                if figure > best + LEAST_GAIN:
                    best, total, weights[name] = figure, trial, move
    return Found(weights, best, trials)


def combine(channels: Mapping[str, Floats], weights: Mapping[str, float]) -> Floats:
    """The weighted sum of channels, float32[requests, num_items]."""
    total = np.zeros_like(next(iter(channels.values())))
    for name, channel in channels.items():
        if weights[name]:
            total += np.float32(weights[name]) * channel
    return total
