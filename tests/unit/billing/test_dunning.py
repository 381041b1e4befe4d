"""The consequence of a failed renewal, by its kind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tollhouse.billing.dunning import (
    MAX_DECLINES,
    AwaitCard,
    Decision,
    End,
    Failure,
    Policy,
    Retry,
    choose_allowed_time,
    choose_limits,
    choose_policy,
    choose_rule,
    decide,
    default_policy,
    read_policy,
)
from tollhouse.kernel.codes import list_codes, translate_response_code

DUE = datetime(2026, 5, 1, 12, tzinfo=UTC)
NEXT = DUE + timedelta(days=30)
MOMENT = timedelta(seconds=3)
FUNDS = "5051"
DEFAULT = Policy((1, 3, 5, 7))


def after(**amount: float) -> datetime:
    """Return a time after the due time."""
    return DUE + timedelta(**amount)


def fail(code: str = FUNDS, advice_code: str | None = None, **changes: Any) -> Failure:
    """Return the failure of a monthly subscription's first attempt, made when it was due."""
    facts: dict[str, Any] = {"brand": "visa", "failed_at": DUE + MOMENT, "due_at": DUE, "tries": 1, "next_due_at": NEXT}
    return Failure(code=code, advice_code=advice_code, **(facts | changes))


def follow(code: str = FUNDS, advice_code: str | None = None, policy: Policy = DEFAULT, **changes: Any) -> Decision:
    """Return the consequence of such a failure."""
    return decide(fail(code, advice_code, **changes), policy)


RETRY = Retry(after(days=1))
MEND = AwaitCard(NEXT, "new_account_needed")
CARDHOLDER = AwaitCard(NEXT, "cardholder_needed")
LEAVE = AwaitCard(NEXT, "not_to_be_repeated")
NEVER = End("never_again")
STOPPED = End("cardholder_stopped")


# ---------------------------------------------------------------- kinds


@pytest.mark.parametrize(
    ("response_code", "category", "expected"),
    [
        ("04", 1, NEVER),
        ("14", 1, NEVER),
        ("46", 1, NEVER),
        ("05", 2, RETRY),
        ("51", 2, RETRY),
        ("91", 2, RETRY),
        ("10", 2, RETRY),
        ("58", 2, LEAVE),
        ("59", 2, LEAVE),
        ("54", 3, MEND),
        ("13", 3, MEND),
        ("N7", 3, MEND),
        ("1A", 3, CARDHOLDER),
        ("63", 4, LEAVE),
        ("99", 4, LEAVE),
        ("ZZ", 4, LEAVE),
        ("R0", 1, STOPPED),
        ("R1", 1, STOPPED),
        ("R3", 1, End("cardholder_stopped", takes_all_on_card=True)),
    ],
)
def test_response_codes_decide_by_category(response_code: str, category: int, expected: Decision) -> None:
    """Category 1 ends, 2 retries, 3 waits for other card data; a code that forbids an unrequested repeat waits."""
    code = translate_response_code(response_code, brand="visa")
    assert (code.category, follow(code.code)) == (category, expected)


def test_a_mastercard_may_ask_for_its_cardholder() -> None:
    """Response code 65 is an exceeded counter on most cards; on a Mastercard it requests authentication."""
    brands = ("visa", "mastercard")
    assert [follow(translate_response_code("65", brand=brand).code, brand=brand) for brand in brands] == [
        RETRY,
        CARDHOLDER,
    ]


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("1001", End("consumer_blocked")),
        ("1002", RETRY),
        ("1010", CARDHOLDER),
        ("1011", CARDHOLDER),
        ("1012", CARDHOLDER),
        ("1020", MEND),
        ("1030", RETRY),
        ("1040", RETRY),
        ("1041", RETRY),
        ("5099", LEAVE),
        ("0", LEAVE),
        ("", LEAVE),
        ("no code", LEAVE),
    ],
)
def test_our_own_codes_have_consequences(code: str, expected: Decision) -> None:
    """Technical faults are retried, codes that need the cardholder wait, and a blocked consumer ends."""
    assert follow(code) == expected


def test_only_published_advice_allows_a_retry() -> None:
    """A code is retried only if its published advice is to try again later."""
    retried = {code.code for code in list_codes() if choose_rule(code.code, None).then == "retry"}
    later = {code.code for code in list_codes() if code.retry == "later" and code.category == 2}
    assert retried == later | {"1030"}


def test_category_1_is_never_retried() -> None:
    """With any advice a decline for good ends the subscription."""
    declined = [code.code for code in list_codes() if code.category == 1]
    advised = [None, "02", "24", "40", "43", "x"]
    assert {choose_rule(code, advice).then for code in declined for advice in advised} == {"end"}


# ---------------------------------------------------------------- advice


