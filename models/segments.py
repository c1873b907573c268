"""Which customers the first answers serve: test users apart by profile, by category, by time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from firstedge.graph.histories import NO_TIME
from firstedge.loaders.snapshot import Snapshot
from firstedge.models.metrics import Interval, intervals, relative_differences

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Names = npt.NDArray[np.str_]

# A smaller group says nothing; of a field with many values the largest groups are shown.
LEAST_USERS = 30
MOST_VALUES = 6

FIRST_CATEGORY = "first item's category"
FIRST_SEEN = "first seen"
_PARTS = 3  # of the time


@dataclass(frozen=True)
class Segment:
    """One group of test users at one number of given items.

    Attributes:
        field: What they are told apart by: a profile field, the first item's category, time.
        value: What they share.
        users: How many.
        ndcg: Of ours.
        lead: By how much it exceeds the best single baseline's, as a share of that.
    """

    field: str
    value: str
    users: int
    ndcg: Interval
    lead: Interval

    @property
    def unsure(self) -> bool:
        """Whether the difference could be chance."""
        return not (self.lead.low > 0 or self.lead.high < 0)


def fields_of(snapshot: Snapshot, users: Ints) -> dict[str, Names]:
    """What tells users apart, by field: a value for each user, "" where there is none.

    Profile fields; the uppermost category of the item that a user touched first; the third of the
    time in which a user was first seen, by the first events of all users.

    Args:
        snapshot: The shop.
        users: int64[n], user rows.
    """
    found = _profiles(snapshot, users)
    speaking = snapshot.histories.speaking(snapshot.schema).take(users)
    touches = speaking.touches()
    first = np.minimum(touches.offsets[:-1], max(len(touches.items) - 1, 0))
    known = touches.counts > 0
    if len(snapshot.categories) and known.any():
        names = np.array([*snapshot.texts.categories, ""])
        tops = _tops(snapshot.parents)
        primary = snapshot.primary[touches.items[first]]
        top = np.where(known & (primary >= 0), tops[primary], -1)
        found[FIRST_CATEGORY] = names[top]
    times = _first_times(snapshot, np.arange(len(snapshot.users)))
    dated = np.sort(times[times != NO_TIME])
    if len(dated):
        cuts = dated[len(dated) * np.arange(1, _PARTS) // _PARTS]
        part = np.searchsorted(cuts, times[users], side="right")
        found[FIRST_SEEN] = np.where(times[users] != NO_TIME, _spans(dated, cuts)[part], "")
    return {name: values for name, values in found.items() if len(set(values) - {""}) > 1}


def segments_of(
    fields: Mapping[str, Names], ours: Doubles, theirs: Doubles, draws: int
) -> tuple[Segment, ...]:
    """Groups that are large enough, of each field the largest ones first, those of time in order.

    Args:
        fields: As `fields_of` gives them, n users.
        ours: float64[n], our NDCG of each user.
        theirs: float64[n], the best single baseline's.
        draws: Bootstrap resamples.
    """
    found = []
    for field, values in fields.items():
        shown, _ = _groups(values)
        for name in np.sort(shown) if field == FIRST_SEEN else shown:
            of = values == name
            (ndcg,) = intervals(ours[None, of], draws)
            (lead,) = relative_differences(ours[None, of], theirs[None, of], draws)
            found.append(Segment(field, str(name), int(of.sum()), ndcg, lead))
    return tuple(found)


def unshown_of(fields: Mapping[str, Names]) -> tuple[str, ...]:
    """Fields of which `segments_of` leaves groups out, and why."""
    found = []
    for field, values in fields.items():
        shown, counts = _groups(values)
        small = int((counts < LEAST_USERS).sum())
        more = len(counts) - small - len(shown)
        reasons = [f"{small} of {len(counts)} groups under {LEAST_USERS} users"] if small else []
        reasons += [f"{more} smaller than the {MOST_VALUES} largest"] if more else []
        if not len(shown):
            reasons = [f"groups under {LEAST_USERS} users"]
        if reasons:
            found.append(f"{field} ({', '.join(reasons)})")
    return tuple(found)


def pool_fields(rounds: Sequence[Mapping[str, Names]]) -> dict[str, Names]:
    """The users of all rounds together, as far as every round has a field."""
    if not rounds:
        return {}
    names = [name for name in rounds[0] if all(name in one for one in rounds)]
    return {name: np.concatenate([one[name] for one in rounds]) for name in names}


def _groups(values: Names) -> tuple[Names, Ints]:
    """Names of the groups that are shown, the largest first, and int64[m], users of every group."""
    names, counts = np.unique(values[values != ""], return_counts=True)
    largest = np.lexsort((names, -counts))[:MOST_VALUES]
    return names[largest[counts[largest] >= LEAST_USERS]], counts


def _profiles(snapshot: Snapshot, users: Ints) -> dict[str, Any]:
    profiles, ids = snapshot.profiles[users], snapshot.profile_values.ids
    owners = np.repeat(np.arange(len(users)), np.diff(profiles.indptr))
    pairs = [ids[column].split("=", 1) for column in profiles.indices]
    found: dict[str, Any] = {}
    for field in snapshot.schema.user.profile:
        at = np.array([row for row, pair in enumerate(pairs) if pair[0] == field], np.int64)
        values = np.full(len(users), "", object)
        values[owners[at]] = [pairs[row][1] for row in at]
        found[field] = values.astype(str)
    return found


def _tops(parents: Ints) -> Ints:
    """int64[m], the root above each category."""
    tops = np.arange(len(parents))
    while (parents[tops] >= 0).any():
        tops = np.where(parents[tops] >= 0, parents[tops], tops)
    return tops


def _first_times(snapshot: Snapshot, users: Ints) -> Ints:
    """int64[n], the time of each user's first event that has one, NO_TIME without any."""
    histories = snapshot.histories
    latest = np.iinfo(np.int64).max
    first = np.full(len(snapshot.users), latest)
    dated = histories.times != NO_TIME
    np.minimum.at(first, histories.users[dated], histories.times[dated])
    return np.where(first == latest, NO_TIME, first)[users]


def _spans(dated: Ints, cuts: Ints) -> Names:
    """A name of each part of the time: "2010-12-01 to 2011-02-14"."""
    starts = np.concatenate((dated[:1], cuts)).astype("datetime64[ms]").astype("datetime64[D]")
    ends = np.concatenate((cuts - 1, dated[-1:])).astype("datetime64[ms]").astype("datetime64[D]")
    return np.array([f"{a} to {b}" for a, b in zip(starts, ends, strict=True)])
