"""How a service serves."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from firstedge.graph.errors import SettingsError
from firstedge.serving.security import ServerTls, is_loopback
from firstedge.serving.wire import Limits


@dataclass(frozen=True)
class ServiceOptions:
    """How to serve.

    Attributes:
        bundle: The folder of the trained model, watched for new versions.
        store: Where users live that are asked for by id, as for `open_store`; empty: nowhere.
        host: The address to listen on.
        insecure: Whether it may be other than loopback without TLS, or without tokens and client
            certificates.
        port: The port, 0 for a free one.
        threads: How many work on requests.
        patience: Seconds that a request may wait for its turn; what would wait longer is refused.
        watch_seconds: How often to look for a new version.
        drain_seconds: How long requests under way may take when the service stops.
        limits: What a request may ask for.
        metrics_port: Where Prometheus finds the metrics, on the same address: 0 for a free port,
            None for nowhere.
        tracing: Whether spans go to an OpenTelemetry collector; where it is, says the environment
            (OTEL_EXPORTER_OTLP_ENDPOINT and the other variables of its standard).
        item_seconds: How often to read the items of a store that others write too.
        user_seconds: How long what was read of a user there may be answered from.
        tls: What the server shows, and which clients it trusts; None: the wire is not encrypted.
        tokens: A file of bearer tokens, see `Tokens`; None: nobody is asked for one.
        peer_streams: Streams that one address may have open at a time.
        idle_seconds: How long a stream may say nothing.

    Raises:
        SettingsError: If a number cannot be, or the address is open and that was not said.
    """

    bundle: Path
    store: str = ""
    host: str = "127.0.0.1"
    insecure: bool = False
    port: int = 50051
    threads: int = 1
    patience: float = 0.1
    watch_seconds: float = 2.0
    drain_seconds: float = 30.0
    limits: Limits = field(default_factory=Limits)
    metrics_port: int | None = None
    tracing: bool = False
    item_seconds: float = 30.0
    user_seconds: float = 2.0
    tls: ServerTls | None = None
    tokens: Path | None = None
    peer_streams: int = 100
    idle_seconds: float = 60.0

    def __post_init__(self) -> None:
        self._check_address()
        if min(self.item_seconds, self.idle_seconds) <= 0 or self.user_seconds < 0:
            raise SettingsError(
                "seconds of items and idle ones are above 0, of a user not below 0, got "
                f"{self.item_seconds}, {self.idle_seconds} and {self.user_seconds}"
            )
        if self.peer_streams < 1:
            raise SettingsError(f"streams of a peer are at least 1, got {self.peer_streams}")
        for port in (self.port, self.metrics_port or 0):
            if not 0 <= port < 2**16:
                raise SettingsError(f"a port is from 0 to 65535, got {port}")
        if self.threads < 1:
            raise SettingsError(f"threads are at least 1, got {self.threads}")
        if self.watch_seconds <= 0 or self.patience <= 0 or self.drain_seconds < 0:
            raise SettingsError(
                "seconds to watch and of patience are above 0, to drain not below 0, got "
                f"{self.watch_seconds}, {self.patience} and {self.drain_seconds}"
            )

    def _check_address(self) -> None:
        asked = self.tokens is not None or (self.tls is not None and self.tls.client_ca is not None)
        safe = self.tls is not None and asked
        if not (safe or self.insecure or is_loopback(self.host)):
            missing = "no authentication" if self.tls else "no TLS"
            raise SettingsError(
                f"there is {missing}, so {self.host!r} is served only if that is said: give a "
                "certificate and key, and tokens or a client CA; or pass --insecure (insecure=True)"
                " on a private network; or use 127.0.0.1"
            )
