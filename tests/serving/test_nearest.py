"""Approximate answers miss little, and are never wrong about a score or a filter."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest

from benchmarks.made_shop import Shape, build_bundle
from firstedge.graph.vocabulary import Vocabulary
from firstedge.models.bundle import ItemTable
from firstedge.models.edges import Edges
from firstedge.models.scorer import Scorer, UserBatch
from firstedge.serving.filter import Filter, Range
from firstedge.serving.finder import Finder, Wanted
from firstedge.serving.nearest import Nearest, NearestOptions
from firstedge.serving.query import Event, Query
from firstedge.serving.recommender import Recommender
from tests.models.test_scorer import batch

BUNDLE = build_bundle(Shape(items=8_000, categories=30, edges=20), np.random.default_rng(1))
SCORER = Scorer(BUNDLE)
NEAREST = Nearest(SCORER)


def users(seed: int = 3) -> UserBatch:
    return batch(BUNDLE, 60, seed)


def test_what_is_found_is_most_of_the_best_and_has_its_exact_score() -> None:
    asked = users()
    wanted = [Wanted(20)] * len(asked)
    scores, hits = SCORER.score(asked), 0
    best = Finder(SCORER).find(asked, wanted)
    for user, (found, exact) in enumerate(zip(NEAREST.find(asked, wanted), best, strict=True)):
        np.testing.assert_array_equal(found.scores, scores[user, found.rows])
        assert np.all(np.diff(found.scores) <= 0)
        hits += len(set(found.rows.tolist()) & set(exact.rows.tolist()))
    assert hits >= 0.97 * 20 * len(asked)
    assert NEAREST.probes < 200  # of 358 cells


@pytest.mark.parametrize("share", [0.5, 0.05, 0.005])
def test_only_what_the_filter_lets_through_is_answered_and_enough_of_it(share: float) -> None:
    asked, rng = users(4), np.random.default_rng(5)
    mask = rng.random(8_000) < share
    wanted = [Wanted(20, mask)] * len(asked)
    best = Finder(SCORER).find(asked, wanted)
    hits = 0
    for user, (found, exact) in enumerate(zip(NEAREST.find(asked, wanted), best, strict=True)):
        given = asked.take(user, user + 1).given.targets
        assert mask[found.rows].all()
        assert not np.isin(found.rows, given).any()
        assert len(found.rows) == len(exact.rows)
        hits += len(set(found.rows.tolist()) & set(exact.rows.tolist()))
    assert hits >= 0.97 * sum(len(one.rows) for one in best)


def test_where_few_may_be_answered_nothing_is_missed() -> None:
    asked = users(6)
    mask = np.arange(8_000) % 50 == 0
    few = [Wanted(20, mask & (np.arange(8_000) < 900)), Wanted(300, mask)] * (len(asked) // 2)
    for found, exact in zip(NEAREST.find(asked, few), Finder(SCORER).find(asked, few), strict=True):
        assert found.rows.tolist() == exact.rows.tolist()
        np.testing.assert_array_equal(found.scores, exact.scores)


def test_more_recall_takes_more_probes() -> None:
    assert Nearest(SCORER, NearestOptions(recall=0.5)).probes <= NEAREST.probes
    assert Nearest(SCORER, NearestOptions(recall=1.0)).probes >= NEAREST.probes


def test_the_recommender_answers_approximately() -> None:
    exact, near = Recommender(BUNDLE), Recommender(BUNDLE, approximate=True)
    query = Query([Event(item=BUNDLE.items.ids[row]) for row in (5, 99, 7_000)])
    allowed = Filter(properties={"price": Range(max=30)}, categories=["c0001", "c0002"])
    assert (
        near.recommend(query, 10, allowed).as_dict()
        == exact.recommend(query, 10, allowed).as_dict()
    )
    ranking = near.recommend(query, 20, reasons=True)
    for explanation, score in zip(ranking.reasons, ranking.scores.tolist(), strict=True):
        assert sum(reason.share for reason in explanation.reasons) == pytest.approx(score, abs=1e-5)


def test_items_that_come_later_are_found_without_building_anew() -> None:
    fewer = build_bundle(Shape(items=7_900, categories=30, edges=20), np.random.default_rng(1))
    grown = replace(
        fewer,
        items=Vocabulary((*fewer.items.ids, "late")),
        table=_longer(fewer.table),
        prior=np.append(fewer.prior, np.float32(-9)),
        b=np.append(fewer.b, np.float32(0)),
        w=np.vstack((fewer.w, 2 * fewer.w[17:18])),
        v=np.insert(fewer.v, 7_900, fewer.v[17], axis=0),
        edges=_wider(fewer.edges, 1),
        profile_lifts=_wider(fewer.profile_lifts, 0),
    )
    near, exact = Recommender(fewer, approximate=True).of(grown), Recommender(grown)
    query = Query([Event(item=fewer.items.ids[17])])
    late = Filter(allowed=["late"])
    assert near.recommend(query, 5, late).as_dict() == exact.recommend(query, 5, late).as_dict()
    best = exact.recommend(query, 20)
    assert "late" in best.ids
    assert len(set(near.recommend(query, 20)) & set(best)) >= 19
    assert "late" in near.recommend(query, 20).ids


def _wider(edges: Edges, sources: int) -> Edges:
    offsets = np.append(edges.offsets, np.repeat(edges.offsets[-1], sources))
    return replace(edges, offsets=offsets, num_targets=edges.num_targets + 1)


def _longer(table: ItemTable) -> ItemTable:
    return replace(
        table,
        titles=(*table.titles, "late"),
        counts=np.append(table.counts, np.int32(0)),
        available=np.append(table.available, True),
        primary=np.append(table.primary, np.int32(-1)),
        memberships=replace(
            table.memberships,
            offsets=np.append(table.memberships.offsets, table.memberships.offsets[-1]),
        ),
        properties={"price": (*table.properties["price"], 3)},
    )


WITHOUT_FAISS = """
import sys
sys.modules["faiss"] = None
import firstedge as fe
try:
    import firstedge.serving.nearest
except fe.MissingDependency as error:
    print(error)
"""


def test_without_faiss_it_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_FAISS], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip().endswith("pip install 'firstedge[ann]'")
