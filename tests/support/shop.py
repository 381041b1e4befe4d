"""A shop at a gateway without HTTP: the verbs of payments on a real database, and an acquirer that the test directs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any, TypeAlias
from uuid import UUID, uuid4

from tests.support.acquirer import Plan, ScriptedAcquirer

from tollhouse.acquirers.model import Approved, Declined
from tollhouse.catalog.access import Catalog
from tollhouse.catalog.model import Price
from tollhouse.catalog.prices import parse_offset
from tollhouse.composition.app import Gateway, build_gateway
from tollhouse.composition.payment_parts import PaymentParts
from tollhouse.composition.settings import Settings
from tollhouse.idempotency.model import Claim
from tollhouse.kernel.card import Card, CardNumber, Cvv, Expiry
from tollhouse.kernel.errors import Invalid
from tollhouse.kernel.faults import RequestRejected
from tollhouse.kernel.money import Currency, Money
from tollhouse.kernel.rendered_response import RenderedResponse
from tollhouse.payments.charge.charge import charge
from tollhouse.payments.charge.intent import Intent, build_intent
from tollhouse.payments.charge.requested_payment import (
    RequestedConsumer,
    RequestedItem,
    RequestedPayment,
    RequestedSource,
)
from tollhouse.payments.dependencies import PaymentTimeouts
from tollhouse.payments.dispute_steps import DisputeStep
from tollhouse.payments.disputes.chargeback import record_chargeback
from tollhouse.payments.model import OPERATION, Mode, Payment
from tollhouse.payments.operations.balance import ALL, RequestedAmount
from tollhouse.payments.operations.operate import OperationRequest, capture, credit
from tollhouse.payments.operations.void import void
from tollhouse.payments.resolve.resolve_attempts import resolve_attempt
from tollhouse.payments.store import select_payment
from tollhouse.storage.coalesce import Coalescer
from tollhouse.storage.database import Database
from tollhouse.transport.model import RequestNotSent
from tollhouse.vault.keys import FileKeyProvider
from tollhouse.vault.tokens import tokenize
from tollhouse.vault.vault import Vault

MERCHANT = 1
OTHER_MERCHANT = 2
SITE = 100
OTHER_SITE = 200
NUMBER = "4024007179366348"
OTHER_NUMBER = "4111111111111111"
CVV = "937"
KEYS = FileKeyProvider({1: bytes(range(32))}, bytes(range(32, 64)))
#: Longer than any test waits, so that what is expected at once is not mistaken for what comes in time.
PATIENT = PaymentTimeouts(answer=20.0, margin=0.0, challenge=60.0, reversal=900.0)
HASTY_SECONDS = 0.3


class NobodyThere:
    """A transport to a Directory that is not there."""

    async def post(
        self, path: str, body: bytes, *, timeout_seconds: float, send_before: float, is_repeatable: bool = False
    ) -> bytes:
        """Refuse the connection."""
        del path, body, timeout_seconds, send_before, is_repeatable
        raise RequestNotSent


class CountingLane(Coalescer[Any, Any]):
    """A lane that counts what it has written, so that a test can wait for it."""

    written = 0

    async def submit(self, item: Any) -> Any:
        """Write an item, and count it."""
        result = await super().submit(item)
        self.written += 1
        return result


@dataclass(frozen=True, slots=True)
class Paid:
    """What the client got for a payment."""

    reply: RenderedResponse

    @property
    def body(self) -> Any:
        """The answer as data; amounts are exact."""
        return json.loads(self.reply.body, parse_float=Decimal)

    @property
    def payment(self) -> Any:
        """The answer's `payment` object."""
        return self.body["payment"]

    @property
    def transaction_id(self) -> int:
        """The id of the transaction."""
        return int(self.payment["transactionId"])

    @property
    def outcome(self) -> tuple[str, str]:
        """Status and code."""
        return self.payment["status"], self.payment["code"]


#: What lets the acquirer answer, and the payment that waits for it.
Started: TypeAlias = tuple[asyncio.Event, asyncio.Task[Paid]]


