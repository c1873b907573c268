"""Many faults, counted: ``make faults N=200``.

They are spread evenly over scenarios, versions of Neo4j and kinds of fault. Ends with an assertion
error at the first thing that is lost, doubled or half there. With a tally it can be stopped at any
time, and the next run goes on to the same number.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.conftest import NEO4J_VERSIONS, QUICK_JAVA, ROOT, load_script
from tests.faults.harness import FAULTS, Fault, Harness
from tests.faults.scenarios import SCENARIOS

Kind = tuple[str, str, Fault]  # version, scenario, fault


def main() -> None:
    """Cause faults."""
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="example: python -m tests.faults --number 200 --tally faults.txt",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--number", type=int, default=60, help="of faults, in the tally too")
    parser.add_argument("--seed", type=int, default=time.time_ns() % 2**32)
    parser.add_argument("--scenarios", nargs="+", choices=SCENARIOS, default=list(SCENARIOS))
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--tally", type=Path, help="keeps each fault, to go on another time")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # the server is stopped on the way out
    print(f"seed {args.seed}", flush=True)
    rng = random.Random(args.seed)
    kinds = [(v, s, f) for f in args.faults for s in args.scenarios for v in NEO4J_VERSIONS]
    wanted = Counter(kinds[n % len(kinds)] for n in range(args.number))
    done = read_tally(args.tally)

    def note(kind: Kind) -> None:
        done[kind] += 1
        print(f"{done.total()}: {' '.join(kind)}", flush=True)
        if args.tally:
            with args.tally.open("a") as file:
                file.write("\t".join(kind) + "\n")

    for version in NEO4J_VERSIONS:
        for name in args.scenarios:
            faults = [f for f in args.faults for _ in range((wanted - done)[version, name, f])]
            rng.shuffle(faults)
            if faults:
                cause(version, name, faults, rng, note)
    for kind, number in sorted(done.items()):
        print(f"{number:6} {' '.join(kind)}")
    print(f"nothing lost, doubled or half there in {done.total()} faults")


def read_tally(path: Path | None) -> Counter[Kind]:
    """The faults that were looked at before."""
    if path is None or not path.exists():
        return Counter()
    return Counter(tuple(line.split("\t")) for line in path.read_text().splitlines())  # type: ignore[misc]


def cause(
    version: str, name: str, faults: list[Fault], rng: random.Random, note: Callable[[Kind], None]
) -> None:
    """Faults in one scenario on a server of its own."""
    script = load_script(ROOT / "deploy" / "neo4j_server.py")
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        with script.Neo4jServer(home / "neo4j", version, java_options=QUICK_JAVA) as server:
            os.environ["NEO4J_PASSWORD"] = server.password
            Harness(
                SCENARIOS[name],
                server,
                home / "work",
                rng,
                lambda fault: note((version, name, fault)),
            ).run(faults)


if __name__ == "__main__":
    main()
