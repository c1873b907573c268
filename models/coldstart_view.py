"""The cold-start report as Markdown, in a terminal, and as a plot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table as RichTable

from firstedge.graph.errors import MissingDependency
from firstedge.models.coldstart_report import (
    ColdStartReport,
    Line,
    Table,
    bounds,
    percent,
    sentence_of,
)
from firstedge.models.protocol import ALL

# How a method's curve is drawn, by role.
_STYLES: dict[str, dict[str, Any]] = {
    "ours": {"color": "black", "linewidth": 2.5, "marker": "o", "zorder": 3},
    "part": {"color": "black", "linewidth": 1.0, "linestyle": ":"},
    "blend": {"linewidth": 1.8, "linestyle": "--", "marker": "s", "markersize": 4},
    "single": {"linewidth": 1.2, "marker": "o", "markersize": 3},
}

Cell = Callable[[Line, int], str]


@dataclass(frozen=True)
class Grid:
    """A table of texts.

    Attributes:
        title: Above it.
        header: Column names; the first column is the methods'.
        rows: Cells, as many as the header has.
        bold: Row whose method is ours.
    """

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    bold: int


def markdown(report: ColdStartReport) -> str:
    """All tables, each with its sentence, and the warnings."""
    parts = []
    for table in report.tables:
        parts += [f"## {heading(table)}"]
        parts += [_markdown_grid(grid) for grid in grids(table)]
        parts += [f"Left out: {name} ({reason})." for name, reason in table.left_out.items()]
        parts += [f"**{_sentence(table)}**"]
    parts += [f"Warning: {text}." for text in report.warnings]
    parts += [f"In short: {report.sentence}."]
    return "\n\n".join(parts) + "\n"


def renderable(report: ColdStartReport) -> RenderableType:
    """For `rich.print`: figures, differences and a sentence for each table, and the warnings."""
    parts: list[RenderableType] = []
    for table in report.tables:
        parts.append(f"[bold]{heading(table)}[/bold]")
        parts += [_rich_grid(grid) for grid in short_grids(table)]
        parts += [f"left out: {name} ({reason})" for name, reason in table.left_out.items()]
        parts += [f"[bold]{_sentence(table)}[/bold]", ""]
    parts += [f"[yellow]warning:[/yellow] {text}" for text in report.warnings]
    return Group(*parts, f"[bold]In short: {report.sentence}.[/bold]")


def heading(table: Table) -> str:
    """A table's title with what it rests on."""
    rounds = f", {table.rounds} rounds pooled" if table.rounds > 1 else ""
    return f"{table.title}: {table.users:,} test users{rounds}"


def grids(table: Table) -> Iterator[Grid]:
    """Figures, our leads with their intervals, and the budgets: all that the report holds."""
    k = table.k
    yield _grid(table, f"NDCG@{k}", _figure("ndcg"))
    yield _grid(table, f"firstedge's NDCG@{k} against", _lead("ndcg_lead"), with_ours=False)
    yield _grid(table, f"Recall@{k}", _figure("recall"))
    yield _grid(table, f"firstedge's Recall@{k} against", _lead("recall_lead"), with_ours=False)
    yield _grid(table, "Catalogue coverage", lambda line, at: percent(line.coverage[at], ""))
    yield _grid(table, "Mean popularity", lambda line, at: percent(line.popularity[at], ""))
    yield from _segments(table)
    yield _budgets(table)


def short_grids(table: Table) -> Iterator[Grid]:
    """What fits a terminal: NDCG, and by how much ours leads."""
    yield _grid(table, f"NDCG@{table.k}", lambda line, at: _decimal(line.ndcg[at].mean))
    title = f"firstedge's NDCG@{table.k} against, in % (in brackets: could be chance)"
    yield _grid(table, title, _short_lead, with_ours=False)
    yield from _segments(table)


