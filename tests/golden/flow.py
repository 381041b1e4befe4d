"""One flow: a fresh gateway, a merchant's server, and what the flow's script does with both."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from tests.golden.names import VIRTUAL_START, Names
from tests.golden.tape import Tape, describe_callback, describe_rows
from tests.support.callbacks import Endpoint, open_endpoint
from tests.support.pages import work_until
from tests.support.webshop import REDIRECT_URL, WebShop, card, consumer, open_webshop, price

from tollhouse.composition.loops import build_loops
from tollhouse.vault.keys import FileKeyProvider
from tollhouse.worker.run import run_loops

QUERIES = Path(__file__).with_name("rows.sql")
KEYS = FileKeyProvider({1: bytes(range(32))}, bytes(range(32, 64)))
SECRET = "the secret of the Directory"
IDLE = "undelivered"


@dataclass(slots=True)
class Flow:
    """What a script works with. Whatever `shop` is asked is recorded."""

    shop: WebShop
    endpoint: Endpoint
    names: Names
    tape: Tape
    entries: list[Any]
    told_callbacks: int = 0
    browsers: list[httpx.AsyncClient] = field(default_factory=list)

    def buyer(self, name: str = "jane", **changes: Any) -> dict[str, Any]:
        """Describe a consumer who is the same in every run."""
        return consumer(id=f"user-{name}", **changes)

    def body(self, source: Any = "visa", **changes: Any) -> dict[str, Any]:
        """Build a payment of 19.99 by a published card's name or a source, with callbacks to the merchant."""
        given = {"type": "card"} | plain_card(source) if isinstance(source, str) else source
        parts = {"consumer": self.buyer(), "url": {"ipnUrl": self.endpoint.url, "redirectUrl": REDIRECT_URL}}
        return self.shop.payment(given, **(parts | changes))

    async def pay(self, source: Any = "visa", *, headers: Mapping[str, str] | None = None, **changes: Any) -> Any:
        """Pay, and return the response as data."""
        return (await self.shop.pay(self.body(source, **changes), headers=headers)).json()

    async def hold(self, source: Any = "visa", offset: str = "5d", **changes: Any) -> Any:
        """Authorize 19.99 to be captured later, and return the response as data."""
        return await self.pay(source, sku=self.shop.sku(price(offset=offset)), **changes)

    async def act(self, made: Any, step: str, body: Any = None, **request: Any) -> Any:
        """Do something with a transaction, and return the response as data."""
        path = f"/payment/{made['payment']['transactionId']}/{step}"
        return (await self.shop.post(path, {} if body is None else body, **request)).json()

    async def advance(self, by: str) -> None:
        """Advance the merchant's clock."""
        await self.shop.post("/stage/clock", {"advance": by})

    def open_browser(self) -> httpx.AsyncClient:
        """Open a browser with cookies of its own that follows no redirect by itself."""
        browser = httpx.AsyncClient(transport=self.tape, base_url="http://gateway.example", follow_redirects=False)
        self.browsers.append(browser)
        return browser

    async def tell_callbacks(self) -> None:
        """Let the worker post what there is to post, and record it in the order of its events and forms."""

        async def is_posted() -> bool:
            return not await self.fetch(IDLE)

        if await self.fetch(IDLE):
            await work_until(self.shop, is_posted)
        seen = self.endpoint.seen[self.told_callbacks :]
        self.told_callbacks += len(seen)
        for one in sorted(seen, key=_get_event_and_form):
            self.entries.append(describe_callback(one, self.names))

    @asynccontextmanager
    async def working(self) -> AsyncIterator[None]:
        """Run the worker's loops meanwhile."""
        stop = asyncio.Event()
        running = asyncio.create_task(run_loops(build_loops(self.shop.gateway, stop), stop))
        try:
            yield
        finally:
            stop.set()
            await running

    async def tell_rows(self) -> None:
        """Record what the flow left in the tables."""
        rows = {name: await self.fetch(name) for name in read_queries() if name != IDLE}
        self.entries.append({"rows": describe_rows({name: told for name, told in rows.items() if told}, self.names)})

    async def tell_emails(self) -> None:
        """Let the worker send emails, and open each as the inbox shows it."""

        async def is_sent() -> bool:
            return not [row for row in await self.fetch("emails") if '"waiting"' in row]

        await work_until(self.shop, is_sent)
        self.tape.is_on = False
        inbox = (await self.shop.client.get("/stage/inbox")).text
        self.tape.is_on = True
        for path in re.findall(r'"(/stage/inbox/letter/[^"]+)"', inbox):
            await self.shop.client.get(path)

    async def fetch(self, query: str) -> list[str]:
        """Return the rows of a query as JSON."""
        async with self.shop.gateway.database.transaction() as connection:
            await connection.execute("set local timezone to 'UTC'")
            return [row[0] for row in await connection.fetch(read_queries()[query])]


