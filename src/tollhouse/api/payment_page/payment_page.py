"""`POST /paymentPage`: create a page for one payment, with a URL that cannot be guessed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from pydantic import ValidationError

from tollhouse.api.payment.card_request import CardRequest
from tollhouse.api.payment.payment_request import (
    build_consumer,
    build_items,
    find_cross_faults,
    first_url,
    name_faults,
    read_references,
    render_metadata,
)
from tollhouse.api.payment_page.payment_page_request import PaymentPageRequest, first_path, read_fee_rules
from tollhouse.api.reading.access import RequestAuthenticator, find_request_id_faults
from tollhouse.api.reading.body import describe_faults, read_object
from tollhouse.api.reading.requests import build_claim
from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response, build_http_response
from tollhouse.http.routes import Calls, call
from tollhouse.idempotency.replay import replay
from tollhouse.kernel.errors import Invalid
from tollhouse.kernel.faults import RequestRejected
from tollhouse.kernel.money import MAX_AMOUNT_MINOR
from tollhouse.links.create import create_link
from tollhouse.links.dependencies import LinkDependencies
from tollhouse.links.fees import compute_total
from tollhouse.links.model import Terms
from tollhouse.links.pay import METHOD
from tollhouse.notices.model import ReceiptRequest
from tollhouse.payments.charge.intent import build_offer
from tollhouse.payments.charge.references import load_references
from tollhouse.payments.charge.requested_payment import RequestedPayment, RequestedSource
from tollhouse.payments.dependencies import IntentLookups
from tollhouse.wire.answers import PaymentPageAnswer

OPERATION = "paymentPage"


class PaymentPageCalls(Calls):
    """The call that creates a payment page. `context` has the settings that validation depends on."""

    def __init__(
        self, links: LinkDependencies, authenticator: RequestAuthenticator, context: Callable[[], dict[str, Any]]
    ) -> None:
        self._links = links
        self._authenticator = authenticator
        self._context = context

    @call(
        "POST /paymentPage",
        "Create a payment page",
        Purpose.SELLS,
        PaymentPageRequest,
        PaymentPageAnswer,
        takes_request_id=True,
    )
    async def post_payment_page(self, request: Request) -> Response:
        """Create a page on which your consumer pays. Send the browser to `url`.

        The page is for one payment. It accepts a new card or a stored card of the consumer, with 3-D Secure if
        requested, and then redirects the browser to `redirectUrl`. The status is sent by callback.
        """
        page_request = await _read(self._links, self._authenticator, request, self._context())
        try:
            terms, ttl = await _build_terms(self._links.lookups, page_request)
        except Invalid:
            # A retry may be invalid by now: its SKU is gone, or its site disabled.
            rendered = await replay(self._links.database, page_request.claim)
            if rendered is None:
                raise
            return build_http_response(rendered)
        rendered = await create_link(
            self._links,
            terms,
            merchant_id=page_request.merchant.merchant_id,
            request_id=page_request.request_id,
            claim=page_request.claim,
            ttl=ttl,
        )
        return build_http_response(rendered)


async def _read(
    links: LinkDependencies, authenticator: RequestAuthenticator, request: Request, context: dict[str, Any]
) -> CardRequest[PaymentPageRequest]:
    """Authenticate, decode and validate, and collect the faults of the body alone."""
    merchant = await authenticator.access(request)
    body, card_faults = await read_object(request)
    faults = find_cross_faults(body) | find_request_id_faults(request) | card_faults
    model = None
    try:
        model = PaymentPageRequest.model_validate(body, context=context)
    except ValidationError as error:
        faults = describe_faults(error) | faults
    claim = build_claim(request, merchant, body, operation=OPERATION, digest=links.lookups.vault.digest)
    return CardRequest(merchant, request.request_id, claim, body, model, faults)


async def _build_terms(
    lookups: IntentLookups, page_request: CardRequest[PaymentPageRequest]
) -> tuple[Terms, timedelta]:
    """Load the references of a request and build the terms of its page. Raises Invalid with all faults."""
    model = page_request.model
    if model is None or page_request.faults:
        found = await load_references(lookups, _read_references(page_request))
        raise Invalid(
            {**_name_paths(name_faults(found.faults, page_request.body), page_request.body), **page_request.faults}
        )
    requested = _request_payment(page_request, model)
    try:
        offer = await build_offer(lookups, requested)
    except RequestRejected as rejected:
        raise Invalid(_name_paths(name_faults(rejected.faults, page_request.body), page_request.body)) from None
    rules, faults = read_fee_rules(model.fees, offer.items[0].prices[0].money.currency)
    terms = Terms(
        items=offer.items,
        consumer=requested.consumer.profile,
        consumer_id=offer.payer.consumer_id,
        external_id=offer.payer.external_id,
        consumer_ip=model.consumer.ip,
        metadata=requested.metadata,
        ipn_url=requested.ipn_url or offer.site.ipn_url,
        redirect_url=requested.redirect_url or offer.site.redirect_url,
        fee_rules=tuple(rules),
        language=model.template.language.lower() if model.template.language else None,
        asks_authentication=model.payment.secure,
        emulate_code=model.payment.emulateCode,
        mid=model.payment.mid,
        receipt=_choose_receipt(model),
    )
    if not faults and compute_total(terms, method=METHOD).amount_minor > MAX_AMOUNT_MINOR:
        faults = {"fees": ["exceed the maximum together with the amount due now"]}
    if faults:
        raise Invalid(faults)
    return terms, model.life


def _choose_receipt(model: PaymentPageRequest) -> ReceiptRequest | None:
    """Return the requested receipt, in its own language or else the page's."""
    receipt = model.emailOptions.to_request() if model.emailOptions else None
    return replace(receipt, language=receipt.language or model.template.language) if receipt else None


def _read_references(page_request: CardRequest[PaymentPageRequest]) -> RequestedPayment:
    """Return the references of an invalid body. The acquirer account is in its payment fields."""
    payment = page_request.body.get("payment")
    source = {"mid": payment.get("mid")} if isinstance(payment, dict) else {}
    return read_references(page_request.merchant.merchant_id, {**page_request.body, "paymentSource": source, "url": {}})


def _name_paths(faults: dict[str, list[str]], body: dict[str, Any]) -> dict[str, list[str]]:
    """Return faults under the paths of a page's body: URLs are in the SKU, the acquirer account in the payment."""
    places = {"url.": f"{first_path(body)}.url.", "paymentSource.": "payment."}
    named = {}
    for path, texts in faults.items():
        start = next((start for start in places if path.startswith(start)), None)
        named[f"{places[start]}{path.removeprefix(start)}" if start else path] = texts
    return named


def _request_payment(page_request: CardRequest[PaymentPageRequest], model: PaymentPageRequest) -> RequestedPayment:
    return RequestedPayment(
        merchant_id=page_request.merchant.merchant_id,
        items=build_items(model.skus),
        source=RequestedSource(kind=METHOD, mid=model.payment.mid),
        consumer=build_consumer(model.consumer, model.consumer.ip),
        metadata=render_metadata(page_request.body),
        ipn_url=first_url(sku.url.ipnUrl for sku in model.skus),
        redirect_url=first_url(sku.url.redirectUrl for sku in model.skus),
    )
