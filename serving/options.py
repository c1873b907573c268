"""How a service serves."""

from __future__ import annotations

from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from firstedge.graph.errors import SettingsError
from firstedge.serving.wire import Limits


@dataclass(frozen=True)
class ServiceOptions:
    """How to serve.

    Attributes:
        bundle: The folder of the trained model, watched for new versions.
        store: Where users live that are asked for by id, as for `open_store`; empty: nowhere.
        host: The address to listen on.
        insecure: Whether it may be other than loopback, although there is no TLS and no
            authentication.
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

    Raises:
        SettingsError: If a number cannot be, or the address is open and that was not said.
    """

    bundle: Path
    store: str = ""
    host: str = "127.0.0.1"
    insecure: bool = False
    port: int = 50051
    threads: int = 1
    patience: float = 0.05
    watch_seconds: float = 2.0
    drain_seconds: float = 30.0
    limits: Limits = field(default_factory=Limits)
    metrics_port: int | None = None
    tracing: bool = False

    def __post_init__(self) -> None:
        if not (self.insecure or _is_loopback(self.host)):
            raise SettingsError(
                f"there is no TLS and no authentication, so {self.host!r} is served only if that "
                "is said: pass --insecure (insecure=True) on a private network, or use 127.0.0.1"
            )
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


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False
