"""The command that finds out what is missing: doctor."""

from __future__ import annotations

import platform
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import typer
from rich.markup import escape
from rich.table import Table

from firstedge._version import __version__
from firstedge.console import answer
from firstedge.graph.errors import FirstedgeError
from firstedge.models.bundle_file import CURRENT, load_bundle
from firstedge.settings import BUNDLE, STORE, AsJson, BundlePath, SchemaPath, StoreUrl, load_schema

_ANSWERING = ("numpy", "numkong", "scipy", "pyarrow", "safetensors", "ladybug", "neo4j")
_TRAINING = ("torch", "torch-geometric", "transformers", "scikit-learn", "implicit")


@dataclass(frozen=True)
class Check:
    """One finding.

    Attributes:
        name: What was looked at.
        ok: Whether it is as it should be; None if it is not there and need not be.
        detail: What was found, and what to do where it is amiss.
    """

    name: str
    ok: bool | None
    detail: str


def doctor(
    schema: SchemaPath = None,
    store: StoreUrl = STORE,
    bundle: BundlePath = BUNDLE,
    as_json: AsJson = False,
) -> None:
    """Check packages, Schema, store and bundle, and say what to do.

    Exits with 1 if something is wrong.

    Example: firstedge doctor --store neo4j://localhost:7687
    """
    checks = [
        Check("firstedge", True, f"{__version__} on Python {platform.python_version()}"),
        *_packages(),
        _tried("schema", lambda: _schema(schema)),
        _tried("store", lambda: _store(store, schema)),
        _tried("bundle", lambda: _bundle(bundle)),
    ]
    healthy = all(check.ok is not False for check in checks)
    marks = {True: "[green]ok[/green]", False: "[red]wrong[/red]", None: "[yellow]none[/yellow]"}
    table = Table.grid(padding=(0, 2))
    for check in checks:
        table.add_row(marks[check.ok], check.name, escape(check.detail))
    answer({"healthy": healthy, "checks": [asdict(check) for check in checks]}, table, as_json)
    if not healthy:
        raise typer.Exit(1)


def _packages() -> Iterator[Check]:
    for package in _ANSWERING:
        found = _version(package)
        yield Check(package, found is not None, found or "not installed: pip install firstedge")
    for package in _TRAINING:
        found = _version(package)
        missing = "not installed, needed to train: pip install 'firstedge[train]'"
        yield Check(package, True if found else None, found or missing)


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _tried(name: str, look: Callable[[], Check]) -> Check:
    try:
        return look()
    except FirstedgeError as error:
        return Check(name, False, str(error))


def _schema(path: Path | None) -> Check:
    if path is None:
        return Check("schema", None, "no firstedge.toml here: `firstedge init` writes one")
    from firstedge.loaders.mapping import load_mappings

    kinds = ", ".join(load_schema(path).kinds)
    missing = [str(m.path) for m in load_mappings(path) if m.path and not m.path.exists()]
    if missing:
        return Check("schema", False, f"{path}: no file {', '.join(missing)} to import")
    return Check("schema", True, f"{path}: kinds {kinds}")


def _store(url: str, schema: Path | None) -> Check:
    if "://" not in url and not Path(url).exists():
        return Check("store", None, f"no store {url}: `firstedge import` makes one")
    from firstedge.graph.store import open_store

    with open_store(url, load_schema(schema), read_only=True) as opened:
        opened.check()
        counts = ", ".join(f"{count:,} {name}" for name, count in opened.counts().items())
    return Check("store", True, f"{url}: {counts}")


def _bundle(path: Path) -> Check:
    if not (path / CURRENT).exists():
        return Check("bundle", None, f"no bundle {path}: `firstedge train` makes one")
    return Check("bundle", True, f"{path}: {load_bundle(path)!r}")
