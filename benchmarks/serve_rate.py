"""The service against an empty echo: throughput, latency, and what happens above its limits.

Recommend (k = 20, strangers with 5 events, 20,000 items, every term of the score) and a `grpc.aio`
method that returns bytes of the same size, each in a process of its own on one core, asked by this
process from another core over loopback. Both are measured in turns:

- the maximum: 32 requests always under way. The service runs on `uvloop`, the echo on Python's own
  event loop; the ratio to one on `uvloop` is printed too;
- the latency of each at half of its own maximum, requests at even intervals;
- the service at 80 % of its maximum, and at twice that: refusals, and the latency of the rest.

    python -m benchmarks.serve_rate [--seconds 3] [--rounds 7] [--json]
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np

from benchmarks.made_shop import Shape, build_bundle
from firstedge.models.bundle_file import save_bundle
from firstedge.serving.loadtest import Load, Outcome, Strangers, popular_items, put_load
from firstedge.serving.wire import RECOMMEND

ITEMS, EVENTS, K = 20_000, 5, 20
ECHO = "/benchmark.Echo/Echo"
SUSTAINED = 0.8  # of the maximum
ALL_IN_FLIGHT = 32
AT_A_RATE = 2_000  # in flight at most, where requests come at a rate

ECHO_SERVER = """
import asyncio, importlib, sys, grpc

async def main():
    answer = bytes(int(sys.argv[1]))

    async def echo(request, context):
        return answer

    methods = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
    server = grpc.aio.server()
    handler = grpc.method_handlers_generic_handler("benchmark.Echo", methods)
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(f'{{"port": {port}}}', flush=True)
    await server.wait_for_termination()

asyncio.Runner(loop_factory=importlib.import_module(sys.argv[2]).new_event_loop).run(main())
"""


@contextmanager
def server(command: list[str], core: int) -> Iterator[str]:
    """The address of a server in a process of its own, on one core."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: os.sched_setaffinity(0, {core}),
    )
    try:
        assert process.stdout is not None  # noqa: S101
        yield f"127.0.0.1:{json.loads(process.stdout.readline())['port']}"
    finally:
        process.kill()
        process.wait()


async def measure(
    service: str, echo: str, quick_echo: str, args: argparse.Namespace
) -> dict[str, Any]:
    async with (
        grpc.aio.insecure_channel(service) as ours,
        grpc.aio.insecure_channel(echo) as theirs,
        grpc.aio.insecure_channel(quick_echo) as quick,
    ):
        payloads = Strangers(EVENTS, K).payloads(await popular_items(ours))
        gc.collect()
        gc.freeze()  # what stays is not looked through again, which would make requests late

        async def ask(channel: grpc.aio.Channel, rate: float = 0.0) -> Outcome:
            load = Load(args.seconds, AT_A_RATE if rate else ALL_IN_FLIGHT, rate)
            return await put_load(channel, payloads, load, RECOMMEND if channel is ours else ECHO)

        async def all_at_most() -> list[float]:
            return [(await ask(channel)).throughput for channel in (ours, theirs, quick)]

        await all_at_most()  # warm
        most = np.array([await all_at_most() for _ in range(args.rounds)])
        our_most, echo_most, _ = np.median(most, axis=0).tolist()
        half = [
            (await ask(ours, our_most / 2), await ask(theirs, echo_most / 2))
            for _ in range(args.rounds)
        ]
        p99 = np.median([[one.percentile(99) for one in pair] for pair in half], axis=0) * 1000
        sustained = SUSTAINED * our_most
        turns = [
            (await ask(ours, sustained), await ask(ours, 2 * sustained)) for _ in range(args.rounds)
        ]
    steady = float(np.median([one.percentile(99) for one, _ in turns])) * 1000
    above = float(np.median([one.percentile(99) for _, one in turns])) * 1000
    return {
        "echo, a second": echo_most,
        "service, a second": our_most,
        "throughput / echo": float(np.median(most[:, 0] / most[:, 1])),
        "throughput / echo on uvloop": float(np.median(most[:, 0] / most[:, 2])),
        "echo at half, p99 ms": float(p99[1]),
        "service at half, p99 ms": float(p99[0]),
        "p99 / echo's": float(p99[0] / p99[1]),
        "sustained, a second": sustained,
        "sustained, p99 ms": steady,
        "sustained, refused": sum(one.codes.get("RESOURCE_EXHAUSTED", 0) for one, _ in turns),
        "twice that, p99 of the accepted ms": above,
        "twice that, accepted a second": float(np.median([one.throughput for _, one in turns])),
        "twice that, codes": {
            code: sum(one.codes.get(code, 0) for _, one in turns)
            for code in sorted({code for _, one in turns for code in one.codes})
        },
        "twice that, unsent": sum(one.unsent for _, one in turns),
        "p99 of the accepted / sustained": above / steady,
    }


def response_size(address: str) -> int:
    """Bytes of an answer on the wire."""
    with grpc.insecure_channel(address) as channel:
        payload = asyncio.run(one_payload(address))
        return len(channel.unary_unary(RECOMMEND)(payload))


async def one_payload(address: str) -> bytes:
    async with grpc.aio.insecure_channel(address) as channel:
        return Strangers(EVENTS, K, count=1).payloads(await popular_items(channel))[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[0]})
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        save_bundle(build_bundle(Shape(items=args.items), np.random.default_rng(0)), folder)
        command = Path(sys.executable).with_name("firstedge")
        serve = [str(command), "serve", "--bundle", folder, "--port", "0", "--json"]
        service = stack.enter_context(server(serve, cores[-1]))
        size = response_size(service)
        echo, quick_echo = (
            stack.enter_context(
                server([sys.executable, "-c", ECHO_SERVER, str(size), loop], cores[-1])
            )
            for loop in ("asyncio", "uvloop")
        )
        result = {"items": args.items, "answer bytes": size}
        result |= asyncio.run(measure(service, echo, quick_echo, args))
    if args.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(
            f"{name:<40}{value:>12,.3f}" if isinstance(value, float) else f"{name:<40}{value!s:>12}"
        )


if __name__ == "__main__":
    main()
