"""LensKit, in its own environment: item-kNN, EASE and implicit ALS as its pipelines make them.

Reads and writes JSON, see benchmarks/quality/peer_table.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import lenskit
import pandas as pd
from lenskit import recommend
from lenskit.als import ImplicitMFScorer
from lenskit.data import ItemList, RecQuery, from_interactions_df
from lenskit.knn import EASEScorer, ItemKNNScorer
from lenskit.pipeline import topn_pipeline

SCORERS = {
    "item-kNN": lambda: ItemKNNScorer(max_nbrs=50, feedback="implicit"),
    "EASE": lambda: EASEScorer(),
    "implicit ALS": lambda: ImplicitMFScorer(embedding_size=64),
}


def main() -> None:
    data = json.loads(Path(sys.argv[1]).read_text())
    pairs = [(f"u{user}", item) for user, items in enumerate(data["train"]) for item in items]
    known = from_interactions_df(pd.DataFrame(pairs, columns=["user_id", "item_id"]))
    rows = []
    for name, make in SCORERS.items():
        pipeline = topn_pipeline(make())
        pipeline.train(known)
        alone = len(recommend(pipeline, "stranger", 20))
        lists = {
            k: [[int(i) for i in recommend(pipeline, _query(items), 20).ids()] for items in users]
            for k, users in data["given"].items()
        }
        unseen = f"by id: a list of {alone} items; with the history in the query: answers"
        rows.append({"method": name, "unseen": unseen, "lists": lists})
    result = {"peer": f"LensKit {lenskit.__version__}", "rows": rows}
    Path(sys.argv[2]).write_text(json.dumps(result))


def _query(items: list[int]) -> RecQuery:
    return RecQuery(history_items=ItemList(item_ids=items))


if __name__ == "__main__":
    main()
