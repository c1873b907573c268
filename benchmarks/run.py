"""All speeds in one table: every benchmark one after the other, each in a process of its own.

    python -m benchmarks.run [--json] [--only embed_rate topk_rate]

Ratios are to the alternative in the same run; what they are to, each script says at its head.
Exits with 1 if a benchmark could not run; a goal that is missed is shown, not punished, for other
work on the machine can be the cause.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.table import Table

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Figure:
    """One figure of a benchmark's JSON.

    Attributes:
        name: To show.
        keys: The way to it in the JSON.
        goal: What it should reach, None for no goal.
        at_most: Whether the goal is a ceiling.
    """

    name: str
    keys: tuple[str, ...]
    goal: float | None = None
    at_most: bool = False


@dataclass(frozen=True)
class Benchmark:
    """A script beside this one, its arguments and what to look at."""

    script: str
    arguments: tuple[str, ...]
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class Found:
    """A figure as measured; met is None where there is no goal."""

    benchmark: str
    name: str
    value: float
    goal: str
    met: bool | None


BENCHMARKS = (
    Benchmark(
        "import_rate",
        ("--events", "1000000"),
        (
            Figure("events/s, first load", ("write_per_s",), 100_000),
            Figure("ratio to a plain loop", ("ratio",)),
        ),
    ),
    Benchmark(
        "import_files",
        ("--events", "1000000"),
        (Figure("events/s from a CSV file", ("events_per_second",), 100_000),),
    ),
    Benchmark(
        "snapshot_rate",
        ("--events", "200000"),
        (Figure("store to HeteroData, ratio to row by row", ("ratio",)),),
    ),
    Benchmark(
        "text_rate",
        ("--texts", "2000"),
        (
            Figure("ratio to sentence-transformers", ("ratio",), 1.5),
            Figure("lowest cosine to it", ("min_cosine",), 0.999),
        ),
    ),
    Benchmark(
        "topk_rate",
        ("--items", "1000000"),
        (
            Figure(
                "top 20 of 1 M, time to faiss's",
                ("vector part / faiss (goal <= 1.1)",),
                1.1,
                at_most=True,
            ),
            Figure("approximate, times faster", ("exact / approximate answer (goal >= 10)",), 10),
            Figure("approximate, recall", ("recall of the approximate (goal >= .98)",), 0.98),
        ),
    ),
    Benchmark(
        "serve_start",
        (),
        (
            Figure(
                "service, s to its first answer", ("seconds to the first answer",), 2, at_most=True
            ),
            Figure(
                "memory, ratio to vectors and edges", ("MB beyond nothing / of vectors and edges",)
            ),
        ),
    ),
    Benchmark(
        "serve_rate",
        (),
        (
            Figure("Recommend a second, ratio to an empty echo", ("throughput / echo",), 0.3),
            Figure("p99 at half load, ratio to the echo's", ("p99 / echo's",), 3, at_most=True),
            Figure(
                "p99 of the accepted at twice the load",
                ("p99 of the accepted / sustained",),
                2,
                at_most=True,
            ),
        ),
    ),
    Benchmark(
        "live_rate",
        (),
        (
            Figure("events kept, ratio to the store's own writes", ("service / store",)),
            Figure("one event kept and ranked with, ms", ("one event kept and ranked with, ms",)),
            Figure("one item added and ranked, ms", ("one item added and ranked, ms",)),
        ),
    ),
    Benchmark(
        "embed_rate",
        ("--users", "1000000"),
        (
            Figure("1 M users, ratio to SAGEConv", ("ratio",), 10),
            Figure("ratio to SAGEConv on sparse matrices", ("ratio to sparse matrix",)),
        ),
    ),
    Benchmark(
        "neo4j_publish",
        (),
        (
            Figure("vectors of 64 published a second", ("figures", "vectors of 64 a second"), 5000),
            Figure("item edges published a second", ("figures", "edges a second"), 20_000),
            Figure("item edges, ratio to MERGE", ("figures", "edges / MERGE")),
            Figure(
                "Cypher to a stranger, p95 ms", ("figures", "stranger p95 ms"), 20, at_most=True
            ),
        ),
    ),
    Benchmark(
        "neo4j_io",
        ("--events", "200000"),
        (
            Figure("write, ratio to UNWIND MERGE", ("ratios", "write / MERGE, bare"), 8),
            Figure(
                "write, ratio to MERGE with all constraints",
                ("ratios", "write / MERGE, all constrained"),
            ),
            Figure(
                "store to HeteroData, ratio to row by row", ("ratios", "read / a row an event"), 4
            ),
            Figure(
                "store to HeteroData, ratio to the server's count",
                ("ratios", "read / the server's count"),
                0.5,
            ),
            Figure("a foreign graph, ratio to our own", ("ratios", "read, a foreign graph / read")),
            Figure("refresh, ratio to reading all", ("ratios", "refresh, 1 % is new / read")),
        ),
    ),
)


class BenchmarkError(Exception):
    """A benchmark could not run; the text is the end of what it said."""


def measure(benchmark: Benchmark) -> dict[str, Any]:
    """The JSON that a benchmark prints.

    Raises:
        BenchmarkError: If it fails or prints no JSON.
    """
    command = [
        sys.executable,
        "-m",
        f"benchmarks.{benchmark.script}",
        *benchmark.arguments,
        "--json",
    ]
    done = subprocess.run(command, cwd=HERE.parent, capture_output=True, text=True, check=False)
    try:
        figures: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    except (IndexError, ValueError):
        raise BenchmarkError(done.stderr.strip()[-500:] or "it printed nothing") from None
    return figures


def judge(benchmark: Benchmark, figures: dict[str, Any]) -> Iterator[Found]:
    """A benchmark's figures against their goals.

    Raises:
        BenchmarkError: If it did not print one of them.
    """
    for figure in benchmark.figures:
        try:
            value: float = reduce(lambda part, key: part[key], figure.keys, cast(Any, figures))
        except KeyError as error:
            raise BenchmarkError(f"it printed no figure {error}: {figures}") from None
        goal, met = "", None
        if figure.goal is not None:
            goal = f"{'<=' if figure.at_most else '>='} {figure.goal:,g}"
            met = value <= figure.goal if figure.at_most else value >= figure.goal
        yield Found(benchmark.script, figure.name, value, goal, met)


def render(found: list[Found]) -> Table:
    table = Table("benchmark", "figure", "measured", "goal", "")
    table.columns[2].justify = table.columns[3].justify = "right"
    marks = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}
    for one in found:
        measured = f"{one.value:,.0f}" if one.value >= 1000 else f"{one.value:.4g}"
        table.add_row(one.benchmark, one.name, measured, one.goal, marks[one.met])
    return table


def main() -> None:
    names = [benchmark.script for benchmark in BENCHMARKS]
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--only", nargs="+", choices=names, default=names)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    progress, found, failed = Console(stderr=True), list[Found](), dict[str, str]()
    for benchmark in BENCHMARKS:
        if benchmark.script not in args.only:
            continue
        began = time.perf_counter()
        try:
            found += judge(benchmark, measure(benchmark))
        except BenchmarkError as error:
            failed[benchmark.script] = str(error)
        progress.print(f"{benchmark.script}: {time.perf_counter() - began:.0f} s")
    if args.json:
        print(json.dumps({"figures": [asdict(one) for one in found], "failed": failed}))
    else:
        Console().print(render(found))
        for name, text in failed.items():
            progress.print(f"[red]{name} failed:[/] {text}", highlight=False)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
