"""Create links, once for each X-Request-ID, and parse their lifetimes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from tollhouse.idempotency.create import create_once
from tollhouse.idempotency.model import Claim
from tollhouse.kernel.rendered_response import RenderedResponse
from tollhouse.links.dependencies import LinkDependencies
from tollhouse.links.model import Terms
from tollhouse.links.store import insert_link
from tollhouse.payments.pages import page_address, page_digest
from tollhouse.storage.database import PlainConnection
from tollhouse.wire.render import render_json

#: The `code` of a created page.
MADE = 0
#: A number of seconds, or a number with its unit: seconds, minutes, hours, days.
TTL_FORM = re.compile(r"([0-9]{1,8})([smhd]?)")
SECONDS_BY_UNIT = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}

MIN_TTL = timedelta(minutes=1)
MAX_TTL = timedelta(days=90)
DEFAULT_TTL = timedelta(days=1)


class TtlError(ValueError):
    """A lifetime is malformed, too short or too long. The text is suitable for an API response."""


async def create_link(
    dependencies: LinkDependencies,
    terms: Terms,
    *,
    merchant_id: int,
    request_id: str,
    claim: Claim | None,
    ttl: timedelta,
) -> RenderedResponse:
    """Create a link and return the response with its URL. A repeated request gets the same response.

    The link reserves the number of its payment. Raises RequestIdReused.
    """
    pages, own = (
        dependencies.pages,
        {"merchant_id": merchant_id, "payment_id": await dependencies.numbers.next_number()},
    )
    return await create_once(
        dependencies.database,
        claim,
        _insert,
        render_json,
        page_address(pages, **own),
        **own,
        digest=page_digest(pages, **own),
        terms=terms,
        request_id=request_id,
        ttl=ttl,
    )


async def _insert(connection: PlainConnection, /, url: str, **columns: Any) -> Mapping[str, Any]:
    """Insert a link, and return the response with its URL."""
    await insert_link(connection, **columns)
    return {"url": url, "code": MADE}


def parse_ttl(text: str) -> timedelta:
    """Parse `900`, `90s`, `15m`, `24h` or `7d`. Raises TtlError."""
    form = TTL_FORM.fullmatch(text.strip())
    if form is None:
        raise TtlError("must be a number of seconds, or a number with s, m, h or d such as 15m")
    ttl = timedelta(seconds=int(form[1]) * SECONDS_BY_UNIT[form[2]])
    if not MIN_TTL <= ttl <= MAX_TTL:
        raise TtlError("must be from 1 minute (1m) to 90 days (90d)")
    return ttl
