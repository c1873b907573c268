"""The cold-start report: figures with intervals, differences, and what they say in words."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from firstedge.models.comparison import OURS, Measured, Role
from firstedge.models.metrics import Interval, intervals, relative_differences
from firstedge.models.protocol import ALL, Evaluation
from firstedge.models.segments import Names, Segment, pool_fields, segments_of, unshown_of

# A relative difference whose interval is wider than this to either side says little.
TELLING = 0.10
# With fewer users the intervals, too, are unsure: resamples of a few are much like one another.
FEW_USERS = 100


@dataclass(frozen=True)
class Line:
    """One method in one table; every tuple runs over the table's labels.

    Attributes:
        name: Of the method.
        role: Ours, a single baseline, the blend of closed forms, or a part of ours.
        objective: Mean NDCG over validation users and ks: by it "the best" is chosen.
        trials: Options tried, a round.
        seconds: For tuning and fitting, all rounds.
        options: As chosen, a round each.
        ndcg: With intervals.
        recall: With intervals.
        coverage: Share of the catalogue on anybody's list, mean over rounds.
        popularity: Mean share of training users that have the items on the lists.
        ndcg_lead: By how much our NDCG exceeds this method's, as a share of it.
        recall_lead: By how much our recall exceeds this method's, as a share of it.
    """

    name: str
    role: Role
    objective: float
    trials: int
    seconds: float
    options: tuple[Mapping[str, Any], ...]
    ndcg: tuple[Interval, ...]
    recall: tuple[Interval, ...]
    coverage: tuple[float, ...]
    popularity: tuple[float, ...]
    ndcg_lead: tuple[Interval, ...]
    recall_lead: tuple[Interval, ...]


@dataclass(frozen=True)
class Table:
    """One protocol's figures.

    Attributes:
        title: What is held out.
        users: Test users, all rounds together.
        rounds: How many rounds were pooled.
        labels: Given items: "0", "1", ..., "all".
        k: Length of the ranked lists.
        lines: Ours first, then the others.
        left_out: Methods that the data do not allow, and why.
        segments: Groups of test users at the telling label, against the best single baseline.
        unshown: Fields with groups that are not among them, and why.
        validation_users: Of the round that has the fewest, None if that is not known.
    """

    title: str
    users: int
    rounds: int
    labels: tuple[str, ...]
    k: int
    lines: tuple[Line, ...]
    left_out: Mapping[str, str]
    segments: tuple[Segment, ...] = ()
    unshown: tuple[str, ...] = ()
    validation_users: int | None = None

    @property
    def ours(self) -> Line:
        """Our own line."""
        return next(line for line in self.lines if line.role == "ours")

    @property
    def best_single(self) -> Line:
        """The best single baseline, as validation users chose it."""
        return max((x for x in self.lines if x.role == "single"), key=lambda x: x.objective)

    @property
    def blend(self) -> Line:
        """The best blend of the closed forms."""
        return next(line for line in self.lines if line.role == "blend")

    @property
    def popularity(self) -> Line:
        """The bestsellers' line."""
        return next(line for line in self.lines if line.name == "popularity")

    @property
    def telling_label(self) -> str:
        """The label of which the sentence speaks: 3 given items, or the nearest there is."""
        fixed = [label for label in self.labels if label not in ("0", ALL)]
        return min(fixed, key=lambda label: abs(int(label) - 3)) if fixed else self.labels[0]

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        lines = [_finite(asdict(line)) for line in self.lines]
        return {
            **vars(self),
            "left_out": dict(self.left_out),
            "lines": lines,
            "segments": [_finite(asdict(segment)) for segment in self.segments],
            "best_single": self.best_single.name,
            "blend": self.blend.name,
            "sentence": sentence_of(self),
        }


@dataclass(frozen=True)
class Pool:
    """Rounds to be pooled into one table.

    Attributes:
        title: What is held out.
        rounds: Measured methods of each round, ours among them.
        left_out: Methods that the data do not allow, and why.
        k: Length of the ranked lists.
        fields: What tells each round's test users apart, see `segments.fields_of`.
        validation_users: Of the round that has the fewest, None if that is not known.
    """

    title: str
    rounds: Sequence[Sequence[Measured]]
    left_out: Mapping[str, str]
    k: int
    fields: Sequence[Mapping[str, Names]] = ()
    validation_users: int | None = None


def build_table(pool: Pool, draws: int = 1000) -> Table:
    """Users of all rounds together, and the methods that every round has.

    Args:
        pool: The rounds.
        draws: Bootstrap resamples.
    """
    rounds = pool.rounds
    names = [one.name for one in rounds[0] if all(one.name in _names(r) for r in rounds)]
    pooled = {name: [one for r in rounds for one in r if one.name == name] for name in names}
    ours = _pool([one.test for one in pooled[OURS]])
    lines = [_line(pooled[name], ours, draws) for name in names]
    lines.sort(key=lambda line: line.role not in ("ours", "part"))
    users = ours.ndcg.shape[1]
    table = Table(
        title=pool.title,
        users=users,
        rounds=len(rounds),
        labels=ours.labels,
        k=pool.k,
        lines=tuple(lines),
        left_out=pool.left_out,
        validation_users=pool.validation_users,
    )
    fields = pool_fields(pool.fields)
    if not fields:
        return table
    at = ours.labels.index(table.telling_label)
    theirs = _pool([one.test for one in pooled[table.best_single.name]])
    segments = segments_of(fields, ours.ndcg[at], theirs.ndcg[at], draws)
    return replace(table, segments=segments, unshown=unshown_of(fields))


