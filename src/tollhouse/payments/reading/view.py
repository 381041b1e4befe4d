"""Build the public form of a payment: the same blocks in responses, callbacks and queries. Pure."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import msgspec

from tollhouse.catalog.model import Price
from tollhouse.catalog.prices import find_first_renewal, select_due_at_once, sum_due_at_once
from tollhouse.kernel import codes
from tollhouse.kernel.money import Money
from tollhouse.payments.model import Payment, Status, Subscribing, SubscriptionSummary
from tollhouse.payments.reading.public_names import name_transaction
from tollhouse.rates.model import convert
from tollhouse.wire.answers import ConsumerBlock, SourceAnswer, SubscriptionBlock, VatBlock
from tollhouse.wire.render import build_moment, build_timestamp, leave_out_none, render, render_date, render_json

#: The description of a payment with an open outcome.
PENDING_TEXT = "PENDING"

CONSUMER_FIELDS = [name for name in ConsumerBlock.model_fields if name not in {"id", "externalId", "blocked"}]


def render_response(payment: Payment, *, url: str | None = None) -> bytes:
    """Render the response for a payment; with a `url` its action is `redirect`."""
    return render_json(build_response(payment, url=url))


def render_event(payment: Payment) -> bytes:
    """Render the callback about a finished payment: a `PaymentEvent`, which is the response plus a timestamp."""
    timestamp = render(build_timestamp(payment.finished_at or payment.created_at))
    return (payment.rendered or render_response(payment))[:-1] + b',"timestamp":' + timestamp + b"}"


def build_response(payment: Payment, *, url: str | None = None) -> dict[str, Any]:
    """Build the response, the fields of a `PaymentAnswer`. Its metadata are exactly the stored text."""
    subscriptions = build_subscription_blocks(payment)
    return leave_out_none(
        payment=build_payment_block(payment, url),
        consumer=build_consumer_block(payment),
        subscription=subscriptions[0] if subscriptions else None,
        subscriptions=subscriptions if len(subscriptions) > 1 else None,
        metadata=msgspec.Raw(payment.metadata.encode()),
    )


def build_payment_block(payment: Payment, url: str | None) -> dict[str, Any]:
    """Build the `payment` object, a `PaymentBlock`. An open outcome also has code `0`; its status is `pending`."""
    code = codes.get_code(payment.code or codes.APPROVED)
    dispute, basis = payment.dispute, payment.basis
    name = name_transaction(payment.mode, payment.status, dispute.step if dispute else None)
    excess = Money(dispute.excess_minor, payment.money.currency) if dispute and dispute.excess_minor else None
    return leave_out_none(
        code=code.code,
        description=_describe_code(payment, code),
        action="redirect" if url else name.action,
        url=url,
        mode=name.mode,
        status=name.status,
        codeCategory=code.category,
        amount=payment.money.to_decimal(),
        excessAmount=None if excess is None else excess.to_decimal(),
        currency=payment.money.currency.code,
        amountUsd=_convert_to_usd(payment),
        orderId=str(payment.payment_id),
        transactionId=str(payment.transaction_id),
        parentTransactionId=None if basis is None else str(basis.transaction_id),
        descriptor=payment.descriptor,
        apiPaymentSource=payment.source.kind,
        source=build_source_block(payment),
        timestamp=build_moment(payment.finished_at or payment.created_at),
        vat=build_vat_block(payment),
    )


def _describe_code(payment: Payment, code: codes.Code) -> str:
    """Return the text of the code; for a chargeback the issuer's reason."""
    if payment.status is Status.PENDING:
        return PENDING_TEXT
    if payment.dispute is not None and payment.basis is not None and payment.basis.reason:
        return payment.basis.reason
    return code.text


def _convert_to_usd(payment: Payment) -> Decimal | None:
    """Return the amount in US dollars by the rate of the payment; None for a chargeback in another currency."""
    rate, currency = payment.usd_per_unit, payment.money.currency
    prices = charged_prices(payment) if payment.dispute else []
    if rate is None or any(price.money.currency != currency for price in prices):
        return None
    return payment.money.to_decimal() if rate == 1 else convert(payment.money, rate)


def build_vat_block(payment: Payment) -> VatBlock | None:
    """Build the `vat` object: the taxes in the charged or held amount; None if its prices have none."""
    prices = charged_prices(payment)
    taxes = [price.tax.amount_minor for price in prices if price.tax is not None]
    if not taxes or sum(price.money.amount_minor for price in prices) != payment.money.amount_minor:
        return None
    vat = Money(sum(taxes), payment.money.currency)
    rate = payment.usd_per_unit
    return VatBlock(amount=vat.to_decimal(), amountUsd=None if rate is None else convert(vat, rate))


def charged_prices(payment: Payment) -> list[Price]:
    """Return the prices that make up the amount: those due at once, or the one that is captured later."""
    due = [price for item in payment.items for price in select_due_at_once(item.prices)]
    return due if any(price.money.amount_minor for price in due) else list(payment.items[0].prices[:1])


def build_source_block(payment: Payment) -> SourceAnswer:
    """Build the `payment.source` object."""
    source = payment.source
    return SourceAnswer(
        number=source.masked_number,
        brand=source.brand,
        paymentAccountId=str(source.account_id),
        expirationMonth=source.expiry_month,
        expirationYear=source.expiry_year % 100,
        disabled=source.is_disabled,
    )


def build_consumer_block(payment: Payment) -> dict[str, Any]:
    """Build the `consumer` object: the gateway's ID, the merchant's own, and the fields of this request."""
    known = {name: payment.consumer.get(name) for name in CONSUMER_FIELDS}
    is_blocked = payment.code == codes.BLACKLISTED
    return leave_out_none(id=payment.consumer_id, externalId=payment.external_id, **known, blocked=is_blocked)


def build_subscription_blocks(payment: Payment) -> list[SubscriptionBlock]:
    """Build an object for each subscription: those that it starts once approved, or the one that it concerns."""
    if payment.subscription_summaries:
        return [build_subscription_block(summary) for summary in payment.subscription_summaries]
    if payment.status is not Status.SUCCESS:
        return []
    return [
        build_subscription_block(_summarize_new_subscription(payment, subscribing))
        for subscribing in payment.subscribing
    ]


def build_subscription_block(summary: SubscriptionSummary) -> SubscriptionBlock:
    """Build the `subscription` object. A subscription that has ended has no renewal date."""
    is_over = summary.status in {"canceled", "expired"}
    renewal_at = None if is_over else summary.renewal_at
    return SubscriptionBlock(
        id=str(summary.subscription_id),
        status=summary.status,
        cycle=summary.cycle,
        renewalDate=None if renewal_at is None else render_date(renewal_at),
        cancelDate=None if summary.cancel_at is None else render_date(summary.cancel_at),
        skuName=summary.sku_name,
        siteId=str(summary.site_id),
        consumerId=summary.consumer_id,
    )


def _summarize_new_subscription(payment: Payment, subscribing: Subscribing) -> SubscriptionSummary:
    """Build the summary of a subscription that an approved first payment starts."""
    return SubscriptionSummary(
        subscription_id=subscribing.subscription_id,
        status="active" if sum_due_at_once(subscribing.prices).amount_minor else "trial",
        cycle=0,
        site_id=subscribing.item.site_id,
        consumer_id=payment.consumer_id,
        sku_name=subscribing.item.sku_name,
        renewal_at=find_first_renewal(subscribing.prices, payment.finished_at or payment.created_at),
        cancel_at=None,
    )
