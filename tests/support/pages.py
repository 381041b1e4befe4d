"""What tests of the pages need besides the application: a worker for a while, and callbacks signed by hand."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import Awaitable, Callable
from typing import Any

from tests.support.webshop import WebShop

from tollhouse.composition.loops import build_loops
from tollhouse.worker.run import run_loops

#: The IPN secret of the merchants of a web shop.
SECRET = "secret"


async def work_until(shop: WebShop, look: Callable[[], Awaitable[bool]], *, tries: int = 100) -> None:
    """Run the worker's loops until what is looked for is there, for ten seconds at most."""
    stop = asyncio.Event()
    working = asyncio.create_task(run_loops(build_loops(shop.gateway, stop), stop))
    try:
        for _ in range(tries):
            if await look():
                return
            await asyncio.sleep(0.1)
        raise AssertionError("what should have happened did not")
    finally:
        stop.set()
        await working


async def attempt_all(shop: WebShop) -> None:
    """Let the worker post what there is to post, once."""

    async def look() -> bool:
        rows = await shop.fetch(
            "select (select count(*) from event) = (select count(distinct event_id) from delivery_attempt)"
        )
        return bool(rows[0][0])

    await work_until(shop, look)


def sign(body: bytes, *, secret: str = SECRET, event_id: int = 1, age_seconds: int = 0) -> dict[str, str]:
    """Sign a callback as the documentation says, without any code of the gateway."""
    payment = json.loads(body)["payment"]
    timestamp = str(int(time.time()) - age_seconds)
    signed = b".".join((f"evt_{event_id}".encode(), timestamp.encode(), body))
    mac = base64.b64encode(hmac.digest(secret.encode(), signed, "sha256")).decode()
    return {
        "Content-Type": "application/json",
        "X-Signature": hashlib.sha256(f"{secret}{payment['transactionId']}{payment['status']}".encode()).hexdigest(),
        "webhook-id": f"evt_{event_id}",
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{mac}",
    }


async def newest_event(shop: WebShop) -> Any:
    """Return the event that was recorded last."""
    [row] = await shop.fetch(
        "select e.*, n.event_id from event e left join event_number n using (position) order by position desc limit 1"
    )
    return row