def plot(report: ColdStartReport, path: Path) -> None:
    """Draw NDCG over k with its intervals, one panel a table, and write it to a file.

    Args:
        report: What to draw.
        path: Its ending (.png, .svg, .pdf) says the format.

    Raises:
        MissingDependency: If matplotlib is not installed.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependency("matplotlib", "the plot", "train") from None
    figure = Figure(figsize=(7.0 * len(report.tables), 4.8), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(report.tables), squeeze=False)[0]
    for panel, table in zip(panels, report.tables, strict=True):
        at = [row for row, label in enumerate(table.labels) if label != ALL]
        for line in table.lines:
            middle = [line.ndcg[row].mean for row in at]
            low, high = ([getattr(line.ndcg[row], end) for row in at] for end in ("low", "high"))
            ours = line.role == "ours"
            drawn = panel.plot(range(len(at)), middle, label=line.name, **_STYLES[line.role])
            if ours or line in (table.best_single, table.blend):
                color = drawn[0].get_color()
                panel.fill_between(range(len(at)), low, high, alpha=0.15, color=color)
        panel.set_xticks(range(len(at)), [table.labels[row] for row in at])
        panel.set_xlabel("given items (k)")
        panel.set_ylabel(f"NDCG@{table.k}")
        panel.set_title(heading(table))
        panel.grid(visible=True, alpha=0.3)
        panel.legend(fontsize="x-small", ncols=2)
    figure.savefig(path, dpi=120)


def _grid(table: Table, title: str, cell: Cell, *, with_ours: bool = True) -> Grid:
    lines = [line for line in table.lines if with_ours or line.role != "ours"]
    header = ("method", *(label if label == ALL else f"k={label}" for label in table.labels))
    rows = [(line.name, *(cell(line, at) for at in range(len(table.labels)))) for line in lines]
    bold = next((row for row, line in enumerate(lines) if line.role == "ours"), -1)
    return Grid(title, header, tuple(rows), bold)


def _segments(table: Table) -> Iterator[Grid]:
    """Groups of users, if there are any: who is served, and who is not."""
    if not table.segments:
        return
    against = f"against {table.best_single.name}"
    header = ("customers", "users", f"NDCG@{table.k}", against)
    rows = []
    for one in table.segments:
        lead = f"{percent(one.lead.mean)} ({bounds(one.lead)})"
        figure = f"{_decimal(one.ndcg.mean)} ±{_decimal((one.ndcg.high - one.ndcg.low) / 2)}"
        rows.append((f"{one.field}: {one.value}", f"{one.users:,}", figure, lead))
    title = f"By group of customers, k = {table.telling_label}"
    yield Grid(title, header, tuple(rows), -1)


def _budgets(table: Table) -> Grid:
    header = ("method", "trials", "seconds", "validation NDCG", "chosen in the first round")
    rows = []
    for line in table.lines:
        chosen = ", ".join(f"{name} {_plain(value)}" for name, value in line.options[0].items())
        best = " (best single)" if line == table.best_single else ""
        objective = _decimal(line.objective)
        rows.append((line.name + best, str(line.trials), f"{line.seconds:.0f}", objective, chosen))
    return Grid("Budgets, and what validation users chose", header, tuple(rows), -1)


def _figure(name: str) -> Cell:
    def cell(line: Line, at: int) -> str:
        figure = getattr(line, name)[at]
        return f"{_decimal(figure.mean)} ±{_decimal((figure.high - figure.low) / 2)}"

    return cell


def _lead(name: str) -> Cell:
    def cell(line: Line, at: int) -> str:
        lead = getattr(line, name)[at]
        return f"{percent(lead.mean)} ({bounds(lead)})"

    return cell


def _short_lead(line: Line, at: int) -> str:
    lead = line.ndcg_lead[at]
    text = percent(lead.mean).removesuffix(" %")
    return f"({text})" if lead.low <= 0 <= lead.high else text


def _sentence(table: Table) -> str:
    text = sentence_of(table)
    return f"{text[0].upper()}{text[1:]}."


def _decimal(value: float) -> str:
    return f"{value:.3f}".removeprefix("0") if value < 1 else f"{value:.3f}"


def _plain(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _markdown_grid(grid: Grid) -> str:
    rule = "|---" + "|--:" * (len(grid.header) - 1) + "|"
    lines = [f"### {grid.title}", "", _row(grid.header), rule]
    for number, cells in enumerate(grid.rows):
        lines.append(_row([f"**{c}**" for c in cells] if number == grid.bold else cells))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _rich_grid(grid: Grid) -> RichTable:
    drawn = RichTable(title=grid.title, title_justify="left", box=box.SIMPLE, padding=(0, 1, 0, 0))
    for number, name in enumerate(grid.header):
        drawn.add_column(name, justify="right" if number else "left", no_wrap=True)
    for number, cells in enumerate(grid.rows):
        drawn.add_row(*cells, style="bold" if number == grid.bold else "")
    return drawn
