"""What the scripts of this folder share: questions are read and answers written as JSON.

See benchmarks/quality/peer_table.py.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

Users = list[list[int]]


def questions() -> dict[str, Any]:
    """Training histories, and what validation and test users have done, as lists of item rows."""
    value: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    return value


def known_only(data: dict[str, Any]) -> dict[str, Any]:
    """The same questions, of strangers without the items that no training user has."""
    known = {item for items in data["train"] for item in items}
    asked = {
        part: {
            k: [[item for item in items if item in known] for items in users]
            for k, users in given.items()
        }
        for part, given in data["asked"].items()
    }
    return {**data, "asked": asked}


def tried(
    data: dict[str, Any], options: dict[str, Any], answers: Callable[[Users], Users]
) -> dict[str, Any]:
    """The answers with some options, to everybody who is asked at every k."""
    asked = data["asked"].items()
    lists = {part: {k: answers(users) for k, users in given.items()} for part, given in asked}
    return {"options": options, "lists": lists}


def answer(peer: str, rows: list[dict[str, Any]]) -> None:
    """Write what a library has answered, a row for each method."""
    Path(sys.argv[2]).write_text(json.dumps({"peer": peer, "rows": rows}))
