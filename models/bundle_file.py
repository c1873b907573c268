"""The Bundle on disk: safetensors + JSON + a model card, versioned and written atomically.

    PATH/current              the version that `load` reads, replaced in one step
    PATH/<version>/manifest.json   vocabularies, schema, coefficients, a digest of every other file
    PATH/<version>/model.safetensors
    PATH/<version>/README.md  the model card
    PATH/<version>/encoder/   a fine-tuned text encoder, where there is one

A version's name is the digest of its manifest, so an altered file of any kind is refused.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from firstedge.graph.errors import BundleError
from firstedge.graph.schema import Schema
from firstedge.graph.vocabulary import Vocabulary
from firstedge.models.bundle import Bundle, Coefficients, ItemTable
from firstedge.models.card import model_card
from firstedge.models.edges import Edges

FORMAT = 3
KEPT_VERSIONS = 2
CURRENT, MANIFEST, TENSORS, CARD = "current", "manifest.json", "model.safetensors", "README.md"
ENCODER = "encoder"
_EDGES = ("profile_lifts", "edges", "category_lifts")
_TABLE_ARRAYS = ("counts", "available", "primary", "parents")


def save_bundle(bundle: Bundle, path: str | Path) -> str:
    """Write a bundle as the current version at ``path``, its fine-tuned text encoder with it.

    A reader sees the old version or the new one, whatever happens in between; the version before
    stays for a rollback.

    Returns:
        The version's name.

    Raises:
        BundleError: If it cannot be written, or its text encoder is gone; the old version is then
            still current.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".staging-", dir=path))
        try:
            version = _write(bundle, staging)
            final = path / version
            if final.exists():
                shutil.rmtree(staging)
            else:
                staging.rename(final)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        _point(path, version)
    except OSError as error:
        raise BundleError(f"cannot write the bundle {path}: {error}") from error
    _forget_old(path, version)
    return version


def load_bundle(path: str | Path) -> Bundle:
    """Read the current version of a bundle, checking every byte.

    Raises:
        BundleError: If it is missing, truncated, altered, or of another format version.
    """
    folder = Path(path) / current_version(path)
    manifest_bytes = _read(folder / MANIFEST)
    if _digest(manifest_bytes) != folder.name:
        raise BundleError(f"{folder / MANIFEST} was altered: train again, or restore the file")
    manifest = json.loads(manifest_bytes)
    if manifest.get("format") != FORMAT:
        raise BundleError(
            f"{path} is of bundle format {manifest.get('format')}, this firstedge reads {FORMAT}: "
            "train again, or install the firstedge that wrote it"
        )
    for name, digest in manifest["files"].items():
        if _digest_file(folder / name) != digest:
            part = ", part of the model's own text encoder," * name.startswith(f"{ENCODER}/")
            raise BundleError(
                f"{folder / name}{part} is missing, truncated or was altered: copy the bundle's "
                "folder as a whole, or train again"
            )
    own = any(name.startswith(f"{ENCODER}/") for name in manifest["files"])
    try:
        bundle = _assemble(manifest, load_file(folder / TENSORS))
        return replace(bundle, encoder_folder=folder / ENCODER if own else None)
    except (KeyError, TypeError, ValueError, SafetensorError) as error:
        raise BundleError(f"{path} is not a complete bundle: {error!r}") from error


def current_version(path: str | Path) -> str:
    """The version that `load_bundle` reads now.

    Raises:
        BundleError: If there is no bundle.
    """
    return _read(Path(path) / CURRENT).decode().strip()


def written_at(path: str | Path, version: str) -> float:
    """When a version was written, in seconds since 1970.

    Raises:
        BundleError: If there is no such version.
    """
    try:
        return (Path(path) / version / MANIFEST).stat().st_mtime
    except OSError as error:
        raise BundleError(f"no version {version} in {path}: {error.strerror}") from None


