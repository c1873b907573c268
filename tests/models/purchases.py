"""Purchases as a store takes them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa


def purchases(users: np.ndarray, items: np.ndarray, name: str) -> pa.Table:
    """Events of user rows on item rows, a minute apart, their keys beginning with ``name``."""
    n = len(users)
    return pa.table(
        {
            "user": [f"u{row:03d}" for row in users],
            "target": [f"i{row:03d}" for row in items],
            "kind": ["purchase"] * n,
            "time": np.arange(n) * 60_000,
            "seq": np.zeros(n, np.int64),
            "weight": pa.nulls(n, pa.float64()),
            "key": [f"{name}-{row}" for row in range(n)],
        }
    )
