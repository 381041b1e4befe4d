"""From what was wanted, and what its references led to, to an order that can be charged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tollhouse.catalog.model import Price, Site
from tollhouse.catalog.prices import has_later_charges, sum_due_at_once
from tollhouse.consumers.model import derive_consumer_id
from tollhouse.kernel import codes
from tollhouse.kernel.errors import InternalError, Invalid
from tollhouse.kernel.ids import new_consumer_id
from tollhouse.kernel.money import MAX_AMOUNT_MINOR, Money
from tollhouse.payments.charge.requested_payment import RequestedPayment
from tollhouse.payments.model import Item, Mode, Order, PlaintextCard, Source
from tollhouse.payments.routing import NO_ACQUIRER, choose_acquirer, find_account
from tollhouse.vault.tokens import open_code

if TYPE_CHECKING:
    from tollhouse.acquirers.model import Reason
    from tollhouse.kernel.card import Brand, Card, Cvv
    from tollhouse.payments.charge.requested_payment import RequestedItem
    from tollhouse.payments.charge.sources import Resolved, ResolvedSku
    from tollhouse.payments.tools import Tools
    from tollhouse.vault.accounts import Account

#: Sources that are charged with one click: the cardholder is sent to the bank only when the request asks for it.
ONE_CLICK_KINDS = frozenset({"consumer", "paymentAccountId", "cc_token"})


@dataclass(frozen=True, slots=True)
class Payer:
    """Who pays: the consumer's id, and what is known of them."""

    consumer_id: str
    external_id: str | None
    profile: Mapping[str, Any]
    is_known: bool


async def build_order(tools: Tools, wanted: RequestedPayment, resolved: Resolved) -> Order:
    """Put an order together. Raises Invalid with everything that is wrong with it as a whole."""
    site = resolved.site
    if site is None:
        raise InternalError("An order without a site was not refused.")
    items = choose_items(wanted, resolved)
    _check_initiator(wanted, resolved.account)
    payer = choose_payer(tools, wanted, resolved)
    instrument = _open_instrument(tools, wanted, resolved)
    fingerprint = tools.vault.fingerprint(instrument.card.number, merchant_id=wanted.merchant_id)
    account_id = (
        resolved.account.account_id
        if resolved.account
        else tools.vault.account_id(
            merchant_id=wanted.merchant_id, consumer_id=payer.consumer_id, fingerprint=fingerprint
        )
    )
    mode, money = _choose_mode(items, site, instrument.card.number.brand)
    acquirer = find_account(wanted.mid, tools.routes) if wanted.mid else choose_acquirer(list(tools.acquirers))
    is_one_click = wanted.source_kind in ONE_CLICK_KINDS
    return Order(
        merchant_id=wanted.merchant_id,
        request_id=wanted.request_id,
        claim=wanted.claim,
        site=site,
        items=items,
        money=money,
        mode=mode,
        consumer_id=payer.consumer_id,
        is_consumer_known=payer.is_known,
        external_id=payer.external_id,
        consumer=payer.profile,
        consumer_ip=wanted.consumer_ip,
        metadata=wanted.metadata,
        ipn_url=wanted.ipn_url or site.ipn_url,
        redirect_url=wanted.redirect_url or site.redirect_url,
        source=_build_source(wanted, instrument, account_id, is_stored=resolved.account is not None),
        fingerprint=fingerprint,
        instrument=instrument,
        token_id=resolved.token.token_id if resolved.token else None,
        network_transaction_id=resolved.account.network_transaction_id if resolved.account else None,
        initiator=wanted.initiator,
        reason=_choose_reason(wanted, items, is_captured_later=mode is Mode.AUTH and money.amount_minor > 0),
        asks_authentication=_asks_authentication(wanted, site, is_one_click=is_one_click),
        may_redirect=_may_redirect(wanted, is_one_click=is_one_click),
        browser=wanted.browser,
        emulate_code=wanted.emulate_code,
        acquirer=acquirer or NO_ACQUIRER,
        mid=wanted.mid,
        endorsement=wanted.endorsement,
        receipt=wanted.receipt,
        refused_with=_find_refusal(resolved.account, acquirer),
    )


def choose_items(wanted: RequestedPayment, resolved: Resolved) -> tuple[Item, ...]:
    """Say what the purchase is of. Raises Invalid for an item without a price, and for prices that do not fit."""
    pairs = list(zip(wanted.items, resolved.skus, strict=True))
    items = tuple(_choose_item(asked, found) for asked, found in pairs)
    faults: dict[str, list[str]] = {}
    total = 0
    for item, (asked, found) in zip(items, pairs, strict=True):
        if not item.prices:
            faults[f"{found.path}.price"] = [f"is required with {found.path}.siteId"]
            continue
        due = sum_due_at_once(item.prices)
        total += due.amount_minor
        if items[0].prices and due.currency != items[0].prices[0].money.currency:
            path = f"{found.path}.price.0.currency" if asked.prices else f"{found.path}.name"
            faults[path] = ["is sold in another currency than the first of this bundle"]
        elif total > MAX_AMOUNT_MINOR:
            faults[f"{found.path}.price"] = ["what is due at once adds up to too much"]
    if faults:
        raise Invalid(faults)
    return items


