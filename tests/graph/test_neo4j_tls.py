"""A Neo4j server that speaks TLS only, with a certificate of an authority of its own."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from firstedge.graph.errors import SettingsError, StoreUnavailable
from firstedge.graph.store import open_store
from tests.conftest import NEO4J_VERSIONS, QUICK_JAVA


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


def make_certificates(folder: Path) -> None:
    """An authority, ``ca.crt``, and a key and certificate for localhost that it signed."""
    new = ("-newkey", "rsa:2048", "-nodes")
    authority = ("-x509", "-days", "2", "-subj", "/CN=Shop CA")
    openssl(folder, "req", *authority, *new, "-keyout", "ca.key", "-out", "ca.crt")
    request = ("-subj", "/CN=localhost", "-keyout", "private.key", "-out", "public.csr")
    openssl(folder, "req", *new, *request)
    (folder / "names").write_text("subjectAltName=DNS:localhost")
    signed = ("-CA", "ca.crt", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2")
    given = ("-in", "public.csr", "-extfile", "names", "-out", "public.crt")
    openssl(folder, "x509", "-req", *signed, *given)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make certificates with")
    folder = tmp_path_factory.mktemp("certificates")
    make_certificates(folder)
    return folder


@pytest.fixture
def tls_server(
    neo4j_servers: Any,
    certificates: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Any]:
    make, version = neo4j_servers.script.Neo4jServer, NEO4J_VERSIONS[-1]
    server = make(tmp_path / "neo4j", version, certificates, QUICK_JAVA)
    server.start()
    monkeypatch.setenv("NEO4J_PASSWORD", server.password)
    yield server
    server.kill()


def test_tls_holds_the_server_against_the_authority(tls_server: Any, certificates: Path) -> None:
    assert tls_server.url.startswith("bolt+s://")
    for url in (tls_server.url, tls_server.url.replace("bolt+s:", "neo4j+s:")):
        with open_store(url, ca=certificates / "ca.crt") as store:
            store.write_note("greeting", "hello")
            assert store.read_note("greeting") == "hello"
    with pytest.raises(StoreUnavailable, match=r"CertVerification.*give ca="):
        open_store(tls_server.url)
    with pytest.raises(StoreUnavailable):
        open_store(tls_server.url.replace("bolt+s:", "bolt:"))


def test_a_ca_file_must_exist_and_be_of_use(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no CA file"):
        open_store("neo4j+s://localhost:1", ca=tmp_path / "none.crt")
    with pytest.raises(SettingsError, match="is for neo4j"):
        open_store("neo4j://localhost:1", ca=tmp_path / "none.crt")
