"""Who may ask: TLS on both sides, and bearer tokens with scopes."""

from __future__ import annotations

import hashlib
import hmac
import logging
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import grpc

from firstedge.graph.errors import SettingsError

_log = logging.getLogger(__name__)

SCOPES = ("read", "write", "admin")
_SHORTEST = 16  # characters of a token that nobody guesses


@dataclass(frozen=True)
class ServerTls:
    """What a server shows, and whom it trusts.

    The files are read again when they change, so that a certificate can be renewed.

    Attributes:
        certificate: A PEM file: the server's certificate and those that signed it.
        key: A PEM file: its private key.
        client_ca: A PEM file: who signs the certificates that clients must show; None: clients
            show none.
    """

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def credentials(self) -> Any:
        """What grpc takes.

        Raises:
            SettingsError: If a file cannot be read.
        """
        seen = self._stamp()

        def renewed() -> Any:
            nonlocal seen
            try:
                if (now := self._stamp()) == seen:
                    return None
                configuration = self._configuration()
            except (OSError, SettingsError) as error:
                _log.error("TLS files stay as they were: %s", error)
                return None
            seen = now
            return configuration

        return grpc.dynamic_ssl_server_credentials(
            self._configuration(), renewed, self.client_ca is not None
        )

    def _configuration(self) -> Any:
        ca = None if self.client_ca is None else _read(self.client_ca)
        pair = (_read(self.key), _read(self.certificate))
        return grpc.ssl_server_certificate_configuration([pair], ca)

    def _stamp(self) -> tuple[int, ...]:
        files = [file for file in (self.certificate, self.key, self.client_ca) if file is not None]
        return tuple(_stamp(file) for file in files)


@dataclass(frozen=True)
class ClientTls:
    """What a client trusts, and what it shows.

    Attributes:
        ca: A PEM file that the server's certificate is held against; None: the system's.
        certificate: A PEM file to show to a server that asks for it.
        key: Its private key.
    """

    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def credentials(self) -> Any:
        """What grpc takes.

        Raises:
            SettingsError: If a file cannot be read.
        """
        ca, key, own = (
            None if file is None else _read(file) for file in (self.ca, self.key, self.certificate)
        )
        return grpc.ssl_channel_credentials(ca, key, own)


class Tokens:
    """The tokens of a file, read again when it changes.

    The file is TOML: ``[name]`` for whoever has the token, with ``token`` and ``scopes``, some of
    read, write and admin; admin includes the others. Tokens are kept as digests and all of them
    compared in constant time, so that neither memory nor timing gives one away.

    Args:
        path: The file.

    Raises:
        SettingsError: If it cannot be read, or something in it cannot be.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = _stamp(path)
        self._known = _read_tokens(path)

    def refresh(self) -> None:
        """Read the file again if it has changed; keep what there is if it is harmed."""
        try:
            if (stamp := _stamp(self._path)) == self._stamp:
                return
            self._stamp = stamp
            self._known = _read_tokens(self._path)
        except (OSError, SettingsError) as error:
            _log.error("tokens stay as they were: %s", error)
        else:
            _log.info("tokens: %d", len(self._known))

    def scopes(self, token: str) -> frozenset[str]:
        """What whoever shows this token may do; nothing, if nobody has it."""
        digest = hashlib.sha256(token.encode()).digest()
        scopes: frozenset[str] = frozenset()
        for known, allowed in self._known:
            if hmac.compare_digest(known, digest):
                scopes = allowed
        return scopes


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def host_of(target: str) -> str:
    """The host of ``"host:port"``."""
    return target.rpartition(":")[0] or target


def _read_tokens(path: Path) -> list[tuple[bytes, frozenset[str]]]:
    try:
        entries = tomllib.loads(_read(path).decode())
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: {error}") from None
    found = [_entry(path, name, entry) for name, entry in entries.items()]
    if len({digest for digest, _ in found}) < len(found):
        raise SettingsError(f"{path}: two names have one token: give each its own")
    return found


def _entry(path: Path, name: str, entry: Any) -> tuple[bytes, frozenset[str]]:
    if not isinstance(entry, dict) or set(entry) != {"token", "scopes"}:
        raise SettingsError(f"{path}: [{name}] has a token and scopes, and nothing else")
    token, scopes = entry["token"], entry["scopes"]
    if not isinstance(token, str) or len(token) < _SHORTEST or not token.isascii():
        raise SettingsError(
            f"{path}: the token of [{name}] is a text of at least {_SHORTEST} ASCII characters; "
            "`openssl rand -hex 32` makes one"
        )
    if not isinstance(scopes, list) or not scopes or not _known(scopes):
        raise SettingsError(f"{path}: scopes of [{name}] are some of {', '.join(SCOPES)}")
    allowed = SCOPES if "admin" in scopes else scopes
    return hashlib.sha256(token.encode()).digest(), frozenset(allowed)


def _known(scopes: Iterable[object]) -> bool:
    return all(scope in SCOPES for scope in scopes)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None


def _stamp(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError as error:
        raise SettingsError(f"cannot read {path}: {error.strerror}") from None
