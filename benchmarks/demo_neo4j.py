"""The demo on a Neo4j server that it starts by itself: from a dirty file to an answer in Cypher.

Needs Java and Maven. A second run redoes nothing whose input is the same. It leaves the database
and a bundle in demo/; `python deploy/neo4j_server.py --home demo/neo4j` starts the server again.

Example: python benchmarks/demo_neo4j.py
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path
from typing import Any, LiteralString, cast

from neo4j import GraphDatabase, Session
from rich.table import Table

from demo import COUNTRY, HOME, SCHEMA, STRANGER, console, run, step
from firstedge.graph.queries import render
from firstedge.graph.schema import Schema

sys.path.insert(0, str(Path(__file__).parent.parent / "deploy"))
from neo4j_server import LTS, Neo4jServer

# All that a shop's own program writes when a stranger comes: three lines.
ARRIVE: LiteralString = """
MERGE (stranger:Customer {id: $id}) SET stranger.country = $country
WITH stranger UNWIND range(0, size($items) - 1) AS at MATCH (item:Product {id: $items[at]})
CREATE (stranger)-[:PURCHASED {time: timestamp(), seq: at}]->(item)
"""
FORGET: LiteralString = "MATCH (stranger:Customer {id: $id}) DETACH DELETE stranger"
TITLES: LiteralString = "MATCH (n:Product) WHERE n.id IN $ids RETURN n.id AS id, n.title AS title"
WHO = "stranger at the door"
LENGTH = 10


def main() -> None:
    """Run every step."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--version", default=LTS, help="of Neo4j")
    args = parser.parse_args()
    HOME.mkdir(exist_ok=True)
    os.environ["FIRSTEDGE_CACHE"] = str(HOME / "cache")
    began = time.perf_counter()
    with step(f"start Neo4j {args.version}"):
        server = Neo4jServer(HOME / "neo4j", args.version).start()
    try:
        os.environ["NEO4J_PASSWORD"] = server.password
        auth = ("neo4j", server.password)
        options = {"auth": auth, "notifications_min_severity": "OFF"}  # of a slot not there yet
        with GraphDatabase.driver(server.url, **options) as driver, driver.session() as session:
            show(server.url, session)
    finally:
        server.stop()
    console.print(f"\n[bold]{time.perf_counter() - began:.0f} s in all.[/] What is left in demo/:")
    console.print("neo4j/ (the database), neo4j-bundle/, rejects/")


def show(url: str, session: Session) -> None:
    """Everything that is done with a running server."""
    shop = ["--schema", str(SCHEMA), "--store", url]
    model = ["--bundle", str(HOME / "neo4j-bundle")]
    session.run(FORGET, id=WHO).consume()  # of an earlier demo, so that the graph is as it was
    with step("import the invoices of a gift shop, dirt included"):
        run("import", *shop, "--rejects", str(HOME / "rejects"))
    with step("derive categories from the titles"):
        run("categorize", *shop)
    with step("train"):
        run("train", *shop, *model)
    with step("publish the model into the graph"):
        run("publish", *shop, *model)
    with step("a stranger arrives, in three lines of Cypher"):
        console.print(ARRIVE.strip(), highlight=False)
        session.run(ARRIVE, id=WHO, country=COUNTRY, items=STRANGER[:2]).consume()
    with step("one query answers, with no service of ours"):
        query = cast(LiteralString, render(Schema.load(SCHEMA), "recommend"))
        answer(session, query)
        began = time.perf_counter()
        rows = answer(session, query)
        console.print(table(session, rows, 1000 * (time.perf_counter() - began)))
    with step("the library ranks alike"):
        run("recommend", *shop, *model, "--user", WHO, "-k", str(LENGTH))


def answer(session: Session, query: LiteralString) -> list[dict[str, Any]]:
    """The best items for the stranger, by the published query; `id` and `score` each."""
    return session.run(query, user=WHO, k=LENGTH, filter={}, candidates=None).data()


def table(session: Session, rows: list[dict[str, Any]], milliseconds: float) -> Table:
    """Rows with their titles."""
    found = session.run(TITLES, ids=[row["id"] for row in rows]).data()
    titles = {row["id"]: row["title"] for row in found}
    view = Table(title=f"the second answer took {milliseconds:.1f} ms", title_justify="left")
    for column in ("", "item", "title", "score"):
        view.add_column(column)
    for place, row in enumerate(rows, start=1):
        view.add_row(str(place), row["id"], titles[row["id"]], f"{row['score']:.2f}")
    return view


if __name__ == "__main__":
    main()
