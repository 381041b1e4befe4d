"""`/testPaymentData`: a merchant's own test cards. Stage only."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Annotated

from pydantic import (
    AfterValidator,
    AliasChoices,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
)

from tollhouse.acquirers.test_data import TestDataClient, TestDataRequest, TestPaymentData, Type
from tollhouse.api.fields.price import AnyCurrency, read_amount
from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.reading.body import Body
from tollhouse.api.reading.ids import read_id
from tollhouse.api.reading.requests import Digest, read_creation, read_query, read_request
from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response, build_http_response
from tollhouse.http.routes import Calls, call
from tollhouse.idempotency.create import create_once
from tollhouse.idempotency.model import Claim
from tollhouse.kernel.addresses import parse_address
from tollhouse.kernel.errors import Invalid
from tollhouse.kernel.money import AmountError, Currency, Money
from tollhouse.storage.database import Database, PlainConnection
from tollhouse.wire.render import render
from tollhouse.wire.stage import ListMeta, TestPaymentDataAnswer, TestPaymentDataListAnswer

#: The path of one test card.
ONE = "/testPaymentData/{testDataId}"
#: The default balance.
DEFAULT_BALANCE = Decimal(1_000_000)
MAX_ADDRESSES = 50
MAX_ADDRESS_LENGTH = 45
MAX_COMMENT_LENGTH = 255
MAX_LIMIT = 100
MAX_OFFSET = 2**31


def _check_address(value: str) -> str:
    if len(value) > MAX_ADDRESS_LENGTH or "%" in value:
        raise ValueError("is not an IP address")
    try:
        return str(parse_address(value))
    except ValueError:
        raise ValueError("is not an IP address") from None


#: An amount whose currency is not known yet; its decimals are checked later.
Balance = Annotated[
    Decimal, BeforeValidator(partial(read_amount, currency=None)), WithJsonSchema({"type": "number", "minimum": 0})
]
Address = Annotated[str, AfterValidator(_check_address), Field(examples=["203.0.113.45"])]


class TestPaymentDataRequest(Body):
    """A test card to create."""

    type: Type = Field(description="The brand of a card, or `sepa` for an account.")
    currency: AnyCurrency = Field("USD", description="ISO 4217.")
    balance: Balance = Field(
        DEFAULT_BALANCE, description="The balance, which charges reduce. No more decimals than the currency has."
    )
    allowedIps: list[Address] = Field(
        default_factory=list,
        max_length=MAX_ADDRESSES,
        description="The only IP addresses of consumers that can pay; empty: any.",
    )
    emulate3ds: bool = Field(False, description="Challenge every payment by the cardholder.")
    expired: bool = Field(False, description="Decline every charge as expired.")
    comment: str | None = Field(None, max_length=MAX_COMMENT_LENGTH, description="Yours.")

    @field_validator("balance", mode="after")
    @classmethod
    def _check_balance(cls, balance: Decimal, info: ValidationInfo) -> Decimal:
        if "currency" in info.data:
            Money.parse(balance, Currency.of(info.data["currency"]))
        return balance

    def to_request(self, claim: Claim | None) -> TestDataRequest:
        """Convert the request to the terms of the issuer, with the claim of its idempotency key."""
        return TestDataRequest(
            type=self.type,
            balance=Money.parse(self.balance, Currency.of(self.currency)),
            allowed_ips=list(dict.fromkeys(self.allowedIps)),
            emulate3ds=self.emulate3ds,
            expired=self.expired,
            comment=self.comment,
            request_key=claim.request_id if claim else None,
            request_digest=claim.digest.hex() if claim else None,
        )


class TestBalanceRequest(Body):
    """A new balance."""

    balance: Balance = Field(description="In the card's currency.")


class TestAddressesRequest(Body):
    """A new list of addresses."""

    ips: list[Address] = Field(
        validation_alias=AliasChoices("ips", "items", "allowedIps"),
        min_length=1,
        max_length=MAX_ADDRESSES,
        description="The new list; `items` and `allowedIps` are accepted too.",
    )


class TestPaymentDataQuery(Body):
    """The part of the list to return."""

    type: Type | None = Field(None, description="Only of this type.")
    limit: int = Field(MAX_LIMIT, ge=0, description=f"The maximum number; more than {MAX_LIMIT} is {MAX_LIMIT}.")
    offset: int = Field(0, ge=0, le=MAX_OFFSET, description="The number to skip.")


class TestCardCalls(Calls):
    """Test cards of a merchant. Stage only."""

    def __init__(
        self, test_data: TestDataClient, authenticator: RequestAuthenticator, database: Database, digest: Digest
    ) -> None:
        self._test_data = test_data
        self._authenticator = authenticator
        self._database = database
        self._digest = digest

    @call(
        "POST /testPaymentData",
        "Create a test card",
        Purpose.SETS_UP,
        TestPaymentDataRequest,
        TestPaymentDataAnswer,
        takes_request_id=True,
    )
    async def post_test_payment_data(self, request: Request) -> Response:
        """Create a test card with a balance, allowed addresses, 3-D Secure, expired or not. Stage only.

        The number is new and valid for its brand, and belongs to no real card. Pay with it as with any card, with any
        expiry date and security code.
        """
        valid = await read_creation(
            self._authenticator, request, TestPaymentDataRequest, operation="POST /testPaymentData", digest=self._digest
        )
        claim = valid.claim
        requested = valid.body.to_request(claim)
        made = render(build_answer(await self._test_data.create(valid.merchant.merchant_id, requested)))
        return build_http_response(await create_once(self._database, claim, _get_made, bytes, made))

    @call("GET /testPaymentData", "List your test cards", query=TestPaymentDataQuery, answer=TestPaymentDataListAnswer)
    async def list_test_payment_data(self, request: Request) -> Response:
        """Return the test cards, newest first. Stage only."""
        valid = await read_query(self._authenticator, request, TestPaymentDataQuery)
        wanted, limit = valid.body, min(valid.body.limit, MAX_LIMIT)
        found, total = await self._test_data.list(
            valid.merchant.merchant_id, type_=wanted.type, limit=limit, offset=wanted.offset
        )
        meta = ListMeta(total=total, offset=wanted.offset, limit=limit)
        page = TestPaymentDataListAnswer(data=[build_answer(data) for data in found], meta=meta)
        return Response(render(page))

    @call(f"GET {ONE}", "Get a test card", answer=TestPaymentDataAnswer)
    async def get_test_payment_data(self, request: Request) -> Response:
        """Return a test card with its balance and number of charges. Stage only."""
        merchant = await self._authenticator.access(request)
        return _show(await self._test_data.read(merchant.merchant_id, _read_data_id(request)))

    @call(f"DELETE {ONE}", "Delete a test card", Purpose.SETS_UP)
    async def delete_test_payment_data(self, request: Request) -> Response:
        """Delete a test card; later charges are declined with 5014. Stage only."""
        merchant = await self._authenticator.access(request)
        await self._test_data.delete(merchant.merchant_id, _read_data_id(request))
        return Response()

    @call(f"PUT {ONE}/balance", "Set a balance", Purpose.SETS_UP, TestBalanceRequest, TestPaymentDataAnswer)
    async def put_test_balance(self, request: Request) -> Response:
        """Set the balance of a test card. Stage only."""
        valid = await read_request(self._authenticator, request, TestBalanceRequest)
        merchant_id, data_id = valid.merchant.merchant_id, _read_data_id(request)
        before = await self._test_data.read(merchant_id, data_id)
        try:
            balance = Money.parse(valid.body.balance, before.balance.currency)
        except AmountError as error:
            raise Invalid({"balance": [str(error)]}) from None
        return _show(await self._test_data.change(merchant_id, data_id, balanceMinor=balance.amount_minor))

    @call(f"PUT {ONE}/allowedIps", "Set addresses", Purpose.SETS_UP, TestAddressesRequest, TestPaymentDataAnswer)
    async def put_test_addresses(self, request: Request) -> Response:
        """Set the addresses from which consumers may pay; others are declined with 5063. Stage only."""
        valid = await read_request(self._authenticator, request, TestAddressesRequest)
        addresses = list(dict.fromkeys(valid.body.ips))
        return _show(
            await self._test_data.change(valid.merchant.merchant_id, _read_data_id(request), allowedIps=addresses)
        )

    # The body is not read: the path has everything.

    @call(f"POST {ONE}/block", "Block a test card", Purpose.SETS_UP, answer=TestPaymentDataAnswer)
    async def block_test_payment_data(self, request: Request) -> Response:
        """Decline every charge with 5062. Stage only."""
        return await self._switch(request, blocked=True)

    @call(f"POST {ONE}/unblock", "Unblock a test card", Purpose.SETS_UP, answer=TestPaymentDataAnswer)
    async def unblock_test_payment_data(self, request: Request) -> Response:
        """Accept charges again. Stage only."""
        return await self._switch(request, blocked=False)

    @call(f"POST {ONE}/emulate3ds", "Enable 3-D Secure", Purpose.SETS_UP, answer=TestPaymentDataAnswer)
    async def emulate_test_3ds(self, request: Request) -> Response:
        """Challenge every payment by the cardholder; the code is 123456. Stage only."""
        return await self._switch(request, emulate3ds=True)

    @call(f"POST {ONE}/notEmulate3ds", "Disable 3-D Secure", Purpose.SETS_UP, answer=TestPaymentDataAnswer)
    async def skip_test_3ds(self, request: Request) -> Response:
        """Stop challenging payments. Stage only."""
        return await self._switch(request, emulate3ds=False)

    async def _switch(self, request: Request, **changes: bool) -> Response:
        merchant = await self._authenticator.access(request)
        return _show(await self._test_data.change(merchant.merchant_id, _read_data_id(request), **changes))


def build_answer(data: TestPaymentData) -> TestPaymentDataAnswer:
    """Build the model of the response."""
    return TestPaymentDataAnswer(
        id=data.id,
        type=data.type,
        number=data.number,
        balance=data.balance.to_decimal(),
        currency=data.currency,
        allowedIps=data.allowed_ips,
        emulate3ds=data.emulate3ds,
        blocked=data.blocked,
        expired=data.expired,
        comment=data.comment,
        transactions=data.transactions,
        createdAt=data.created_at,
        updatedAt=data.updated_at,
    )


def _show(data: TestPaymentData) -> Response:
    return Response(render(build_answer(data)))


def _read_data_id(request: Request) -> int:
    return read_id(request.path_parameters["testDataId"], "Test payment data not found.")


async def _get_made(_: PlainConnection, made: bytes) -> bytes:
    """Return the test card that the simulator made: no row of ours is written for it."""
    return made
