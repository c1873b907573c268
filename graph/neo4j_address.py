"""How to reach a Neo4j server: its URL, the user's credentials and what encrypts the wire."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from neo4j import Auth, Driver, GraphDatabase, TrustAll, TrustCustomCAs, TrustSystemCAs, basic_auth

from firstedge.graph.errors import SettingsError, StoreUnsupported

SCHEMES = ("neo4j", "neo4j+s", "neo4j+ssc", "bolt", "bolt+s", "bolt+ssc")
OLDEST = (5, 9)  # the first with unique relationship properties and type predicates
CONNECT_SECONDS = 10.0
RETRY_SECONDS = 30.0


@dataclass(frozen=True)
class Address:
    """Where a database is.

    Attributes:
        url: The URL as it was given.
        server: Scheme without encryption, host and port.
        database: The database's name; None for the user's home database.
        encryption: What follows the plus in the URL's scheme: "s", "ssc" or nothing.
    """

    url: str
    server: str
    database: str | None
    encryption: str

    @classmethod
    def parse(cls, url: str) -> Address:
        """Take a URL apart.

        Raises:
            SettingsError: If it is no address of a Neo4j server, or holds credentials.
        """
        parts = urlsplit(url)
        if parts.username or parts.password:
            raise SettingsError(
                "a store's URL holds no credentials: set NEO4J_USERNAME, and NEO4J_PASSWORD or"
                " NEO4J_PASSWORD_FILE"
            )
        database = parts.path.strip("/")
        if parts.scheme not in SCHEMES or not parts.hostname or "/" in database:
            raise SettingsError(
                f"{url!r} is no store: expected a path that ends in .lbug, or"
                f" neo4j://host:port/database (also {', '.join(SCHEMES[1:])})"
            )
        scheme, _, encryption = parts.scheme.partition("+")
        query = f"?{parts.query}" if parts.query else ""
        return cls(url, f"{scheme}://{parts.netloc}{query}", database or None, encryption)


def open_driver(address: Address, ca: Path | None, patience: float = RETRY_SECONDS) -> Driver:
    """A driver for the server, which has not been reached yet.

    Args:
        address: Where it is.
        ca: A file of certificates, in place of the system's.
        patience: Seconds for which a transaction is tried again.

    Raises:
        SettingsError: If the CA file or the password file cannot be used.
    """
    if ca is not None and address.encryption != "s":
        raise SettingsError(f"a CA file is for neo4j+s:// and bolt+s://, and got {address.url}")
    if ca is not None and not ca.is_file():
        raise SettingsError(f"there is no CA file {str(ca)!r}")
    trusted = TrustCustomCAs(str(ca)) if ca is not None else TrustSystemCAs()
    return GraphDatabase.driver(
        address.server,
        auth=read_credentials(),
        encrypted=bool(address.encryption),
        trusted_certificates=TrustAll() if address.encryption == "ssc" else trusted,
        connection_timeout=min(CONNECT_SECONDS, patience),
        connection_acquisition_timeout=2 * patience,
        max_transaction_retry_time=0,  # Neo4jLink tries again
        notifications_min_severity="OFF",
    )


def read_credentials() -> Auth | None:
    """User and password from the environment; None, for a server without, if there are none.

    They are never kept in a local variable, so that no traceback that prints locals shows them.

    Raises:
        SettingsError: If the file of NEO4J_PASSWORD_FILE cannot be read.
    """
    user = os.environ.get("NEO4J_USERNAME", "neo4j")
    if "NEO4J_PASSWORD" in os.environ:
        return basic_auth(user, os.environ["NEO4J_PASSWORD"])
    file = os.environ.get("NEO4J_PASSWORD_FILE")
    if file is None:
        return None
    try:
        return basic_auth(user, Path(file).read_text("utf-8").rstrip("\r\n"))
    except (OSError, UnicodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SettingsError(f"NEO4J_PASSWORD_FILE {file!r} cannot be read: {reason}") from None


def check_version(agent: str, url: str) -> tuple[int, int]:
    """The version in a server's name, such as ``Neo4j/5.26.0``.

    Raises:
        StoreUnsupported: If it is older than the oldest that is supported, or no Neo4j.
    """
    found = re.match(r"Neo4j/(\d+)\.(\d+)", agent)
    version = (int(found[1]), int(found[2])) if found else (0, 0)
    if version < OLDEST:
        raise StoreUnsupported(f"{url} is {agent}: expected Neo4j {OLDEST[0]}.{OLDEST[1]} or later")
    return version