@pytest.mark.parametrize(
    ("advice_code", "expected"),
    [
        ("01", MEND),
        ("02", Retry(after(days=3) + MOMENT)),
        ("03", NEVER),
        ("04", MEND),
        ("21", STOPPED),
        ("22", LEAVE),
        ("24", RETRY),
        ("25", Retry(after(days=1) + MOMENT)),
        ("26", Retry(after(days=2) + MOMENT)),
        ("27", Retry(after(days=4) + MOMENT)),
        ("28", Retry(after(days=6) + MOMENT)),
        ("29", Retry(after(days=8) + MOMENT)),
        ("30", Retry(after(days=10) + MOMENT)),
        ("40", MEND),
        ("41", MEND),
        ("43", RETRY),
        ("", RETRY),
        (None, RETRY),
        ("2", RETRY),
        ("77", RETRY),
    ],
)
def test_advice_codes_have_consequences(advice_code: str | None, expected: Decision) -> None:
    """Advice delays a retry, waits for other card data or ends; an unknown one changes nothing."""
    assert follow(FUNDS, advice_code, brand="mastercard") == expected


@pytest.mark.parametrize(
    ("code", "advice_code", "expected"),
    [
        ("5054", "24", MEND),
        ("1040", "03", NEVER),
        ("5201", "21", STOPPED),
        ("5213", "03", End("cardholder_stopped", takes_all_on_card=True)),
        ("5083", "02", Retry(after(days=3) + MOMENT)),
        ("5059", "26", Retry(after(days=2) + MOMENT)),
        ("5299", "40", MEND),
        ("5299", "43", LEAVE),
    ],
)
def test_the_stricter_of_code_and_advice_counts(code: str, advice_code: str, expected: Decision) -> None:
    """Advice makes a code stricter; milder only if the code is unknown or forbids an unrequested repeat."""
    assert follow(code, advice_code) == expected


# ---------------------------------------------------------------- the schedule


def test_retries_are_on_the_days_of_the_schedule() -> None:
    """Retries are 1, 3, 5 and 7 days after the due time, and the last one ends the subscription."""
    tried_at, decisions = DUE, []
    for tries in range(1, 6):
        decision = follow(tries=tries, failed_at=tried_at + MOMENT)
        decisions.append(decision)
        tried_at = decision.at if isinstance(decision, Retry) else tried_at
    assert decisions == [*(Retry(after(days=day)) for day in (1, 3, 5, 7)), End("retries_used_up")]


def test_a_late_schedule_keeps_its_intervals() -> None:
    """After a late attempt the next ones keep their intervals."""
    late = after(days=10)
    expected = [timedelta(days=1), timedelta(days=2), timedelta(days=2), timedelta(days=2)]
    assert [follow(tries=tries, failed_at=late) for tries in (1, 2, 3, 4)] == [Retry(late + gap) for gap in expected]


@pytest.mark.parametrize(
    ("days", "tries", "failed_days", "expected"),
    [
        (7, 3, 3, Retry(after(days=5))),
        (7, 4, 5, AwaitCard(after(days=7), "no_time_left")),
        (1, 1, 0, AwaitCard(after(days=1), "no_time_left")),
        (7, 1, 7, End("no_time_left")),
        (7, 1, 40, End("no_time_left")),
    ],
)
def test_the_next_period_bounds_dunning(days: int, tries: int, failed_days: int, expected: Decision) -> None:
    """A retry is before the next period; without one the subscription waits until then, or ends."""
    assert follow(next_due_at=after(days=days), tries=tries, failed_at=after(days=failed_days)) == expected


def test_without_a_next_period_dunning_ends_after_thirty_days() -> None:
    """After the last charge of a schedule a subscription waits 30 days, and nothing is tried after that."""
    assert follow("5054", next_due_at=None) == AwaitCard(after(days=30), "new_account_needed")
    assert follow(next_due_at=None, failed_at=after(days=28), tries=2) == AwaitCard(after(days=30), "no_time_left")


def test_a_longer_schedule_is_completed() -> None:
    """A site's schedule of 60 days ends with its last retry; dunning ends a day later."""
    policy = Policy((1, 60))
    assert follow(policy=policy, next_due_at=None, tries=2, failed_at=after(days=1)) == Retry(after(days=60))
    assert follow("5054", policy=policy, next_due_at=None) == AwaitCard(after(days=61), "new_account_needed")


def test_without_retries_a_subscription_waits() -> None:
    """A site without retries waits for a new card; a decline for good still ends the subscription."""
    policy = Policy(())
    assert follow(policy=policy) == AwaitCard(NEXT, "retries_disabled")
    assert follow("5054", policy=policy) == MEND
    assert follow("5004", policy=policy) == NEVER


# ---------------------------------------------------------------- limits


