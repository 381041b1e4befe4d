"""Load on a gateway that is being killed, by clients that keep their own books.

Each client writes down what it is about to ask before it asks, and what it heard after it heard it; a question
without an answer is asked again, with the same X-Request-ID, until there is one.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import aiohttp

if TYPE_CHECKING:
    from tests.support.gateways import RunningGateway

#: Cards by how their payments go, and how often each is drawn.
CARDS = {
    "4024007179366348": 70,  # approves
    "4000000050510009": 10,  # declines
    "4000000090010002": 10,  # approves, and the answer is lost
    "4000000090020001": 5,  # never arrives
    "4000000090060007": 5,  # arrives twice
}
RETRY_PAUSE_SECONDS = 0.2
#: Longer than a lease of the resolver, which a kill may leave behind.
PATIENCE_SECONDS = 150.0


@dataclass(slots=True)
class Books:
    """What the clients asked and heard, by request id."""

    asked: dict[str, dict[str, Any]] = field(default_factory=dict)
    heard: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    refused: list[tuple[str, int, bytes]] = field(default_factory=list)

    @property
    def unanswered(self) -> list[str]:
        """Questions that never got an answer."""
        return [request_id for request_id in self.asked if request_id not in self.heard]


async def press(gateway: RunningGateway, books: Books, *, ipn_url: str, clients: int, stop: asyncio.Event) -> None:
    """Send payments from a number of clients until `stop` is set; each ends with its question answered."""
    timeout = aiohttp.ClientTimeout(total=30)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        await asyncio.gather(
            *(_be_client(number, gateway, books, session, ipn_url=ipn_url, stop=stop) for number in range(clients))
        )


async def _be_client(
    number: int,
    gateway: RunningGateway,
    books: Books,
    session: aiohttp.ClientSession,
    *,
    ipn_url: str,
    stop: asyncio.Event,
) -> None:
    chance = random.Random(number)
    count = 0
    while not stop.is_set():
        count += 1
        request_id = f"client-{number}-{count}"
        books.asked[request_id] = build_order(chance, request_id, ipn_url)
        await _ask_until_answered(gateway, books, session, request_id)
        if chance.random() < 0.1:
            await _ask_until_answered(gateway, books, session, request_id)


def build_order(chance: random.Random, request_id: str, ipn_url: str) -> dict[str, Any]:
    """Draw a payment."""
    [card] = chance.choices(list(CARDS), weights=list(CARDS.values()))
    return {
        "paymentSource": {
            "type": "card",
            "number": card,
            "expirationMonth": "12",
            "expirationYear": "30",
            "cvv": "009",
        },
        "sku": {
            "siteId": "983759353",
            "price": [{"offset": "0d", "amount": chance.randrange(100, 90_000) / 100, "currency": "USD"}],
        },
        "consumer": {
            "externalId": f"user-{chance.randrange(200)}",
            "firstName": "Jane",
            "lastName": "Smith",
            "ip": "203.0.113.45",
        },
        "url": {"ipnUrl": ipn_url},
        "metadata": {"order": request_id},
    }


async def _ask_until_answered(
    gateway: RunningGateway, books: Books, session: aiohttp.ClientSession, request_id: str
) -> None:
    """Ask, and ask again after what a network or a dead server does, for a while."""
    body = json.dumps(books.asked[request_id]).encode()
    headers = {
        "Authorization": gateway.demo["apiKey"],
        "Content-Type": "application/json",
        "X-Request-ID": request_id,
    }
    give_up_at = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while asyncio.get_running_loop().time() < give_up_at:
        try:
            async with session.post(f"{gateway.url}/payment", data=body, headers=headers) as response:
                answer = await response.read()
                if response.status == 201:
                    books.heard[request_id].append(answer)
                    return
                if response.status not in {409, 500, 503}:
                    books.refused.append((request_id, response.status, answer))
                    return
        except (aiohttp.ClientError, TimeoutError, OSError):
            pass
        await asyncio.sleep(RETRY_PAUSE_SECONDS)
