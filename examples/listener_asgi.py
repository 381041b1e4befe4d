"""A listener for callbacks, as an ASGI application without a framework.

    IPN_SECRET=... uvicorn --app-dir examples listener_asgi:app --port 3000

The address to give as `ipnUrl` is then http://127.0.0.1:3000/.
"""

from __future__ import annotations

import os
from typing import Any

from tollhouse.client import Ipn, SignatureMismatch, read_ipn

SECRET = os.environ["IPN_SECRET"]
MAX_BODY = 256 * 1024

#: Events that were seen: a callback may come twice. Keep them in your database, written with what they book.
seen: set[str] = set()


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Check a callback, book it once, and say that it came."""
    if scope["type"] != "http" or scope["method"] != "POST":
        await answer(send, 405)
        return
    body = await read_body(receive)
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    try:
        ipn = read_ipn(body, headers, SECRET)
    except SignatureMismatch:
        await answer(send, 400)
        return
    if ipn.webhook_id not in seen:
        seen.add(ipn.webhook_id)
        book(ipn)
    await answer(send, 200)


def book(ipn: Ipn) -> None:
    """Do what the event calls for. Here: print it."""
    if ipn.payment is not None:
        print(ipn.payment.mode, ipn.payment.order_id, ipn.payment.status, ipn.payment.amount, flush=True)


async def read_body(receive: Any) -> bytes:
    """Read a body, up to a bound."""
    body = b""
    while len(body) < MAX_BODY:
        message = await receive()
        body += message.get("body", b"")
        if not message.get("more_body"):
            break
    return body


async def answer(send: Any, status: int) -> None:
    """Answer without a body."""
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body", "body": b""})
