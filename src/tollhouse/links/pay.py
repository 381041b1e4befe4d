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

from tollhouse.kernel.errors import Invalid
from tollhouse.links.fees import choose_fees
from tollhouse.links.model import Link, LinkState
from tollhouse.links.records import write_terms
from tollhouse.payments.charge.charge import charge
from tollhouse.payments.charge.intent import build_intent
from tollhouse.payments.charge.requested_payment import RequestedConsumer, RequestedPayment, RequestedSource
from tollhouse.payments.model import Item, PageTry
from tollhouse.payments.pages import form_key

if TYPE_CHECKING:
    from tollhouse.kernel.card import Card, Cvv
    from tollhouse.kernel.requests import Reply
    from tollhouse.links.dependencies import LinkDependencies
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


def draw_form(deps: LinkDependencies, link: Link) -> tuple[int, str]:
    """Return the number of the next try, and what a form for it proves to be ours with."""
    number = link.tries + 1
    return number, form_key(deps.pages, merchant_id=link.merchant_id, payment_id=link.payment_id, number=number)


def is_form_of(deps: LinkDependencies, link: Link, *, number: int, proof: str) -> bool:
    """Tell whether a form was made by this link's page, for this try."""
    key = form_key(deps.pages, merchant_id=link.merchant_id, payment_id=link.payment_id, number=number)
    return compare_digest(key.encode(), proof.encode("utf-8", "replace"))


async def pay_link(deps: LinkDependencies, link: Link, means: Means, buyer: Buyer, *, number: int) -> Reply | None:
    """Try to pay, and return the answer as a merchant would get it; None when this is not the moment for this try.

    It is not when the page ran out, was paid, or has seen this try already: then where the link stands tells the
    result. Raises PaymentRejected for a stored card that is none of the buyer's.
    """
    if link.standing is not LinkState.OPEN or number != link.tries + 1:
        return None
    intent = await build_intent(deps.lookups, _request_payment(link, means, buyer, number))
    if intent.card.card.number.occurs_in(write_terms(link.terms)):
        raise Invalid({}, "The card number stands in what the merchant said.")
    return await charge(deps.charging, intent)


def _request_payment(link: Link, means: Means, buyer: Buyer, number: int) -> RequestedPayment:
    """Request what the page has shown: its prices apply, whatever they are by now."""
    terms = link.terms
    earlier = tuple(one.subscription_id for one in link.last.subscribing) if link.last else ()
    return RequestedPayment(
        merchant_id=link.merchant_id,
        request_id=link.request_id,
        items=_items_with_fees(link),
        source=RequestedSource(
            kind="card" if means.card else "paymentAccountIdWithCvv",
            card=means.card,
            code=means.code,
            account_id=str(means.account_id) if means.account_id else None,
            asks_authentication=terms.asks_authentication,
            mid=terms.mid,
            emulate_code=terms.emulate_code,
        ),
        consumer=RequestedConsumer(
            external_id=terms.external_id,
            profile=_describe_buyer(link, means),
            ip=link.last.consumer_ip if link.last else terms.consumer_ip or buyer.address,
            browser=buyer.browser,
        ),
        payer_id=terms.consumer_id,
        metadata=terms.metadata,
        ipn_url=terms.ipn_url,
        redirect_url=terms.redirect_url,
        receipt=terms.receipt,
        page_try=PageTry(link.payment_id, number, earlier),
    )


def _items_with_fees(link: Link) -> tuple[Item, ...]:
    """Return what is sold, and each fee as one item more."""
    terms = link.terms
    fees = choose_fees(terms, method=METHOD)
    return (
        *terms.items,
        *(Item(terms.site_id, None, f"Fee: {fee.kind}"[:MAX_NAME_LENGTH], (fee.to_price(),)) for fee in fees),
    )


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
