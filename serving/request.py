"""One request for a ranking as one value."""

from __future__ import annotations

from dataclasses import dataclass

from firstedge.graph.errors import QueryError
from firstedge.graph.vocabulary import Unknown
from firstedge.serving.filter import EVERYTHING, Filter
from firstedge.serving.query import Query


@dataclass(frozen=True)
class Request:
    """A Query and what is to be answered.

    Attributes:
        query: What is known of the user.
        k: How many items; fewer come back only where fewer pass the filter.
        filter: Which items may be answered.
        reasons: Whether to explain each item.
        unknown: Whether an id that the bundle does not know is skipped and counted in
            `Ranking.unused`, or an error.

    Raises:
        QueryError: If k is not a whole number above 0.
    """

    query: Query
    k: int = 20
    filter: Filter = EVERYTHING
    reasons: bool = False
    unknown: Unknown = "skip"

    def __post_init__(self) -> None:
        check_k(self.k)


def check_k(k: object) -> None:
    """Hold a number of items against what can be answered.

    Raises:
        QueryError: If it is not a whole number above 0.
    """
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise QueryError(f"k is how many items to answer, a whole number above 0, got {k!r}")
