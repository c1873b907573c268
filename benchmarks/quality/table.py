"""The leaderboard's cells as one page, one JSON file and a plot for each data set."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from benchmarks.quality.cells import Cell, read_cell
from benchmarks.quality.work import FOLDS, method_names, read_left_out
from firstedge.models.baselines import Popularity
from firstedge.models.coldstart_report import (
    ColdStartReport,
    Line,
    Pool,
    Table,
    bounds,
    build_table,
    percent,
    sentence_of,
    warnings_of,
)
from firstedge.models.coldstart_view import plot
from firstedge.models.comparison import EMBEDDING, OURS
from firstedge.models.metrics import Interval, relative_differences
from firstedge.models.neighbours import Blend

BEGIN, END = "<!-- leaderboard -->", "<!-- /leaderboard -->"
K = 20
DIGITS = 9  # of figures in JSON
# Without these cells of one round there is nothing to compare.
ESSENTIAL = (OURS, Popularity.name, Blend.name)


@dataclass(frozen=True)
class Standing:
    """One data set's part of the leaderboard.

    Attributes:
        name: Of the data set.
        table: Figures with intervals.
        cells: Of the first fold, by method.
        unfinished: Methods without a cell that fits.
        against: Our lead over the best of all others, the best single method and the best blend,
            each by validation users: a name, and intervals by k and for the mean over k >= 1.
    """

    name: str
    table: Table
    cells: dict[str, Cell]
    unfinished: tuple[str, ...]
    against: dict[str, tuple[str, tuple[Interval, ...]]]


def write_leaderboard(results: Path, names: Sequence[str], docs: Path) -> list[Path]:
    """Write leaderboard.json beside the cells, and the page and plots in the docs.

    Every fold that has cells is pooled. The plot of a data set is drawn again only if its figures
    are others than in leaderboard.json.

    Args:
        results: Where cells are kept.
        names: Of the data sets.
        docs: The folder with leaderboard.md, whose marked part is replaced.

    Returns:
        What belongs to the leaderboard, the page last; nothing is written and returned if no data
        set has the cells that a table takes.
    """
    found = {name: stand(results, name) for name in names}
    standings = [one for one in found.values() if one is not None]
    if not standings:
        return []
    figures, page, plots = results / "leaderboard.json", docs / "leaderboard.md", []
    before = json.loads(figures.read_text("utf-8")) if figures.exists() else {}
    text = json.dumps({one.name: as_dict(one) for one in standings}, indent=1) + "\n"
    value = json.loads(text)
    (docs / "leaderboard").mkdir(parents=True, exist_ok=True)
    for one in standings:
        path = docs / "leaderboard" / f"{one.name}.svg"
        if value[one.name] != before.get(one.name) or not path.exists():
            plot(ColdStartReport((one.table,), "", (), {}), path)
        plots.append(path)
    figures.write_text(text, "utf-8")
    head, _, tail = _parts(page.read_text("utf-8") if page.exists() else f"{BEGIN}\n{END}\n")
    generated = markdown(standings, [name for name, one in found.items() if one is None])
    page.write_text(f"{head}{BEGIN}\n{generated}{END}{tail}", "utf-8")
    return [figures, *plots, page]


def generated_part(page: Path) -> str:
    """What `write_leaderboard` has written in a page."""
    return _parts(page.read_text("utf-8"))[1]


def _parts(text: str) -> tuple[str, str, str]:
    """Before, between and behind the marks."""
    head, _, rest = text.partition(BEGIN)
    generated, _, tail = rest.partition(END)
    return head, generated, tail


def stand(results: Path, name: str) -> Standing | None:
    """Pool a data set's folds as far as ours was measured; None if nothing can be compared."""
    pooled: list[dict[str, Cell]] = []
    for fold in range(FOLDS):
        found = {
            method: cell
            for method in (*method_names(), EMBEDDING)
            if (cell := read_cell(name, method, fold, results)) is not None
        }
        own = found[OURS].round if OURS in found else None
        found = {method: cell for method, cell in found.items() if cell.round == own}
        if all(method in found for method in ESSENTIAL):
            pooled.append(found)
    if not pooled:
        return None
    everywhere = [m for m in (OURS, EMBEDDING, *method_names()) if all(m in f for f in pooled)]
    everywhere = list(dict.fromkeys(everywhere))
    left_out = read_left_out(results, name)
    rounds = [[fold[m].measured() for m in everywhere] for fold in pooled]
    table = build_table(Pool(name, rounds, left_out, K))
    unfinished = tuple(m for m in method_names() if m not in everywhere and m not in left_out)
    return Standing(name, table, pooled[0], unfinished, _against(table, pooled))


def _against(
    table: Table, pooled: Sequence[dict[str, Cell]]
) -> dict[str, tuple[str, tuple[Interval, ...]]]:
    others = [line for line in table.lines if line.role in ("single", "blend")]
    singles = [line for line in others if line.role == "single"]
    found = {}
    for title, lines in (("best of all", others), ("best single", singles), ("blend", [])):
        line = max(lines, key=lambda x: x.objective) if lines else table.blend
        ours = _mean_over_k(pooled, OURS)
        lead = relative_differences(ours, _mean_over_k(pooled, line.name))
        found[title] = (line.name, (*line.ndcg_lead, *lead))
    return found


