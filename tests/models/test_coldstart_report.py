from __future__ import annotations

import json
import math
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from rich.console import Console

from firstedge.graph.errors import SettingsError
from firstedge.models.coldstart_report import (
    ColdStartReport,
    Pool,
    Table,
    build_table,
    percent,
    sentence_of,
    warnings_of,
)
from firstedge.models.coldstart_view import check_plot, markdown, plot, renderable
from firstedge.models.comparison import OURS, Measured, Role
from firstedge.models.metrics import Interval
from firstedge.models.protocol import Evaluation

LABELS = ("0", "1", "3", "all")
USERS = np.random.default_rng(0).uniform(0.2, 0.4, 300)


def measured(
    name: str, role: Role, level: float | list[float], objective: float = 0.0, noise: float = 0.0
) -> Measured:
    """Every metric is the user's own level times ``level``, one for each label."""
    factor = np.broadcast_to(np.asarray(level, float), (4,))[:, None]
    jitter = 1 + noise * np.random.default_rng(len(name)).normal(size=(4, len(USERS)))
    values = factor * USERS * jitter
    test = Evaluation(LABELS, values, values, values, np.full(4, 0.5))
    return Measured(name, role, {"ridge": 12.345}, objective, 5, 1.5, test)


def round_of(ours: list[float], noise: float = 0.0) -> list[Measured]:
    return [
        measured(OURS, "ours", ours, 0.3),
        measured("popularity", "single", 1.0, 0.1),
        measured("item-kNN", "single", 1.0, 0.2, noise),
        measured("blend of closed forms", "blend", 1.1, 0.25, noise),
    ]


def table_of(ours: list[float], noise: float = 0.0, rounds: int = 1) -> Table:
    left_out = {"text cosine": "the shop has no texts"}
    measured_rounds = [round_of(ours, noise) for _ in range(rounds)]
    fields = [{"country": np.repeat(["France", "Spain", "Malta"], [200, 80, 20])}] * rounds
    return build_table(Pool("New customers", measured_rounds, left_out, 20, fields, 150), draws=200)


GOOD = table_of([1.0, 1.2, 1.27, 1.0])


def test_figures() -> None:
    ours, _, knn, _ = GOOD.lines
    assert [interval.mean for interval in ours.ndcg] == pytest.approx(
        [level * USERS.mean() for level in (1.0, 1.2, 1.27, 1.0)]
    )
    assert ours.ndcg[0].low < ours.ndcg[0].mean < ours.ndcg[0].high
    leads = [lead.mean for lead in knn.ndcg_lead]
    assert leads == pytest.approx([0.0, 0.2, 0.27, 0.0])
    # Paired: every user is better by the same share, so there is no doubt about it.
    assert (knn.recall_lead[2].low, knn.recall_lead[2].high) == pytest.approx((0.27, 0.27))
    assert knn.coverage == (0.5,) * 4


def test_the_best_is_chosen_on_validation_users() -> None:
    assert GOOD.best_single.name == "item-kNN"
    assert GOOD.blend.name == "blend of closed forms"
    assert GOOD.telling_label == "3"


def test_rounds_are_pooled_by_user() -> None:
    table = table_of([1.0, 1.2, 1.27, 1.0], noise=0.5, rounds=3)
    assert (table.users, table.rounds) == (900, 3)
    knn = table.best_single
    assert knn.seconds == 4.5
    assert len(knn.options) == 3
    one = table_of([1.0, 1.2, 1.27, 1.0], noise=0.5).best_single
    narrower = (one.ndcg[1].high - one.ndcg[1].low) / (knn.ndcg[1].high - knn.ndcg[1].low)
    assert narrower == pytest.approx(math.sqrt(3), rel=0.25)


def test_a_method_that_a_round_lacks_is_not_in_the_table() -> None:
    rounds = [round_of([1.0] * 4), [one for one in round_of([1.0] * 4) if one.name != "item-kNN"]]
    table = build_table(Pool("t", rounds, {}, 20), draws=50)
    assert [line.name for line in table.lines] == [OURS, "popularity", "blend of closed forms"]


def test_good_news() -> None:
    assert sentence_of(GOOD) == (
        "with 3 events firstedge finds 27 % more of what the customer goes on to buy than item-kNN "
        "(+27 % to +27 %); against the blend of closed forms the difference is +15 % "
        "(+15 % to +15 %); at k = 0 it equals popularity"
    )


def test_bad_news_is_told_like_good() -> None:
    assert sentence_of(table_of([0.9, 0.9, 0.8, 1.0])) == (
        "with 3 events firstedge finds 20 % less of what the customer goes on to buy than item-kNN "
        "(-20 % to -20 %); against the blend of closed forms the difference is -27 % "
        "(-27 % to -27 %); at k = 0 it finds 10 % less than popularity"
    )


