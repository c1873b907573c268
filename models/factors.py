"""iALS: a baseline whose new users are folded in, and edges between items by its factors."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from firstedge.graph.errors import MissingDependency
from firstedge.models.baselines import PriorWeight, TrainingData, given_items
from firstedge.models.edges import prune_factors
from firstedge.models.scorer import UserBatch
from firstedge.models.space import Range

Floats = npt.NDArray[np.float32]

# Above this many items the table of all edges by factors takes too long to look through.
FACTORS_MOST_ITEMS = 60_000


@dataclass(frozen=True)
class IALS:
    """Implicit alternating least squares; Hu, Koren and Volinsky, ICDM 2008.

    A given item has confidence 1 + alpha, every other item confidence 1. A new user's factor is
    the exact solution of the same least squares with the items' factors held fixed.
    """

    name: ClassVar[str] = "iALS"
    factors: Annotated[int, Range(16, 256, log=True, whole=True)] = 64
    regularization: Annotated[float, Range(1, 1000, log=True)] = 100.0
    alpha: Annotated[float, Range(1, 200, log=True)] = 40.0
    prior: PriorWeight = 0.1
    iterations: int = 12
    seed: int = 0

    def unfit(self, data: TrainingData) -> str:
        """See `Method`."""
        return ""

    def fit(self, data: TrainingData) -> FactorRanker:
        """Learn the items' factors.

        Raises:
            MissingDependency: If the package ``implicit`` is not installed.
        """
        try:
            als, threadpoolctl = import_module("implicit.cpu.als"), import_module("threadpoolctl")
        except ImportError:
            raise MissingDependency("implicit", "the baseline iALS", "train") from None
        # BLAS inside the package's own threads would fight them for the cores.
        with threadpoolctl.threadpool_limits(1, "blas"):
            model = als.AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.regularization,
                iterations=self.iterations,
                random_state=self.seed,
            )
            confident = sparse.csr_matrix(data.x * np.float32(1 + self.alpha))
            model.fit(confident, show_progress=False)
        return FactorRanker(np.float32(self.prior) * data.log_prior, model, self.alpha)


@dataclass(frozen=True)
class FactorRanker:
    """What IALS fits.

    Attributes:
        prior: float32[num_items], weighted log popularity.
        model: The fitted AlternatingLeastSquares; only its items' factors are used.
        alpha: What a given item adds to the confidence of 1.
    """

    prior: Floats
    model: Any
    alpha: float

    def score(self, users: UserBatch) -> Floats:
        """See `Ranker`."""
        scores = self.embed_users(users) @ self.model.item_factors.T
        return np.asarray(scores + self.prior, np.float32)

    def embed_users(self, users: UserBatch) -> Floats:
        """float32[n, f]: x_u = (Y'Y + alpha Y_u'Y_u + lambda I)^-1 (1 + alpha) sum of Y_u."""
        items = given_items(users.given, len(self.prior), 0.0) * np.float32(1 + self.alpha)
        rows = np.arange(len(users))
        return np.asarray(self.model.recalculate_user(rows, sparse.csr_matrix(items)))


def factor_edges(data: TrainingData, options: IALS, most: int) -> sparse.csr_array:
    """The strongest edges by factors, float32[n, n]: S_ij = x_i . y_j.

    y are the items' factors, and x_i is what a user who was given i alone is folded in as: (Y'Y +
    alpha y_i y_i' + lambda I)^-1 (1 + alpha) y_i, by Sherman and Morrison. So the factors are
    summed over given items as all edges are, where the baseline solves anew for each user.

    Args:
        data: Training users.
        options: Of the factors.
        most: Edges to keep of each item.
    """
    y = np.asarray(options.fit(data).model.item_factors, np.float64)
    solved = np.linalg.solve(y.T @ y + options.regularization * np.eye(y.shape[1]), y.T).T
    leverage = np.vecdot(solved, y)[:, None]
    x = ((1 + options.alpha) / (1 + options.alpha * leverage) * solved).astype(np.float32)
    return prune_factors(x, y.astype(np.float32), most, data.importance)
