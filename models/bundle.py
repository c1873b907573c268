"""The Bundle: all that is needed to score, and nothing else.

    score(j) = eta log p_j + k^-.5 sum_i a_i (S_ij + phi_i g(c_i, c_j) + repeat [i = j])
             + beta sum_f P_fj + gamma (u . w_j + b_j)
    u        = c_k + profile vectors + W_text text(user) + s_k * k^-.5 sum_i a_i v_i
    phi_i    = the coefficient `category` where i is an item, `interest` where it is a category
    a_i      = weight_i exp(recency_i + kind_i)

The sums run over the given targets i, items and categories alike; k is their number, and c and s
are indexed by min(k, rows - 1). `models/scorer.py` computes this, `models/bundle_file.py` keeps it
on disk.

The vectors hold what the net learned, then r dimensions of text, then EXTRA. Along the dimensions
of text v_i is the text of i, s_k is k^-.5 and w_j is theta_j / gamma times the text of j: the
product is theta_j times the text of j with the weighted mean of the given texts, where theta is
another one for items without an event in training. Along the last PATTERNS of EXTRA lies what many
edges have in common (`models/patterns.py`), so that S_ij above is only what they do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from firstedge.graph.errors import BundleError
from firstedge.graph.schema import Schema
from firstedge.graph.vocabulary import Vocabulary
from firstedge.models.edges import Edges

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]

# Patterns that the edges between items follow, see `models/patterns.py`.
PATTERNS = 8
# The last dimensions of w, v, c and s, as training fills them: popularity as the net weighs it,
# popularity, popularity of late; then what every given item says alike, and the patterns.
POPULARITIES = 3
EXTRA = POPULARITIES + 1 + PATTERNS


@dataclass(frozen=True)
class Coefficients:
    """One number for each term of the score, the same for every k.

    Attributes:
        prior: eta, of the log popularity; 0 as training leaves it, which weighs it by k in c.
        category: of the category lifts g from given items.
        interest: of the category lifts g from given categories.
        profile: beta, of the profile lifts P.
        net: gamma, of the vectors.
        repeat: of an item given already (matters only with exclude_given=False).
    """

    prior: float = 1.0
    category: float = 0.0
    interest: float = 0.0
    profile: float = 0.0
    net: float = 0.0
    repeat: float = 0.0


@dataclass(frozen=True)
class ItemTable:
    """What is known of items besides vectors, aligned with the vocabularies.

    Attributes:
        titles: n texts to show.
        counts: int32[n], users with a speaking event in training; 0 for a new item.
        available: bool[n].
        primary: int32[n], the category whose lifts apply, -1 for none.
        memberships: Categories of each item, as edges of weight 1 [n, m].
        parents: int32[m], parent of each category, -1 for a root.
        category_names: m texts to show.
        properties: Further properties for filters, a column of n values each (None: missing).
    """

    titles: tuple[str, ...]
    counts: Ints
    available: npt.NDArray[np.bool_]
    primary: Ints
    memberships: Edges
    parents: Ints
    category_names: tuple[str, ...]
    properties: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Bundle:
    """A trained model. n items, m categories, d dimensions, t text dimensions of the encoder.

    Attributes:
        items: Vocabulary of the n items.
        categories: Vocabulary of the m categories.
        profile_values: Vocabulary of "field=value" texts, f of them.
        schema: The Schema it was trained under.
        table: Titles, availability, categories and properties.
        coefficients: Weights of the terms.
        prior: float32[n], log p_j.
        w: float32[n, d], output vectors of items.
        b: float32[n], item biases.
        v: float32[n + m, d], input vectors of items, then of categories.
        c: float32[K, d], the user vector before any edge, by min(k, K - 1).
        s: float32[K, d], the weights of the edges, by min(k, K - 1).
        kind: float32[num_kinds], log weight of each kind.
        recency: float32[R], log weight by min(recency rank, R - 1).
        profile: float32[f, d], vectors of profile values.
        profile_lifts: P, edges from profile values to items [f, n].
        edges: S, edges from items to items [n, n], pruned.
        category_lifts: g, edges from categories to categories [m, m].
        text_axes: float32[t, r], from an encoded text to the dimensions of text, those before the
            last EXTRA (r = 0: the model compares no texts).
        user_text: float32[t, d], W_text.
        text_w: float32[t, d], item text to its part of w, for items never seen in training.
        text_v: float32[t, d], item text to its part of v.
        category_w: float32[m, d], category to its part of w; that of v is v[n:].
        encoder: Name of the text encoder, "" for none.
        encoder_folder: Where that encoder lies if it was fine-tuned for this bundle, else None.
        about: Metrics, counts, options and versions, for people; JSON values.
    """

    items: Vocabulary
    categories: Vocabulary
    profile_values: Vocabulary
    schema: Schema
    table: ItemTable
    coefficients: Coefficients
    prior: Floats
    w: Floats
    b: Floats
    v: Floats
    c: Floats
    s: Floats
    kind: Floats
    recency: Floats
    profile: Floats
    profile_lifts: Edges
    edges: Edges
    category_lifts: Edges
    text_axes: Floats
    user_text: Floats
    text_w: Floats
    text_v: Floats
    category_w: Floats
    encoder: str = ""
    encoder_folder: Path | None = None
    about: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, m, f = len(self.items), len(self.categories), len(self.profile_values)
        d, (t, r) = self.w.shape[-1], self.text_axes.shape
        steps = len(self.c)
        shapes: dict[str, tuple[int, ...]] = {
            "prior": (n,),
            "w": (n, d),
            "b": (n,),
            "v": (n + m, d),
            "c": (steps, d),
            "s": (steps, d),
            "kind": (len(self.schema.kind),),
            "recency": self.recency.shape[:1],
            "profile": (f, d),
            "text_axes": (t, r),
            "user_text": (t, d),
            "text_w": (t, d),
            "text_v": (t, d),
            "category_w": (m, d),
        }
        for name, shape in shapes.items():
            array = getattr(self, name)
            if array.shape != shape or array.dtype != np.float32:
                raise BundleError(
                    f"{name} must be float32{list(shape)}, got {array.dtype}{list(array.shape)}"
                )
            if not np.isfinite(array).all():
                raise BundleError(f"{name} holds values that are not finite: train again")
        if steps == 0 or len(self.recency) == 0:
            raise BundleError("c, s and recency need at least one row")

    def __repr__(self) -> str:
        return (
            f"Bundle({len(self.items):,} items, {len(self.categories):,} categories, "
            f"dim {self.dim}, {len(self.edges):,} edges)"
        )

    @property
    def dim(self) -> int:
        """Dimensions of user and item vectors."""
        return int(self.w.shape[1])

    @property
    def of_text(self) -> slice:
        """Where the dimensions of text lie in v and w."""
        stop = self.dim - EXTRA
        return slice(stop - self.text_axes.shape[1], stop)

    def arrays(self) -> dict[str, npt.NDArray[Any]]:
        """Every array field by name, as shared references."""
        return {
            f.name: value
            for f in fields(self)
            if isinstance(value := getattr(self, f.name), np.ndarray)
        }
