"""One pass of the item encoder and one optimiser step, worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy import sparse

from firstedge.graph.histories import Given
from firstedge.models.batches import user_tensors
from firstedge.models.closed_forms import CategoryTree
from firstedge.models.item_encoder import HOP, ItemEncoder, ItemGraph
from firstedge.models.item_graph import item_features, shared_users
from firstedge.models.net import Net, NetOptions, interpolation
from firstedge.models.scorer import UserBatch

# Items 0 and 1 are in category 1, whose parent is category 0; item 2 is in none and was never
# seen in training. Texts have one dimension.
TREE = CategoryTree(primary=np.array([1, 1, -1]), parents=np.array([-1, 0]))
TEXT = np.array([[1.0], [0.5], [2.0]], np.float32)


def graph() -> ItemGraph:
    features = item_features(TEXT, np.array([[1, 1], [0, 1]]), TREE)
    features[HOP].edge_index = torch.tensor([[0, 1], [1, 0]])
    features[HOP].edge_weight = torch.tensor([0.5, 0.25])
    trained = torch.tensor([True, True, False])
    return ItemGraph(features, torch.zeros(3, 1), torch.zeros(3, 1), trained)


def encoder(propagate: bool) -> ItemEncoder:
    """Columns: input side, output side."""
    made = ItemEncoder(graph(), id_dropout=0.0, propagate=propagate)
    with torch.no_grad():
        made.id.copy_(torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]))
        made.text.copy_(torch.tensor([[0.1, 1.0]]))
        made.category.copy_(torch.tensor([[0.01, 0.2], [0.02, 0.3]]))
        made.hop_weight.copy_(torch.log(torch.expm1(torch.tensor([1.0, 2.0]))))  # softplus: 1, 2
    return made.eval()


def test_an_item_is_its_id_its_text_and_its_categories_with_their_ancestors() -> None:
    v, w = encoder(propagate=False)(graph())
    # item 0: 1 + .1 * 1 + (.02 + .01); item 2: no ID vector, no category
    torch.testing.assert_close(v[:3, 0], torch.tensor([1.13, 2.08, 0.2]))
    torch.testing.assert_close(w[:, 0], torch.tensor([11.5, 21.0, 2.0]))
    torch.testing.assert_close(v[3:, 0], torch.tensor([0.01, 0.03]))  # the categories themselves


def test_a_hop_adds_the_neighbours() -> None:
    v, w = encoder(propagate=True)(graph())
    # the edge 0 -> 1 weighs .5, the edge 1 -> 0 weighs .25
    torch.testing.assert_close(v[:3, 0], torch.tensor([1.13 + 0.25 * 2.08, 2.08 + 0.565, 0.2]))
    torch.testing.assert_close(w[:, 0], torch.tensor([11.5 + 2 * 5.25, 21.0 + 2 * 5.75, 2.0]))


def test_shared_users_by_hand() -> None:
    x = sparse.csr_array(np.array([[1, 1, 0], [1, 0, 0], [0, 1, 1]], np.float32))
    # C_01 = 1/2 from user 0, C_12 = 1/2 from user 2; degrees 2, 2, 1
    expected = [[0, 0.25, 0], [0.25, 0, 0.5 / math.sqrt(2)], [0, 0.5 / math.sqrt(2), 0]]
    np.testing.assert_allclose(shared_users(x).toarray(), expected, rtol=1e-6)


def test_a_user_is_a_weighted_sum_and_one_step_moves_against_the_gradient() -> None:
    options = NetOptions(dim=5, most_edges=2, ranks=2, longest=2, id_dropout=0.0, user_dropout=0.0)
    net = Net(encoder(propagate=False), (1, 0, 0), options)
    with torch.no_grad():
        net.recency.copy_(torch.tensor([0.0, math.log(0.5), 0.0]))
        net.c.copy_(torch.tensor([[0.0], [0.0], [0.1]]))
        net.s.copy_(torch.tensor([1.0, 1.0, 2.0]))
    given = Given(
        np.array([0, 2]),
        np.array([1, 0]),
        np.zeros(2, np.int64),
        np.arange(2),
        np.ones(2, np.float32),
    )
    users = user_tensors(UserBatch.of(given))
    v, w = net.items(graph())
    u = net.embed_users(users, v)
    # .1 + 2 / sqrt(2) * (1 * 2.08 + .5 * 1.13)
    expected = 0.1 + 2 / math.sqrt(2) * (2.08 + 0.5 * 1.13)
    torch.testing.assert_close(u, torch.tensor([[expected]]))
    prior = torch.tensor([-1.0, -2.0, -3.0])
    scores = net(users, graph(), prior)
    torch.testing.assert_close(scores, u @ w.T + prior)

    # Cross entropy on item 0: d loss / d bias = softmax - one hot. One step of plain descent.
    target = torch.tensor([0])
    loss = torch.nn.functional.cross_entropy(scores * 0.01, target)
    loss.backward()
    share = torch.softmax(scores * 0.01, 1)[0].detach()
    gradient = 0.01 * (share - torch.tensor([1.0, 0.0, 0.0]))
    torch.testing.assert_close(net.bias.grad, gradient)
    torch.optim.SGD([net.bias], lr=10.0).step()
    torch.testing.assert_close(net.bias.detach(), -10 * gradient)


def test_tables_between_their_numbers_by_hand() -> None:
    """Rows 0, 1, 2 are their own; 3 and 4 hang on 2, 3 and 4; half an octave is a step."""
    rows = interpolation(2, 8).numpy()
    places = np.log1p([0, 1, 2, 3, 4, 6, 8])  # 2 sqrt 2 = 2.8, 4, 5.7 and the last
    np.testing.assert_allclose(rows.sum(1), 1.0, rtol=1e-6)
    np.testing.assert_allclose(rows @ places, np.log1p(np.arange(9)), rtol=1e-6)
    assert rows.shape == (9, 7)
    share = (math.log(6) - math.log(5)) / (math.log(7) - math.log(5))
    np.testing.assert_allclose(rows[5, 4:6], [1 - share, share], rtol=1e-6)
