"""A whole gateway with its simulator on a loopback port, and what merchants and cardholders do with it."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import Any, TypeVar, cast
from uuid import uuid4

import aiohttp
import uvicorn
from tests.support.issuing import number_of

from tollhouse.composition.app import Gateway, build_gateway
from tollhouse.composition.payment_parts import PaymentParts
from tollhouse.composition.settings import Settings
from tollhouse.composition.web import build_web
from tollhouse.payments.model import Payment
from tollhouse.payments.store import select_payment_by_order
from tollhouse.simulator.host import InProcessTransport, Simulator
from tollhouse.stage.demo import MERCHANT_ID, SITE_ID, ensure_demo, load_or_create_demo
from tollhouse.storage.database import Database
from tollhouse.threeds.model import Authentication
from tollhouse.threeds.store import select_newest
from tollhouse.vault.keys import FileKeyProvider
from tollhouse.vault.vault import Vault

#: What a shop's server says of its customer's browser when it says everything.
BROWSER = {
    "userAgent": "Mozilla/5.0 (X11; Linux x86_64)",
    "browserAcceptHeader": "text/html",
    "browserLanguage": "en-US",
    "browserJavaEnabled": False,
    "browserColorDepth": "24",
    "browserScreenHeight": "1080",
    "browserScreenWidth": 1920,
    "browserTimezone": "-5.5",
}

T = TypeVar("T")

DIRECTORY_SECRET = "the secret of the Directory"
REDIRECT_URL = "http://127.0.0.1:9/thanks?order=7#top"


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server answered."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.text)

    def form(self) -> tuple[str, dict[str, str]]:
        """The address and the hidden fields of the first form in a page."""
        action = re.search(r'<form[^>]* action="([^"]+)"', self.text)
        assert action, self.text
        fields = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', self.text)
        return unescape(action[1]), {name: unescape(value) for name, value in fields}


@dataclass(frozen=True, slots=True)
class ServedGateway:
    """A gateway that is served, a simulator beside it, and a client that follows no redirect."""

    base_url: str
    gateway: Gateway
    simulator: Simulator
    client: aiohttp.ClientSession
    api_key: str

    @property
    def parts(self) -> PaymentParts:
        """What the gateway's verbs work with."""
        return self.gateway.parts

    async def get(self, url: str, **headers: str) -> Answer:
        """Get an address of the gateway, or another one."""
        async with self.client.get(self._resolve(url), headers=headers, allow_redirects=False) as response:
            return Answer(response.status, response.headers, await response.text())

    async def post(self, url: str, data: Any = None, **headers: str) -> Answer:
        """Post a form, or bytes."""
        async with self.client.post(self._resolve(url), data=data, headers=headers, allow_redirects=False) as response:
            return Answer(response.status, response.headers, await response.text())

    async def call(self, path: str, body: Any, **headers: str) -> Answer:
        """Call the API with the merchant's key."""
        own = {"Authorization": self.api_key, "Content-Type": "application/json"}
        return await self.post(path, json.dumps(body), **own, **headers)

    async def put(self, path: str, body: Any) -> Answer:
        """Put to the API with the merchant's key."""
        headers = {"Authorization": self.api_key, "Content-Type": "application/json"}
        async with self.client.put(self._resolve(path), data=json.dumps(body), headers=headers) as response:
            return Answer(response.status, response.headers, await response.text())

    async def pay(self, card: str, *, three_ds: bool = True, browser: bool = False) -> Answer:
        """Pay 19.99 with a published card."""
        return await self.call("/payment", payment_request(card, three_ds=three_ds, browser=browser))

    async def payment(self, answer: Answer) -> Payment:
        """Return a payment as it is stored."""
        order_id = int(answer.json["payment"]["orderId"])
        async with self.parts.database.acquire() as connection:
            found = await select_payment_by_order(connection, merchant_id=MERCHANT_ID, payment_id=order_id)
        assert found is not None
        return found

    async def authentication(self, answer: Answer) -> Authentication:
        """Return the newest authentication of a payment."""
        payment = await self.payment(answer)
        async with self.parts.database.acquire() as connection:
            found = await select_newest(
                connection, merchant_id=payment.merchant_id, transaction_id=payment.transaction_id
            )
        assert found is not None
        return found

    async def settled(self, answer: Answer) -> Payment:
        """Wait until a payment is final."""
        return await eventually(lambda: self.payment(answer), lambda payment: payment.status != "pending")

    async def followed(self, answer: Answer) -> Authentication:
        """Wait until nobody has to look at the authentication any more: that is written after the payment's end."""
        return await eventually(lambda: self.authentication(answer), lambda found: found.due_at is None)

    async def challenge(self, answer: Answer) -> str:
        """Send the browser's data from our page, and return the page's address with the challenge behind it."""
        url: str = answer.json["payment"]["url"]
        if (await self.authentication(answer)).state == "collecting":
            await self.post(url, PAGE_FIELDS)
        return url

    async def report(self, authentication: Authentication, status: str, **changes: Any) -> Answer:
        """Send an RReq, as a Directory would, about an authentication."""
        return await self.send_result(build_rreq(authentication, status, **changes))

    async def send_result(self, message: Any, **headers: str) -> Answer:
        """Post a message to the address for results, as the Directory unless the headers say otherwise."""
        content = message if isinstance(message, str | bytes) else json.dumps(message)
        return await self.post("/3ds/results", content, **({"Authorization": f"Bearer {DIRECTORY_SECRET}"} | headers))

    async def answer_bank(self, answer: Answer, result: str) -> None:
        """End a challenge at the bank, without a browser."""
        authentication = await self.authentication(answer)
        assert authentication.acs_trans_id is not None
        await self.simulator.access_control.act(authentication.acs_trans_id, result)

    async def come_back(self, page: str, *, code: str = "123456") -> Answer:
        """Walk a challenge as a browser without scripts does, up to the redirect from the gateway's return address."""
        acs_url, fields = (await self.get(page)).form()
        bank = await self.post(acs_url, fields)
        while 'name="code"' in bank.text:
            action, fields = bank.form()
            bank = await self.post(f"{acs_url.partition('/simulator')[0]}{action}", {**fields, "code": code})
        back, fields = bank.form()
        returned = await self.post(back, fields)
        assert returned.status == 303
        return returned

    async def fetch(self, statement: str, *arguments: Any) -> list[Any]:
        """Read rows."""
        async with self.parts.database.acquire() as connection:
            return await connection.fetch(statement, *arguments)

    def _resolve(self, url: str) -> str:
        return f"{self.base_url}{url}" if url.startswith("/") else url


