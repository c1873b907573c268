from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from firstedge.models import borrowed
from firstedge.models.borrowed import borrow, lenders
from firstedge.models.bundle import PATTERNS
from firstedge.models.patterns import EdgeParts

# Items 0 to 2 are known, item 3 has no text; 4 to 6 are new, the last without a text.
TEXT = np.array([[1, 0], [0.6, 0.8], [0, 2], [0, 0], [1, 0], [0.8, 0.6], [0, 0]], np.float32)
KNOWN, NEW = np.arange(4), np.array([4, 5, 6])


def by_hand(cosines: list[float]) -> np.ndarray:
    shares = np.exp(np.array(cosines) / borrowed.TEMPERATURE)
    return shares / shares.sum()


@pytest.mark.parametrize("cells", [1, 1 << 22])
def test_shares_are_a_softmax_of_the_nearest_cosines(
    monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    monkeypatch.setattr("firstedge.models.edges._BLOCK_CELLS", cells)
    found = lenders(TEXT, NEW, KNOWN).toarray()
    assert found.shape == (3, 7)
    np.testing.assert_allclose(found[0, :3], by_hand([1, 0.6, 0]), rtol=1e-5)
    np.testing.assert_allclose(found[1, :3], by_hand([0.8, 0.96, 0.6]), rtol=1e-5)
    assert not found[2].any()
    assert not found[:, 3:].any()
    monkeypatch.setattr(borrowed, "LENDERS", 2)
    found = lenders(TEXT, NEW, KNOWN).toarray()
    np.testing.assert_allclose(found[1, [0, 1]], by_hand([0.8, 0.96]), rtol=1e-5)
    assert np.count_nonzero(found) == 4


def test_without_texts_nobody_lends() -> None:
    for text in (np.zeros((7, 0), np.float32), np.zeros((7, 2), np.float32)):
        assert lenders(text, NEW, KNOWN).nnz == 0
    assert lenders(TEXT, NEW[:0], KNOWN).shape == (0, 7)
    assert lenders(TEXT, NEW, KNOWN[:0]).nnz == 0


@pytest.mark.parametrize("cells", [1, 1 << 22])
def test_the_strongest_of_the_mean_edges_are_lent(
    monkeypatch: pytest.MonkeyPatch, cells: int
) -> None:
    monkeypatch.setattr("firstedge.models.edges._BLOCK_CELLS", cells)
    edges = np.zeros((4, 4), np.float32)
    edges[0, :3], edges[1, :3], edges[2, :3] = (1, 2, 0), (0, 0, 4), (-9, 0, 0)
    lean, y = np.array([2, 4, 8, 0], np.float32), np.eye(4, PATTERNS, dtype=np.float32)
    parts = EdgeParts(sparse.csr_array(edges), lean, (y, y))
    shares = sparse.csr_array(np.array([[0.5, 0.5, 0, 0], [0, 0, 1, 0]], np.float32))
    alike = np.ones(4, np.float32)
    found = borrow(parts, shares, 1, alike)
    assert found.edges.toarray().tolist() == [[0, 0], [0, 4], [-4.5, 0], [0, 0]]
    assert found.lean.tolist() == [3, 8]
    assert found.patterns[1][:, :3].tolist() == [[0.5, 0.5, 0], [0, 0, 1]]
    all_four = borrow(parts, shares, 4, alike)
    assert all_four.edges.toarray()[:, 0].tolist() == [1.5, 0, -4.5, 0]
    assert borrow(parts, shares[:0], 4, alike).edges.shape == (4, 0)
