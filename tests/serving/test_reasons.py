from __future__ import annotations

import json
import math

import pytest

from firstedge.serving.filter import Filter
from firstedge.serving.query import Event, Query
from firstedge.serving.reasons import Explanation, Reason
from firstedge.serving.recommender import LISTED_REASONS, Recommender
from tests.serving.shops import tiny_bundle
from tests.serving.test_recommender import RANDOM, random_queries

TINY = Recommender(tiny_bundle())
CUP, RAKE = Event(item="cup", at=1), Event(item="rake", at=2)


def by_path(explanation: Explanation) -> dict[str, Reason]:
    return {reason.path: reason for reason in explanation.reasons}


def test_shares_by_hand() -> None:
    why = TINY.explain(Query([CUP, RAKE, Event(category="kitchen", at=3)]), "pan")
    third = 3**-0.5
    paths = {reason.id: (reason.path, reason.share, reason.count) for reason in why.reasons}
    assert paths == {
        "rake": ("similar", pytest.approx(0.5 * third * 3), 0),
        "cup": ("together", pytest.approx(0.5 * third * (2 + 0.5)), 7),
        "kitchen": ("interest", pytest.approx(third * 1), 0),
        "": ("popular", pytest.approx(-2), 30),
    }
    assert str(why) == "similar to Rake and chosen together with Cup by 7 users"
    assert [r.id for r in why.reasons] == ["rake", "cup", "kitchen", ""]


def test_each_path_has_its_words() -> None:
    again = by_path(TINY.explain(Query([CUP]), "cup"))["again"]
    assert (again.share, str(again)) == (pytest.approx(4.5), "you had it before")
    profile = by_path(TINY.explain(Query(profile={"country": "UK"}), "rake"))["profile"]
    assert (profile.share, str(profile)) == (0.5, "from your profile country=UK")
    assert str(TINY.explain(Query(), "rake")) == "chosen by 20 users"
    category = by_path(TINY.explain(Query([Event(item="seed")]), "rake"))["category"]
    assert (category.via, str(category)) == ("Garden", "in Garden like Seed")
    interest = by_path(TINY.explain(Query([Event(category="home")]), "cup"))
    assert list(interest) == ["popular"]  # no lift from home to kitchen, so no share
    interest = by_path(TINY.explain(Query([Event(category="kitchen")]), "cup"))
    assert str(interest["interest"]) == "in Kitchen"
    assert str(Reason("popular", "", "", -9.0)) == "new here"
    assert str(Reason("together", "a", "A", 1.0, 1)) == "chosen together with A by 1 user"


def test_shares_add_up_to_the_score() -> None:
    for query in random_queries(30):
        ranking = RANDOM.recommend(query, 6, Filter(exclude_given=False), reasons=True)
        for place, short in enumerate(ranking.reasons):
            full = RANDOM.explain(query, ranking.ids[place])
            assert full.score == short.score == float(ranking.scores[place])
            for why in (short, full):
                assert math.fsum(r.share for r in why.reasons) == pytest.approx(
                    why.score, abs=1e-12
                )
            # Nothing but rounding went to the prior, which does not depend on what is listed.
            prior, other = by_path(short)["popular"].share, by_path(full)["popular"].share
            assert prior == pytest.approx(other, abs=1e-6)


def test_a_long_history_is_told_in_its_strongest_shares() -> None:
    events = [Event(item=f"i{row:03d}") for row in range(25)]
    short = RANDOM.recommend(Query(events), 3, reasons=True).reasons[0]
    full = RANDOM.explain(Query(events), short.id)
    listed = [r for r in short.reasons if r.path not in ("popular", "others")]
    strongest = [r for r in full.reasons if r.path != "popular"]
    assert listed == strongest[:LISTED_REASONS]
    assert short.reasons[-1].path == "others"
    assert short.reasons[-1].count == len(strongest) - LISTED_REASONS


def test_what_the_prior_says_alone_is_the_score_of_a_stranger() -> None:
    why = RANDOM.explain(Query(), "i003")
    assert [r.path for r in why.reasons] == ["popular"]
    assert why.reasons[0].share == why.score


def test_it_is_json() -> None:
    ranking = TINY.recommend(Query([CUP]), 2, reasons=True)
    data = json.loads(json.dumps(ranking.as_dict()))
    assert data["items"][0]["because"] == "chosen together with Cup by 7 users"
    assert data["items"][0]["reasons"][0]["count"] == 7
    assert data["unused"] == {"items": 0, "categories": 0, "profile": 0, "text": False}
