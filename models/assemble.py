"""From a trained net and closed forms to a bundle, newcomers to the catalogue included."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from firstedge.loaders.snapshot import Snapshot
from firstedge.models.baselines import TrainingData
from firstedge.models.bundle import EXTRA, POPULARITIES, Bundle, Coefficients, ItemTable
from firstedge.models.closed_forms import pair_counts
from firstedge.models.edges import Edges
from firstedge.models.evidence import Evidence
from firstedge.models.item_encoder import ItemGraph
from firstedge.models.net import Net
from firstedge.models.newcomers import category_means
from firstedge.models.patterns import EdgeParts, take_apart

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Learned:
    """What the net learned, as arrays. n items, m categories, d dimensions, K steps.

    Attributes:
        v: float32[n + m, d].
        w: float32[n, d].
        bias: float32[n].
        c: float32[K, d].
        s: float32[K].
        g: float32[K], the factor of log p_j by k.
        kind: float32[num_kinds].
        recency: float32[R].
        profile: float32[f, d].
        user_text: float32[t, d].
        text_v: float32[t, d].
        text_w: float32[t, d].
        category_w: float32[m, d].
    """

    v: Floats
    w: Floats
    bias: Floats
    c: Floats
    s: Floats
    g: Floats
    kind: Floats
    recency: Floats
    profile: Floats
    user_text: Floats
    text_v: Floats
    text_w: Floats
    category_w: Floats

    @classmethod
    def of_net(cls, net: Net, graph: ItemGraph) -> Self:
        """Read a net on the CPU, in evaluation mode."""
        with torch.no_grad():
            v, w = net.items(graph)
            tables = net.tables()
            tree = net.items.tree(graph)
        dim, text = w.shape[1], net.items.text
        text_dim = text.shape[0]
        no_user_text = net.user_text.shape[0] != text_dim
        user_text = torch.zeros(text_dim, dim) if no_user_text else net.user_text
        arrays = {
            "v": v,
            "w": w,
            "bias": net.bias,
            "user_text": user_text,
            "text_v": text[:, :dim],
            "text_w": text[:, dim:],
            "category_w": tree[:, dim:],
            "kind": net.kind,
            "profile": net.profile,
            **tables,
        }
        return cls(**{name: tensor.detach().numpy() for name, tensor in arrays.items()})

    @classmethod
    def of_bundle(cls, bundle: Bundle) -> Self:
        """What `assemble` put into a bundle."""
        dim = bundle.of_text.start
        names = ("v", "w", "c", "profile", "user_text", "text_v", "text_w", "category_w")
        return cls(
            **{name: getattr(bundle, name)[:, :dim] for name in names},
            bias=bundle.b,
            s=bundle.s[:, 0],
            g=bundle.c[:, bundle.of_text.stop],
            kind=bundle.kind,
            recency=bundle.recency,
        )


@dataclass(frozen=True)
class ByK:
    """Weights that a bundle has within its vectors: of what is said by k, and of text.

    Attributes:
        fading_prior: Of the log popularity divided by k, beside the coefficient `prior`: the fewer
            edges there are, the less they say against it.
        recent: Of the log popularity of late at k >= 1.
        start_prior: Of the log popularity at k = 0, in place of the coefficient `prior`.
        start_recent: Of the log popularity of late at k = 0.
        start_net: Of what the net says of everybody at k = 0, in place of the coefficient `net`.
        text: theta, of the given items' texts about an item with an event in training.
        new_text: The same about an item without one, which borrows edges.
        later_text: The same about an item that comes after training and has no edge at all.
    """

    fading_prior: float = 0.0
    recent: float = 0.0
    start_prior: float = 0.0
    start_recent: float = 0.0
    start_net: float = 0.0
    text: float = 0.0
    new_text: float = 0.0
    later_text: float = 0.0

    @property
    def texts(self) -> tuple[float, float, float]:
        """The weights of text."""
        return self.text, self.new_text, self.later_text


@dataclass(frozen=True)
class Draft:
    """All that a bundle is made of but the coefficients.

    Attributes:
        snapshot: Vocabularies, texts, categories and properties.
        data: Users that count.
        learned: Of the net.
        evidence: Closed forms.
        profile_lifts: float32[f, n].
        text_axes: float32[t, r], see `Bundle`.
        late: float32[n], log popularity of late; zeros where no event has a time.
    """

    snapshot: Snapshot
    data: TrainingData
    learned: Learned
    evidence: Evidence
    profile_lifts: sparse.csr_array
    text_axes: Floats
    late: Floats
    _latest: dict[tuple[float, ...], EdgeParts] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def edge_parts(self, mix: Mapping[str, float]) -> EdgeParts:
        """All edges in parts, their sorts weighed by name; of the latest mixture, as they were."""
        key = tuple(mix[name] for name in self.evidence.edges)
        if key not in self._latest:
            self._latest.clear()  # they are large
            self._latest[key] = take_apart(self.evidence.mixed(mix), self.data.importance)
        return self._latest[key]


def assemble(draft: Draft, parts: EdgeParts, coefficients: Coefficients, by_k: ByK) -> Bundle:
    """A bundle with these edges and coefficients.

    Further dimensions of w carry what depends on k but on no single edge, see `EXTRA`: g_k log p_j
    of the net, the popularities by k, what every given item says of j alike, and the patterns.
    Texts have theirs before them, if they have a weight.

    Args:
        draft: Everything else.
        parts: Of the item edges.
        coefficients: Weights of the terms.
        by_k: Weights within the vectors.
    """
    snapshot, net, data = draft.snapshot, draft.learned, draft.data
    # Without a weight the net is silent, and its dimensions serve the others alone; what it says of
    # everybody at k = 0 has a weight of its own.
    heard = np.float32(coefficients.net > 0)
    heard_first = np.float32(coefficients.net > 0 or by_k.start_net > 0)
    gamma = np.float32(coefficients.net or 1.0)
    axes = draft.text_axes if any(by_k.texts) else draft.text_axes[:, :0]
    text, r = snapshot.item_text @ axes, axes.shape[1]
    first, popular = _by_k(net, coefficients, by_k)
    x, y = parts.patterns
    return Bundle(
        items=snapshot.items,
        categories=snapshot.categories,
        profile_values=snapshot.profile_values,
        schema=snapshot.schema,
        table=item_table(snapshot, data),
        # The popularities are weighed by k, in c.
        coefficients=replace(coefficients, net=float(gamma), prior=0.0),
        prior=newcomer_values(data.log_prior, data),
        w=_wide(
            heard_first * net.w,
            _thetas(data, by_k)[:, None] / gamma * text,
            np.column_stack((_popularities(draft, heard_first), parts.lean / gamma, y / gamma)),
        ),
        b=heard * newcomer_values(net.bias, data),
        v=_inputs(heard * net.v, text, x),
        c=_wide(first, r, popular),
        s=_scales(net, r),
        kind=net.kind,
        recency=net.recency,
        profile=_wide(heard * net.profile, r),
        profile_lifts=Edges.of(draft.profile_lifts),
        edges=_counted(parts.edges, data),
        category_lifts=Edges.of(draft.evidence.lifts),
        text_axes=axes,
        user_text=_wide(heard * net.user_text, r),
        text_w=_wide(heard_first * net.text_w, np.float32(by_k.later_text) / gamma * axes),
        text_v=_wide(heard * net.text_v, axes),
        category_w=_wide(heard_first * net.category_w, r),
        encoder=snapshot.encoder,
    )


def _counted(edges: sparse.csr_array, data: TrainingData) -> Edges:
    """Edges that know how many users have both ends."""
    return Edges.of(edges, pair_counts(data.x, edges) if edges.nnz else None)


def _wide(net: Floats, text: Floats | int, extra: Floats | None = None) -> Floats:
    """The net's dimensions, those of text (zeros, by their number), and EXTRA (zeros if None)."""
    zeros = np.zeros((len(net), EXTRA), np.float32) if extra is None else extra
    between = np.zeros((len(net), text), np.float32) if isinstance(text, int) else text
    return np.column_stack((net, between, zeros))


