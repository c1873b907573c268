"""A million users' vectors from their events, against a graph network's layer-wise pass.

Ours is the product's path, events by user to vectors: `Given.of` and `Scorer.embed_users`, chunk by
chunk. Theirs is inference of a two-layer GraphSAGE (PyG's SAGEConv, mean) on the same bipartite
graph, layer by layer over all users: items from users, users from items, users from those items;
once with the edge index that PyG's own examples have, once with PyG's faster sparse matrices. Same
machine, same run, same number of threads, in turn; the best round of each counts. What either
needs once and ahead (grouping events by user, building the sparse matrices) is left out for both.

    python -m benchmarks.embed_rate [--users 1000000] [--json]
"""

from __future__ import annotations

import argparse
import json
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from firstedge.graph.histories import Events, Given, Histories, kind_weights
from firstedge.graph.schema import Schema
from firstedge.graph.vocabulary import Vocabulary
from firstedge.models.bundle import Bundle, Coefficients, ItemTable
from firstedge.models.edges import Edges
from firstedge.models.scorer import Scorer, UserBatch

warnings.filterwarnings("ignore", "`torch.jit.script` is deprecated", FutureWarning)
warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta", UserWarning)
from torch_geometric.nn import SAGEConv  # noqa: E402

DIM, ITEMS, EVENTS_PER_USER = 64, 20_000, 10
CHUNK = 8_192  # users whose vectors stay in a core's cache while they are summed
GOAL = 10.0


def draw_histories(num_users: int, rng: np.random.Generator) -> Histories:
    """About ten events a user, popular items more often."""
    n = num_users * EVENTS_PER_USER
    events = Events(
        np.sort(rng.integers(0, num_users, n)),
        (ITEMS * rng.power(0.5, n)).astype(np.int64),
        rng.integers(0, 3, n),  # view, cart, purchase
        rng.integers(1_700_000_000_000, 1_730_000_000_000, n),
        np.zeros(n, np.int64),
        np.ones(n, np.float32),
    )
    return Histories.of(events, num_users, ITEMS)


def build_bundle(schema: Schema, rng: np.random.Generator) -> Bundle:
    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, np.float32)

    return Bundle(
        items=Vocabulary(tuple(f"{row:05d}" for row in range(ITEMS))),
        categories=Vocabulary((), "category"),
        profile_values=Vocabulary((), "profile value"),
        schema=schema,
        table=ItemTable(
            titles=("",) * ITEMS,
            counts=np.ones(ITEMS, np.int32),
            available=np.ones(ITEMS, np.bool_),
            primary=np.full(ITEMS, -1, np.int32),
            memberships=Edges.none(ITEMS, 0),
            parents=np.empty(0, np.int32),
            category_names=(),
        ),
        coefficients=Coefficients(net=1),
        prior=normal(ITEMS),
        w=normal(ITEMS, DIM),
        b=normal(ITEMS),
        v=normal(ITEMS, DIM),
        c=normal(11, DIM),
        s=normal(11, DIM),
        kind=normal(len(schema.kind)),
        recency=normal(20),
        profile=normal(0, DIM),
        profile_lifts=Edges.none(0, ITEMS),
        edges=Edges.none(ITEMS, ITEMS),
        category_lifts=Edges.none(0, 0),
        text_axes=normal(0, 0),
        user_text=normal(0, DIM),
        text_w=normal(0, DIM),
        text_v=normal(0, DIM),
        category_w=normal(0, DIM),
    )


class Additive:
    """Users as sums over their edges."""

    def __init__(self, histories: Histories, threads: int) -> None:
        rng, schema = np.random.default_rng(1), Schema()
        self.scorer, self.weights = Scorer(build_bundle(schema, rng)), kind_weights(schema)
        self.histories, self.threads = histories, threads

    def embed(self) -> np.ndarray:
        """float32[num_users, dim]."""
        out = np.empty((len(self.histories), DIM), np.float32)
        bounds = pairwise([*range(0, len(out), CHUNK), len(out)])

        def fill(span: tuple[int, int]) -> None:
            given = Given.of(part(self.histories, *span), self.weights)
            out[slice(*span)] = self.scorer.embed_users(UserBatch.of(given))

        with ThreadPoolExecutor(self.threads) as pool:
            list(pool.map(fill, bounds))
        return out


def part(histories: Histories, start: int, stop: int) -> Histories:
    """Users start:stop, their events shared."""
    events = slice(int(histories.offsets[start]), int(histories.offsets[stop]))
    return Histories(
        histories.offsets[start : stop + 1] - histories.offsets[start],
        histories.targets[events],
        histories.kinds[events],
        histories.times[events],
        histories.weights[events],
        histories.num_items,
    )


class Sage:
    """Two layers of SAGEConv on users and items."""

    def __init__(self, histories: Histories) -> None:
        torch.manual_seed(0)
        self.to_items, self.to_users, self.last = (SAGEConv(DIM, DIM).eval() for _ in range(3))
        self.items = torch.randn(ITEMS, DIM)
        self.users = torch.randn(len(histories), DIM)
        self.index = torch.from_numpy(np.stack((histories.users, histories.targets)))
        ones = np.ones(len(histories.targets), np.float32)
        shape = (len(histories), ITEMS)
        by_user = sparse.csr_array((ones, histories.targets, histories.offsets), shape=shape)
        self.by_user, self.by_item = as_tensor(by_user), as_tensor(by_user.T.tocsr())

    def embed_by_index(self) -> Tensor:
        """float32[num_users, dim]."""
        return self._embed(self.index, self.index.flip(0))

    def embed_by_matrix(self) -> Tensor:
        """float32[num_users, dim], the same."""
        return self._embed(self.by_item, self.by_user)

    def _embed(self, to_items: Tensor, to_users: Tensor) -> Tensor:
        with torch.inference_mode():
            items = self.to_items((self.users, self.items), to_items).relu()
            users = self.to_users((self.items, self.users), to_users).relu()
            return self.last((items, users), to_users)


def as_tensor(matrix: sparse.csr_array) -> Tensor:
    parts = (matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data)
    return torch.sparse_csr_tensor(
        *map(torch.from_numpy, parts), matrix.shape, check_invariants=False
    )


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def measure(num_users: int, rounds: int, threads: int) -> Iterator[tuple[str, float]]:
    """Name and figure of each measurement."""
    torch.set_num_threads(threads)
    histories = draw_histories(num_users, np.random.default_rng(0))
    additive, sage = Additive(histories, threads), Sage(histories)
    ways = {
        "ours": additive.embed,
        "SAGEConv, edge index": sage.embed_by_index,
        "SAGEConv, sparse matrix": sage.embed_by_matrix,
    }
    times = [{name: seconds(way) for name, way in ways.items()} for _ in range(rounds)]
    best = {name: min(found[name] for found in times) for name in ways}
    for name, figure in best.items():
        yield f"{name}, s", figure
    yield "users/s", num_users / best["ours"]
    yield "ratio", best["SAGEConv, edge index"] / best["ours"]
    yield "ratio to sparse matrix", best["SAGEConv, sparse matrix"] / best["ours"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    figures = dict(measure(args.users, args.rounds, args.threads))
    if args.json:
        print(json.dumps({"users": args.users, "threads": args.threads, **figures}))
        return
    print(f"{args.users:,} users, {EVENTS_PER_USER} events each, {args.threads} threads")
    for name, figure in figures.items():
        print(f"  {name:<28}{figure:>14,.2f}")
    print(f"  goal of the ratio: {GOAL:g}")


if __name__ == "__main__":
    main()
