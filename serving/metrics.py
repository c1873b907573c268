"""What a running service counts, for Prometheus. No user and no item is in a label."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    start_http_server,
)

from firstedge._version import __version__
from firstedge.graph.errors import SettingsError

if TYPE_CHECKING:
    from firstedge.serving.live import Model
    from firstedge.serving.ranking import Ranking

_SECONDS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5)
_SIZES = (1, 2, 4, 8, 16)
# Upper ends of the buckets of k, the number of targets known of a user.
_GIVEN = (0, 1, 2, 5, 10)
_GIVEN_LABELS = ("0", "1", "2", "3-5", "6-10", "over 10")
SHED = "RESOURCE_EXHAUSTED"


class Metrics:
    """Counters of one service.

    Args:
        waiting: Gives the number of requests that wait for their turn.
    """

    def __init__(self, waiting: Callable[[], float] = lambda: 0.0) -> None:
        self.registry = registry = CollectorRegistry()
        for collector in (GC_COLLECTOR, PLATFORM_COLLECTOR):
            registry.register(collector)
        ProcessCollector(registry=registry)

        def counter(name: str, text: str, labels: Sequence[str] = ()) -> Counter:
            return Counter(f"firstedge_{name}", text, labels, registry=registry)

        def gauge(name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
            return Gauge(f"firstedge_{name}", text, labels, registry=registry)

        self._requests = counter("requests_total", "Requests by status.", ("method", "code"))
        self._shed = counter("requests_shed_total", "Requests refused for load.", ("method",))
        self._durations = Histogram(
            "firstedge_request_duration_seconds",
            "From a request's arrival to its answer.",
            ("method",),
            buckets=_SECONDS,
            registry=registry,
        )
        self._batches = Histogram(
            "firstedge_batch_size",
            "Recommend requests that were answered together.",
            buckets=_SIZES,
            registry=registry,
        )
        gauge("requests_waiting", "Requests that wait for their turn.").set_function(waiting)
        users = counter("users_total", "Users ranked for, by targets known of them.", ("given",))
        self._users = [users.labels(label) for label in _GIVEN_LABELS]
        unknown = counter(
            "unknown_total", "Parts of requests that the model does not know.", ("of",)
        )
        self._unknown = {of: unknown.labels(of) for of in ("items", "categories", "profile")}
        self._info = gauge("model_info", "The model, as labels.", ("version", "firstedge"))
        self._items = gauge("model_items", "Items that can be ranked.")
        self._trained = gauge(
            "embedding_timestamp_seconds", "When the model's embeddings were written, since 1970."
        )
        self._refused = counter("models_refused_total", "New models that were broken.")
        self._known: dict[tuple[str, str], tuple[Any, Any]] = {}

    def answered(self, method: str, code: str, seconds: float) -> None:
        """A request came to an end.

        Args:
            method: Its name, one of the service's own.
            code: The name of its status.
            seconds: What it took.
        """
        pair = self._known.get((method, code))
        if pair is None:
            pair = self._requests.labels(method, code), self._durations.labels(method)
            self._known[method, code] = pair
        pair[0].inc()
        pair[1].observe(seconds)
        if code == SHED:
            self._shed.labels(method).inc()

    def ranked(self, rankings: Sequence[Ranking]) -> None:
        """Rankings were made in one go."""
        self._batches.observe(len(rankings))
        for ranking in rankings:
            self._users[bisect_left(_GIVEN, ranking.num_given)].inc()
            if ranking.unused:
                for of, count in self._unknown.items():
                    count.inc(getattr(ranking.unused, of))

    def took_up(self, model: Model) -> None:
        """A model is now the one that answers."""
        self._info.clear()
        self._info.labels(model.version, __version__).set(1)
        self._items.set(len(model.recommender.bundle.items))
        self._trained.set(model.written)

    def refused(self) -> None:
        """A new model was broken, and the old one stays."""
        self._refused.inc()

    def listen(self, host: str, port: int) -> tuple[Callable[[], None], int]:
        """Give the metrics over HTTP.

        Returns:
            What ends that, and the port.

        Raises:
            SettingsError: If the address cannot be listened on.
        """
        try:
            server, thread = start_http_server(port, host, self.registry)
        except OSError as error:
            raise SettingsError(f"cannot give metrics on {host}:{port}: {error}") from None

        def stop() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        return stop, int(server.server_port)
