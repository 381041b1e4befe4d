"""Test payment data, stored by the simulated issuer and managed by the API. Stage only."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeVar

import msgspec

from tollhouse.kernel.clock import boot_seconds
from tollhouse.kernel.errors import UNREADABLE, NotFound, RequestIdReused, Unavailable
from tollhouse.kernel.money import Currency, Money
from tollhouse.transport.model import NoResponse, RequestNotSent, Transport

Type = Literal["maestro", "mastercard", "sepa", "visa", "discover", "unionpay", "jcb", "diners", "amex"]

TIMEOUT_SECONDS = 8.0


class TestPaymentData(msgspec.Struct, rename="camel", frozen=True):
    """A card or account for tests. Its balance may be negative, after a reversed refund."""

    id: int
    type: str
    number: str
    balance_minor: int
    currency: str
    allowed_ips: list[str]
    emulate3ds: bool
    blocked: bool
    expired: bool
    comment: str | None
    transactions: int
    created_at: str
    updated_at: str

    @property
    def balance(self) -> Money:
        """The balance as money."""
        return Money(self.balance_minor, Currency.of(self.currency))


class _One(msgspec.Struct, rename="camel"):
    data: TestPaymentData | None
    is_reused: bool = False


class _TestDataPage(msgspec.Struct):
    data: list[TestPaymentData]
    total: int


class _Deleted(msgspec.Struct, rename="camel"):
    is_deleted: bool


_one = msgspec.json.Decoder(_One)
_page = msgspec.json.Decoder(_TestDataPage)
_deleted = msgspec.json.Decoder(_Deleted)
_encode = msgspec.json.Encoder().encode

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class TestDataRequest:
    """Requested test data. `request_key` and `request_digest` identify the request, so that it runs once."""

    type: Type
    balance: Money
    allowed_ips: list[str]
    emulate3ds: bool
    expired: bool
    comment: str | None
    request_key: str | None = None
    request_digest: str | None = None


class TestDataClient:
    """A client of the issuer for merchants' test data. Raises NotFound, and Unavailable if the issuer does not respond.

    The issuer dates its records by the merchant's clock, which `now_of` returns.
    """

    def __init__(self, transport: Transport, now_of: Callable[[int], datetime]) -> None:
        self._transport = transport
        self._now_of = now_of

    async def create(self, merchant_id: int, requested: TestDataRequest) -> TestPaymentData:
        """Create test data. Raises RequestIdReused."""
        found = await self._ask(
            _one,
            "create",
            merchant_id,
            type=requested.type,
            balanceMinor=requested.balance.amount_minor,
            currency=requested.balance.currency.code,
            allowedIps=requested.allowed_ips,
            emulate3ds=requested.emulate3ds,
            expired=requested.expired,
            comment=requested.comment,
            requestKey=requested.request_key,
            requestDigest=requested.request_digest,
            at=self._now_of(merchant_id),
        )
        if found.is_reused:
            raise RequestIdReused
        return _expect(found)

    async def list(
        self, merchant_id: int, *, type_: Type | None, limit: int, offset: int
    ) -> tuple[list[TestPaymentData], int]:
        """Return a page of a merchant's data, newest first, and the total number."""
        found = await self._ask(_page, "list", merchant_id, type=type_, limit=limit, offset=offset)
        return found.data, found.total

    async def read(self, merchant_id: int, data_id: int) -> TestPaymentData:
        """Return one record."""
        return _expect(await self._ask(_one, "read", merchant_id, id=data_id))

    async def change(self, merchant_id: int, data_id: int, **changes: Any) -> TestPaymentData:
        """Change `balanceMinor`, `allowedIps`, `emulate3ds` or `blocked`, and return the changed record."""
        at = self._now_of(merchant_id)
        return _expect(await self._ask(_one, "change", merchant_id, id=data_id, at=at, **changes))

    async def delete(self, merchant_id: int, data_id: int) -> None:
        """Delete one record."""
        found = await self._ask(_deleted, "delete", merchant_id, id=data_id)
        if not found.is_deleted:
            raise NotFound("Test payment data not found.")

    async def _ask(self, decoder: msgspec.json.Decoder[Found], verb: str, merchant_id: int, **message: object) -> Found:
        body = _encode({"merchantId": merchant_id, **message})
        try:
            answer = await self._transport.post(
                f"/control/test-data/{verb}",
                body,
                timeout_seconds=TIMEOUT_SECONDS,
                send_before=boot_seconds() + TIMEOUT_SECONDS,
            )
            return decoder.decode(answer)
        except (RequestNotSent, NoResponse, *UNREADABLE) as error:
            raise Unavailable("The simulator did not respond. Try again.") from error


def _expect(found: _One) -> TestPaymentData:
    if found.data is None:
        raise NotFound("Test payment data not found.")
    return found.data
