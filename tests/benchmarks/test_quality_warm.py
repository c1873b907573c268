"""Warm users: the split, the filter and both metrics against plain loops over the files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from benchmarks.quality.warm import (
    FilterOptions,
    GraphFilter,
    K,
    choose_filter,
    hold_out_items,
    measure,
    read_split,
)
from firstedge.graph.histories import Given
from firstedge.models.scorer import UserBatch

Split = dict[str, list[str]]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 users of 60 items; some want more than a list holds, and item "new" is in no training."""
    folder, rng = tmp_path_factory.mktemp("gowalla"), np.random.default_rng(0)
    train, test = [], []
    for user in range(40):
        items = [f"i{item}" for item in rng.permutation(60)[: rng.integers(16, 48)]]
        cut = int(rng.integers(7, 15))  # so many that hardly two items score the same
        train.append(" ".join([f"u{user}", *items[:cut]]))
        test.append(" ".join([f"u{user}", *items[cut:], *(["new"] if user < 5 else [])]))
    (folder / "train.txt").write_text("\n".join(train) + "\n")
    (folder / "test.txt").write_text("\n".join(test) + "\nu_unknown i1\n")
    return folder


def read(path: Path) -> Split:
    return {line.split()[0]: line.split()[1:] for line in path.read_text().splitlines()}


def naive(train: Split, test: Split, columns: list[str], options: FilterOptions) -> tuple:
    """Recall@20 and NDCG@20 by loops, in double precision."""
    lengths = {user: len(items) for user, items in train.items()}
    degree = {i: sum(i in items for items in train.values()) for i in columns}
    dense = np.array([[i in items for i in columns] for items in train.values()], float)
    both = np.array(list(lengths.values()))[:, None] ** 0.5
    root = np.array([degree[i] for i in columns]) ** 0.5
    _, _, v = np.linalg.svd(dense / both / root, full_matrices=False)
    low = options.share * (v[: options.rank].T @ v[: options.rank])
    recalls, gains = [], []
    for user, wanted in test.items():
        if user not in train:
            continue
        scores = dict.fromkeys(columns, 0.0)
        for given in train[user]:
            for other, items in train.items():
                if given in items:
                    for item in items:
                        scores[item] += (
                            lengths[other] ** (-2 * options.user)
                            * degree[given] ** -options.item
                            * degree[item] ** (options.item - 1)
                        )
            for at, item in enumerate(columns):
                near = low[columns.index(given), at]
                scores[item] += near * degree[given] ** -0.5 * degree[item] ** 0.5
        left = [item for item in columns if item not in train[user]]
        assert min(np.diff(sorted(scores[item] for item in left))) > 3e-7, "a tie tells nothing"
        ranked = sorted(left, key=lambda item: (-scores[item], columns.index(item)))[:K]
        found = [item in wanted for item in ranked]
        recalls.append(sum(found) / len(wanted))
        ideal = sum(1 / math.log2(at + 2) for at in range(min(K, len(wanted))))
        gains.append(sum(hit / math.log2(at + 2) for at, hit in enumerate(found)) / ideal)
    return sum(recalls) / len(recalls), sum(gains) / len(gains)


@pytest.mark.parametrize(
    "options",
    [FilterOptions(), FilterOptions(0.3, 0.7), FilterOptions(rank=8, share=0.3)],
    ids=["linear", "powers", "low-pass"],
)
def test_recall_and_ndcg_are_those_of_plain_loops(
    files: Path, tmp_path: Path, options: FilterOptions
) -> None:
    warm = read_split(files, tmp_path, 10**9)
    train, test = read(files / "train.txt"), read(files / "test.txt")
    assert max(len(items) for items in test.values()) > K
    columns = list(warm.snapshot.items.ids)
    assert set(columns) == {item for items in train.values() for item in items}
    found = measure(warm, lambda: GraphFilter.of(warm.data.x, options))
    recall, ndcg = naive(train, test, columns, options)
    assert found["recall"] == pytest.approx(recall, abs=1e-9)
    assert found["ndcg"] == pytest.approx(ndcg, abs=1e-9)


# User, then items, as in train.txt.
TRAIN = {0: [0, 1, 2], 1: [1, 2, 3, 6], 2: [0, 3, 4, 5], 3: [2, 5, 6], 4: [1, 4], 5: [6, 0]}


def dense(rank: int, share: float) -> np.ndarray:
    """Scores of all users: x (R'R + share D^-1/2 V V' D^1/2), term by term."""
    x = np.zeros((6, 7))
    for user, items in TRAIN.items():
        x[user, items] = 1
    degrees = x.sum(0)
    r = x / np.sqrt(x.sum(1))[:, None] / np.sqrt(degrees)
    scores = x @ (r.T @ r)
    if rank:
        v = np.linalg.svd(r)[2][:rank].T
        scores += share * x @ np.diag(degrees**-0.5) @ v @ v.T @ np.diag(degrees**0.5)
    return scores


@pytest.mark.parametrize(("rank", "share"), [(0, 0.3), (3, 0.3), (3, 1.0)])
def test_the_filter_scores_by_its_formula(rank: int, share: float) -> None:
    rows = [(user, item) for user, items in TRAIN.items() for item in items]
    users, items = np.array(rows).T
    x = sparse.csr_array((np.ones(len(rows), np.float32), (users, items)), shape=(6, 7))
    offsets = np.concatenate(([0], np.cumsum([len(items) for items in TRAIN.values()])))
    given = Given(
        offsets,
        items,
        np.zeros(len(rows), np.int64),
        np.arange(len(rows)),
        np.ones(len(rows), np.float32),
    )
    scores = GraphFilter.of(x, FilterOptions(rank=rank, share=share)).score(UserBatch.of(given))
    np.testing.assert_allclose(scores, dense(rank, share), atol=1e-5)


def test_choices_see_nothing_of_what_is_asked(files: Path, tmp_path: Path) -> None:
    warm = read_split(files, tmp_path, 10**9)
    held = hold_out_items(warm, most_users=30)
    assert len(held.case.users) <= 30
    before, after = warm.data.histories, held.data.histories
    assert len(before.targets) - len(after.targets) == len(held.case.targets.items) > 10
    given = held.case.users.given
    for row in range(len(held.case.users)):
        own = set(given.targets[given.offsets[row] : given.offsets[row + 1]])
        asked = held.case.targets.take(row, row + 1).items
        assert own.isdisjoint(asked)
    assert choose_filter(warm) == choose_filter(warm)
