"""Fixtures that several rooms share."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import ModuleType
from typing import Any

# Before numpy and torch are imported: on tensors as small as those of tests, threads wait for each
# other more than they work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from neo4j import GraphDatabase

ROOT = Path(__file__).parent.parent

# A server that lives for minutes spends most of its time compiling itself.
QUICK_JAVA = ("-XX:TieredStopAtLevel=1",)

# Those of deploy/neo4j_server.py, the long-term one first; NEO4J_VERSION chooses another, alone.
NEO4J_VERSIONS = tuple(os.environ.get("NEO4J_VERSION", "5.26.30 2026.08.1").split())

both_neo4j = pytest.mark.parametrize("neo4j_server", NEO4J_VERSIONS, indirect=True)


def load_script(path: Path) -> ModuleType:
    """A script that no package ships, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


class Neo4jServers:
    """Running servers of deploy/neo4j_server.py, one a version, each started when it is needed.

    Those that the session's tests ask for start together: starting is most of what they cost.
    """

    def __init__(self, folder: Path, wanted: set[str]) -> None:
        self.script = load_script(ROOT / "deploy" / "neo4j_server.py")
        self._folder = folder
        self._pool = ThreadPoolExecutor(len(wanted) or 1)
        self._wanted = wanted
        self._starting: dict[str, Future[Any]] = {}

    def of(self, version: str) -> Any:
        """The server of a version; without Java or Maven the test is skipped.

        It fails where REQUIRE_NEO4J=1.
        """
        for one in {*self._wanted, version} - self._starting.keys():
            self._starting[one] = self._pool.submit(self._start, one)
        try:
            return self._starting[version].result()
        except self.script.ServerMissingError as error:
            if os.environ.get("REQUIRE_NEO4J") == "1":
                pytest.fail(str(error))
            pytest.skip(str(error))

    def _start(self, version: str) -> Any:
        server = self.script.Neo4jServer(self._folder / version, version, java_options=QUICK_JAVA)
        return server.start()

    def close(self) -> None:
        self._pool.shutdown()
        for starting in self._starting.values():
            if not starting.exception():
                starting.result().kill()


def _version_of(item: Any) -> str:
    """The Neo4j version that a test is parametrised with."""
    params = item.callspec.params if hasattr(item, "callspec") else {}
    return str(params.get("neo4j_server", NEO4J_VERSIONS[0]))


@pytest.fixture(scope="session")
def neo4j_servers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Neo4jServers]:
    """The Neo4j servers of this session; `neo4j_server` and `both_neo4j` use them."""
    using = [item for item in request.session.items if "neo4j_servers" in item.fixturenames]
    servers = Neo4jServers(tmp_path_factory.mktemp("neo4j"), {_version_of(item) for item in using})
    yield servers
    servers.close()


@pytest.fixture
def neo4j_server(
    request: pytest.FixtureRequest, neo4j_servers: Neo4jServers, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A running server, with nothing in its database and its password in the environment.

    Of the first of `NEO4J_VERSIONS`; a test marked `both_neo4j` runs once on each.
    """
    server = neo4j_servers.of(getattr(request, "param", NEO4J_VERSIONS[0]))
    wipe(server.url, server.password)
    monkeypatch.setenv("NEO4J_USERNAME", "neo4j")
    monkeypatch.setenv("NEO4J_PASSWORD", server.password)
    return server


def wipe(url: str, password: str) -> None:
    """Remove all nodes; constraints stay, so that the server need not plan every query anew."""
    with (
        GraphDatabase.driver(url, auth=("neo4j", password)) as driver,
        driver.session() as session,
    ):
        session.run("MATCH (n) DETACH DELETE n").consume()
