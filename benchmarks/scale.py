"""Store to bundle to answer at several sizes: time, memory, and how both grow.

    python benchmarks/scale.py [--events 100000 1000000] [--json] [--keep FOLDER]

Every stage is a command of firstedge in a process of its own, whose peak of resident memory the
system tells: the import of files into an embedded store, the Snapshot alone, training (which reads
it again) and a first answer, the program's start included. Growth is the exponent p of
CPU time ~ events^p between two sizes: 1 is linear. The shop is that of scale_shop.py.

With --keep, files, stores, bundles and figures stay in a folder, and what is done there is not
done again: delete its line in figures.json to repeat a stage.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
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
        cpu: Seconds of processors, which other work on the machine does not add to.
        gib: Peak of its resident memory, in GiB.
        parts: Seconds of its parts, where it tells them.
    """

    seconds: float
    cpu: float
    gib: float
    parts: dict[str, float] = field(default_factory=dict)


# Linux counts into a process's peak what the process that started it held: so a small one does.
STARTER = """
import os, subprocess, sys
child = subprocess.Popen(sys.argv[2:])
_, status, usage = os.wait4(child.pid, 0)
with open(sys.argv[1], "w") as file:
    print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss, file=file)
code = os.waitstatus_to_exitcode(status)
sys.exit(code if code >= 0 else 128 - code)
"""


def run(command: list[str]) -> tuple[Stage, str]:
    """Run a command, and give what it took and what it printed.

    Raises:
        SystemExit: If it fails.
    """
    began = time.perf_counter()
    with tempfile.NamedTemporaryFile() as told, tempfile.TemporaryFile() as out:
        starter = [sys.executable, "-c", STARTER, told.name, *command]
        code = subprocess.run(starter, stdout=out, check=False).returncode
        seconds = time.perf_counter() - began
        if code:
            raise SystemExit(f"{' '.join(command[:6])} ... ended with {code}")
        cpu, peak = map(float, told.read().split())
        out.seek(0)
        printed = out.read().decode()
    gib = peak / (1 << 30 if sys.platform == "darwin" else 1 << 20)  # bytes there, KiB elsewhere
    return Stage(round(seconds, 1), round(cpu, 1), round(gib, 2)), printed


def measure(events: int, folder: Path) -> dict[str, Stage]:
    """All stages at one size, but for those whose figures lie in the folder."""
    record = folder / "figures.json"
    found = {}
    if record.exists():
        told = json.loads(record.read_text("utf-8"))
        found = {name: Stage(**stage) for name, stage in told.items()}
    for name, command in commands(events, folder).items():
        if name in found:
            continue
        print(f"{events:,} events: {name}", file=sys.stderr, flush=True)
        stage, printed = run(command)
        found[name] = replace(stage, parts=_judge(name, printed))
        told = {done: asdict(stage) for done, stage in found.items()}
        record.write_text(json.dumps(told, indent=1), "utf-8")
        print(f"  {_told(stage)}", file=sys.stderr, flush=True)
    return found


def commands(events: int, folder: Path) -> dict[str, list[str]]:
    """By stage, what is run."""
    schema, store = str(folder / "shop.toml"), str(folder / "shop.lbug")
    firstedge = [str(Path(sys.executable).parent / "firstedge")]
    shop = ["--schema", schema, "--store", store]
    rejects, cache = ["--rejects", str(folder / "rejects")], ["--cache", str(folder / "cache")]
    model = ["--encoder", "none", "--bundle", str(folder / "bundle"), "--json"]
    asked = ["--item", "i0", "--item", "i7"]
    generator = [sys.executable, str(HERE / "scale_shop.py"), str(folder)]
    return {
        "files": [*generator, "--events", str(events)],
        "import": [*firstedge, "import", *shop, *rejects, "--json"],
        "snapshot": [sys.executable, "-c", SNAPSHOT, store, schema],
        "train": [*firstedge, "train", *shop, *cache, *model],
        "answer": [*firstedge, "recommend", *asked, *model],
    }


def _judge(name: str, printed: str) -> dict[str, float]:
    """The parts that a stage tells of; an answer that is none ends the measurement."""
    if name == "answer" and len(json.loads(printed)["items"]) != 20:
        raise SystemExit(f"the first answer has not 20 items: {printed[:300]}")
    parts: dict[str, float] = json.loads(printed)["about"]["stages"] if name == "train" else {}
    return parts


def growth(smaller: float, larger: float, ratio: float) -> float:
    """The p of seconds ~ events^p."""
    return math.log(max(larger, 0.1) / max(smaller, 0.1)) / math.log(ratio)


def render(sizes: list[int], found: list[dict[str, Stage]]) -> Table:
    table = Table("stage", *(f"{size:,} events" for size in sizes), "growth")
    for column in table.columns[1:]:
        column.justify = "right"
    for name in STAGES:
        stages = [one[name] for one in found]
        cpu = _growths(sizes, [stage.cpu for stage in stages])
        table.add_row(name, *(_told(stage) for stage in stages), cpu)
        for part in stages[-1].parts:
            told = [f"{stage.parts.get(part, 0.0):,.1f} s" for stage in stages]
            table.add_row(f"  {part}", *told, "", style="dim")
    return table


def _told(stage: Stage) -> str:
    return f"{stage.seconds:,.0f} s  ({stage.cpu:,.0f} s CPU)  {stage.gib:.1f} GiB"


def _growths(sizes: list[int], seconds: list[float]) -> str:
    pairs = zip(seconds, seconds[1:], sizes, sizes[1:], strict=False)
    return ", ".join(f"{growth(a, b, big / small):.2f}" for a, b, small, big in pairs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--events", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--keep", type=Path, help="leave everything here, and go on from it")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    sizes, found = sorted(args.events), list[dict[str, Stage]]()
    for events in sizes:
        with tempfile.TemporaryDirectory() as scratch:
            folder = (args.keep or Path(scratch)) / str(events)
            folder.mkdir(parents=True, exist_ok=True)
            found.append(measure(events, folder))
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
        before, last = found[-2:]
        steps = {n: round(growth(before[n].cpu, last[n].cpu, ratio), 2) for n in STAGES}
    peak = max(stage.gib for stage in found[-1].values())
    seconds = sum(found[-1][name].seconds for name in STAGES)
    return {"sizes": by_size, "growth": steps, "peak_gib": peak, "seconds": round(seconds, 1)}


if __name__ == "__main__":
    main()
