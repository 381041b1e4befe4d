"""Asking the simulated world for something: the way that the control calls share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import structlog

from tollhouse.kernel.clock import boot_seconds
from tollhouse.kernel.errors import UNREADABLE, Unavailable
from tollhouse.transport.model import NoResponse, RequestNotSent, Transport

TIMEOUT_SECONDS = 8.0

log = structlog.get_logger()


async def ask_world(transport: Transport, path: str, message: Mapping[str, Any]) -> dict[str, Any]:
    """Post a message to the simulator and return its answer. Raises Unavailable."""
    try:
        answer = await transport.post(
            path,
            msgspec.json.encode(message),
            timeout_seconds=TIMEOUT_SECONDS,
            send_before=boot_seconds() + TIMEOUT_SECONDS,
        )
        content: dict[str, Any] = msgspec.json.decode(answer, type=dict[str, Any])
    except (RequestNotSent, NoResponse, *UNREADABLE) as error:
        log.warning("simulator.not_reached", path=path, cause=type(error).__name__)
        raise Unavailable("The simulator did not answer.") from error
    return content
