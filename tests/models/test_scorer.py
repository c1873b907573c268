from __future__ import annotations

import numpy as np
import pytest

from firstedge.graph.histories import Events, Given, Histories, kind_weights
from firstedge.models.bundle import Bundle
from firstedge.models.scorer import Scorer, UserBatch
from tests.models.bundles import random_bundle


def batch(bundle: Bundle, num_users: int = 20, seed: int = 1) -> UserBatch:
    rng = np.random.default_rng(seed)
    n = 4 * num_users
    events = Events(
        rng.integers(1, num_users, n),  # user 0 has none
        rng.integers(0, len(bundle.v), n),
        rng.integers(0, 3, n),
        rng.integers(0, 50, n),
        np.arange(n),
        rng.random(n).astype(np.float32),
    )
    histories = Histories.of(events, num_users, len(bundle.items))
    given = Given.of(histories, kind_weights(bundle.schema))
    return UserBatch(
        given,
        np.arange(num_users + 1),
        rng.integers(0, 2, num_users),
        rng.normal(size=(num_users, len(bundle.user_text))).astype(np.float32),
    )


def naive_score(bundle: Bundle, users: UserBatch, u: int, j: int) -> float:
    """The formula at the head of models/bundle.py, one scalar at a time."""
    b, by, given = bundle, bundle.coefficients, users.given
    span = range(given.offsets[u], given.offsets[u + 1])
    k, n = len(span), len(b.items)
    step = min(k, len(b.c) - 1)
    edges, lifts = b.edges.matrix().toarray(), b.category_lifts.matrix().toarray()
    score, vector = by.prior * b.prior[j], b.c[step].astype(float)
    for e in span:
        i, rank = given.targets[e], min(given.ranks[e], len(b.recency) - 1)
        a = given.weights[e] * np.exp(b.recency[rank] + b.kind[given.kinds[e]]) / np.sqrt(k)
        source = b.table.primary[i] if i < n else i - n
        if i < n:
            score += a * edges[i, j] + by.repeat * a * (i == j)
        if source >= 0 and b.table.primary[j] >= 0:
            score += (by.category if i < n else by.interest) * a * lifts[source, b.table.primary[j]]
        vector += b.s[step] * a * b.v[i]
    row = users.profile_rows[u]
    vector += b.profile[row] + users.text[u] @ b.user_text
    score += by.profile * b.profile_lifts.matrix().toarray()[row, j]
    return float(score + by.net * (vector @ b.w[j] + b.b[j]))


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return random_bundle()


def test_scores_follow_the_formula(bundle: Bundle) -> None:
    users = batch(bundle)
    scores = Scorer(bundle).score(users)
    expected = [[naive_score(bundle, users, u, j) for j in range(30)] for u in range(20)]
    np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-4)


def test_one_user_scores_as_in_a_batch(bundle: Bundle) -> None:
    scorer, users = Scorer(bundle), batch(bundle)
    together = scorer.score(users)
    for u in range(len(users)):
        np.testing.assert_array_equal(scorer.score(users.take(u, u + 1))[0], together[u])


def test_contributions_add_up_to_the_score(bundle: Bundle) -> None:
    scorer, users = Scorer(bundle), batch(bundle)
    items = np.array([3, 17, 0, 29])
    for u in range(len(users)):
        one = users.take(u, u + 1)
        parts = scorer.contributions(one, items)
        np.testing.assert_allclose(parts.total, scorer.score(one)[0, items], rtol=1e-4, atol=1e-5)
        assert parts.events.shape == (len(one.given.targets), 4)


def test_what_edges_add_is_what_remains_without_them(bundle: Bundle) -> None:
    scorer, users = Scorer(bundle), batch(bundle)
    one = users.take(3, 4)
    parts = scorer.contributions(one, np.arange(30))
    np.testing.assert_allclose(scorer.lift(one.given)[0], parts.events.sum(0), rtol=1e-4, atol=1e-5)


def test_the_embedding_is_what_the_net_adds(bundle: Bundle) -> None:
    users = batch(bundle)
    scorer = Scorer(bundle)
    step = np.minimum(users.given.counts, 10)
    vectors = scorer.embed_users(users)
    assert vectors.shape == (20, 16)
    alone = bundle.c[step[0]] + bundle.profile[users.profile_rows[0]]
    np.testing.assert_allclose(
        vectors[0], alone + users.text[0] @ bundle.user_text, rtol=1e-5, atol=1e-6
    )
