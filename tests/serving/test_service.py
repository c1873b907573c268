from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any

import grpc
import numpy as np
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_status import rpc_status

from firstedge.graph.errors import (
    QueryError,
    ServiceError,
    SettingsError,
    StoreUnavailable,
    UnknownId,
)
from firstedge.graph.store import open_store
from firstedge.models.bundle_file import TENSORS, current_version, save_bundle
from firstedge.serving.client import Client, ClientOptions
from firstedge.serving.filter import Filter
from firstedge.serving.options import ServiceOptions
from firstedge.serving.query import Event, Query, joined
from firstedge.serving.ranking import Ranking
from firstedge.serving.recommender import Recommender
from firstedge.serving.service import Service
from firstedge.serving.store_users import read_query
from firstedge.serving.v1 import recommender_pb2 as pb
from firstedge.serving.v1 import recommender_pb2_grpc as pb_grpc
from firstedge.serving.wire import SERVICE, Limits, read_k
from tests.models.bundles import random_bundle
from tests.serving.questions import random_query
from tests.serving.servers import retried, running, wait_for
from tests.serving.stores import write_store

BUNDLE = random_bundle()
LIBRARY = Recommender(BUNDLE)


@dataclass(frozen=True)
class Shop:
    """A running service and where it has its bundle and store."""

    address: str
    service: Service
    bundle: Path
    users: dict[str, Query]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shop]:
    home = tmp_path_factory.mktemp("service")
    save_bundle(BUNDLE, home / "bundle")
    write_store(home / "shop.lbug", BUNDLE)
    with open_store(str(home / "shop.lbug"), BUNDLE.schema, read_only=True) as store:
        ids = store.read("users")["id"].to_pylist()
        users = {id_: read_query(store, BUNDLE, id_) for id_ in ids}
    options = ServiceOptions(home / "bundle", str(home / "shop.lbug"), port=0, watch_seconds=0.05)
    with running(options) as (address, service):
        yield Shop(address, service, home / "bundle", users)


@pytest.fixture(scope="module")
def client(shop: Shop) -> Iterator[Client]:
    with Client(shop.address, ClientOptions(timeout=30)) as client:
        yield client


@pytest.fixture(scope="module")
def stub(shop: Shop) -> Iterator[Any]:
    with grpc.insecure_channel(shop.address) as channel:
        yield pb_grpc.RecommenderStub(channel)


def test_the_other_answers_are_the_librarys(client: Client) -> None:
    rng = np.random.default_rng(13)
    queries = [random_query(rng) for _ in range(600)]  # three messages
    np.testing.assert_array_equal(client.embed_users(queries), LIBRARY.embed_users(queries))
    assert client.embed_users([]).shape == (0, BUNDLE.dim)
    for query in queries[:5]:
        ids = ["i007", "i001"]
        np.testing.assert_array_equal(client.score(query, ids), LIBRARY.score(query, ids))
        assert client.explain(query, "i002") == LIBRARY.explain(query, "i002")
    similar = LIBRARY.similar_items("i004", 7, Filter(denied=["i005"]))
    assert client.similar_items("i004", 7, Filter(denied=["i005"])).as_dict() == similar.as_dict()
    info = client.info()
    assert (info["num_items"], info["about"]) == (30, {"fingerprint": "test"})


def test_a_user_of_the_store_comes_before_what_is_said() -> None:
    known = Query([Event(item="a", at=9), Event(item="b")], {"x": 1, "y": 1}, "old")
    said = Query([Event(item="c", at=5)], {"y": 2})
    assert joined(known, said) == Query(
        (Event(item="a"), Event(item="b"), Event(item="c", at=5)), {"x": 1, "y": 2}, "old"
    )


