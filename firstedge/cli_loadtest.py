"""The command that asks a running service for more than it likes: loadtest."""

from __future__ import annotations

import asyncio
import gc
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Group
from rich.table import Table

from firstedge.console import answer, two_columns
from firstedge.settings import AsJson, Length, Seed

if TYPE_CHECKING:
    from firstedge.serving.client import ClientOptions
    from firstedge.serving.loadtest import Load, Outcome, Strangers

_BAR = 40  # characters of the histogram's longest bar


def loadtest(
    target: Annotated[str, typer.Argument(help="The service, host:port.")] = "127.0.0.1:50051",
    seconds: Annotated[float, typer.Option(help="For how long.")] = 10.0,
    in_flight: Annotated[int, typer.Option(help="Requests under way at most.")] = 32,
    rate: Annotated[
        float,
        typer.Option(help="Requests begun a second; 0: a new one as soon as one is answered."),
    ] = 0.0,
    timeout: Annotated[float, typer.Option(help="Deadline of a request in seconds.")] = 5.0,
    events: Annotated[int, typer.Option(help="Of each made-up stranger.")] = 5,
    k: Length = 20,
    seed: Seed = 0,
    ca: Annotated[
        Path | None, typer.Option(help="Who signed the server's certificate, PEM: with TLS.")
    ] = None,
    token: Annotated[
        str, typer.Option(envvar="FIRSTEDGE_TOKEN", help="Shown to a server that asks for one.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Ask a running service for rankings, and print throughput and latencies.

    Strangers with random events on the service's most popular items ask. At a --rate, latency
    counts from when a request was due, so that a slow server cannot hide it.

    Example: firstedge loadtest localhost:50051 --seconds 10 --rate 500
    """
    from firstedge.serving.client import ClientOptions
    from firstedge.serving.loadtest import Load, Strangers
    from firstedge.serving.security import ClientTls

    load = Load(seconds, in_flight, rate, timeout)
    options = ClientOptions(attempts=1, token=token, tls=ClientTls(ca) if ca else None)
    outcome = asyncio.run(_ask(target, options, load, Strangers(events, k, seed)))
    answer(outcome.as_dict(), _view(outcome), as_json)


async def _ask(target: str, options: ClientOptions, load: Load, strangers: Strangers) -> Outcome:
    from firstedge.serving.async_client import open_channel
    from firstedge.serving.client import call_metadata
    from firstedge.serving.loadtest import popular_items, put_load

    shown = call_metadata(options)
    async with open_channel(target, options) as channel:
        payloads = strangers.payloads(await popular_items(channel, shown))
        gc.collect()
        gc.freeze()  # what stays is not looked through again, which would make requests late
        return await put_load(channel, payloads, load, metadata=shown)


def _view(outcome: Outcome) -> Group:
    found = outcome.as_dict()
    codes = ", ".join(f"{code} {count:,}" for code, count in sorted(outcome.codes.items()))
    rows: list[tuple[str, object]] = [
        ("seconds", f"{outcome.seconds:.1f}"),
        ("answers a second", f"{outcome.throughput:,.0f}"),
        ("by status", codes or "none"),
    ]
    if outcome.unsent:
        rows.append(("not sent, too many under way", outcome.unsent))
    rows += [(name, f"{value:.2f} ms") for name, value in found["ms"].items()]
    histogram = Table.grid(padding=(0, 1))
    most = max((count for _, count in outcome.histogram), default=1)
    for below, count in outcome.histogram:
        bar = "█" * max(1, round(_BAR * count / most)) if count else ""
        histogram.add_row(f"< {1000 * below:g} ms", f"{count:,}", bar)
    return Group(two_columns(rows), "", histogram)
