"""From the start of the service to its first answer, and the memory that it then holds.

Memory is that of the process beyond what it takes with a bundle of a hundred items, against the
bytes of the bundle's arrays (vectors and edges). Without --bundle, a made-up shop is served.

    python -m benchmarks.serve_start [--bundle demo/bundle] [--items 20000] [--json]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.made_shop import Shape, build_bundle
from firstedge.models.bundle import Bundle
from firstedge.models.bundle_file import load_bundle, save_bundle
from firstedge.serving.client import Client

MB = 2**20


def start(bundle: Path) -> tuple[float, float]:
    """Seconds to the first answer, and megabytes that the process then holds."""
    command = Path(sys.executable).with_name("firstedge")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    began = time.perf_counter()
    server = subprocess.Popen(
        [command, "serve", "--bundle", bundle, "--port", "0", "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert server.stdout is not None  # noqa: S101
        port = json.loads(server.stdout.readline())["port"]
        with Client(f"127.0.0.1:{port}") as client:
            client.recommend()
        seconds = time.perf_counter() - began
        status = Path(f"/proc/{server.pid}/status").read_text()
        held = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return seconds, int(held.split()[1]) * 1024 / MB
    finally:
        server.terminate()
        server.communicate()


def size(bundle: Bundle) -> float:
    """Megabytes of its vectors and edges."""
    arrays = list(bundle.arrays().values())
    for edges in (bundle.edges, bundle.profile_lifts, bundle.category_lifts):
        arrays += [edges.offsets, edges.targets, edges.weights, edges.counts]
    return sum(array.nbytes for array in arrays) / MB


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        tiny, served = Path(folder) / "tiny", args.bundle or Path(folder) / "made-up"
        save_bundle(build_bundle(Shape(100, 5, 10), rng), tiny)
        if args.bundle is None:
            save_bundle(build_bundle(Shape(args.items), rng), served)
        bundle = load_bundle(served)
        _, base = start(tiny)
        seconds, held = np.median([start(served) for _ in range(args.rounds)], axis=0).tolist()
    result = {
        "items": len(bundle.items),
        "seconds to the first answer": seconds,
        "MB with next to nothing": base,
        "MB": held,
        "MB of vectors and edges": size(bundle),
        "MB beyond nothing / of vectors and edges": (held - base) / size(bundle),
    }
    if args.json:
        print(json.dumps(result))
        return
    for name, value in result.items():
        print(f"{name:<44}{value:>10,.2f}")


if __name__ == "__main__":
    main()
