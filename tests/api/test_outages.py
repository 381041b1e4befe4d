"""The database away, a lane full, a client gone, a defect: what is seen of it; no payment is lost or made twice."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
import uvicorn
from tests.support.callbacks import wait_until
from tests.support.webshop import OpenShop, WebShop, card, dump, expect_rejection, open_client, open_webshop

from tollhouse.composition.app import BEGIN_TIMEOUT_SECONDS, migrate_all
from tollhouse.composition.settings import Settings
from tollhouse.composition.web import build_web
from tollhouse.kernel.errors import DatabaseUnavailable
from tollhouse.storage.coalesce import Coalescer
from tollhouse.storage.database import Database
from tollhouse.storage.embedded import EmbeddedPostgres

HEADERS = {"X-Request-ID": "order-4711"}

#: A client that waits longer for a 503 has given up.
FEW_SECONDS = 6.0


@pytest.mark.slow
async def test_database_outage_is_503_until_it_returns(data_directory: Path) -> None:
    """Without its database the gateway returns 503 with Retry-After; with it, the same process continues."""
    server = EmbeddedPostgres(data_directory, durable=False)
    dsn = await server.start()
    try:
        await migrate_all(Settings(), dsn)
        async with open_webshop(dsn) as shop:
            body = shop.payment()
            first = await shop.pay(body, headers=HEADERS)
            token = await shop.token()
            await server.stop()
            begun = time.monotonic()
            answers = await asyncio.gather(
                shop.pay(),
                shop.pay(shop.payment({"type": "token", "token": token}), headers={"X-Request-ID": "order-4712"}),
                shop.pay(body, headers=HEADERS),
                shop.tokenize(),
                shop.get("/payment/1"),
                shop.get("/readyz"),
                shop.pay(key="th_stage_unknown"),
            )
            assert time.monotonic() - begun < FEW_SECONDS
            for answer in answers:
                assert answer.status_code == 503
                assert int(answer.headers["retry-after"]) >= 1
                assert answer.json()["errors"] == {}
                assert answer.json()["message"].startswith("The database is unavailable")
            assert (await shop.get("/healthz")).status_code == 200
            assert (await shop.pay({})).status_code == 400
            await server.start()
            assert (await shop.get("/readyz")).status_code == 200
            assert (await shop.pay()).status_code == 201
            assert (await shop.tokenize()).status_code == 201
            again = await shop.pay(body, headers=HEADERS)
            assert again.content == first.content
            # What was refused before it was begun left its token and its request id.
            source = {"type": "token", "token": token}
            answer = await shop.pay(shop.payment(source), headers={"X-Request-ID": "order-4712"})
            assert answer.status_code == 201
            assert "idempotent-replay" not in answer.headers
            assert (await shop.count_rows(["payment"])) == {"payment": 3}
    finally:
        await server.stop()


@pytest.mark.slow
async def test_approval_during_an_outage_is_stored_later(data_directory: Path) -> None:
    """An approval that arrives while the database is unavailable is written when it returns."""
    server = EmbeddedPostgres(data_directory, durable=False)
    dsn = await server.start()
    try:
        await migrate_all(Settings(), dsn)
        async with open_webshop(dsn, simulating={"slow_seconds": 0.5}) as shop:
            body = shop.payment({"type": "card"} | card("slow"))
            paying = asyncio.create_task(shop.pay(body, headers=HEADERS))
            await wait_until(lambda: has_begun(shop))
            await server.stop()
            await asyncio.sleep(1)
            assert not paying.done()
            await server.start()
            answer = await paying
            assert answer.json()["payment"]["status"] == "success"
            assert (await shop.pay(body, headers=HEADERS)).content == answer.content
    finally:
        await server.stop()


async def test_silent_database_is_unavailable(database_dsn: str) -> None:
    """If a server never responds to a statement, the database is unavailable and the connection is dropped."""
    database = await Database.connect(database_dsn, schema="gateway", max_size=1, statement_seconds=0.3)
    async with database.acquire() as connection:
        backend = await connection.fetchval("select pg_backend_pid()")
    os.kill(backend, signal.SIGSTOP)
    try:
        with pytest.raises(DatabaseUnavailable):
            async with database.transaction() as connection:
                await connection.execute("select 1")
    finally:
        os.kill(backend, signal.SIGCONT)
    async with database.acquire() as connection:
        assert await connection.fetchval("select pg_backend_pid()") != backend
    await database.close()


async def test_slow_searches_delay_no_payment(shop: WebShop, database_dsn: str) -> None:
    """While searches use every connection of the readers, further ones are 503, and payments continue."""
    readers = await Database.connect(database_dsn, schema="gateway", max_size=1)
    pools = replace(shop.gateway.pools, readers=readers)
    web = build_web(replace(shop.gateway, pools=pools), shop.simulator)
    paid = (await shop.pay()).json()["payment"]["transactionId"]
    headers = {"Authorization": shop.merchant.key}
    paths = ("/feed/transactions", "/events", f"/payment/{paid}/timeline", f"/transaction/{paid}/ipn")
    async with open_client(web) as client, readers.acquire():
        searches = [asyncio.create_task(client.get(path, headers=headers)) for path in paths]
        await asyncio.sleep(0.1)
        for _ in range(5):
            answer = await client.post("/payment", json=shop.payment(), headers=headers)
            assert answer.json()["payment"]["status"] == "success"
        assert not any(search.done() for search in searches)
        assert [answer.status_code for answer in await asyncio.gather(*searches)] == [503] * len(paths)
    await readers.close()


async def test_full_write_queue_is_503(shop: WebShop) -> None:
    """If the write queue is full, a request is 503 at once, stores nothing, and leaves token and ID usable."""

    async def never(*_: Any) -> Any:
        raise AssertionError

    full = Coalescer("begin", never, shop.gateway.database, queue_limit=0)
    web = build_web(replace(shop.gateway, parts=replace(shop.gateway.parts, begin_queue=full)), shop.simulator)
    body = shop.payment({"type": "token", "token": await shop.token()})
    stored = await shop.count_rows()
    async with open_client(web) as client:
        headers = {"Authorization": shop.merchant.key} | HEADERS
        refused = await client.post("/payment", json=body, headers=headers)
        await expect_rejection(shop, refused, status=503, stored=stored)
        assert int(refused.headers["retry-after"]) >= 1
        assert refused.json()["message"].startswith("Too many requests are waiting")
    answer = await shop.pay(body, headers=HEADERS)
    assert answer.status_code == 201
    assert "idempotent-replay" not in answer.headers


@pytest.mark.parametrize("write_queue", ["payment", "token"])
async def test_a_begin_does_not_wait_for_a_slow_batch(shop: WebShop, database_dsn: str, write_queue: str) -> None:
    """A payment or token that is in no batch yet is 503 in time, while the batch before it still waits."""

    async def send(number: int) -> httpx.Response:
        return await (
            shop.tokenize() if write_queue == "token" else shop.pay(shop.payment(metadata={"n": str(number)}))
        )

    other = await Database.connect(database_dsn, schema="gateway", max_size=1)
    async with other.transaction() as blocker:
        await blocker.execute(f"lock table {write_queue} in access exclusive mode")
        first = asyncio.create_task(send(1))
        await wait_until(lambda: is_blocking(blocker))
        second = await send(2)
        assert not first.done()
    assert second.status_code == 503
    assert second.json()["message"].startswith("Too many requests are waiting")
    assert (await first).status_code < 300
    await other.close()


@pytest.mark.slow
async def test_a_finish_waits_for_as_long_as_the_batch_before_it(shop: WebShop, database_dsn: str) -> None:
    """The outcome of a payment is never given up: money has moved, so its write waits longer than a begin would."""
    other = await Database.connect(database_dsn, schema="gateway", max_size=1)
    async with other.transaction() as blocker:
        await blocker.execute("lock table event in access exclusive mode")
        first = asyncio.create_task(shop.pay())
        await wait_until(lambda: is_blocking(blocker))
        second = asyncio.create_task(shop.pay(shop.payment(metadata={"n": "2"})))
        await asyncio.sleep(BEGIN_TIMEOUT_SECONDS + 0.5)
        assert not first.done()
        assert not second.done()
    answers = [await first, await second]
    await other.close()
    assert [answer.json()["payment"]["status"] for answer in answers] == ["success", "success"]


async def is_blocking(blocker: Any) -> bool:
    """Tell whether a statement waits for the locks of a connection."""
    waiting = "select 1 from pg_locks where not granted and pg_backend_pid() = any(pg_blocking_pids(pid)) limit 1"
    return bool(await blocker.fetchval(waiting))


async def test_internal_error_shows_only_a_reference(shop: WebShop) -> None:
    """An internal error is 500 with a reference to the log; the log has the stack and no values."""
    first = (await shop.pay()).json()
    await shop.execute("update account set sealed_card = set_byte(sealed_card, 90, 255 - get_byte(sealed_card, 90))")
    source = {"type": "paymentAccountId", "paymentAccountId": first["payment"]["source"]["paymentAccountId"]}
    with structlog.testing.capture_logs() as lines:
        answer = await shop.pay(shop.payment(source, consumer={"ip": "203.0.113.45"}), headers=HEADERS)
    assert answer.status_code == 500
    assert answer.json() == {
        "message": "An internal error occurred. Retry with the same X-Request-ID. Reference: order-4711",
        "errors": {},
    }
    assert answer.headers["x-request-id"] == "order-4711"
    defect = next(line for line in lines if line["event"] == "request.failed")
    assert defect["log_level"] == "error"
    assert defect["request_id"] == "order-4711"
    assert defect["error"] == "SealBroken"
    assert set(defect) == {"event", "log_level", "request_id", "error", "frames"}


async def test_payment_continues_without_its_client(opened: OpenShop) -> None:
    """A payment whose client disconnected continues, and the repeated request gets its response."""
    shop = await opened(simulating={"slow_seconds": 0.4})
    body = shop.payment({"type": "card"} | card("slow"))
    async with serve(shop) as port:
        await send_and_leave(port, render_request(shop, body), when=lambda: has_begun(shop))
        repeated = await exchange(port, render_request(shop, body))
    status, headers, content = repeated
    assert status == 201
    assert headers["idempotent-replay"] == "true"
    assert content["payment"]["status"] == "success"
    tables = ["payment", "transaction", "attempt", "event"]
    assert await shop.count_rows(tables) == dict.fromkeys(tables, 1)


async def test_payment_of_a_lost_client_is_finished(opened: OpenShop) -> None:
    """A payment whose client never returns is finished all the same, with its event."""
    shop = await opened(simulating={"slow_seconds": 0.2})
    async with serve(shop) as port:
        body = shop.payment({"type": "card"} | card("slow"))
        await send_and_leave(port, render_request(shop, body), when=lambda: has_begun(shop))
        await wait_until(lambda: has_finished(shop))
    assert [row["status"] for row in await shop.fetch("select status from transaction")] == ["success"]
    assert (await shop.count_rows(["event"])) == {"event": 1}


async def test_incomplete_request_begins_nothing(shop: WebShop) -> None:
    """An incomplete request begins nothing, leaves its ID free, and is no internal error."""
    body = shop.payment()
    request = render_request(shop, body)
    async with serve(shop) as port:
        for length in (len(request) - 1, len(request) - 300, request.index(b"\r\n\r\n") + 4, 10):
            await send_and_leave(port, request[:length])
        await asyncio.sleep(0.1)
        assert (await shop.count_rows(["payment", "request_claim"])) == {"payment": 0, "request_claim": 0}
        status, headers, _ = await exchange(port, request)
    assert status == 201
    assert "idempotent-replay" not in headers
    assert 'status="500"' not in (await shop.get("/metrics")).text


async def test_body_over_a_socket_is_limited(shop: WebShop) -> None:
    """Over a real connection a body without a length is read up to the limit, and a larger one is 413."""
    body = dump(shop.payment())
    async with serve(shop) as port:
        chunks = b"".join(b"%x\r\n%s\r\n" % (len(body[i : i + 7]), body[i : i + 7]) for i in range(0, len(body), 7))
        chunked = render_head(shop, b"Transfer-Encoding: chunked") + chunks + b"0\r\n\r\n"
        assert (await exchange(port, chunked))[0] == 201
        large = b"2000\r\n" + b" " * 8192 + b"\r\n"
        status, _, content = await exchange(port, render_head(shop, b"Transfer-Encoding: chunked") + large * 9)
        assert (status, content["errors"]) == (413, {})
        assert content["message"] == "The body is larger than 65536 bytes."
        status, _, content = await exchange(port, render_head(shop, b"Content-Length: 65537"))
        assert (status, content["errors"]) == (413, {})


async def has_begun(shop: WebShop) -> bool:
    """Tell whether a payment was begun."""
    return bool((await shop.count_rows(["payment"]))["payment"])


async def has_finished(shop: WebShop) -> bool:
    """Tell whether a payment is final."""
    return bool(await shop.fetch("select 1 from transaction where status <> 'pending'"))


@asynccontextmanager
async def serve(shop: WebShop) -> AsyncIterator[int]:
    """Serve a shop's application on a port of this machine, as a process does, and give the port."""
    server = uvicorn.Server(uvicorn.Config(shop.web, log_config=None, access_log=False, lifespan="off"))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = asyncio.create_task(server.serve([listener]))
        yield listener.getsockname()[1]
        server.should_exit = True
        await serving


