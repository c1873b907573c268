"""What a running service writes down: lines for people, or JSON objects for machines.

Every line that belongs to a request has its id: the caller's `x-request-id`, or one made up here.
Requests themselves are logged at the level DEBUG, without the user and what was asked.
"""

from __future__ import annotations

import json
import logging
import re
from contextvars import ContextVar
from datetime import UTC, datetime
from random import getrandbits
from typing import Literal

Format = Literal["text", "json"]

_log = logging.getLogger("firstedge.requests")
_request: ContextVar[str] = ContextVar("request", default="")
_USUAL = re.compile(r"[\w.:-]{1,64}", re.ASCII)
_OWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


def name_request(said: str) -> str:
    """Give what follows in this task an id: the one that was said if it is one, else a new one."""
    name = said if _USUAL.fullmatch(said) else f"{getrandbits(48):012x}"
    _request.set(name)
    return name


def request_id() -> str:
    """The id of the request that is being answered here, empty outside."""
    return _request.get()


def log_request(method: str, code: str, seconds: float) -> None:
    """Write down how a request ended."""
    if _log.isEnabledFor(logging.DEBUG):
        told = {"method": method, "code": code, "ms": round(1000 * seconds, 3)}
        _log.debug("%s %s in %.1f ms", method, code, 1000 * seconds, extra=told)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, logger, message, and what else the record carries."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: value for name, value in vars(record).items() if name not in _OWN},
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class _WithRequest(logging.Filter):
    def filter(self, record: logging.LogRecord) -> bool:
        if name := request_id():
            record.request = name
        return True


def log_to_stderr(style: Format, level: str) -> None:
    """Set up logging for a process that serves."""
    handler = logging.StreamHandler()
    handler.addFilter(_WithRequest())
    layout = "%(asctime)s %(levelname)s [%(request)s] %(message)s"
    text = logging.Formatter(layout, defaults={"request": "-"})
    handler.setFormatter(JsonLines() if style == "json" else text)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
