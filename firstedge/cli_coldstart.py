"""The command that reports how good first answers are: coldstart."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from firstedge._version import __version__
from firstedge.cli_build import read_shop, train_options
from firstedge.console import answer, say
from firstedge.encoders import open_encoder
from firstedge.graph.errors import SettingsError
from firstedge.graph.files import writing
from firstedge.models.options_file import read_options
from firstedge.settings import (
    CACHE,
    DEVICE,
    ENCODER,
    STORE,
    AsJson,
    Cache,
    Device,
    Encoder,
    SchemaPath,
    Seed,
    StoreUrl,
)


def coldstart(
    schema: SchemaPath = None,
    store: StoreUrl = STORE,
    encoder: Encoder = ENCODER,
    cache: Cache = CACHE,
    device: Device = DEVICE,
    seed: Seed = 0,
    folds: Annotated[int, typer.Option(min=1, max=10, help="Folds of users to ask.")] = 1,
    trials: Annotated[int, typer.Option(min=1, help="Settings tried of each method.")] = 5,
    options: Annotated[
        Path | None,
        typer.Option(help="Training options to judge, as `firstedge tune` writes them."),
    ] = None,
    markdown: Annotated[Path | None, typer.Option(help="Write the tables to this file.")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw the curves: .png, .svg, .pdf.")] = None,
    as_json: AsJson = False,
) -> None:
    """Report how good the first answers to new users of this shop are, against the baselines.

    Example: firstedge coldstart --store shop.lbug --markdown coldstart.md --plot coldstart.png
    """
    from firstedge.models import coldstart as report
    from firstedge.models import coldstart_view as view
    from firstedge.models.result_cache import ResultCache
    from firstedge.models.train import train as learn
    from firstedge.models.tuning import Budget

    if markdown:
        _check_file(markdown)
    if plot:
        _check_file(plot)
        view.check_plot(plot)
    made = train_options(seed, device, read_options(options) if options else {})
    if made.fine_tune.on:
        raise SettingsError(
            f"a report fine-tunes no text encoder: take fine_tune out of {options}, and pass one "
            "that was fine-tuned before, --encoder BUNDLE/VERSION/encoder"
        )
    ours = report.Contender(
        lambda snapshot, split: learn(snapshot, made, split), f"{__version__} {made!r}"
    )
    found = report.coldstart_report(
        read_shop(store, schema, open_encoder(encoder, cache, device)),
        ours,
        report.ColdStartOptions(folds=folds, budget=Budget(trials=trials, seed=seed)),
        ResultCache(cache / "coldstart"),
        say,
    )
    answer(found.as_dict(), view.renderable(found), as_json)
    if markdown:
        with writing(markdown):
            markdown.write_text(view.markdown(found), "utf-8")
    if plot:
        with writing(plot):
            view.plot(found, plot)


def _check_file(path: Path) -> None:
    """Find out whether a file can be written, before the work whose result it is for.

    Raises:
        SettingsError: If it cannot.
    """
    if path.is_dir():
        raise SettingsError(f"cannot write {path}: it is a folder, name a file")
    if not path.parent.is_dir():
        raise SettingsError(f"cannot write {path}: there is no folder {path.parent}")
    if not os.access(path if path.exists() else path.parent, os.W_OK):
        raise SettingsError(f"cannot write {path}: it is not allowed")
