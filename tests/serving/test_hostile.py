"""Malformed and hostile requests: each gets a status, and the server goes on as before."""

from __future__ import annotations

import logging
from collections import Counter
from pathlib import Path

import grpc
import pytest

from firstedge.models.bundle_file import save_bundle
from firstedge.serving.client import Client, ClientOptions
from firstedge.serving.options import ServiceOptions
from firstedge.serving.query import Event, Query
from firstedge.serving.wire import Limits
from tests.serving.fuzz import ALLOWED, Fuzzer, ask
from tests.serving.places import BUNDLE
from tests.serving.servers import running
from tests.serving.stores import write_store

BLOCK = 5_000


def attack(folder: Path, number: int, seed: int, caplog: pytest.LogCaptureFixture) -> None:
    print(f"seed {seed}")
    save_bundle(BUNDLE, folder / "bundle")
    write_store(folder / "shop.lbug", BUNDLE)
    caplog.set_level(logging.ERROR)
    limits = Limits(message_bytes=1 << 16, events=50, ids=40)
    options = ServiceOptions(folder / "bundle", str(folder / "shop.lbug"), port=0, limits=limits)
    fuzzer, codes = Fuzzer(seed), Counter[str]()
    with running(options) as (address, _), grpc.insecure_channel(address) as channel:
        for turn in range(number):
            name, messages = fuzzer.request()
            code, text = ask(channel, name, messages)
            assert code in ALLOWED, (turn, name, messages, code, text, caplog.text[-3000:])
            assert "Traceback" not in text
            assert len(text) <= 1000
            codes[code] += 1
        with Client(address, ClientOptions(timeout=30)) as client:
            assert client.recommend(Query([Event("i003")]), 3).num_given == 1
            assert client.recommend(user="u09").num_given > 0
    print(codes)
    assert codes["OK"] > number / 10
    assert codes["INVALID_ARGUMENT"] > number / 10
    assert not [record for record in caplog.records if record.exc_info]


def test_two_thousand_hostile_requests(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    attack(tmp_path, 2_000, 0, caplog)


@pytest.mark.soak
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(1, 21))
def test_a_hundred_thousand_hostile_requests(
    tmp_path: Path, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    attack(tmp_path, BLOCK, seed, caplog)
