"""The log: JSON lines, or readable lines on a terminal.

The types of card data cannot be printed. As a second safeguard, card numbers found in a finished line are masked.
"""

from __future__ import annotations

import logging
import os
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec
import structlog

from tollhouse.http.serving.metrics import count_error
from tollhouse.kernel.card_search import mask_card_numbers
from tollhouse.kernel.errors import TollhouseError

#: Frames of each error in a chain of causes, and errors in the chain.
MAX_FRAMES = 20
MAX_CAUSES = 5
LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def configure_logs(*, form: Literal["json", "console"] | None, level: str) -> None:
    """Configure the log of this process. By default it is readable on a terminal and JSON elsewhere."""
    form = form or ("console" if sys.stderr.isatty() else "json")
    shared: list[Any] = [structlog.processors.add_log_level, _note_error]
    if form == "json":
        processors = [_add_time, *shared, _render]
        factory: Any = structlog.BytesLoggerFactory(sys.stderr.buffer)
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty() and "NO_COLOR" not in os.environ, pad_event_to=0, pad_level=False
        )
        processors, factory = [_add_local_time, *shared, renderer, _mask_line], structlog.PrintLoggerFactory(sys.stderr)
    structlog.configure(
        processors=processors,
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        logger_factory=factory,
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(handlers=[_Forward()], level=logging.WARNING, force=True)


def _add_time(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """Add the time of the system clock, in UTC to the microsecond."""
    event["timestamp"] = datetime.now(UTC)
    return event


def _add_local_time(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """Add the local time, for a terminal."""
    event["timestamp"] = f"{datetime.now().astimezone():%H:%M:%S}"
    return event


def _note_error(_: Any, __: str, event: dict[str, Any]) -> dict[str, Any]:
    """Count an error, so that metrics and log agree, and render it with its frames.

    Values are left out: a library's message may quote a request.
    """
    if event.get("level") in {"error", "critical"}:
        count_error(str(event.get("event")))
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()[1]
    elif isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["exception"] = describe_error(error)
    return event


def describe_error(error: BaseException) -> str:
    """Return an error, its causes and their frames. Only our own messages are quoted."""
    lines: list[str] = []
    cause: BaseException | None = error
    for number in range(MAX_CAUSES):
        if cause is None:
            break
        text = f": {cause}" if isinstance(cause, TollhouseError) else ""
        lines.append(f"{'caused by ' if number else ''}{type(cause).__name__}{text}")
        frames = traceback.extract_tb(cause.__traceback__)[-MAX_FRAMES:]
        lines += [f"  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return "\n".join(lines)


def _render(_: Any, __: str, event: dict[str, Any]) -> bytes:
    return mask_card_numbers(msgspec.json.encode(event, enc_hook=str).decode()).encode()


def _mask_line(_: Any, __: str, line: str) -> str:
    return mask_card_numbers(line)


class _Forward(logging.Handler):
    """A handler for log records of libraries. It keeps only the format string: arguments may contain anything."""

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record."""
        log = structlog.get_logger(record.name)
        log.log(record.levelno, "library.logged", text=str(record.msg), error=_name_error(record))


def _name_error(record: logging.LogRecord) -> str | None:
    return record.exc_info[0].__name__ if record.exc_info and record.exc_info[0] else None
