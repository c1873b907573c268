from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import pytest

from firstedge.models.baselines import AdditiveRanker, Popularity, TrainingData
from firstedge.models.protocol import Ranker, build_cases
from firstedge.models.space import Range
from firstedge.models.tuning import Budget, tune
from tests.models.small import NUM_ITEMS, WEIGHTS, histories_of, training_of


@dataclass(frozen=True)
class Pointer:
    """Ranks first the item that its option points at; item 6 is what everybody wants."""

    name: ClassVar[str] = "pointer"
    at: Annotated[float, Range(0, NUM_ITEMS - 1)] = 0.0

    def unfit(self, data: TrainingData) -> str:
        return ""

    def fit(self, data: TrainingData) -> Ranker:
        return AdditiveRanker(-np.abs(np.arange(NUM_ITEMS) - self.at).astype(np.float32))


@pytest.fixture
def data() -> TrainingData:
    return training_of(histories_of([0, 1], [0, 2]))


CASES = build_cases(histories_of([6], [6], [6]), WEIGHTS, (0,), with_all=False)


def test_one_trial_is_the_defaults(data: TrainingData) -> None:
    found = tune(Pointer(3.0), data, CASES, Budget(1))
    assert found.method == Pointer(3.0)
    assert found.trials == 1


def test_more_trials_find_better_options(data: TrainingData) -> None:
    found = tune(Pointer(), data, CASES, Budget(10, seed=1))
    assert found.objective == 1.0
    assert abs(found.method.at - 6) < 0.5
    assert found.trials == 10
    again = tune(Pointer(), data, CASES, Budget(10, seed=1))
    assert again.method == found.method


def test_defaults_that_are_best_stay(data: TrainingData) -> None:
    assert tune(Pointer(6.0), data, CASES, Budget(6)).method == Pointer(6.0)


def test_nothing_to_tune_is_tried_once(data: TrainingData) -> None:
    assert tune(Popularity(), data, CASES, Budget(20)).trials == 1


@pytest.mark.parametrize(("trials", "k"), [(0, 20), (5, 0)])
def test_no_budget(trials: int, k: int) -> None:
    with pytest.raises(ValueError, match="at least one trial"):
        Budget(trials, k)
