"""Many faults, counted: ``make faults N=200``.

They are spread evenly over scenarios, versions of Neo4j and kinds of fault. Ends with an assertion
error at the first thing that is lost, doubled or half there.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.conftest import NEO4J_VERSIONS, QUICK_JAVA, ROOT, load_script
from tests.faults.harness import FAULTS, Fault, Harness
from tests.faults.scenarios import SCENARIOS


def say(line: str) -> None:
    """Print a line at once."""
    print(line, flush=True)


def main() -> None:
    """Cause faults."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--number", type=int, default=60, help="of faults")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS))
    args = parser.parse_args()
    say(f"seed {args.seed}")
    rng = random.Random(args.seed)
    names = [(v, s) for v in NEO4J_VERSIONS for s in args.scenarios]
    total: Counter[str] = Counter()
    for row, (version, name) in enumerate(names):
        share = range(row, args.number, len(names))
        faults: list[Fault] = [args.faults[n % len(args.faults)] for n in range(len(share))]
        rng.shuffle(faults)
        total += cause(version, name, faults, rng)
        say(f"so far {total.total() - total['finished']} faults: {dict(total)}")
    say(f"nothing lost, doubled or half there in {total.total() - total['finished']} faults")


def cause(version: str, name: str, faults: list[Fault], rng: random.Random) -> Counter[str]:
    """Faults in one scenario on a server of its own."""
    script = load_script(ROOT / "deploy" / "neo4j_server.py")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with script.Neo4jServer(home / "neo4j", version, java_options=QUICK_JAVA) as server:
            os.environ["NEO4J_PASSWORD"] = server.password
            label = f"Neo4j {version}, "
            harness = Harness(
                SCENARIOS[name], server, home / "work", rng, lambda line: say(label + line)
            )
            return harness.run(faults)


if __name__ == "__main__":
    main()
