"""The cold-start report as Markdown, in a terminal, and as a plot."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table as RichTable

from firstedge.graph.errors import MissingDependency, SettingsError
from firstedge.models.coldstart_report import (
    ColdStartReport,
    Line,
    Table,
    bounds,
    percent,
    sentence_of,
)
from firstedge.models.comparison import EMBEDDING, OURS
from firstedge.models.metrics import Interval
from firstedge.models.protocol import ALL

# How a method's curve is drawn, by role.
_STYLES: dict[str, dict[str, Any]] = {
    "ours": {"color": "black", "linewidth": 2.5, "marker": "o", "zorder": 3},
    "part": {"color": "black", "linewidth": 1.0, "linestyle": ":"},
    "blend": {"linewidth": 1.8, "linestyle": "--", "markersize": 4},
    "single": {"linewidth": 1.2, "markersize": 3},
}

# Endings of the files that a plot can be written to.
PLOTS = (".png", ".svg", ".pdf")
# Colours of matplotlib's cycle; methods beyond them have another marker.
_COLORS = 10
_MARKERS = "o^v"

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
    parts = ["\n".join(legend(report.tables[0]))]
    for table in report.tables:
        parts += [f"## {heading(table)}"]
        parts += [_markdown_grid(grid) for grid in grids(table)]
        parts += [_capital(line) for line in _notes(table)]
        parts += [f"Left out: {name} ({reason})." for name, reason in table.left_out.items()]
        parts += [f"**{_sentence(table)}**"]
    parts += [f"Warning: {text}." for text in report.warnings]
    parts += [f"In short: {report.sentence}."]
    return "\n\n".join(parts) + "\n"


def renderable(report: ColdStartReport) -> RenderableType:
    """For `rich.print`: figures, differences and a sentence for each table, and the warnings."""
    parts: list[RenderableType] = [f"[dim]{line}[/dim]" for line in legend(report.tables[0])]
    for table in report.tables:
        parts += ["", f"[bold]{heading(table)}[/bold]"]
        parts += [_rich_grid(grid) for grid in short_grids(table)]
        parts += [escape(line) for line in _notes(table)]
        parts += [f"left out: {name} ({reason})" for name, reason in table.left_out.items()]
        parts += [f"[bold]{_sentence(table)}[/bold]"]
    parts += ["", *(f"[yellow]warning:[/yellow] {escape(text)}" for text in report.warnings)]
    return Group(*parts, f"[bold]In short: {report.sentence}.[/bold]")


def heading(table: Table) -> str:
    """A table's title with what it rests on."""
    rounds = f", {table.rounds} rounds pooled" if table.rounds > 1 else ""
    return f"{table.title}: {table.users:,} test users{rounds}"


def legend(table: Table) -> tuple[str, str]:
    """What the words and figures of the tables mean, in two lines."""
    k = table.k
    return (
        f"k: distinct items known of a customer ({ALL}: all but the last). NDCG@{k}: how far up a "
        f"list of {k} their later items are, 0 to 1; Recall@{k}: the share of them that is on it.",
        f"{EMBEDDING}: {OURS}'s vectors without the other terms of its score. "
        "n/a: no difference can be given, for the other method found nothing.",
    )


def _notes(table: Table) -> Iterator[str]:
    """What was left out of the groups, and how much was tried of each method."""
    if table.unshown:
        yield f"not shown: {'; '.join(table.unshown)}"
    by = "" if table.validation_users is None else f"{table.validation_users:,} "
    most = max(line.trials for line in table.lines if line.role in ("single", "blend"))
    plural = "s" if most > 1 else ""
    yield (
        f"chosen by {by}validation users: the best of up to {most} fit{plural} of each baseline, "
        f"and of {table.ours.trials} combinations of {OURS}'s terms"
    )


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
    """What fits a terminal: NDCG, by how much ours leads, and what the sentence speaks of."""
    yield _grid(table, f"NDCG@{table.k}", lambda line, at: _decimal(line.ndcg[at].mean))
    title = f"firstedge's NDCG@{table.k} against, in % (in brackets: could be chance)"
    yield _grid(table, title, _short_lead, with_ours=False)
    yield _spoken_of(table)
    yield from _segments(table)


def check_plot(path: Path) -> None:
    """Find out whether `plot` can write to a file of this name, before there is a report.

    Raises:
        SettingsError: If its ending names no format.
        MissingDependency: If matplotlib is not installed.
    """
    if path.suffix.lower() not in PLOTS:
        raise SettingsError(
            f"cannot draw {path}: expected a name that ends with {', '.join(PLOTS)}, "
            f"got {path.suffix or 'no ending'}"
        )
    _matplotlib()


