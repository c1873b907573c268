"""The Recommender: Queries in, Rankings out. No torch; safe to use from several threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
import numpy.typing as npt

from firstedge.graph.errors import QueryError
from firstedge.graph.histories import Given
from firstedge.graph.text import TextEncoder
from firstedge.graph.vocabulary import Unknown
from firstedge.models.bundle import Bundle
from firstedge.models.bundle_file import load_bundle
from firstedge.models.scorer import Scorer, UserBatch
from firstedge.models.topk import top_k
from firstedge.serving.filter import EVERYTHING, Filter
from firstedge.serving.finder import Finder, Found, Wanted
from firstedge.serving.item_index import ItemIndex
from firstedge.serving.query import Query
from firstedge.serving.ranking import NOTHING_UNUSED, Ranking, Unused
from firstedge.serving.reading import QueryReader, Read, default_kind
from firstedge.serving.reasons import Explainer, Explanation
from firstedge.serving.request import Request, check_k

if TYPE_CHECKING:
    from firstedge.serving.nearest import Nearest

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

LISTED_REASONS = 5
_CELLS = 8_000_000  # scores held at a time


class Recommender:
    """Answers for users it has never seen, from a trained bundle.

    Args:
        bundle: The trained model.
        encoder: The text encoder that the bundle was trained with, for the texts of users and of
            new items; without one a user's text is reported as unused.
        approximate: Whether only items near to the user are scored, which is faster from some
            hundred thousand items on and misses a little; see `serving/nearest.py`. Needs faiss,
            and time to build its index.

    Raises:
        BundleError: If the bundle was trained with another encoder.
        MissingDependency: If ``approximate`` needs faiss and it is not installed.
    """

    def __init__(
        self, bundle: Bundle, encoder: TextEncoder | None = None, approximate: bool = False
    ) -> None:
        self.bundle = bundle
        self._encoder = encoder
        self._reader = QueryReader(bundle, encoder)
        self._scorer = Scorer(bundle)
        self._index = ItemIndex(bundle)
        self._finder = _finder(self._scorer, approximate)
        self._explainer = Explainer(self._scorer)

    @classmethod
    def load(
        cls, path: str | Path, encoder: TextEncoder | None = None, approximate: bool = False
    ) -> Self:
        """A recommender for the current version of the bundle at ``path``.

        Raises:
            BundleError: If there is no such bundle, or it is harmed.
        """
        return cls(load_bundle(path), encoder, approximate)

    def of(self, bundle: Bundle) -> Self:
        """A recommender like this one for the same bundle with further items behind its own."""
        other = type(self)(bundle, self._encoder)
        if not isinstance(self._finder, Finder):
            other._finder = self._finder.over(other._scorer)
        return other

    @property
    def encoder(self) -> TextEncoder | None:
        """The text encoder."""
        return self._encoder

    def __repr__(self) -> str:
        return f"Recommender({self.bundle!r})"

    def recommend(
        self,
        query: Query,
        k: int = 20,
        filter: Filter = EVERYTHING,  # noqa: A002
        reasons: bool = False,
        unknown: Unknown = "skip",
    ) -> Ranking:
        """The k best items for a user.

        Args:
            query: What is known of the user.
            k: How many; fewer come back only where fewer pass the filter.
            filter: Which items may be answered.
            reasons: Whether to explain each item.
            unknown: Whether an id that the bundle does not know is skipped and counted in
                `Ranking.unused`, or an error.

        Raises:
            QueryError: If the query or the filter cannot be answered as it is put.
            UnknownId: If an id is unknown and ``unknown`` is "error".
        """
        return self.recommend_batch([query], k, filter, reasons, unknown)[0]

    def recommend_batch(
        self,
        queries: Sequence[Query],
        k: int = 20,
        filter: Filter = EVERYTHING,  # noqa: A002
        reasons: bool = False,
        unknown: Unknown = "skip",
    ) -> list[Ranking]:
        """`recommend` for many users under one filter: the same answers as one by one."""
        return self.answer([Request(query, k, filter, reasons, unknown) for query in queries])

    def answer(self, requests: Sequence[Request]) -> list[Ranking]:
        """`recommend` for many requests: the same answers as one by one.

        Raises:
            QueryError: If one of them cannot be answered as it is put.
            UnknownId: If an id is unknown in a request that says so.
        """
        masks: dict[int, Bools | None] = {}
        for one in requests:
            if id(one.filter) not in masks:
                masks[id(one.filter)] = self._index.mask(one.filter)
        rankings: dict[int, Ranking] = {}
        for unknown in dict.fromkeys(one.unknown for one in requests):
            places = [at for at, one in enumerate(requests) if one.unknown == unknown]
            for some in self._chunks(places):
                asked = [requests[at] for at in some]
                wanted = [
                    Wanted(one.k, masks[id(one.filter)], one.filter.exclude_given) for one in asked
                ]
                read = self._reader.read([one.query for one in asked], unknown)
                rankings.update(zip(some, self._rankings(read, asked, wanted), strict=True))
        return [rankings[at] for at in range(len(requests))]

    def score(self, query: Query, items: Sequence[str], unknown: Unknown = "skip") -> Floats:
        """float32[len(items)]: the scores of these items, whatever a filter would say.

        Args:
            query: What is known of the user.
            items: Item ids.
            unknown: What to do about unknown ids in the query; one in ``items`` is an error.

        Raises:
            UnknownId: If an item is not in the bundle.
        """
        rows = self.bundle.items.rows(items)
        return self._scorer.score(self._reader.read([query], unknown).users)[0, rows]

    def explain(self, query: Query, item: str, unknown: Unknown = "skip") -> Explanation:
        """Why an item has its score for a user: every share, adding up to the score.

        Raises:
            UnknownId: If the item is not in the bundle.
        """
        row = np.array([self.bundle.items.row(item)])
        user = self._reader.read([query], unknown).users
        return self._explainer.explain(user, row, self._scorer.score(user)[0, row])[0]

    def embed_users(self, queries: Sequence[Query], unknown: Unknown = "skip") -> Floats:
        """float32[n, dim]: the users' vectors.

        Their products with `embed_items` are what a vector database would rank by; times the
        net's coefficient they are what the net adds to the scores.
        """
        return self._scorer.embed_users(self._reader.read(queries, unknown).users)

    def embed_items(self, ids: Sequence[str] | None = None) -> Floats:
        """float32[n, dim]: vectors of these items, or of all in the order of the bundle.

        Raises:
            UnknownId: If an item is not in the bundle.
        """
        w = self.bundle.w
        return w.copy() if ids is None else w[self.bundle.items.rows(ids)]

    def embed_new_items(
        self, texts: Sequence[str], categories: Sequence[Sequence[str]] | None = None
    ) -> Floats:
        """float32[n, dim]: vectors of items that the bundle does not know.

        Args:
            texts: A text for each item, in the form of the Schema's template; may be empty.
            categories: Ids of each item's categories, or None for none.

        Raises:
            UnknownId: If a category is not in the bundle.
            QueryError: If there is a text and no encoder, or the lengths differ.
        """
        b = self.bundle
        if categories is not None and len(categories) != len(texts):
            raise QueryError(f"{len(texts)} texts, but categories of {len(categories)} items")
        vectors = np.zeros((len(texts), b.dim), np.float32)
        if any(text.strip() for text in texts) and b.text_w.any():
            if self._encoder is None:
                raise QueryError(
                    f"texts need the encoder {b.encoder!r}: pass it to Recommender.load, or give "
                    "empty texts and categories"
                )
            vectors += self._encoder.encode(texts) @ b.text_w
        for at, ids in enumerate(categories or ()):
            if ids:
                vectors[at] += b.category_w[b.categories.rows(ids)].mean(axis=0)
        return vectors

    def similar_items(
        self,
        id: str,  # noqa: A002
        k: int = 20,
        filter: Filter = EVERYTHING,  # noqa: A002
    ) -> Ranking:
        """The k items to whose scores an event on this item adds most, popularity left aside.

        Args:
            id: The item; it is not in the answer.
            k: How many.
            filter: Which items may be answered.

        Raises:
            UnknownId: If the item is not in the bundle.
        """
        check_k(k)
        row = self.bundle.items.row(id)
        given = Given(
            np.array([0, 1]),
            np.array([row]),
            np.array([default_kind(self.bundle.schema, "item") or 0]),
            np.zeros(1, np.int64),
            np.ones(1, np.float32),
        )
        lift = self._scorer.lift(given)[0]
        lift[row] = -np.inf
        rows = top_k(lift, k, self._index.mask(filter))
        return self._ranking(Found(rows, lift[rows]), 1, NOTHING_UNUSED)

    def _chunks(self, places: list[int]) -> Iterator[list[int]]:
        size = max(1, _CELLS // max(len(self.bundle.items), 1))
        for start in range(0, len(places), size):
            yield places[start : start + size]

    def _rankings(
        self, read: Read, asked: Sequence[Request], wanted: Sequence[Wanted]
    ) -> Iterator[Ranking]:
        counts = read.users.given.counts.tolist()
        for at, found in enumerate(self._finder.find(read.users, wanted)):
            ranking = self._ranking(found, counts[at], read.unused[at])
            explain = asked[at].reasons
            yield self._explained(ranking, read.users.take(at, at + 1)) if explain else ranking

    def _ranking(self, found: Found, num_given: int, unused: Unused) -> Ranking:
        rows = found.rows.tolist()
        ids, titles = self.bundle.items.ids, self.bundle.table.titles
        return Ranking(
            tuple([ids[row] for row in rows]),
            found.scores,
            tuple([titles[row] for row in rows]),
            num_given,
            unused=unused,
        )

    def _explained(self, ranking: Ranking, user: UserBatch) -> Ranking:
        rows = self.bundle.items.rows(ranking.ids)
        reasons = self._explainer.explain(user, rows, ranking.scores, LISTED_REASONS)
        return replace(ranking, reasons=reasons)


def _finder(scorer: Scorer, approximate: bool) -> Finder | Nearest:
    if not approximate:
        return Finder(scorer)
    from firstedge.serving.nearest import Nearest

    return Nearest(scorer)
