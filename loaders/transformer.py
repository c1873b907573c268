"""Models of the transformers library: loaded, and from texts to vectors of unit length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoModel, AutoTokenizer

from firstedge.graph.errors import SettingsError


def load_model(folder: Path) -> tuple[Any, Any]:
    """A transformers model in evaluation mode, float32 on the CPU, and its tokenizer.

    Raises:
        SettingsError: If the files are not whole.
    """
    try:
        with quiet():
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
            model = AutoModel.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    except (OSError, ValueError, SafetensorError) as error:
        raise SettingsError(f"cannot load the text encoder in {folder}: {error}") from error
    return model.eval().float(), tokenizer


def tokenize(tokenizer: Any, texts: list[str], max_length: int) -> list[list[int]]:
    """Token ids of each text, cut to ``max_length``, with the model's special tokens."""
    encoded = tokenizer(
        texts,
        truncation=True,
        max_length=max_length,
        return_attention_mask=False,
        return_token_type_ids=False,
    )
    ids: list[list[int]] = encoded["input_ids"]
    return ids


def padded(tokens: Sequence[Sequence[int]], pad: int | None, device: str) -> tuple[Tensor, Tensor]:
    """Token ids, int64[n, longest], and which of them are of a text, bool[n, longest]."""
    lengths = np.array([len(ids) for ids in tokens])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, pad or 0, np.int64)
    ids[mask] = np.concatenate(tokens)
    return torch.from_numpy(ids).to(device), torch.from_numpy(mask).to(device)


def pooled(model: Any, batch: tuple[Tensor, Tensor]) -> Tensor:
    """The texts' vectors, float32[n, dim] of unit length: means over tokens, padding left out.

    Args:
        model: A transformers model.
        batch: As `padded` gives it.
    """
    ids, mask = batch
    states = model(input_ids=ids, attention_mask=mask.long()).last_hidden_state
    # [n, longest, dim] -> [n, dim]; the mean's scale goes with its length
    total = (states.float() * mask[:, :, None]).sum(1)
    unit: Tensor = torch.nn.functional.normalize(total, dim=1)
    return unit


@contextmanager
def quiet() -> Iterator[None]:
    """Without the progress bars that transformers draws while it reads and writes files."""
    logging: Any = transformers.utils.logging
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