def plot(report: ColdStartReport, path: Path) -> None:
    """Draw NDCG over k with its intervals, one panel a table, and write it to a file.

    Args:
        report: What to draw.
        path: Its ending (.png, .svg, .pdf) says the format.

    Raises:
        SettingsError: If its ending is another one.
        MissingDependency: If matplotlib is not installed.
    """
    check_plot(path)
    make_figure, make_canvas = _matplotlib()
    figure = make_figure(figsize=(6.2 * len(report.tables) + 2.2, 4.8), layout="constrained")
    make_canvas(figure)
    panels = figure.subplots(1, len(report.tables), squeeze=False)[0]
    styles = _styles_of(report)
    for panel, table in zip(panels, report.tables, strict=True):
        at = [row for row, label in enumerate(table.labels) if label != ALL]
        for line in table.lines:
            middle = [line.ndcg[row].mean for row in at]
            low, high = ([getattr(line.ndcg[row], end) for row in at] for end in ("low", "high"))
            ours = line.role == "ours"
            drawn = panel.plot(range(len(at)), middle, label=line.name, **styles[line.name])
            if ours or line in (table.best_single, table.blend):
                color = drawn[0].get_color()
                panel.fill_between(range(len(at)), low, high, alpha=0.15, color=color)
        panel.set_xticks(range(len(at)), [table.labels[row] for row in at])
        panel.set_xlabel("given items (k)")
        panel.set_ylabel(f"NDCG@{table.k}")
        panel.set_title(heading(table))
        panel.grid(visible=True, alpha=0.3)
    # Beside the panels, for inside it would cover curves; one for all, as colours are by method.
    curves = {curve.get_label(): curve for panel in panels for curve in panel.get_lines()}
    figure.legend(handles=list(curves.values()), loc="outside right upper", fontsize="small")
    figure.savefig(path, dpi=120)


def _matplotlib() -> tuple[Any, Any]:
    """The classes of a figure and of what it is drawn on, without a display."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError:
        raise MissingDependency("matplotlib", "the plot", "train") from None
    return Figure, FigureCanvasAgg


def _styles_of(report: ColdStartReport) -> dict[str, dict[str, Any]]:
    """How each method is drawn, the same in every panel."""
    roles = {line.name: line.role for table in report.tables for line in table.lines}
    found = {name: dict(_STYLES[role]) for name, role in roles.items()}
    others = [style for style in found.values() if "color" not in style]
    for number, style in enumerate(others):
        style["color"] = f"C{number % _COLORS}"
        style["marker"] = _MARKERS[number // _COLORS % len(_MARKERS)]
    return found


def _grid(table: Table, title: str, cell: Cell, *, with_ours: bool = True) -> Grid:
    lines = [line for line in table.lines if with_ours or line.role != "ours"]
    header = ("method", *(label if label == ALL else f"k={label}" for label in table.labels))
    rows = [(line.name, *(cell(line, at) for at in range(len(table.labels)))) for line in lines]
    bold = next((row for row, line in enumerate(lines) if line.role == "ours"), -1)
    return Grid(title, header, tuple(rows), bold)


def _spoken_of(table: Table) -> Grid:
    """Recall of the methods that the sentence names, and our leads, at the ks that it names."""
    lines = {x.name: x for x in (table.ours, table.popularity, table.best_single, table.blend)}
    labels = dict.fromkeys(x for x in ("0", table.telling_label) if x in table.labels)
    header, rows = ["method"], []
    for label in labels:
        header += [f"k={label}", "lead in %"]
    for line in lines.values():
        cells = [line.name]
        for label in labels:
            at = table.labels.index(label)
            lead = "" if line.role == "ours" else _bare(_lead_of(line.recall_lead[at]))
            cells += [_decimal(line.recall[at].mean), lead]
        rows.append(tuple(cells))
    title = f"Recall@{table.k}, of which the sentence below speaks, and {OURS}'s lead"
    return Grid(title, tuple(header), tuple(rows), 0)


def _segments(table: Table) -> Iterator[Grid]:
    """Groups of users, if there are any: who is served, and who is not."""
    if not table.segments:
        return
    against = f"against {table.best_single.name}"
    header = ("customers", "users", f"NDCG@{table.k}", against)
    rows = []
    for one in table.segments:
        lead = _lead_of(one.lead)
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
        return _lead_of(getattr(line, name)[at])

    return cell


def _lead_of(lead: Interval) -> str:
    return f"{percent(lead.mean)} ({bounds(lead)})"


def _bare(text: str) -> str:
    return text.replace(" %", "")


def _short_lead(line: Line, at: int) -> str:
    lead = line.ndcg_lead[at]
    text = _bare(percent(lead.mean))
    return f"({text})" if lead.low <= 0 <= lead.high else text


def _sentence(table: Table) -> str:
    return _capital(sentence_of(table))


def _capital(text: str) -> str:
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
        drawn.add_row(*map(escape, cells), style="bold" if number == grid.bold else "")
    return drawn
