"""What whoever runs the service sees: metrics, logs, spans, refusals."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client.parser import text_string_to_metric_families

from firstedge.graph.errors import Overloaded, SettingsError, UnknownId
from firstedge.models.bundle_file import save_bundle
from firstedge.serving import tracing
from firstedge.serving.client import Client, ClientOptions
from firstedge.serving.guard import REQUEST_ID
from firstedge.serving.logs import JsonLines, log_request, log_to_stderr, name_request
from firstedge.serving.metrics import Metrics
from firstedge.serving.options import ServiceOptions
from firstedge.serving.query import Event, Query
from firstedge.serving.service import Service
from firstedge.serving.v1 import recommender_pb2 as pb
from firstedge.serving.v1 import recommender_pb2_grpc as pb_grpc
from firstedge.serving.wire import SERVICE
from tests.models.bundles import random_bundle
from tests.serving.servers import running, wait_for

BUNDLE = random_bundle()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bundle")
    save_bundle(BUNDLE, path)
    return path


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[tuple[str, Service]]:
    with running(ServiceOptions(folder, port=0, metrics_port=0, watch_seconds=0.05)) as found:
        yield found


def scrape(service: Service) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    with urlopen(f"http://127.0.0.1:{service.metrics_port}/metrics", timeout=20) as page:
        text = page.read().decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_requests_users_and_unknown_items_are_counted(server: tuple[str, Service]) -> None:
    address, service = server
    before = scrape(service)
    with Client(address) as client:
        client.recommend()
        client.recommend(Query([Event(item="i001"), Event(item="nobody-has-it")]))
        client.recommend(Query([Event(item=f"i{row:03d}") for row in range(7)]))
        with pytest.raises(UnknownId):
            client.recommend(Query([Event(item="nobody-has-it")]), unknown="error")
    refused_one = ("firstedge_requests_total", (("code", "NOT_FOUND"), ("method", "Recommend")))
    wait_for(lambda: scrape(service).get(refused_one, 0) > before.get(refused_one, 0))
    after = scrape(service)

    def more(name: str, **labels: str) -> float:
        key = (f"firstedge_{name}", tuple(sorted(labels.items())))
        return after[key] - before.get(key, 0)

    assert more("requests_total", method="Recommend", code="OK") == 3
    assert more("requests_total", method="Recommend", code="NOT_FOUND") == 1
    assert more("request_duration_seconds_count", method="Recommend") == 4
    assert more("users_total", given="0") == 1
    assert more("users_total", given="1") == 1
    assert more("users_total", given="6-10") == 1
    assert more("unknown_total", of="items") == 1
    assert after["firstedge_model_items", ()] == 30
    assert 0 <= time.time() - after["firstedge_embedding_timestamp_seconds", ()] < 600
    versions = [dict(key[1])["version"] for key in after if key[0] == "firstedge_model_info"]
    assert versions == [service.bundle.model.version]
    assert "process_resident_memory_bytes" in {name for name, _ in after}
    assert not any("nobody-has-it" in str(key) for key in after)


def test_models_that_are_taken_up_and_refused_are_counted(tmp_path: Path) -> None:
    first = save_bundle(BUNDLE, tmp_path)
    with running(ServiceOptions(tmp_path, port=0, metrics_port=0, watch_seconds=0.05)) as (
        _,
        service,
    ):
        second = save_bundle(random_bundle(40, seed=3), tmp_path)
        wait_for(lambda: scrape(service)["firstedge_model_items", ()] == 40)
        known = {dict(key[1])["version"] for key in scrape(service) if "model_info" in key[0]}
        assert known == {second} != {first}
        (tmp_path / "current").write_text("no-such-version")
        wait_for(lambda: scrape(service)["firstedge_models_refused_total", ()] == 1)


def test_a_port_that_is_taken_is_said(server: tuple[str, Service]) -> None:
    _, service = server
    assert service.metrics_port is not None
    with pytest.raises(SettingsError, match="cannot give metrics on"):
        Metrics().listen("127.0.0.1", service.metrics_port)


def refused(call: Any) -> Any:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return caught.value


LONG = pb.RecommendRequest(reasons=True)  # which threads answer


def retry_seconds(error: Any) -> int:
    """When to come again, as google.rpc has it."""
    for one in rpc_status.from_call(error).details:
        retry = error_details_pb2.RetryInfo()
        if one.Unpack(retry):
            return int(retry.retry_delay.seconds)
    raise AssertionError("no RetryInfo")


def test_a_ranking_that_there_is_no_room_for_is_refused_unread_and_may_come_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ServiceOptions(folder, port=0, metrics_port=0, patience=0.05)
    with running(options) as (address, service), grpc.insecure_channel(address) as channel:
        stub: Any = pb_grpc.RecommenderStub(channel)
        find = service.bundle.model.recommender.answer

        def slow(requests: Any) -> Any:
            time.sleep(0.3)
            return find(requests)

        monkeypatch.setattr(service.bundle.model.recommender, "answer", slow)
        stub.Recommend(pb.RecommendRequest())  # now its pace is known
        calls = [stub.Recommend.future(pb.RecommendRequest()) for _ in range(60)]
        codes = Counter(call.code().name for call in calls)
        assert set(codes) == {"OK", "RESOURCE_EXHAUSTED"}
        assert codes["OK"] >= 2  # as many may always wait
        assert all(
            len(call.result().ranking.items) == 20 for call in calls if call.code().name == "OK"
        )
        error = next(call for call in calls if call.code().name != "OK")
        assert "try again later" in error.details()
        assert retry_seconds(error) == 1
        shed = ("firstedge_requests_shed_total", (("method", "Recommend"),))
        assert scrape(service)[shed] == codes["RESOURCE_EXHAUSTED"]
        time.sleep(0.3)
        assert len(stub.Recommend(pb.RecommendRequest()).ranking.items) == 20


def test_what_would_wait_too_long_for_a_thread_is_refused_and_may_come_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = ServiceOptions(folder, port=0, metrics_port=0, patience=0.01)
    quick = ClientOptions(attempts=1)
    with running(options) as (address, service), grpc.insecure_channel(address) as channel:
        stub: Any = pb_grpc.RecommenderStub(channel)
        find = service.bundle.model.recommender.answer

        begun: list[int] = []

        def slow(requests: Any) -> Any:
            begun.append(len(requests))
            time.sleep(0.5 * len(requests))
            return find(requests)

        monkeypatch.setattr(service.bundle.model.recommender, "answer", slow)
        stub.Recommend(LONG)  # now its pace is known
        with ThreadPoolExecutor(2) as pool:
            first = [pool.submit(stub.Recommend, LONG)]
            wait_for(lambda: len(begun) == 2)
            first.append(pool.submit(stub.Recommend, LONG))
            wait_for(lambda: service.desks.long.waiting == 1)
            error = refused(lambda: stub.Recommend(LONG))
            with Client(address, quick) as client, pytest.raises(Overloaded, match="try again"):
                client.recommend(reasons=True)
            assert all(len(one.result().ranking.items) == 20 for one in first)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        assert retry_seconds(error) == 1
        shed = ("firstedge_requests_shed_total", (("method", "Recommend"),))
        wait_for(lambda: scrape(service)[shed] == 2)


def test_work_whose_deadline_passes_before_its_turn_is_never_begun(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(ServiceOptions(folder, port=0, patience=60)) as (address, service):
        begun: list[int] = []
        find = service.bundle.model.recommender.answer

        def slow(requests: Any) -> Any:
            begun.extend(one.k for one in requests)
            time.sleep(0.5 if requests[0].k == 1 else 0)
            return find(requests)

        monkeypatch.setattr(service.bundle.model.recommender, "answer", slow)
        with grpc.insecure_channel(address) as channel:
            stub: Any = pb_grpc.RecommenderStub(channel)
            first = stub.Recommend.future(pb.RecommendRequest(reasons=True, k=1))
            while not begun:
                time.sleep(0.001)
            late = refused(
                lambda: stub.Recommend(pb.RecommendRequest(reasons=True, k=2), timeout=0.1)
            )
            given_up = stub.Recommend.future(pb.RecommendRequest(reasons=True, k=3))
            time.sleep(0.05)
            given_up.cancel()
            assert len(first.result().ranking.items) == 1
            assert len(stub.Recommend(pb.RecommendRequest(reasons=True, k=4)).ranking.items) == 4
        assert late.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert begun == [1, 4]


def test_an_error_carries_the_callers_request_id_and_so_does_the_log(
    server: tuple[str, Service], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    address, service = server
    monkeypatch.setattr(service.bundle.model.recommender, "similar_items", fail)
    with grpc.insecure_channel(address) as channel, caplog.at_level(logging.DEBUG, "firstedge"):
        stub: Any = pb_grpc.RecommenderStub(channel)
        request, said = pb.SimilarItemsRequest(id="i001"), ((REQUEST_ID, "order-4711"),)
        error = refused(lambda: stub.SimilarItems(request, metadata=said))
        other = refused(lambda: stub.SimilarItems(request, metadata=((REQUEST_ID, "a b!"),)))
        wait_for(lambda: sum(one.name == "firstedge.requests" for one in caplog.records) == 2)
    assert dict(error.trailing_metadata())[REQUEST_ID] == "order-4711"
    assert "number order-4711 in the server's log" in error.details()
    assert "number order-4711" in caplog.text
    assert len(dict(other.trailing_metadata())[REQUEST_ID]) == 12
    ends = [record for record in caplog.records if record.name == "firstedge.requests"]
    assert [(one.method, one.code) for one in ends] == [("SimilarItems", "INTERNAL")] * 2  # type: ignore[attr-defined]


def test_log_lines_are_json_with_the_request(capsys: pytest.CaptureFixture[str]) -> None:
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers.clear()
    try:
        log_to_stderr("json", "debug")

        async def answer() -> None:
            name_request("r-1")
            log_request("Recommend", "OK", 0.0015)

        asyncio.run(answer())
        logging.getLogger("firstedge.serving").info("bundle %s", "v2")
    finally:
        root.handlers[:] = before
        root.setLevel(level)
    first, second = [json.loads(line) for line in capsys.readouterr().err.splitlines()[-2:]]
    assert first.pop("time") <= second.pop("time")
    assert first == {
        "level": "DEBUG",
        "logger": "firstedge.requests",
        "message": "Recommend OK in 1.5 ms",
        "method": "Recommend",
        "code": "OK",
        "ms": 1.5,
        "request": "r-1",
    }
    assert second == {"level": "INFO", "logger": "firstedge.serving", "message": "bundle v2"}


def test_a_fault_is_one_line_of_json() -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        record = logging.getLogger("x").makeRecord(
            "x", logging.ERROR, "", 0, "failed", (), (type(error), error, error.__traceback__)
        )
    line = JsonLines().format(record)
    assert "\n" not in line
    assert "ValueError: two" in json.loads(line)["exception"]


def test_every_request_is_a_span_of_its_callers_trace(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spans, real = InMemorySpanExporter(), tracing.trace_requests
    monkeypatch.setattr(tracing, "trace_requests", lambda: real(spans))
    trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    with (
        running(ServiceOptions(folder, port=0, tracing=True)) as (address, _),
        grpc.insecure_channel(address) as channel,
    ):
        stub: Any = pb_grpc.RecommenderStub(channel)
        said = (("traceparent", f"00-{trace}-{parent}-01"),)
        stub.Recommend(pb.RecommendRequest(), metadata=said)
        refused(lambda: stub.Recommend(pb.RecommendRequest(k=0)))
    fine, bad = spans.get_finished_spans()
    assert fine.name.removeprefix("/") == f"{SERVICE}/Recommend"
    assert f"{fine.context.trace_id:032x}" == trace
    assert fine.parent is not None
    assert f"{fine.parent.span_id:016x}" == parent
    assert bad.attributes is not None
    assert bad.attributes["rpc.grpc.status_code"] == grpc.StatusCode.INVALID_ARGUMENT.value[0]
    assert fine.resource.attributes["service.name"] == "firstedge"
