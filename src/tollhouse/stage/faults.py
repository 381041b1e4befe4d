"""`/stage/faults`: what is to go wrong on the way to the issuer. `GET /stage/journal`: what it believes happened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
from litestar import Request, Response, delete, get, post

from tollhouse.http.screen import read_screened_object
from tollhouse.kernel.card import CardDataError, CardNumber
from tollhouse.kernel.card_texts import read_number
from tollhouse.kernel.errors import Invalid
from tollhouse.kernel.money import AmountError, Currency, Money
from tollhouse.stage.world import ask_world

if TYPE_CHECKING:
    from litestar.handlers import HTTPRouteHandler

    from tollhouse.merchants.model import Merchant
    from tollhouse.transport.model import Transport

AnyRequest = Request[Any, Any, Any]
Authenticate = Callable[[AnyRequest], Awaitable["Merchant"]]

PATH = "/stage/faults"
FAULTS = ("latency", "dropBefore", "dropAfter", "duplicate")
MAX_BODY_BYTES = 8 * 1024
MAX_CALLS = 1_000
MAX_SECONDS = 60
DEFAULT_SECONDS = 5
CARD_FIELDS = frozenset({"card"})
MAX_ENTRIES = 500
DEFAULT_ENTRIES = 100

_encode = msgspec.json.Encoder(decimal_format="number").encode


def fault_handlers(transport: Transport, authenticate: Authenticate) -> list[HTTPRouteHandler]:
    """Return the handlers. `transport` leads to the simulator; `authenticate` lets a merchant in by the API key."""

    @post(PATH, request_max_body_size=MAX_BODY_BYTES)
    async def add_fault(request: AnyRequest) -> Response[bytes]:
        """Let something happen to the merchant's next messages to the issuer. Stage only."""
        merchant = await authenticate(request)
        wanted = read_fault(await request.body())
        answer = await ask_world(transport, "/control/faults/add", {"acceptor": name_merchant(merchant), **wanted})
        if answer.get("isFull"):
            raise Invalid({"fault": ["cannot be added: too many wait already"]})
        return _send(show_faults(answer), status_code=201)

    @get(PATH)
    async def list_faults(request: AnyRequest) -> Response[bytes]:
        """Show what still waits for the merchant's messages. Stage only."""
        merchant = await authenticate(request)
        answer = await ask_world(transport, "/control/faults/list", {"acceptor": name_merchant(merchant)})
        return _send(show_faults(answer))

    @delete(PATH, status_code=200)
    async def clear_faults(request: AnyRequest) -> Response[bytes]:
        """Forget what waits. Stage only."""
        merchant = await authenticate(request)
        await ask_world(transport, "/control/faults/clear", {"acceptor": name_merchant(merchant)})
        return Response(b"", media_type="application/json")

    @get("/stage/journal")
    async def show_journal(request: AnyRequest) -> Response[bytes]:
        """Show what the issuer believes happened to the merchant's payments, the newest first. Stage only."""
        merchant = await authenticate(request)
        unknown = [name for name in request.query_params if name != "limit"]
        if unknown:
            raise Invalid({name: ["is no parameter of this call"] for name in unknown})
        wanted = {"acceptor": name_merchant(merchant), "limit": read_limit(request.query_params.get("limit"))}
        return _send(await ask_world(transport, "/control/journal", wanted))

    return [add_fault, list_faults, clear_faults, show_journal]


def name_merchant(merchant: Merchant) -> str:
    """Return what names the merchant in messages to the acquirer."""
    return str(merchant.merchant_id)


def read_fault(body: bytes) -> dict[str, Any]:
    """Read a wish for the simulator. Raises Invalid with every faulty field."""
    content, faults = read_screened_object(body, allowed=CARD_FIELDS)
    calls, seconds = content.get("calls", 1), content.get("seconds", DEFAULT_SECONDS)
    wanted = {
        "fault": content.get("fault"),
        "number": _read_card(content.get("card"), faults),
        "amount": _read_amount(content, faults),
    }
    if wanted["fault"] not in FAULTS:
        faults["fault"] = [f"must be one of {', '.join(FAULTS)}"]
    if not (_is_number(calls) and 1 <= calls <= MAX_CALLS and calls == int(calls)):
        faults["calls"] = [f"must be a whole number from 1 to {MAX_CALLS}"]
    if not (_is_number(seconds) and 0 <= seconds <= MAX_SECONDS):
        faults["seconds"] = [f"must be a number from 0 to {MAX_SECONDS}"]
    if faults:
        raise Invalid(faults)
    return {**wanted, "calls": int(calls), "seconds": float(seconds)}


def read_limit(text: str | None) -> int:
    """Read how many entries are wanted. Raises Invalid."""
    if not text:
        return DEFAULT_ENTRIES
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_ENTRIES):
        raise Invalid({"limit": [f"must be 1 to {MAX_ENTRIES}"]})
    return int(text)


def show_faults(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Say what waits in the words of the request; a card is shown as cards may be."""
    return {"faults": [_show_fault(fault) for fault in answer["faults"]]}


def _show_fault(fault: Mapping[str, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"fault": fault["fault"], "calls": fault["calls"]}
    if fault["fault"] == "latency":
        shown["seconds"] = fault["seconds"]
    if fault["number"]:
        shown["card"] = fault["number"]
    if fault["amount"]:
        money = Money(fault["amount"]["minor"], Currency.of(fault["amount"]["currency"]))
        shown |= {"amount": money.to_decimal(), "currency": money.currency.code}
    return shown


def _is_number(value: Any) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _read_card(value: Any, faults: dict[str, list[str]]) -> str | None:
    """Return a card as it may be shown, which is how the simulator knows it."""
    if value is None:
        return None
    try:
        return CardNumber.parse(read_number(str(value))).masked
    except CardDataError as error:
        faults["card"] = [str(error)]
        return None


def _read_amount(content: Mapping[str, Any], faults: dict[str, list[str]]) -> dict[str, Any] | None:
    amount = content.get("amount")
    if amount is None:
        return None
    if not _is_number(amount):
        faults["amount"] = ["must be a number"]
        return None
    try:
        money = Money.parse(Decimal(amount), Currency.parse(str(content.get("currency") or "USD")))
    except KeyError:
        faults["currency"] = ["is no currency of ISO 4217"]
        return None
    except AmountError as error:
        faults["amount"] = [str(error)]
        return None
    return {"minor": money.amount_minor, "currency": money.currency.code}


def _send(content: Mapping[str, Any], *, status_code: int = 200) -> Response[bytes]:
    return Response(_encode(content), media_type="application/json", status_code=status_code)
