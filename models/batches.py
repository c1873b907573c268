"""Batches of training examples, cut into pieces of any size, and users as tensors."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from firstedge.graph.histories import Given, ranges
from firstedge.models.metrics import Targets
from firstedge.models.net import UserTensors
from firstedge.models.scorer import UserBatch
from firstedge.models.truncation import Examples

Ints = npt.NDArray[np.int64]
Piece = tuple[UserTensors, tuple[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Batch:
    """The users of a step.

    Attributes:
        users: What is given, n users.
        targets: Of the same users.
        heavy_user: Targets at which a user starts to count for more than one.
    """

    users: UserBatch
    targets: Targets
    heavy_user: int

    def __len__(self) -> int:
        return len(self.users)

    def piece(self, start: int, stop: int, device: torch.device) -> Piece:
        """Users start:stop as tensors: what is given, their targets, and their weights."""
        targets = self.targets.take(start, stop)
        rows = np.repeat(np.arange(stop - start), targets.counts)
        weights = np.maximum(1, targets.counts / self.heavy_user).astype(np.float32)
        users = user_tensors(self.users.take(start, stop), device)
        if stop - start < len(self):
            users = replace(users, among=(start, len(self)))
        pairs = (_tensor(rows, device), _tensor(targets.items, device))
        return users, pairs, _tensor(weights, device)


def batches(
    examples: Examples, known: UserBatch, batch_users: int, heavy_user: int
) -> Iterator[Batch]:
    """Examples in their order, as many users at a time.

    Args:
        examples: Of an epoch.
        known: Profiles and texts of all users, by row.
        batch_users: Users a step.
        heavy_user: See `Batch`.
    """
    given, targets = UserBatch.of(examples.given), Targets(examples.offsets, examples.items)
    for start in range(0, len(examples.users), batch_users):
        stop = min(start + batch_users, len(examples.users))
        users = with_profiles(given.take(start, stop).given, known, examples.users[start:stop])
        yield Batch(users, targets.take(start, stop), heavy_user)


def with_profiles(given: Given, known: UserBatch, users: npt.NDArray[np.int64]) -> UserBatch:
    """The given edges joined with the profiles and texts of these rows of ``known``."""
    lengths = np.diff(known.profile_offsets)[users]
    fields = ranges(known.profile_offsets[users], lengths)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    text = None if known.text is None else known.text[users]
    return UserBatch(given, offsets, known.profile_rows[fields], text)


def user_tensors(users: UserBatch, device: torch.device | str = "cpu") -> UserTensors:
    """A batch of users on a device."""
    given = users.given
    return UserTensors(
        targets=_tensor(given.targets, device),
        offsets=_tensor(given.offsets[:-1], device),
        counts=_tensor(given.counts, device),
        kinds=_tensor(given.kinds, device),
        ranks=_tensor(given.ranks, device),
        weights=_tensor(given.weights, device),
        profile_rows=_tensor(users.profile_rows, device),
        profile_offsets=_tensor(users.profile_offsets[:-1], device),
        text=None if users.text is None else _tensor(users.text, device),
    )


def _tensor(array: npt.NDArray[np.generic], device: torch.device | str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