def lead_of(table: Table, name: str, lead: tuple[float, float, float], label: str = "3") -> Table:
    """The table, but ours leads a method by this in recall: a mean, and from where to where."""
    at = table.labels.index(label)
    lines = []
    for line in table.lines:
        leads = list(line.recall_lead)
        leads[at] = Interval(*lead)
        lines.append(replace(line, recall_lead=tuple(leads)) if line.name == name else line)
    return replace(table, lines=tuple(lines))


@pytest.mark.parametrize(
    ("lead", "told"),
    [
        (
            (0.11, -0.078, 0.34),
            "it cannot be told whether firstedge finds more or less of what the customer goes on "
            "to buy than item-kNN (-7.8 % to +34 %);",
        ),
        (
            (0.01, -0.03, 0.05),
            "firstedge finds about as much of what the customer goes on to buy as item-kNN "
            "(-3.0 % to +5.0 %);",
        ),
        (
            (0.3, 0.02, 0.6),
            "firstedge finds 30 % more of what the customer goes on to buy than item-kNN "
            "(+2.0 % to +60 %);",
        ),
        (
            (math.nan, math.nan, math.nan),
            "it cannot be told whether firstedge finds more or less of what the customer goes on "
            "to buy than item-kNN (n/a to n/a);",
        ),
    ],
)
def test_what_could_be_chance_is_no_news(lead: tuple[float, float, float], told: str) -> None:
    assert sentence_of(lead_of(GOOD, "item-kNN", lead)).startswith(f"with 3 events {told}")


@pytest.mark.parametrize(
    ("lead", "told"),
    [
        ((0.0, 0.0, 0.0), "it equals popularity"),
        ((0.01, -0.03, 0.05), "it finds about as much as popularity"),
        ((0.2, 0.1, 0.3), "it finds 20 % more than popularity"),
        ((0.2, -0.1, 0.5), "it cannot be told apart from popularity (-10 % to +50 %)"),
    ],
)
def test_the_first_answer_of_all(lead: tuple[float, float, float], told: str) -> None:
    assert sentence_of(lead_of(GOOD, "popularity", lead, "0")).endswith(f"; at k = 0 {told}")


def test_too_small_to_tell() -> None:
    assert warnings_of(GOOD) == []
    assert warnings_of(lead_of(GOOD, "item-kNN", (0.0, -0.5, 0.6))) == [
        "New customers: too small to tell: with 300 test users the difference to item-kNN is known "
        "to ±55 % only; more folds or events would tell more"
    ]


def test_few_users_are_warned_of_however_narrow_the_interval() -> None:
    nothing = replace(GOOD, users=40)
    knn = nothing.best_single.recall_lead[2]
    assert knn.low == pytest.approx(knn.high)
    (warning,) = warnings_of(nothing)
    assert warning.startswith("New customers: too few users: of 40 test users, fewer than 100, ")
    assert warnings_of(replace(GOOD, users=100, validation_users=100)) == []
    (warning,) = warnings_of(replace(GOOD, validation_users=12))
    assert warning.startswith("New customers: few validation users: by 12, fewer than 100, every ")


def test_nothing_found_by_anybody() -> None:
    rounds = [[measured(OURS, "ours", 0.0), *round_of([0.0] * 4)[1:2]]]
    rounds[0] += [measured("item-kNN", "single", 0.0, 0.2), measured("b", "blend", 0.0)]
    table = build_table(Pool("t", rounds, {}, 20), draws=50)
    assert "n/a" in sentence_of(table)
    text = json.dumps(ColdStartReport((table,), "s", (), {}).as_dict(), allow_nan=False)
    assert json.loads(text)["tables"][0]["lines"][2]["ndcg_lead"][0]["mean"] is None


@pytest.mark.parametrize(
    ("share", "sign", "text"),
    [
        (0.274, "+", "+27 %"),
        (0.012, "+", "+1.2 %"),
        (-0.27, "+", "-27 %"),
        (0.27, "", "27 %"),
        (0.05, "±", "±5.0 %"),
        (math.nan, "+", "n/a"),
    ],
)
def test_percent(share: float, sign: str, text: str) -> None:
    assert percent(share, sign) == text


@pytest.fixture(scope="module")
def report() -> ColdStartReport:
    tables = (GOOD, table_of([0.9] * 4, rounds=2))
    return ColdStartReport(tables, sentence_of(GOOD), ("look out",), {"folds": 1})


def test_json(report: ColdStartReport) -> None:
    value = json.loads(json.dumps(report.as_dict(), allow_nan=False))
    line = value["tables"][0]["lines"][2]
    assert (line["name"], line["role"], line["trials"]) == ("item-kNN", "single", 5)
    assert line["ndcg_lead"][2]["mean"] == pytest.approx(0.27)
    assert value["tables"][0]["best_single"] == "item-kNN"
    assert value["sentence"] == report.sentence


