"""The body of `POST /payment`, and the payment that it requests."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

from pydantic import Field

from tollhouse.api.fields.consumer import EMAIL_OPTIONS_TEXT, AnyEmailOptions, BuyerFields, ConsumerFields
from tollhouse.api.fields.sku import MAX_SKUS, AnySku, SkuFields, UrlFields
from tollhouse.api.fields.source import AnySource, find_mpi_faults
from tollhouse.api.fields.values import Metadata, read_empty_list
from tollhouse.api.reading.body import Body
from tollhouse.idempotency.model import Claim
from tollhouse.kernel.faults import Fault, Subject
from tollhouse.payments.charge.intent import PRICE_REQUIRED
from tollhouse.payments.charge.references import NO_CONSUMER_NAMED
from tollhouse.payments.charge.requested_payment import (
    RequestedConsumer,
    RequestedItem,
    RequestedPayment,
    RequestedSource,
)
from tollhouse.threeds.model import BrowserData
from tollhouse.wire.render import render_json

#: Maximum length of a reference: site, SKU, token, stored card, consumer.
MAX_REFERENCE_LENGTH = 36
MAX_EXTERNAL_ID_LENGTH = 255
#: Fields of the request's `consumer` that belong to the payment.
NOT_PROFILE = {"id", "externalId", "ip"}

#: The path of each subject of a fault in a body; for an item, below the item.
PATHS = {
    Subject.SOURCE: "paymentSource",
    Subject.TOKEN: "paymentSource.token",
    Subject.STORED_CARD: "paymentSource.paymentAccountId",
    Subject.SOURCE_CONSUMER: "paymentSource.id",
    Subject.SECURITY_CODE: "paymentSource.cvv",
    Subject.INITIATOR: "paymentSource.initiator",
    Subject.ACQUIRER_ACCOUNT: "paymentSource.mid",
    Subject.CONSUMER: "consumer.id",
    Subject.EXTERNAL_ID: "consumer.externalId",
    Subject.CALLBACK_URL: "url.ipnUrl",
    Subject.REDIRECT_URL: "url.redirectUrl",
}
ITEM_PATHS = {
    Subject.SITE: "siteId",
    Subject.SKU: "name",
    Subject.PRICES: "price",
    Subject.CURRENCY: "price.0.currency",
}
#: Texts of faults that name another field, which the API names by its path.
TEXTS = {
    PRICE_REQUIRED: "is required with {item}.siteId",
    NO_CONSUMER_NAMED: "is required for cc_token, or consumer.externalId",
}


class PaymentRequest(Body):
    """A payment."""

    strict_first = True

    paymentSource: AnySource = Field(description="What pays.")
    sku: AnySku = Field(
        description="The item sold. A list is a bundle: one payment, and a subscription for each schedule."
    )
    consumer: ConsumerFields = Field(description="The consumer.")
    url: UrlFields = Field(default_factory=UrlFields, description="The URLs for the result.")
    metadata: Metadata = Field(default_factory=dict, description="Returned as sent; a list is accepted too.")
    emailOptions: AnyEmailOptions = Field(None, description=EMAIL_OPTIONS_TEXT)

    @property
    def skus(self) -> list[SkuFields]:
        """The items: one, or those of a bundle."""
        return self.sku if isinstance(self.sku, list) else [self.sku]


def find_cross_faults(body: dict[str, Any]) -> dict[str, list[str]]:
    """Return faults between fields, even if the body has other faults."""
    faults: dict[str, list[str]] = {}
    for path, sku in skus_of(body):
        faults |= _find_sku_faults(path, sku)
    source, consumer = _object_at(body, "paymentSource"), _object_at(body, "consumer")
    if consumer is not None and source is not None and source.get("type") == "card":
        missing = [name for name in ("firstName", "lastName") if not consumer.get(name)]
        faults |= {f"consumer.{name}": ["is required for a card"] for name in missing}
    if source is not None:
        faults |= find_mpi_faults(source.get("mpiParameters"), "paymentSource.mpiParameters")
    return faults


def _find_sku_faults(path: str, sku: dict[str, Any]) -> dict[str, list[str]]:
    if sku.get("name"):
        return {}
    if not sku.get("siteId"):
        return {f"{path}.siteId": [f"is required, or {path}.name"]}
    return {} if sku.get("price") else {f"{path}.price": [f"is required with {path}.siteId"]}


def skus_of(body: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """Return the items with their paths, from a body that may be invalid."""
    sku = read_empty_list(body.get("sku"))
    if isinstance(sku, list):
        listed = [(f"sku.{index}", read_empty_list(one)) for index, one in enumerate(sku[:MAX_SKUS])]
        return [(path, one) for path, one in listed if isinstance(one, dict)]
    return [("sku", sku)] if isinstance(sku, dict) else []


def _object_at(body: dict[str, Any], name: str) -> dict[str, Any] | None:
    """Return an object in the body, or None if it is absent or has another type, which the model reports."""
    value = read_empty_list(body.get(name))
    return value if isinstance(value, dict) else None


#: Maximum length of a reference: site, SKU, token, stored card, consumer.


def request_payment(
    model: PaymentRequest, body: dict[str, Any], *, merchant_id: int, request_id: str, claim: Claim | None
) -> RequestedPayment:
    """Return the payment that a valid body requests."""
    urls = [model.url, *(sku.url for sku in model.skus)]
    return RequestedPayment(
        merchant_id=merchant_id,
        request_id=request_id,
        claim=claim,
        items=build_items(model.skus),
        source=build_source(model.paymentSource),
        consumer=build_consumer(model.consumer, model.consumer.ip),
        metadata=render_metadata(body),
        ipn_url=first_url(url.ipnUrl for url in urls),
        redirect_url=first_url(url.redirectUrl for url in urls),
        receipt=model.emailOptions.to_request() if model.emailOptions else None,
    )


def build_source(source: AnySource) -> RequestedSource:
    """Return the source of a valid body."""
    own = vars(source)  # each kind of source has other fields
    return RequestedSource(
        kind=source.type,
        card=source.to_card() if source.type == "card" else None,
        code=own.get("cvv"),
        token=own.get("token"),
        account_id=own.get("paymentAccountId"),
        consumer_id=own.get("id"),
        initiator=source.initiator,
        asks_authentication=source.authenticate,
        mid=source.mid,
        emulate_code=source.emulateCode,
        external_authentication=source.mpiParameters.to_external_authentication() if source.mpiParameters else None,
    )


def build_consumer(consumer: BuyerFields, ip: str | None) -> RequestedConsumer:
    """Return the consumer of a valid body."""
    said = consumer.model_dump(exclude_none=True)
    return RequestedConsumer(
        consumer_id=consumer.id,
        external_id=consumer.externalId,
        profile={name: value for name, value in said.items() if name not in NOT_PROFILE},
        ip=ip or "",
        browser=BrowserData.from_consumer(said),
    )


def build_items(skus: Iterable[SkuFields]) -> tuple[RequestedItem, ...]:
    """Return the items of a valid body."""
    return tuple(
        RequestedItem(sku.siteId, sku.name, sku.title or "", tuple(price.price for price in sku.price), sku.extras)
        for sku in skus
    )


def render_metadata(body: dict[str, Any]) -> str:
    """Return the metadata of a body in its stored form."""
    return render_json(body.get("metadata") or {}).decode()


def first_url(urls: Iterable[str | None]) -> str | None:
    """Return the first given URL: the request's own, or else that of the first SKU that has one."""
    return next((url for url in urls if url), None)


