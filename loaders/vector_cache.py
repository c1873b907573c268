"""Text vectors on disk, so that no text is encoded twice by one model."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from hashlib import blake2b
from pathlib import Path

import numpy as np
import numpy.typing as npt

log = logging.getLogger(__name__)

_CREATE = "CREATE TABLE IF NOT EXISTS vectors (key BLOB PRIMARY KEY, vector BLOB NOT NULL)"
_PER_QUERY = 10_000  # SQLite takes at most 32,766 parameters in one query
_WAIT = 60.0  # seconds to wait for another process that is writing


class VectorCache:
    """float32 vectors by text in one SQLite file: a file per model.

    Writes are transactions, so several processes may share a file and one may die at any time. A
    cache must not stop the work that it saves: a file that is damaged is started anew, and one
    that cannot be written (a full disk, no right) is warned of and done without.

    Args:
        path: The file; it and its folder are made when something is written.
        dim: The length of a vector.
    """

    def __init__(self, path: Path, dim: int) -> None:
        self.path = path
        self.dim = dim

    def read(self, texts: Sequence[str]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
        """Look texts up.

        Returns:
            float32[n, dim] and bool[n]: the vectors, and whether each was here; a row that was not
            is zero.
        """
        vectors = np.zeros((len(texts), self.dim), np.float32)
        found = np.zeros(len(texts), np.bool_)
        if not self.path.exists():
            return vectors, found
        keys = [_key(text) for text in texts]
        blobs = self._blobs(keys)
        size = self.dim * vectors.itemsize
        here = [row for row, key in enumerate(keys) if len(blobs.get(key, b"")) == size]
        found[here] = True
        joined = b"".join(blobs[keys[row]] for row in here)
        vectors[here] = np.frombuffer(joined, "<f4").reshape(-1, self.dim)
        return vectors, found

    def write(self, texts: Sequence[str], vectors: npt.NDArray[np.float32]) -> None:
        """Keep the vectors float32[n, dim] of these texts."""
        rows = [
            (_key(text), vector.astype("<f4", copy=False).tobytes())
            for text, vector in zip(texts, vectors, strict=True)
        ]
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=_WAIT)) as connection, connection:
                connection.execute(_CREATE)
                connection.executemany("INSERT OR IGNORE INTO vectors VALUES (?, ?)", rows)
        except (OSError, sqlite3.Error) as error:
            log.warning("text vectors are not kept: cannot write %s: %s", self.path, error)

    def _blobs(self, keys: Sequence[bytes]) -> dict[bytes, bytes]:
        found: dict[bytes, bytes] = {}
        try:
            with closing(sqlite3.connect(self.path, timeout=_WAIT)) as connection:
                for start in range(0, len(keys), _PER_QUERY):
                    part = keys[start : start + _PER_QUERY]
                    marks = ",".join("?" * len(part))
                    query = f"SELECT key, vector FROM vectors WHERE key IN ({marks})"  # noqa: S608
                    found.update(connection.execute(query, part))
        except sqlite3.OperationalError as error:
            log.warning("encoding texts anew: cannot read %s: %s", self.path, error)
        except sqlite3.DatabaseError as error:
            log.warning("encoding texts anew: %s is damaged (%s) and is removed", self.path, error)
            self.path.unlink(missing_ok=True)
        return found


def _key(text: str) -> bytes:
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
