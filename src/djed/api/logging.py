"""The log of a server or worker: structured, on stderr, one line for each thing that happened.

What a foreign hand could have written is escaped, so that no line can be forged. Queries and headers are not logged.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any, TextIO

from djed.errors import MissingPartError

if TYPE_CHECKING:
    from djed.config import Config

__all__ = ["configure"]

_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Controls, line ends of all kinds, what turns the reading direction, and halves of characters."""
_APART = re.compile(r'[\s"=]')
_LONGEST = 4000
_SILENT = ("httpcore2", "httpx2", "uvicorn", "asyncio", "alembic")
"""Loggers of libraries that tell, below warnings, what is nobody's business or is told by ours."""
_FIRST = ("timestamp", "level", "logger", "event")


def configure(config: Config, stream: TextIO | None = None) -> None:
    """Log to stderr in the form and from the level of the settings. Raises ``MissingPartError`` without structlog."""
    try:
        import structlog
    except ImportError as error:
        raise MissingPartError(
            "The package structlog is not installed.", hint="pip install 'djed[server]'"
        ) from error
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=[
            structlog.stdlib.add_log_level,
            structlog.stdlib.add_logger_name,
            structlog.stdlib.ExtraAdder(),
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
        ],
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            _json if config.log_format == "json" else _text,
        ],
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(config.log_level.upper())
    for name in _SILENT:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))


def _json(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> str:
    return json.dumps({key: _plain(value) for key, value in entry.items()}, separators=(",", ":"))


def _text(_logger: Any, _method: str, entry: MutableMapping[str, Any]) -> str:
    trace = entry.pop("exception", None)
    time, level, logger, event = (str(entry.pop(key, "")) for key in _FIRST)
    words = (f"{key}={_word(str(value))}" for key, value in entry.items())
    lines = [" ".join((time, f"{level:<7}", f"{logger}:", event[:_LONGEST], *words))]
    if trace is not None:
        lines += (f"    {part}" for part in str(trace).split("\n"))
    return "\n".join(_UNSAFE.sub(_escape, line) for line in lines)


def _word(text: str) -> str:
    """In quotes, as JSON, where it would not be one word otherwise."""
    text = text[:_LONGEST]
    return json.dumps(text, ensure_ascii=False) if not text or _APART.search(text) else text


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float):
        return value
    return str(value)[:_LONGEST]


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"