def _thetas(data: TrainingData, by_k: ByK) -> Floats:
    """float32[n], the weight of the text of each item."""
    return np.where(data.counts > 0, by_k.text, by_k.new_text).astype(np.float32)


def _popularities(draft: Draft, heard: np.float32) -> Floats:
    """float32[n, POPULARITIES], of w: popularity as the net weighs it, popularity, that of late."""
    data = draft.data
    ever, late = newcomer_values(data.log_prior, data), newcomer_values(draft.late, data)
    return np.column_stack((heard * ever, ever, late))


def _inputs(net: Floats, text: Floats, patterns: Floats) -> Floats:
    """float32[n + m, d], v: the net's, and of items texts, 1 where all say alike, the patterns."""
    n, m = len(text), len(net) - len(text)
    extra = np.zeros((n + m, EXTRA), np.float32)
    extra[:n, POPULARITIES], extra[:n, POPULARITIES + 1 :] = 1, patterns
    return _wide(net, np.pad(text, ((0, m), (0, 0))), extra)


def _scales(net: Learned, texts: int) -> Floats:
    """float32[K, d], s: the net's, k^-.5 of texts, so that they are averaged, and 1."""
    steps, dim = len(net.s), net.w.shape[1]
    k = np.maximum(np.arange(steps), 1)
    of_text = (k**-0.5).astype(np.float32)
    return _wide(
        np.repeat(net.s[:, None], dim, 1),
        np.repeat(of_text[:, None], texts, 1),
        np.ones((steps, EXTRA), np.float32),
    )


