"""The additive scorer: a user is a sum over their edges. numpy and scipy only.

Works on batches; a single user is a batch of one, so that batch and single agree by construction.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from firstedge.graph.histories import Given
from firstedge.models.bundle import Bundle

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class UserBatch:
    """What is known of some users.

    Attributes:
        given: Their edges.
        profile_offsets: int64[num_users + 1].
        profile_rows: int64[q], rows of `Bundle.profile_values`.
        text: float32[num_users, t], their encoded texts (zeros: none), or None for all.
    """

    given: Given
    profile_offsets: Ints
    profile_rows: Ints
    text: Floats | None = None

    @classmethod
    def of(cls, given: Given) -> Self:
        """Users of whom only events are known."""
        return cls(given, np.zeros(len(given) + 1, np.int64), np.empty(0, np.int64))

    def __len__(self) -> int:
        return len(self.given)

    def take(self, start: int, stop: int) -> UserBatch:
        """Users start:stop."""
        g = self.given
        edges = slice(int(g.offsets[start]), int(g.offsets[stop]))
        rows = slice(int(self.profile_offsets[start]), int(self.profile_offsets[stop]))
        given = Given(
            g.offsets[start : stop + 1] - g.offsets[start],
            g.targets[edges],
            g.kinds[edges],
            g.ranks[edges],
            g.weights[edges],
        )
        return UserBatch(
            given,
            self.profile_offsets[start : stop + 1] - self.profile_offsets[start],
            self.profile_rows[rows],
            None if self.text is None else self.text[start:stop],
        )


@dataclass(frozen=True)
class Contributions:
    """How one user's score of some items splits. All float32, and they add up to the score.

    Attributes:
        targets: int64[k], the given targets.
        events: [k, n], what each given target adds to each item.
        prior: [n], popularity, and whatever else does not depend on the user's edges or profile.
        profile: [n], what the profile and the user's text add.
    """

    targets: Ints
    events: Floats
    prior: Floats
    profile: Floats

    @property
    def total(self) -> Floats:
        """[n], the score."""
        total: Floats = self.events.sum(0) + self.prior + self.profile
        return total


class Scorer:
    """Scores of a bundle.

    Args:
        bundle: The trained model.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.num_items = len(bundle.items)
        self._static = (
            bundle.coefficients.prior * bundle.prior + bundle.coefficients.net * bundle.b
        ).astype(np.float32)

    @cached_property
    def _edges(self) -> sparse.csr_array:
        return self.bundle.edges.matrix()

    @cached_property
    def _profile_lifts(self) -> sparse.csr_array:
        return self.bundle.profile_lifts.matrix()

    @cached_property
    def _category_lifts(self) -> sparse.csr_array:
        """[n + m, m + 1]: lifts of each target's category; items without one read column m."""
        b = self.bundle
        m = len(b.categories)
        categories = np.concatenate((b.table.primary.astype(np.int64), np.arange(m)))
        rows = np.flatnonzero(categories >= 0)
        shape = (len(categories), m)
        picks = sparse.csr_array((np.ones(len(rows), np.float32), (rows, categories[rows])), shape)
        lifts = picks @ b.category_lifts.matrix()
        return sparse.csr_array((lifts.data, lifts.indices, lifts.indptr), shape=(shape[0], m + 1))

    @cached_property
    def _category_column(self) -> Ints:
        primary = self.bundle.table.primary.astype(np.int64)
        return np.where(primary >= 0, primary, len(self.bundle.categories))

    def edge_weights(self, given: Given) -> Floats:
        """float32[m], k^-.5 a_i of every given edge."""
        b = self.bundle
        rank = np.minimum(given.ranks, len(b.recency) - 1)
        a = given.weights * np.exp(b.recency[rank] + b.kind[given.kinds])
        scale = np.maximum(given.counts, 1).astype(np.float32) ** np.float32(-0.5)
        return (a * np.repeat(scale, given.counts)).astype(np.float32)

    def embed_users(self, users: UserBatch) -> Floats:
        """float32[num_users, d]: u, such that u . w_j is what the net adds to item j's score."""
        b, given = self.bundle, users.given
        step = np.minimum(given.counts, len(b.c) - 1)
        edges = self._sources(given, self.edge_weights(given))
        u = b.c[step] + b.s[step][:, None] * (edges @ b.v)
        if len(users.profile_rows):
            u += self._profiles(users) @ b.profile
        if users.text is not None and users.text.shape[1] == len(b.user_text):
            u += users.text @ b.user_text
        return np.asarray(u, np.float32)

    def score(self, users: UserBatch) -> Floats:
        """float32[num_users, n]: the score of every item for every user."""
        b, given, by = self.bundle, users.given, self.bundle.coefficients
        scores = np.tile(self._static, (len(users), 1))
        if by.net:
            scores += by.net * (self.embed_users(users) @ b.w.T)
        weights = self.edge_weights(given)
        sources = self._sources(given, weights)
        items = sources[:, : self.num_items]
        self._add_sparse(scores, items @ self._edges)
        if by.category:
            lifts = (sources @ self._category_lifts).toarray()
            scores += by.category * lifts[:, self._category_column]
        if by.repeat:
            self._add_sparse(scores, by.repeat * items)
        if by.profile and len(users.profile_rows):
            self._add_sparse(scores, by.profile * (self._profiles(users) @ self._profile_lifts))
        if by.text and b.text.shape[1]:
            scores += by.text * (self._mean_text(given) @ b.text.T)
        return scores

    def contributions(self, user: UserBatch, items: Ints) -> Contributions:
        """Split one user's scores of ``items`` (int64[n]) exactly into their given targets.

        Raises:
            ValueError: If the batch is not of one user.
        """
        if len(user) != 1:
            raise ValueError(f"contributions are of one user, got {len(user)}")
        b, given, by = self.bundle, user.given, self.bundle.coefficients
        weights = self.edge_weights(given)
        step = min(len(given.targets), len(b.c) - 1)
        w = by.net * b.w[items]
        each = sparse.csr_array(
            (weights, given.targets, np.arange(len(weights) + 1)),
            shape=(len(weights), len(b.v)),
        )
        events = b.s[step] * (each @ b.v) @ w.T
        events += (each[:, : self.num_items] @ self._edges)[:, items].toarray()
        if by.category:
            events += (
                by.category
                * (each @ self._category_lifts).toarray()[:, self._category_column[items]]
            )
        events += by.repeat * weights[:, None] * (given.targets[:, None] == items[None, :])
        if by.text and b.text.shape[1] and len(given.targets):
            is_item = given.targets < self.num_items
            share = by.text / max(int(is_item.sum()), 1)
            events[is_item] += share * (b.text[given.targets[is_item]] @ b.text[items].T)
        profile = np.zeros(len(items), np.float32)
        if len(user.profile_rows):
            profile += self._profiles(user).sum(0) @ b.profile @ w.T
            lifts = self._profiles(user) @ self._profile_lifts
            profile += by.profile * lifts[:, items].toarray()[0]
        if user.text is not None and user.text.shape[1] == len(b.user_text):
            profile += (user.text @ b.user_text @ w.T)[0]
        prior = self._static[items] + b.c[step] @ w.T
        return Contributions(
            given.targets, events.astype(np.float32), prior.astype(np.float32), profile
        )

    def _sources(self, given: Given, weights: Floats) -> sparse.csr_array:
        shape = (len(given), len(self.bundle.v))
        return sparse.csr_array((weights, given.targets, given.offsets), shape=shape)

    def _profiles(self, users: UserBatch) -> sparse.csr_array:
        ones = np.ones(len(users.profile_rows), np.float32)
        shape = (len(users), len(self.bundle.profile_values))
        return sparse.csr_array((ones, users.profile_rows, users.profile_offsets), shape=shape)

    def _mean_text(self, given: Given) -> Floats:
        is_item = given.targets < self.num_items
        counts = np.bincount(given.users[is_item], minlength=len(given))
        share = (1.0 / np.maximum(counts, 1)).astype(np.float32)[given.users] * is_item
        targets = np.where(is_item, given.targets, 0)
        shape = (len(given), self.num_items)
        mean = sparse.csr_array((share.astype(np.float32), targets, given.offsets), shape=shape)
        return np.asarray(mean @ self.bundle.text, np.float32)

    def _add_sparse(self, scores: Floats, update: sparse.csr_array) -> None:
        update = sparse.csr_array(update)
        rows = np.repeat(np.arange(update.shape[0]), np.diff(update.indptr))
        scores[rows, update.indices] += update.data  # stored positions are distinct
