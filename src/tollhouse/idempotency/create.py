"""Create a resource once for each idempotency key.

The claim of the key, the resource and the response are committed together, so a claim always has a response. Payments
and messages call an outside party between claim and response: their claims have none for a while.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Concatenate, ParamSpec, TypeVar

from tollhouse.idempotency.model import Claim
from tollhouse.idempotency.replay import replay
from tollhouse.idempotency.store import claim_request, record_response, release_claim, take_over_claim
from tollhouse.kernel.errors import RequestInProgress, TollhouseError
from tollhouse.kernel.rendered_response import CREATED, RenderedResponse
from tollhouse.storage.database import Database, PlainConnection

Parameters = ParamSpec("Parameters")
Created = TypeVar("Created")


async def create_once(
    database: Database,
    claim: Claim | None,
    create: Callable[Concatenate[PlainConnection, Parameters], Awaitable[Created]],
    render: Callable[[Created], bytes],
    *arguments: Parameters.args,
    **options: Parameters.kwargs,
) -> RenderedResponse:
    """Run `create` in one database transaction with the claim of its key, and return the rendered response.

    A repeated request gets the first response, byte for byte. Of two concurrent ones, the second waits for the commit
    of the first and is a repeat. If `create` raises, nothing is written and the key stays free. `create` may call
    nothing but the database. Raises RequestIdReused for another body under the same key, and DatabaseUnavailable.
    """
    async with database.transaction() as connection:
        if await claim_request(connection, claim):
            rendered = RenderedResponse(CREATED, render(await create(connection, *arguments, **options)))
            await record_response(connection, claim, rendered)
            return rendered
    return await _replay_first(database, claim, wait_seconds=0.0)


async def create_and_send(
    database: Database,
    claim: Claim | None,
    create: Callable[[PlainConnection], Awaitable[bytes]],
    send: Callable[[], Awaitable[None]],
    *,
    lease_seconds: float,
    wait_seconds: float,
) -> RenderedResponse:
    """Run `create` in one database transaction, then `send`, which calls an outside party.

    Return the response after both.

    The response is recorded after `send`, so that no repeat reports a message that was not sent. A concurrent repeat
    waits for it, and then raises RequestInProgress. If the process dies in between, a repeat after `lease_seconds` runs
    both again. If `send` raises, the key is free, and the caller undoes the creation. Also raises the exceptions of
    `create_once`.
    """
    rendered = None
    async with database.transaction() as connection:
        if await claim_request(connection, claim) or await take_over_claim(
            connection, claim, lease_seconds=lease_seconds
        ):
            rendered = RenderedResponse(CREATED, await create(connection))
    if rendered is None:
        return await _replay_first(database, claim, wait_seconds=wait_seconds)
    try:
        await send()
    except TollhouseError:
        if claim is not None:
            async with database.transaction() as connection:
                await release_claim(connection, claim)
        raise
    if claim is not None:
        async with database.transaction() as connection:
            await record_response(connection, claim, rendered)
    return rendered


async def _replay_first(database: Database, claim: Claim | None, *, wait_seconds: float) -> RenderedResponse:
    """Return the response to the request that claimed the key. Raises RequestIdReused and RequestInProgress."""
    rendered = await replay(database, claim, wait_seconds=wait_seconds)
    if rendered is None:  # the other request failed at this moment and released its claim
        raise RequestInProgress
    return rendered
