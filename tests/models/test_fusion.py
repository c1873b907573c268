from __future__ import annotations

import numpy as np
import pytest

from firstedge.graph.histories import Given
from firstedge.models import fusion
from firstedge.models.fusion import Arena, Channel, Pool, Shortlist, climb, combine
from firstedge.models.metrics import Targets
from firstedge.models.protocol import KShotCase
from firstedge.models.scorer import UserBatch

ITEMS = 30


def asked(n: int, steps: tuple[int, ...] = (1, 2)) -> KShotCase:
    """Users who were given item u % 30 and go on to those that many further."""
    item = np.arange(n) % ITEMS
    given = Given(
        np.arange(n + 1), item, np.zeros(n, np.int64), np.zeros(n, np.int64), np.ones(n, np.float32)
    )
    later = np.stack([(item + step) % ITEMS for step in steps], 1).ravel()
    return KShotCase("1", UserBatch.of(given), Targets(np.arange(n + 1) * len(steps), later))


@pytest.fixture
def arena(monkeypatch: pytest.MonkeyPatch) -> Arena:
    """Forty users in blocks of seven."""
    monkeypatch.setattr(fusion, "_BLOCK_CELLS", 7 * ITEMS)
    arena = Arena([asked(40)], ITEMS, k=5)
    assert [len(block.users) for block in arena.blocks] == [7, 7, 7, 7, 7, 5]
    return arena


def of_item(table: np.ndarray) -> Channel:
    """Scores by the given item: a row of a table [ITEMS, ITEMS]."""
    return lambda users: table[users.given.targets].astype(np.float32)


def right_answers() -> np.ndarray:
    item = np.arange(ITEMS)
    table = np.zeros((ITEMS, ITEMS))
    table[item, (item + 1) % ITEMS] = table[item, (item + 2) % ITEMS] = 1
    return table


def channels() -> dict[str, Channel]:
    rng = np.random.default_rng(0)
    noise, other = rng.normal(size=(2, ITEMS, ITEMS))
    return {"noise": of_item(noise), "signal": of_item(right_answers() + 0.3 * other)}


def test_search_keeps_the_signal_and_drops_the_noise(arena: Arena) -> None:
    usual = {"noise": 1.0, "signal": 1.0, "silence": 1.0}
    silence = of_item(np.zeros((ITEMS, ITEMS)))
    pool = Pool(arena, Shortlist.of(arena, channels()), {"silence": silence}, ())
    found = climb(pool, {"noise": 1.0, "signal": 0.25}, usual)
    assert found.weights["signal"] > 5 * found.weights["noise"]
    assert "silence" not in found.weights
    assert climb(pool, {"noise": 1.0}, usual).weights["signal"] > 0  # it may leave zero

    def fused(users: UserBatch) -> np.ndarray:
        return combine({name: c(users) for name, c in channels().items()}, found.weights)

    assert found.objective == pytest.approx(arena.ndcg(fused))
    assert found.objective >= arena.ndcg(channels()["signal"]) - 1e-6


def test_given_items_are_no_candidates(arena: Arena) -> None:
    perfect = of_item(right_answers() + 9 * np.eye(ITEMS))
    assert arena.ndcg(perfect) == pytest.approx(1.0)
    allowed = Arena([asked(40)], ITEMS, k=5, exclude_given=False)
    assert allowed.ndcg(perfect) < 0.8


def test_every_case_counts_alike(arena: Arena) -> None:
    """A case of five users weighs as much as one of forty."""
    perfect = of_item(right_answers())
    other = asked(5, (3, 4))
    both = Arena([asked(40), other], ITEMS, k=5)
    alone = Arena([other], ITEMS, k=5).ndcg(perfect)
    assert both.ndcg(perfect) == pytest.approx((1.0 + alone) / 2)
    half = Arena([asked(40), other], ITEMS, shares=(1.0, 0.5), k=5)
    assert half.ndcg(perfect) == pytest.approx((1.0 + 0.5 * alone) / 1.5)


def test_the_best_of_several_scores_is_told(arena: Arena) -> None:
    tables = [right_answers() * size for size in (-1.0, 1.0, 2.0)]
    figure, which = arena.best(lambda block: (of_item(table)(block.users) for table in tables))
    assert (figure, which) == (pytest.approx(1.0), 1)  # of equals the first


def test_a_pool_ranks_as_the_catalogue_does(arena: Arena, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fusion, "POOL_DEPTH", 8)
    signal = channels()["signal"]
    pool = Pool(arena, Shortlist.of(arena, {"signal": signal}), {}, ())
    assert pool.channels["signal"].shape == (40, 8)
    assert pool.ndcg(pool.channels["signal"].copy()) == pytest.approx(arena.ndcg(signal))


def test_candidates_found_before_are_those_found_with_all(
    arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fusion, "POOL_DEPTH", 4)
    both, start = channels(), {"noise": 1.0, "signal": 1.0}
    signal = {"signal": both.pop("signal")}
    before = Pool(arena, Shortlist.of(arena, both), signal, (start,))
    together = Pool(arena, Shortlist.of(arena, {}), both | signal, (start,))
    assert 8 < before.channels["noise"].shape[1] <= 12
    np.testing.assert_array_equal(before.void, together.void)
    for name, scores in together.channels.items():
        np.testing.assert_array_equal(before.channels[name], scores)
