from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from firstedge.models import closed_forms
from firstedge.models.closed_forms import (
    CategoryTree,
    NaiveBayes,
    cooccurrence,
    log_prior,
    naive_bayes,
    profile_lifts,
)

USERS, ITEMS = 300, 40


@pytest.fixture
def x() -> sparse.csr_array:
    rng = np.random.default_rng(0)
    popular = 0.5 / (1 + np.arange(ITEMS))
    x = sparse.csr_array((rng.random((USERS, ITEMS)) < popular + 0.02).astype(np.float32))
    x.indptr, x.indices = x.indptr.astype(np.int32), x.indices.astype(np.int32)
    return x


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_forms, "_BLOCK_PAIRS", 150)


def plain(x: sparse.csr_array, rho: float) -> np.ndarray:
    """C by the definition, user by user."""
    c = np.zeros((ITEMS, ITEMS))
    for row in x.toarray():
        c += np.outer(row, row) * max(row.sum(), 1) ** -rho
    np.fill_diagonal(c, 0)
    return c


@pytest.mark.parametrize("rho", [0.0, 0.5])
def test_cooccurrences_are_counted_whole_where_they_fit(x: sparse.csr_array, rho: float) -> None:
    np.testing.assert_allclose(cooccurrence(x, rho).toarray(), plain(x, rho), rtol=1e-5)


def test_of_many_cooccurrences_the_nearest_are_kept(x: sparse.csr_array) -> None:
    most_pairs = 8 * ITEMS
    found = cooccurrence(x, 0.5, most_pairs)
    assert found.nnz <= most_pairs
    whole, norms = plain(x, 0.5), np.sqrt(np.maximum(x.sum(0), 1))
    dense = found.toarray()
    for row in range(ITEMS):
        kept = np.flatnonzero(dense[row])
        np.testing.assert_allclose(dense[row, kept], whole[row, kept], rtol=1e-5)
        left_out = np.setdiff1d(np.flatnonzero(whole[row]), kept)
        nearness = whole[row] / norms
        if len(left_out):
            assert len(kept) >= 8
            assert nearness[kept].min() >= nearness[left_out].max() - 1e-6


def test_totals_are_those_of_all_pairs(x: sparse.csr_array) -> None:
    np.testing.assert_allclose(closed_forms.pair_totals(x, 0.5), plain(x, 0.5).sum(0), rtol=1e-5)
    bounds = closed_forms.pair_bounds(x)
    assert (bounds >= (plain(x, 0) > 0).sum(1)).all()


def test_pairs_are_counted_where_they_are_asked_for(x: sparse.csr_array) -> None:
    rng = np.random.default_rng(1)
    pairs = sparse.csr_array((rng.random((ITEMS, ITEMS)) < 0.2).astype(np.float32))
    counts = closed_forms.pair_counts(x, pairs)
    rows, columns = pairs.nonzero()
    expected = plain(x, 0)[rows, columns] + (rows == columns) * x.sum(0)[rows]
    np.testing.assert_array_equal(counts.data, expected)


@pytest.mark.parametrize("back_off", [0.0, 0.5])
def test_naive_bayes_of_a_part_is_that_part_of_naive_bayes(
    x: sparse.csr_array, back_off: float
) -> None:
    tree = CategoryTree(np.full(ITEMS, -1), np.empty(0, np.int64))
    options = NaiveBayes(smoothing=10, back_off=back_off)
    whole, _ = naive_bayes(cooccurrence(x, 0.5), options, tree)
    totals = closed_forms.pair_totals(x, 0.5)
    part, _ = naive_bayes(cooccurrence(x, 0.5, 8 * ITEMS), options, tree, totals)
    rows, columns = part.nonzero()
    np.testing.assert_allclose(part.data, whole.toarray()[rows, columns], rtol=1e-4)


@pytest.mark.parametrize(("smoothing", "doubt"), [(2.0, 2.0), (2000.0, 60.0)])
def test_profiles_are_doubted_by_a_tenth_of_all_that_was_chosen_at_most(
    smoothing: float, doubt: float
) -> None:
    rng = np.random.default_rng(0)
    chosen = np.zeros(2000, np.float32)
    chosen[rng.permutation(2000)[:600]] = 1
    x = sparse.csr_array(chosen.reshape(100, 20))
    profiles = sparse.csr_array((rng.random((100, 3)) < 0.5).astype(np.float32))
    together, prior = profiles.toarray().T @ x.toarray(), np.exp(log_prior(x))
    expected = np.log1p(together / (doubt * prior))
    found = profile_lifts(x, profiles, smoothing).toarray()
    assert found == pytest.approx(expected, rel=1e-5)
