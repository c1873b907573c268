"""Late fusion: one coefficient for each term of the score, chosen on validation users.

A channel is what one term gives for every validation case and item. The search moves one
coefficient at a time, up, down and to zero, for as long as the mean NDCG over users and ks rises;
it starts from several points, among them the closed forms alone, so that a term that does not
earn its place ends at zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from firstedge.models import metrics
from firstedge.models.metrics import Targets
from firstedge.models.protocol import KShotCases
from firstedge.models.scorer import UserBatch

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

# Factors by which a coefficient is moved, one round each.
ROUNDS = (2.0, 1.5, 1.2)
# A round's gain below this is noise, and ends it.
LEAST_GAIN = 1e-5


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
        self.num_items, self.k = cases.num_items, k
        self.targets = concatenate([case.targets for case in cases.cases])
        starts = np.cumsum([0, *(len(users) for users in self.users)])[:-1]
        rows, columns = [], []
        for start, users in zip(starts, self.users, strict=True):
            is_item = users.given.targets < cases.num_items
            rows.append(users.given.users[is_item] + start)
            columns.append(users.given.targets[is_item])
        none = np.empty(0, np.int64)
        self._given = (np.concatenate(rows), np.concatenate(columns))
        self._excluded = self._given if exclude_given else (none, none)

    def ndcg(self, scores: Floats) -> float:
        """Mean NDCG@k of float32[requests, num_items]; the excluded items are overwritten."""
        scores[self._excluded] = -np.inf
        top = torch.topk(torch.from_numpy(scores), min(self.k, self.num_items)).indices.numpy()
        hit = metrics.hits(top, self.targets)
        return float(metrics.ndcg(hit, self.targets.counts).mean())


def concatenate(parts: Sequence[Targets]) -> Targets:
    """Targets of several groups of users as one."""
    counts = np.concatenate([part.counts for part in parts])
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return Targets(offsets, np.concatenate([part.items for part in parts]))


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
    climbs = [_climb(arena, channels, start, units) for start in starts]
    best = max(climbs, key=lambda found: found.objective)
    return Found(best.weights, best.objective, sum(found.trials for found in climbs))


def _climb(
    arena: Arena,
    channels: Mapping[str, Floats],
    start: Mapping[str, float],
    units: Mapping[str, float],
) -> Found:
    weights = {name: float(start.get(name, 0.0)) for name in channels}
    total = combine(channels, weights)
    best, trials = arena.ndcg(total.copy()), 1
    for factor in ROUNDS:
        for name, channel in channels.items():
            now = weights[name]
            usual = units[name]
            moves = (0.0, now * factor, now / factor) if now else (usual / 4, usual)
            for move in moves:
                trial = total + np.float32(move - weights[name]) * channel
                figure = arena.ndcg(trial.copy())
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
