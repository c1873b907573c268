"""The cold-start protocol: what a ranker is given of each user, and what it is asked to find.

Each user's history is cut after the first k distinct items; the events up to there are given, every
later distinct item is a target, and the full catalogue minus the given items is ranked. The same
users are asked at every k.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from firstedge.graph.errors import DataError
from firstedge.graph.histories import Given, Histories, ranges
from firstedge.models import metrics
from firstedge.models.metrics import Targets
from firstedge.models.scorer import UserBatch
from firstedge.models.topk import top_k_each

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

ALL, HALF = "all", "half"
KS = (0, 1, 2, 3, 5, 10)

# Scores are held for at most this many user-item pairs at a time (64 MB of float32).
_SCORE_CELLS = 1 << 24


class Ranker(Protocol):
    """Whatever can score the catalogue for users of whom it knows only what it is given."""

    def score(self, users: UserBatch) -> Floats:
        """float32[num_users, num_items], higher is better."""


@dataclass(frozen=True)
class KShotCase:
    """One cut of the histories.

    Attributes:
        label: The number of given items as text, or "all" for all but the last.
        users: What is given, n users.
        targets: Of the same n users; each has at least one.
    """

    label: str
    users: UserBatch
    targets: Targets


@dataclass(frozen=True)
class KShotCases:
    """The same users at every cut.

    Attributes:
        cases: One for each k, in ascending order, then "all" if it was asked for.
        rows: int64[n], the users' rows in the histories that the cases were built from.
        num_items: Size of the catalogue.
    """

    cases: tuple[KShotCase, ...]
    rows: Ints
    num_items: int

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels of the cases."""
        return tuple(case.label for case in self.cases)

    def without_all(self) -> KShotCases:
        """Only the cases of fixed k: tuning looks at these."""
        fixed = tuple(case for case in self.cases if case.label != ALL)
        return KShotCases(fixed, self.rows, self.num_items)


def build_cases(
    histories: Histories,
    kind_weights: Floats,
    ks: Sequence[int] = KS,
    *,
    known: UserBatch | None = None,
    with_all: bool = True,
) -> KShotCases:
    """Cut histories after k items.

    Args:
        histories: Events that speak (see `Histories.speaking`) of the users to be asked.
        kind_weights: float32[num_kinds], the kinds' weights in the Schema.
        ks: Numbers of given items, ascending.
        known: Profiles and texts of the same users; their given events are not looked at.
        with_all: Whether to add the case in which all but the last distinct item is given.

    Returns:
        Cases of the users with at least max(ks) + 1 distinct items.

    Raises:
        ValueError: If ks is not ascending or holds a negative number.
        DataError: If no user has enough items.
    """
    if not len(ks) or min(ks) < 0 or list(ks) != sorted(set(ks)):
        raise ValueError(f"ks must be distinct, ascending and not negative, got {tuple(ks)}")
    rows = np.flatnonzero(histories.touches().counts > max(ks))
    if not len(rows):
        raise DataError(
            f"none of the {len(histories):,} users has {max(ks) + 1} distinct items: "
            f"ask for fewer than k = {max(ks)}"
        )
    asked = histories.take(rows)
    counts = asked.touches().counts
    cuts = [(str(k), np.full(len(rows), k, np.int64)) for k in ks]
    if with_all:
        cuts.append((ALL, counts - 1))
    about = _about(known, rows)
    cases = tuple(_cut(asked, kind_weights, about, label, k) for label, k in cuts)
    return KShotCases(cases, rows, histories.num_items)


