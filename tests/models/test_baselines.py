"""Every baseline on a checkerboard, and against its formula written as a loop or dense matrix."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from firstedge.models import edges, patterns
from firstedge.models.baselines import (
    CategoryPopularity,
    Method,
    Popularity,
    RecentPopularity,
    TextCosine,
    TrainingData,
)
from firstedge.models.edges import prune
from firstedge.models.factors import IALS, FactorRanker, factor_edges
from firstedge.models.neighbours import (
    Blend,
    Ease,
    ItemKNN,
    RP3Beta,
    SmoothedBayes,
)
from firstedge.models.topk import top_k_each
from tests.models.small import checkerboard, histories_of, random_data, training_of, users_of

BOUGHT_TOGETHER: list[Method] = [
    ItemKNN(),
    ItemKNN(neighbours=20, shrinkage=0.1),
    RP3Beta(),
    Ease(ridge=1.0),
    SmoothedBayes(),
    SmoothedBayes(length_discount=0.0, smoothing=3.0),
    IALS(factors=2, regularization=2.0),
    Blend(SmoothedBayes(), ItemKNN(), Ease(ridge=1.0)),
    Blend(SmoothedBayes(), RP3Beta(), None),
]


def by_hand(
    data: TrainingData, matrix: np.ndarray, prior: float, items: list[int], power: float = 0.5
) -> np.ndarray:
    """eta log p + k^-power sum of rows, rows scaled so that their maxima average 1."""
    maxima = matrix.max(1)
    matrix = matrix / maxima[maxima > 0].mean()
    scores = prior * data.log_prior.astype(float)
    return scores + sum(matrix[item] for item in items) / max(len(items), 1) ** power


@pytest.mark.parametrize("method", BOUGHT_TOGETHER, ids=lambda m: m.name)
def test_checkerboard(method: Method) -> None:
    ranker = method.fit(training_of(checkerboard()))
    scores = ranker.score(users_of([0, 2, 4], [7], [1, 11, 5], num_items=12))
    for user, own in enumerate(([6, 8, 10], [1, 3, 5, 9, 11], [3, 7, 9])):
        other = [item for item in range(12) if item % 2 != own[0] % 2]
        assert scores[user, own].min() > scores[user, other].max()


@pytest.mark.parametrize("method", [*BOUGHT_TOGETHER, TextCosine()], ids=lambda m: m.name)
def test_a_stranger_gets_bestsellers(method: Method) -> None:
    histories = histories_of([3, 1], [3, 2], [3, 1], [4, 3], num_items=6)
    data = training_of(histories, text=np.eye(6, dtype=np.float32))
    scores = method.fit(data).score(users_of([], [0], num_items=6))
    assert top_k_each(scores[:1], 6).tolist() == [[3, 1, 2, 4, 0, 5]]
    assert scores.dtype == np.float32


@pytest.mark.parametrize("method", BOUGHT_TOGETHER, ids=lambda m: m.name)
def test_batch_equals_single(method: Method) -> None:
    ranker = method.fit(random_data())
    users = users_of([1, 2], [], [8], [0, 3, 4], num_items=9)
    together = ranker.score(users)
    for row in range(len(users)):
        np.testing.assert_allclose(
            ranker.score(users.take(row, row + 1))[0], together[row], rtol=1e-4, atol=1e-5
        )


def test_popularity() -> None:
    data = training_of(histories_of([0, 1], [1, 2], [1], num_items=4))
    scores = Popularity().fit(data).score(users_of([], [2], num_items=4))
    np.testing.assert_allclose(scores, np.log(np.array([[2, 4, 2, 1]] * 2) / 9), rtol=1e-6)
    np.testing.assert_allclose(data.popularity, np.array([1, 3, 1, 0]) / 3)


def test_recent_popularity() -> None:
    # First touches on days 0, 1, 2 (user 0) and 0 (users 1, 2); the second touch of 1 is none.
    data = training_of(histories_of([0, 1, 2, 1], [0], [0], num_items=4))
    scores = RecentPopularity(half_life_days=1.0).fit(data).score(users_of([], num_items=4))[0]
    oldest = 1 / 8
    counts = np.array([3 / 8, 1 / 4, 1 / 2, 0]) + oldest
    np.testing.assert_allclose(scores, np.log(counts / counts.sum()), rtol=1e-6)


def test_category_popularity() -> None:
    histories = histories_of([0, 1], [0, 2], [3], num_items=4)
    data = training_of(histories, primary=[0, 0, 1, -1])
    method = CategoryPopularity(smoothing=2.0, weight=0.5)
    scores = method.fit(data).score(users_of([], [1], [1, 3, 2], num_items=4))
    p = np.array([3, 2, 2, 2]) / 9
    q = np.array([5 / 9, 2 / 9])
    np.testing.assert_allclose(scores[0], np.log(p), rtol=1e-5)
    lift = np.log((np.array([1, 0]) + 2 * q) / ((1 + 2) * q))
    expected = np.log(p) + 0.5 * np.array([lift[0], lift[0], lift[1], 0])
    np.testing.assert_allclose(scores[1], expected, rtol=1e-5)
    lift = np.log((np.array([1, 1]) + 2 * q) / ((2 + 2) * q))  # item 3 has no category
    expected = np.log(p) + 0.5 * np.array([lift[0], lift[0], lift[1], 0])
    np.testing.assert_allclose(scores[2], expected, rtol=1e-5)


def test_text_cosine() -> None:
    rng = np.random.default_rng(0)
    text = rng.normal(size=(5, 3)).astype(np.float32)
    text /= np.linalg.norm(text, axis=1, keepdims=True)
    data = training_of(histories_of([0, 1], [1], num_items=5), text=text)
    scores = TextCosine(prior=0.2).fit(data).score(users_of([2, 3], num_items=5))[0]
    expected = 0.2 * data.log_prior + (text[2] + text[3]) / 2 @ text.T
    np.testing.assert_allclose(scores, expected, rtol=1e-4)


def test_item_knn_is_its_formula() -> None:
    data, shrinkage, most = random_data(), 2.0, 3
    x = data.x.toarray()
    n = x.shape[1]
    matrix = np.zeros((n, n))
    for i in range(n):
        for j in range(n):
            if i != j:
                both = (x[:, i] * x[:, j]).sum()
                matrix[i, j] = both / (np.sqrt(x[:, i].sum() * x[:, j].sum()) + shrinkage)
        kept = sorted(range(n), key=lambda j: (-matrix[i, j], j))[:most]
        matrix[i, [j for j in range(n) if j not in kept]] = 0
    scores = ItemKNN(most, shrinkage, prior=0.1).fit(data).score(users_of([1, 4], num_items=n))[0]
    np.testing.assert_allclose(scores, by_hand(data, matrix, 0.1, [1, 4]), rtol=1e-4)


def test_rp3beta_is_its_formula() -> None:
    data, alpha, beta, n = random_data(seed=1), 0.7, 0.4, 9
    x = data.x.toarray().astype(float)
    to_user = (x / x.sum(0)).T ** alpha
    to_item = (x / x.sum(1, keepdims=True)) ** alpha
    matrix = to_user @ to_item / x.sum(0) ** beta
    np.fill_diagonal(matrix, 0)
    scores = RP3Beta(alpha, beta, 20, prior=0.1).fit(data).score(users_of([0, 5, 8], num_items=n))
    np.testing.assert_allclose(scores[0], by_hand(data, matrix, 0.1, [0, 5, 8]), rtol=1e-4)


def test_ease_is_its_formula() -> None:
    data, ridge = random_data(seed=2), 7.0
    x = data.x.toarray().astype(float)
    p = np.linalg.inv(x.T @ x + ridge * np.eye(9))
    matrix = -p / np.diag(p)
    np.fill_diagonal(matrix, 0)
    scores = Ease(ridge, prior=0.1).fit(data).score(users_of([0, 5], num_items=9))
    np.testing.assert_allclose(scores[0], by_hand(data, matrix, 0.1, [0, 5]), rtol=1e-3)


def test_ease_is_for_catalogues_that_fit() -> None:
    data = training_of(histories_of([0], num_items=20_001))
    assert Ease().unfit(data) == "20,001 items are more than 20,000"
    assert Ease().unfit(random_data()) == ""


@pytest.mark.parametrize("back_off", [0.0, 0.4])
def test_naive_bayes_is_its_formula(back_off: float) -> None:
    base = random_data(seed=3)
    primary = [0, 0, 1, 1, 2, 2, 2, -1, -1]
    data = training_of(base.histories, primary)
    x = data.x.toarray().astype(float)
    s, n = 5.0, 9
    c = x.T @ (x / np.sqrt(x.sum(1, keepdims=True)))
    np.fill_diagonal(c, 0)
    q = c.sum(0) / c.sum()
    g = np.ones((n, n)) * (1 - back_off)
    lifts = np.zeros((n, n))
    for i in range(7):
        for j in range(7):
            own = [r for r in range(7) if primary[r] == primary[i]]
            other = [r for r in range(7) if primary[r] == primary[j]]
            known = c[own][:, :7].sum()
            ratio = c[np.ix_(own, other)].sum() / known / q[other].sum()
            g[i, j] += back_off * ratio
            lifts[i, j] = np.log(g[i, j] / (1 - back_off))
    r = np.log1p(c / (s * q * g))
    scale = r.max(1)[r.max(1) > 0].mean()
    method = SmoothedBayes(smoothing=s, length_discount=0.5, back_off=back_off, prior=0.3)
    scores = method.fit(data).score(users_of([0, 5, 8], num_items=n))[0]
    rows = [0, 5, 8]
    expected = 0.3 * data.log_prior + (r[rows].sum(0) + lifts[rows].sum(0)) / scale / np.sqrt(3)
    np.testing.assert_allclose(scores, expected, rtol=1e-3)


def test_new_users_fold_into_ials_by_the_normal_equations() -> None:
    data = random_data(seed=4)
    method = IALS(factors=3, regularization=0.7, alpha=5.0, prior=0.1)
    ranker = method.fit(data)
    assert isinstance(ranker, FactorRanker)
    users = users_of([], [2], [0, 4, 7], num_items=9)
    y = ranker.model.item_factors.astype(float)
    scores = ranker.score(users)
    for row, items in enumerate(([], [2], [0, 4, 7])):
        confidence = np.ones(9)
        confidence[items] += 5.0
        wanted = np.isin(np.arange(9), items).astype(float)
        left = y.T @ (confidence[:, None] * y) + 0.7 * np.eye(3)
        x = np.linalg.solve(left, y.T @ (confidence * wanted))
        np.testing.assert_allclose(ranker.embed_users(users)[row], x, rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(scores[row], 0.1 * data.log_prior + y @ x, rtol=1e-3, atol=1e-5)


def test_edges_by_factors_say_what_folding_in_one_item_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(edges, "_BLOCK_CELLS", 20)  # two rows at a time
    data = random_data(seed=4)
    method = IALS(factors=3, regularization=0.7, alpha=5.0, prior=0.0)
    alone = method.fit(data).score(users_of(*([item] for item in range(9)), num_items=9))
    np.fill_diagonal(alone, 0)
    found = factor_edges(data, method, 9)
    np.testing.assert_allclose(found.toarray(), alone, rtol=1e-3, atol=1e-5)
    few = factor_edges(data, method, 2)
    expected = prune(sparse.csr_array(alone), 2, data.importance)
    np.testing.assert_allclose(few.toarray(), expected.toarray(), rtol=1e-3, atol=1e-5)


def test_popularity_counts_for_less_where_a_large_catalogue_is_pruned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = training_of(histories_of([0, 1], [1], [1, 2], num_items=4))
    assert data.importance.tolist() == [2, 4, 2, 1]
    monkeypatch.setattr(patterns, "FULL_CELLS", 15)
    expected = np.array([2, 4, 2, 1]) ** 0.35
    np.testing.assert_allclose(data.importance, expected, rtol=1e-6)


def test_ials_is_repeatable() -> None:
    users = users_of([2, 3], num_items=9)
    first, second = (IALS(factors=3).fit(random_data()).score(users) for _ in range(2))
    np.testing.assert_allclose(first, second, rtol=1e-4)


def test_blend_is_the_weighted_sum_of_its_parts() -> None:
    data = random_data(seed=5)
    bayes, ease, knn = SmoothedBayes(prior=1.0), Ease(prior=1.0), ItemKNN(prior=1.0)
    users = users_of([0, 5], [3], num_items=9)
    alone = [method.fit(data).score(users) - data.log_prior for method in (bayes, ease, knn)]
    scores = Blend(bayes, knn, ease, near_share=0.25, ease_share=0.2, prior=0.3).fit(data)
    expected = 0.3 * data.log_prior + 0.6 * alone[0] + 0.2 * alone[1] + 0.2 * alone[2]
    np.testing.assert_allclose(scores.score(users), expected, rtol=1e-4, atol=1e-5)
