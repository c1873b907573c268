"""The command that answers for others: serve."""

from __future__ import annotations

import asyncio
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from firstedge.console import say
from firstedge.models.bundle_file import encoder_folder, load_bundle
from firstedge.settings import (
    BUNDLE,
    CACHE,
    DEVICE,
    AsJson,
    BundlePath,
    Cache,
    Device,
    Encoder,
    SchemaPath,
    StoreUrl,
)

if TYPE_CHECKING:
    from firstedge.serving.recommender import Recommender


def serve(
    host: Annotated[
        str, typer.Option(envvar="FIRSTEDGE_HOST", help="The address to listen on.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(envvar="FIRSTEDGE_PORT", help="The port; 0 for a free one.")
    ] = 50051,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Serve other addresses than loopback, unprotected.")
    ] = False,
    threads: Annotated[int, typer.Option(help="Requests worked on at a time.")] = 2,
    schema: SchemaPath = None,
    store: StoreUrl = "",
    bundle: BundlePath = BUNDLE,
    encoder: Encoder = "none",
    cache: Cache = CACHE,
    device: Device = DEVICE,
    as_json: AsJson = False,
) -> None:
    """Answer over gRPC until SIGTERM, taking up new versions of the bundle.

    Without --store, requests carry their events. There is no TLS and no authentication: an
    address other than loopback needs --insecure and a private network.

    Example: firstedge serve --bundle demo/bundle --store demo/shop.lbug
    """
    from firstedge.serving.service import Service, ServiceOptions
    from firstedge.serving.service import serve as run

    def load(path: Path) -> Recommender:
        return _load(path, encoder, cache, device)

    def ready(bound: int) -> None:
        if as_json:
            print(json.dumps({"host": host, "port": bound}), flush=True)
        else:
            say(f"serving {bundle} on {host}:{bound}")

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    options = ServiceOptions(bundle, store, host, insecure, port, threads)
    asyncio.run(run(Service(options, load), ready))


def _load(path: Path, encoder: str, cache: Path, device: str) -> Recommender:
    from firstedge.serving.recommender import Recommender

    trained = load_bundle(path)
    if encoder == "none" or not trained.user_text.any():
        return Recommender(trained)
    from firstedge.encoders import open_encoder

    return Recommender(trained, open_encoder(str(encoder_folder(path) or encoder), cache, device))
