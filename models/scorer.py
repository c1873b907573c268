"""The additive scorer: a user is a sum over their edges. numpy and scipy only.

Batch and single agree to the last bit, and equal items score equally wherever they stand: every
dense product is one dot product a row (`np.vecdot`, which at 64 dimensions is as fast as memory
gives), never a matrix product, whose rounding depends on its shape; every sparse sum runs over a
user's edges in their order.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
import numpy.typing as npt
from scipy import sparse

from firstedge.graph.histories import Given, ranges
from firstedge.models.bundle import Bundle
from firstedge.models.edges import Edges

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Triples = tuple[Ints, Ints, Floats]
NOTHING: Triples = (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32))


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

    @property
    def profile_counts(self) -> Ints:
        """int64[num_users], known profile values of each user."""
        return self.profile_offsets[1:] - self.profile_offsets[:-1]

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
class Terms:
    """What users bring to the scores, before it meets the items. m categories.

    Attributes:
        net: float32[num_users, d], gamma u.
        edges: S and repeat, each as (user, item, value).
        lifts: float32[num_users, m + 1], by the items' category; None where all are zero.
        profiles: The profile lifts, as (user, item, value).
    """

    net: Floats
    edges: tuple[Triples, Triples]
    lifts: Floats | None
    profiles: Triples

    def __len__(self) -> int:
        return len(self.net)


@dataclass(frozen=True)
class Contributions:
    """How one user's score of some items splits. All float32, and they add up to the score.

    Attributes:
        targets: int64[k], the given targets.
        profile_rows: int64[q], the user's rows of `Bundle.profile_values`.
        events: [k, n], what each given target adds to each item.
        prior: [n], popularity, and whatever else does not depend on the user's edges or profile.
        profiles: [q, n], what each profile value adds.
        text: [n], what the user's text adds.
    """

    targets: Ints
    profile_rows: Ints
    events: Floats
    prior: Floats
    profiles: Floats
    text: Floats

    @property
    def total(self) -> Floats:
        """[n], the score."""
        total: Floats = self.events.sum(0) + self.prior + self.profiles.sum(0) + self.text
        return total


class Scorer:
    """Scores of a bundle. Safe to use from several threads.

    Args:
        bundle: The trained model.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.num_items = len(bundle.items)
        by = bundle.coefficients
        # A net that says nothing (a bundle of closed forms alone) is not asked.
        self._net = np.float32(by.net if bundle.w.any() else 0.0)
        self.static: Floats = (by.prior * bundle.prior + by.net * bundle.b).astype(np.float32)
        self._user_text = np.ascontiguousarray(bundle.user_text.T)

    @cached_property
    def category_of(self) -> Ints:
        """int64[n]: the category whose lifts apply to an item, m for none."""
        return self._category_of_targets[: self.num_items]

    @cached_property
    def _category_of_targets(self) -> Ints:
        """int64[n + m]: the category whose lifts apply to a target, m for none."""
        m = len(self.bundle.categories)
        primary = self.bundle.table.primary.astype(np.int64)
        return np.concatenate((np.where(primary >= 0, primary, m), np.arange(m)))

    @cached_property
    def _category_lifts(self) -> Edges:
        """[m + 1, m + 1]: the lifts, and no edges from or to "no category"."""
        lifts, m = self.bundle.category_lifts, len(self.bundle.categories)
        offsets = np.append(lifts.offsets, lifts.offsets[-1])
        return replace(lifts, offsets=offsets, num_targets=m + 1)

    def edge_weights(self, given: Given) -> Floats:
        """float32[m], k^-.5 a_i of every given edge."""
        b = self.bundle
        rank = np.minimum(given.ranks, len(b.recency) - 1)
        a = given.weights * np.exp(b.recency[rank] + b.kind[given.kinds])
        scale = np.maximum(given.counts, 1).astype(np.float32) ** np.float32(-0.5)
        return (a * scale.repeat(given.counts)).astype(np.float32)

    def given_items(self, given: Given) -> sparse.csr_array:
        """float32[num_users, n], the edge weight at each given item."""
        of = np.flatnonzero(given.targets < self.num_items)
        at = (given.users[of], given.targets[of])
        shape = (len(given), self.num_items)
        return sparse.csr_array((self.edge_weights(given)[of], at), shape=shape)

    def embed_users(self, users: UserBatch) -> Floats:
        """float32[num_users, d]: u, such that u . w_j is what vectors add to item j's score."""
        return self._embed(users, self.edge_weights(users.given))

    def _embed(self, users: UserBatch, weights: Floats) -> Floats:
        b = self.bundle
        u = b.c[self._steps(users.given)] + self._embed_edges(users.given, weights)
        if len(users.profile_rows):
            ones = np.ones(len(users.profile_rows), np.float32)
            u += _weighted_sums(b.profile, users.profile_offsets, users.profile_rows, ones)
        text = self._texts(users)
        if text is not None:
            u += np.vecdot(text[:, None, :], self._user_text)
        return u

    def terms(self, users: UserBatch) -> Terms:
        """What users bring to every score."""
        weights = self.edge_weights(users.given)
        of = np.arange(len(users)).repeat(users.profile_counts)
        profiles = self._profile_lifts(of, users.profile_rows)
        return self._terms(self._embed(users, weights), users.given, weights, profiles)

    def score(self, users: UserBatch) -> Floats:
        """float32[num_users, n]: the score of every item for every user."""
        terms = self.terms(users)
        scores = self._products(terms)
        scores += self.static
        self.add_sparse(scores, terms)
        return scores

    def score_pairs(self, terms: Terms, of: Ints, items: Ints) -> Floats:
        """float32[p]: what `score` gives users ``of`` for ``items``, to the last bit.

        Args:
            terms: Of the users.
            of: int64[p], user rows in ascending order.
            items: int64[p], item rows, those of a user ascending and distinct.
        """
        b = self.bundle
        scores = np.zeros(len(of), np.float32)
        if self._net:
            scores = np.vecdot(terms.net[of], b.w[items])
        scores += self.static[items]
        pairs = of * self.num_items + items
        for users, columns, values in terms.edges:
            _add_where(scores, pairs, users * self.num_items + columns, values)
        if terms.lifts is not None:
            scores += terms.lifts[of, self.category_of[items]]
        users, columns, values = terms.profiles
        _add_where(scores, pairs, users * self.num_items + columns, values)
        return scores

    def lift(self, given: Given) -> Floats:
        """float32[num_users, n]: what the given edges alone add to the score of every item."""
        weights = self.edge_weights(given)
        terms = self._terms(self._embed_edges(given, weights), given, weights, NOTHING)
        lifts = self._products(terms)
        self.add_sparse(lifts, terms)
        return lifts

    def contributions(self, user: UserBatch, items: Ints) -> Contributions:
        """Split one user's scores of ``items`` (int64[n], distinct) into what makes them up.

        Raises:
            ValueError: If the batch is not of one user.
        """
        if len(user) != 1:
            raise ValueError(f"contributions are of one user, got {len(user)}")
        b = self.bundle
        w = self._net * b.w[items]
        prior = self.static[items] + np.vecdot(w, b.c[self._steps(user.given)[0]])
        profiles = np.vecdot(b.profile[user.profile_rows][:, None, :], w)
        of = np.arange(len(user.profile_rows))
        _add(profiles, *_only(items, *self._profile_lifts(of, user.profile_rows)))
        given_text = self._texts(user)
        text = np.zeros(len(items), np.float32)
        if given_text is not None:
            text += np.vecdot(w, np.vecdot(given_text, self._user_text))
        events = self._split_edges(user.given, items)
        return Contributions(user.given.targets, user.profile_rows, events, prior, profiles, text)

    def _steps(self, given: Given) -> Ints:
        """int64[num_users], rows of c and s."""
        return np.minimum(given.counts, len(self.bundle.c) - 1)

    def _texts(self, users: UserBatch) -> Floats | None:
        fits = users.text is not None and users.text.shape[1] == len(self.bundle.user_text)
        return users.text if fits else None

    def _embed_edges(self, given: Given, weights: Floats) -> Floats:
        """float32[num_users, d], the part of u that the edges bring."""
        sums = _weighted_sums(self.bundle.v, given.offsets, given.targets, weights)
        return self.bundle.s[self._steps(given)] * sums

    def _terms(self, u: Floats, given: Given, weights: Floats, profiles: Triples) -> Terms:
        edges = self._item_terms(given.users, given.targets, weights)
        lifts = self._lifts(given, weights)
        return Terms(self._net * u, edges, lifts, profiles)

    def _lifts(self, given: Given, weights: Floats) -> Floats | None:
        """float32[num_users, m + 1]: how the given targets lift the items of each category."""
        weights = weights * self._lift_weights(given)
        if not weights.any():
            return None
        lifts = np.zeros((len(given), self._category_lifts.num_targets), np.float32)
        sources = self._category_of_targets[given.targets]
        _add(lifts, *_spread(self._category_lifts, given.users, sources, weights))
        return lifts

    def _products(self, terms: Terms) -> Floats:
        """float32[num_users, n]: the products of vectors."""
        if not self._net:
            return np.zeros((len(terms), self.num_items), np.float32)
        products: Floats = np.vecdot(terms.net[:, None, :], self.bundle.w)
        return products

    def add_sparse(self, scores: Floats, terms: Terms) -> None:
        """Add the terms of edges and profiles to float32[num_users, n]."""
        for triples in terms.edges:
            _add(scores, *triples)
        if terms.lifts is not None:
            scores += terms.lifts.take(self.category_of, axis=1)
        _add(scores, *terms.profiles)

    def _split_edges(self, given: Given, items: Ints) -> Floats:
        """float32[k, n]: what each given edge adds to each of ``items``."""
        b, weights = self.bundle, self.edge_weights(given)
        each = np.arange(len(given.targets))
        inputs = b.s[self._steps(given)[0]] * b.v[given.targets]
        parts = weights[:, None] * np.vecdot(inputs[:, None, :], self._net * b.w[items])
        for terms in self._item_terms(each, given.targets, weights):
            _add(parts, *_only(items, *terms))
        lifting = weights * self._lift_weights(given)
        if lifting.any():
            lifts = self._category_lifts.matrix()
            columns = lifts[:, self.category_of[items]].toarray()
            columns = columns[self._category_of_targets[given.targets]]
            parts += lifting[:, None] * columns
        return parts

    def _lift_weights(self, given: Given) -> Floats:
        """float32[m], the coefficient of the category lifts of every given edge."""
        by = self.bundle.coefficients
        is_item = given.targets < self.num_items
        return np.where(is_item, np.float32(by.category), np.float32(by.interest))

    def _item_terms(self, of: Ints, targets: Ints, weights: Floats) -> tuple[Triples, Triples]:
        """The terms S and repeat of edges from items, as (owner, item, value)."""
        is_item = targets < self.num_items
        of, items, weights = of[is_item], targets[is_item], weights[is_item]
        repeat = np.float32(self.bundle.coefficients.repeat)
        return _spread(self.bundle.edges, of, items, weights), (of, items, repeat * weights)

    def _profile_lifts(self, of: Ints, rows: Ints) -> Triples:
        share = np.full(len(rows), self.bundle.coefficients.profile, np.float32)
        return _spread(self.bundle.profile_lifts, of, rows, share)