#: What our page's script posts.
PAGE_FIELDS = {
    "browserLanguage": "en-US",
    "browserJavaEnabled": "false",
    "browserColorDepth": "30",
    "browserScreenHeight": "1080",
    "browserScreenWidth": "1920",
    "browserTimezone": "-330",
}


def payment_request(card: str, *, three_ds: bool = True, browser: bool = False) -> dict[str, Any]:
    """Build the body of a payment of 19.99 with a published card."""
    return {
        "paymentSource": {
            "type": "card",
            "number": number_of(card),
            "expirationMonth": "12",
            "expirationYear": "29",
            "cvv": "009",
            "3ds": three_ds,
        },
        "sku": {
            "title": "Premium",
            "siteId": str(SITE_ID),
            "price": [{"offset": "0d", "amount": 19.99, "currency": "USD", "repeat": False}],
        },
        "consumer": {
            "id": f"user-{uuid4().hex[:12]}",
            "firstName": "Jane",
            "lastName": "Smith",
            "ip": "203.0.113.45",
            **(BROWSER if browser else {}),
        },
        "url": {"ipnUrl": "http://127.0.0.1:9/ipn", "redirectUrl": REDIRECT_URL},
    }


def new_cavv() -> str:
    """Draw the proof of an authentication."""
    return base64.b64encode(secrets.token_bytes(20)).decode()


def build_rreq(authentication: Authentication, status: str, **changes: Any) -> dict[str, Any]:
    """Build an RReq about an authentication. A change to None leaves an element out."""
    proof = {"eci": "05", "authenticationValue": new_cavv()} if status in "YA" else {}
    message = {
        "messageType": "RReq",
        "messageVersion": authentication.version,
        "threeDSServerTransID": str(authentication.three_ds_server_trans_id),
        "acsTransID": str(authentication.acs_trans_id),
        "dsTransID": str(authentication.ds_trans_id),
        "messageCategory": "01",
        "transStatus": status,
        "interactionCounter": "01",
        **proof,
        **changes,
    }
    return {name: value for name, value in message.items() if value is not None}


async def eventually(look: Callable[[], Awaitable[T]], is_right: Callable[[T], bool], *, tries: int = 200) -> T:
    """Look until what is found is right, for ten seconds."""
    found = await look()
    for _ in range(tries):
        if is_right(found):
            return found
        await asyncio.sleep(0.05)
        found = await look()
    raise AssertionError("It never came right.")


@asynccontextmanager
async def open_served_gateway(
    database: Database, simulator_database: Database, *, wrap: Callable[[Any], Any] = lambda way: way, **settings: Any
) -> AsyncIterator[ServedGateway]:
    """Serve a gateway and its simulator. `wrap` may put something between the gateway and the simulator."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        simulator = Simulator(
            simulator_database,
            base_url=f"http://localhost:{port}/simulator",
            decoupled_seconds=0.2,
            directory_secret=DIRECTORY_SECRET,
        )
        await simulator.start()
        transport = wrap(InProcessTransport(simulator))
        vault = Vault(FileKeyProvider({1: secrets.token_bytes(32)}, secrets.token_bytes(32)))
        base_url = f"http://127.0.0.1:{port}"
        gateway = build_gateway(
            Settings(**{"base_url": base_url, "directory_secret": DIRECTORY_SECRET, **settings}),
            database,
            vault,
            transport,
        )
        demo = await _make_merchant(gateway, base_url)
        web = build_web(gateway, simulator)
        server = uvicorn.Server(uvicorn.Config(cast("Any", web), log_config=None, lifespan="off"))
        serving = asyncio.create_task(server.serve([listener]))
        async with aiohttp.ClientSession() as client:
            yield ServedGateway(base_url, gateway, simulator, client, demo)
        await gateway.parts.running.drain(seconds=5)
        server.should_exit = True
        await serving
        await simulator.close()


async def _make_merchant(gateway: Gateway, base_url: str) -> str:
    demo = load_or_create_demo(Path("/nonexistent"), base_url=base_url)
    await ensure_demo(
        gateway.database,
        demo,
        seal_ipn_secret=lambda merchant_id, secret: gateway.vault.seal_secret(secret, bound_to=f"ipn|{merchant_id}"),
    )
    return demo.apiKey
