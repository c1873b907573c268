"""Spans of requests for OpenTelemetry: one a request, a child of the caller's if it has one.

Where they go is said by the standard's own environment variables (OTEL_EXPORTER_OTLP_ENDPOINT,
OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, ...).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from firstedge._version import __version__
from firstedge.graph.errors import MissingDependency

try:
    from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
    from opentelemetry.instrumentation.grpc import aio_server_interceptor
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
except ImportError as error:
    raise MissingDependency(error.name or "opentelemetry-sdk", "tracing", "otel") from None


def trace_requests(exporter: SpanExporter | None = None) -> tuple[Any, Callable[[], None]]:
    """What makes a span of every request.

    Args:
        exporter: Where spans go; over OTLP to where the environment says if None.

    Returns:
        An interceptor for a `grpc.aio` server, and what sends the last spans and ends it.
    """
    about = {"service.version": __version__}
    resource = Resource.create({"service.name": "firstedge"} | about)
    provider = TracerProvider(resource=resource)
    provider.add_span_processor(BatchSpanProcessor(exporter or OTLPSpanExporter()))
    return aio_server_interceptor(tracer_provider=provider), provider.shutdown
