"""Create links, once for each X-Request-ID."""

from __future__ import annotations

from datetime import timedelta

from tollhouse.kernel.requests import Claim, Reply
from tollhouse.links.dependencies import LinkDependencies
from tollhouse.links.model import Terms
from tollhouse.links.store import insert_link
from tollhouse.payments.pages import page_address, page_digest
from tollhouse.storage.claims import create_once
from tollhouse.storage.database import PlainConnection
from tollhouse.wire.render import render_json

#: The `code` of a created page.
MADE = 0


async def create_link(
    dependencies: LinkDependencies,
    terms: Terms,
    *,
    merchant_id: int,
    request_id: str,
    claim: Claim | None,
    ttl: timedelta,
) -> Reply:
    """Create a link and return the response with its URL. A repeated request gets the same response.

    The link reserves the number of its payment. Raises RequestIdReused.
    """
    payment_id = await dependencies.numbers.next_number()
    names = {"merchant_id": merchant_id, "payment_id": payment_id}

    async def insert(connection: PlainConnection) -> bytes:
        digest = page_digest(dependencies.pages, **names)
        await insert_link(connection, **names, digest=digest, terms=terms, request_id=request_id, ttl=ttl)
        return render_json({"url": page_address(dependencies.pages, **names), "code": MADE})

    return await create_once(dependencies.database, claim, insert)
