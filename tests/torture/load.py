"""Load on a deployment that is being tormented, by clients that keep records of their own.

A client records each question before it asks, and each answer when it has it. A question without an answer is asked
again, at any node, with the same X-Request-ID, until there is one. So the records say what a merchant knows, and the
judge compares that with what the issuer and the gateway believe.
"""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

#: Cards by how their payments go, and how often each is drawn.
CARDS = {
    "4024007179366348": 70,  # approves
    "4000000050510009": 10,  # declines
    "4000000090010002": 8,  # approves, and the answer is lost
    "4000000090020001": 5,  # never arrives
    "4000000090060007": 5,  # arrives twice
    "4000000090050008": 6,  # approves, and an inquiry finds nothing for 20 s: the approval comes too late
}
#: Cards whose refunds stay open for a while, and how they end.
OPEN_REFUND_CARDS = (
    "4000000091030009",  # declined
    "4000000091110009",  # approved, and the answer is lost
    "4000000091120008",  # never arrives
    "4000000091130007",  # approved, and answered after 30 s
    "4000000091150005",  # approved, and an inquiry finds nothing for 20 s
)
#: The issuer charges back by itself three days later.
DISPUTED_CARD = "4000000092010000"
APPROVING_CARD = "4024007179366348"
CHALLENGED_CARD = "4000000000002503"
SITE_ID = "983759353"
RETRY_PAUSE_SECONDS = 0.2
UNREACHABLE = "1040"
UNREACHABLE_PAUSE_SECONDS = 1.0
#: Longer than any lease that a killed or paused process may leave behind.
GIVE_UP_SECONDS = 150.0
REQUEST_TIMEOUT_SECONDS = 30.0
#: The outcome is not known, or not yet: the same question is asked again.
ASK_AGAIN = frozenset({408, 409, 429, 500, 502, 503, 504})
CLOCK_PAUSE_SECONDS = 2.0
CLOCK_TIMEOUT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Question:
    """One request of a merchant that must be answered once, however often it is sent."""

    path: str
    body: Mapping[str, Any]
    #: A 4xx is a right answer too: what is asked for may not be possible any more.
    may_be_refused: bool = False


@dataclass(slots=True)
class Records:
    """The clients' questions and the answers to them, by request id."""

    asked: dict[str, Question] = field(default_factory=dict)
    heard: dict[str, list[bytes]] = field(default_factory=lambda: defaultdict(list))
    refused: dict[str, list[tuple[int, bytes]]] = field(default_factory=lambda: defaultdict(list))
    clock_days: int = 0
    clock_answers: Counter[str] = field(default_factory=Counter)

    @property
    def unanswered(self) -> list[str]:
        """The request ids that never got an answer."""
        return [one for one in self.asked if one not in self.heard and one not in self.refused]


@dataclass(frozen=True, slots=True)
class Merchant:
    """What every client of the load shares."""

    urls: Sequence[str]
    api_key: str
    ipn_url: str
    session: aiohttp.ClientSession
    records: Records


