"""Dunning after a failed renewal: a retry, a wait for a new card, or the end of the subscription.

The rules are data (`dunning.toml`), with their editions and sources. All times are arguments, aware and in UTC.
`decide` plans with the facts known when an attempt has failed. Other payments may be declined on the same card
meanwhile, so `choose_allowed_time` is called again before a retry.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from importlib.resources import files
from itertools import pairwise
from typing import Any, Literal

from tollhouse.kernel import codes

Then = Literal["retry", "await_card", "end"]

#: The newest declines of a card that any limit of the data can need.
MAX_DECLINES = 50

#: The bounds of a site's own schedule.
MAX_RETRIES = 10
MAX_DAYS = 60

DEFAULT_WORDS = frozenset({"", "default", "enable", "enabled"})
DISABLED_WORDS = frozenset({"disable", "disabled"})
DAYS_FORM = re.compile(r"[1-9][0-9]?( *, *[1-9][0-9]?)*", re.ASCII)

_SEVERITY = {"retry": 0, "await_card": 1, "end": 2}

Reason = Literal[
    "cardholder_needed",  # await_card: only the cardholder can authenticate, and is absent
    "cardholder_stopped",  # end: the cardholder revoked the payment at the issuer
    "consumer_blocked",  # end: the merchant blocked the consumer
    "never_again",  # end: declined for good
    "new_account_needed",  # await_card: the same card data would be declined again
    "no_time_left",  # await_card: the next retry would be too late; end: it is already too late
    "not_to_be_repeated",  # await_card: the issuer will hardly approve a retry, or its response is unknown
    "retries_disabled",  # await_card: the site wants no retries
    "retries_used_up",  # end: the last retry failed
]


@dataclass(frozen=True, slots=True)
class Policy:
    """The retries of a failed renewal, in days after its due time: ascending, empty for none."""

    retry_days: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Failure:
    """A failed attempt for a period, with the facts that dunning needs. Times are aware and in UTC."""

    #: The payment's code (`kernel.codes`), which also represents the issuer's response code: 5213 is `R3`.
    code: str
    #: Mastercard's merchant advice code, or None.
    advice_code: str | None
    #: The name in `kernel.card`. An unknown brand has the strictest limits.
    brand: str
    #: When the outcome was known, which is not before the scheme counted it.
    failed_at: datetime
    due_at: datetime
    #: The number of declined attempts for this period, including this one: at least 1, unless nothing was declined.
    tries: int
    #: When the next period is due. None if this was the last charge of the schedule.
    next_due_at: datetime | None
    #: Earlier declines of this card at this merchant: all, or the newest `MAX_DECLINES`, in any order.
    earlier_declines: Sequence[datetime] = ()


@dataclass(frozen=True, slots=True)
class Retry:
    """The subscription is past due and retried at this time: after the failure, before the end of dunning."""

    at: datetime


@dataclass(frozen=True, slots=True)
class AwaitCard:
    """The subscription is past due. It is not retried without a new card, and expires at this time."""

    until: datetime
    reason: Reason


@dataclass(frozen=True, slots=True)
class End:
    """The subscription expires now, and possibly every other one on the same card."""

    reason: Reason
    takes_all_on_card: bool = False


Decision = Retry | AwaitCard | End


@dataclass(frozen=True, slots=True)
class DunningRule:
    """The consequence of a kind of failure, if there is time. A retry has no reason; `wait` counts from the failure."""

    then: Then
    reason: Reason | None = None
    wait: timedelta = timedelta(0)
    takes_all_on_card: bool = False
    #: False if the issuer did not decline: it was not reached, or its response was lost and the attempt reversed.
    is_decline: bool = True

    @property
    def is_for_good(self) -> bool:
        """Whether the card must never be charged again at the merchant, for any consumer."""
        return self.then == "end" and (self.takes_all_on_card or self.reason == "never_again")


@dataclass(frozen=True, slots=True)
class Limit:
    """A maximum of declines of a card at a merchant in any window of this length.

    Without brands: those without another limit.
    """

    brands: frozenset[str]
    declines: int
    window: timedelta


def decide(failure: Failure, policy: Policy) -> Decision:
    """Decide the consequence of a failed attempt.

    A retry is never at or after the due time of the next period, never earlier than an advice code permits, and never
    beyond a known limit of the card's scheme. Every code and advice has a consequence; an unknown one is not retried. A
    failure without a decline is always retried: it ends nothing.
    """
    rule = choose_rule(failure.code, failure.advice_code)
    if not rule.is_decline:
        return Retry(_choose_time_after_fault(failure, policy))
    if rule.then == "end":
        return End(rule.reason or "never_again", takes_all_on_card=rule.takes_all_on_card)
    end = choose_end(failure.due_at, failure.next_due_at, policy)
    if failure.failed_at >= end:
        return End("no_time_left")
    if rule.then == "await_card":
        return AwaitCard(end, rule.reason or "not_to_be_repeated")
    return _choose_retry(failure, policy, rule, end)


def choose_rule(code: str, advice_code: str | None) -> DunningRule:
    """Return the consequence of a decline by its payment code and its advice: the stricter of the two.

    Exception: the advice alone decides if the code gives no reason of its own, because it is unknown or only forbids an
    unrequested repeat. An advice with a time is an issuer's request.
    """
    described = codes.get_code(code)
    by_code = _code_rules().get(code) or _follow_category(described)
    by_advice = _advice_rules().get(advice_code or "")
    if by_advice is None:
        return by_code
    if by_code.reason == "not_to_be_repeated":
        return by_advice
    return max(by_code, by_advice, key=lambda rule: (_SEVERITY[rule.then], rule.wait))


def choose_end(due_at: datetime, next_due_at: datetime | None, policy: Policy) -> datetime:
    """Return the end of dunning: the due time of the next period, or 30 days after the due time without one.

    A longer schedule of the site is completed; dunning then ends a day after its last retry.
    """
    if next_due_at is not None:
        return next_due_at
    last = max(policy.retry_days, default=0)
    return due_at + timedelta(days=max(_table()["schedule"]["end_days"], last + 1))


def choose_allowed_time(at: datetime, *, brand: str, declines: Sequence[datetime]) -> datetime:
    """Return the first time from `at` on at which a retry cannot break a limit of the card's scheme.

    `declines` are those of this card at this merchant: all, or the newest `MAX_DECLINES`, in any order. A window
    excludes its beginning and includes its end, so a decline leaves it when it is as old as the window is long.
    """
    newest = sorted(declines, reverse=True)
    leaving = (
        newest[limit.declines - 1] + limit.window for limit in choose_limits(brand) if len(newest) >= limit.declines
    )
    return max((at, *leaving))


def choose_limits(brand: str) -> Sequence[Limit]:
    """Return the limits of a brand. A brand without its own has the strictest ones."""
    own = [limit for limit in _limits() if brand in limit.brands]
    return own or [limit for limit in _limits() if not limit.brands]


def default_policy() -> Policy:
    """Return the policy of sites without one."""
    return Policy(tuple(_table()["schedule"]["days"]))


def read_policy(text: str) -> Policy:
    """Parse a site's `rebillRetryPolicy`: default (or enabled, or empty), disabled, or days such as 1,3,5,7.

    Case and surrounding blanks are ignored. Raises ValueError with a text suitable for a response.
    """
    word = text.strip(" ").lower()
    if word in DEFAULT_WORDS:
        return default_policy()
    if word in DISABLED_WORDS:
        return Policy(())
    days = tuple(int(day) for day in word.split(",")) if DAYS_FORM.fullmatch(word) else ()
    if not _is_schedule(days):
        raise ValueError(
            f"must be default, disabled, or up to {MAX_RETRIES} ascending days from 1 to {MAX_DAYS}, such as 1,3,5,7"
        )
    return Policy(days)


def choose_policy(text: str | None) -> Policy:
    """Return the policy of a stored text. An unchecked old text that is not valid is the default."""
    try:
        return read_policy(text or "")
    except ValueError:
        return default_policy()


def _is_schedule(days: Sequence[int]) -> bool:
    ascends = all(earlier < later for earlier, later in pairwise(days))
    return ascends and 0 < len(days) <= MAX_RETRIES and days[-1] <= MAX_DAYS


def _choose_retry(failure: Failure, policy: Policy, rule: DunningRule, end: datetime) -> Decision:
    if not policy.retry_days:
        return AwaitCard(end, "retries_disabled")
    if failure.tries > len(policy.retry_days):
        return End("retries_used_up")
    declines = (*failure.earlier_declines, failure.failed_at)
    at = max(_choose_planned_time(failure, policy), failure.failed_at + rule.wait)
    at = choose_allowed_time(at, brand=failure.brand, declines=declines)
    return Retry(at) if at < end else AwaitCard(end, "no_time_left")


def _choose_planned_time(failure: Failure, policy: Policy) -> datetime:
    """Return the time of the schedule's next retry.

    A schedule that is behind, because a retry was moved or the gateway was down, continues from the failure with the
    same gap, so that missed retries are not made all at once.
    """
    days = (0, *policy.retry_days)
    planned = failure.due_at + timedelta(days=days[failure.tries])
    gap = timedelta(days=days[failure.tries] - days[failure.tries - 1])
    return planned if planned > failure.failed_at else failure.failed_at + gap


def _choose_time_after_fault(failure: Failure, policy: Policy) -> datetime:
    """Return the time of the retry after a failure without a decline.

    It is the schedule's next day, or a day later without one, or an hour later if a period is due before.
    """
    days = (failure.due_at + timedelta(days=day) for day in policy.retry_days)
    at = next((day for day in days if day > failure.failed_at), failure.failed_at + timedelta(days=1))
    if at >= choose_end(failure.due_at, failure.next_due_at, policy):
        at = failure.failed_at + timedelta(hours=_table()["schedule"]["fault_hours"])
    return choose_allowed_time(at, brand=failure.brand, declines=failure.earlier_declines)


def _follow_category(code: codes.Code) -> DunningRule:
    """Return the consequence of a code by the table of codes. Its advice to merchants binds the gateway too."""
    if code.category == 1:
        return DunningRule("end", "never_again")
    if code.category == 3:
        return DunningRule("await_card", "new_account_needed")
    return DunningRule("retry") if code.retry == "later" else DunningRule("await_card", "not_to_be_repeated")


@cache
def _table() -> dict[str, Any]:
    return tomllib.loads(files(__package__).joinpath("dunning.toml").read_text(encoding="utf-8"))


@cache
def _code_rules() -> dict[str, DunningRule]:
    return {code: _read_rule(row) for code, row in _table()["codes"].items()}


@cache
def _advice_rules() -> dict[str, DunningRule]:
    return {code: _read_rule(row) for code, row in _table()["advice"].items() if row["then"] != "as_declined"}


@cache
def _limits() -> tuple[Limit, ...]:
    return tuple(
        Limit(frozenset(row["brands"]), row["declines"], timedelta(hours=row["hours"])) for row in _table()["limits"]
    )


def _read_rule(row: dict[str, Any]) -> DunningRule:
    wait = timedelta(hours=row.get("wait_hours", 0))
    return DunningRule(
        row["then"],
        row.get("reason"),
        wait,
        row.get("takes_all_on_card", False),
        is_decline=row.get("is_decline", True),
    )
