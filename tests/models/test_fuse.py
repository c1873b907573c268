"""Of several mixtures of edges the one is kept that answers best after pruning."""

from __future__ import annotations

import numpy as np
import pytest

from firstedge.loaders.split import split_users
from firstedge.models import fuse as fuse_module
from firstedge.models.assemble import Draft
from firstedge.models.baselines import Popularity
from firstedge.models.fuse import STARTS, FuseOptions, Fusion, finish, fuse
from firstedge.models.fusion import Arena
from firstedge.models.scorer import Scorer
from firstedge.models.train import Learner
from tests.models.drafts import OPTIONS, draft_of
from tests.models.tastes import taste_shop

# So few edges that pruning costs something.
HOW = FuseOptions(most_edges=3, half_life=0.0)


@pytest.fixture(scope="module")
def learner() -> Learner:
    shop = taste_shop()
    return Learner(shop, split_users(shop), OPTIONS)


@pytest.fixture(scope="module")
def draft(learner: Learner) -> Draft:
    return draft_of(learner)


@pytest.fixture(scope="module")
def fusion(learner: Learner, draft: Draft) -> Fusion:
    return fuse(draft, learner.wide, HOW)


def test_the_mixture_is_kept_that_is_best_after_pruning(
    learner: Learner, draft: Draft, fusion: Fusion, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone: list[Fusion] = []
    for start in STARTS:
        monkeypatch.setattr(fuse_module, "STARTS", (start,))
        alone.append(fuse(draft, learner.wide, HOW))
    objectives = [one.objective for one in alone]
    assert len(set(objectives)) > 1  # so that the choice is one
    best = alone[int(np.argmax(objectives))]
    # All 60 items are in the pool of each.
    assert fusion.objective == pytest.approx(max(objectives))
    assert fusion.mix == pytest.approx(best.mix)
    assert fusion.coefficients == best.coefficients
    assert fusion.trials == sum(one.trials for one in alone)


def test_the_objective_is_what_the_bundle_reaches(
    learner: Learner, draft: Draft, fusion: Fusion
) -> None:
    bundle = finish(draft, fusion)
    assert np.diff(bundle.edges.offsets).max() == 3
    assert learner.wide.ndcg(Scorer(bundle).score) == pytest.approx(fusion.objective, abs=1e-5)


def test_what_no_request_shows_has_a_usual_weight(learner: Learner, draft: Draft) -> None:
    blind = fuse(draft, learner.first, HOW)  # validation users of whom nothing is given
    assert blind.mix == {name: STARTS[0][name] for name in draft.evidence.edges}
    assert blind.coefficients.prior == STARTS[0]["prior"]
    popularity = Popularity().fit(learner.data)
    later = Arena(learner.cases.cases[1:], learner.held.train.num_items)
    told = later.ndcg(Scorer(finish(draft, blind)).score)
    assert told > 1.2 * later.ndcg(popularity.score)
