"""The command that searches training options: tune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from firstedge.cli_build import read_shop, train_options
from firstedge.console import answer, say
from firstedge.encoders import open_encoder
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


def tune(
    schema: SchemaPath = None,
    store: StoreUrl = STORE,
    out: Annotated[Path, typer.Option(help="The file for the options.")] = Path("options.json"),
    trials: Annotated[
        int,
        typer.Option(min=1, help="Finished trainings in all, those of earlier runs among them."),
    ] = 20,
    minutes: Annotated[
        float | None,
        typer.Option(min=0.0, help="Begin no training after so long; one that runs is finished."),
    ] = None,
    encoder: Encoder = ENCODER,
    cache: Cache = CACHE,
    device: Device = DEVICE,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Search better training options than the defaults, by the validation users.

    The defaults are trained first. The best so far is written after every training; what was killed
    goes on when it is called again, with the trainings that were finished on the same data by the
    same version of firstedge. One process at a time searches for a file. Train with
    `firstedge train --options options.json`, and judge it by
    `firstedge coldstart --options options.json`.

    Example: firstedge tune --store shop.lbug --trials 30 --minutes 60
    """
    from firstedge.models.study import StudyBudget, study

    snapshot = read_shop(store, schema, open_encoder(encoder, cache, device))
    found = study(snapshot, train_options(seed, device), out, StudyBudget(trials, minutes), say)
    about = found["about"]
    line = (
        f"{escape(str(out))}: NDCG {about['objective']:.4f} over validation users after "
        f"{about['trials']} trials, {about['default']:.4f} by default; "
        f"`firstedge train --options {escape(str(out))}` takes it"
    )
    answer({"path": str(out), **found}, line, as_json)
