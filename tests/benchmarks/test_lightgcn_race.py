"""The race against LightGCN: its clock stops at its best, and both are judged alike."""

from __future__ import annotations

import time

import numpy as np
import pytest

from benchmarks.lightgcn_race import Stopwatch, race
from benchmarks.quality.cells import read_cell
from firstedge.graph.histories import kind_weights
from firstedge.loaders.split import split_users
from firstedge.models.protocol import build_cases
from firstedge.models.rounds import hold_out
from firstedge.models.scorer import UserBatch
from tests.models.tastes import taste_shop


class Fixed:
    """Ranks the first ``good`` items of 60 above the others."""

    def __init__(self, good: int) -> None:
        self.row = (np.arange(60) < good).astype(np.float32)

    def score(self, users: UserBatch) -> np.ndarray:
        return np.tile(self.row, (len(users), 1))


def test_the_clock_stops_at_the_best_and_while_users_are_asked() -> None:
    shop = taste_shop()
    held = hold_out(shop, split_users(shop))
    cases = build_cases(held.validation, kind_weights(shop.schema), (0, 1), with_all=False)
    watch = Stopwatch(cases, np.zeros(60), 20, 60.0)
    spent = []
    # The shop's popular items are its first ones: the second ranker is the best of the three.
    for good in (0, 12, 40):
        began = time.process_time()
        while time.process_time() - began < 0.05:
            pass
        watch.look(Fixed(good))
        spent.append(watch.best_at)
    assert spent[0] == pytest.approx(0.05, abs=0.03)
    assert spent[1] == pytest.approx(0.10, abs=0.05)
    assert spent[2] == spent[1]


def test_a_race_tells_time_and_quality_of_both() -> None:
    tuned = read_cell("amazon-beauty", "LightGCN", 0)
    assert tuned is not None
    found = race(taste_shop(), minutes=0.05, tuned=tuned)
    assert found["search"] == {"fits": 20, "seconds": tuned.seconds}
    assert found["ratio"] == pytest.approx(
        found["seconds"]["lightgcn"] / found["seconds"]["ours"], rel=0.2, abs=0.1
    )
    assert found["quality"] == pytest.approx(
        found["ndcg"]["ours"] / found["ndcg"]["lightgcn"], abs=1e-3
    )
    assert found["ndcg"]["ours"] > found["ndcg"]["lightgcn"] > 0
    assert 0 < found["passed"] < found["seconds"]["ours"]
