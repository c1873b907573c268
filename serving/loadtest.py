"""Load on a server, bounded, and what became of it: throughput, latencies, codes."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
import numpy as np
import numpy.typing as npt

from firstedge.graph.errors import ServiceError, SettingsError
from firstedge.serving.v1 import recommender_pb2 as pb

RECOMMEND = f"/{pb.DESCRIPTOR.services_by_name['Recommender'].full_name}/Recommend"
PERCENTILES = (50, 90, 95, 99, 99.9)
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
            await self.call(payload, timeout=self.load.timeout)
        except grpc.RpcError as error:
            self.codes[error.code().name] += 1
        else:
            self.codes["OK"] += 1
            self.latencies.append(time.perf_counter() - due)


async def put_load(
    channel: Any, payloads: Sequence[bytes], load: Load, method: str = RECOMMEND
) -> Outcome:
    """Ask a server.

    Args:
        channel: A `grpc.aio` channel.
        payloads: Requests on the wire, asked in turn.
        load: How much.
        method: Which, as on the wire.
    """
    run = _Run(channel.unary_unary(method), payloads, load)
    began = time.perf_counter()
    await (run.open() if load.rate else run.closed())
    seconds = time.perf_counter() - began
    return Outcome(seconds, dict(run.codes), np.array(run.latencies), run.unsent)


async def strangers(channel: Any, events: int, k: int, seed: int, count: int = 256) -> list[bytes]:
    """Requests of strangers with so many events on random items of the server, on the wire.

    Raises:
        ServiceError: If the server does not answer, or has no items.
    """
    ask = channel.unary_unary(RECOMMEND, response_deserializer=pb.RecommendResponse.FromString)
    try:
        answer = await ask(pb.RecommendRequest(k=_LEARNED).SerializeToString(), timeout=30)
    except grpc.RpcError as error:
        raise ServiceError(f"{error.code().name}: {error.details()}") from None
    known = [item.id for item in answer.ranking.items]
    if not known:
        raise ServiceError("the server has no item that can be had")
    rng = np.random.default_rng(seed)
    return [
        pb.RecommendRequest(
            user=pb.User(
                query=pb.Query(
                    events=[
                        pb.Event(item=known[row]) for row in rng.integers(len(known), size=events)
                    ]
                )
            ),
            k=k,
        ).SerializeToString()
        for _ in range(count)
    ]
