"""`PUT /subscription/{id}/paymentAccount`: replace a subscription's card."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec.structs import replace
from pydantic import Field

from tollhouse.api.fields.consumer import PageConsumerFields
from tollhouse.api.fields.source import AnySource, find_mpi_faults
from tollhouse.api.fields.values import IpAddress
from tollhouse.api.payment.card_request import (
    CardRequest,
    find_faults,
    read_card_request,
    reject_misplaced_card_numbers,
    replay_or_reject,
)
from tollhouse.api.payment.payment_request import build_consumer, build_source, read_consumer, read_source
from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.reading.body import Body
from tollhouse.api.reading.ids import read_id
from tollhouse.billing.changes.change import MISSING
from tollhouse.billing.changes.change_account import build_change, request_change
from tollhouse.billing.dependencies import BillingDependencies
from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response, build_http_response
from tollhouse.http.routes import Calls, call
from tollhouse.kernel.errors import Invalid
from tollhouse.payments.charge.charge import charge
from tollhouse.payments.charge.intent import Intent
from tollhouse.payments.charge.requested_payment import RequestedConsumer, RequestedSource
from tollhouse.payments.model import CHANGE_OPERATION
from tollhouse.wire.answers import PaymentAnswer


class HolderFields(PageConsumerFields):
    """Optional data of the new card's holder. The subscription's consumer is unchanged."""

    ip: IpAddress | None = Field(None, description="The consumer's IP address; by default that of the sign-up.")


class SubscriptionAccountRequest(Body):
    """The new card of a subscription."""

    paymentSource: AnySource = Field(description="The new source: a new card, or a stored card of the same consumer.")
    consumer: HolderFields = Field(default_factory=HolderFields, description="The cardholder.")


def find_cross_faults(body: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return faults between fields, and fields that this request does not allow."""
    source = body.get("paymentSource")
    if not isinstance(source, dict):
        return {}
    faults = find_mpi_faults(source.get("mpiParameters"), "paymentSource.mpiParameters")
    if source.get("initiator") == "merchant":
        faults["paymentSource.initiator"] = ["must be customer: only the cardholder can change the card"]
    return faults


class SubscriptionAccountCalls(Calls):
    """The call that changes a subscription's card. `context` has the settings that validation depends on."""

    def __init__(
        self, billing: BillingDependencies, authenticator: RequestAuthenticator, context: Callable[[], dict[str, Any]]
    ) -> None:
        self._billing = billing
        self._authenticator = authenticator
        self._context = context

    @call(
        "PUT /subscription/{subscriptionId}/paymentAccount",
        "Change the card of a subscription",
        Purpose.SELLS,
        SubscriptionAccountRequest,
        PaymentAnswer,
        takes_request_id=True,
    )
    async def change_payment_account(self, request: Request) -> Response:
        """Verify another card, and charge it from now on. Past due charges are retried at once.

        The verification is a payment of 0: check its `payment.status`. The subscription keeps its old card while it is
        pending and if it is declined. With action `redirect`, send the cardholder to `payment.url`; the final status
        is sent by callback.
        """
        card_request = await read_card_request(
            self._authenticator,
            request,
            self._context(),
            model=SubscriptionAccountRequest,
            find_cross_faults=find_cross_faults,
            digest=self._billing.lookups.vault.digest,
            operation=CHANGE_OPERATION,
        )
        key = card_request.merchant.merchant_id, read_id(request.path_parameters["subscriptionId"], MISSING)
        try:
            rendered = await charge(self._billing.charging, await self._build_intent(request, key, card_request))
        except Invalid as error:
            rendered = await replay_or_reject(self._billing.charging.requests, card_request, error)
        return build_http_response(replace(rendered, status=200))  # the verification is recorded as a payment

    async def _build_intent(
        self, request: Request, key: tuple[int, int], card_request: CardRequest[SubscriptionAccountRequest]
    ) -> Intent:
        """Build the verification. Raises NotFound, and Invalid with all faults of the request."""
        source, consumer = _read_card(card_request)
        requested = await request_change(
            self._billing, key, source, consumer, request_id=card_request.request_id, claim=card_request.claim
        )
        if card_request.model is None or card_request.faults:
            raise Invalid(await find_faults(self._billing.lookups, card_request, requested))
        intent = await build_change(self._billing, requested)
        reject_misplaced_card_numbers(request, intent, card_request)
        return intent


def _read_card(card_request: CardRequest[SubscriptionAccountRequest]) -> tuple[RequestedSource, RequestedConsumer]:
    """Return the card and its holder, from an invalid body as far as they can be read."""
    if card_request.model is None or card_request.faults:
        return read_source(card_request.body), read_consumer(card_request.body)
    return build_source(card_request.model.paymentSource), build_consumer(
        card_request.model.consumer, card_request.model.consumer.ip
    )