def _spread(edges: Edges, of: Ints, sources: Ints, weights: Floats) -> Triples:
    """Follow edges: (owner, target, weight * edge weight) of every edge of every source."""
    if not len(sources):
        return NOTHING
    starts = edges.offsets[sources]
    lengths = edges.offsets[sources + 1] - starts
    at = ranges(starts, lengths)
    values: Floats = weights.repeat(lengths) * edges.weights[at]
    return of.repeat(lengths), edges.targets[at].astype(np.int64), values


def _only(items: Ints, of: Ints, columns: Ints, values: Floats) -> Triples:
    """The triples that end in ``items``, their columns replaced by positions there."""
    order = np.argsort(items)
    at = order[np.minimum(np.searchsorted(items, columns, sorter=order), len(items) - 1)]
    hit = items[at] == columns
    return of[hit], at[hit], values[hit]


def _add_where(out: Floats, pairs: Ints, keys: Ints, values: Floats) -> None:
    """out[where pairs == key] += value for every key, in their order; pairs ascend."""
    if len(pairs) and len(keys):
        at = np.minimum(np.searchsorted(pairs, keys), len(pairs) - 1)
        hit = (pairs[at] == keys).nonzero()[0]
        np.add.at(out, at[hit], values[hit])


def _add(out: Floats, of: Ints, columns: Ints, values: Floats) -> None:
    """out[of, columns] += values, in their order, where ``out`` is contiguous."""
    np.add.at(out.reshape(-1), of * out.shape[1] + columns, values)


def _weighted_sums(table: Floats, offsets: Ints, rows: Ints, weights: Floats) -> Floats:
    """float32[num_users, d]: sums of weights * table[rows] between offsets."""
    shape = (len(offsets) - 1, len(table))
    return np.asarray(sparse.csr_array((weights, rows, offsets), shape=shape) @ table)
