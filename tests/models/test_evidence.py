from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from firstedge.loaders.split import split_users
from firstedge.models import closed_forms, evidence, patterns
from firstedge.models.evidence import (
    EvidenceOptions,
    build_evidence,
    choose_evidence,
    far_walks,
)
from firstedge.models.factors import IALS
from firstedge.models.train import Learner, TrainOptions
from tests.models.tastes import taste_shop


@pytest.fixture(scope="module")
def learner() -> Learner:
    shop = taste_shop()
    return Learner(shop, split_users(shop), TrainOptions(ks=(0, 1, 2, 3)))


def test_ease_over_several_blocks_is_its_formula(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(closed_forms, "_MIRRORED", 4)
    rng = np.random.default_rng(0)
    x = sparse.csr_array((rng.random((50, 11)) < 0.3).astype(np.float32))
    inverse = np.linalg.inv((x.T @ x).toarray().astype(np.float64) + 5 * np.eye(11))
    expected = -inverse / np.diag(inverse)
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(closed_forms.ease(x, 5.0), expected, rtol=1e-4, atol=1e-6)


def by_hand(walks: np.ndarray, passed: int, onward: int) -> np.ndarray:
    """Where two rounds lead, step by step."""
    found = np.zeros_like(walks)
    for i, row in enumerate(walks):
        through = np.argsort(-row, kind="stable")[:passed]
        for j in through:
            on = np.argsort(-walks[j], kind="stable")[:onward]
            found[i, on] += row[j] / max(row[through].sum(), 1e-30) * walks[j, on]
        found[i, i] = 0
    return found


@pytest.mark.parametrize("cells", [1, 1 << 22])
def test_far_walks_go_on_where_walks_end(monkeypatch: pytest.MonkeyPatch, cells: int) -> None:
    monkeypatch.setattr("firstedge.models.edges._BLOCK_CELLS", cells)
    monkeypatch.setattr(evidence, "_PASSED", 3)
    monkeypatch.setattr(evidence, "_ONWARD", 4)
    rng = np.random.default_rng(0)
    walks = rng.random((12, 12), np.float32) * (rng.random((12, 12)) < 0.5)
    walks[5] = 0
    np.fill_diagonal(walks, 0)
    found = far_walks(sparse.csr_array(walks), 12, np.ones(12, np.float32)).toarray()
    np.testing.assert_allclose(found, by_hand(walks, 3, 4), rtol=1e-5, atol=1e-7)
    some = far_walks(sparse.csr_array(walks), 2, np.ones(12, np.float32))
    assert np.diff(some.indptr).max() == 2
    assert some.max(axis=1).toarray().tolist() == found.max(axis=1).tolist()


def test_a_large_catalogue_has_further_sorts_of_edges(
    learner: Learner, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = EvidenceOptions(factors=IALS(factors=4), frequencies=0.5, most_edges=7)
    choice, _ = choose_evidence(learner.data, learner.arena, options)
    assert (choice.factors, choice.most_edges, choice.far_walks) == (None, 60, False)
    assert list(build_evidence(learner.data, choice).edges) == ["bayes", "walks"]
    monkeypatch.setattr(patterns, "FULL_CELLS", 60**2 - 1)
    choice, _ = choose_evidence(learner.data, learner.arena, options)
    assert (choice.factors, choice.most_edges, choice.far_walks) == (IALS(factors=4), 7, False)
    assert choice.frequencies == round(0.5 * len(learner.split.train) ** 0.5)
    edges = build_evidence(learner.data, choice).edges
    assert list(edges) == ["bayes", "walks", "factors", "spectrum"]
    for name in ("factors", "spectrum"):
        assert np.diff(edges[name].indptr).max() == 7
        assert edges[name].max(axis=1).toarray().mean() == pytest.approx(1, rel=1e-4)
    monkeypatch.setattr(evidence, "MOST_FREQUENCIES", 2)
    choice, _ = choose_evidence(learner.data, learner.arena, options)
    assert choice.frequencies == 2
    monkeypatch.setattr(evidence, "FACTORS_MOST_ITEMS", 59)
    monkeypatch.setattr(evidence, "MOST_EDGES", 60 * 3)
    choice, _ = choose_evidence(learner.data, learner.arena, options)
    assert (choice.factors, choice.frequencies, choice.most_edges) == (None, 0, 3)
    edges = build_evidence(learner.data, choice).edges
    assert list(edges) == ["bayes", "walks", "far_walks"]
    assert np.diff(edges["far_walks"].indptr).max() == 3
    assert edges["far_walks"].max(axis=1).toarray().mean() == pytest.approx(1, rel=1e-4)
