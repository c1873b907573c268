"""Store to bundle to answer at several sizes: time, memory, and how both grow.

    python benchmarks/scale.py [--events 100000 1000000] [--json] [--keep FOLDER]

Every stage is a command of firstedge in a process of its own, whose peak of resident memory the
system tells: the import of files into an embedded store, the Snapshot alone, training (which reads
it again) and a first answer, the program's start included. Growth is the exponent p of
time ~ events^p between two sizes: 1 is linear. The shop is that of scale_shop.py.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent
STAGES = ("import", "snapshot", "train", "answer")
# Reads what a training reads, and nothing more.
SNAPSHOT = (
    "import sys; from firstedge import Schema, open_store, read_snapshot\n"
    "with open_store(sys.argv[1], Schema.load(sys.argv[2]), read_only=True) as store:\n"
    "    read_snapshot(store)"
)


@dataclass(frozen=True)
class Stage:
    """What a stage took.

    Attributes:
        seconds: From start to end of its process.
        gib: Peak of its resident memory, in GiB.
        parts: Seconds of its parts, where it tells them.
    """

    seconds: float
    gib: float
    parts: dict[str, float] = field(default_factory=dict)


def run(command: list[str]) -> tuple[Stage, str]:
    """Run a command, and give what it took and what it printed."""
    began = time.perf_counter()
    with tempfile.TemporaryFile() as out:
        child = subprocess.Popen(command, stdout=out)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        seconds = time.perf_counter() - began
        if child.returncode:
            raise SystemExit(f"{' '.join(command[:6])} ... ended with {child.returncode}")
        out.seek(0)
        printed = out.read().decode()
    to_gib = 1 << 30 if sys.platform == "darwin" else 1 << 20  # bytes there, KiB elsewhere
    return Stage(round(seconds, 1), round(usage.ru_maxrss / to_gib, 2)), printed


def measure(events: int, folder: Path) -> dict[str, Stage]:
    """All stages at one size."""
    generator = [sys.executable, str(HERE / "scale_shop.py"), str(folder)]
    run([*generator, "--events", str(events)])
    schema, store = str(folder / "shop.toml"), str(folder / "shop.lbug")
    bundle, rejects = str(folder / "bundle"), str(folder / "rejects")
    firstedge = [str(Path(sys.executable).parent / "firstedge")]
    shop = ["--schema", schema, "--store", store]
    found = {}
    found["import"], _ = run([*firstedge, "import", *shop, "--rejects", rejects, "--json"])
    found["snapshot"], _ = run([sys.executable, "-c", SNAPSHOT, store, schema])
    trained = [*shop, "--bundle", bundle, "--encoder", "none"]
    stage, printed = run([*firstedge, "train", *trained, "--json"])
    about = json.loads(printed)["about"]
    found["train"] = Stage(stage.seconds, stage.gib, about["stages"])
    asked = ["--encoder", "none", "--bundle", bundle, "--item", "i0", "--item", "i7", "--json"]
    found["answer"], printed = run([*firstedge, "recommend", *asked])
    if len(json.loads(printed)["items"]) != 20:
        raise SystemExit(f"the first answer has not 20 items: {printed[:300]}")
    return found


def growth(smaller: Stage, larger: Stage, ratio: float) -> float:
    """The p of time ~ events^p."""
    return math.log(max(larger.seconds, 0.1) / max(smaller.seconds, 0.1)) / math.log(ratio)


def render(sizes: list[int], found: list[dict[str, Stage]]) -> Table:
    table = Table("stage", *(f"{size:,} events" for size in sizes), "growth")
    for column in table.columns[1:]:
        column.justify = "right"
    for name in STAGES:
        cells = [f"{one[name].seconds:,.0f} s  {one[name].gib:.1f} GiB" for one in found]
        table.add_row(name, *cells, _growths(sizes, [one[name] for one in found]))
        for part in found[-1][name].parts:
            seconds = [one[name].parts.get(part, 0.0) for one in found]
            stages = [Stage(value, 0.0) for value in seconds]
            told = [f"{value:,.1f} s" for value in seconds]
            table.add_row(f"  {part}", *told, _growths(sizes, stages), style="dim")
    return table


def _growths(sizes: list[int], stages: list[Stage]) -> str:
    pairs = zip(stages, stages[1:], sizes, sizes[1:], strict=False)
    return ", ".join(f"{growth(a, b, big / small):.2f}" for a, b, small, big in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--keep", type=Path, help="leave files, stores and bundles here")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    sizes, found = sorted(args.events), list[dict[str, Stage]]()
    for events in sizes:
        with tempfile.TemporaryDirectory() as scratch:
            folder = (args.keep or Path(scratch)) / str(events)
            found.append(measure(events, folder))
        total = sum(stage.seconds for stage in found[-1].values())
        print(f"{events:,} events: {total:.0f} s", file=sys.stderr)
    if args.json:
        print(json.dumps(as_json(sizes, found)))
    else:
        Console().print(render(sizes, found))


def as_json(sizes: list[int], found: list[dict[str, Stage]]) -> dict[str, Any]:
    """Figures by size, and the growth of each stage between the two largest."""
    by_size = {
        str(size): {name: asdict(stage) for name, stage in one.items()}
        for size, one in zip(sizes, found, strict=True)
    }
    steps = {}
    if len(sizes) > 1:
        ratio = sizes[-1] / sizes[-2]
        steps = {name: round(growth(found[-2][name], found[-1][name], ratio), 2) for name in STAGES}
    peak = max(stage.gib for stage in found[-1].values())
    seconds = sum(stage.seconds for stage in found[-1].values())
    return {"sizes": by_size, "growth": steps, "peak_gib": peak, "seconds": round(seconds, 1)}


if __name__ == "__main__":
    main()
