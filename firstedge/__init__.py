"""firstedge: recommendations from the first edge on.

Every public name is here, and nothing is imported before it is asked for: answering needs neither
torch nor transformers.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from firstedge._version import __version__

if TYPE_CHECKING:
    from firstedge.graph.errors import (
        BundleError,
        DataError,
        FirstedgeError,
        LeakageError,
        MappingError,
        MissingDependency,
        Overloaded,
        QueryError,
        SchemaError,
        ServiceError,
        SettingsError,
        StoreAccessDenied,
        StoreError,
        StoreLocked,
        StoreUnavailable,
        StoreUnsupported,
        UnknownId,
    )
    from firstedge.graph.schema import Schema
    from firstedge.graph.store import GraphStore, open_store
    from firstedge.loaders.categorize import categorize
    from firstedge.loaders.importer import (
        import_categories,
        import_events,
        import_files,
        import_item_categories,
        import_items,
        import_users,
    )
    from firstedge.loaders.job import ImportOptions
    from firstedge.loaders.mapping import load_mappings
    from firstedge.loaders.report import FileReport, ImportReport
    from firstedge.loaders.snapshot import Snapshot, read_snapshot
    from firstedge.loaders.split import Split, split_for_use, split_time, split_users
    from firstedge.loaders.text import TransformerEncoder
    from firstedge.models.bundle import Bundle
    from firstedge.models.bundle_file import load_bundle, save_bundle
    from firstedge.models.train import TrainOptions, train
    from firstedge.models.update import update_bundle
    from firstedge.serving.async_client import AsyncClient
    from firstedge.serving.calls import Item, Recorded, RecordedEvent, Upserted
    from firstedge.serving.client import Client, ClientOptions
    from firstedge.serving.filter import Filter, Range
    from firstedge.serving.query import Event, Query
    from firstedge.serving.ranking import Ranking, Unused
    from firstedge.serving.reasons import Explanation, Reason
    from firstedge.serving.recommender import Recommender
    from firstedge.serving.security import ClientTls

__all__ = [
    "AsyncClient",
    "Bundle",
    "BundleError",
    "Client",
    "ClientOptions",
    "ClientTls",
    "DataError",
    "Event",
    "Explanation",
    "FileReport",
    "Filter",
    "FirstedgeError",
    "GraphStore",
    "ImportOptions",
    "ImportReport",
    "Item",
    "LeakageError",
    "MappingError",
    "MissingDependency",
    "Overloaded",
    "Query",
    "QueryError",
    "Range",
    "Ranking",
    "Reason",
    "Recommender",
    "Recorded",
    "RecordedEvent",
    "Schema",
    "SchemaError",
    "ServiceError",
    "SettingsError",
    "Snapshot",
    "Split",
    "StoreAccessDenied",
    "StoreError",
    "StoreLocked",
    "StoreUnavailable",
    "StoreUnsupported",
    "TrainOptions",
    "TransformerEncoder",
    "UnknownId",
    "Unused",
    "Upserted",
    "__version__",
    "categorize",
    "import_categories",
    "import_events",
    "import_files",
    "import_item_categories",
    "import_items",
    "import_users",
    "load_bundle",
    "load_mappings",
    "open_store",
    "read_snapshot",
    "save_bundle",
    "split_for_use",
    "split_time",
    "split_users",
    "train",
    "update_bundle",
]

_HOMES = {
    "graph.errors": (
        "BundleError",
        "DataError",
        "FirstedgeError",
        "LeakageError",
        "MappingError",
        "MissingDependency",
        "Overloaded",
        "QueryError",
        "SchemaError",
        "ServiceError",
        "SettingsError",
        "StoreAccessDenied",
        "StoreError",
        "StoreLocked",
        "StoreUnavailable",
        "StoreUnsupported",
        "UnknownId",
    ),
    "graph.schema": ("Schema",),
    "graph.store": ("GraphStore", "open_store"),
    "loaders.categorize": ("categorize",),
    "loaders.importer": (
        "import_categories",
        "import_events",
        "import_files",
        "import_item_categories",
        "import_items",
        "import_users",
    ),
    "loaders.job": ("ImportOptions",),
    "loaders.mapping": ("load_mappings",),
    "loaders.report": ("FileReport", "ImportReport"),
    "loaders.snapshot": ("Snapshot", "read_snapshot"),
    "loaders.split": ("Split", "split_for_use", "split_time", "split_users"),
    "loaders.text": ("TransformerEncoder",),
    "models.bundle": ("Bundle",),
    "models.bundle_file": ("load_bundle", "save_bundle"),
    "models.train": ("TrainOptions", "train"),
    "models.update": ("update_bundle",),
    "serving.async_client": ("AsyncClient",),
    "serving.calls": ("Item", "Recorded", "RecordedEvent", "Upserted"),
    "serving.client": ("Client", "ClientOptions"),
    "serving.filter": ("Filter", "Range"),
    "serving.query": ("Event", "Query"),
    "serving.ranking": ("Ranking", "Unused"),
    "serving.reasons": ("Explanation", "Reason"),
    "serving.recommender": ("Recommender",),
    "serving.security": ("ClientTls",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'firstedge' has no attribute {name!r}")
    value = getattr(import_module(f"firstedge.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
