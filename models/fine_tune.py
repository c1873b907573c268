"""Fine-tuning a text encoder: texts of items that are chosen together move together.

The loss is InfoNCE with negatives from the batch (van den Oord et al. 2018, Representation Learning
with Contrastive Predictive Coding): a text is to tell those that it goes with from the other texts
of the batch. A small encoder moves as a whole; of a large one low-rank additions to its linear maps
are learned (Hu et al. 2022, LoRA) and merged in the end.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm

from firstedge.graph.errors import MissingDependency, SettingsError
from firstedge.loaders.text import TransformerEncoder, batches
from firstedge.loaders.transformer import load_model, padded, pooled, quiet, tokenize
from firstedge.models.fit import FitOptions
from firstedge.models.text_pairs import Exam, PairDraw

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]

# Low-rank additions want some ten times the rate of whole weights (Schulman et al. 2025, LoRA
# Without Regret).
_LORA_RATE = 10.0
_WARM_UP = 0.1  # of the steps
_WEIGHT_DECAY = 0.01
_MOST_NORM = 1.0  # of a gradient
# Tokens that are encoded at a time, in texts of almost equal lengths.
_CPU_TOKENS, _GPU_TOKENS = 512, 32_768


@dataclass(frozen=True)
class FineTune:
    """Whether and how the text encoder is fine-tuned.

    Attributes:
        on: Whether at all.
        epochs: Epochs, at most; in one, every text is drawn about once.
        most_steps: Steps an epoch at most.
        patience: Epochs without a better figure before stopping; the best is kept, and the encoder
            as it was if none is better.
        batch_texts: Texts a step.
        learning_rate: Peak, of an encoder that moves as a whole; low-rank additions get ten times
            that.
        temperature: That cosines are divided by.
        lora_from: Parameters from which on only low-rank additions are learned.
        lora_rank: Of these additions.
    """

    on: bool = False
    epochs: int = 4
    most_steps: int = 400
    patience: int = 1
    batch_texts: int = 128
    learning_rate: float = 2e-4
    temperature: float = 0.1
    lora_from: int = 100_000_000
    lora_rank: int = 16

    def __post_init__(self) -> None:
        counts = ("epochs", "most_steps", "patience", "lora_rank")
        if min(getattr(self, name) for name in counts) < 1 or self.batch_texts < 4:
            raise ValueError(f"{', '.join(counts)} are at least 1, batch_texts 4, got {self}")
        if not (self.learning_rate > 0 and self.temperature > 0):
            raise ValueError(f"learning_rate and temperature are positive, got {self}")


@dataclass(frozen=True)
class TextLesson:
    """What an encoder is trained on.

    Attributes:
        texts: n distinct texts.
        together: float32[n, n], weights of pairs, see `text_pairs`.
        exam: What it is asked after each epoch.
    """

    texts: Sequence[str]
    together: sparse.csr_array
    exam: Exam


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned encoder, the best one seen.

    Attributes:
        model: A transformers model on the CPU, additions merged.
        tokenizer: Of it.
        figures: Of the exam: before the first epoch, then after each.
        losses: Mean loss of each epoch.
    """

    model: Any
    tokenizer: Any
    figures: tuple[float, ...]
    losses: tuple[float, ...]

    @property
    def better(self) -> bool:
        """Whether any epoch was better than none."""
        return max(self.figures) > self.figures[0]

    def save(self, folder: Path) -> None:
        """Write model and tokenizer as transformers reads them: safetensors and JSON."""
        with quiet():
            self.model.save_pretrained(folder)
        self.tokenizer.save_pretrained(folder)


def fine_tune(
    encoder: TransformerEncoder, lesson: TextLesson, options: FineTune, fit: FitOptions
) -> Tuned:
    """Fine-tune an encoder; what it was stays as it is.

    Args:
        encoder: To begin with.
        lesson: On what.
        options: How.
        fit: Seed, device and precision.

    Raises:
        SettingsError: If the encoder's files are not whole, or memory does not suffice.
        MissingDependency: If a large encoder asks for peft, and it is not installed.
    """
    torch.manual_seed(fit.seed)
    try:
        course = _Course(encoder, lesson, options, fit)
        course.run()
    except torch.OutOfMemoryError as error:
        raise SettingsError(
            f"too little memory to fine-tune with {options.batch_texts} texts a step: set "
            "fine_tune.batch_texts lower in the options file"
        ) from error
    return course.tuned()