def read_references(merchant_id: int, body: dict[str, Any]) -> RequestedPayment:
    """Return the references of an invalid body, as far as they can be read."""
    skus = skus_of(body)
    urls = [_object_at(one, "url") or {} for one in (body, *(sku for _, sku in skus))]
    return RequestedPayment(
        merchant_id=merchant_id,
        items=tuple(RequestedItem(_text(sku, "siteId"), _text(sku, "name")) for _, sku in skus),
        source=read_source(body),
        consumer=read_consumer(body),
        ipn_url=first_url(url.get("ipnUrl") for url in urls),
        redirect_url=first_url(url.get("redirectUrl") for url in urls),
    )


def read_source(body: dict[str, Any]) -> RequestedSource:
    """Return the source of an invalid body, as far as it can be read."""
    source = _object_at(body, "paymentSource") or {}
    kind = _text(source, "type") or ""
    is_account = kind in {"paymentAccountId", "paymentAccountIdWithCvv"}
    return RequestedSource(
        kind=kind,
        token=_text(source, "token", "value") if kind == "token" else None,
        account_id=_text(source, "paymentAccountId") if is_account else None,
        consumer_id=_text(source, "id", "value") if kind == "consumer" else None,
        mid=_text(source, "mid"),
    )


def read_consumer(body: dict[str, Any]) -> RequestedConsumer:
    """Return the consumer of an invalid body, as far as it can be read."""
    consumer = _object_at(body, "consumer") or {}
    external_id = _text(consumer, "externalId", longest=MAX_EXTERNAL_ID_LENGTH)
    return RequestedConsumer(consumer_id=_text(consumer, "id"), external_id=external_id)


def _text(content: dict[str, Any], *names: str, longest: int = MAX_REFERENCE_LENGTH) -> str | None:
    """Return the first present value as the model reads it; other types and long texts cannot be references."""
    text = next((str(content[name]) for name in names if _is_scalar(content.get(name))), "")
    return text if 0 < len(text) <= longest else None


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | Decimal) and not isinstance(value, bool) and value != ""


def name_faults(faults: Iterable[Fault], body: dict[str, Any]) -> dict[str, list[str]]:
    """Name faults by their paths in a body."""
    named: dict[str, list[str]] = {}
    items = [path for path, _ in skus_of(body)]
    for fault in faults:
        item = items[fault.item] if fault.item is not None else ""
        path = f"{item}.{ITEM_PATHS[fault.subject]}" if item else PATHS[fault.subject]
        named.setdefault(path, []).append(TEXTS.get(fault.text, fault.text).format(item=item))
    return named
