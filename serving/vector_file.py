"""Vectors by id in a Parquet file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from firstedge.graph.files import replacing

_ROWS = 65_536  # of a row group


def write_vectors(path: str | Path, ids: Sequence[str], vectors: npt.NDArray[np.float32]) -> None:
    """Write columns ``id`` (string) and ``vector`` (float32, a list of fixed size), atomically.

    Args:
        path: The file; one that is there is replaced once the new one is complete.
        ids: n ids.
        vectors: float32[n, d].

    Raises:
        SettingsError: If it cannot be written.
    """
    flat = pa.array(np.ascontiguousarray(vectors).reshape(-1))
    column = pa.FixedSizeListArray.from_arrays(flat, vectors.shape[1])
    table = pa.table({"id": pa.array(ids, pa.string()), "vector": column})
    with replacing(Path(path)) as staged:
        pq.write_table(table, staged, row_group_size=_ROWS)
