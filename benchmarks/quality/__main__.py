"""The leaderboard: data sets x methods x folds under one protocol, each cell measured once.

    python -m benchmarks.quality --data DIR

What was measured before, from the same data by the same code with as much as it had use for, is
kept; a run that was cut off goes on. --any-code keeps what older code has measured as well. --table
writes the tables and plots from what is there, and measures nothing. Example of a data set of your
own: --sets my_shop.toml, its Schema file; all that is found about it goes to my_shop-leaderboard/
beside it.
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
from benchmarks.quality.shops import Shop, known_shops, shop_of, sources_of
from benchmarks.quality.table import ESSENTIAL, generated_part, write_leaderboard
from benchmarks.quality.work import FOLDS, Task, Worker, method_names, neural_names
from firstedge.graph.errors import FirstedgeError, SettingsError

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Measure what is missing, then write the tables if nothing failed."""
    arguments = sys.argv[1:]
    args = parse(arguments)
    if args.one:
        failed = measure_here(args)
    else:
        failed = check(args) or ([] if args.table else measure(args, arguments))
        failed = failed or write_tables(args)
    for line in failed:
        print(line if args.one else f"failed: {line}", file=sys.stderr)
    sys.exit(1 if failed else 0)


def parse(arguments: Sequence[str]) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, help="a folder with amazon-beauty/, gowalla/ and ml-1m/")
    add("--sets", nargs="+", default=list(known_shops()), help="data sets, or paths of Schemas")
    add("--methods", nargs="+", choices=method_names(), default=list(method_names()))
    add("--folds", type=int, default=1, choices=range(1, FOLDS + 1), help="measured; first tunes")
    add("--fold", type=int, help="only this one")
    add("--trials", type=int, default=20, help="of a method on a data set, at most")
    add("--minutes", type=float, default=30.0, help="CPU minutes of the same, at most")
    add("--users", type=int, default=1500, help="test users of a fold, at most")
    add("--any-code", action="store_true", help="keep cells that other code computed, too")
    add("--jobs", type=int, default=os.cpu_count() or 1, help="processes at a time, a core each")
    add("--results", type=Path, help="where cells and, without --docs, the tables are kept")
    add("--docs", type=Path, help="where the page and plots of the known sets are written")
    add("--table", action="store_true", help="write the tables from what is there, of all folds")
    add("--one", action="store_true", help="in this process, without writing tables")
    return parser.parse_args(arguments)


def results_of(shop: Shop, given: Path | None) -> Path:
    """Where a data set's cells are kept, a user's own apart from the known ones.

    Args:
        shop: Which.
        given: The folder given by --results.
    """
    if shop.own:
        return (given or shop.schema.parent) / f"{shop.name}-leaderboard"
    return given or RESULTS


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
                        results=results_of(shop_of(name), args.results),
                    )


def check(args: argparse.Namespace) -> list[str]:
    """What stands against the run: data sets and files that are not there."""
    failed, homes = [], set()
    for name in args.sets:
        try:
            shop = shop_of(name)
            home = results_of(shop, args.results) / shop.name
            if home in homes:
                raise SettingsError(f"two of --sets would be kept in {home}: measure one at a time")
            homes.add(home)
            if not args.table:
                sources_of(shop, args.data)
        except (FirstedgeError, OSError, subprocess.CalledProcessError) as error:
            failed.append(str(error))
    return failed


def measure_here(args: argparse.Namespace) -> list[str]:
    """Run every task in this process.

    Returns:
        What went wrong.
    """
    try:
        for task in tasks_of(args):
            Worker(task, lambda line: print(line, flush=True)).run()
    except (FirstedgeError, FileNotFoundError) as error:
        return [str(error)]
    return []


def measure(args: argparse.Namespace, arguments: Sequence[str]) -> list[str]:
    """Run every task in a process of its own; the first fold tunes for the others.

    Args:
        args: What to do.
        arguments: The same as given, for the processes.

    Returns:
        What could not be done.
    """
    tasks = list(tasks_of(args))
    waves = [[t for t in tasks if t.fold == 0], [t for t in tasks if t.fold]]
    failed = []
    for wave in waves:
        with ThreadPoolExecutor(args.jobs) as pool:
            failed += [line for line in pool.map(lambda t: _run(t, arguments), wave) if line]
    return failed


def _run(task: Task, arguments: Sequence[str]) -> str:
    """What went wrong, "" if nothing did."""
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.quality", *arguments, "--one"]
    command += ["--sets", task.shop, "--fold", str(task.fold), "--methods", *task.methods]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, env=environment, stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode == 0:
        return ""
    said = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
    return f"{task.shop}, fold {task.fold}: {said[-1]}"


def write_tables(args: argparse.Namespace) -> list[str]:
    """One page of all known sets that have cells, and one of each of the user's own, also printed.

    Returns:
        What cannot be compared yet, if tables were all that was asked.
    """
    shops, missing = [shop_of(name) for name in args.sets], []
    boards = []
    if not all(shop.own for shop in shops):
        results = args.results or RESULTS
        known = [name for name in known_shops() if (results / name).is_dir()]
        boards.append((results, known, args.docs or args.results or ROOT / "docs"))
    for shop in shops:
        if shop.own:
            home = results_of(shop, args.results)
            boards.append((home, [shop.name], home))
    for results, names, docs in boards:
        written = write_leaderboard(results, names, docs)
        if not written:
            missing.append(f"no table of {results}: it takes {', '.join(ESSENTIAL)} of one round")
        elif docs == results:
            print(generated_part(written[-1]))
        print(*written, sep="\n")
    if args.table:
        return missing
    for line in missing:
        print(line)
    return []


if __name__ == "__main__":
    main()
