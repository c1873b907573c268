"""Searching training options by validation users: trials that are kept, and can be gone on with."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from firstedge._version import __version__
from firstedge.graph.errors import MissingDependency, SettingsError
from firstedge.graph.files import replacing, writing
from firstedge.loaders.snapshot import Snapshot
from firstedge.models.options_file import ABOUT, with_options
from firstedge.models.result_cache import digest_folder, key_of
from firstedge.models.space import Choice, Range
from firstedge.models.train import TrainOptions, train

if TYPE_CHECKING:
    import optuna

try:
    import fcntl
except ImportError:  # Windows, where nothing refuses a second search on the same file
    fcntl = None  # type: ignore[assignment]

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
        trials: Finished trainings in all, those of earlier runs among them.
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
    ``<out>.trials``: what was killed goes on, and a larger budget adds to what was done. A training
    that was cut off counts as failed. The defaults come first, until they have been trained. Trials
    on other data, with other options in ``base`` or by other code of firstedge are another study's,
    which may lie in the same file: their figures are not compared.

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
        SettingsError: If the file cannot be written, another process searches there, or the budget
            allows no training.
    """
    if find_spec("optuna") is None:
        raise MissingDependency("optuna", "`firstedge tune`", "tune")
    trials_file = out.with_name(f"{out.name}.trials")
    with _alone(trials_file):
        code = digest_folder(Path(__file__).parent)
        name = key_of({"of": snapshot.fingerprint, "by": f"{__version__} {base!r}", "code": code})
        storage = _storage(trials_file)
        search = _Search(_open(storage, name, base.fit.seed), snapshot, base)
        if others := _finished_in_others(storage, name):
            say(
                f"not counted: {others} x a training of other data or options, or by another "
                "version of firstedge"
            )
        if cut_off := search.fail_unfinished():
            say(f"not counted: {cut_off} x a training that was cut off")
        left = search.plan(budget.trials)
        total = len(search.completed()) + left

        def told(found: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
            _write(out, search.best())
            best = "  (best so far)" if trial.number == found.best_trial.number else ""
            say(f"trial {len(search.completed())} of {total}: NDCG {trial.value:.4f}{best}")

        if left > 0:
            seconds = None if budget.minutes is None else 60 * budget.minutes
            search.found.optimize(search.objective, left, seconds, callbacks=[told])
        best = search.best()
        _write(out, best)
        return best


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """``{"net.dim": 64}`` as ``{"net": {"dim": 64}}``."""
    result: dict[str, Any] = {}
    for name, value in values.items():
        section, _, field = name.rpartition(".")
        (result.setdefault(section, {}) if section else result)[field] = value
    return result


@dataclass(frozen=True)
class _Search:
    """A study that is open, and what it is about."""

    found: optuna.Study
    snapshot: Snapshot
    base: TrainOptions

    def fail_unfinished(self) -> int:
        """Mark as failed what a process left that is gone, and count the trainings among it."""
        from optuna.trial import TrialState

        begun = self.found.get_trials(states=(TrialState.RUNNING,))
        queued = self.found.get_trials(states=(TrialState.WAITING,))
        for trial in (*begun, *(self.found.ask() for _ in queued)):
            self.found.tell(trial.number, state=TrialState.FAIL)
        return len(begun)

    def plan(self, trials: int) -> int:
        """How many trainings are left; the defaults come first if they were not finished yet."""
        done = len(self.completed())
        if not done:
            self.found.enqueue_trial({name: _value(self.base, name) for name in SPACE})
        return trials - done

    def objective(self, trial: optuna.Trial) -> float:
        """Train with what is suggested."""
        given = nested({name: _suggest(trial, name) for name in SPACE})
        bundle = train(self.snapshot, with_options(self.base, given))
        return float(bundle.about["fusion"]["objective"])

    def completed(self) -> list[optuna.trial.FrozenTrial]:
        """Trainings that were finished, that of the defaults first."""
        return [trial for trial in self.found.trials if trial.value is not None]

    def best(self) -> dict[str, Any]:
        """What is written.

        Raises:
            SettingsError: If no training with the defaults was finished.
        """
        completed = self.completed()
        if not completed:
            raise SettingsError(
                "no training with the defaults was finished, so nothing can be compared with "
                "them: allow at least one trial and more than 0 minutes"
            )
        trial = self.found.best_trial
        about = {
            "objective": trial.value,
            "default": completed[0].value,
            "trials": len(completed),
            "firstedge": __version__,
            "fingerprint": self.snapshot.fingerprint,
        }
        return {**nested(trial.params), ABOUT: about}


@contextmanager
def _alone(trials_file: Path) -> Iterator[None]:
    """Hold a study's file against other processes; a process that is killed lets go of it.

    Raises:
        SettingsError: If it cannot be written, or another process holds it.
    """
    with writing(trials_file):
        file = trials_file.open("ab")
    with file:
        try:
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise SettingsError(
                f"another `firstedge tune` is at work on {trials_file}, and one at a time can be: "
                "wait for its end, or pass another --out"
            ) from None
        yield


def _storage(trials_file: Path) -> optuna.storages.BaseStorage:
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna.storages.JournalStorage(JournalFileBackend(str(trials_file)))


def _finished_in_others(storage: optuna.storages.BaseStorage, name: str) -> int:
    """How many trainings were finished in studies of other names."""
    import optuna

    names = set(optuna.get_all_study_names(storage)) - {name}
    others = (optuna.load_study(study_name=one, storage=storage) for one in names)
    return sum(trial.value is not None for other in others for trial in other.trials)


def _open(storage: optuna.storages.BaseStorage, name: str, seed: int) -> optuna.Study:
    """The study of that name, made if there is none."""
    import optuna

    found = optuna.create_study(
        study_name=name, storage=storage, direction="maximize", load_if_exists=True
    )
    # Each run goes on with another seed: the same one would draw again what the last run drew.
    found.sampler = optuna.samplers.TPESampler(seed=seed + len(found.trials))
    return found


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
    with replacing(out) as staged:
        staged.write_text(json.dumps(best, indent=2) + "\n", "utf-8")
