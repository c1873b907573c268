"""The contract of the stores on a real Neo4j server."""

from __future__ import annotations

from typing import Any

import pytest
from contracts.graph_store import GraphStoreContract, Opener

from firstedge.graph.neo4j_store import Neo4jStore


class TestNeo4jStore(GraphStoreContract):
    @pytest.fixture
    def open_store(self, neo4j_server: Any) -> Opener:
        return lambda schema: Neo4jStore(neo4j_server.url, schema)
