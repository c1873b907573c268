"""The wire to one Neo4j database: transactions, retries, and what the driver's errors mean."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from neo4j import READ_ACCESS, WRITE_ACCESS, ManagedTransaction, Session
from neo4j.exceptions import (
    AuthConfigurationError,
    ConstraintError,
    DriverError,
    Neo4jError,
    TransientError,
    UnsupportedServerProduct,
)
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception,
    stop_after_delay,
    wait_random_exponential,
)

from firstedge.graph.cypher import load
from firstedge.graph.errors import (
    DataError,
    StoreAccessDenied,
    StoreError,
    StoreFull,
    StoreUnavailable,
    StoreUnsupported,
)
from firstedge.graph.neo4j_address import RETRY_SECONDS, Address, check_version, open_driver

T = TypeVar("T")
_log = logging.getLogger(__name__)

NOTE_LABEL = "FirstedgeNote"

# All records at once: the server goes on while we work on the first, until the wire is full.
FETCH_SIZE = -1

# What a server says when a constraint, or an index that serves as well, is there already.
_CONSTRAINED_ALREADY = (
    "Neo.ClientError.Schema.EquivalentSchemaRuleAlreadyExists",
    "Neo.ClientError.Schema.ConstraintAlreadyExists",
    "Neo.ClientError.Schema.IndexAlreadyExists",
)


class Neo4jLink:
    """A pool of connections to one database. Errors of the driver leave it as `StoreError`.

    Args:
        url: The database's URL.
        ca: A file of certificates, in place of the system's, that the server's certificate is
            held against; for the ``+s`` schemes.
        patience: Seconds for which a server that is away is tried again.

    Raises:
        SettingsError: If the URL, the CA file or the password file cannot be used.
        StoreUnavailable: If the server cannot be reached or has no such database.
        StoreAccessDenied: If it refuses the credentials.
        StoreUnsupported: If it is older than Neo4j 5.9.
    """

    def __init__(self, url: str, ca: Path | None = None, patience: float = RETRY_SECONDS) -> None:
        self.address = Address.parse(url)
        self._driver = open_driver(self.address, ca, patience)
        self._patience = patience
        try:
            self._verify()
        except BaseException:
            self.close()
            raise

    def read(self, work: Callable[[ManagedTransaction], T]) -> T:
        """What `work` returns, in a READ transaction; run again while the server is away."""

        def attempt() -> T:
            with self._session(READ_ACCESS) as session:
                return session.execute_read(work)

        with self._translated():
            return self._patiently()(attempt)

    def write(self, work: Callable[[ManagedTransaction], T]) -> T:
        """What `work` returns, in one transaction; run again after a deadlock and the like.

        Raises:
            StoreFull: If the server has no memory for the transaction; this is not tried again.
        """

        def attempt() -> T:
            with self._session(WRITE_ACCESS) as session:
                return session.execute_write(work)

        with self._translated():
            try:
                return self._patiently()(attempt)
            except ConstraintError:  # another program wrote the same key at the same time
                return self._patiently()(attempt)

    def constrain(self, query: str, values: Mapping[str, Any] | None = None) -> None:
        """Run a query that takes no part in a transaction: of constraints, of indexes, in batches.

        Raises:
            DataError: If what is stored contradicts the constraint.
        """
        with self._translated(), self._session(WRITE_ACCESS) as session:
            try:
                session.run(query, dict(values or {})).consume()
            except Neo4jError as error:
                if error.code.endswith("ConstraintCreationFailed"):
                    raise DataError(f"{self.address.url}: {error.message}") from None
                if error.code not in _CONSTRAINED_ALREADY:
                    raise

    def close(self) -> None:
        """Close all connections; calling it again does nothing."""
        self._driver.close()

    def _verify(self) -> None:
        with self._translated(), self._session(READ_ACCESS) as session:
            summary = session.run(load("neo4j", "ping", {})).consume()
        self.version = check_version(summary.server.agent, self.address.url)

    def _patiently(self) -> Retrying:
        """Runs something again, at growing intervals, until patience is at its end.

        The driver would do it too, and would not tell a server without memory from a busy one.
        """

        def tell(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            _log.warning("%s: trying again after %s", self.address.url, type(error).__name__)

        return Retrying(
            retry=retry_if_exception(_may_pass),
            wait=wait_random_exponential(multiplier=0.4, max=5),
            stop=stop_after_delay(self._patience),
            before_sleep=tell,
            reraise=True,
        )

    def _session(self, mode: str) -> Session:
        return self._driver.session(
            database=self.address.database,
            default_access_mode=mode,
            fetch_size=FETCH_SIZE,
            # In a cluster, a read then sees what this store wrote before.
            bookmark_manager=self._driver.execute_query_bookmark_manager,
        )

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (DriverError, Neo4jError) as error:
            raise self._meaning(error) from None

    def _meaning(self, error: DriverError | Neo4jError) -> StoreError:
        url = self.address.url
        if isinstance(error, UnsupportedServerProduct):
            return StoreUnsupported(f"{url}: {error}")
        if isinstance(error, DriverError) and not isinstance(error, AuthConfigurationError):
            hint = "; for an authority of your own, give ca=" if "CertVerif" in str(error) else ""
            return StoreUnavailable(f"{url} cannot be reached, or went away: {error}{hint}")
        if isinstance(error, DriverError) or ".Security." in error.code:
            return StoreAccessDenied(
                f"{url} refused the user: {error.message} Set NEO4J_USERNAME (default neo4j), and"
                " NEO4J_PASSWORD or NEO4J_PASSWORD_FILE"
            )
        if error.code == "Neo.ClientError.Statement.AccessMode":
            return StoreAccessDenied(f"{url}: {error.message}")
        if error.code == "Neo.ClientError.Database.DatabaseNotFound":
            return StoreUnavailable(
                f"{url}: the server has no database {self.address.database!r}; it has"
                f" {self._databases()}"
            )
        if "OutOfMemory" in error.code:
            return StoreFull(
                f"{url}: the server has no memory for this transaction: take smaller chunks, or"
                f" raise dbms.memory.transaction.total.max there ({error.message})"
            )
        if isinstance(error, TransientError):
            return StoreUnavailable(f"{url} is not able to answer now: {error.message}")
        return StoreError(f"{url}: {error.message} ({error.code})")

    def _databases(self) -> str:
        try:
            with self._driver.session(database="system") as session:
                found = session.run(load("neo4j", "show_databases", {})).single(strict=True)
        except (DriverError, Neo4jError):
            return "others, which this user may not list"
        return ", ".join(sorted(name for name in found["names"] if name != "system"))


def _may_pass(error: BaseException) -> bool:
    """Whether the same transaction may work if it is tried again."""
    if isinstance(error, Neo4jError):
        return error.is_retryable() and "OutOfMemory" not in (error.code or "")
    return isinstance(error, DriverError) and error.is_retryable()
