"""A defect in the middle of a payment on a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.support.cardholders import open_served_gateway
from tests.support.payment_pages import make_page

from tollhouse.storage.database import Database


@dataclass(slots=True)
class BrokenWay:
    """A way to the simulator on which the answer to an authorization meets a defect of ours."""

    way: Any

    async def post(
        self, path: str, body: bytes, *, timeout_seconds: float, send_before: float, is_repeatable: bool = False
    ) -> bytes:
        """Carry a message."""
        answer: bytes = await self.way.post(
            path, body, timeout_seconds=timeout_seconds, send_before=send_before, is_repeatable=is_repeatable
        )
        if path == "/acquirer/authorize":
            raise RuntimeError("a bug")
        return answer


async def test_a_defect_does_not_say_that_nothing_was_charged(database: Database, simulator_database: Database) -> None:
    """When the acquirer took the money and then something broke, the page waits for the truth."""
    async with open_served_gateway(database, simulator_database, wrap=BrokenWay) as served:
        page = await make_page(served)
        answer = await page.pay()
        assert answer.status == 500
        assert "Nothing was charged" not in answer.text
        assert 'http-equiv="refresh"' in answer.text
        assert [row["status"] for row in await page.transactions()] == ["pending"]
        again = await page.open()
        assert "Nothing was charged" not in again.text
