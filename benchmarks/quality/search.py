"""The same budget for every method: at most so many trials, and at most so many CPU minutes.

Optuna's TPE looks for options; the first trial is the method's defaults, which are the published
settings. CPU time, not the clock, so that other work on the machine takes nothing from a method.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

import optuna

from benchmarks.quality.learning import Learner, Watch
from firstedge.models.baselines import Method, TrainingData
from firstedge.models.protocol import KShotCases, Ranker
from firstedge.models.space import Choice, space_of

# Of the budget, the share that one trial may take: the first must not be the only one.
ONE_TRIAL = 1 / 2


@dataclass(frozen=True)
class Budget:
    """What a method gets on a data set.

    Attributes:
        trials: Options tried at most.
        minutes: CPU minutes; the trial that is running when they are over is cut off.
        k: Length of the ranked lists.
        seed: Of the search.
    """

    trials: int = 20
    minutes: float = 30.0
    k: int = 20
    seed: int = 0


@dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
        options: The best ones.
        ranker: Fitted with them.
        objective: Mean NDCG over validation users and ks.
        trials: How many were tried.
        seconds: CPU seconds, all in all.
        cut: Whether time, not the method, ended the best trial.
    """

    options: dict[str, Any]
    ranker: Ranker
    objective: float
    trials: int
    seconds: float
    cut: bool


def search(start: Method | Learner, data: TrainingData, cases: KShotCases, budget: Budget) -> Found:
    """Tune a method's options on validation users.

    Args:
        start: Its defaults; fields without a range stay as they are. A method without any range is
            tried once.
        data: Training users.
        cases: Validation users.
        budget: Of trials and time.
    """
    began, space = time.process_time(), space_of(start)
    seconds = budget.minutes * 60
    best: list[Found] = []
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(seed=budget.seed)
    )
    study.enqueue_trial({name: getattr(start, name) for name in space})
    for number in range(budget.trials if space else 1):
        spent = time.process_time() - began
        if number and spent > seconds:
            break
        trial = study.ask()
        options = {name: _suggest(trial, name, part) for name, part in space.items()}
        allowed = max(1.0, min(seconds * ONE_TRIAL, seconds - spent)) if space else seconds
        found = fit(replace(start, **options), data, cases, budget, allowed)
        study.tell(trial, found.objective)
        if not best or found.objective > best[0].objective:
            best = [found]
    spent = time.process_time() - began
    return replace(best[0], trials=len(study.trials), seconds=spent)


def fit(
    method: Method | Learner,
    data: TrainingData,
    cases: KShotCases,
    budget: Budget,
    seconds: float,
) -> Found:
    """Fit a method with the options that it has, within CPU seconds if it learns step by step."""
    began = time.process_time()
    watch = Watch(cases, data.popularity, budget.k, seconds)
    if hasattr(method, "learn"):
        method.learn(data, watch)
    else:
        watch.look(method.fit(data))
        watch.cut = False
    if watch.ranker is None:
        raise RuntimeError(f"{method.name} never looked at its validation users")
    options = {name: getattr(method, name) for name in space_of(method)}
    spent = time.process_time() - began
    return Found(options, watch.ranker, watch.objective, 1, spent, watch.cut)


def _suggest(trial: optuna.Trial, name: str, part: Any) -> Any:
    if isinstance(part, Choice):
        return trial.suggest_categorical(name, part.values)
    if part.whole:
        return trial.suggest_int(name, round(part.low), round(part.high), log=part.log)
    return trial.suggest_float(name, part.low, part.high, log=part.log)