def long_case(
    histories: Histories, kind_weights: Floats, least: int, known: UserBatch
) -> KShotCase | None:
    """Users of long histories, given the first half of their items; None if there are none.

    Args:
        histories: Events that speak of the users to be asked.
        kind_weights: float32[num_kinds], the kinds' weights in the Schema.
        least: Items that are given at least.
        known: Profiles and texts of the same users.
    """
    rows = np.flatnonzero(histories.touches().counts >= 2 * least)
    if not len(rows):
        return None
    asked = histories.take(rows)
    return _cut(asked, kind_weights, _about(known, rows), HALF, asked.touches().counts // 2)


@dataclass(frozen=True)
class Evaluation:
    """Metrics by case and user.

    Attributes:
        labels: m labels of cases.
        ndcg: float64[m, n].
        recall: float64[m, n].
        popularity: float64[m, n], mean share of training users that have the items on the list.
        coverage: float64[m], share of the catalogue that is on anybody's list.
    """

    labels: tuple[str, ...]
    ndcg: Doubles
    recall: Doubles
    popularity: Doubles
    coverage: Doubles

    @property
    def objective(self) -> float:
        """Mean NDCG over users and the cases of fixed k: what tuning maximises."""
        fixed = [row for row, label in enumerate(self.labels) if label != ALL]
        return float(self.ndcg[fixed].mean())


def evaluate(ranker: Ranker, cases: KShotCases, popularity: Doubles, k: int = 20) -> Evaluation:
    """Rank the catalogue for every user of every case.

    Args:
        ranker: What is measured.
        cases: Whom to ask what.
        popularity: float64[num_items], share of training users that have an item.
        k: Length of the lists.

    Raises:
        ValueError: If the ranker gives scores that are not numbers or of another shape.
    """
    ndcgs, recalls, populars, covers = [], [], [], []
    for case in cases.cases:
        ranked = rank_case(ranker, case, cases.num_items, k)
        hit, counts = metrics.hits(ranked, case.targets), case.targets.counts
        ndcgs.append(metrics.ndcg(hit, counts))
        recalls.append(metrics.recall(hit, counts))
        populars.append(metrics.mean_popularity(ranked, popularity))
        covers.append(metrics.coverage(ranked, cases.num_items))
    return Evaluation(
        cases.labels, np.stack(ndcgs), np.stack(recalls), np.stack(populars), np.array(covers)
    )


def rank_case(ranker: Ranker, case: KShotCase, num_items: int, k: int) -> Ints:
    """Ranked lists of one case, int64[n, k]; -1 where the catalogue has no further item."""
    size = max(1, _SCORE_CELLS // max(num_items, 1))
    lists = []
    for start in range(0, len(case.users), size):
        users = case.users.take(start, min(start + size, len(case.users)))
        scores = ranker.score(users)
        if scores.shape != (len(users), num_items) or np.isnan(scores).any():
            raise ValueError(
                f"{type(ranker).__name__} must give a number for each of {len(users)} users and "
                f"{num_items} items, got {list(scores.shape)}"
            )
        is_item = users.given.targets < num_items
        scores[users.given.users[is_item], users.given.targets[is_item]] = -np.inf
        lists.append(top_k_each(scores, k))
    return np.concatenate(lists)


def _cut(
    histories: Histories, kind_weights: Floats, about: UserBatch, label: str, k: Ints
) -> KShotCase:
    given = Given.of(histories.first(k), kind_weights)
    users = UserBatch(given, about.profile_offsets, about.profile_rows, about.text)
    touches = histories.touches()
    lengths = touches.counts - k
    later = ranges(touches.offsets[:-1] + k, lengths)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    return KShotCase(label, users, Targets(offsets, touches.items[later]))


def _about(known: UserBatch | None, rows: Ints) -> UserBatch:
    nothing = np.zeros(len(rows) + 1, np.int64)
    if known is None:
        return UserBatch(_none_given(nothing), nothing, nothing[:0])
    return _profiles_of(known, rows)


def _none_given(offsets: Ints) -> Given:
    none = np.empty(0, np.int64)
    return Given(offsets, none, none, none, np.empty(0, np.float32))


def _profiles_of(known: UserBatch, rows: Ints) -> UserBatch:
    lengths = np.diff(known.profile_offsets)[rows]
    fields = ranges(known.profile_offsets[rows], lengths)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    return UserBatch(
        _none_given(np.zeros(len(rows) + 1, np.int64)),
        offsets,
        known.profile_rows[fields],
        None if known.text is None else known.text[rows],
    )
