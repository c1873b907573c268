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
        QueryError,
        SchemaError,
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
    from firstedge.models.bundle import Bundle
    from firstedge.models.bundle_file import load_bundle, save_bundle
    from firstedge.serving.filter import Filter, Range
    from firstedge.serving.query import Event, Query
    from firstedge.serving.ranking import Ranking, Unused
    from firstedge.serving.reasons import Explanation, Reason
    from firstedge.serving.recommender import Recommender

__all__ = [
    "Bundle",
    "BundleError",
    "DataError",
    "Event",
    "Explanation",
    "Filter",
    "FirstedgeError",
    "GraphStore",
    "LeakageError",
    "MappingError",
    "MissingDependency",
    "Query",
    "QueryError",
    "Range",
    "Ranking",
    "Reason",
    "Recommender",
    "Schema",
    "SchemaError",
    "SettingsError",
    "StoreAccessDenied",
    "StoreError",
    "StoreLocked",
    "StoreUnavailable",
    "StoreUnsupported",
    "UnknownId",
    "Unused",
    "__version__",
    "load_bundle",
    "open_store",
    "save_bundle",
]

_HOMES = {
    "graph.errors": (
        "BundleError",
        "DataError",
        "FirstedgeError",
        "LeakageError",
        "MappingError",
        "MissingDependency",
        "QueryError",
        "SchemaError",
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
    "models.bundle": ("Bundle",),
    "models.bundle_file": ("load_bundle", "save_bundle"),
    "serving.filter": ("Filter", "Range"),
    "serving.query": ("Event", "Query"),
    "serving.ranking": ("Ranking", "Unused"),
    "serving.reasons": ("Explanation", "Reason"),
    "serving.recommender": ("Recommender",),
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
