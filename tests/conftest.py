"""Fixtures that several rooms share."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
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


def load_script(path: Path) -> ModuleType:
    """A script that no package ships, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def neo4j_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A running Neo4jServer of deploy/neo4j_server.py; NEO4J_VERSION chooses another version.

    Without Java or Maven the test is skipped, and fails where REQUIRE_NEO4J=1.
    """
    script = load_script(ROOT / "deploy" / "neo4j_server.py")
    server = script.Neo4jServer(
        tmp_path_factory.mktemp("neo4j"),
        os.environ.get("NEO4J_VERSION", script.LTS),
        java_options=QUICK_JAVA,
    )
    try:
        server.start()
    except script.ServerMissingError as error:
        if os.environ.get("REQUIRE_NEO4J") == "1":
            pytest.fail(str(error))
        pytest.skip(str(error))
    yield server
    server.kill()


@pytest.fixture
def neo4j_server(neo4j_process: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The running server, with nothing in its database and its password in the environment."""
    wipe(neo4j_process.url, neo4j_process.password)
    monkeypatch.setenv("NEO4J_USERNAME", "neo4j")
    monkeypatch.setenv("NEO4J_PASSWORD", neo4j_process.password)
    return neo4j_process


def wipe(url: str, password: str) -> None:
    """Remove all nodes; constraints stay, so that the server need not plan every query anew."""
    with (
        GraphDatabase.driver(url, auth=("neo4j", password)) as driver,
        driver.session() as session,
    ):
        session.run("MATCH (n) DETACH DELETE n").consume()
