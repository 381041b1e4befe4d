"""A model of renewals that fail, written from the documents and nothing else: the judge of `billing.dunning`.

Sources: docs/reference/dunning.md, docs/explanation/subscriptions.md. It knows one period of one subscription on a card
that no limit of a scheme holds back.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)

FUNDS, NEW_CARD_NEEDED, FOR_GOOD, UNREACHED = "5051", "5054", "5043", "1040"
Outcome = Literal["tried again", "waits", "expired"]


@dataclass(slots=True)
class OwedPeriod:
    """A period that is owed: when it and the next one are due, the site's days, and what became of its tries."""

    due_at: datetime
    next_due_at: datetime | None
    days: tuple[int, ...]
    declines: int = 0
    first_declined_at: datetime | None = None
    code: str = ""
    failed_at: datetime | None = None
    is_over: bool = False

    def fail(self, code: str, at: datetime) -> tuple[Outcome, datetime | None]:
        """Note a failure, and say what follows: the outcome, and when."""
        self.code, self.failed_at = code, at
        if code != UNREACHED:
            self.declines += 1
            self.first_declined_at = self.first_declined_at or at
        return self._decide()

    def reprice(self, next_due_at: datetime | None, now: datetime) -> tuple[Outcome, datetime | None]:
        """Give the period the next date of other prices, and say what holds from then on."""
        self.next_due_at = next_due_at
        if self.code != UNREACHED and self._find_end(self._find_start()) <= now:
            return "expired", None
        outcome, at = self._decide()
        return ("waits", now) if outcome == "expired" else (outcome, at)

    def _find_start(self) -> datetime:
        """Return from when the days count: a period that was declined first a day late counts from then."""
        first = self.first_declined_at
        return first if self.code != UNREACHED and first and first - self.due_at >= DAY else self.due_at

    def _find_end(self, start: datetime) -> datetime:
        """Return when tries end: at the next period; else 30 days after the due time, or after a longer schedule."""
        following = self.next_due_at
        if following is not None and not (start != self.due_at and following <= start):
            return following
        return start + max(30, *(day + 1 for day in self.days), 0) * DAY

    def _decide(self) -> tuple[Outcome, datetime | None]:
        assert self.failed_at is not None
        start = self._find_start()
        end = self._find_end(start)
        if self.code == UNREACHED:
            at = next(
                (start + day * DAY for day in self.days if start + day * DAY > self.failed_at), self.failed_at + DAY
            )
            return "tried again", at if at < end else self.failed_at + HOUR
        if self.code == FOR_GOOD or self.failed_at >= end:
            return "expired", None
        if self.code == NEW_CARD_NEEDED or not self.days:
            return "waits", end
        if self.declines > len(self.days):
            return "expired", None
        day = self.days[self.declines - 1]
        before = self.days[self.declines - 2] if self.declines > 1 else 0
        at = start + day * DAY
        at = at if at > self.failed_at else self.failed_at + (day - before) * DAY
        return ("tried again", at) if at < end else ("waits", end)
