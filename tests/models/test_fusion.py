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
    return build_arena()


def build_arena() -> Arena:
    """Forty users who were given item u % 30 and go on to the two after it."""
    n = 40
    item = np.arange(n) % ITEMS
    given = Given(
        np.arange(n + 1), item, np.zeros(n, np.int64), np.zeros(n, np.int64), np.ones(n, np.float32)
    )
    later = np.stack(((item + 1) % ITEMS, (item + 2) % ITEMS), 1).ravel()
    case = KShotCase("1", UserBatch.of(given), Targets(np.arange(n + 1) * 2, later))
    return Arena(KShotCases((case,), np.arange(n), ITEMS), k=5)


def relevant() -> np.ndarray:
    """float32[40, ITEMS], 1 at what the users go on to."""
    item = np.arange(40) % ITEMS
    table = np.zeros((40, ITEMS), np.float32)
    table[np.arange(40), (item + 1) % ITEMS] = table[np.arange(40), (item + 2) % ITEMS] = 1
    return table


def channels() -> dict[str, list[np.ndarray]]:
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(40, ITEMS)).astype(np.float32)
    signal = relevant() + 0.3 * rng.normal(size=noise.shape).astype(np.float32)
    return {"noise": [noise], "signal": [signal.astype(np.float32)]}


def test_search_keeps_the_signal_and_drops_the_noise(arena: Arena) -> None:
    usual = {"noise": 1.0, "signal": 1.0}
    found = search(arena, channels(), ({"noise": 1.0},), usual)
    assert found.weights["signal"] > 5 * found.weights["noise"]
    total = sum(np.float32(found.weights[name]) * c[0] for name, c in channels().items())
    assert found.objective == pytest.approx(arena.ndcg([total]))
    alone = arena.ndcg(channels()["signal"])
    assert found.objective >= alone - 1e-6


def test_what_no_request_shows_is_not_chosen(arena: Arena) -> None:
    usual = {"noise": 1.0, "signal": 1.0, "silent": 1.0}
    silent = {"silent": [np.zeros((40, ITEMS), np.float32)]}
    found = search(arena, channels() | silent, ({"signal": 1.0, "silent": 3.0},), usual)
    assert set(found.weights) == {"noise", "signal"}


def test_given_items_are_no_candidates(arena: Arena) -> None:
    perfect = relevant()
    perfect[np.arange(40), np.arange(40) % ITEMS] = 9.0
    assert arena.ndcg([perfect]) == pytest.approx(1.0)


def test_a_pool_ranks_as_the_catalogue_does(arena: Arena) -> None:
    (scores,) = channels()["signal"]
    pool = arena.pooled(0, [scores], depth=8)
    assert pool.items.shape[1] == 8
    assert pool.ndcg(pool.take(scores)) == pytest.approx(arena.ndcg([scores]))


def test_parts_of_a_large_catalogue_give_what_the_whole_gives(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = search(arena, channels(), ({"noise": 1.0},), {"noise": 1.0, "signal": 1.0})
    monkeypatch.setattr("firstedge.models.fusion.PART_CELLS", 7 * ITEMS)
    monkeypatch.setattr("firstedge.models.fusion.HELD_CELLS", 0)
    parts = build_arena()
    assert [len(users) for users in parts.users] == [7, 7, 7, 7, 7, 5]
    tables = {name: np.split(table, range(7, 40, 7)) for name, (table,) in channels().items()}
    assert search(parts, tables, ({"noise": 1.0},), {"noise": 1.0, "signal": 1.0}) == whole
