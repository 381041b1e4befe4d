"""The gateway's whole web application in this process, and two merchants whose shops call it."""

from __future__ import annotations

import itertools
import json
import secrets
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, Protocol

import asyncpg
import httpx
from tests.support.issuing import number_of

from tollhouse.catalog.model import Offset, Price
from tollhouse.catalog.store import insert_site, insert_sku
from tollhouse.composition.app import Gateway, build_gateway
from tollhouse.composition.settings import Settings
from tollhouse.composition.web import build_web
from tollhouse.http.serving.health import Health
from tollhouse.kernel.money import Currency, Money
from tollhouse.merchants.model import digest_api_key, new_api_key
from tollhouse.merchants.store import insert_api_key, insert_merchant
from tollhouse.simulator.host import InProcessTransport, Simulator
from tollhouse.storage.database import Database
from tollhouse.vault.keys import FileKeyProvider
from tollhouse.vault.vault import Vault

BASE_URL = "http://127.0.0.1:8080"
IPN_URL = "http://127.0.0.1:9/ipn"
REDIRECT_URL = "http://127.0.0.1:9/thanks"
XML_HTTP_REQUEST = {"x-requested-with": "XMLHttpRequest"}

#: What a refused request must leave alone.
TABLES = (
    "token",
    "security_code",
    "consumer",
    "account",
    "payment",
    "transaction",
    "attempt",
    "request_claim",
    "subscription",
    "event",
)

USD = Currency.of("USD")
SKUS = (
    ("ONE_TIME", "one-time", (Price(Offset(0, "d"), Money(999, USD), repeat=False),)),
    (
        "PREMIUM_MONTHLY",
        "subscription",
        (
            Price(Offset(0, "d"), Money(1999, USD), repeat=False),
            Price(Offset(30, "d"), Money(1999, USD), repeat=True),
        ),
    ),
)


@dataclass(frozen=True, slots=True)
class Merchant:
    """A merchant with a key and a site, on which ONE_TIME and PREMIUM_MONTHLY are sold."""

    merchant_id: int
    key: str
    site_id: int


