from __future__ import annotations

import numpy as np
import pytest

from firstedge.graph.histories import Given
from firstedge.models.fusion import Arena, search
from firstedge.models.metrics import Targets
from firstedge.models.protocol import KShotCase, KShotCases
from firstedge.models.scorer import UserBatch

ITEMS = 30


@pytest.fixture
def arena() -> Arena:
    """Forty users who were given item u % 30 and go on to the two after it."""
    n = 40
    item = np.arange(n) % ITEMS
    given = Given(
        np.arange(n + 1), item, np.zeros(n, np.int64), np.zeros(n, np.int64), np.ones(n, np.float32)
    )
    later = np.stack(((item + 1) % ITEMS, (item + 2) % ITEMS), 1).ravel()
    case = KShotCase("1", UserBatch.of(given), Targets(np.arange(n + 1) * 2, later))
    return Arena(KShotCases((case,), np.arange(n), ITEMS), k=5)


def channels(arena: Arena) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=arena.relevant.shape).astype(np.float32)
    signal = arena.relevant + 0.3 * rng.normal(size=noise.shape).astype(np.float32)
    return {"noise": noise, "signal": signal.astype(np.float32)}


def test_search_keeps_the_signal_and_drops_the_noise(arena: Arena) -> None:
    usual = {"noise": 1.0, "signal": 1.0}
    found = search(arena, channels(arena), ({"noise": 1.0},), usual)
    assert found.weights["signal"] > 5 * found.weights["noise"]
    assert found.objective == pytest.approx(
        arena.ndcg(sum(np.float32(found.weights[name]) * c for name, c in channels(arena).items()))
    )
    alone = arena.ndcg(channels(arena)["signal"])
    assert found.objective >= alone - 1e-6


def test_given_items_are_no_candidates(arena: Arena) -> None:
    perfect = arena.relevant.astype(np.float32)
    perfect[np.arange(40), np.arange(40) % ITEMS] = 9.0
    assert arena.ndcg(perfect.copy()) == pytest.approx(1.0)


def test_a_pool_ranks_as_the_catalogue_does(arena: Arena) -> None:
    scores = channels(arena)["signal"]
    pool = arena.pooled([scores], depth=8)
    assert pool.items.shape[1] == 8
    assert pool.ndcg(pool.take(scores)) == pytest.approx(arena.ndcg(scores.copy()))
