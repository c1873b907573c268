"""Every error that firstedge raises on purpose.

    FirstedgeError
    ├── SchemaError           a Schema file that is malformed, or that the store contradicts
    ├── MappingError          an import mapping that does not fit its file
    ├── StoreError
    │   ├── StoreUnavailable  missing, unreachable, or gone away in the middle of something
    │   ├── StoreLocked       another process holds the embedded store
    │   ├── StoreAccessDenied wrong password, or no right to do this
    │   ├── StoreFull         more rows at a time than it has memory for: write fewer
    │   └── StoreUnsupported  a server or file version that firstedge cannot use
    ├── DataError             data in the store that cannot be used (a category cycle, no events)
    ├── QueryError            a request that cannot be answered (also a ValueError)
    │   └── UnknownId         an id that the bundle does not know (also a KeyError)
    ├── BundleError           missing, truncated, altered, or of another version
    ├── LeakageError          an evaluation whose test data reached the training
    ├── ServiceError          a server that does not answer: unreachable, too late, or at fault
    │   └── Overloaded        one that has more to do than it can: ask again later
    ├── SettingsError         a setting that is malformed or missing
    └── MissingDependency     an optional package that is not installed (also an ImportError)

Texts say what is wrong, what was expected and got, and what to do next.
"""

from __future__ import annotations


class FirstedgeError(Exception):
    """Base class: catch it to catch everything that firstedge raises on purpose."""


class SchemaError(FirstedgeError):
    """A Schema that is malformed, or that does not fit the store."""


class MappingError(FirstedgeError):
    """An import mapping that is malformed, or that does not fit the file it maps."""


class StoreError(FirstedgeError):
    """The store could not do what it was asked."""


class StoreUnavailable(StoreError):
    """The store is missing, cannot be reached, or went away."""


class StoreLocked(StoreError):
    """Another process has the embedded store open for writing."""


class StoreAccessDenied(StoreError):
    """The store refused the credentials or the operation."""


class StoreFull(StoreError):
    """So many rows in one transaction are more than the store has memory for: write fewer."""


class StoreUnsupported(StoreError):
    """The server or file is of a version that firstedge cannot use."""


class DataError(FirstedgeError):
    """Data in the store that cannot be used as they are."""


class QueryError(FirstedgeError, ValueError):
    """A request that cannot be answered as it was put."""


class UnknownId(QueryError, KeyError):
    """An id that is not in the vocabulary."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class BundleError(FirstedgeError):
    """A bundle that is missing, truncated, altered, or of another version."""


class LeakageError(FirstedgeError):
    """Test data reached the training, tuning or early stopping of what is being evaluated."""


class ServiceError(FirstedgeError):
    """A server did not answer: it cannot be reached, was too late, or is at fault."""


class Overloaded(ServiceError):
    """A server has more to do than it can; trying again later helps."""


class SettingsError(FirstedgeError):
    """A setting that is malformed or missing."""


class MissingDependency(FirstedgeError, ImportError):
    """An optional package that is not installed.

    Args:
        package: The package's name on PyPI.
        purpose: What it is needed for, a noun phrase.
        extra: The extra of firstedge that brings it.
    """

    def __init__(self, package: str, purpose: str, extra: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed: "
            f"pip install 'firstedge[{extra}]'"
        )
