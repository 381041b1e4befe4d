"""`/stage/faults`: faults of messages to the issuer. `GET /stage/journal`: the issuer's journal. Stage only."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Annotated, Any, get_args

from pydantic import BeforeValidator, Field, ValidationInfo, WithJsonSchema, field_validator

from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.reading.body import Body
from tollhouse.api.reading.requests import read_lenient_request, read_query
from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Calls, call
from tollhouse.kernel.card import CardDataError, CardNumber
from tollhouse.kernel.card_texts import read_number
from tollhouse.kernel.errors import Invalid
from tollhouse.kernel.money import Currency, Money
from tollhouse.merchants.model import Merchant
from tollhouse.wire.render import render_json
from tollhouse.wire.stage import FaultListAnswer, FaultName, JournalAnswer

#: Posts a message to the simulator and returns the response.
AskSimulator = Callable[[str, Mapping[str, Any]], Awaitable[dict[str, Any]]]

FAULTS = get_args(FaultName)
MAX_BODY_BYTES = 8 * 1024
MAX_CALLS = 1_000
MAX_SECONDS = 60
CARD_FIELDS = frozenset({"card"})
MAX_ENTRIES = 500
DEFAULT_ENTRIES = 100


def _is_number(value: Any) -> bool:
    return isinstance(value, int | Decimal) and not isinstance(value, bool)


def _read_fault(value: Any) -> Any:
    if value not in FAULTS:
        raise ValueError(f"must be one of {', '.join(FAULTS)}")
    return value


def _read_calls(value: Any) -> int:
    if not (_is_number(value) and 1 <= value <= MAX_CALLS and value == int(value)):
        raise ValueError(f"must be a whole number from 1 to {MAX_CALLS}")
    return int(value)


def _read_seconds(value: Any) -> float:
    if not (_is_number(value) and 0 <= value <= MAX_SECONDS):
        raise ValueError(f"must be a number from 0 to {MAX_SECONDS}")
    return float(value)


def _read_card(value: Any) -> str:
    """Return a masked card number, which the simulator recognizes."""
    try:
        return CardNumber.parse(read_number(str(value))).masked
    except CardDataError as error:
        raise ValueError(str(error)) from None


def _read_currency(value: Any) -> str:
    try:
        return Currency.parse(str(value)).code
    except KeyError:
        raise ValueError("is not a currency of ISO 4217") from None


def _read_limit(value: Any) -> int:
    text = str(value)
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and 1 <= int(text) <= MAX_ENTRIES):
        raise ValueError(f"must be 1 to {MAX_ENTRIES}")
    return int(text)


class FaultRequest(Body):
    """A fault and its messages: the next ones, or those with a card or an amount."""

    fault: Annotated[FaultName, BeforeValidator(_read_fault)] = Field(
        description="`latency`: the issuer responds late; `dropBefore`: the message is lost; `dropAfter`: the "
        "response is lost; `duplicate`: the message arrives twice."
    )
    calls: Annotated[
        int, BeforeValidator(_read_calls), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_CALLS})
    ] = Field(1, description="The number of messages.")
    seconds: Annotated[
        float, BeforeValidator(_read_seconds), WithJsonSchema({"type": "number", "minimum": 0, "maximum": MAX_SECONDS})
    ] = Field(5.0, description="The delay in seconds, with `latency`.")
    card: (
        Annotated[str, BeforeValidator(_read_card), WithJsonSchema({"type": "string", "pattern": "^[0-9]{12,19}$"})]
        | None
    ) = Field(None, description="Only messages with this card.", examples=["4024007179366348"])
    currency: Annotated[
        str, BeforeValidator(_read_currency), WithJsonSchema({"type": "string", "pattern": "^[A-Z]{3}$"})
    ] = Field("USD", description="ISO 4217, with `amount`.")
    amount: Annotated[Decimal, WithJsonSchema({"type": "number", "minimum": 0})] | None = Field(
        None, description="Only messages of this amount."
    )

    @field_validator("amount", mode="before")
    @classmethod
    def _check_amount(cls, amount: Any, info: ValidationInfo) -> Any:
        if amount is not None and not _is_number(amount):
            raise ValueError("must be a number")
        if amount is not None and "currency" in info.data:
            Money.parse(Decimal(amount), Currency.of(info.data["currency"]))
        return amount

    def to_message(self) -> dict[str, Any]:
        """Return the fault as a message to the simulator."""
        amount = None
        if self.amount is not None:
            money = Money.parse(self.amount, Currency.of(self.currency))
            amount = {"minor": money.amount_minor, "currency": money.currency.code}
        return {
            "fault": self.fault,
            "number": self.card,
            "amount": amount,
            "calls": self.calls,
            "seconds": self.seconds,
        }


class JournalQuery(Body):
    """The part of the journal to read."""

    limit: Annotated[
        int, BeforeValidator(_read_limit), WithJsonSchema({"type": "integer", "minimum": 1, "maximum": MAX_ENTRIES})
    ] = Field(DEFAULT_ENTRIES, description="The maximum number of entries.")


class FaultCalls(Calls):
    """Faults of the merchant's messages to the issuer, and the issuer's journal. Stage only."""

    def __init__(self, authenticator: RequestAuthenticator, ask: AskSimulator) -> None:
        self._authenticator = authenticator
        self._ask_simulator = ask

    @call("POST /stage/faults", "Add a fault", Purpose.SETS_UP, FaultRequest, FaultListAnswer, status=201)
    async def add_fault(self, request: Request) -> Response:
        """Add a fault to the next messages about your payments to the issuer. Stage only.

        Without card and amount it applies to the next message. The oldest matching fault comes first. At most 100 wait.
        """
        valid = await read_lenient_request(
            self._authenticator, request, FaultRequest, limit_bytes=MAX_BODY_BYTES, card_fields=CARD_FIELDS
        )
        answer = await self._ask("/control/faults/add", valid.merchant, **valid.body.to_message())
        if answer.get("isFull"):
            raise Invalid({"fault": ["cannot be added: the maximum is reached"]})
        return Response(render_json(show_faults(answer)), 201)

    @call("GET /stage/faults", "List pending faults", answer=FaultListAnswer)
    async def list_faults(self, request: Request) -> Response:
        """Return pending faults. Stage only."""
        merchant = await self._authenticator.access(request)
        return Response(render_json(show_faults(await self._ask("/control/faults/list", merchant))))

    @call("DELETE /stage/faults", "Delete pending faults", Purpose.SETS_UP)
    async def clear_faults(self, request: Request) -> Response:
        """Delete pending faults. Stage only."""
        await self._ask("/control/faults/clear", await self._authenticator.access(request))
        return Response()

    @call("GET /stage/journal", "Get the issuer's journal", query=JournalQuery, answer=JournalAnswer)
    async def show_journal(self, request: Request) -> Response:
        """Return the issuer's records of your payments, newest first. Stage only."""
        valid = await read_query(self._authenticator, request, JournalQuery)
        return Response(render_json(await self._ask("/control/journal", valid.merchant, limit=valid.body.limit)))

    async def _ask(self, path: str, merchant: Merchant, **wanted: Any) -> dict[str, Any]:
        return await self._ask_simulator(path, {"acceptor": str(merchant.merchant_id), **wanted})


def show_faults(answer: Mapping[str, Any]) -> dict[str, Any]:
    """Return pending faults in the form of the request, with masked cards."""
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
