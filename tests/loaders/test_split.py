"""Splits: who is where, and what must not get through."""

import numpy as np
import pytest

from firstedge.graph.errors import DataError, LeakageError, SettingsError
from firstedge.graph.histories import NO_TIME, Events, Histories
from firstedge.graph.vocabulary import Vocabulary
from firstedge.loaders.snapshot import Snapshot
from firstedge.loaders.split import (
    Split,
    check_leakage,
    folds_of,
    split_for_use,
    split_time,
    split_users,
)

IDS = tuple(sorted(f"user {n}" for n in range(1000)))


def shop(times: dict[int, list[int]], ids: tuple[str, ...] = IDS) -> Snapshot:
    """A shop of one item in which these users (by row) were active at these times."""
    rows = [(user, time) for user, moments in times.items() for time in moments]
    users, moments = (np.array(column, np.int64) for column in zip(*rows, strict=True))
    n = len(rows)
    zeros = np.zeros(n, np.int64)
    events = Events(users, zeros, zeros, moments, zeros, np.ones(n, np.float32))
    snapshot = object.__new__(Snapshot)
    object.__setattr__(snapshot, "users", Vocabulary(ids, "user"))
    object.__setattr__(snapshot, "histories", Histories.of(events, len(ids), 1))
    return snapshot


ALL = {row: [row, 5000] for row in range(1000)}


def test_folds_are_as_they_were_when_this_was_written() -> None:
    assert folds_of(["ann", "bob", "茶", ""], 10).tolist() == [8, 7, 9, 8]
    assert folds_of(["ann", "bob", "茶", ""], 10, seed=1).tolist() == [0, 5, 1, 1]


def test_every_user_is_test_once_and_validation_once() -> None:
    splits = [split_users(shop(ALL), fold=fold) for fold in range(10)]
    for split in splits:
        parts = (split.train, split.validation, split.test)
        assert sorted(np.concatenate(parts)) == list(range(1000))
        assert all(60 < len(part) < 140 for part in parts[1:])
    assert sorted(np.concatenate([split.test for split in splits])) == list(range(1000))
    np.testing.assert_array_equal(splits[0].validation, splits[1].test)
    np.testing.assert_array_equal(splits[9].validation, splits[0].test)


def test_a_fold_belongs_to_the_id_not_to_the_row() -> None:
    some = IDS[::3]
    part, whole = (split_users(shop({0: [1]}, ids), seed=7) for ids in (some, IDS))
    tested = {IDS[row] for row in whole.test}
    assert {some[row] for row in part.test} == tested & set(some)
    assert tested != {IDS[row] for row in split_users(shop(ALL), seed=8).test}


def test_for_use_all_but_a_tenth_train() -> None:
    held, free = split_users(shop(ALL)), split_for_use(shop(ALL))
    assert len(IDS) >= 500
    assert len(free.test) == 0
    np.testing.assert_array_equal(free.validation, held.validation)
    np.testing.assert_array_equal(free.train, np.union1d(held.train, held.test))


@pytest.mark.parametrize(("active", "parts"), [(60, 4), (299, 5), (449, 8), (500, 10)])
def test_of_few_users_with_events_a_larger_part_decides(active: int, parts: int) -> None:
    split = split_for_use(shop({row: [1] for row in range(active)}))
    np.testing.assert_array_equal(split.validation, np.flatnonzero(folds_of(IDS, parts) == 1))


@pytest.mark.parametrize(("folds", "fold"), [(10, 10), (10, -1), (2, 0)])
def test_a_fold_must_exist(folds: int, fold: int) -> None:
    with pytest.raises(SettingsError, match=f"no fold {fold} among {folds}"):
        split_users(shop(ALL), folds, fold)


