"""SASRec with softmax over the catalogue, of a large one over a sample: the form that does best.

Kang, McAuley: Self-Attentive Sequential Recommendation, ICDM 2018; the loss after Klenitskiy,
Vasilev: Turning Dross Into Gold Loss, RecSys 2023.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.quality.learning import Floats, Ints, Watch, WithPrior, batches
from firstedge.graph.histories import Given, ranges
from firstedge.models.baselines import TrainingData
from firstedge.models.scorer import UserBatch
from firstedge.models.space import Choice, Range

# Above this many items the softmax runs over a sample of them, corrected for the chance (logQ).
FULL_SOFTMAX = 5_000


@dataclass(frozen=True)
class SASRec:
    """Attention over the sequence of items; a new user's sequence is all it needs.

    Attributes:
        dim: Of the item vectors, which are input and output alike.
        blocks: Of attention.
        heads: In each block.
        dropout: Everywhere.
        length: Items of a window of a training history; half of the windows are its beginning.
        learning_rate: Of Adam.
        prior: Weight of the log popularity beside the scores.
        negatives: Sampled items, in a large catalogue.
        batch: Windows of a step.
        epochs: At most.
        seed: Of all that is random.
    """

    name: ClassVar[str] = "SASRec"
    dim: Annotated[int, Choice((32, 64, 128))] = 64
    blocks: Annotated[int, Choice((1, 2, 3))] = 2
    heads: Annotated[int, Choice((1, 2, 4))] = 1
    dropout: Annotated[float, Range(0.1, 0.6)] = 0.2
    length: Annotated[int, Choice((20, 50, 100))] = 50
    learning_rate: Annotated[float, Range(3e-4, 5e-3, log=True)] = 1e-3
    prior: Annotated[float, Range(0.0, 0.5)] = 0.0
    negatives: int = 2000
    batch: int = 128
    epochs: int = 300
    seed: int = 0

    def unfit(self, data: TrainingData) -> str:
        """See `Learner`."""
        return ""

    def learn(self, data: TrainingData, watch: Watch) -> None:
        """See `Learner`."""
        torch.manual_seed(self.seed)
        rng = np.random.default_rng(self.seed)
        touches = data.histories.touches()
        users = np.flatnonzero(touches.counts > 1)
        net = _Net(data.num_items, self)
        optimizer = torch.optim.Adam(net.parameters(), lr=self.learning_rate, betas=(0.9, 0.98))
        for _ in range(self.epochs):
            net.train()
            for rows in batches(len(users), self.batch, rng):
                windows = self._windows(touches.offsets, touches.items, users[rows], rng)
                loss = net.loss(*windows, self.negatives)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                if watch.step():
                    break
            if not watch.due:
                continue
            ranker = _Ranker(copy.deepcopy(net).eval(), data.num_items)
            if not watch.look(WithPrior(ranker, data.log_prior, self.prior)):
                return

    def _windows(
        self, offsets: Ints, items: Ints, users: Ints, rng: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        """Padded windows, int64[n, length + 1], and their lengths, int64[n]."""
        counts = np.diff(offsets)[users]
        lengths = np.minimum(counts, self.length + 1)
        starts = (rng.random(len(users)) * (counts - lengths + 1)).astype(np.int64)
        starts[rng.random(len(users)) < 0.5] = 0
        flat = items[ranges(offsets[users] + starts, lengths)]
        return torch.from_numpy(_padded(flat, lengths)), torch.from_numpy(lengths)


def _padded(flat: Ints, lengths: Ints) -> Ints:
    rows = np.repeat(np.arange(len(lengths)), lengths)
    places = ranges(np.zeros(len(lengths), np.int64), lengths)
    table = np.zeros((len(lengths), int(lengths.max(initial=1))), np.int64)
    table[rows, places] = flat
    return table


class _Net(nn.Module):
    def __init__(self, num_items: int, options: SASRec) -> None:
        super().__init__()
        dim = options.dim
        self.items = nn.Embedding(num_items, dim)
        self.places = nn.Embedding(options.length, dim)
        nn.init.normal_(self.items.weight, std=0.02)
        nn.init.normal_(self.places.weight, std=0.02)
        layer = nn.TransformerEncoderLayer(
            dim, options.heads, dim, options.dropout, batch_first=True, norm_first=True
        )
        self.attention = nn.TransformerEncoder(
            layer, options.blocks, nn.LayerNorm(dim), enable_nested_tensor=False
        )
        self.dropout = nn.Dropout(options.dropout)

    def forward(self, items: Tensor) -> Tensor:
        """States after each item, [n, l, dim]; padding behind the end changes nothing before it."""
        length = items.shape[1]
        x = self.items(items) * math.sqrt(self.items.embedding_dim)
        x = self.dropout(x + self.places.weight[:length])
        mask = nn.Transformer.generate_square_subsequent_mask(length)
        states: Tensor = self.attention(x, mask=mask, is_causal=True)
        return states

    def loss(self, windows: Tensor, lengths: Tensor, negatives: int) -> Tensor:
        """Cross entropy of each next item, mean over places."""
        states = self(windows[:, :-1])
        real = torch.arange(states.shape[1]) < (lengths - 1)[:, None]
        states, targets = states[real], windows[:, 1:][real]
        count = self.items.num_embeddings
        if count <= FULL_SOFTMAX:
            return functional.cross_entropy(states @ self.items.weight.T, targets)
        drawn = torch.randint(count, (negatives,))
        scores = states @ self.items.weight[drawn].T + math.log(count / negatives)
        scores = scores.masked_fill(drawn == targets[:, None], -torch.inf)
        own = (states * self.items(targets)).sum(1, keepdim=True)
        return (torch.logsumexp(torch.cat((own, scores), 1), 1) - own[:, 0]).mean()


@dataclass(frozen=True)
class _Ranker:
    net: _Net
    num_items: int

    def score(self, users: UserBatch) -> Floats:
        table, lengths = _sequences(users.given, self.num_items, self.net.places.num_embeddings)
        with torch.inference_mode():
            states = self.net(torch.from_numpy(table))
            last = states[torch.arange(len(lengths)), torch.from_numpy(np.maximum(lengths, 1) - 1)]
            scores: Floats = functional.log_softmax(last @ self.net.items.weight.T, 1).numpy()
            return scores


def _sequences(given: Given, num_items: int, most: int) -> tuple[Ints, Ints]:
    """The latest items of each user, the oldest of them first, padded; and how many they are."""
    kept = (given.targets < num_items) & (given.ranks < most)
    order = np.lexsort((-given.ranks[kept], given.users[kept]))
    lengths = np.bincount(given.users[kept], minlength=len(given))
    return _padded(given.targets[kept][order], lengths), lengths
