"""One stranger, five events, the top 20 of a million items: against faiss on one core.

The vector part (the user's vector, and the top k of its products with all items') is what
`faiss.IndexFlatIP` does, here as the Finder does it for a model of vectors alone; the edges, which
faiss has no notion of, are timed apart, and so is the whole answer from Query to Ranking, exact and
approximate. Rounds are interleaved, so that all meet the same machine; the first call of a way in a
round does not count.

    python -m benchmarks.topk_rate [--items 1000000] [--json]
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import replace

import faiss
import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.made_shop import DIM, Shape, build_bundle
from firstedge.models.bundle import Coefficients
from firstedge.models.edges import Edges
from firstedge.models.scorer import Scorer
from firstedge.serving.finder import Finder, Wanted
from firstedge.serving.query import Event, Query
from firstedge.serving.reading import QueryReader
from firstedge.serving.recommender import Recommender

K, EVENTS, EDGES_PER_ITEM = 20, 5, 50
CALLS = 5  # one after the other, as under load
ASKED = 300  # strangers that the recall is measured by


def measure(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of a call of every way in every round."""
    times: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            way()  # a server goes one way alone: the caches are not full of what others read
            start = time.perf_counter()
            for _ in range(CALLS):
                way()
            times[name].append((time.perf_counter() - start) * 1e3 / CALLS)
    return times


def recall(exact: Recommender, approximate: Recommender, rng: np.random.Generator) -> float:
    """Share of the exact top 20 that is found, over strangers with five random events."""
    ids = exact.bundle.items.ids
    queries = [
        Query([Event(item=ids[row]) for row in rng.integers(0, len(ids), EVENTS)])
        for _ in range(ASKED)
    ]
    found = 0
    for query in queries:
        found += len({*exact.recommend(query, K)} & {*approximate.recommend(query, K)})
    return found / (K * ASKED)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    rng = np.random.default_rng(0)
    bundle = build_bundle(Shape(args.items, categories=0, edges=EDGES_PER_ITEM, text=False), rng)
    recommender, scorer = Recommender(bundle), Scorer(bundle)
    began = time.perf_counter()
    approximate = Recommender(bundle, approximate=True)
    built = time.perf_counter() - began
    rows = rng.integers(0, args.items, EVENTS)
    query = Query([Event(item=bundle.items.ids[row]) for row in rows])
    users = QueryReader(bundle).read([query]).users
    u = scorer.embed_users(users)
    flat = faiss.IndexFlatIP(DIM)
    flat.add(bundle.w)
    of_vectors = replace(
        bundle,
        edges=Edges.none(args.items, args.items),
        coefficients=Coefficients(prior=0, net=1),
        b=np.zeros(args.items, np.float32),
    )
    only_vectors, wanted = Finder(Scorer(of_vectors)), [Wanted(K, exclude_given=False)]
    only_edges = Scorer(replace(bundle, coefficients=Coefficients(prior=1, net=0)))
    ways = {
        "faiss": lambda: flat.search(u, K),
        "vector part": lambda: only_vectors.find(users, wanted),
        "edges": lambda: only_edges.lift(users.given),
        "whole answer": lambda: recommender.recommend(query, K),
        "approximate answer": lambda: approximate.recommend(query, K),
    }
    (found,) = only_vectors.find(users, wanted)
    assert found.rows.tolist() == flat.search(u, K)[1][0].tolist()  # noqa: S101
    with threadpool_limits(1):
        faiss.omp_set_num_threads(1)
        times = measure(ways, args.rounds)
    result = {f"{name}, ms": round(float(np.median(t)), 3) for name, t in times.items()}
    ratio = np.median(np.array(times["vector part"]) / np.array(times["faiss"]))
    result["vector part / faiss (goal <= 1.1)"] = round(float(ratio), 3)
    saved = np.median(np.array(times["whole answer"]) / np.array(times["approximate answer"]))
    result["exact / approximate answer (goal >= 10)"] = round(float(saved), 2)
    result["recall of the approximate (goal >= .98)"] = recall(recommender, approximate, rng)
    result["approximate, seconds to build"] = round(built, 1)
    if args.json:
        print(json.dumps({"items": args.items, "dim": DIM, "k": K, **result}))
        return
    print(f"top {K} of {args.items:,} items x {DIM}, {EVENTS} events, one core")
    for name, value in result.items():
        print(f"{name:<36}{value:>10.3f}")


if __name__ == "__main__":
    main()