@dataclass(frozen=True, slots=True)
class Shop:
    """A merchant's shop at one process of the gateway."""

    gateway: Gateway
    parts: PaymentParts
    acquirer: ScriptedAcquirer

    async def intent(self, **changes: Any) -> Intent:
        """Build the intent of a payment of 19.99 with a card; `request_payment` reads the changes."""
        return await build_intent(self.parts.lookups, request_payment(**changes))

    async def pay(self, **changes: Any) -> Paid:
        """Pay 19.99 with a card, or whatever the changes say."""
        return Paid(await charge(self.parts.charging, await self.intent(**changes)))

    async def authorize(self, offset: str = "3d", **changes: Any) -> Paid:
        """Authorize 19.99 that is captured later."""
        await self.value("update site set delayed_capture = true")
        fresh = await self.forget_catalog()
        return await fresh.pay(prices=(price(1999, offset),), **changes)

    async def capture(self, transaction_id: int, amount: str | None = None, **changes: Any) -> Paid:
        """Capture an authorization."""
        asked = build_operation(transaction_id, Mode.CAPTURE, **changes)
        return Paid(await capture(self.parts.operations, asked, _sum(amount)))

    async def credit(self, transaction_id: int, amount: str | None = None, **changes: Any) -> Paid:
        """Credit a sale or a capture."""
        asked = build_operation(transaction_id, Mode.CREDIT, **{"reason": "returned", **changes})
        return Paid(await credit(self.parts.operations, asked, _sum(amount)))

    async def charge_back(
        self, transaction_id: int, amount: str | None = None, *, step: DisputeStep = DisputeStep.FIRST, **changes: Any
    ) -> Paid:
        """Let the issuer take a sale or a capture back, or another step of a dispute happen."""
        asked = build_operation(transaction_id, Mode.CHARGEBACK, **changes)
        return Paid(await record_chargeback(self.parts.chargebacks, asked, _sum(amount), step))

    async def void(self, transaction_id: int, **changes: Any) -> Paid:
        """Void a payment."""
        return Paid(await void(self.parts.voiding, build_operation(transaction_id, Mode.VOID, **changes)))

    async def start(self, *, outcome: Approved | Declined | None = None, **changes: Any) -> Started:
        """Begin a payment, and return when the acquirer is asked; it answers when the event is set."""
        held, asked = asyncio.Event(), asyncio.Event()
        self.acquirer.plan(Plan(outcome, hold=held))
        self.acquirer.on_authorize = lambda _: asked.set()
        paying = asyncio.create_task(self.pay(**changes))
        await asyncio.wait_for(asked.wait(), timeout=5)
        return held, paying

    async def begin(self, **changes: Any) -> Payment:
        """Commit an intention and die while the acquirer is asked, as a process does."""
        _, paying = await self.start(**changes)
        await self.die()
        await asyncio.gather(paying, return_exceptions=True)
        return await self.stored(int(self.acquirer.asked[-1].reference.partition("-")[0]))

    async def die(self) -> None:
        """Abandon all money work of this process."""
        work = list(self.parts.running._tasks)  # noqa: SLF001 - no process would offer this
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)

    async def tokenize(self, number: str = NUMBER, *, cvv: str | None = CVV, merchant_id: int | None = None) -> UUID:
        """Make a token."""
        code = Cvv(cvv) if cvv else None
        return (await tokenize(self.gateway.tokens, card(number), code, merchant_id=merchant_id)).token

    async def stored(self, transaction_id: int, merchant_id: int = MERCHANT) -> Payment:
        """Return a payment as it is stored."""
        async with self.parts.database.acquire() as connection:
            found = await select_payment(connection, merchant_id=merchant_id, transaction_id=transaction_id)
        assert found is not None
        return found

    async def resolve(self, transaction_id: int) -> Payment:
        """Let the resolver look at a payment, and return it as it then is."""
        await resolve_attempt(self.parts.attempts, merchant_id=MERCHANT, transaction_id=transaction_id)
        return await self.stored(transaction_id)

    async def fetch(self, statement: str, *arguments: Any) -> list[Any]:
        """Read rows."""
        async with self.parts.database.acquire() as connection:
            return await connection.fetch(statement, *arguments)

    async def value(self, statement: str, *arguments: Any) -> Any:
        """Read one value, or run a statement."""
        async with self.parts.database.acquire() as connection:
            return await connection.fetchval(statement, *arguments)

    @property
    def write_queue(self) -> CountingLane:
        """The lane of the first durable step."""
        write_queue = self.parts.begin_queue
        assert isinstance(write_queue, CountingLane)
        return write_queue

    @property
    def hasty(self) -> Shop:
        """The same process, whose clients get `pending` almost at once."""
        return replace(self, parts=replace(self.parts, timeouts=replace(PATIENT, answer=HASTY_SECONDS)))

    async def forget_catalog(self) -> Shop:
        """Return the shop with a catalog that has to be read again."""
        return replace(self, parts=replace(self.parts, catalog=Catalog(self.parts.database)))

    async def quiet(self) -> None:
        """Wait until nothing is under way in this process."""
        assert await self.parts.running.drain(seconds=5) == 0


