"""What a Neo4j store does beyond the contract: graphs of others, faults, access."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from neo4j import GraphDatabase
from neo4j.exceptions import TransientError

from firstedge.graph.cypher import kind_names, load
from firstedge.graph.errors import (
    DataError,
    SchemaError,
    SettingsError,
    StoreAccessDenied,
    StoreFull,
    StoreUnavailable,
    StoreUnsupported,
)
from firstedge.graph.neo4j_address import check_version
from firstedge.graph.neo4j_store import Neo4jStore
from firstedge.graph.neo4j_write import write_nodes
from firstedge.graph.schema import CategoryNames, ItemNames, Kind, Schema, UserNames
from firstedge.graph.store import COLUMNS, open_store

CINEMA = Schema(
    user=UserNames(label="Person", key="personId", profile=("born", "name")),
    item=ItemNames(label="Movie", key="movieId", properties=("tags", "released", "mixed")),
    category=CategoryNames(label="Genre", key="name", name="name", parent="PART_OF", member="HAS"),
    kind={
        "rate": Kind(type="RATED", time="at", time_unit="s", event_weight="stars"),
        "watch": Kind(type="WATCHED", time="when", time_unit="datetime", event_key="ticket"),
        "like": Kind(type="LIKES", to="category"),
    },
)

# A graph that somebody made long ago: integer ids, times of all sorts, few keys, other types of
# nodes at the end of a relationship.
CINEMA_GRAPH = """
CREATE (ann:Person {personId: 1, name: 'Ann', born: date('1980-02-03')}),
  (bob:Person {personId: 2, name: 'Bob'}), (:Person {name: 'nobody'}),
  (alien:Movie {movieId: 10, tags: ['a', 'b'], released: 1979, mixed: 1}),
  (brazil:Movie {movieId: 11, tags: 'c', released: 1985.5, mixed: 'x'}),
  (extra:Actor {movieId: 12}),
  (scifi:Genre {name: 'SciFi'}), (horror:Genre {name: 'Horror'}),
  (horror)-[:PART_OF]->(scifi), (alien)-[:HAS]->(horror), (alien)-[:HAS]->(horror),
  (ann)-[:RATED {at: 100, stars: 5, key: 'r1'}]->(alien),
  (ann)-[:RATED {at: 100.25, stars: 4.5, seq: 7, key: 2}]->(alien),
  (bob)-[:RATED {key: 'r3'}]->(brazil),
  (bob)-[:RATED {at: 5, key: 'r4'}]->(extra),
  (ann)-[:WATCHED {when: datetime('1970-01-01T01:00:01+01:00'), ticket: 'w1'}]->(alien),
  (ann)-[:WATCHED {when: localdatetime('1970-01-01T00:00:02'), ticket: 'w2'}]->(alien),
  (ann)-[:WATCHED {when: date('1970-01-02'), ticket: 'w3'}]->(alien),
  (bob)-[:WATCHED {when: '1970-01-01T00:00:03.5Z', ticket: 'w4'}]->(alien),
  (bob)-[:WATCHED {ticket: 'w5'}]->(brazil),
  (bob)-[:LIKES {time: 4, key: 'l1'}]->(horror)
"""


def cypher(server: Any, query: str, **values: Any) -> list[dict[str, Any]]:
    """Run a query as the shop's own programs would."""
    with (
        GraphDatabase.driver(server.url, auth=("neo4j", server.password)) as driver,
        driver.session() as session,
    ):
        return session.run(query, values).data()


def keys(table: pa.Table) -> list[str]:
    return sorted(table["key"].to_pylist())


def operators(plan: dict[str, Any]) -> Iterator[str]:
    """The names of all steps of a query plan."""
    yield plan["operatorType"]
    for child in plan.get("children", ()):
        yield from operators(child)


def shop(store: Neo4jStore, num_users: int, num_items: int) -> None:
    store.write("users", pa.table({"id": [f"u{n}" for n in range(num_users)]}))
    store.write("items", pa.table({"id": [f"i{n}" for n in range(num_items)]}))


def events(rows: range, num_users: int = 10, num_items: int = 7) -> pa.Table:
    return pa.table(
        {
            "user": [f"u{n % num_users}" for n in rows],
            "target": [f"i{n % num_items}" for n in rows],
            "kind": ["view"] * len(rows),
            "time": list(rows),
            "seq": [0] * len(rows),
            "weight": [1.0] * len(rows),
            "key": [f"k{n:06d}" for n in rows],
        },
        schema=COLUMNS["events"],
    )


