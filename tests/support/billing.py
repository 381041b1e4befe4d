"""A shop whose merchant's clock can be advanced, and what stands in the tables of billing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from tests.support.shop import MERCHANT, OTHER_NUMBER, SITE, Shop, card, price

from tollhouse.billing.changes.change_account import build_change, request_change
from tollhouse.billing.dependencies import BillingDependencies
from tollhouse.billing.model import SubscriptionContext
from tollhouse.billing.renewals.renew import lease_due, load_due, renew
from tollhouse.billing.store import select_case
from tollhouse.ipn.message.lifecycle_events import record_lifecycle_events
from tollhouse.kernel.card import Cvv
from tollhouse.kernel.rendered_response import RenderedResponse
from tollhouse.payments.charge.charge import charge
from tollhouse.payments.charge.requested_payment import RequestedConsumer, RequestedSource
from tollhouse.worker.subscriptions import renew_due

#: 9.99 at once, then 19.99 every 30 days.
MONTHLY = (price(999), price(1999, "30d", repeat=True))


@dataclass(frozen=True, slots=True)
class Billing:
    """One worker of the gateway, at a shop."""

    shop: Shop

    @property
    def dependencies(self) -> BillingDependencies:
        """What the verbs of billing work with."""
        parts = self.shop.parts
        return BillingDependencies(parts.lookups, parts.charging, parts.card_updates, record_lifecycle_events)

    async def subscribe(self, **changes: Any) -> int:
        """Sign up, for `MONTHLY` unless the changes say otherwise, and return the subscription's id."""
        paid = await self.shop.pay(**{"prices": MONTHLY, **changes})
        return int(paid.body["subscription"]["id"])

    async def advance(self, **span: float) -> None:
        """Let so much of the merchant's time go by."""
        offset = await self.shop.value(
            "update merchant set clock_offset = clock_offset + $2 where merchant_id = $1 returning clock_offset",
            MERCHANT,
            timedelta(**span),
        )
        self.shop.parts.clock.observe_offset(MERCHANT, offset)

    async def renew(self) -> list[Any]:
        """Let the worker do all that is due, and return the outcomes of the renewals so far, oldest first."""
        await renew_due(self.dependencies)
        return await self.tries()

    async def renew_each(self) -> list[RenderedResponse | None]:
        """Renew what is due one by one, and return what each came to."""
        dues = await load_due(self.dependencies, await lease_due(self.dependencies, limit=100))
        return [await renew(self.dependencies, due) for due in dues]

    async def tries(self, subscription_id: int | None = None) -> list[Any]:
        """Return period, try and state of each renewal, oldest first."""
        rows = await self.shop.fetch(
            """
            select period, try, state::text from renewal
            where $1::bigint is null or subscription_id = $1
            order by tried_at, period, try
            """,
            subscription_id,
        )
        return [tuple(row) for row in rows]

    async def case(self, subscription_id: int) -> SubscriptionContext:
        """Return a subscription with what decides about it."""
        async with self.shop.parts.database.acquire() as connection:
            case = await select_case(connection, (MERCHANT, subscription_id))
        assert case is not None
        return case

    async def summary(self, subscription_id: int) -> tuple[str, int]:
        """Return state and cycle of a subscription."""
        subscription = (await self.case(subscription_id)).subscription
        return subscription.state.value, subscription.cycle

    async def events(self) -> list[tuple[str, str]]:
        """Return kind and status of each event, oldest first."""
        return [tuple(row) for row in await self.shop.fetch("select kind, status from event order by position")]

    async def set_policy(self, text: str) -> None:
        """Say how the site retries failed renewals."""
        await self.shop.value(
            "update site set extras = extras || jsonb_build_object('rebillRetryPolicy', $2::text) where site_id = $1",
            SITE,
            text,
        )


async def give_card(billing: Billing, subscription_id: int, **changes: Any) -> Any:
    """Put another card on a subscription, and return the answer. The changes are of the source and its holder."""
    source = RequestedSource(**{"kind": "card", "card": card(OTHER_NUMBER), "code": Cvv("123"), **changes})
    key, consumer = (MERCHANT, subscription_id), RequestedConsumer()
    requested = await request_change(billing.dependencies, key, source, consumer, request_id="r", claim=None)
    return await charge(billing.shop.parts.charging, await build_change(billing.dependencies, requested))
