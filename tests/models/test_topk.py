from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firstedge.models.topk import rows_reaching, top_k, top_k_each


def sorted_top(scores: np.ndarray, k: int, mask: np.ndarray | None = None) -> list[int]:
    """The definition: sort everything."""
    rows = [row for row in range(len(scores)) if mask is None or mask[row]]
    rows = [row for row in rows if scores[row] > -np.inf]
    return sorted(rows, key=lambda row: (-scores[row], row))[:k]


@pytest.mark.parametrize("n", [1, 5, 4095, 4096, 4097, 20_011])
@pytest.mark.parametrize("k", [1, 20, 300])
@pytest.mark.parametrize("values", [2, 50, 10**6])
def test_it_is_what_sorting_everything_gives(n: int, k: int, values: int) -> None:
    rng = np.random.default_rng(n + k + values)
    scores = rng.integers(0, values, n).astype(np.float32)
    mask = rng.random(n) < 0.3
    assert top_k(scores, k).tolist() == sorted_top(scores, k)
    assert top_k(scores, k, mask).tolist() == sorted_top(scores, k, mask)


def test_of_equals_the_lower_row_comes_first() -> None:
    assert top_k(np.zeros(10_000, np.float32), 3).tolist() == [0, 1, 2]


def test_minus_infinity_is_never_an_answer() -> None:
    scores = np.full(10_000, -np.inf, np.float32)
    scores[[7, 9000]] = 1, 2
    assert top_k(scores, 5).tolist() == [9000, 7]
    assert top_k(scores, 5, np.arange(10_000) < 5).tolist() == []


def test_the_best_may_stand_in_the_rest_behind_the_last_whole_column() -> None:
    scores = np.arange(64 * 100 + 63, dtype=np.float32)
    assert top_k(scores, 4).tolist() == [6462, 6461, 6460, 6459]


@settings(deadline=None)
@given(st.dictionaries(st.integers(0, 5000), st.floats(-5, 5, width=32)), st.integers(1, 40))
def test_it_is_exact_wherever_the_best_stand(peaks: dict[int, float], k: int) -> None:
    scores = np.zeros(5001, np.float32)
    scores[list(peaks)] = list(peaks.values())
    assert top_k(scores, k).tolist() == sorted_top(scores, k)


@given(
    st.lists(st.lists(st.integers(-3, 3), min_size=6, max_size=6), min_size=1, max_size=5),
    st.integers(1, 8),
)
def test_the_best_of_each_row_are_a_stable_sort(rows: list[list[int]], k: int) -> None:
    scores = np.array(rows, np.float32)
    scores[scores == -3] = -np.inf
    for row, best in zip(scores, top_k_each(scores, k), strict=True):
        order = sorted(range(6), key=lambda column: (-row[column], column))
        expected = [column for column in order if row[column] > -np.inf][:k]
        assert best.tolist() == expected + [-1] * (k - len(expected))


@pytest.mark.parametrize("width", [3, 400, 3665, 20_011])
@pytest.mark.parametrize("k", [1, 20, 60, 1000])
@pytest.mark.parametrize("values", [1, 3, 10**6])
def test_the_best_of_each_row_are_those_of_the_row_alone(width: int, k: int, values: int) -> None:
    rng = np.random.default_rng(width + k + values)
    scores = rng.integers(0, values, (9, width)).astype(np.float32)
    scores[1, ::3] = -np.inf
    scores[2] = -np.inf
    for row, best in zip(scores, top_k_each(scores, k), strict=True):
        expected = sorted_top(row, k)
        assert best.tolist() == expected + [-1] * (k - len(expected))


MARGINS = np.array([0.0, 3.0, 0.0, 500.0, 0.0, 1e30, np.inf, 3.0, 0.0])


@pytest.mark.parametrize("n", [1, 50, 20_011])
@pytest.mark.parametrize("most", [40, 400])
def test_what_reaches_lies_no_further_below_than_the_margin(n: int, most: int) -> None:
    rng = np.random.default_rng(n)
    scores = rng.integers(0, 10_000, (9, n)).astype(np.float32)
    scores[:, 1::7] = -np.inf
    scores[4] = -np.inf
    scores[6, 0] = np.inf
    ks = rng.integers(1, most, 9)
    of, rows = rows_reaching(scores, ks, MARGINS)
    assert np.all(np.diff(of * n + rows) > 0)
    for user, (k, margin) in enumerate(zip(ks.tolist(), MARGINS.tolist(), strict=True)):
        with np.errstate(invalid="ignore"):
            highest = np.sort(scores[user])[-min(k, n)]
            floor = np.fmax(highest - margin, np.finfo(np.float32).min)
        expected = np.flatnonzero(scores[user] >= floor)
        found = rows[of == user]
        assert np.setdiff1d(expected, found).tolist() == []
        assert np.all(scores[user, found] > -np.inf)
        if margin <= 3:
            assert len(found) <= 2 * len(expected)


@pytest.mark.parametrize("shape", [(0, 10), (0, 10_000), (3, 0)])
def test_nobody_and_nothing_reach_nothing(shape: tuple[int, int]) -> None:
    users = shape[0]
    of, rows = rows_reaching(np.empty(shape, np.float32), np.ones(users, int), np.zeros(users))
    assert (of.tolist(), rows.tolist()) == ([], [])
    assert top_k(np.empty(0, np.float32), 3).tolist() == []
    assert top_k_each(np.empty(shape, np.float32), 2).tolist() == [[-1, -1]] * users