@pytest.fixture
def cinema(neo4j_server: Any) -> Any:
    cypher(neo4j_server, CINEMA_GRAPH)
    return neo4j_server


# Graphs of others


def test_a_foreign_graph_is_read_as_it_is(cinema: Any) -> None:
    before = cypher(cinema, "SHOW CONSTRAINTS"), cypher(cinema, "MATCH (n) RETURN count(n) AS n")
    with Neo4jStore(cinema.url, CINEMA) as store:
        store.check()
        assert store.read("users").to_pylist() == [
            {"id": "1", "born": "1980-02-03", "name": "Ann"},
            {"id": "2", "born": None, "name": "Bob"},
        ]
        assert store.read("items").to_pylist() == [
            {"id": "10", "tags": ["a", "b"], "released": 1979.0, "mixed": "1"},
            {"id": "11", "tags": ["c"], "released": 1985.5, "mixed": "x"},
        ]
        assert store.read("categories").to_pylist() == [
            {"id": "Horror", "name": "Horror", "parent": "SciFi", "derived": False},
            {"id": "SciFi", "name": "SciFi", "parent": None, "derived": False},
        ]
        assert store.read("item_categories").to_pylist() == [{"item": "10", "category": "Horror"}]
        read = store.read_events()
        counts = store.counts()
    found = {row.pop("key"): tuple(row.values()) for row in read.to_pylist()}
    assert found == {
        "r1": ("1", "10", "rate", 100_000, None, 5.0),
        "2": ("1", "10", "rate", 100_250, 7, 4.5),
        "r3": ("2", "11", "rate", None, None, None),
        "w1": ("1", "10", "watch", 1000, None, None),
        "w2": ("1", "10", "watch", 2000, None, None),
        "w3": ("1", "10", "watch", 86_400_000, None, None),
        "w4": ("2", "10", "watch", 3500, None, None),
        "w5": ("2", "11", "watch", None, None, None),
        "l1": ("2", "Horror", "like", 4, None, None),
    }
    assert (counts["events.rate"], counts["events.watch"]) == (3, 5)
    after = cypher(cinema, "SHOW CONSTRAINTS"), cypher(cinema, "MATCH (n) RETURN count(n) AS n")
    assert after == before


def test_events_of_a_foreign_graph_are_filtered_in_their_own_units(cinema: Any) -> None:
    with Neo4jStore(cinema.url, CINEMA) as store:
        assert keys(store.read_events(until=100_000)) == [
            *("l1", "r1", "r3", "w1", "w2", "w4", "w5"),
        ]
        assert keys(store.read_events(since=100_000)) == ["2", "w3"]
        assert keys(store.read_events(since=1000, until=3499)) == ["w2"]
        assert keys(store.read_events(users=["2", "2", "x"], since=0)) == ["l1", "w4"]


def test_events_without_a_key_get_one_that_lasts(cinema: Any) -> None:
    cypher(cinema, "MATCH ()-[e:RATED]->() REMOVE e.key")
    with Neo4jStore(cinema.url, CINEMA) as store:
        first, again = keys(store.read_events(users=["1"])), keys(store.read_events(users=["1"]))
    assert first == again
    assert len(set(first)) == 5


def test_a_foreign_graph_is_written_with_its_own_ids_and_times(cinema: Any) -> None:
    rows = [
        ("1", "11", "rate", 1500, 1, 2.0, "n1"),
        ("1", "11", "rate", 3000, None, None, "n2"),
        ("2", "10", "watch", 1500, 0, None, "n3"),
        ("2", "10", "watch", None, 0, None, "n4"),
        ("1", "10", "rate", 9, 0, None, "r1"),
        ("1", "12", "rate", 9, 0, None, "n6"),
    ]
    columns = [list(column) for column in zip(*rows, strict=True)]
    given = pa.table(columns, schema=COLUMNS["events"])
    with Neo4jStore(cinema.url, CINEMA) as store:
        nodes = store.write("users", pa.table({"id": ["1", "3"], "name": ["Anna", "Cy"]}))
        written = store.write("events", given)
        read = {row.pop("key"): tuple(row.values()) for row in store.read_events().to_pylist()}
    assert (nodes.new, nodes.known) == (1, 1)
    assert (written.new, written.known, written.orphans.tolist()) == (4, 1, [5])
    assert [read[key] for key in ("n1", "n2", "n3", "n4")] == [row[:6] for row in rows[:4]]
    people = "MATCH (p:Person) WHERE p.personId IS NOT NULL RETURN p.personId AS id, p.name AS name"
    assert cypher(cinema, f"{people} ORDER BY id") == [
        {"id": 1, "name": "Anna"},
        {"id": 2, "name": "Bob"},
        {"id": 3, "name": "Cy"},
    ]
    when = "MATCH ()-[e {ticket: 'n3'}]->() RETURN toString(e.when) AS at"
    assert cypher(cinema, when) == [{"at": "1970-01-01T00:00:01.5Z"}]


