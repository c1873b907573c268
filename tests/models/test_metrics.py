from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firstedge.models.metrics import (
    Interval,
    Targets,
    coverage,
    hits,
    intervals,
    mean_popularity,
    ndcg,
    recall,
    relative_differences,
    resampled_means,
)


def targets_of(lists: list[list[int]]) -> Targets:
    counts = [len(items) for items in lists]
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return Targets(offsets, np.array([i for items in lists for i in items], np.int64))


def naive(ranked: list[int], wanted: list[int], k: int) -> tuple[float, float]:
    gain, found = 0.0, 0
    for place, item in enumerate(ranked):
        if item in wanted:
            gain += 1 / math.log2(place + 2)
            found += 1
    most = min(k, len(wanted))
    if not most:
        return 0.0, 0.0
    return gain / sum(1 / math.log2(place + 2) for place in range(most)), found / most


def test_by_hand() -> None:
    ranked = np.array([[3, 1, 4], [0, 2, -1], [5, 6, 7]])
    targets = targets_of([[1, 4, 9, 8], [0], []])
    hit = hits(ranked, targets)
    assert hit.tolist() == [[False, True, True], [True, False, False], [False, False, False]]
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    expected = [(1 / math.log2(3) + 1 / 2) / ideal, 1.0, 0.0]
    assert ndcg(hit, targets.counts) == pytest.approx(expected)
    assert recall(hit, targets.counts) == pytest.approx([2 / 3, 1.0, 0.0])
    assert coverage(ranked, 16) == 8 / 16
    popularity = np.arange(8) / 10
    assert mean_popularity(ranked, popularity) == pytest.approx([0.8 / 3, 0.1, 0.6])


def test_an_empty_place_is_no_hit_and_not_popular() -> None:
    ranked = np.full((2, 3), -1)
    targets = targets_of([[0], [1, 2]])
    assert not hits(ranked, targets).any()
    assert mean_popularity(ranked, np.ones(3)).tolist() == [0.0, 0.0]
    assert coverage(ranked, 3) == 0.0


@given(st.data())
def test_as_a_loop_over_users(data: st.DataObject) -> None:
    num_items = data.draw(st.integers(1, 12))
    k = data.draw(st.integers(1, 15))
    rows = st.permutations(range(num_items)).map(lambda p: (list(p) + [-1] * 15)[:k])
    ranked = data.draw(st.lists(rows, min_size=1, max_size=6))
    some = st.lists(st.integers(0, num_items - 1), unique=True)
    wanted = data.draw(st.lists(some, min_size=len(ranked), max_size=len(ranked)))
    targets = targets_of(wanted)
    hit = hits(np.array(ranked), targets)
    expected = np.array([naive(r, w, k) for r, w in zip(ranked, wanted, strict=True)])
    np.testing.assert_allclose(ndcg(hit, targets.counts), expected[:, 0])
    np.testing.assert_allclose(recall(hit, targets.counts), expected[:, 1])


def test_a_resample_draws_the_same_users_for_every_row() -> None:
    values = np.random.default_rng(0).random((1, 50))
    means = resampled_means(np.concatenate((values, 2 * values)), draws=200, seed=3)
    assert means.shape == (200, 2)
    np.testing.assert_allclose(means[:, 1], 2 * means[:, 0])
    assert np.array_equal(means, resampled_means(np.concatenate((values, 2 * values)), 200, 3))
    assert not np.array_equal(means, resampled_means(np.concatenate((values, 2 * values)), 200, 4))


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(0).random((2, 40))
    whole = resampled_means(values, draws=31, seed=1)
    monkeypatch.setattr("firstedge.models.metrics._BLOCK_CELLS", 100)
    np.testing.assert_allclose(resampled_means(values, draws=31, seed=1), whole)


def test_interval_is_that_of_the_normal_law() -> None:
    values = np.random.default_rng(0).normal(5.0, 1.0, 2000)
    (found,) = intervals(values[None], draws=2000)
    error = 1.96 * values.std() / math.sqrt(len(values))
    assert found.mean == pytest.approx(values.mean())
    assert found.low == pytest.approx(values.mean() - error, abs=error / 10)
    assert found.high == pytest.approx(values.mean() + error, abs=error / 10)


def test_paired_difference_cancels_what_is_hard_for_both() -> None:
    rng = np.random.default_rng(0)
    theirs = rng.random(300)
    ours = np.stack((1.1 * theirs, 1.1 * rng.random(300)))
    same, apart = relative_differences(ours, np.stack((theirs, theirs)))
    assert (same.mean, same.low, same.high) == pytest.approx((0.1, 0.1, 0.1))
    assert apart.mean == pytest.approx(ours[1].mean() / theirs.mean() - 1)
    assert apart.high - apart.low > 0.05


def test_no_difference_relative_to_nothing() -> None:
    (found,) = relative_differences(np.ones((1, 5)), np.zeros((1, 5)))
    assert all(math.isnan(bound) for bound in (found.mean, found.low, found.high))


def test_one_user_has_an_interval_of_no_width() -> None:
    assert intervals(np.array([[0.25]])) == (Interval(0.25, 0.25, 0.25),)


def test_no_users() -> None:
    with pytest.raises(ValueError, match="at least one user"):
        intervals(np.empty((1, 0)))
