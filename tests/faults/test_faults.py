"""The server killed, the client killed, the wire cut: a sample here, more in `make soak`."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import both_neo4j
from tests.faults.harness import FAULTS, Fault, Harness
from tests.faults.scenarios import SCENARIOS

# By scenario, on each version: six server kills in all.
SAMPLE: dict[str, list[Fault]] = {
    "import": ["server kill", "client kill", "cut"],
    "read": ["server kill", "cut"],
    "publish": ["server kill", "cut"],
}


@both_neo4j
@pytest.mark.parametrize("name", SCENARIOS)
def test_a_fault_loses_and_doubles_nothing(name: str, neo4j_server: Any, tmp_path: Path) -> None:
    rng = random.Random(f"{name} {neo4j_server.release.version}")
    faults = rng.sample(SAMPLE[name], len(SAMPLE[name]))
    tally = Harness(SCENARIOS[name], neo4j_server, tmp_path / "work", rng).run(list(faults))
    assert {kind: tally[kind] for kind in set(faults)} == {k: faults.count(k) for k in set(faults)}


@pytest.mark.soak
@pytest.mark.timeout(7200)
@both_neo4j
@pytest.mark.parametrize("name", SCENARIOS)
def test_thirty_server_kills_and_more(name: str, neo4j_server: Any, tmp_path: Path) -> None:
    """At least 30 of each kind over all scenarios and both versions."""
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    faults = list(FAULTS) * -(-30 // (2 * len(SCENARIOS)))
    harness = Harness(SCENARIOS[name], neo4j_server, tmp_path / "work", random.Random(seed))
    tally = harness.run(faults)
    assert tally.total() - tally["finished"] == len(faults)