def test_a_time_that_is_no_number_says_how_to_read_it(cinema: Any) -> None:
    kind = {"watch": Kind(type="WATCHED", time="when")}
    with (
        Neo4jStore(cinema.url, CINEMA.model_copy(update={"kind": kind})) as store,
        pytest.raises(DataError, match=r"'when' of WATCHED.*time_unit = \"datetime\""),
    ):
        store.read_events()


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Kind(type="RATED", time="att"), r"kind\.rate\.time.*'att'.*'at'"),
        (Kind(type="HAS"), r"no :HAS goes from a :Person to a :Movie"),
        (Kind(type="RATE"), r"kind\.rate\.type.*'RATE'.*'RATED'"),
    ],
)
def test_check_names_what_is_wrong_with_a_kind(cinema: Any, kind: Kind, told: str) -> None:
    schema = CINEMA.model_copy(update={"kind": {"rate": kind}})
    with Neo4jStore(cinema.url, schema) as store, pytest.raises(SchemaError, match=told):
        store.check()


def test_a_graph_that_has_got_only_half_of_its_keys_is_warned_of(
    neo4j_server: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cypher(neo4j_server, "CREATE (:User {id: 'new'}), (:User {oldId: 'old'}), (:Item {id: 'i'})")
    cypher(neo4j_server, "MATCH (u:User), (i:Item) CREATE (u)-[:VIEWED {time: 1}]->(i)")
    with Neo4jStore(neo4j_server.url, Schema()) as store:
        store.check()
        assert "1 nodes :User have no property 'id' and are not read" in caplog.text
        assert store.read("users")["id"].to_pylist() == ["new"]
        assert store.read_events()["user"].to_pylist() == ["new"]


def test_keys_that_are_not_unique_are_refused_before_a_write(neo4j_server: Any) -> None:
    cypher(neo4j_server, "UNWIND [1, 1] AS id CREATE (:Twin {id: id})")
    with (
        Neo4jStore(neo4j_server.url, Schema(user=UserNames(label="Twin"))) as store,
        pytest.raises(DataError, match=r"Twin.*id"),
    ):
        store.write("items", pa.table({"id": ["i"]}))
    assert cypher(neo4j_server, "MATCH (n:Item) RETURN n") == []


def test_an_index_of_the_shop_serves_as_well(neo4j_server: Any) -> None:
    cypher(neo4j_server, "CREATE INDEX IF NOT EXISTS FOR (n:Indexed) ON (n.id)")
    with Neo4jStore(neo4j_server.url, Schema(user=UserNames(label="Indexed"))) as store:
        assert store.write("users", pa.table({"id": ["a", "b"]})).new == 2
        assert store.write("users", pa.table({"id": ["b", "c"]})).known == 1


@pytest.mark.parametrize(
    ("file", "given"),
    [
        ("find_keys", {"keys": ["k"]}),
        ("find_nodes", {"ids": ["u1"]}),
        ("update_nodes", {"ids": ["u1"], "properties": [{}]}),
        ("write_events", {"users": ["u1"], "user": [0], "targets": ["i1"], "target": [0]}),
    ],
)
def test_keys_are_sought_and_never_scanned_for(
    neo4j_server: Any, file: str, given: dict[str, Any]
) -> None:
    """A plan made while an index was empty would scan it for every key, for hours."""
    with Neo4jStore(neo4j_server.url, Schema()) as store:
        shop(store, 10, 7)
        store.write("events", events(range(2000)))
    names = {**kind_names(Schema(), Schema().kind["view"]), "label": "User"}
    if file != "find_keys":
        names["key"] = "id"
    columns = {"key": ["k"], "time": [1], "seq": [1], "weight": [1.0], "datetime": False}
    query = f"EXPLAIN {load('neo4j', file, names)}"
    with (
        GraphDatabase.driver(neo4j_server.url, auth=("neo4j", neo4j_server.password)) as driver,
        driver.session() as session,
    ):
        plan = session.run(query, {**columns, **given}).consume().plan
    steps = list(operators(plan))
    assert any("IndexSeek" in step for step in steps)
    assert [step for step in steps if "Scan" in step] == []


# Access


def test_a_wrong_password_is_refused_and_never_shown(
    neo4j_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NEO4J_PASSWORD", "Tr0ub4dor-and-3")
    with pytest.raises(StoreAccessDenied, match="NEO4J_PASSWORD") as caught:
        Neo4jStore(neo4j_server.url, Schema())
    shown = traceback.TracebackException.from_exception(caught.value, capture_locals=True)
    assert "Tr0ub4dor" not in "".join(shown.format())
    assert caught.value.__suppress_context__


def test_no_log_has_the_password(neo4j_server: Any, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)  # the driver then logs every message on the wire
    with Neo4jStore(neo4j_server.url, Schema()) as store:
        store.read("users")
        shown = f"{store!r} {store._link.address!r} {vars(store._link)}"
    assert "bolt" in caplog.text.lower()
    assert neo4j_server.password not in caplog.text + shown


def test_the_password_may_be_in_a_file(
    neo4j_server: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("NEO4J_PASSWORD")
    file = tmp_path / "password"
    file.write_text(neo4j_server.password + "\n")
    monkeypatch.setenv("NEO4J_PASSWORD_FILE", str(file))
    with open_store(neo4j_server.url) as store:
        assert store.counts()["users"] == 0
    monkeypatch.setenv("NEO4J_PASSWORD_FILE", str(tmp_path / "none"))
    with pytest.raises(SettingsError, match=r"NEO4J_PASSWORD_FILE.*No such file"):
        open_store(neo4j_server.url)


def test_a_url_holds_no_credentials() -> None:
    with pytest.raises(SettingsError, match="no credentials") as caught:
        open_store("neo4j://me:sesame@localhost:1")
    assert "sesame" not in str(caught.value)


@pytest.mark.parametrize("url", ["http://localhost:7474", "neo4j://", "bolt://host/a/b"])
def test_a_url_that_is_no_store_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="is no store"):
        open_store(url)


def test_a_wrong_database_is_told_the_names_that_exist(neo4j_server: Any) -> None:
    with pytest.raises(StoreUnavailable, match=r"'shop'.*it has neo4j"):
        open_store(f"{neo4j_server.url}/shop")
    with open_store(f"{neo4j_server.url}/neo4j") as store:
        store.check()


def test_a_server_that_is_not_there_is_unavailable() -> None:
    with pytest.raises(StoreUnavailable, match="bolt://localhost:1 cannot be reached"):
        open_store("bolt://localhost:1")


@pytest.mark.parametrize("agent", ["Neo4j/4.4.30", "Neo4j/5.8.0", "Memgraph/2.1"])
def test_an_old_server_is_unsupported(agent: str) -> None:
    with pytest.raises(StoreUnsupported, match=r"expected Neo4j 5\.9 or later"):
        check_version(agent, "bolt://x")


@pytest.mark.parametrize(
    "agent", ["Neo4j/5.9.0", "Neo4j/5.26.30", "Neo4j/2026.08.1", "Neo4j/5.27-aura"]
)
def test_a_new_server_is_supported(agent: str) -> None:
    check_version(agent, "bolt://x")


READS: dict[str, Callable[[Neo4jStore], object]] = {
    "check": lambda store: store.check(),
    "counts": lambda store: store.counts(),
    "users": lambda store: store.read("users"),
    "items": lambda store: store.read("items", ids=["i1"]),
    "categories": lambda store: store.read("categories"),
    "members": lambda store: store.read("item_categories"),
    "events": lambda store: store.read_events(),
    "events of users": lambda store: store.read_events(users=["u1"], since=1, until=2),
    "note": lambda store: store.read_note("x"),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_every_read_is_in_a_transaction_that_is_refused_a_write(
    neo4j_server: Any, monkeypatch: pytest.MonkeyPatch, read: Callable[[Neo4jStore], object]
) -> None:
    with Neo4jStore(neo4j_server.url, Schema()) as store:
        shop(store, 2, 2)
        read(store)
        honest = store._link.read

        def evil(work: Callable[[Any], Any]) -> Any:
            return honest(lambda tx: (work(tx), tx.run("CREATE (:Item {id: 'x'})").consume()))

        monkeypatch.setattr(store._link, "read", evil)
        monkeypatch.setattr(store._link, "write", None)
        with pytest.raises(StoreAccessDenied, match="read access mode"):
            read(store)
        monkeypatch.undo()
    assert cypher(neo4j_server, "MATCH (n:Item) RETURN count(n) AS n") == [{"n": 2}]


@pytest.mark.parametrize(
    "evil",
    [
        Schema(user=UserNames(label="U\\u0060) MATCH (n) DETACH DELETE n //")),
        Schema(kind={"view": Kind(type="V", time="t\\u0060]->() DETACH DELETE u //")}),
    ],
)
def test_a_name_cannot_bring_cypher_along(neo4j_server: Any, evil: Schema) -> None:
    with pytest.raises(SchemaError, match="cannot be a name"):
        open_store(neo4j_server.url, evil)


def test_a_closed_store_is_unavailable(neo4j_server: Any) -> None:
    store = Neo4jStore(neo4j_server.url, Schema())
    store.close()
    store.close()
    with pytest.raises(StoreUnavailable):
        store.counts()


# Faults


def test_writers_at_the_same_time_write_each_key_once(neo4j_server: Any) -> None:
    with Neo4jStore(neo4j_server.url, Schema()) as store:
        shop(store, 10, 7)
    written: list[int] = []

    def write() -> None:
        with Neo4jStore(neo4j_server.url, Schema()) as store:
            chunks = [events(range(start, start + 150)) for start in range(0, 600, 100)]
            written.extend(store.write("events", chunk).new for chunk in chunks)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Neo4jStore(neo4j_server.url, Schema()) as store:
        assert keys(store.read_events()) == keys(events(range(650)))
    assert (len(written), sum(written)) == (18, 650)


def test_a_key_that_another_program_writes_meanwhile_is_found(neo4j_server: Any) -> None:
    meanwhile = iter(["CREATE (:User {id: 'a'})"])
    with Neo4jStore(neo4j_server.url, Schema()) as store:
        store.write_note("constraints", "made")

        def work(tx: Any) -> Any:
            written = write_nodes(RacingTransaction(tx), "User", "id", pa.table({"id": ["a"]}), 10)
            return written.new, written.known

        class RacingTransaction:
            """Lets the other program be quicker between the look and the write."""

            def __init__(self, tx: Any) -> None:
                self.tx = tx

            def run(self, query: str, values: Any = None) -> Any:
                if "CREATE" in query:
                    for other in meanwhile:
                        cypher(neo4j_server, other)
                return self.tx.run(query, values)

        assert store._link.write(work) == (0, 1)
        assert store.counts()["users"] == 1


def test_a_transaction_that_is_too_large_says_so_at_once(neo4j_server: Any) -> None:
    huge = "UNWIND range(1, 20000000) AS n RETURN size(collect(n + 0.5))"
    with Neo4jStore(neo4j_server.url, Schema()) as store:
        with pytest.raises(StoreFull, match="smaller chunks"):
            store._link.write(lambda tx: tx.run(huge).consume())
        shop(store, 1, 1)


def test_a_deadlock_with_another_program_is_tried_again(neo4j_server: Any) -> None:
    """The other program locks a user, then our lock; we hold the lock, and want the user."""
    lock = "MATCH (l:FirstedgeNote {name: 'firstedge write lock'}) SET l.text = 'mine'"
    refused: list[str] = []
    with (
        Neo4jStore(neo4j_server.url, Schema()) as store,
        GraphDatabase.driver(neo4j_server.url, auth=("neo4j", neo4j_server.password)) as driver,
        driver.session() as session,
    ):
        shop(store, 10, 7)
        tx = session.begin_transaction()
        tx.run("MATCH (u:User {id: 'u3'}) SET u.touched = true").consume()
        writing = threading.Thread(target=store.write, args=("events", events(range(50))))
        writing.start()
        closing = "SHOW TRANSACTIONS YIELD status WHERE status = 'Closing' RETURN status"
        while writing.is_alive() and not cypher(neo4j_server, closing):
            time.sleep(0.02)  # relationships lock their nodes when they are committed
        try:
            tx.run(lock).consume()
            tx.commit()
        except TransientError as error:  # one of the two is refused, and it may be this one
            refused.append(error.code)
        writing.join()
        assert keys(store.read_events()) == keys(events(range(50)))
    assert refused in ([], ["Neo.TransientError.Transaction.DeadlockDetected"])