def _choose_item(asked: RequestedItem, found: ResolvedSku) -> Item:
    """Take the SKU that is sold by name, with the request's own prices if it has any; or the one it describes."""
    if found.site is None:
        raise InternalError("An order without a site was not refused.")
    named = found.sku
    return Item(
        site_id=found.site.site_id,
        sku_name=named.name if named else None,
        title=asked.title or (named.title if named else ""),
        prices=asked.prices or (named.prices if named else ()),
        extras=asked.extras,
    )


def _choose_mode(items: tuple[Item, ...], site: Site, brand: Brand) -> tuple[Mode, Money]:
    """Decide what happens now: a sale of what is due at once, an authorization for later capture, or a verification."""
    sums = [sum_due_at_once(item.prices) for item in items]
    due = Money(sum(each.amount_minor for each in sums), sums[0].currency)
    if due.amount_minor > 0:
        return Mode.SALE, due
    if site.delayed_capture and len(items) == 1 and _is_captured_later(items[0].prices, brand):
        return Mode.AUTH, items[0].prices[0].money
    return Mode.AUTH, due


def _is_captured_later(prices: tuple[Price, ...], brand: Brand) -> bool:
    """Tell whether one single charge falls due while an authorization of today still holds, with a day to spare."""
    offset = prices[0].offset
    is_single = len(prices) == 1 and not prices[0].is_repeating
    return is_single and offset.unit == "d" and 0 < offset.count < brand.authorization_days


def choose_payer(tools: Tools, wanted: RequestedPayment, resolved: Resolved) -> Payer:
    """Decide who pays: the stored card's owner, a consumer whom the gateway knows, or one to be found or created."""
    known = resolved.account or resolved.consumer
    if known is not None:
        return Payer(known.consumer_id, known.external_id, {**known.profile, **wanted.consumer}, is_known=True)
    if wanted.external_id is None:
        return Payer(new_consumer_id(), None, wanted.consumer, is_known=False)
    consumer_id = derive_consumer_id(
        tools.vault.identity_key, merchant_id=wanted.merchant_id, external_id=wanted.external_id
    )
    return Payer(consumer_id, wanted.external_id, wanted.consumer, is_known=False)


def _open_instrument(tools: Tools, wanted: RequestedPayment, resolved: Resolved) -> PlaintextCard:
    """Get at the card: from the request, from the token, or from the vault. A stored card's code comes by itself."""
    if wanted.card is not None:
        return PlaintextCard(wanted.card, wanted.code)
    account, token = resolved.account, resolved.token
    code = open_code(tools.vault, token, now=tools.clock.now()) if token else wanted.code
    if account is not None:
        stored = tools.vault.open_card(account.card, merchant_id=wanted.merchant_id, account_id=account.account_id)
        _check_code(stored, code)
        return PlaintextCard(stored, code)
    if token is None or token.sealed_card is None:
        raise InternalError("An order without a card was not refused.")
    return PlaintextCard(tools.vault.open_token_card(token.sealed_card, token=token.token), code)


def _check_code(card: Card, code: Cvv | None) -> None:
    """Refuse a security code that has not as many digits as the brand of the stored card gives it."""
    length = card.number.brand.cvv_length
    if code is not None and length is not None and len(code) != length:
        raise Invalid({"paymentSource.cvv": [f"must have {length} digits"]})


def _build_source(wanted: RequestedPayment, instrument: PlaintextCard, account_id: UUID, *, is_stored: bool) -> Source:
    card = instrument.card
    return Source(
        kind=wanted.source_kind,
        brand=card.number.brand.name,
        masked_number=card.number.masked,
        expiry_month=card.expiry.month,
        expiry_year=card.expiry.year,
        account_id=account_id,
        is_stored=is_stored,
    )


def _check_initiator(wanted: RequestedPayment, account: Account | None) -> None:
    """Refuse a merchant-initiated charge that no customer-initiated one has opened the way for."""
    if wanted.initiator == "merchant" and not (account and account.network_transaction_id):
        text = "can be merchant only for a stored card with an earlier payment by the customer"
        raise Invalid({"paymentSource.initiator": [text]})


def _choose_reason(wanted: RequestedPayment, items: tuple[Item, ...], *, is_captured_later: bool) -> Reason:
    """Say what the payment is for to the issuer: a single charge that is captured later begins no agreement."""
    if not is_captured_later and any(has_later_charges(item.prices) for item in items):
        return "recurring"
    return "one_click" if wanted.initiator == "customer" else "unscheduled"


def _asks_authentication(wanted: RequestedPayment, site: Site, *, is_one_click: bool) -> bool:
    """Decide whether to authenticate before the issuer is asked: by the request, or by a rule of the site.

    A one-click charge is never redirected unless the request asks for it, and nothing is authenticated that the
    merchant's own 3-D Secure server has seen to, or for which an exemption is claimed.
    """
    if wanted.initiator == "merchant" or wanted.endorsement is not None:
        return False
    return wanted.asks_authentication or (site.three_ds == "always" and not is_one_click)


def _may_redirect(wanted: RequestedPayment, *, is_one_click: bool) -> bool:
    """Tell whether a soft decline leads to a challenge; an exemption that is not granted does, a proof never."""
    if wanted.initiator == "merchant" or (wanted.endorsement is not None and wanted.endorsement.status is not None):
        return False
    return not is_one_click or wanted.asks_authentication


def _find_refusal(account: Account | None, acquirer: str | None) -> str | None:
    if account is not None and account.disabled:
        return codes.ACCOUNT_DISABLED
    return codes.NO_ROUTE if acquirer is None else None
