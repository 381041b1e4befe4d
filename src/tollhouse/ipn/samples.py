"""Sample events of every kind, made of facts that never were, by the code that makes the real ones. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import get_args
from uuid import UUID

from tollhouse.billing.model import Happening, HappeningKind, State, Subscription
from tollhouse.billing.schedule import Plan
from tollhouse.catalog.model import Offset, Price
from tollhouse.ipn.form import Form
from tollhouse.ipn.happen import render_happening
from tollhouse.ipn.legacy import build_xml
from tollhouse.ipn.model import Delivery
from tollhouse.ipn.record import RecordEvent
from tollhouse.kernel.money import Currency, Money
from tollhouse.payments.model import Attempt, AttemptState, Item, Mode, Payment, Source, Status

MERCHANT_ID = 1
SITE_ID = 983_759_353
ORDER_ID = 1_000_000_000_000_100
SUBSCRIPTION_ID = 1_000_000_000_000_300
CONSUMER_ID = "c0d1e2f3g4h5j6k7m8n9p0q1r"
CONSUMER = {"firstName": "Jane", "lastName": "Smith", "email": "jane@shop.example", "country": "USA"}
METADATA = '{"orderId":"my-42"}'
CODES: Mapping[Status, str] = {Status.SUCCESS: "0", Status.FAIL: "5051"}

USD = Currency.of("USD")
PRICE = Money(1999, USD)

#: The kinds about transactions, and those about subscriptions.
TRANSACTION_KINDS = tuple(mode.value for mode in Mode)
SUBSCRIPTION_KINDS: tuple[str, ...] = get_args(HappeningKind)
KINDS = TRANSACTION_KINDS + SUBSCRIPTION_KINDS


def build_sample(kind: str, *, at: datetime, url: str, form: Form = "json", failed: bool = False) -> Delivery:
    """Return a delivery of a sample event. Raises ValueError for a kind or a form that there is not."""
    if kind in SUBSCRIPTION_KINDS:
        if form == "legacy" or failed:
            raise ValueError("An event about a subscription has no legacy form, and does not fail.")
        return _build_subscription_sample(kind, at=at, url=url)
    payment = _build_payment(Mode(kind), Status.FAIL if failed else Status.SUCCESS, at)
    [row] = RecordEvent().rows(payment)
    body = row.body if form == "json" else build_xml(payment)
    return _deliver(
        row.kind,
        row.status,
        body,
        url=url,
        form=form,
        payment_id=payment.payment_id,
        transaction_id=payment.transaction_id,
    )


def _build_subscription_sample(kind: str, *, at: datetime, url: str) -> Delivery:
    subscription = _build_subscription(at)
    found: HappeningKind = next(each for each in get_args(HappeningKind) if each == kind)
    happening = Happening(found, subscription, at, "")
    body = render_happening(happening, consumer=CONSUMER, metadata=METADATA)
    return _deliver(kind, subscription.state.value, body, url=url, subscription_id=subscription.subscription_id)


def _deliver(
    kind: str,
    status: str,
    body: bytes,
    *,
    url: str,
    form: Form = "json",
    payment_id: int | None = None,
    transaction_id: int | None = None,
    subscription_id: int | None = None,
) -> Delivery:
    return Delivery(
        merchant_id=MERCHANT_ID,
        event_id=ORDER_ID,
        number=1,
        form=form,
        host_id=0,
        lease=0,
        url=url,
        body=body,
        sequence=1,
        kind=kind,
        payment_id=payment_id,
        transaction_id=transaction_id,
        subscription_id=subscription_id,
        status=status,
        request_id=None,
        attempts=0,
        age=timedelta(),
    )


def _build_payment(mode: Mode, status: Status, at: datetime) -> Payment:
    """Build a payment of 19.99 that was settled at a moment."""
    prices = (Price(Offset(0, "d"), PRICE, repeat=False),)
    return Payment(
        merchant_id=MERCHANT_ID,
        payment_id=ORDER_ID,
        transaction_id=ORDER_ID + 100,
        site_id=SITE_ID,
        descriptor="shop.example",
        consumer_id=CONSUMER_ID,
        external_id="user-00123",
        consumer=CONSUMER,
        items=(Item(site_id=SITE_ID, sku_name=None, title="Sample", prices=prices),),
        metadata=METADATA,
        ipn_url="",
        ipn_format="json",
        redirect_url="",
        request_id="",
        mode=mode,
        status=status,
        money=PRICE,
        source=Source(
            kind="card",
            brand="visa",
            masked_number="402400****6348",
            expiry_month=12,
            expiry_year=2030,
            account_id=UUID(int=7),
            is_stored=False,
        ),
        initiator="customer",
        reason="one_click",
        consumer_ip="203.0.113.45",
        emulate_code=None,
        created_at=at,
        attempt=Attempt(
            number=1,
            acquirer="sample",
            reference="sample",
            state=AttemptState.APPROVED if status is Status.SUCCESS else AttemptState.DECLINED,
            card=None,
            fingerprint=b"",
            sent_at=at,
        ),
        code=CODES[status],
        settled_at=at,
        usd_per_unit=Decimal(1),
    )


def _build_subscription(at: datetime) -> Subscription:
    """Build a subscription that ends at a moment."""
    prices = (
        Price(Offset(0, "d"), PRICE, repeat=False),
        Price(Offset(30, "d"), PRICE, repeat=True),
    )
    return Subscription(
        merchant_id=MERCHANT_ID,
        subscription_id=SUBSCRIPTION_ID,
        payment_id=ORDER_ID,
        site_id=SITE_ID,
        consumer_id=CONSUMER_ID,
        account_id=UUID(int=7),
        sku_name=None,
        title="Sample",
        state=State.CANCELED,
        plan=Plan(prices, at),
        next_period=1,
        tries=0,
        cycle=0,
        created_at=at,
        began_as_trial=False,
        renewal_at=None,
        charge_at=None,
        charged_at=at,
        paid_until=at + timedelta(days=30),
        cancel_at=at,
    )