def plain_card(name: str = "visa", **changes: Any) -> dict[str, Any]:
    """Build the fields of a published card that expires long after every flow."""
    return card(name, **({"expirationYear": "45"} | changes))


def read_queries() -> dict[str, str]:
    """Read the queries that tell rows, by name."""
    pieces = QUERIES.read_text().split("-- name: ")[1:]
    return {piece.partition("\n")[0].strip(): piece.partition("\n")[2].rstrip("; \n") for piece in pieces}


@asynccontextmanager
async def open_flow(
    dsn: str, *, is_virtual: bool = True, is_served: bool = False, **settings: Any
) -> AsyncIterator[Flow]:
    """Open a gateway on an empty database, with the merchant's clock at the time at which all flows begin.

    If it is served, the Directory's results reach it over HTTP.
    """
    async with AsyncExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        origin = f"http://127.0.0.1:{listener.getsockname()[1]}"
        if is_served:
            settings |= {"base_url": origin, "directory_secret": SECRET, "simulating": {"directory_secret": SECRET}}
        shop = await stack.enter_async_context(open_webshop(dsn, keys=KEYS, **settings))
        endpoint = await stack.enter_async_context(open_endpoint())
        if is_served:
            await stack.enter_async_context(serve(shop.web, listener))
        names, entries = Names(), list[Any]()
        tape = Tape(httpx.ASGITransport(shop.web, client=("127.0.0.1", 50_000)), names, entries)
        recorded = httpx.AsyncClient(transport=tape, base_url="http://gateway.example", follow_redirects=False)
        names.teach(shop.merchant.key, "key of the merchant")
        names.teach(shop.other.key, "key of the other merchant")
        names.teach(origin, "gateway")
        names.teach(endpoint.url.removesuffix("/ipn"), "server of the merchant")
        names.teach(endpoint.url.removesuffix("/ipn").removeprefix("http://"), "host of the merchant")
        flow = Flow(replace(shop, client=recorded), endpoint, names, tape, entries)
        if is_virtual:
            tape.is_on = False
            moved = await flow.shop.post("/stage/clock", {"until": VIRTUAL_START.strftime("%Y-%m-%d %H:%M:%S")})
            assert moved.status_code == 200, moved.text
            tape.is_on = True
        yield flow
        for client in (recorded, *flow.browsers):
            await client.aclose()


@asynccontextmanager
async def serve(web: Any, listener: socket.socket) -> AsyncIterator[None]:
    """Serve an application on a socket."""
    server = uvicorn.Server(uvicorn.Config(web, log_config=None, lifespan="off"))
    serving = asyncio.create_task(server.serve([listener]))
    try:
        yield
    finally:
        server.should_exit = True
        await serving


def _get_event_and_form(seen: Any) -> tuple[int, str]:
    """Return the number of the event of a callback, and its form."""
    headers = {name.lower(): value for name, value in seen.headers.items()}
    return int(headers["webhook-id"].rpartition("_")[2]), headers["content-type"]
