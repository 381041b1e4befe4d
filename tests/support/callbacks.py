"""What the tests of callbacks share: merchants and events as rows, and an endpoint that answers as told."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tollhouse.ipn.model import Delivery
from tollhouse.storage.database import Database

if TYPE_CHECKING:
    from tollhouse.storage.database import PlainConnection

SECRET = "th_stage_0123456789abcdef"
BODY = b'{"payment":{"status":"success","transactionId":"12345"}}'


@dataclass(frozen=True, slots=True)
class Seen:
    """One request as an endpoint saw it."""

    path: str
    headers: dict[str, str]
    body: bytes
    at: float


Reply = int | Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class Endpoint:
    """A merchant's server. It answers the next of `replies`, and the last one from then on."""

    url: str
    replies: list[Reply] = field(default_factory=lambda: [200])
    seen: list[Seen] = field(default_factory=list)
    under_way: int = 0
    most_under_way: int = 0

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Note a request and answer it."""
        body = await request.read()
        self.seen.append(Seen(request.path, dict(request.headers), body, asyncio.get_running_loop().time()))
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        try:
            reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
            return web.Response(status=reply) if isinstance(reply, int) else await reply(request)
        finally:
            self.under_way -= 1

    @property
    def event_ids(self) -> list[str]:
        """The `webhook-id` of each request, in order."""
        return [seen.headers["webhook-id"] for seen in self.seen]


@asynccontextmanager
async def open_endpoint(*replies: Reply) -> AsyncIterator[Endpoint]:
    """Open an endpoint on a free port of this machine."""
    endpoint = Endpoint("")
    endpoint.replies = list(replies) or [200]
    app = web.Application()
    app.router.add_post("/{path:.*}", endpoint.answer)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.01)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    endpoint.url = f"http://127.0.0.1:{runner.addresses[0][1]}/ipn"
    try:
        yield endpoint
    finally:
        await runner.cleanup()


async def hang(_request: web.Request) -> web.StreamResponse:
    """Never answer."""
    await asyncio.Event().wait()
    raise AssertionError


async def secrets_of(_merchant_id: int) -> list[str]:
    """Every merchant has the same secret here."""
    return [SECRET]


async def insert_merchants(database: Database, merchant_ids: Iterable[int]) -> None:
    """Insert merchants who have nothing but an id."""
    async with database.acquire() as connection:
        await connection.executemany(
            "insert into merchant (merchant_id, name, ipn_secret) values ($1, 'Shop', 'sealed')",
            [(merchant_id,) for merchant_id in merchant_ids],
        )


#: A transaction has one event of each status.
_transaction_ids = itertools.count(1_000_000)


async def insert_event(connection: PlainConnection, url: str, **fields: Any) -> int:
    """Insert an event as the finish of a payment does, and return its position."""
    row = {
        "merchant_id": 1,
        "payment_id": None,
        "transaction_id": next(_transaction_ids),
        "site_id": 1,
        "kind": "sale",
        "status": "success",
        "url": url,
        "format": "json",
        "body": BODY,
        "request_id": "req-1",
    } | fields
    columns = ", ".join(row)
    places = ", ".join(f"${number}" for number in range(1, len(row) + 1))
    position = await connection.fetchval(
        f"with recorded as (insert into event ({columns}) values ({places}) returning position) "  # noqa: S608 - names of ours
        "insert into unnumbered_event select position from recorded returning position",
        *row.values(),
    )
    return int(position)


async def insert_events(database: Database, urls: Iterable[str], **fields: Any) -> list[int]:
    """Insert one event for each URL, and return their positions."""
    async with database.transaction() as connection:
        return [await insert_event(connection, url, **fields) for url in urls]


async def select_event_ids(database: Database, merchant_id: int = 1) -> list[int]:
    """Return the public IDs of a merchant's events, in the order of their numbers."""
    rows = await fetch(
        database, "select event_id from event_number where merchant_id = $1 order by sequence", merchant_id
    )
    return [row["event_id"] for row in rows]


async def prove_hosts(database: Database) -> None:
    """Let all endpoints have acknowledged before: they have their places."""
    async with database.acquire() as connection:
        await connection.execute("update delivery_host set acknowledged = true")


async def fetch(database: Database, statement: str, *parameters: Any) -> list[dict[str, Any]]:
    """Read rows."""
    async with database.acquire() as connection:
        return [dict(row) for row in await connection.fetch(statement, *parameters)]


async def wait_until(condition: Callable[[], Awaitable[bool] | bool], *, seconds: float = 15.0) -> None:
    """Wait for something that is to become true soon; on a busy machine soon may be seconds."""
    async with asyncio.timeout(seconds):
        while True:
            holds = condition()
            if holds if isinstance(holds, bool) else await holds:
                return
            await asyncio.sleep(0.01)


def make_delivery(url: str, **fields: Any) -> Delivery:
    """A claimed delivery of a sale."""
    row: dict[str, Any] = {
        "merchant_id": 1,
        "event_id": 7,
        "number": 1,
        "form": "json",
        "host_id": 1,
        "lease": 1,
        "url": url,
        "body": BODY,
        "sequence": 3,
        "kind": "sale",
        "payment_id": 77,
        "transaction_id": 12345,
        "subscription_id": None,
        "status": "success",
        "request_id": "req-1",
        "attempts": 0,
        "age": timedelta(0),
    } | fields
    return Delivery(**row)
