"""The best items for users: found by fast arithmetic, scored and ordered by the exact one.

Products of vectors in bfloat16 give all scores of several users in a fraction of the time of the
Scorer's exact sums, but not quite. How far the two can lie apart is known: what rounding to
bfloat16 changes, see `serving/halves.py`, and what sums in another order do (Higham, Accuracy and
Stability of Numerical Algorithms, 3.1: m products and sums in any order err by at most about
m eps / 2 times the sum of sizes). So whatever lies that far below the k-th best estimate is out,
and the few dozen items that remain get their exact scores. The answer is to the last bit that of
scoring everything.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firstedge.models.scorer import Scorer, Terms, UserBatch
from firstedge.models.topk import rows_reaching
from firstedge.serving.halves import Doubles, HalfVectors, lengths_of

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]
Bools = npt.NDArray[np.bool_]

_EPS = float(np.finfo(np.float32).eps)
_MOST = 4096  # pairs whose vectors are gathered; where more are as good as equal, all are scored


@dataclass(frozen=True)
class Wanted:
    """What one user is to get.

    Attributes:
        k: How many items.
        mask: bool[n], the items that may be answered; None for all.
        exclude_given: Leave out the items they were given.
    """

    k: int
    mask: Bools | None = None
    exclude_given: bool = True


@dataclass(frozen=True)
class Found:
    """The best items of one user, the best first; of equal scores the lower row.

    Attributes:
        rows: int64[k].
        scores: float32[k].
    """

    rows: Ints
    scores: Floats


class Finder:
    """Finds the best items by a bundle. Safe to use from several threads.

    Args:
        scorer: What the scores are.
    """

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self._vectors = HalfVectors(scorer.bundle.w)
        self._highest = float(np.abs(scorer.static).max(initial=0))

    def find(self, users: UserBatch, wanted: Sequence[Wanted]) -> list[Found]:
        """The best items of each user.

        Args:
            users: Who.
            wanted: What each of them gets.
        """
        if not len(users):
            return []
        terms = self._scorer.terms(users)
        estimates, margins = self._estimate(terms, users)
        self._leave_out(estimates, users, wanted)
        ks = np.fromiter((one.k for one in wanted), np.int64, len(wanted))
        of, rows = rows_reaching(estimates, ks, margins)
        return in_order(of, rows, self._exact(users, terms, of, rows), wanted)

    def _estimate(self, terms: Terms, users: UserBatch) -> tuple[Floats, Doubles]:
        """float32[num_users, n], about the scores; and float64[num_users], their margins.

        Of two items, one may have the higher score and an estimate lower by up to the margin.
        """
        scorer = self._scorer
        products, errors = self._vectors.products(terms.net)
        estimates = np.empty((len(terms), scorer.num_items), np.float32)
        for rows, block in products:
            np.add(block, scorer.static[rows], out=estimates[:, rows])
        scorer.add_sparse(estimates, terms)
        return estimates, 2 * errors + self._margins(terms, users)

    def _leave_out(self, estimates: Floats, users: UserBatch, wanted: Sequence[Wanted]) -> None:
        """Minus infinity for what may not be answered."""
        for estimate, one in zip(estimates, wanted, strict=True):
            if one.mask is not None:
                np.copyto(estimate, -np.inf, where=~one.mask)
        given = users.given
        excludes = np.fromiter((one.exclude_given for one in wanted), np.bool_, len(wanted))
        out = (given.targets < self._scorer.num_items) & excludes[given.users]
        estimates[given.users[out], given.targets[out]] = -np.inf

    def _margins(self, terms: Terms, users: UserBatch) -> Doubles:
        """What sums of float32 in another order make of it, of products, edges and the rest."""
        edges = 2 * users.given.counts + users.profile_counts
        sizes = lengths_of(terms.net) * self._vectors.longest + self._highest
        if terms.lifts is not None:
            sizes += np.abs(terms.lifts).max(axis=1)
        values = np.concatenate([values for _, _, values in (*terms.edges, terms.profiles)])
        # Three sorts of terms, none larger than the largest of all.
        sizes += 3 * float(np.abs(values).max(initial=0)) * edges
        return 4 * _EPS * (terms.net.shape[1] + edges + 8) * sizes

    def _exact(self, users: UserBatch, terms: Terms, of: Ints, rows: Ints) -> Floats:
        """The scores of users ``of`` for ``rows``."""
        crowded = np.bincount(of, minlength=len(users)) > _MOST
        if not crowded.any():
            return self._scorer.score_pairs(terms, of, rows)
        scores = np.empty(len(of), np.float32)
        few = ~crowded[of]
        scores[few] = self._scorer.score_pairs(terms, of[few], rows[few])
        for user in crowded.nonzero()[0].tolist():
            mine = of == user
            scores[mine] = self._scorer.score(users.take(user, user + 1))[0, rows[mine]]
        return scores


def in_order(of: Ints, rows: Ints, scores: Floats, wanted: Sequence[Wanted]) -> list[Found]:
    """Each user's k best of some rows with their scores; ``of`` ascends."""
    order = np.lexsort((rows, -scores, of))
    rows, scores = rows[order], scores[order]
    ends = np.cumsum(np.bincount(of, minlength=len(wanted))).tolist()
    best = [
        slice(start, min(start + one.k, end))
        for start, end, one in zip([0, *ends[:-1]], ends, wanted, strict=True)
    ]
    return [Found(rows[some], scores[some]) for some in best]