class _Course:
    """Epochs until none is better."""

    def __init__(
        self, encoder: TransformerEncoder, lesson: TextLesson, options: FineTune, fit: FitOptions
    ) -> None:
        self.lesson, self.options, self.fit = lesson, options, fit
        self.rng = np.random.default_rng(fit.seed)
        self.device = fit.torch_device
        model, self.tokenizer = load_model(encoder.folder)
        self.tokens = tokenize(self.tokenizer, list(lesson.texts), encoder.max_length)
        self.lengths = np.array([len(ids) for ids in self.tokens])
        self.large = model.num_parameters() >= options.lora_from
        self.model = (_with_additions(model, options.lora_rank) if self.large else model).to(
            self.device
        )
        self.moving = {n: p for n, p in self.model.named_parameters() if p.requires_grad}
        size = -(-len(lesson.texts) // options.batch_texts)
        self.steps = min(size, options.most_steps)
        rate = options.learning_rate * (_LORA_RATE if self.large else 1.0)
        moving = list(self.moving.values())
        self.optimizer = torch.optim.AdamW(moving, rate, weight_decay=_WEIGHT_DECAY)
        total = options.epochs * self.steps
        self.rates = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer, rate, total + 1, pct_start=_WARM_UP, anneal_strategy="linear"
        )
        scaled = fit.dtype is torch.float16
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=scaled)
        self.figures: list[float] = []
        self.losses: list[float] = []
        self.best: dict[str, Tensor] = {}

    def run(self) -> None:
        """All epochs, the best weights kept."""
        draw = PairDraw(self.lesson.together)
        self._ask()
        total = self.options.epochs * self.steps
        with tqdm(total=total, desc="fine-tune texts", unit="step", disable=None) as bar:
            for _ in range(self.options.epochs):
                self.model.train()
                losses = 0.0
                for _ in range(self.steps):
                    losses += self._step(*draw.batch(self.rng, self.options.batch_texts))
                    bar.update()
                self.losses.append(losses / self.steps)
                self._ask()
                bar.set_postfix(loss=f"{self.losses[-1]:.3f}", validation=f"{self.figures[-1]:.4f}")
                if len(self.figures) - 1 - int(np.argmax(self.figures)) >= self.options.patience:
                    break

    def tuned(self) -> Tuned:
        """The best encoder."""
        with torch.no_grad():
            for name, weight in self.moving.items():
                weight.copy_(self.best[name])
        model = self.model.merge_and_unload() if self.large else self.model
        model = model.cpu().eval()
        return Tuned(model, self.tokenizer, tuple(self.figures), tuple(self.losses))

    def _ask(self) -> None:
        """Note the figure of the model as it is, and its weights if they are the best so far."""
        self.model.eval()
        rows = self.lesson.exam.rows
        with torch.inference_mode():
            vectors = self._encode(rows).float().cpu().numpy()
        self.figures.append(self.lesson.exam.figure(vectors))
        if self.figures[-1] > max(self.figures[:-1], default=-1.0):
            self.best = {name: p.detach().clone() for name, p in self.moving.items()}

    def _step(self, rows: Ints, shares: Floats) -> float:
        self.optimizer.zero_grad(set_to_none=True)
        wanted = torch.from_numpy(shares).to(self.device)
        loss = contrast(self._encode(rows), wanted, self.options.temperature)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        torch.nn.utils.clip_grad_norm_(list(self.moving.values()), _MOST_NORM)
        scale = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self.scaler.get_scale() >= scale:  # else a gradient overflowed, and nothing moved
            self.rates.step()
        return float(loss.detach())

    def _encode(self, rows: Ints) -> Tensor:
        """float32[len(rows), dim]: unit vectors of some texts, in their order."""
        budget = _CPU_TOKENS if self.device.type == "cpu" else _GPU_TOKENS
        parts, order = [], []
        for batch in batches(self.lengths[rows], budget):
            tokens = [self.tokens[row] for row in rows[batch]]
            some = padded(tokens, self.tokenizer.pad_token_id, str(self.device))
            dtype, lowered = self.fit.dtype, self.fit.dtype is not torch.float32
            with torch.autocast(self.device.type, dtype, lowered):
                parts.append(pooled(self.model, some))
            order.append(batch)
        places = torch.from_numpy(np.argsort(np.concatenate(order))).to(self.device)
        return torch.cat(parts)[places]


def contrast(vectors: Tensor, shares: Tensor, temperature: float) -> Tensor:
    """The mean over texts of the cross entropy between partners and softmax of cosines, a scalar.

    Args:
        vectors: float32[b, dim], of unit length.
        shares: float32[b, b], a text's partners by their shares, which add up to 1; none of itself.
        temperature: That cosines are divided by.
    """
    # [b, b]; no text is a candidate for itself
    scores = vectors @ vectors.T / temperature
    itself = torch.eye(len(scores), dtype=torch.bool, device=scores.device)
    return functional.cross_entropy(scores.masked_fill(itself, -1e4), shares)


def _with_additions(model: Any, rank: int) -> Any:
    """The model with low-rank additions to its linear maps, which alone can move."""
    if find_spec("peft") is None:
        size = f"{model.num_parameters():,}"
        raise MissingDependency("peft", f"fine-tuning an encoder of {size} parameters", "lora")
    from peft import LoraConfig, get_peft_model

    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear")
    with warnings.catch_warnings():
        # Of what peft still calls in transformers; of no concern to whoever fine-tunes.
        warnings.simplefilter("ignore", FutureWarning)
        return get_peft_model(model, config)
