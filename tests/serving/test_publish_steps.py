"""Publishing step by step: what readers see meanwhile, going back, new items, taking it out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from firstedge.graph.errors import (
    BundleError,
    SettingsError,
    StoreError,
    StoreUnavailable,
    StoreUnsupported,
)
from firstedge.graph.neo4j_publication import Publication
from firstedge.graph.neo4j_slots import Slot
from firstedge.graph.neo4j_store import Neo4jStore
from firstedge.graph.store import open_store
from firstedge.models.bundle import Bundle
from firstedge.serving.publish import (
    PublishOptions,
    publish,
    roll_back,
    unpublish,
)
from tests.conftest import NEO4J_VERSIONS, wipe
from tests.serving.published import Library, ask, difference, fill, shop_bundle

ITEMS = 120
FEW = PublishOptions(strangers=5)


@pytest.fixture(scope="module")
def server(neo4j_servers: Any) -> Iterator[Any]:
    found = neo4j_servers.of(NEO4J_VERSIONS[0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEO4J_PASSWORD", found.password)
        wipe(found.url, found.password)
        fill(found.url, shop_bundle(ITEMS))
        yield found


@pytest.fixture
def store(server: Any) -> Iterator[Neo4jStore]:
    bundle = shop_bundle(ITEMS)
    with Neo4jStore(server.url, bundle.schema) as opened:
        unpublish(opened, bundle.schema)
        yield opened


def test_readers_see_the_old_version_until_the_new_one_is_whole(store: Neo4jStore) -> None:
    old, new = shop_bundle(ITEMS), shop_bundle(ITEMS, 4)
    publish(store, old, "old", FEW)
    seen: list[str] = []
    library = Library.of(store, old)

    def look(what: str, done: int, total: int) -> None:
        seen.append(what)
        assert not difference(store, library, "new5")

    done = publish(store, new, "new", replace(FEW, progress=look))
    assert {"item vectors", "category vectors", "edges"} <= set(seen)
    assert (done.slot, done.edges) == ("b", len(new.edges))
    assert not difference(store, Library.of(store, new), "new5")
    assert roll_back(store, old.schema) == "old"
    assert not difference(store, library, "new5")
    assert roll_back(store, old.schema) == "new"


def test_there_may_be_nothing_to_go_back_to(store: Neo4jStore) -> None:
    bundle = shop_bundle(ITEMS)
    with pytest.raises(StoreError, match="nothing is published"):
        roll_back(store, bundle.schema)
    publish(store, bundle, "only", FEW)
    with pytest.raises(StoreError, match="no version before"):
        roll_back(store, bundle.schema)


def test_unpublish_leaves_the_graph_as_it_was(store: Neo4jStore) -> None:
    bundle = shop_bundle(ITEMS)
    before = everything(store)
    for seed in (3, 4):
        publish(store, shop_bundle(ITEMS, seed), f"{seed}", replace(FEW, users=True))
    assert everything(store) != before
    unpublish(store, bundle.schema)
    assert everything(store) == before


def test_vectors_of_users_are_written_on_request(store: Neo4jStore) -> None:
    bundle = shop_bundle(ITEMS)
    done = publish(store, bundle, "users", replace(FEW, users=True))
    library = Library.of(store, bundle)
    assert done.users == len(library.users.ids)
    rows = ask(store, "MATCH (u:User) RETURN u.id AS id, u.firstedge_a_vector AS vector")
    from firstedge.models.scorer import Scorer

    expected = Scorer(bundle).embed_users(library.users.users)
    for row in rows:
        assert row["vector"] == pytest.approx(expected[library.users.ids.row(row["id"])], abs=1e-5)


def test_new_items_join_what_is_published(store: Neo4jStore) -> None:
    whole = shop_bundle(ITEMS)
    known = np.arange(ITEMS) < ITEMS - 9
    publish(store, without(whole, known), "most", FEW)
    done = publish(store, newcomers(whole, known), options=replace(FEW, items=True))
    assert (done.items, done.version, done.slot) == (9, "most", "a")
    assert not difference(store, Library.of(store, newcomers(whole, known)), "u00")
    again = publish(store, newcomers(whole, known), options=replace(FEW, items=True))
    assert (again.items, again.changed) == (0, False)
    other = replace(whole, c=whole.c + 1)
    with pytest.raises(BundleError, match="publish the whole model"):
        publish(store, other, options=replace(FEW, items=True))


def test_new_items_that_were_cut_off_join_the_next_time(
    store: Neo4jStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = shop_bundle(ITEMS)
    known = np.arange(ITEMS) < ITEMS - 9
    old, new = without(whole, known), newcomers(whole, known)
    publish(store, old, "most", FEW)
    library, honest = Library.of(store, old), Publication._guarded
    calls: list[str] = []

    def guarded(self: Publication, slot: Slot, query: str, values: Any) -> None:
        calls.append(values["property"])
        if len(calls) == 2:
            raise StoreUnavailable("the server was killed")
        honest(self, slot, query, values)

    monkeypatch.setattr(Publication, "_guarded", guarded)
    with pytest.raises(StoreUnavailable):
        publish(store, new, options=replace(FEW, items=True))
    assert calls == [Slot("a").input, Slot("a").vector]  # an item is there once it has a vector
    assert not difference(store, library, "u00")
    done = publish(store, new, options=replace(FEW, items=True))
    assert (done.items, done.changed) == (9, True)
    assert not difference(store, Library.of(store, new), "u00")


def test_of_two_runs_the_later_one_goes_on(store: Neo4jStore) -> None:
    bundle = shop_bundle(ITEMS)
    first, second = (Publication(store.link, bundle.schema) for _ in range(2))
    first.prepare()
    first.claim(Slot("a"))
    second.claim(Slot("a"))
    with pytest.raises(StoreError, match="another run"):
        first.write_values(Slot("a"), ["country=UK"], np.ones((1, 16), np.float32))
    with pytest.raises(StoreError, match="another run"):
        first.finish(Slot("a"), {})
    second.finish(Slot("a"), {"version": "second"})
    assert [model.version for model in second.models()] == ["second"]


def test_an_index_of_another_dimension_is_told_of_and_mended(store: Neo4jStore) -> None:
    bundle, slot = shop_bundle(ITEMS), Slot("a")
    publish(store, bundle, "old", FEW)
    [dim] = [row["n"] for row in ask(store, "MATCH (m:FirstedgeModel) RETURN m.dim AS n")]
    replace_index(store, slot, slot.index, dim - 1)
    told = f"{slot.index} takes vectors of {dim - 1} numbers, those of the model have {dim}"
    with pytest.raises(StoreError, match=f"{told}: publish the whole model"):
        publish(store, bundle, options=replace(FEW, items=True))
    done = publish(store, bundle, "old", FEW)
    assert (done.changed, done.slot) == (True, "b")
    assert not difference(store, Library.of(store, bundle), "new5")
    with pytest.raises(StoreError, match=told):
        roll_back(store, bundle.schema)
    drop_index(store, slot.index)
    with pytest.raises(StoreError, match=f"the index {slot.index} is gone"):
        roll_back(store, bundle.schema)
    assert not difference(store, Library.of(store, bundle), "new5")


def test_an_index_in_the_place_of_ours_is_named(store: Neo4jStore) -> None:
    bundle, slot = shop_bundle(ITEMS), Slot("b")
    publish(store, bundle, "old", FEW)
    replace_index(store, slot, "mine", 64)
    with pytest.raises(StoreError, match=f"the index mine has the place of {slot.index}: drop it"):
        publish(store, shop_bundle(ITEMS, 4), "new", FEW)
    assert not difference(store, Library.of(store, bundle), "new5")
    drop_index(store, "mine")
    assert publish(store, shop_bundle(ITEMS, 4), "new", FEW).slot == "b"


def test_publishing_needs_a_server_that_knows_its_indexes(
    store: Neo4jStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store.link, "version", (5, 25))
    with pytest.raises(StoreUnsupported, match=r"publishing needs Neo4j 5\.26 or later.*is 5\.25"):
        publish(store, shop_bundle(ITEMS))


def drop_index(store: Neo4jStore, name: str) -> None:
    store.link.constrain(f"DROP INDEX {name} IF EXISTS")  # type: ignore[arg-type]


def replace_index(store: Neo4jStore, slot: Slot, name: str, dim: int) -> None:
    """Another vector index in place of a slot's."""
    drop_index(store, slot.index)
    options = {"indexConfig": {"vector.dimensions": dim, "vector.similarity_function": "cosine"}}
    query = f"CREATE VECTOR INDEX {name} FOR (n:Item) ON (n.{slot.vector}) OPTIONS $options"
    store.link.constrain(query, {"options": options})  # type: ignore[arg-type]


