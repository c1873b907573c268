"""The client for asyncio: every method of the other one, with the same answers and errors."""

from __future__ import annotations

import asyncio
import inspect

import numpy as np
import pytest

from firstedge.graph.errors import QueryError, ServiceError, SettingsError, UnknownId
from firstedge.serving.async_client import AsyncClient
from firstedge.serving.calls import Item, RecordedEvent
from firstedge.serving.client import Client, ClientOptions
from firstedge.serving.filter import Filter
from firstedge.serving.query import Event
from tests.serving.places import LASTING, Place
from tests.serving.questions import random_query
from tests.serving.servers import running


def methods(kind: type) -> dict[str, list[str]]:
    return {
        name: list(inspect.signature(method).parameters)
        for name, method in inspect.getmembers(kind, inspect.isfunction)
        if not name.startswith("_")
    }


def test_it_has_the_methods_of_the_client() -> None:
    assert methods(AsyncClient) == methods(Client)
    assert all(inspect.iscoroutinefunction(getattr(AsyncClient, n)) for n in methods(AsyncClient))


@pytest.mark.parametrize("place", ["embedded"], indirect=True)
def test_many_calls_at_a_time_give_the_same_answers(place: Place) -> None:
    rng = np.random.default_rng(5)
    queries = [random_query(rng) for _ in range(40)]

    async def ask(address: str) -> None:
        async with AsyncClient(address, LASTING) as client:
            assert repr(client) == f"AsyncClient({address!r})"
            rankings = await asyncio.gather(*(client.recommend(q, 7) for q in queries))
            for query, ranking in zip(queries, rankings, strict=True):
                assert ranking.as_dict() == plain.recommend(query, 7).as_dict()
            ids = ["i007", "i001"]
            np.testing.assert_array_equal(
                await client.score(queries[0], ids), plain.score(queries[0], ids)
            )
            only = Filter(denied=["i005"])
            similar = await client.similar_items("i004", 7, only)
            assert similar.as_dict() == plain.similar_items("i004", 7, only).as_dict()
            assert await client.explain(queries[1], "i002") == plain.explain(queries[1], "i002")
            vectors = await client.embed_users(queries * 8)
            np.testing.assert_array_equal(vectors, plain.embed_users(queries * 8))
            assert (await client.embed_users([])).shape == (0, 16)
            assert await client.info() == plain.info()
            one = [RecordedEvent("u01", Event("i001"), "a key")]
            assert await client.record_events(one) == plain.record_events(one)
            assert (await client.upsert_items([Item("mug", {}, ["c1"])])).added == 1
            with pytest.raises(UnknownId, match="item id 'i07' is not among"):
                await client.similar_items("i07")
            with pytest.raises(QueryError, match="k: at least 1"):
                await client.recommend(k=0)

    with running(place.options()) as (address, _), Client(address, LASTING) as plain:
        asyncio.run(ask(address))


def test_nobody_there() -> None:
    async def ask() -> None:
        quick = ClientOptions(timeout=0.3, attempts=2, first_wait=0.01)
        async with AsyncClient("127.0.0.1:1", quick) as nowhere:
            with pytest.raises(ServiceError, match=r"UNAVAILABLE|DEADLINE_EXCEEDED"):
                await nowhere.recommend()
        with pytest.raises(SettingsError, match="unencrypted"):
            AsyncClient("shop.example:1", ClientOptions(token="t" * 20))

    asyncio.run(ask())
