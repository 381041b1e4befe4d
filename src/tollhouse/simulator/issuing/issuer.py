"""The issuer and its acquirer host: authorize, capture, void, refund, inquire, reverse.

The journal is written before a response leaves. Delivery faults (lost and late responses) are produced here on purpose.
"""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass, replace
from functools import partial
from typing import Protocol

from tollhouse.simulator import messages, rules, store
from tollhouse.simulator.faults import Faults, MatchedMessage
from tollhouse.simulator.issuing import operations
from tollhouse.simulator.model import (
    AuthorizationRequest,
    DeliveryMode,
    IssuerResponse,
    IssuerVerdict,
    JournalRow,
    OperationMessage,
    PublishedCard,
    Silence,
)
from tollhouse.simulator.tasks import KeyedTasks
from tollhouse.simulator.test_data import find_test_card
from tollhouse.storage.coalesce import Coalescer
from tollhouse.storage.database import Database

#: The time that the silent card's connection stays open.
MAX_SILENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class DeliveryPlan:
    """The delivery of a message. `seconds` is the delay of a slow response."""

    delivery: DeliveryMode
    seconds: float


class Decide(Protocol):
    """A function that decides and journals one message.

    `outruns_reversal` is true if a reversal may have overtaken it.
    """

    async def __call__(self, *, outruns_reversal: bool = False) -> IssuerResponse:
        """Return the response."""
        ...


