"""The contract of the stores on real Neo4j servers, of both versions that are supported."""

from __future__ import annotations

from typing import Any

import pytest
from contracts.graph_store import GraphStoreContract, Opener

from firstedge.graph.neo4j_store import Neo4jStore
from tests.conftest import both_neo4j


@both_neo4j
class TestNeo4jStore(GraphStoreContract):
    @pytest.fixture
    def open_store(self, neo4j_server: Any) -> Opener:
        return lambda schema: Neo4jStore(neo4j_server.url, schema)
