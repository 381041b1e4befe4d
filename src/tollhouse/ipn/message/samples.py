"""Build sample events of every kind from invented facts, with the code that builds the real ones. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import get_args
from uuid import UUID

from msgspec.structs import replace

from tollhouse.billing.model import (
    CANCELED,
    CARD_EXPIRING,
    EXPIRED,
    EndReason,
    LifecycleEvent,
    LifecycleEventKind,
    Subscription,
    SubscriptionState,
)
from tollhouse.billing.schedule import Plan
from tollhouse.catalog.model import Offset, Price
from tollhouse.ipn.form import CANCEL, Form
from tollhouse.ipn.message.legacy import build_xml
from tollhouse.ipn.message.lifecycle_events import STATUSES, render_cancel, render_card
from tollhouse.ipn.message.record import RecordEvent
from tollhouse.ipn.model import Delivery
from tollhouse.kernel.money import Currency, Money
from tollhouse.payments.dispute_steps import Dispute, DisputeStep
from tollhouse.payments.model import Attempt, AttemptState, Item, Mode, OriginalTransaction, Payment, Source, Status
from tollhouse.payments.reading.public_names import OPERATIONS, name_event

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

#: Further facts about a subscription.
TERMS = {
    "consumer": json.dumps(CONSUMER),
    "metadata": METADATA,
    "last_payment_id": ORDER_ID,
    "last_decline": CODES[Status.FAIL],
}
STATES: Mapping[str, SubscriptionState] = {CANCELED: SubscriptionState.CANCELED, EXPIRED: SubscriptionState.EXPIRED}

#: The kinds of events about transactions, and those about subscriptions.
OPERATION_KINDS: Mapping[str, Mode] = {name_event(mode): mode for mode in OPERATIONS}
DISPUTE_KINDS: Mapping[str, DisputeStep] = {name_event(Mode.CHARGEBACK, step): step for step in DisputeStep}
TRANSACTION_KINDS = (*OPERATION_KINDS, *DISPUTE_KINDS)
SUBSCRIPTION_KINDS: tuple[str, ...] = get_args(LifecycleEventKind)
KINDS = TRANSACTION_KINDS + SUBSCRIPTION_KINDS


def build_sample(kind: str, *, at: datetime, url: str, form: Form = "json", failed: bool = False) -> Delivery:
    """Return a delivery of a sample event. Raises ValueError for an unknown kind or form."""
    if kind in SUBSCRIPTION_KINDS:
        if form == "legacy" or failed:
            raise ValueError("An event about a subscription has no legacy form, and does not fail.")
        return _build_subscription_sample(kind, at=at, url=url)
    if kind in DISPUTE_KINDS and failed:
        raise ValueError("A chargeback does not fail.")
    payment = _build_transaction(kind, Status.FAIL if failed else Status.SUCCESS, at)
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
    subscription = _build_subscription(at, STATES.get(kind, SubscriptionState.ACTIVE))
    found: LifecycleEventKind = next(each for each in get_args(LifecycleEventKind) if each == kind)
    lifecycle_event = LifecycleEvent(found, subscription, at, "")
    subscription_id = subscription.subscription_id
    if found == CARD_EXPIRING:
        body = render_card(lifecycle_event, TERMS)
        return _deliver(kind, subscription.state.value, body, url=url, subscription_id=subscription_id)
    body = render_cancel(lifecycle_event, TERMS, transaction_id=ORDER_ID + 200)
    return _deliver(
        CANCEL,
        STATUSES[found],
        body,
        url=url,
        payment_id=ORDER_ID,
        transaction_id=ORDER_ID + 200,
        subscription_id=subscription_id,
    )


def _build_transaction(kind: str, status: Status, at: datetime) -> Payment:
    """Build the transaction of a kind, with its original transaction if it is an operation."""
    step = DISPUTE_KINDS.get(kind)
    mode = Mode.CHARGEBACK if step else OPERATION_KINDS[kind]
    payment = _build_payment(mode, status, at)
    if mode.is_first:
        return payment
    moved = PRICE.amount_minor if step in {DisputeStep.FIRST, DisputeStep.SECOND, DisputeStep.WON} else 0
    return replace(
        payment,
        transaction_id=payment.transaction_id + 100,
        basis=OriginalTransaction(payment.transaction_id, Mode.SALE, payment.money.amount_minor),
        dispute=Dispute(step, moved, 0) if step else None,
    )


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
    """Build a payment of 19.99 that finished at a time."""
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
        finished_at=at,
        usd_per_unit=Decimal(1),
    )


def _build_subscription(at: datetime, state: SubscriptionState) -> Subscription:
    """Build a subscription to which something happens at a moment."""
    prices = (Price(Offset(0, "d"), PRICE, repeat=False), Price(Offset(30, "d"), PRICE, repeat=True))
    return Subscription(
        merchant_id=MERCHANT_ID,
        subscription_id=SUBSCRIPTION_ID,
        payment_id=ORDER_ID,
        site_id=SITE_ID,
        consumer_id=CONSUMER_ID,
        account_id=UUID(int=7),
        sku_name=None,
        title="Sample",
        state=state,
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
        cancel_at=at if state is SubscriptionState.CANCELED else None,
        ended_with=EndReason.UNPAID if state is SubscriptionState.EXPIRED else None,
    )
