"""RecTools, in its own environment: popularity, item-kNN and EASE.

Reads and writes JSON, see benchmarks/quality/peer_table.py.
"""

from __future__ import annotations

import pandas as pd
import rectools
from exchange import Users, answer, known_only, questions, tried
from implicit.nearest_neighbours import CosineRecommender
from rectools import Columns
from rectools.dataset import Dataset
from rectools.models import EASEModel, ImplicitItemKNNWrapperModel, PopularModel

METHODS = {
    "popular": (lambda: PopularModel(), [{}]),
    "item-kNN": (
        lambda K: ImplicitItemKNNWrapperModel(CosineRecommender(K=K, num_threads=1)),  # noqa: N803
        [{"K": n} for n in (20, 50, 100, 200, 1_000)],
    ),
    "EASE": (
        lambda regularization: EASEModel(float(regularization), num_threads=1),
        [{"regularization": r} for r in (10, 100, 1_000, 10_000, 100_000, 1_000_000)],
    ),
}


def frame(users: Users, prefix: str) -> pd.DataFrame:
    """Interactions as the library wants them."""
    rows = [
        (f"{prefix}{user}", item, 1.0, place)
        for user, items in enumerate(users)
        for place, item in enumerate(items)
    ]
    columns = [Columns.User, Columns.Item, Columns.Weight, Columns.Datetime]
    table = pd.DataFrame(rows, columns=columns)
    minutes = pd.to_timedelta(table[Columns.Datetime], unit="min")
    return table.assign(**{Columns.Datetime: pd.Timestamp("2026-01-01") + minutes})


def refusal(model, known: Dataset) -> str:
    """What it says to an id that it does not know."""
    try:
        model.recommend(["stranger"], known, k=20, filter_viewed=False)
    except ValueError as error:
        said = " ".join(str(error).split()).partition(",")[0].rpartition("` ")[2]
        return f'by id: ValueError, "{said}"'
    return "by id: the same list for everybody"


def main() -> None:
    data = known_only(questions())  # so that rows of items stay those of training
    train = frame(data["train"], "u")
    known = Dataset.construct(train)
    rows = []
    for name, (make, choices) in METHODS.items():
        found = []
        for options in choices:
            model = make(**options).fit(known)

            def answers(users: Users, model=model) -> Users:
                both = Dataset.construct(pd.concat((train, frame(users, "s"))))
                asked = [f"s{user}" for user, done in enumerate(users) if done]
                lists = model.recommend(asked, both, k=20, filter_viewed=True)
                by_user = lists.groupby(Columns.User, sort=False)[Columns.Item].apply(list)
                return [[int(i) for i in by_user.get(f"s{n}", [])] for n in range(len(users))]

            found.append(tried(data, options, answers))
        unseen = f"{refusal(model, known)}; in a rebuilt data set with their events: answers"
        rows.append({"method": name, "unseen": unseen, "tried": found})
    answer(f"RecTools {rectools.__version__}", rows)


if __name__ == "__main__":
    main()
