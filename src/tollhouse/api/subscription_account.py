"""`PUT /subscription/{id}/paymentAccount`: another card for a subscription (wire contract, 3.8 and 4.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from litestar import Response, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from msgspec.structs import replace
from pydantic import Field

from tollhouse.api.access import AnyRequest, RequestAuthenticator
from tollhouse.api.card_request import CardRequest, answer_order, read_card_request, reject_misplaced_card_numbers
from tollhouse.api.consumer_fields import PageConsumerFields
from tollhouse.api.decode import Body
from tollhouse.api.fields import IpAddress
from tollhouse.api.ids import read_number
from tollhouse.api.mpi_fields import find_mpi_faults
from tollhouse.api.openapi import describe
from tollhouse.api.requests import answer
from tollhouse.api.source_fields import AnySource
from tollhouse.api.wanted import NOT_PROFILE, card_of, code_of, read_browser, read_references
from tollhouse.billing.changes.change import MISSING
from tollhouse.billing.changes.change_account import NewSource, build_change, change_account, resolve_change
from tollhouse.kernel.errors import Invalid
from tollhouse.payments.model import CHANGE_OPERATION
from tollhouse.wire.answers import PaymentAnswer

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tollhouse.billing.tools import BillingDependencies
    from tollhouse.payments.model import Order


class HolderFields(PageConsumerFields):
    """What may be said of who holds the new card. Nothing of it has to be: the consumer stays the subscription's."""

    ip: IpAddress | None = Field(None, description="The customer's address; else that of the sign-up.")


class SubscriptionAccountRequest(Body):
    """The card that a subscription shall have."""

    paymentSource: AnySource = Field(description="What pays from now on: a new card, or one of the same consumer's.")
    consumer: HolderFields = Field(default_factory=HolderFields, description="Who holds it.")


def find_cross_faults(body: Mapping[str, Any]) -> dict[str, list[str]]:
    """Return the faults that a field has because of another, or because of what this request is for."""
    source = body.get("paymentSource")
    if not isinstance(source, dict):
        return {}
    faults = find_mpi_faults(source.get("mpiParameters"), "paymentSource.mpiParameters")
    if source.get("initiator") == "merchant":
        faults["paymentSource.initiator"] = ["has to be customer: whoever holds the card shows it"]
    return faults


def account_handler(
    biller: BillingDependencies, gate: RequestAuthenticator, context: Callable[[], dict[str, Any]]
) -> HTTPRouteHandler:
    """Return the handler. `context` tells the models what the environment asks of them."""

    @put(
        "/subscription/{subscription_id:str}/paymentAccount",
        opt=describe(
            "Change the card of a subscription",
            request=SubscriptionAccountRequest,
            answer=PaymentAnswer,
            takes_request_id=True,
            may_miss=True,
        ),
    )
    async def change_payment_account(request: AnyRequest, subscription_id: FromPath[str]) -> Response[bytes]:
        """Verify another card, and charge it from now on; what is past due is tried again at once.

        The verification is a payment of nothing: look at its `payment.status`. When it is declined the subscription
        keeps its card, and so it does as long as it is pending. With action `redirect` send the cardholder to
        `payment.url`; the final status comes by IPN.
        """
        asked = await read_card_request(
            biller.tools,
            gate,
            request,
            context(),
            model=SubscriptionAccountRequest,
            find_cross_faults=find_cross_faults,
            operation=CHANGE_OPERATION,
            scope=request.url.path,
        )
        key = asked.merchant.merchant_id, read_number(subscription_id, MISSING)
        reply = await answer_order(
            biller.tools,
            asked,
            _order(biller, request, key, asked),
            lambda order: change_account(biller, order),
        )
        return answer(replace(reply, status=200))  # the verification is recorded as the payment that it is

    return change_payment_account


async def _order(
    biller: BillingDependencies,
    request: AnyRequest,
    key: tuple[int, int],
    asked: CardRequest[SubscriptionAccountRequest],
) -> Order:
    """Put the verification together. Raises NotFound, and Invalid with all faults of the request."""
    change = await resolve_change(biller, key, read_references(key[0], asked.body))
    faults = {**change.faults, **asked.faults}
    if asked.model is None or faults:
        raise Invalid(faults)
    order = await build_change(biller, change, _build_source(asked.model, asked))
    reject_misplaced_card_numbers(request, order, asked)
    return order


def _build_source(model: SubscriptionAccountRequest, asked: CardRequest[SubscriptionAccountRequest]) -> NewSource:
    source, consumer = model.paymentSource, model.consumer
    return NewSource(
        kind=source.type,
        request_id=asked.request_id,
        claim=asked.claim,
        card=card_of(source),
        code=code_of(source),
        asks_authentication=source.authenticate,
        consumer=consumer.model_dump(exclude_none=True, exclude=NOT_PROFILE),
        consumer_ip=consumer.ip,
        browser=read_browser(consumer),
        emulate_code=source.emulateCode,
        mid=source.mid,
        endorsement=source.mpiParameters.to_endorsement() if source.mpiParameters else None,
    )
