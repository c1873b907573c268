"""What is published ranks in Cypher as the library does, on both versions of Neo4j."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from neo4j import GraphDatabase

from firstedge.graph.errors import StoreAccessDenied
from firstedge.graph.neo4j_slots import Slot
from firstedge.graph.neo4j_store import Neo4jStore
from firstedge.graph.queries import QUERIES, render
from firstedge.models.bundle import Bundle
from firstedge.serving.filter import EVERYTHING, Filter, Range
from firstedge.serving.publish import PublishOptions, open_publication, publish
from firstedge.serving.recommender import Recommender
from tests.conftest import NEO4J_VERSIONS, wipe
from tests.serving.published import Library, ask, difference, fill, shop_bundle

FILTERS = (
    EVERYTHING,
    Filter(categories=["c0"]),
    Filter(categories=["c4", "c5"], exclude_given=False),
    Filter(properties={"price": Range(2, 4)}),
    Filter(properties={"price": 3.0, "colour": "red"}),
    Filter(properties={"tags": ["eco", "sale"], "price": Range(max=1)}, available=False),
    Filter(allowed=[f"i{row:03d}" for row in range(0, 300, 9)]),
    Filter(denied=[f"i{row:03d}" for row in range(0, 300, 2)]),
    Filter(allowed=["i001", "i002", "i299", "i-none"], categories=["c0", "c1"]),
)


@pytest.fixture(scope="module", params=NEO4J_VERSIONS)
def server(request: pytest.FixtureRequest, neo4j_servers: Any) -> Any:
    found = neo4j_servers.of(request.param)
    wipe(found.url, found.password)
    return found


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return shop_bundle()


@pytest.fixture(scope="module")
def store(server: Any, bundle: Bundle) -> Iterator[Neo4jStore]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NEO4J_PASSWORD", server.password)
        fill(server.url, bundle)
        with Neo4jStore(server.url, bundle.schema) as opened:
            publish(opened, bundle, "first", PublishOptions(strangers=40))
            yield opened


@pytest.fixture(scope="module")
def library(store: Neo4jStore, bundle: Bundle) -> Library:
    return Library.of(store, bundle)


def test_cypher_and_library_give_one_ranking(store: Neo4jStore, library: Library) -> None:
    users = library.users.ids.ids
    assert {f"new{k}" for k in range(11)} < set(users)
    cases = [(user, FILTERS[at % len(FILTERS)]) for at, user in enumerate(users * 2)]
    assert len(cases) >= 100
    wrong = [d for user, one in cases if (d := difference(store, library, user, one))]
    assert not wrong


def test_the_exact_mode_asks_no_index(store: Neo4jStore, library: Library) -> None:
    for user, one in zip(library.users.ids.ids, FILTERS, strict=False):
        assert not difference(store, library, user, one, candidates=0)


def test_too_few_candidates_are_made_up_for(store: Neo4jStore, library: Library) -> None:
    for user in library.users.ids.ids[::7]:
        assert not difference(store, library, user, FILTERS[3], candidates=1, k=50)


def test_the_model_node_says_what_is_published(store: Neo4jStore, bundle: Bundle) -> None:
    [model] = open_publication(store, bundle.schema).models()
    assert (model.slot.letter, model.version, model.current) == ("a", "first", True)
    found = model.properties
    assert found["coefficient_net"] == bundle.coefficients.net
    assert found["fingerprint"] == "test"
    assert found["candidates"] >= 100
    assert found["calibration"][-1].startswith("0 of 40 lists")
    again = publish(store, bundle, "first")
    assert not again.changed


def test_names_that_inject_do_nothing_but_raise(bundle: Bundle) -> None:
    hostile = bundle.schema.item.model_copy(update={"label": "Item`) DETACH DELETE n //"})
    schema = bundle.schema.model_copy(update={"item": hostile})
    assert "`Item``) DETACH DELETE n //`" in render(schema, "recommend")
    assert "DETACH DELETE" not in render(bundle.schema, "recommend")


def test_values_that_inject_are_values(store: Neo4jStore, bundle: Bundle) -> None:
    query = render(bundle.schema, "recommend")
    hostile = "x'}) DETACH DELETE n //"
    values = {"user": hostile, "k": 5, "filter": {"allowed": [hostile]}, "candidates": None}
    assert ask(store, query, **values) == []
    assert store.counts()["items"] == len(bundle.items) + 1


def test_the_server_has_nothing_to_remark_on_the_queries(
    store: Neo4jStore, server: Any, bundle: Bundle
) -> None:
    values = {"user": "new3", "item": "i007", "k": 5, "filter": {}, "candidates": None}
    with GraphDatabase.driver(server.url, auth=("neo4j", server.password)) as driver:
        for name in QUERIES:
            summary = driver.execute_query(render(bundle.schema, name), values).summary
            remarks = [one for one in summary.gql_status_objects if one.is_notification]
            assert not [one.status_description for one in remarks]


def test_what_is_printed_can_be_pasted(store: Neo4jStore, server: Any, bundle: Bundle) -> None:
    """`:params` takes a map of Cypher, and the database may speak either language by default."""
    languages = ["5"] if server.release.version.startswith("5.") else ["5", "25"]
    for name, params in QUERIES.items():
        [row] = ask(store, f"RETURN {params} AS params")
        values = {**row["params"], "k": 5} | {"user": "new3", "item": "i007"}
        query = render(bundle.schema, name)
        plain = ask(store, query, **values)
        assert plain
        for language in languages:
            assert ask(store, f"CYPHER {language}\n{query}", **values) == plain


def test_a_stranger_written_by_three_lines_of_cypher_is_answered(
    store: Neo4jStore, bundle: Bundle
) -> None:
    ada = """
    CREATE (ada:User {id: 'ada'})
    WITH ada MATCH (item:Item {id: 'i007'})
    CREATE (ada)-[:PURCHASED {key: 'ada-1', time: timestamp()}]->(item)
    """
    store.link.write(lambda tx: tx.run(ada).consume())
    try:
        library = Library.of(store, bundle)
        row = library.users.ids.row("ada")
        assert library.users.users.take(row, row + 1).given.targets.tolist() == [7]
        assert not difference(store, library, "ada")
    finally:
        store.link.write(lambda tx: tx.run("MATCH (u:User {id: 'ada'}) DETACH DELETE u").consume())


def test_what_asks_the_publication_is_refused_a_write(
    store: Neo4jStore, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    publication = open_publication(store, bundle.schema)
    slot, honest = Slot("a"), store.link.read

    def evil(work: Any) -> Any:
        return honest(lambda tx: (work(tx), tx.run("CREATE (:Item {id: 'x'})").consume()))

    monkeypatch.setattr(store.link, "read", evil)
    monkeypatch.setattr(store.link, "write", None)
    vector = [1.0] * int(publication_dim(honest))
    for read in (
        publication.models,
        lambda: publication.find("item", ["i007"]),
        lambda: publication.nearest(slot, vector, 5),
        lambda: publication.published(slot),
        lambda: publication.index_fault(slot, len(vector)),
        lambda: Library.of(store, bundle),
        lambda: ask(store, render(bundle.schema, "similar"), item="i007", k=5),
    ):
        with pytest.raises(StoreAccessDenied, match="read access mode"):
            read()
    monkeypatch.undo()
    assert store.counts()["items"] == len(bundle.items) + 1


def publication_dim(read: Any) -> int:
    query = "MATCH (m:FirstedgeModel {slot: 'a'}) RETURN m.dim AS dim"
    return int(read(lambda tx: tx.run(query).single(strict=True)["dim"]))


def test_similar_items_are_those_of_the_library(store: Neo4jStore, bundle: Bundle) -> None:
    recommender, query = Recommender(bundle), render(bundle.schema, "similar")
    for item in bundle.items.ids[::15]:
        rows = ask(store, query, item=item, k=20)
        expected = recommender.similar_items(item, 20)
        scores = dict(zip(expected.ids, expected.scores.tolist(), strict=True))
        assert {row["id"] for row in rows} == set(scores)
        assert [row["score"] for row in rows] == pytest.approx(list(expected.scores), abs=1e-4)


def test_shares_are_those_of_the_library(store: Neo4jStore, library: Library) -> None:
    bundle = library.bundle
    recommender, query = Recommender(bundle), render(bundle.schema, "why")
    for user in ("new0", "new1", "new7", *library.users.ids.ids[11::9]):
        row = library.users.ids.row(user)
        for item in bundle.items.ids[row::70]:
            batch = library.users.users.take(row, row + 1)
            parts = recommender._scorer.contributions(batch, np.array([bundle.items.row(item)]))
            rows = ask(store, query, user=user, item=item)
            targets = (*bundle.items.ids, *bundle.categories.ids)
            names = [targets[at] for at in parts.targets]
            names += [bundle.profile_values.ids[at] for at in parts.profile_rows]
            shares = [*parts.events[:, 0].tolist(), *parts.profiles[:, 0].tolist()]
            expected = {None: float(parts.prior[0]), **dict(zip(names, shares, strict=True))}
            assert {one["id"]: one["share"] for one in rows} == pytest.approx(expected, abs=1e-4)
            assert sum(one["share"] for one in rows) == pytest.approx(parts.total[0], abs=1e-4)
            paths = {one["id"]: one["path"] for one in rows}
            assert paths[None] == "popular"
            edges = bundle.edges
            for target in parts.targets[parts.targets < len(bundle.items)].tolist():
                near = edges.targets[edges.of_source(target)]
                if bundle.items.row(item) in near and targets[target] != item:
                    assert paths[targets[target]] == "together"
