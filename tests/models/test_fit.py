from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from firstedge.graph.histories import Given
from firstedge.models.batches import user_tensors
from firstedge.models.closed_forms import CategoryTree
from firstedge.models.fit import FitOptions
from firstedge.models.item_encoder import (
    CONTENT_RIDGE,
    ItemEncoder,
    ItemGraph,
    content_start,
)
from firstedge.models.item_graph import item_features
from firstedge.models.net import Net, NetOptions
from firstedge.models.scorer import UserBatch
from firstedge.models.softmax import Softmax

ITEMS = 12


def shop() -> tuple[ItemGraph, Net, UserBatch, torch.Tensor]:
    torch.manual_seed(0)
    nowhere = CategoryTree(np.full(ITEMS, -1), np.empty(0, np.int64))
    features = item_features(np.zeros((ITEMS, 0), np.float32), np.empty((2, 0), np.int64), nowhere)
    trained = torch.ones(ITEMS, dtype=torch.bool)
    trained[-1] = False
    graph = ItemGraph(features, torch.randn(ITEMS, 2), torch.randn(ITEMS, 2), trained)
    options = NetOptions(dim=6, id_dropout=0.0, user_dropout=0.0)
    net = Net(ItemEncoder(graph, 0.0, propagate=False), (1, 0, 0), options)
    zeros = np.zeros(3, np.int64)
    given = Given(np.array([0, 2, 3]), np.array([1, 2, 3]), zeros, zeros, np.ones(3, np.float32))
    prior = torch.log_softmax(torch.randn(ITEMS), 0)
    return graph, net, UserBatch.of(given), prior


TARGETS = (torch.tensor([0, 0, 1]), torch.tensor([4, 5, 6]))
WEIGHTS = torch.tensor([1.0, 2.0])


def loss_by(draws: int) -> float:
    graph, net, users, prior = shop()
    softmax = Softmax(graph, prior, draws)
    return softmax.loss(net, user_tensors(users), TARGETS, WEIGHTS).item()


def test_the_loss_is_the_weighted_sum_of_cross_entropies() -> None:
    graph, net, users, prior = shop()
    scores = net(user_tensors(users), graph, prior)[:, :-1]  # the last item was never trained
    logp = torch.log_softmax(scores, 1)
    expected = -(logp[0, 4] + logp[0, 5]) / 2 - 2 * logp[1, 6]
    assert abs(loss_by(0) - expected.item()) < 1e-5


def test_the_gradients_of_the_loss_are_those_of_cross_entropies() -> None:
    graph, net, users, prior = shop()
    tensors = user_tensors(users)
    (3 * Softmax(graph, prior).loss(net, tensors, TARGETS, WEIGHTS)).backward()
    found = {name: weight.grad for name, weight in net.named_parameters()}
    net.zero_grad()
    logp = torch.log_softmax(net(tensors, graph, prior)[:, :-1], 1)
    (-3 * (logp[0, 4] + logp[0, 5]) / 2 - 6 * logp[1, 6]).backward()
    for name, weight in net.named_parameters():
        torch.testing.assert_close(found[name], weight.grad)
    assert found["items.id"].abs().max() > 0.01


def test_a_sample_of_everything_is_the_full_softmax() -> None:
    full, sampled = loss_by(0), loss_by(20_000)
    assert abs(full - sampled) < 1e-4


def test_the_sampled_partition_function_is_unbiased() -> None:
    graph, net, users, prior = shop()
    softmax = Softmax(graph, prior, draws=4)
    full = net(user_tensors(users), graph, prior).detach()
    truth = torch.exp(full[:, :-1]).sum(1)
    own = full[TARGETS]
    total = torch.zeros(2)
    draws = 4000
    for _ in range(draws):
        drawn = softmax.draw()
        total += torch.exp(softmax.log_partition(full[:, drawn], own, TARGETS, drawn))
    torch.testing.assert_close(total / draws, truth, rtol=0.05, atol=0)


