"""Fitting the net: truncated histories, full softmax, averaged weights, early stopping."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from tqdm import tqdm

from firstedge.graph.histories import Given, ranges
from firstedge.models.item_encoder import ItemGraph
from firstedge.models.net import Net, UserTensors
from firstedge.models.scorer import UserBatch
from firstedge.models.truncation import Examples, Truncator

Floats = npt.NDArray[np.float32]

# Epochs that a shop of any size gets.
LEAST_EPOCHS = 5


@dataclass(frozen=True)
class FitOptions:
    """How the net is trained.

    Attributes:
        epochs: Epochs, at most.
        least_steps: Steps an epoch at least: a small shop's users are drawn several times.
        most_steps: Steps an epoch at most: a large shop's users come in larger batches.
        most_examples: Users drawn in all epochs at most, but for LEAST_EPOCHS: a large shop's
            users are drawn fewer times.
        patience: Epochs without a better validation figure before stopping; the best is kept.
        batch_users: Users a step.
        learning_rate: Peak of the one-cycle schedule (the item bias gets a tenth).
        fast: How much faster the weights of kinds and of recency learn: they are few and far off.
        weight_decay: On tables.
        average: Decay of the exponential moving average of weights, a step.
        full_softmax: Items up to which the loss is over the whole catalogue.
        sampled_items: Draws a step beyond that.
        heavy_user: Targets at which a user starts to count for more than one.
        seed: Of everything random.
        device: "cpu", "cuda", ...; None takes a GPU where there is one.
    """

    epochs: int = 20
    least_steps: int = 12
    most_steps: int = 400
    most_examples: int = 4_000_000
    patience: int = 5
    batch_users: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    average: float = 0.97
    full_softmax: int = 50_000
    sampled_items: int = 8192
    heavy_user: int = 20
    fast: float = 10.0
    seed: int = 0
    device: str | None = None

    def __post_init__(self) -> None:
        whole = (self.epochs, self.batch_users, self.patience, self.least_steps, self.most_steps)
        if min(whole) < 1:
            raise ValueError(
                "epochs, batch_users, patience, least_steps and most_steps are at least 1, got "
                f"{self}"
            )
        if not (0 <= self.average < 1 and self.learning_rate > 0 and self.weight_decay >= 0):
            raise ValueError(f"0 <= average < 1, learning_rate > 0, weight_decay >= 0, got {self}")

    def for_users(self, num_users: int) -> FitOptions:
        """The same with the batches and epochs that so many users get."""
        return replace(
            self,
            batch_users=max(self.batch_users, math.ceil(num_users / self.most_steps)),
            epochs=min(self.epochs, max(LEAST_EPOCHS, self.most_examples // max(num_users, 1))),
        )

    @property
    def torch_device(self) -> torch.device:
        """The device as torch names it."""
        return torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))


@dataclass(frozen=True)
class Fitted:
    """A fitted net and how it got there.

    Attributes:
        net: The best net seen, on the CPU, in evaluation mode.
        validation: Validation figure after each epoch.
    """

    net: Net
    validation: tuple[float, ...]


def fit(
    net: Net,
    graph: ItemGraph,
    truncator: Truncator,
    known: UserBatch,
    log_prior: Floats,
    validate: Callable[[Net], float],
    options: FitOptions,
) -> Fitted:
    """Train a net.

    Args:
        net: Trained in place; take the one that is returned.
        graph: The item graph.
        truncator: Draws the examples.
        known: Profiles and texts of all users, by row.
        log_prior: float32[num_items], log p_j.
        validate: A figure to maximise, called after each epoch with the averaged net.
        options: How.
    """
    options = options.for_users(len(truncator.users))
    device = options.torch_device
    rng = np.random.default_rng(options.seed)
    torch.manual_seed(options.seed)
    net.to(device)
    graph = graph.to(device)
    softmax = Softmax(graph, torch.from_numpy(log_prior).to(device), options)
    steps = math.ceil(len(truncator.users) / options.batch_users)
    draws = math.ceil(options.least_steps / steps)
    optimizer = _optimizer(net, options)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer,
        [group["lr"] for group in optimizer.param_groups],
        total_steps=options.epochs * steps * draws,
    )
    averaged = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(options.average))
    figures: list[float] = []
    best: Net = copy.deepcopy(net)
    progress = tqdm(range(options.epochs), desc="train", unit="epoch", disable=None)
    for _ in progress:
        net.train()
        examples = (truncator.draw(rng) for _ in range(draws))
        batches = (_batches(drawn, known, options, device) for drawn in examples)
        for users, targets, weights in chain.from_iterable(batches):
            loss = softmax.loss(net, users, targets, weights)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
            averaged.update_parameters(net)
        averaged.module.eval()
        figures.append(validate(averaged.module))
        progress.set_postfix(validation=f"{figures[-1]:.4f}")
        if figures[-1] >= max(figures):
            best = copy.deepcopy(averaged.module)
        elif len(figures) - 1 - int(np.argmax(figures)) >= options.patience:
            break
    progress.close()
    return Fitted(best.cpu().eval(), tuple(figures))


class NetRanker:
    """Ranks by the net alone, as it trains.

    Args:
        net: In evaluation mode.
        graph: The item graph.
        log_prior: float32[num_items], log p_j.
        device: Where to compute; the net and the graph are moved there.
    """

    def __init__(self, net: Net, graph: ItemGraph, log_prior: Floats, device: torch.device) -> None:
        self.net, self.device = net.to(device), device
        with torch.inference_mode():
            self.v, w = net.items(graph.to(device))
            self.parts = (w, net.bias, torch.from_numpy(log_prior).to(device))

    def score(self, users: UserBatch) -> Floats:
        """float32[num_users, num_items]."""
        with torch.inference_mode():
            batch = user_tensors(users, self.device)
            u = self.net.embed_users(batch, self.v)
            scores: Floats = self.net.score(u, self.parts, batch).float().cpu().numpy()
            return scores


def _optimizer(net: Net, options: FitOptions) -> torch.optim.Optimizer:
    tables = [net.items.id, net.items.category, net.items.text, net.profile, net.user_text]
    slow = [net.bias]
    logs = [net.kind, net.recency]
    rest = [p for p in net.parameters() if all(p is not q for q in (*tables, *slow, *logs))]
    rate = options.learning_rate
    groups = [
        {"params": tables, "lr": rate, "weight_decay": options.weight_decay},
        {"params": slow, "lr": rate / 10, "weight_decay": 0.0},
        {"params": logs, "lr": rate * options.fast, "weight_decay": 0.0},
        {"params": rest, "lr": rate, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups)


class Softmax:
    """The loss: softmax over the catalogue, the mean over each user's targets, weighted by user.

    Over all trained items where they are few enough; else over a sample whose partition function
    is unbiased: a user's own targets count as they are, every other item by the inverse of its
    chance of being drawn (Horvitz and Thompson 1952; the logQ correction of Yi et al., RecSys
    2019). A step then encodes no other items than those drawn, given and asked for.

    Args:
        graph: The item graph.
        log_prior: float32[num_items]; items are drawn by p_j^.75.
        options: Of the training.
    """

    def __init__(self, graph: ItemGraph, log_prior: Tensor, options: FitOptions) -> None:
        self.graph, self.prior = graph, log_prior
        self.draws = options.sampled_items
        self.sampled = int(graph.trained.sum()) > options.full_softmax
        chance = torch.exp(0.75 * log_prior) * graph.trained
        self.chance = chance / chance.sum()
        # Items without an event in training are no answer to learn from.
        self.untrained = torch.zeros_like(log_prior).masked_fill(~graph.trained, -torch.inf)

    def loss(
        self, net: Net, users: UserTensors, targets: tuple[Tensor, Tensor], weights: Tensor
    ) -> Tensor:
        """A scalar.

        Args:
            net: In training mode.
            users: n users.
            targets: User number and item row of every target, int64[t] each.
            weights: float32[n].
        """
        rows, items = targets
        device = weights.device
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            if self.sampled:
                drawn = self.draw()
                some = net.forward_some(users, self.graph, self.prior, drawn, targets)
            else:
                scores = net(users, self.graph, self.prior).float()
        if self.sampled:
            scores, own = (part.float() for part in some)
            norm = self.log_partition(scores, own, targets, drawn)
        else:
            own = scores[rows, items]
            norm = torch.logsumexp(scores + self.untrained, 1)
        per_target = norm[rows] - own
        counts = torch.bincount(rows, minlength=len(weights)).clamp(min=1)
        per_user = torch.zeros_like(norm).index_add(0, rows, per_target) / counts
        return (weights * per_user).sum() / len(weights)

    def draw(self) -> Tensor:
        """Sorted distinct rows of a fresh sample of items, int64[c]."""
        return torch.unique(torch.multinomial(self.chance, self.draws, replacement=True))

    def log_partition(
        self, scores: Tensor, own: Tensor, targets: tuple[Tensor, Tensor], drawn: Tensor
    ) -> Tensor:
        """The logarithm of the estimated partition function of each user, [n].

        Args:
            scores: float32[n, c], of the drawn items.
            own: float32[t], of the users' targets.
            targets: As in `loss`; every user has one.
            drawn: int64[c], the drawn items.
        """
        rows, items = targets
        included = -torch.expm1(self.draws * torch.log1p(-self.chance[drawn]))
        others = scores - torch.log(included)
        # A target that was drawn is counted once, as a target.
        place = torch.searchsorted(drawn, items).clamp(max=len(drawn) - 1)
        twice = drawn[place] == items
        others[rows[twice], place[twice]] = -torch.inf
        highest = torch.full_like(scores[:, 0], -torch.inf)
        highest = highest.scatter_reduce(0, rows, own.detach(), "amax")
        total = torch.zeros_like(highest).index_add(0, rows, torch.exp(own - highest[rows]))
        targets_alone = torch.log(total) + highest
        return torch.logsumexp(torch.cat((others, targets_alone[:, None]), 1), 1)


def _batches(
    examples: Examples, known: UserBatch, options: FitOptions, device: torch.device
) -> Iterator[tuple[UserTensors, tuple[Tensor, Tensor], Tensor]]:
    for start in range(0, len(examples.users), options.batch_users):
        stop = min(start + options.batch_users, len(examples.users))
        at = slice(int(examples.offsets[start]), int(examples.offsets[stop]))
        counts = np.diff(examples.offsets[start : stop + 1])
        rows = np.repeat(np.arange(stop - start), counts)
        weights = np.maximum(1, counts / options.heavy_user).astype(np.float32)
        batch = UserBatch.of(examples.given).take(start, stop)
        yield (
            user_tensors(with_profiles(batch.given, known, examples.users[start:stop]), device),
            (_tensor(rows, device), _tensor(examples.items[at], device)),
            _tensor(weights, device),
        )


def with_profiles(given: Given, known: UserBatch, users: npt.NDArray[np.int64]) -> UserBatch:
    """The given edges joined with the profiles and texts of these rows of ``known``."""
    lengths = np.diff(known.profile_offsets)[users]
    fields = ranges(known.profile_offsets[users], lengths)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    text = None if known.text is None else known.text[users]
    return UserBatch(given, offsets, known.profile_rows[fields], text)


def user_tensors(users: UserBatch, device: torch.device | str = "cpu") -> UserTensors:
    """A batch of users on a device."""
    given = users.given
    return UserTensors(
        targets=_tensor(given.targets, device),
        offsets=_tensor(given.offsets[:-1], device),
        counts=_tensor(given.counts, device),
        kinds=_tensor(given.kinds, device),
        ranks=_tensor(given.ranks, device),
        weights=_tensor(given.weights, device),
        profile_rows=_tensor(users.profile_rows, device),
        profile_offsets=_tensor(users.profile_offsets[:-1], device),
        text=None if users.text is None else _tensor(users.text, device),
    )


def _tensor(array: npt.NDArray[np.generic], device: torch.device | str) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array)).to(device)