@dataclass(frozen=True)
class ColdStartReport:
    """What a shop may expect of the first answers to a stranger.

    Attributes:
        tables: Users held out, and newcomers after a point in time where that was asked for.
        sentence: The first table's result in plain words, good or bad.
        warnings: What to keep in mind when reading it.
        options: Of the report.
    """

    tables: tuple[Table, ...]
    sentence: str
    warnings: tuple[str, ...]
    options: Mapping[str, Any]

    def as_dict(self) -> dict[str, Any]:
        """JSON values; a number that is not one is None."""
        tables = [table.as_dict() for table in self.tables]
        return {**vars(self), "tables": tables, "options": dict(self.options)}


def percent(share: float, sign: str = "+") -> str:
    """A share in percent with its sign, "n/a" where there is none."""
    if math.isnan(share):
        return "n/a"
    text = f"{100 * share:{'+' if sign == '+' else ''}.{0 if abs(share) >= 0.0995 else 1}f} %"
    return sign.strip("+") + text


def bounds(lead: Interval) -> str:
    """An interval in percent."""
    return f"{percent(lead.low)} to {percent(lead.high)}"


def sentence_of(table: Table) -> str:
    """The result in one plain sentence, bad news like good."""
    label, best, blend = table.telling_label, table.best_single, table.blend
    at = table.labels.index(label)
    lead, beside = best.recall_lead[at], blend.recall_lead[at]
    text = (
        f"with {label} event{'' if label == '1' else 's'} "
        f"{_finding(lead, 'of what the customer goes on to buy ')} {best.name} ({bounds(lead)}); "
        f"against the {blend.name} the difference is {percent(beside.mean)} ({bounds(beside)})"
    )
    if "0" in table.labels:
        start = table.popularity.recall_lead[table.labels.index("0")]
        text += f"; at k = 0 {_beginning(start)}"
    return text


def warnings_of(table: Table) -> list[str]:
    """What makes the figures less than they seem."""
    found = []
    if table.users < FEW_USERS:
        found.append(
            f"{table.title}: too few users: of {table.users:,} test users, fewer than "
            f"{FEW_USERS}, the intervals are unsure, too, however narrow; "
            "more folds or events would tell more"
        )
    chosen_by = table.validation_users
    if chosen_by is not None and chosen_by < FEW_USERS:
        found.append(
            f"{table.title}: few validation users: by {chosen_by:,}, fewer than {FEW_USERS}, "
            "every method's options were chosen, and so was the best single baseline"
        )
    lead = table.best_single.recall_lead[table.labels.index(table.telling_label)]
    if not _is_narrow(lead):
        width = (lead.high - lead.low) / 2
        about = "has no scale" if math.isnan(width) else f"is known to {percent(width, '±')} only"
        found.append(
            f"{table.title}: too small to tell: with {table.users:,} test users the difference "
            f"to {table.best_single.name} {about}; more folds or events would tell more"
        )
    return found


def _names(measured: Sequence[Measured]) -> set[str]:
    return {one.name for one in measured}


def _pool(tests: Sequence[Evaluation]) -> Evaluation:
    columns = {
        name: np.concatenate([getattr(test, name) for test in tests], axis=1)
        for name in ("ndcg", "recall", "popularity")
    }
    coverage = np.mean([test.coverage for test in tests], axis=0)
    return Evaluation(tests[0].labels, coverage=coverage, **columns)


def _line(measured: Sequence[Measured], ours: Evaluation, draws: int) -> Line:
    first, test = measured[0], _pool([one.test for one in measured])
    return Line(
        name=first.name,
        role=first.role,
        objective=float(np.mean([one.objective for one in measured])),
        trials=first.trials,
        seconds=sum(one.seconds for one in measured),
        options=tuple(one.options for one in measured),
        ndcg=intervals(test.ndcg, draws),
        recall=intervals(test.recall, draws),
        coverage=tuple(test.coverage.tolist()),
        popularity=tuple(test.popularity.mean(1).tolist()),
        ndcg_lead=relative_differences(ours.ndcg, test.ndcg, draws),
        recall_lead=relative_differences(ours.recall, test.recall, draws),
    )


def _is_narrow(lead: Interval) -> bool:
    return (lead.high - lead.low) / 2 <= TELLING  # no for NaN


def _finding(lead: Interval, what: str) -> str:
    """What ours finds, up to the name of the method that it is held against."""
    if lead.low > 0:
        return f"{OURS} finds {percent(lead.mean, sign='')} more {what}than"
    if lead.high < 0:
        return f"{OURS} finds {percent(-lead.mean, sign='')} less {what}than"
    if _is_narrow(lead):
        return f"{OURS} finds about as much {what}as"
    return f"it cannot be told whether {OURS} finds more or less {what}than"


def _beginning(lead: Interval) -> str:
    """The same of somebody who is a stranger altogether, against popularity."""
    if lead.low == lead.high == 0:
        return "it equals popularity"
    if lead.low > 0 or lead.high < 0 or _is_narrow(lead):
        return f"{_finding(lead, '').replace(OURS, 'it', 1)} popularity"
    return f"it cannot be told apart from popularity ({bounds(lead)})"


def _finite(value: Any) -> Any:
    """The same JSON value, None for every number that is not finite."""
    if isinstance(value, dict):
        return {name: _finite(part) for name, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