def _by_k(net: Learned, coefficients: Coefficients, by_k: ByK) -> tuple[Floats, Floats]:
    """c: float32[K, dim] of the net; float32[K, EXTRA], g and the weights of both popularities."""
    gamma, steps = np.float32(coefficients.net or 1.0), len(net.c)
    said = np.column_stack((net.c, net.g))
    said[0] *= np.float32(by_k.start_net) / gamma
    said[1:] *= np.float32(coefficients.net > 0)
    popular = np.empty((steps, 2), np.float32)
    popular[:, 0] = coefficients.prior + by_k.fading_prior * one_over_k(steps)
    popular[:, 1] = by_k.recent
    popular[0] = by_k.start_prior, by_k.start_recent
    nothing = np.zeros((steps, EXTRA - POPULARITIES), np.float32)  # edges alone say this
    return said[:, :-1], np.column_stack((said[:, -1], popular / gamma, nothing))


def one_over_k(steps: int) -> Floats:
    """float32[steps], 1 / k, and 0 at k = 0."""
    return np.concatenate(([0.0], 1 / np.arange(1, steps))).astype(np.float32)


def newcomer_values(values: Floats, data: TrainingData) -> Floats:
    """Values of items, with those of items without a training event made up for.

    A newcomer takes the mean of its category, shrunk to the mean of rare items.

    Args:
        values: float32[n], popularity or bias.
        data: Users that count, and the items' categories.
    """
    primary, m = data.primary, data.num_categories
    counts = np.asarray(data.x.sum(0))
    means = category_means(values, counts, primary, m)
    return np.where(counts == 0, means[np.where(primary >= 0, primary, m)], values)


def item_table(snapshot: Snapshot, data: TrainingData) -> ItemTable:
    """Titles, counts, availability, categories and properties of a snapshot's items."""
    names, stored = snapshot.schema.item, snapshot.item_properties
    available = np.ones(len(snapshot.items), np.bool_)
    if names.available:
        flags = stored[names.available].to_pylist()
        available = np.array([flag is None or bool(flag) for flag in flags], np.bool_)
    return ItemTable(
        titles=snapshot.texts.titles,
        counts=np.asarray(data.x.sum(0)).astype(np.int32),
        available=available,
        primary=snapshot.primary.astype(np.int32),
        memberships=Edges.of(snapshot.memberships),
        parents=snapshot.parents.astype(np.int32),
        category_names=snapshot.texts.categories,
        properties={name: tuple(stored[name].to_pylist()) for name in names.properties},
    )
