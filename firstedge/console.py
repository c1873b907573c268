"""What the command line prints: answers on stdout, progress and errors on stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.progress import TimeRemainingColumn as TimeColumn
from rich.table import Table

from firstedge.graph.errors import FirstedgeError

if TYPE_CHECKING:
    from firstedge.loaders.job import Progress as ImportStep


def answer(data: Mapping[str, Any], view: RenderableType, as_json: bool) -> None:
    """Print an answer: as one JSON object, or for people."""
    if as_json:
        print(json.dumps(data, ensure_ascii=False))
    else:
        Console(highlight=False, soft_wrap=not sys.stdout.isatty()).print(view)


def say(line: str) -> None:
    """Print a line about what is going on."""
    print(line, file=sys.stderr)


def complain(error: FirstedgeError, as_json: bool) -> None:
    """Print an error: its text, or one JSON object."""
    if as_json:
        data = {"error": {"type": type(error).__name__, "message": str(error)}}
        print(json.dumps(data, ensure_ascii=False), file=sys.stderr)
    else:
        print(f"firstedge: {error}", file=sys.stderr)


@contextmanager
def import_progress(quiet: bool) -> Iterator[Callable[[ImportStep], None]]:
    """A bar for each file of an import, on a terminal; gives what takes the steps."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeColumn())
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as progress:

        def take(step: ImportStep) -> None:
            if step.name not in bars:
                bars[step.name] = progress.add_task(step.name, total=1.0)
            label = f"{step.name}: {step.rows:,} rows"
            progress.update(bars[step.name], completed=step.done, description=label)

        yield take


@contextmanager
def read_progress(total: int, quiet: bool) -> Iterator[Callable[[int], None]]:
    """A bar for the events of a store, on a terminal; gives what takes their number so far."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as progress:
        bar = progress.add_task(f"reading {total:,} events", total=total)
        yield lambda number: progress.update(bar, completed=number)


@contextmanager
def step_progress(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A bar for each kind of work, on a terminal; gives what takes (what, done, total)."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeColumn())
    bars: dict[str, TaskID] = {}
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as progress:

        def take(what: str, done: int, total: int) -> None:
            if what not in bars:
                bars[what] = progress.add_task(what, total=float(max(total, 1)))
            progress.update(bars[what], completed=done, description=f"{what}: {done:,}")

        yield take


def two_columns(rows: Iterable[tuple[str, object]]) -> Table:
    """Names and values."""
    table = Table.grid(padding=(0, 2))
    for name, value in rows:
        table.add_row(name, f"{value:,}" if isinstance(value, int) else str(value))
    return table