def faults_in(error: Invalid) -> dict[str, list[str]]:
    """Return the faults of a rejected payment, by their subjects."""
    assert isinstance(error, RequestRejected)
    faults: dict[str, list[str]] = {}
    for fault in error.faults:
        faults.setdefault(fault.subject.value, []).append(fault.text)
    return faults


def card(
    number: str = NUMBER, *, month: int = 12, year: int = 2029, holder: str = "Jane Smith", zip_code: str = "90210"
) -> Card:
    """Return a card."""
    return Card(CardNumber(number), Expiry(month, year), holder, zip_code)


def price(amount_minor: int, offset: str = "0d", *, repeat: bool | int = False, currency: str = "USD") -> Price:
    """Return a price."""
    return Price(parse_offset(offset), Money(amount_minor, Currency.of(currency)), repeat)


def claim(request_id: str, *, digest: bytes = b"d" * 32, merchant_id: int = MERCHANT) -> Claim:
    """Return a claim on a request id."""
    return Claim(merchant_id, OPERATION, request_id, digest)


def build_operation(transaction_id: int, mode: Mode, **changes: Any) -> OperationRequest:
    """Say what is wished: fields of Wish, and `request`, an X-Request-ID to claim."""
    request = changes.pop("request", None)
    merchant_id = changes.pop("merchant_id", MERCHANT)
    claimed = request and Claim(merchant_id, mode.value, request, changes.pop("digest", b"d" * 32))
    request_id = request or f"request-{uuid4()}"
    return OperationRequest(merchant_id, transaction_id, request_id, mode, claim=claimed, **changes)


def _sum(amount: str | None) -> RequestedAmount:
    return ALL if amount is None else RequestedAmount(Decimal(amount))


def request_payment(**changes: Any) -> RequestedPayment:
    """Request a payment: fields of it, its source and its consumer, `number`, `month` and so on of its card.

    `prices`, `title`, `site_id` and `sku_name` are of its item, `source_consumer_id` is the consumer of its source.
    """
    fields: dict[str, Any] = {
        "merchant_id": MERCHANT,
        "request_id": f"request-{uuid4()}",
        "ipn_url": "http://127.0.0.1:9/ipn",
        "redirect_url": "http://127.0.0.1:9/thanks",
    }
    fields |= {name: changes[name] for name in RequestedPayment.__struct_fields__ if name in changes}
    parts = {"items": (_request_item(changes),), "source": _request_source(changes)}
    return RequestedPayment(**{**fields, **parts, "consumer": _request_consumer(changes)})


def _request_item(changes: Mapping[str, Any]) -> RequestedItem:
    has_site = "site_id" in changes or "sku_name" not in changes
    return RequestedItem(
        site_id=str(changes.get("site_id", SITE)) if has_site else None,
        sku_name=changes.get("sku_name"),
        title=changes.get("title", "Premium"),
        prices=changes.get("prices", (price(1999),) if "sku_name" not in changes else ()),
    )


