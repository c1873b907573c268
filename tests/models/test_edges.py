from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from firstedge.models.edges import Edges, lookup, prune, prune_blocks

MATRIX = sparse.csr_array(
    np.array([[1, 2, 2, 2], [0, -5, 3, 0], [0, 0, 0, 0], [-1, -4, -2, 0]], np.float32)
)


@pytest.fixture(autouse=True)
def one_row_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("firstedge.models.edges._BLOCK_CELLS", 4)


def test_prune_keeps_the_largest_and_of_equals_the_lower() -> None:
    kept = prune(MATRIX, 2).toarray().tolist()
    assert kept == [[0, 2, 2, 0], [0, 0, 3, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


def test_prune_by_importance_keeps_what_is_far_from_zero_where_it_matters() -> None:
    alike, last = np.ones(4, np.float32), np.array([1, 1, 1, 9], np.float32)
    kept = prune(MATRIX, 2, alike).toarray().tolist()
    assert kept == [[0, 2, 2, 0], [0, -5, 3, 0], [0, 0, 0, 0], [0, -4, -2, 0]]
    kept = prune(MATRIX, 2, last).toarray().tolist()
    assert kept == [[0, 2, 0, 2], [0, -5, 3, 0], [0, 0, 0, 0], [0, -4, -2, 0]]


def test_edges_carry_the_counts_of_their_pairs() -> None:
    counts = sparse.csr_array(np.array([[0, 7, 0, 0], [0, 0, 9, 0], [0, 0, 0, 0], [0, 0, 0, 0]]))
    edges = Edges.of(prune(MATRIX, 2), counts)
    assert edges.targets.tolist() == [1, 2, 2]
    assert edges.counts.tolist() == [7, 0, 9]
    assert edges.weights[edges.of_source(1)].tolist() == [3]


def test_lookup_of_an_empty_matrix_is_zero() -> None:
    assert lookup(sparse.csr_array((4, 4)), MATRIX).tolist() == [0] * MATRIX.nnz


@pytest.mark.parametrize("weighed", [False, True])
def test_prune_is_what_a_dense_selection_is(weighed: bool) -> None:
    rng = np.random.default_rng(0)
    # Few values, so that there are ties; rows of every length.
    dense = rng.integers(-3, 4, (60, 40)) * (rng.random((60, 40)) < rng.random((60, 1)))
    importance = rng.integers(1, 4, 40).astype(np.float32) if weighed else None
    strength = np.maximum(dense, 0) if importance is None else np.abs(dense) * importance
    order = np.lexsort((np.broadcast_to(np.arange(40), dense.shape), -strength), axis=1)
    expected = np.zeros_like(dense)
    best = order[:, :5]
    np.put_along_axis(expected, best, np.take_along_axis(dense, best, 1), 1)
    expected[strength == 0] = 0
    found = prune(sparse.csr_array(dense.astype(np.float32)), 5, importance)
    np.testing.assert_array_equal(found.toarray(), expected)
    assert found.has_sorted_indices


def test_a_dense_matrix_is_pruned_as_its_sparse_form_is() -> None:
    table = np.random.default_rng(0).integers(-3, 4, (63, 40)).astype(np.float32)
    importance = np.linspace(1, 3, 40, dtype=np.float32)
    expected = prune(sparse.csr_array(table), 5, importance)
    found = prune_blocks((table[at : at + 5] for at in range(0, 63, 5)), 5, importance)
    np.testing.assert_array_equal(found.toarray(), expected.toarray())
    assert found.nnz == 63 * 5
