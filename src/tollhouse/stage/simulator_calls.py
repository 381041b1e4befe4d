"""Call the control API of the simulator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import structlog

from tollhouse.kernel.clock import boot_seconds
from tollhouse.kernel.errors import UNREADABLE, Unavailable
from tollhouse.transport.model import NoResponse, RequestNotSent, Transport

CALL_TIMEOUT_SECONDS = 8.0

log = structlog.get_logger()


async def call_simulator(transport: Transport, path: str, message: Mapping[str, Any]) -> dict[str, Any]:
    """Post a message to the simulator and return the response. Raises Unavailable."""
    try:
        response = await transport.post(
            path,
            msgspec.json.encode(message),
            timeout_seconds=CALL_TIMEOUT_SECONDS,
            send_before=boot_seconds() + CALL_TIMEOUT_SECONDS,
        )
        content: dict[str, Any] = msgspec.json.decode(response, type=dict[str, Any])
    except (RequestNotSent, NoResponse, *UNREADABLE) as error:
        log.warning("simulator.not_reached", path=path, cause=type(error).__name__)
        raise Unavailable("The simulator did not respond. Try again.") from error
    return content
