from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from firstedge.graph.errors import SettingsError, UnknownId
from firstedge.graph.store import open_store
from firstedge.models.scorer import Scorer
from firstedge.serving.recommender import Recommender
from firstedge.serving.store_users import StoreUsers, read_query, read_users
from firstedge.serving.vector_file import write_vectors
from tests.models.bundles import random_bundle
from tests.serving.stores import NUM_USERS, write_store

BUNDLE = random_bundle()


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shop") / "shop.lbug"
    write_store(path, BUNDLE)
    return path


@pytest.fixture(scope="module")
def known(shop: Path) -> StoreUsers:
    with open_store(str(shop), BUNDLE.schema, read_only=True) as store:
        return read_users(store, BUNDLE)


def test_all_users_as_arrays_are_each_user_as_a_query(shop: Path, known: StoreUsers) -> None:
    vectors = Scorer(BUNDLE).embed_users(known.users)
    scores = Scorer(BUNDLE).score(known.users)
    recommender = Recommender(BUNDLE)
    with open_store(str(shop), BUNDLE.schema, read_only=True) as store:
        for row, user in enumerate(known.ids):
            query = read_query(store, BUNDLE, user)
            np.testing.assert_array_equal(recommender.embed_users([query])[0], vectors[row])
            every = recommender.score(query, BUNDLE.items.ids)
            np.testing.assert_array_equal(every, scores[row])


def test_what_the_bundle_does_not_know_is_counted(known: StoreUsers) -> None:
    assert len(known.ids) == NUM_USERS
    assert known.users.given.counts[0] == 0
    assert known.skipped["event on an unknown item"] > 0
    # Of five countries in turn only UK and DE are in the bundle.
    assert np.diff(known.users.profile_offsets).tolist() == [1, 1, 0, 0, 0] * 8
    assert known.users.profile_rows.tolist() == [1, 0] * 8


def test_a_user_who_is_not_there(shop: Path) -> None:
    with (
        open_store(str(shop), BUNDLE.schema, read_only=True) as store,
        pytest.raises(UnknownId, match="user id 'nobody' is not in the store"),
    ):
        read_query(store, BUNDLE, "nobody")


def test_vectors_in_a_file(tmp_path: Path) -> None:
    vectors = np.arange(6, dtype=np.float32).reshape(3, 2)
    path = tmp_path / "users.parquet"
    for _ in range(2):  # the second replaces the first
        write_vectors(path, ["a", "b", "c"], vectors)
    table = pq.read_table(path)
    assert table["id"].to_pylist() == ["a", "b", "c"]
    assert table["vector"].to_pylist() == [[0, 1], [2, 3], [4, 5]]
    assert [p.name for p in tmp_path.iterdir()] == ["users.parquet"]
    with pytest.raises(SettingsError, match="cannot write"):
        write_vectors(tmp_path / "none" / "users.parquet", ["a", "b", "c"], vectors)
