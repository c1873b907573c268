"""What the methods that train by gradient share: who judges them, and when they stop."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from firstedge.graph.histories import Given
from firstedge.models.baselines import TrainingData, given_items
from firstedge.models.protocol import KShotCases, Ranker, evaluate
from firstedge.models.scorer import UserBatch

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass
class Watch:
    """Judges a method while it learns, on validation users; keeps its best state.

    Attributes:
        cases: Validation users.
        popularity: float64[num_items], as `evaluate` wants it.
        k: Length of the ranked lists.
        seconds: CPU seconds that the method may learn for.
        every: Steps between two looks, at least.
        patience: Looks without a better figure after which it stops.
        ranker: The best one so far.
        objective: Its mean NDCG over users and ks.
        looks: How often was looked.
        cut: Whether the time ran out before the patience did.
    """

    cases: KShotCases
    popularity: npt.NDArray[np.float64]
    k: int
    seconds: float
    every: int = 20
    patience: int = 8
    ranker: Ranker | None = None
    objective: float = -1.0
    looks: int = 0
    cut: bool = False
    _since: int = 0
    _steps: int = 0
    _began: float = field(default_factory=time.process_time)

    def step(self) -> bool:
        """Count a step; whether the time is over."""
        self._steps += 1
        return self.late

    @property
    def due(self) -> bool:
        """Whether it is time to look."""
        return self._steps >= self.every or self.late

    def look(self, ranker: Ranker) -> bool:
        """Judge a ranker that will not change any more; whether to go on learning."""
        self.looks, self._steps = self.looks + 1, 0
        found = evaluate(ranker, self.cases, self.popularity, self.k).objective
        self._since = 0 if found > self.objective else self._since + 1
        if found > self.objective:
            self.ranker, self.objective = ranker, found
        self.cut = self.late and self._since < self.patience
        return not self.late and self._since < self.patience

    @property
    def late(self) -> bool:
        """Whether the time is over."""
        return time.process_time() - self._began > self.seconds


class Learner(Protocol):
    """A method that learns step by step, looked at on the way."""

    name: ClassVar[str]

    def unfit(self, data: TrainingData) -> str:
        """Why the method cannot be used on these data, "" if it can."""

    def learn(self, data: TrainingData, watch: Watch) -> None:
        """Train until ``watch`` says stop."""


@dataclass(frozen=True)
class WithPrior:
    """A ranker plus weighted log popularity; for a user of whom nothing is given, popularity alone.

    Attributes:
        ranker: What was learned.
        log_prior: float32[num_items].
        weight: Of the log popularity.
    """

    ranker: Ranker
    log_prior: Floats
    weight: float

    def score(self, users: UserBatch) -> Floats:
        """See `Ranker`."""
        scores = self.ranker.score(users) + np.float32(self.weight) * self.log_prior
        counts = np.diff(given_items(users.given, len(self.log_prior), 0.0).indptr)
        scores[counts == 0] = self.log_prior
        return scores


def batches(count: int, size: int, rng: np.random.Generator) -> Iterator[Ints]:
    """0..count - 1 in random order, ``size`` at a time."""
    order = rng.permutation(count)
    for start in range(0, count, size):
        yield order[start : start + size]


def as_tensor(matrix: sparse.csr_array) -> Tensor:
    """A scipy matrix as a torch one, CSR of float32."""
    with warnings.catch_warnings():  # that CSR is in beta, and that its parts are not checked
        warnings.simplefilter("ignore", UserWarning)
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(np.int64)),
            torch.from_numpy(matrix.indices.astype(np.int64)),
            torch.from_numpy(matrix.data.astype(np.float32)),
            size=matrix.shape,
        )


def mean_of_given(given: Given, vectors: Floats) -> Floats:
    """float32[n, d]: the mean vector of each user's given items, zeros without any."""
    return np.asarray(given_items(given, len(vectors), 1.0) @ vectors, np.float32)
