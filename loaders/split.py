"""Who teaches, who decides and who is asked: splits that hold users out whole."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import xxhash

from firstedge.graph.errors import DataError, LeakageError, SettingsError
from firstedge.graph.histories import NO_TIME, Histories
from firstedge.loaders.snapshot import Snapshot

Ints = npt.NDArray[np.int64]

# Users who shall decide at least, and of how many parts theirs is one: at least and at most.
_LEAST_DECIDING = 50
_PARTS = (4, 10)
# Of the users known before a time, the share that came last and decides.
_LAST_SHARE = 0.1


@dataclass(frozen=True, eq=False)
class Split:
    """Users of a snapshot in three parts.

    Attributes:
        train: int64[a], rows of the users whose events may be learned from.
        validation: int64[b], rows of the users by whom every choice is made.
        test: int64[c], rows of the users that the figures are about.
        until: Training and validation see events up to this time, in milliseconds since 1970 UTC,
            and those without a time; all events if None.

    Raises:
        LeakageError: If a user is in two parts.
    """

    train: Ints
    validation: Ints
    test: Ints
    until: int | None = None

    def __post_init__(self) -> None:
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        for one, other in (("train", "validation"), ("train", "test"), ("validation", "test")):
            shared = np.intersect1d(parts[one], parts[other])
            if len(shared):
                raise LeakageError(
                    f"{len(shared):,} users are in both {one} and {other} (the first is row "
                    f"{shared[0]}): the parts of a split must not overlap"
                )

    def __repr__(self) -> str:
        sizes = f"{len(self.train):,} train, {len(self.validation):,} validation"
        moment = "" if self.until is None else f", until {np.datetime64(self.until, 'ms')} UTC"
        return f"Split({sizes}, {len(self.test):,} test users{moment})"


def folds_of(ids: Iterable[str], folds: int, seed: int = 0) -> Ints:
    """The fold of each id, int64[n] in 0..folds - 1.

    A user's fold depends on the id and the seed alone: it is the same in every run, in every
    snapshot and on every machine.
    """
    hashes = (xxhash.xxh3_64_intdigest(id_.encode("utf-8", "surrogatepass"), seed) for id_ in ids)
    return np.fromiter((value % folds for value in hashes), np.int64)


def split_users(snapshot: Snapshot, folds: int = 10, fold: int = 0, seed: int = 0) -> Split:
    """Hold users out whole: one fold is test, the next validation, the rest train.

    Args:
        snapshot: The shop.
        folds: How many folds.
        fold: Which of them is the test.
        seed: Another seed gives other folds.

    Raises:
        SettingsError: If there is no such fold.
    """
    if folds < 3 or not 0 <= fold < folds:
        raise SettingsError(
            f"there is no fold {fold} among {folds}: take at least 3 folds and one of "
            f"0..{folds - 1}"
        )
    of = folds_of(snapshot.users, folds, seed)
    test, validation = of == fold, of == (fold + 1) % folds
    return Split(
        np.flatnonzero(~(test | validation)), np.flatnonzero(validation), np.flatnonzero(test)
    )


def split_for_use(snapshot: Snapshot, seed: int = 0) -> Split:
    """Hold out those who decide and nobody else, for a model that is to be used.

    They are a tenth of the users, of fewer than 500 with events a larger part: 50, at most a
    quarter.

    Args:
        snapshot: The shop.
        seed: Another seed holds out others.
    """
    active = np.count_nonzero(np.diff(snapshot.histories.offsets))
    parts = int(np.clip(active // _LEAST_DECIDING, *_PARTS))
    decides = folds_of(snapshot.users, parts, seed) == 1
    nobody = np.empty(0, np.int64)
    return Split(np.flatnonzero(~decides), np.flatnonzero(decides), nobody)


def split_time(
    snapshot: Snapshot,
    until: int | None = None,
    quantile: float = 0.8,
    within: Split | None = None,
) -> Split:
    """Ask those who came after a time, and learn from what was known by then.

    The test is the newcomers: users whose first event is later than ``until``. Of the users known
    by then, the tenth that came last is the validation and the rest trains. With ``within`` users
    are held out both ways: its training and validation users as far as they were known, its test
    users as far as they are newcomers.

    Args:
        snapshot: The shop.
        until: The time, in milliseconds since 1970 UTC.
        quantile: If there is no ``until``: the time by which this share of the events had happened.
        within: A split of users, such as `split_users` makes.

    Raises:
        DataError: If no event has a time, or nobody came before or after it.
        SettingsError: If the quantile does not lie between 0 and 1.
    """
    histories = snapshot.histories
    until = _moment(histories, quantile) if until is None else until
    users = np.flatnonzero(np.diff(histories.offsets))
    arrivals = histories.times[histories.offsets[users]]
    known, newcomers = users[arrivals <= until], users[arrivals > until]
    if within is None:
        known = known[np.argsort(arrivals[arrivals <= until], kind="stable")]
        last = round(len(known) * _LAST_SHARE)
        train, validation = np.split(known, [len(known) - last])
        split = Split(np.sort(train), np.sort(validation), newcomers, until)
    else:
        train = np.intersect1d(within.train, known)
        validation = np.intersect1d(within.validation, known)
        split = Split(train, validation, np.intersect1d(within.test, newcomers), until)
    for part, noun in ((split.train, "users known by"), (split.test, "newcomers after")):
        if not len(part):
            raise DataError(
                f"there are no {noun} {np.datetime64(until, 'ms')} UTC: choose a time with users "
                "on both sides, or hold users out by split_users alone"
            )
    return split


def check_leakage(split: Split, seen: Histories, users: Ints | None = None) -> None:
    """Hold the histories that were really used for training against the split.

    Args:
        split: The split.
        seen: What the training was given.
        users: int64[len(seen)], the rows in the snapshot of the users of ``seen``; its first rows
            if None.

    Raises:
        LeakageError: If there is an event of a validation or test user, or a later one than the
            split allows.
    """
    users = np.arange(len(seen)) if users is None else users
    active = users[np.diff(seen.offsets) > 0]
    for held, noun in ((split.test, "test"), (split.validation, "validation")):
        leaked = np.intersect1d(active, held)
        if len(leaked):
            raise LeakageError(
                f"the training saw events of {len(leaked):,} {noun} users (the first is row "
                f"{leaked[0]}): train on `histories.take(split.train)`"
            )
    late = seen.times > (np.iinfo(np.int64).max if split.until is None else split.until)
    if late.any():
        raise LeakageError(
            f"the training saw {int(late.sum()):,} events after {np.datetime64(split.until, 'ms')} "
            f"UTC, the latest of {np.datetime64(int(seen.times.max()), 'ms')} UTC: leave them out"
        )


def _moment(histories: Histories, quantile: float) -> int:
    """The time by which a share of the events that have a time had happened."""
    if not 0 < quantile < 1:
        raise SettingsError(f"quantile must lie between 0 and 1, got {quantile}")
    times = histories.times[histories.times != NO_TIME]
    if not len(times):
        raise DataError("no event has a time: hold users out by split_users instead")
    return int(np.quantile(times, quantile, method="lower"))
