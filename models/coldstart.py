"""How good the first answers to a stranger are, on a shop's own data, against what else there is.

Users are held out whole: one fold is asked, the next makes every choice, the rest teaches. A second
table holds out time: what was known by a moment teaches, whoever came later is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field

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
from firstedge.models.segments import fields_of
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
        least_users: Validation and test users that a k needs in a round; beyond, k is left out.
        newcomers: Whether to add the table that holds out time.

    Raises:
        SettingsError: If folds is not 1 to 10.
    """

    ks: tuple[int, ...] = KS
    folds: int = 1
    budget: Budget = field(default_factory=Budget)
    draws: int = 1000
    least_users: int = 30
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
        DataError: If users are too few, or their histories too short, for any k.
        LeakageError: If anything that is asked about has been learned from.
    """
    seed = options.budget.seed
    splits = [split_users(snapshot, FOLDS, fold, seed) for fold in range(options.folds)]
    report = _Reporter(snapshot, ours, options, cache, say)
    tables = [report.table(USERS_TITLE, splits)]
    if options.newcomers:
        try:
            tables.append(report.table(TIME_TITLE, [split_time(snapshot)]))
        except DataError as error:
            report.warnings.append(f"{TIME_TITLE}: left out: {error}")
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
        ks = self._feasible_ks(held)
        if ks != self.options.ks:
            left_out = ", ".join(str(k) for k in self.options.ks[len(ks) :])
            self.warnings.append(
                f"{title}: k = {left_out} left out: fewer than {self.options.least_users} users "
                "of a round have so many items and one more"
            )
        measured, fields, not_used = [], [], dict[str, str]()
        for number, one in enumerate(held):
            round_ = self._round(f"{title}, round {number + 1}", one, ks)
            comparison = Comparison(round_, self.options.budget, self.cache, self.say)
            key = f"{self.ours.key} {self.snapshot.fingerprint}"
            measured.append([*comparison.ours(key), *comparison.baselines()])
            fields.append(fields_of(self.snapshot, one.split.test[round_.test.rows]))
            not_used |= comparison.left_out
        pool = Pool(title, measured, not_used, self.options.budget.k, fields)
        return build_table(pool, self.options.draws)

    def _round(self, name: str, held: Held, ks: Sequence[int]) -> Round:
        train = self.ours.train
        return build_round(name, held, ks, lambda: train(self.snapshot, held.split))

    def _feasible_ks(self, held: Sequence[Held]) -> tuple[int, ...]:
        """The ks, from the first on, for which every round has enough users."""
        counts = [
            histories.touches().counts for one in held for histories in (one.validation, one.test)
        ]
        for least in (self.options.least_users, 1):
            ks = [k for k in self.options.ks if all(int((n > k).sum()) >= least for n in counts)]
            if ks:
                return tuple(ks)
        raise DataError(
            f"a round has no validation or no test user with {self.options.ks[0] + 1} distinct "
            "items: import more events"
        )