class Client:
    """One client of the merchant: takes random journeys until it is stopped."""

    def __init__(self, number: int, seed: int, merchant: Merchant) -> None:
        self._number = number
        self._count = 0
        self._chance = random.Random(f"{seed}-{number}")
        self._merchant = merchant
        self._journeys: dict[Callable[[], Awaitable[object]], int] = {
            self.pay_by_card: 40,
            self.pay_by_token: 20,
            self.pay_with_challenge: 8,
            self.pay_twice_at_once: 5,
            self.authorize_and_go_on: 8,
            self.pay_and_refund: 10,
            self.pay_and_void: 4,
            self.pay_and_be_charged_back: 4,
            self.pay_and_be_charged_back_during_refund: 4,
            self.pay_with_disputed_card: 4,
            self.subscribe: 4,
        }

    async def run(self, stop: asyncio.Event) -> None:
        """Take one journey after another until `stop` is set."""
        while not stop.is_set():
            [journey] = self._chance.choices(list(self._journeys), list(self._journeys.values()))
            await journey()

    async def pay_by_card(self) -> dict[str, Any] | None:
        """Pay with a card, and sometimes repeat the request after its answer."""
        [card] = self._chance.choices(list(CARDS), list(CARDS.values()))
        request_id = self._name("card")
        payment = await self.ask(request_id, "/payment", self._order(card_source(card)))
        if self._chance.random() < 0.1:
            await self.ask_again(request_id)
        return payment

    async def pay_by_token(self) -> None:
        """Tokenize a card at one node and pay with the token at another."""
        [card] = self._chance.choices(list(CARDS), list(CARDS.values()))
        token = await self._tokenize(card)
        if token is None:
            return
        source = {"type": "token", "token": token}
        # The merchant's clock may be moved past the token's life before the first request arrives.
        await self.ask(self._name("token"), "/payment", self._order(source), may_be_refused=True)

    async def pay_with_challenge(self) -> None:
        """Pay with a card that is challenged; answer the challenge, or walk away from it."""
        payment = await self.ask(self._name("challenge"), "/payment", self._order(card_source(CHALLENGED_CARD)))
        result = self._chance.choice(["pass", "pass", "fail", "cancel", None])
        if payment and payment["action"] == "redirect" and result:
            await self._answer_challenge(payment["orderId"], result)

    async def pay_twice_at_once(self) -> None:
        """Send one purchase twice at the same time, under two request ids."""
        order = self._order(card_source(APPROVING_CARD))
        await asyncio.gather(*(self.ask(self._name("double"), "/payment", order) for _ in range(2)))

    async def authorize_and_go_on(self) -> None:
        """Authorize; then capture all or a part, void, or leave it to the schedule."""
        order = self._order(card_source(APPROVING_CARD), price={"offset": "5d", "repeat": False})
        payment = await self.ask(self._name("auth"), "/payment", order)
        if payment and payment["status"] == "success":
            await self._operate(payment, self._chance.choice(["capture", "capture", "void", None]))

    async def pay_and_refund(self) -> None:
        """Pay, then refund the payment once, or twice in parts at the same time."""
        payment = await self.pay_by_card()
        if payment is None or payment["status"] != "success":
            return
        times = self._chance.choice([1, 1, 2])
        await asyncio.gather(*(self._operate(payment, "credit") for _ in range(times)))

    async def pay_and_void(self) -> None:
        """Pay, then void the payment, also one without an outcome."""
        payment = await self.pay_by_card()
        if payment is not None:
            await self._operate(payment, "void")

    async def pay_and_be_charged_back(self) -> None:
        """Pay, sometimes void or refund; the issuer takes the money back, whatever became of the payment before."""
        payment = await self.pay_by_card()
        if payment is None:
            return
        await self._operate(payment, self._chance.choice([None, "void", "credit"]))
        times = self._chance.choice([1, 1, 2])
        await asyncio.gather(*(self._charge_back(payment) for _ in range(times)))

    async def pay_and_be_charged_back_during_refund(self) -> None:
        """Pay with a card whose refund stays open; the issuer takes the money back meanwhile."""
        order = self._order(card_source(self._chance.choice(OPEN_REFUND_CARDS)))
        payment = await self.ask(self._name("open-refund"), "/payment", order)
        if payment is None or payment["status"] != "success":
            return
        refunding = asyncio.create_task(self._operate(payment, "credit"))
        await asyncio.sleep(self._chance.uniform(0, 2))
        await asyncio.gather(refunding, self._charge_back(payment))

    async def pay_with_disputed_card(self) -> None:
        """Pay with a card whose issuer charges back by itself on the third day, and sometimes refund or void before."""
        payment = await self.ask(self._name("disputed"), "/payment", self._order(card_source(DISPUTED_CARD)))
        if payment is not None and payment["status"] == "success":
            await self._operate(payment, self._chance.choice([None, None, "credit", "void"]))

    async def subscribe(self) -> None:
        """Start a subscription, which the worker renews as the clock goes on; sometimes void it, which ends it."""
        order = self._order(card_source(APPROVING_CARD))
        order["sku"] = {"name": "PREMIUM_MONTHLY"}
        payment = await self.ask(self._name("subscription"), "/payment", order)
        if payment is not None:
            await self._operate(payment, self._chance.choice([None, None, "void"]))

    async def ask(
        self, request_id: str, path: str, body: Mapping[str, Any], *, may_be_refused: bool = False
    ) -> dict[str, Any] | None:
        """Ask until there is an answer, and return its payment; None if it was refused or never answered."""
        self._merchant.records.asked[request_id] = Question(path, body, may_be_refused)
        return await self.ask_again(request_id)

    async def ask_again(self, request_id: str) -> dict[str, Any] | None:
        """Ask a question that was asked before."""
        records = self._merchant.records
        question = records.asked[request_id]
        answer = await self._send(question.path, question.body, request_id=request_id)
        if answer is None:
            return None
        status, content = answer
        if status != 201:
            records.refused[request_id].append((status, content))
            return None
        records.heard[request_id].append(content)
        payment: dict[str, Any] = json.loads(content)["payment"]
        if payment.get("code") == UNREACHABLE:  # the next one would be answered like that as fast
            await asyncio.sleep(UNREACHABLE_PAUSE_SECONDS)
        return payment

    async def _send(self, path: str, body: Any, *, request_id: str | None = None) -> tuple[int, bytes] | None:
        """Send a request to any node until one gives a final answer; None after GIVE_UP_SECONDS."""
        headers = {"Authorization": self._merchant.api_key, "x-requested-with": "XMLHttpRequest"}
        if request_id is not None:
            headers["X-Request-ID"] = request_id
        give_up_at = asyncio.get_running_loop().time() + GIVE_UP_SECONDS
        while asyncio.get_running_loop().time() < give_up_at:
            url = self._chance.choice(self._merchant.urls) + path
            try:
                async with self._merchant.session.post(url, json=body, headers=headers) as response:
                    content = await response.read()
                    if response.status not in ASK_AGAIN:
                        return response.status, content
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            await asyncio.sleep(RETRY_PAUSE_SECONDS)
        return None

    async def _tokenize(self, card: str) -> str | None:
        fields = {"number": card, "expirationMonth": "12", "expirationYear": "30", "cvv": "009"}
        answer = await self._send("/tokenize", fields)
        return json.loads(answer[1])["token"] if answer and answer[0] == 201 else None

    async def _answer_challenge(self, order_id: str, result: str) -> None:
        await self._send(f"/stage/3ds/{order_id}", {"result": result})

    async def _operate(self, payment: Mapping[str, Any], operation: str | None) -> None:
        """Capture, void or credit a payment: all of it, or a part."""
        if operation is None:
            return
        body: dict[str, Any] = {"reason": "returned"} if operation == "credit" else {}
        if operation != "void" and self._chance.random() < 0.5:
            body["amount"] = round(float(payment["amount"]) / 2, 2)
        path = f"/payment/{payment['transactionId']}/{operation}"
        await self.ask(self._name(operation), path, body, may_be_refused=True)

    async def _charge_back(self, payment: Mapping[str, Any]) -> None:
        """Charge back what is left of a payment, a part of it, or more than was ever taken. Nothing refuses that."""
        factor = self._chance.choice([None, 0.5, 1.5])
        body = {} if factor is None else {"amount": round(float(payment["amount"]) * factor, 2)}
        await self.ask(self._name("chargeback"), f"/stage/chargeback/{payment['transactionId']}", body)

    def _order(self, source: Mapping[str, Any], *, price: Mapping[str, Any] | None = None) -> dict[str, Any]:
        amount = self._chance.randrange(100, 90_000) / 100
        price = {"offset": "0d", "repeat": False} if price is None else price
        return {
            "paymentSource": source,
            "sku": {"siteId": SITE_ID, "price": [{**price, "amount": amount, "currency": "USD"}]},
            "consumer": {
                "externalId": f"user-{self._chance.randrange(200)}",
                "firstName": "Jane",
                "lastName": "Smith",
                "ip": "203.0.113.45",
            },
            "url": {"ipnUrl": self._merchant.ipn_url},
            "metadata": {"order": f"{self._number}-{self._count}"},
        }

    def _name(self, journey: str) -> str:
        self._count += 1
        return f"{journey}-{self._number}-{self._count}"


