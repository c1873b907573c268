"""Mult-VAE, as published and with histories cut short as ours are.

Liang, Krishnan, Hoffman, Jebara: Variational Autoencoders for Collaborative Filtering, WWW 2018.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.quality.learning import Floats, Watch, WithPrior, as_tensor, batches
from firstedge.models.baselines import TrainingData, given_items
from firstedge.models.scorer import UserBatch
from firstedge.models.space import Choice, Range
from firstedge.models.truncation import Truncation, Truncator

# A user's weight in the truncated objective is its number of targets over this, at least 1.
HEAVY_USER = 20


@dataclass(frozen=True)
class MultVAE:
    """The whole history in, the whole history out.

    Attributes:
        hidden: Width of the one hidden layer on each side.
        latent: Dimensions of the code.
        dropout: Of the input.
        beta: Final weight of the divergence from the code's prior.
        anneal: Steps in which beta grows from 0.
        learning_rate: Of Adam.
        prior: Weight of the log popularity beside the scores.
        batch: Users of a step.
        epochs: At most.
        seed: Of all that is random.
    """

    name: ClassVar[str] = "Mult-VAE"
    hidden: Annotated[int, Choice((200, 400, 600))] = 600
    latent: Annotated[int, Choice((64, 128, 200))] = 200
    dropout: Annotated[float, Range(0.2, 0.7)] = 0.5
    beta: Annotated[float, Range(0.02, 1.0, log=True)] = 0.2
    learning_rate: Annotated[float, Range(3e-4, 5e-3, log=True)] = 1e-3
    prior: Annotated[float, Range(0.0, 0.5)] = 0.0
    anneal: int = 2000
    batch: int = 256
    epochs: int = 300
    seed: int = 0

    def unfit(self, data: TrainingData) -> str:
        """See `Learner`."""
        return ""

    def learn(self, data: TrainingData, watch: Watch) -> None:
        """See `Learner`."""
        torch.manual_seed(self.seed)
        net = _Net(data.num_items, self)
        optimizer = torch.optim.Adam(net.parameters(), lr=self.learning_rate)
        done, rng = 0, np.random.default_rng(self.seed)
        for _ in range(self.epochs):
            net.train()
            for given, targets, weights in self._examples(data, rng):
                beta = self.beta * min(1.0, done / self.anneal)
                loss = net.loss(given, targets, weights, beta)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                done += 1
                if watch.step():
                    break
            if not watch.due:
                continue
            ranker = _Ranker(copy.deepcopy(net).eval(), data.num_items)
            if not watch.look(WithPrior(ranker, data.log_prior, self.prior)):
                return

    def _examples(
        self, data: TrainingData, rng: np.random.Generator
    ) -> Iterator[tuple[sparse.csr_array, sparse.csr_array, Floats]]:
        """Given items, target items and weights of a batch of users."""
        x = data.x
        for users in batches(x.shape[0], self.batch, rng):
            yield x[users], x[users], np.ones(len(users), np.float32)


@dataclass(frozen=True)
class TruncatedMultVAE(MultVAE):
    """A history cut at a random k in, the rest of it out; users weigh as in our training."""

    name: ClassVar[str] = "Mult-VAE, our objective"
    # The likelihood is a mean over a user's targets here, not a sum.
    beta: Annotated[float, Range(1e-4, 0.1, log=True)] = 3e-3

    def _examples(
        self, data: TrainingData, rng: np.random.Generator
    ) -> Iterator[tuple[sparse.csr_array, sparse.csr_array, Floats]]:
        kinds = np.ones(int(data.histories.kinds.max(initial=0)) + 1, np.float32)
        truncator = data.once(
            ("truncator",), lambda: Truncator(data.histories, kinds, Truncation())
        )
        drawn = truncator.draw(rng)
        given = given_items(drawn.given, data.num_items, 0.0)
        ones = np.ones(len(drawn.items), np.float32)
        targets = sparse.csr_array((ones, drawn.items, drawn.offsets), shape=given.shape)
        counts = np.diff(drawn.offsets)
        for start in range(0, len(counts), self.batch):
            rows = slice(start, start + self.batch)
            share = targets[rows]
            share.data = share.data / np.repeat(counts[rows], counts[rows]).astype(np.float32)
            weights = np.maximum(1, counts[rows] / HEAVY_USER).astype(np.float32)
            yield given[rows], share, weights


class _Net(nn.Module):
    def __init__(self, num_items: int, options: MultVAE) -> None:
        super().__init__()
        self.dropout = options.dropout
        self.input = nn.Parameter(torch.empty(num_items, options.hidden))
        self.input_bias = nn.Parameter(torch.zeros(options.hidden))
        self.code = nn.Linear(options.hidden, 2 * options.latent)
        self.hidden = nn.Linear(options.latent, options.hidden)
        self.output = nn.Linear(options.hidden, num_items)
        nn.init.xavier_normal_(self.input)
        for layer in (self.code, self.hidden, self.output):
            nn.init.xavier_normal_(layer.weight)
            nn.init.normal_(layer.bias, std=0.001)

    def encode(self, given: sparse.csr_array) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the code, [n, latent] each."""
        lengths = np.sqrt(np.maximum(np.diff(given.indptr), 1)).astype(np.float32)
        x = sparse.csr_array(
            (
                (given.data / np.repeat(lengths, np.diff(given.indptr))).astype(np.float32),
                given.indices,
                given.indptr,
            ),
            shape=given.shape,
        )
        if self.training:
            kept = torch.rand(len(x.data)).numpy() >= self.dropout
            x.data = x.data * kept / np.float32(1 - self.dropout)
        hidden = torch.tanh(as_tensor(x) @ self.input + self.input_bias)
        mean, log_variance = self.code(hidden).chunk(2, 1)
        return mean, log_variance

    def forward(self, code: Tensor) -> Tensor:
        """Scores of all items, [n, num_items]."""
        scores: Tensor = self.output(torch.tanh(self.hidden(code)))
        return scores

    def loss(
        self, given: sparse.csr_array, targets: sparse.csr_array, weights: Floats, beta: float
    ) -> Tensor:
        """The negative evidence bound: multinomial likelihood and divergence, mean over users."""
        mean, log_variance = self.encode(given)
        code = mean + torch.randn_like(mean) * torch.exp(0.5 * log_variance)
        log_softmax = functional.log_softmax(self(code), 1)
        rows = torch.from_numpy(np.repeat(np.arange(targets.shape[0]), np.diff(targets.indptr)))
        columns = torch.from_numpy(targets.indices.astype(np.int64))
        per_target = log_softmax[rows, columns] * torch.from_numpy(targets.data)
        likelihood = torch.zeros(targets.shape[0]).index_add(0, rows, per_target)
        divergence = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1)
        return (torch.from_numpy(weights) * (beta * divergence - likelihood)).mean()


@dataclass(frozen=True)
class _Ranker:
    net: _Net
    num_items: int

    def score(self, users: UserBatch) -> Floats:
        with torch.inference_mode():
            mean, _ = self.net.encode(given_items(users.given, self.num_items, 0.0))
            scores: Floats = functional.log_softmax(self.net(mean), 1).numpy()
            return scores
