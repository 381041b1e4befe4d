"""Build the intent of a payment from a request and the records that it refers to.

The API, payment pages, renewals and changes of a card all build it here. It is not changed afterwards.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from msgspec import Struct

from tollhouse.acquirers.model import Reason
from tollhouse.catalog.model import Price, Site
from tollhouse.catalog.prices import has_later_charges, sum_due_at_once
from tollhouse.consumers.model import derive_consumer_id
from tollhouse.kernel import codes
from tollhouse.kernel.card import Brand, Card, Cvv
from tollhouse.kernel.errors import InternalError
from tollhouse.kernel.faults import Fault, RequestRejected, Subject, reject
from tollhouse.kernel.ids import new_consumer_id
from tollhouse.kernel.money import MAX_AMOUNT_MINOR, Money
from tollhouse.payments.charge.references import LoadedItem, References, load_references
from tollhouse.payments.charge.requested_payment import RequestedItem, RequestedPayment
from tollhouse.payments.dependencies import IntentLookups
from tollhouse.payments.model import Item, Mode, PlaintextCard, Source
from tollhouse.payments.routing import NO_ACQUIRER, choose_acquirer, find_account
from tollhouse.vault.tokens import open_code

#: Sources that are charged with one click: the cardholder is challenged only if the request asks for it.
ONE_CLICK_KINDS = frozenset({"consumer", "paymentAccountId", "cc_token"})

PRICE_REQUIRED = "is required without an SKU"
NOT_INITIATED_BEFORE = "can be merchant only for a stored card with an earlier payment by the consumer"


class Payer(Struct, frozen=True):
    """The consumer who pays: their ID, the merchant's own ID and the profile."""

    consumer_id: str
    external_id: str | None
    profile: Mapping[str, Any]
    #: The consumer has a row already and is not created.
    is_known: bool


class Offer(Struct, frozen=True):
    """The items, their site and the payer: the part of an intent without the card."""

    site: Site
    items: tuple[Item, ...]
    payer: Payer


class Intent(Struct, frozen=True):
    """A payment that may begin: the request, the records that it refers to, and the decisions about it."""

    requested: RequestedPayment
    site: Site
    items: tuple[Item, ...]
    payer: Payer
    mode: Mode
    money: Money
    card: PlaintextCard
    source: Source
    fingerprint: bytes
    token_id: UUID | None
    network_transaction_id: str | None
    reason: Reason
    asks_authentication: bool
    may_redirect: bool
    ipn_url: str
    redirect_url: str
    acquirer: str
    #: The code, such as 1020, with which the payment fails without an acquirer call; or None.
    failure_code: str | None


async def build_intent(lookups: IntentLookups, requested: RequestedPayment) -> Intent:
    """Load the references of a request, check them, and decide what is charged and how.

    Raises:
        RequestRejected: With all faults of the references; or else with those of the payment as a whole.
    """
    found = await load_references(lookups, requested)
    offer = _build_offer(lookups, requested, found)
    _check_initiator(requested, found)
    card = _open_card(lookups, requested, found)
    fingerprint = lookups.vault.fingerprint(card.card.number, merchant_id=requested.merchant_id)
    account_id = (
        found.account.account_id
        if found.account
        else lookups.vault.account_id(
            merchant_id=requested.merchant_id, consumer_id=offer.payer.consumer_id, fingerprint=fingerprint
        )
    )
    mode, money = _choose_mode(offer.items, offer.site, card.card.number.brand)
    acquirer = _choose_acquirer(lookups, requested)
    is_one_click = requested.source.kind in ONE_CLICK_KINDS
    return Intent(
        requested=requested,
        site=offer.site,
        items=offer.items,
        payer=offer.payer,
        mode=mode,
        money=money,
        card=card,
        source=_build_source(requested, card.card, account_id, is_stored=found.account is not None),
        fingerprint=fingerprint,
        token_id=found.token.token_id if found.token else None,
        network_transaction_id=_choose_network_transaction_id(requested, found),
        reason=_choose_reason(requested, offer.items, is_captured_later=mode is Mode.AUTH and money.amount_minor > 0),
        asks_authentication=_asks_authentication(requested, offer.site, is_one_click=is_one_click),
        may_redirect=_may_redirect(requested, is_one_click=is_one_click),
        ipn_url=requested.ipn_url or offer.site.ipn_url,
        redirect_url=requested.redirect_url or offer.site.redirect_url,
        acquirer=acquirer or NO_ACQUIRER,
        failure_code=_find_failure_code(requested, found, acquirer),
    )


