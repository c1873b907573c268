"""Every method of the report, tuned and measured on one round; results are kept by content."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from firstedge.graph import histories
from firstedge.models import (
    baselines,
    closed_forms,
    factors,
    metrics,
    neighbours,
    protocol,
    space,
    tuning,
)
from firstedge.models.baselines import (
    CategoryPopularity,
    Method,
    Popularity,
    RecentPopularity,
    TextCosine,
)
from firstedge.models.factors import IALS
from firstedge.models.neighbours import Blend, Ease, ItemKNN, RP3Beta, SmoothedBayes
from firstedge.models.protocol import Evaluation, evaluate
from firstedge.models.result_cache import ResultCache, digest_code, digest_folder, key_of
from firstedge.models.rounds import Round
from firstedge.models.scorer import Scorer, UserBatch
from firstedge.models.space import space_of
from firstedge.models.tuning import Budget, tune

Floats = npt.NDArray[np.float32]
Role = Literal["ours", "single", "blend", "part"]

OURS = "firstedge"
EMBEDDING = "embedding alone (u.w)"

# Whose sources decide what a baseline scores.
_BASELINE_CODE: tuple[ModuleType, ...] = (
    histories,
    baselines,
    closed_forms,
    factors,
    metrics,
    neighbours,
    protocol,
    space,
    tuning,
)


@dataclass(frozen=True)
class Measured:
    """One method on one round.

    Attributes:
        name: Of the method.
        role: Ours, a single baseline, the blend of closed forms, or a part of ours.
        options: As chosen on validation users.
        objective: Mean NDCG over validation users and ks.
        trials: Options tried.
        seconds: For tuning and fitting, when it was computed.
        test: On test users.
    """

    name: str
    role: Role
    options: Mapping[str, Any]
    objective: float
    trials: int
    seconds: float
    test: Evaluation

    def as_dict(self) -> dict[str, Any]:
        """JSON values from which `of` makes the same again."""
        test = {
            name: value.tolist() if isinstance(value, np.ndarray) else list(value)
            for name, value in vars(self.test).items()
        }
        return {**vars(self), "options": dict(self.options), "test": test}

    @classmethod
    def of(cls, value: Mapping[str, Any]) -> Measured:
        """From what `as_dict` gave."""
        arrays = {k: np.array(v) for k, v in value["test"].items() if k != "labels"}
        test = Evaluation(tuple(value["test"]["labels"]), **arrays)
        return cls(**{**value, "test": test})


@dataclass(frozen=True)
class EmbeddingRanker:
    """The learned embedding alone, u . w: what a vector database would rank by."""

    scorer: Scorer

    def score(self, users: UserBatch) -> Floats:
        """See `Ranker`."""
        return self.scorer.embed_users(users) @ self.scorer.bundle.w.T


def singles() -> tuple[Method, ...]:
    """The single baselines, with their default options."""
    return (
        Popularity(),
        RecentPopularity(),
        CategoryPopularity(),
        TextCosine(),
        ItemKNN(),
        RP3Beta(),
        IALS(),
        SmoothedBayes(),
        Ease(),
    )


class Comparison:
    """Measures methods on a round.

    Args:
        round_: Whom to learn from, tune on and ask.
        budget: Trials, list length, seed.
        cache: Where results are kept.
        say: Takes a line of progress after each method.
    """

    def __init__(
        self, round_: Round, budget: Budget, cache: ResultCache, say: Callable[[str], None]
    ) -> None:
        self.round = round_
        self.budget = budget
        self.cache = cache
        self.say = say
        self.left_out: dict[str, str] = {}

    def baselines(self) -> list[Measured]:
        """Every single baseline that the data allow, then their best blend."""
        tuned: list[tuple[Method, Measured]] = []
        for method in singles():
            reason = method.unfit(self.round.training)
            if reason:
                self.left_out[method.name] = reason
                self.say(f"{self.round.name}: {method.name} left out: {reason}")
                continue
            found = self._baseline(method, "single")
            tuned.append((replace(method, **found.options), found))  # type: ignore[type-var]
        blend = self._baseline(_blend_of(tuned), "blend")
        return [*(found for _, found in tuned), blend]

    def ours(self, key: str) -> list[Measured]:
        """Our own model, and its embedding alone.

        Args:
            key: Names the training's options: another key is another model.
        """
        code = digest_folder(Path(__file__).parent)
        keys = [self._key({"name": name, "train": key, "code": code}) for name in (OURS, EMBEDDING)]
        kept = [self.cache.read(k) for k in keys]
        if all(kept):
            measured = [Measured.of(value) for value in kept]
            self._tell(measured[0], read_back=True)
            return measured
        began = time.perf_counter()
        scorer = Scorer(self.round.trained())
        seconds = time.perf_counter() - began
        measured = [
            self._measure(OURS, "ours", scorer, seconds),
            self._measure(EMBEDDING, "part", scorer, seconds),
        ]
        for k, one in zip(keys, measured, strict=True):
            self.cache.write(k, one.as_dict())
        self._tell(measured[0], read_back=False)
        return measured

    def _measure(self, name: str, role: Role, scorer: Scorer, seconds: float) -> Measured:
        ranker = scorer if role == "ours" else EmbeddingRanker(scorer)
        popularity, k = self.round.training.popularity, self.budget.k
        fixed = self.round.validation.without_all()
        objective = evaluate(ranker, fixed, popularity, k).objective
        test = evaluate(ranker, self.round.test, popularity, k)
        trials = int(scorer.bundle.about.get("trials", 1))
        options = asdict(scorer.bundle.coefficients)
        return Measured(name, role, options, objective, trials, seconds, test)

    def _baseline(self, start: Method, role: Role) -> Measured:
        options = asdict(start)  # type: ignore[call-overload]
        code = digest_code(*_BASELINE_CODE)
        budget = asdict(self.budget)
        key = self._key({"name": start.name, "start": options, "budget": budget, "code": code})
        kept = self.cache.read(key)
        if kept is not None:
            measured = Measured.of(kept)
            self._tell(measured, read_back=True)
            return measured
        data = self.round.training
        found = tune(start, data, self.round.validation, self.budget)
        measured = Measured(
            start.name,
            role,
            _own_options(found.method),
            found.objective,
            found.trials,
            found.seconds,
            evaluate(found.ranker, self.round.test, data.popularity, self.budget.k),
        )
        self.cache.write(key, measured.as_dict())
        self._tell(measured, read_back=False)
        return measured

    def _key(self, parts: dict[str, Any]) -> str:
        return key_of({**parts, "k": self.budget.k, "round": self.round.fingerprint})

    def _tell(self, one: Measured, *, read_back: bool) -> None:
        how = "read back" if read_back else f"{one.seconds:.1f} s"
        trials = f"{one.trials} trial{'s' if one.trials > 1 else ''}"
        self.say(
            f"{self.round.name}: {one.name}, {trials}, validation NDCG {one.objective:.4f}, {how}"
        )


def _blend_of(tuned: Sequence[tuple[Method, Measured]]) -> Blend:
    """Naive Bayes, EASE if it was tuned, and the better neighbourhood on validation users."""
    bayes = next(m for m, _ in tuned if isinstance(m, SmoothedBayes))
    ease = next((m for m, _ in tuned if isinstance(m, Ease)), None)
    near = [(one.objective, m) for m, one in tuned if isinstance(m, ItemKNN | RP3Beta)]
    return Blend(bayes, max(near, key=lambda pair: pair[0])[1], ease)


def _own_options(method: Method) -> dict[str, Any]:
    """A method's options without those of the methods that it is made of."""
    return {name: getattr(method, name) for name in space_of(method)}
