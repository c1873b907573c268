"""A service on a free port, in a thread of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

from firstedge.graph.errors import StoreError
from firstedge.serving.options import ServiceOptions
from firstedge.serving.recommender import Recommender
from firstedge.serving.service import Service


@contextmanager
def running(
    options: ServiceOptions, load: Callable[[Path], Recommender] = Recommender.load
) -> Iterator[tuple[str, Service]]:
    """The address of a running service, and the service."""
    loop = asyncio.new_event_loop()
    thread = Thread(target=loop.run_forever)
    thread.start()

    async def start() -> tuple[Service, int]:
        service = Service(options, load)
        return service, await service.start()

    try:
        service, port = asyncio.run_coroutine_threadsafe(start(), loop).result(60)
        try:
            yield f"127.0.0.1:{port}", service
        finally:
            asyncio.run_coroutine_threadsafe(service.stop(), loop).result(60)
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


def wait_for(test: Callable[[], bool], seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not test():
        assert time.monotonic() < end
        time.sleep(0.02)


def retried(ask: Callable[[], bool]) -> Callable[[], bool]:
    """A question that is answered no while the store is away."""

    def answer() -> bool:
        try:
            return ask()
        except StoreError:
            return False

    return answer
