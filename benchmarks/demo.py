"""The demo: a real shop's dirty file to a good ranking for a stranger, in one command.

Every step is a command of `firstedge`, timed; a second run redoes nothing whose input is the same.
It leaves a store and a bundle in demo/.

Example: python benchmarks/demo.py
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from firstedge import Event, Query, Ranking, Recommender
from firstedge.cli import main as firstedge

ROOT = Path(__file__).resolve().parent.parent
SCHEMA = ROOT / "data" / "online_retail.toml"
HOME = ROOT / "demo"

# A stranger from France who starts with a lunch bag; five products, one after the other.
COUNTRY = "France"
STRANGER = ("20725", "22382", "22629", "22630", "23206")
SHOWN_AT = (0, 1, 2, 3, 5)

console = Console()


def main() -> None:
    """Run every step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--store", default=str(HOME / "shop.lbug"), help="where the graph goes")
    parser.add_argument("--trials", type=int, default=3, help="settings tried of each baseline")
    args = parser.parse_args()
    HOME.mkdir(exist_ok=True)
    os.environ["FIRSTEDGE_CACHE"] = str(HOME / "cache")
    shop = ["--schema", str(SCHEMA), "--store", args.store]
    bundle = str(HOME / "bundle")
    began = time.perf_counter()
    with step("import the invoices of a gift shop, dirt included"):
        run("import", *shop, "--rejects", str(HOME / "rejects"))
    with step("derive categories from the titles"):
        run("categorize", *shop)
    with step("train"):
        run("train", *shop, "--bundle", bundle)
    with step("measure the first answers to customers who were held out"):
        report = ["--markdown", str(HOME / "coldstart.md"), "--plot", str(HOME / "coldstart.png")]
        run("coldstart", *shop, "--trials", str(args.trials), *report)
    with step("a stranger arrives"):
        meet(Recommender.load(bundle))
    console.print(f"\n[bold]{time.perf_counter() - began:.0f} s in all.[/] What is left in demo/:")
    console.print("shop.lbug (the store), bundle/, coldstart.md, coldstart.png, rejects/")


@contextmanager
def step(name: str) -> Iterator[None]:
    """Announce a step, and say how long it took."""
    console.rule(f"[bold]{name}")
    began = time.perf_counter()
    yield
    console.print(f"[dim]{name}: {time.perf_counter() - began:.1f} s[/]")


def run(*args: str) -> None:
    """One command of firstedge, in this process."""
    try:
        firstedge(args)
    except SystemExit as end:
        if end.code:
            raise


def meet(recommender: Recommender) -> None:
    """Show the ranking after each of the stranger's first events."""
    recommender.recommend(Query())  # the first answer builds indexes; the times below do not
    for k in SHOWN_AT:
        query = Query(
            events=[Event(item=item, kind="purchase") for item in STRANGER[:k]],
            profile={"country": COUNTRY},
        )
        began = time.perf_counter()
        ranking = recommender.recommend(query, k=10, reasons=True)
        show(recommender, ranking, k, 1000 * (time.perf_counter() - began))


def show(recommender: Recommender, ranking: Ranking, k: int, milliseconds: float) -> None:
    """Print a ranking with titles and the strongest reason of each item."""
    titles = dict(zip(recommender.bundle.items.ids, recommender.bundle.table.titles, strict=True))
    given = f"after buying {titles[STRANGER[k - 1]]}" if k else f"known: country {COUNTRY}"
    table = Table(title=f"k = {k}, {given}  ({milliseconds:.1f} ms)", title_justify="left")
    for column in ("", "item", "title", "score", "because"):
        table.add_column(column)
    reasons = ranking.reasons or ()
    rows = zip(ranking.ids, ranking.titles, ranking.scores, reasons, strict=True)
    for place, (id_, title, score, why) in enumerate(rows, start=1):
        table.add_row(str(place), id_, title, f"{score:.2f}", str(why))
    console.print(table)


if __name__ == "__main__":
    main()