class Issuer:
    """The issuer's message handlers, from bodies to bodies or silence."""

    def __init__(self, database: Database, faults: Faults, *, slow_seconds: float, late_seconds: float) -> None:
        self._database = database
        self._faults = faults
        self._slow_seconds = slow_seconds
        self._late_seconds = late_seconds
        self._journal: Coalescer[JournalRow, IssuerResponse] = Coalescer(
            "simulator journal", store.write_entries, database
        )
        self._late: KeyedTasks[IssuerResponse] = KeyedTasks("late authorization")
        self._reversals: dict[str, asyncio.Event] = {}

    async def authorize(self, body: bytes) -> bytes | Silence:
        """Decide an authorization, journal it, and respond with the card's delivery. Raises Invalid."""
        order = await self._find_card(messages.read_authorize(body))
        passing = MatchedMessage(order.acceptor, order.masked_number, order.amount_minor, order.currency)
        way = self._choose_way(rules.choose_delivery(order), passing)
        return await self._deliver(order, way, partial(self._decide, order))

    async def capture(self, body: bytes) -> bytes | Silence:
        """Capture an authorization, with delivery as in `authorize`. Raises Invalid."""
        return await self._operate(messages.read_operation("capture", body))

    async def void(self, body: bytes) -> bytes | Silence:
        """Void an authorization or sale, with delivery as in `authorize`. Raises Invalid."""
        return await self._operate(messages.read_operation("void", body))

    async def credit(self, body: bytes) -> bytes | Silence:
        """Refund a captured amount, with delivery as in `authorize`. Raises Invalid."""
        return await self._operate(messages.read_operation("credit", body))

    async def inquire(self, body: bytes) -> bytes:
        """Return the outcome of a reference. Raises Invalid."""
        reference = messages.read_reference(body)
        async with self._database.acquire() as connection:
            row = await store.queries.select_entry(connection, reference=reference)
        if row is None:
            return messages.build_not_found(reference)
        if row["reversed_at"] is not None:
            return messages.build_reversed(row)
        return messages.build_answer(reference, row["amount_minor"], row["currency"], store.read_result(row))

    async def reverse(self, body: bytes) -> bytes:
        """Reverse a reference, or reject it if it arrives later. Raises Invalid."""
        reference = messages.read_reference(body)
        async with self._database.transaction() as connection:
            await operations.reverse(connection, reference)
            row = await store.queries.select_entry(connection, reference=reference)
        if reference in self._reversals:
            self._reversals[reference].set()
        return messages.build_reversed(row)

    async def close(self) -> None:
        """Drop delayed messages, as if they had never arrived."""
        await self._late.close()

    async def _find_card(self, order: AuthorizationRequest) -> AuthorizationRequest:
        """Find the card among merchants' test cards if it is not published."""
        if order.card is not None:
            return order
        async with self._database.acquire() as connection:
            card = await find_test_card(
                connection, order.number, address=order.consumer_ip, by_customer=order.by_customer
            )
        return replace(order, card=card)

    async def _decide(self, order: AuthorizationRequest, *, outruns_reversal: bool = False) -> IssuerResponse:
        verdict = rules.judge(order)
        entry = JournalRow(order, _draft_result(order, verdict), verdict.conditions, outruns_reversal)
        return await self._journal.submit(entry)

    async def _operate(self, operation: OperationMessage) -> bytes | Silence:
        async with self._database.acquire() as connection:
            card, passing = await operations.select_original(connection, operation)
        way = self._choose_way(rules.choose_operation_delivery(operation, card), passing)
        return await self._deliver(operation, way, partial(self._carry_out, operation, card))

    async def _carry_out(
        self, operation: OperationMessage, card: PublishedCard | None, *, outruns_reversal: bool = False
    ) -> IssuerResponse:
        async with self._database.transaction() as connection:
            return await operations.carry_out(connection, operation, card, outruns_reversal=outruns_reversal)

    def _choose_way(self, delivery: DeliveryMode, passing: MatchedMessage | None) -> DeliveryPlan:
        """Choose the delivery: a requested fault precedes the card's own delivery."""
        fault = self._faults.strike(passing) if passing is not None else None
        return DeliveryPlan(fault.delivery, fault.seconds) if fault else DeliveryPlan(delivery, self._slow_seconds)

    async def _deliver(
        self, asked: AuthorizationRequest | OperationMessage, way: DeliveryPlan, decide: Decide
    ) -> bytes | Silence:
        if way.delivery is DeliveryMode.PROMPT:
            return _respond(asked, await decide())
        return await self._deliver_badly(asked, way, decide)

    async def _deliver_badly(
        self, asked: AuthorizationRequest | OperationMessage, way: DeliveryPlan, decide: Decide
    ) -> bytes | Silence:
        """Decide a message with faulty delivery."""
        delivery = way.delivery
        if delivery is DeliveryMode.DROPPED:
            return Silence(0)
        if delivery is DeliveryMode.LATE:
            # The caller may give up and be canceled meanwhile; the message is still under way.
            late = self._late.start(asked.reference, lambda: self._decide_late(asked.reference, decide))
            result = await asyncio.shield(late)
        else:
            result = await decide()
        if delivery is DeliveryMode.TWICE:
            result = await decide()
        elif delivery is DeliveryMode.LOST:
            return Silence(0)
        elif delivery is DeliveryMode.SILENT:
            return Silence(MAX_SILENCE_SECONDS)
        elif delivery is DeliveryMode.SLOW:
            await asyncio.sleep(way.seconds)
        return _respond(asked, result)

    async def _decide_late(self, reference: str, decide: Decide) -> IssuerResponse:
        """Delay a message until its time is over or a reversal overtakes it, then decide it."""
        overtaken = self._reversals.setdefault(reference, asyncio.Event())
        try:
            async with asyncio.timeout(self._late_seconds):
                await overtaken.wait()
        except TimeoutError:
            pass
        finally:
            self._reversals.pop(reference, None)
        return await decide(outruns_reversal=True)


def _respond(asked: AuthorizationRequest | OperationMessage, result: IssuerResponse) -> bytes:
    return messages.build_answer(asked.reference, asked.amount_minor, asked.currency, result)


def _draft_result(order: AuthorizationRequest, verdict: IssuerVerdict) -> IssuerResponse:
    if not rules.is_approval(verdict.response_code, amount_minor=order.amount_minor):
        return IssuerResponse(verdict.response_code, verdict.advice_code, None, None)
    # Each approval of a customer has a network transaction ID of its own; merchant-initiated charges keep the
    # customer's.
    agreement = f"{secrets.randbelow(10**15):015d}" if order.by_customer else order.agreement
    return IssuerResponse(verdict.response_code, None, secrets.token_hex(3).upper(), agreement)