@dataclass(frozen=True, slots=True)
class WebShop:
    """The application, called without a network. `merchant` is who calls unless a call says otherwise."""

    gateway: Gateway
    simulator: Simulator
    web: Any
    client: httpx.AsyncClient
    merchant: Merchant
    other: Merchant

    async def post(
        self,
        path: str,
        body: Any = None,
        *,
        key: str | None = None,
        content: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Response:
        """Post JSON, or `content` as it is, with the merchant's key. An empty key or header is left out."""
        sent = {"Content-Type": "application/json", "Authorization": self.merchant.key if key is None else key}
        sent |= headers or {}
        encoded = [(name.encode(), value.encode("latin-1")) for name, value in sent.items() if value != ""]
        return await self.client.post(path, content=dump(body) if content is None else content, headers=encoded)

    async def put(
        self, path: str, body: Any = None, *, key: str | None = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """Put JSON with the merchant's key."""
        own = {"Content-Type": "application/json", "Authorization": self.merchant.key if key is None else key}
        return await self.client.put(path, content=dump(body), headers=own | dict(headers or {}))

    async def pay(self, body: Any = None, **request: Any) -> httpx.Response:
        """Post a payment, by default an approved one of 19.99 with a card."""
        return await self.post("/payment", self.payment() if body is None else body, **request)

    async def tokenize(self, body: Any = None, *, key: str = "", **request: Any) -> httpx.Response:
        """Post a card, without a key as a browser does."""
        headers = XML_HTTP_REQUEST | dict(request.pop("headers", {}))
        return await self.post("/tokenize", card() if body is None else body, key=key, headers=headers, **request)

    async def token(self, name: str = "visa") -> str:
        """Tokenize a published card and return the token."""
        answer = await self.tokenize(card(name))
        return str(answer.json()["token"])

    async def token_for(self, merchant: Merchant, name: str = "visa") -> str:
        """Tokenize a published card as a shop's server does, and return the token, which is good for that shop only."""
        answer = await self.tokenize(card(name), key=merchant.key)
        return str(answer.json()["token"])

    async def get(self, path: str, *, key: str | None = None, **headers: str) -> httpx.Response:
        """Get a path with the merchant's key."""
        own = {"Authorization": self.merchant.key if key is None else key}
        return await self.client.get(path, headers=own | headers)

    def payment(self, source: Mapping[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
        """Build a payment of 19.99. A change to None leaves a part out; parts are replaced as a whole."""
        parts: dict[str, Any] = {
            "paymentSource": {"type": "card"} | card() if source is None else dict(source),
            "sku": self.sku(),
            "consumer": consumer(),
            "url": {"ipnUrl": IPN_URL, "redirectUrl": REDIRECT_URL},
        }
        return {name: part for name, part in (parts | changes).items() if part is not None}

    def sku(self, *prices: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
        """Describe what the merchant's site sells, by default for 19.99."""
        own = {"title": "Premium Monthly", "siteId": str(self.merchant.site_id), "price": list(prices) or [price()]}
        return {name: value for name, value in (own | changes).items() if value is not None}

    async def fetch(self, statement: str, *arguments: Any) -> list[Any]:
        """Read rows of the gateway."""
        async with self.gateway.database.acquire() as connection:
            return await connection.fetch(statement, *arguments)

    async def execute(self, statement: str, *arguments: Any) -> None:
        """Change rows of the gateway."""
        async with self.gateway.database.acquire() as connection:
            await connection.execute(statement, *arguments)

    async def count_rows(self, tables: Iterable[str] = TABLES) -> dict[str, int]:
        """Count what is stored, by table."""
        counts = [await self.fetch(f"select count(*) from {table}") for table in tables]  # noqa: S608 - our names
        return {table: rows[0][0] for table, rows in zip(tables, counts, strict=True)}


class OpenShop(Protocol):
    """Opens one more application on the test's database, with settings of its own."""

    async def __call__(self, **settings: Any) -> WebShop:
        """Return it; it is closed after the test."""
        ...


def dump(body: Any) -> bytes:
    """Write JSON as the public PHP client does: slashes escaped, all but ASCII as escapes."""
    return json.dumps(body).replace("/", "\\/").encode()


def card(name: str = "visa", **changes: Any) -> dict[str, Any]:
    """Build the card fields of the quickstart. A change to None leaves a field out."""
    fields = {
        "number": number_of(name),
        "expirationYear": "25",
        "expirationMonth": "12",
        "cvv": "009",
        "cardHolder": "Jane Smith",
        "zip": "10001",
    } | changes
    return {name: value for name, value in fields.items() if value is not None}


def price(amount: Any = 19.99, currency: Any = "USD", **changes: Any) -> dict[str, Any]:
    """Build a price that is due at once."""
    return {"offset": "0d", "amount": amount, "currency": currency, "repeat": False} | changes


def consumer(**changes: Any) -> dict[str, Any]:
    """Build the consumer of the quickstart, another person at each call. A change to None leaves a field out."""
    fields = {
        "id": f"user-{secrets.token_hex(6)}",
        "email": "jane@shop.example",
        "firstName": "Jane",
        "lastName": "Smith",
        "country": "USA",
        "ip": "203.0.113.45",
    } | changes
    return {name: value for name, value in fields.items() if value is not None}


@asynccontextmanager
async def open_webshop(
    dsn: str,
    *,
    environment: Literal["stage", "live"] = "stage",
    simulating: Mapping[str, Any] | None = None,
    keys: FileKeyProvider | None = None,
    **settings: Any,
) -> AsyncIterator[WebShop]:
    """Open the application on a migrated database. `simulating` are delays of the simulator; the rest are settings."""
    async with AsyncExitStack() as stack:
        database = await Database.connect(dsn, schema="gateway")
        stack.push_async_callback(database.close)
        simulator_database = await Database.connect(dsn, schema="simulator")
        stack.push_async_callback(simulator_database.close)
        simulator = Simulator(simulator_database, base_url=f"{BASE_URL}/simulator", **(simulating or {}))
        await simulator.start()
        stack.push_async_callback(simulator.close)
        gateway = build_gateway(
            Settings(**{"environment": environment, "base_url": BASE_URL, **settings}),
            database,
            Vault(keys or FileKeyProvider({1: secrets.token_bytes(32)}, secrets.token_bytes(32))),
            InProcessTransport(simulator),
        )
        stack.push_async_callback(gateway.phones.sender.close)
        stack.push_async_callback(gateway.parts.running.drain, seconds=5)
        merchant, other = [await add_merchant(gateway, number) for number in (1, 2)]
        web = build_web(gateway, None if environment == "live" else simulator, health=Health(watched=gateway))
        client = await stack.enter_async_context(open_client(web))
        yield WebShop(gateway, simulator, web, client, merchant, other)


def open_client(web: Any, *, address: str = "127.0.0.1") -> httpx.AsyncClient:
    """Return a client that calls an application in this process, from an address."""
    transport = httpx.ASGITransport(web, client=(address, 50_000))
    return httpx.AsyncClient(transport=transport, base_url="http://gateway.example", follow_redirects=False)


async def add_merchant(gateway: Gateway, number: int) -> Merchant:
    """Create a merchant, unless an earlier opening of the database did: then it gets one more key."""
    merchant = Merchant(number, new_api_key(gateway.settings.environment), 983_759_352 + number)
    secret = gateway.vault.seal_secret("secret", bound_to=f"ipn|{number}")
    async with gateway.database.transaction() as connection:
        await insert_merchant(connection, merchant_id=number, name=f"Shop {number}", ipn_secret=secret)
        await insert_api_key(connection, merchant_id=number, key=merchant.key)
        await insert_site(
            connection,
            merchant_id=number,
            site_id=merchant.site_id,
            name=f"shop{number}.example",
            external_id="",
            ipn_url="",
            redirect_url="",
            descriptor=f"SHOP {number}",
            delayed_capture=True,
        )
        for name, kind, prices in SKUS:
            await insert_sku(
                connection,
                merchant_id=number,
                site_id=merchant.site_id,
                name=name,
                title=name.title(),
                kind=kind,
                prices=prices,
            )
    return merchant


async def add_key(shop: WebShop, *, networks: Iterable[str] = (), expires_in: timedelta | None = None) -> str:
    """Give the merchant one more key and return it."""
    key = new_api_key(shop.gateway.settings.environment)
    await shop.execute(
        "insert into api_key (merchant_id, digest, hint, allowed_networks, expires_at) "
        "values ($1, $2, $3, $4::text[]::cidr[], now() + $5)",
        shop.merchant.merchant_id,
        digest_api_key(key),
        key[-4:],
        list(networks),
        expires_in,
    )
    return key


_clones = itertools.count(1)


@asynccontextmanager
async def clone_database(dsn: str, template: str) -> AsyncIterator[str]:
    """Copy a template for as long as a module's tests share it, and give the copy's DSN."""
    name = f"webshop_{next(_clones)}"
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"create database {name} template {template} strategy file_copy")
        yield dsn.replace("@/tollhouse?", f"@/{name}?")
        await connection.execute(f"drop database {name} with (force)")
    finally:
        await connection.close()


async def expect_rejection(
    shop: WebShop, answer: httpx.Response, *paths: str, status: int = 400, stored: Mapping[str, int] | None = None
) -> dict[str, list[str]]:
    """Check a refusal: its status, its form, that it names these fields and no others; and that nothing was stored.

    `stored` is what was there before; by default nothing. Returns the texts by field.
    """
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"]
    content = answer.json()
    assert set(content) == {"message", "errors"}
    assert isinstance(content["message"], str)
    errors: dict[str, list[str]] = content["errors"]
    assert set(errors) == set(paths), answer.text
    assert all(texts and all(isinstance(text, str) for text in texts) for texts in errors.values())
    counted = await shop.count_rows()
    assert counted == (stored or dict.fromkeys(TABLES, 0))
    return errors
