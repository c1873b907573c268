from __future__ import annotations

import numpy as np
import torch

from firstedge.graph.histories import Given
from firstedge.models.closed_forms import CategoryTree
from firstedge.models.fit import FitOptions, Softmax, user_tensors
from firstedge.models.item_encoder import ItemEncoder, ItemGraph
from firstedge.models.item_graph import item_features
from firstedge.models.net import Net, NetOptions
from firstedge.models.scorer import UserBatch

ITEMS = 12


def shop() -> tuple[ItemGraph, Net, UserBatch, torch.Tensor]:
    torch.manual_seed(0)
    nowhere = CategoryTree(np.full(ITEMS, -1), np.empty(0, np.int64))
    features = item_features(np.zeros((ITEMS, 0), np.float32), np.empty((2, 0), np.int64), nowhere)
    trained = torch.ones(ITEMS, dtype=torch.bool)
    trained[-1] = False
    graph = ItemGraph(features, torch.randn(ITEMS, 2), torch.randn(ITEMS, 2), trained)
    options = NetOptions(dim=4, id_dropout=0.0, user_dropout=0.0)
    net = Net(ItemEncoder(graph, 0.0, propagate=False), (1, 0, 0), options)
    zeros = np.zeros(3, np.int64)
    given = Given(np.array([0, 2, 3]), np.array([1, 2, 3]), zeros, zeros, np.ones(3, np.float32))
    prior = torch.log_softmax(torch.randn(ITEMS), 0)
    return graph, net, UserBatch.of(given), prior


TARGETS = (torch.tensor([0, 0, 1]), torch.tensor([4, 5, 6]))
WEIGHTS = torch.tensor([1.0, 2.0])


def loss_by(options: FitOptions) -> float:
    graph, net, users, prior = shop()
    softmax = Softmax(graph, prior, options)
    return softmax.loss(net, user_tensors(users), TARGETS, WEIGHTS).item()


def test_the_loss_is_the_weighted_mean_of_cross_entropies() -> None:
    graph, net, users, prior = shop()
    scores = net(user_tensors(users), graph, prior)[:, :-1]  # the last item was never trained
    logp = torch.log_softmax(scores, 1)
    expected = -(logp[0, 4] + logp[0, 5]) / 2 - 2 * logp[1, 6]
    assert abs(loss_by(FitOptions()) - expected.item() / 2) < 1e-5


def test_a_sample_of_everything_is_the_full_softmax() -> None:
    full = loss_by(FitOptions())
    sampled = loss_by(FitOptions(full_softmax=0, sampled_items=20_000))
    assert abs(full - sampled) < 1e-4


def test_the_sampled_partition_function_is_unbiased() -> None:
    graph, net, users, prior = shop()
    tensors = user_tensors(users)
    softmax = Softmax(graph, prior, FitOptions(full_softmax=0, sampled_items=4))
    full = net(tensors, graph, prior).detach()
    truth = torch.exp(full[:, :-1]).sum(1)
    total = torch.zeros(2)
    draws = 4000
    for _ in range(draws):
        candidates = softmax.candidates(TARGETS[1])
        columns = torch.searchsorted(candidates, TARGETS[1])
        scores = full[:, candidates]
        correction = softmax.correction(candidates, TARGETS[0], columns, scores)
        total += torch.exp(scores + correction).sum(1)
    torch.testing.assert_close(total / draws, truth, rtol=0.05, atol=0)
