"""Searching training options by validation users: trials that are kept, and can be gone on with."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstedge.graph.errors import MissingDependency, SettingsError
from firstedge.loaders.snapshot import Snapshot
from firstedge.models.options_file import ABOUT, with_options
from firstedge.models.space import Choice, Range
from firstedge.models.train import TrainOptions, train

if TYPE_CHECKING:
    import optuna

# What is searched, by section and name; the first trial is the defaults. `net.propagate` is not:
# on Beauty a training with it takes several times what all else does, and a trial is not cut off.
SPACE: Mapping[str, Range | Choice] = {
    "net.dim": Choice((30, 60, 120)),
    "net.id_dropout": Range(0.0, 0.3),
    "net.user_dropout": Range(0.1, 0.6),
    "fit.learning_rate": Range(5e-4, 1e-2, log=True),
    "fit.weight_decay": Range(1e-3, 1e-1, log=True),
    "fit.heavy_user": Range(5, 100, log=True, whole=True),
    "edges_per_item": Choice((100, 200, 400)),
}


@dataclass(frozen=True)
class StudyBudget:
    """How long to search.

    Attributes:
        trials: Trainings in all, those of earlier runs among them.
        minutes: Of this run; a training that has begun is finished. None: no limit.
    """

    trials: int = 20
    minutes: float | None = None


def study(
    snapshot: Snapshot,
    base: TrainOptions,
    out: Path,
    budget: StudyBudget,
    say: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Search options, and write the best so far after every trial.

    The figure is the mean NDCG over validation users and ks. Trials are kept beside ``out``, in
    ``<out>.trials``: what was killed goes on, and a larger budget adds to what was done.

    Args:
        snapshot: The shop.
        base: What is not searched, the seed and the device among it.
        out: The file for `read_options`.
        budget: How long.
        say: Takes a line after each trial.

    Returns:
        What was written.

    Raises:
        MissingDependency: If the package ``optuna`` is not installed.
        SettingsError: If the file cannot be written, or the budget allows no trial.
    """
    try:
        import optuna
        from optuna.storages.journal import JournalFileBackend
    except ImportError:
        raise MissingDependency("optuna", "`firstedge tune`", "tune") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    trials_file = out.with_name(f"{out.name}.trials")
    try:
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(trials_file)))
    except OSError as error:
        raise SettingsError(f"cannot write {trials_file}: {error.strerror}") from None
    found = optuna.create_study(
        study_name=f"{snapshot.fingerprint} seed {base.fit.seed}",
        storage=storage,
        sampler=optuna.samplers.TPESampler(seed=base.fit.seed),
        direction="maximize",
        load_if_exists=True,
    )
    if not found.trials:
        found.enqueue_trial({name: _value(base, name) for name in SPACE})
    done = _completed(found)

    def objective(trial: optuna.Trial) -> float:
        given = nested({name: _suggest(trial, name) for name in SPACE})
        bundle = train(snapshot, with_options(base, given))
        return float(bundle.about["fusion"]["objective"])

    def told(now: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        _write(out, _best(now, snapshot))
        best = "  (best so far)" if trial.number == now.best_trial.number else ""
        say(f"trial {_completed(now)} of {budget.trials}: NDCG {trial.value:.4f}{best}")

    if done < budget.trials:
        seconds = None if budget.minutes is None else 60 * budget.minutes
        found.optimize(objective, budget.trials - done, seconds, callbacks=[told])
    if not _completed(found):
        raise SettingsError("no trial was made: allow at least one")
    best = _best(found, snapshot)
    _write(out, best)
    return best


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """``{"net.dim": 64}`` as ``{"net": {"dim": 64}}``."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        section, _, field = name.rpartition(".")
        (result.setdefault(section, {}) if section else result)[field] = value
    return result


def _best(found: optuna.Study, snapshot: Snapshot) -> dict[str, Any]:
    trial = found.best_trial
    about = {
        "objective": trial.value,
        "default": found.trials[0].value,
        "trials": _completed(found),
        "fingerprint": snapshot.fingerprint,
    }
    return {**nested(trial.params), ABOUT: about}


def _completed(found: optuna.Study) -> int:
    return sum(trial.value is not None for trial in found.trials)


def _value(options: Any, name: str) -> Any:
    for part in name.split("."):
        options = getattr(options, part)
    return options


def _suggest(trial: optuna.Trial, name: str) -> Any:
    part = SPACE[name]
    if isinstance(part, Choice):
        return trial.suggest_categorical(name, part.values)
    if part.whole:
        return trial.suggest_int(name, int(part.low), int(part.high), log=part.log)
    return trial.suggest_float(name, part.low, part.high, log=part.log)


def _write(out: Path, best: Mapping[str, Any]) -> None:
    staged = out.with_name(f".{out.name}-{os.getpid()}")
    try:
        staged.write_text(json.dumps(best, indent=2) + "\n", "utf-8")
        os.replace(staged, out)
    except OSError as error:
        raise SettingsError(f"cannot write {out}: {error.strerror}") from None