async def build_offer(lookups: IntentLookups, requested: RequestedPayment) -> Offer:
    """Load and check the part of a request that does not need a card. Raises RequestRejected."""
    return _build_offer(lookups, requested, await load_references(lookups, requested))


def _build_offer(lookups: IntentLookups, requested: RequestedPayment, found: References) -> Offer:
    if found.faults:
        raise RequestRejected(found.faults)
    if found.site is None:
        raise InternalError("A payment without a site was not rejected.")
    return Offer(found.site, _choose_items(requested, found), _choose_payer(lookups, requested, found))


def _choose_items(requested: RequestedPayment, found: References) -> tuple[Item, ...]:
    """Return the sold items. Raises RequestRejected for missing prices, and for prices that do not fit."""
    pairs = list(zip(requested.items, found.items, strict=True))
    items = tuple(asked if isinstance(asked, Item) else _build_item(asked, loaded) for asked, loaded in pairs)
    faults = _find_price_faults(items, requested.items)
    if faults:
        raise RequestRejected(faults)
    return items


def _find_price_faults(items: tuple[Item, ...], asked: tuple[RequestedItem | Item, ...]) -> list[Fault]:
    faults: list[Fault] = []
    total = 0
    for position, item in enumerate(items):
        if isinstance(asked[position], Item):  # its prices were checked before
            continue
        if not item.prices:
            faults.append(Fault(Subject.PRICES, PRICE_REQUIRED, position))
            continue
        due = sum_due_at_once(item.prices)
        total += due.amount_minor
        if items[0].prices and due.currency != items[0].prices[0].money.currency:
            subject = Subject.CURRENCY if asked[position].prices else Subject.SKU
            faults.append(Fault(subject, "must have the currency of the first item", position))
        elif total > MAX_AMOUNT_MINOR:
            faults.append(Fault(Subject.PRICES, "has too large a total due now", position))
    return faults


def _build_item(asked: RequestedItem, loaded: LoadedItem) -> Item:
    """Build an item from its SKU and the request. Prices and title in the request replace those of the SKU."""
    if loaded.site is None:
        raise InternalError("An item without a site was not rejected.")
    sku = loaded.sku
    return Item(
        site_id=loaded.site.site_id,
        sku_name=sku.name if sku else None,
        title=asked.title or (sku.title if sku else ""),
        prices=asked.prices or (sku.prices if sku else ()),
        extras=asked.extras,
    )


def _choose_payer(lookups: IntentLookups, requested: RequestedPayment, found: References) -> Payer:
    """Choose the payer: the owner of the stored card, a known consumer, or one to be found or created."""
    known, asked = found.account or found.consumer, requested.consumer
    if known is not None:
        profile = {**known.profile, **asked.profile}
        return Payer(known.consumer_id, known.external_id, profile, is_known=True)
    if requested.payer_id is not None:
        return Payer(requested.payer_id, asked.external_id, asked.profile, is_known=False)
    external_id = asked.external_id or asked.consumer_id
    if external_id is None:
        return Payer(new_consumer_id(), None, asked.profile, is_known=False)
    key, merchant_id = lookups.vault.identity_key, requested.merchant_id
    consumer_id = derive_consumer_id(key, merchant_id=merchant_id, external_id=external_id)
    return Payer(consumer_id, external_id, asked.profile, is_known=False)


def _check_initiator(requested: RequestedPayment, found: References) -> None:
    """Reject a charge by the merchant without an earlier payment by the consumer. Renewals are exempt."""
    has_paid = found.account is not None and found.account.network_transaction_id
    if requested.source.initiator == "merchant" and requested.renewing is None and not has_paid:
        raise reject(Subject.INITIATOR, NOT_INITIATED_BEFORE)


