"""The judge of renewals: what was charged against the calendar that was agreed on. It trusts nobody's account.

Times are compared with `tests.support.due_dates`, and charges with the acquirer's books.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Literal
from uuid import UUID

from tests.support.due_dates import Calendar, Due

from tollhouse.billing.model import Decline, EndReason, Subscription, SubscriptionState

PAUSE = timedelta(hours=24)
#: The issuer was not reached, or its answer was lost and taken back.
NO_DECLINES = frozenset({"1030", "1040", "1041"})


@dataclass(slots=True)
class Try:
    """A row of `renewal`, with what the payment was of and whether the acquirer took the money."""

    period: int
    number: int
    due_at: datetime
    amount_minor: int
    tried_at: datetime
    state: Literal["open", "paid", "failed"] = "open"
    finished_at: datetime | None = None
    is_charged: bool = False
    account: UUID | None = None
    code: str | None = None

    @property
    def is_decline(self) -> bool:
        """Whether the issuer declined it."""
        return self.state == "failed" and self.code not in NO_DECLINES

    @property
    def counts(self) -> bool:
        """Whether it is under way, or was declined."""
        return self.state == "open" or self.is_decline

    def describe(self, brand: str) -> Decline:
        """Return how it failed."""
        assert self.finished_at is not None
        return Decline(self.finished_at, self.code or "", None, brand)


@dataclass(frozen=True, slots=True)
class Bills:
    """A subscription at the end of its story, its tries in the order in which they were made, and its calendar."""

    subscription: Subscription
    tries: Sequence[Try]
    calendar: Calendar
    now: datetime
    #: The card was declined for good, perhaps for another subscription on it.
    is_card_refused: bool = False
    #: Periods that fell due after an end that was taken back: they are not made up for.
    skipped: Collection[int] = ()

    @property
    def dues(self) -> list[Due]:
        """What was agreed on, by period."""
        return self.calendar.dues

    @property
    def paid(self) -> list[Try]:
        """The tries that were paid, in the order in which that was written."""
        return [each for each in self.tries if each.state == "paid"]

    def find_faults(self) -> list[str]:
        """Return all that is wrong, in words: nothing."""
        return [
            *self._find_wrong_charges(),
            *self._find_wrong_tries(),
            *self._find_missing(),
            *self._find_haste(),
            *self._find_wrong_end(),
        ]

    def _find_wrong_charges(self) -> list[str]:
        """No period is charged twice, and the rows say of each try what the acquirer does."""
        charged = Counter(each.period for each in self.tries if each.is_charged)
        twice = [f"period {period} was charged {times} times" for period, times in charged.items() if times > 1]
        differ = [each for each in self.tries if each.is_charged != (each.state == "paid")]
        return twice + [f"period {each.period} is {each.state}, and the acquirer disagrees" for each in differ]

    def _find_wrong_tries(self) -> list[str]:
        """Each try is due when the calendar says, made no earlier, and of the amount that was agreed on."""
        faults = []
        for each in self.tries:
            due = self.dues[each.period - 1]
            if each.due_at != due.at:
                faults.append(f"period {each.period} was due {each.due_at}, not {due.at}")
            if each.tried_at < due.at:
                faults.append(f"period {each.period} was tried at {each.tried_at}, before {due.at}")
            if each.state == "paid" and each.amount_minor != due.amount_minor:
                faults.append(f"period {each.period} was of {each.amount_minor}, not {due.amount_minor}")
        return faults

    def _find_missing(self) -> list[str]:
        """Each period before the next was paid unless it costs nothing, oldest first, and cycles are those."""
        agreed = [n for n, due in enumerate(self.dues, start=1) if due.amount_minor]
        wanted = [period for period in agreed if period < self.subscription.next_period]
        paid = [each.period for each in self.paid]
        wanted = [period for period in wanted if period not in self.skipped or period in paid]
        faults = [] if paid == wanted else [f"the periods {paid} were paid instead of {wanted}"]
        return faults + ([] if self.subscription.cycle == len(paid) else ["the cycle is wrong"])

    def _find_haste(self) -> list[str]:
        """What was missed is made up for no sooner than a day after the charge before."""
        firsts = {each.period: each.tried_at for each in reversed(self.tries)}
        return [
            f"period {later.period} came {firsts[later.period] - earlier.finished_at} after {earlier.period}"
            for earlier, later in pairwise(self.paid)
            if earlier.finished_at is not None
            and later.due_at <= earlier.finished_at
            and firsts[later.period] < earlier.finished_at.replace(microsecond=0) + PAUSE
        ]

    def _find_wrong_end(self) -> list[str]:
        """What runs owes nothing but what is tried again or caught up with; what is over has a reason for it."""
        each = self.subscription
        next_due = self.dues[each.next_period - 1] if each.next_period <= len(self.dues) else None
        is_tried = bool(self.tries) and self.tries[-1].period == each.next_period and self.tries[-1].state == "failed"
        if each.ended_with is EndReason.FINISHED:
            return ["it finished with something left to charge"] if next_due else []
        if each.ended_with is EndReason.REFUSED and self.is_card_refused:
            return []
        if each.ended_with in {EndReason.UNPAID, EndReason.REFUSED} and not (self.tries and self.tries[-1].is_decline):
            return [f"it is {each.ended_with} and the issuer did not decline"]
        if each.state in {SubscriptionState.EXPIRED, SubscriptionState.PAST_DUE}:
            return [] if is_tried or each.is_revoked else [f"it is {each.state} and was not declined"]
        is_owed = each.state.is_running and next_due is not None and next_due.at <= self.now
        if not is_owed or each.charged_at is None or each.charge_at is None:
            return []
        is_catching_up = self.now < each.charge_at <= each.charged_at + PAUSE
        return [] if is_catching_up else [f"period {each.next_period}, due {next_due and next_due.at}, is missing"]
