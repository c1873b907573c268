"""The commands for Neo4j: publish, unpublish, queries."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from firstedge.models.bundle_file import current_version
from tests.firstedge.conftest import Run
from tests.models.bundles import random_bundle
from tests.serving.stores import write_store


def test_queries_are_printed_under_the_names_of_the_shop(run: Run, workplace: Path) -> None:
    (workplace / "shop.toml").write_text('[user]\nlabel = "Customer"\nkey = "nr"\n')
    printed = run("queries", "similar", "--schema", "shop.toml", "--out", "queries", "--json").data
    text = printed["similar"]
    assert list(printed) == ["similar"]
    assert text.startswith(":params {item: 'ID', k: 20}\n\n// The items to whose")
    assert text == (workplace / "queries" / "similar.cypher").read_text()
    every = run("queries", "--schema", "shop.toml")
    assert "MATCH (user:`Customer` {`nr`: $user})" in every.out
    assert "[event:`VIEWED`|`CARTED`|" in every.out
    assert "`{" not in every.out
    in_the_way = run("queries", "--schema", "shop.toml", "--out", "shop.toml")
    assert in_the_way.code == 1
    assert "cannot write shop.toml: File exists" in in_the_way.err
    wrong = run("queries", "best")
    assert wrong.code == 1
    assert "there is no query 'best', only recommend, similar, why" in wrong.err


def test_only_neo4j_takes_a_model(run: Run, bundle: Path) -> None:
    ran = run("publish", "--store", "shop.lbug")
    assert ran.code == 1
    assert "publishing goes to Neo4j, got shop.lbug" in ran.err
    both = run("publish", "--store", "shop.lbug", "--rollback", "--items")
    assert "--rollback writes nothing" in both.err


def test_publish_and_back_and_out(run: Run, bundle: Path, neo4j_server: Any) -> None:
    write_store(neo4j_server.url, random_bundle())  # type: ignore[arg-type]
    store = ("--store", neo4j_server.url)
    first = run("publish", *store, "--json").data
    assert (first["version"], first["items"], first["changed"]) == (
        current_version(bundle),
        30,
        True,
    )
    assert first["edges"] == len(random_bundle().edges)
    assert not run("publish", *store, "--json").data["changed"]
    nowhere = run("publish", *store, "--rollback")
    assert nowhere.code == 1
    assert "no version before" in nowhere.err
    assert "nothing of firstedge publish is left" in run("unpublish", *store).out
    assert "nothing is published" in run("publish", *store, "--rollback").err
