"""What a process of the leaderboard does: the methods of one fold of one data set, one by one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, cast

import numpy as np

from benchmarks.quality import gfcf, graphsage, learning, lightgcn, multvae, sasrec, search
from benchmarks.quality.cells import RESULTS, Cell, figures_of, read_cell, write_cell
from benchmarks.quality.learning import Learner
from benchmarks.quality.search import ONE_TRIAL, PRIORS, Budget, Found
from benchmarks.quality.shops import WORK, ks_of, open_shop, shop_of
from firstedge.graph.histories import Histories, kind_weights
from firstedge.loaders.snapshot import Snapshot
from firstedge.loaders.split import split_users
from firstedge.models import (
    baselines,
    closed_forms,
    comparison,
    factors,
    metrics,
    neighbours,
    protocol,
)
from firstedge.models.baselines import Method
from firstedge.models.comparison import EMBEDDING, OURS, EmbeddingRanker, Role, singles
from firstedge.models.neighbours import Blend, Ease, ItemKNN, RP3Beta, SmoothedBayes
from firstedge.models.protocol import Evaluation, KShotCases, build_cases, evaluate
from firstedge.models.result_cache import digest_code, digest_folder, key_of
from firstedge.models.rounds import Round, hold_out, known_users, training_data
from firstedge.models.scorer import Scorer
from firstedge.models.space import space_of
from firstedge.models.train import train

FOLDS = 10

# Whose sources decide what a baseline scores, given the arrays of its round.
_CODE: tuple[ModuleType, ...] = (
    baselines,
    closed_forms,
    factors,
    learning,
    metrics,
    neighbours,
    protocol,
    search,
)


@dataclass(frozen=True)
class Task:
    """A fold of a data set.

    Attributes:
        shop: Name of the data set, or path of its Schema file.
        fold: Which tenth of the users is asked; the next one validates.
        methods: Names, in order.
        data: The folder given by --data.
        budget: Of each method. Folds other than the first take the first one's options.
        most_validation: Validation users, a seeded sample of them where there are more.
        most_test: Test users, likewise.
        any_code: Whether a cell that other code computed from the same is kept, too.
        results: Where cells are kept.
        work: Where stores and vectors are kept.
    """

    shop: str
    fold: int
    methods: tuple[str, ...]
    data: Path | None = None
    budget: Budget = field(default_factory=Budget)
    most_validation: int = 400
    most_test: int = 1500
    any_code: bool = False
    results: Path = RESULTS
    work: Path = WORK


def neural_methods() -> tuple[tuple[Learner, ModuleType], ...]:
    """Those that learn step by step, with their defaults, and the modules that they are of."""
    return (
        (multvae.MultVAE(), multvae),
        (multvae.TruncatedMultVAE(), multvae),
        (sasrec.SASRec(), sasrec),
        (lightgcn.LightGCN(), lightgcn),
        (graphsage.GraphSAGE(), graphsage),
    )


def neural_names() -> tuple[str, ...]:
    """Names of those that take long."""
    return tuple(method.name for method, _ in neural_methods())


def starts() -> dict[str, tuple[Method | Learner, ModuleType | None]]:
    """Every method but ours and the blend with its defaults, cheap ones first, by name."""
    found: dict[str, tuple[Method | Learner, ModuleType | None]] = {
        method.name: (method, None) for method in singles()
    }
    found[gfcf.GFCF.name] = gfcf.GFCF(), gfcf
    return found | {method.name: (method, module) for method, module in neural_methods()}


def method_names() -> tuple[str, ...]:
    """All methods, in the order in which they are measured."""
    quick = (method.name for method in singles())
    return (*quick, gfcf.GFCF.name, Blend.name, OURS, *neural_names())


class Worker:
    """Measures methods on one fold of one data set.

    Args:
        task: What to do.
        say: Takes a line after each method.
    """

    def __init__(self, task: Task, say: Callable[[str], None]) -> None:
        self.task, self.say = task, say
        shop = shop_of(task.shop)
        self.name = shop.name
        self.snapshot = open_shop(shop, task.data, task.work)
        self.round = build(self.snapshot, task)

    def run(self) -> None:
        """Measure every method that has no cell that fits, and keep it."""
        for name in self.task.methods:
            if name == OURS:
                self._ours()
            elif name == Blend.name:
                self._blend()
            else:
                start, module = starts()[name]
                self._baseline(start, "single", (module,) if module else ())

    def _ours(self) -> None:
        key = self._key({"method": OURS})
        code = digest_folder(Path(comparison.__file__).parent)
        if self._kept(OURS, key, code) and self._kept(EMBEDDING, key, code):
            return
        began = time.process_time()
        bundle = self.round.trained()
        scorer = Scorer(bundle)
        seconds = time.process_time() - began
        made = (key, code)
        self._keep_ours(scorer, made, seconds, "ours", OURS)
        self._keep_ours(EmbeddingRanker(scorer), made, seconds, "part", EMBEDDING)

    def _keep_ours(
        self, ranker: Any, made: tuple[str, str], seconds: float, role: Role, name: str
    ) -> None:
        popularity, k = self.round.training.popularity, self.task.budget.k
        objective = evaluate(ranker, self.round.validation, popularity, k).objective
        test = evaluate(ranker, self.round.test, popularity, k)
        bundle = ranker.bundle if isinstance(ranker, Scorer) else ranker.scorer.bundle
        trials = int(bundle.about.get("trials", 1))
        options = {n: v for n, v in asdict(bundle.coefficients).items() if np.isscalar(v)}
        found = Found(options, ranker, objective, trials, seconds, False)
        self._keep(name, role, made, found, test)

    def _blend(self) -> None:
        """The closed forms as they were tuned, with the better neighbourhood."""
        kept = {m.name: read_cell(self.name, m.name, 0, self.task.results) for m in singles()}
        made = {
            type(m): (cell, replace(cast(Any, m), **cell.options))
            for m in singles()
            if (cell := kept[m.name]) is not None
        }
        if SmoothedBayes not in made or not {ItemKNN, RP3Beta} & set(made):
            self.say(f"{self.name}: {Blend.name} waits for its parts")
            return
        near = max((made[t] for t in (ItemKNN, RP3Beta) if t in made), key=lambda p: p[0].objective)
        ease = made[Ease][1] if Ease in made else None
        self._baseline(Blend(made[SmoothedBayes][1], near[1], ease), "blend", ())

    def _baseline(self, start: Method | Learner, role: Role, modules: Sequence[ModuleType]) -> None:
        reason = start.unfit(self.round.training)
        if reason:
            write_left_out(self.task.results, self.name, start.name, reason)
            self.say(f"{self.name}: {start.name} left out: {reason}")
            return
        first = None
        if self.task.fold:
            first = read_cell(self.name, start.name, 0, self.task.results)
            if first is None:
                self.say(f"{self.name}: {start.name} waits for its first fold")
                return
            start = replace(cast(Any, start), **first.options)
        data, budget = self.round.training, self.task.budget
        made = {"method": start.name, "start": asdict(cast(Any, start))}
        code = digest_code(*_CODE, *modules)
        cell = read_cell(self.name, start.name, self.task.fold, self.task.results)
        had = replace(budget, **cell.budget) if cell and enough(cell, start, budget) else budget
        if self._kept(start.name, self._key({**made, "budget": asdict(had)}), code):
            return
        key = self._key({**made, "budget": asdict(budget)})
        if first is None:
            found = search.search(start, data, self.round.validation, budget)
        else:
            seconds = budget.minutes * 60 * ONE_TRIAL
            found = search.fit(start, data, self.round.validation, budget, seconds)
        test = evaluate(found.ranker, self.round.test, data.popularity, budget.k)
        self._keep(start.name, role, (key, code), found, test)

    def _key(self, parts: dict[str, Any]) -> str:
        return key_of({**parts, "round": self.round.fingerprint})

    def _kept(self, name: str, key: str, code: str) -> bool:
        cell = read_cell(self.name, name, self.task.fold, self.task.results)
        kept = cell is not None and cell.key == key
        if cell is not None and cell.code != code and not self.task.any_code:
            kept = False
        if kept:
            self.say(f"{self.name}, fold {self.task.fold}: {name}, kept")
        return kept

    def _keep(
        self, name: str, role: Role, made: tuple[str, str], found: Found, test: Evaluation
    ) -> None:
        budget = {"trials": self.task.budget.trials, "minutes": self.task.budget.minutes}
        cell = Cell(
            shop=self.name,
            method=name,
            fold=self.task.fold,
            role=role,
            key=made[0],
            code=made[1],
            round=self.round.fingerprint,
            budget=budget if role in ("single", "blend") else {},
            date=datetime.now(UTC).date().isoformat(),
            options=found.options,
            objective=found.objective,
            trials=found.trials,
            seconds=round(found.seconds, 1),
            cut=found.cut,
            **figures_of(test),
        )
        write_cell(cell, self.task.results)
        cut = ", cut off" if found.cut else ""
        self.say(
            f"{self.name}, fold {self.task.fold}: {name}, {found.trials} trials, "
            f"{found.seconds:.0f} s, validation {found.objective:.4f}, "
            f"test {test.objective:.4f}{cut}"
        )


def enough(cell: Cell, start: Method | Learner, asked: Budget) -> bool:
    """Whether a cell had the budget that is asked, or time did not end its search.

    A closed form makes every fit that it begins; what learns step by step is cut off in the fit
    during which its minutes are over.

    Args:
        cell: What was measured.
        start: Its method.
        asked: What would be spent on it now.
    """
    if cell.budget["trials"] >= asked.trials and cell.budget["minutes"] >= asked.minutes:
        return True
    if cell.cut or cell.fold:  # other folds than the first make one fit
        return not cell.cut
    space, trials = set(space_of(start)), asked.trials
    if hasattr(start, "learn"):
        return cell.trials >= trials and cell.seconds <= 60 * cell.budget["minutes"]
    each = PRIORS + 1 if "prior" in space else 1
    return cell.trials >= each * (trials if space - {"prior"} else 1)


def write_left_out(results: Path, shop: str, method: str, reason: str) -> None:
    """Note that a data set does not allow a method."""
    path = results / shop / "left-out.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    found = {**read_left_out(results, shop), method: reason}
    path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")


def read_left_out(results: Path, shop: str) -> dict[str, str]:
    """Methods that a data set does not allow, and why."""
    path = results / shop / "left-out.json"
    return dict(json.loads(path.read_text("utf-8"))) if path.exists() else {}


def build(snapshot: Snapshot, task: Task) -> Round:
    """Training data and cases of a fold, with as many users asked as the task allows."""
    held = hold_out(snapshot, split_users(snapshot, FOLDS, task.fold, task.budget.seed))
    ks, weights = ks_of(snapshot), kind_weights(snapshot.schema)

    def cases(histories: Histories, users: np.ndarray, most: int) -> KShotCases:
        rows = np.flatnonzero(histories.touches().counts > max(ks))
        drawn = np.random.default_rng(task.budget.seed).permutation(rows)[:most]
        rows = np.sort(drawn)
        known = known_users(snapshot, users[rows])
        return build_cases(histories.take(rows), weights, ks, known=known, with_all=False)

    return Round(
        f"{task.shop}, fold {task.fold}",
        training_data(held),
        cases(held.validation, held.split.validation, task.most_validation),
        cases(held.test, held.split.test, task.most_test),
        lambda: train(snapshot, None, held.split),
    )
