"""Commands for Neo4j: publish, unpublish, queries."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from firstedge.console import answer, say, step_progress, two_columns
from firstedge.graph.errors import SettingsError
from firstedge.graph.files import writing
from firstedge.graph.store import open_store
from firstedge.models.bundle_file import current_version, load_bundle
from firstedge.settings import (
    BUNDLE,
    STORE,
    AsJson,
    BundlePath,
    SchemaPath,
    StoreUrl,
    load_schema,
)


def publish(
    schema: SchemaPath = None,
    store: StoreUrl = STORE,
    bundle: BundlePath = BUNDLE,
    items: Annotated[
        bool, typer.Option("--items", help="Only add the items that are not published yet.")
    ] = False,
    users: Annotated[
        bool, typer.Option("--users", help="Also write the vectors of all users of the store.")
    ] = False,
    rollback: Annotated[
        bool, typer.Option("--rollback", help="Only go back to the version before.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the model into Neo4j, where a plain Cypher query then recommends.

    Queries read the old version until the new one is whole. `firstedge queries` prints them.

    Example: firstedge publish --store neo4j://localhost:7687 --bundle bundle
    """
    from firstedge.serving.publish import PublishOptions, roll_back
    from firstedge.serving.publish import publish as write

    if rollback and (items or users):
        raise SettingsError("--rollback writes nothing: leave out --items and --users")
    trained = load_bundle(bundle)
    with open_store(store, trained.schema) as opened, step_progress(as_json) as progress:
        if rollback:
            version = roll_back(opened, trained.schema)
            answer({"version": version}, f"queries read version {version} again", as_json)
            return
        options = PublishOptions(users=users, items=items, progress=progress)
        done = write(opened, trained, current_version(bundle), options)
    for name, lost in done.skipped.items():
        say(f"skipped: {lost:,} x {name} of the model that are not in the graph")
    view = two_columns((name, value) for name, value in done.as_dict().items() if name != "skipped")
    answer(done.as_dict(), view, as_json)


def unpublish(
    schema: SchemaPath = None,
    store: StoreUrl = STORE,
    as_json: AsJson = False,
) -> None:
    """Take all that was published out of Neo4j again.

    Example: firstedge unpublish --store neo4j://localhost:7687 --schema shop.toml
    """
    from firstedge.serving.publish import unpublish as remove

    names = load_schema(schema)
    with open_store(store, names) as opened:
        remove(opened, names)
    answer({"store": store}, f"nothing of firstedge publish is left in {escape(store)}", as_json)


def queries(
    name: Annotated[
        str, typer.Argument(help="recommend, similar or why; all of them if empty.")
    ] = "",
    schema: SchemaPath = None,
    out: Annotated[Path | None, typer.Option(help="A folder to write them into.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print the Cypher queries that recommend, under the names of the Schema.

    They can be pasted into Neo4j Browser as they are.

    Example: firstedge queries recommend --schema shop.toml
    """
    from firstedge.graph.queries import QUERIES, render

    if name and name not in QUERIES:
        raise SettingsError(f"there is no query {name!r}, only {', '.join(QUERIES)}")
    names = load_schema(schema)
    texts = {
        one: f":params {QUERIES[one]}\n\n{render(names, one)}"
        for one in QUERIES
        if name in ("", one)
    }
    if out is not None:
        with writing(out):
            out.mkdir(parents=True, exist_ok=True)
            for one, text in texts.items():
                (out / f"{one}.cypher").write_text(text, "utf-8")
    answer(dict(texts), escape("\n".join(texts.values())), as_json)
