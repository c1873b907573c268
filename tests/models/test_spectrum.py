from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from firstedge.models import edges
from firstedge.models.edges import prune
from firstedge.models.spectrum import spectral_edges
from tests.models.small import histories_of, random_data, training_of


def by_hand(x: np.ndarray, rank: int) -> np.ndarray:
    """The filter by a dense factorisation."""
    lengths, counts = np.maximum(x.sum(1), 1), np.maximum(x.sum(0), 1)
    v = np.linalg.svd(x / np.sqrt(np.outer(lengths, counts)))[2][:rank]
    edges = counts[:, None] ** -0.25 * (v.T @ v) * counts**0.5
    np.fill_diagonal(edges, 0)
    return edges


@pytest.mark.parametrize("rank", [2, 4])
def test_edges_are_those_of_an_ideal_low_pass_filter(
    rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(edges, "_BLOCK_CELLS", 20)  # two rows at a time
    data = random_data(seed=4)
    expected = by_hand(data.x.toarray().astype(float), rank)
    found = spectral_edges(data, rank, 9)
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-3, atol=1e-5)
    few = spectral_edges(data, rank, 2)
    pruned = prune(sparse.csr_array(expected.astype(np.float32)), 2, data.importance)
    np.testing.assert_allclose(few.toarray(), pruned.toarray(), rtol=1e-3, atol=1e-5)


def test_items_that_share_no_users_even_at_second_hand_have_no_edge() -> None:
    data = training_of(histories_of([0, 1], [0, 1], [2, 3], [2, 3], [], num_items=5))
    found = spectral_edges(data, 2, 5).toarray()
    assert found[0, 1] == pytest.approx(0.5 * 2**0.25, rel=1e-4)
    assert np.abs(found[:2, 2:]).max() < 1e-5
    assert np.abs(found[4]).max() < 1e-5


def test_a_shop_may_have_fewer_items_than_frequencies() -> None:
    data = training_of(histories_of([0, 1], [1], num_items=2))
    again = [spectral_edges(data, 128, 5).toarray() for _ in range(2)]
    np.testing.assert_array_equal(*again)
    assert np.isfinite(again[0]).all()
