"""Payments for pure tests."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from tollhouse.catalog.model import Offset, Price
from tollhouse.kernel.money import Currency, Money
from tollhouse.payments.model import Attempt, AttemptState, Item, Mode, Payment, Source, Status
from tollhouse.vault.seal import Sealed

CREATED_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def payment(**changes: Any) -> Payment:
    """Return a payment of 19.99 whose acquirer is being asked."""
    defaults: dict[str, Any] = {
        "merchant_id": 1,
        "payment_id": 100_000_000,
        "transaction_id": 10_000_000,
        "site_id": 100,
        "descriptor": "SHOP",
        "consumer_id": "c" + "0" * 24,
        "external_id": "user-1",
        "consumer": {"firstName": "Jane"},
        "items": (item(),),
        "metadata": "{}",
        "ipn_url": "http://127.0.0.1:9/ipn",
        "ipn_format": "json",
        "redirect_url": "http://127.0.0.1:9/thanks",
        "request_id": "r1",
        "mode": Mode.SALE,
        "status": Status.PENDING,
        "money": Money(1999, Currency.of("USD")),
        "source": source(),
        "initiator": "customer",
        "reason": "one_click",
        "consumer_ip": "203.0.113.45",
        "emulate_code": None,
        "created_at": CREATED_AT,
        "attempt": attempt(),
        "usd_per_unit": Decimal(1),
    }
    return Payment(**(defaults | changes))


def item(*prices: Price, **changes: Any) -> Item:
    """Return what was bought: something at 19.99, or at these prices."""
    defaults: dict[str, Any] = {
        "site_id": 100,
        "sku_name": None,
        "title": "Premium",
        "prices": prices or (Price(Offset(0, "d"), Money(1999, Currency.of("USD")), repeat=False),),
    }
    return Item(**(defaults | changes))


def source(**changes: Any) -> Source:
    """Return the seed's card as it may be shown."""
    defaults: dict[str, Any] = {
        "kind": "card",
        "brand": "visa",
        "masked_number": "402400****6348",
        "expiry_month": 12,
        "expiry_year": 2029,
        "account_id": UUID(int=7),
        "is_stored": False,
    }
    return Source(**(defaults | changes))


def attempt(state: AttemptState = AttemptState.IN_FLIGHT) -> Attempt:
    """Return the first attempt of a payment."""
    return Attempt(
        number=1,
        acquirer="scripted",
        reference="10000000-1",
        state=state,
        card=Sealed(b"sealed", 1),
        fingerprint=b"fingerprint",
        sent_at=CREATED_AT,
    )
