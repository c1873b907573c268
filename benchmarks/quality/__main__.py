"""The leaderboard: data sets x methods x folds under one protocol, each cell measured once.

    python -m benchmarks.quality --data DIR

What was measured before, from the same data by the same code with the same budget, is kept; a run
that was cut off goes on. --any-code keeps what older code has measured as well. --table writes the
tables and plots from what is there, and measures nothing. Example of a data set of your own:
--sets my_shop.toml, its Schema file.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from benchmarks.quality.cells import RESULTS
from benchmarks.quality.search import Budget
from benchmarks.quality.shops import known_shops
from benchmarks.quality.table import write_leaderboard
from benchmarks.quality.work import FOLDS, Task, Worker, method_names, neural_names

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Measure what is missing, then write the tables."""
    args = parse(sys.argv[1:])
    if args.one:
        for task in tasks_of(args):
            Worker(task, lambda line: print(line, flush=True)).run()
        return
    if not args.table:
        failed = measure(args)
        for line in failed:
            print(f"failed: {line}", file=sys.stderr)
    written = write_leaderboard(args.results, args.sets, range(args.folds), args.docs)
    print("\n".join(str(path) for path in written))


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, help="a folder with amazon-beauty/, gowalla/ and ml-1m/")
    add("--sets", nargs="+", default=list(known_shops()), help="data sets, or paths of Schemas")
    add("--methods", nargs="+", choices=method_names(), default=list(method_names()))
    add("--folds", type=int, default=1, choices=range(1, FOLDS + 1), help="pooled; first tunes")
    add("--fold", type=int, help="only this one")
    add("--trials", type=int, default=20, help="of a method on a data set, at most")
    add("--minutes", type=float, default=30.0, help="CPU minutes of the same, at most")
    add("--users", type=int, default=1500, help="test users of a fold, at most")
    add("--any-code", action="store_true", help="keep cells that other code computed, too")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time, a core each")
    add("--results", type=Path, default=RESULTS, help="where cells are kept")
    add("--docs", type=Path, default=ROOT / "docs", help="where tables and plots are written")
    add("--table", action="store_true", help="write the tables from what is there")
    add("--one", action="store_true", help="in this process, without writing tables")
    return parser.parse_args(arguments)


def tasks_of(args: argparse.Namespace) -> Iterator[Task]:
    """Folds of data sets, the methods that take long behind all others."""
    slow = neural_names()
    for stage in (
        [name for name in args.methods if name not in slow],
        [name for name in args.methods if name in slow],
    ):
        for fold in range(args.folds) if args.fold is None else (args.fold,):
            for name in args.sets:
                if stage:
                    yield Task(
                        shop=name,
                        fold=fold,
                        methods=tuple(stage),
                        data=args.data,
                        budget=Budget(args.trials, args.minutes),
                        most_test=args.users,
                        any_code=args.any_code,
                        results=args.results,
                    )


def measure(args: argparse.Namespace) -> list[str]:
    """Run every task in a process of its own; the first fold tunes for the others.

    Returns:
        What could not be done.
    """
    tasks = list(tasks_of(args))
    waves = [[t for t in tasks if t.fold == 0], [t for t in tasks if t.fold]]
    failed = []
    for wave in waves:
        with ThreadPoolExecutor(args.jobs) as pool:
            failed += [line for line in pool.map(_run, wave) if line]
    return failed


def _run(task: Task) -> str:
    """What went wrong, "" if nothing did."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.quality", "--one"]
    command += ["--sets", task.shop, "--fold", str(task.fold), "--methods", *task.methods]
    command += ["--trials", str(task.budget.trials), "--minutes", str(task.budget.minutes)]
    command += ["--users", str(task.most_test), "--results", str(task.results)]
    command += ["--any-code"] if task.any_code else []
    if task.data is not None:
        command += ["--data", str(task.data)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode == 0:
        return ""
    return f"{task.shop}, fold {task.fold}: {done.stderr.strip().splitlines()[-1:]}"


if __name__ == "__main__":
    main()
