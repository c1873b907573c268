"""The command that answers for others: serve."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from firstedge.console import say
from firstedge.encoders import encoder_of
from firstedge.graph.errors import SettingsError
from firstedge.models.bundle_file import load_bundle
from firstedge.settings import (
    BUNDLE,
    CACHE,
    DEVICE,
    AsJson,
    BundlePath,
    Cache,
    Device,
    Encoder,
    SchemaPath,
    StoreUrl,
)

if TYPE_CHECKING:
    from firstedge.serving.recommender import Recommender
    from firstedge.serving.security import ServerTls

LogFormat = Literal["text", "json"]
LogLevel = Literal["debug", "info", "warning", "error"]


def serve(
    host: Annotated[
        str, typer.Option(envvar="FIRSTEDGE_HOST", help="The address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="FIRSTEDGE_PORT", help="The port; 0 for a free one.")
    ] = 50051,
    insecure: Annotated[
        bool,
        typer.Option(
            "--insecure",
            envvar="FIRSTEDGE_INSECURE",
            help="Serve other addresses than loopback, unprotected.",
        ),
    ] = False,
    tls_cert: Annotated[
        Path | None,
        typer.Option(envvar="FIRSTEDGE_TLS_CERT", help="The server's certificate, PEM."),
    ] = None,
    tls_key: Annotated[
        Path | None, typer.Option(envvar="FIRSTEDGE_TLS_KEY", help="Its private key, PEM.")
    ] = None,
    client_ca: Annotated[
        Path | None,
        typer.Option(envvar="FIRSTEDGE_CLIENT_CA", help="Who signs clients' certificates, PEM."),
    ] = None,
    tokens: Annotated[
        Path | None,
        typer.Option(envvar="FIRSTEDGE_TOKENS", help="A TOML file of bearer tokens and scopes."),
    ] = None,
    max_k: Annotated[
        int, typer.Option(envvar="FIRSTEDGE_MAX_K", help="Items of a ranking, at most.")
    ] = 1_000,
    max_events: Annotated[
        int, typer.Option(envvar="FIRSTEDGE_MAX_EVENTS", help="Events of one user, at most.")
    ] = 10_000,
    max_ids: Annotated[
        int,
        typer.Option(
            envvar="FIRSTEDGE_MAX_IDS", help="Ids, values or conditions in a field, at most."
        ),
    ] = 100_000,
    peer_streams: Annotated[
        int,
        typer.Option(
            envvar="FIRSTEDGE_PEER_STREAMS",
            help="Streams that one address may have open at a time.",
        ),
    ] = 100,
    idle_seconds: Annotated[
        float,
        typer.Option(envvar="FIRSTEDGE_IDLE_SECONDS", help="How long a stream may say nothing."),
    ] = 60.0,
    user_seconds: Annotated[
        float,
        typer.Option(
            envvar="FIRSTEDGE_USER_SECONDS",
            help="How long what was read of a user in Neo4j may be answered from.",
        ),
    ] = 2.0,
    item_seconds: Annotated[
        float,
        typer.Option(envvar="FIRSTEDGE_ITEM_SECONDS", help="How often to read the items in Neo4j."),
    ] = 30.0,
    threads: Annotated[
        int, typer.Option(envvar="FIRSTEDGE_THREADS", help="How many work on requests.")
    ] = 1,
    patience: Annotated[
        float,
        typer.Option(
            envvar="FIRSTEDGE_PATIENCE",
            help="Seconds that a request may wait for its turn before it is refused.",
        ),
    ] = 0.1,
    metrics_port: Annotated[
        int | None,
        typer.Option(
            envvar="FIRSTEDGE_METRICS_PORT",
            help="Where Prometheus finds the metrics; 0 for a free port, nowhere if not given.",
        ),
    ] = None,
    log_format: Annotated[
        LogFormat, typer.Option(envvar="FIRSTEDGE_LOG_FORMAT", help="Of the log on stderr.")
    ] = "text",
    log_level: Annotated[
        LogLevel,
        typer.Option(envvar="FIRSTEDGE_LOG_LEVEL", help="debug has a line for every request."),
    ] = "info",
    tracing: Annotated[
        bool,
        typer.Option(
            "--tracing",
            envvar="FIRSTEDGE_TRACING",
            help="Send spans to the collector that OTEL_EXPORTER_OTLP_ENDPOINT names.",
        ),
    ] = False,
    approximate: Annotated[
        bool,
        typer.Option(
            "--approximate",
            envvar="FIRSTEDGE_APPROXIMATE",
            help="Score only items near to the user: for some 100,000 items and more.",
        ),
    ] = False,
    schema: SchemaPath = None,
    store: StoreUrl = "",
    bundle: BundlePath = BUNDLE,
    encoder: Encoder = "none",
    cache: Cache = CACHE,
    device: Device = DEVICE,
    as_json: AsJson = False,
) -> None:
    """Answer over gRPC until SIGTERM, taking up new versions of the bundle.

    Without --store, requests carry their events. With an embedded store, this process is the one
    that writes it. An address other than loopback needs TLS, and tokens or client certificates,
    or --insecure and a private network. SIGHUP: look for a new bundle and new tokens at once.

    Example: firstedge serve --bundle demo/bundle --store demo/shop.lbug --metrics-port 9464
    """
    from firstedge.serving.logs import log_to_stderr
    from firstedge.serving.options import ServiceOptions
    from firstedge.serving.service import Service
    from firstedge.serving.service import serve as run
    from firstedge.serving.wire import Limits

    options = ServiceOptions(
        bundle,
        store,
        host,
        insecure,
        port,
        threads,
        patience,
        metrics_port=metrics_port,
        tracing=tracing,
        item_seconds=item_seconds,
        user_seconds=user_seconds,
        tls=_tls(tls_cert, tls_key, client_ca),
        tokens=tokens,
        limits=Limits(k=max_k, events=max_events, ids=max_ids),
        peer_streams=peer_streams,
        idle_seconds=idle_seconds,
    )
    log_to_stderr(log_format, log_level)

    def load(path: Path) -> Recommender:
        return _load(path, encoder, cache, device, approximate)

    service = Service(options, load)

    def ready(bound: int) -> None:
        if as_json:
            found = {"host": host, "port": bound, "metrics_port": service.metrics_port}
            print(json.dumps(found), flush=True)
        else:
            say(f"serving {bundle} on {host}:{bound}")

    with asyncio.Runner(loop_factory=_new_loop) as runner:
        runner.run(run(service, ready))


def _new_loop() -> asyncio.AbstractEventLoop:
    """An event loop of the quicker sort, where there is one."""
    try:
        import uvloop
    except ImportError:  # Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _tls(certificate: Path | None, key: Path | None, client_ca: Path | None) -> ServerTls | None:
    if certificate is None and key is None and client_ca is None:
        return None
    if certificate is None or key is None:
        raise SettingsError("TLS needs both --tls-cert and --tls-key")
    from firstedge.serving.security import ServerTls

    return ServerTls(certificate, key, client_ca)


def _load(path: Path, encoder: str, cache: Path, device: str, approximate: bool) -> Recommender:
    from firstedge.serving.recommender import Recommender

    trained = load_bundle(path)
    return Recommender(trained, encoder_of(trained, encoder, cache, device), approximate)
