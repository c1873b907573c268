"""A Snapshot as a heterogeneous graph of torch_geometric."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from importlib.util import find_spec
from types import MappingProxyType
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from firstedge.graph.errors import MissingDependency
from firstedge.loaders.snapshot import Snapshot

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

Ints = npt.NDArray[np.int64]
MEMBER = ("item", "in_category", "category")
PARENT = ("category", "child_of", "category")


def build_hetero(snapshot: Snapshot) -> HeteroData:
    """The snapshot's graph.

    Node types ``user``, ``item`` and ``category``: ``num_nodes`` and ``x`` float32[num_nodes, t],
    the text vectors. Edge types ``(user, kind, item or category)``, one for each kind of the
    Schema, with ``edge_index`` int64[2, e], ``edge_time`` int64[e] in milliseconds since 1970 UTC
    (`NO_TIME` where unknown) and ``edge_weight`` float32[e], in the order of the histories;
    ``(item, in_category, category)`` and ``(category, child_of, category)``; and of each the
    reverse, its relation under ``rev_``.

    Raises:
        MissingDependency: If torch or torch_geometric is not installed.
    """
    for package, name in (("torch", "torch"), ("torch_geometric", "torch-geometric")):
        if find_spec(package) is None:
            raise MissingDependency(name, "a snapshot as HeteroData", "train")
    import torch

    with warnings.catch_warnings():  # torch's own affair, and nothing that our callers can change
        warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
        from torch_geometric.data import HeteroData

    data = HeteroData()
    features = (snapshot.user_text, snapshot.item_text, snapshot.category_text)
    for node, x in zip(("user", "item", "category"), features, strict=True):
        data[node].x = torch.from_numpy(x)
        data[node].num_nodes = len(x)
    _add_events(data, snapshot)
    _add_edges(data, MEMBER, snapshot.memberships.nonzero())
    children = np.flatnonzero(snapshot.parents >= 0)
    _add_edges(data, PARENT, (children, snapshot.parents[children]))
    return data


def _add_events(data: HeteroData, snapshot: Snapshot) -> None:
    histories = snapshot.histories
    kinds = snapshot.schema.kind
    users = histories.users
    # One sort, so that many kinds cost no more passes than one.
    order = np.argsort(histories.kinds, kind="stable")
    ends = np.cumsum(np.bincount(histories.kinds, minlength=len(kinds)))
    parts = np.split(order, ends[:-1])
    for (name, kind), events in zip(kinds.items(), parts, strict=True):
        start = histories.num_items if kind.to == "category" else 0
        _add_edges(
            data,
            ("user", name, kind.to),
            (users[events], histories.targets[events] - start),
            {"edge_time": histories.times[events], "edge_weight": histories.weights[events]},
        )


def _add_edges(
    data: HeteroData,
    edges: tuple[str, str, str],
    ends: tuple[Ints, Ints],
    values: Mapping[str, npt.NDArray[np.generic]] = MappingProxyType({}),
) -> None:
    """Add edges and their reverse; both share the tensors of values."""
    import torch

    source, relation, target = edges
    index = torch.from_numpy(np.stack(ends).astype(np.int64))
    tensors = {name: torch.from_numpy(value) for name, value in values.items()}
    data[edges].edge_index = index
    data[edges].update(tensors)
    reverse = (target, f"rev_{relation}", source)
    data[reverse].edge_index = index.flip(0)
    data[reverse].update(tensors)
