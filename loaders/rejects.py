"""The file of rejected rows, written so that a killed import can go on where it was."""

from __future__ import annotations

import csv
import io
import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa

from firstedge.graph.errors import SettingsError
from firstedge.loaders.delimited import BAD, LINE, RAW
from firstedge.loaders.prepare import Sieve

_encode = json.JSONEncoder(ensure_ascii=False).encode
HEADER = b"line,reason,row\r\n"


class RejectsFile:
    """A CSV file of line number, reason, and row as JSON (as it stands, if it cannot be read).

    Args:
        path: Where it is; None keeps nothing.

    Raises:
        SettingsError: Here and below, if it cannot be written.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path

    def reaches(self, size: int) -> bool:
        """Whether the first ``size`` bytes of an earlier run are still there."""
        if self.path is None:
            return True
        return self.path.is_file() and self.path.stat().st_size >= size

    def start(self) -> int:
        """Begin an empty file; gives its size."""
        return self._write(0, HEADER)

    def append(self, size: int, chunk: pa.Table, sieve: Sieve) -> int:
        """Write a chunk's rejected rows behind the first ``size`` bytes; gives the new size.

        All is on the disk when this returns.
        """
        rejected = np.flatnonzero(~sieve.kept)
        if self.path is None or not len(rejected):
            return size
        text = io.StringIO()
        columns = chunk.take(pa.array(rejected)).to_pydict()
        lines, raw, _ = (columns.pop(name) for name in (LINE, RAW, BAD))
        rows = zip(*columns.values(), strict=True)
        shown = (
            _encode(dict(zip(columns, row, strict=True))) if as_it_stands is None else as_it_stands
            for row, as_it_stands in zip(rows, raw, strict=True)
        )
        reasons = (sieve.reasons[code] for code in sieve.codes[rejected])
        csv.writer(text).writerows(zip(lines, reasons, shown, strict=True))
        return self._write(size, text.getvalue().encode())

    def _write(self, size: int, data: bytes) -> int:
        if self.path is None:
            return 0
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("r+b" if size else "wb") as file:
                file.truncate(size)
                file.seek(size)
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        except OSError as error:
            raise SettingsError(
                f"cannot write the rejected rows to {self.path}: {error.strerror}; "
                "free the disk or name another folder, and import again: it goes on where it was"
            ) from error
        return size + len(data)
