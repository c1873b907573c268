"""The contract of the stores on the embedded one."""

from __future__ import annotations

from pathlib import Path

import pytest
from contracts.graph_store import GraphStoreContract, Opener

from firstedge.graph.ladybug_store import LadybugStore


class TestLadybugStore(GraphStoreContract):
    @pytest.fixture
    def open_store(self, tmp_path: Path) -> Opener:
        return lambda schema: LadybugStore(tmp_path / "shop.lbug", schema)
