"""`GET` and `PUT /subscription/{id}`, `/cancel` and `/recover` (wire contract, 3.3 and 4.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from litestar import Response, get, put
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from pydantic import Field, field_validator

from tollhouse.api.access import AnyRequest, RequestAuthenticator
from tollhouse.api.decode import Body
from tollhouse.api.fields import Moment
from tollhouse.api.ids import read_number
from tollhouse.api.money_fields import check_schedule
from tollhouse.api.openapi import describe
from tollhouse.api.operations import MAX_REASON_LENGTH
from tollhouse.api.price_fields import PriceFields
from tollhouse.api.requests import read_request
from tollhouse.api.subscription_account import account_handler
from tollhouse.api.subscription_charges import charge_handlers
from tollhouse.billing.changes.cancel import Cancellation, cancel
from tollhouse.billing.changes.change import MISSING, access_subscription
from tollhouse.billing.changes.recover import recover
from tollhouse.billing.changes.reprice import reprice
from tollhouse.billing.settle import summarize_subscription
from tollhouse.catalog.prices import MAX_PRICES
from tollhouse.payments.reading.view import build_subscription_block
from tollhouse.wire.answers import SubscriptionBlock
from tollhouse.wire.render import render

if TYPE_CHECKING:
    from collections.abc import Callable

    from tollhouse.billing.model import Subscription
    from tollhouse.billing.tools import BillingDependencies


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
        check_schedule([price.to_price() for price in prices])
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


def subscription_handlers(
    biller: BillingDependencies, gate: RequestAuthenticator, context: Callable[[], dict[str, Any]]
) -> list[HTTPRouteHandler]:
    """Return the handlers of all calls about subscriptions. `context` tells the models what the environment asks."""
    return [
        *_subscription_handlers(biller, gate),
        *_ending_handlers(biller, gate),
        account_handler(biller, gate, context),
        *charge_handlers(biller, gate),
    ]


def _subscription_handlers(biller: BillingDependencies, gate: RequestAuthenticator) -> list[HTTPRouteHandler]:
    @get(
        "/subscription/{subscription_id:str}",
        opt=describe("Look a subscription up", answer=SubscriptionBlock, may_miss=True),
    )
    async def get_subscription(request: AnyRequest, subscription_id: FromPath[str]) -> Response[bytes]:
        """Return a subscription as it stands. One whose first payment is open or failed is not there."""
        merchant = await gate.access(request)
        key = merchant.merchant_id, read_number(subscription_id, MISSING)
        return show((await access_subscription(biller, key)).subscription)

    @put(
        "/subscription/{subscription_id:str}",
        opt=describe(
            "Change the price of a subscription",
            request=SubscriptionChangeRequest,
            answer=SubscriptionBlock,
            may_miss=True,
        ),
    )
    async def put_subscription(request: AnyRequest, subscription_id: FromPath[str]) -> Response[bytes]:
        """Give a subscription other prices from its next charge on, which keeps its date.

        The later ones count on from there, each by its offset. A charge that is under way keeps its price. Without
        prices nothing is changed.
        """
        asked = await read_request(gate, request, SubscriptionChangeRequest)
        key = asked.merchant.merchant_id, read_number(subscription_id, MISSING)
        prices = [price.to_price() for price in asked.body.price]
        if not prices:
            return show((await access_subscription(biller, key)).subscription)
        return show(await reprice(biller, key, prices, request_id=asked.request_id))

    return [get_subscription, put_subscription]


def _ending_handlers(biller: BillingDependencies, gate: RequestAuthenticator) -> list[HTTPRouteHandler]:
    @put(
        "/subscription/{subscription_id:str}/cancel",
        opt=describe(
            "Cancel a subscription", request=SubscriptionCancelRequest, answer=SubscriptionBlock, may_miss=True
        ),
    )
    async def cancel_subscription(request: AnyRequest, subscription_id: FromPath[str]) -> Response[bytes]:
        """End a subscription: at once, at a date, or when its next charge would fall due.

        Until then its status stays, and `cancelDate` says when it ends. One that was cancelled before stays as it is.
        A charge that is under way is finished.
        """
        asked = await read_request(gate, request, SubscriptionCancelRequest)
        key = asked.merchant.merchant_id, read_number(subscription_id, MISSING)
        return show(await cancel(biller, key, asked.body.to_cancellation(), request_id=asked.request_id))

    @put(
        "/subscription/{subscription_id:str}/recover",
        opt=describe(
            "Take a cancellation back", request=SubscriptionRecoverRequest, answer=SubscriptionBlock, may_miss=True
        ),
    )
    async def recover_subscription(request: AnyRequest, subscription_id: FromPath[str]) -> Response[bytes]:
        """Take a cancellation back, also after the end; the next charge is made at the next date of the old schedule.

        A subscription that is not cancelled stays as it is.
        """
        asked = await read_request(gate, request, SubscriptionRecoverRequest)
        key = asked.merchant.merchant_id, read_number(subscription_id, MISSING)
        return show(await recover(biller, key, request_id=asked.request_id))

    return [cancel_subscription, recover_subscription]


def show(subscription: Subscription) -> Response[bytes]:
    """Answer with a subscription as its merchant sees it."""
    return Response(
        render(build_subscription_block(summarize_subscription(subscription))), media_type="application/json"
    )
