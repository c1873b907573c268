"""What moves under a running server: events, items, bundles, and the store itself."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pytest
from contracts.graph_store import event, events

from firstedge.graph.errors import (
    DataError,
    Overloaded,
    QueryError,
    StoreLocked,
    StoreUnavailable,
)
from firstedge.graph.store import GraphStore, open_store
from firstedge.models.bundle import EXTRA, Bundle
from firstedge.models.bundle_file import load_bundle, save_bundle
from firstedge.serving import live_store, recording
from firstedge.serving.calls import Item, RecordedEvent
from firstedge.serving.client import Client, ClientOptions
from firstedge.serving.filter import Filter
from firstedge.serving.options import ServiceOptions
from firstedge.serving.query import Event, Query, joined
from firstedge.serving.recommender import Recommender
from firstedge.serving.store_users import read_query
from tests.serving.places import BUNDLE, LASTING, Place, shop_bundle
from tests.serving.servers import retried, running, wait_for
from tests.serving.stores import fill_store


def test_what_is_recorded_moves_the_next_answer(place: Place) -> None:
    with place.open() as store:
        before = read_query(store, BUNDLE, "u07")
    library = Recommender(BUNDLE)
    with (
        running(place.options(user_seconds=60)) as (address, _),
        Client(address, LASTING) as client,
    ):
        said: list[Event] = []
        for turn in range(8):
            expected = library.recommend(joined(before, Query(said)), 10)
            assert client.recommend(k=10, user="u07").as_dict() == expected.as_dict()
            said.append(Event(f"i{turn:03d}", kind="purchase", at=1_000 + turn))
            one = RecordedEvent("u07", said[-1], f"order {turn}")
            assert client.record_events([one]).recorded == 1
            assert client.record_events([one]).recorded == 1  # a second time changes nothing
    with place.open() as store:
        keys = store.read_events(["u07"])["key"].to_pylist()
        assert sum(key.startswith("order ") for key in keys) == 8


def test_a_stranger_is_recorded_and_known_at_once(place: Place) -> None:
    with running(place.options()) as (address, _), Client(address, LASTING) as client:
        with pytest.raises(QueryError, match="user id 'newcomer' is not in the store"):
            client.recommend(user="newcomer")
        began = int(time.time() * 1000)
        recorded = client.record_events(
            [
                RecordedEvent("newcomer", Event("i003"), "1"),
                RecordedEvent("newcomer", Event("no such item"), "2"),
                RecordedEvent("newcomer", Event(category="c1"), "3"),
                RecordedEvent("newcomer", Event(category="c99"), "4"),
            ]
        )
        assert (recorded.recorded, recorded.refused) == (2, ("2", "4"))
        ranking = client.recommend(user="newcomer")
        assert ranking.num_given == 2
        assert "i003" not in ranking.ids
    with place.open() as store:
        found = store.read_events(["newcomer"]).sort_by("key").to_pylist()
    assert [(row["kind"], row["target"]) for row in found] == [
        ("purchase", "i003"),
        ("interest", "c1"),
    ]
    assert all(began <= row["time"] <= time.time() * 1000 for row in found)


def test_many_events_of_many_streams_are_kept_once_each(place: Place) -> None:
    def send(part: int) -> int:
        many = [
            RecordedEvent(f"w{n % 17}", Event(f"i{n % 30:03d}", at=n), f"k{n}")
            for n in range(part * 400, part * 400 + 800)  # each half is another's too
        ]
        return client.record_events(many).recorded

    with (
        running(place.options()) as (address, _),
        Client(address, LASTING) as client,
        ThreadPoolExecutor(5) as pool,
    ):
        assert list(pool.map(send, range(5))) == [800] * 5
    with place.open() as store:
        found = store.read_events([f"w{n}" for n in range(17)])
    assert sorted(found["key"].to_pylist()) == sorted(f"k{n}" for n in range(2400))


BAD_EVENTS = [
    (RecordedEvent("", Event("i001"), "k"), r"events\[0\]\.user: empty"),
    (RecordedEvent("u01", Event("i001"), ""), r"events\[0\]\.key: empty"),
    (RecordedEvent("u" * 501, Event("i001"), "k"), r"events\[0\]\.user: up to 500"),
    (RecordedEvent("u\0", Event("i001"), "k"), "holds a NUL"),
    (RecordedEvent("u01", Event("i001", kind="purchse"), "k"), "kind 'purchse' is not one of"),
    (RecordedEvent("u01", Event("i001", kind="interest"), "k"), "go to category ids"),
    (RecordedEvent("u01", Event("i001", at=2**60), "k"), "lies in the future"),
]


@pytest.mark.parametrize("place", ["embedded"], indirect=True)
def test_a_bad_event_is_named_and_nothing_of_its_message_is_kept(place: Place) -> None:
    with running(place.options()) as (address, _), Client(address, LASTING) as client:
        for bad, text in BAD_EVENTS:
            with pytest.raises(QueryError, match=text):
                client.record_events([bad, RecordedEvent("u99", Event("i001"), "fine")])
        with pytest.raises(QueryError, match="is not in the store"):
            client.recommend(user="u99")


def test_a_new_item_is_ranked_at_once_by_its_category(place: Place) -> None:
    with running(place.options()) as (address, service), Client(address, LASTING) as client:
        upserted = client.upsert_items(
            [
                Item("mug", {"title": "A mug", "price": 3.0}, ["c1"]),
                Item("cup", {"title": "A cup"}, ["c1", "nowhere"], available=False),
                Item("thing", {"title": "Without anything"}),
            ]
        )
        assert (upserted.added, upserted.known) == (3, 0)
        assert upserted.unknown_categories == ("nowhere",)
        assert upserted.unranked == ("thing",)
        info = client.info()
        assert (info["num_items"], info["num_new_items"], info["num_unranked_items"]) == (32, 2, 2)
        everything = client.recommend(Query([Event("i001")]), 100, Filter(available=False))
        assert {"mug", "cup"} <= set(everything.ids)
        shown = client.recommend(k=100, filter=Filter(allowed=["mug", "cup", "thing"]))
        assert (shown.ids, shown.titles) == (("mug",), ("A mug",))
        assert client.recommend(filter=Filter(properties={"price": 3.0}, allowed=["mug"])).ids
        assert "mug" in client.recommend(k=100, filter=Filter(categories=["c1"])).ids
        assert client.explain(Query([Event("i001")]), "mug").title == "A mug"
        # It is given like any other, and what it says is its category's.
        assert client.recommend(Query([Event("mug")])).num_given == 1
        # What has no category yet is ranked as soon as it gets one.
        assert client.upsert_items([Item("thing", {}, ["c2"])]).unranked == ()
        assert client.recommend(filter=Filter(allowed=["thing"])).titles == ("Without anything",)
        assert service.bundle.model.version == info["version"]


class Spelled:
    """An encoder that knows nothing but letters."""

    name = BUNDLE.encoder
    dim = len(BUNDLE.text_w)

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        vectors = np.zeros((len(texts), self.dim), np.float32)
        for vector, text in zip(vectors, texts, strict=True):
            for letter in text:
                vector[ord(letter) % self.dim] += 1
        return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)


@pytest.mark.parametrize("place", ["embedded"], indirect=True)
def test_a_new_item_is_ranked_at_once_by_its_text(place: Place) -> None:
    def load(path: Path) -> Recommender:
        return Recommender(load_bundle(path), Spelled())

    with (
        running(place.options(), load) as (address, service),
        Client(address, LASTING) as client,
    ):
        items = [Item("mug", {"title": "A mug"}), Item("mug too", {"title": "A mug"})]
        assert client.upsert_items([*items, Item("bare")]).unranked == ("bare",)
        same = client.score(Query([Event("i001")]), ["mug", "mug too"])
        assert same[0] == same[1]
        client.upsert_items([Item("mug", {"title": "Something else"})])
        moved = client.score(Query([Event("i001")]), ["mug", "mug too"])
        assert moved[0] != moved[1] == same[1]
        vectors = service.bundle.model.recommender.embed_items(["mug", "mug too"])
        texts = Recommender(BUNDLE, Spelled()).embed_new_items(["Something else", "A mug"])
        np.testing.assert_allclose(vectors[:, :-EXTRA], texts[:, :-EXTRA], rtol=1e-5)


def test_availability_and_properties_follow_the_store(place: Place) -> None:
    row = int(np.flatnonzero(BUNDLE.table.available)[0])
    item = BUNDLE.items.ids[row]
    only = Filter(allowed=[item])
    with running(place.options()) as (address, _), Client(address, LASTING) as client:
        assert client.recommend(filter=only).ids == (item,)
        client.upsert_items([Item(item, available=False)])
        assert client.recommend(filter=only).ids == ()
        assert client.recommend(filter=Filter(allowed=[item], available=False)).ids == (item,)
        client.upsert_items([Item(item, {"price": 123.0, "title": "New name"}, available=True)])
        dear = Filter(allowed=[item], properties={"price": 123.0})
        assert client.recommend(filter=dear).titles == ("New name",)
        score = client.score(Query(), [item])
        np.testing.assert_array_equal(score, Recommender(BUNDLE).score(Query(), [item]))


@pytest.mark.parametrize("place", ["neo4j"], indirect=True)
def test_what_others_write_is_seen_within_the_settings(place: Place) -> None:
    options = place.options(user_seconds=0.3, item_seconds=0.3)
    with running(options) as (address, _), Client(address, LASTING) as client:
        assert client.recommend(user="u00").num_given == 0
        with place.open() as store:
            store.write("events", events(event("u00", "i003", key="of another")))
            store.write("items", pa.table({"id": ["i004"], "in_stock": [False]}))
            store.write("items", pa.table({"id": ["elsewhere"], "title": ["Elsewhere"]}))
            store.write("item_categories", pa.table([["elsewhere"], ["c3"]], ["item", "category"]))
        written = time.monotonic()
        wait_for(lambda: client.recommend(user="u00").num_given == 1, 1.5)
        wait_for(lambda: client.recommend(filter=Filter(allowed=["i004"])).ids == (), 1.5)
        wait_for(lambda: len(client.recommend(filter=Filter(allowed=["elsewhere"]))) == 1, 1.5)
        assert time.monotonic() - written < 3


@pytest.mark.parametrize("place", ["embedded"], indirect=True)
def test_a_store_that_another_has_is_taken_when_it_is_let_go(place: Place) -> None:
    quick = ClientOptions(timeout=30, attempts=1)
    one = [RecordedEvent("u01", Event("i001"), "a key")]
    other = place.open()
    with running(place.options()) as (address, _), Client(address, quick) as client:
        assert client.recommend(Query([Event("i003")])).num_given == 1
        with pytest.raises(StoreLocked, match="the store does not answer now"):
            client.recommend(user="u01")
        with pytest.raises(StoreLocked):
            client.record_events(one)
        other.close()
        wait_for(retried(lambda: client.record_events(one).recorded == 1))
        assert client.recommend(user="u01").num_given > 0


@pytest.mark.parametrize("place", ["embedded"], indirect=True)
def test_what_would_wait_too_long_for_the_store_is_refused(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_store, "MOST_READING", 2)
    monkeypatch.setattr(recording, "MOST_WAITING", 2)
    quick = ClientOptions(timeout=60, attempts=1)
    busy, go_on = threading.Event(), threading.Event()

    def slow(store: GraphStore, bundle: Bundle, user: str) -> Query:
        busy.set()
        assert go_on.wait(60)
        return read_query(store, bundle, user)

    monkeypatch.setattr(live_store, "read_query", slow)
    with (
        running(place.options()) as (address, service),
        Client(address, quick) as client,
        ThreadPoolExecutor(3) as pool,
    ):
        waiting = [pool.submit(client.recommend, user=f"u0{n}") for n in (1, 2)]
        assert busy.wait(60)
        wait_for(lambda: service.store is not None and service.store.num_reading == 2)
        with pytest.raises(Overloaded, match="2 users are being read: try again later"):
            client.recommend(user="u03")
        many = [RecordedEvent("u04", Event("i001"), str(n)) for n in range(3)]
        with pytest.raises(Overloaded, match="0 events wait to be kept: send these later"):
            client.record_events(many)
        assert client.recommend(Query([Event("i003")])).num_given == 1
        go_on.set()
        assert all(answer.result().num_given > 0 for answer in waiting)
        assert client.record_events(many[:2]).recorded == 2
        assert client.recommend(user="u03").num_given > 0


@pytest.mark.parametrize("place", ["embedded"], indirect=True)
def test_the_log_names_no_user(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with running(place.options()) as (address, _), Client(address, LASTING) as client:
        client.record_events([RecordedEvent("very private", Event("i001"), "a key")])
        assert client.recommend(user="very private").num_given == 1
        with pytest.raises(QueryError):
            client.recommend(user="another private")
        Path(place.url).rename(place.url + ".away")
        with pytest.raises(StoreUnavailable):
            client.recommend(user="third private")
        Path(place.url + ".away").rename(place.url)
    assert "items: 30 trained" in caplog.text
    assert "private" not in caplog.text


@pytest.mark.parametrize("place", ["embedded"], indirect=True)
def test_the_server_owns_the_embedded_store(place: Place) -> None:
    with running(place.options()) as (address, _), Client(address, LASTING) as client:
        assert client.recommend(user="u01").num_given > 0
        with pytest.raises(StoreLocked, match="send events and items to the service"):
            place.open()
    with place.open() as store:
        assert store.counts()["users"] == 40


def test_a_new_bundle_knows_the_stores_items_too(place: Place) -> None:
    with running(place.options()) as (address, _), Client(address, LASTING) as client:
        client.upsert_items([Item("mug", {"title": "A mug"}, ["c1"])])
        second = save_bundle(shop_bundle(seed=7), place.bundle)
        wait_for(lambda: client.info()["version"] == second)
        assert client.recommend(filter=Filter(allowed=["mug"])).titles == ("A mug",)


@pytest.mark.parametrize("place", ["embedded"], indirect=True)
def test_an_embedded_store_that_is_moved_away_takes_nothing_and_comes_back(place: Place) -> None:
    quick = ClientOptions(timeout=30, attempts=1)
    path, away = Path(place.url), Path(place.url + ".away")
    with running(place.options()) as (address, _), Client(address, quick) as client:
        client.record_events([RecordedEvent("u01", Event("i001"), "before")])
        path.rename(away)
        lost = [RecordedEvent("u01", Event("i002"), "after")]
        with pytest.raises(StoreUnavailable):
            client.record_events(lost)
        with pytest.raises(StoreUnavailable):
            client.upsert_items([Item("mug")])
        assert client.recommend(Query([Event("i003")])).num_given == 1
        with pytest.raises(StoreUnavailable):
            client.recommend(user="u05")
        away.rename(path)
        wait_for(retried(lambda: client.record_events(lost).recorded == 1))
    with place.open() as store:
        keys = store.read_events(["u01"])["key"].to_pylist()
    assert [key for key in keys if key in ("before", "after")].count("before") == 1
    assert sorted(key for key in keys if key in ("before", "after")) == ["after", "before"]


def test_a_neo4j_that_is_killed_takes_nothing_and_comes_back(
    tmp_path: Path, neo4j_server: Any
) -> None:
    save_bundle(BUNDLE, tmp_path)
    with open_store(neo4j_server.url, BUNDLE.schema) as store:
        fill_store(store, BUNDLE)
    quick = ClientOptions(timeout=30, attempts=1)
    options = ServiceOptions(tmp_path, neo4j_server.url, port=0, user_seconds=0)
    with running(options) as (address, _), Client(address, quick) as client:
        client.record_events([RecordedEvent("u01", Event("i001"), "before")])
        neo4j_server.kill()
        try:
            lost = [RecordedEvent("u01", Event("i002"), "after")]
            for _ in range(2):
                began = time.monotonic()
                with pytest.raises(StoreUnavailable, match="the store does not answer now"):
                    client.record_events(lost)
                with pytest.raises(StoreUnavailable):
                    client.recommend(user="u05")
                assert time.monotonic() - began < 15
            assert client.recommend(Query([Event("i003")])).num_given == 1
        finally:
            neo4j_server.start()
        wait_for(retried(lambda: client.record_events(lost).recorded == 1), 60)
        assert client.recommend(user="u01").num_given > 0
    with open_store(neo4j_server.url, BUNDLE.schema) as store:
        keys = store.read_events(["u01"])["key"].to_pylist()
    assert sorted(key for key in keys if key in ("before", "after")) == ["after", "before"]


@pytest.mark.parametrize("place", ["embedded"], indirect=True)
def test_a_bad_item_is_named(place: Place) -> None:
    with running(place.options()) as (address, _), Client(address, LASTING) as client:
        for bad, text in (
            ([Item("")], r"items\[0\]\.id: empty"),
            ([Item("a"), Item("a")], "an id comes twice"),
            ([Item("a", {"prize": 1.0})], "did you mean 'price'"),
            ([Item("a", {"in_stock": True})], "no such property"),
            ([Item("a", {"price": 1.0}), Item("b", {"price": "dear"})], "several types"),
            ([Item("a", {"price": [1.0, 2.0]})], "a list is of texts"),
            ([Item("a", categories=[""])], r"items\[0\]\.categories: empty"),
        ):
            with pytest.raises(QueryError, match=text):
                client.upsert_items(bad)
        with pytest.raises(DataError, match="property 'price' of :Item"):
            client.upsert_items([Item("a", {"price": "dear"})])
        assert client.upsert_items([]).added == 0
        assert client.info()["num_new_items"] == 0
