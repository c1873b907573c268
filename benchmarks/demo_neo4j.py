"""The demo on a Neo4j server that it starts by itself: a dirty file, and a stranger in the graph.

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
from typing import LiteralString

from demo import COUNTRY, HOME, SCHEMA, STRANGER, console, run, step
from neo4j import GraphDatabase, Session

sys.path.insert(0, str(Path(__file__).parent.parent / "deploy"))
from neo4j_server import LTS, Neo4jServer

# All that a shop's own program writes when a stranger comes: three lines.
ARRIVE: LiteralString = """
MERGE (stranger:Customer {id: $id}) SET stranger.country = $country
WITH stranger UNWIND range(0, size($items) - 1) AS at MATCH (item:Product {id: $items[at]})
CREATE (stranger)-[:PURCHASED {time: timestamp(), seq: at}]->(item)
"""
FORGET: LiteralString = "MATCH (stranger:Customer {id: $id}) DETACH DELETE stranger"
WHO = "stranger at the door"


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
        with GraphDatabase.driver(server.url, auth=auth) as driver, driver.session() as session:
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
    with step("a stranger arrives, in three lines of Cypher"):
        console.print(ARRIVE.strip(), highlight=False)
        session.run(ARRIVE, id=WHO, country=COUNTRY, items=STRANGER[:2]).consume()
    with step("what to show them"):
        run("recommend", *shop, *model, "--user", WHO, "-k", "10")


if __name__ == "__main__":
    main()