def test_only_neo4j_takes_a_publication(tmp_path: Any) -> None:
    bundle = shop_bundle(ITEMS)
    with (
        open_store(str(tmp_path / "shop.lbug"), bundle.schema) as embedded,
        pytest.raises(SettingsError, match="publishing goes to Neo4j"),
    ):
        publish(embedded, bundle)


def everything(store: Neo4jStore) -> list[Any]:
    """All nodes, relationships, indexes and constraints, as comparable values."""
    return [
        ask(
            store, "MATCH (n) RETURN labels(n) AS l, properties(n) AS p ORDER BY toString(n.id), l"
        ),
        ask(store, "MATCH ()-[e]->() RETURN type(e) AS t, count(e) AS n ORDER BY t"),
        ask(store, "SHOW INDEXES YIELD name RETURN name ORDER BY name"),
        ask(store, "SHOW CONSTRAINTS YIELD name RETURN name ORDER BY name"),
    ]


def without(bundle: Bundle, keep: np.ndarray[Any, Any]) -> Bundle:
    """A bundle of some of its items, without item edges."""
    from firstedge.graph.vocabulary import Vocabulary
    from firstedge.models.edges import Edges

    n, rows = len(bundle.items), np.flatnonzero(keep)
    table = replace(
        bundle.table,
        titles=tuple(bundle.table.titles[row] for row in rows),
        counts=bundle.table.counts[rows],
        available=bundle.table.available[rows],
        primary=bundle.table.primary[rows],
        memberships=Edges.of(bundle.table.memberships.matrix()[rows]),
        properties={k: tuple(v[row] for row in rows) for k, v in bundle.table.properties.items()},
    )
    return replace(
        bundle,
        items=Vocabulary(tuple(bundle.items.ids[row] for row in rows)),
        table=table,
        prior=bundle.prior[rows],
        w=bundle.w[rows],
        b=bundle.b[rows],
        v=np.concatenate((bundle.v[:n][rows], bundle.v[n:])),
        edges=Edges.none(len(rows), len(rows)),
        profile_lifts=Edges.of(bundle.profile_lifts.matrix()[:, rows]),
    )


def newcomers(bundle: Bundle, known: np.ndarray[Any, Any]) -> Bundle:
    """The whole bundle, its new items nearer to the middle than any that are known."""
    shrunk = np.where(known, 1, 0.1).astype(np.float32)
    return replace(without(bundle, known | True), w=bundle.w * shrunk[:, None])