def _open_card(lookups: IntentLookups, requested: RequestedPayment, found: References) -> PlaintextCard:
    """Open the card of the request, of the token or of the vault. The security code of a stored card is separate."""
    if requested.source.card is not None:
        return PlaintextCard(requested.source.card, requested.source.code)
    vault, token, account = lookups.vault, found.token, found.account
    code = open_code(vault, token, now=lookups.clock.now()) if token else requested.source.code
    if account is not None:
        stored = vault.open_card(account.card, merchant_id=requested.merchant_id, account_id=account.account_id)
        _check_code(stored, code)
        return PlaintextCard(stored, code)
    if token is None or token.sealed_card is None:
        raise InternalError("A payment without a card was not rejected.")
    return PlaintextCard(vault.open_token_card(token.sealed_card, token=token.token), code)


def _check_code(card: Card, code: Cvv | None) -> None:
    """Reject a security code whose length does not fit the brand of the stored card."""
    length = card.number.brand.cvv_length
    if code is not None and length is not None and len(code) != length:
        raise reject(Subject.SECURITY_CODE, f"must have {length} digits")


def _build_source(requested: RequestedPayment, card: Card, account_id: UUID, *, is_stored: bool) -> Source:
    return Source(
        kind=requested.source.kind,
        brand=card.number.brand.name,
        masked_number=card.number.masked,
        expiry_month=card.expiry.month,
        expiry_year=card.expiry.year,
        account_id=account_id,
        is_stored=is_stored,
    )


def _choose_mode(items: tuple[Item, ...], site: Site, brand: Brand) -> tuple[Mode, Money]:
    """Choose a sale of the amount that is due at once, an authorization for later capture, or a verification."""
    sums = [sum_due_at_once(item.prices) for item in items]
    due = Money(sum(each.amount_minor for each in sums), sums[0].currency)
    if due.amount_minor > 0:
        return Mode.SALE, due
    if site.delayed_capture and len(items) == 1 and _is_captured_later(items[0].prices, brand):
        return Mode.AUTH, items[0].prices[0].money
    return Mode.AUTH, due


def _is_captured_later(prices: tuple[Price, ...], brand: Brand) -> bool:
    """Return whether the only charge falls due a day or more before today's authorization expires."""
    offset = prices[0].offset
    is_single = len(prices) == 1 and not prices[0].is_repeating
    return is_single and offset.unit == "d" and 0 < offset.count < brand.authorization_days


def _choose_network_transaction_id(requested: RequestedPayment, found: References) -> str | None:
    """Return the scheme's ID of the payment that began the agreement: the subscription's, or the stored card's."""
    if requested.renewing is not None:
        return requested.network_transaction_id
    return found.account.network_transaction_id if found.account else None


def _choose_reason(requested: RequestedPayment, items: tuple[Item, ...], *, is_captured_later: bool) -> Reason:
    """Return the reason for the issuer. A single charge that is captured later begins no agreement."""
    if not requested.is_purchase or (not is_captured_later and any(has_later_charges(item.prices) for item in items)):
        return "recurring"
    return "one_click" if requested.source.initiator == "customer" else "unscheduled"


def _asks_authentication(requested: RequestedPayment, site: Site, *, is_one_click: bool) -> bool:
    """Return whether to authenticate before the acquirer is called: by the request, or by a rule of the site.

    A one-click charge is redirected only if the request asks for it. A charge with external authentication or with a
    claimed exemption is not authenticated.
    """
    if requested.source.initiator == "merchant" or requested.source.external_authentication is not None:
        return False
    return requested.source.asks_authentication or (site.three_ds == "always" and not is_one_click)


def _may_redirect(requested: RequestedPayment, *, is_one_click: bool) -> bool:
    """Return whether a soft decline leads to a challenge: yes with a claimed exemption, never with a proof."""
    external = requested.source.external_authentication
    if requested.source.initiator == "merchant" or (external is not None and external.status is not None):
        return False
    return not is_one_click or requested.source.asks_authentication


def _choose_acquirer(lookups: IntentLookups, requested: RequestedPayment) -> str | None:
    if requested.source.mid:
        return find_account(requested.source.mid, lookups.routes)
    return choose_acquirer(lookups.routes.acquirers)


def _find_failure_code(requested: RequestedPayment, found: References, acquirer: str | None) -> str | None:
    """Reject a disabled card by request; its subscriptions continue."""
    if found.account is not None and found.account.disabled and requested.renewing is None:
        return codes.ACCOUNT_DISABLED
    return codes.NO_ROUTE if acquirer is None else None