def _request_source(changes: Mapping[str, Any]) -> RequestedSource:
    kind, code = kind_of(changes), changes.get("cvv", CVV)
    names = ("month", "year", "holder")
    given = card(
        changes.get("number", NUMBER),
        zip_code=changes.get("zip", "90210"),
        **{name: changes[name] for name in names if name in changes},
    )
    fields = {name: changes[name] for name in ("initiator", "asks_authentication", "mid") if name in changes}
    fields |= {name: changes[name] for name in ("emulate_code", "external_authentication") if name in changes}
    return RequestedSource(
        kind=kind,
        card=given if kind == "card" else None,
        code=Cvv(code) if code and (kind == "card" or "cvv" in changes) else None,
        token=_text(changes.get("token")),
        account_id=_text(changes.get("account_id")),
        consumer_id=changes.get("source_consumer_id"),
        **fields,
    )


def _request_consumer(changes: Mapping[str, Any]) -> RequestedConsumer:
    consumer_id = changes.get("consumer_id")
    return RequestedConsumer(
        consumer_id=consumer_id,
        external_id=changes.get("external_id", None if consumer_id else "user-1"),
        profile=changes.get("consumer", {"firstName": "Jane", "lastName": "Smith"}),
        ip=changes.get("consumer_ip", "203.0.113.45"),
        browser=changes.get("browser"),
    )


def kind_of(changes: Mapping[str, Any]) -> str:
    """Return the paymentSource.type that the changes mean."""
    kinds = {"token": "token", "account_id": "paymentAccountId", "source_consumer_id": "consumer"}
    return changes.get("source_kind") or next((kind for name, kind in kinds.items() if name in changes), "card")


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def open_shop(
    database: Database,
    *acquirers: ScriptedAcquirer,
    patience: PaymentTimeouts = PATIENT,
    vault: Vault | None = None,
    settings: Settings | None = None,
) -> Shop:
    """Put a process of the gateway together on a database. Shops on one database are processes of one gateway."""
    chosen = acquirers or (ScriptedAcquirer(),)
    gateway = build_gateway(settings or Settings(), database, vault or Vault(KEYS), NobodyThere())
    parts = replace(
        gateway.parts,
        acquirers={acquirer.name: acquirer for acquirer in chosen},
        timeouts=patience,
        begin_queue=CountingLane("begin", gateway.parts.begin_queue._flush, database),  # noqa: SLF001 - app's own
    )
    return Shop(gateway, parts, chosen[0])


async def furnish(database: Database) -> None:
    """Create two merchants, each with a site, and a SKU of the first."""
    async with database.transaction() as connection:
        await connection.execute(
            "insert into merchant (merchant_id, name, ipn_secret) values (1, 'A', ''), (2, 'B', '')"
        )
        await connection.execute(
            """
            insert into site (merchant_id, site_id, name, ipn_url, redirect_url, descriptor) values
                (1, 100, 'shop.example', 'http://127.0.0.1:9/site-ipn', 'http://127.0.0.1:9/site', 'SHOP'),
                (2, 200, 'other.example', '', '', '')
            """
        )
        await connection.execute(
            """
            insert into sku (merchant_id, name, site_id, title, kind, prices)
            values (1, 'MONTHLY', 100, 'Monthly', 'subscription',
                '[{"offset": "0d", "amount_minor": 999, "currency": "USD", "repeat": false},
                  {"offset": "30d", "amount_minor": 1999, "currency": "USD", "repeat": true}]')
            """
        )


async def until_begun(count: int, *shops: Shop) -> None:
    """Wait until so many requests have been through the first durable step, with whatever result."""
    async with asyncio.timeout(20):
        while sum(shop.write_queue.written for shop in shops) < count:  # noqa: ASYNC110 - it happens in other tasks
            await asyncio.sleep(0.002)


async def all_at_once(*work: Any) -> list[Any]:
    """Do pieces of work side by side and return their results, or what they raised."""
    return await asyncio.gather(*work, return_exceptions=True)
