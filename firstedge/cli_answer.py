"""Commands that answer: recommend, similar, embed, info."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from firstedge.console import answer, say, two_columns
from firstedge.encoders import encoder_of
from firstedge.graph.errors import QueryError
from firstedge.models.bundle import Bundle
from firstedge.models.bundle_file import current_version, load_bundle
from firstedge.serving.filter import Condition, Filter, Range
from firstedge.serving.query import Event, Query
from firstedge.serving.ranking import Ranking
from firstedge.serving.recommender import Recommender
from firstedge.settings import (
    BUNDLE,
    CACHE,
    DEVICE,
    ENCODER,
    STORE,
    AsJson,
    BundlePath,
    Cache,
    Device,
    Encoder,
    Length,
    SchemaPath,
    StoreUrl,
)

if TYPE_CHECKING:
    from firstedge.graph.text import TextEncoder

ItemFlags = Annotated[
    list[str] | None,
    typer.Option("--item", "-i", help="An item that the user touched: ID or ID:KIND. Repeat it."),
]
CategoryFlags = Annotated[
    list[str] | None, typer.Option("--category", help="A category that the user likes.")
]
ProfileFlags = Annotated[
    list[str] | None, typer.Option("--profile", help="A profile value: FIELD=VALUE.")
]
WithinFlags = Annotated[
    list[str] | None, typer.Option("--within", help="Only items of this category or below it.")
]
DenyFlags = Annotated[list[str] | None, typer.Option("--deny", help="Not this item.")]
WhereFlags = Annotated[
    list[str] | None,
    typer.Option("--where", help="A condition: NAME=VALUE, NAME=LOW..HIGH, NAME=..HIGH."),
]


def recommend(
    user: Annotated[str, typer.Option(help="A user of the store, to begin with.")] = "",
    item: ItemFlags = None,
    category: CategoryFlags = None,
    profile: ProfileFlags = None,
    text: Annotated[str, typer.Option(help="What the user says they look for.")] = "",
    k: Length = 20,
    within: WithinFlags = None,
    deny: DenyFlags = None,
    where: WhereFlags = None,
    repeat: Annotated[bool, typer.Option(help="Also answer items that were given.")] = False,
    reasons: Annotated[bool, typer.Option(help="Say why.")] = True,
    schema: SchemaPath = None,
    store: StoreUrl = STORE,
    bundle: BundlePath = BUNDLE,
    encoder: Encoder = ENCODER,
    cache: Cache = CACHE,
    device: Device = DEVICE,
    as_json: AsJson = False,
) -> None:
    """Rank items for a user whom the model has never met.

    Events count in the order in which they are given, the last one as the latest. With --user they
    follow what the store knows of that user.

    Example: firstedge recommend -i 22423 -i 85123A:view --profile "country=United Kingdom" -k 10
    """
    trained = load_bundle(bundle)
    known = _known(store, trained, user) if user else Query()
    query = Query(
        [
            *(replace(event, at=None) for event in known.events),
            *(_event(value, trained) for value in item or ()),
            *(Event(category=id_) for id_ in category or ()),
        ],
        {**known.profile, **dict(_pair(value, "--profile") for value in profile or ())},
        text or known.text,
    )
    filter_ = Filter(
        exclude_given=not repeat,
        categories=within,
        denied=deny or (),
        properties=dict(_condition(value, trained) for value in where or ()),
    )
    read = _encoder(trained, encoder, cache, device) if query.text else None
    ranking = Recommender(trained, read).recommend(query, k, filter_, reasons)
    answer(ranking.as_dict(), _ranking_view(ranking), as_json)


def similar(
    item: Annotated[str, typer.Argument(help="An item's id.")],
    schema: SchemaPath = None,
    bundle: BundlePath = BUNDLE,
    k: Length = 20,
    as_json: AsJson = False,
) -> None:
    """Items that go with an item.

    Example: firstedge similar 22423 -k 5
    """
    ranking = Recommender.load(bundle).similar_items(item, k)
    answer(ranking.as_dict(), _ranking_view(ranking), as_json)


def embed(
    out: Annotated[Path, typer.Argument(help="The Parquet file to write.")],
    schema: SchemaPath = None,
    store: StoreUrl = STORE,
    bundle: BundlePath = BUNDLE,
    encoder: Encoder = ENCODER,
    cache: Cache = CACHE,
    device: Device = DEVICE,
    as_json: AsJson = False,
) -> None:
    """Write the vectors of all users of a store to a Parquet file.

    Example: firstedge embed users.parquet --store shop.lbug
    """
    from firstedge.graph.store import open_store
    from firstedge.models.scorer import Scorer
    from firstedge.serving.store_users import read_users
    from firstedge.serving.vector_file import write_vectors

    trained = load_bundle(bundle)
    read = _encoder(trained, encoder, cache, device)
    with open_store(store, trained.schema, read_only=True) as opened:
        known = read_users(opened, trained, read)
    write_vectors(out, known.ids.ids, Scorer(trained).embed_users(known.users))
    data = {
        "users": len(known.ids),
        "dim": trained.dim,
        "path": str(out),
        "skipped": known.skipped,
    }
    for reason, count in known.skipped.items():
        say(f"skipped: {count:,} x {reason}")
    line = f"{len(known.ids):,} users x {trained.dim} dimensions in {escape(str(out))}"
    answer(data, line, as_json)


def info(
    schema: SchemaPath = None,
    bundle: BundlePath = BUNDLE,
    as_json: AsJson = False,
) -> None:
    """What a trained model is made of.

    Example: firstedge info --bundle bundle
    """
    trained = load_bundle(bundle)
    data: dict[str, Any] = {
        "version": current_version(bundle),
        "items": len(trained.items),
        "categories": len(trained.categories),
        "profile_values": len(trained.profile_values),
        "dim": trained.dim,
        "edges": len(trained.edges),
        "encoder": trained.encoder,
        "coefficients": asdict(trained.coefficients),
        "about": dict(trained.about),
    }
    rows = [(name, value) for name, value in data.items() if name != "about"]
    rows += [(f"about {name}", value) for name, value in trained.about.items()]
    answer(data, two_columns((name, escape(str(value))) for name, value in rows), as_json)


def _known(store: str, trained: Bundle, user: str) -> Query:
    from firstedge.graph.store import open_store
    from firstedge.serving.store_users import read_query

    with open_store(store, trained.schema, read_only=True) as opened:
        return read_query(opened, trained, user)


def _event(text: str, trained: Bundle) -> Event:
    """An item's id, or the id, a colon and a kind."""
    item, colon, kind = text.rpartition(":")
    return Event(item=item, kind=kind) if colon and text not in trained.items else Event(item=text)


