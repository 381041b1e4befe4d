"""The sender of live: an endpoint of the operator's gets the message."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from tollhouse.phones.model import Phone
from tollhouse.phones.sender import MessageNotSent, PhoneMessage, WebhookSender
from tollhouse.transport.http import HttpTransport

MESSAGE = PhoneMessage(1, "sms", Phone.parse("+1 500 555 0006"), "Shop", "123456 is your code.")


@asynccontextmanager
async def open_endpoint(status: int) -> AsyncIterator[tuple[str, list[tuple[str | None, Any]]]]:
    """Run an endpoint that answers with a status; give its address and what it got."""
    got: list[tuple[str | None, Any]] = []

    async def take(request: web.Request) -> web.Response:
        got.append((request.headers.get("Authorization"), await request.json()))
        return web.Response(status=status)

    app = web.Application()
    app.router.add_post("/send", take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/send", got
    finally:
        await runner.cleanup()


async def test_the_endpoint_gets_the_message() -> None:
    """It gets channel, phone, sender and text, with the key that was set."""
    async with open_endpoint(200) as (url, got):
        sender = WebhookSender(HttpTransport(url, authorization="Bearer secret"), ["sms", "call"])
        await sender.send(MESSAGE)
        await sender.close()
    content = {"channel": "sms", "to": "+15005550006", "from": "Shop", "text": "123456 is your code."}
    assert got == [("Bearer secret", content)]
    assert sender.channels == ("sms", "call")


@pytest.mark.parametrize("status", [202, 302, 400, 500])
async def test_anything_but_200_is_a_failure(status: int) -> None:
    """An endpoint that does not say 200 has not taken the message over."""
    async with open_endpoint(status) as (url, got):
        sender = WebhookSender(HttpTransport(url), ["sms"])
        with pytest.raises(MessageNotSent):
            await sender.send(MESSAGE)
        await sender.close()
    assert [authorization for authorization, _ in got] == [None]


async def test_unreachable_endpoint_sends_nothing() -> None:
    """Without a listening endpoint nothing is sent, and the error says so."""
    sender = WebhookSender(HttpTransport("http://127.0.0.1:9"), ["sms"])
    with pytest.raises(MessageNotSent):
        await sender.send(MESSAGE)
    await sender.close()
