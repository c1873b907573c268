from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

from tests.conftest import ROOT

PROTO = "firstedge/serving/v1/recommender.proto"


def test_the_stubs_are_those_of_the_proto_file(tmp_path: Path) -> None:
    outs = [f"--{kind}_out={tmp_path}" for kind in ("python", "pyi", "grpc_python")]
    command = [sys.executable, "-m", "grpc_tools.protoc", "-I.", *outs, PROTO]
    subprocess.run(command, cwd=ROOT, check=True, timeout=60)
    made = sorted((tmp_path / PROTO).parent.iterdir())
    assert len(made) == 3
    for path in made:
        kept = ROOT / "serving" / "v1" / path.name
        assert path.read_text() == kept.read_text(), "run make proto"


def test_every_line_of_the_proto_file_is_documented() -> None:
    lines = [line.strip() for line in (ROOT / PROTO).read_text().splitlines()]
    declared = re.compile(r"(message|service|rpc|oneof)\b.*\{?|[\w<>, .]+ = \d+;")
    for before, line in pairwise(lines):
        if declared.fullmatch(line) and not line.startswith("//"):
            assert before.startswith("//"), line
