"""Pay a link: attempt its payment with a new card, or with a stored card and its security code.

If a browser submits a form twice, it is one attempt, and the payment is charged once; the database ensures this
(`payments.store`). The terms of the page apply, not the values of the browser, except for the card and its holder's
name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from hmac import compare_digest
from typing import Any
from uuid import UUID

from tollhouse.kernel.card import Card, Cvv
from tollhouse.kernel.errors import Invalid
from tollhouse.kernel.rendered_response import RenderedResponse
from tollhouse.links.dependencies import LinkDependencies
from tollhouse.links.fees import choose_fees
from tollhouse.links.model import Link, LinkState
from tollhouse.links.store import write_terms
from tollhouse.payments.charge.charge import charge
from tollhouse.payments.charge.intent import build_intent
from tollhouse.payments.charge.requested_payment import RequestedConsumer, RequestedPayment, RequestedSource
from tollhouse.payments.model import Item, PageTry
from tollhouse.payments.pages import form_key
from tollhouse.threeds.model import BrowserData

METHOD = "card"
MAX_NAME_LENGTH = 64


@dataclass(frozen=True, slots=True)
class PageCard:
    """The card that the consumer uses: a new one in clear text, or a stored one. Both have a security code."""

    code: Cvv
    card: Card | None = None
    account_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class ConsumerBrowser:
    """The browser that opened the page."""

    address: str
    browser: BrowserData


def create_form(dependencies: LinkDependencies, link: Link) -> tuple[int, str]:
    """Return the number of the next attempt, and the proof that a form for it is ours."""
    number = link.attempts + 1
    return number, form_key(dependencies.pages, merchant_id=link.merchant_id, payment_id=link.payment_id, number=number)


def is_form_of(dependencies: LinkDependencies, link: Link, *, number: int, proof: str) -> bool:
    """Return whether this link's page created a form for this attempt."""
    key = form_key(dependencies.pages, merchant_id=link.merchant_id, payment_id=link.payment_id, number=number)
    return compare_digest(key.encode(), proof.encode("utf-8", "replace"))


async def pay_link(
    dependencies: LinkDependencies, link: Link, means: PageCard, buyer: ConsumerBrowser, *, number: int
) -> RenderedResponse | None:
    """Attempt the payment, and return the response as a merchant would get it, or None if this attempt is not possible.

    It is not possible if the page has expired, was paid, or has had this attempt; the state of the link then shows the
    result. Raises RequestRejected for a stored card of another consumer.
    """
    if link.state is not LinkState.OPEN or number != link.attempts + 1:
        return None
    intent = await build_intent(dependencies.lookups, _request_payment(link, means, buyer, number))
    if intent.card.card.number.occurs_in(write_terms(link.terms)):
        raise Invalid({}, "A merchant's field contains the card number.")
    return await charge(dependencies.charging, intent)


def _request_payment(link: Link, means: PageCard, buyer: ConsumerBrowser, number: int) -> RequestedPayment:
    """Build the payment request from the terms of the page. Its prices apply, even if the SKU has changed since."""
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
    """Return the items, with each fee as one more item."""
    terms = link.terms
    fees = choose_fees(terms, method=METHOD)
    return (
        *terms.items,
        *(Item(terms.site_id, None, f"Fee: {fee.kind}"[:MAX_NAME_LENGTH], (fee.to_price(),)) for fee in fees),
    )


def _describe_buyer(link: Link, means: PageCard) -> Mapping[str, Any]:
    """Return the consumer as described by the first attempt or the merchant.

    The holder's name is used if no name is given.
    """
    if link.last is not None:
        return link.last.consumer
    said = link.terms.consumer
    holder = means.card.holder if means.card else None
    if holder is None or "firstName" in said or "lastName" in said:
        return said
    first, _, last = holder.strip().rpartition(" ")
    named = {"firstName": first.strip() or last, "lastName": last if first.strip() else ""}
    return {**said, **{name: value for name, value in named.items() if value}}
