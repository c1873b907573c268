"""Approximate retrieval for large catalogues: a few thousand candidates, scored exactly.

The estimate of a score is a product of two vectors: what a user brings (u, the mean text, how each
category is lifted, 1) and what an item has (w, its text, its category's place among the lifts, its
popularity). An inverted file of such item vectors (faiss `IndexIVFFlat`; Jegou and others, Product
quantization for nearest neighbor search, 2011) is asked for the items of highest product; those
that an edge or a profile value of the user leads to are added. All candidates get their exact
scores, and a filter is applied before they are counted, so that what is answered is never wrong
about either; only an item that is not among the candidates can be missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from firstedge.graph.errors import MissingDependency, SettingsError
from firstedge.models.scorer import Scorer, Terms, UserBatch
from firstedge.serving.finder import Found, Wanted

try:
    import faiss
except ImportError:
    raise MissingDependency("faiss-cpu", "approximate retrieval", "ann") from None
