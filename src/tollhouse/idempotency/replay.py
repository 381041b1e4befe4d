"""Replay the first response to a request, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from tollhouse.idempotency.model import Claim, StoredClaim
from tollhouse.idempotency.store import select_claim
from tollhouse.kernel.errors import RequestInProgress
from tollhouse.kernel.polling import growing_pauses
from tollhouse.kernel.rendered_response import CREATED, RenderedResponse
from tollhouse.storage.database import Database

#: Returns the response to a request whose claim has none yet, or None until it exists.
FindResponse = Callable[[StoredClaim], Awaitable[bytes | None]]


async def replay(
    database: Database, claim: Claim | None, *, wait_seconds: float = 0.0, find_response: FindResponse | None = None
) -> RenderedResponse | None:
    """Return the response to the first request with this key, or None if the key is free or missing.

    Wait for the response while the first request runs. Raises RequestIdReused if that request had another body, and
    RequestInProgress if it got no response in time.
    """
    if claim is None:
        return None
    for pause in growing_pauses(wait_seconds):
        async with database.acquire() as connection:
            stored = await select_claim(connection, claim)
        if stored is None:
            return None
        claim.check(stored.digest)
        response = stored.answer
        if response is None and find_response is not None:
            response = await find_response(stored)
        if response is not None:
            return RenderedResponse(stored.status or CREATED, response, is_replay=True)
        await asyncio.sleep(pause)
    raise RequestInProgress
