"""The yardstick of warm users: its formula, and the split and the metrics of LightGCN's paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

from benchmarks.quality.warm import GraphFilter, measure, read_split
from firstedge.graph.histories import Given
from firstedge.models.scorer import UserBatch

# User, then items, as in train.txt and test.txt.
TRAIN = {0: [0, 1, 2], 1: [1, 2, 3, 6], 2: [0, 3, 4, 5], 3: [2, 5, 6], 4: [1, 4], 5: [6, 0]}
TEST = {0: [3, 4], 1: [0, 5], 2: [1, 2], 3: [0, 1, 9], 4: [2], 5: [5]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, lines in (("train", TRAIN), ("test", TEST)):
        text = "".join(f"{user} {' '.join(map(str, items))}\n" for user, items in lines.items())
        (tmp_path / f"{name}.txt").write_text(text)
    return tmp_path


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
    scores = GraphFilter.of(x, rank, share).score(UserBatch.of(given))
    np.testing.assert_allclose(scores, dense(rank, share), atol=1e-5)


def test_recall_counts_all_test_items_and_the_ideal_ends_at_twenty(folder: Path) -> None:
    warm = read_split(folder, folder / "work", 10**9)
    assert len(warm.snapshot.histories.targets) == 18
    measured = measure(warm, lambda: GraphFilter.of(warm.data.x, rank=0))
    scores, recalls, gains = dense(0, 0.0), [], []
    for user, wanted in TEST.items():
        known = [item for item in wanted if item < 7]  # an item without an edge cannot be answered
        ranked = [item for item in np.argsort(-scores[user]) if item not in TRAIN[user]]
        places = [ranked.index(item) for item in known]
        recalls.append(sum(place < 20 for place in places) / len(known))
        ideal = sum(1 / np.log2(at + 2) for at in range(len(known)))
        gains.append(sum(1 / np.log2(place + 2) for place in places) / ideal)
    assert measured["recall"] == pytest.approx(np.mean(recalls))
    assert measured["ndcg"] == pytest.approx(np.mean(gains))
    assert measured["ndcg"] < 1