def category_shop() -> tuple[ItemGraph, Net]:
    """Items with text, some of them in one or two categories of a tree."""
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    tree = CategoryTree(np.full(ITEMS, -1), np.array([-1, 0, 0, -1]))
    members = np.array([[1, 2, 3, 1, 0], [7, 0, 3, 3, 9]])  # not in the order of the items
    features = item_features(rng.normal(size=(ITEMS, 3)).astype(np.float32), members, tree)
    trained = torch.ones(ITEMS, dtype=torch.bool)
    trained[-1] = False
    graph = ItemGraph(features, torch.randn(ITEMS, 2), torch.randn(ITEMS, 2), trained)
    encoder = ItemEncoder(graph, 0.0, propagate=False)
    return graph, Net(encoder, (1, 0, 0), NetOptions(dim=6, id_dropout=0.0, user_dropout=0.0))


def test_items_start_with_what_they_have_and_the_mean_of_their_categories() -> None:
    graph, net = category_shop()
    own = net.items.id * graph.trained[:, None] + graph.data["item"].x @ net.items.text
    up = torch.tensor([[1.0, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]])
    category = up @ net.items.category
    members = {7: [1], 0: [2], 3: [3, 1], 9: [0]}
    means = {item: category[rows].mean(0) for item, rows in members.items()}
    expected = torch.stack([own[item] + means.get(item, 0) for item in range(ITEMS)])
    v, w = net.items(graph)
    torch.testing.assert_close(torch.cat((v[:ITEMS], w), 1), expected)
    torch.testing.assert_close(v[ITEMS:], category[:, :2])


def test_items_encoded_alone_are_those_encoded_together() -> None:
    graph, net = category_shop()
    v, w = net.items(graph)
    rows = torch.tensor([0, 3, 4, 7, 11])
    some_v, some_w = net.items(graph, rows)
    torch.testing.assert_close(some_w, w[rows])
    torch.testing.assert_close(some_v, torch.cat((v[rows], v[ITEMS:])))


def test_some_scores_are_those_among_all() -> None:
    graph, net = category_shop()
    _, _, users, prior = shop()
    targets = users.given.targets.copy()
    targets[1] = ITEMS + 2  # one given target is a category
    tensors = user_tensors(replace(users, given=replace(users.given, targets=targets)))
    full = net(tensors, graph, prior)
    items = torch.tensor([1, 5, 8])
    some, single = net.forward_some(tensors, graph, prior, items, TARGETS)
    torch.testing.assert_close(some, full[:, items])
    torch.testing.assert_close(single, full[TARGETS])


def test_content_starts_where_ridge_regression_puts_it() -> None:
    graph, _ = category_shop()
    start = torch.cat((graph.start_v, graph.start_w), 1)
    members = torch.zeros(ITEMS, 4)
    members[7, 1] = members[0, 2] = members[9, 0] = 1
    members[3, 3] = members[3, 1] = 0.5
    lineage = torch.tensor([[1.0, 0, 0, 0], [1, 1, 0, 0], [1, 0, 1, 0], [0, 0, 0, 1]])
    features = torch.cat((graph.data["item"].x, members @ lineage), 1)
    seen = features[graph.trained]
    gram = seen.T @ seen + CONTENT_RIDGE * torch.eye(7)
    weights = torch.linalg.solve(gram, seen.T @ start[graph.trained])
    text, category, explained = content_start(graph, start)
    torch.testing.assert_close(torch.cat((text, category)), weights)
    torch.testing.assert_close(explained, features @ weights)


def test_a_large_shop_gets_larger_batches_and_fewer_epochs() -> None:
    options = FitOptions()
    assert options.for_users(8_000) == options
    assert options.for_users(60_000) == replace(options, epochs=8)
    large = options.for_users(1_000_000)
    assert (large.batch_users, large.epochs) == (2500, 5)
