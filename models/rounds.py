"""One round of an evaluation: who is learned from, who is tuned on, who is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from firstedge.graph.errors import LeakageError
from firstedge.models.baselines import TrainingData
from firstedge.models.bundle import Bundle
from firstedge.models.protocol import KShotCases
from firstedge.models.result_cache import digest_arrays

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Round:
    """Training, validation and test of one split.

    Attributes:
        name: What to call it in progress lines.
        training: What may be learned from.
        validation: Whom all choices are made on.
        test: Whom the figures are about.
        users: Rows of the training, validation and test users in the shop.
        train: Trains our own model on the same split.
        fingerprint: Digest of everything above, "" lets it be computed.

    Raises:
        LeakageError: If a user is in two of the three parts.
    """

    name: str
    training: TrainingData
    validation: KShotCases
    test: KShotCases
    users: tuple[Ints, Ints, Ints]
    train: Callable[[], Bundle]
    fingerprint: str = field(default="", compare=False)

    def __post_init__(self) -> None:
        parts = ("training", "validation", "test")
        for a, b in ((0, 1), (0, 2), (1, 2)):
            shared = np.intersect1d(self.users[a], self.users[b])
            if len(shared):
                raise LeakageError(
                    f"{self.name}: {len(shared):,} users are in both {parts[a]} and {parts[b]} "
                    f"(the first is row {shared[0]}): split users into disjoint parts"
                )
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