def test_newcomers_are_the_test_and_the_last_before_them_decide() -> None:
    # User 10 has no event, 11 one without a time, and 20 to 39 arrive one by one.
    times = {row: [row * 10, 900] for row in range(20, 40)} | {11: [NO_TIME, 800]}
    split = split_time(shop(times), until=300)
    assert split.until == 300
    assert split.train.tolist() == [11, *range(20, 30)]
    assert split.validation.tolist() == [30]
    assert split.test.tolist() == list(range(31, 40))


def test_a_quantile_is_of_the_events_that_have_a_time() -> None:
    times = {row: [row] for row in range(100)} | {200: [NO_TIME] * 50}
    split = split_time(shop(times), quantile=0.5)
    assert split.until == 49
    assert split.test.tolist() == list(range(50, 100))
    assert len(split.train) + len(split.validation) == 51


def test_held_out_by_user_and_by_time() -> None:
    snapshot = shop({row: [row * 10, 20_000] for row in range(1000)})
    users = split_users(snapshot)
    both = split_time(snapshot, until=5000, within=users)
    assert both.train.tolist() == [row for row in users.train if row <= 500]
    assert both.validation.tolist() == [row for row in users.validation if row <= 500]
    assert both.test.tolist() == [row for row in users.test if row > 500]


@pytest.mark.parametrize(
    ("until", "missing"), [(-1, "users known by"), (10_000, "newcomers after")]
)
def test_a_time_needs_users_on_both_sides(until: int, missing: str) -> None:
    with pytest.raises(DataError, match=f"no {missing} "):
        split_time(shop({0: [1], 1: [2]}), until=until)


def test_times_are_needed() -> None:
    with pytest.raises(DataError, match="no event has a time"):
        split_time(shop({0: [NO_TIME]}))
    with pytest.raises(SettingsError, match="quantile"):
        split_time(shop(ALL), quantile=1.0)


@pytest.mark.parametrize(
    ("parts", "where"),
    [
        (([1, 2], [2], []), "train and validation"),
        (([1, 2], [], [0, 1]), "train and test"),
        (([0], [1, 3], [3]), "validation and test"),
    ],
)
def test_a_user_in_two_parts_is_a_leak(parts: tuple[list[int], ...], where: str) -> None:
    with pytest.raises(LeakageError, match=f"1 users are in both {where}"):
        Split(*(np.array(part, np.int64) for part in parts))


def test_training_on_the_training_users_is_no_leak() -> None:
    histories = shop(ALL).histories
    split = split_users(shop(ALL))
    check_leakage(split, histories.take(split.train), split.train)
    own = np.isin(histories.users, split.train)
    check_leakage(split, histories.where(own))


@pytest.mark.parametrize("part", ["validation", "test"])
def test_one_event_of_a_held_out_user_is_a_leak(part: str) -> None:
    histories = shop(ALL).histories
    split = split_users(shop(ALL))
    stranger = getattr(split, part)[3]
    allowed = np.isin(histories.users, split.train)
    allowed[np.flatnonzero(histories.users == stranger)[0]] = True
    with pytest.raises(LeakageError, match=rf"1 {part} users \(the first is row {stranger}\)"):
        check_leakage(split, histories.where(allowed))
    users = np.append(split.train, stranger)
    with pytest.raises(LeakageError, match=f"1 {part} users"):
        check_leakage(split, histories.take(users), users)


def test_a_training_event_after_the_time_is_a_leak() -> None:
    histories = shop({0: [NO_TIME, 300], 1: [301], 2: [299]}).histories
    split = Split(np.array([0, 1]), np.array([2]), np.array([3]), until=300)
    check_leakage(split, histories.take(np.array([0])), np.array([0]))
    with pytest.raises(LeakageError, match=r"1 events after 1970-01-01T00:00:00\.300 UTC"):
        check_leakage(split, histories.take(split.train), split.train)


def test_a_split_says_what_it_is() -> None:
    split = Split(np.arange(5), np.array([7]), np.array([8, 9]), until=0)
    assert repr(split) == (
        "Split(5 train, 1 validation, 2 test users, until 1970-01-01T00:00:00.000 UTC)"
    )
