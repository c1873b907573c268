"""How good the first answers to a stranger are, on a shop's own data, against what else there is.

Users are held out whole: one fold is asked, the next makes every choice, the rest teaches. A second
table holds out time: what was known by a moment teaches, whoever came later is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

import numpy as np

from firstedge.graph.errors import DataError, SettingsError
from firstedge.loaders.snapshot import Snapshot
from firstedge.loaders.split import Split, split_time, split_users
from firstedge.models.bundle import Bundle
from firstedge.models.coldstart_report import (
    ColdStartReport,
    Pool,
    Table,
    build_table,
    sentence_of,
    warnings_of,
)
from firstedge.models.comparison import Comparison
from firstedge.models.protocol import KS
from firstedge.models.result_cache import ResultCache
from firstedge.models.rounds import Held, Round, build_round, hold_out
from firstedge.models.segments import LEAST_USERS, fields_of
from firstedge.models.tuning import Budget

FOLDS = 10
USERS_TITLE = "New customers (users held out)"
TIME_TITLE = "Newcomers (learned before, met after)"

Say = Callable[[str], None]


@dataclass(frozen=True)
class ColdStartOptions:
    """What is asked, and how much is spent.

    Attributes:
        ks: Numbers of given items, as far as histories go.
        folds: How many of the ten folds are asked in turn and pooled.
        budget: Trials, list length and seed.
        draws: Bootstrap resamples.
        least_users: Validation and test users that a k needs in each round; if no k has them, in
            all rounds together. Beyond, k is left out, and a table without any k.
        newcomers: Whether to add the table that holds out time.

    Raises:
        SettingsError: If folds is not 1 to 10.
    """

    ks: tuple[int, ...] = KS
    folds: int = 1
    budget: Budget = field(default_factory=Budget)
    draws: int = 1000
    least_users: int = LEAST_USERS
    newcomers: bool = True

    def __post_init__(self) -> None:
        if not 1 <= self.folds <= FOLDS:
            raise SettingsError(f"1 to {FOLDS} folds can be asked, got {self.folds}")


@dataclass(frozen=True)
class Contender:
    """Our own training, as the report calls it.

    Attributes:
        train: Gives a bundle that has learned from a split's training users and made its choices
            by the validation users.
        key: Names its options: results are read back only for an equal key.
    """

    train: Callable[[Snapshot, Split], Bundle]
    key: str


def coldstart_report(
    snapshot: Snapshot,
    ours: Contender,
    options: ColdStartOptions,
    cache: ResultCache,
    say: Say = lambda line: None,
) -> ColdStartReport:
    """Measure ours and every baseline by the cold-start protocol.

    Args:
        snapshot: The shop.
        ours: How our own model is trained.
        options: Of the report.
        cache: Where results are kept between runs.
        say: Takes a line of progress after each method.

    Raises:
        DataError: If users are too few, or their histories too short, for any k of any table.
        LeakageError: If anything that is asked about has been learned from.
    """
    seed = options.budget.seed

    def folds() -> list[Split]:
        return [split_users(snapshot, FOLDS, fold, seed) for fold in range(options.folds)]

    protocols: dict[str, Callable[[], list[Split]]] = {USERS_TITLE: folds}
    if options.newcomers:
        protocols[TIME_TITLE] = lambda: [split_time(snapshot)]
    report = _Reporter(snapshot, ours, options, cache, say)
    tables = []
    for title, splits in protocols.items():
        try:
            tables.append(report.table(title, splits()))
        except DataError as error:
            report.warnings.append(f"{title}: left out: {error}")
    if not tables:
        raise DataError("; ".join(report.warnings))
    for table in tables:
        report.warnings += warnings_of(table)
    return ColdStartReport(
        tuple(tables), sentence_of(tables[0]), tuple(report.warnings), asdict(options)
    )


class _Reporter:
    """Tables of one report, and what to keep in mind when reading them."""

    def __init__(
        self,
        snapshot: Snapshot,
        ours: Contender,
        options: ColdStartOptions,
        cache: ResultCache,
        say: Say,
    ) -> None:
        self.snapshot, self.ours, self.options = snapshot, ours, options
        self.cache, self.say = cache, say
        self.warnings: list[str] = []

    def table(self, title: str, splits: Sequence[Split]) -> Table:
        """Every round of one protocol, measured and pooled."""
        held = [hold_out(self.snapshot, split) for split in splits]
        ks, where = self._feasible_ks(held)
        if ks != self.options.ks:
            left_out = ", ".join(str(k) for k in self.options.ks[len(ks) :])
            self.warnings.append(
                f"{title}: k = {left_out} left out: fewer than {self.options.least_users} "
                f"validation or test users {where} have so many items and one more"
            )
        measured, fields, not_used, validation = [], [], dict[str, str](), []
        for number, one in enumerate(held):
            round_ = self._round(f"{title}, round {number + 1}", one, ks)
            comparison = Comparison(round_, self.options.budget, self.cache, self.say)
            key = f"{self.ours.key} {self.snapshot.fingerprint}"
            measured.append([*comparison.ours(key), *comparison.baselines()])
            fields.append(fields_of(self.snapshot, one.split.test[round_.test.rows]))
            not_used |= comparison.left_out
            validation.append(len(round_.validation.rows))
        pool = Pool(title, measured, not_used, self.options.budget.k, fields, min(validation))
        return build_table(pool, self.options.draws)

    def _round(self, name: str, held: Held, ks: Sequence[int]) -> Round:
        train = self.ours.train
        return build_round(name, held, ks, lambda: train(self.snapshot, held.split))

    def _feasible_ks(self, held: Sequence[Held]) -> tuple[tuple[int, ...], str]:
        """The ks, from the first on, that have enough users, and where: in each round, or in all.

        Raises:
            DataError: If no k has, not even in all rounds together.
        """
        ks, least = self.options.ks, self.options.least_users
        parts = [[h.touches().counts for h in (one.validation, one.test)] for one in held]
        # int64[rounds, 2, ks], validation and test users
        users = np.array([[[(n > k).sum() for k in ks] for n in part] for part in parts])
        fewest, together = users.min((0, 1)), users.sum(0)
        for enough, where in (
            (fewest >= least, "of a round"),
            ((together.min(0) >= least) & (fewest > 0), "of all rounds together"),
        ):
            if enough.any():
                return tuple(k for k, have in zip(ks, enough, strict=True) if have), where
        validation, test = (f"{n:,}" for n in together[:, 0])
        more = held[0].split.until is None and len(held) < FOLDS
        raise DataError(
            f"{test} test and {validation} validation users have {ks[0] + 1} distinct "
            f"item{'s' if ks[0] else ''}, where {least} of each are needed to tell anything: "
            f"{f'ask more folds (at most {FOLDS}), or ' if more else ''}import more events"
        )
