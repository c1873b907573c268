"""A store, embedded or Neo4j, and a bundle's folder: what a service is started on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from firstedge.graph.store import GraphStore, open_store
from firstedge.models.bundle import Bundle
from firstedge.serving.client import ClientOptions
from firstedge.serving.options import ServiceOptions
from tests.models.bundles import random_bundle

LASTING = ClientOptions(timeout=300)


def shop_bundle(seed: int = 0) -> Bundle:
    """A random bundle whose items have titles, properties and a flag in the store."""
    bundle = random_bundle(seed=seed)
    names = bundle.schema.item.model_copy(
        update={"title": "{title}", "properties": ("price",), "available": "in_stock"}
    )
    schema = bundle.schema.model_copy(update={"item": names})
    return replace(bundle, schema=schema, table=replace(bundle.table, titles=bundle.items.ids))


BUNDLE = shop_bundle()


@dataclass(frozen=True)
class Place:
    """A store and a bundle's folder, not served yet."""

    url: str
    bundle: Path

    def options(self, **more: Any) -> ServiceOptions:
        return ServiceOptions(self.bundle, self.url, port=0, watch_seconds=0.05, **more)

    def open(self) -> GraphStore:
        return open_store(self.url, BUNDLE.schema)
