"""Subscriptions as a merchant's server handles them, and the time that goes by meanwhile."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from tests.support.clock import leap
from tests.support.webshop import WebShop, card, price

from tollhouse.worker.subscriptions import renew_due

#: 9.99 at once, then 19.99 every 30 days.
MONTHLY = (price(9.99), price(19.99, offset="30d", repeat=True))


@dataclass(frozen=True, slots=True)
class Subscriber:
    """A subscription at a shop."""

    shop: WebShop
    answer: Mapping[str, Any]

    @property
    def subscription_id(self) -> str:
        """Its id, as the answer to the sign-up has it."""
        return str(self.answer["subscription"]["id"])

    @property
    def path(self) -> str:
        """Where it is found."""
        return f"/subscription/{self.subscription_id}"

    async def get(self) -> Any:
        """Return it as it stands."""
        return read(await self.shop.get(self.path))

    async def put(self, step: str = "", body: Any = None, **request: Any) -> httpx.Response:
        """Put to it, or to a part of it."""
        return await self.shop.put(self.path + step, [] if body is None else body, **request)

    async def change_card(self, source: Mapping[str, Any] | None = None, **request: Any) -> httpx.Response:
        """Put another card on it, by default one in the clear."""
        body = {"paymentSource": dict(source or {"type": "card"} | card("mastercard"))} | request.pop("body", {})
        return await self.put("/paymentAccount", body, **request)

    async def upcoming(self, limit: int = 12) -> list[Any]:
        """Return what is to come."""
        charges: list[Any] = read(await self.shop.get(f"{self.path}/upcoming?limit={limit}"))["data"]
        return charges

    async def renew(self, **by: float) -> None:
        """Let so much time go by, and then the worker do what is due."""
        await leap(self.shop.gateway.database, self.shop.merchant.merchant_id, self.shop.gateway.parts.clock, **by)
        await renew_due(self.shop.gateway.billing)

    async def charged(self) -> list[tuple[str, str]]:
        """Return date and amount of each of its renewals that was paid, oldest first."""
        rows = await self.shop.fetch(
            "select r.due_at, t.amount_minor from renewal r join transaction t using (merchant_id, transaction_id) "
            "where r.subscription_id = $1 and r.state = 'paid' order by r.period",
            int(self.subscription_id),
        )
        return [(write_time(row["due_at"]), f"{row['amount_minor'] / 100:.2f}") for row in rows]

    async def events(self) -> list[Any]:
        """Return the events that were recorded, oldest first: by their kinds, those about its end by their status."""
        rows = await self.shop.fetch("select kind, status from event order by position")
        return [row["status"] if row["kind"] == "cancel" else row["kind"] for row in rows]


async def sign_up(shop: WebShop, *prices: Mapping[str, Any], name: str = "visa", **changes: Any) -> Subscriber:
    """Sign up with a published card, by default for `MONTHLY`."""
    source = {"type": "card"} | card(name)
    answer = await shop.pay(shop.payment(source, **{"sku": shop.sku(*(prices or MONTHLY))} | changes))
    assert answer.json()["payment"]["status"] == "success", answer.text
    return Subscriber(shop, answer.json())


def read(answer: httpx.Response) -> Any:
    """Return the body of an answer to a look or a change."""
    assert answer.status_code == 200, answer.text
    return answer.json()


def write_time(moment: datetime) -> str:
    """Write a time as the API does."""
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S")


def read_time(text: str) -> datetime:
    """Read a time of the API."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def days_apart(first: str, second: str) -> float:
    """Return how many days lie between two times of the API."""
    return (read_time(second) - read_time(first)) / timedelta(days=1)
