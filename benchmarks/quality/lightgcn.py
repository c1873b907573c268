"""LightGCN, a new user being the mean of the vectors of the items that they touched.

He et al.: LightGCN, SIGIR 2020, in the form that PyG ships; as the other loss the sampled softmax
of Wu et al.: On the Effectiveness of Sampled Softmax Loss for Item Recommendation, TOIS 2024.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional
from torch_geometric.nn import LightGCN as PyGLightGCN

from benchmarks.quality.learning import (
    Floats,
    Watch,
    WithPrior,
    as_tensor,
    batches,
    mean_of_given,
)
from firstedge.models.baselines import TrainingData
from firstedge.models.scorer import UserBatch
from firstedge.models.space import Choice, Range

NEGATIVES = 1024  # items that the users of a step share in the softmax


@dataclass(frozen=True)
class LightGCN:
    """Vectors of users and items, smoothed over the graph.

    Attributes:
        dim: Of the vectors.
        layers: Of propagation.
        loss: "bpr" as published, or "softmax" over sampled items, by cosine.
        temperature: Of the softmax.
        learning_rate: Of Adam.
        decay: L2 of the vectors of a step.
        prior: Weight of the log popularity beside the scores.
        steps: In an epoch; a step propagates through the whole graph.
        epochs: At most.
        seed: Of all that is random.
    """

    name: ClassVar[str] = "LightGCN"
    dim: Annotated[int, Choice((64, 128))] = 64
    layers: Annotated[int, Choice((1, 2, 3))] = 3
    loss: Annotated[str, Choice(("bpr", "softmax"))] = "bpr"
    temperature: Annotated[float, Range(0.05, 0.5, log=True)] = 0.15
    learning_rate: Annotated[float, Range(1e-3, 5e-2, log=True)] = 1e-2
    decay: Annotated[float, Range(1e-6, 1e-3, log=True)] = 1e-4
    prior: Annotated[float, Range(0.0, 0.5)] = 0.0
    steps: int = 20
    epochs: int = 300
    seed: int = 0

    def unfit(self, data: TrainingData) -> str:
        """See `Learner`."""
        return ""

    def learn(self, data: TrainingData, watch: Watch) -> None:
        """See `Learner`."""
        torch.manual_seed(self.seed)
        rng = np.random.default_rng(self.seed)
        users, items = data.x.nonzero()
        num_users = data.x.shape[0]
        graph = as_tensor(normalized(data.x))
        # Normalised once, not in every layer of every step.
        net = PyGLightGCN(sum(data.x.shape), self.dim, self.layers, normalize=False)
        optimizer = torch.optim.Adam(net.parameters(), lr=self.learning_rate)
        size = -(-len(users) // self.steps)
        for _ in range(self.epochs):
            net.train()
            for rows in batches(len(users), size, rng):
                vectors = net.get_embedding(graph)
                own = torch.from_numpy(users[rows].astype(np.int64))
                wanted = torch.from_numpy(items[rows].astype(np.int64))
                loss = self._loss(vectors[:num_users][own], vectors[num_users:], wanted)
                first = net.embedding.weight
                touched = (first[own] ** 2).sum() + (first[num_users + wanted] ** 2).sum()
                loss = loss + self.decay * touched / (2 * len(rows))
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                if watch.step():
                    break
            if watch.due and not watch.look(self._ranker(net, graph, data)):
                return

    def _loss(self, users: Tensor, items: Tensor, wanted: Tensor) -> Tensor:
        if self.loss == "bpr":
            others = torch.randint(len(items), (len(wanted),))
            return -functional.logsigmoid((users * (items[wanted] - items[others])).sum(1)).mean()
        drawn = torch.randint(len(items), (NEGATIVES,))
        users, items = functional.normalize(users, dim=1), functional.normalize(items, dim=1)
        own = (users * items[wanted]).sum(1, keepdim=True) / self.temperature
        others_scores = users @ items[drawn].T / self.temperature
        others_scores = others_scores.masked_fill(drawn == wanted[:, None], -torch.inf)
        return (torch.logsumexp(torch.cat((own, others_scores), 1), 1) - own[:, 0]).mean()

    def _ranker(self, net: PyGLightGCN, graph: Tensor, data: TrainingData) -> WithPrior:
        with torch.inference_mode():
            vectors = net.get_embedding(graph)[data.x.shape[0] :]
            if self.loss == "softmax":
                vectors = functional.normalize(vectors, dim=1) / self.temperature**0.5
        return WithPrior(MeanRanker(vectors.numpy().copy()), data.log_prior, self.prior)


@dataclass(frozen=True)
class MeanRanker:
    """score(j) = mean of the given items' vectors . vector of j; vectors float32[num_items, d]."""

    vectors: Floats

    def score(self, users: UserBatch) -> Floats:
        """See `Ranker`."""
        return mean_of_given(users.given, self.vectors) @ self.vectors.T


def normalized(x: sparse.csr_array) -> sparse.csr_array:
    """float32[users + items, users + items]: edges both ways, degrees^-.5 on both sides."""
    graph = sparse.csr_array(sparse.block_array([[None, x], [x.T, None]]))
    scale = np.maximum(np.asarray(graph.sum(1)), 1) ** -0.5
    rows = np.repeat(np.arange(len(scale)), np.diff(graph.indptr))
    graph.data = (graph.data * scale[rows] * scale[graph.indices]).astype(np.float32)
    return graph
