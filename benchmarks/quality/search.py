"""The same budget for every method: at most so many trials, and at most so many CPU minutes.

Optuna's TPE looks for options; the first trial is the method's defaults, near the published
settings. CPU time, not the clock, so that other work on the machine takes nothing from a method.

What a closed form has learned is tried with many weights of the log popularity: they cost no fit,
and our own training, too, tries hundreds of weights on what it has learned once.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
import optuna

from benchmarks.quality.learning import Learner, Watch
from firstedge.models.baselines import Method, TrainingData
from firstedge.models.fusion import Arena, Block
from firstedge.models.protocol import KShotCases, Ranker, evaluate
from firstedge.models.space import Choice, Range, space_of

# Of the budget, the share that one trial may take: the first must not be the only one.
ONE_TRIAL = 1 / 2
# Weights of the log popularity that are tried with each fit of a closed form, evenly on the scale
# of their range, and the one that it came with.
PRIORS = 24


@dataclass(frozen=True)
class Budget:
    """What a method gets on a data set.

    Attributes:
        trials: Fits at most; a closed form's is tried with many weights of the log popularity.
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
        trials: How many were tried, weights of the log popularity counted one by one.
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
    by_prior = "prior" in space and not hasattr(start, "learn")
    if by_prior:
        del space["prior"]
    best: list[Found] = []
    tried = 0
    study = _study(budget.seed)
    study.enqueue_trial({name: getattr(start, name) for name in space})
    for number in range(budget.trials if space else 1):
        spent = time.process_time() - began
        if number and spent > seconds:
            break
        trial = study.ask()
        options = {name: _suggest(trial, name, part) for name, part in space.items()}
        method = replace(cast(Any, start), **options)
        allowed = max(1.0, min(seconds * ONE_TRIAL, seconds - spent)) if space else seconds
        found = (
            fit_priors(method, data, cases, budget)
            if by_prior
            else fit(method, data, cases, budget, allowed)
        )
        study.tell(trial, found.objective)
        tried += found.trials
        if not best or found.objective > best[0].objective:
            best = [found]
    (found,) = best
    if by_prior:  # by the same measure as every other method
        exact = evaluate(found.ranker, cases, data.popularity, budget.k).objective
        found = replace(found, objective=exact)
    return replace(found, trials=tried, seconds=time.process_time() - began)


def fit_priors(method: Method, data: TrainingData, cases: KShotCases, budget: Budget) -> Found:
    """Fit a closed form once, and find the weight of the log popularity beside it.

    Args:
        method: One with a `prior`, whose ranker adds an array of that name to its scores.
        data: Training users.
        cases: Validation users.
        budget: The length of the lists.
    """
    began = time.process_time()
    ranker = cast(Any, method.fit(data))
    bare = replace(ranker, prior=np.zeros_like(ranker.prior))
    scale = cast(Range, space_of(method)["prior"])
    own = cast(Any, method).prior
    priors = [own, *(float(scale.at(unit)) for unit in np.linspace(0.0, 1.0, PRIORS))]

    def scores(block: Block) -> Iterator[Any]:
        said = bare.score(block.users)
        return (said + np.float32(prior) * data.log_prior for prior in priors)

    objective, at = Arena(cases.cases, data.num_items, k=budget.k).best(scores)
    best = replace(cast(Any, method), prior=priors[at])
    ranker = replace(ranker, prior=np.float32(priors[at]) * data.log_prior)
    options = {name: getattr(best, name) for name in space_of(best)}
    return Found(options, ranker, objective, len(priors), time.process_time() - began, False)


def _study(seed: int) -> optuna.Study:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    sampler = optuna.samplers.TPESampler(seed=seed)
    return optuna.create_study(direction="maximize", sampler=sampler)


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
