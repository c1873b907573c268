"""Gorse, compiled by Go and run as the server that it is: neighbours of items, asked by sessions.

Reads and writes JSON, see benchmarks/quality/peer_table.py. Needs `go`.
"""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from exchange import Users, answer, questions, tried

MODULE, VERSION = "github.com/zhenghaoz/gorse", "v0.4.15"
PATIENCE = 900  # seconds until a server has learned
BATCH = 5_000  # events a request

SETTINGS = """
[database]
data_store = "sqlite://{folder}/data.db"
cache_store = "sqlite://{folder}/cache.db"
[master]
host = "127.0.0.1"
port = {port}
http_host = "127.0.0.1"
http_port = {http_port}
[recommend]
cache_size = {cache_size}
[recommend.data_source]
positive_feedback_types = ["event"]
[recommend.item_neighbors]
neighbor_type = "related"
enable_index = false
[recommend.online]
fallback_recommend = ["item_based", "popular"]
"""


def built() -> Path:
    """The server, compiled once into this environment."""
    program = Path(sys.prefix) / f"gorse-{VERSION}"
    if not program.exists():
        command = ["go", "mod", "download", "-json", f"{MODULE}@{VERSION}"]
        found = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        source = json.loads(found)["Dir"]
        command = ["go", "build", "-o", str(program), "./cmd/gorse-in-one"]
        subprocess.run(command, check=True, cwd=source)
    return program


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def call(port: int, method: str, path: str, body: Any = None) -> Any:
    """One request of its REST interface."""
    connection = HTTPConnection("127.0.0.1", port, timeout=300)
    text = None if body is None else json.dumps(body)
    connection.request(method, f"/api/{path}", text, {"Content-Type": "application/json"})
    response = connection.getresponse()
    value = response.read()
    if response.status != 200:
        raise RuntimeError(f"{method} {path}: {response.status}: {value[:200]!r}")
    return json.loads(value)


def await_(port: int, path: str, ready) -> None:
    """Wait until an answer is as it should be."""
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until:
        try:
            if ready(call(port, "GET", path)):
                return
        except (OSError, RuntimeError):
            pass
        time.sleep(1)
    raise TimeoutError(f"{path}: not ready after {PATIENCE} s")


@contextmanager
def serving(folder: str, options: dict[str, Any]) -> Iterator[int]:
    """A server with its store in a folder; its port."""
    port, settings = free_port(), Path(folder) / "config.toml"
    settings.write_text(SETTINGS.format(folder=folder, port=free_port(), http_port=port, **options))
    command = [str(built()), "--config", str(settings)]
    server = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        await_(port, "health/ready", lambda value: value["Ready"])
        yield port
    finally:
        server.terminate()
        server.wait()


def events(user: str, items: list[int]) -> list[dict[str, str]]:
    """What a user has done, as it wants it."""
    return [
        {
            "FeedbackType": "event",
            "UserId": user,
            "ItemId": str(item),
            "Timestamp": "2026-01-01T00:00:00Z",
        }
        for item in items
    ]


def learned(tasks: list[dict[str, Any]]) -> bool:
    """Whether the neighbours of items are there."""
    names = {task["Name"]: task["Status"] for task in tasks}
    return names.get("Find neighbors of items") == "Complete"


def main() -> None:
    data = questions()
    known = [
        event for user, items in enumerate(data["train"]) for event in events(f"u{user}", items)
    ]
    found = []
    for options in ({"cache_size": size} for size in (20, 100, 1_000)):
        with tempfile.TemporaryDirectory() as folder:
            with serving(folder, options) as port:
                for start in range(0, len(known), BATCH):
                    call(port, "POST", "feedback", known[start : start + BATCH])
            with serving(folder, options) as port:  # it looks for new events when it starts
                await_(port, "dashboard/tasks", learned)

                def answers(users: Users, port: int = port) -> Users:
                    return [
                        [
                            int(item["Id"])
                            for item in call(
                                port, "POST", "session/recommend?n=20", events("", items)
                            )
                            or []
                        ]
                        for items in users
                    ]

                found.append(tried(data, options, answers))
                alone = call(port, "GET", "recommend/stranger?n=20") or []
    unseen = f"by id: {len(alone)} popular items; with the history as a session: answers"
    answer(f"Gorse {VERSION}", [{"method": "item neighbours", "unseen": unseen, "tried": found}])


if __name__ == "__main__":
    main()
