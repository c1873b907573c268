"""One round of an evaluation: who is learned from, who is tuned on, who is asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from firstedge.graph.errors import LeakageError
from firstedge.graph.histories import Given, Histories, kind_weights
from firstedge.loaders.snapshot import Snapshot
from firstedge.loaders.split import Split, check_leakage
from firstedge.models.baselines import TrainingData
from firstedge.models.bundle import Bundle
from firstedge.models.closed_forms import CategoryTree
from firstedge.models.protocol import KShotCases, build_cases
from firstedge.models.result_cache import digest_arrays
from firstedge.models.scorer import UserBatch

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Held:
    """A snapshot's speaking events, dealt out by a split.

    Attributes:
        snapshot: The shop.
        split: Who is what.
        train: Histories of the training users, up to the split's time.
        validation: Histories of the validation users, up to the split's time.
        test: Histories of the test users, whole.
    """

    snapshot: Snapshot
    split: Split
    train: Histories
    validation: Histories
    test: Histories


def hold_out(snapshot: Snapshot, split: Split) -> Held:
    """Deal out a snapshot's events.

    Events after the split's time are left out before it is decided which events speak: a return
    that was not yet made takes nothing back.

    Raises:
        LeakageError: If the training would see a held-out user or a later event.
    """
    known = snapshot.histories
    if split.until is not None:
        known = known.where(known.times <= split.until)
    known = known.speaking(snapshot.schema)
    train, validation = known.take(split.train), known.take(split.validation)
    check_leakage(split, train, split.train)
    test = snapshot.histories.take(split.test).speaking(snapshot.schema)
    return Held(snapshot, split, train, validation, test)


def known_users(snapshot: Snapshot, rows: Ints) -> UserBatch:
    """Profiles and texts of users (int64[n]), without any event."""
    profiles = snapshot.profiles[rows]
    none, offsets = np.empty(0, np.int64), np.zeros(len(rows) + 1, np.int64)
    return UserBatch(
        Given(offsets, none, none, none, np.empty(0, np.float32)),
        profiles.indptr.astype(np.int64),
        profiles.indices.astype(np.int64),
        snapshot.user_text[rows] if snapshot.user_text.shape[1] else None,
    )


def training_data(held: Held) -> TrainingData:
    """What may be learned from: training users, and the catalogue with its content."""
    shop = held.snapshot
    return TrainingData(held.train, CategoryTree(shop.primary, shop.parents), shop.item_text)


def build_round(name: str, held: Held, ks: Sequence[int], train: Callable[[], Bundle]) -> Round:
    """Training data and cases of a split.

    Args:
        name: What to call it in progress lines.
        held: Events, dealt out.
        ks: Numbers of given items.
        train: Trains our own model on the same split.

    Raises:
        DataError: If no validation or test user has enough items.
    """
    snapshot, split = held.snapshot, held.split
    weights = kind_weights(snapshot.schema)
    validation = build_cases(
        held.validation, weights, ks, known=known_users(snapshot, split.validation)
    )
    test = build_cases(held.test, weights, ks, known=known_users(snapshot, split.test))
    return Round(name, training_data(held), validation, test, train)


@dataclass(frozen=True)
class Round:
    """Training, validation and test of one split.

    Attributes:
        name: What to call it in progress lines.
        training: What may be learned from.
        validation: Whom all choices are made on.
        test: Whom the figures are about.
        train: Trains our own model on the same split.
        fingerprint: Digest of everything above, "" lets it be computed.
    """

    name: str
    training: TrainingData
    validation: KShotCases
    test: KShotCases
    train: Callable[[], Bundle]
    fingerprint: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        if not self.fingerprint:
            object.__setattr__(self, "fingerprint", self._digest())

    def _digest(self) -> str:
        h, data = self.training.histories, self.training
        arrays: list[npt.NDArray[Any]] = [
            h.offsets,
            h.targets,
            h.kinds,
            h.times,
            h.weights,
            data.primary,
            data.text,
        ]
        for cases in (self.validation, self.test):
            for case in cases.cases:
                users, given = case.users, case.users.given
                arrays += [given.offsets, given.targets, given.kinds, given.ranks, given.weights]
                arrays += [users.profile_offsets, users.profile_rows]
                arrays += [] if users.text is None else [users.text]
                arrays += [case.targets.offsets, case.targets.items]
        return digest_arrays(arrays)

    def trained(self) -> Bundle:
        """Train our own model and hold it against what it may have seen.

        Raises:
            LeakageError: If an item counts more users in the bundle than among the training users.
        """
        bundle = self.train()
        allowed = np.asarray(self.training.x.sum(0), np.int64)
        if len(bundle.items) != len(allowed):
            raise LeakageError(
                f"{self.name}: the bundle has {len(bundle.items):,} items, the split "
                f"{len(allowed):,}: train on the same snapshot"
            )
        more = np.flatnonzero(bundle.table.counts > allowed)
        if len(more):
            item = int(more[0])
            raise LeakageError(
                f"{self.name}: the bundle counted {bundle.table.counts[item]:,} users of item "
                f"{bundle.items.ids[item]!r}, the training users are {allowed[item]:,}: "
                f"it has seen users whom it is tested on"
            )
        return bundle
