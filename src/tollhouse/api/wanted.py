"""From the body of a payment to what it points at and what it wants, in the words of the house."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from tollhouse.api.card_fields import CardFields
from tollhouse.api.payment_request import PaymentRequest, skus_of
from tollhouse.api.requests import leave_out_codes
from tollhouse.api.source_fields import AccountWithCodeSource
from tollhouse.payments.charge.requested_payment import References, RequestedItem, RequestedPayment, SkuReference
from tollhouse.threeds.model import BrowserData
from tollhouse.wire.render import render_json

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tollhouse.api.consumer_fields import BuyerFields
    from tollhouse.api.sku_fields import SkuFields
    from tollhouse.api.source_fields import AnySource
    from tollhouse.kernel.card import Card, Cvv
    from tollhouse.kernel.requests import Claim
    from tollhouse.payments.tools import Tools

#: Of anything that a request points at: site, SKU, token, account, consumer.
MAX_REFERENCE_LENGTH = 36
MAX_EXTERNAL_ID_LENGTH = 255
#: Fields of the request's consumer that are no part of the consumer.
NOT_PROFILE = {"id", "externalId", "ip"}


def read_references(merchant_id: int, body: dict[str, Any]) -> References:
    """Read what a body points at, as far as it can be read."""
    source, consumer, url = (_object(body, name) for name in ("paymentSource", "consumer", "url"))
    skus = skus_of(body)
    urls = [url, *(_object(sku, "url") for _, sku in skus)]
    kind = _text(source, "type")
    return References(
        merchant_id=merchant_id,
        skus=tuple(SkuReference(path, _text(sku, "siteId"), _text(sku, "name")) for path, sku in skus),
        source_kind=kind,
        token=_text(source, "token", "value") if kind == "token" else None,
        account_id=_text(source, "paymentAccountId")
        if kind in {"paymentAccountId", "paymentAccountIdWithCvv"}
        else None,
        source_consumer_id=_text(source, "id", "value") if kind == "consumer" else None,
        consumer_id=_text(consumer, "id"),
        external_id=_text(consumer, "externalId", longest=MAX_EXTERNAL_ID_LENGTH),
        mid=_text(source, "mid"),
        has_ipn_url=any(each.get("ipnUrl") for each in urls),
        has_redirect_url=any(each.get("redirectUrl") for each in urls),
    )


def _object(body: dict[str, Any], name: str) -> dict[str, Any]:
    value = body.get(name)
    return value if isinstance(value, dict) else {}


def _text(content: dict[str, Any], *names: str, longest: int = MAX_REFERENCE_LENGTH) -> str | None:
    """Return the first of these that is there, as the model reads it; what is no text or too long was never issued."""
    text = next((str(content[name]) for name in names if _is_scalar(content.get(name))), "")
    return text if 0 < len(text) <= longest else None


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | Decimal) and not isinstance(value, bool) and value != ""


def build_wanted(
    model: PaymentRequest, body: dict[str, Any], *, merchant_id: int, request_id: str, claim: Claim | None
) -> RequestedPayment:
    """Say what a sound request wants."""
    source, consumer = model.paymentSource, model.consumer
    urls = [model.url, *(sku.url for sku in model.skus)]
    return RequestedPayment(
        merchant_id=merchant_id,
        request_id=request_id,
        claim=claim,
        source_kind=source.type,
        card=card_of(source),
        code=code_of(source),
        items=build_items(model.skus),
        external_id=consumer.externalId or consumer.id,
        consumer=consumer.model_dump(exclude_none=True, exclude=NOT_PROFILE),
        consumer_ip=consumer.ip,
        metadata=render_json(body.get("metadata") or {}).decode(),
        ipn_url=first_url(url.ipnUrl for url in urls),
        redirect_url=first_url(url.redirectUrl for url in urls),
        asks_authentication=source.authenticate,
        initiator=source.initiator,
        browser=read_browser(consumer),
        emulate_code=source.emulateCode,
        mid=source.mid,
        endorsement=source.mpiParameters.to_endorsement() if source.mpiParameters else None,
        receipt=model.emailOptions.to_wish() if model.emailOptions else None,
    )


def card_of(source: AnySource) -> Card | None:
    """Return the card that stands in a source in the clear."""
    return source.to_card() if isinstance(source, CardFields) else None


def code_of(source: AnySource) -> Cvv | None:
    """Return the security code that stands in a source."""
    return source.cvv if isinstance(source, CardFields | AccountWithCodeSource) else None


def build_items(skus: Iterable[SkuFields]) -> tuple[RequestedItem, ...]:
    """Say what is sold, as the request describes it."""
    return tuple(map(_build_item, skus))


def _build_item(sku: SkuFields) -> RequestedItem:
    return RequestedItem(sku.title or "", tuple(price.to_price() for price in sku.price), sku.extras)


def first_url(urls: Iterable[str | None]) -> str | None:
    """Return the first address that is given: the request's own, else that of the first SKU that has one."""
    return next((url for url in urls if url), None)


def read_browser(consumer: BuyerFields) -> BrowserData | None:
    """Return the browser's data when they are complete."""
    return BrowserData.from_consumer(consumer.model_dump(exclude_none=True))


def digest_body(tools: Tools, body: dict[str, Any], scope: str = "") -> bytes:
    """Hash a body under a key, whatever the order of its fields, without the security code: no trace of it stays.

    `scope` is what a request is about besides its body.
    """
    content = leave_out_codes({**body, "paymentSource": _object(body, "paymentSource")})
    canonical = json.dumps(content, sort_keys=True, default=str)
    return tools.vault.digest(f"{scope}{canonical}".encode())
