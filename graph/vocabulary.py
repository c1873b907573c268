"""Ids to rows and back: the one place where a shop's keys become positions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

import numpy as np
import numpy.typing as npt

from firstedge.graph.errors import UnknownId

Unknown = Literal["error", "skip"]


@dataclass(frozen=True)
class Vocabulary:
    """An ordered set of ids; an id's row is its position.

    Args:
        ids: Distinct ids, in row order.
        noun: What an id names, for error texts ("item", "category", ...).

    Raises:
        ValueError: If an id occurs twice.
    """

    ids: tuple[str, ...]
    noun: str = "item"
    _rows: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        rows = {id_: row for row, id_ in enumerate(self.ids)}
        if len(rows) != len(self.ids):
            raise ValueError(f"{self.noun} ids are not distinct")
        object.__setattr__(self, "_rows", rows)

    @classmethod
    def of(cls, ids: Iterable[str], noun: str = "item") -> Vocabulary:
        """The sorted distinct ids: the same vocabulary whatever order they came in."""
        return cls(tuple(sorted(set(ids))), noun)

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[str]:
        return iter(self.ids)

    def __contains__(self, id_: object) -> bool:
        return id_ in self._rows

    def __repr__(self) -> str:
        return f"Vocabulary({len(self):,} {self.noun} ids)"

    def row(self, id_: str) -> int:
        """The row of ``id_``.

        Raises:
            UnknownId: If it is not here; the text names the nearest id.
        """
        try:
            return self._rows[id_]
        except KeyError:
            near = get_close_matches(id_, self.ids[:50_000], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise UnknownId(
                f"{self.noun} id {id_!r} is not among the {len(self):,} known ones{hint}"
            ) from None

    def rows(self, ids: Sequence[str], unknown: Unknown = "error") -> npt.NDArray[np.int64]:
        """The rows of many ids, int64[n]; with ``unknown="skip"`` a missing id gives -1.

        Raises:
            UnknownId: If an id is missing and ``unknown`` is "error".
        """
        found = np.fromiter((self._rows.get(i, -1) for i in ids), np.int64, len(ids))
        if unknown == "error" and (found < 0).any():
            self.row(ids[int(np.flatnonzero(found < 0)[0])])
        return found
