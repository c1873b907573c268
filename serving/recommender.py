"""The Recommender: Queries in, Rankings out. numpy only; safe to use from several threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from firstedge.graph.errors import QueryError
from firstedge.graph.histories import Given
from firstedge.graph.text import TextEncoder
from firstedge.graph.vocabulary import Unknown
from firstedge.models.bundle import Bundle
from firstedge.models.bundle_file import load_bundle
from firstedge.models.scorer import Scorer, UserBatch
from firstedge.serving.filter import EVERYTHING, Filter
from firstedge.serving.item_index import ItemIndex
from firstedge.serving.query import Query
from firstedge.serving.ranking import NOTHING_UNUSED, Ranking, Unused
from firstedge.serving.reading import QueryReader, default_kind
from firstedge.serving.reasons import Explainer, Explanation
from firstedge.serving.topk import top_k

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

    Raises:
        BundleError: If the bundle was trained with another encoder.
    """

    def __init__(self, bundle: Bundle, encoder: TextEncoder | None = None) -> None:
        self.bundle = bundle
        self._encoder = encoder
        self._reader = QueryReader(bundle, encoder)
        self._scorer = Scorer(bundle)
        self._index = ItemIndex(bundle)
        self._explainer = Explainer(self._scorer)

    @classmethod
    def load(cls, path: str | Path, encoder: TextEncoder | None = None) -> Self:
        """A recommender for the current version of the bundle at ``path``.

        Raises:
            BundleError: If there is no such bundle, or it is harmed.
        """
        return cls(load_bundle(path), encoder)

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
        _check_k(k)
        mask = self._index.mask(filter)
        read = self._reader.read(queries, unknown)
        rankings: list[Ranking] = []
        for users in self._chunks(read.users):
            scores = self._scorer.score(users)
            if filter.exclude_given:
                self._exclude_given(scores, users.given)
            for at in range(len(users)):
                user = users.take(at, at + 1)
                unused = read.unused[len(rankings)]
                rankings.append(self._rank(scores[at], k, mask, user, unused))
                if reasons:
                    rankings[-1] = self._explained(rankings[-1], user)
        return rankings

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
        _check_k(k)
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
        user = UserBatch.of(given)
        return self._rank(lift, k, self._index.mask(filter), user, NOTHING_UNUSED)

    def _chunks(self, users: UserBatch) -> Iterator[UserBatch]:
        size = max(1, _CELLS // max(len(self.bundle.items), 1))
        for start in range(0, len(users), size):
            yield users.take(start, min(start + size, len(users)))

    def _exclude_given(self, scores: Floats, given: Given) -> None:
        is_item = given.targets < len(self.bundle.items)
        scores[given.users[is_item], given.targets[is_item]] = -np.inf

    def _rank(
        self, scores: Floats, k: int, mask: Bools | None, user: UserBatch, unused: Unused
    ) -> Ranking:
        rows = top_k(scores, k, mask)
        ids, titles = self.bundle.items.ids, self.bundle.table.titles
        return Ranking(
            tuple(ids[row] for row in rows),
            scores[rows],
            tuple(titles[row] for row in rows),
            len(user.given.targets),
            unused=unused,
        )

    def _explained(self, ranking: Ranking, user: UserBatch) -> Ranking:
        rows = self.bundle.items.rows(ranking.ids)
        reasons = self._explainer.explain(user, rows, ranking.scores, LISTED_REASONS)
        return replace(ranking, reasons=reasons)


def _check_k(k: int) -> None:
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise QueryError(f"k is how many items to answer, a whole number above 0, got {k!r}")
