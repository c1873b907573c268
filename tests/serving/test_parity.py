"""Through a real channel the ranking is the library's, whatever is known of the user."""

from __future__ import annotations

import numpy as np
import pytest

from firstedge.serving.client import Client
from firstedge.serving.query import Query, joined
from firstedge.serving.recommender import Recommender
from firstedge.serving.store_users import read_query
from tests.serving.places import BUNDLE, LASTING, Place
from tests.serving.questions import random_filter, random_query
from tests.serving.servers import running


def compare(place: Place, number: int, seed: int) -> None:
    """Ask for so many combinations of user, k and filter, half of them users of the store."""
    print(f"seed {seed}")
    library, rng = Recommender(BUNDLE), np.random.default_rng(seed)
    with place.open() as store:
        ids = store.read("users")["id"].to_pylist()
        known = {id_: read_query(store, BUNDLE, id_) for id_ in ids}
    with running(place.options()) as (address, _), Client(address, LASTING) as client:
        for turn in range(number):
            said = Query() if turn % 3 == 0 else random_query(rng)
            filter_, k = random_filter(rng), int(rng.integers(1, 40))
            user = ids[rng.integers(len(ids))] if turn % 2 == 0 else ""
            query = joined(known[user], said) if user else said
            reasons = turn % 5 == 0
            expected = library.recommend(query, k, filter_, reasons)
            ranking = client.recommend(said, k, filter_, reasons, user=user)
            assert ranking.ids == expected.ids
            np.testing.assert_array_equal(ranking.scores, expected.scores)
            assert ranking.as_dict() == expected.as_dict()


def test_the_ranking_is_the_librarys(place: Place) -> None:
    compare(place, 100, seed=12)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_a_thousand_rankings_are_the_librarys(place: Place) -> None:
    compare(place, 1_000, seed=13)
