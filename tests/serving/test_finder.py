"""What the finder answers is, to the last bit, what scoring and sorting everything gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from firstedge.models.bundle import Bundle, Coefficients
from firstedge.models.scorer import Scorer
from firstedge.serving import finder
from firstedge.serving.finder import Finder, Wanted
from tests.models.bundles import random_bundle
from tests.models.test_scorer import batch

LARGE = random_bundle(num_items=5_000, num_categories=6)


def assert_exact(bundle: Bundle, seed: int, at_once: int = 16) -> None:
    scorer, rng = Scorer(bundle), np.random.default_rng(seed)
    users, n = batch(bundle, 16, seed), len(bundle.items)
    masks = (None, rng.random(n) < 0.5, rng.random(n) < 3 / n)
    wanted = [
        Wanted(int(rng.integers(1, 40)), masks[rng.integers(3)], bool(rng.integers(2)))
        for _ in range(len(users))
    ]
    scores, finder = scorer.score(users), Finder(scorer)
    answers = []
    for start in range(0, len(users), at_once):
        some = slice(start, min(start + at_once, len(users)))
        answers += finder.find(users.take(some.start, some.stop), wanted[some])
    for user, (found, one) in enumerate(zip(answers, wanted, strict=True)):
        allowed = np.ones(n, np.bool_) if one.mask is None else one.mask.copy()
        if one.exclude_given:
            given = users.take(user, user + 1).given.targets
            allowed[given[given < n]] = False
        rows = np.flatnonzero(allowed)
        rows = rows[np.lexsort((rows, -scores[user, rows]))[: one.k]]
        assert found.rows.tolist() == rows.tolist()
        np.testing.assert_array_equal(found.scores, scores[user, rows])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("at_once", [1, 4, 16])
@pytest.mark.parametrize("bundle", [random_bundle(), LARGE], ids=["small", "large"])
def test_it_is_what_scoring_everything_gives(bundle: Bundle, seed: int, at_once: int) -> None:
    assert_exact(bundle, seed, at_once)


CHANGES = {
    "no net": {"coefficients": Coefficients(prior=0.7, category=0.4, profile=0.3)},
    "prior alone": {"coefficients": Coefficients()},
    "tiny": {"w": LARGE.w * np.float32(1e-38)},
    "huge": {"w": LARGE.w * np.float32(1e6)},
    "endless": {"w": LARGE.w * np.float32(1e37)},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")
def test_terms_may_be_missing_or_huge(change: dict[str, np.ndarray]) -> None:
    assert_exact(replace(LARGE, **change), 5)


def test_where_nothing_tells_items_apart_the_lower_rows_come_first() -> None:
    flat = replace(LARGE, coefficients=Coefficients(prior=0))
    users = batch(flat, 3).take(0, 1)
    (found,) = Finder(Scorer(flat)).find(users, [Wanted(5)])
    assert found.rows.tolist() == [0, 1, 2, 3, 4]


def test_scores_that_rounding_could_turn_are_told_apart_exactly(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    near = LARGE.w[:1] + np.zeros_like(LARGE.w)
    near[:, 0] += np.float32(1e-7) * np.random.default_rng(0).integers(0, 9, len(near))
    alike = replace(LARGE, w=near, b=np.zeros_like(LARGE.b), prior=np.zeros_like(LARGE.prior))
    assert_exact(alike, 6)
    monkeypatch.setattr(finder, "_MOST", 100_000)
    assert_exact(alike, 6)


def test_pairs_score_as_in_the_whole() -> None:
    scorer, users = Scorer(LARGE), batch(LARGE, 8)
    rng = np.random.default_rng(2)
    of = np.repeat(np.arange(8), 50)
    items = np.concatenate([np.sort(rng.choice(5_000, 50, replace=False)) for _ in range(8)])
    pairs = scorer.score_pairs(scorer.terms(users), of, items)
    np.testing.assert_array_equal(pairs, scorer.score(users)[of, items])
