"""From a trained net and closed forms to a bundle, newcomers to the catalogue included."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse

from firstedge.loaders.snapshot import Snapshot
from firstedge.models.baselines import TrainingData
from firstedge.models.bundle import EXTRA, Bundle, Coefficients, ItemTable
from firstedge.models.edges import Edges
from firstedge.models.evidence import Evidence
from firstedge.models.item_encoder import ItemGraph
from firstedge.models.net import Net
from firstedge.models.newcomers import category_means
from firstedge.models.text_axes import along

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
        dim = bundle.dim - EXTRA
        names = ("v", "w", "c", "profile", "user_text", "text_v", "text_w", "category_w")
        return cls(
            **{name: getattr(bundle, name)[:, :dim] for name in names},
            bias=bundle.b,
            s=bundle.s[:, 0],
            g=bundle.c[:, dim],
            kind=bundle.kind,
            recency=bundle.recency,
        )


@dataclass(frozen=True)
class ByK:
    """How much popularity and the net say at each k, beside what they say at all k alike.

    Attributes:
        recent: Of the log popularity of late at k >= 1.
        start_prior: Of the log popularity at k = 0, in place of the coefficient `prior`.
        start_recent: Of the log popularity of late at k = 0.
        start_net: Of what the net says of everybody at k = 0, in place of the coefficient `net`.
    """

    recent: float = 0.0
    start_prior: float = 0.0
    start_recent: float = 0.0
    start_net: float = 0.0


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


def assemble(
    draft: Draft, edges: Edges, lean: Floats, coefficients: Coefficients, by_k: ByK
) -> Bundle:
    """A bundle with these edges and coefficients.

    Further dimensions of w carry what depends on k but on no edge alone, see `EXTRA`: g_k log p_j
    of the net, the popularities by k, and what every given item says of j alike.

    Args:
        draft: Everything else.
        edges: Item edges, [n, n].
        lean: float32[n], what an edge to any item adds to item j, beside `edges`.
        coefficients: Weights of the terms.
        by_k: Weights that depend on k.
    """
    snapshot, net, data = draft.snapshot, draft.learned, draft.data
    # Without a weight the net is silent, and its dimensions serve the others alone; what it says of
    # everybody at k = 0 has a weight of its own.
    heard = np.float32(coefficients.net > 0)
    heard_first = np.float32(coefficients.net > 0 or by_k.start_net > 0)
    gamma = coefficients.net or 1.0
    return Bundle(
        items=snapshot.items,
        categories=snapshot.categories,
        profile_values=snapshot.profile_values,
        schema=snapshot.schema,
        table=item_table(snapshot, data),
        # The popularities are weighed by k, in c.
        coefficients=replace(coefficients, net=gamma, prior=0.0),
        prior=newcomer_values(data.log_prior, data),
        w=_outputs(draft, heard_first, lean / np.float32(gamma)),
        b=heard * newcomer_values(net.bias, data),
        v=_inputs(net, heard),
        c=_by_k(net, coefficients, by_k),
        s=np.column_stack(
            (np.repeat(net.s[:, None], net.w.shape[1] + EXTRA - 1, 1), 0 * net.s + 1)
        ),
        kind=net.kind,
        recency=net.recency,
        profile=_widen(heard * net.profile),
        profile_lifts=Edges.of(draft.profile_lifts),
        edges=edges,
        category_lifts=Edges.of(draft.evidence.lifts),
        text=along(snapshot.item_text, draft.text_axes),
        text_axes=draft.text_axes,
        user_text=_widen(heard * net.user_text),
        text_w=_widen(net.text_w),
        text_v=_widen(heard * net.text_v),
        category_w=_widen(net.category_w),
        encoder=snapshot.encoder,
    )


def _outputs(draft: Draft, heard: np.float32, lean: Floats) -> Floats:
    """float32[n, d], w: the net's, popularity as the net weighs it, the popularities, the lean."""
    data = draft.data
    ever, late = newcomer_values(data.log_prior, data), newcomer_values(draft.late, data)
    return np.column_stack((heard * draft.learned.w, heard * ever, ever, late, lean))


def _inputs(net: Learned, heard: np.float32) -> Floats:
    """float32[n + m, d], v: the net's, and 1 for items where every item says alike."""
    items = (np.arange(len(net.v)) < len(net.w)).astype(np.float32)
    return np.column_stack((heard * net.v, np.zeros((len(net.v), EXTRA - 1), np.float32), items))


def _scales(net: Learned) -> Floats:
    """float32[K, d], s: the net's, and 1 where every item says alike."""
    s = np.repeat(net.s[:, None], net.w.shape[1] + EXTRA, 1)
    s[:, -1] = 1
    return s


def _by_k(net: Learned, coefficients: Coefficients, by_k: ByK) -> Floats:
    """float32[K, d], c: the net's, g, the weights of both popularities, nothing for the lean."""
    gamma, steps = np.float32(coefficients.net or 1.0), len(net.c)
    said = np.column_stack((net.c, net.g))
    said[0] *= np.float32(by_k.start_net) / gamma
    said[1:] *= np.float32(coefficients.net > 0)
    popular = np.tile(np.array((coefficients.prior, by_k.recent), np.float32), (steps, 1))
    popular[0] = by_k.start_prior, by_k.start_recent
    return np.column_stack((said, popular / gamma, np.zeros(steps, np.float32)))


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


def _widen(array: Floats) -> Floats:
    """Zeros in the dimensions that are not the net's."""
    return np.pad(array, ((0, 0), (0, EXTRA)))
