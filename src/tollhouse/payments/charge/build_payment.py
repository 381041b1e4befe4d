"""From an order to the intention that is committed: ids taken, card sealed, digest of a double click made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from tollhouse.catalog.prices import has_later_charges
from tollhouse.consumers.store import ConsumerRow
from tollhouse.notices.model import DEFAULT_LANGUAGE, Recipient, read_recipient
from tollhouse.payments.lifecycle import name_attempt
from tollhouse.payments.model import Attempt, AttemptState, Holding, Mode, Order, Payment, Status, Subscribing
from tollhouse.payments.records import item_to_json
from tollhouse.wire.render import render_json

if TYPE_CHECKING:
    from tollhouse.payments.tools import Tools


async def build_payment(tools: Tools, order: Order) -> Payment:
    """Take ids for an order and seal its card. Nothing is written yet."""
    payment_id = order.page_try.payment_id if order.page_try else await tools.payment_numbers.take()
    transaction_id = await tools.transaction_numbers.take()
    # One moment, by two clocks.
    now = tools.clock.now()
    return Payment(
        merchant_id=order.merchant_id,
        payment_id=payment_id,
        transaction_id=transaction_id,
        site_id=order.site.site_id,
        descriptor=order.site.descriptor or order.site.name,
        consumer_id=order.consumer_id,
        external_id=order.external_id,
        consumer=order.consumer,
        items=order.items,
        metadata=order.metadata,
        ipn_url=order.ipn_url,
        ipn_format=order.site.ipn_format,
        redirect_url=order.redirect_url,
        request_id=order.request_id,
        mode=order.mode,
        status=Status.PENDING,
        money=order.money,
        source=order.source,
        initiator=order.initiator,
        reason=order.reason,
        consumer_ip=order.consumer_ip,
        emulate_code=order.emulate_code,
        created_at=now + tools.clock.offset_of(order.merchant_id),
        attempt=Attempt(
            number=1,
            acquirer=order.acquirer,
            reference=name_attempt(transaction_id, 1),
            state=AttemptState.IN_FLIGHT,
            card=tools.vault.seal_card(
                order.instrument.card, merchant_id=order.merchant_id, account_id=order.source.account_id
            ),
            fingerprint=order.fingerprint,
            sent_at=now,
            send_before=tools.patience.send_before(),
        ),
        network_transaction_id=order.network_transaction_id,
        usd_per_unit=tools.rates.usd_per_unit(order.money.currency),
        holding=_build_holding(order),
        subscribing=await _build_subscribing(tools, order),
        renewing=order.renewing,
        changing=order.changing,
        standings=order.standings,
        double_click_digest=_digest_of_purchase(tools, order),
        may_redirect=order.may_redirect,
        proceed_without_3ds=order.site.proceed_without_3ds,
        page_try=order.page_try.number if order.page_try else None,
        mid=order.mid,
        endorsement=order.endorsement,
        addressee=_choose_addressee(order),
    )


def _choose_addressee(order: Order) -> Recipient | None:
    """Say to whom letters go: where the request says, else to the consumer; to nobody where that is no address."""
    wish = order.receipt
    if wish is None:
        return None
    to = read_recipient(wish.to or order.consumer.get("email"))
    if to is None:
        return None
    language = wish.language or order.consumer.get("browserLanguage") or DEFAULT_LANGUAGE
    return Recipient(to, language, order.site.name)


def build_consumer_row(order: Order) -> ConsumerRow | None:
    """Return the consumer to be created if it is not there."""
    if order.is_consumer_known:
        return None
    return ConsumerRow(order.merchant_id, order.consumer_id, order.external_id, _profile_of(order))


def _profile_of(order: Order) -> str:
    return render_json(dict(order.consumer)).decode()


def _build_holding(order: Order) -> Holding | None:
    """Say how long an authorization stays open; its only price says when it is captured."""
    if not _is_captured_later(order):
        return None
    return Holding(order.items[0].prices[0].offset.count, order.instrument.card.number.brand.authorization_days)


def _is_captured_later(order: Order) -> bool:
    return order.mode is Mode.AUTH and order.money.amount_minor > 0


async def _build_subscribing(tools: Tools, order: Order) -> tuple[Subscribing, ...]:
    """Name a subscription for each schedule that charges later."""
    if _is_captured_later(order) or order.changing:
        return ()
    scheduled = [item for item in order.items if has_later_charges(item.prices)]
    known = order.page_try.subscription_ids if order.page_try else ()
    numbers = known or [await tools.subscription_numbers.take() for _ in scheduled]
    return tuple(Subscribing(number, item) for number, item in zip(numbers, scheduled, strict=True))


def _digest_of_purchase(tools: Tools, order: Order) -> bytes | None:
    """Hash what makes two requests one purchase: the whole of the request but its id, token and security code.

    A payment page guards its purchase in its own way: whatever card is tried, it is charged once. So does billing; two
    subscriptions may well be renewed alike in the same moment.
    """
    if order.page_try or order.renewing or not order.site.guards_double_clicks:
        return None
    content = {name: getattr(order, name) for name in Order.__struct_fields__ if name not in NOT_COMPARED}
    is_named = order.is_consumer_known or order.external_id is not None
    card = order.instrument.card
    content |= {
        "site": order.site.site_id,
        "who": order.consumer_id if is_named else None,
        "source": order.source.kind,
        "fingerprint": order.fingerprint,
        "card": [card.expiry.month, card.expiry.year, card.holder, card.zip],
        "items": [item_to_json(item) for item in order.items],
    }
    return tools.vault.digest(msgspec.json.encode(content, order="deterministic"))


#: Two equal requests may differ in their ids, the token and the security code, of which nothing is kept. Not asked but
#: found out are the route and the state of a card. The rest is in the digest in another form.
NOT_COMPARED = frozenset(
    {
        "request_id",
        "claim",
        "token_id",
        "instrument",
        "acquirer",
        "network_transaction_id",
        "refused_with",
        "standings",
        "page_try",
        "renewing",
        "site",
        "consumer_id",
        "is_consumer_known",
        "source",
        "fingerprint",
        "items",
    }
)
