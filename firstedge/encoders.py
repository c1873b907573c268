"""Text encoders by name: the one place where answering meets the training half."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from firstedge.graph.text import TextEncoder
    from firstedge.models.bundle import Bundle


def open_encoder(name: str, cache: Path | None = None, device: str = "auto") -> TextEncoder | None:
    """The text encoder of that name, None for ``"none"``.

    Args:
        name: ``"minilm"``, a folder, or a name on the Hugging Face hub.
        cache: A folder to keep vectors in.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ...

    Raises:
        SettingsError: If there is no such model.
        MissingDependency: If a package is missing that it needs.
    """
    if name in ("", "none"):
        return None
    from firstedge.loaders.text import TransformerEncoder

    return TransformerEncoder(name, None if device == "auto" else device, cache=cache)


def encoder_of(
    bundle: Bundle, name: str, cache: Path | None = None, device: str = "auto"
) -> TextEncoder | None:
    """The text encoder of a bundle: its own if it has one, else the one of that name.

    Args:
        bundle: The trained model.
        name: As for `open_encoder`; ``"none"`` is none even where the bundle has its own.
        cache: A folder to keep vectors in.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ...

    Raises:
        SettingsError: If there is no such model.
        MissingDependency: If a package is missing that it needs.
    """
    if name in ("", "none") or not bundle.encoder:
        return None
    return open_encoder(str(bundle.encoder_folder or name), cache, device)
