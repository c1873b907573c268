"""A bundle of closed forms alone: quick to make, and good enough to be compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from firstedge.graph.vocabulary import Vocabulary
from firstedge.models.baselines import TrainingData
from firstedge.models.bundle import Bundle, Coefficients
from firstedge.models.closed_forms import NaiveBayes, naive_bayes
from firstedge.models.edges import Edges
from tests.models.bundles import random_bundle


def closed_bundle(data: TrainingData, num_profile_values: int = 0) -> Bundle:
    """Log prior plus naive Bayes edges, with a net of four dimensions that is not used."""
    n, m, f = data.num_items, data.num_categories, num_profile_values
    base = random_bundle(num_items=n, num_categories=m)
    r, _ = naive_bayes(data.cooccurrence(0.5), NaiveBayes(), data.tree)
    rng = np.random.default_rng(0)
    factors = (rng.normal(size=(n, 4)) / 10).astype(np.float32)
    table = replace(base.table, counts=np.asarray(data.x.sum(0), np.int32))
    return replace(
        base,
        items=Vocabulary(tuple(f"i{row:05d}" for row in range(n))),
        profile_values=Vocabulary(tuple(f"value {row}" for row in range(f)), "profile value"),
        table=table,
        coefficients=Coefficients(),
        prior=data.log_prior,
        edges=Edges.of(r, data.cooccurrence(0.0)),
        profile_lifts=Edges.none(f, n),
        w=factors,
        v=np.pad(factors, ((0, m), (0, 0))),
        b=np.zeros(n, np.float32),
        c=np.zeros((11, 4), np.float32),
        s=np.ones((11, 4), np.float32),
        kind=np.zeros_like(base.kind),
        recency=np.zeros(1, np.float32),
        profile=np.zeros((f, 4), np.float32),
        user_text=np.zeros((12, 4), np.float32),
        text_w=np.zeros((12, 4), np.float32),
        text_v=np.zeros((12, 4), np.float32),
        category_w=np.zeros((m, 4), np.float32),
        about={"trials": 3},
    )
