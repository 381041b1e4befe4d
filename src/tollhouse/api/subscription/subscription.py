"""`GET` and `PUT /subscription/{id}`, `/cancel` and `/recover`."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from tollhouse.api.fields.price import Schedule
from tollhouse.api.fields.values import Moment
from tollhouse.api.payment.operations import MAX_REASON_LENGTH
from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.reading.body import Body, naming_faults
from tollhouse.api.reading.ids import read_id
from tollhouse.api.reading.requests import read_request
from tollhouse.billing.changes.cancel import Cancellation, cancel, recover
from tollhouse.billing.changes.change import MISSING, access_subscription, reprice
from tollhouse.billing.dependencies import BillingDependencies
from tollhouse.billing.model import Subscription
from tollhouse.billing.outcomes import summarize_subscription
from tollhouse.http.requests import Purpose, Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Calls, call
from tollhouse.kernel.faults import Subject
from tollhouse.payments.reading.view import build_subscription_block
from tollhouse.wire.answers import SubscriptionBlock
from tollhouse.wire.render import render


class SubscriptionChangeRequest(Body):
    """Changes of a subscription; without prices nothing changes."""

    price: Schedule = Field(
        default_factory=list,
        description="The prices from the next charge on, which keeps its date whatever the first offset is.",
    )


class SubscriptionCancelRequest(Body):
    """The end of a subscription, and whether its consumer gets an email. By default it ends at once.

    So a blank field for the time is rejected, and if one is absent, any unknown field, because it may be misspelled.
    """

    decisive: ClassVar[frozenset[str]] = frozenset({"cancelDate", "keepActiveUntilNextRebill"})

    sendEmail: bool = Field(False, description="Whether to email the consumer when it ends.")
    keepActiveUntilNextRebill: bool = Field(False, description="Whether to end it when the next charge would be due.")
    cancelDate: Moment | None = Field(
        None, description="The time to end it, whatever `keepActiveUntilNextRebill` says; a past time means now."
    )
    reason: str | None = Field(
        None, min_length=1, max_length=MAX_REASON_LENGTH, description="Stored with it.", examples=["Too dear"]
    )

    def to_cancellation(self) -> Cancellation:
        """Return the same in the terms of billing."""
        return Cancellation(
            at=self.cancelDate,
            at_next_rebill=self.keepActiveUntilNextRebill,
            reason=self.reason,
            tells_consumer=self.sendEmail,
        )


class SubscriptionRecoverRequest(Body):
    """A request without fields to undo a cancellation."""


class SubscriptionCalls(Calls):
    """Subscriptions: get, change, cancel and recover."""

    def __init__(self, billing: BillingDependencies, authenticator: RequestAuthenticator) -> None:
        self._billing = billing
        self._authenticator = authenticator

    @call("GET /subscription/{subscriptionId}", "Get a subscription", answer=SubscriptionBlock)
    async def get_subscription(self, request: Request) -> Response:
        """Return a subscription. One whose first payment is pending or failed does not exist."""
        merchant = await self._authenticator.access(request)
        key = merchant.merchant_id, read_id(request.path_parameters["subscriptionId"], MISSING)
        return show((await access_subscription(self._billing, key)).subscription)

    @call(
        "PUT /subscription/{subscriptionId}",
        "Change the price of a subscription",
        Purpose.SETS_UP,
        SubscriptionChangeRequest,
        SubscriptionBlock,
    )
    async def put_subscription(self, request: Request) -> Response:
        """Change the prices of a subscription from its next charge on, which keeps its date.

        Later charges follow by their offsets. A charge in progress keeps its price. Without prices nothing changes.
        """
        valid = await read_request(self._authenticator, request, SubscriptionChangeRequest)
        key = valid.merchant.merchant_id, read_id(request.path_parameters["subscriptionId"], MISSING)
        prices = [price.price for price in valid.body.price]
        if not prices:
            return show((await access_subscription(self._billing, key)).subscription)
        with naming_faults({Subject.CURRENCY: "price.{item}.currency"}):
            return show(await reprice(self._billing, key, prices, request_id=valid.request_id))

    @call(
        "PUT /subscription/{subscriptionId}/cancel",
        "Cancel a subscription",
        Purpose.GIVES_BACK,
        SubscriptionCancelRequest,
        SubscriptionBlock,
    )
    async def cancel_subscription(self, request: Request) -> Response:
        """Cancel a subscription: at once, at a date, or when its next charge would be due.

        Until then its status is unchanged, and `cancelDate` is the end. A subscription that is already canceled is
        unchanged. A charge in progress is finished.
        """
        valid = await read_request(self._authenticator, request, SubscriptionCancelRequest)
        key = valid.merchant.merchant_id, read_id(request.path_parameters["subscriptionId"], MISSING)
        return show(await cancel(self._billing, key, valid.body.to_cancellation(), request_id=valid.request_id))

    @call(
        "PUT /subscription/{subscriptionId}/recover",
        "Undo a cancellation",
        Purpose.SELLS,
        SubscriptionRecoverRequest,
        SubscriptionBlock,
    )
    async def recover_subscription(self, request: Request) -> Response:
        """Undo a cancellation, also after the end. The next charge is at the next date of the old schedule.

        A subscription that is not canceled is unchanged.
        """
        valid = await read_request(self._authenticator, request, SubscriptionRecoverRequest)
        key = valid.merchant.merchant_id, read_id(request.path_parameters["subscriptionId"], MISSING)
        return show(await recover(self._billing, key, request_id=valid.request_id))


def show(subscription: Subscription) -> Response:
    """Respond with a subscription."""
    return Response(render(build_subscription_block(summarize_subscription(subscription))))
