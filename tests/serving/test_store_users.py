from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from firstedge.graph.errors import SettingsError, UnknownId
from firstedge.graph.store import open_store
from firstedge.models.scorer import Scorer
from firstedge.serving.query import Event
from firstedge.serving.recommender import Recommender
from firstedge.serving.store_users import StoreUsers, read_query, read_users
from firstedge.serving.vector_file import write_vectors
from tests.models.bundles import random_bundle
from tests.serving.stores import NUM_USERS, fill_items, write_store

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


def test_a_return_takes_back_an_event_of_no_weight(tmp_path: Path) -> None:
    path = tmp_path / "shop.lbug"
    item = BUNDLE.items.ids[4]
    rows = [("purchase", 1, 2.0), ("purchase", 2, 0.0), ("return", 3, 0.0)]
    events = {
        "user": ["ada"] * 3,
        "target": [item] * 3,
        "kind": [kind for kind, _, _ in rows],
        "time": [time for _, time, _ in rows],
        "seq": [0] * 3,
        "weight": [weight for _, _, weight in rows],
        "key": ["a", "b", "c"],
    }
    with open_store(str(path), BUNDLE.schema) as store:
        fill_items(store, BUNDLE)
        store.write("users", pa.table({"id": ["ada"]}))
        store.write("events", pa.table(events))
        given = read_users(store, BUNDLE).users.given
        query = read_query(store, BUNDLE, "ada")
    assert given.targets.tolist() == [4]
    assert query.events == (Event(item, kind="purchase", at=1, weight=2.0),)


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
    with pytest.raises(SettingsError, match=r"cannot write .*users.parquet: .*No such file"):
        write_vectors(tmp_path / "none" / "users.parquet", ["a", "b", "c"], vectors)
