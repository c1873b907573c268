"""What is answered: items in order, and what of the question could not be used."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from firstedge.serving.reasons import Explanation


@dataclass(frozen=True)
class Unused:
    """What of a Query did not enter the answer.

    Attributes:
        items: Events of items that the bundle does not know.
        categories: Events of categories that it does not know.
        profile: Profile values that it does not know.
        text: Whether there was a text that was not read (no encoder here, or a model that learned
            nothing from the texts of users).
    """

    items: int = 0
    categories: int = 0
    profile: int = 0
    text: bool = False

    def __bool__(self) -> bool:
        return self != NOTHING_UNUSED

    def __str__(self) -> str:
        parts = [
            f"{name}: {count:,}"
            for name, count in (
                ("events of unknown items", self.items),
                ("events of unknown categories", self.categories),
                ("unknown profile values", self.profile),
            )
            if count
        ]
        return ", ".join([*parts, "the text"] if self.text else parts)


NOTHING_UNUSED = Unused()


@dataclass(frozen=True, eq=False)
class Ranking:
    """Items for a user, the best first; of equal scores the lower id. Iterates over the ids.

    Attributes:
        ids: k item ids.
        scores: float32[k], comparable within one Ranking only.
        titles: k texts to show.
        num_given: Distinct items and categories that spoke for the user; 0 is a stranger.
        reasons: An Explanation for each item where they were asked for, else empty.
        unused: What of the Query could not be used.
    """

    ids: tuple[str, ...]
    scores: npt.NDArray[np.float32]
    titles: tuple[str, ...]
    num_given: int = 0
    reasons: tuple[Explanation, ...] = ()
    unused: Unused = NOTHING_UNUSED

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __repr__(self) -> str:
        return f"Ranking({len(self)} items, {self.num_given} given)\n{self}"

    def __str__(self) -> str:
        width = max((len(id_) for id_ in self.ids), default=0)
        lines = []
        for place, id_ in enumerate(self.ids):
            reason = f"  ({self.reasons[place]})" if self.reasons else ""
            title = self.titles[place]
            lines.append(
                f"{place + 1:>3}  {self.scores[place]:+.3f}  {id_:<{width}}  {title}{reason}"
            )
        if self.unused:
            lines.append(f"not used: {self.unused}")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """JSON values."""
        items: list[dict[str, Any]] = [
            {"id": id_, "title": title, "score": score}
            for id_, title, score in zip(self.ids, self.titles, self.scores.tolist(), strict=True)
        ]
        for item, reason in zip(items, self.reasons, strict=False):
            item["reasons"] = reason.as_dict()["reasons"]
            item["because"] = str(reason)
        return {"items": items, "num_given": self.num_given, "unused": asdict(self.unused)}
