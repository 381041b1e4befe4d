"""An acquirer that does what a test tells it, and keeps a journal of what it believes happened.

It stands at the seam of `acquirers.model.Acquirer`, in process. Its books are the judge: what was
approved there and not reversed is money that moved.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from tollhouse.acquirers.model import (
    AccountQuery,
    AcquirerDispute,
    AcquirerOperation,
    Answer,
    Approved,
    Authorization,
    Declined,
    DisputeQuery,
    Finding,
    NotSent,
    ReferenceUnknown,
    Reversed,
    Unchanged,
    Unknown,
    Update,
)
from tollhouse.kernel.money import Money

Lost = Literal["request", "answer"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What happens to one authorization, capture, void or credit.

    `hold` keeps it waiting until the event is set; `lost` says what the network swallowed; `late` has it processed only
    when `arrive` is called, long after the gateway was told that nobody knows.
    """

    outcome: Approved | Declined | None = None
    hold: asyncio.Event | None = None
    lost: Lost | None = None
    late: bool = False
    not_sent: bool = False
    error: Exception | None = None


@dataclass(slots=True)
class ScriptedAcquirer:
    """Follows its plans one by one, and approves when it has none."""

    name: str = "scripted"
    resolves_by: Literal["inquire", "reverse"] = "inquire"
    can_reverse: bool = True
    timeout_seconds: float = 0.0
    longest_delay_seconds: float = 0.0
    plans: deque[Plan] = field(default_factory=deque)
    findings: deque[Finding] = field(default_factory=deque)
    updates: deque[Update] = field(default_factory=deque)
    queried: list[AccountQuery] = field(default_factory=list)
    disputes: list[AcquirerDispute] = field(default_factory=list)
    disputes_asked: list[DisputeQuery] = field(default_factory=list)
    tells_disputes: bool = True
    hears_acknowledgements: bool = True
    acknowledged: set[str] = field(default_factory=set)
    asked: list[Authorization] = field(default_factory=list)
    operated: list[tuple[str, AcquirerOperation]] = field(default_factory=list)
    journal: list[tuple[str, str]] = field(default_factory=list)
    books: dict[str, Approved | Declined | Reversed] = field(default_factory=dict)
    underway: dict[str, Approved | Declined] = field(default_factory=dict)
    on_authorize: Callable[[Authorization], None] = lambda _: None

    def plan(self, *plans: Plan) -> None:
        """Say what happens to the next authorizations and operations."""
        self.plans.extend(plans)

    def find(self, *findings: Finding) -> None:
        """Say what the next inquiries and reversals are answered, whatever the books say."""
        self.findings.extend(findings)

    async def authorize(self, order: Authorization) -> Answer:
        """Do what the plan says."""
        self.asked.append(order)
        self.journal.append(("authorize", order.reference))
        self.on_authorize(order)
        return await self._follow(order.reference, approve(order.reference))

    async def capture(self, operation: AcquirerOperation) -> Answer:
        """Do what the plan says."""
        return await self._operate("capture", operation)

    async def void(self, operation: AcquirerOperation) -> Answer:
        """Do what the plan says."""
        return await self._operate("void", operation)

    async def credit(self, operation: AcquirerOperation) -> Answer:
        """Do what the plan says."""
        return await self._operate("credit", operation)

    async def _operate(self, verb: str, operation: AcquirerOperation) -> Answer:
        """Follow the next plan; whether the operation fits its original is not looked at."""
        self.operated.append((verb, operation))
        self.journal.append((verb, operation.reference))
        return await self._follow(operation.reference, Approved(f"A{operation.reference[-5:]}", None))

    async def _follow(self, reference: str, approval: Approved) -> Answer:
        plan = self.plans.popleft() if self.plans else Plan()
        if plan.hold is not None:
            await plan.hold.wait()
        if plan.error is not None:
            raise plan.error
        return self._process(reference, plan, plan.outcome or approval)

    def _process(self, reference: str, plan: Plan, outcome: Approved | Declined) -> Answer:
        if plan.not_sent:
            return NotSent("connection refused")
        if plan.late:
            self.underway[reference] = outcome
            return Unknown("no response in time")
        if plan.lost == "request":
            return Unknown("connection reset")
        booked = self.books.setdefault(reference, outcome)
        if plan.lost == "answer" or isinstance(booked, Reversed):
            return Unknown("connection reset")
        return booked

    def arrive(self, reference: str) -> None:
        """Let a late request arrive: what was reversed meanwhile is refused."""
        self.books.setdefault(reference, self.underway.pop(reference))

    async def inquire(self, reference: str, money: Money) -> Finding:
        """Tell what the books say, or what the test said they should."""
        del money
        self.journal.append(("inquire", reference))
        await asyncio.sleep(0)
        return self.findings.popleft() if self.findings else self.books.get(reference, ReferenceUnknown())

    async def reverse(self, reference: str, money: Money) -> Finding:
        """Undo a reference, or refuse it from now on."""
        del money
        self.journal.append(("reverse", reference))
        await asyncio.sleep(0)
        if self.findings:
            return self.findings.popleft()
        self.books[reference] = Reversed()
        return Reversed()

    async def update_account(self, query: AccountQuery) -> Update:
        """Tell what the test said, and that nothing is new when it said nothing."""
        self.queried.append(query)
        return self.updates.popleft() if self.updates else Unchanged()

    async def list_disputes(self, query: DisputeQuery) -> tuple[AcquirerDispute, ...] | Unknown | NotSent:
        """Tell what the test put there, two at a time, unless it is to keep silent."""
        self.disputes_asked.append(query)
        await asyncio.sleep(0)
        if not self.tells_disputes:
            return Unknown("no response in time")
        ordered = sorted(self.disputes, key=lambda each: (each.due_at, each.dispute_id))
        first = next((at + 1 for at, each in enumerate(ordered) if each.dispute_id == query.after), 0)
        due = [
            dispute
            for dispute in ordered[first:]
            if dispute.dispute_id not in self.acknowledged
            and query.acceptor in {None, dispute.acceptor}
            and dispute.due_at <= query.ahead.get(dispute.acceptor, query.until)
        ]
        return tuple(due[:2])

    async def acknowledge_disputes(self, dispute_ids: Sequence[str]) -> bool:
        """Tell these no more, unless the message is lost."""
        if self.hears_acknowledgements:
            self.acknowledged |= set(dispute_ids)
        return self.hears_acknowledgements

    def count(self, verb: str) -> int:
        """Count what was asked."""
        return sum(entry[0] == verb for entry in self.journal)

    @property
    def charged(self) -> list[str]:
        """The references under which money moved."""
        return [reference for reference, booked in self.books.items() if isinstance(booked, Approved)]


def approve(reference: str) -> Approved:
    """Approve, with numbers that come of the reference."""
    return Approved(f"A{reference[-5:]}", f"N{reference}")
