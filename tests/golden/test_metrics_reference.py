"""NDCG and recall against PyG's metrics, which others wrote from the same definitions."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch_geometric.metrics import LinkPredNDCG, LinkPredRecall

from firstedge.models import metrics
from firstedge.models.metrics import Targets


@pytest.mark.parametrize("k", [1, 5, 20])
def test_as_pyg_has_it(k: int) -> None:
    rng = np.random.default_rng(k)
    ranked = np.stack([rng.permutation(60)[:k] for _ in range(200)])
    wanted = [np.sort(rng.permutation(60)[: rng.integers(1, 30)]) for _ in range(200)]
    counts = np.array([len(items) for items in wanted])
    targets = Targets(np.concatenate(([0], np.cumsum(counts))), np.concatenate(wanted))
    hit = metrics.hits(ranked, targets)
    edges = torch.from_numpy(np.stack((np.repeat(np.arange(200), counts), targets.items)))
    ndcg, recall = LinkPredNDCG(k), LinkPredRecall(k)
    for metric in (ndcg, recall):
        metric.update(torch.from_numpy(ranked), edges)
    assert metrics.ndcg(hit, counts).mean() == pytest.approx(float(ndcg.compute()), rel=1e-5)
    # PyG divides by all targets, ours by as many of them as the list could hold.
    ours = metrics.recall(hit, counts) * np.minimum(counts, k) / counts
    assert ours.mean() == pytest.approx(float(recall.compute()), rel=1e-5)
