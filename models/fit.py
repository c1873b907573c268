"""Fitting the net: truncated histories, softmax, averaged weights, early stopping."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from firstedge.models.batches import Batch, batches, user_tensors
from firstedge.models.checkpoint import Checkpoint, Progress, weights_of
from firstedge.models.item_encoder import ItemGraph
from firstedge.models.net import Net
from firstedge.models.scorer import UserBatch
from firstedge.models.softmax import Softmax
from firstedge.models.trainer import Schedule, Trainer
from firstedge.models.truncation import Truncator

Floats = npt.NDArray[np.float32]
Precision = Literal["auto", "float32", "bfloat16", "float16"]

# Epochs that a shop of any size gets.
LEAST_EPOCHS = 5
# Scores of a step up to which one thread computes them.
SMALL_CELLS = 1 << 20


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
        pieces: In which a batch is computed one after the other, to save memory.
        learning_rate: Peak of the one-cycle schedule (the item bias gets a tenth).
        fast: How much faster the weights of kinds and of recency learn: they are few and far off.
        weight_decay: On tables.
        average: Decay of the exponential moving average of weights, a step.
        full_softmax: Items up to which the loss is over the whole catalogue.
        sampled_items: Draws a step beyond that.
        heavy_user: Targets at which a user starts to count for more than one.
        seed: Of everything random.
        device: "cpu", "cuda", ...; None takes a GPU where there is one.
        precision: Of the matrix products; "auto" is bfloat16 on a GPU that has it, float16 with a
            scaled loss on another GPU, and float32 on a CPU.
    """

    epochs: int = 60
    least_steps: int = 12
    most_steps: int = 400
    most_examples: int = 500_000
    patience: int = 20
    batch_users: int = 256
    pieces: int = 1
    learning_rate: float = 1e-2
    weight_decay: float = 1e-2
    average: float = 0.97
    full_softmax: int = 50_000
    sampled_items: int = 8192
    heavy_user: int = 20
    fast: float = 10.0
    seed: int = 0
    device: str | None = None
    precision: Precision = "auto"

    def __post_init__(self) -> None:
        counts = ("epochs", "batch_users", "patience", "least_steps", "most_steps", "pieces")
        if min(getattr(self, name) for name in counts) < 1:
            raise ValueError(f"{', '.join(counts)} are at least 1, got {self}")
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

    @property
    def dtype(self) -> torch.dtype:
        """The precision as torch names it."""
        if self.precision != "auto":
            return {
                "float32": torch.float32,
                "bfloat16": torch.bfloat16,
                "float16": torch.float16,
            }[self.precision]
        if self.torch_device.type != "cuda":
            return torch.float32
        return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


@dataclass(frozen=True)
class Fitted:
    """A fitted net and how it got there.

    Attributes:
        net: The best net seen, on the CPU, in evaluation mode.
        validation: Validation figure after each epoch.
    """

    net: Net
    validation: tuple[float, ...]


@dataclass(frozen=True)
class Lesson:
    """What a net is trained on.

    Attributes:
        graph: The item graph.
        truncator: Draws the examples.
        known: Profiles and texts of all users, by row.
        log_prior: float32[num_items], log p_j.
        validate: A figure to maximise, asked after each epoch of the averaged net.
    """

    graph: ItemGraph
    truncator: Truncator
    known: UserBatch
    log_prior: Floats
    validate: Callable[[Net], float]


@dataclass(frozen=True)
class Watch:
    """What goes on beside a training.

    Attributes:
        checkpoint: Where it is held, so that it can go on after its process was killed.
        report: Takes the step, the mean loss of the epoch so far, and after an epoch its
            validation figure (else None).
        say: Takes a line on each stage of the training that is over.
    """

    checkpoint: Checkpoint | None = None
    report: Callable[[int, float, float | None], None] = field(default=lambda *_: None)
    say: Callable[[str], None] = field(default=lambda _: None)

    def beside(self, name: str) -> Watch:
        """The same for a second net of the same training, with a checkpoint of its own."""
        first = self.checkpoint
        if first is None:
            return self
        path = first.path.with_stem(f"{first.path.stem}-{name}")
        return replace(self, checkpoint=Checkpoint(path, f"{first.key} {name}", first.seconds))


