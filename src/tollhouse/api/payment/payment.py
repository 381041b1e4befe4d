"""`POST /payment` and `GET /payment/{transactionId}`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tollhouse.api.payment.card_request import (
    CardRequest,
    find_faults,
    read_card_request,
    reject_misplaced_card_numbers,
    replay_or_reject,
)
from tollhouse.api.payment.payment_request import PaymentRequest, find_cross_faults, read_references, request_payment
from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.reading.ids import NO_TRANSACTION, read_id
from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response, build_http_response
from tollhouse.http.routes import Calls, call
from tollhouse.kernel.errors import Invalid, NotFound
from tollhouse.payments.charge.charge import charge
from tollhouse.payments.charge.intent import Intent, build_intent
from tollhouse.payments.dependencies import ChargeDependencies, IntentLookups
from tollhouse.payments.model import OPERATION
from tollhouse.payments.reading.stored_payment import render_stored_payment
from tollhouse.payments.store import select_payment
from tollhouse.wire.answers import PaymentAnswer


class PaymentCalls(Calls):
    """Payments: create and get. `context` has the settings that validation depends on."""

    def __init__(
        self,
        lookups: IntentLookups,
        charging: ChargeDependencies,
        authenticator: RequestAuthenticator,
        context: Callable[[], dict[str, Any]],
    ) -> None:
        self._lookups = lookups
        self._charging = charging
        self._authenticator = authenticator
        self._context = context

    @call("POST /payment", "Charge a card", Purpose.SELLS, PaymentRequest, PaymentAnswer, takes_request_id=True)
    async def post_payment(self, request: Request) -> Response:
        """Charge a card, a token or a stored card.

        A declined payment is 201 too: check `payment.status`. With action `redirect`, send the cardholder to
        `payment.url`. The final status is sent by callback.
        """
        card_request = await read_card_request(
            self._authenticator,
            request,
            self._context(),
            model=PaymentRequest,
            find_cross_faults=find_cross_faults,
            digest=self._lookups.vault.digest,
            operation=OPERATION,
        )
        try:
            return build_http_response(await charge(self._charging, await self._build_intent(request, card_request)))
        except Invalid as error:
            return build_http_response(await replay_or_reject(self._charging.requests, card_request, error))

    @call("GET /payment/{transactionId}", "Get a payment", answer=PaymentAnswer)
    async def get_payment(self, request: Request) -> Response:
        """Return the present state of a payment by its `transactionId`."""
        merchant = await self._authenticator.access(request)
        number = read_id(request.path_parameters["transactionId"], NO_TRANSACTION)
        async with self._lookups.database.acquire() as connection:
            payment = await select_payment(connection, merchant_id=merchant.merchant_id, transaction_id=number)
        if payment is None:
            raise NotFound(NO_TRANSACTION)
        return Response(await render_stored_payment(self._charging.requests.reader, payment))

    async def _build_intent(self, request: Request, card_request: CardRequest[PaymentRequest]) -> Intent:
        """Build the intent of a request. Raises Invalid with all its faults."""
        merchant_id = card_request.merchant.merchant_id
        if card_request.model is None or card_request.faults:
            raise Invalid(
                await find_faults(self._lookups, card_request, read_references(merchant_id, card_request.body))
            )
        requested = request_payment(
            card_request.model,
            card_request.body,
            merchant_id=merchant_id,
            request_id=card_request.request_id,
            claim=card_request.claim,
        )
        intent = await build_intent(self._lookups, requested)
        reject_misplaced_card_numbers(request, intent, card_request)
        return intent
