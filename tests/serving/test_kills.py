"""kill -9 while events are recorded: what was acknowledged is there, and nothing is there twice."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag
from typing import Any

import numpy as np
import pytest

from firstedge.graph.errors import ServiceError, StoreError
from firstedge.graph.store import open_store
from firstedge.models.bundle_file import save_bundle
from firstedge.serving.calls import RecordedEvent
from firstedge.serving.client import Client, ClientOptions
from firstedge.serving.query import Event
from tests.models.bundles import random_bundle
from tests.serving.stores import fill_items

BUNDLE = random_bundle()
WRITERS = 3


@contextmanager
def server(bundle: Path, store: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server process of its own, killed at the end, and its address."""
    command = Path(sys.executable).with_name("firstedge")
    arguments = ["--bundle", bundle, "--store", store, "--port", "0"]
    process = subprocess.Popen(
        [command, "serve", *arguments, "--json", "--log-level", "error"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, f"127.0.0.1:{json.loads(process.stdout.readline())['port']}"
    finally:
        process.kill()
        process.communicate()


class Writer:
    """Sends calls of events, one after the other; a call that fails is sent again, first of all."""

    def __init__(self, number: int, seed: int) -> None:
        self.number = number
        self.rng = np.random.default_rng((seed, number))
        self.acknowledged: list[str] = []
        self.unanswered: list[RecordedEvent] = []
        self.sent = 0

    def write(self, address: str, stop: Flag, began: Flag) -> None:
        with Client(address, ClientOptions(timeout=120, attempts=1)) as client:
            while not stop.is_set():
                events = self.unanswered or self.make(int(self.rng.choice([1, 3, 40, 700, 2500])))
                self.unanswered = events
                try:
                    recorded = client.record_events(events)
                except (ServiceError, StoreError):
                    if stop.is_set():
                        return
                    continue
                assert (recorded.recorded, recorded.refused) == (len(events), ())
                self.acknowledged += [event.key for event in events]
                self.unanswered = []
                began.set()

    def make(self, size: int) -> list[RecordedEvent]:
        numbers = range(self.sent, self.sent + size)
        self.sent += size
        return [
            RecordedEvent(
                f"user {n % 50} of {self.number}" if n % 9 else f"one-time {self.number} {n}",
                Event(f"i{n % 30:03d}", at=n),
                f"key {self.number} {n}",
            )
            for n in numbers
        ]


def kill_while_recording(bundle: Path, url: str, times: int, seed: int) -> None:
    print(f"seed {seed}")
    rng = np.random.default_rng(seed)
    save_bundle(BUNDLE, bundle)
    with open_store(url, BUNDLE.schema) as store:
        fill_items(store, BUNDLE)
    writers = [Writer(number, seed) for number in range(WRITERS)]
    for _ in range(times):
        stop, began = Flag(), Flag()
        with ThreadPoolExecutor(WRITERS) as pool:
            with server(bundle, url) as (process, address):
                jobs = [pool.submit(writer.write, address, stop, began) for writer in writers]
                answered = began.wait(300)
                time.sleep(float(rng.uniform(0, 0.4)))
                stop.set()
                process.kill()
                assert answered
            for job in jobs:
                job.result()
    check(url, writers)


def check(url: str, writers: list[Writer]) -> None:
    with open_store(url, BUNDLE.schema) as store:
        stored = Counter(store.read_events()["key"].to_pylist())
    acknowledged = {key for writer in writers for key in writer.acknowledged}
    maybe = {event.key for writer in writers for event in writer.unanswered}
    assert len(acknowledged) > 1000
    assert acknowledged - set(stored) == set()
    assert set(stored) - acknowledged - maybe == set()
    assert set(stored.values()) == {1}


def test_no_acknowledged_event_is_lost_and_none_is_doubled(tmp_path: Path) -> None:
    kill_while_recording(tmp_path / "bundle", str(tmp_path / "shop.lbug"), 10, seed=6)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(10))
def test_no_acknowledged_event_is_lost_in_a_hundred_kills(tmp_path: Path, seed: int) -> None:
    kill_while_recording(tmp_path / "bundle", str(tmp_path / "shop.lbug"), 10, seed)


@pytest.mark.soak
@pytest.mark.timeout(3600)
def test_no_acknowledged_event_is_lost_on_neo4j(tmp_path: Path, neo4j_server: Any) -> None:
    kill_while_recording(tmp_path / "bundle", neo4j_server.url, 10, seed=7)