def _write(bundle: Bundle, folder: Path) -> str:
    save_file(_tensors(bundle), folder / TENSORS)
    (folder / CARD).write_text(model_card(bundle), "utf-8")
    if bundle.encoder_folder is not None:
        if not bundle.encoder_folder.is_dir():
            raise BundleError(
                f"the model's own text encoder is gone from {bundle.encoder_folder}: train again"
            )
        shutil.copytree(bundle.encoder_folder, folder / ENCODER)
    names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
    manifest = {
        "format": FORMAT,
        "files": {name: _digest_file(folder / name) for name in names},
        "items": bundle.items.ids,
        "categories": bundle.categories.ids,
        "profile_values": bundle.profile_values.ids,
        "schema": bundle.schema.model_dump(mode="json"),
        "coefficients": asdict(bundle.coefficients),
        "titles": bundle.table.titles,
        "category_names": bundle.table.category_names,
        "properties": dict(bundle.table.properties),
        "encoder": bundle.encoder,
        "about": dict(bundle.about),
    }
    data = json.dumps(manifest, ensure_ascii=False, allow_nan=False).encode()
    _write_durably(folder / MANIFEST, data)
    return _digest(data)


def _tensors(bundle: Bundle) -> dict[str, np.ndarray[Any, Any]]:
    tensors = dict(bundle.arrays())
    sparse = {name: getattr(bundle, name) for name in _EDGES}
    sparse["memberships"] = bundle.table.memberships
    for name, edges in sparse.items():
        for part in ("offsets", "targets", "weights", "counts"):
            tensors[f"{name}.{part}"] = getattr(edges, part)
    for name in _TABLE_ARRAYS:
        tensors[f"table.{name}"] = getattr(bundle.table, name)
    return {name: np.ascontiguousarray(array) for name, array in tensors.items()}


def _assemble(manifest: Mapping[str, Any], tensors: Mapping[str, Any]) -> Bundle:
    items = Vocabulary(tuple(manifest["items"]))
    categories = Vocabulary(tuple(manifest["categories"]), "category")

    def edges(name: str, num_targets: int) -> Edges:
        parts = {p: tensors[f"{name}.{p}"] for p in ("offsets", "targets", "weights", "counts")}
        return Edges(**parts, num_targets=num_targets)

    table = ItemTable(
        titles=tuple(manifest["titles"]),
        memberships=edges("memberships", len(categories)),
        category_names=tuple(manifest["category_names"]),
        properties={name: tuple(column) for name, column in manifest["properties"].items()},
        **{name: tensors[f"table.{name}"] for name in _TABLE_ARRAYS},
    )
    dense = {name: tensors[name] for name in tensors if "." not in name}
    return Bundle(
        items=items,
        categories=categories,
        profile_values=Vocabulary(tuple(manifest["profile_values"]), "profile value"),
        schema=Schema.model_validate(manifest["schema"]),
        table=table,
        coefficients=Coefficients(**manifest["coefficients"]),
        profile_lifts=edges("profile_lifts", len(items)),
        edges=edges("edges", len(items)),
        category_lifts=edges("category_lifts", len(categories)),
        encoder=manifest["encoder"],
        about=manifest["about"],
        **dense,
    )


def _point(path: Path, version: str) -> None:
    staged = path / f".{CURRENT}-{os.getpid()}"
    _write_durably(staged, version.encode() + b"\n")
    os.replace(staged, path / CURRENT)


def _forget_old(path: Path, version: str) -> None:
    versions = [p.parent for p in path.glob(f"*/{MANIFEST}") if p.parent.name != version]
    versions.sort(key=lambda folder: folder.stat().st_mtime_ns, reverse=True)
    for folder in versions[KEPT_VERSIONS - 1 :]:
        shutil.rmtree(folder, ignore_errors=True)


def _write_durably(file: Path, data: bytes) -> None:
    with file.open("wb") as out:
        out.write(data)
        out.flush()
        os.fsync(out.fileno())


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise BundleError(
            f"no bundle here: cannot read {file} ({error.strerror}); `firstedge train` makes one"
        ) from None


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _digest_file(file: Path) -> str:
    try:
        with file.open("rb") as data:
            return hashlib.file_digest(data, "sha256").hexdigest()[:32]
    except OSError:
        return ""
