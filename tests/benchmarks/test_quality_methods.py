"""The leaderboard's neural methods: each step against its formula, and all on a checkerboard."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from benchmarks.quality import gfcf, graphsage, lightgcn, multvae, sasrec
from benchmarks.quality.learning import Learner, Watch, WithPrior, mean_of_given
from firstedge.graph.histories import Given
from firstedge.models.baselines import TrainingData
from firstedge.models.protocol import build_cases
from tests.models.small import WEIGHTS, checkerboard, histories_of, training_of, users_of

METHODS: list[Learner] = [
    multvae.MultVAE(hidden=16, latent=4, dropout=0.2, learning_rate=1e-2, batch=8, epochs=60),
    multvae.TruncatedMultVAE(
        hidden=16, latent=4, dropout=0.2, learning_rate=1e-2, batch=8, epochs=60
    ),
    sasrec.SASRec(dim=16, blocks=1, dropout=0.1, learning_rate=1e-2, batch=8, epochs=60),
    lightgcn.LightGCN(dim=8, layers=2, learning_rate=3e-2, steps=4, epochs=40),
    lightgcn.LightGCN(dim=8, layers=1, loss="softmax", learning_rate=3e-2, steps=4, epochs=40),
    graphsage.GraphSAGE(dim=8, layers=2, learning_rate=3e-2, negatives=4, epochs=30),
]


def random_data(num_users: int = 30, num_items: int = 9, seed: int = 0) -> TrainingData:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(2, num_items, num_users)
    users = [rng.permutation(num_items)[:length].tolist() for length in lengths]
    text = rng.normal(size=(num_items, 3)).astype(np.float32)
    return training_of(histories_of(*users, num_items=num_items), text=text)


def learned(method: Learner, data: TrainingData) -> WithPrior:
    cases = build_cases(data.histories, WEIGHTS, (1, 2), with_all=False)
    watch = Watch(cases, data.popularity, 5, seconds=120, every=10, patience=100)
    method.learn(data, watch)
    assert isinstance(watch.ranker, WithPrior)
    return watch.ranker


@pytest.mark.parametrize("method", METHODS, ids=lambda m: f"{m.name} {getattr(m, 'loss', '')}")
def test_checkerboard(method: Learner) -> None:
    data = training_of(checkerboard())
    ranker = learned(method, data)
    users = users_of([0, 2, 4], [7, 1], [], num_items=12)
    scores = ranker.score(users)
    for user, own in enumerate(([6, 8, 10], [3, 5, 9, 11])):
        other = [item for item in range(12) if item % 2 != own[0] % 2]
        assert scores[user, own].mean() > scores[user, other].mean()
    np.testing.assert_array_equal(scores[2], data.log_prior)  # of nobody nothing is known
    for row in range(len(users)):
        alone = ranker.score(users.take(row, row + 1))[0]
        np.testing.assert_allclose(alone, scores[row], rtol=1e-4, atol=1e-4)


def test_lightgcn_propagates_by_its_formula() -> None:
    data = random_data()
    x = data.x.toarray().astype(float)
    num_users, num_items = x.shape
    graph = lightgcn.normalized(data.x)
    own = np.zeros((num_users + num_items,) * 2)
    for user in range(num_users):
        for item in range(num_items):
            if x[user, item]:
                weight = 1 / np.sqrt(x[user].sum() * x[:, item].sum())
                own[user, num_users + item] = own[num_users + item, user] = weight
    np.testing.assert_allclose(graph.toarray(), own, rtol=1e-5)
    net = lightgcn.PyGLightGCN(num_users + num_items, 4, 3, normalize=False)
    start = net.embedding.weight.detach().numpy()
    layers = [start, own @ start, own @ own @ start, own @ own @ own @ start]
    found = net.get_embedding(lightgcn.as_tensor(graph)).detach().numpy()
    np.testing.assert_allclose(found, np.mean(layers, 0), rtol=1e-3, atol=1e-5)


def test_a_new_user_of_lightgcn_is_the_mean_of_their_items() -> None:
    vectors = np.arange(12, dtype=np.float32).reshape(6, 2)
    given = users_of([1, 4], [], [5], num_items=6).given
    means = mean_of_given(given, vectors)
    assert means.tolist() == [[5, 6], [0, 0], [10, 11]]
    scores = lightgcn.MeanRanker(vectors).score(users_of([1, 4], num_items=6))
    np.testing.assert_allclose(scores[0], [5 * a + 6 * b for a, b in vectors])


def test_bpr_and_softmax_are_their_formulas() -> None:
    torch.manual_seed(0)
    users, items = torch.randn(3, 4), torch.randn(5, 4)
    wanted = torch.tensor([0, 4, 2])
    torch.manual_seed(1)
    found = lightgcn.LightGCN(loss="bpr")._loss(users, items, wanted)
    torch.manual_seed(1)
    others = torch.randint(5, (3,))
    margins = [float(users[n] @ (items[wanted[n]] - items[others[n]])) for n in range(3)]
    assert float(found) == pytest.approx(np.mean(np.log1p(np.exp(-np.array(margins)))), rel=1e-5)
    torch.manual_seed(1)
    found = lightgcn.LightGCN(loss="softmax", temperature=0.5)._loss(users, items, wanted)
    torch.manual_seed(1)
    drawn = torch.randint(5, (lightgcn.NEGATIVES,)).numpy()
    unit_users = users.numpy() / np.linalg.norm(users.numpy(), axis=1, keepdims=True)
    unit_items = items.numpy() / np.linalg.norm(items.numpy(), axis=1, keepdims=True)
    cosines = unit_users @ unit_items.T / 0.5
    losses = []
    for row, own in enumerate(wanted.tolist()):
        others = cosines[row, drawn[drawn != own]]
        losses.append(np.log(np.exp(cosines[row, own]) + np.exp(others).sum()) - cosines[row, own])
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-4)


def test_multvae_loss_is_the_bound() -> None:
    torch.manual_seed(0)
    net = multvae._Net(6, multvae.MultVAE(hidden=5, latent=2)).eval()
    given = sparse.csr_array(np.array([[1, 0, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0]], np.float32))
    mean, log_variance = net.encode(given)
    x = given.toarray() / np.sqrt(given.toarray().sum(1, keepdims=True))
    hidden = np.tanh(x @ net.input.detach().numpy() + net.input_bias.detach().numpy())
    code = hidden @ net.code.weight.detach().numpy().T + net.code.bias.detach().numpy()
    np.testing.assert_allclose(mean.detach(), code[:, :2], rtol=1e-4, atol=1e-6)
    targets = sparse.csr_array(np.array([[0, 1, 0, 0.5, 0, 0], [0, 0, 0, 0, 1, 0]], np.float32))
    weights = np.array([1.0, 3.0], np.float32)
    torch.manual_seed(5)
    found = float(net.loss(given, targets, weights, beta=0.3).detach())
    torch.manual_seed(5)
    noise = torch.randn_like(mean)
    sampled = mean + noise * torch.exp(0.5 * log_variance)
    log_softmax = torch.log_softmax(net(sampled), 1).detach().numpy()
    m, v = mean.detach().numpy(), log_variance.detach().numpy()
    divergence = 0.5 * (np.exp(v) + m**2 - 1 - v).sum(1)
    per_user = 0.3 * divergence - (log_softmax * targets.toarray()).sum(1)
    assert found == pytest.approx((weights * per_user).mean(), rel=1e-4)


def test_the_truncated_objective_asks_for_what_was_not_given() -> None:
    data = random_data()
    drawn = multvae.TruncatedMultVAE(batch=7)._examples(data, np.random.default_rng(0))
    users = 0
    for given, targets, weights in drawn:
        users += given.shape[0]
        assert not given.multiply(targets).nnz
        assert given.sum(1).max() <= 10
        np.testing.assert_allclose(targets.sum(1), 1.0, rtol=1e-5)  # a mean over the targets
        assert (weights == 1).all()  # nobody has more than 20 targets here
    assert users == 30


def test_sasrec_looks_back_only() -> None:
    torch.manual_seed(0)
    net = sasrec._Net(9, sasrec.SASRec(dim=8, blocks=2, length=5)).eval()
    one = net(torch.tensor([[3, 1, 4, 0, 0]]))
    other = net(torch.tensor([[3, 1, 4, 8, 7]]))
    torch.testing.assert_close(one[:, :3], other[:, :3])
    assert not torch.allclose(one[:, 3:], other[:, 3:])


def test_sasrec_reads_the_latest_items_the_oldest_first() -> None:
    given = Given.of(histories_of([3, 1, 4, 2], [5], [], num_items=8), WEIGHTS)
    table, lengths = sasrec._sequences(given, 8, 3)
    assert table.tolist() == [[1, 4, 2], [5, 0, 0], [0, 0, 0]]
    assert lengths.tolist() == [3, 1, 0]


@torch.no_grad()
@pytest.mark.parametrize("items", [9, 6000])
def test_sasrec_loss(items: int) -> None:
    torch.manual_seed(0)
    net = sasrec._Net(items, sasrec.SASRec(dim=8, blocks=1, length=4)).eval()
    windows, lengths = torch.tensor([[3, 1, 4, 2], [5, 7, 0, 0]]), torch.tensor([4, 2])
    states = net(windows[:, :-1])
    places = [(0, 0, 1), (0, 1, 4), (0, 2, 2), (1, 0, 7)]
    exact = [
        float(
            torch.logsumexp(net.items.weight @ states[u, p], 0) - states[u, p] @ net.items.weight[t]
        )
        for u, p, t in places
    ]
    found = [float(net.loss(windows, lengths, 4000)) for _ in range(1 if items < 10 else 20)]
    # Beyond 5,000 items it is an estimate over a sample.
    assert np.mean(found) == pytest.approx(np.mean(exact), rel=1e-4 if items < 10 else 1e-3)


def test_graphsage_embeds_a_trained_on_user_as_the_graph_does() -> None:
    data = random_data(num_users=12)
    torch.manual_seed(0)
    net = graphsage._Net(data, graphsage.GraphSAGE(dim=6, layers=3)).eval()
    with torch.no_grad():
        net.user.copy_(torch.randn(1, 6))
    ranker = graphsage._Ranker.of(net, data)
    with torch.inference_mode():
        graph = graphsage._Graph.of(data.x, np.ones(data.x.nnz, bool))
        users, items = net.states(graph)
        whole = (net.user_head(users[-1]) @ net.item_head(items[-1]).T).numpy()
    h = data.histories
    histories = [h.targets[a:b].tolist() for a, b in zip(h.offsets, h.offsets[1:], strict=False)]
    scores = ranker.score(users_of(*histories, num_items=9))
    np.testing.assert_allclose(scores, whole, rtol=1e-4, atol=1e-5)


def test_graphsage_layer_is_its_formula() -> None:
    data = random_data(num_users=5)
    net = graphsage._Net(data, graphsage.GraphSAGE(dim=4, layers=1)).eval()
    users, _ = net.states(graphsage._Graph.of(data.x, np.ones(data.x.nnz, bool)))
    x = data.x.toarray().astype(float)
    items = np.concatenate((net.items.weight.detach().numpy(), data.text), 1)
    means = x @ items / x.sum(1, keepdims=True)
    layer = net.to_users[0]
    own = net.user.detach().numpy() @ layer.lin_r.weight.detach().numpy().T
    expected = means @ layer.lin_l.weight.detach().numpy().T + layer.lin_l.bias.detach().numpy()
    np.testing.assert_allclose(users[1].detach(), expected + own, rtol=1e-4, atol=1e-5)


def test_no_edge_speaks_for_itself() -> None:
    data = random_data()
    asked = np.random.default_rng(0).integers(0, 2, data.x.nnz) == 0
    graph = graphsage._Graph.of(data.x, ~asked).to_users.to_dense().numpy()
    users, items = data.x.nonzero()
    assert not graph[users[asked], items[asked]].any()
    assert graph[users[~asked], items[~asked]].all()


def test_gfcf_filters_by_its_formula() -> None:
    data = random_data()
    x = data.x.toarray().astype(float)
    lengths, counts = x.sum(1), x.sum(0)
    r = x / np.sqrt(np.outer(lengths, counts))
    v = np.linalg.svd(r)[2][:3].T
    linear = r.T @ r
    np.fill_diagonal(linear, 0)
    method = gfcf.GFCF(frequencies=3, low_pass=0.7, temper=0.25, prior=0.01)
    scores = method.fit(data).score(users_of([0, 4], [], num_items=9))
    low_pass = counts[:, None] ** -0.25 * (v @ v.T) * np.sqrt(counts)
    edges = (linear + 0.7 * low_pass)[[0, 4]].sum(0) / np.sqrt(2)
    np.testing.assert_allclose(scores[0], 0.01 * data.log_prior + edges, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(scores[1], 0.01 * data.log_prior, rtol=1e-6)
