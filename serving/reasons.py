"""Why an item: exact shares of its score, each joined with the path in the graph behind it."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from firstedge.models.bundle import Bundle
from firstedge.models.scorer import Contributions, Scorer, UserBatch

Ints = npt.NDArray[np.int64]

Path = Literal[
    "again", "together", "category", "interest", "similar", "profile", "text", "popular", "others"
]
_SAID = 2  # reasons in a sentence


@dataclass(frozen=True)
class Reason:
    """One share of a score.

    Attributes:
        path: How the share comes about: the same item ("again"), users who chose both
            ("together"), a "category" in common with a given item, an "interest" in a category
            that the item is in, a "similar" text or place in the graph, a value of the user's
            "profile", their "text", how "popular" the item is with everybody, or all the "others"
            that are not listed.
        id: The given item or category, or the profile value; empty where there is none.
        title: A text to show for it.
        share: What it adds to the score; may be negative.
        count: Users behind it: who chose both ("together"), who chose the item ("popular"); or
            how many shares there are in "others".
        via: The name of the category in common.
    """

    path: Path
    id: str
    title: str
    share: float
    count: int = 0
    via: str = ""

    def __str__(self) -> str:
        users = f"{self.count:,} user{'' if self.count == 1 else 's'}"
        phrases: Mapping[Path, str] = {
            "again": "you had it before",
            "together": f"chosen together with {self.title} by {users}",
            "category": f"in {self.via} like {self.title}",
            "interest": f"in {self.title}",
            "similar": f"similar to {self.title}",
            "profile": f"from your profile {self.title}",
            "text": "from what you wrote",
            "popular": f"chosen by {users}" if self.count else "new here",
            "others": f"{self.count:,} further shares",
        }
        return phrases[self.path]


@dataclass(frozen=True)
class Explanation:
    """Why an item has its score. ``str()`` gives a sentence.

    Attributes:
        id: The item.
        title: A text to show for it.
        score: Its score, the sum of all shares.
        reasons: The shares, the largest first and "others" last.
    """

    id: str
    title: str
    score: float
    reasons: tuple[Reason, ...]

    def __str__(self) -> str:
        told = [r for r in self.reasons if r.share > 0 and r.path not in ("popular", "others")]
        told = told[:_SAID] or [r for r in self.reasons if r.path == "popular"]
        return " and ".join(map(str, told))

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "id": self.id,
            "title": self.title,
            "score": self.score,
            "reasons": [asdict(reason) for reason in self.reasons],
            "because": str(self),
        }


class Explainer:
    """Explains scores of a bundle.

    Args:
        scorer: The bundle's scorer.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._bundle: Bundle = scorer.bundle
        self._num_items = len(scorer.bundle.items)

    def explain(
        self,
        user: UserBatch,
        items: Ints,
        scores: npt.NDArray[np.float32],
        most: int | None = None,
    ) -> tuple[Explanation, ...]:
        """Explain the scores of items for one user.

        Args:
            user: A batch of one user.
            items: int64[n], distinct item rows.
            scores: float32[n], their scores. What float32 sums lost to rounding is counted to
                "popular", so that the shares add up.
            most: How many of the events and profile values to list; the rest is added up in
                "others". All if None.
        """
        if not len(items):
            return ()
        parts = self._scorer.contributions(user, items)
        return tuple(
            self._explain_one(parts, column, int(item), float(score), most)
            for column, (item, score) in enumerate(zip(items, scores, strict=True))
        )

    def _explain_one(
        self, parts: Contributions, column: int, item: int, score: float, most: int | None
    ) -> Explanation:
        shares = np.concatenate((parts.events[:, column], parts.profiles[:, column]))
        order = np.argsort(-shares, kind="stable")
        order = order[shares[order] != 0]
        listed, rest = order[:most], order[len(order[:most]) :]
        categories = self._categories_of(item)
        reasons = [
            self._of_event(int(parts.targets[at]), item, categories, float(shares[at]))
            if at < len(parts.targets)
            else self._of_profile(
                int(parts.profile_rows[at - len(parts.targets)]), float(shares[at])
            )
            for at in listed.tolist()
        ]
        if text := float(parts.text[column]):
            reasons.append(Reason("text", "", "", text))
        if len(rest):
            others = math.fsum(shares[rest].tolist())
            reasons.append(Reason("others", "", "", others, len(rest)))
        prior = score - math.fsum(reason.share for reason in reasons)
        reasons.append(Reason("popular", "", "", prior, int(self._bundle.table.counts[item])))
        reasons.sort(key=lambda reason: (reason.path == "others", -reason.share))
        return Explanation(
            self._bundle.items.ids[item], self._bundle.table.titles[item], score, tuple(reasons)
        )

    def _of_profile(self, row: int, share: float) -> Reason:
        value = self._bundle.profile_values.ids[row]
        return Reason("profile", value, value, share)

    def _of_event(self, target: int, item: int, categories: set[int], share: float) -> Reason:
        b, n = self._bundle, self._num_items
        if target >= n:
            row = target - n
            path: Path = "interest" if row in categories else "similar"
            return Reason(path, b.categories.ids[row], b.table.category_names[row], share)
        id_, title = b.items.ids[target], b.table.titles[target]
        if target == item:
            return Reason("again", id_, title, share)
        if together := self._users_of_both(target, item):
            return Reason("together", id_, title, share, together)
        category = int(b.table.primary[target])
        if category in categories:
            via = b.table.category_names[category]
            return Reason("category", id_, title, share, via=via)
        return Reason("similar", id_, title, share)

    def _users_of_both(self, source: int, target: int) -> int:
        edges = self._bundle.edges
        stop = int(edges.offsets[source + 1])
        at = bisect_left(edges.targets, target, int(edges.offsets[source]), stop)
        return int(edges.counts[at]) if at < stop and edges.targets[at] == target else 0

    def _categories_of(self, item: int) -> set[int]:
        """Rows of an item's categories and of all above them."""
        table = self._bundle.table
        todo = table.memberships.targets[table.memberships.of_source(item)].tolist()
        found: set[int] = set()
        while todo:
            category = todo.pop()
            if category >= 0 and category not in found:
                found.add(category)
                todo.append(int(table.parents[category]))
        return found
