"""Other libraries: what they are asked, who chooses their options, and what is printed."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks.quality import peer_table
from benchmarks.quality.cells import Cell, figures_of, write_cell
from benchmarks.quality.peer_table import Peer, figures, our_row, questions, rows_of, table
from firstedge.graph.errors import DataError
from firstedge.models.protocol import Evaluation, KShotCases, build_cases
from firstedge.models.rounds import Round
from tests.models.small import WEIGHTS, histories_of, training_of

KS = (1, 3, 5)  # the table asks at 1, 3 and 10
TRAIN = [[1, 0, 2], [2, 3]]
CHOOSES = [[0, 1, 2, 3, 4, 5], [5, 4, 3, 2, 1, 0]]
ASKED = [[3, 1, 0, 2, 5, 4]]

# A library that answers with one list, good or bad for those who choose.
SCRIPT = """
from exchange import answer, questions, tried

data = questions()
lists = {"bad": [6, 7], "good": [4, 5]}
found = [tried(data, {"list": n}, lambda users: [lists[n]] * len(users)) for n in lists]
answer("Library 1.0", [{"method": "same", "unseen": "answers", "tried": found}])
"""


def cases(users: list[list[int]]) -> KShotCases:
    return build_cases(histories_of(*users, num_items=8), WEIGHTS, KS, with_all=False)


@pytest.fixture
def round_() -> Round:
    training = training_of(histories_of(*TRAIN, num_items=8))
    return Round("r", training, cases(CHOOSES), cases(ASKED), lambda: None)


def test_a_library_is_told_histories_from_the_oldest_on(round_: Round) -> None:
    assert questions(round_) == {
        "train": TRAIN,
        "asked": {
            "validation": {"1": [[0], [5]], "3": [[0, 1, 2], [5, 4, 3]]},
            "test": {"1": [[3]], "3": [[3, 1, 0]]},
        },
    }


def test_a_list_scores_its_ndcg_and_what_was_given_holds_its_place(round_: Round) -> None:
    case = peer_table.cases_of(round_)["test"]["3"]  # wanted: 2, 5, 4
    ideal = sum(1 / math.log2(place + 2) for place in range(3))
    first_and_third = 1 + 1 / math.log2(4)
    assert figures(case, [[2, 3, 5]]) == pytest.approx(first_and_third / ideal)
    assert figures(case, [[]]) == 0


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Its environment is this one, which has no package to install."""
    (tmp_path / "exchange.py").write_text((peer_table.PEERS / "exchange.py").read_text())
    (tmp_path / "good.py").write_text(SCRIPT)
    (tmp_path / "broken.py").write_text("raise SystemExit('no such library')")
    for name in ("good", "broken"):
        (tmp_path / name / "bin").mkdir(parents=True)
        (tmp_path / name / "bin" / "python").symlink_to(sys.executable)
        (tmp_path / name / ".installed").touch()
    found = {name: Peer(f"{name}.py", ()) for name in ("good", "broken")}
    monkeypatch.setattr(peer_table, "LIBRARIES", found)
    monkeypatch.setattr(peer_table, "PEERS", tmp_path)
    return tmp_path


def test_options_are_chosen_by_the_validation_users(round_: Round, library: Path) -> None:
    (row,) = rows_of("shop", round_, ["good"], library)
    *words, scores = row
    assert words == ["shop", "Library 1.0", "same", "list good (of 2)", "answers"]
    # The one test user wants 4 and 5 among three items and among five.
    gained = 1 + 1 / math.log2(3)
    ideal = {k: sum(1 / math.log2(place + 2) for place in range(6 - int(k))) for k in ("1", "3")}
    assert scores == {k: pytest.approx(gained / ideal[k]) for k in ("1", "3")}


def test_a_library_that_fails_says_why_in_its_row(round_: Round, library: Path) -> None:
    (row,) = rows_of("shop", round_, ["broken"], library)
    assert row == ["shop", "broken", "-", "-", "did not run: no such library", {}]
    assert table([row]).splitlines()[-1] == (
        "| shop | broken | - | - | did not run: no such library | - | - | - |"
    )


def cell_of(round_: str) -> Cell:
    level = np.array([[0.25], [0.5], [0.75]])
    test = Evaluation(("0", "1", "3"), level, level, level, np.ones(3))
    rest = {"budget": {}, "date": "2026-01-01", "options": {}, "objective": 0.5, "trials": 1}
    return Cell(
        shop="shop", method="firstedge", fold=0, role="ours", key="", code="", round=round_,
        seconds=1.0, cut=False, **rest, **figures_of(test),
    )  # fmt: skip


def test_our_row_is_the_leaderboards_of_the_same_round(round_: Round, tmp_path: Path) -> None:
    write_cell(cell_of(round_.fingerprint), tmp_path)
    *words, scores = our_row("shop", round_, tmp_path)
    assert words[:4] == ["shop", "firstedge", "train", "chosen in training (of 1)"]
    assert scores == {"1": 0.5, "3": 0.75}
    write_cell(cell_of("another"), tmp_path)
    with pytest.raises(DataError, match="shop: the leaderboard has no figures of firstedge"):
        our_row("shop", round_, tmp_path)
