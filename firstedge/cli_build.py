"""Commands that build: init, import, categorize, train, update."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape

from firstedge._version import __version__
from firstedge.console import answer, import_progress, read_progress, say, two_columns
from firstedge.encoders import encoder_of, open_encoder
from firstedge.graph.errors import BundleError, MappingError, SettingsError
from firstedge.graph.files import writing
from firstedge.graph.store import open_store
from firstedge.models.bundle_file import (
    current_version,
    load_bundle,
    save_bundle,
)
from firstedge.models.options_file import read_options, with_options
from firstedge.models.result_cache import key_of
from firstedge.settings import (
    BUNDLE,
    CACHE,
    DEVICE,
    ENCODER,
    SCHEMA_FILE,
    STORE,
    AsJson,
    BundlePath,
    Cache,
    Device,
    Encoder,
    SchemaPath,
    Seed,
    StoreUrl,
    load_schema,
)
from firstedge.starter import STARTER

if TYPE_CHECKING:
    from firstedge.graph.text import TextEncoder
    from firstedge.loaders.mapping import ImportMapping
    from firstedge.loaders.snapshot import Snapshot
    from firstedge.models.bundle import Bundle
    from firstedge.models.fit import Watch
    from firstedge.models.train import TrainOptions


def init(
    path: Annotated[Path, typer.Argument(help="The file to write.")] = SCHEMA_FILE,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: AsJson = False,
) -> None:
    """Write a commented Schema file to begin with.

    Example: firstedge init
    """
    with writing(path):
        try:
            with path.open("w" if force else "x", encoding="utf-8") as file:
                file.write(STARTER)
        except FileExistsError:
            raise SettingsError(f"{path} is there already: edit it, or pass --force") from None
    line = f"{escape(str(path))} is written: name your files there, then `firstedge import`"
    answer({"path": str(path)}, line, as_json)


def import_(
    names: Annotated[
        list[str] | None,
        typer.Argument(help="Imports of the Schema file, NAME or NAME=FILE; all of them if none."),
    ] = None,
    schema: SchemaPath = None,
    store: StoreUrl = STORE,
    rejects: Annotated[
        Path, typer.Option(envvar="FIRSTEDGE_REJECTS", help="A folder for rejected rows.")
    ] = Path("rejects"),
    strict: Annotated[
        bool, typer.Option("--strict", help="Exit with 3 if a row was rejected.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Import the files that the Schema file names into the store.

    A file that was imported before is skipped; an import that was cut off goes on where it was.

    Example: firstedge import orders=2026-06.csv --store shop.lbug
    """
    from firstedge.loaders.importer import import_files
    from firstedge.loaders.job import ImportOptions
    from firstedge.loaders.mapping import load_mappings
    from firstedge.loaders.report import render_report

    if schema is None:
        raise MappingError(
            f"no {SCHEMA_FILE} here says what to import: `firstedge init` writes one"
        )
    mappings = _chosen(load_mappings(schema), names or (), schema)
    with open_store(store, load_schema(schema)) as opened, import_progress(as_json) as progress:
        options = ImportOptions(rejects=rejects, progress=progress)
        report = import_files(opened, mappings, options)
    answer(report.as_dict(), render_report(report), as_json)
    if strict and report.rejected:
        raise typer.Exit(3)


def _chosen(
    mappings: tuple[ImportMapping, ...], names: tuple[str, ...] | list[str], schema: Path
) -> tuple[ImportMapping, ...]:
    by_name = {mapping.name: mapping for mapping in mappings}
    if not by_name:
        raise MappingError(f"{schema} has no [[import]] table, so there is nothing to import")
    chosen = []
    for text in names:
        name, _, file = text.partition("=")
        if name not in by_name:
            raise MappingError(f"{schema} has no import {name!r}, only {', '.join(by_name)}")
        mapping = by_name[name]
        chosen.append(mapping.model_copy(update={"path": Path(file)}) if file else mapping)
    return tuple(chosen) or mappings