async def press(
    urls: Sequence[str],
    demo: Mapping[str, Any],
    records: Records,
    *,
    ipn_url: str,
    clients: int,
    seed: int,
    stop: asyncio.Event,
) -> None:
    """Let clients take journeys until `stop` is set; each ends with its last question answered."""
    timeout = aiohttp.ClientTimeout(total=REQUEST_TIMEOUT_SECONDS)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        merchant = Merchant(urls, demo["apiKey"], ipn_url, session, records)
        running = [Client(number, seed, merchant).run(stop) for number in range(clients)]
        await asyncio.gather(*running, move_clock(merchant, random.Random(f"{seed}-clock"), stop))


async def move_clock(merchant: Merchant, chance: random.Random, stop: asyncio.Event) -> None:
    """Advance the merchant's clock by days now and then, so that captures, expiries and renewals fall due."""
    headers = {"Authorization": merchant.api_key}
    timeout = aiohttp.ClientTimeout(total=CLOCK_TIMEOUT_SECONDS)
    while not stop.is_set():
        await asyncio.sleep(CLOCK_PAUSE_SECONDS)
        days = chance.choice([1, 6, 16, 31, 31])
        url = f"{chance.choice(merchant.urls)}/stage/clock"
        try:
            async with merchant.session.post(
                url, json={"advance": f"{days}d"}, headers=headers, timeout=timeout
            ) as response:
                merchant.records.clock_days += days if response.status == 200 else 0
                merchant.records.clock_answers[str(response.status)] += 1
        except (aiohttp.ClientError, TimeoutError, OSError):
            merchant.records.clock_answers["none"] += 1


def card_source(number: str) -> dict[str, Any]:
    """Return a payment source of type `card`."""
    return {"type": "card", "number": number, "expirationMonth": "12", "expirationYear": "30", "cvv": "009"}
