"""Late fusion: one coefficient for each term of the score, chosen on validation users.

A channel is what one term gives for every validation case and item. The search moves one
coefficient at a time, up, down and to zero, for as long as the mean NDCG over users and ks rises;
it starts from several points, among them the closed forms alone, so that a term that does not
earn its place ends at zero.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from firstedge.models import metrics
from firstedge.models.metrics import Targets
from firstedge.models.protocol import KShotCases
from firstedge.models.scorer import UserBatch

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

# Scores that a part of an arena, and that all of them, may hold for one channel.
PART_CELLS = 1 << 23
HELD_CELLS = 24_000_000
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
    """Validation cases as a list of requests, in parts, with the metric that ranks them.

    A part is a case, or a piece of one where the catalogue is large: scores of one part at a time
    is what must fit into memory.

    Args:
        cases: Validation users at every k.
        k: Length of the lists.
        exclude_given: Whether given items are no candidates.
    """

    def __init__(self, cases: KShotCases, k: int = 20, exclude_given: bool = True) -> None:
        self.num_items, self.exclude_given = cases.num_items, exclude_given
        self.k = min(k, cases.num_items)
        size = max(1, PART_CELLS // max(cases.num_items, 1))
        parts = [
            (case.users.take(at, stop), case.targets.take(at, stop))
            for case in cases.cases
            for at in range(0, len(case.users), size)
            for stop in [min(at + size, len(case.users))]
        ]
        self.users: tuple[UserBatch, ...] = tuple(users for users, _ in parts)
        self.targets: tuple[Targets, ...] = tuple(targets for _, targets in parts)

    def tabulate(self, score: Callable[[UserBatch], Floats]) -> Sequence[Floats]:
        """Scores by part: held where all of them fit, else computed whenever they are asked for."""
        lazy = _Lazy(self.users, score)
        cells = self.num_items * sum(len(users) for users in self.users)
        return list(lazy) if cells <= HELD_CELLS else lazy

    def ndcg(self, tables: Sequence[Floats]) -> float:
        """Mean NDCG@k of scores by part, float32[requests, num_items]."""
        gains = [self.gains(part, scores) for part, scores in enumerate(tables)]
        return float(np.concatenate(gains).mean())

    def gains(self, part: int, scores: Floats) -> Doubles:
        """NDCG@k of each request of a part, float64[requests]."""
        allowed = np.where(self._barred(part), -np.inf, scores)
        return _gains(allowed, self._relevant(part), self.targets[part].counts, self.k)

    def pooled(self, part: int, lists: Sequence[Floats], depth: int) -> Pool:
        """The candidates that any of some scores of a part has among its best ``depth``.

        Args:
            part: Which.
            lists: Scores, float32[requests, num_items] each.
            depth: Candidates from each.
        """
        depth, barred = min(depth, self.num_items), self._barred(part)
        candidates = np.zeros_like(barred)
        for scores in lists:
            allowed = np.where(barred, -np.inf, scores)
            best = torch.topk(torch.from_numpy(allowed), depth).indices.numpy()
            np.put_along_axis(candidates, best, True, axis=1)
        candidates &= ~barred
        width = max(int(candidates.sum(1).max(initial=0)), self.k)
        # Candidates first, in the order of their rows; what fills up a row stays void.
        items = np.argsort(~candidates, axis=1, kind="stable")[:, :width]
        void = ~np.take_along_axis(candidates, items, 1)
        relevant = np.take_along_axis(self._relevant(part), items, 1) & ~void
        return Pool(items, void, relevant, self.targets[part].counts, self.k)

    def _relevant(self, part: int) -> Bools:
        targets = self.targets[part]
        relevant = np.zeros((len(targets), self.num_items), np.bool_)
        relevant[np.repeat(np.arange(len(targets)), targets.counts), targets.items] = True
        return relevant

    def _barred(self, part: int) -> Bools:
        given = self.users[part].given
        barred = np.zeros((len(given), self.num_items), np.bool_)
        is_item = given.targets < self.num_items
        barred[given.users[is_item], given.targets[is_item]] = self.exclude_given
        return barred


@dataclass(frozen=True)
class _Lazy(Sequence[Floats]):
    """Scores of each part, computed when asked for.

    Attributes:
        users: By part.
        score: What scores them.
    """

    users: tuple[UserBatch, ...]
    score: Callable[[UserBatch], Floats]

    def __len__(self) -> int:
        return len(self.users)

    def __getitem__(self, part: Any) -> Any:
        return self.score(self.users[part])


def _gains(scores: Floats, relevant: Bools, counts: Ints, k: int) -> Doubles:
    top = torch.topk(torch.from_numpy(scores), k).indices.numpy()
    return metrics.ndcg(np.take_along_axis(relevant, top, 1), counts)


@dataclass(frozen=True)
class Pool:
    """A few candidates of each request, among which a search is quick.

    Attributes:
        items: int64[requests, width], item rows.
        void: bool[requests, width], places that hold no candidate.
        relevant: bool[requests, width], places that hold a target.
        counts: int64[requests], targets of each request.
        k: Length of the lists.
    """

    items: Ints
    void: Bools
    relevant: Bools
    counts: Ints
    k: int

    @classmethod
    def joined(cls, pools: Sequence[Pool]) -> Pool:
        """One pool of all requests."""
        width = max(pool.items.shape[1] for pool in pools)
        return cls(
            np.concatenate([_widened(pool.items, width, 0) for pool in pools]),
            np.concatenate([_widened(pool.void, width, True) for pool in pools]),
            np.concatenate([_widened(pool.relevant, width, False) for pool in pools]),
            np.concatenate([pool.counts for pool in pools]),
            pools[0].k,
        )

    def take(self, scores: Floats) -> Floats:
        """float32[requests, width] of float32[requests, num_items]."""
        return np.take_along_axis(scores, self.items, 1)

    def ndcg(self, scores: Floats) -> float:
        """Mean NDCG of float32[requests, width]; void places are overwritten."""
        scores[self.void] = -np.inf
        return float(_gains(scores, self.relevant, self.counts, self.k).mean())


def _widened(array: npt.NDArray[Any], width: int, value: Any) -> npt.NDArray[Any]:
    return np.pad(array, ((0, 0), (0, width - array.shape[1])), constant_values=value)


def search(
    arena: Arena,
    channels: Mapping[str, Sequence[Floats]],
    starts: Sequence[Mapping[str, float]],
    units: Mapping[str, float],
) -> Found:
    """Find coefficients by coordinate ascent from several starts.

    Args:
        arena: Validation requests.
        channels: By name, scores by part of the arena, see `Arena.tabulate`.
        starts: Coefficients to start from; a channel that is not named starts at zero.
        units: By name, a coefficient of a usual size: what to try for a channel that is at zero.

    Returns:
        Coefficients of the channels that say anything: what no request shows cannot be chosen.
    """
    live = {name: tables for name, tables in channels.items() if any(t.any() for t in tables)}
    pool, pooled = _pooled(arena, live, starts)
    climbs = [_climb(pool, pooled, start, units) for start in starts]
    best = max(climbs, key=lambda found: found.objective)
    used = {name: tables for name, tables in live.items() if best.weights[name]} or live
    gains = [
        arena.gains(part, combine({name: used[name][part] for name in used}, best.weights))
        for part in range(len(arena.users))
    ]
    objective = float(np.concatenate(gains).mean())
    return Found(best.weights, objective, sum(found.trials for found in climbs))


def _pooled(
    arena: Arena,
    channels: Mapping[str, Sequence[Floats]],
    starts: Sequence[Mapping[str, float]],
) -> tuple[Pool, dict[str, Floats]]:
    """The candidates of all requests, and what every channel gives them."""
    begin = [{name: start.get(name, 0.0) for name in channels} for start in starts]
    pools, taken = [], []
    for part in range(len(arena.users)):
        scores = {name: tables[part] for name, tables in channels.items()}
        first = [combine(scores, weights) for weights in begin]
        pool = arena.pooled(part, [*scores.values(), *first], POOL_DEPTH)
        pools.append(pool)
        taken.append({name: pool.take(table) for name, table in scores.items()})
    joined = Pool.joined(pools)
    width = joined.items.shape[1]
    return joined, {
        name: np.concatenate([_widened(part[name], width, 0.0) for part in taken])
        for name in channels
    }


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
