"""GraphSAGE as in PyG's recommender example: layers over users and items, both ways.

Hamilton, Ying, Leskovec: Inductive Representation Learning on Large Graphs, NeurIPS 2017. As in the
example, items have a learned vector beside their text, negatives are drawn for an edge, and items
are found by inner product; how many layers and negatives is searched. Unlike in it, users share one
vector, for a newcomer has none; a new user's vector comes from their edges by the same layers.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.nn import SAGEConv

from benchmarks.quality.learning import Floats, Watch, WithPrior, as_tensor
from firstedge.models.baselines import TrainingData, given_items
from firstedge.models.scorer import UserBatch
from firstedge.models.space import Choice, Range


@dataclass(frozen=True)
class GraphSAGE:
    """Means over neighbours, three layers deep.

    Attributes:
        dim: Of all vectors.
        layers: How many.
        parts: Edges are dealt into so many parts: each in turn is what is predicted, from messages
            over the others, so that no edge speaks for itself.
        negatives: Drawn for each edge.
        learning_rate: Of AdamW.
        prior: Weight of the log popularity beside the scores.
        epochs: At most.
        seed: Of all that is random.
    """

    name: ClassVar[str] = "GraphSAGE"
    dim: Annotated[int, Choice((64, 128))] = 64
    layers: Annotated[int, Choice((1, 2, 3))] = 3
    parts: Annotated[int, Choice((2, 5, 10))] = 5
    negatives: Annotated[int, Choice((1, 4))] = 1
    learning_rate: Annotated[float, Range(5e-4, 2e-2, log=True)] = 5e-3
    prior: Annotated[float, Range(0.0, 0.5)] = 0.0
    epochs: int = 300
    seed: int = 0

    def unfit(self, data: TrainingData) -> str:
        """See `Learner`."""
        return ""

    def learn(self, data: TrainingData, watch: Watch) -> None:
        """See `Learner`."""
        torch.manual_seed(self.seed)
        rng = np.random.default_rng(self.seed)
        net = _Net(data, self)
        optimizer = torch.optim.AdamW(net.parameters(), lr=self.learning_rate)
        users, items = data.x.nonzero()
        for _ in range(self.epochs):
            net.train()
            deal = rng.integers(0, self.parts, len(users))
            for part in range(self.parts):
                asked = deal == part
                loss = net.loss(
                    _Graph.of(data.x, ~asked), users[asked], items[asked], self.negatives
                )
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                if watch.step():
                    break
            if not watch.due:
                continue
            ranker = _Ranker.of(copy.deepcopy(net).eval(), data)
            if not watch.look(WithPrior(ranker, data.log_prior, self.prior)):
                return


@dataclass(frozen=True)
class _Graph:
    """Edges as rows of who listens to whom: users to items, items to users."""

    to_users: Tensor
    to_items: Tensor

    @classmethod
    def of(cls, x: sparse.csr_array, keep: np.ndarray) -> _Graph:
        users, items = x.nonzero()
        kept = sparse.csr_array((x.data[keep], (users[keep], items[keep])), shape=x.shape)
        return cls(as_tensor(kept), as_tensor(sparse.csr_array(kept.T)))


class _Net(nn.Module):
    def __init__(self, data: TrainingData, options: GraphSAGE) -> None:
        super().__init__()
        dim, self.layers = options.dim, options.layers
        self.user = nn.Parameter(torch.zeros(1, dim))
        self.items = nn.Embedding(data.num_items, dim)
        nn.init.xavier_uniform_(self.items.weight)
        self.register_buffer("text", torch.from_numpy(np.ascontiguousarray(data.text)))
        self.num_users = data.x.shape[0]
        width = dim + data.text.shape[1]
        sizes = [(dim, width)] + [(dim, dim)] * (self.layers - 1)
        self.to_users = nn.ModuleList([SAGEConv((i, u), dim) for u, i in sizes])
        self.to_items = nn.ModuleList([SAGEConv((u, i), dim) for u, i in sizes])
        self.user_head, self.item_head = nn.Linear(dim, dim), nn.Linear(dim, dim)

    def states(self, graph: _Graph) -> tuple[list[Tensor], list[Tensor]]:
        """States of users and items, those before the first layer and after each."""
        users = [self.user.expand(self.num_users, -1)]
        items = [torch.cat((self.items.weight, self.text), 1)]
        for layer in range(self.layers):
            heard = self.listen(layer, (items[-1], users[-1]), graph.to_users)
            told = self.to_items[layer]((users[-1], items[-1]), graph.to_items)
            users.append(heard)
            items.append(told.relu() if layer < self.layers - 1 else told)
        return users, items

    def listen(self, layer: int, states: tuple[Tensor, Tensor], edges: Tensor) -> Tensor:
        """Users after a layer; states of items and users before it, edges [users, items]."""
        heard: Tensor = self.to_users[layer](states, edges)
        return heard.relu() if layer < self.layers - 1 else heard

    def loss(self, graph: _Graph, users: np.ndarray, items: np.ndarray, negatives: int) -> Tensor:
        """Binary cross entropy of edges against drawn ones."""
        of_users, of_items = self.states(graph)
        u, w = self.user_head(of_users[-1]), self.item_head(of_items[-1])
        own = u[torch.from_numpy(users.astype(np.int64))]
        score = (own * w[torch.from_numpy(items.astype(np.int64))]).sum(1)
        loss = functional.softplus(-score).mean()
        for _ in range(negatives):
            drawn = torch.randint(len(w), (len(own),))
            loss = loss + functional.softplus((own * w[drawn]).sum(1)).mean() / negatives
        return loss


@dataclass(frozen=True)
class _Ranker:
    net: _Net
    items: list[Tensor]
    w: Floats

    @classmethod
    def of(cls, net: _Net, data: TrainingData) -> _Ranker:
        with torch.inference_mode():
            graph = _Graph.of(data.x, np.ones(data.x.nnz, bool))
            _, items = net.states(graph)
            return cls(net, items[:-1], net.item_head(items[-1]).numpy())

    def score(self, users: UserBatch) -> Floats:
        with torch.inference_mode():
            edges = as_tensor(given_items(users.given, len(self.w), 0.0))
            state = self.net.user.expand(len(users), -1)
            for layer, items in enumerate(self.items):
                state = self.net.listen(layer, (items, state), edges)
            u: Floats = self.net.user_head(state).numpy()
            return u @ self.w.T