def categorize(
    schema: SchemaPath = None,
    store: StoreUrl = STORE,
    encoder: Encoder = ENCODER,
    cache: Cache = CACHE,
    device: Device = DEVICE,
    seed: Seed = 0,
    leaves: Annotated[
        int | None, typer.Option(min=1, help="How many categories; by the catalogue's size if not.")
    ] = None,
    beside_given: Annotated[
        bool, typer.Option("--beside-given", help="Go on where there are given categories.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Derive a tree of categories from the items' texts, for a catalogue without one.

    Where there is one already, items that came since are put into it.

    Example: firstedge categorize --store shop.lbug
    """
    reader = _reader(encoder, cache, device)
    from firstedge.loaders.categorize import categorize as derive

    with open_store(store, load_schema(schema)) as opened:
        found = derive(opened, reader, leaves, beside_given, seed)
    view = (
        ("categories made", found.leaves),
        ("under categories made", found.tops),
        ("items put into one", found.items),
        ("items without a text", found.without_text),
    )
    answer(asdict(found), two_columns(view), as_json)


def train(
    schema: SchemaPath = None,
    store: StoreUrl = STORE,
    bundle: BundlePath = BUNDLE,
    encoder: Encoder = ENCODER,
    cache: Cache = CACHE,
    device: Device = DEVICE,
    seed: Seed = 0,
    options: Annotated[
        Path | None, typer.Option(help="Training options, as `firstedge tune` writes them.")
    ] = None,
    fine_tune_text: Annotated[
        bool,
        typer.Option(
            "--fine-tune-text",
            help="Fine-tune the text encoder on what is chosen together, and keep it with the "
            "model if validation users are better answered. Takes minutes; a GPU helps.",
        ),
    ] = False,
    log: Annotated[Path | None, typer.Option(help="A folder for TensorBoard.")] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Train even if nothing has changed.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Learn a model from a store.

    If the store and the options are what the model at --bundle was trained on, nothing is done.
    The version that was there before stays beside the new one. A training that was killed goes on
    where it was: it is held in --cache every minute. Several GPUs, or processes, share one under
    torchrun --nproc-per-node N -m firstedge train.

    Example: firstedge train --store shop.lbug --bundle bundle
    """
    reader = open_encoder(encoder, cache, device)
    given = read_options(options) if options else {}
    section = given.setdefault("fine_tune", {}) if fine_tune_text else None
    if isinstance(section, dict):
        section["on"] = True
    snapshot = read_shop(store, schema, reader)
    if not force and _is_trained(bundle, snapshot, seed, given):
        _show(load_bundle(bundle), bundle, "nothing has changed since version", as_json)
        return
    from firstedge.models.train import train as learn
    from firstedge.models.workers import Workers, joined

    with joined(os.environ, None if device == "auto" else device) as mine:
        first = Workers.now().rank == 0
        by = f"{__version__} {train_options(seed, device, given)!r}"
        key = key_of({"of": snapshot.fingerprint, "by": by})
        watch = _watch(cache / "training" / f"{key}.safetensors", key, log, first)
        made = train_options(seed, mine or "auto", given)
        trained = learn(snapshot, made, watch=watch, encoder=reader)
        if first:
            _save(replace(trained, about={**trained.about, "given": given}), bundle, as_json)


def _watch(path: Path, key: str, log: Path | None, first: bool) -> Watch:
    """A checkpoint every minute; of the first process, progress and a log for TensorBoard too."""
    from firstedge.models.board import board
    from firstedge.models.checkpoint import Checkpoint
    from firstedge.models.fit import Watch

    watch = Watch(Checkpoint(path, key))
    if first:
        watch = replace(watch, say=say)
    return replace(watch, report=board(log)) if first and log else watch


def update(
    schema: SchemaPath = None,
    store: StoreUrl = STORE,
    bundle: BundlePath = BUNDLE,
    encoder: Encoder = ENCODER,
    cache: Cache = CACHE,
    device: Device = DEVICE,
    as_json: AsJson = False,
) -> None:
    """Refresh popularity, edges and new items from the store, without training again.

    Example: firstedge update --store shop.lbug --bundle bundle
    """
    from firstedge.models.update import update_bundle

    trained = load_bundle(bundle)
    snapshot = read_shop(store, schema, encoder_of(trained, encoder, cache, device))
    _save(update_bundle(trained, snapshot), bundle, as_json)


def _reader(encoder: str, cache: Path, device: str) -> TextEncoder:
    found = open_encoder(encoder, cache, device)
    if found is None:
        raise SettingsError("categories come from texts: pass an --encoder other than none")
    return found


def read_shop(store: str, schema: Path | None, encoder: TextEncoder | None) -> Snapshot:
    """Read all of a shop, and say what was read and what was skipped."""
    from firstedge.loaders.snapshot import read_snapshot

    with open_store(store, load_schema(schema), read_only=True) as opened:
        opened.check()
        total = sum(n for name, n in opened.counts().items() if name.startswith("events."))
        with read_progress(total, quiet=False) as progress:
            snapshot = read_snapshot(opened, encoder=encoder, progress=progress)
    say(repr(snapshot))
    for reason, count in snapshot.skipped.items():
        say(f"skipped: {count:,} x {reason}")
    return snapshot


def train_options(seed: int, device: str, given: Mapping[str, Any] | None = None) -> TrainOptions:
    """The training's defaults with seed and device, and with those given, see `options_file`."""
    from firstedge.models.fit import FitOptions
    from firstedge.models.train import TrainOptions

    options = TrainOptions(fit=FitOptions(seed=seed, device=None if device == "auto" else device))
    return with_options(options, given or {})


def _is_trained(path: Path, snapshot: Snapshot, seed: int, given: Mapping[str, Any]) -> bool:
    """Whether training would make the bundle at ``path`` again; told without importing torch."""
    try:
        about = load_bundle(path).about
    except BundleError:
        return False
    return "update_seconds" not in about and (
        about.get("firstedge"),
        about.get("fingerprint"),
        about.get("options", {}).get("fit", {}).get("seed"),
        about.get("given", {}),
    ) == (__version__, snapshot.fingerprint, seed, given)


def _save(trained: Bundle, path: Path, as_json: bool) -> None:
    save_bundle(trained, path)
    _show(trained, path, "version", as_json)


def _show(trained: Bundle, path: Path, what: str, as_json: bool) -> None:
    version = current_version(path)
    data = {"path": str(path), "version": version, "about": dict(trained.about)}
    answer(data, f"{escape(f'{trained!r} in {path}')}: {what} {version}", as_json)