def _mean_over_k(pooled: Sequence[dict[str, Cell]], method: str) -> np.ndarray:
    """float64[1, users]: each user's NDCG, mean over k >= 1."""
    tests = [fold[method].measured().test for fold in pooled]
    given = [label != "0" for label in tests[0].labels]
    number = max(1, sum(given))
    return np.concatenate([test.ndcg[given].sum(0) / number for test in tests])[None]


def as_dict(one: Standing) -> dict[str, Any]:
    """JSON values, rounded so that they are the same on every machine."""
    against = {
        title: {"method": name, "ndcg_lead": [vars(lead) for lead in leads]}
        for title, (name, leads) in one.against.items()
    }
    value = {
        **one.table.as_dict(),
        "dates": {method: cell.date for method, cell in one.cells.items()},
        "budgets": {method: dict(cell.budget) for method, cell in one.cells.items()},
        "cut": [method for method, cell in one.cells.items() if cell.cut],
        "unfinished": list(one.unfinished),
        "against": against,
    }
    return cast(dict[str, Any], _rounded(value))


def _rounded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(part) for part in value]
    return round(value, DIGITS) if isinstance(value, float) else value


def markdown(standings: Sequence[Standing], missing: Sequence[str]) -> str:
    """The page's generated part."""
    parts = [_summary(standings)]
    if len(standings) > 1:
        parts.append(_ratios(standings))
    if missing:
        parts.append(f"Not measured yet: {', '.join(missing)}.")
    parts += [_section(one) for one in standings]
    return "\n\n".join(parts) + "\n"


def _summary(standings: Sequence[Standing]) -> str:
    labels = max((one.table.labels for one in standings), key=len)
    lines = [
        "| data set | against | " + " | ".join(f"k={k}" for k in labels) + " | mean over k ≥ 1 |"
    ]
    lines.append("|---|---|" + "--:|" * (len(labels) + 1))
    for one in standings:
        for title, (name, leads) in one.against.items():
            if title == "blend" and one.against["best of all"][0] == name:
                continue
            if title == "best single" and one.against["best of all"][0] == name:
                continue
            by_label = dict(zip((*one.table.labels, "mean"), leads, strict=True))
            cells = [_lead(by_label[k]) if k in by_label else "" for k in (*labels, "mean")]
            lines.append(f"| {one.name} | {title}: {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _ratios(standings: Sequence[Standing]) -> str:
    """What the goals are about: ratios of mean NDCG over k >= 1."""

    def ratio(title: str) -> str:
        return f"{np.mean([1 + one.against[title][1][-1].mean for one in standings]):.3f}"

    return (
        f"Mean over the {len(standings)} data sets of the ratio of our mean NDCG over k ≥ 1 to "
        f"that of the best single method: {ratio('best single')}; to that of the best blend: "
        f"{ratio('blend')}."
    )


def _lead(lead: Interval) -> str:
    text = f"{percent(lead.mean)} ({bounds(lead)})"
    return f"**{text}**" if lead.high < 0 else text


def _section(one: Standing) -> str:
    table = one.table
    rounds = f", {table.rounds} folds pooled" if table.rounds > 1 else ", one fold of ten"
    parts = [f"## {one.name}\n\n{table.users:,} test users{rounds}; NDCG@{K}, 95 % intervals."]
    header = ["method", *(f"k={k}" for k in table.labels), "trials", "CPU s", "budget"]
    rows = ["| " + " | ".join(header) + " |", "|---|" + "--:|" * (len(header) - 1)]
    rows += [_row(line, one) for line in table.lines]
    parts.append("\n".join(rows))
    parts.append(f"![NDCG@{K} by the number of given items](leaderboard/{one.name}.svg)")
    if any(cell.cut for cell in one.cells.values()):
        parts.append("\\* its best fit was ended by the budget, not by its own stopping rule.")
    parts += [f"Left out: {name} ({reason})." for name, reason in table.left_out.items()]
    if one.unfinished:
        parts.append(f"Unfinished, no budget was spent on them: {'; '.join(one.unfinished)}.")
    parts.append(_dates_of(one))
    text = sentence_of(table)
    parts.append(f"{text[0].upper()}{text[1:]}.")
    parts += [f"Warning: {warning}." for warning in warnings_of(table)]
    return "\n\n".join(parts)


def _row(line: Line, one: Standing) -> str:
    figures = [f"{_decimal(x.mean)} ±{_decimal((x.high - x.low) / 2)}" for x in line.ndcg]
    cell = one.cells[line.name]
    cells = [line.name + (" \\*" if cell.cut else ""), *figures]
    cells += [str(line.trials), f"{line.seconds:.0f}", _budget_of(cell)]
    if line.role == "ours":
        cells = [f"**{text}**" if text else "" for text in cells]
    return "| " + " | ".join(cells) + " |"


def _budget_of(cell: Cell) -> str:
    if not cell.budget:
        return ""
    trials, minutes = cell.budget["trials"], cell.budget["minutes"]
    return f"{trials} fit{'s' if trials > 1 else ''} or {minutes:g} min"


def _dates_of(one: Standing) -> str:
    dates = sorted({cell.date for cell in one.cells.values()})
    when = dates[0] if len(dates) == 1 else f"{dates[0]} to {dates[-1]}"
    return f"Budgets are in trials and CPU minutes, whichever came first. Measured {when}."


def _decimal(value: float) -> str:
    return f"{value:.3f}".removeprefix("0") if value < 1 else f"{value:.3f}"