@pytest.mark.parametrize("code", ["1030", "1040", "1041"])
def test_a_fault_is_retried_within_the_hour(code: str) -> None:
    """A failure without a decline is retried within the hour if the next day would be too late."""
    tomorrow = after(days=1)
    assert follow(code, next_due_at=tomorrow) == Retry(DUE + MOMENT + timedelta(hours=1))
    assert follow(code) == RETRY
    assert follow(next_due_at=tomorrow) == AwaitCard(tomorrow, "no_time_left")
    for failed_at in (after(hours=23, minutes=30), after(days=5)):
        assert follow(code, next_due_at=tomorrow, failed_at=failed_at) == Retry(failed_at + timedelta(hours=1))
    assert follow(code, policy=Policy(())) == Retry(DUE + MOMENT + timedelta(days=1))
    assert follow(code, tries=9, failed_at=after(days=8)) == Retry(after(days=9))


@pytest.mark.parametrize(
    ("brand", "limits"),
    [
        ("visa", [(20, 30)]),
        ("mastercard", [(10, 1), (35, 30)]),
        ("maestro", [(10, 1), (35, 30)]),
        *((brand, [(7, 30)]) for brand in ("amex", "diners", "discover", "jcb", "unionpay", "unknown", "")),
    ],
)
def test_the_limits_of_a_brand(brand: str, limits: list[tuple[int, int]]) -> None:
    """Visa allows 20 declines in 30 days, Mastercard 10 in a day and 35 in 30 days, others have a careful limit."""
    found = [(limit.declines, limit.window / timedelta(days=1)) for limit in choose_limits(brand)]
    assert found == limits
    assert all(count <= MAX_DECLINES for count, _ in found)


def test_a_retry_beyond_a_limit_is_moved() -> None:
    """A retry beyond a limit is made when the oldest decline leaves the window."""
    earlier = [after(days=-20, hours=hour) for hour in range(19)]
    assert follow(earlier_declines=earlier) == Retry(after(days=10))
    assert follow(earlier_declines=earlier[1:]) == RETRY
    assert follow(earlier_declines=earlier[::-1]) == Retry(after(days=10))


def test_a_limit_of_a_day_moves_by_hours() -> None:
    """Ten declines of a Mastercard in a day move the eleventh attempt to a day after the first."""
    earlier = [after(hours=20, minutes=minute) for minute in range(9)]
    moved = follow(brand="mastercard", failed_at=after(hours=21), earlier_declines=earlier)
    assert moved == Retry(after(days=1, hours=20))
    assert follow(brand="mastercard", failed_at=after(hours=21), earlier_declines=earlier[1:]) == RETRY


def test_two_limits_both_hold() -> None:
    """A card with limits of a day and of 30 days is tried when both allow it."""
    declines = [after(days=-day, hours=-hour) for day in range(1, 6) for hour in range(7)]
    leaves_at = min(declines) + timedelta(days=30)
    assert choose_allowed_time(DUE, brand="mastercard", declines=declines) == leaves_at
    today = [leaves_at - timedelta(hours=hour) for hour in range(1, 11)]
    assert choose_allowed_time(leaves_at, brand="mastercard", declines=declines[:5] + today) == min(today) + timedelta(
        days=1
    )


def test_a_limit_that_outlasts_dunning_ends_it() -> None:
    """If a limit allows no attempt before the next period, nothing is tried until then."""
    assert follow(brand="amex", earlier_declines=[after(days=-1)] * 6) == Retry(after(days=29))
    assert follow(brand="amex", earlier_declines=[DUE] * 6) == AwaitCard(NEXT, "no_time_left")


# ---------------------------------------------------------------- policies


@pytest.mark.parametrize("text", ["", "default", "enabled", "enable", "Enabled", " DEFAULT ", "1,3,5,7"])
def test_these_texts_mean_the_default(text: str) -> None:
    """An empty text, default and enabled mean the schedule of the data."""
    assert read_policy(text) == choose_policy(text) == default_policy() == DEFAULT


@pytest.mark.parametrize(
    ("text", "days"),
    [
        ("disabled", ()),
        ("Disable", ()),
        ("1", (1,)),
        ("60", (60,)),
        (" 2, 10 ,40 ", (2, 10, 40)),
        ("1,2,3,4,5,6,7,8,9,10", tuple(range(1, 11))),
    ],
)
def test_these_texts_mean_a_schedule(text: str, days: tuple[int, ...]) -> None:
    """A site may have no retries, or up to ten days from 1 to 60."""
    assert read_policy(text) == choose_policy(text) == Policy(days)


@pytest.mark.parametrize(
    "text",
    [
        *("0", "0,1", "61", "1,61", "3,1", "1,1", "1,2,3,4,5,6,7,8,9,10,11", "1;3", "1,", ",1", "1,,3", "1.5", "-1"),
        *("01", "1e1", "١", "true", "off", "1 3", "disabled,1", "1\n", "100000000000000000000", "null"),
    ],
)
def test_other_texts_are_rejected(text: str) -> None:
    """Any other text is rejected; a stored one counts as the default, so that renewals continue."""
    with pytest.raises(ValueError, match="must be default, disabled, or up to 10 ascending days from 1 to 60"):
        read_policy(text)
    assert choose_policy(text) == default_policy()


def test_a_site_without_policy_has_the_default() -> None:
    """A policy that was never set is the default."""
    assert choose_policy(None) == default_policy()
