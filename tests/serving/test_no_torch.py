from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from firstedge.models.bundle_file import save_bundle
from tests.models.bundles import random_bundle

SCRIPT = """
import sys
import firstedge as fe

recommender = fe.Recommender.load(sys.argv[1])
query = fe.Query([fe.Event(item="i003"), fe.Event(category="c1")], {"country": "UK"}, "blue")
ranking = recommender.recommend(query, k=5, reasons=True)
assert len(ranking) == 5 and ranking.reasons
heavy = {"torch", "transformers", "sklearn", "pandas", "matplotlib", "neo4j", "ladybug"}
print(sorted(heavy & set(sys.modules)))
"""


def test_an_answer_in_a_fresh_process_needs_nothing_heavy(tmp_path: Path) -> None:
    save_bundle(random_bundle(), tmp_path)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", SCRIPT, str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.stdout.strip(), done.stderr) == ("[]", "")