def _pair(text: str, flag: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise QueryError(f"{flag} is NAME=VALUE, got {text!r}")
    return name, value


def _condition(text: str, bundle: Bundle) -> tuple[str, Condition]:
    name, value = _pair(text, "--where")
    values = bundle.table.properties.get(name, ())
    if any(isinstance(known, str | list | tuple) for known in values):
        return name, value
    low, dots, high = value.partition("..")
    try:
        if dots:
            return name, Range(float(low) if low else None, float(high) if high else None)
        return name, float(value)
    except ValueError as error:
        raise QueryError(f"--where {text}: {error}") from None


def _encoder(trained: Bundle, name: str, cache: Path, device: str) -> TextEncoder | None:
    """What reads the texts of users, if the model has learned from them."""
    return encoder_of(trained, name, cache, device) if trained.user_text.any() else None


def _ranking_view(ranking: Ranking) -> Table:
    table = Table("", "score", "id", "title", *(["because"] if ranking.reasons else []))
    table.columns[1].justify = "right"
    for place, (id_, title) in enumerate(zip(ranking.ids, ranking.titles, strict=True)):
        because = [escape(str(ranking.reasons[place]))] if ranking.reasons else []
        score = f"{ranking.scores[place]:.3f}"
        table.add_row(str(place + 1), score, escape(id_), escape(title), *because)
    if ranking.unused:
        say(f"not used: {ranking.unused}")
    return table
