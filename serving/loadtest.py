"""Load on a server, bounded, and what became of it: throughput, latencies, codes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from firstedge.graph.errors import ServiceError, SettingsError
from firstedge.serving.v1 import recommender_pb2 as pb
from firstedge.serving.wire import RECOMMEND

Metadata = tuple[tuple[str, str], ...]
PERCENTILES = (50, 90, 95, 99, 99.9)
_ENDS = np.array([step * 10.0**power for power in range(-4, 2) for step in (1, 2, 5)] + [1e9])
_LEARNED = 1000  # items to draw events from
_TAIL = 10.0  # seconds to wait for the last answers


@dataclass(frozen=True)
class Load:
    """How much to ask.

    Attributes:
        seconds: For how long.
        in_flight: Requests under way at most.
        rate: Requests begun a second, at even intervals; 0: a new one as soon as one is answered.
        timeout: Deadline of a request in seconds.

    Raises:
        SettingsError: If a number cannot be.
    """

    seconds: float = 10.0
    in_flight: int = 32
    rate: float = 0.0
    timeout: float = 5.0

    def __post_init__(self) -> None:
        if self.seconds <= 0 or self.in_flight < 1 or self.rate < 0 or self.timeout <= 0:
            raise SettingsError(
                "seconds and timeout are above 0, in flight at least 1, a rate not below 0, got "
                f"{self}"
            )


@dataclass(frozen=True)
class Outcome:
    """What became of a load.

    Attributes:
        seconds: From the first request to the last answer.
        codes: Answers by the name of their status.
        latencies: float64[n], seconds of the OK answers; at a rate, from when they were due.
        unsent: Requests that were due while as many as allowed were under way.
    """

    seconds: float
    codes: Mapping[str, int]
    latencies: npt.NDArray[np.float64]
    unsent: int = 0

    @property
    def throughput(self) -> float:
        """OK answers a second."""
        return len(self.latencies) / self.seconds

    @property
    def histogram(self) -> list[tuple[float, int]]:
        """(seconds, OK answers that took less, but not less than the entry before), no empty ends.

        The ends are 1, 2 and 5 times powers of ten.
        """
        counts, _ = np.histogram(self.latencies, np.concatenate(([0], _ENDS)))
        filled = np.flatnonzero(counts)
        if not len(filled):
            return []
        shown = slice(int(filled[0]), int(filled[-1]) + 1)
        return list(zip(_ENDS[shown].tolist(), counts[shown].tolist(), strict=True))

    def percentile(self, percent: float) -> float:
        """Seconds within which so many percent of the OK answers came; NaN without any."""
        return float(np.percentile(self.latencies, percent)) if len(self.latencies) else np.nan

    def as_dict(self) -> dict[str, Any]:
        """JSON values, times in milliseconds."""
        found = len(self.latencies) > 0
        return {
            "seconds": self.seconds,
            "per_second": self.throughput,
            "codes": dict(self.codes),
            "unsent": self.unsent,
            "histogram_ms": [(1000 * below, count) for below, count in self.histogram],
            "ms": {f"p{p:g}": 1000 * self.percentile(p) for p in PERCENTILES} if found else {},
        }


@dataclass
class _Run:
    """A load under way."""

    call: Any
    payloads: Sequence[bytes]
    load: Load
    codes: Counter[str] = field(default_factory=Counter)
    latencies: list[float] = field(default_factory=list)
    sent: int = 0
    unsent: int = 0

    async def closed(self) -> None:
        """A new request as soon as one is answered."""
        end = time.perf_counter() + self.load.seconds

        async def ask_on() -> None:
            while (now := time.perf_counter()) < end:
                await self._ask(now)

        await asyncio.gather(*(ask_on() for _ in range(self.load.in_flight)))

    async def open(self) -> None:
        """Requests at even intervals, whether or not others are answered."""
        under_way: set[asyncio.Task[None]] = set()
        began = time.perf_counter()
        for number in range(round(self.load.rate * self.load.seconds)):
            due = began + number / self.load.rate
            while (wait := due - time.perf_counter()) > 0:
                await asyncio.sleep(wait)
            if number % 16 == 0:
                await asyncio.sleep(0)  # when late, let answers in
            if len(under_way) >= self.load.in_flight:
                self.unsent += 1
                continue
            task = asyncio.create_task(self._ask(due))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
        if under_way:
            await asyncio.wait(under_way, timeout=self.load.timeout + _TAIL)

    async def _ask(self, due: float) -> None:
        self.sent += 1
        payload = self.payloads[self.sent % len(self.payloads)]
        try:
            await self.call(payload)
        except grpc.RpcError as error:
            self.codes[error.code().name] += 1
        else:
            self.codes["OK"] += 1
            self.latencies.append(time.perf_counter() - due)


@dataclass(frozen=True)
class Strangers:
    """Who asks.

    Attributes:
        events: Of each, on random items of the server.
        k: Items that each wants.
        seed: Of what is random.
        count: Different ones.
    """

    events: int = 5
    k: int = 20
    seed: int = 0
    count: int = 256

    def __post_init__(self) -> None:
        if self.events < 0 or self.k < 1 or self.count < 1:
            raise SettingsError(f"events are not below 0, k and count at least 1, got {self}")

    def payloads(self, items: Sequence[str]) -> list[bytes]:
        """Their requests on the wire."""
        rng = np.random.default_rng(self.seed)
        return [
            self._payload(rng.integers(len(items), size=self.events), items)
            for _ in range(self.count)
        ]

    def _payload(self, rows: npt.NDArray[np.int64], items: Sequence[str]) -> bytes:
        query = pb.Query(events=[pb.Event(item=items[row]) for row in rows])
        request = pb.RecommendRequest(user=pb.User(query=query), k=self.k)
        return request.SerializeToString()


async def put_load(
    channel: Any,
    payloads: Sequence[bytes],
    load: Load,
    method: str = RECOMMEND,
    metadata: Metadata = (),
) -> Outcome:
    """Ask a server.

    Args:
        channel: A `grpc.aio` channel.
        payloads: Requests on the wire, asked in turn.
        load: How much.
        method: Which, as on the wire.
        metadata: Sent with every request.
    """
    call = partial(channel.unary_unary(method), timeout=load.timeout, metadata=metadata)
    run = _Run(call, payloads, load)
    began = time.perf_counter()
    await (run.open() if load.rate else run.closed())
    seconds = time.perf_counter() - began
    return Outcome(seconds, dict(run.codes), np.array(run.latencies), run.unsent)


async def popular_items(channel: Any, metadata: Metadata = ()) -> list[str]:
    """Up to 1,000 items of a server, those that a stranger gets.

    Raises:
        ServiceError: If the server does not answer, or has no items.
    """
    ask = channel.unary_unary(RECOMMEND, response_deserializer=pb.RecommendResponse.FromString)
    request = pb.RecommendRequest(k=_LEARNED).SerializeToString()
    try:
        answer = await ask(request, timeout=_TAIL, metadata=metadata)
    except grpc.RpcError as error:
        raise ServiceError(f"{error.code().name}: {error.details()}") from None
    if not answer.ranking.items:
        raise ServiceError("the server has no item that can be had")
    return [item.id for item in answer.ranking.items]
