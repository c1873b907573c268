"""Histories small enough to work out by hand."""

from __future__ import annotations

import numpy as np

from firstedge.graph.histories import Events, Given, Histories
from firstedge.models.baselines import TrainingData
from firstedge.models.closed_forms import CategoryTree
from firstedge.models.scorer import UserBatch

NUM_ITEMS = 8
WEIGHTS = np.array([1.0, 0.5], np.float32)


def histories_of(*users: list[int], num_items: int = NUM_ITEMS) -> Histories:
    """Users by their targets, a day apart, all of kind 0."""
    rows = [
        (u, t, i * 86_400_000) for u, targets in enumerate(users) for i, t in enumerate(targets)
    ]
    user, target, time = np.array(rows, np.int64).reshape(-1, 3).T
    zeros = np.zeros(len(rows), np.int64)
    weights = np.ones(len(rows), np.float32)
    events = Events(user, target, zeros, time, zeros, weights)
    return Histories.of(events, len(users), num_items)


def training_of(
    histories: Histories, primary: list[int] | None = None, text: np.ndarray | None = None
) -> TrainingData:
    """Training data without categories or texts unless they are given."""
    n = histories.num_items
    column = np.full(n, -1) if primary is None else np.array(primary)
    no_text = np.zeros((n, 0), np.float32)
    roots = np.full(int(column.max(initial=-1)) + 1, -1)
    return TrainingData(histories, CategoryTree(column, roots), no_text if text is None else text)


def random_data(num_users: int = 40, num_items: int = 9, seed: int = 0) -> TrainingData:
    """Users with some items each, in any order."""
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, num_items, num_users)
    users = [rng.permutation(num_items)[:length].tolist() for length in lengths]
    return training_of(histories_of(*users, num_items=num_items))


def users_of(*users: list[int], num_items: int = NUM_ITEMS) -> UserBatch:
    """Users who are given these items; an empty list is a stranger."""
    return UserBatch.of(Given.of(histories_of(*users, num_items=num_items), WEIGHTS))


def checkerboard(num_items: int = 12, num_users: int = 24) -> Histories:
    """Even users have the even items and odd users the odd ones, each but one of them."""
    half = num_items // 2
    users = []
    for user in range(num_users):
        own = [item for item in range(num_items) if item % 2 == user % 2]
        users.append([item for i, item in enumerate(own) if i != (user // 2) % half])
    return histories_of(*users, num_items=num_items)
