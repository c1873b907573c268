from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest

from firstedge.cli import main
from firstedge.graph.errors import ServiceError, SettingsError
from firstedge.models.bundle_file import save_bundle
from firstedge.serving.loadtest import Load, Outcome, Strangers, popular_items, put_load
from firstedge.serving.options import ServiceOptions
from firstedge.serving.v1 import recommender_pb2 as pb
from tests.models.bundles import random_bundle
from tests.serving.servers import running


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("bundle")
    save_bundle(random_bundle(), folder)
    with running(ServiceOptions(folder, port=0, patience=60)) as (address, _):
        yield address


def ask(address: str, load: Load) -> Outcome:
    async def body() -> Outcome:
        async with grpc.aio.insecure_channel(address) as channel:
            return await put_load(channel, Strangers().payloads(await popular_items(channel)), load)

    return asyncio.run(body())


def test_as_many_as_are_allowed_are_under_way(address: str) -> None:
    outcome = ask(address, Load(seconds=0.5, in_flight=4, timeout=30))
    assert set(outcome.codes) == {"OK"}
    assert outcome.codes["OK"] == len(outcome.latencies) > 4
    # Little's law: requests under way are throughput times latency.
    assert outcome.throughput * outcome.latencies.mean() == pytest.approx(4, rel=0.25)


def test_at_a_rate_requests_begin_when_they_are_due(address: str) -> None:
    outcome = ask(address, Load(seconds=0.5, in_flight=100, rate=60, timeout=30))
    assert outcome.codes["OK"] + outcome.unsent == 30
    assert outcome.seconds > 0.45


def test_what_is_due_while_too_many_are_under_way_is_not_sent_but_counted(address: str) -> None:
    outcome = ask(address, Load(seconds=0.1, in_flight=1, rate=20_000, timeout=30))
    assert outcome.unsent > 0
    assert sum(outcome.codes.values()) + outcome.unsent == 2_000


def test_strangers_are_as_they_should_be() -> None:
    known = ["a", "b", "c"]
    first, *others = Strangers(events=3, k=7, seed=1, count=10).payloads(known)
    request = pb.RecommendRequest.FromString(first)
    assert (request.k, len(request.user.query.events), len(others)) == (7, 3, 9)
    assert {event.item for event in request.user.query.events} <= set(known)
    assert first == Strangers(events=3, k=7, seed=1, count=1).payloads(known)[0]


def test_percentiles_and_histogram() -> None:
    outcome = Outcome(2.0, {"OK": 100, "UNAVAILABLE": 3}, np.arange(1, 101) / 10_000)
    assert outcome.throughput == 50
    assert outcome.percentile(50) == pytest.approx(0.00505)
    ends = [(round(1e6 * below), count) for below, count in outcome.histogram]
    assert ends == [(200, 1), (500, 3), (1000, 5), (2000, 10), (5000, 30), (10000, 50), (20000, 1)]
    empty = Outcome(1.0, {"UNAVAILABLE": 3}, np.empty(0))
    assert (empty.histogram, empty.as_dict()["ms"]) == ([], {})


@pytest.mark.parametrize("change", [{"seconds": 0}, {"in_flight": 0}, {"rate": -1}, {"timeout": 0}])
def test_a_load_that_cannot_be_is_refused(change: dict[str, float]) -> None:
    with pytest.raises(SettingsError, match="at least 1, a rate not below 0"):
        Load(**change)  # type: ignore[arg-type]


def test_where_nobody_answers_it_says_so() -> None:
    with pytest.raises(ServiceError, match="UNAVAILABLE"):
        ask("127.0.0.1:1", Load(seconds=0.1))


def test_the_command_prints_percentiles_and_a_histogram(
    address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*more: str) -> str:
        with pytest.raises(SystemExit) as end:
            main(["loadtest", address, "--seconds", "0.3", "--in-flight", "2", *more])
        assert not end.value.code
        return capsys.readouterr().out

    text = run("--k", "5", "--events", "2")
    assert "answers a second" in text
    assert "p99.9" in text
    assert "█" in text
    found = json.loads(run("--json"))
    assert found["codes"].keys() == {"OK"}
    assert found["ms"]["p50"] <= found["ms"]["p99"]
    assert sum(count for _, count in found["histogram_ms"]) == found["codes"]["OK"]


def test_the_command_says_what_it_needs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as end:
        main(["loadtest", "127.0.0.1:1", "--ca", str(tmp_path / "none.pem")])
    assert end.value.code == 1
    assert "none.pem" in capsys.readouterr().err
