"""Of several mixtures of edges the one is kept that answers best after pruning."""

from __future__ import annotations

import numpy as np
import pytest

from firstedge.loaders.split import split_users
from firstedge.models import fuse as fuse_module
from firstedge.models.assemble import Draft, Learned
from firstedge.models.closed_forms import NaiveBayes
from firstedge.models.evidence import EvidenceChoice, build_evidence
from firstedge.models.fit import FitOptions
from firstedge.models.fuse import STARTS, FuseOptions, Fusion, finish, fuse
from firstedge.models.net import NetOptions
from firstedge.models.scorer import Scorer
from firstedge.models.train import Learner, TrainOptions
from tests.models.tastes import taste_shop

OPTIONS = TrainOptions(
    net=NetOptions(dim=8), fit=FitOptions(epochs=1, device="cpu"), ks=(0, 1, 3), least_users=10
)
# So few edges that pruning costs something.
HOW = FuseOptions(most_edges=3, half_life=0.0)


@pytest.fixture(scope="module")
def learner() -> Learner:
    shop = taste_shop()
    return Learner(shop, split_users(shop), OPTIONS)


@pytest.fixture(scope="module")
def draft(learner: Learner) -> Draft:
    """With a net that was hardly trained."""
    graph = learner.graph()
    learned = Learned.of_net(learner.fit_net(graph).net, graph)
    choice = EvidenceChoice(NaiveBayes(), (0.5, 0.3), None, 60)
    return learner.draft(learned, build_evidence(learner.data, choice))


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
