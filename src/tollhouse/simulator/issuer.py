"""The issuer and its acquirer host: authorize, inquire, reverse.

The journal is written before an answer leaves. What goes wrong on the way (lost answers, late ones) is done here on
purpose.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING

from tollhouse.simulator import messages, rules, store
from tollhouse.simulator.model import Delivery, Entry, Result, Silence
from tollhouse.simulator.tasks import KeyedTasks
from tollhouse.storage.coalesce import Coalescer

if TYPE_CHECKING:
    from tollhouse.simulator.model import Order, Verdict
    from tollhouse.storage.database import Database

#: How long the silent card's connection stays open.
SILENT_SECONDS = 120.0


class Issuer:
    """Answers the acquirer messages. Bodies in, bodies or silence out."""

    def __init__(self, database: Database, *, slow_seconds: float, late_seconds: float) -> None:
        self._database = database
        self._slow_seconds = slow_seconds
        self._late_seconds = late_seconds
        self._journal: Coalescer[Entry, Result] = Coalescer("simulator journal", store.insert_entries, database)
        self._late: KeyedTasks[Result] = KeyedTasks("late authorization")
        self._reversals: dict[str, asyncio.Event] = {}

    async def authorize(self, body: bytes) -> bytes | Silence:
        """Decide an authorization, journal it, and answer as the card's way of delivery has it. Raises Invalid."""
        order = messages.read_authorize(body)
        delivery = rules.choose_delivery(order)
        if delivery is Delivery.PROMPT:
            return messages.build_answer(order.reference, await self._decide(order))
        return await self._deliver_badly(order, delivery)

    async def inquire(self, body: bytes) -> bytes:
        """Say what became of a reference. Raises Invalid."""
        reference = messages.read_reference(body)
        async with self._database.acquire() as connection:
            row = await store.queries.select_entry(connection, reference=reference)
        if row is None:
            return messages.build_finding(reference, "not_found")
        if row["reversed_at"] is not None:
            return messages.build_finding(reference, "reversed")
        return messages.build_answer(reference, store.read_result(row))

    async def reverse(self, body: bytes) -> bytes:
        """Undo a reference, or refuse it when it comes. Raises Invalid."""
        reference = messages.read_reference(body)
        async with self._database.transaction() as connection:
            await store.reverse(connection, reference)
        if reference in self._reversals:
            self._reversals[reference].set()
        return messages.build_finding(reference, "reversed")

    async def close(self) -> None:
        """Drop the authorizations that are held back, as if they had never arrived."""
        await self._late.close()

    async def _decide(self, order: Order, *, outruns_reversal: bool = False) -> Result:
        verdict = rules.judge(order)
        entry = Entry(order, _draft_result(order, verdict), verdict.conditions, outruns_reversal)
        return await self._journal.submit(entry)

    async def _deliver_badly(self, order: Order, delivery: Delivery) -> bytes | Silence:
        """Decide an authorization whose way is bad."""
        if delivery is Delivery.DROPPED:
            return Silence(0)
        if delivery is Delivery.LATE:
            # The caller may give up and be cancelled meanwhile; the message is on its way all the same.
            result = await asyncio.shield(self._late.start(order.reference, lambda: self._decide_late(order)))
        else:
            result = await self._decide(order)
        if delivery is Delivery.TWICE:
            result = await self._decide(order)
        elif delivery is Delivery.LOST:
            return Silence(0)
        elif delivery is Delivery.SILENT:
            return Silence(SILENT_SECONDS)
        elif delivery is Delivery.SLOW:
            await asyncio.sleep(self._slow_seconds)
        return messages.build_answer(order.reference, result)

    async def _decide_late(self, order: Order) -> Result:
        """Hold an authorization back until its time is over or a reversal overtakes it, then decide it."""
        overtaken = self._reversals.setdefault(order.reference, asyncio.Event())
        try:
            async with asyncio.timeout(self._late_seconds):
                await overtaken.wait()
        except TimeoutError:
            pass
        finally:
            self._reversals.pop(order.reference, None)
        return await self._decide(order, outruns_reversal=True)


def _draft_result(order: Order, verdict: Verdict) -> Result:
    if not rules.is_approval(verdict.response_code, amount_minor=order.amount_minor):
        return Result(verdict.response_code, verdict.advice_code, None, None)
    return Result(verdict.response_code, None, secrets.token_hex(3).upper(), f"{secrets.randbelow(10**15):015d}")
