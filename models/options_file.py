"""Training options in a JSON file: what `firstedge tune` writes and `firstedge train` reads.

    {"net": {"dim": 32}, "fit": {"learning_rate": 0.001}, "edges_per_item": 400,
     "about": {"objective": 0.2514, "trials": 20}}

What is not named keeps its default; "about" is for people.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from firstedge.graph.errors import SettingsError

Options = TypeVar("Options")
ABOUT = "about"


def read_options(path: Path) -> dict[str, Any]:
    """The options of a file, without what it says about itself.

    Raises:
        SettingsError: If it cannot be read or holds no JSON object.
    """
    try:
        found = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"cannot read the options {path}: {error}; `firstedge tune` writes such a file"
        ) from None
    if not isinstance(found, dict):
        raise SettingsError(f"the options {path} are no JSON object, but {found!r}")
    return {name: value for name, value in found.items() if name != ABOUT}


def with_options(options: Options, given: Mapping[str, Any], within: str = "") -> Options:
    """The same options with those given put in.

    Args:
        options: A frozen dataclass, with others in its fields.
        given: Values by name; those of an inner dataclass as a mapping.
        within: What to call the place in errors.

    Raises:
        SettingsError: If there is no such option, or its value is of another type or not allowed.
    """
    known = {field.name: getattr(options, field.name) for field in fields(options)}  # type: ignore[arg-type]
    values: dict[str, Any] = {}
    for name, value in given.items():
        where = f"{within}{name}"
        if name not in known:
            raise SettingsError(f"there is no option {where!r}, only {', '.join(known)}")
        now = known[name]
        if is_dataclass(now) and isinstance(value, Mapping):
            values[name] = with_options(now, value, f"{where}.")
            continue
        whole = isinstance(now, float) and type(value) is int
        if now is not None and type(value) is not type(now) and not whole:
            raise SettingsError(f"option {where!r} is like {now!r}, got {value!r}")
        values[name] = value
    try:
        return replace(options, **values)  # type: ignore[type-var]
    except ValueError as error:
        raise SettingsError(f"options {within or 'of the training'}: {error}") from None
