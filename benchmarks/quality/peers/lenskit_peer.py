"""LensKit, in its own environment: item-kNN, EASE and implicit ALS as its pipelines make them.

Reads and writes JSON, see benchmarks/quality/peer_table.py.
"""

from __future__ import annotations

import lenskit
import pandas as pd
from exchange import Users, answer, known_only, questions, tried
from lenskit import recommend
from lenskit.als import ImplicitMFScorer
from lenskit.data import ItemList, RecQuery, from_interactions_df
from lenskit.knn import EASEScorer, ItemKNNScorer
from lenskit.pipeline import topn_pipeline

METHODS = {
    "item-kNN": (
        lambda save_nbrs: ItemKNNScorer(feedback="implicit", save_nbrs=save_nbrs),
        [{"save_nbrs": n} for n in (20, 50, 100, 200, None)],
    ),
    "EASE": (
        lambda regularization: EASEScorer(regularization=regularization),
        [{"regularization": r} for r in (10, 100, 1_000, 10_000, 100_000, 1_000_000)],
    ),
    "implicit ALS": (
        lambda embedding_size, weight: ImplicitMFScorer(
            embedding_size=embedding_size, weight=weight
        ),
        [{"embedding_size": d, "weight": w} for d in (4, 16, 64) for w in (0.5, 4, 40)],
    ),
}


def main() -> None:
    data = known_only(questions())  # a query with an item that it does not know is refused
    pairs = [(f"u{user}", item) for user, items in enumerate(data["train"]) for item in items]
    known = from_interactions_df(pd.DataFrame(pairs, columns=["user_id", "item_id"]))
    rows = []
    for name, (make, choices) in METHODS.items():
        found = []
        for options in choices:
            pipeline = topn_pipeline(make(**options))
            pipeline.train(known)

            def answers(users: Users, pipeline=pipeline) -> Users:
                return [
                    [int(item) for item in recommend(pipeline, _query(done), 20).ids()]
                    for done in users
                ]

            found.append(tried(data, options, answers))
        alone = len(recommend(pipeline, "stranger", 20))
        unseen = f"by id: a list of {alone} items; with the history in the query: answers"
        rows.append({"method": name, "unseen": unseen, "tried": found})
    answer(f"LensKit {lenskit.__version__}", rows)


def _query(items: list[int]) -> RecQuery:
    return RecQuery(history_items=ItemList(item_ids=items))


if __name__ == "__main__":
    main()