def fit(net: Net, lesson: Lesson, options: FitOptions, watch: Watch | None = None) -> Fitted:
    """Train a net.

    Args:
        net: Trained in place; take the one that is returned.
        lesson: On what.
        options: How.
        watch: What goes on beside it.
    """
    options = options.for_users(len(lesson.truncator.users))
    course = _Course(net, lesson, options, watch or Watch())
    with _threads_for(options.batch_users * len(lesson.log_prior), course.device):
        return course.run()


@contextmanager
def _threads_for(cells: int, device: torch.device) -> Iterator[None]:
    """One thread where a step's scores are few.

    Threads then wait for each other more than they work; on a busy machine that is most of the
    time.
    """
    threads = torch.get_num_threads()
    if device.type == "cpu" and cells <= SMALL_CELLS:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Course:
    """Epochs from the first, or from where a checkpoint is, to the last."""

    def __init__(self, net: Net, lesson: Lesson, options: FitOptions, watch: Watch) -> None:
        self.lesson, self.options, self.watch = lesson, options, watch
        self.device = options.torch_device
        self.rng = np.random.default_rng(options.seed)
        torch.manual_seed(options.seed)
        users = len(lesson.truncator.users)
        steps = math.ceil(users / options.batch_users)
        self.draws = math.ceil(options.least_steps / steps)
        self.steps = steps * self.draws
        graph = lesson.graph.to(self.device)
        many = int(graph.trained.sum()) > options.full_softmax
        softmax = Softmax(
            graph,
            torch.from_numpy(lesson.log_prior).to(self.device),
            options.sampled_items if many else 0,
            options.dtype,
        )
        schedule = Schedule(
            options.epochs * self.steps,
            options.learning_rate,
            options.fast,
            options.weight_decay,
            options.average,
            options.pieces,
        )
        self.trainer = Trainer(net.to(self.device), softmax, schedule, self.device)
        self.progress = self._begin()

    def _begin(self) -> Progress:
        checkpoint = self.watch.checkpoint
        found = checkpoint.resume(self.trainer) if checkpoint else None
        if found is None:
            return Progress(numbers=dict(self.rng.bit_generator.state))
        self.rng.bit_generator.state = found.numbers
        return found

    def run(self) -> Fitted:
        """All epochs that are left."""
        progress, options, trainer = self.progress, self.options, self.trainer
        quiet = True if trainer.workers.rank else None
        bar = tqdm(total=options.epochs, desc="train", unit="epoch", disable=quiet)
        bar.update(progress.epoch)
        while progress.epoch < options.epochs and not self._stalled():
            self._epoch()
            bar.update()
            bar.set_postfix(validation=f"{progress.figures[-1]:.4f}")
        bar.close()
        if self.watch.checkpoint:
            self.watch.checkpoint.forget()
        best = copy.deepcopy(trainer.average)
        best.load_state_dict(progress.best)
        return Fitted(best.cpu().eval(), tuple(progress.figures))

    def _stalled(self) -> bool:
        """Whether the best figure is too many epochs ago."""
        figures = self.progress.figures
        if not figures or figures[-1] >= max(figures):
            return False
        return len(figures) - 1 - int(np.argmax(figures)) >= self.options.patience

    def _epoch(self) -> None:
        progress, trainer, checkpoint = self.progress, self.trainer, self.watch.checkpoint
        trainer.net.train()
        losses, done = 0.0, 0
        for batch in islice(self._batches(), progress.step, None):
            losses, done = losses + trainer.step(batch), done + 1
            progress.step += 1
            self.watch.report(self._steps_done(), losses / done, None)
            if checkpoint and checkpoint.due():
                checkpoint.write(trainer, progress)
        figure = trainer.workers.agree(self.lesson.validate(trainer.average), self.device)
        progress.figures.append(figure)
        self.watch.report(self._steps_done(), losses / max(done, 1), figure)
        if figure >= max(progress.figures):
            progress.best = weights_of(trainer.average)
        progress.epoch, progress.step = progress.epoch + 1, 0
        progress.numbers = dict(self.rng.bit_generator.state)

    def _steps_done(self) -> int:
        return self.progress.epoch * self.steps + self.progress.step

    def _batches(self) -> Iterator[Batch]:
        """The batches of an epoch, the same ones for the same state of the generator."""
        drawn = (self.lesson.truncator.draw(self.rng) for _ in range(self.draws))
        size, heavy = self.options.batch_users, self.options.heavy_user
        return chain.from_iterable(
            batches(examples, self.lesson.known, size, heavy) for examples in drawn
        )


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


__all__ = ["FitOptions", "Fitted", "Lesson", "NetRanker", "Watch", "fit"]
