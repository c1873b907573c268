from __future__ import annotations

import numpy as np
import pytest

from firstedge.graph.errors import DataError
from firstedge.models.protocol import build_cases, evaluate, long_case, rank_case
from firstedge.models.scorer import UserBatch
from tests.models.small import NUM_ITEMS, WEIGHTS, histories_of


class Descending:
    """Prefers lower rows, whoever asks."""

    def score(self, users: UserBatch) -> np.ndarray:
        return np.tile(-np.arange(NUM_ITEMS, dtype=np.float32), (len(users), 1))


def given_of(case: object, user: int) -> list[int]:
    given = case.users.given  # type: ignore[attr-defined]
    return given.targets[given.offsets[user] : given.offsets[user + 1]].tolist()


def wanted_of(case: object, user: int) -> list[int]:
    targets = case.targets  # type: ignore[attr-defined]
    return targets.items[targets.offsets[user] : targets.offsets[user + 1]].tolist()


def test_cuts_by_hand() -> None:
    # Target 9 is a category (8 + 1); user 1 is too short for k = 2.
    histories = histories_of([3, 9, 3, 5, 3, 1, 5], [0, 1], [7, 6, 5, 4])
    cases = build_cases(histories, WEIGHTS, (0, 1, 2))
    assert cases.labels == ("0", "1", "2", "all")
    assert cases.rows.tolist() == [0, 2]
    none, one, two, but_last = cases.cases
    assert [given_of(none, 0), wanted_of(none, 0)] == [[], [3, 5, 1]]
    assert [given_of(one, 0), wanted_of(one, 0)] == [[3, 9], [5, 1]]
    assert [given_of(two, 0), wanted_of(two, 0)] == [[3, 5, 9], [1]]
    assert [given_of(but_last, 0), wanted_of(but_last, 0)] == [[3, 5, 9], [1]]
    assert [given_of(but_last, 1), wanted_of(but_last, 1)] == [[5, 6, 7], [4]]
    assert cases.without_all().labels == ("0", "1", "2")


def test_long_histories_by_hand() -> None:
    histories = histories_of([3, 9, 3, 5, 3, 1, 5, 0], [0, 1, 2], [7, 6, 5, 4, 3])
    nothing = build_cases(histories, WEIGHTS, (0,)).cases[0].users
    case = long_case(histories, WEIGHTS, 2, nothing)
    assert case is not None
    assert case.label == "half"
    assert [given_of(case, 0), wanted_of(case, 0)] == [[3, 5, 9], [1, 0]]
    assert [given_of(case, 1), wanted_of(case, 1)] == [[6, 7], [5, 4, 3]]
    assert long_case(histories, WEIGHTS, 3, nothing) is None


def test_profiles_and_texts_follow_their_users() -> None:
    histories = histories_of([0], [1, 2], [3], [4, 5])
    offsets = np.array([0, 1, 3, 3, 4])
    blank = UserBatch.of(build_cases(histories, WEIGHTS, (0,)).cases[0].users.given)
    text = np.arange(4, dtype=np.float32)[:, None]
    known = UserBatch(blank.given, offsets, np.array([10, 11, 12, 13]), text)
    case = build_cases(histories, WEIGHTS, (1,), known=known).cases[0]
    assert case.users.profile_offsets.tolist() == [0, 2, 3]
    assert case.users.profile_rows.tolist() == [11, 12, 13]
    assert case.users.text is not None
    assert case.users.text.ravel().tolist() == [1.0, 3.0]


def test_evaluation_by_hand() -> None:
    histories = histories_of([0, 4, 1], [7, 6, 0])
    popularity = np.arange(NUM_ITEMS) / 10.0
    found = evaluate(Descending(), build_cases(histories, WEIGHTS, (1,)), popularity, k=2)
    # k = 1: lists are (1, 2) and (0, 1); targets {4, 1} and {6, 0}.
    first = 1 / (1 + 1 / np.log2(3))
    assert found.labels == ("1", "all")
    np.testing.assert_allclose(found.ndcg[0], [first, first])
    np.testing.assert_allclose(found.recall[0], [0.5, 0.5])
    np.testing.assert_allclose(found.popularity[0], [0.15, 0.05])
    assert found.coverage[0] == 3 / NUM_ITEMS
    # all: lists are (1, 2) and (0, 1); targets {1} and {0}.
    np.testing.assert_allclose(found.ndcg[1], [1.0, 1.0])
    assert found.objective == pytest.approx(first)


def test_given_items_are_no_candidates_and_lists_end_with_the_catalogue() -> None:
    case = build_cases(histories_of([1, 0, 2]), WEIGHTS, (2,), with_all=False).cases[0]
    assert rank_case(Descending(), case, NUM_ITEMS, 9).tolist() == [[2, 3, 4, 5, 6, 7, -1, -1, -1]]


def test_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    histories = histories_of(*(rng.permutation(NUM_ITEMS).tolist() for _ in range(11)))
    cases = build_cases(histories, WEIGHTS, (0, 1, 3))
    popularity = rng.random(NUM_ITEMS)
    whole = evaluate(Descending(), cases, popularity, k=4)
    monkeypatch.setattr("firstedge.models.protocol._SCORE_CELLS", 3 * NUM_ITEMS)
    parts = evaluate(Descending(), cases, popularity, k=4)
    for name in ("ndcg", "recall", "popularity", "coverage"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name)), name


@pytest.mark.parametrize("ks", [(), (2, 1), (1, 1), (-1, 2)])
def test_odd_ks(ks: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="distinct, ascending"):
        build_cases(histories_of([0, 1]), WEIGHTS, ks)


def test_histories_that_are_too_short() -> None:
    with pytest.raises(DataError, match=r"none of the 1 users has 6 distinct items"):
        build_cases(histories_of([0, 1]), WEIGHTS, (0, 5))


def test_a_ranker_that_gives_no_numbers() -> None:
    class Broken:
        def score(self, users: UserBatch) -> np.ndarray:
            return np.full((len(users), NUM_ITEMS), np.nan, np.float32)

    cases = build_cases(histories_of([0, 1]), WEIGHTS, (1,))
    with pytest.raises(ValueError, match="Broken must give a number"):
        evaluate(Broken(), cases, np.zeros(NUM_ITEMS))
