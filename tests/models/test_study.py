"""The search for options, with a training whose figure is known."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import optuna
import pytest

import firstedge as fe
from firstedge.graph.errors import SettingsError
from firstedge.models import study as module
from firstedge.models.fit import FitOptions
from firstedge.models.options_file import read_options, with_options
from firstedge.models.study import SPACE, StudyBudget, nested, study
from firstedge.models.train import TrainOptions
from tests.models.tastes import taste_shop

BASE = TrainOptions(fit=FitOptions(seed=3, device="cpu"))
SHOP = taste_shop(num_users=8, num_items=8)
# A process that searches for options.json, and whose training number LAST does not end.
CUT_OFF = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from firstedge.models import study
from tests.models.test_study import BASE, SHOP, figure
made = []
def train(snapshot, options):
    made.append(options)
    if len(made) == int(sys.argv[2]):
        Path(sys.argv[1], "begun").touch()
        time.sleep(600)
    return SimpleNamespace(about={"fusion": {"objective": figure(options)}})
study.train = train
study.study(SHOP, BASE, Path(sys.argv[1], "options.json"), study.StudyBudget(9))
"""


def figure(options: TrainOptions) -> float:
    """Best at a learning rate of 0.002, far below the default; worst with long histories whole."""
    away = abs(math.log(options.fit.learning_rate / 0.002))
    return 1 - away / 10 - options.fit.heavy_user / 1000


@dataclass
class Trained:
    """Trainings that were asked for."""

    options: list[TrainOptions] = field(default_factory=list)

    def train(self, snapshot: Any, options: TrainOptions) -> SimpleNamespace:
        assert snapshot is SHOP
        self.options.append(options)
        return SimpleNamespace(about={"fusion": {"objective": figure(options)}})


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> Trained:
    made = Trained()
    monkeypatch.setattr(module, "train", made.train)
    return made


@contextmanager
def cut_off(folder: Path, last: int) -> Iterator[None]:
    """Another process in its training number ``last``, killed at the end of the block."""
    command = [sys.executable, "-c", CUT_OFF, str(folder), str(last)]
    with subprocess.Popen(command, cwd=Path(__file__).parents[2]) as process:
        try:
            until = time.monotonic() + 300
            while not (folder / "begun").exists():
                assert process.poll() is None
                assert time.monotonic() < until
                time.sleep(0.05)
            yield
        finally:
            process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL


def states(out: Path) -> list[str]:
    """Of the trials of a study, in their order."""
    backend = optuna.storages.journal.JournalFileBackend(f"{out}.trials")
    storage = optuna.storages.JournalStorage(backend)
    return [
        trial.state.name for trial in optuna.load_study(study_name=None, storage=storage).trials
    ]


def test_the_defaults_are_first_and_the_best_is_written(tmp_path: Path, trained: Trained) -> None:
    said: list[str] = []
    out = tmp_path / "options.json"
    found = study(SHOP, BASE, out, StudyBudget(8), said.append)
    assert trained.options[0] == BASE
    figures = [figure(options) for options in trained.options]
    best = trained.options[figures.index(max(figures))]
    assert max(figures) > figures[0]
    assert found == json.loads(out.read_text())
    assert with_options(BASE, read_options(out)) == best
    assert found["about"] == {
        "objective": max(figures),
        "default": figures[0],
        "trials": 8,
        "firstedge": fe.__version__,
        "fingerprint": SHOP.fingerprint,
    }
    assert said[0] == f"trial 1 of 8: NDCG {figures[0]:.4f}  (best so far)"
    assert len(said) == 8


def test_all_that_is_searched_is_an_option_with_its_default_within() -> None:
    for name, part in SPACE.items():
        value = module._value(BASE, name)
        assert 0 <= part.place(value) <= 1
        assert with_options(BASE, nested({name: value})) == BASE
    assert "net.propagate" not in SPACE


def test_a_larger_budget_tries_something_else(tmp_path: Path, trained: Trained) -> None:
    out = tmp_path / "options.json"
    for trials in (1, 2, 3, 3, 5):
        study(SHOP, BASE, out, StudyBudget(trials))
    assert len(trained.options) == 5
    assert len({options.fit.learning_rate for options in trained.options}) == 5


