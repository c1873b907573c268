"""The same number of trials for every baseline, on the same validation users.

The first trial is the method's defaults; the next half are spread evenly over its declared ranges
(Sobol points, seeded); the rest are drawn ever closer around the best so far.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import numpy as np
from scipy.stats import qmc

from firstedge.models.baselines import Method, TrainingData
from firstedge.models.protocol import KShotCases, Ranker, evaluate
from firstedge.models.space import Points, options_at, point_of

M = TypeVar("M", bound=Method)

# The spread of the draws around the best, in units of a range, first and last.
_SPREAD = (0.25, 0.05)


@dataclass(frozen=True)
class Budget:
    """What every baseline gets alike.

    Attributes:
        trials: How many options are tried.
        k: Length of the ranked lists by which they are judged.
        seed: Of the search.

    Raises:
        ValueError: If trials or k is less than 1.
    """

    trials: int = 5
    k: int = 20
    seed: int = 0

    def __post_init__(self) -> None:
        if self.trials < 1 or self.k < 1:
            raise ValueError(f"tuning needs at least one trial and lists of one item, got {self}")


@dataclass(frozen=True)
class Tuned(Generic[M]):
    """The best options found.

    Attributes:
        method: They.
        ranker: Fitted with them.
        objective: Mean NDCG over validation users and ks.
        trials: How many options were tried.
        seconds: What it took.
    """

    method: M
    ranker: Ranker
    objective: float
    trials: int
    seconds: float


def tune(start: M, data: TrainingData, cases: KShotCases, budget: Budget) -> Tuned[M]:
    """Search a method's options.

    Args:
        start: Default options; fields without a range stay as they are. A method without any
            range is tried once.
        data: Training users.
        cases: Validation users.
        budget: How many options to try, the defaults among them, and how they are judged.
    """
    began = time.perf_counter()
    fixed = cases.without_all()
    points = _Points(point_of(start), budget)
    trials = budget.trials if len(points.default) else 1
    best, best_point = _try(start, data, fixed, budget.k), points.default
    for trial in range(1, trials):
        point = points.at(trial, best_point)
        found = _try(options_at(start, point), data, fixed, budget.k)
        if found.objective > best.objective:
            best, best_point = found, point
    return replace(best, trials=trials, seconds=time.perf_counter() - began)


def _try(method: M, data: TrainingData, cases: KShotCases, k: int) -> Tuned[M]:
    ranker = method.fit(data)
    return Tuned(method, ranker, evaluate(ranker, cases, data.popularity, k).objective, 1, 0.0)


class _Points:
    """Where a search looks: the default, then evenly spread points, then near the best."""

    def __init__(self, default: Points, budget: Budget) -> None:
        self.default = default
        self.trials = budget.trials
        self.rng = np.random.default_rng(budget.seed)
        self.spread = _sobol(len(default), budget.trials // 2, self.rng)

    def at(self, trial: int, best: Points) -> Points:
        """Where trial number ``trial`` >= 1 looks, with the best point so far."""
        if trial <= len(self.spread):
            return self.spread[trial - 1]
        progress = (trial - len(self.spread)) / (self.trials - len(self.spread))
        spread = _SPREAD[0] * (_SPREAD[1] / _SPREAD[0]) ** progress
        moved = np.abs(best + self.rng.normal(0.0, spread, len(best)))
        return np.clip(np.where(moved > 1, 2 - moved, moved), 0.0, 1.0)  # reflected at borders


def _sobol(dimensions: int, count: int, rng: np.random.Generator) -> Points:
    if not dimensions or not count:
        return np.empty((0, dimensions))
    power = int(np.ceil(np.log2(count)))
    return np.asarray(qmc.Sobol(dimensions, rng=rng).random_base2(power)[:count])