def test_markdown(report: ColdStartReport) -> None:
    text = markdown(report)
    assert "## New customers: 300 test users\n" in text
    assert "## New customers: 600 test users, 2 rounds pooled\n" in text
    figure = GOOD.best_single.ndcg[0]
    cell = f"{figure.mean:.3f} ±{(figure.high - figure.low) / 2:.3f}".replace("0.", ".")
    assert f"| item-kNN | {cell} | {cell} | {cell} | {cell} |" in text
    assert "| **firstedge** |" in text
    assert "| item-kNN | +0.0 % (+0.0 % to +0.0 %) | +20 % (+20 % to +20 %) |" in text
    assert "| item-kNN (best single) | 5 | 2 | .200 | ridge 12.3 |" in text
    assert "Left out: text cosine (the shop has no texts)." in text
    assert "Warning: look out." in text
    (france,) = (one for one in GOOD.segments if one.value == "France")
    width = (france.ndcg.high - france.ndcg.low) / 2
    figure = f"{france.ndcg.mean:.3f} ±{width:.3f}".replace("0.", ".")
    assert f"| country: France | 200 | {figure} | +27 % (+27 % to +27 %) |" in text
    first = text.split("## New customers: 600")[0]
    assert "country: Malta" not in first  # 20 users say nothing
    assert "Not shown: country (1 of 3 groups under 30 users)." in first
    assert "Chosen by 150 validation users: the best of up to 5 fits of each baseline" in first
    assert first.startswith(
        "k: distinct items known of a customer (all: all but the last). NDCG@20"
    )
    assert text.endswith(f"In short: {report.sentence}.\n")
    assert f"**W{report.sentence[1:]}.**\n" in text
    assert "**With 3 events firstedge finds 10 % less of what the customer goes on to buy" in text


def test_terminal(report: ColdStartReport) -> None:
    console = Console(file=StringIO(), width=80)
    console.print(renderable(report))
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "(+0.0)" in text
    assert " +27 " in text
    assert "With 3 events firstedge finds 27 % more" in text
    assert "country: Spain" in text
    assert "not shown: country (1 of 3 groups under 30 users)" in text
    assert text.startswith("k: distinct items known of a customer (all: all but the last). NDCG@20")
    assert "embedding alone (u.w): firstedge's vectors without" in text
    recall = f"{GOOD.best_single.recall[2].mean:.3f}".removeprefix("0")
    rows = text.split("Recall@20, of which the sentence below speaks")[1].splitlines()
    (knn,) = (row.split() for row in rows[:8] if row.startswith(" item-kNN"))
    assert knn[6:] == [recall, "+27", "(+27", "to", "+27)"]
    assert " ".join(text.split()).endswith(f"In short: {report.sentence}.")


@pytest.mark.parametrize("ending", ["png", "svg"])
def test_plot(report: ColdStartReport, tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"curves.{ending}"
    plot(report, path)
    head = path.read_bytes()[:100]
    assert head.startswith(b"\x89PNG" if ending == "png" else b"<?xml")
    if ending == "svg":
        assert b"item-kNN" in path.read_bytes()


@pytest.mark.parametrize("name", ["curves.foo", "curves"])
def test_a_plot_of_another_ending(report: ColdStartReport, tmp_path: Path, name: str) -> None:
    for draw in (check_plot, lambda path: plot(report, path)):
        with pytest.raises(SettingsError, match=r"a name that ends with \.png, \.svg, \.pdf, got"):
            draw(tmp_path / name)
    check_plot(tmp_path / "CURVES.PNG")


def test_names_from_the_data_are_no_markup() -> None:
    fields = [{"aisle": np.repeat(["[/red] mugs", "[bold]"], [200, 100])}]
    table = build_table(Pool("t", [round_of([1.0] * 4)], {}, 20, fields), draws=50)
    console = Console(file=StringIO(), width=100)
    console.print(renderable(ColdStartReport((table,), "s", (), {})))
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "aisle: [/red] mugs" in shown
    assert "aisle: [bold]" in shown


def test_the_legend_of_the_plot_is_beside_the_curves(
    report: ColdStartReport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig

    def savefig(figure: Figure, path: Path, **options: int) -> None:
        drawn.append(figure)
        save(figure, path, **options)

    monkeypatch.setattr(Figure, "savefig", savefig)
    plot(report, tmp_path / "curves.png")
    (figure,) = drawn
    (legend,) = figure.legends
    right = max(panel.get_window_extent().x1 for panel in figure.axes)
    assert legend.get_window_extent().x0 > right
    assert [text.get_text() for text in legend.get_texts()] == [line.name for line in GOOD.lines]
    first, second = ({c.get_label(): c.get_color() for c in p.get_lines()} for p in figure.axes)
    assert first == second