def test_one_at_a_time_and_killed_in_the_first_training(tmp_path: Path, trained: Trained) -> None:
    out = tmp_path / "options.json"
    with cut_off(tmp_path, last=1):
        with pytest.raises(SettingsError, match="another `firstedge tune` is at work on"):
            study(SHOP, BASE, out, StudyBudget(2))
        assert states(out) == ["RUNNING"]
        study(SHOP, BASE, tmp_path / "other.json", StudyBudget(1))
    assert not out.exists()
    trained.options.clear()
    said: list[str] = []
    found = study(SHOP, BASE, out, StudyBudget(2), said.append)
    assert trained.options[0] == BASE
    assert len(trained.options) == found["about"]["trials"] == 2
    assert found["about"]["default"] == figure(BASE) <= found["about"]["objective"]
    assert said[0] == "not counted: 1 x a training that was cut off"
    assert said[1].startswith("trial 1 of 2")
    assert states(out) == ["FAIL", "COMPLETE", "COMPLETE"]


def test_killed_later(tmp_path: Path, trained: Trained) -> None:
    out = tmp_path / "options.json"
    with cut_off(tmp_path, last=3):
        before = json.loads(out.read_text())
    assert before["about"]["trials"] == 2
    found = study(SHOP, BASE, out, StudyBudget(4))
    assert len(trained.options) == 2
    assert BASE not in trained.options
    assert found["about"]["default"] == figure(BASE)
    assert found["about"]["objective"] >= before["about"]["objective"]
    assert states(out) == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


def other_version(monkeypatch: pytest.MonkeyPatch) -> TrainOptions:
    monkeypatch.setattr(module, "__version__", "0.0.9")
    return BASE


def other_code(monkeypatch: pytest.MonkeyPatch) -> TrainOptions:
    monkeypatch.setattr(module, "digest_folder", lambda folder: f"of before in {folder.name}")
    return BASE


def other_defaults(_: pytest.MonkeyPatch) -> TrainOptions:
    return replace(BASE, edges_per_item=400)


def other_epochs(_: pytest.MonkeyPatch) -> TrainOptions:
    """An option that is not searched."""
    return replace(BASE, fit=replace(BASE.fit, epochs=1))


@pytest.mark.parametrize("before", [other_version, other_code, other_defaults, other_epochs])
def test_figures_that_cannot_be_compared_are_of_another_study(
    tmp_path: Path, trained: Trained, before: Callable[[pytest.MonkeyPatch], TrainOptions]
) -> None:
    out = tmp_path / "options.json"
    with pytest.MonkeyPatch.context() as monkeypatch:
        old = before(monkeypatch)
        study(SHOP, old, out, StudyBudget(3))
    said: list[str] = []
    found = study(SHOP, BASE, out, StudyBudget(2), said.append)
    assert trained.options[3] == BASE
    assert len(trained.options) == 3 + 2
    assert [found["about"][name] for name in ("default", "trials")] == [figure(BASE), 2]
    assert found["about"]["objective"] == max(map(figure, trained.options[3:]))
    assert said[0] == (
        "not counted: 3 x a training of other data or options, or by another version of firstedge"
    )
    assert [line[:12] for line in said[1:]] == ["trial 1 of 2", "trial 2 of 2"]
    with pytest.MonkeyPatch.context() as monkeypatch:
        before(monkeypatch)
        again = study(SHOP, old, out, StudyBudget(3), said.append)
    assert len(trained.options) == 5
    assert said[3].startswith("not counted: 2 x")
    assert again["about"]["default"] == figure(old)
    assert again["about"]["objective"] == max(map(figure, trained.options[:3]))


def test_without_any_finished_training(tmp_path: Path, trained: Trained) -> None:
    out = tmp_path / "options.json"
    for _ in range(2):
        with pytest.raises(SettingsError, match="allow at least one trial and more than 0 minutes"):
            study(SHOP, BASE, out, StudyBudget(3, minutes=0))
    assert not trained.options
    assert not out.exists()
    assert study(SHOP, BASE, out, StudyBudget(1))["about"]["trials"] == 1
    assert trained.options == [BASE]


def test_a_training_is_finished_after_the_minutes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(snapshot: Any, options: TrainOptions) -> SimpleNamespace:
        time.sleep(0.2)
        return SimpleNamespace(about={"fusion": {"objective": 0.5}})

    monkeypatch.setattr(module, "train", slow)
    found = study(SHOP, BASE, tmp_path / "options.json", StudyBudget(9, minutes=0.1 / 60))
    assert found["about"]["trials"] == 1


def test_where_nothing_can_be_written(tmp_path: Path, trained: Trained) -> None:
    with pytest.raises(SettingsError, match=r"cannot write .*options.json.trials: No such file"):
        study(SHOP, BASE, tmp_path / "none" / "options.json", StudyBudget(1))
    assert not trained.options
