"""From what was wanted, and what its references led to, to an order that can be charged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tollhouse.catalog.model import Price, Site, Sku
from tollhouse.catalog.prices import has_later_charges, sum_due_at_once
from tollhouse.consumers.model import derive_consumer_id
from tollhouse.kernel import codes
from tollhouse.kernel.errors import Defect, Invalid
from tollhouse.kernel.ids import new_consumer_id
from tollhouse.kernel.money import Money
from tollhouse.payments.model import Instrument, Mode, Order, Source, Wanted
from tollhouse.payments.routing import NO_ACQUIRER, choose_acquirer

if TYPE_CHECKING:
    from tollhouse.acquirers.model import Reason
    from tollhouse.kernel.card import Brand
    from tollhouse.payments.sources import Resolved
    from tollhouse.payments.tools import Tools
    from tollhouse.vault.accounts import Account
    from tollhouse.vault.tokens import StoredToken

STORED_KINDS = frozenset({"consumer", "paymentAccountId"})


@dataclass(frozen=True, slots=True)
class _Payer:
    consumer_id: str
    external_id: str | None
    profile: Mapping[str, Any]
    is_known: bool


async def build_order(tools: Tools, wanted: Wanted, resolved: Resolved) -> Order:
    """Put an order together. Raises Invalid with everything that is wrong with it as a whole."""
    site = resolved.site
    if site is None:
        raise Defect("An order without a site was not refused.")
    sku = _choose_sku(wanted, resolved, site)
    _check_initiator(wanted, resolved.account)
    payer = _choose_payer(tools, wanted, resolved)
    instrument = await _open_instrument(tools, wanted, resolved)
    fingerprint = tools.vault.fingerprint(instrument.card.number, merchant_id=wanted.merchant_id)
    account_id = (
        resolved.account.account_id
        if resolved.account
        else tools.vault.account_id(
            merchant_id=wanted.merchant_id, consumer_id=payer.consumer_id, fingerprint=fingerprint
        )
    )
    mode, money = _choose_mode(sku.prices, site, instrument.card.number.brand)
    acquirer = choose_acquirer(list(tools.acquirers))
    is_stored = wanted.source_kind in STORED_KINDS
    return Order(
        merchant_id=wanted.merchant_id,
        request_id=wanted.request_id,
        claim=wanted.claim,
        site=site,
        sku=sku,
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
        source=_build_source(wanted, instrument, account_id, is_stored=is_stored),
        fingerprint=fingerprint,
        instrument=instrument,
        token_id=resolved.token.token_id if resolved.token else None,
        network_transaction_id=resolved.account.network_transaction_id if resolved.account else None,
        initiator=wanted.initiator,
        reason=_choose_reason(wanted, sku),
        asks_authentication=_asks_authentication(wanted, site, is_stored=is_stored),
        may_redirect=wanted.initiator == "customer" and (not is_stored or wanted.asks_authentication),
        browser=wanted.browser,
        emulate_code=wanted.emulate_code,
        acquirer=acquirer or NO_ACQUIRER,
        refused_with=_find_refusal(resolved.account, acquirer),
    )


def _choose_sku(wanted: Wanted, resolved: Resolved, site: Site) -> Sku:
    """Take the SKU that is sold by name, with the request's own prices if it has any; or the one it describes."""
    named = resolved.sku
    prices = wanted.prices or (named.prices if named else ())
    if not prices:
        raise Invalid({"sku.price": ["is required with sku.siteId"]})
    return Sku(site.site_id, named.name if named else None, wanted.title or (named.title if named else ""), prices)


def _choose_mode(prices: tuple[Price, ...], site: Site, brand: Brand) -> tuple[Mode, Money]:
    """Decide what happens now: a sale of what is due at once, an authorization for later capture, or a verification."""
    due = sum_due_at_once(prices)
    if due.amount_minor > 0:
        return Mode.SALE, due
    if site.delayed_capture and _is_captured_later(prices, brand):
        return Mode.AUTH, prices[0].money
    return Mode.AUTH, due


def _is_captured_later(prices: tuple[Price, ...], brand: Brand) -> bool:
    """Tell whether one single charge falls due while an authorization of today still holds, with a day to spare."""
    offset = prices[0].offset
    is_single = len(prices) == 1 and not prices[0].is_repeating
    return is_single and offset.unit == "d" and 0 < offset.count < brand.authorization_days


def _choose_payer(tools: Tools, wanted: Wanted, resolved: Resolved) -> _Payer:
    """Decide who pays: the stored card's owner, a consumer whom the gateway knows, or one to be found or created."""
    known = resolved.account or resolved.consumer
    if known is not None:
        return _Payer(known.consumer_id, known.external_id, {**known.profile, **wanted.consumer}, is_known=True)
    if wanted.external_id is None:
        return _Payer(new_consumer_id(), None, wanted.consumer, is_known=False)
    consumer_id = derive_consumer_id(
        tools.vault.identity_key, merchant_id=wanted.merchant_id, external_id=wanted.external_id
    )
    return _Payer(consumer_id, wanted.external_id, wanted.consumer, is_known=False)


async def _open_instrument(tools: Tools, wanted: Wanted, resolved: Resolved) -> Instrument:
    """Get at the card: from the request, from the token, or from the vault."""
    if wanted.instrument is not None:
        return wanted.instrument
    if resolved.token is not None:
        return await _open_token(tools, resolved.token)
    account = resolved.account
    if account is None:
        raise Defect("An order without a card was not refused.")
    card = tools.vault.open_card(account.card, merchant_id=wanted.merchant_id, account_id=account.account_id)
    return Instrument(card, None)


async def _open_token(tools: Tools, token: StoredToken) -> Instrument:
    if token.card is None:
        raise Defect("A token without a card was not refused.")
    code = await tools.security_codes.open(token.code, now=tools.clock.now()) if token.code else None
    return Instrument(tools.vault.open_token_card(token.card, token_id=token.token_id), code)


def _build_source(wanted: Wanted, instrument: Instrument, account_id: UUID, *, is_stored: bool) -> Source:
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


def _check_initiator(wanted: Wanted, account: Account | None) -> None:
    """Refuse a merchant-initiated charge that no customer-initiated one has opened the way for."""
    if wanted.initiator == "merchant" and not (account and account.network_transaction_id):
        text = "can be merchant only for a stored card with an earlier payment by the customer"
        raise Invalid({"paymentSource.initiator": [text]})


def _choose_reason(wanted: Wanted, sku: Sku) -> Reason:
    if has_later_charges(sku.prices):
        return "recurring"
    return "one_click" if wanted.initiator == "customer" else "unscheduled"


def _asks_authentication(wanted: Wanted, site: Site, *, is_stored: bool) -> bool:
    """Decide whether to authenticate before the issuer is asked: by the request, or by a rule of the site.

    A stored card is never redirected unless the request asks for it.
    """
    if wanted.initiator == "merchant":
        return False
    return wanted.asks_authentication or (site.three_ds == "always" and not is_stored)


def _find_refusal(account: Account | None, acquirer: str | None) -> str | None:
    if account is not None and account.disabled:
        return codes.ACCOUNT_DISABLED
    return codes.NO_ROUTE if acquirer is None else None
