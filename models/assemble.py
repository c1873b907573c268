"""From a trained net and closed forms to a bundle, newcomers to the catalogue included."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from torch import Tensor

from firstedge.loaders.snapshot import Snapshot
from firstedge.models.baselines import TrainingData
from firstedge.models.bundle import Bundle, Coefficients, ItemTable
from firstedge.models.edges import Edges
from firstedge.models.evidence import Evidence
from firstedge.models.item_encoder import ItemGraph
from firstedge.models.net import Net

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

# Events of doubt when a category's mean stands in for a newcomer's own figure.
_DOUBT = 5.0
# Items with at most this many users are rare: what a newcomer looks like.
_RARE = 3


@dataclass(frozen=True)
class Draft:
    """All that a bundle is made of but the coefficients.

    Attributes:
        snapshot: Vocabularies, texts, categories and properties.
        data: Training users.
        net: Trained, in evaluation mode.
        graph: What its item encoder reads.
        evidence: Closed forms.
        profile_lifts: float32[f, n].
    """

    snapshot: Snapshot
    data: TrainingData
    net: Net
    graph: ItemGraph
    evidence: Evidence
    profile_lifts: sparse.csr_array


def assemble(draft: Draft, edges: Edges, lean: Floats, coefficients: Coefficients) -> Bundle:
    """A bundle with these edges and coefficients.

    Two further dimensions carry what the net and the pruned edges say of popularity: g_k log p_j,
    and what every given item says of j alike.

    Args:
        draft: Everything else.
        edges: Item edges, [n, n].
        lean: float32[n], what an edge to any item adds to item j, beside `edges`.
        coefficients: Weights of the terms.
    """
    snapshot, net, data = draft.snapshot, draft.net, draft.data
    prior, bias = (
        newcomer_values(values, data.x, data.primary, data.num_categories)
        for values in (data.log_prior, net.bias.detach().numpy())
    )
    with torch.no_grad():
        v, w = (vectors.numpy() for vectors in net.items(draft.graph))
        tree = net.items.tree(draft.graph).numpy()
    dim, gamma = w.shape[1], coefficients.net
    if not gamma:  # the net is silent, and its dimensions serve the lean alone
        w, bias, gamma = np.zeros_like(w), np.zeros_like(bias), 1.0
    popular = prior if coefficients.net else np.zeros_like(prior)
    is_item = (np.arange(len(v)) < len(w)).astype(np.float32)
    steps = len(net.s)
    text = net.items.text.detach().numpy()
    return Bundle(
        items=snapshot.items,
        categories=snapshot.categories,
        profile_values=snapshot.profile_values,
        schema=snapshot.schema,
        table=item_table(snapshot, data.x),
        coefficients=replace(coefficients, net=gamma),
        prior=prior,
        w=np.column_stack((w, popular, lean / np.float32(gamma))),
        b=bias,
        v=np.column_stack((v, np.zeros(len(v), np.float32), is_item)),
        c=np.column_stack((net.c.detach(), net.g.detach(), torch.zeros(steps))),
        s=np.column_stack((net.s.detach()[:, None].expand(steps, dim + 1), torch.ones(steps))),
        kind=net.kind.detach().numpy(),
        recency=net.recency.detach().numpy(),
        profile=_widen(net.profile),
        profile_lifts=Edges.of(draft.profile_lifts),
        edges=edges,
        category_lifts=Edges.of(draft.evidence.lifts),
        text=snapshot.item_text,
        user_text=_user_text(net, snapshot.item_text.shape[1]),
        text_w=_widen(text[:, dim:]),
        text_v=_widen(text[:, :dim]),
        category_w=_widen(tree[:, dim:]),
        encoder=snapshot.encoder,
    )


def newcomer_values(
    values: Floats, x: sparse.csr_array, primary: Ints, num_categories: int
) -> Floats:
    """Values of items, with those of items without a training event made up for.

    A newcomer takes the mean of its category, shrunk to the mean of rare items.

    Args:
        values: float32[n], popularity or bias.
        x: float32[num_users, n].
        primary: int64[n], -1 for none.
        num_categories: How many categories there are.
    """
    counts = np.asarray(x.sum(0))
    new = counts == 0
    rare = ~new & (counts <= max(_RARE, counts[~new].min(initial=_RARE)))
    usual = float(values[rare].mean()) if rare.any() else float(values[~new].mean())
    column = np.where(primary >= 0, primary, num_categories)
    totals = np.bincount(column[~new], values[~new], num_categories + 1)
    members = np.bincount(column[~new], minlength=num_categories + 1)
    totals[num_categories], members[num_categories] = 0, 0
    means = (totals + _DOUBT * usual) / (members + _DOUBT)
    return np.where(new, means[column], values).astype(np.float32)


def item_table(snapshot: Snapshot, x: sparse.csr_array) -> ItemTable:
    """Titles, counts, availability, categories and properties of a snapshot's items."""
    names, stored = snapshot.schema.item, snapshot.item_properties
    available = np.ones(len(snapshot.items), np.bool_)
    if names.available:
        flags = stored[names.available].to_pylist()
        available = np.array([flag is None or bool(flag) for flag in flags], np.bool_)
    return ItemTable(
        titles=snapshot.texts.titles,
        counts=np.asarray(x.sum(0)).astype(np.int32),
        available=available,
        primary=snapshot.primary.astype(np.int32),
        memberships=Edges.of(snapshot.memberships),
        parents=snapshot.parents.astype(np.int32),
        category_names=snapshot.texts.categories,
        properties={name: tuple(stored[name].to_pylist()) for name in names.properties},
    )


def _user_text(net: Net, text_dim: int) -> Floats:
    """W_text, or zeros where no user had a text to learn from."""
    if net.user_text.shape[0] == text_dim:
        return _widen(net.user_text)
    return np.zeros((text_dim, net.user_text.shape[1] + 2), np.float32)


def _widen(array: Tensor | Floats) -> Floats:
    """Zeros in the two dimensions of popularity."""
    values = array.detach().numpy() if isinstance(array, Tensor) else array
    return np.pad(values, ((0, 0), (0, 2)))
