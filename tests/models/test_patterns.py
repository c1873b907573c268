"""Edges in parts: what is alike, patterns, single edges."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from firstedge.models import patterns
from firstedge.models.bundle import PATTERNS
from firstedge.models.edges import prune
from firstedge.models.patterns import EdgeParts, take_apart

N = 40
ALIKE = np.ones(N, np.float32)


def whole(parts: EdgeParts) -> np.ndarray:
    x, y = parts.patterns
    return np.asarray(parts.edges.toarray() + parts.lean + x @ y.T)


def of_patterns(rng: np.random.Generator) -> np.ndarray:
    """Edges that follow as many patterns as there may be."""
    x, y = rng.standard_normal((2, N, PATTERNS - 1))
    return (x @ y.T + rng.standard_normal(N)).astype(np.float32)


@pytest.mark.parametrize("importance", [ALIKE, np.geomspace(1, 1000, N, dtype=np.float32)])
def test_edges_that_follow_patterns_need_no_single_ones(importance: np.ndarray) -> None:
    s = of_patterns(np.random.default_rng(0))
    parts = take_apart(sparse.csr_array(s), importance).pruned(0, importance)
    assert parts.edges.nnz == 0
    np.testing.assert_allclose(parts.lean, s.mean(0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(whole(parts), s, atol=2e-3)


def test_what_follows_no_pattern_is_kept_edge_by_edge() -> None:
    rng = np.random.default_rng(1)
    s = of_patterns(rng)
    rows, columns = np.arange(N), rng.permutation(N)
    s[rows, columns] += 0.1
    parts = take_apart(sparse.csr_array(s), ALIKE)
    np.testing.assert_allclose(whole(parts), s, atol=1e-4)
    some = take_apart(sparse.csr_array(s), ALIKE).pruned(20, ALIKE)
    assert np.abs(whole(some) - s).max() < 0.06
    assert (np.diff(some.edges.indptr) == 20).all()


def test_errors_lie_where_nobody_looks() -> None:
    s = np.random.default_rng(2).standard_normal((N, N)).astype(np.float32)
    importance = np.where(np.arange(N) < 10, 1e6, 1).astype(np.float32)
    wrong = np.abs(whole(take_apart(sparse.csr_array(s), importance).pruned(10, importance)) - s)
    assert wrong[:, :10].max() < 1e-4 < 0.1 < wrong[:, 10:].mean()


def test_a_large_catalogue_has_no_patterns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patterns, "FULL_CELLS", N * N - 1)
    s = sparse.random_array((N, N), density=0.2, rng=np.random.default_rng(3), dtype=np.float32)
    parts = take_apart(sparse.csr_array(s), ALIKE).pruned(3, ALIKE)
    assert not parts.patterns[0].any()
    assert not parts.patterns[1].any()
    lean = s.toarray().mean(0)
    deviation = np.where(s.toarray() != 0, s.toarray() - lean, 0)
    expected = prune(sparse.csr_array(deviation.astype(np.float32)), 3, ALIKE).toarray()
    np.testing.assert_allclose(parts.edges.toarray(), expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("n", [1, 2, 3, N])
def test_few_items_and_no_edges(n: int) -> None:
    alike = np.ones(n, np.float32)
    nothing = take_apart(sparse.csr_array((n, n), dtype=np.float32), alike).pruned(5, alike)
    for found in (nothing, EdgeParts.none(n)):
        assert found.edges.shape == (n, n)
        assert found.edges.nnz == 0
        assert [part.shape for part in found.patterns] == [(n, PATTERNS)] * 2
        assert not whole(found).any()
    s = 1 + np.arange(n * n, dtype=np.float32).reshape(n, n)
    parts = take_apart(sparse.csr_array(s), alike)
    np.testing.assert_allclose(whole(parts), s, atol=1e-3 * n * n)


def test_parts_are_weighed_one_by_one() -> None:
    s = np.random.default_rng(4).standard_normal((N, N)).astype(np.float32)
    parts = take_apart(sparse.csr_array(s), ALIKE).pruned(5, ALIKE)
    found = parts.weighed(2.0, 3.0, 0.5)
    x, y = parts.patterns
    expected = 2 * parts.edges.toarray() + 3 * parts.lean + 0.5 * (x @ y.T)
    np.testing.assert_allclose(whole(found), expected, rtol=1e-4, atol=1e-5)


def test_given_items_tell_their_weighted_sum_of_all_parts() -> None:
    s = np.random.default_rng(5).standard_normal((N, N)).astype(np.float32)
    parts = take_apart(sparse.csr_array(s), ALIKE).pruned(5, ALIKE)
    given = np.zeros((2, N), np.float32)
    given[0, [3, 7]] = 0.5, 2
    found = parts.told(sparse.csr_array(given))
    np.testing.assert_allclose(found, given @ whole(parts), rtol=1e-4, atol=1e-5)


def test_new_items_join_with_what_was_lent_to_them() -> None:
    rng, new = np.random.default_rng(6), np.array([4, 9])
    s = rng.standard_normal((N, N)).astype(np.float32)
    s[:, new] = s[new] = 0
    parts = take_apart(sparse.csr_array(s), ALIKE).pruned(5, ALIKE)
    edges = sparse.random_array((N, 2), density=0.3, rng=rng, dtype=np.float32).tocsr()
    lean, y = rng.random(2, np.float32), rng.random((2, PATTERNS), np.float32)
    lent = EdgeParts(edges, lean, (parts.patterns[0], y))
    found = parts.with_new(new, lent)
    others = np.setdiff1d(np.arange(N), new)
    np.testing.assert_array_equal(whole(found)[:, others], whole(parts)[:, others])
    np.testing.assert_allclose(whole(found)[:, new], whole(lent), rtol=1e-5, atol=1e-6)
