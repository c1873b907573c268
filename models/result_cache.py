"""Results by content: what was computed from the same inputs by the same code is read back."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt
import xxhash

from firstedge.graph.files import replacing


@dataclass(frozen=True)
class ResultCache:
    """A folder of small JSON files, one for each result.

    Attributes:
        folder: Where they lie, made when the first is written; None remembers nothing.
    """

    folder: Path | None

    def read(self, key: str) -> Any:
        """The JSON value kept under a key, or None. A damaged file counts as missing."""
        if self.folder is None:
            return None
        try:
            return json.loads((self.folder / f"{key}.json").read_text("utf-8"))
        except (OSError, ValueError):
            return None

    def write(self, key: str, value: Any) -> None:
        """Keep a JSON value; a reader sees all of it or nothing."""
        if self.folder is None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        with replacing(self.folder / f"{key}.json") as staged:
            staged.write_text(json.dumps(value), "utf-8")


def key_of(parts: Mapping[str, Any]) -> str:
    """A key of JSON values, the same for the same values in any process."""
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def digest_arrays(arrays: Sequence[npt.NDArray[Any]]) -> str:
    """A digest of arrays' contents, shapes and dtypes."""
    digest = xxhash.xxh3_128()
    for array in arrays:
        digest.update(f"{array.dtype.str}{array.shape}".encode())
        digest.update(np.ascontiguousarray(array).view(np.uint8).reshape(-1).data)
    return digest.hexdigest()


def digest_code(*modules: ModuleType) -> str:
    """A digest of modules' sources: changed code does not read what the old code computed."""
    digest = xxhash.xxh3_128()
    for module in modules:
        if module.__file__ is not None:
            digest.update(Path(module.__file__).read_bytes())
    return digest.hexdigest()


def digest_folder(folder: Path) -> str:
    """A digest of all Python sources of a folder, by name."""
    digest = xxhash.xxh3_128()
    for path in sorted(folder.glob("*.py")):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
