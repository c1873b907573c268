"""RecTools, in its own environment: popularity and EASE.

Reads and writes JSON, see benchmarks/quality/peer_table.py.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import rectools
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import EASEModel, PopularModel

MODELS = {"popular": lambda: PopularModel(), "EASE": lambda: EASEModel(500.0, num_threads=1)}


def frame(users: list[list[int]], prefix: str) -> pd.DataFrame:
    """Interactions as the library wants them."""
    start = pd.Timestamp("2026-01-01")
    rows = [
        (f"{prefix}{user}", item, 1.0, start + pd.Timedelta(minutes=place))
        for user, items in enumerate(users)
        for place, item in enumerate(items)
    ]
    columns = [Columns.User, Columns.Item, Columns.Weight, Columns.Datetime]
    return pd.DataFrame(rows, columns=columns)


def main() -> None:
    data = json.loads(Path(sys.argv[1]).read_text())
    train = frame(data["train"], "u")
    known = Dataset.construct(train)
    rows = []
    for name, make in MODELS.items():
        model = make().fit(known)
        try:
            model.recommend(["stranger"], known, k=20, filter_viewed=False)
            unseen = "by id: the same list for everybody"
        except ValueError as error:
            unseen = f"by id: ValueError: {' '.join(str(error).split())[:120]}"
        lists = {}
        for k, users in data["given"].items():
            # A data set of training and strangers; ids of items keep their order of appearance.
            both = Dataset.construct(pd.concat((train, frame(users, "s"))))
            assert list(both.item_id_map.external_ids)[: known.item_id_map.size] == list(
                known.item_id_map.external_ids
            )
            asked = [f"s{user}" for user in range(len(users))]
            found = model.recommend(asked, both, k=20, filter_viewed=True)
            by_user = found.groupby(Columns.User, sort=False)[Columns.Item].apply(list)
            lists[k] = [[int(i) for i in by_user.get(user, [])] for user in asked]
        unseen += "; in a rebuilt data set with their events: answers"
        rows.append({"method": name, "unseen": unseen, "lists": lists})
    result = {"peer": f"RecTools {rectools.__version__}", "rows": rows}
    Path(sys.argv[2]).write_text(json.dumps(result))


if __name__ == "__main__":
    main()
