"""The score of a bundle folded into one product a pair of vectors, plus the item edges.

    score(j) = q . x_j + k^-.5 sum_i a_i (S_ij + repeat [i = j])

All dense terms go into the product, block by block:

    net       x_j: gamma w_j                      q: u
    category       one-hot primary category          sum_i a_i phi_i g(c_i, .)
    profile        P_.j                              beta where the user has the value
    static         eta log p_j + gamma b_j           1

For an index by cosine the x are centred, every dimension of the net and every other block is scaled
(and q's inversely) such that they lie as close to the q as they can, and one more number brings
them to unit length (Neyshabur and Srebro 2015). With h the scales and m the mean,

    x' = [h (x - m), sqrt(1 - |h (x - m)|^2)],  q' = [q / h, 0]
    q . x = |q'| cos(q', x') + q' . h m

so that one index ranks by the product, and the cosine gives it back exactly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from firstedge.graph.errors import BundleError
from firstedge.models.bundle import Bundle
from firstedge.models.scorer import Scorer, UserBatch

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]

MOST_DIMENSIONS = 4096  # of a vector index in Neo4j
BLOCKS = 4
_REACH = 0.95  # the longest vector before the last number, so that new items fit too


@dataclass(frozen=True, eq=False)
class Space:
    """What all folded vectors of a publication share.

    Attributes:
        columns: int64[m'], the primary category of each column of the block, -1 for none.
        widths: Widths of the blocks: net, category, profile, static.
        scales: float64[sum(widths)], h, the same within every block but the net's.
        centre: float64[sum(widths)], h m.
    """

    columns: npt.NDArray[np.int64]
    widths: tuple[int, int, int, int]
    scales: Doubles
    centre: Doubles

    @property
    def dim(self) -> int:
        """Length of a folded vector, with the last number."""
        return sum(self.widths) + 1

    def blocks(self) -> tuple[slice, slice, slice, slice]:
        """Where the blocks lie."""
        ends = np.cumsum(self.widths).tolist()
        net, category, profile, static = map(slice, (0, *ends[:-1]), ends)
        return net, category, profile, static

    @classmethod
    def of(cls, bundle: Bundle) -> Space:
        """The space of a bundle's items.

        Raises:
            BundleError: If its vectors are too wide for an index.
        """
        columns = np.unique(bundle.table.primary.astype(np.int64))
        widths = (bundle.dim, len(columns), len(bundle.profile_values), 1)
        if sum(widths) + 1 > MOST_DIMENSIONS:
            raise BundleError(
                f"this model needs vectors of {sum(widths) + 1:,} dimensions ({widths[0]} of the "
                f"net and of text, {widths[1]:,} categories, {widths[2]:,} profile values), and "
                f"Neo4j indexes up to {MOST_DIMENSIONS:,}: use fewer categories or profile fields"
            )
        plain = cls(columns, widths, np.ones(sum(widths)), np.zeros(sum(widths)))
        x = plain.products(bundle)
        mean = x.mean(0)
        scales = _scales(bundle, plain, x - mean)
        longest = float(np.linalg.norm((x - mean) * scales, axis=1).max(initial=1e-9))
        scales *= _REACH / longest
        return cls(columns, widths, scales, mean * scales)

    def products(self, bundle: Bundle) -> Doubles:
        """float64[n, sum(widths)]: x."""
        by = bundle.coefficients
        primary = bundle.table.primary.astype(np.int64)
        static = by.prior * bundle.prior.astype(np.float64) + by.net * bundle.b
        blocks = [
            by.net * bundle.w.astype(np.float64),
            (primary[:, None] == self.columns).astype(np.float64),
            bundle.profile_lifts.matrix().toarray().T.astype(np.float64),
            static[:, None],
        ]
        return np.concatenate(blocks, axis=1)

    def outputs(self, bundle: Bundle, rows: npt.NDArray[np.int64] | None = None) -> Floats:
        """float32[n, dim]: x' of the items, or of these rows only; of unit length.

        Raises:
            BundleError: If an item lies outside: it came later, and is unlike all that were there.
        """
        x = self.products(bundle) * self.scales - self.centre
        x = x if rows is None else x[rows]
        rest = 1 - (x * x).sum(1)
        alien = ~np.isin(
            bundle.table.primary if rows is None else bundle.table.primary[rows], self.columns
        )
        if (rest < 0).any() or alien.any():
            at = int(np.argmax(alien | (rest < 0)))
            raise BundleError(
                f"item {bundle.items.ids[at if rows is None else rows[at]]!r} does not fit among "
                "the published vectors: publish the whole model"
            )
        return np.concatenate((x, np.sqrt(rest)[:, None]), axis=1).astype(np.float32)

    def inputs(self, bundle: Bundle) -> Floats:
        """float32[n + m, d + m' + 1]: what a given target adds to q', times its weight.

        The part of u before s, the category lifts less their mean over the items, and that mean.
        """
        by, n, m = bundle.coefficients, len(bundle.items), len(bundle.categories)
        primary = bundle.table.primary.astype(np.int64)
        lifts = np.zeros((m + 1, len(self.columns)))
        inside = self.columns >= 0
        lifts[:m, inside] = bundle.category_lifts.matrix().toarray()[:, self.columns[inside]]
        sources = np.concatenate((primary, np.arange(m)))  # -1 is the last row, without lifts
        phi = np.where(np.arange(n + m) < n, by.category, by.interest)
        given = lifts[sources] * phi[:, None]
        share = (primary[:, None] == self.columns).mean(0) if n else np.zeros(len(self.columns))
        mean = given @ share
        of_net, of_category, _, _ = self.blocks()
        net = bundle.v.astype(np.float64) / self.scales[of_net]
        parts = (net, (given - mean[:, None]) / self.scales[of_category], mean[:, None])
        return np.concatenate(parts, axis=1).astype(np.float32)

    def constants(self, bundle: Bundle) -> dict[str, Any]:
        """The numbers that a query needs besides the vectors, as plain lists.

        c and s are one list for each number of edges: once Neo4j has read a long list, it takes
        longer for every vector that it reads in the same query.
        """
        of_net, _, of_profile, of_static = self.blocks()
        shares = bundle.coefficients.profile / self.scales[of_profile]
        return {
            "dim": self.dim,
            "net": self.widths[0],
            "categories": self.widths[1],
            "profiles": self.widths[2],
            **_by_step("before", bundle.c.astype(np.float64) / self.scales[of_net]),
            **_by_step("scale", bundle.s.astype(np.float64)),
            "steps": len(bundle.c),
            "profile_share": float(shares[0]) if len(shares) else 0.0,
            "static_share": float(1 / self.scales[of_static][0]),
            "centre": self.centre.tolist(),
            "recency": np.exp(bundle.recency.astype(np.float64)).tolist(),
            "kind_factors": np.exp(bundle.kind.astype(np.float64)).tolist(),
            "repeat": float(bundle.coefficients.repeat),
        }

    def queries(self, scorer: Scorer, users: UserBatch) -> tuple[Doubles, Doubles]:
        """What a query in the graph computes: float64[num_users, dim], q', and float64[num_users].

        The score without the item edges and the repeat is q' . x' + q' . h m + the second.
        """
        b, given = scorer.bundle, users.given
        of_net, _, of_profile, of_static = self.blocks()
        inputs = self.inputs(b).astype(np.float64)
        sums = np.zeros((len(users), inputs.shape[1]))
        np.add.at(sums, given.users, scorer.edge_weights(given)[:, None] * inputs[given.targets])
        sums[:, of_net] = scorer.embed_users(users) / self.scales[of_net]
        profiles = np.zeros((len(users), self.widths[2]))
        of = np.repeat(np.arange(len(users)), users.profile_counts)
        shares = b.coefficients.profile / self.scales[of_profile]
        np.add.at(profiles, (of, users.profile_rows), shares[users.profile_rows])
        static = np.full((len(users), 1), 1 / self.scales[of_static])
        last = np.zeros((len(users), 1))
        q = np.concatenate((sums[:, :-1], profiles, static, last), axis=1)
        return q, sums[:, -1]

    def profile_vectors(self, bundle: Bundle) -> Floats:
        """float32[f, d]: what a profile value adds to the net's part of q'."""
        of_net = self.blocks()[0]
        return (bundle.profile.astype(np.float64) / self.scales[of_net]).astype(np.float32)


def _by_step(name: str, rows: Doubles) -> dict[str, list[float]]:
    return {f"{name}_{step}": row.tolist() for step, row in enumerate(rows)}


def _scales(bundle: Bundle, space: Space, x: Doubles) -> Doubles:
    """The scales that make |x'| |q'| least: h^2 = |q| / |x|, by the net's dimensions and by block.

    How large the q are is told by strangers with one given item.
    """
    inputs = space.inputs(bundle)[: len(bundle.items)].astype(np.float64)
    of_net, of_category, of_profile, of_static = space.blocks()
    scales = np.ones(x.shape[1])
    before = bundle.c.astype(np.float64)
    scales[of_net] = _fit(_sizes(inputs[:, of_net]) + _sizes(before), _sizes(x[:, of_net]))
    for block, q in (
        (of_category, _length(inputs[:, of_category])),
        (of_profile, bundle.coefficients.profile),
        (of_static, 1.0),
    ):
        scales[block] = _fit(q, _length(x[:, block]))
    return scales


def _fit(q: Any, x: Any) -> Any:
    return np.sqrt((q + 1e-3) / (x + 1e-3))


def _sizes(rows: Doubles) -> Doubles:
    """float64[d]: the root mean square of each column."""
    return np.asarray(np.sqrt((rows**2).sum(0) / max(len(rows), 1)))


def _length(rows: Doubles) -> float:
    return float(np.sqrt((rows**2).sum(1).mean())) if rows.size else 0.0
