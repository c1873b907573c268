"""Warm users: the split, the filter and both metrics against plain loops over the files."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality.gfcf import GFCF
from benchmarks.quality.warm import K, measure, read_split

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


def naive(train: Split, test: Split, columns: list[str], method: GFCF) -> tuple:
    """Recall@20 and NDCG@20 by loops, in double precision."""
    lengths = {user: len(items) for user, items in train.items()}
    degree = {i: sum(i in items for items in train.values()) for i in columns}
    dense = np.array([[i in items for i in columns] for items in train.values()], float)
    both = np.array(list(lengths.values()))[:, None] ** 0.5
    root = np.array([degree[i] for i in columns]) ** 0.5
    _, _, v = np.linalg.svd(dense / both / root, full_matrices=False)
    low = method.low_pass * (v[: method.frequencies].T @ v[: method.frequencies])
    recalls, gains = [], []
    for user, wanted in test.items():
        if user not in train:
            continue
        scores = dict.fromkeys(columns, 0.0)
        for given in train[user]:
            for other, items in train.items():
                if given in items:
                    for item in items:
                        scores[item] += 1 / lengths[other] / (degree[given] * degree[item]) ** 0.5
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
    "method",
    [GFCF(low_pass=0.0, prior=0.0), GFCF(frequencies=8, prior=0.0)],
    ids=["linear", "low-pass"],
)
def test_recall_and_ndcg_are_those_of_plain_loops(
    files: Path, tmp_path: Path, method: GFCF
) -> None:
    warm = read_split(files, tmp_path, 10**9)
    train, test = read(files / "train.txt"), read(files / "test.txt")
    assert max(len(items) for items in test.values()) > K
    columns = list(warm.snapshot.items.ids)
    assert set(columns) == {item for items in train.values() for item in items}
    found = measure(warm, lambda: method.fit(warm.data))
    recall, ndcg = naive(train, test, columns, method)
    assert found["recall"] == pytest.approx(recall, abs=1e-9)
    assert found["ndcg"] == pytest.approx(ndcg, abs=1e-9)