def render_head(shop: WebShop, *lines: bytes) -> bytes:
    """Write the head of a payment."""
    head = [
        b"POST /payment HTTP/1.1",
        b"Host: gateway.example",
        b"Content-Type: application/json",
        b"Connection: close",
        b"X-Request-ID: " + HEADERS["X-Request-ID"].encode(),
        b"Authorization: " + shop.merchant.key.encode(),
        *lines,
    ]
    return b"\r\n".join(head) + b"\r\n\r\n"


def render_request(shop: WebShop, body: Any) -> bytes:
    """Write a whole payment with a request id."""
    content = dump(body)
    head = render_head(shop).removesuffix(b"\r\n")
    return head + b"Content-Length: %d\r\n\r\n" % len(content) + content


async def send_and_leave(port: int, request: bytes, *, when: Callable[[], Awaitable[bool]] | None = None) -> None:
    """Send bytes, and slam the door: when something has come true, or after a moment."""
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    await writer.drain()
    await (wait_until(when) if when else asyncio.sleep(0.05))
    writer.transport.abort()


async def exchange(port: int, request: bytes) -> tuple[int, dict[str, str], Any]:
    """Send a request, and return status, headers and JSON of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    async with asyncio.timeout(FEW_SECONDS):
        answer = await reader.read()
    writer.close()
    head, _, content = answer.partition(b"\r\n\r\n")
    status = re.match(rb"HTTP/1.1 (\d{3})", head)
    assert status, answer
    lines = [line.partition(": ") for line in head.decode("latin-1").split("\r\n")[1:]]
    return int(status[1]), {name.lower(): value for name, _, value in lines}, json.loads(content)
