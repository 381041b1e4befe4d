"""The simulator in the same process: a transport without a network."""

from __future__ import annotations

import asyncio

import structlog

from tollhouse.kernel.clock import boot_seconds
from tollhouse.kernel.errors import Refusal
from tollhouse.simulator.host import Simulator
from tollhouse.simulator.model import Silence
from tollhouse.transport.model import NoResponse, RequestNotSent

log = structlog.get_logger()


class InProcessTransport:
    """A `tollhouse.transport.model.Transport` to a simulator. Every failure inside is `NoResponse`."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    async def post(
        self, path: str, body: bytes, *, timeout_seconds: float, send_before: float, is_repeatable: bool = False
    ) -> bytes:
        """Pass a body and return the response.

        Raises RequestNotSent past the deadline, and NoResponse after silence, at the timeout, and for a rejection.
        """
        del is_repeatable  # no connection can break
        if boot_seconds() >= send_before:
            raise RequestNotSent("The deadline for sending had passed.")
        try:
            async with asyncio.timeout(timeout_seconds):
                answer = await self._simulator.handle(path, body)
                if isinstance(answer, Silence):
                    await asyncio.sleep(answer.seconds)
        except TimeoutError as error:
            raise NoResponse from error
        except Refusal as error:
            log.info("simulator.request_rejected", path=path, cause=type(error).__name__)
            raise NoResponse from error
        except Exception as error:
            log.exception("simulator.request_failed", path=path)
            raise NoResponse from error
        if isinstance(answer, Silence):
            raise NoResponse
        return answer
