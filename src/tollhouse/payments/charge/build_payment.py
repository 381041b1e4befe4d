"""Build the payment of an intent: take its IDs, seal its card, digest it against double clicks. Stores nothing."""

from __future__ import annotations

from typing import Any

import msgspec

from tollhouse.catalog.prices import has_later_charges
from tollhouse.consumers.store import ConsumerRow
from tollhouse.notices.model import DEFAULT_LANGUAGE, Recipient, read_recipient
from tollhouse.payments.charge.intent import Intent
from tollhouse.payments.dependencies import ChargeDependencies
from tollhouse.payments.lifecycle import name_attempt
from tollhouse.payments.model import Attempt, AttemptState, Holding, Mode, Payment, Status, Subscribing
from tollhouse.payments.records import item_to_json
from tollhouse.wire.render import render_json


async def build_payment(deps: ChargeDependencies, intent: Intent) -> Payment:
    """Build a payment with new IDs and a sealed card."""
    asked, site, payer = intent.requested, intent.site, intent.payer
    payment_id = asked.page_try.payment_id if asked.page_try else await deps.numbers.next_number()
    transaction_id = await deps.numbers.next_number()
    subscribing = await _build_subscribing(deps, intent)
    now = deps.clock.now()
    return Payment(
        merchant_id=asked.merchant_id,
        payment_id=payment_id,
        transaction_id=transaction_id,
        site_id=site.site_id,
        descriptor=site.descriptor or site.name,
        consumer_id=payer.consumer_id,
        external_id=payer.external_id,
        consumer=payer.profile,
        items=intent.items,
        metadata=asked.metadata,
        ipn_url=intent.ipn_url,
        ipn_format=site.ipn_format,
        redirect_url=intent.redirect_url,
        request_id=asked.request_id,
        mode=intent.mode,
        status=Status.PENDING,
        money=intent.money,
        source=intent.source,
        initiator=asked.source.initiator,
        reason=intent.reason,
        consumer_ip=asked.consumer.ip,
        emulate_code=asked.source.emulate_code,
        created_at=now + deps.clock.offset_of(asked.merchant_id),
        attempt=Attempt(
            number=1,
            acquirer=intent.acquirer,
            reference=name_attempt(transaction_id, 1),
            state=AttemptState.IN_FLIGHT,
            card=deps.authentication.vault.seal_card(
                intent.card.card, merchant_id=asked.merchant_id, account_id=intent.source.account_id
            ),
            fingerprint=intent.fingerprint,
            sent_at=now,
            send_before=deps.attempts.timeouts.send_before(),
        ),
        network_transaction_id=intent.network_transaction_id,
        usd_per_unit=deps.rates.usd_per_unit(intent.money.currency),
        holding=_build_holding(intent),
        subscribing=subscribing,
        renewing=asked.renewing,
        changing=asked.changing.subscription_id if asked.changing else None,
        subscription_summaries=(asked.changing,) if asked.changing else (),
        double_click_digest=_digest_purchase(deps, intent),
        may_redirect=intent.may_redirect,
        proceed_without_3ds=site.proceed_without_3ds,
        page_try=asked.page_try.number if asked.page_try else None,
        mid=asked.source.mid,
        external_authentication=asked.source.external_authentication,
        recipient=_choose_recipient(intent),
    )


def _choose_recipient(intent: Intent) -> Recipient | None:
    """Return the recipient of emails: as requested, or the consumer; None without a valid address."""
    request, profile = intent.requested.receipt, intent.payer.profile
    if request is None:
        return None
    to = read_recipient(request.to or profile.get("email"))
    if to is None:
        return None
    return Recipient(to, request.language or profile.get("browserLanguage") or DEFAULT_LANGUAGE, intent.site.name)


def build_consumer_row(intent: Intent) -> ConsumerRow | None:
    """Return the consumer to be created, or None if they exist."""
    payer = intent.payer
    if payer.is_known:
        return None
    profile = render_json(dict(payer.profile)).decode()
    return ConsumerRow(intent.requested.merchant_id, payer.consumer_id, payer.external_id, profile)


def _build_holding(intent: Intent) -> Holding | None:
    """Return the dates of an authorization that is captured later, which its only price determines."""
    if not _is_captured_later(intent):
        return None
    return Holding(intent.items[0].prices[0].offset.count, intent.card.card.number.brand.authorization_days)


def _is_captured_later(intent: Intent) -> bool:
    return intent.mode is Mode.AUTH and intent.money.amount_minor > 0


async def _build_subscribing(deps: ChargeDependencies, intent: Intent) -> tuple[Subscribing, ...]:
    """Assign an ID to a subscription for each schedule with later charges."""
    asked = intent.requested
    if _is_captured_later(intent) or asked.changing:
        return ()
    scheduled = [item for item in intent.items if has_later_charges(item.prices)]
    known = asked.page_try.subscription_ids if asked.page_try else ()
    numbers = known or [await deps.numbers.next_number() for _ in scheduled]
    return tuple(Subscribing(number, item) for number, item in zip(numbers, scheduled, strict=True))


def _digest_purchase(deps: ChargeDependencies, intent: Intent) -> bytes | None:
    """Hash the content that two requests of one payment share: all but ID, token and security code.

    Payment pages and billing prevent double charges by other means: a page is charged once with any card, and two
    subscriptions may be renewed alike at the same moment.
    """
    asked = intent.requested
    if asked.page_try or asked.renewing or not intent.site.guards_double_clicks:
        return None
    return deps.authentication.vault.digest(msgspec.json.encode(_describe_purchase(intent), order="deterministic"))


def _describe_purchase(intent: Intent) -> list[Any]:
    """List the compared content of a payment. Derived values such as the acquirer are not compared."""
    asked, payer, card = intent.requested, intent.payer, intent.card.card
    source, consumer = asked.source, asked.consumer
    is_named = payer.is_known or payer.external_id is not None
    named, is_asking = payer.consumer_id if is_named else None, intent.asks_authentication
    return [
        [asked.merchant_id, intent.site.site_id, asked.changing.subscription_id if asked.changing else None],
        [intent.mode, intent.money, [item_to_json(item) for item in intent.items]],
        [named, payer.external_id, payer.profile, consumer.ip, consumer.browser],
        [asked.metadata, intent.ipn_url, intent.redirect_url, asked.receipt, source.emulate_code],
        [source.kind, intent.fingerprint, card.expiry.month, card.expiry.year, card.holder, card.zip],
        [source.initiator, intent.reason, is_asking, intent.may_redirect, source.mid, source.external_authentication],
    ]