def refused(call: Any) -> tuple[str, str, dict[str, Any]]:
    """The code, text and details of an error."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    status = rpc_status.from_call(caught.value)
    assert status is not None
    details = {}
    for detail in status.details:
        name = detail.type_url.rpartition(".")[2]
        message = getattr(error_details_pb2, name)()
        assert detail.Unpack(message)
        details[name] = message
    return caught.value.code().name, status.message, details


BAD = [
    (pb.RecommendRequest(k=0), "k"),
    (pb.RecommendRequest(k=1001), "k"),
    (
        pb.RecommendRequest(user=pb.User(query=pb.Query(events=[pb.Event()] * 10_001))),
        "user.query.events",
    ),
    (
        pb.RecommendRequest(
            user=pb.User(query=pb.Query(events=[pb.Event(item="i001"), pb.Event()]))
        ),
        "user.query.events[1]",
    ),
    (pb.RecommendRequest(user=pb.User(query=pb.Query(text="x" * 100_001))), "user.query"),
    (
        pb.RecommendRequest(filter=pb.Filter(properties={"price": pb.Condition()})),
        "filter.properties['price']",
    ),
    (
        pb.RecommendRequest(
            filter=pb.Filter(properties={"price": pb.Condition(range=pb.Range(min=float("nan")))})
        ),
        "filter.properties['price']",
    ),
]


@pytest.mark.parametrize(("request_", "field"), BAD, ids=[field for _, field in BAD])
def test_a_bad_field_is_named(stub: Any, request_: pb.RecommendRequest, field: str) -> None:
    code, text, details = refused(lambda: stub.Recommend(request_))
    assert code == "INVALID_ARGUMENT"
    assert details["BadRequest"].field_violations[0].field == field
    assert text.startswith(f"{field}: ")
    assert details["ErrorInfo"].reason == "QueryError"


def test_errors_have_their_status(stub: Any) -> None:
    unknown = pb.User(query=pb.Query(events=[pb.Event(item="x" * 50_000)]), refuse_unknown=True)
    code, text, details = refused(lambda: stub.Recommend(pb.RecommendRequest(user=unknown)))
    assert (code, details["ErrorInfo"].reason) == ("NOT_FOUND", "UnknownId")
    assert len(text) == 200  # trailers have little room
    wide = pb.Filter(properties={"\U0001f600" * 9_000: pb.Condition()})
    code, text, _ = refused(lambda: stub.Recommend(pb.RecommendRequest(filter=wide)))
    assert (code, len(text)) == ("INVALID_ARGUMENT", 200)
    code, text, _ = refused(lambda: stub.Explain(pb.ExplainRequest(user=pb.User(id="nobody"))))
    assert (code, text) == ("NOT_FOUND", "user id 'nobody' is not in the store")
    wrong = pb.User(query=pb.Query(events=[pb.Event(item="i001", kind="purchse")]))
    code, text, _ = refused(lambda: stub.Score(pb.ScoreRequest(user=wrong)))
    assert code == "INVALID_ARGUMENT"
    assert "did you mean 'purchase'" in text
    many = pb.EmbedUsersRequest(users=[pb.User()] * 1001)
    code, _, details = refused(lambda: list(stub.EmbedUsers(iter([many]))))
    assert (code, details["BadRequest"].field_violations[0].field) == ("INVALID_ARGUMENT", "users")


def test_the_client_raises_the_librarys_errors(client: Client) -> None:
    with pytest.raises(UnknownId, match="item id 'i07' is not among"):
        client.similar_items("i07")
    for k, why in ((0, "k: at least 1"), (-1, "this cannot be sent")):
        with pytest.raises(QueryError, match=why):
            client.recommend(k=k)
    options = ClientOptions(timeout=0.3, attempts=2, first_wait=0.01)
    with (
        Client("127.0.0.1:1", options) as nowhere,
        pytest.raises(ServiceError, match=r"UNAVAILABLE|DEADLINE_EXCEEDED"),
    ):
        nowhere.recommend()


def test_a_fault_of_the_server_shows_nothing_of_it(
    shop: Shop, stub: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("secret")

    monkeypatch.setattr(shop.service.bundle.model.recommender, "similar_items", fail)
    with pytest.raises(grpc.RpcError) as caught:
        stub.SimilarItems(pb.SimilarItemsRequest(id="i001"))
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    number = caught.value.details().split()[3]
    assert "secret" not in str(caught.value.details())
    assert number in caplog.text
    assert "ZeroDivisionError: secret" in caplog.text


def test_without_its_store_it_answers_who_brings_events(tmp_path: Path) -> None:
    save_bundle(BUNDLE, tmp_path / "bundle")
    place = tmp_path / "away" / "shop.lbug"
    options = ServiceOptions(tmp_path / "bundle", str(place), port=0)
    quick = ClientOptions(attempts=1)
    with running(options) as (address, _), Client(address, quick) as client:
        query = Query([Event(item="i003")])
        assert client.recommend(query).as_dict() == LIBRARY.recommend(query).as_dict()
        with pytest.raises(StoreUnavailable, match="ask without a user id") as caught:
            client.recommend(query, user="u01")
        assert "away" not in str(caught.value)
        with grpc.insecure_channel(address) as channel:
            request = pb.RecommendRequest(user=pb.User(id="u01"))
            stub = pb_grpc.RecommenderStub(channel)
            code, _, details = refused(lambda: stub.Recommend(request))
        assert (code, details["RetryInfo"].retry_delay.seconds) == ("UNAVAILABLE", 1)
        write_store(tmp_path / "shop.lbug", BUNDLE)
        place.parent.mkdir()
        (tmp_path / "shop.lbug").rename(place)
        wait_for(retried(lambda: client.recommend(user="u01").num_given > 0))


def test_without_a_store_a_user_id_is_a_bad_field(tmp_path: Path) -> None:
    save_bundle(BUNDLE, tmp_path)
    with (
        running(ServiceOptions(tmp_path, port=0)) as (address, _),
        Client(address) as client,
        pytest.raises(QueryError, match=r"user\.id: this server has no store"),
    ):
        client.recommend(user="u01")


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "10.0.0.1", "shop.example"])  # noqa: S104
def test_an_open_address_must_be_said(host: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no TLS"):
        ServiceOptions(tmp_path, host=host)
    assert ServiceOptions(tmp_path, host=host, insecure=True).host == host
    assert ServiceOptions(tmp_path, host="[::1]").host == "[::1]"


def test_a_new_bundle_is_taken_up_between_two_requests(tmp_path: Path) -> None:
    first = save_bundle(BUNDLE, tmp_path)
    other = random_bundle(seed=7)
    expected = {first: list(LIBRARY.recommend(Query()))}
    options = ServiceOptions(tmp_path, port=0, watch_seconds=0.05)
    answers: list[pb.RecommendResponse] = []
    stop = Flag()

    def ask(stub: Any) -> None:
        while not stop.is_set():
            answers.append(stub.Recommend(pb.RecommendRequest()))
            time.sleep(0.005)

    with running(options) as (address, _), grpc.insecure_channel(address) as channel:
        asker = Thread(target=ask, args=(pb_grpc.RecommenderStub(channel),))
        asker.start()
        wait_for(lambda: len(answers) > 3)
        second = save_bundle(other, tmp_path)
        expected[second] = list(Recommender(other).recommend(Query()))
        wait_for(lambda: answers[-1].version == second)
        broken = save_bundle(replace(other, about={"fingerprint": "broken"}), tmp_path)
        seen = len(answers)
        wait_for(lambda: len(answers) > seen + 3)
        stop.set()
        asker.join()
        assert current_version(tmp_path) == broken
    assert {answer.version for answer in answers} >= {first, second}
    for answer in answers:
        if answer.version != broken:
            assert [item.id for item in answer.ranking.items] == expected[answer.version]


def test_an_altered_bundle_is_refused_and_the_old_one_stays(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = save_bundle(BUNDLE, tmp_path / "live")
    second = save_bundle(random_bundle(seed=7), tmp_path / "new")
    shutil.copytree(tmp_path / "new" / second, tmp_path / "live" / second)
    tensors = tmp_path / "live" / second / TENSORS
    whole = tensors.read_bytes()
    tensors.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    options = ServiceOptions(tmp_path / "live", port=0, watch_seconds=0.05)
    with running(options) as (address, _), Client(address) as client:
        (tmp_path / "live" / "current").write_text(second)
        wait_for(lambda: "refused" in caplog.text)
        assert client.info()["version"] == first
        assert client.recommend().as_dict() == LIBRARY.recommend(Query()).as_dict()
        tensors.write_bytes(whole)
        wait_for(lambda: client.info()["version"] == second)
    assert caplog.text.count("refused") == 1


def test_health_and_reflection(shop: Shop) -> None:
    with grpc.insecure_channel(shop.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for name in ("", SERVICE):
            answer = health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        reflection = reflection_pb2_grpc.ServerReflectionStub(channel)
        ask = reflection_pb2.ServerReflectionRequest(list_services="")
        (answer,) = reflection.ServerReflectionInfo(iter([ask]))
        names = {service.name for service in answer.list_services_response.service}
    assert {SERVICE, "grpc.health.v1.Health"} <= names
    assert SERVICE == "firstedge.v1.Recommender"


def test_a_message_that_is_too_large_is_refused(shop: Shop) -> None:
    with grpc.insecure_channel(shop.address) as channel:
        with pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary(f"/{SERVICE}/Recommend")(bytes(5 * 2**20))
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_what_is_under_way_is_finished_when_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_bundle(BUNDLE, tmp_path)
    begun = Flag()
    answers: list[Ranking] = []

    def slow(*_: Any) -> Ranking:
        begun.set()
        time.sleep(0.5)
        return LIBRARY.similar_items("i001", 3)

    with running(ServiceOptions(tmp_path, port=0)) as (address, service):
        monkeypatch.setattr(service.bundle.model.recommender, "similar_items", slow)
        client = Client(address, ClientOptions(attempts=1))
        asker = Thread(target=lambda: answers.append(client.similar_items("i001")))
        asker.start()
        assert begun.wait(20)
    asker.join()
    assert [len(answer) for answer in answers] == [3]
    with client, pytest.raises(ServiceError, match="UNAVAILABLE"):
        client.recommend()


def test_the_command_serves_and_drains(tmp_path: Path) -> None:
    save_bundle(BUNDLE, tmp_path)
    command = Path(sys.executable).with_name("firstedge")
    server = subprocess.Popen(
        [command, "serve", "--bundle", tmp_path, "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error"},
    )
    try:
        assert server.stdout is not None
        port = json.loads(server.stdout.readline())["port"]
        with Client(f"127.0.0.1:{port}") as client:
            assert client.recommend(k=3).ids == LIBRARY.recommend(Query(), 3).ids
            server.send_signal(signal.SIGTERM)
            _, complaints = server.communicate(timeout=60)
    finally:
        server.kill()
    assert server.returncode == 0, complaints
    assert "Traceback" not in complaints


HUNG_UP = """
import asyncio, sys
from pathlib import Path
from firstedge.serving.options import ServiceOptions
from firstedge.serving.service import Service, serve
service = Service(ServiceOptions(Path(sys.argv[1]), port=0, watch_seconds=3600))
asyncio.run(serve(service, lambda port: print(port, flush=True)))
"""


def test_sighup_takes_up_a_new_bundle(tmp_path: Path) -> None:
    save_bundle(BUNDLE, tmp_path)
    server = subprocess.Popen(
        [sys.executable, "-c", HUNG_UP, tmp_path], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        with Client(f"127.0.0.1:{int(server.stdout.readline())}") as client:
            second = save_bundle(random_bundle(seed=7), tmp_path)
            assert client.info()["version"] != second
            server.send_signal(signal.SIGHUP)
            wait_for(lambda: client.info()["version"] == second)
    finally:
        server.kill()
        server.communicate()


SERVING_NEEDS = """
import sys
import firstedge.serving.service, firstedge.serving.client
heavy = {"torch", "transformers", "sklearn", "pandas", "matplotlib", "neo4j", "ladybug"}
print(sorted(heavy & set(sys.modules)))
"""


def test_serving_needs_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SERVING_NEEDS], capture_output=True, text=True, timeout=120
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


WITHOUT_GRPC = """
import sys
sys.modules["grpc"] = None
import firstedge as fe
try:
    fe.Client
except fe.MissingDependency as error:
    print(error)
"""


def test_without_grpc_the_client_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_GRPC], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.strip().endswith("pip install 'firstedge[serve]'")
    assert done.stderr == ""


def test_a_limit_that_lets_nothing_through_is_refused() -> None:
    with pytest.raises(SettingsError, match="a limit is at least 1, got 0 for k"):
        Limits(k=0)


def test_a_request_that_names_no_k_gets_twenty_or_as_many_as_there_may_be(tmp_path: Path) -> None:
    save_bundle(BUNDLE, tmp_path / "bundle")
    options = ServiceOptions(tmp_path / "bundle", port=0, limits=Limits(k=3))
    with running(options) as (address, _), grpc.insecure_channel(address) as channel:
        stub = pb_grpc.RecommenderStub(channel)
        assert len(stub.Recommend(pb.RecommendRequest()).ranking.items) == 3
        similar = stub.SimilarItems(pb.SimilarItemsRequest(id=BUNDLE.items.ids[0]))
        assert len(similar.ranking.items) == 3
    for limits, k in ((Limits(k=3), 3), (Limits(k=20), 20), (Limits(), 20)):
        assert read_k(pb.RecommendRequest(), limits) == k
