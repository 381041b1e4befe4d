"""Paying a link: one try of its purchase with a card, or with a stored one and its security code.

Whatever a browser sends twice, one form is one try and one purchase is charged once; the database sees to that
(`payments.store`). What the page was made with holds, not what a browser says, but for the card and its holder's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest
from typing import TYPE_CHECKING, Any
from uuid import UUID

from msgspec.structs import replace

from tollhouse.consumers.model import Consumer
from tollhouse.consumers.store import select_consumer
from tollhouse.kernel.errors import Invalid
from tollhouse.links.fees import choose_fees
from tollhouse.links.model import Link, LinkState
from tollhouse.links.records import write_terms
from tollhouse.payments.charge.charge import charge
from tollhouse.payments.charge.order import build_order
from tollhouse.payments.charge.requested_payment import RequestedItem, RequestedPayment
from tollhouse.payments.charge.sources import Resolved, ResolvedSku
from tollhouse.payments.charge.wallet import find_card
from tollhouse.payments.model import Item, PageTry
from tollhouse.payments.pages import form_key

if TYPE_CHECKING:
    from tollhouse.kernel.card import Card, Cvv
    from tollhouse.kernel.requests import Reply
    from tollhouse.payments.model import Order
    from tollhouse.payments.tools import Tools
    from tollhouse.threeds.model import BrowserData

METHOD = "card"
MAX_NAME_LENGTH = 64


@dataclass(frozen=True, slots=True)
class Means:
    """What the buyer pays with: a card in the clear, or a stored one. Both come with a security code."""

    code: Cvv
    card: Card | None = None
    account_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Buyer:
    """Whom the page sees."""

    address: str
    browser: BrowserData


def draw_form(tools: Tools, link: Link) -> tuple[int, str]:
    """Return the number of the next try, and what a form for it proves to be ours with."""
    number = link.tries + 1
    return number, form_key(tools, merchant_id=link.merchant_id, payment_id=link.payment_id, number=number)


def is_form_of(tools: Tools, link: Link, *, number: int, proof: str) -> bool:
    """Tell whether a form was made by this link's page, for this try."""
    key = form_key(tools, merchant_id=link.merchant_id, payment_id=link.payment_id, number=number)
    return compare_digest(key.encode(), proof.encode("utf-8", "replace"))


async def pay_link(tools: Tools, link: Link, means: Means, buyer: Buyer, *, number: int) -> Reply | None:
    """Try to pay, and return the answer as a merchant would get it; None when this is not the moment for this try.

    It is not when the page ran out, was paid, or has seen this try already: then where the link stands tells the
    result. Raises Invalid for a stored card that is none of the buyer's.
    """
    if link.standing is not LinkState.OPEN or number != link.tries + 1:
        return None
    order = await _build_order(tools, link, means, buyer)
    earlier = tuple(one.subscription_id for one in link.last.subscribing) if link.last else ()
    return await charge(tools, replace(order, page_try=PageTry(link.payment_id, number, earlier)))


async def _build_order(tools: Tools, link: Link, means: Means, buyer: Buyer) -> Order:
    wanted = _build_wanted(link, means, buyer)
    consumer, is_known = await _find_consumer(tools, link)
    items = _items_with_fees(link)
    sites = [await tools.catalog.site(link.merchant_id, item.site_id) for item in items]
    if not all(site and site.is_enabled for site in sites):
        raise Invalid({}, "The site does not sell any more.")
    skus = [ResolvedSku(f"sku.{index}", site, None) for index, site in enumerate(sites)]
    resolved = Resolved(skus=skus, consumer=consumer)
    if means.account_id is not None:
        resolved.account = await find_card(
            tools,
            merchant_id=link.merchant_id,
            account_id=means.account_id,
            consumer_id=consumer.consumer_id,
            at=link.merchant_time,
        )
        if resolved.account is None:
            raise Invalid({"account": ["is not one of this buyer's"]})
    order = await build_order(tools, wanted, resolved)
    if order.instrument.card.number.stands_in(write_terms(link.terms)):
        raise Invalid({}, "The card number stands in what the merchant said.")
    # The cardholder is here, and so may be sent to the bank, whatever the card.
    return replace(order, items=_name_items(order.items, link), is_consumer_known=is_known, may_redirect=True)


def _name_items(items: tuple[Item, ...], link: Link) -> tuple[Item, ...]:
    """Give items the names of their SKUs: the prices are those that the page has shown, whatever they are by now."""
    names = [item.sku_name for item in link.terms.items]
    return tuple(
        replace(item, sku_name=name)
        for item, name in zip(items, [*names, *[None] * (len(items) - len(names))], strict=True)
    )


async def _find_consumer(tools: Tools, link: Link) -> tuple[Consumer, bool]:
    """Return who buys, and whether there is a row of them already."""
    terms = link.terms
    async with tools.database.acquire() as connection:
        found = await select_consumer(connection, merchant_id=link.merchant_id, consumer_id=terms.consumer_id)
    if found is not None:
        return found[0], True
    return Consumer(link.merchant_id, terms.consumer_id, terms.external_id, {}), False


def _build_wanted(link: Link, means: Means, buyer: Buyer) -> RequestedPayment:
    terms = link.terms
    return RequestedPayment(
        merchant_id=link.merchant_id,
        request_id=link.request_id,
        claim=None,
        source_kind="card" if means.card else "paymentAccountIdWithCvv",
        card=means.card,
        code=means.code,
        items=tuple(RequestedItem(item.title, item.prices, item.extras) for item in _items_with_fees(link)),
        external_id=terms.external_id,
        consumer=_describe_buyer(link, means),
        consumer_ip=link.last.consumer_ip if link.last else terms.consumer_ip or buyer.address,
        metadata=terms.metadata,
        ipn_url=terms.ipn_url,
        redirect_url=terms.redirect_url,
        asks_authentication=terms.asks_authentication,
        initiator="customer",
        browser=buyer.browser,
        emulate_code=terms.emulate_code,
        mid=terms.mid,
        receipt=terms.receipt,
    )


def _items_with_fees(link: Link) -> list[Item]:
    """Return what is sold, and each fee as one thing more."""
    terms = link.terms
    fees = choose_fees(terms, method=METHOD)
    return [
        *terms.items,
        *(Item(terms.site_id, None, f"Fee: {fee.kind}"[:MAX_NAME_LENGTH], (fee.to_price(),)) for fee in fees),
    ]


def _describe_buyer(link: Link, means: Means) -> Mapping[str, Any]:
    """Say who buys: as the first try said, else as the merchant did, with the holder's name where none is given."""
    if link.last is not None:
        return link.last.consumer
    said = link.terms.consumer
    holder = means.card.holder if means.card else None
    if holder is None or "firstName" in said or "lastName" in said:
        return said
    first, _, last = holder.strip().rpartition(" ")
    named = {"firstName": first.strip() or last, "lastName": last if first.strip() else ""}
    return {**said, **{name: value for name, value in named.items() if value}}
