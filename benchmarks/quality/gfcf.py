"""GF-CF: graph convolution without learning, a linear filter and an ideal low-pass beside it.

Shen et al.: How Powerful is Graph Convolution for Recommendation?, CIKM 2021. A new user is a
further row of the matrix that is filtered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import numpy.typing as npt
from scipy import sparse

from firstedge.models.baselines import AdditiveRanker, MatrixChannel, TrainingData
from firstedge.models.space import Choice, Range
from firstedge.models.spectrum import low_frequencies, low_pass

Floats = npt.NDArray[np.float32]

MOST = 512  # frequencies; found once, however many of them pass


@dataclass(frozen=True)
class GFCF:
    """S = R^T R + a D^-t V V^T D^.5, R = D_u^-.5 X D^-.5 and V its leading singular vectors.

    Attributes:
        frequencies: That pass.
        low_pass: a, the weight of the low-pass filter.
        temper: t, .5 as published.
        prior: Weight of the log popularity beside the scores.
    """

    name: ClassVar[str] = "GF-CF"
    frequencies: Annotated[int, Range(32, MOST, log=True, whole=True)] = 256
    low_pass: Annotated[float, Range(0.03, 3.0, log=True)] = 0.3
    temper: Annotated[float, Choice((0.25, 0.5))] = 0.5
    prior: Annotated[float, Range(1e-5, 0.03, log=True)] = 1e-3

    def unfit(self, data: TrainingData) -> str:
        """See `Method`."""
        return ""

    def fit(self, data: TrainingData) -> AdditiveRanker:
        """See `Method`."""
        v = data.once("low frequencies", lambda: low_frequencies(data.x, MOST))
        low = Filter(*low_pass(v[:, : self.frequencies], data.counts, self.temper))
        roots = 1 / np.sqrt(np.maximum(data.counts, 1))
        linear = data.cooccurrence(1.0).multiply(roots[:, None]).multiply(roots)
        edges = MatrixChannel(sparse.csr_array(linear, dtype=np.float32))
        prior = np.float32(self.prior) * data.log_prior
        return AdditiveRanker(prior, ((1.0, edges), (self.low_pass, low)))


@dataclass(frozen=True)
class Filter:
    """A filter by its factors: x y^T, both float32[n, r]."""

    x: Floats
    y: Floats

    def spread(self, items: sparse.csr_array) -> Floats:
        """See `Channel`."""
        return np.asarray((items @ self.x) @ self.y.T, np.float32)
