"""Settings of the command line: flags, then the environment, then the settings file.

The settings file is the Schema file: its ``[settings]`` table has a key for every option that the
commands share, under the option's own name.
"""

from __future__ import annotations

import tomllib
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any

import typer

from firstedge.graph.errors import SchemaError, SettingsError
from firstedge.graph.schema import Schema, line_of

SCHEMA_FILE = Path("firstedge.toml")
SETTINGS: dict[str, type] = {
    "store": str,
    "bundle": str,
    "encoder": str,
    "cache": str,
    "device": str,
    "rejects": str,
    "seed": int,
    "k": int,
    "host": str,
    "port": int,
    "insecure": bool,
    "threads": int,
    "patience": float,
    "metrics_port": int,
    "log_format": str,
    "log_level": str,
    "tracing": bool,
    "tls_cert": str,
    "tls_key": str,
    "client_ca": str,
    "tokens": str,
    "max_k": int,
    "max_events": int,
    "max_ids": int,
    "peer_streams": int,
    "idle_seconds": float,
    "user_seconds": float,
    "item_seconds": float,
    "approximate": bool,
}
_NAMES = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}


def read_settings(path: Path) -> dict[str, Any]:
    """The ``[settings]`` of a Schema file, checked.

    Raises:
        SchemaError: If the file cannot be read as TOML.
        SettingsError: If a setting is unknown or of another type, with its line.
    """
    try:
        text = path.read_text("utf-8")
        settings = tomllib.loads(text).get("settings", {})
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SchemaError(
            f"cannot read the Schema {path}: {error}; `firstedge init` writes one"
        ) from None
    if not isinstance(settings, dict):
        raise SettingsError(f"{path.name}: settings is a table, got {settings!r}")
    for name, value in settings.items():
        where = f"{path.name}:{line_of(text, ('settings', name))}"
        if name not in SETTINGS:
            near = get_close_matches(name, SETTINGS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(SETTINGS)}"
            raise SettingsError(f"{where}: there is no setting {name!r}; {hint}")
        wanted = SETTINGS[name]
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise SettingsError(f"{where}: {name} is {_NAMES[wanted]}, got {value!r}")
    return settings


def _with_settings(context: typer.Context, path: Path | None) -> Path | None:
    """Before the other options are read: make the file's settings their defaults."""
    if path is None and SCHEMA_FILE.is_file():
        path = SCHEMA_FILE
    if path is not None:
        context.default_map = read_settings(path)
    return path


def load_schema(path: Path | None) -> Schema:
    """The Schema of a file, the default one without a file.

    Raises:
        SchemaError: With the line at fault.
    """
    return Schema() if path is None else Schema.load(path)


SchemaPath = Annotated[
    Path | None,
    typer.Option(
        "--schema",
        "-s",
        envvar="FIRSTEDGE_SCHEMA",
        is_eager=True,
        callback=_with_settings,
        help="The Schema file, with settings for the other options; firstedge.toml if there is "
        "one here.",
    ),
]
StoreUrl = Annotated[
    str,
    typer.Option(
        envvar="FIRSTEDGE_STORE",
        help="A file ending in .lbug, or neo4j://host:port/database with NEO4J_USERNAME and "
        "NEO4J_PASSWORD in the environment.",
    ),
]
BundlePath = Annotated[
    Path, typer.Option(envvar="FIRSTEDGE_BUNDLE", help="The folder of the trained model.")
]
Encoder = Annotated[
    str,
    typer.Option(
        envvar="FIRSTEDGE_ENCODER",
        help="The text encoder: minilm, a folder, a name on the Hugging Face hub, or none.",
    ),
]
Cache = Annotated[
    Path, typer.Option(envvar="FIRSTEDGE_CACHE", help="A folder to keep text vectors in.")
]
Device = Annotated[
    str, typer.Option(envvar="FIRSTEDGE_DEVICE", help="Where to compute: auto, cpu, cuda, ...")
]
Seed = Annotated[int, typer.Option(envvar="FIRSTEDGE_SEED", help="Of everything random.")]
Length = Annotated[int, typer.Option("--k", "-k", envvar="FIRSTEDGE_K", help="How many items.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]

STORE, BUNDLE, ENCODER, CACHE, DEVICE = (
    "shop.lbug",
    Path("bundle"),
    "minilm",
    Path(".cache"),
    "auto",
)
