"""`GET` and `PUT /subscription/{id}`, `/cancel` and `/recover` (wire contract, 3.3 and 4.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field, field_validator

from tollhouse.api.fields.price import PriceFields, check_schedule
from tollhouse.api.fields.values import Moment
from tollhouse.api.payment.operations import MAX_REASON_LENGTH
from tollhouse.api.reading.access import RequestAuthenticator
from tollhouse.api.reading.body import Body, naming_faults
from tollhouse.api.reading.ids import read_id
from tollhouse.api.reading.requests import read_request
from tollhouse.billing.changes.cancel import Cancellation, cancel, recover
from tollhouse.billing.changes.change import MISSING, access_subscription
from tollhouse.billing.changes.reprice import reprice
from tollhouse.billing.outcomes import summarize_subscription
from tollhouse.catalog.prices import MAX_PRICES
from tollhouse.http.purposes import Purpose
from tollhouse.http.requests import Request
from tollhouse.http.responses import Response
from tollhouse.http.routes import Calls, call
from tollhouse.kernel.faults import Subject
from tollhouse.payments.reading.view import build_subscription_block
from tollhouse.wire.answers import SubscriptionBlock
from tollhouse.wire.render import render

if TYPE_CHECKING:
    from tollhouse.billing.dependencies import BillingDependencies
    from tollhouse.billing.model import Subscription


class SubscriptionChangeRequest(Body):
    """What is to be changed of a subscription; without a price nothing is."""

    price: list[PriceFields] = Field(
        default_factory=list,
        max_length=MAX_PRICES,
        description="Its charges from the next one on, which keeps its date whatever the first offset is.",
    )

    @field_validator("price", mode="after")
    @classmethod
    def _check_schedule(cls, prices: list[PriceFields]) -> list[PriceFields]:
        check_schedule([price.price for price in prices])
        return prices


class SubscriptionCancelRequest(Body):
    """When a subscription ends, and whether its consumer hears of it. Without any of these it ends at once.

    So a blank field that would say when is rejected, and where one is missing any field that is not known: it may be a
    misspelled one.
    """

    decisive: ClassVar[frozenset[str]] = frozenset({"cancelDate", "keepActiveUntilNextRebill"})

    sendEmail: bool = Field(False, description="Write to the consumer when it ends.")
    keepActiveUntilNextRebill: bool = Field(False, description="End it when the next charge would fall due.")
    cancelDate: Moment | None = Field(
        None,
        description="End it then, whatever `keepActiveUntilNextRebill` says; a time that has passed means at once.",
    )
    reason: str | None = Field(
        None, min_length=1, max_length=MAX_REASON_LENGTH, description="Kept with it.", examples=["Too dear"]
    )

    def to_cancellation(self) -> Cancellation:
        """Return the same in the words of billing."""
        return Cancellation(
            at=self.cancelDate,
            at_next_rebill=self.keepActiveUntilNextRebill,
            reason=self.reason,
            tells_consumer=self.sendEmail,
        )


class SubscriptionRecoverRequest(Body):
    """Nothing has to be said to take a cancellation back."""


class SubscriptionCalls(Calls):
    """Subscriptions: get, change, cancel and recover."""

    def __init__(self, biller: BillingDependencies, gate: RequestAuthenticator) -> None:
        self._biller = biller
        self._gate = gate

    @call("GET /subscription/{subscriptionId}", "Look a subscription up", answer=SubscriptionBlock)
    async def get_subscription(self, request: Request) -> Response:
        """Return a subscription as it stands. One whose first payment is open or failed is not there."""
        merchant = await self._gate.access(request)
        key = merchant.merchant_id, read_id(request.path_parameters["subscriptionId"], MISSING)
        return show((await access_subscription(self._biller, key)).subscription)

    @call(
        "PUT /subscription/{subscriptionId}",
        "Change the price of a subscription",
        Purpose.SETS_UP,
        SubscriptionChangeRequest,
        SubscriptionBlock,
    )
    async def put_subscription(self, request: Request) -> Response:
        """Give a subscription other prices from its next charge on, which keeps its date.

        The later ones count on from there, each by its offset. A charge that is under way keeps its price. Without
        prices nothing is changed.
        """
        asked = await read_request(self._gate, request, SubscriptionChangeRequest)
        key = asked.merchant.merchant_id, read_id(request.path_parameters["subscriptionId"], MISSING)
        prices = [price.price for price in asked.body.price]
        if not prices:
            return show((await access_subscription(self._biller, key)).subscription)
        with naming_faults({Subject.CURRENCY: "price.{item}.currency"}):
            return show(await reprice(self._biller, key, prices, request_id=asked.request_id))

    @call(
        "PUT /subscription/{subscriptionId}/cancel",
        "Cancel a subscription",
        Purpose.GIVES_BACK,
        SubscriptionCancelRequest,
        SubscriptionBlock,
    )
    async def cancel_subscription(self, request: Request) -> Response:
        """End a subscription: at once, at a date, or when its next charge would fall due.

        Until then its status stays, and `cancelDate` says when it ends. One that was cancelled before stays as it is.
        A charge that is under way is finished.
        """
        asked = await read_request(self._gate, request, SubscriptionCancelRequest)
        key = asked.merchant.merchant_id, read_id(request.path_parameters["subscriptionId"], MISSING)
        return show(await cancel(self._biller, key, asked.body.to_cancellation(), request_id=asked.request_id))

    @call(
        "PUT /subscription/{subscriptionId}/recover",
        "Take a cancellation back",
        Purpose.SELLS,
        SubscriptionRecoverRequest,
        SubscriptionBlock,
    )
    async def recover_subscription(self, request: Request) -> Response:
        """Take a cancellation back, also after the end; the next charge is made at the next date of the old schedule.

        A subscription that is not cancelled stays as it is.
        """
        asked = await read_request(self._gate, request, SubscriptionRecoverRequest)
        key = asked.merchant.merchant_id, read_id(request.path_parameters["subscriptionId"], MISSING)
        return show(await recover(self._biller, key, request_id=asked.request_id))


def show(subscription: Subscription) -> Response:
    """Answer with a subscription as its merchant sees it."""
    return Response(render(build_subscription_block(summarize_subscription(subscription))))
